/*
 * Open files of a file system in memory, and the locks that files stand for.
 *
 * An open file counts its node: what is removed or renamed meanwhile stays readable and writable
 * through it, as on the machine.
 *
 * Locking: each operation takes the disk's mutex for all of its work. Stores through mappings do
 * not; memory_content.c says how they are found.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfs/memory.h>
#include <vfs/memory_ops.h>

/* A lock that is held. */
struct vfs_memory_lock {
    struct quarry_vfs_lock lock;
    struct vfs_memory_node *node; /* a count */
};

static int open_locked(struct vfs_memory_disk *disk, const char *path, uint32_t mode,
                       struct vfs_memory_node **ret_node);
static int create_locked(struct vfs_memory_disk *disk, const struct vfs_memory_place_name *place,
                         struct vfs_memory_node **ret_node);
static int lock_locked(struct vfs_memory_disk *disk, const char *path,
                       struct vfs_memory_lock *lock);

static struct vfs_memory_disk *disk_of(const struct quarry_vfs_file *file)
{
    return vfs_memory_disk_of(file->vfs);
}

static struct vfs_memory_file *vfs_memory_file(struct quarry_vfs_file *file)
{
    Q_ASSERT(vfs_memory_is(file->vfs));
    return (struct vfs_memory_file *)file;
}

static struct vfs_memory_file *writable_file(struct quarry_vfs_file *base)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    Q_ASSERT(file->is_writable);
    return file;
}

/* What is open, mapped or locked counts its node, which has its space as long. */
static void hold_node(struct vfs_memory_disk *disk, struct vfs_memory_node *node)
{
    vfs_memory_node_acquire(node);
    vfs_memory_node_live(node);
    disk->hold_count++;
}

static void let_node_go(struct vfs_memory_disk *disk, struct vfs_memory_node *node)
{
    Q_ASSERT(disk->hold_count > 0);
    disk->hold_count--;
    vfs_memory_node_unlive(disk, node);
    vfs_memory_node_release(disk, node);
}

/* ---- opening and closing ---- */

enum quarry_status vfs_memory_open(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                                   struct quarry_vfs_file **ret_file, struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    bool is_writable = (mode & QUARRY_VFS_WRITE) != 0;
    Q_ASSERT(is_writable || mode == QUARRY_VFS_READ);
    Q_ASSERT((mode & QUARRY_VFS_EXCLUSIVE) == 0 || (mode & QUARRY_VFS_CREATE) != 0);
    struct vfs_memory_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        return vfs_failed_name(error, ENOMEM, "open", path);
    }
    os_mutex_lock(&disk->mutex);
    int failed = open_locked(disk, path, mode, &file->node);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        free(file);
        return vfs_failed_name(error, failed, "open", path);
    }
    const char *tail = vfs_tail_of(path);
    file->file.vfs = vfs;
    file->is_writable = is_writable;
    memcpy(file->path, tail, strlen(tail) + 1);
    *ret_file = &file->file;
    return QUARRY_OK;
}

/* `ret_node`: counted and live for the open file. */
static int open_locked(struct vfs_memory_disk *disk, const char *path, uint32_t mode,
                       struct vfs_memory_node **ret_node)
{
    struct vfs_memory_place_name place;
    struct vfs_memory_node *node = NULL;
    int failed = vfs_memory_path_find(disk, path, &place);
    if (failed != 0) {
        return failed;
    }
    if (place.node != NULL && (mode & QUARRY_VFS_EXCLUSIVE) != 0) {
        return EEXIST;
    }
    if (place.node != NULL && place.node->is_directory) {
        return EISDIR;
    }
    if (place.node == NULL && (mode & QUARRY_VFS_CREATE) == 0) {
        return ENOENT;
    }
    if (place.node == NULL) {
        failed = create_locked(disk, &place, &node);
    } else {
        node = vfs_memory_node_acquire(place.node);
    }
    if (failed == 0 && (mode & QUARRY_VFS_TRUNCATE) != 0) {
        failed = vfs_memory_content_resize(&node->content, &disk->space, 0);
    }
    if (failed != 0) {
        vfs_memory_node_release(disk, node);
        return failed;
    }
    hold_node(disk, node);
    vfs_memory_node_release(disk, node); /* which had it for this function */
    *ret_node = node;
    return 0;
}

/* `ret_node`: with a count for the caller. */
static int create_locked(struct vfs_memory_disk *disk, const struct vfs_memory_place_name *place,
                         struct vfs_memory_node **ret_node)
{
    struct vfs_memory_node *node = vfs_memory_node_create(disk, false);
    if (node == NULL) {
        return ENOMEM;
    }
    int failed = vfs_memory_tree_set(disk, place->directory, place->text, node);
    if (failed != 0) {
        vfs_memory_node_release(disk, node);
        return failed;
    }
    *ret_node = node;
    return 0;
}

void vfs_memory_close(struct quarry_vfs_file *base)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    let_node_go(disk, file->node);
    os_mutex_unlock(&disk->mutex);
    free(file);
}

/* ---- bytes ---- */

enum quarry_status vfs_memory_read(struct quarry_vfs_file *base, uint64_t offset, void *buffer,
                                   size_t byte_count, size_t *ret_byte_count,
                                   struct quarry_error *error)
{
    (void)error;
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    *ret_byte_count = vfs_memory_content_read(&file->node->content, offset, buffer, byte_count);
    os_mutex_unlock(&disk->mutex);
    return QUARRY_OK;
}

