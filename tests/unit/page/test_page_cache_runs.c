/*
 * The stacks of a page cache: runs that come and go without the lane, and everything that must
 * empty them: eviction, owners, threads and lanes that end, heaps that go.
 */
#include "unit/page/simulated_heap.h"

static struct page_lane *lane;
static uint32_t owner, other_owner;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("runs");
    owner = owner_make("test");
    other_owner = owner_make("other");
    return 0;
}

/* Allocates `run_count` runs of `page_count`, then frees them in the order they came. */
static void free_runs(char **runs, uint32_t run_count, uint64_t page_count)
{
    for (uint32_t i = 0; i < run_count; i++) {
        runs[i] = take_pages(lane, owner, page_count);
    }
    for (uint32_t i = 0; i < run_count; i++) {
        page_free(lane, runs[i]);
    }
}

/* ---- coming and going ----------------------------------------------------------------------- */

static void short_runs_come_back_last_in_first_out(void **state)
{
    (void)state;
    char *runs[8];

    free_runs(runs, 8, 3);
    for (uint32_t i = 8; i > 0; i--) {
        assert_ptr_equal(take_pages(lane, owner, 3), runs[i - 1]);
    }
    heap_check();
}

static void long_runs_come_back_last_in_first_out(void **state)
{
    (void)state;
    char *runs[8];

    free_runs(runs, 8, 100);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 800);
    for (uint32_t i = 8; i > 0; i--) {
        assert_ptr_equal(take_pages(lane, owner, 100), runs[i - 1]);
    }
    assert_int_equal(own_cache(lane)->long_runs.page_count, 0);
    heap_check();
}

static void only_a_run_of_the_same_length_is_taken(void **state)
{
    (void)state;
    char *three = take_pages(lane, owner, 3), *four = take_pages(lane, owner, 4);
    char *long_run = take_pages(lane, owner, 40);

    page_free(lane, three);
    page_free(lane, four);
    page_free(lane, long_run);
    assert_ptr_not_equal(take_pages(lane, owner, 2), four);
    assert_ptr_not_equal(take_pages(lane, owner, 41), long_run);
    assert_ptr_not_equal(take_pages(lane, owner, 39), long_run);
    assert_ptr_equal(take_pages(lane, owner, 3), three);
    assert_ptr_equal(take_pages(lane, owner, 4), four);
    assert_ptr_equal(take_pages(lane, owner, 40), long_run);
    heap_check();
}

static void a_run_from_below_the_top_leaves_the_rest_in_the_stack(void **state)
{
    (void)state;
    char *long_low = take_pages(lane, owner, 20), *long_high = take_pages(lane, owner, 30);
    char *low = take_pages(lane, owner, 5), *high = take_pages(lane, owner, 6);

    page_free(lane, low);
    page_free(lane, high);
    page_free(lane, long_low);
    page_free(lane, long_high);
    assert_ptr_equal(take_pages(lane, owner, 5), low);
    assert_ptr_equal(take_pages(lane, owner, 20), long_low);
    assert_int_equal(own_cache(lane)->short_runs.count, 1);
    assert_int_equal(own_cache(lane)->long_runs.count, 1);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 30);
    heap_check();
}

static void a_run_of_15_pages_is_short_and_one_of_16_long(void **state)
{
    (void)state;
    char *short_run = take_pages(lane, owner, 15), *long_run = take_pages(lane, owner, 16);

    page_free(lane, short_run);
    page_free(lane, long_run);
    assert_int_equal(own_cache(lane)->short_runs.count, 1);
    assert_int_equal(own_cache(lane)->long_runs.count, 1);
    heap_check();
}

static void a_run_of_512_pages_is_cached_and_one_of_513_is_not(void **state)
{
    (void)state;
    char *cached = take_pages(lane, owner, 512), *direct = take_pages(lane, owner, 513);

    page_free(lane, cached);
    page_free(lane, direct);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 512);
    assert_int_equal(own_cache(lane)->long_runs.count, 1);
    assert_ptr_equal(take_pages(lane, owner, 512), cached);
    heap_check();
}

