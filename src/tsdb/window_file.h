/*
 * Files of sealed windows: the sections of a window's shards, as they lie in memory.
 *
 * A window is written once, when all its shards are sealed; then its log may be dropped. Damage
 * costs the 64 KiB that it is in, and says of which section; the window says of which time.
 */
#ifndef QUARRY_TSDB_WINDOW_FILE_H
#define QUARRY_TSDB_WINDOW_FILE_H

#include <tsdb/section_file.h>

/* The place of a window's file. */
static inline struct tsdb_section_place tsdb_window_file_place(struct quarry_vfs *vfs,
                                                               const char *directory,
                                                               struct tsdb_memory *memory,
                                                               int64_t window)
{
    return (struct tsdb_section_place){.vfs = vfs,
                                       .directory = directory,
                                       .memory = memory,
                                       .name = {.kind = TSDB_FILE_WINDOW, .window = window}};
}

/*
 * Finds the window with a file that is the largest not above `to`: the newest come first, whose
 * samples are wanted first.
 *
 * Errors: QUARRY_NOT_FOUND: there is none; those of quarry_vfs_list. Cost: a listing.
 */
enum quarry_status tsdb_window_file_find(struct quarry_vfs *vfs, const char *directory, int64_t to,
                                         int64_t *ret_window, struct quarry_error *error);

#endif
