/*
 * The budget: limits when a heap is made and afterwards, what is reclaimed in which order, and that
 * what is committed never passes the limit.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>

#include "unit/base/random.h"

static struct page_lane *lane;
static uint32_t owner;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("lane");
    owner = owner_make("test");
    /* The thread and its cache take metadata, which is not to be counted later. */
    page_free(lane, take_pages(lane, owner, 1));
    (void)page_heap_trim(heap);
    return 0;
}

/* Leaves room for `page_count` pages above what is committed. */
static void leave_room(uint64_t page_count)
{
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + (page_count << PAGE_SHIFT)),
                     QUARRY_OK);
}

static uint64_t limit_now(void)
{
    return page_commit_read(&heap->commit).limit_bytes;
}

/* ---- limits at creation --------------------------------------------------------------------- */

static enum quarry_status try_heap(uint64_t limit_bytes, struct page_heap **ret_heap)
{
    struct page_heap_options options = {.os = &sim.os,
                                        .limit_bytes = limit_bytes,
                                        .reserved_bytes = Q_GIB(2),
                                        .has_no_thread = true};
    struct quarry_error error = {0};
    enum quarry_status status = page_heap_create(&options, ret_heap, &error);

    assert_int_equal(error.text[0] != '\0', status != QUARRY_OK);
    return status;
}

static void a_limit_too_small_for_the_heap_itself_is_refused(void **state)
{
    (void)state;
    struct page_heap *small = NULL;
    struct os_sim_counters before, after;

    os_sim_read_counters(&sim, &before);
    for (uint64_t limit_bytes = 1; limit_bytes < 16384; limit_bytes *= 2) {
        assert_int_equal(try_heap(limit_bytes, &small), QUARRY_BAD_INPUT);
    }
    os_sim_read_counters(&sim, &after);
    assert_null(small);
    assert_int_equal(before.reserved_bytes, after.reserved_bytes);
}

static void the_smallest_limit_holds_a_lane_a_cache_and_a_page(void **state)
{
    (void)state;
    struct page_heap *first = heap, *small = NULL;
    struct page_lane *first_lane = lane;
    uint64_t limit_bytes = 4096;

    while (try_heap(limit_bytes, &small) != QUARRY_OK) {
        limit_bytes += 4096;
        assert_true(limit_bytes < Q_MIB(1));
    }
    heap = small;
    lane = lane_make("only");
    uint32_t only = owner_make("only");
    page_free(lane, take_pages(lane, only, 1));
    heap_check();
    page_heap_destroy(small);
    heap = first;
    lane = first_lane;
}

static void a_limit_above_16_tib_is_refused(void **state)
{
    (void)state;
    struct page_heap *large = NULL;

    assert_int_equal(try_heap(PAGE_COMMIT_LIMIT_MAX_BYTES + 1, &large), QUARRY_TOO_LARGE);
    assert_int_equal(try_heap(UINT64_MAX, &large), QUARRY_TOO_LARGE);
    assert_null(large);
    assert_int_equal(try_heap(PAGE_COMMIT_LIMIT_MAX_BYTES, &large), QUARRY_OK);
    page_heap_destroy(large);
    assert_int_equal(page_heap_set_limit(heap, PAGE_COMMIT_LIMIT_MAX_BYTES + 1), QUARRY_TOO_LARGE);
    assert_int_equal(limit_now(), Q_GIB(4));
}

static void no_limit_means_90_percent_of_the_cgroup_or_of_ram(void **state)
{
    (void)state;
    struct page_heap *by_default = NULL;
    struct os_machine machine;

    os_machine_read("", &machine);
    uint64_t bytes = machine.ram_bytes;
    if (machine.cgroup_limit_bytes != 0 && machine.cgroup_limit_bytes < bytes) {
        bytes = machine.cgroup_limit_bytes;
    }
    assert_int_equal(try_heap(0, &by_default), QUARRY_OK);
    uint64_t limit_bytes = page_commit_read(&by_default->commit).limit_bytes;
    assert_true(limit_bytes <= bytes / 10 * 9 && limit_bytes > bytes / 10 * 9 - Q_KIB(8));
    page_heap_destroy(by_default);
}