static void a_length_beyond_20_bits_matches_no_cached_run_of_another_owner(void **state)
{
    (void)state;
    struct page_lane *large = lane_make_sized("large", Q_GIB(1));
    uint32_t even = owner & 1 ? other_owner : owner;
    uint32_t odd = owner & 1 ? owner : other_owner;

    assert_int_equal(even | 1, odd);
    /* In one word, 2^20 + 1 pages of the even owner look like one page of the odd one. */
    page_free(large, take_pages(large, odd, 1));
    struct page_run run = page_alloc(large, even, ((uint64_t)1 << 20) + 1);
    assert_null(run.base);
    assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    page_free(large, take_pages(large, odd, 16));
    run = page_alloc(large, even, ((uint64_t)1 << 20) + 16);
    assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    heap_check();
}

static void a_cached_run_is_not_said_to_be_zero(void **state)
{
    (void)state;
    page_free(lane, take_pages(lane, owner, 20));
    assert_false(page_alloc(lane, owner, 20).is_zero);
    page_free(lane, take_pages(lane, owner, 2));
    assert_false(page_alloc(lane, owner, 2).is_zero);
}

/* ---- room
 * -------------------------------------------------------------------------------------------------
 */

static void a_full_short_stack_gives_its_oldest_half_away(void **state)
{
    (void)state;
    char *runs[PAGE_CACHE_SHORT_MAX + 1];

    free_runs(runs, PAGE_CACHE_SHORT_MAX + 1, 4);
    assert_int_equal(own_cache(lane)->short_runs.count, PAGE_CACHE_SHORT_MAX / 2 + 1);
    for (uint32_t i = PAGE_CACHE_SHORT_MAX + 1; i > PAGE_CACHE_SHORT_MAX / 2; i--) {
        assert_ptr_equal(take_pages(lane, owner, 4), runs[i - 1]);
    }
    assert_int_equal(own_cache(lane)->short_runs.count, 0);
    heap_check();
}

/* The long stack takes 1,024 pages, whatever the budget. */
static void make_long_stack_take_1024_pages(void)
{
    page_free(lane, take_pages(lane, owner, 1));
    own_cache(lane)->long_pages_max = 1024;
}

static void the_long_stack_takes_a_128th_of_the_budget_in_bounds(void **state)
{
    (void)state;
    static const struct {
        uint64_t limit_bytes;
        uint32_t pages;
    } cases[] = {
        {Q_MIB(1), 64}, {Q_MIB(64), 64}, {Q_GIB(1), 1024}, {Q_GIB(4), 4096}, {Q_GIB(64), 4096}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        heap_restart(&(struct heap_setup){.limit_bytes = cases[i].limit_bytes});
        lane = lane_make("limited");
        owner = owner_make("test");
        page_free(lane, take_pages(lane, owner, 1));
        assert_int_equal(own_cache(lane)->long_pages_max, cases[i].pages);
    }
}

static void a_run_longer_than_the_long_stack_takes_goes_to_the_tree(void **state)
{
    (void)state;
    make_long_stack_take_1024_pages();
    own_cache(lane)->long_pages_max = 64;
    char *fits = take_pages(lane, owner, 64), *too_long = take_pages(lane, owner, 65);
    page_free(lane, too_long);
    assert_int_equal(own_cache(lane)->long_runs.count, 0);
    page_free(lane, fits);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 64);
    heap_check();
}

static void a_full_long_stack_gives_its_oldest_half_away(void **state)
{
    (void)state;
    char *runs[PAGE_CACHE_LONG_MAX + 1];

    make_long_stack_take_1024_pages();
    free_runs(runs, PAGE_CACHE_LONG_MAX, 16);
    assert_int_equal(own_cache(lane)->long_runs.count, PAGE_CACHE_LONG_MAX);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 1024);
    for (uint32_t i = 0; i < PAGE_CACHE_LONG_MAX; i++) {
        assert_ptr_equal(take_pages(lane, owner, 16), runs[PAGE_CACHE_LONG_MAX - 1 - i]);
    }
    free_runs(runs, PAGE_CACHE_LONG_MAX + 1, 16);
    assert_int_equal(own_cache(lane)->long_runs.count, PAGE_CACHE_LONG_MAX / 2 + 1);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 16 * (PAGE_CACHE_LONG_MAX / 2 + 1));
    heap_check();
}

