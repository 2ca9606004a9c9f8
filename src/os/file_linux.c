/*
 * Files that back memory: cache slabs that outlive a restart, and what is written beside them.
 *
 * A file is a sparse array of blocks. It is mapped shared over a reservation, so that a store's
 * memory and its file are the same pages:
 *
 *   reservation   |  reserved  |======= mapped =======|  reserved  |
 *                              |                      |
 *   file          0 ...........[ data | hole | data   ]........... size
 *
 * Invariants:
 *   1. One opener: an exclusive flock is held from open to close. flock belongs to the open file,
 *      so a second open in the same process is refused as well. A POSIX record lock would not do
 *      that, and would be lost at the close of any other descriptor of the file.
 *   2. The last part of the path is never a symbolic link, and the file is a regular one: a
 *      directory that somebody else can write must not lead us into a file of theirs.
 *   3. The descriptor is closed on exec. Its position means nothing: reads and writes name their
 *      offset.
 *
 * Every call that a signal may interrupt is made again. close(2) is not: Linux has let go of the
 * descriptor by then, and a second close could hit somebody else's.
 *
 * Locking: none here. Cost: one system call each, next_data two.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <linux/falloc.h>

#include <os/kernel.h>
#include <os/real.h>

static enum quarry_status status_of_file_error(long error);
static enum quarry_status status_of_open_error(long error);
static enum quarry_status status_of_map_error(long error);
static enum quarry_status claim_file(int fd);
static enum quarry_status allocate(const struct os_file *file, int mode, uint64_t offset,
                                   uint64_t bytes);
static bool fits_offset(uint64_t offset, uint64_t bytes);

enum quarry_status os_linux_file_open(struct os *os, const char *path, struct os_file *ret_file)
{
    (void)os;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    long opened = os_kernel_retry(SYS_openat, AT_FDCWD, path, flags, 0600);
    if (opened < 0)
        return status_of_open_error(opened);
    enum quarry_status status = claim_file((int)opened);
    if (status != QUARRY_OK) {
        (void)os_kernel(SYS_close, opened);
        return status;
    }
    ret_file->fd = (int)opened;
    return QUARRY_OK;
}

void os_linux_file_close(struct os *os, struct os_file *file)
{
    (void)os;
    Q_ASSERT(file->fd >= 0);
    long result = os_kernel(SYS_close, file->fd);
    Q_ASSERT(result != -EBADF);
    file->fd = -1;
}

enum quarry_status os_linux_file_size(struct os *os, struct os_file *file, uint64_t *ret_bytes)
{
    (void)os;
    long end = os_kernel(SYS_lseek, file->fd, 0, SEEK_END);
    if (end < 0)
        return QUARRY_IO;
    *ret_bytes = (uint64_t)end;
    return QUARRY_OK;
}

enum quarry_status os_linux_file_resize(struct os *os, struct os_file *file, uint64_t bytes)
{
    (void)os;
    if (!fits_offset(0, bytes))
        return QUARRY_TOO_LARGE;
    long result = os_kernel_retry(SYS_ftruncate, file->fd, bytes);
    if (result == -EINVAL)
        return QUARRY_TOO_LARGE;
    return status_of_file_error(result);
}

enum quarry_status os_linux_file_map(struct os *os, struct os_file *file, uint64_t offset,
                                     void *base, size_t bytes)
{
    Q_ASSERT(bytes > 0 && ((bytes | offset | (uintptr_t)base) & (os->page_bytes - 1)) == 0);
    Q_ASSERT(base != NULL && file->fd >= 0);
    if (!fits_offset(offset, bytes))
        return QUARRY_IO;
    long result = os_kernel(SYS_mmap, base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                            file->fd, offset);
    return status_of_map_error(result);
}

enum quarry_status os_linux_file_preallocate(struct os *os, struct os_file *file, uint64_t offset,
                                             uint64_t bytes)
{
    (void)os;
    return allocate(file, 0, offset, bytes);
}

enum quarry_status os_linux_file_punch(struct os *os, struct os_file *file, uint64_t offset,
                                       uint64_t bytes)
{
    (void)os;
    return allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

/* Makes sure of a regular file that nobody else has: invariants 1 and 2. */
static enum quarry_status claim_file(int fd)
{
    struct stat facts = {0};
    if (os_kernel(SYS_fstat, fd, &facts) != 0)
        return QUARRY_IO;
    if (!S_ISREG(facts.st_mode))
        return QUARRY_PERMISSION;
    long result = os_kernel_retry(SYS_flock, fd, LOCK_EX | LOCK_NB);
    if (result == -EWOULDBLOCK)
        return QUARRY_BUSY;
    return result == 0 ? QUARRY_OK : QUARRY_IO;
}

