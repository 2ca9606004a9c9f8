/*
 * How long the windows of a directory are, for who opens one that somebody else has made.
 */
#ifndef QUARRY_TSDB_DIRECTORY_LENGTH_H
#define QUARRY_TSDB_DIRECTORY_LENGTH_H

#include <tsdb/memory.h>

struct quarry_vfs;

/*
 * Reads it from the newest sealed window's file.
 *
 * Errors: QUARRY_NOT_FOUND: no window was sealed yet; QUARRY_CORRUPT, QUARRY_UNSUPPORTED,
 * QUARRY_NO_MEMORY, those of <quarry/vfs.h>. Cost: a listing, and the head of a file.
 */
enum quarry_status tsdb_directory_length(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, int64_t *ret_window_ms,
                                         struct quarry_error *error);

#endif
