/*
 * A file system in memory that can lose power: its life, space and clocks, and its names.
 *
 * For tests above all: a store on it is run, its power cut at any operation, what is left opened
 * again and compared with what was promised. In reading order: memory_block, memory_content and
 * memory_map (what a file holds), memory_tree and memory_path (names), memory_file.c (open files),
 * this file, memory_crash.c.
 *
 * Invariants: those of memory_content.c for bytes and of memory_tree.c for names, and:
 *   1. What it does at random depends on its seed and the operations alone. Nothing depends on an
 *      address or on the machine's clock, so that a history can be played again.
 *   2. It fails as the machine's does, with the same errnos, so that tests on it hold there.
 *
 * Locking: one mutex a disk, a leaf. malloc is called under it, contrary to the rule: it stands for
 * a disk, whose time nobody counts. Visitors of a listing are called without it.
 *
 * Cost: some hundred nanoseconds an operation, and 4 KiB for each block that differs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfs/memory.h>
#include <vfs/memory_disk.h>
#include <vfs/memory_ops.h>

/* Both clocks begin here: a time when nothing else was. */
#define FIRST_MONOTONIC_NS Q_SECOND_NS
#define FIRST_WALL_NS      (UINT64_C(1700000000) * Q_SECOND_NS)

static const struct quarry_vfs_ops vfs_memory_ops = {
    .open = vfs_memory_open,
    .close = vfs_memory_close,
    .read = vfs_memory_read,
    .write = vfs_memory_write,
    .sync = vfs_memory_sync,
    .start_sync = vfs_memory_start_sync,
    .preallocate = vfs_memory_preallocate,
    .truncate = vfs_memory_truncate,
    .size = vfs_memory_size,
    .map = vfs_memory_map,
    .unmap = vfs_memory_unmap,
    .advise = vfs_memory_advise,
    .lock = vfs_memory_lock,
    .unlock = vfs_memory_unlock,
    .remove = vfs_memory_remove,
    .rename = vfs_memory_rename,
    .link = vfs_memory_link,
    .make_directory = vfs_memory_make_directory,
    .remove_directory = vfs_memory_remove_directory,
    .sync_directory = vfs_memory_sync_directory,
    .list = vfs_memory_list,
    .stat = vfs_memory_stat,
    .free_space = vfs_memory_free_space,
    .monotonic_ns = vfs_memory_monotonic_ns,
    .wall_ns = vfs_memory_wall_ns,
};

bool vfs_memory_is(const struct quarry_vfs *vfs)
{
    return vfs->ops == &vfs_memory_ops;
}

struct vfs_memory_disk *vfs_memory_disk_of(struct quarry_vfs *vfs)
{
    Q_ASSERT(vfs_memory_is(vfs));
    return (struct vfs_memory_disk *)vfs;
}

/* ---- its life ---- */

struct vfs_memory_disk *vfs_memory_disk_create(uint64_t seed)
{
    struct vfs_memory_disk *disk = calloc(1, sizeof *disk);
    if (disk == NULL) {
        return NULL;
    }
    disk->vfs.ops = &vfs_memory_ops;
    os_mutex_init(&disk->mutex, OS_RANK_LEAF, 0);
    disk->space.byte_count = UINT64_MAX;
    disk->random = seed;
    disk->monotonic_ns = FIRST_MONOTONIC_NS;
    disk->wall_ns = FIRST_WALL_NS;
    disk->root = vfs_memory_node_create(disk, true);
    if (disk->root == NULL) {
        free(disk);
        return NULL;
    }
    vfs_memory_node_live(disk->root);
    return disk;
}

void vfs_memory_disk_destroy(struct vfs_memory_disk *disk)
{
    Q_ASSERT(disk->hold_count == 0); /* a file that was not closed */
    vfs_memory_changes_end(disk);
    vfs_memory_nodes_end(disk);
    free(disk);
}

enum quarry_status quarry_vfs_memory_create(uint64_t seed, struct quarry_vfs **ret_vfs)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_create(seed);
    if (disk == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *ret_vfs = &disk->vfs;
    return QUARRY_OK;
}

void quarry_vfs_memory_destroy(struct quarry_vfs *vfs)
{
    if (vfs != NULL) {
        vfs_memory_disk_destroy(vfs_memory_disk_of(vfs));
    }
}

/* ---- space and time ---- */

void quarry_vfs_memory_set_space(struct quarry_vfs *vfs, uint64_t byte_count)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    disk->space.byte_count = byte_count;
    os_mutex_unlock(&disk->mutex);
}

void quarry_vfs_memory_pass_time(struct quarry_vfs *vfs, uint64_t duration_ns)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    disk->monotonic_ns += duration_ns;
    disk->wall_ns += duration_ns;
    os_mutex_unlock(&disk->mutex);
}

static uint64_t read_clock(struct quarry_vfs *vfs, bool is_wall)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    disk->monotonic_ns += Q_US_NS;
    disk->wall_ns += Q_US_NS;
    uint64_t now_ns = is_wall ? disk->wall_ns : disk->monotonic_ns;
    os_mutex_unlock(&disk->mutex);
    return now_ns;
}

uint64_t vfs_memory_monotonic_ns(struct quarry_vfs *vfs)
{
    return read_clock(vfs, false);
}

uint64_t vfs_memory_wall_ns(struct quarry_vfs *vfs)
{
    return read_clock(vfs, true);
}

enum quarry_status vfs_memory_free_space(struct quarry_vfs *vfs, const char *path,
                                         uint64_t *ret_byte_count, struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    struct vfs_memory_place_name place;
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_path_find(disk, path, &place);
    if (failed == 0 && place.node == NULL) {
        failed = ENOENT;
    }
    uint64_t used_bytes = disk->space.used_block_count * VFS_MEMORY_BLOCK_BYTES;
    uint64_t free_bytes = sat_sub_u64(disk->space.byte_count, used_bytes);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_name(error, failed, "free_space", path);
    }
    *ret_byte_count = free_bytes;
    return QUARRY_OK;
}