static enum quarry_status allocate(const struct os_file *file, int mode, uint64_t offset,
                                   uint64_t bytes)
{
    Q_ASSERT(file->fd >= 0);
    if (bytes == 0)
        return QUARRY_OK;
    if (!fits_offset(offset, bytes))
        return QUARRY_TOO_LARGE;
    return status_of_file_error(os_kernel_allocate(file->fd, mode, offset, bytes));
}

enum quarry_status os_linux_file_next_data(struct os *os, struct os_file *file, uint64_t offset,
                                           uint64_t *ret_start, uint64_t *ret_end)
{
    (void)os;
    if (!fits_offset(offset, 0))
        return QUARRY_NOT_FOUND;
    long start = (long)offset;
    long end;
    do { /* again where a punch came between the two questions and left an empty range */
        start = os_kernel(SYS_lseek, file->fd, start, SEEK_DATA);
        if (start == -ENXIO)
            return QUARRY_NOT_FOUND;
        if (start < 0)
            return start == -EINVAL ? QUARRY_UNSUPPORTED : QUARRY_IO;
        end = os_kernel(SYS_lseek, file->fd, start, SEEK_HOLE);
        if (end < 0 && end != -ENXIO)
            return QUARRY_IO;
    } while (end <= start);
    *ret_start = (uint64_t)start;
    *ret_end = (uint64_t)end;
    return QUARRY_OK;
}

enum quarry_status os_linux_file_read(struct os *os, struct os_file *file, uint64_t offset,
                                      void *buffer, size_t bytes)
{
    (void)os;
    if (!fits_offset(offset, bytes))
        return QUARRY_CORRUPT;
    for (size_t done = 0; done < bytes;) {
        long result = os_kernel_retry(SYS_pread64, file->fd, (char *)buffer + done, bytes - done,
                                      offset + done);
        if (result < 0)
            return QUARRY_IO;
        if (result == 0)
            return QUARRY_CORRUPT; /* the file is shorter than its reader was told */
        done += (size_t)result;
    }
    return QUARRY_OK;
}

enum quarry_status os_linux_file_write(struct os *os, struct os_file *file, uint64_t offset,
                                       const void *buffer, size_t bytes)
{
    (void)os;
    if (!fits_offset(offset, bytes))
        return QUARRY_TOO_LARGE;
    for (size_t done = 0; done < bytes;) {
        long result = os_kernel_retry(SYS_pwrite64, file->fd, (const char *)buffer + done,
                                      bytes - done, offset + done);
        if (result < 0)
            return status_of_file_error(result);
        if (result == 0)
            return QUARRY_IO;
        done += (size_t)result;
    }
    return QUARRY_OK;
}

enum quarry_status os_linux_file_sync(struct os *os, void *base, size_t bytes)
{
    Q_ASSERT(((bytes | (uintptr_t)base) & (os->page_bytes - 1)) == 0);
    if (bytes == 0)
        return QUARRY_OK;
    long result = os_kernel_retry(SYS_msync, base, bytes, MS_SYNC);
    Q_ASSERT(result != -EINVAL && result != -ENOMEM); /* a range that is not mapped */
    return status_of_file_error(result);
}

/* The kernel's offsets are signed. */
static bool fits_offset(uint64_t offset, uint64_t bytes)
{
    return offset <= INT64_MAX && bytes <= INT64_MAX - offset;
}

/* `error` is 0 or a negative errno. */
static enum quarry_status status_of_file_error(long error)
{
    switch (-error) {
    case 0:
        return QUARRY_OK;
    case ENOSPC:
    case EDQUOT:
        return QUARRY_NO_SPACE;
    case EFBIG:
        return QUARRY_TOO_LARGE;
    case EOPNOTSUPP:
    case ENOSYS:
        return QUARRY_UNSUPPORTED;
    default:
        return QUARRY_IO;
    }
}

static enum quarry_status status_of_open_error(long error)
{
    switch (-error) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:  /* a symbolic link: invariant 2 */
    case EISDIR: /* not a regular file: invariant 2 */
    case ENXIO:
        return QUARRY_PERMISSION;
    case ENOENT:
    case ENOTDIR:
        return QUARRY_NOT_FOUND;
    case EMFILE:
    case ENFILE:
        return QUARRY_TOO_MANY;
    case EBUSY:
    case ETXTBSY:
        return QUARRY_BUSY;
    default:
        return status_of_file_error(error);
    }
}

static enum quarry_status status_of_map_error(long error)
{
    if (error >= 0)
        return QUARRY_OK;
    switch (-error) {
    case ENOMEM:
    case EAGAIN:
        return QUARRY_NO_MEMORY;
    case EACCES:
    case EPERM:
        return QUARRY_PERMISSION;
    default:
        return QUARRY_IO;
    }
}
