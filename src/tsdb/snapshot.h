/*
 * Snapshots: what a store must know before it replays its log, at a moment.
 *
 * Snapshots have numbers that rise, their *generations*. One is there whole or not at all, and
 * those before it go when it is durable. What is in one is the caller's: sections.
 */
#ifndef QUARRY_TSDB_SNAPSHOT_H
#define QUARRY_TSDB_SNAPSHOT_H

#include <tsdb/section_file.h>

struct tsdb_snapshot_options {
    struct quarry_vfs *vfs;     /* borrowed: until a snapshot that is open is closed */
    const char *directory;      /* which is there; borrowed for the call */
    struct tsdb_memory *memory; /* as `vfs` */
};

/*
 * Writes a snapshot, durably, and removes those before it.
 *
 * `ret_generation`: its own. Errors: those of tsdb_section_file_write: those before it are there.
 * Threads: one at a time for a directory.
 */
enum quarry_status tsdb_snapshot_write(const struct tsdb_snapshot_options *options,
                                       const struct tsdb_section *sections, size_t section_count,
                                       uint64_t *ret_generation, struct quarry_error *error);

/*
 * Opens the newest snapshot of a generation below `below`; UINT64_MAX: of any. Who finds something
 * lost in it, when it is opened or read, takes nothing of it, and goes on with the one below.
 *
 * `ret_snapshot`: own; read it with tsdb_section_file_read and end it with tsdb_section_file_close.
 * `ret_generation`: written also with QUARRY_CORRUPT.
 * Errors: QUARRY_NOT_FOUND: there is none; those of tsdb_section_file_open.
 */
enum quarry_status tsdb_snapshot_open(const struct tsdb_snapshot_options *options, uint64_t below,
                                      struct tsdb_section_file **ret_snapshot,
                                      uint64_t *ret_generation, struct quarry_error *error);

#endif
