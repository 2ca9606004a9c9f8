/*
 * Heap maps in files. A file may be a pipe, so its length is found by reading it to the end.
 */
#include <cli/map_file.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sixteen times the largest snapshot that a page heap can write. */
#define FILE_BYTES_MAX  ((size_t)Q_GIB(1))
#define FILE_BYTES_STEP ((size_t)Q_KIB(256))

/* Reads to the end, making room as it goes. On failure `*bytes` is still to be freed. */
static enum quarry_status read_all(FILE *file, const char *name, uint8_t **bytes, size_t *count,
                                   struct quarry_error *error)
{
    size_t capacity = 0;

    while (!feof(file)) {
        if (*count == capacity) {
            capacity = capacity == 0 ? FILE_BYTES_STEP : capacity * 2;
            uint8_t *larger = realloc(*bytes, capacity);
            if (larger == NULL) {
                return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for %zu bytes", name,
                                 capacity);
            }
            *bytes = larger;
        }
        *count += fread(*bytes + *count, 1, capacity - *count, file);
        if (ferror(file)) {
            return error_set_os(error, QUARRY_IO, errno, "%s", name);
        }
        if (*count > FILE_BYTES_MAX) {
            return error_set(error, QUARRY_TOO_LARGE, "%s: longer than any heap map", name);
        }
    }
    return QUARRY_OK;
}

enum quarry_status map_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_byte_count,
                                 struct quarry_error *error)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "stdin" : path;
    FILE *file = is_stdin ? stdin : fopen(path, "rbe");
    uint8_t *bytes = NULL;
    size_t count = 0;

    if (file == NULL) {
        enum quarry_status status = errno == ENOENT ? QUARRY_NOT_FOUND : QUARRY_IO;
        return error_set_os(error, status, errno, "%s", name);
    }
    enum quarry_status status = read_all(file, name, &bytes, &count, error);
    if (!is_stdin) {
        (void)fclose(file);
    }
    if (status != QUARRY_OK) {
        free(bytes);
        return status;
    }
    *ret_bytes = bytes;
    *ret_byte_count = count;
    return QUARRY_OK;
}

enum quarry_status map_file_write(const char *path, const void *bytes, size_t byte_count,
                                  struct quarry_error *error)
{
    FILE *file = fopen(path, "wbe");

    if (file == NULL) {
        return error_set_os(error, QUARRY_IO, errno, "%s", path);
    }
    bool is_written = fwrite(bytes, 1, byte_count, file) == byte_count;
    int write_errno = errno;
    if (fclose(file) != 0 && is_written) {
        is_written = false;
        write_errno = errno;
    }
    return is_written ? QUARRY_OK : error_set_os(error, QUARRY_IO, write_errno, "%s", path);
}
