/*
 * A vfs that fails on command: what tests put between a store and its files.
 *
 *     store -> fault vfs: counted, matched with 8 faults, delayed, failed -> vfs below
 *
 * Each operation is counted by its kind and held against the faults that are set. A fault that
 * matches counts for itself; from its first-th match on, count times, it strikes: its notice is
 * called, its latency waited for, and if it has a status the operation fails with it and is not
 * passed on. A sweep fails the n-th operation of a workload for every n: `first` = n, `count` = 1.
 *
 * Invariants:
 *   1. An operation counts once, before it is made, whether it fails or not.
 *   2. All faults that match count it; of those that strike, each gives notice and waits, and the
 *      first that has a status decides.
 *   3. What fails has not been done below, but for a part of a write where that is asked for; a
 *      sync that fails is, to a disk in memory, a sync that failed.
 *   4. Closing, unmapping, unlocking, advice and clocks cannot fail, are not counted and are passed
 *      on.
 *
 * Locking: `mutex`, a leaf, guards counts and faults. Notices, waits and the vfs below are called
 * without it, so a notice may crash the disk below, set faults and read counts.
 *
 * Cost: malloc for each open file, which keeps its path for `path_contains`: this is an instrument
 * of tests. One mutex an operation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfs/fault.h>
#include <vfs/memory.h>
#include <vfs/random.h>

static const char *const operation_names[QUARRY_VFS_OPS] = {
    [QUARRY_VFS_OP_OPEN] = "open",
    [QUARRY_VFS_OP_CREATE] = "create",
    [QUARRY_VFS_OP_READ] = "read",
    [QUARRY_VFS_OP_WRITE] = "write",
    [QUARRY_VFS_OP_SYNC] = "sync",
    [QUARRY_VFS_OP_START_SYNC] = "start_sync",
    [QUARRY_VFS_OP_PREALLOCATE] = "preallocate",
    [QUARRY_VFS_OP_TRUNCATE] = "truncate",
    [QUARRY_VFS_OP_SIZE] = "size",
    [QUARRY_VFS_OP_MAP] = "map",
    [QUARRY_VFS_OP_LOCK] = "lock",
    [QUARRY_VFS_OP_REMOVE] = "remove",
    [QUARRY_VFS_OP_RENAME] = "rename",
    [QUARRY_VFS_OP_LINK] = "link",
    [QUARRY_VFS_OP_MAKE_DIRECTORY] = "make_directory",
    [QUARRY_VFS_OP_REMOVE_DIRECTORY] = "remove_directory",
    [QUARRY_VFS_OP_SYNC_DIRECTORY] = "sync_directory",
    [QUARRY_VFS_OP_LIST] = "list",
    [QUARRY_VFS_OP_STAT] = "stat",
    [QUARRY_VFS_OP_FREE_SPACE] = "free_space",
};

/* Which faults strike an operation, and at which of their matches. */
struct strikes {
    uint32_t count;
    struct {
        struct quarry_vfs_fault fault;
        uint64_t index;
    } items[QUARRY_VFS_FAULTS_MAX];
};

static void find_strikes(struct vfs_fault *fault_vfs, enum quarry_vfs_operation operation,
                         const char *path, const char *other_path, struct strikes *ret_strikes);
static bool is_match(const struct vfs_fault_slot *slot, enum quarry_vfs_operation operation,
                     const char *path, const char *other_path);
static void wait_ns(struct quarry_vfs *vfs, uint64_t duration_ns);

struct vfs_fault *vfs_fault_of(struct quarry_vfs *vfs)
{
    Q_ASSERT(vfs->ops == &vfs_fault_ops);
    return (struct vfs_fault *)vfs;
}

/* ---- its life ---- */

enum quarry_status quarry_vfs_fault_create(struct quarry_vfs *below, uint64_t seed,
                                           struct quarry_vfs **ret_vfs)
{
    Q_ASSERT(below != NULL);
    struct vfs_fault *fault_vfs = calloc(1, sizeof *fault_vfs);
    if (fault_vfs == NULL) {
        return QUARRY_NO_MEMORY;
    }
    fault_vfs->vfs.ops = &vfs_fault_ops;
    fault_vfs->below = below;
    fault_vfs->random = seed;
    os_mutex_init(&fault_vfs->mutex, OS_RANK_LEAF, 0);
    *ret_vfs = &fault_vfs->vfs;
    return QUARRY_OK;
}

void quarry_vfs_fault_destroy(struct quarry_vfs *vfs)
{
    if (vfs != NULL) {
        free(vfs_fault_of(vfs));
    }
}

void quarry_vfs_fault_set(struct quarry_vfs *vfs, uint32_t slot,
                          const struct quarry_vfs_fault *fault)
{
    struct vfs_fault *fault_vfs = vfs_fault_of(vfs);
    Q_ASSERT(slot < QUARRY_VFS_FAULTS_MAX);
    os_mutex_lock(&fault_vfs->mutex);
    fault_vfs->slots[slot] = (struct vfs_fault_slot){.is_set = fault != NULL};
    if (fault != NULL) {
        fault_vfs->slots[slot].fault = *fault;
    }
    os_mutex_unlock(&fault_vfs->mutex);
}

