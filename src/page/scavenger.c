/*
 * The scavenger: when to give pages back, and how much.
 *
 *   committed ┌─────────────┬────────┬──────────────┬──────────┐
 *             │   in use    │ cached │ free, backed │ metadata │
 *             └─────────────┴────────┴──────────────┴──────────┘
 *              `----------- retained ---------------'
 *
 * Two goals. Retained bytes should not be above 1.10 × what was recently in use (the most of this
 * generation and the last, summed over lanes; pages rather than objects, because with fragmentation
 * above 10 % a goal in objects could never be met and would scavenge for ever). And committed bytes
 * should not be above 95 % of the limit, so that who needs memory finds some.
 *
 * While a goal is unmet the thread works in bouts of a millisecond, and sleeps in between so that
 * it takes 1 % of the CPUs, or up to 10 % as the limit comes near. When nothing is to do for a
 * while it parks, and looks round every two seconds; slow paths of the allocator wake it earlier.
 *
 * Besides: an allocation that grew a lane gives as much back elsewhere
 * (page_scavenge_after_growth), and one that does not fit the limit gives back what it lacks
 * (page_heap_reserve).
 *
 * The thread begins at the first slow path that finds it wanted, not when the heap is created: a
 * heap may be created before threads can be, and after a fork the child has none.
 *
 * Source: Go's two goals and its generations; where Go counts garbage collections we count time.
 */
#include <page/scavenger.h>

#include <page/heap.h>

/* How long a quiet thread sleeps before it looks round again. */
#define SCAVENGER_PARK_NS (2 * Q_SECOND_NS)
/* Between looks for other threads, where the process ends with the last of them. */
#define SCAVENGER_WATCH_NS (20 * Q_MS_NS)
/* Generations without work after which it is quiet: the second flushes idle page caches. */
#define SCAVENGER_QUIET_GENERATIONS 4

/* Slow paths to let pass before trying once more to start a thread that would not start. */
#define SCAVENGER_START_DELAY 1000

/* Values of the futex word. */
enum scavenger_sleep {
    SCAVENGER_AWAKE,
    SCAVENGER_PACED,  /* asleep for pacing: only stopping wakes it */
    SCAVENGER_PARKED, /* asleep for want of work: a poke wakes it */
};

/* ---- goals ---------------------------------------------------------------------------------- */

uint64_t page_scavenger_retained_bytes(struct page_heap *heap)
{
    uint64_t other_bytes = atomic_load_relaxed_u64(&heap->commit.metadata_bytes) +
                           page_reserve_held_bytes(&heap->reserve);

    return sat_sub_u64(page_commit_read(&heap->commit).committed_bytes, other_bytes);
}

bool page_scavenger_is_over_limit_goal(struct page_heap *heap)
{
    struct page_commit_state state = page_commit_read(&heap->commit);

    /* In percent of the limit: 100 × committed > 95 × limit, in units that cannot overflow. */
    return (state.committed_bytes >> PAGE_COMMIT_UNIT_SHIFT) * 100 >
           (state.limit_bytes >> PAGE_COMMIT_UNIT_SHIFT) * PAGE_LIMIT_GOAL_PERCENT;
}

static bool scavenger_is_over_retain_goal(struct page_heap *heap)
{
    return page_scavenger_retained_bytes(heap) >
           atomic_load_relaxed_u64(&heap->scavenger.retain_goal_bytes);
}

/* The share of one CPU to take: 1 % of all of them, and more as the limit comes near. */
static double scavenger_set_point(struct page_heap *heap)
{
    struct page_commit_state state = page_commit_read(&heap->commit);
    double fullness = (double)state.committed_bytes / (double)state.limit_bytes;
    double rise = (fullness - 0.90) / (0.99 - 0.90);

    rise = rise < 0.0 ? 0.0 : rise > 1.0 ? 1.0 : rise;
    double share = PAGE_SCAVENGE_CPU_LOW + rise * (PAGE_SCAVENGE_CPU_HIGH - PAGE_SCAVENGE_CPU_LOW);
    share *= heap->scavenger.cpu_count;
    return share < PAGE_SCAVENGE_CPU_MAX ? share : PAGE_SCAVENGE_CPU_MAX;
}

