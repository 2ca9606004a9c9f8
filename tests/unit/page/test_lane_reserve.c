/* Reserved runs: addresses first, backing as it is needed. */
#include "unit/page/simulated_heap.h"

#include <string.h>

#include "unit/base/death.h"

#define RUN_PAGES 1000u

static struct page_lane *lane;
static uint32_t owner;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("lane");
    owner = owner_make("test");
    return 0;
}

/* Memory that faults where it is not committed and is zero where it was given back. */
static int set_up_real(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.has_real_backing = true});
    lane = lane_make("lane");
    owner = owner_make("test");
    return 0;
}

static char *reserve(uint64_t page_count)
{
    struct page_run run = page_lane_reserve_run(lane, owner, page_count, 1);

    assert_int_equal(run.status, QUARRY_OK);
    assert_int_equal(page_lane_run_pages(lane, run.base), page_count);
    assert_int_equal(page_lane_run_owner(lane, run.base), owner);
    return run.base;
}

/* Returns: how many pages were not backed before. */
static uint64_t back(char *run, uint64_t first, uint64_t page_count)
{
    uint64_t backed_pages = UINT64_MAX;

    assert_int_equal(page_lane_back(lane, run, first, page_count, &backed_pages), QUARRY_OK);
    return backed_pages;
}

static uint64_t unback(char *run, uint64_t first, uint64_t page_count)
{
    uint64_t unbacked_pages = UINT64_MAX;

    assert_int_equal(page_lane_unback(lane, run, first, page_count, &unbacked_pages), QUARRY_OK);
    return unbacked_pages;
}

/* ---- reserving ------------------------------------------------------------------------------ */

static void reserving_costs_addresses_and_no_memory(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);
    struct quarry_ledger totals = heap_totals();

    assert_int_equal(totals.in_use_bytes, 0);
    assert_int_equal(totals.committed_bytes, totals.metadata_bytes);
    assert_int_equal(totals.released_bytes, (lane->tree.total_pages - RUN_PAGES) << PAGE_SHIFT);
    assert_int_equal(lane->tree.bare_pages, RUN_PAGES);
    assert_int_equal(page_lane_allocated_pages(lane), 0);
    heap_check();
    /* The addresses are nobody else's. */
    char *other = take_from_tree(lane, owner, 5);
    assert_ptr_equal(other, run + RUN_PAGES * PAGE_BYTES);
    page_lane_free(lane, other);
    page_lane_free(lane, run);
    assert_int_equal(lane->tree.bare_pages, 0);
    assert_int_equal(heap_totals().free_backed_bytes, 5 * PAGE_BYTES);
}

static void free_pages_that_are_backed_become_their_owners(void **state)
{
    (void)state;
    char *before = take_from_tree(lane, owner, 300);
    page_lane_free(lane, before);
    uint64_t committed_bytes = heap_committed();
    char *run = reserve(400);

    assert_ptr_equal(run, before);
    assert_int_equal(heap_committed(), committed_bytes);
    assert_int_equal(owner_pages_in(owner, lane), 300);
    assert_int_equal(back(run, 0, 400), 100);
    assert_int_equal(owner_pages_in(owner, lane), 400);
    heap_check();
    page_lane_free(lane, run);
}

static void a_run_begins_where_alignment_says(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 1);
    struct page_run run = page_lane_reserve_run(lane, owner, 700, 256);

    assert_int_equal(run.status, QUARRY_OK);
    assert_int_equal((uintptr_t)run.base % Q_MIB(2), 0);
    assert_int_equal(page_lane_page(lane, run.base), 256);
}

static void reserving_more_than_the_lane_has_is_refused(void **state)
{
    (void)state;
    struct page_run run = page_lane_reserve_run(lane, owner, (Q_GIB(1) >> PAGE_SHIFT) + 1, 1);

    assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    (void)take_from_tree(lane, owner, 1);
    run = page_lane_reserve_run(lane, owner, Q_GIB(1) >> PAGE_SHIFT, 1);
    assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    assert_null(run.base);
}

/* What a thread has cached is taken back before a run is refused for addresses. */
static void cached_pages_make_way_for_a_run(void **state)
{
    (void)state;
    page_free(lane, take_pages(lane, owner, 1));
    assert_true(heap_totals().cached_bytes > 0);
    char *run = reserve(Q_GIB(1) >> PAGE_SHIFT);
    assert_ptr_equal(run, lane->base);
    assert_int_equal(heap_totals().cached_bytes, 0);
}

static void a_lane_with_a_file_reserves_nothing(void **state)
{
    (void)state;
    struct quarry_error error;
    struct page_lane *filed;
    const struct page_lane_options options = {
        .name = "file", .reserved_bytes = Q_GIB(1), .file_path = "f"};

    assert_int_equal(page_lane_create(heap, &options, &filed, &error), QUARRY_OK);
    assert_int_equal(page_lane_reserve_run(filed, owner, 64, 1).status, QUARRY_UNSUPPORTED);
}

