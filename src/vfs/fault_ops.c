/*
 * The operations of a vfs that fails on command: each asks for the verdict, then passes it on.
 *
 * Three do more. Opening looks whether it makes a file, for that is a kind of its own. A write that
 * fails may write a part, and a read may be told that the file is shorter. A sync that fails makes
 * a disk in memory drop what was to be synced.
 *
 * Locking: none; fault.c has the only lock.
 */
#include <stdlib.h>
#include <string.h>

#include <vfs/fault.h>
#include <vfs/memory.h>

/* An open file. */
struct vfs_fault_file {
    struct quarry_vfs_file file;
    struct quarry_vfs_file *below; /* own */
    char path[];
};

/* A lock that is held. */
struct vfs_fault_lock {
    struct quarry_vfs_lock lock;
    struct quarry_vfs_lock *below; /* own */
};

static struct vfs_fault_file *fault_file(struct quarry_vfs_file *file)
{
    (void)vfs_fault_of(file->vfs); /* asserts */
    return (struct vfs_fault_file *)file;
}

static struct vfs_fault_verdict judge_file(const struct vfs_fault_file *file,
                                           enum quarry_vfs_operation operation)
{
    return vfs_fault_judge(vfs_fault_of(file->file.vfs), operation, file->path, NULL);
}

static struct quarry_vfs *below_of(struct quarry_vfs *vfs)
{
    return vfs_fault_of(vfs)->below;
}

/* ---- opening and closing ---- */

/* Whether an opening will make a file. Another thread may make it first: then it counts as both. */
static enum quarry_vfs_operation kind_of_open(struct quarry_vfs *below, const char *path,
                                              uint32_t mode)
{
    uint64_t byte_count;
    bool is_directory;
    if ((mode & QUARRY_VFS_CREATE) == 0) {
        return QUARRY_VFS_OP_OPEN;
    }
    bool is_there = quarry_vfs_stat(below, path, &byte_count, &is_directory, NULL) == QUARRY_OK;
    return is_there ? QUARRY_VFS_OP_OPEN : QUARRY_VFS_OP_CREATE;
}

static enum quarry_status fault_open(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                                     struct quarry_vfs_file **ret_file, struct quarry_error *error)
{
    struct vfs_fault *fault_vfs = vfs_fault_of(vfs);
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(fault_vfs, kind_of_open(fault_vfs->below, path, mode), path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    size_t path_bytes = strlen(path) + 1;
    struct vfs_fault_file *file = malloc(sizeof *file + path_bytes);
    if (file == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "open '%s': no memory", vfs_tail_of(path));
    }
    file->file.vfs = vfs;
    memcpy(file->path, path, path_bytes);
    enum quarry_status status = quarry_vfs_open(fault_vfs->below, path, mode, &file->below, error);
    if (status != QUARRY_OK) {
        free(file);
        return status;
    }
    *ret_file = &file->file;
    return QUARRY_OK;
}

static void fault_close(struct quarry_vfs_file *base)
{
    struct vfs_fault_file *file = fault_file(base);
    quarry_vfs_close(file->below);
    free(file);
}

/* ---- bytes ---- */

static enum quarry_status fault_read(struct quarry_vfs_file *base, uint64_t offset, void *buffer,
                                     size_t byte_count, size_t *ret_byte_count,
                                     struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_READ);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    enum quarry_status status =
        quarry_vfs_read(file->below, offset, buffer, byte_count, ret_byte_count, error);
    if (status == QUARRY_OK && verdict.is_partial) {
        *ret_byte_count = (size_t)vfs_fault_random_below(vfs_fault_of(base->vfs), *ret_byte_count);
    }
    return status;
}

static enum quarry_status fault_write(struct quarry_vfs_file *base, uint64_t offset,
                                      const void *bytes, size_t byte_count,
                                      struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_WRITE);
    if (verdict.status == QUARRY_OK) {
        return quarry_vfs_write(file->below, offset, bytes, byte_count, error);
    }
    if (verdict.is_partial) {
        (void)quarry_vfs_write(file->below, offset, bytes,
                               (size_t)vfs_fault_random_below(vfs_fault_of(base->vfs), byte_count),
                               NULL);
    }
    return vfs_fault_tell(&verdict, error);
}

/* ---- durability ---- */

static enum quarry_status fault_sync(struct quarry_vfs_file *base, struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_SYNC);
    if (verdict.status == QUARRY_OK) {
        return quarry_vfs_sync(file->below, error);
    }
    struct quarry_vfs_file *lowest = file->below;
    while (lowest->vfs->ops == &vfs_fault_ops) {
        lowest = fault_file(lowest)->below;
    }
    if (vfs_memory_is(lowest->vfs)) {
        vfs_memory_drop(lowest);
    }
    return vfs_fault_tell(&verdict, error);
}

static enum quarry_status fault_sync_directory(struct quarry_vfs *vfs, const char *path,
                                               struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_SYNC_DIRECTORY, path, NULL);
    if (verdict.status == QUARRY_OK) {
        return quarry_vfs_sync_directory(below_of(vfs), path, error);
    }
    struct quarry_vfs *lowest = below_of(vfs);
    while (lowest->ops == &vfs_fault_ops) {
        lowest = below_of(lowest);
    }
    if (vfs_memory_is(lowest)) {
        vfs_memory_drop_directory(lowest, path);
    }
    return vfs_fault_tell(&verdict, error);
}

static enum quarry_status fault_start_sync(struct quarry_vfs_file *base, uint64_t offset,
                                           uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_START_SYNC);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_start_sync(file->below, offset, byte_count, error);
}