static void a_process_has_four_heaps_and_no_more(void **state)
{
    (void)state;
    struct page_heap *more[PAGE_HEAPS_MAX] = {NULL};

    for (uint32_t i = 1; i < PAGE_HEAPS_MAX; i++) {
        assert_int_equal(try_heap(Q_MIB(64), &more[i]), QUARRY_OK);
    }
    assert_int_equal(try_heap(Q_MIB(64), &more[0]), QUARRY_TOO_MANY);
    for (uint32_t i = 1; i < PAGE_HEAPS_MAX; i++) {
        page_heap_destroy(more[i]);
    }
    assert_int_equal(try_heap(Q_MIB(64), &more[0]), QUARRY_OK);
    page_heap_destroy(more[0]);
}

/* ---- limits that change --------------------------------------------------------------------- */

static void a_raised_limit_lets_the_next_allocation_in(void **state)
{
    (void)state;
    leave_room(10);
    assert_int_equal(page_alloc(lane, owner, 11).status, QUARRY_NO_MEMORY);
    assert_int_equal(atomic_load_relaxed_u64(&heap->refused_count), 1);
    leave_room(11);
    (void)take_pages(lane, owner, 11);
    assert_int_equal(heap_committed(), limit_now());
    heap_check();
}

static void a_lowered_limit_takes_back_what_is_free_and_cached(void **state)
{
    (void)state;
    (void)take_pages(lane, owner, 20);
    uint64_t needed_bytes = heap_committed();
    page_lane_free(lane, take_from_tree(lane, owner, 200));
    page_free(lane, take_pages(lane, owner, 20));
    (void)take_pages(lane, owner, 1);
    assert_true(heap_totals().cached_bytes > 0);
    assert_int_equal(page_heap_set_limit(heap, needed_bytes + PAGE_BYTES), QUARRY_OK);
    assert_int_equal(heap_committed(), needed_bytes + PAGE_BYTES);
    heap_check();
}

static void a_limit_below_what_is_in_use_is_refused_and_the_old_one_stands(void **state)
{
    (void)state;
    (void)take_pages(lane, owner, 100);
    uint64_t committed_bytes = heap_committed();
    assert_int_equal(page_heap_set_limit(heap, committed_bytes - PAGE_BYTES), QUARRY_NO_MEMORY);
    assert_int_equal(limit_now(), Q_GIB(4));
    (void)take_pages(lane, owner, 100);
    heap_check();
}

/* ---- order
 * -----------------------------------------------------------------------------------------------------
 */

#define CALLS_MAX 32u

/* What reclaimers did, in the order in which they were asked. */
static struct {
    uint32_t count;
    char name[CALLS_MAX];
    uint64_t wanted_bytes[CALLS_MAX];
} calls;

struct hoard {
    uint64_t page_count; /* of each run */
    char *runs[64];
    uint32_t run_count;
    char name;
};

static void hoard_fill(struct hoard *hoard, char name, uint32_t run_count, uint64_t page_count)
{
    *hoard = (struct hoard){.name = name, .page_count = page_count, .run_count = run_count};
    for (uint32_t i = 0; i < run_count; i++) {
        hoard->runs[i] = take_pages(lane, owner, page_count);
    }
}

static void calls_note(char name, uint64_t wanted_bytes)
{
    Q_ASSERT(calls.count < CALLS_MAX);
    calls.name[calls.count] = name;
    calls.wanted_bytes[calls.count++] = wanted_bytes;
}

/* Frees as many runs as are wanted. */
static uint64_t hoard_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct hoard *hoard = argument;
    uint64_t freed_bytes = 0;

    calls_note(hoard->name, wanted_bytes);
    while (freed_bytes < wanted_bytes && hoard->run_count > 0) {
        page_free(lane, hoard->runs[--hoard->run_count]);
        freed_bytes += hoard->page_count << PAGE_SHIFT;
    }
    return freed_bytes;
}

