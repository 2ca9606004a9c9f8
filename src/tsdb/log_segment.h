/*
 * One segment of the log, as it is written: records in blocks, and syncing them.
 */
#ifndef QUARRY_TSDB_LOG_SEGMENT_H
#define QUARRY_TSDB_LOG_SEGMENT_H

#include <quarry/vfs.h>

#include <tsdb/log_block.h>
#include <tsdb/memory.h>
#include <tsdb/types.h>

struct log_segment;

struct log_segment_options {
    struct quarry_vfs *vfs;     /* borrowed until destroyed */
    const char *path;           /* of the file, which is not there; likewise */
    const char *directory;      /* that it is in; likewise */
    struct tsdb_memory *memory; /* likewise */
    struct log_identity identity;
};

/*
 * Begins a segment: makes its file. `ret_segment`: own.
 * Errors: QUARRY_NO_MEMORY; those of making the file, which is not there then.
 */
enum quarry_status log_segment_create(const struct log_segment_options *options,
                                      struct log_segment **ret_segment, struct quarry_error *error);

/*
 * Appends a record of several parts: whole, or with an error as good as not at all.
 * Errors: QUARRY_NO_SPACE, QUARRY_IO, …: the segment is broken, unless it was refused before
 * anything was written.
 * Threads: one at a time. Cost: a copy, a checksum, a call of write for each 64 KiB.
 */
enum quarry_status log_segment_append(struct log_segment *segment, const struct tsdb_slice *parts,
                                      size_t part_count, struct quarry_error *error);

/* Whether it is broken, and by a sync: what has not been appended may go to another segment. */
bool log_segment_is_outrun(struct log_segment *segment);

/*
 * Waits until the segment up to `end` would survive a loss of power, and its name.
 * Errors: that of the sync, told to all who wait. Threads: any, beside one that appends.
 */
enum quarry_status log_segment_sync(struct log_segment *segment, uint64_t end,
                                    struct quarry_error *error);

/* Nothing more is appended: what was preallocated is cut off. Threads: as appending. */
void log_segment_finish(struct log_segment *segment);

/* QUARRY_OK, or why it is broken. Any thread. */
enum quarry_status log_segment_status(struct log_segment *segment, struct quarry_error *error);
/* Where it ends. Any thread. */
uint64_t log_segment_end(const struct log_segment *segment);
/* Syncs that were made, and waits that shared in one. Any thread. */
void log_segment_read_counts(const struct log_segment *segment, uint64_t *ret_sync_count,
                             uint64_t *ret_shared_count);

/* Closes the file. `segment`: given, nobody waits; NULL does nothing. */
void log_segment_destroy(struct log_segment *segment);

#endif