static void growth_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint64_t i = 0;; i++) {
        uint64_t committed_bytes = heap_committed();
        os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, i, OS_SIM_ONCE, QUARRY_NO_MEMORY);
        struct page_run run = page_lane_reserve_run(lane, owner, RUN_PAGES, 1);
        bool is_through = os_sim_failed_count(&sim) == 0;
        os_sim_fail_clear(&sim);
        heap_check();
        if (is_through) {
            assert_true(i > 0);
            assert_int_equal(run.status, QUARRY_OK);
            break;
        }
        assert_int_equal(run.status, QUARRY_NO_MEMORY);
        assert_int_equal(heap_committed(), committed_bytes);
    }
}

/* ---- backing -------------------------------------------------------------------------------- */

static void each_page_is_charged_once(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);
    uint64_t committed_bytes = heap_committed();

    assert_int_equal(back(run, 0, 10), 10);
    assert_int_equal(back(run, 5, 10), 5);
    assert_int_equal(back(run, 600, 400), 400);
    assert_int_equal(back(run, 0, 0), 0);
    assert_int_equal(heap_committed() - committed_bytes, 415 * PAGE_BYTES);
    assert_int_equal(owner_pages_in(owner, lane), 415);
    assert_int_equal(lane->peak_pages, 415);
    heap_check();
    page_lane_free(lane, run);
    assert_int_equal(owner_pages_in(owner, lane), 0);
    assert_int_equal(heap_totals().free_backed_bytes, 415 * PAGE_BYTES);
    heap_check();
    assert_int_equal(page_heap_trim(heap), 415 * PAGE_BYTES);
    assert_int_equal(heap_committed(), committed_bytes);
}

static void backed_pages_read_as_zero_and_keep_what_is_written(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);

    for (int turn = 0; turn < 2; turn++) {
        (void)back(run, 100, 200);
        for (uint64_t page = 100; page < 300; page++) {
            assert_int_equal(run[page * PAGE_BYTES], 0);
            run[page * PAGE_BYTES] = 'x';
        }
        (void)back(run, 0, RUN_PAGES);
        assert_int_equal(run[100 * PAGE_BYTES], 'x');
        assert_int_equal(run[300 * PAGE_BYTES], 0);
        assert_int_equal(unback(run, 0, RUN_PAGES), RUN_PAGES);
    }
}

static void a_step_over_the_limit_is_refused_whole(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);

    (void)back(run, 0, 100);
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + 50 * PAGE_BYTES), QUARRY_OK);
    uint64_t committed_bytes = heap_committed(), backed_pages = 7;
    assert_int_equal(page_lane_back(lane, run, 90, 61, &backed_pages), QUARRY_NO_MEMORY);
    assert_int_equal(backed_pages, 7);
    assert_int_equal(heap_committed(), committed_bytes);
    assert_int_equal(owner_pages_in(owner, lane), 100);
    heap_check();
    assert_int_equal(back(run, 90, 60), 50);
    assert_int_equal(heap_committed(), page_commit_read(&heap->commit).limit_bytes);
}

static char *victim;

/* Uses the very lane whose run is being backed: no lock of it may be held. */
static uint64_t free_victim(void *argument, uint64_t wanted_bytes)
{
    (void)argument;
    assert_true(wanted_bytes > 0);
    if (victim == NULL) {
        return 0;
    }
    page_lane_free(lane, victim);
    victim = NULL;
    return 64 * PAGE_BYTES;
}

static void reclaimers_make_room_for_a_step(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);

    victim = take_from_tree(lane, owner, 64);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, free_victim, NULL), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    assert_int_equal(back(run, 0, 64), 64);
    assert_null(victim);
    page_heap_remove_reclaimer(heap, free_victim, NULL);
}

/* ---- unbacking ------------------------------------------------------------------------------ */

static void unbacking_takes_a_call_for_each_stretch(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);
    uint64_t committed_bytes = heap_committed();

    (void)back(run, 0, 100);
    (void)back(run, 500, 100);
    uint64_t calls = os_sim_call_count(&sim, OS_SIM_DECOMMIT);
    assert_int_equal(unback(run, 50, 500), 100);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_DECOMMIT) - calls, 2);
    assert_int_equal(owner_pages_in(owner, lane), 100);
    heap_check();
    assert_int_equal(unback(run, 0, RUN_PAGES), 100);
    assert_int_equal(unback(run, 0, RUN_PAGES), 0);
    assert_int_equal(heap_committed(), committed_bytes);
    assert_int_equal(owner_pages_in(owner, lane), 0);
}

static void what_the_kernel_refuses_stays_backed(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);
    uint64_t unbacked_pages;

    (void)back(run, 0, 100);
    (void)back(run, 200, 100);
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 1, OS_SIM_ONCE, QUARRY_BUSY);
    assert_int_equal(page_lane_unback(lane, run, 0, RUN_PAGES, &unbacked_pages), QUARRY_BUSY);
    os_sim_fail_clear(&sim);
    assert_int_equal(unbacked_pages, 100);
    assert_int_equal(owner_pages_in(owner, lane), 100);
    heap_check();
    assert_int_equal(back(run, 200, 100), 0);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void a_short_run_enters_no_page_cache(void **state)
{
    (void)state;
    /* The thread has a cache, with room. */
    page_free(lane, take_pages(lane, owner, 1));
    uint64_t cached_bytes = heap_totals().cached_bytes;
    char *run = reserve(8);

    (void)back(run, 2, 3);
    page_free(lane, run);
    assert_int_equal(heap_totals().cached_bytes, cached_bytes);
    assert_int_equal(owner_pages_in(owner, lane), 0);
    heap_check();
}

