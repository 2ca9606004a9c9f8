/*
 * Names of the machine's files: removing, renaming, linking, directories.
 *
 * Invariants (those of posix.c, and):
 *   1. A directory is listed through a buffer on the stack, so that listing needs no memory; the
 *      visitor may open, remove and rename files of it meanwhile.
 *   2. A directory whose names cannot be synced is an error, never taken as done: what a store
 *      promises of its files is worth nothing without their names.
 *
 * Locking: none. Cost: one system call each; sync_directory and list open the directory first.
 */
#include <vfs/posix.h>

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Of names at a time: some hundred of a store's. Doubling it saves few calls and takes stack. */
#define LIST_BYTES 4096u

static bool visit_batch(const char *batch, size_t byte_count, quarry_vfs_visit_function *visit,
                        void *argument);

enum quarry_status vfs_posix_remove(struct quarry_vfs *vfs, const char *path,
                                    struct quarry_error *error)
{
    (void)vfs;
    long result = os_kernel_retry(SYS_unlinkat, AT_FDCWD, path, 0);
    return result == 0 ? QUARRY_OK : vfs_failed_name(error, (int)-result, "remove", path);
}

enum quarry_status vfs_posix_rename(struct quarry_vfs *vfs, const char *from, const char *to,
                                    struct quarry_error *error)
{
    (void)vfs;
    long result = os_kernel_retry(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    return result == 0 ? QUARRY_OK : vfs_failed_name(error, (int)-result, "rename", from);
}

enum quarry_status vfs_posix_link(struct quarry_vfs *vfs, const char *from, const char *to,
                                  struct quarry_error *error)
{
    (void)vfs;
    long result = os_kernel_retry(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (result == 0) {
        return QUARRY_OK;
    }
    if (result == -EPERM) { /* a file system without links, or a rule against this one */
        return vfs_failed_name_as(error, QUARRY_UNSUPPORTED, EPERM, "link", to);
    }
    return vfs_failed_name(error, (int)-result, "link", to);
}

enum quarry_status vfs_posix_make_directory(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error)
{
    (void)vfs;
    long result = os_kernel_retry(SYS_mkdirat, AT_FDCWD, path, 0700);
    return result == 0 ? QUARRY_OK : vfs_failed_name(error, (int)-result, "make_directory", path);
}

enum quarry_status vfs_posix_remove_directory(struct quarry_vfs *vfs, const char *path,
                                              struct quarry_error *error)
{
    (void)vfs;
    long result = os_kernel_retry(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    return result == 0 ? QUARRY_OK : vfs_failed_name(error, (int)-result, "remove_directory", path);
}

enum quarry_status vfs_posix_sync_directory(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error)
{
    (void)vfs;
    int fd = vfs_posix_open_fd(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return vfs_failed_name(error, -fd, "sync_directory", path);
    }
    long result = os_kernel_retry(SYS_fsync, fd);
    vfs_posix_close_fd(fd);
    return result == 0 ? QUARRY_OK : vfs_failed_file(error, (int)-result, "sync_directory", path);
}

enum quarry_status vfs_posix_list(struct quarry_vfs *vfs, const char *path,
                                  quarry_vfs_visit_function *visit, void *argument,
                                  struct quarry_error *error)
{
    (void)vfs;
    char batch[LIST_BYTES] Q_ALIGNED(8);
    int fd = vfs_posix_open_fd(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        return vfs_failed_name(error, -fd, "list", path);
    }
    long result;
    do {
        result = os_kernel_retry(SYS_getdents64, fd, batch, sizeof batch);
    } while (result > 0 && visit_batch(batch, (size_t)result, visit, argument));
    vfs_posix_close_fd(fd);
    return result < 0 ? vfs_failed_name(error, (int)-result, "list", path) : QUARRY_OK;
}

/* Returns: whether the visitor wants more. */
static bool visit_batch(const char *batch, size_t byte_count, quarry_vfs_visit_function *visit,
                        void *argument)
{
    for (size_t at = 0; at < byte_count;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(batch + at);
        Q_ASSERT(entry->d_reclen > 0 && entry->d_reclen <= byte_count - at);
        const char *name = entry->d_name;
        at += entry->d_reclen;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !visit(argument, name)) {
            return false;
        }
    }
    return true;
}

enum quarry_status vfs_posix_stat(struct quarry_vfs *vfs, const char *path,
                                  uint64_t *ret_byte_count, bool *ret_is_directory,
                                  struct quarry_error *error)
{
    (void)vfs;
    struct stat facts = {0};
    long result = os_kernel_retry(SYS_newfstatat, AT_FDCWD, path, &facts, 0);
    if (result != 0) {
        return vfs_failed_name(error, (int)-result, "stat", path);
    }
    *ret_byte_count = (uint64_t)facts.st_size;
    *ret_is_directory = S_ISDIR(facts.st_mode);
    return QUARRY_OK;
}

enum quarry_status vfs_posix_free_space(struct quarry_vfs *vfs, const char *path,
                                        uint64_t *ret_byte_count, struct quarry_error *error)
{
    (void)vfs;
    struct statfs facts = {0};
    long result = os_kernel_retry(SYS_statfs, path, &facts);
    if (result != 0) {
        return vfs_failed_name(error, (int)-result, "free_space", path);
    }
    /* Blocks are counted in fragments; f_bavail leaves out what is kept for root. */
    *ret_byte_count = sat_mul_u64((uint64_t)facts.f_bavail, (uint64_t)facts.f_frsize);
    return QUARRY_OK;
}
