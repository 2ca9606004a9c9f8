/*
 * The file of a profile: protobuf, packed at once, gzipped.
 */
#include <cli/profile_build.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define GZIP_MODE "wb6"

static enum quarry_status write_failure(const char *path, gzFile file, struct quarry_error *error)
{
    int number = errno;
    int code = Z_OK;
    const char *text = file != NULL ? gzerror(file, &code) : "";

    if (file == NULL || code == Z_ERRNO) {
        return error_set_os(error, QUARRY_IO, number, "%s", path);
    }
    return error_set(error, QUARRY_IO, "%s: %s", path, text);
}

static enum quarry_status write_gzip(const char *path, const uint8_t *bytes, size_t byte_count,
                                     struct quarry_error *error)
{
    bool is_stdout = strcmp(path, "-") == 0;
    gzFile file = is_stdout ? gzdopen(dup(STDOUT_FILENO), GZIP_MODE) : gzopen(path, GZIP_MODE "e");
    enum quarry_status status = QUARRY_OK;

    if (file == NULL) {
        return write_failure(path, NULL, error);
    }
    for (size_t done = 0; done < byte_count && status == QUARRY_OK;) {
        unsigned part = (unsigned)size_min(byte_count - done, (size_t)Q_MIB(64));
        if (gzwrite(file, bytes + done, part) != (int)part) {
            status = write_failure(path, file, error);
        }
        done += part;
    }
    if (gzclose(file) != Z_OK && status == QUARRY_OK) {
        status = error_set_os(error, QUARRY_IO, errno, "%s", path);
    }
    return status;
}

enum quarry_status profile_save(const char *path, const Quarry__Pprof__Profile *profile,
                                struct quarry_error *error)
{
    size_t byte_count = quarry__pprof__profile__get_packed_size(profile);
    uint8_t *bytes = malloc(size_max(byte_count, 1));

    if (bytes == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a profile of %zu bytes", path,
                         byte_count);
    }
    size_t packed = quarry__pprof__profile__pack(profile, bytes);
    Q_ASSERT(packed == byte_count);
    enum quarry_status status = write_gzip(path, bytes, byte_count, error);
    free(bytes);
    return status;
}
