/*
 * Files of the machine: bytes at offsets.
 *
 * Invariants (those of posix.c, and):
 *   1. An offset and a length that the kernel could not count are refused before it is asked:
 *      a read there is past every end, a write is QUARRY_TOO_LARGE.
 *   2. What needs a file opened for writing asserts that it was.
 *   3. Opening never blocks, whatever the path names: O_NONBLOCK, which a regular file ignores.
 *
 * Locking: none. Cost: one system call each; opening two or three.
 */
#include <vfs/posix.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int flags_of_mode(uint32_t mode);
static enum quarry_status check_is_file(int fd, const char *path, struct quarry_error *error);
static void fill_file(struct vfs_posix_file *file, struct quarry_vfs *vfs, const char *path,
                      uint32_t mode, int fd);

static struct vfs_posix_file *posix_file(struct quarry_vfs_file *file)
{
    Q_ASSERT(file->vfs == quarry_vfs_posix());
    return (struct vfs_posix_file *)file;
}

/* Those that change the file. */
static struct vfs_posix_file *writable_file(struct quarry_vfs_file *base)
{
    struct vfs_posix_file *file = posix_file(base);
    Q_ASSERT(file->is_writable);
    return file;
}

/* ---- opening and closing ---- */

enum quarry_status vfs_posix_open(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                                  struct quarry_vfs_file **ret_file, struct quarry_error *error)
{
    void *slot = NULL;
    enum quarry_status status = vfs_slot_take(&slot);
    if (status != QUARRY_OK) {
        return error_set(error, status, "open '%s': no room for one more open file, of %u",
                         vfs_tail_of(path), VFS_SLOTS_MAX);
    }
    int fd = vfs_posix_open_fd(path, flags_of_mode(mode));
    if (fd < 0) {
        status = vfs_failed_name(error, -fd, "open", path);
        goto give_slot;
    }
    status = check_is_file(fd, path, error);
    if (status != QUARRY_OK) {
        goto close_fd;
    }
    fill_file(slot, vfs, path, mode, fd);
    *ret_file = slot;
    return QUARRY_OK;

close_fd:
    vfs_posix_close_fd(fd);
give_slot:
    vfs_slot_give(slot);
    return status;
}

void vfs_posix_close(struct quarry_vfs_file *base)
{
    struct vfs_posix_file *file = posix_file(base);
    vfs_posix_close_fd(file->fd);
    file->file.vfs = NULL; /* whoever uses it now fails posix_file's assertion */
    vfs_slot_give(file);
}

static int flags_of_mode(uint32_t mode)
{
    bool is_writable = (mode & QUARRY_VFS_WRITE) != 0;
    Q_ASSERT(is_writable || mode == QUARRY_VFS_READ);
    Q_ASSERT((mode & QUARRY_VFS_EXCLUSIVE) == 0 || (mode & QUARRY_VFS_CREATE) != 0);
    int flags = is_writable ? O_RDWR : O_RDONLY;
    flags |= (mode & QUARRY_VFS_CREATE) != 0 ? O_CREAT : 0;
    flags |= (mode & QUARRY_VFS_EXCLUSIVE) != 0 ? O_EXCL : 0;
    flags |= (mode & QUARRY_VFS_TRUNCATE) != 0 ? O_TRUNC : 0;
    return flags;
}

int vfs_posix_open_fd(const char *path, int flags)
{
    int all_flags = flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    long fd = os_kernel_retry(SYS_openat, AT_FDCWD, path, all_flags, 0600);
    if (fd < 0 || fd > 2) {
        return (int)fd;
    }
    /* A program that closed stdin, stdout or stderr. */
    long above = os_kernel_retry(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3);
    vfs_posix_close_fd((int)fd);
    return (int)above;
}

static enum quarry_status check_is_file(int fd, const char *path, struct quarry_error *error)
{
    struct stat facts = {0};
    long result = os_kernel(SYS_fstat, fd, &facts);
    if (result != 0) {
        return vfs_failed_name(error, (int)-result, "open", path);
    }
    if (S_ISDIR(facts.st_mode)) {
        return vfs_failed_name(error, EISDIR, "open", path);
    }
    if (!S_ISREG(facts.st_mode)) {
        return error_set(error, QUARRY_BAD_INPUT, "open '%s': not a regular file",
                         vfs_tail_of(path));
    }
    return QUARRY_OK;
}

static void fill_file(struct vfs_posix_file *file, struct quarry_vfs *vfs, const char *path,
                      uint32_t mode, int fd)
{
    file->file.vfs = vfs;
    file->fd = fd;
    file->is_writable = (mode & QUARRY_VFS_WRITE) != 0;
    const char *tail = vfs_tail_of(path);
    memcpy(file->path, tail, strlen(tail) + 1);
}

/* ---- bytes ---- */

enum quarry_status vfs_posix_read(struct quarry_vfs_file *base, uint64_t offset, void *buffer,
                                  size_t byte_count, size_t *ret_byte_count,
                                  struct quarry_error *error)
{
    struct vfs_posix_file *file = posix_file(base);
    size_t done = 0;
    while (done < byte_count && vfs_posix_fits(offset, byte_count)) {
        long result = os_kernel_retry(SYS_pread64, file->fd, (char *)buffer + done,
                                      byte_count - done, offset + done);
        if (result < 0) {
            return vfs_failed_range(error, (int)-result, "read", file->path, offset + done,
                                    byte_count - done);
        }
        if (result == 0) { /* the end */
            break;
        }
        done += (size_t)result;
    }
    *ret_byte_count = done;
    return QUARRY_OK;
}