static void long_runs_over_1024_pages_push_out_no_more_than_they_need(void **state)
{
    (void)state;
    char *runs[5];
    static const uint64_t page_counts[5] = {100, 400, 400, 124, 150};

    make_long_stack_take_1024_pages();
    for (uint32_t i = 0; i < 5; i++) {
        runs[i] = take_pages(lane, owner, page_counts[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        page_free(lane, runs[i]);
    }
    assert_int_equal(own_cache(lane)->long_runs.page_count, 1024);
    page_free(lane, runs[4]);
    assert_int_equal(own_cache(lane)->long_runs.count, 3);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 400 + 124 + 150);
    assert_ptr_equal(take_pages(lane, owner, 400), runs[2]);
    assert_ptr_equal(take_pages(lane, owner, 150), runs[4]);
    heap_check();
}

static void the_longest_run_empties_a_stack_of_short_ones_as_far_as_it_must(void **state)
{
    (void)state;
    char *runs[40], *longest = take_pages(lane, owner, 512);

    make_long_stack_take_1024_pages();
    free_runs(runs, 40, 25);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 1000);
    page_free(lane, longest);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 512 + 20 * 25);
    assert_int_equal(own_cache(lane)->long_runs.count, 21);
    heap_check();
}

static void *take_a_page_elsewhere(void *argument)
{
    char **ret_page = argument;

    *ret_page = take_pages(lane, owner, 1);
    return NULL;
}

static void first_pages_of_two_threads_lie_in_blocks_of_their_own(void **state)
{
    (void)state;
    char *elsewhere = NULL, *here = take_pages(lane, owner, 1);

    /* Heads of pages side by side share a cache line, which the two would fight over. */
    in_thread(take_a_page_elsewhere, &elsewhere);
    uint64_t distance = page_lane_page(lane, elsewhere) - page_lane_page(lane, here);
    assert_true(distance >= PAGE_BLOCK_PAGES);
    heap_check();
}

static void evicted_runs_of_the_block_go_back_to_the_block(void **state)
{
    (void)state;
    char *pages[PAGE_CACHE_SHORT_MAX + 1];

    for (uint32_t i = 0; i < PAGE_CACHE_SHORT_MAX; i++) {
        pages[i] = take_pages(lane, owner, 1);
    }
    assert_int_equal(own_cache(lane)->block.free, 0);
    pages[PAGE_CACHE_SHORT_MAX] = take_from_tree(lane, owner, 1);
    uint64_t first_page = own_cache(lane)->block.first_page;
    for (uint32_t i = 0; i <= PAGE_CACHE_SHORT_MAX; i++) {
        page_free(lane, pages[i]);
    }
    assert_int_equal(own_cache(lane)->block.first_page, first_page);
    assert_int_equal(own_cache(lane)->block.free, UINT64_MAX >> 32);
    assert_int_equal(own_cache(lane)->block.scavenged, 0);
    heap_check();
}

/* ---- owners
 * --------------------------------------------------------------------------------------------------
 */

static void a_freed_run_is_its_owners_no_more_and_anybody_may_take_it(void **state)
{
    (void)state;
    char *run = take_pages(lane, owner, 7), *long_run = take_pages(lane, owner, 70);

    assert_int_equal(owner_pages_in(owner, lane), 77);
    page_free(lane, run);
    page_free(lane, long_run);
    assert_int_equal(owner_pages_in(owner, lane), 0);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    assert_ptr_equal(take_pages(lane, other_owner, 7), run);
    assert_ptr_equal(take_pages(lane, other_owner, 70), long_run);
    assert_int_equal(owner_pages_in(owner, lane), 0);
    assert_int_equal(owner_pages_in(other_owner, lane), 77);
    heap_check();
}

static void a_change_of_owner_tells_the_ledger(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        (void)take_pages(lane, owner, 1);
        (void)take_pages(lane, other_owner, 2);
        assert_int_equal(owner_pages_in(owner, lane), i);
        assert_int_equal(owner_pages_in(other_owner, lane), 2 * i);
    }
    assert_int_equal(own_cache(lane)->owner, other_owner);
    assert_int_equal(atomic_load_relaxed_i64(page_ledger_cell(&heap->ledger, owner, lane->id)), 20);
    heap_check();
}

/* ---- flushing
 * -------------------------------------------------------------------------------------------------
 */

static void cache_some(void)
{
    page_free(lane, take_pages(lane, owner, 5));
    page_free(lane, take_pages(lane, owner, 50));
}

