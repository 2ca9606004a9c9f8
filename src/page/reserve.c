/*
 * The reserve: what lets reads and recovery go on when the budget is full.
 *
 *   committed ┌────────┬────────┬──────────────┬──────────┬───────────┐
 *             │ in use │ cached │ free, backed │ metadata │ set aside │
 *             └────────┴────────┴──────────────┴──────────┴───────────┘
 *                   `------------- a payment ------------------'
 *
 * Bytes set aside are charged like any others, so nobody else's charge can have them. A payment
 * takes them out of the reserve and keeps their charge, which is the payer's from then on: it never
 * goes through the budget's word, where a thief could be faster. What was paid with is freed one
 * day like all memory. What goes back to the kernel fills the reserve up first, without having been
 * anybody's in between; and what is free under the limit does, when a thread leaves and once a
 * generation.
 *
 * The goal is a sum: what the memory's user has set, and what stores have added for their own work.
 *
 * Invariants:
 *   1. held ≤ goal, but for moments while the goal is being changed.
 *   2. Every byte of held is charged: the charge comes before it is counted, and is taken back
 *      after, under lanes_mutex, or readers of the ledger would see more than is committed.
 *
 * It pays last, when nothing could be reclaimed: it is small, and reclaiming is what should happen.
 *
 * Locking: lanes_mutex, for lowering. Cost of a payment: one exchange.
 */
#include <page/reserve.h>

#include <page/heap.h>

/* More than a half would be a limit of its own. */
#define RESERVE_LIMIT_SHARE 2u

/* How often the calling thread is inside, for each slot of the table of heaps. */
static _Thread_local struct {
    uint64_t serial; /* of the heap that depth is of */
    uint32_t depth;
} inside[PAGE_HEAPS_MAX];

/* ---- threads -------------------------------------------------------------------------------- */

bool page_reserve_is_inside(const struct page_heap *heap)
{
    return inside[heap->slot].serial == heap->serial && inside[heap->slot].depth > 0;
}

void page_reserve_enter(struct page_heap *heap)
{
    if (inside[heap->slot].serial != heap->serial) {
        inside[heap->slot].serial = heap->serial;
        inside[heap->slot].depth = 0;
    }
    inside[heap->slot].depth++;
}

void page_reserve_leave(struct page_heap *heap)
{
    Q_ASSERT(page_reserve_is_inside(heap));
    if (--inside[heap->slot].depth == 0) {
        page_reserve_refill(heap);
    }
}

/* ---- paying --------------------------------------------------------------------------------- */

/* Takes up to `bytes` of what is held. Returns: how many; they are charged. */
static uint64_t reserve_take(struct page_reserve *reserve, uint64_t bytes)
{
    uint64_t held_bytes = atomic_load_relaxed_u64(&reserve->held_bytes);
    uint64_t taken_bytes;

    do {
        taken_bytes = size_min_u64(held_bytes, bytes);
    } while (
        !atomic_cas_weak_acq_rel_u64(&reserve->held_bytes, &held_bytes, held_bytes - taken_bytes));
    return taken_bytes;
}

/* Charged bytes join what is held. */
static void reserve_add(struct page_reserve *reserve, uint64_t bytes)
{
    /* Pairs with the acquire load in page_reserve_held_bytes. */
    (void)atomic_add_release_u64(&reserve->held_bytes, bytes);
}

bool page_reserve_pay(struct page_heap *heap, uint64_t bytes)
{
    struct page_reserve *reserve = &heap->reserve;

    if (!page_reserve_is_inside(heap)) {
        return false;
    }
    uint64_t taken_bytes = reserve_take(reserve, bytes);
    if (taken_bytes < bytes && !page_commit_try(&heap->commit, bytes - taken_bytes)) {
        reserve_add(reserve, taken_bytes);
        return false;
    }
    (void)atomic_add_relaxed_u64(&reserve->used_bytes, taken_bytes);
    return true;
}

/* ---- filling -------------------------------------------------------------------------------- */

static uint64_t reserve_short_bytes(const struct page_reserve *reserve)
{
    return sat_sub_u64(atomic_load_relaxed_u64(&reserve->goal_bytes),
                       atomic_load_relaxed_u64(&reserve->held_bytes));
}

/* Invariant 2. */
static void reserve_give_back(struct page_heap *heap, uint64_t bytes)
{
    os_mutex_lock(&heap->lanes_mutex);
    page_commit_release(&heap->commit, reserve_take(&heap->reserve, bytes));
    os_mutex_unlock(&heap->lanes_mutex);
}

static void reserve_trim(struct page_heap *heap)
{
    uint64_t goal_bytes = atomic_load_relaxed_u64(&heap->reserve.goal_bytes);
    uint64_t held_bytes = page_reserve_held_bytes(&heap->reserve);

    if (held_bytes > goal_bytes) {
        reserve_give_back(heap, held_bytes - goal_bytes);
    }
}