enum quarry_status vfs_memory_write(struct quarry_vfs_file *base, uint64_t offset,
                                    const void *bytes, size_t byte_count,
                                    struct quarry_error *error)
{
    struct vfs_memory_file *file = writable_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_content_write(&file->node->content, &disk->space, &disk->random, offset,
                                          bytes, byte_count);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_range(error, failed, "write", file->path, offset, byte_count);
    }
    return QUARRY_OK;
}

enum quarry_status vfs_memory_truncate(struct quarry_vfs_file *base, uint64_t byte_count,
                                       struct quarry_error *error)
{
    struct vfs_memory_file *file = writable_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_content_resize(&file->node->content, &disk->space, byte_count);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_range(error, failed, "truncate", file->path, byte_count, 0);
    }
    return QUARRY_OK;
}

enum quarry_status vfs_memory_preallocate(struct quarry_vfs_file *base, uint64_t offset,
                                          uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_memory_file *file = writable_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    int failed =
        vfs_memory_content_preallocate(&file->node->content, &disk->space, offset, byte_count);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_range(error, failed, "preallocate", file->path, offset, byte_count);
    }
    return QUARRY_OK;
}

enum quarry_status vfs_memory_size(struct quarry_vfs_file *base, uint64_t *ret_byte_count,
                                   struct quarry_error *error)
{
    (void)error;
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    *ret_byte_count = file->node->content.byte_count;
    os_mutex_unlock(&disk->mutex);
    return QUARRY_OK;
}

/* ---- durability ---- */

enum quarry_status vfs_memory_sync(struct quarry_vfs_file *base, struct quarry_error *error)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_content_sync(&file->node->content);
    os_mutex_unlock(&disk->mutex);
    return failed == 0 ? QUARRY_OK : vfs_failed_file(error, failed, "sync", file->path);
}

enum quarry_status vfs_memory_start_sync(struct quarry_vfs_file *base, uint64_t offset,
                                         uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_content_start_sync(&file->node->content, offset, byte_count);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_range(error, failed, "start_sync", file->path, offset, byte_count);
    }
    return QUARRY_OK;
}

/* Without memory for a copy of a mapped block it stays dirty, and may be kept: no test's promise
 * depends on its being lost. */
void vfs_memory_drop(struct quarry_vfs_file *base)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    (void)vfs_memory_content_drop(&file->node->content);
    os_mutex_unlock(&disk->mutex);
}

/* ---- mapping and advice ---- */

enum quarry_status vfs_memory_map(struct quarry_vfs_file *base, uint64_t offset, size_t byte_count,
                                  void **ret_base, struct quarry_error *error)
{
    struct vfs_memory_file *file = writable_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    Q_ASSERT(byte_count > 0 && ((offset | byte_count) & (VFS_MEMORY_BLOCK_BYTES - 1)) == 0);
    os_mutex_lock(&disk->mutex);
    int failed = vfs_memory_content_map(&file->node->content, offset, byte_count, ret_base);
    if (failed == 0) {
        hold_node(disk, file->node);
    }
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_range(error, failed, "map", file->path, offset, byte_count);
    }
    return QUARRY_OK;
}

void vfs_memory_unmap(struct quarry_vfs_file *base, void *mapped, size_t byte_count)
{
    struct vfs_memory_file *file = vfs_memory_file(base);
    struct vfs_memory_disk *disk = disk_of(base);
    os_mutex_lock(&disk->mutex);
    vfs_memory_content_unmap(&file->node->content, mapped, byte_count);
    let_node_go(disk, file->node); /* not the last count: the file is open */
    os_mutex_unlock(&disk->mutex);
}

/* There is no page cache to advise. */
void vfs_memory_advise(struct quarry_vfs_file *base, uint64_t offset, uint64_t byte_count,
                       enum quarry_vfs_advice advice)
{
    (void)vfs_memory_file(base);
    (void)offset;
    (void)byte_count;
    Q_ASSERT(advice <= QUARRY_VFS_DROP);
}

/* ---- locks ---- */

enum quarry_status vfs_memory_lock(struct quarry_vfs *vfs, const char *path,
                                   struct quarry_vfs_lock **ret_lock, struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    struct vfs_memory_lock *lock = calloc(1, sizeof *lock);
    if (lock == NULL) {
        return vfs_failed_name(error, ENOMEM, "lock", path);
    }
    lock->lock.vfs = vfs;
    os_mutex_lock(&disk->mutex);
    int failed = lock_locked(disk, path, lock);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        free(lock);
        if (failed == EBUSY) {
            return error_set(error, QUARRY_BUSY, "lock '%s': held by this process",
                             vfs_tail_of(path));
        }
        return vfs_failed_name(error, failed, "lock", path);
    }
    *ret_lock = &lock->lock;
    return QUARRY_OK;
}

static int lock_locked(struct vfs_memory_disk *disk, const char *path, struct vfs_memory_lock *lock)
{
    struct vfs_memory_node *node = NULL;
    int failed = open_locked(disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &node);
    if (failed != 0) {
        return failed;
    }
    if (node->is_locked) {
        let_node_go(disk, node);
        return EBUSY;
    }
    node->is_locked = true;
    lock->node = node;
    return 0;
}

void vfs_memory_unlock(struct quarry_vfs_lock *base)
{
    struct vfs_memory_lock *lock = (struct vfs_memory_lock *)base;
    struct vfs_memory_disk *disk = vfs_memory_disk_of(base->vfs);
    os_mutex_lock(&disk->mutex);
    Q_ASSERT(lock->node->is_locked);
    lock->node->is_locked = false;
    let_node_go(disk, lock->node);
    os_mutex_unlock(&disk->mutex);
    free(lock);
}