/* Turns one lane's generation over; returns the most pages it had recently. */
static uint64_t lane_next_generation(struct page_lane *lane, uint64_t *allocated_bytes)
{
    os_mutex_lock(&lane->mutex);
    uint64_t recent_pages = size_max_u64(lane->peak_pages, lane->last_peak_pages);
    lane->last_peak_pages = lane->peak_pages;
    lane->peak_pages = page_lane_allocated_pages(lane);
    *allocated_bytes += lane->peak_pages << PAGE_SHIFT;
    page_scavenge_index_next_generation(&lane->tree.index);
    os_mutex_unlock(&lane->mutex);
    return recent_pages;
}

uint64_t page_heap_free_backed_bytes(struct page_heap *heap)
{
    const char *below = heap->space + heap->space_bytes;
    uint64_t pages = 0;
    struct page_lane *lane;

    while ((lane = page_heap_pin_below(heap, below)) != NULL) {
        os_mutex_lock(&lane->mutex);
        pages += page_tree_free_backed_pages(&lane->tree);
        os_mutex_unlock(&lane->mutex);
        below = lane->base;
        page_heap_unpin(lane);
    }
    return pages << PAGE_SHIFT;
}

void page_scavenger_keep_awake(struct page_heap *heap)
{
    heap->scavenger.quiet_generations = 0;
}

static uint64_t goal_for(uint64_t in_use_bytes)
{
    return in_use_bytes +
           size_max_u64(in_use_bytes / 100 * PAGE_RETAIN_PERCENT, PAGE_RETAIN_MIN_BYTES);
}

/* Returns whether all is quiet: no work now, nor when what was recently in use is forgotten. */
static bool scavenger_next_generation(struct page_heap *heap)
{
    const char *below = heap->space + heap->space_bytes;
    uint64_t recent_bytes = 0, allocated_bytes = 0;
    struct page_lane *lane;

    page_caches_flush_idle(heap);
    while ((lane = page_heap_pin_below(heap, below)) != NULL) {
        recent_bytes += lane_next_generation(lane, &allocated_bytes) << PAGE_SHIFT;
        below = lane->base;
        page_heap_unpin(lane);
    }
    atomic_store_relaxed_u64(&heap->scavenger.retain_goal_bytes, goal_for(recent_bytes));
    return page_scavenger_retained_bytes(heap) <= goal_for(allocated_bytes) &&
           !page_scavenger_is_over_limit_goal(heap);
}

void page_scavenge_after_growth(struct page_heap *heap, uint64_t grown_bytes)
{
    uint64_t retained_bytes = page_scavenger_retained_bytes(heap);
    uint64_t goal_bytes = atomic_load_relaxed_u64(&heap->scavenger.retain_goal_bytes);

    uint64_t overage_bytes = sat_sub_u64(retained_bytes + grown_bytes, goal_bytes);

    if (overage_bytes > 0) {
        (void)page_scavenge(heap, size_min_u64(grown_bytes, overage_bytes),
                            PAGE_SCAVENGE_BACKGROUND, PAGE_CAUSE_GROW);
    }
}

/* ---- bouts of work -------------------------------------------------------------------------- */

static bool scavenger_has_work(struct page_heap *heap)
{
    return scavenger_is_over_retain_goal(heap) || page_scavenger_is_over_limit_goal(heap);
}

/* Bytes that may go before both goals are met, at most one piece. */
static uint64_t scavenger_next_piece_bytes(struct page_heap *heap)
{
    uint64_t goal_bytes = atomic_load_relaxed_u64(&heap->scavenger.retain_goal_bytes);
    uint64_t over_bytes = sat_sub_u64(page_scavenger_retained_bytes(heap), goal_bytes);
    uint64_t quantum_bytes = (uint64_t)PAGE_SCAVENGE_QUANTUM_PAGES << PAGE_SHIFT;

    if (page_scavenger_is_over_limit_goal(heap)) {
        return quantum_bytes;
    }
    return size_min_u64(over_bytes, quantum_bytes);
}

