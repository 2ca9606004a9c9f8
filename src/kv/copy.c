/*
 * Whole files and directories.
 *
 * Bytes pass through a piece of the stack, and names through a table of the smallest ones that come
 * after a given name: a directory of n names is listed n / 32 times. So a backup can be restored
 * and pruned by a program that has no memory to give, and a directory that grows or shrinks while
 * it is gone through gives each name that was there throughout once.
 *
 * Nothing is done from within a listing but looking at the names: a file system may hold a lock
 * there.
 *
 * Locking: none. Cost: as said; copying some 1 GB/s from the page cache.
 */
#include <kv/copy.h>

#include <stdio.h>
#include <string.h>

/* On the stack. Doubling it saves half of the calls, which are few beside the copying. */
#define COPY_BYTES 16384u

/* ---- paths ---------------------------------------------------------------------------------- */

enum quarry_status kv_path_join(const char *directory, const char *name, struct kv_path *ret_path,
                                struct quarry_error *error)
{
    size_t directory_length = strlen(directory), name_length = strlen(name);

    if (directory_length + name_length + 2 > sizeof(ret_path->text)) {
        return error_set(error, QUARRY_TOO_LARGE, "path of '%.64s': %zu bytes, at most %zu", name,
                         directory_length + name_length + 1, sizeof(ret_path->text) - 1);
    }
    memcpy(ret_path->text, directory, directory_length);
    ret_path->text[directory_length] = '/';
    memcpy(ret_path->text + directory_length + 1, name, name_length + 1);
    return QUARRY_OK;
}

enum quarry_status kv_path_parent(const char *path, struct kv_path *ret_parent,
                                  struct quarry_error *error)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    while (length > 0 && path[length - 1] != '/') {
        length--;
    }
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    if (length >= sizeof(ret_parent->text)) {
        return error_set(error, QUARRY_TOO_LARGE, "path of %zu bytes, at most %zu", length,
                         sizeof(ret_parent->text) - 1);
    }
    memcpy(ret_parent->text, length == 0 ? "." : path, length == 0 ? 1 : length);
    ret_parent->text[length == 0 ? 1 : length] = '\0';
    return QUARRY_OK;
}