enum quarry_status vfs_posix_write(struct quarry_vfs_file *base, uint64_t offset, const void *bytes,
                                   size_t byte_count, struct quarry_error *error)
{
    struct vfs_posix_file *file = writable_file(base);
    if (!vfs_posix_fits(offset, byte_count)) {
        return vfs_failed_range(error, EFBIG, "write", file->path, offset, byte_count);
    }
    for (size_t done = 0; done < byte_count;) {
        long result = os_kernel_retry(SYS_pwrite64, file->fd, (const char *)bytes + done,
                                      byte_count - done, offset + done);
        if (result <= 0) {
            return vfs_failed_range(error, result == 0 ? EIO : (int)-result, "write", file->path,
                                    offset + done, byte_count - done);
        }
        done += (size_t)result;
    }
    return QUARRY_OK;
}

/* ---- durability ---- */

enum quarry_status vfs_posix_sync(struct quarry_vfs_file *base, struct quarry_error *error)
{
    struct vfs_posix_file *file = posix_file(base);
    long result = os_kernel_retry(SYS_fdatasync, file->fd);
    if (result != 0) {
        return vfs_failed_file(error, (int)-result, "sync", file->path);
    }
    return QUARRY_OK;
}

/* Where the kernel or the file system has no such call there is nothing to begin early. */
enum quarry_status vfs_posix_start_sync(struct quarry_vfs_file *base, uint64_t offset,
                                        uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_posix_file *file = posix_file(base);
    if (!vfs_posix_fits(offset, byte_count)) {
        return QUARRY_OK; /* no byte is there */
    }
    long result =
        os_kernel_retry(SYS_sync_file_range, file->fd, offset, byte_count, SYNC_FILE_RANGE_WRITE);
    if (result == 0 || result == -ENOSYS || result == -EINVAL || result == -EOPNOTSUPP) {
        return QUARRY_OK;
    }
    return vfs_failed_range(error, (int)-result, "start_sync", file->path, offset, byte_count);
}

/* ---- size and blocks ---- */

enum quarry_status vfs_posix_preallocate(struct quarry_vfs_file *base, uint64_t offset,
                                         uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_posix_file *file = writable_file(base);
    if (byte_count == 0) {
        return QUARRY_OK;
    }
    if (!vfs_posix_fits(offset, byte_count)) {
        return vfs_failed_range(error, EFBIG, "preallocate", file->path, offset, byte_count);
    }
    long result = os_kernel_allocate(file->fd, 0, offset, byte_count);
    if (result != 0) {
        return vfs_failed_range(error, (int)-result, "preallocate", file->path, offset, byte_count);
    }
    return QUARRY_OK;
}

enum quarry_status vfs_posix_truncate(struct quarry_vfs_file *base, uint64_t byte_count,
                                      struct quarry_error *error)
{
    struct vfs_posix_file *file = writable_file(base);
    if (!vfs_posix_fits(0, byte_count)) {
        return vfs_failed_range(error, EFBIG, "truncate", file->path, byte_count, 0);
    }
    long result = os_kernel_retry(SYS_ftruncate, file->fd, byte_count);
    if (result == -EINVAL) { /* above the file system's largest file */
        result = -EFBIG;
    }
    if (result != 0) {
        return vfs_failed_range(error, (int)-result, "truncate", file->path, byte_count, 0);
    }
    return QUARRY_OK;
}

enum quarry_status vfs_posix_size(struct quarry_vfs_file *base, uint64_t *ret_byte_count,
                                  struct quarry_error *error)
{
    struct vfs_posix_file *file = posix_file(base);
    struct stat facts = {0};
    long result = os_kernel(SYS_fstat, file->fd, &facts);
    if (result != 0) {
        return vfs_failed_file(error, (int)-result, "size", file->path);
    }
    *ret_byte_count = (uint64_t)facts.st_size;
    return QUARRY_OK;
}

/* ---- mapping and advice ---- */

enum quarry_status vfs_posix_map(struct quarry_vfs_file *base, uint64_t offset, size_t byte_count,
                                 void **ret_base, struct quarry_error *error)
{
    struct vfs_posix_file *file = writable_file(base);
    Q_ASSERT(byte_count > 0 && ((offset | byte_count) & (Q_KIB(4) - 1)) == 0);
    if (!vfs_posix_fits(offset, byte_count)) {
        return vfs_failed_range(error, EFBIG, "map", file->path, offset, byte_count);
    }
    long result =
        os_kernel(SYS_mmap, NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, offset);
    if (result < 0 && result > -4096) {
        return vfs_failed_range(error, (int)-result, "map", file->path, offset, byte_count);
    }
    *ret_base = (void *)result;
    return QUARRY_OK;
}

void vfs_posix_unmap(struct quarry_vfs_file *base, void *mapped, size_t byte_count)
{
    (void)posix_file(base);
    long result = os_kernel(SYS_munmap, mapped, byte_count);
    /* A whole mapping always goes: no piece of it is left over to count. */
    Q_ASSERT(result == 0);
}

void vfs_posix_advise(struct quarry_vfs_file *base, uint64_t offset, uint64_t byte_count,
                      enum quarry_vfs_advice advice)
{
    static const int advices[] = {
        [QUARRY_VFS_SEQUENTIAL] = POSIX_FADV_SEQUENTIAL,
        [QUARRY_VFS_WILL_READ] = POSIX_FADV_WILLNEED,
        [QUARRY_VFS_DROP] = POSIX_FADV_DONTNEED,
    };
    struct vfs_posix_file *file = posix_file(base);
    Q_ASSERT((unsigned)advice < sizeof advices / sizeof advices[0]);
    if (vfs_posix_fits(offset, byte_count)) {
        (void)os_kernel(SYS_fadvise64, file->fd, offset, byte_count, advices[advice]);
    }
}