/* Works for at least a millisecond, or until there is nothing to do. Returns CPU time spent. */
static uint64_t scavenger_work(struct page_heap *heap, uint64_t *ret_released_bytes)
{
    struct os *os = heap->os;
    uint64_t worked_ns = 0, released_bytes = 0;

    while (worked_ns < PAGE_SCAVENGE_WORK_MIN_NS && scavenger_has_work(heap)) {
        uint64_t began_ns = os_thread_cpu_ns(os);
        uint64_t piece_bytes = page_scavenge(heap, scavenger_next_piece_bytes(heap),
                                             PAGE_SCAVENGE_BACKGROUND, PAGE_CAUSE_BACKGROUND);
        uint64_t spent_ns = os_thread_cpu_ns(os) - began_ns;
        if (piece_bytes == 0) {
            worked_ns += spent_ns;
            break;
        }
        if (spent_ns == 0) {
            spent_ns = piece_bytes / os->page_bytes * PAGE_SCAVENGE_OS_PAGE_NS;
        }
        worked_ns += spent_ns;
        released_bytes += piece_bytes;
    }
    *ret_released_bytes = released_bytes;
    return worked_ns;
}

/* What the last sleep was for pacing: a longer one was for want of work, and says nothing. */
static uint64_t scavenger_slept_ns(const struct page_scavenger *scavenger, uint64_t now_ns,
                                   uint64_t worked_ns)
{
    uint64_t slept_ns = sat_sub_u64(now_ns, scavenger->work_ended_at_ns);

    if (!scavenger->is_pacing) {
        return (uint64_t)((double)worked_ns / scavenger->pacer.ratio);
    }
    return slept_ns;
}

static void scavenger_take_turn(struct page_heap *heap, uint64_t now_ns)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    uint64_t released_bytes;
    uint64_t worked_ns = scavenger_work(heap, &released_bytes);

    (void)atomic_add_relaxed_u64(&scavenger->counters.background_cpu_ns, worked_ns);
    if (released_bytes == 0) {
        /* Nothing that may go: the next generation may say otherwise. */
        scavenger->is_pacing = false;
        scavenger->resume_at_ns = scavenger->generation_began_ns + PAGE_GENERATION_NS;
        return;
    }
    uint64_t slept_ns = scavenger_slept_ns(scavenger, now_ns, worked_ns);
    uint64_t sleep_ns =
        page_pacer_next(&scavenger->pacer, worked_ns, slept_ns, scavenger_set_point(heap));
    scavenger->work_ended_at_ns = os_monotonic_ns(heap->os);
    scavenger->resume_at_ns = sat_add_u64(scavenger->work_ended_at_ns, sleep_ns);
    scavenger->is_pacing = scavenger_has_work(heap);
}

