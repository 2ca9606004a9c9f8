/*
 * From errno to status and text.
 *
 * Two tables, because the same number means two things. ENOTDIR of an open is a path that leads
 * nowhere; of a write it cannot be. EROFS of an open is a file system that was mounted so, which a
 * person changes; of a sync it is one that the kernel took away under us after an error, which is
 * QUARRY_IO like the error itself.
 *
 * Invariants:
 *   1. A caller that looks only at the status can act: NOT_FOUND and EXISTS decide protocols,
 *      NO_SPACE and TOO_MANY are waited for, UNSUPPORTED has another way, IO poisons a store.
 *   2. What is not known is IO for a file and IO for a name: never a status that is retried.
 *   3. The text has the operation, the end of the path, and the reason, whatever the path's length.
 *
 * Locking: none. Cost: one vsnprintf; nothing allocated.
 */
#include <vfs/failure.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

const char *vfs_tail_of(const char *path)
{
    size_t byte_count = strlen(path);
    if (byte_count < VFS_TAIL_BYTES) {
        return path;
    }
    const char *tail = path + byte_count - (VFS_TAIL_BYTES - 1);
    while (((unsigned char)*tail & 0xc0) == 0x80) { /* within a character */
        tail++;
    }
    return tail;
}

enum quarry_status vfs_status_of_file(int os_errno)
{
    Q_ASSERT(os_errno > 0);
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
        return QUARRY_NO_SPACE;
    case EFBIG:
    case EOVERFLOW:
        return QUARRY_TOO_LARGE;
    case EOPNOTSUPP:
    case ENOSYS:
    case ENODEV: /* a file that cannot be mapped */
        return QUARRY_UNSUPPORTED;
    case ENOMEM:
    case EAGAIN:
        return QUARRY_NO_MEMORY;
    default:
        return QUARRY_IO;
    }
}

enum quarry_status vfs_status_of_name(int os_errno)
{
    Q_ASSERT(os_errno > 0);
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        return QUARRY_NOT_FOUND;
    case EEXIST:
        return QUARRY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return QUARRY_PERMISSION;
    case EMFILE:
    case ENFILE:
        return QUARRY_TOO_MANY;
    case ENAMETOOLONG:
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case ENXIO:
        return QUARRY_BAD_INPUT;
    case ENOTEMPTY:
    case EBUSY:
    case ETXTBSY:
        return QUARRY_BUSY;
    case EXDEV:
    case EMLINK:
        return QUARRY_UNSUPPORTED;
    default:
        return vfs_status_of_file(os_errno);
    }
}

static const char *cut_mark(const char *path)
{
    return vfs_tail_of(path) == path ? "" : "...";
}

enum quarry_status vfs_failed_name_as(struct quarry_error *error, enum quarry_status status,
                                      int os_errno, const char *operation, const char *path)
{
    return error_set_os(error, status, os_errno, "%s '%s%s'", operation, cut_mark(path),
                        vfs_tail_of(path));
}

enum quarry_status vfs_failed_name(struct quarry_error *error, int os_errno, const char *operation,
                                   const char *path)
{
    return vfs_failed_name_as(error, vfs_status_of_name(os_errno), os_errno, operation, path);
}

enum quarry_status vfs_failed_file(struct quarry_error *error, int os_errno, const char *operation,
                                   const char *path)
{
    return vfs_failed_name_as(error, vfs_status_of_file(os_errno), os_errno, operation, path);
}

enum quarry_status vfs_failed_range(struct quarry_error *error, int os_errno, const char *operation,
                                    const char *path, uint64_t offset, uint64_t byte_count)
{
    return error_set_os(error, vfs_status_of_file(os_errno), os_errno,
                        "%s '%s%s', %" PRIu64 " bytes at %" PRIu64, operation, cut_mark(path),
                        vfs_tail_of(path), byte_count, offset);
}
