/*
 * Heap maps in files.
 */
#ifndef QUARRY_CLI_MAP_FILE_H
#define QUARRY_CLI_MAP_FILE_H

#include <base/base.h>

/*
 * Reads all of `path`, or of stdin for "-". `ret_bytes`: own, to be freed.
 * Errors: NOT_FOUND, PERMISSION, IO, TOO_LARGE, NO_MEMORY; the text names the file.
 */
enum quarry_status map_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_byte_count,
                                 struct quarry_error *error);

/* Creates or replaces `path`. Errors: IO; the text names the file. */
enum quarry_status map_file_write(const char *path, const void *bytes, size_t byte_count,
                                  struct quarry_error *error);

#endif
