/*
 * Making room: what happens when bytes do not fit under the limit.
 *
 *   1  give back free pages of all lanes, highest addresses first
 *   2  take back what threads have cached, and give that back
 *   3  ask the registered reclaimers, in their order, and after each do 1 and 2 again; a few times
 *      over, as long as they say that they have freed something
 *   4  for a thread inside the reserve: pay with what is set aside (reserve.c)
 *   5  say no
 *
 * All of it without a lock, because reclaimers are whole stores: they free pages, wait for their
 * own locks, and may even allocate. An allocation from inside a reclaimer goes through steps 1 and
 * 2 but asks no reclaimer again.
 *
 * A lower limit comes about by the same steps, again and again for up to two seconds: reclaimers
 * may free by and by, and allocators are busy meanwhile. Charges are held to the new limit from the
 * first moment, or they would take what is freed for its sake.
 *
 * A request that could not fit if everything were free is refused before anybody is asked: evicting
 * a whole cache for it would help nobody.
 */
#include <page/heap.h>

/*
 * How often to look whether those who are giving pages back are done. One that runs is within a few
 * hundred microseconds, and found by yielding; one that has lost its processor may be away for many
 * time slices, and is slept for. Together they bound the wait to half a second or so: doubling it
 * doubles how long an allocation that cannot succeed is kept while new pieces take off.
 */
#define FLIGHT_YIELDS_MAX 1000u
#define FLIGHT_SLEEPS_MAX 500u
#define FLIGHT_SLEEP_NS   (1 * Q_MS_NS)

/* Rounds of asking for one charge: pages of what was freed in bits and pieces may come with the
 * next. */
#define ASK_ROUNDS_MAX 4u
/* How long a limit may take to fall, and how many passes in a row may free nothing by then. */
#define LIMIT_FALL_NS        (2 * Q_SECOND_NS)
#define LIMIT_STALLS_MAX     200u
#define LIMIT_STALL_SLEEP_NS (1 * Q_MS_NS)

/* The reclaimer, of whichever heap, that the calling thread is inside. */
static _Thread_local struct page_reclaimer *entered;

/* The heap whose limit the calling thread is changing. */
static _Thread_local const struct page_heap *changing;

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

/* Step 3, once. `ret_freed_bytes`: what they said they freed. */
static bool ask_reclaimers(struct page_heap *heap, const struct goal *goal,
                           uint64_t *ret_freed_bytes)
{
    struct reclaimer_call call = reclaimer_enter(heap, 0);
    uint64_t freed_bytes = 0;
    bool is_reached = false;

    while (call.reclaimer != NULL) {
        entered = call.reclaimer;
        freed_bytes = sat_add_u64(
            freed_bytes, call.reclaim(call.argument, goal->short_bytes(heap, goal->value)));
        entered = NULL;
        reclaimer_leave(call.reclaimer);
        give_back_free(heap, goal->short_bytes(heap, goal->value));
        is_reached = goal->try_reach(heap, goal->value);
        if (is_reached) {
            break;
        }
        call = reclaimer_enter(heap, call.place + 1);
    }
    *ret_freed_bytes = freed_bytes;
    return is_reached;
}

/*
 * What others are giving back this moment was free too, and was not to be found. Not to be waited
 * for for ever, since new pieces may always take off.
 */
static bool reach_after_flights(struct page_heap *heap, const struct goal *goal)
{
    bool is_reached = goal->try_reach(heap, goal->value);

    /* Pairs with the release in page_lane_fly. */
    for (uint32_t i = 0; !is_reached && i < FLIGHT_YIELDS_MAX + FLIGHT_SLEEPS_MAX &&
                         atomic_load_acquire_u32(&heap->scavenger.flight_count) > 0;
         i++) {
        if (i < FLIGHT_YIELDS_MAX) {
            os_yield();
        } else {
            os_sleep_ns(FLIGHT_SLEEP_NS);
        }
        is_reached = goal->try_reach(heap, goal->value);
    }
    return is_reached;
}

/* Steps 1 to 3. `ret_freed_bytes`: what reclaimers said they freed in the last round. */
static bool reach(struct page_heap *heap, const struct goal *goal, uint32_t rounds,
                  uint64_t *ret_freed_bytes)
{
    uint64_t freed_bytes = 0;

    give_back_free(heap, goal->short_bytes(heap, goal->value));
    bool is_reached = reach_after_flights(heap, goal);
    for (uint32_t i = 0; i < rounds && !is_reached && entered == NULL; i++) {
        is_reached = ask_reclaimers(heap, goal, &freed_bytes);
        if (freed_bytes == 0) {
            break;
        }
    }
    *ret_freed_bytes = freed_bytes;
    return is_reached;
}

/* ---- reserving ------------------------------------------------------------------------------ */

