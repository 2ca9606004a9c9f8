/*
 * Making room: what happens when bytes do not fit under the limit.
 *
 *   1  give back free pages of all lanes, highest addresses first
 *   2  take back what threads have cached, and give that back
 *   3  ask the registered reclaimers, in their order, and after each do 1 and 2 again
 *   4  say no
 *
 * All of it without a lock, because reclaimers are whole stores: they free pages, wait for their
 * own locks, and may even allocate. An allocation from inside a reclaimer goes through steps 1 and
 * 2 but asks no reclaimer again.
 *
 * A request that could not fit if everything were free is refused before anybody is asked: evicting
 * a whole cache for it would help nobody.
 */
#include <page/heap.h>

/* Times to yield to those who are giving pages back: bounds the wait, a guess. */
#define FLIGHT_WAITS_MAX 1000u

/* The reclaimer, of whichever heap, that the calling thread is inside. */
static _Thread_local struct page_reclaimer *entered;

/* Something that needs free memory: how much is lacking, and trying once more. */
struct goal {
    uint64_t (*short_bytes)(struct page_heap *heap, uint64_t value);
    bool (*try_reach)(struct page_heap *heap, uint64_t value);
    uint64_t value;
};

/* Steps 1 and 2. */
static void give_back_free(struct page_heap *heap, uint64_t wanted_bytes)
{
    uint64_t released_bytes =
        page_scavenge(heap, wanted_bytes, PAGE_SCAVENGE_FORCED, PAGE_CAUSE_LIMIT);

    if (released_bytes < wanted_bytes) {
        page_caches_flush_all(heap);
        (void)page_scavenge(heap, wanted_bytes - released_bytes, PAGE_SCAVENGE_FORCED,
                            PAGE_CAUSE_LIMIT);
    }
}

/* ---- asking reclaimers ---------------------------------------------------------------------- */

/* Where a reclaimer stands: by its order, then by its slot. */
static uint64_t reclaimer_place(const struct page_heap *heap,
                                const struct page_reclaimer *reclaimer)
{
    return (uint64_t)reclaimer->order * PAGE_RECLAIMERS_MAX +
           (uint64_t)(reclaimer - heap->reclaimer);
}

/* A reclaimer that cannot be removed while it is being called. */
struct reclaimer_call {
    struct page_reclaimer *reclaimer; /* NULL: there is none left */
    page_reclaim_function *reclaim;
    void *argument;
    uint64_t place;
};

/* Enters the first reclaimer at or after `place`. */
static struct reclaimer_call reclaimer_enter(struct page_heap *heap, uint64_t place)
{
    struct reclaimer_call next = {.place = UINT64_MAX};

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < PAGE_RECLAIMERS_MAX; i++) {
        struct page_reclaimer *reclaimer = &heap->reclaimer[i];
        uint64_t its_place = reclaimer_place(heap, reclaimer);
        if (reclaimer->reclaim != NULL && its_place >= place && its_place < next.place) {
            next = (struct reclaimer_call){reclaimer, reclaimer->reclaim, reclaimer->argument,
                                           its_place};
        }
    }
    if (next.reclaimer != NULL) {
        (void)atomic_add_relaxed_u32(&next.reclaimer->caller_count, 1);
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return next;
}

static void reclaimer_leave(struct page_reclaimer *reclaimer)
{
    /* Pairs with the acquire load in page_heap_remove_reclaimer. */
    (void)atomic_sub_release_u32(&reclaimer->caller_count, 1);
}

/* Step 3. */
static bool ask_reclaimers(struct page_heap *heap, const struct goal *goal)
{
    struct reclaimer_call call = reclaimer_enter(heap, 0);
    bool is_reached = false;

    while (call.reclaimer != NULL) {
        entered = call.reclaimer;
        (void)call.reclaim(call.argument, goal->short_bytes(heap, goal->value));
        entered = NULL;
        reclaimer_leave(call.reclaimer);
        give_back_free(heap, goal->short_bytes(heap, goal->value));
        is_reached = goal->try_reach(heap, goal->value);
        if (is_reached) {
            break;
        }
        call = reclaimer_enter(heap, call.place + 1);
    }
    return is_reached;
}

/*
 * What others are giving back this moment was free too, and was not to be found: a few hundred
 * microseconds at most, and not to be waited for for ever, since new pieces may always take off.
 */
static void wait_for_flights(struct page_heap *heap)
{
    /* Pairs with the release in page_lane_fly. */
    for (uint32_t i = 0;
         i < FLIGHT_WAITS_MAX && atomic_load_acquire_u32(&heap->scavenger.flight_count) > 0; i++) {
        os_yield();
    }
}

static bool reach(struct page_heap *heap, const struct goal *goal)
{
    give_back_free(heap, goal->short_bytes(heap, goal->value));
    bool is_reached = goal->try_reach(heap, goal->value);
    if (!is_reached) {
        wait_for_flights(heap);
        is_reached = goal->try_reach(heap, goal->value);
    }
    if (!is_reached && entered == NULL) {
        is_reached = ask_reclaimers(heap, goal);
    }
    return is_reached;
}

/* ---- reserving ------------------------------------------------------------------------------ */

/* How many bytes must go before `bytes` fit; at least 1, for they did not fit a moment ago. */
static uint64_t charge_short_bytes(struct page_heap *heap, uint64_t bytes)
{
    struct page_commit_state state = page_commit_read(&heap->commit);

    return size_max_u64(sat_sub_u64(state.committed_bytes + bytes, state.limit_bytes), 1);
}