void page_reserve_refill(struct page_heap *heap)
{
    uint64_t short_bytes = reserve_short_bytes(&heap->reserve);

    if (short_bytes == 0) {
        reserve_trim(heap);
        return;
    }
    struct page_commit_state state = page_commit_read(&heap->commit);
    short_bytes = size_min_u64(
        short_bytes, sat_sub_u64(page_commit_goal_bytes(&heap->commit), state.committed_bytes));
    if (short_bytes > 0 && page_commit_try(&heap->commit, short_bytes)) {
        reserve_add(&heap->reserve, short_bytes);
    }
    /* Somebody may have set another goal meanwhile. */
    reserve_trim(heap);
}

void page_reserve_restore(struct page_heap *heap)
{
    uint64_t short_bytes = reserve_short_bytes(&heap->reserve);

    if (page_reserve_is_inside(heap)) {
        return; /* it would pay for itself */
    }
    if (short_bytes > 0 && page_heap_reserve(heap, short_bytes) == QUARRY_OK) {
        reserve_add(&heap->reserve, short_bytes);
        reserve_trim(heap); /* giving back may have filled it up as well */
    }
    page_reserve_refill(heap);
}

uint64_t page_reserve_keep(struct page_reserve *reserve, uint64_t bytes)
{
    uint64_t held_bytes = atomic_load_relaxed_u64(&reserve->held_bytes);
    uint64_t kept_bytes;

    do {
        uint64_t goal_bytes = atomic_load_relaxed_u64(&reserve->goal_bytes);
        kept_bytes = size_min_u64(bytes, sat_sub_u64(goal_bytes, held_bytes));
        if (kept_bytes == 0) {
            return 0;
        }
        /* Release, by the exchange: pairs with the acquire in page_reserve_held_bytes. */
    } while (
        !atomic_cas_weak_acq_rel_u64(&reserve->held_bytes, &held_bytes, held_bytes + kept_bytes));
    return kept_bytes;
}

/* ---- how much ------------------------------------------------------------------------------- */

/* Adds to the goal. False: it would be more than half of the limit. */
static bool goal_try_add(struct page_heap *heap, uint64_t bytes)
{
    uint64_t most_bytes = page_commit_read(&heap->commit).limit_bytes / RESERVE_LIMIT_SHARE;
    uint64_t goal_bytes = atomic_load_relaxed_u64(&heap->reserve.goal_bytes);

    do {
        if (bytes > sat_sub_u64(most_bytes, goal_bytes)) {
            return false;
        }
    } while (
        !atomic_cas_weak_relaxed_u64(&heap->reserve.goal_bytes, &goal_bytes, goal_bytes + bytes));
    return true;
}

enum quarry_status page_heap_add_reserve(struct page_heap *heap, uint64_t bytes)
{
    struct page_reserve *reserve = &heap->reserve;

    if (page_reserve_is_inside(heap)) {
        return QUARRY_NO_MEMORY; /* it would pay for itself */
    }
    Q_ASSERT(bytes % PAGE_COMMIT_UNIT_BYTES == 0);
    /* Charged before the goal is higher: what goes back meanwhile must not fill it up as well. */
    if (bytes > page_commit_read(&heap->commit).limit_bytes / RESERVE_LIMIT_SHARE) {
        return QUARRY_TOO_LARGE;
    }
    if (page_heap_reserve(heap, bytes) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    if (!goal_try_add(heap, bytes)) {
        page_commit_release(&heap->commit, bytes);
        return QUARRY_TOO_LARGE;
    }
    reserve_add(reserve, bytes);
    reserve_trim(heap);
    return QUARRY_OK;
}

void page_heap_remove_reserve(struct page_heap *heap, uint64_t bytes)
{
    uint64_t before_bytes = atomic_sub_relaxed_u64(&heap->reserve.goal_bytes, bytes);

    Q_ASSERT(before_bytes >= bytes);
    reserve_trim(heap);
}

enum quarry_status page_heap_set_reserve(struct page_heap *heap, uint64_t bytes)
{
    struct page_reserve *reserve = &heap->reserve;
    uint64_t set_bytes = reserve->set_bytes;

    if (bytes > page_commit_read(&heap->commit).limit_bytes / RESERVE_LIMIT_SHARE) {
        return QUARRY_TOO_LARGE;
    }
    uint64_t wanted_bytes = size_align_up_u64(bytes, PAGE_COMMIT_UNIT_BYTES);
    if (wanted_bytes > set_bytes) {
        enum quarry_status status = page_heap_add_reserve(heap, wanted_bytes - set_bytes);
        if (status != QUARRY_OK) {
            return status;
        }
    } else {
        page_heap_remove_reserve(heap, set_bytes - wanted_bytes);
    }
    reserve->set_bytes = wanted_bytes;
    return QUARRY_OK;
}