static int set_up_hoards(void **state)
{
    calls.count = 0;
    return set_up(state);
}

static void free_pages_go_before_caches_and_caches_before_reclaimers(void **state)
{
    (void)state;
    struct hoard hoard;

    hoard_fill(&hoard, 'a', 1, 40);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, hoard_reclaim, &hoard), QUARRY_OK);
    char *cached = take_pages(lane, owner, 60), *unused = take_from_tree(lane, owner, 30);
    struct page_lane *second = lane_make("second");
    (void)take_from_tree(second, owner, 1);
    page_free(lane, cached);
    page_lane_free(lane, unused);
    leave_room(0);

    /* 30 pages are free and backed, above the run that is cached. */
    (void)take_from_tree(second, owner, 30);
    assert_int_equal(own_cache(lane)->long_runs.count, 1);
    assert_int_equal(calls.count, 0);
    (void)take_from_tree(second, owner, 60);
    assert_int_equal(own_cache(lane)->long_runs.count, 0);
    assert_int_equal(calls.count, 0);
    (void)take_from_tree(second, owner, 40);
    assert_int_equal(calls.count, 1);
    assert_int_equal(calls.wanted_bytes[0], 40 * PAGE_BYTES);
    assert_int_equal(page_lane_alloc(second, owner, 1, 1).status, QUARRY_NO_MEMORY);
    assert_int_equal(calls.count, 2);
    page_heap_remove_reclaimer(heap, hoard_reclaim, &hoard);
    heap_check();
}

static void reclaimers_are_asked_by_order_until_it_is_enough(void **state)
{
    (void)state;
    static struct hoard hoards[4];
    static const uint32_t orders[4] = {30, 10, 20, 10};

    for (uint32_t i = 0; i < 4; i++) {
        hoard_fill(&hoards[i], (char)('a' + i), 2, 10);
        assert_int_equal(page_heap_add_reclaimer(heap, orders[i], hoard_reclaim, &hoards[i]),
                         QUARRY_OK);
    }
    (void)page_heap_trim(heap);
    leave_room(0);
    /* b and d have 20 pages each, c gives 10 of its 20, and a is not asked. */
    (void)take_from_tree(lane, owner, 50);
    assert_int_equal(calls.count, 3);
    assert_memory_equal(calls.name, "bdc", 3);
    assert_int_equal(calls.wanted_bytes[0], 50 * PAGE_BYTES);
    assert_int_equal(calls.wanted_bytes[1], 30 * PAGE_BYTES);
    assert_int_equal(calls.wanted_bytes[2], 10 * PAGE_BYTES);
    assert_int_equal(hoards[2].run_count, 1);
    assert_int_equal(hoards[0].run_count, 2);
    heap_check();
    for (uint32_t i = 0; i < 4; i++) {
        page_heap_remove_reclaimer(heap, hoard_reclaim, &hoards[i]);
    }
}

static void a_lowered_limit_asks_reclaimers_too(void **state)
{
    (void)state;
    struct hoard hoard;

    uint64_t needed_bytes = heap_committed();
    hoard_fill(&hoard, 'a', 10, 10);
    needed_bytes += 30 * PAGE_BYTES;
    assert_int_equal(page_heap_add_reclaimer(heap, 1, hoard_reclaim, &hoard), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, needed_bytes), QUARRY_OK);
    assert_int_equal(hoard.run_count, 3);
    assert_int_equal(heap_committed(), needed_bytes);
    page_heap_remove_reclaimer(heap, hoard_reclaim, &hoard);
    heap_check();
}

