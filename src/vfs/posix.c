/*
 * The machine's file system: the table, and its clocks.
 *
 * Every operation is one system call, made directly (os/kernel.h): no buffer of stdio, no DIR, no
 * malloc, errno left alone. A store says what it wants of the kernel's page cache by
 * quarry_vfs_advise and quarry_vfs_start_sync; nothing is read ahead or written behind here.
 *
 *     store -> quarry_vfs_write -> vfs_posix_write -> pwrite64 ... page cache ... fdatasync -> disk
 *
 * Invariants:
 *   1. EINTR is never seen above: the call is made again. Short counts are gone on with, so a read
 *      that returns fewer bytes has met the end of the file.
 *   2. A descriptor is closed on exec, is above 2 (what writes to stderr must not write into a
 *      table), and is of a regular file.
 *   3. A failed sync is told and nothing is tried again: the kernel has marked the pages clean, and
 *      a second fdatasync would say that all is well.
 *   4. Nothing is cached: no size, no position, no name that could be wrong.
 *
 * Locking: none but the list of locks held by this process, posix_lock.c.
 *
 * Cost: the system call, one indirect call, and 128 bytes for each open file (posix_slot.c).
 *
 * Rejected: O_DIRECT, which leaves nothing to the page cache that other programs fill better than
 * we; io_uring, which many hosts forbid; mapping tables to read them, where an error of the disk is
 * a signal and the bytes are outside the budget.
 *
 * Source: what RocksDB 7.8's and LevelDB's POSIX environments promise their stores.
 */
#include <vfs/posix.h>

#include <os/os.h>

static uint64_t monotonic_ns(struct quarry_vfs *vfs)
{
    (void)vfs;
    return os_monotonic_ns(os_real());
}

static uint64_t wall_ns(struct quarry_vfs *vfs)
{
    (void)vfs;
    return os_wall_ns(os_real());
}

static const struct quarry_vfs_ops posix_ops = {
    .open = vfs_posix_open,
    .close = vfs_posix_close,
    .read = vfs_posix_read,
    .write = vfs_posix_write,
    .sync = vfs_posix_sync,
    .start_sync = vfs_posix_start_sync,
    .preallocate = vfs_posix_preallocate,
    .truncate = vfs_posix_truncate,
    .size = vfs_posix_size,
    .map = vfs_posix_map,
    .unmap = vfs_posix_unmap,
    .advise = vfs_posix_advise,
    .lock = vfs_posix_lock,
    .unlock = vfs_posix_unlock,
    .remove = vfs_posix_remove,
    .rename = vfs_posix_rename,
    .link = vfs_posix_link,
    .make_directory = vfs_posix_make_directory,
    .remove_directory = vfs_posix_remove_directory,
    .sync_directory = vfs_posix_sync_directory,
    .list = vfs_posix_list,
    .stat = vfs_posix_stat,
    .free_space = vfs_posix_free_space,
    .monotonic_ns = monotonic_ns,
    .wall_ns = wall_ns,
};

static struct quarry_vfs posix_vfs = {.ops = &posix_ops};

struct quarry_vfs *quarry_vfs_posix(void)
{
    return &posix_vfs;
}
