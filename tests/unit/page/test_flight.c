/*
 * Free pages that are on their way back to the kernel, in the hands of a thread that has lost its
 * processor, while another thread needs them.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>

#define RUNS 64u
/* Longer than the time slice of any scheduler that keeps the other thread waiting. */
#define AWAY_NS (20 * Q_MS_NS)

static struct page_lane *lane;
static uint32_t owner;
static void *run[RUNS];

/* ---- a decommit that takes its time --------------------------------------------------------- */

static const struct os_ops *sim_ops;
static struct os_ops slow_ops;
static _Atomic uint32_t is_flying, is_asked;

/* Its thread is away until somebody has asked for what it holds, and a while longer. */
static enum quarry_status decommit_slowly(struct os *os, void *base, size_t bytes)
{
    atomic_store_release_u32(&is_flying, 1);
    while (!atomic_load_acquire_u32(&is_asked)) {
        os_yield();
    }
    os_sleep_ns(AWAY_NS);
    return sim_ops->decommit(os, base, bytes);
}

static void *trim(void *argument)
{
    (void)argument;
    (void)page_heap_trim(heap);
    return NULL;
}

/* All that is free takes off with a thread that stays away. */
static pthread_t take_off(void)
{
    pthread_t thread;

    atomic_store_relaxed_u32(&is_flying, 0);
    atomic_store_relaxed_u32(&is_asked, 0);
    slow_ops = *sim_ops;
    slow_ops.decommit = decommit_slowly;
    sim.os.ops = &slow_ops;
    assert_int_equal(pthread_create(&thread, NULL, trim, NULL), 0);
    while (!atomic_load_acquire_u32(&is_flying)) {
        os_yield();
    }
    return thread;
}

static int set_up(void **state)
{
    (void)heap_set_up(state);
    sim_ops = sim.os.ops;
    lane = lane_make("lane");
    owner = owner_make("test");
    for (uint32_t i = 0; i < RUNS; i++) {
        run[i] = take_from_tree(lane, owner, 1);
    }
    return 0;
}

static void free_runs(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        page_lane_free(lane, run[i]);
    }
}

static int tear_down(void **state)
{
    free_runs(0, RUNS / 2);
    return heap_tear_down(state);
}

/* ---- who needs them ------------------------------------------------------------------------- */

static void an_allocation_waits_for_what_another_thread_is_giving_back(void **state)
{
    (void)state;
    free_runs(RUNS / 2, RUNS / 2);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    pthread_t thread = take_off();
    atomic_store_release_u32(&is_asked, 1);
    struct page_run got = page_lane_alloc(lane, owner, RUNS / 4, 1);
    assert_int_equal(got.status, QUARRY_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    page_lane_free(lane, got.base);
    heap_check();
}

static void a_limit_waits_for_what_another_thread_is_giving_back(void **state)
{
    (void)state;
    uint64_t limit_bytes = heap_committed() - (RUNS / 2 << PAGE_SHIFT);

    free_runs(RUNS / 2, RUNS / 2);
    pthread_t thread = take_off();
    atomic_store_release_u32(&is_asked, 1);
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(heap_committed() <= limit_bytes);
    heap_check();
}

/* ---- what a pass does not get --------------------------------------------------------------- */

static uint32_t ask_count;

/* Frees nothing; at its third call, what others hold can be taken again. */
static uint64_t let_go(void *argument, uint64_t wanted_bytes)
{
    (void)argument, (void)wanted_bytes;
    if (++ask_count == 3) {
        os_sim_fail_clear(&sim);
    }
    return 0;
}

static void a_limit_is_not_given_up_while_something_is_free(void **state)
{
    (void)state;
    uint64_t limit_bytes = heap_committed() - (RUNS / 2 << PAGE_SHIFT);

    ask_count = 0;
    free_runs(RUNS / 2, RUNS / 2);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, let_go, NULL), QUARRY_OK);
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_BUSY);
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_int_equal(ask_count, 3);
    page_heap_remove_reclaimer(heap, let_go, NULL);
    heap_check();
}

static void a_limit_is_given_up_when_what_is_free_stays_out_of_reach(void **state)
{
    (void)state;
    uint64_t old_limit_bytes = page_commit_read(&heap->commit).limit_bytes;
    uint64_t limit_bytes = heap_committed() - (RUNS / 2 << PAGE_SHIFT);

    free_runs(RUNS / 2, RUNS / 2);
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_BUSY);
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_NO_MEMORY);
    os_sim_fail_clear(&sim);
    assert_int_equal(page_commit_read(&heap->commit).limit_bytes, old_limit_bytes);
    heap_check();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_allocation_waits_for_what_another_thread_is_giving_back),
        TEST(a_limit_waits_for_what_another_thread_is_giving_back),
        TEST(a_limit_is_not_given_up_while_something_is_free),
        TEST(a_limit_is_given_up_when_what_is_free_stays_out_of_reach),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