uint64_t quarry_vfs_fault_count(struct quarry_vfs *vfs, enum quarry_vfs_operation operation)
{
    struct vfs_fault *fault_vfs = vfs_fault_of(vfs);
    Q_ASSERT(operation <= QUARRY_VFS_OPS);
    os_mutex_lock(&fault_vfs->mutex);
    uint64_t count = fault_vfs->counts[operation];
    os_mutex_unlock(&fault_vfs->mutex);
    return count;
}

uint64_t quarry_vfs_fault_hits(struct quarry_vfs *vfs, uint32_t slot)
{
    struct vfs_fault *fault_vfs = vfs_fault_of(vfs);
    Q_ASSERT(slot < QUARRY_VFS_FAULTS_MAX);
    os_mutex_lock(&fault_vfs->mutex);
    uint64_t hit_count = fault_vfs->slots[slot].hit_count;
    os_mutex_unlock(&fault_vfs->mutex);
    return hit_count;
}

/* ---- striking ---- */

struct vfs_fault_verdict vfs_fault_judge(struct vfs_fault *fault_vfs,
                                         enum quarry_vfs_operation operation, const char *path,
                                         const char *other_path)
{
    struct strikes strikes = {0};
    struct vfs_fault_verdict verdict = {.operation = operation, .path = path};
    find_strikes(fault_vfs, operation, path, other_path, &strikes);
    for (uint32_t at = 0; at < strikes.count; at++) {
        const struct quarry_vfs_fault *fault = &strikes.items[at].fault;
        if (fault->notice != NULL) {
            fault->notice(fault->argument, operation, path, strikes.items[at].index);
        }
        wait_ns(fault_vfs->below, fault->latency_ns);
        if (verdict.status == QUARRY_OK) {
            verdict.status = fault->status;
            verdict.os_errno = fault->os_errno;
            verdict.is_partial |= fault->is_partial;
        }
    }
    return verdict;
}

enum quarry_status vfs_fault_tell(const struct vfs_fault_verdict *verdict,
                                  struct quarry_error *error)
{
    const char *name = operation_names[verdict->operation];
    if (verdict->os_errno > 0) {
        return vfs_failed_name_as(error, verdict->status, verdict->os_errno, name, verdict->path);
    }
    return error_set(error, verdict->status, "%s '%s': failed on command", name,
                     vfs_tail_of(verdict->path));
}

uint64_t vfs_fault_random_below(struct vfs_fault *fault_vfs, uint64_t count)
{
    os_mutex_lock(&fault_vfs->mutex);
    uint64_t number = count == 0 ? 0 : vfs_random_below(&fault_vfs->random, count);
    os_mutex_unlock(&fault_vfs->mutex);
    return number;
}

static void find_strikes(struct vfs_fault *fault_vfs, enum quarry_vfs_operation operation,
                         const char *path, const char *other_path, struct strikes *ret_strikes)
{
    os_mutex_lock(&fault_vfs->mutex);
    fault_vfs->counts[operation]++;
    fault_vfs->counts[QUARRY_VFS_OPS]++;
    for (uint32_t at = 0; at < QUARRY_VFS_FAULTS_MAX; at++) {
        struct vfs_fault_slot *slot = &fault_vfs->slots[at];
        if (!is_match(slot, operation, path, other_path)) {
            continue;
        }
        slot->match_count++;
        uint64_t first = slot->fault.first == 0 ? 1 : slot->fault.first;
        if (slot->match_count < first ||
            (slot->fault.count > 0 && slot->match_count - first >= slot->fault.count)) {
            continue;
        }
        slot->hit_count++;
        ret_strikes->items[ret_strikes->count].fault = slot->fault;
        ret_strikes->items[ret_strikes->count].index = slot->match_count;
        ret_strikes->count++;
    }
    os_mutex_unlock(&fault_vfs->mutex);
}

static bool is_match(const struct vfs_fault_slot *slot, enum quarry_vfs_operation operation,
                     const char *path, const char *other_path)
{
    const struct quarry_vfs_fault *fault = &slot->fault;
    if (!slot->is_set || (fault->operations != 0 && (fault->operations >> operation & 1) == 0)) {
        return false;
    }
    return fault->path_contains == NULL || strstr(path, fault->path_contains) != NULL ||
           (other_path != NULL && strstr(other_path, fault->path_contains) != NULL);
}

/* A simulated disk's time passes; else ours does. */
static void wait_ns(struct quarry_vfs *vfs, uint64_t duration_ns)
{
    if (duration_ns == 0) {
        return;
    }
    while (vfs->ops == &vfs_fault_ops) {
        vfs = vfs_fault_of(vfs)->below;
    }
    if (vfs_memory_is(vfs)) {
        quarry_vfs_memory_pass_time(vfs, duration_ns);
    } else {
        os_sleep_ns(duration_ns);
    }
}
Q_STATIC_ASSERT(QUARRY_VFS_OPS <= 32, "a fault's kinds are bits of 32");