static void flush_all_empties_every_cache(void **state)
{
    (void)state;
    struct page_lane *second = lane_make("second");

    cache_some();
    page_free(second, take_pages(second, owner, 9));
    assert_true(heap_totals().cached_bytes > 0);
    page_caches_flush_all(heap);
    assert_int_equal(heap_totals().cached_bytes, 0);
    assert_int_equal(own_cache(lane)->short_runs.count + own_cache(lane)->long_runs.count, 0);
    assert_int_equal(own_cache(lane)->long_runs.page_count, 0);
    cache_some();
    heap_check();
}

static void flush_idle_empties_a_cache_that_rested_from_one_look_to_the_next(void **state)
{
    (void)state;
    cache_some();
    page_caches_flush_idle(heap);
    assert_true(heap_totals().cached_bytes > 0);
    cache_some();
    page_caches_flush_idle(heap);
    assert_true(heap_totals().cached_bytes > 0);
    page_caches_flush_idle(heap);
    assert_int_equal(heap_totals().cached_bytes, 0);
    /* Back in use, it rests again before it is emptied again. */
    cache_some();
    page_caches_flush_idle(heap);
    assert_true(heap_totals().cached_bytes > 0);
    page_caches_flush_idle(heap);
    assert_int_equal(heap_totals().cached_bytes, 0);
    page_caches_flush_idle(heap);
    heap_check();
}

static void *cache_some_in_both(void *second)
{
    cache_some();
    page_free(second, page_alloc(second, other_owner, 9).base);
    Q_ASSERT(own_cache(lane)->short_runs.count >= 1);
    return NULL;
}

static void a_thread_that_ends_leaves_nothing_cached(void **state)
{
    (void)state;
    struct page_lane *second = lane_make("second");

    cache_some();
    for (int i = 0; i < 20; i++) {
        in_thread(cache_some_in_both, second);
    }
    page_caches_flush_all(heap);
    assert_int_equal(heap_totals().cached_bytes, 0);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    assert_non_null(heap->threads);
    assert_null(heap->threads->next);
    heap_check();
}

static void threads_that_come_and_go_reuse_their_metadata(void **state)
{
    (void)state;
    in_thread(cache_some_in_both, lane);
    uint64_t metadata_bytes = heap_totals().metadata_bytes;
    for (int i = 0; i < 200; i++) {
        in_thread(cache_some_in_both, lane);
    }
    assert_int_equal(heap_totals().metadata_bytes, metadata_bytes);
}

#define in_a_heap(test) cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(short_runs_come_back_last_in_first_out),
        in_a_heap(long_runs_come_back_last_in_first_out),
        in_a_heap(only_a_run_of_the_same_length_is_taken),
        in_a_heap(a_run_from_below_the_top_leaves_the_rest_in_the_stack),
        in_a_heap(a_run_of_15_pages_is_short_and_one_of_16_long),
        in_a_heap(a_run_of_512_pages_is_cached_and_one_of_513_is_not),
        in_a_heap(a_length_beyond_20_bits_matches_no_cached_run_of_another_owner),
        in_a_heap(a_cached_run_is_not_said_to_be_zero),
        in_a_heap(a_full_short_stack_gives_its_oldest_half_away),
        in_a_heap(the_long_stack_takes_a_128th_of_the_budget_in_bounds),
        in_a_heap(a_run_longer_than_the_long_stack_takes_goes_to_the_tree),
        in_a_heap(a_full_long_stack_gives_its_oldest_half_away),
        in_a_heap(long_runs_over_1024_pages_push_out_no_more_than_they_need),
        in_a_heap(the_longest_run_empties_a_stack_of_short_ones_as_far_as_it_must),
        in_a_heap(first_pages_of_two_threads_lie_in_blocks_of_their_own),
        in_a_heap(evicted_runs_of_the_block_go_back_to_the_block),
        in_a_heap(a_freed_run_is_its_owners_no_more_and_anybody_may_take_it),
        in_a_heap(a_change_of_owner_tells_the_ledger),
        in_a_heap(flush_all_empties_every_cache),
        in_a_heap(flush_idle_empties_a_cache_that_rested_from_one_look_to_the_next),
        in_a_heap(a_thread_that_ends_leaves_nothing_cached),
        in_a_heap(threads_that_come_and_go_reuse_their_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
