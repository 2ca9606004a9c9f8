/*
 * Snapshots: sequences that compactions keep what is visible at.
 *
 * The list is in the order of taking, so by rising sequences: the oldest first. The sequence is
 * read under the lock under which a compaction copies the list, with what is visible then as its
 * last one: a snapshot is either in the copy, or not older than that.
 *
 * Locking: the store's mutex. Cost: an allocation and the mutex.
 */
#include <kv/store.h>

#include <os/os.h>

enum quarry_status quarry_kv_snapshot_take(struct quarry_kv *kv,
                                           const struct quarry_kv_snapshot **ret_snapshot)
{
    struct quarry_kv_snapshot *snapshot =
        kv_memory_take(&kv->small[KV_PART_READ], sizeof(*snapshot));

    if (snapshot == NULL) {
        return QUARRY_NO_MEMORY;
    }
    snapshot->taken_ns = os_monotonic_ns(kv->os);
    os_mutex_lock(&kv->mutex);
    snapshot->sequence = kv_visible_sequence(kv);
    snapshot->previous = kv->snapshots_last;
    if (kv->snapshots_last == NULL) {
        kv->snapshots = snapshot;
    } else {
        kv->snapshots_last->next = snapshot;
    }
    kv->snapshots_last = snapshot;
    os_mutex_unlock(&kv->mutex);
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u32(&kv->snapshot_count, 1);
    *ret_snapshot = snapshot;
    return QUARRY_OK;
}

static void unlink_locked(struct quarry_kv *kv, struct quarry_kv_snapshot *snapshot)
{
    struct quarry_kv_snapshot **next =
        snapshot->previous == NULL ? &kv->snapshots : &snapshot->previous->next;
    struct quarry_kv_snapshot **previous =
        snapshot->next == NULL ? &kv->snapshots_last : &snapshot->next->previous;

    Q_ASSERT(*next == snapshot && *previous == snapshot);
    *next = snapshot->next;
    *previous = snapshot->previous;
}

void quarry_kv_snapshot_release(struct quarry_kv *kv, const struct quarry_kv_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    /* Borrowed const by who took it; it is the store's. */
    struct quarry_kv_snapshot *own = (struct quarry_kv_snapshot *)(uintptr_t)snapshot;
    os_mutex_lock(&kv->mutex);
    unlink_locked(kv, own);
    os_mutex_unlock(&kv->mutex);
    (void)atomic_sub_relaxed_u32(&kv->snapshot_count, 1); /* a figure */
    kv_memory_give(&kv->small[KV_PART_READ], own);
}

uint64_t quarry_kv_snapshot_sequence(const struct quarry_kv_snapshot *snapshot)
{
    return snapshot->sequence;
}
