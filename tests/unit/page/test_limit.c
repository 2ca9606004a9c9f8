/*
 * A limit that is lowered: reclaimers that free by and by, allocators that are busy meanwhile, and
 * when it is given up.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>

#define RUNS 512u

/* Something that frees `per_call` runs a call. */
struct hoard {
    void *run[RUNS];
    uint32_t run_count;
    uint32_t per_call;
    uint64_t call_ns; /* the clock moves by so much in a call */
    uint64_t claimed; /* said to be freed besides */
    uint32_t call_count;
};

static struct page_lane *lane;
static uint32_t owner;
static struct hoard hoard;

static uint64_t hoard_reclaim(void *argument, uint64_t wanted_bytes)
{
    uint64_t freed_bytes = 0;

    (void)argument;
    hoard.call_count++;
    os_sim_advance(&sim, hoard.call_ns);
    for (uint32_t i = 0; i < hoard.per_call && hoard.run_count > 0 && freed_bytes < wanted_bytes;
         i++) {
        page_free(lane, hoard.run[--hoard.run_count]);
        freed_bytes += PAGE_BYTES;
    }
    return freed_bytes + hoard.claimed;
}

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("lane");
    owner = owner_make("test");
    hoard = (struct hoard){.per_call = 1};
    for (; hoard.run_count < RUNS; hoard.run_count++) {
        hoard.run[hoard.run_count] = take_from_tree(lane, owner, 1);
    }
    assert_int_equal(page_heap_add_reclaimer(heap, 5, hoard_reclaim, NULL), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    page_heap_remove_reclaimer(heap, hoard_reclaim, NULL);
    while (hoard.run_count > 0) {
        page_free(lane, hoard.run[--hoard.run_count]);
    }
    return heap_tear_down(state);
}

static uint64_t limit_now(void)
{
    return page_commit_read(&heap->commit).limit_bytes;
}

/* Half of what is committed but for the heap's own structures. */
static uint64_t half(void)
{
    return heap_committed() - (RUNS / 2 << PAGE_SHIFT);
}

static void a_reclaimer_that_frees_a_page_a_call_is_asked_until_it_is_done(void **state)
{
    (void)state;
    uint64_t limit_bytes = half();

    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_int_equal(limit_now(), limit_bytes);
    assert_true(hoard.call_count >= 240);
    assert_true(heap_committed() <= limit_bytes);
    heap_check();
}

static void it_is_given_up_after_two_seconds_of_the_clock(void **state)
{
    (void)state;
    uint64_t old_limit_bytes = limit_now();

    hoard.call_ns = 100 * Q_MS_NS;
    assert_int_equal(page_heap_set_limit(heap, half()), QUARRY_NO_MEMORY);
    assert_in_range(hoard.call_count, 19, 21);
    assert_int_equal(limit_now(), old_limit_bytes);
    assert_int_equal(page_heap_limit_goal(heap), old_limit_bytes);
    heap_check();
}

static void it_is_given_up_at_once_when_nobody_frees_anything(void **state)
{
    (void)state;
    hoard.per_call = 0;
    assert_int_equal(page_heap_set_limit(heap, half()), QUARRY_NO_MEMORY);
    assert_int_equal(hoard.call_count, 1);
}

/* The simulated clock stands still: what bounds it is the count of fruitless passes. */
static void a_reclaimer_that_only_says_so_is_not_believed_for_ever(void **state)
{
    (void)state;
    hoard.per_call = 0;
    hoard.claimed = PAGE_BYTES;
    assert_int_equal(page_heap_set_limit(heap, half()), QUARRY_NO_MEMORY);
    assert_in_range(hoard.call_count, 100, 300);
}

/* Another thread frees what is asked for, and keeps it in its caches. */
struct freer {
    pthread_t thread;
    pthread_barrier_t barrier;
};

static void *free_and_stay(void *argument)
{
    struct freer *freer = argument;

    (void)pthread_barrier_wait(&freer->barrier);
    for (uint32_t i = 0; i < RUNS / 2 + 8; i++) {
        page_free(lane, hoard.run[--hoard.run_count]);
    }
    (void)pthread_barrier_wait(&freer->barrier);
    (void)pthread_barrier_wait(&freer->barrier);
    return NULL;
}

/* Says from the first call on that it frees; has the other thread do so in the thirtieth. */
static uint64_t free_by_and_by(void *argument, uint64_t wanted_bytes)
{
    struct freer *freer = argument;

    (void)wanted_bytes;
    if (++hoard.call_count == 30) {
        (void)pthread_barrier_wait(&freer->barrier);
        (void)pthread_barrier_wait(&freer->barrier);
    }
    return PAGE_BYTES;
}