static bool charge_try(struct page_heap *heap, uint64_t bytes)
{
    return page_commit_try(&heap->commit, bytes);
}

enum quarry_status page_heap_reserve(struct page_heap *heap, uint64_t bytes)
{
    const struct goal goal = {charge_short_bytes, charge_try, bytes};
    uint64_t metadata_bytes = atomic_load_relaxed_u64(&heap->commit.metadata_bytes);
    uint64_t limit_bytes = page_commit_read(&heap->commit).limit_bytes;

    if (charge_try(heap, bytes)) {
        return QUARRY_OK;
    }
    if (bytes <= sat_sub_u64(limit_bytes, metadata_bytes) && reach(heap, &goal)) {
        return QUARRY_OK;
    }
    (void)atomic_add_relaxed_u64(&heap->refused_count, 1);
    return QUARRY_NO_MEMORY;
}

/* ---- changing the limit --------------------------------------------------------------------- */

static uint64_t limit_short_bytes(struct page_heap *heap, uint64_t limit_bytes)
{
    uint64_t committed_bytes = page_commit_read(&heap->commit).committed_bytes;

    return size_max_u64(sat_sub_u64(committed_bytes, limit_bytes), 1);
}

/* Each try clamps the limit to what is committed, so on the way down it only falls. */
static bool limit_try(struct page_heap *heap, uint64_t limit_bytes)
{
    return page_commit_set_limit(&heap->commit, limit_bytes) <= limit_bytes;
}

/* One change at a time: a failed one puts the limit back that it found. */
static bool limit_change(struct page_heap *heap, uint64_t limit_bytes)
{
    const struct goal goal = {limit_short_bytes, limit_try, limit_bytes};
    uint64_t old_limit_bytes = page_commit_read(&heap->commit).limit_bytes;
    bool is_reached = limit_try(heap, limit_bytes) || reach(heap, &goal);

    if (!is_reached) {
        (void)page_commit_set_limit(&heap->commit, old_limit_bytes);
    }
    return is_reached;
}

enum quarry_status page_heap_set_limit(struct page_heap *heap, uint64_t limit_bytes)
{
    uint32_t unchanging = 0;

    if (limit_bytes > PAGE_COMMIT_LIMIT_MAX_BYTES) {
        return QUARRY_TOO_LARGE;
    }
    /* What the heap's own structures pass would cost everything, and be refused after all. */
    if (limit_bytes < atomic_load_relaxed_u64(&heap->commit.metadata_bytes)) {
        return QUARRY_NO_MEMORY;
    }
    /* Acquire: pairs with the release below, at the end of another change. */
    if (!atomic_cas_acquire_u32(&heap->is_limit_changing, &unchanging, 1)) {
        return QUARRY_BUSY;
    }
    bool is_reached = limit_change(heap, limit_bytes);
    atomic_store_release_u32(&heap->is_limit_changing, 0);
    page_scavenger_poke(heap);
    return is_reached ? QUARRY_OK : QUARRY_NO_MEMORY;
}

uint64_t page_heap_trim(struct page_heap *heap)
{
    /* As much as there is now: others may free more for as long as this takes. */
    uint64_t retained_bytes = page_scavenger_retained_bytes(heap);

    page_caches_flush_all(heap);
    return page_scavenge(heap, retained_bytes, PAGE_SCAVENGE_FORCED, PAGE_CAUSE_MANUAL);
}

/* ---- registering ---------------------------------------------------------------------------- */

enum quarry_status page_heap_add_reclaimer(struct page_heap *heap, uint32_t order,
                                           page_reclaim_function *reclaim, void *argument)
{
    enum quarry_status status = QUARRY_TOO_MANY;

    Q_ASSERT(reclaim != NULL);
    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < PAGE_RECLAIMERS_MAX && status != QUARRY_OK; i++) {
        struct page_reclaimer *reclaimer = &heap->reclaimer[i];
        if (reclaimer->reclaim == NULL && atomic_load_acquire_u32(&reclaimer->caller_count) == 0) {
            reclaimer->reclaim = reclaim;
            reclaimer->argument = argument;
            reclaimer->order = order;
            status = QUARRY_OK;
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return status;
}

void page_heap_remove_reclaimer(struct page_heap *heap, page_reclaim_function *reclaim,
                                void *argument)
{
    struct page_reclaimer *removed = NULL;

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < PAGE_RECLAIMERS_MAX && removed == NULL; i++) {
        struct page_reclaimer *reclaimer = &heap->reclaimer[i];
        if (reclaimer->reclaim == reclaim && reclaimer->argument == argument) {
            removed = reclaimer;
            removed->reclaim = NULL;
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    /* Pairs with the release in reclaimer_leave. */
    while (removed != NULL && atomic_load_acquire_u32(&removed->caller_count) > 0) {
        os_yield();
    }
}

/* Of all callers only the thread that forked is left, if it was one. */
void page_reclaimers_after_fork(struct page_heap *heap)
{
    for (uint32_t i = 0; i < PAGE_RECLAIMERS_MAX; i++) {
        struct page_reclaimer *reclaimer = &heap->reclaimer[i];
        atomic_store_relaxed_u32(&reclaimer->caller_count, reclaimer == entered ? 1 : 0);
    }
}