uint64_t page_scavenger_run(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    uint64_t now_ns = os_monotonic_ns(heap->os);

    if (now_ns - scavenger->generation_began_ns >= PAGE_GENERATION_NS) {
        scavenger->generation_began_ns = now_ns;
        scavenger->quiet_generations =
            scavenger_next_generation(heap) ? scavenger->quiet_generations + 1 : 0;
    }
    if (now_ns >= scavenger->resume_at_ns && scavenger_has_work(heap)) {
        scavenger_take_turn(heap, now_ns);
    }
    uint64_t collapse_due_ns = page_collapse_turn(heap);
    if (scavenger->quiet_generations >= SCAVENGER_QUIET_GENERATIONS &&
        collapse_due_ns == UINT64_MAX) {
        return SCAVENGER_PARK_NS;
    }
    uint64_t due_ns =
        size_min_u64(scavenger->generation_began_ns + PAGE_GENERATION_NS, collapse_due_ns);
    if (scavenger_has_work(heap)) {
        due_ns = size_min_u64(due_ns, scavenger->resume_at_ns);
    }
    return sat_sub_u64(due_ns, os_monotonic_ns(heap->os));
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void scavenger_sleep(struct page_scavenger *scavenger, uint64_t duration_ns)
{
    uint32_t kind = duration_ns >= SCAVENGER_PARK_NS ? SCAVENGER_PARKED : SCAVENGER_PACED;

    atomic_store_seq_cst_u32(&scavenger->sleep, kind);
    /* Pairs with the store in page_scavenger_fini: one of the two sees the other. */
    if (!atomic_load_seq_cst_u32(&scavenger->is_stopping)) {
        os_futex_wait(&scavenger->sleep, kind, duration_ns);
    }
    if (atomic_exchange_seq_cst_u32(&scavenger->sleep, SCAVENGER_AWAKE) != kind) {
        /* Poked: what made somebody poke may need a few generations. */
        scavenger->quiet_generations = 0;
    }
}

/* Work of the layers above, once a generation; this thread is there anyway. */
void page_scavenger_tick(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    uint64_t now_ns = os_monotonic_ns(heap->os);

    if (now_ns - scavenger->ticked_at_ns < PAGE_GENERATION_NS) {
        return;
    }
    page_reserve_refill(heap);
    if (page_hooks_tick(heap)) {
        scavenger->ticked_at_ns = now_ns;
    }
}

static void scavenger_main(void *argument)
{
    struct page_heap *heap = argument;
    struct page_scavenger *scavenger = &heap->scavenger;

    while (!atomic_load_seq_cst_u32(&scavenger->is_stopping)) {
        page_scavenger_tick(heap);
        uint64_t sleep_ns = page_scavenger_run(heap);
        if (atomic_load_relaxed_u32(&scavenger->is_watching_threads)) {
            if (os_thread_is_last()) {
                return; /* libc ends the process then */
            }
            sleep_ns = size_min_u64(sleep_ns, SCAVENGER_WATCH_NS);
        }
        if (sleep_ns > 0) {
            scavenger_sleep(scavenger, sleep_ns);
        }
    }
}

/* The stack, charged as metadata; made once, and kept for the thread's successors. */
static enum quarry_status scavenger_make_stack(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    void *stack;

    if (scavenger->stack != NULL) {
        return QUARRY_OK;
    }
    if (!page_commit_try(&heap->commit, OS_THREAD_STACK_BYTES)) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status =
        os_reserve(heap->os, OS_THREAD_STACK_BYTES, heap->os->page_bytes, &stack);
    if (status == QUARRY_OK) {
        status = os_commit(heap->os, stack, OS_THREAD_STACK_BYTES);
        if (status != QUARRY_OK) {
            (void)os_release(heap->os, stack, OS_THREAD_STACK_BYTES);
        }
    }
    if (status != QUARRY_OK) {
        page_commit_release(&heap->commit, OS_THREAD_STACK_BYTES);
        return status;
    }
    page_commit_note_metadata(&heap->commit, OS_THREAD_STACK_BYTES);
    scavenger->stack = stack;
    return QUARRY_OK;
}

Q_COLD static void scavenger_start(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    uint32_t wanted = PAGE_SCAVENGER_WANTED;
    uint32_t start_delay = atomic_load_relaxed_u32(&scavenger->start_delay);

    if (page_commit_read(&heap->commit).committed_bytes < scavenger->thread_min_bytes) {
        return;
    }
    if (start_delay > 0) {
        atomic_store_relaxed_u32(&scavenger->start_delay, start_delay - 1);
        return;
    }
    /* One starter; acquire pairs with the release after a failed attempt. */
    if (!atomic_cas_acquire_u32(&scavenger->state, &wanted, PAGE_SCAVENGER_STARTING)) {
        return;
    }
    enum quarry_status status = scavenger_make_stack(heap);
    if (status == QUARRY_OK) {
        status = os_thread_start(&scavenger->thread, "quarry-scav", scavenger->stack,
                                 OS_THREAD_STACK_BYTES, scavenger_main, heap);
    }
    /* No memory or no thread now: a later slow path tries again. */
    atomic_store_relaxed_u32(&scavenger->start_delay, SCAVENGER_START_DELAY);
    atomic_store_release_u32(&scavenger->state,
                             status == QUARRY_OK ? PAGE_SCAVENGER_RUNNING : PAGE_SCAVENGER_WANTED);
}

void page_scavenger_poke(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;
    uint32_t parked = SCAVENGER_PARKED;

    if (Q_UNLIKELY(atomic_load_relaxed_u32(&scavenger->state) == PAGE_SCAVENGER_WANTED)) {
        scavenger_start(heap);
    }
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&scavenger->sleep) == SCAVENGER_PARKED) &&
        atomic_cas_relaxed_u32(&scavenger->sleep, &parked, SCAVENGER_AWAKE)) {
        os_futex_wake(&scavenger->sleep, 1);
    }
}

