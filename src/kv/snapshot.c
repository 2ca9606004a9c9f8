/*
 * Snapshots: sequences that compactions keep what is visible at.
 *
 *     mutex   │ 20, taken │ 33, of an iterator │ 33, taken │ 60, of an iterator │     the list
 *
 * The list is by rising sequences: the oldest first. What is taken now comes last. The sequence is
 * read under the lock under which a compaction copies the list, with what is visible then as its
 * last one: a snapshot is either in the copy, or not older than that.
 *
 * Every open iterator has its sequence in the list, too: it may leave the view that it was made
 * with for a newer one, and sees the same there (walk_sources.c).
 *
 * Locking: the store's mutex. Cost: an allocation and the mutex; for the iterators of a snapshot a
 * step for each that is newer.
 */
#include <kv/store.h>

#include <os/os.h>

static void link_locked(struct quarry_kv *kv, struct quarry_kv_snapshot *snapshot)
{
    struct quarry_kv_snapshot *previous = kv->snapshots_last;

    while (previous != NULL && previous->sequence > snapshot->sequence) {
        previous = previous->previous;
    }
    struct quarry_kv_snapshot **link = previous == NULL ? &kv->snapshots : &previous->next;
    snapshot->previous = previous;
    snapshot->next = *link;
    *link = snapshot;
    *(snapshot->next == NULL ? &kv->snapshots_last : &snapshot->next->previous) = snapshot;
}

void kv_snapshot_link(struct quarry_kv *kv, struct quarry_kv_snapshot *at, const uint64_t *sequence)
{
    os_mutex_lock(&kv->mutex);
    at->sequence = sequence != NULL ? *sequence : kv_visible_sequence(kv);
    link_locked(kv, at);
    os_mutex_unlock(&kv->mutex);
}

enum quarry_status quarry_kv_snapshot_take(struct quarry_kv *kv,
                                           const struct quarry_kv_snapshot **ret_snapshot)
{
    struct quarry_kv_snapshot *snapshot =
        kv_memory_take(&kv->small[KV_PART_READ], sizeof(*snapshot));

    if (snapshot == NULL) {
        return QUARRY_NO_MEMORY;
    }
    snapshot->taken_ns = size_max_u64(os_monotonic_ns(kv->os), 1);
    kv_snapshot_link(kv, snapshot, NULL);
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

void kv_snapshot_unlink(struct quarry_kv *kv, struct quarry_kv_snapshot *at)
{
    os_mutex_lock(&kv->mutex);
    unlink_locked(kv, at);
    os_mutex_unlock(&kv->mutex);
}

void quarry_kv_snapshot_release(struct quarry_kv *kv, const struct quarry_kv_snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    /* Borrowed const by who took it; it is the store's. */
    struct quarry_kv_snapshot *own = (struct quarry_kv_snapshot *)(uintptr_t)snapshot;
    kv_snapshot_unlink(kv, own);
    (void)atomic_sub_relaxed_u32(&kv->snapshot_count, 1); /* a figure */
    kv_memory_give(&kv->small[KV_PART_READ], own);
}

uint64_t quarry_kv_snapshot_sequence(const struct quarry_kv_snapshot *snapshot)
{
    return snapshot->sequence;
}
