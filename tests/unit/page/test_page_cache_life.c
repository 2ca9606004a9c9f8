/*
 * Page caches and what they outlive: lanes that end or share a thread's entry, heaps that go while
 * their threads live on, and budgets with no room for a cache.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>

static struct page_lane *lane;
static uint32_t owner;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("first");
    owner = owner_make("test");
    return 0;
}

/* ---- a thread that does one thing at a time, while the test looks on ------------------------ */

static struct {
    pthread_t thread;
    pthread_barrier_t barrier;
    void (*job)(void); /* NULL: end; written between two waits at the barrier */
} worker;

static void *worker_main(void *argument)
{
    (void)argument;
    for (;;) {
        pthread_barrier_wait(&worker.barrier);
        if (worker.job == NULL) {
            return NULL;
        }
        worker.job();
        pthread_barrier_wait(&worker.barrier);
    }
}

static void worker_begin(void)
{
    assert_int_equal(pthread_barrier_init(&worker.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&worker.thread, NULL, worker_main, NULL), 0);
}

static void worker_do(void (*job)(void))
{
    worker.job = job;
    pthread_barrier_wait(&worker.barrier);
    pthread_barrier_wait(&worker.barrier);
}

static void worker_end(void)
{
    worker.job = NULL;
    pthread_barrier_wait(&worker.barrier);
    assert_int_equal(pthread_join(worker.thread, NULL), 0);
    assert_int_equal(pthread_barrier_destroy(&worker.barrier), 0);
}

/* ---- lanes ---------------------------------------------------------------------------------- */

static void cache_three_runs(void)
{
    char *single = page_alloc(lane, owner, 1).base, *five = page_alloc(lane, owner, 5).base;
    char *fifty = page_alloc(lane, owner, 50).base;

    page_free(lane, single);
    page_free(lane, five);
    page_free(lane, fifty);
    Q_ASSERT(own_cache(lane)->short_runs.count == 2 && own_cache(lane)->long_runs.count == 1);
}

static void keep_one_run(void)
{
    Q_ASSERT(page_alloc(lane, owner, 3).base != NULL);
}

static void a_lane_ends_with_pages_in_other_threads_caches(void **state)
{
    (void)state;
    worker_begin();
    worker_do(cache_three_runs);
    worker_do(keep_one_run);
    cache_three_runs();
    page_lane_end(lane);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    assert_int_equal(heap_totals().cached_bytes, 0);
    assert_int_equal(heap_totals().free_backed_bytes, 0);
    heap_check();
    /* The next lifetime begins with the same caches, empty. */
    worker_do(cache_three_runs);
    cache_three_runs();
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_check();
    worker_end();
}

static void a_lane_is_destroyed_with_pages_in_other_threads_caches(void **state)
{
    (void)state;
    uint32_t id = lane->id;

    worker_begin();
    worker_do(cache_three_runs);
    cache_three_runs();
    page_lane_destroy(lane);
    heap_check();
    lane = lane_make("next");
    assert_int_equal(lane->id, id);
    worker_do(cache_three_runs);
    worker_do(keep_one_run);
    cache_three_runs();
    assert_int_equal(owner_pages_in(owner, lane), 3);
    heap_check();
    worker_end();
    assert_int_equal(owner_pages_in(owner, lane), 3);
    heap_check();
}

static void a_thread_ends_after_its_lane(void **state)
{
    (void)state;
    worker_begin();
    worker_do(cache_three_runs);
    page_lane_destroy(lane);
    worker_end();
    assert_int_equal(heap_totals().cached_bytes, 0);
    assert_null(heap->threads);
}

static void two_lanes_that_share_an_entry_take_turns(void **state)
{
    (void)state;
    struct page_lane *lanes[PAGE_TLS_ENTRIES + 1] = {lane};
    static const char *const names[PAGE_TLS_ENTRIES] = {"b", "c", "d", "e"};

    for (uint32_t i = 0; i < PAGE_TLS_ENTRIES; i++) {
        lanes[i + 1] = lane_make_sized(names[i], PAGE_ZONE_BYTES / 2);
        if (i + 1 < PAGE_TLS_ENTRIES) {
            continue;
        }
        assert_ptr_equal(page_tls_lane_of(lanes[i + 1]), page_tls_lane_of(lane));
    }
    struct page_lane *twin = lanes[PAGE_TLS_ENTRIES];
    for (int i = 0; i < 10; i++) {
        char *one = take_pages(lane, owner, 6), *two = take_pages(twin, owner, 6);
        assert_ptr_equal(page_heap_lane_of(heap, one), lane);
        assert_ptr_equal(page_heap_lane_of(heap, two), twin);
        page_free(lane, one);
        page_free(twin, two);
        assert_int_equal(own_cache(lane)->short_runs.count, 1);
        assert_int_equal(own_cache(twin)->short_runs.count, 1);
    }
    assert_ptr_not_equal(own_cache(lane), own_cache(twin));
    heap_check();
}

/* ---- heaps
 * ------------------------------------------------------------------------------------------------
 */