bool kv_path_exists(struct quarry_vfs *vfs, const char *path)
{
    uint64_t byte_count;
    bool is_directory;

    return quarry_vfs_stat(vfs, path, &byte_count, &is_directory, NULL) == QUARRY_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Reads all of a file, and writes it to another; `to` NULL: nowhere. */
static enum quarry_status pump(struct quarry_vfs_file *from, struct quarry_vfs_file *to,
                               struct kv_file_sum *sum, struct quarry_error *error)
{
    char bytes[COPY_BYTES];
    size_t count = sizeof(bytes);

    *sum = (struct kv_file_sum){0};
    while (count == sizeof(bytes)) {
        enum quarry_status status =
            quarry_vfs_read(from, sum->byte_count, bytes, sizeof(bytes), &count, error);
        if (status == QUARRY_OK && to != NULL && count != 0) {
            status = quarry_vfs_write(to, sum->byte_count, bytes, count, error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
        sum->crc = crc32c_extend(sum->crc, bytes, count);
        sum->byte_count += count;
    }
    return QUARRY_OK;
}

enum quarry_status kv_file_sum_of(struct quarry_vfs *vfs, const char *path,
                                  struct kv_file_sum *ret_sum, struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_file_sum sum;
    enum quarry_status status = quarry_vfs_open(vfs, path, QUARRY_VFS_READ, &file, error);

    if (status == QUARRY_OK) {
        quarry_vfs_advise(file, 0, 0, QUARRY_VFS_SEQUENTIAL);
        status = pump(file, NULL, &sum, error);
    }
    quarry_vfs_close(file);
    if (status == QUARRY_OK) {
        *ret_sum = sum;
    }
    return status;
}

static enum quarry_status copy_into(struct quarry_vfs *vfs, struct quarry_vfs_file *from,
                                    const char *to, struct kv_file_sum *sum,
                                    struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(
        vfs, to, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE, &file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = pump(from, file, sum, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(file, error);
    }
    quarry_vfs_close(file);
    if (status != QUARRY_OK) {
        (void)quarry_vfs_remove(vfs, to, NULL);
    }
    return status;
}

enum quarry_status kv_file_copy(struct quarry_vfs *vfs, const char *from, const char *to,
                                struct kv_file_sum *ret_sum, struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_file_sum sum = {0};
    enum quarry_status status = quarry_vfs_open(vfs, from, QUARRY_VFS_READ, &file, error);

    if (status == QUARRY_OK) {
        quarry_vfs_advise(file, 0, 0, QUARRY_VFS_SEQUENTIAL);
        status = copy_into(vfs, file, to, &sum, error);
    }
    quarry_vfs_close(file);
    if (status == QUARRY_OK && ret_sum != NULL) {
        *ret_sum = sum;
    }
    return status;
}

enum quarry_status kv_file_share(struct quarry_vfs *vfs, const char *from, const char *to,
                                 struct quarry_error *error)
{
    enum quarry_status status = quarry_vfs_link(vfs, from, to, error);

    return status == QUARRY_UNSUPPORTED ? kv_file_copy(vfs, from, to, NULL, error) : status;
}

enum quarry_status kv_file_sync(struct quarry_vfs *vfs, const char *path,
                                struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(vfs, path, QUARRY_VFS_READ, &file, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(file, error);
    }
    quarry_vfs_close(file);
    return status;
}

/* ---- directories ---------------------------------------------------------------------------- */

enum quarry_status kv_directory_make(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_error *error)
{
    struct quarry_error ignored;
    enum quarry_status status =
        quarry_vfs_make_directory(vfs, path, error != NULL ? error : &ignored);

    return status == QUARRY_EXISTS ? QUARRY_OK : status;
}

enum quarry_status kv_directory_sync_parent(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error)
{
    struct kv_path parent;
    enum quarry_status status = kv_path_parent(path, &parent, error);

    return status != QUARRY_OK ? status : quarry_vfs_sync_directory(vfs, parent.text, error);
}

void kv_directory_remove(struct quarry_vfs *vfs, const char *path)
{
    char after[QUARRY_VFS_NAME_BYTES_MAX] = "";
    struct kv_names names;
    struct kv_path file;

    while (kv_names_read(vfs, path, after, &names, NULL) == QUARRY_OK && names.count != 0) {
        for (size_t i = 0; i < names.count; i++) {
            if (kv_path_join(path, names.name[i], &file, NULL) == QUARRY_OK) {
                (void)quarry_vfs_remove(vfs, file.text, NULL);
            }
        }
        memcpy(after, names.name[names.count - 1], sizeof(after));
    }
    (void)quarry_vfs_remove_directory(vfs, path, NULL);
}

/* ---- names ---------------------------------------------------------------------------------- */

struct names_wanted {
    struct kv_names *names;
    const char *after;
};

/* Puts a name into its place among the smallest seen so far. */
static bool keep_name(void *argument, const char *name)
{
    const struct names_wanted *wanted = argument;
    struct kv_names *names = wanted->names;
    size_t at = names->count;

    if (strcmp(name, wanted->after) <= 0 || strlen(name) >= sizeof(names->name[0])) {
        return true;
    }
    while (at > 0 && strcmp(names->name[at - 1], name) > 0) {
        at--;
    }
    if (at == KV_NAMES_MAX) {
        return true;
    }
    size_t moved = (names->count < KV_NAMES_MAX ? names->count : KV_NAMES_MAX - 1) - at;
    memmove(names->name[at + 1 < KV_NAMES_MAX ? at + 1 : at], names->name[at],
            moved * sizeof(names->name[0]));
    (void)snprintf(names->name[at], sizeof(names->name[at]), "%s", name);
    names->count = names->count < KV_NAMES_MAX ? names->count + 1 : KV_NAMES_MAX;
    return true;
}

enum quarry_status kv_names_read(struct quarry_vfs *vfs, const char *directory, const char *after,
                                 struct kv_names *ret_names, struct quarry_error *error)
{
    struct names_wanted wanted = {.names = ret_names, .after = after};

    ret_names->count = 0;
    return quarry_vfs_list(vfs, directory, keep_name, &wanted, error);
}
