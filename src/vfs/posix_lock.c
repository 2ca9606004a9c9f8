/*
 * Locks between processes, and within this one.
 *
 * RocksDB and LevelDB keep others out of a directory by fcntl's write lock on all of its file LOCK.
 * So must we, to be refused by them and to refuse them. Such a lock has two faults: a process never
 * conflicts with itself, and closing any descriptor of the file lets it go. Hence the list:
 *
 *     held -> { device, inode, fd } -> { device, inode, fd } -> NULL
 *
 * Invariants:
 *   1. A file is in the list once, and then its descriptor is open and the kernel's lock taken.
 *   2. A file that is in the list is not opened to take its lock again: it is found by stat, so
 *      that there is no second descriptor whose closing would let the lock go. By device and
 *      inode, not by path as RocksDB does it: one directory has many paths.
 *   3. Who holds it is asked of the kernel, and told where it is a process of this machine.
 *
 * Locking: `held_mutex` guards the list. System calls are made under it, for invariant 2 needs the
 * look and the lock to be one step; stores are opened seldom, and none of the calls waits.
 *
 * The child of a fork has the list and none of the locks: stores belong to the process that opened
 * them.
 *
 * Rejected: F_OFD_SETLK, which has neither fault, but whose holder cannot be asked for, and which a
 * forked child keeps alive when its parent is killed.
 */
#include <vfs/posix.h>

#include <sys/stat.h>

#include <os/os.h>

static struct os_mutex held_mutex = {.rank = OS_RANK_LEAF};
static struct vfs_posix_lock *held; /* guarded by held_mutex */

static enum quarry_status lock_locked(const char *path, struct vfs_posix_lock *lock,
                                      struct quarry_error *error) Q_REQUIRES(&held_mutex);
static bool is_held_here(const char *path) Q_REQUIRES(&held_mutex);
static enum quarry_status lock_file(int fd, const char *path, struct quarry_error *error);
static enum quarry_status busy(int fd, struct flock *wanted, const char *path,
                               struct quarry_error *error);

enum quarry_status vfs_posix_lock(struct quarry_vfs *vfs, const char *path,
                                  struct quarry_vfs_lock **ret_lock, struct quarry_error *error)
{
    void *slot = NULL;
    enum quarry_status status = vfs_slot_take(&slot);
    if (status != QUARRY_OK) {
        return error_set(error, status, "lock '%s': no room for one more open file, of %u",
                         vfs_tail_of(path), VFS_SLOTS_MAX);
    }
    struct vfs_posix_lock *lock = slot;
    *lock = (struct vfs_posix_lock){.lock.vfs = vfs, .fd = -1};
    os_mutex_lock(&held_mutex);
    status = lock_locked(path, lock, error);
    os_mutex_unlock(&held_mutex);
    if (status != QUARRY_OK) {
        vfs_slot_give(slot);
        return status;
    }
    *ret_lock = &lock->lock;
    return QUARRY_OK;
}

static enum quarry_status lock_locked(const char *path, struct vfs_posix_lock *lock,
                                      struct quarry_error *error)
{
    if (is_held_here(path)) {
        return error_set(error, QUARRY_BUSY, "lock '%s': held by this process", vfs_tail_of(path));
    }
    int fd = vfs_posix_open_fd(path, O_RDWR | O_CREAT);
    if (fd < 0) {
        return vfs_failed_name(error, -fd, "lock", path);
    }
    enum quarry_status status = lock_file(fd, path, error);
    struct stat facts = {0};
    if (status == QUARRY_OK && os_kernel(SYS_fstat, fd, &facts) != 0) {
        status = error_set(error, QUARRY_IO, "lock '%s': cannot be looked at", vfs_tail_of(path));
    }
    if (status != QUARRY_OK) {
        vfs_posix_close_fd(fd);
        return status;
    }
    lock->fd = fd;
    lock->device = facts.st_dev;
    lock->inode = facts.st_ino;
    lock->next = held;
    held = lock;
    return QUARRY_OK;
}

void vfs_posix_unlock(struct quarry_vfs_lock *base)
{
    struct vfs_posix_lock *lock = (struct vfs_posix_lock *)base;
    os_mutex_lock(&held_mutex);
    struct vfs_posix_lock **link = &held;
    while (*link != lock) {
        Q_ASSERT(*link != NULL); /* not held */
        link = &(*link)->next;
    }
    *link = lock->next;
    vfs_posix_close_fd(lock->fd); /* which lets the kernel's lock go */
    os_mutex_unlock(&held_mutex);
    vfs_slot_give(lock);
}

static bool is_held_here(const char *path)
{
    struct stat facts = {0};
    if (os_kernel_retry(SYS_newfstatat, AT_FDCWD, path, &facts, 0) != 0) {
        return false; /* not there: nobody holds it */
    }
    for (struct vfs_posix_lock *lock = held; lock != NULL; lock = lock->next) {
        if (lock->device == facts.st_dev && lock->inode == facts.st_ino) {
            return true;
        }
    }
    return false;
}

static enum quarry_status lock_file(int fd, const char *path, struct quarry_error *error)
{
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    long result = os_kernel_retry(SYS_fcntl, fd, F_SETLK, &wanted);
    if (result == 0) {
        return QUARRY_OK;
    }
    if (result == -EAGAIN || result == -EACCES) {
        return busy(fd, &wanted, path, error);
    }
    return vfs_failed_name_as(error, vfs_status_of_file((int)-result), (int)-result, "lock", path);
}

/* Invariant 3. */
static enum quarry_status busy(int fd, struct flock *wanted, const char *path,
                               struct quarry_error *error)
{
    bool is_known = os_kernel(SYS_fcntl, fd, F_GETLK, wanted) == 0 && wanted->l_type != F_UNLCK &&
                    wanted->l_pid > 0;
    if (is_known) {
        return error_set(error, QUARRY_BUSY, "lock '%s': held by process %d", vfs_tail_of(path),
                         (int)wanted->l_pid);
    }
    return error_set(error, QUARRY_BUSY, "lock '%s': held by another process", vfs_tail_of(path));
}