static void what_could_never_fit_is_refused_without_asking_anybody(void **state)
{
    (void)state;
    struct hoard hoard;

    hoard_fill(&hoard, 'a', 10, 10);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, hoard_reclaim, &hoard), QUARRY_OK);
    leave_room(5);
    page_free(lane, take_pages(lane, owner, 5));
    uint64_t limit_bytes = limit_now();
    assert_int_equal(page_heap_reserve(heap, limit_bytes + PAGE_BYTES), QUARRY_NO_MEMORY);
    assert_int_equal(page_lane_alloc(lane, owner, (limit_bytes >> PAGE_SHIFT) + 1, 1).status,
                     QUARRY_NO_MEMORY);
    uint64_t metadata_bytes = heap_totals().metadata_bytes;
    assert_int_equal(page_heap_set_limit(heap, metadata_bytes - 4096), QUARRY_NO_MEMORY);
    assert_int_equal(page_heap_set_limit(heap, 0), QUARRY_NO_MEMORY);
    assert_int_equal(calls.count, 0);
    assert_int_equal(hoard.run_count, 10);
    assert_int_equal(limit_now(), limit_bytes);
    assert_int_equal(own_cache(lane)->short_runs.count, 1);
    page_heap_remove_reclaimer(heap, hoard_reclaim, &hoard);
}

static void the_charge_of_cached_pages_is_taken_back_under_pressure(void **state)
{
    (void)state;
    (void)take_pages(lane, owner, 1);
    assert_int_equal(bits_count_u64(own_cache(lane)->block.scavenged), 63);
    leave_room(0);
    struct page_lane *second = lane;
    uint64_t calls_before = os_sim_call_count(&sim, OS_SIM_DECOMMIT);
    char *run = take_from_tree(second, owner, 63);
    assert_int_equal(page_lane_run_pages(second, run), 63);
    assert_int_equal(own_cache(lane)->block.free, 0);
    /* They had no backing, so the kernel was not asked. */
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_DECOMMIT), calls_before);
    heap_check();
}

/* ---- reclaimers
 * ----------------------------------------------------------------------------------------------------
 */

static struct hoard inner;
static enum quarry_status status_inside;

/* Allocates, frees, reads the ledger and changes its own limit: nothing of it may be locked. */
static uint64_t reclaim_and_allocate(void *argument, uint64_t wanted_bytes)
{
    struct page_run run;

    calls_note('x', wanted_bytes);
    status_inside = page_alloc(lane, owner, 500).status;
    (void)hoard_reclaim(&inner, inner.page_count << PAGE_SHIFT);
    run = page_alloc(lane, owner, 2);
    Q_ASSERT(run.status == QUARRY_OK);
    page_free(lane, run.base);
    (void)heap_totals();
    Q_ASSERT(page_heap_validate(heap, NULL) == QUARRY_OK);
    (void)page_heap_trim(heap);
    *(uint32_t *)argument += 1;
    return wanted_bytes;
}

static void a_reclaimer_allocates_and_frees_and_is_not_asked_again_by_itself(void **state)
{
    (void)state;
    uint32_t asked_count = 0;

    hoard_fill(&inner, 'i', 1, 30);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, reclaim_and_allocate, &asked_count),
                     QUARRY_OK);
    leave_room(0);
    (void)take_from_tree(lane, owner, 25);
    assert_int_equal(asked_count, 1);
    assert_int_equal(status_inside, QUARRY_NO_MEMORY);
    assert_int_equal(calls.count, 2);
    assert_memory_equal(calls.name, "xi", 2);
    page_heap_remove_reclaimer(heap, reclaim_and_allocate, &asked_count);
    heap_check();
}