void page_scavenger_init(struct page_heap *heap, bool has_thread, double cpu_count)
{
    struct page_scavenger *scavenger = &heap->scavenger;

    scavenger->cpu_count = cpu_count;
    page_pacer_init(&scavenger->pacer, scavenger_set_point(heap));
    page_collapser_init(heap);
    scavenger->generation_began_ns = os_monotonic_ns(heap->os);
    scavenger->work_ended_at_ns = scavenger->generation_began_ns;
    /* Until a generation has passed there is no recent use to measure against. */
    atomic_store_relaxed_u64(&scavenger->retain_goal_bytes, UINT64_MAX);
    atomic_store_relaxed_u32(&scavenger->state,
                             has_thread ? PAGE_SCAVENGER_WANTED : PAGE_SCAVENGER_OFF);
}

void page_scavenger_watch_threads(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;

    atomic_store_seq_cst_u32(&scavenger->is_watching_threads, 1);
    if (atomic_exchange_seq_cst_u32(&scavenger->sleep, SCAVENGER_AWAKE) != SCAVENGER_AWAKE) {
        os_futex_wake(&scavenger->sleep, 1);
    }
}

void page_scavenger_want(struct page_heap *heap)
{
    uint32_t off = PAGE_SCAVENGER_OFF;

    (void)atomic_cas_relaxed_u32(&heap->scavenger.state, &off, PAGE_SCAVENGER_WANTED);
}

void page_scavenger_fini(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;

    if (atomic_load_acquire_u32(&scavenger->state) == PAGE_SCAVENGER_RUNNING) {
        atomic_store_seq_cst_u32(&scavenger->is_stopping, 1);
        atomic_store_seq_cst_u32(&scavenger->sleep, SCAVENGER_AWAKE);
        os_futex_wake(&scavenger->sleep, 1);
        os_thread_join(&scavenger->thread);
    }
    atomic_store_relaxed_u32(&scavenger->state, PAGE_SCAVENGER_OFF);
    if (scavenger->stack != NULL &&
        os_release(heap->os, scavenger->stack, OS_THREAD_STACK_BYTES) == QUARRY_OK) {
        page_commit_release_metadata(&heap->commit, OS_THREAD_STACK_BYTES);
    }
    scavenger->stack = NULL;
}

void page_scavenger_after_fork(struct page_heap *heap)
{
    struct page_scavenger *scavenger = &heap->scavenger;

    page_hooks_after_fork(heap);
    if (atomic_load_relaxed_u32(&scavenger->state) == PAGE_SCAVENGER_OFF) {
        return;
    }
    os_thread_forget(&scavenger->thread);
    page_pacer_init(&scavenger->pacer, scavenger_set_point(heap));
    atomic_store_relaxed_u32(&scavenger->sleep, SCAVENGER_AWAKE);
    atomic_store_relaxed_u32(&scavenger->start_delay, 0);
    atomic_store_relaxed_u32(&scavenger->state, PAGE_SCAVENGER_WANTED);
}