static void what_is_freed_a_moment_later_is_waited_for(void **state)
{
    (void)state;
    uint64_t limit_bytes = half();
    struct freer freer;

    page_heap_remove_reclaimer(heap, hoard_reclaim, NULL);
    assert_int_equal(page_heap_add_reclaimer(heap, 5, free_by_and_by, &freer), QUARRY_OK);
    assert_int_equal(pthread_barrier_init(&freer.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&freer.thread, NULL, free_and_stay, &freer), 0);
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_int_equal(hoard.call_count, 30);
    assert_int_equal(limit_now(), limit_bytes);
    (void)pthread_barrier_wait(&freer.barrier);
    assert_int_equal(pthread_join(freer.thread, NULL), 0);
    (void)pthread_barrier_destroy(&freer.barrier);
    page_heap_remove_reclaimer(heap, free_by_and_by, &freer);
}

/* ---- meanwhile ------------------------------------------------------------------------------ */

static uint64_t goal_seen;
static uint32_t refused_count;

/* While the limit falls, what was given back is not let in again. */
static uint64_t frees_and_grabs(void *argument, uint64_t wanted_bytes)
{
    (void)argument, (void)wanted_bytes;
    for (uint32_t i = 0; i < 8; i++) {
        page_free(lane, hoard.run[--hoard.run_count]);
    }
    (void)page_heap_trim(heap);
    goal_seen = page_heap_limit_goal(heap);
    struct page_commit_state now = page_commit_read(&heap->commit);
    if (now.committed_bytes >= goal_seen) {
        assert_true(now.committed_bytes + PAGE_BYTES <= now.limit_bytes);
        assert_false(page_commit_try(&heap->commit, PAGE_BYTES));
        refused_count++;
    }
    return 8 * PAGE_BYTES;
}

static void charges_are_held_to_the_new_limit_from_the_first_moment(void **state)
{
    (void)state;
    uint64_t limit_bytes = half();

    page_heap_remove_reclaimer(heap, hoard_reclaim, NULL);
    assert_int_equal(page_heap_add_reclaimer(heap, 6, frees_and_grabs, NULL), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_int_equal(goal_seen, limit_bytes);
    assert_true(refused_count >= 30);
    page_heap_remove_reclaimer(heap, frees_and_grabs, NULL);
    assert_int_equal(page_heap_limit_goal(heap), limit_bytes);
}

static _Atomic uint32_t is_over;
static _Atomic uint64_t taken_count;

static void *allocate_and_free(void *argument)
{
    (void)argument;
    while (!atomic_load_acquire_u32(&is_over)) {
        struct page_run run[8];
        for (uint32_t i = 0; i < 8; i++) {
            run[i] = page_alloc(lane, owner, 1 + i % 3);
            (void)atomic_add_relaxed_u64(&taken_count, run[i].status == QUARRY_OK);
        }
        for (uint32_t i = 0; i < 8; i++) {
            if (run[i].status == QUARRY_OK) {
                page_free(lane, run[i].base);
            }
        }
    }
    return NULL;
}

static void it_comes_about_while_others_allocate(void **state)
{
    (void)state;
    pthread_t thread[2];
    uint64_t limit_bytes = half();

    hoard.per_call = 8;
    page_heap_remove_reclaimer(heap, hoard_reclaim, NULL);
    atomic_store_relaxed_u32(&is_over, 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, allocate_and_free, NULL), 0);
    }
    while (atomic_load_relaxed_u64(&taken_count) < 1000) {
        os_yield();
    }
    /* Only the thread that changes the limit asks, or the hoard would need a lock. */
    for (uint32_t i = 0; i < RUNS / 2 + 64; i++) {
        page_free(lane, hoard.run[--hoard.run_count]);
    }
    assert_int_equal(page_heap_set_limit(heap, limit_bytes), QUARRY_OK);
    assert_true(heap_committed() <= limit_bytes);
    atomic_store_release_u32(&is_over, 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    heap_check();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reclaimer_that_frees_a_page_a_call_is_asked_until_it_is_done),
        TEST(it_is_given_up_after_two_seconds_of_the_clock),
        TEST(it_is_given_up_at_once_when_nobody_frees_anything),
        TEST(a_reclaimer_that_only_says_so_is_not_believed_for_ever),
        TEST(what_is_freed_a_moment_later_is_waited_for),
        TEST(charges_are_held_to_the_new_limit_from_the_first_moment),
        TEST(it_comes_about_while_others_allocate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