static void a_removed_reclaimer_is_not_asked_and_its_slot_is_used_again(void **state)
{
    (void)state;
    static struct hoard hoards[PAGE_RECLAIMERS_MAX + 1];

    for (uint32_t i = 0; i < PAGE_RECLAIMERS_MAX; i++) {
        hoard_fill(&hoards[i], (char)('a' + i), 1, 4);
        assert_int_equal(page_heap_add_reclaimer(heap, i, hoard_reclaim, &hoards[i]), QUARRY_OK);
    }
    struct hoard *extra = &hoards[PAGE_RECLAIMERS_MAX];
    hoard_fill(extra, 'z', 1, 4);
    assert_int_equal(page_heap_add_reclaimer(heap, 0, hoard_reclaim, extra), QUARRY_TOO_MANY);
    page_heap_remove_reclaimer(heap, hoard_reclaim, extra);
    page_heap_remove_reclaimer(heap, hoard_reclaim, &hoards[0]);
    page_heap_remove_reclaimer(heap, hoard_reclaim, &hoards[1]);
    assert_int_equal(page_heap_add_reclaimer(heap, 99, hoard_reclaim, extra), QUARRY_OK);
    (void)page_heap_trim(heap);
    leave_room(0);
    (void)take_from_tree(lane, owner, 8);
    assert_memory_equal(calls.name, "cd", 2);
    (void)take_from_tree(lane, owner, 52);
    /* c and d once more, with nothing left, then e to p, and at last z. */
    assert_int_equal(calls.count, 17);
    assert_int_equal(calls.name[16], 'z');
    heap_check();
    for (uint32_t i = 2; i <= PAGE_RECLAIMERS_MAX; i++) {
        page_heap_remove_reclaimer(heap, hoard_reclaim, &hoards[i]);
    }
}

static _Atomic uint32_t slow_stage; /* 1: inside; 2: may leave; 3: has left */

static uint64_t reclaim_slowly(void *argument, uint64_t wanted_bytes)
{
    (void)argument;
    (void)wanted_bytes;
    atomic_store_release_u32(&slow_stage, 1);
    while (atomic_load_acquire_u32(&slow_stage) < 2) {
        os_yield();
    }
    os_sleep_ns(20 * Q_MS_NS);
    atomic_store_release_u32(&slow_stage, 3);
    return 0;
}

static void *allocate_too_much(void *argument)
{
    (void)argument;
    Q_ASSERT(page_alloc(lane, owner, 100).status == QUARRY_NO_MEMORY);
    return NULL;
}

static void removal_waits_until_the_reclaimer_has_been_left(void **state)
{
    (void)state;
    pthread_t thread;

    (void)take_pages(lane, owner, 200);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, reclaim_slowly, NULL), QUARRY_OK);
    leave_room(0);
    assert_int_equal(pthread_create(&thread, NULL, allocate_too_much, NULL), 0);
    while (atomic_load_acquire_u32(&slow_stage) < 1) {
        os_yield();
    }
    atomic_store_release_u32(&slow_stage, 2);
    page_heap_remove_reclaimer(heap, reclaim_slowly, NULL);
    assert_int_equal(atomic_load_acquire_u32(&slow_stage), 3);
    assert_int_equal(pthread_join(thread, NULL), 0);
    heap_check();
}

/* ---- tight limits
 * ------------------------------------------------------------------------------------------------------
 */

static void no_step_passes_the_limit(void **state)
{
    (void)state;
    struct page_run runs[64] = {{0}};
    uint64_t seed = 3, refused_count = 0;

    leave_room(300);
    for (int step = 0; step < 20000; step++) {
        uint64_t i = random_u64(&seed) % 64, page_count = 1 + random_u64(&seed) % 40;
        if (runs[i].base != NULL) {
            page_free(lane, runs[i].base);
            runs[i].base = NULL;
        } else {
            runs[i] = page_alloc(lane, owner, page_count);
            refused_count += runs[i].base == NULL;
        }
        struct page_commit_state commit = page_commit_read(&heap->commit);
        assert_true(commit.committed_bytes <= commit.limit_bytes);
        if (step % 500 == 0) {
            heap_check();
        }
    }
    assert_true(refused_count > 0);
    assert_int_equal(heap_totals().peak_bytes <= limit_now(), 1);
}

#define THREADS       32
#define THREAD_STEPS  1500
#define RUNS_A_THREAD 4