/* How many bytes must go before `bytes` fit; at least 1, for they did not fit a moment ago. */
static uint64_t charge_short_bytes(struct page_heap *heap, uint64_t bytes)
{
    uint64_t committed_bytes = page_commit_read(&heap->commit).committed_bytes;

    return size_max_u64(sat_sub_u64(committed_bytes + bytes, page_heap_limit_goal(heap)), 1);
}

static bool charge_try(struct page_heap *heap, uint64_t bytes)
{
    return page_commit_try(&heap->commit, bytes);
}

/* What no reclaiming can free. */
static uint64_t unmovable_bytes(const struct page_heap *heap)
{
    return atomic_load_relaxed_u64(&heap->commit.metadata_bytes) +
           page_reserve_held_bytes(&heap->reserve);
}

enum quarry_status page_heap_reserve(struct page_heap *heap, uint64_t bytes)
{
    const struct goal goal = {charge_short_bytes, charge_try, bytes};
    uint64_t freed_bytes;

    if (charge_try(heap, bytes)) {
        return QUARRY_OK;
    }
    if (bytes <= sat_sub_u64(page_heap_limit_goal(heap), unmovable_bytes(heap)) &&
        reach(heap, &goal, ASK_ROUNDS_MAX, &freed_bytes)) {
        return QUARRY_OK;
    }
    if (page_reserve_pay(heap, bytes)) {
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

/*
 * Whether something is committed that nobody uses. A pass may miss it: between emptying the caches
 * and looking for free pages it loses its processor, and caches are full again; or another thread
 * that gives pages back has lost its own.
 */
static bool is_any_idle(struct page_heap *heap)
{
    struct quarry_ledger totals;

    (void)page_heap_ledger(heap, &totals, NULL, 0);
    return totals.cached_bytes + totals.free_backed_bytes + totals.in_flight_bytes > 0;
}

/*
 * Pass after pass, as long as committed bytes fall; or reclaimers say that they have freed some,
 * which takes a moment to become free pages; or some are free.
 */
static bool limit_bring_about(struct page_heap *heap, uint64_t limit_bytes)
{
    const struct goal goal = {limit_short_bytes, limit_try, limit_bytes};
    uint64_t deadline_ns = os_monotonic_ns(heap->os) + LIMIT_FALL_NS;
    uint32_t stalls = 0;
    bool is_reached = limit_try(heap, limit_bytes);

    while (!is_reached && stalls <= LIMIT_STALLS_MAX && os_monotonic_ns(heap->os) < deadline_ns) {
        uint64_t freed_bytes, before_bytes = page_commit_read(&heap->commit).committed_bytes;
        is_reached = reach(heap, &goal, 1, &freed_bytes);
        bool is_falling = page_commit_read(&heap->commit).committed_bytes < before_bytes;
        if (!is_reached && !is_falling && freed_bytes == 0 && !is_any_idle(heap)) {
            break;
        }
        stalls = is_falling ? 0 : stalls + 1;
        if (!is_reached && !is_falling) {
            os_sleep_ns(LIMIT_STALL_SLEEP_NS);
        }
    }
    return is_reached;
}

/* One change at a time: a failed one puts the limit back that it found. */
static bool limit_change(struct page_heap *heap, uint64_t limit_bytes)
{
    uint64_t old_limit_bytes = page_commit_read(&heap->commit).limit_bytes;

    page_commit_set_falling(&heap->commit, limit_bytes);
    bool is_reached = limit_bring_about(heap, limit_bytes);
    if (!is_reached) {
        (void)page_commit_set_limit(&heap->commit, old_limit_bytes);
    }
    page_commit_set_falling(&heap->commit, UINT64_MAX);
    return is_reached;
}

void page_limit_after_fork(struct page_heap *heap)
{
    if (changing != heap) {
        page_commit_set_falling(&heap->commit, UINT64_MAX);
        atomic_store_relaxed_u32(&heap->is_limit_changing, 0);
    }
}

enum quarry_status page_heap_set_limit(struct page_heap *heap, uint64_t limit_bytes)
{
    uint32_t unchanging = 0;

    if (limit_bytes > PAGE_COMMIT_LIMIT_MAX_BYTES) {
        return QUARRY_TOO_LARGE;
    }
    /* What the heap's own structures and the reserve pass would cost everything, and be refused
     * after all. */
    if (limit_bytes < unmovable_bytes(heap)) {
        return QUARRY_NO_MEMORY;
    }
    /* Acquire: pairs with the release below, at the end of another change. */
    if (!atomic_cas_acquire_u32(&heap->is_limit_changing, &unchanging, 1)) {
        return QUARRY_BUSY;
    }
    changing = heap;
    bool is_reached = limit_change(heap, limit_bytes);
    changing = NULL;
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