static void a_lane_that_ends_takes_reserved_runs_with_it(void **state)
{
    (void)state;
    char *run = reserve(RUN_PAGES);

    (void)back(run, 300, 400);
    (void)reserve(RUN_PAGES);
    page_lane_end(lane);
    assert_int_equal(lane->tree.bare_pages, 0);
    assert_int_equal(lane->tree.scavenged_pages, lane->tree.total_pages);
    assert_int_equal(heap_committed(), heap_totals().metadata_bytes);
    heap_check();
    assert_ptr_equal(take_from_tree(lane, owner, 1), run);
}

static void a_destroyed_lane_is_charged_no_more(void **state)
{
    (void)state;
    struct page_lane *second = lane_make("second");
    uint64_t backed_pages;

    uint64_t committed_bytes = heap_committed();
    void *run = page_lane_reserve_run(second, owner, RUN_PAGES, 1).base;
    assert_int_equal(page_lane_back(second, run, 0, 10, &backed_pages), QUARRY_OK);
    assert_true(heap_committed() > committed_bytes);
    page_lane_destroy(second);
    assert_true(heap_committed() < committed_bytes);
}

/* ---- what is noticed ------------------------------------------------------------------------ */

static void bare_pages_of_another_run_are_noticed(void **state)
{
    (void)state;
    struct quarry_error error;
    void *run = take_from_tree(lane, owner, 64);
    uint64_t page = page_lane_page(lane, run);

    page_tree_unback(&lane->tree, page, 5);
    assert_int_equal(page_heap_validate(heap, &error), QUARRY_CORRUPT);
    assert_non_null(strstr(error.text, "5 pages are in use and not backed, 0 in reserved runs"));
    page_tree_back(&lane->tree, page, 5, 5);
    heap_check();
}

static void a_ledger_that_counts_bare_pages_is_noticed(void **state)
{
    (void)state;
    struct quarry_error error;

    (void)reserve(64);
    page_ledger_add(&heap->ledger, owner, lane->id, 64);
    assert_int_equal(page_heap_validate(heap, &error), QUARRY_CORRUPT);
    page_ledger_add(&heap->ledger, owner, lane->id, -64);
}

static void back_an_ordinary_run(void)
{
    uint64_t backed_pages;

    (void)page_lane_back(lane, take_from_tree(lane, owner, 4), 0, 4, &backed_pages);
}

static void back_beyond_a_run(void)
{
    uint64_t backed_pages;

    (void)page_lane_back(lane, reserve(64), 60, 5, &backed_pages);
}

static void resize_a_reserved_run(void)
{
    (void)page_lane_resize(lane, reserve(64), 65);
}

static void misuse_ends_the_program(void **state)
{
    (void)state;
    struct death death;

    death_watch(back_an_ordinary_run, &death);
    assert_non_null(strstr(death.text, "the run was not reserved"));
    death_watch(back_beyond_a_run, &death);
    assert_non_null(strstr(death.text, "run_pages - page_count"));
    death_watch(resize_a_reserved_run, &death);
    assert_non_null(strstr(death.text, "a reserved run has one length"));
}

#define in_a_heap(test)   cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)
#define with_memory(test) cmocka_unit_test_setup_teardown(test, set_up_real, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(reserving_costs_addresses_and_no_memory),
        in_a_heap(free_pages_that_are_backed_become_their_owners),
        in_a_heap(a_run_begins_where_alignment_says),
        in_a_heap(reserving_more_than_the_lane_has_is_refused),
        in_a_heap(cached_pages_make_way_for_a_run),
        in_a_heap(a_lane_with_a_file_reserves_nothing),
        in_a_heap(growth_that_fails_leaves_nothing_behind),
        in_a_heap(each_page_is_charged_once),
        with_memory(backed_pages_read_as_zero_and_keep_what_is_written),
        in_a_heap(a_step_over_the_limit_is_refused_whole),
        in_a_heap(reclaimers_make_room_for_a_step),
        in_a_heap(unbacking_takes_a_call_for_each_stretch),
        in_a_heap(what_the_kernel_refuses_stays_backed),
        in_a_heap(a_short_run_enters_no_page_cache),
        in_a_heap(a_lane_that_ends_takes_reserved_runs_with_it),
        in_a_heap(a_destroyed_lane_is_charged_no_more),
        in_a_heap(bare_pages_of_another_run_are_noticed),
        in_a_heap(a_ledger_that_counts_bare_pages_is_noticed),
        in_a_heap(misuse_ends_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