/* ---- size, blocks, mappings ---- */

static enum quarry_status fault_preallocate(struct quarry_vfs_file *base, uint64_t offset,
                                            uint64_t byte_count, struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_PREALLOCATE);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_preallocate(file->below, offset, byte_count, error);
}

static enum quarry_status fault_truncate(struct quarry_vfs_file *base, uint64_t byte_count,
                                         struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_TRUNCATE);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_truncate(file->below, byte_count, error);
}

static enum quarry_status fault_size(struct quarry_vfs_file *base, uint64_t *ret_byte_count,
                                     struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_SIZE);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_size(file->below, ret_byte_count, error);
}

static enum quarry_status fault_map(struct quarry_vfs_file *base, uint64_t offset,
                                    size_t byte_count, void **ret_base, struct quarry_error *error)
{
    struct vfs_fault_file *file = fault_file(base);
    struct vfs_fault_verdict verdict = judge_file(file, QUARRY_VFS_OP_MAP);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_map(file->below, offset, byte_count, ret_base, error);
}

static void fault_unmap(struct quarry_vfs_file *base, void *mapped, size_t byte_count)
{
    quarry_vfs_unmap(fault_file(base)->below, mapped, byte_count);
}

static void fault_advise(struct quarry_vfs_file *base, uint64_t offset, uint64_t byte_count,
                         enum quarry_vfs_advice advice)
{
    quarry_vfs_advise(fault_file(base)->below, offset, byte_count, advice);
}

/* ---- locks ---- */

static enum quarry_status fault_lock(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_vfs_lock **ret_lock, struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_LOCK, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    struct vfs_fault_lock *lock = malloc(sizeof *lock);
    if (lock == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "lock '%s': no memory", vfs_tail_of(path));
    }
    lock->lock.vfs = vfs;
    enum quarry_status status = quarry_vfs_take_lock(below_of(vfs), path, &lock->below, error);
    if (status != QUARRY_OK) {
        free(lock);
        return status;
    }
    *ret_lock = &lock->lock;
    return QUARRY_OK;
}

static void fault_unlock(struct quarry_vfs_lock *base)
{
    struct vfs_fault_lock *lock = (struct vfs_fault_lock *)base;
    quarry_vfs_unlock(lock->below);
    free(lock);
}

/* ---- names ---- */

static enum quarry_status fault_remove(struct quarry_vfs *vfs, const char *path,
                                       struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_REMOVE, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_remove(below_of(vfs), path, error);
}

static enum quarry_status fault_rename(struct quarry_vfs *vfs, const char *from, const char *to,
                                       struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_RENAME, from, to);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_rename(below_of(vfs), from, to, error);
}

static enum quarry_status fault_link(struct quarry_vfs *vfs, const char *from, const char *to,
                                     struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_LINK, from, to);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_link(below_of(vfs), from, to, error);
}

static enum quarry_status fault_make_directory(struct quarry_vfs *vfs, const char *path,
                                               struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_MAKE_DIRECTORY, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_make_directory(below_of(vfs), path, error);
}

static enum quarry_status fault_remove_directory(struct quarry_vfs *vfs, const char *path,
                                                 struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_REMOVE_DIRECTORY, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_remove_directory(below_of(vfs), path, error);
}

static enum quarry_status fault_list(struct quarry_vfs *vfs, const char *path,
                                     quarry_vfs_visit_function *visit, void *argument,
                                     struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_LIST, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_list(below_of(vfs), path, visit, argument, error);
}

static enum quarry_status fault_stat(struct quarry_vfs *vfs, const char *path,
                                     uint64_t *ret_byte_count, bool *ret_is_directory,
                                     struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_STAT, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_stat(below_of(vfs), path, ret_byte_count, ret_is_directory, error);
}

static enum quarry_status fault_free_space(struct quarry_vfs *vfs, const char *path,
                                           uint64_t *ret_byte_count, struct quarry_error *error)
{
    struct vfs_fault_verdict verdict =
        vfs_fault_judge(vfs_fault_of(vfs), QUARRY_VFS_OP_FREE_SPACE, path, NULL);
    if (verdict.status != QUARRY_OK) {
        return vfs_fault_tell(&verdict, error);
    }
    return quarry_vfs_free_space(below_of(vfs), path, ret_byte_count, error);
}

/* ---- clocks ---- */

static uint64_t fault_monotonic_ns(struct quarry_vfs *vfs)
{
    return quarry_vfs_monotonic_ns(below_of(vfs));
}

static uint64_t fault_wall_ns(struct quarry_vfs *vfs)
{
    return quarry_vfs_wall_ns(below_of(vfs));
}

const struct quarry_vfs_ops vfs_fault_ops = {
    .open = fault_open,
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .start_sync = fault_start_sync,
    .preallocate = fault_preallocate,
    .truncate = fault_truncate,
    .size = fault_size,
    .map = fault_map,
    .unmap = fault_unmap,
    .advise = fault_advise,
    .lock = fault_lock,
    .unlock = fault_unlock,
    .remove = fault_remove,
    .rename = fault_rename,
    .link = fault_link,
    .make_directory = fault_make_directory,
    .remove_directory = fault_remove_directory,
    .sync_directory = fault_sync_directory,
    .list = fault_list,
    .stat = fault_stat,
    .free_space = fault_free_space,
    .monotonic_ns = fault_monotonic_ns,
    .wall_ns = fault_wall_ns,
};
