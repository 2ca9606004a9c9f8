/*
 * A vfs that fails on command: its structures, and the verdict on an operation.
 */
#ifndef QUARRY_VFS_FAULT_H
#define QUARRY_VFS_FAULT_H

#include <quarry/vfs.h>

#include <os/os.h>
#include <vfs/failure.h>

struct vfs_fault_slot {
    bool is_set;
    struct quarry_vfs_fault fault;
    uint64_t match_count;
    uint64_t hit_count;
};

struct vfs_fault {
    struct quarry_vfs vfs;
    struct quarry_vfs *below; /* borrowed; const */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct vfs_fault_slot slots[QUARRY_VFS_FAULTS_MAX];
    uint64_t counts[QUARRY_VFS_OPS + 1]; /* the last: of all kinds */
    uint64_t random;
};

/* What becomes of an operation. */
struct vfs_fault_verdict {
    enum quarry_vfs_operation operation;
    const char *path;          /* borrowed */
    enum quarry_status status; /* QUARRY_OK: it is passed on */
    int os_errno;
    bool is_partial;
};

/* fault_ops.c: the table. */
extern const struct quarry_vfs_ops vfs_fault_ops;

/* Asserts that it is one. */
struct vfs_fault *vfs_fault_of(struct quarry_vfs *vfs);
/*
 * Counts an operation, gives notice, waits. No lock held.
 * `path`: borrowed for as long as the verdict. `other_path`: the new name of a rename or a link,
 * else NULL; a fault on either is one on the operation.
 */
struct vfs_fault_verdict vfs_fault_judge(struct vfs_fault *fault_vfs,
                                         enum quarry_vfs_operation operation, const char *path,
                                         const char *other_path);
/* Returns: the verdict's status, which is not QUARRY_OK. */
enum quarry_status vfs_fault_tell(const struct vfs_fault_verdict *verdict,
                                  struct quarry_error *error);
/* One of 0 to `count` - 1, or 0. */
uint64_t vfs_fault_random_below(struct vfs_fault *fault_vfs, uint64_t count);

#endif
