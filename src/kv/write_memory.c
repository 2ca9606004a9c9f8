/*
 * What a write does where the budget is used up.
 *
 *     refused ─> the arena that waits for the next memtable goes ─> again
 *        │ there is none, or it was a memtable that was refused
 *        ├─> what is in memtables becomes files ─> again
 *        │ there is nothing in them
 *        ├─> what the background is at is waited for ─> again
 *        │ it is at nothing
 *        ├─> other threads, that read or make batches, are waited for: 0.2 s ─> again
 *        │ that, or 10 s in all, have not helped
 *        └─> QUARRY_NO_MEMORY
 *
 * What must not wait is told QUARRY_BUSY by all but the first step: who may wait finds out the
 * rest.
 *
 * It is the same whatever was refused: a node of a memtable, a long value that is put together, a
 * batch that is being made, or the copy of a large one that becomes a layer. Flushing gives back
 * most, so it comes first, and what was refused is tried again as soon as one has ended, before
 * others use up what is left. Compactions give back less, as they end.
 *
 * A batch takes its bytes twice, for whoever makes it and as a layer, and 24 bytes a change for the
 * layer's index. Where that is more than the budget has beside what the store had charged when it
 * was opened, nothing that could be waited for would help: QUARRY_TOO_LARGE, with the limit.
 *
 * Rejected: closing tables and evicting blocks for it. What reads can exchange is what keeps them
 * from being refused.
 *
 * Locking: none is held.
 */
#include <kv/commit_parts.h>

#include <inttypes.h>

#include <kv/background_parts.h>

/* How long a write waits for what the background is at. Flushing what makes memory short takes
 * seconds on a slow disk. */
#define MEMORY_WAIT_NS UINT64_C(10000000000)
/* The same where time stands still, as in a stepped store. */
#define MEMORY_TRIES_MAX 1000u

/* While the background has nothing to do: for how long others may have it. */
#define IDLE_WAIT_NS   UINT64_C(2000000)
#define IDLE_TRIES_MAX 100u

/* Of the index, for each change: 16 in order, 21 at random, and a chunk at the end. */
#define INDEX_ENTRY_BYTES UINT64_C(24)

/* Reads, and batches of other threads, are done with theirs in a moment. */
static bool wait_for_threads(const struct quarry_kv *kv, struct kv_memory_wait *wait)
{
    if (kv->options.is_stepped || wait->idle_count == IDLE_TRIES_MAX) {
        return false;
    }
    wait->idle_count++;
    os_sleep_ns(IDLE_WAIT_NS);
    return true;
}

bool kv_commit_wait_for_memory(struct quarry_kv *kv, struct kv_memory_wait *wait)
{
    if (wait->try_count++ == 0) {
        wait->until_ns = kv_now_ns(kv) + MEMORY_WAIT_NS;
    }
    if (wait->try_count > MEMORY_TRIES_MAX || kv_now_ns(kv) >= wait->until_ns) {
        return false;
    }
    if (!kv_background_is_at_work(kv)) {
        return wait_for_threads(kv, wait);
    }
    kv_background_wake(kv);
    bool has_changed = kv_background_wait(kv, wait->seen);
    kv_view_collect(kv);
    return has_changed;
}

/* Whether a write can ever fit. */
static enum quarry_status check_size(const struct quarry_kv *kv, const struct kv_memory_want *want,
                                     struct quarry_error *error)
{
    uint64_t index_bytes = sat_mul_u64(want->change_count, INDEX_ENTRY_BYTES);
    uint64_t needed_bytes = sat_add_u64(sat_mul_u64(want->byte_count, 2), index_bytes);

    if (needed_bytes <= kv->write_memory_max) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_TOO_LARGE,
                     "store '%s': a write of %" PRIu64 " bytes and %" PRIu32
                     " changes takes %" PRIu64 " bytes of memory, at most %" PRIu64
                     " in a budget of %" PRIu64,
                     kv->path, want->byte_count, want->change_count, needed_bytes,
                     kv->write_memory_max, kv->budget_bytes);
}

/* Nothing is in memtables. */
static enum quarry_status wait_for_others(struct quarry_kv *kv, const struct kv_memory_want *want,
                                          struct kv_memory_wait *wait, struct quarry_error *error)
{
    if (want->never_waits) {
        return error_set(error, QUARRY_BUSY, "store '%s': a write of %" PRIu64 " bytes would wait",
                         kv->path, want->byte_count);
    }
    if (!kv_commit_wait_for_memory(kv, wait)) {
        return error_set(error, QUARRY_NO_MEMORY,
                         "store '%s': no memory for a write of %" PRIu64
                         " bytes, and nothing to flush",
                         kv->path, want->byte_count);
    }
    return QUARRY_OK;
}

/* What is in the memtable becomes immutable, if nothing is, and is waited for. */
static enum quarry_status flush(struct quarry_kv *kv, const struct kv_memory_want *want,
                                size_t waiting_count, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (waiting_count == 0) {
        status = kv_commit_rotate(kv, want->full, want->never_waits, error);
        waiting_count = 1;
    }
    if (status == QUARRY_OK) {
        status = kv_commit_wait_for_flush(kv, waiting_count, want->never_waits, error);
    }
    kv_view_collect(kv);
    kv_commit_restore_reserves(kv);
    return status;
}

enum quarry_status kv_commit_find_memory(struct quarry_kv *kv, const struct kv_memory_want *want,
                                         struct kv_memory_wait *wait, struct quarry_error *error)
{
    enum quarry_status status = kv_may_write(kv, error);
    size_t waiting_count;

    if (status == QUARRY_OK) {
        status = check_size(kv, want, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (want->full == NULL && quarry_arena_keeper_reclaim(kv->keeper, want->byte_count) > 0) {
        return QUARRY_OK;
    }
    bool has_layers = kv_commit_has_layers(kv, &waiting_count);
    status =
        has_layers ? flush(kv, want, waiting_count, error) : wait_for_others(kv, want, wait, error);
    wait->seen = kv_background_changes(kv);
    return status;
}