static _Atomic uint64_t taken_count, refused_sum;

/* Who found everything taken by threads that had no processor goes on: all get some in the end. */
static bool goes_on(int step, int taken)
{
    return step < THREAD_STEPS || taken <= THREAD_STEPS / 10;
}

static void *allocate_and_free(void *argument)
{
    int taken = 0;
    uint64_t seed = (uint64_t)(uintptr_t)argument;
    void *bases[RUNS_A_THREAD] = {NULL};

    for (int step = 0; goes_on(step, taken); step++) {
        uint64_t i = random_u64(&seed) % RUNS_A_THREAD;
        if (bases[i] != NULL) {
            page_free(lane, bases[i]);
            bases[i] = NULL;
            continue;
        }
        struct page_run run = page_alloc(lane, owner, 1 + random_u64(&seed) % 24);
        Q_ASSERT(run.status == QUARRY_OK || run.status == QUARRY_NO_MEMORY);
        bases[i] = run.base;
        taken += run.base != NULL;
        if (run.base == NULL && step >= THREAD_STEPS) {
            os_yield();
        }
        (void)atomic_add_relaxed_u64(run.base != NULL ? &taken_count : &refused_sum, 1);
        struct page_commit_state commit = page_commit_read(&heap->commit);
        Q_ASSERT(commit.committed_bytes <= commit.limit_bytes);
    }
    for (int i = 0; i < RUNS_A_THREAD; i++) {
        if (bases[i] != NULL) {
            page_free(lane, bases[i]);
        }
    }
    return NULL;
}

static void thirty_two_threads_share_a_tight_limit(void **state)
{
    (void)state;
    pthread_t threads[THREADS];

    leave_room(250);
    uint64_t limit_bytes = limit_now();
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print_message("%llu runs taken, %llu refused\n",
                  (unsigned long long)atomic_load_relaxed_u64(&taken_count),
                  (unsigned long long)atomic_load_relaxed_u64(&refused_sum));
    assert_true(atomic_load_relaxed_u64(&taken_count) > THREADS * THREAD_STEPS / 10);
    assert_true(heap_totals().peak_bytes <= limit_bytes);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_check();
    /* Everything is there again for one who wants it all. */
    uint64_t left_pages = (limit_bytes - heap_totals().metadata_bytes) >> PAGE_SHIFT;
    page_lane_free(lane, take_from_tree(lane, owner, left_pages));
}

#define in_a_heap(test) cmocka_unit_test_setup_teardown(test, set_up_hoards, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(a_limit_too_small_for_the_heap_itself_is_refused),
        in_a_heap(the_smallest_limit_holds_a_lane_a_cache_and_a_page),
        in_a_heap(a_limit_above_16_tib_is_refused),
        in_a_heap(no_limit_means_90_percent_of_the_cgroup_or_of_ram),
        in_a_heap(a_process_has_four_heaps_and_no_more),
        in_a_heap(a_raised_limit_lets_the_next_allocation_in),
        in_a_heap(a_lowered_limit_takes_back_what_is_free_and_cached),
        in_a_heap(a_limit_below_what_is_in_use_is_refused_and_the_old_one_stands),
        in_a_heap(free_pages_go_before_caches_and_caches_before_reclaimers),
        in_a_heap(reclaimers_are_asked_by_order_until_it_is_enough),
        in_a_heap(a_lowered_limit_asks_reclaimers_too),
        in_a_heap(what_could_never_fit_is_refused_without_asking_anybody),
        in_a_heap(the_charge_of_cached_pages_is_taken_back_under_pressure),
        in_a_heap(a_reclaimer_allocates_and_frees_and_is_not_asked_again_by_itself),
        in_a_heap(a_removed_reclaimer_is_not_asked_and_its_slot_is_used_again),
        in_a_heap(removal_waits_until_the_reclaimer_has_been_left),
        in_a_heap(no_step_passes_the_limit),
        in_a_heap(thirty_two_threads_share_a_tight_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