static void a_thread_lives_on_while_heaps_come_and_go_in_one_slot(void **state)
{
    (void)state;
    uint64_t serial = heap->serial;

    worker_begin();
    worker_do(cache_three_runs);
    cache_three_runs();
    for (int i = 0; i < 3; i++) {
        uint32_t slot = heap->slot;
        heap_restart(&(struct heap_setup){0});
        assert_int_equal(heap->slot, slot);
        assert_true(heap->serial > serial);
        lane = lane_make("again");
        owner = owner_make("test");
        assert_null(heap->threads);
        worker_do(cache_three_runs);
        cache_three_runs();
        assert_non_null(heap->threads->next);
        assert_int_equal(heap_totals().in_use_bytes, 0);
        heap_check();
    }
    worker_end();
    assert_null(heap->threads->next);
}

static void a_thread_ends_after_its_heap(void **state)
{
    worker_begin();
    worker_do(cache_three_runs);
    heap_end();
    worker_end();
    assert_int_equal(set_up(state), 0);
}

/* ---- budgets
 * ------------------------------------------------------------------------------------------------
 */

/* Charges all that is left, so that no metadata can be had. */
static uint64_t exhaust_budget(void)
{
    struct page_commit_state commit = page_commit_read(&heap->commit);
    uint64_t rest_bytes = commit.limit_bytes - commit.committed_bytes;

    assert_true(page_commit_try(&heap->commit, rest_bytes));
    return rest_bytes;
}

static void allocation_works_where_metadata_is_refused(void **state)
{
    (void)state;
    struct page_run runs[8];

    for (int i = 0; i < 8; i++) {
        runs[i] = page_lane_alloc(lane, owner, (uint64_t)i + 1, 1);
    }
    for (int i = 0; i < 8; i++) {
        page_lane_free(lane, runs[i].base);
    }
    /* 36 backed pages are free, nothing more can be charged, and no step of metadata is left. */
    heap->metadata.used_bytes = heap->metadata.committed_bytes;
    uint64_t charged_bytes = exhaust_budget();
    for (int i = 0; i < 8; i++) {
        runs[i] = page_alloc(lane, owner, (uint64_t)i + 1);
        assert_int_equal(runs[i].status, QUARRY_OK);
        assert_null(own_cache(lane));
    }
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_NO_MEMORY);
    for (int i = 0; i < 8; i++) {
        page_free(lane, runs[i].base);
    }
    page_commit_release(&heap->commit, charged_bytes);
    page_free(lane, take_pages(lane, owner, 1));
    assert_non_null(own_cache(lane));
    heap_check();
}

static void metadata_that_the_kernel_refuses_is_done_without(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 1);
    heap->metadata.used_bytes = heap->metadata.committed_bytes;
    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    for (uint64_t page_count = 1; page_count <= 20; page_count++) {
        char *run = take_pages(lane, owner, page_count);
        assert_null(own_cache(lane));
        page_free(lane, run);
    }
    assert_true(os_sim_failed_count(&sim) > 0);
    os_sim_fail_clear(&sim);
    page_free(lane, take_pages(lane, owner, 1));
    assert_non_null(own_cache(lane));
}

static void a_cache_has_no_room_but_its_thread_has(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 1);
    heap->metadata.used_bytes = heap->metadata.committed_bytes - 1024;
    Q_STATIC_ASSERT(sizeof(struct page_thread) <= 1024, "as much as is left");
    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    page_free(lane, take_pages(lane, owner, 4));
    assert_non_null(heap->threads);
    assert_null(own_cache(lane));
    os_sim_fail_clear(&sim);
    page_free(lane, take_pages(lane, owner, 4));
    assert_int_equal(own_cache(lane)->short_runs.count, 1);
}

/* ---- a thread that is kept out -------------------------------------------------------------- */

static void a_thread_that_tries_to_enter_when_it_is_kept_out_gives_up_its_pages(void **state)
{
    (void)state;
    worker_begin();
    worker_do(cache_three_runs);
    struct page_cache *cache = heap->threads->cache[lane->id];
    assert_non_null(cache);
    assert_true(page_cache_pages(cache) >= 56);
    page_caches_stop(heap);
    /* As os_gate_try_enter does before it looks at `stop`; the thread may lose its processor. */
    atomic_store_relaxed_u32(&cache->gate.is_inside, 1);
    page_cache_flush_stopped(cache);
    atomic_store_release_u32(&cache->gate.is_inside, 0);
    page_caches_resume(heap);
    assert_int_equal(page_cache_pages(cache), 0);
    heap_check();
    worker_end();
}

#define in_a_heap(test) cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(a_lane_ends_with_pages_in_other_threads_caches),
        in_a_heap(a_lane_is_destroyed_with_pages_in_other_threads_caches),
        in_a_heap(a_thread_ends_after_its_lane),
        in_a_heap(two_lanes_that_share_an_entry_take_turns),
        in_a_heap(a_thread_lives_on_while_heaps_come_and_go_in_one_slot),
        in_a_heap(a_thread_ends_after_its_heap),
        in_a_heap(allocation_works_where_metadata_is_refused),
        in_a_heap(metadata_that_the_kernel_refuses_is_done_without),
        in_a_heap(a_cache_has_no_room_but_its_thread_has),
        in_a_heap(a_thread_that_tries_to_enter_when_it_is_kept_out_gives_up_its_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
