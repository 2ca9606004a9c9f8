/* Lanes of anonymous memory: sizes, alignment, growth, zeroes, lengths, names, places, ends. */
#include "unit/page/simulated_heap.h"

#include <stdio.h>
#include <string.h>

#include "unit/base/death.h"

#define LANE_PAGES (Q_GIB(1) / PAGE_BYTES)

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

/* ---- sizes ---------------------------------------------------------------------------------- */

static void runs_of_1_to_2049_pages_come_and_go(void **state)
{
    (void)state;
    static const uint64_t page_counts[] = {1,  2,  3,   4,   5,   8,   15,   16,   17,   63,
                                           64, 65, 128, 511, 512, 513, 1024, 1025, 2048, 2049};
    char *bases[sizeof(page_counts) / sizeof(page_counts[0])];
    uint64_t page_sum = 0;

    for (size_t i = 0; i < sizeof(page_counts) / sizeof(page_counts[0]); i++) {
        bases[i] = take_pages(lane, owner, page_counts[i]);
        page_sum += page_counts[i];
        assert_ptr_equal(page_heap_lane_of(heap, bases[i]), lane);
        assert_int_equal(owner_pages_in(owner, lane), page_sum);
    }
    for (size_t i = 0; i < sizeof(page_counts) / sizeof(page_counts[0]); i++) {
        page_free(lane, bases[i]);
        page_sum -= page_counts[i];
        assert_int_equal(owner_pages_in(owner, lane), page_sum);
        heap_check();
    }
    (void)page_heap_trim(heap);
    assert_int_equal(lane->tree.free_pages, lane->tree.total_pages);
}

static void every_length_up_to_600_fits_end_to_end(void **state)
{
    (void)state;
    struct page_lane *wide = lane_make_sized("wide", Q_GIB(2));
    uint64_t page = 0;

    for (uint64_t page_count = 1; page_count <= 600; page_count++) {
        assert_ptr_equal(take_from_tree(wide, owner, page_count), page_lane_address(wide, page));
        page += page_count;
    }
    heap_check();
}

static void a_run_of_more_than_2_to_the_20_pages_keeps_its_length_in_a_second_word(void **state)
{
    (void)state;
    heap_end();
    heap_begin(&(struct heap_setup){.limit_bytes = Q_GIB(40), .reserved_bytes = Q_GIB(64)});
    struct page_lane *wide = lane_make_sized("wide", Q_GIB(32));
    static const uint64_t page_counts[] = {PAGE_HEAD_PAGES_LONG - 1, PAGE_HEAD_PAGES_LONG,
                                           PAGE_HEAD_PAGES_LONG + 1, 3 * PAGE_HEAD_PAGES_LONG};

    owner = owner_make("test");
    for (int i = 0; i < 4; i++) {
        char *run = take_pages(wide, owner, page_counts[i]);
        char *next = take_pages(wide, owner, 1);
        assert_int_equal(owner_pages_in(owner, wide), page_counts[i] + 1);
        heap_check();
        assert_int_equal(page_lane_resize(wide, run, 5), QUARRY_OK);
        assert_int_equal(page_lane_run_pages(wide, run), 5);
        heap_check();
        assert_int_equal(page_lane_resize(wide, run, page_counts[i]), QUARRY_OK);
        assert_int_equal(page_lane_run_pages(wide, run), page_counts[i]);
        heap_check();
        page_free(wide, run);
        page_free(wide, next);
        assert_int_equal(owner_pages_in(owner, wide), 0);
        heap_check();
    }
}

static void runs_are_aligned_up_to_a_zone(void **state)
{
    (void)state;
    struct page_lane *wide = lane_make_sized("wide", Q_GIB(4));

    for (uint64_t align = 1; align <= PAGE_ALIGN_PAGES_MAX; align *= 2) {
        (void)take_from_tree(wide, owner, 1);
        struct page_run run = page_lane_alloc(wide, owner, 3, align);
        assert_int_equal(run.status, QUARRY_OK);
        assert_true(size_is_aligned((uintptr_t)run.base, align << PAGE_SHIFT));
        heap_check();
        page_lane_free(wide, run.base);
    }
    assert_int_equal(page_lane_alloc(wide, owner, 1, PAGE_ALIGN_PAGES_MAX).status, QUARRY_OK);
    assert_int_equal(page_lane_alloc(wide, owner, LANE_PAGES, LANE_PAGES).status, QUARRY_OK);
    assert_int_equal(page_lane_alloc(wide, owner, 2 * LANE_PAGES, LANE_PAGES).status,
                     QUARRY_NO_ADDRESS);
    assert_int_equal(page_lane_alloc(wide, owner, 1, LANE_PAGES).status, QUARRY_OK);
}

static void an_aligned_run_fills_a_hole_that_fits_only_when_aligned(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 64);
    char *hole = take_from_tree(lane, owner, 64);
    (void)take_from_tree(lane, owner, LANE_PAGES - 128);
    page_lane_free(lane, hole);
    assert_ptr_equal(page_lane_alloc(lane, owner, 64, 64).base, hole);
    heap_check();
}

/* ---- growth --------------------------------------------------------------------------------- */

static void a_lane_grows_by_whole_chunks_as_pages_are_wanted(void **state)
{
    (void)state;
    assert_int_equal(lane->tree.total_pages, 0);
    (void)take_from_tree(lane, owner, 1);
    assert_int_equal(lane->tree.total_pages, PAGE_CHUNK_PAGES);
    (void)take_from_tree(lane, owner, PAGE_CHUNK_PAGES - 1);
    assert_int_equal(lane->tree.total_pages, PAGE_CHUNK_PAGES);
    (void)take_from_tree(lane, owner, PAGE_CHUNK_PAGES + 1);
    assert_int_equal(lane->tree.total_pages, 3 * PAGE_CHUNK_PAGES);
    assert_int_equal(lane->counters.grow_count, 2);
    assert_int_equal(lane->tree.ranges.count, 1);
    heap_check();
}

static void a_failed_growth_charges_nothing_and_works_later(void **state)
{
    (void)state;
    uint64_t committed_bytes = heap_committed();

    for (uint64_t index = 0;; index++) {
        os_sim_fail_at(&sim, OS_SIM_COMMIT, index, OS_SIM_ONCE, QUARRY_NO_MEMORY);
        struct page_run run = page_lane_alloc(lane, owner, 600, 1);
        if (run.status == QUARRY_OK) {
            break;
        }
        assert_int_equal(run.status, QUARRY_NO_MEMORY);
        assert_int_equal(heap_committed(), committed_bytes);
        heap_check();
    }
    os_sim_fail_clear(&sim);
    assert_int_equal(owner_pages_in(owner, lane), 600);
}

static void a_lane_used_up_says_no_address_and_nothing_is_lost(void **state)
{
    (void)state;
    char *last = NULL;
    struct page_run run;

    for (run = page_lane_alloc(lane, owner, 1025, 1); run.base != NULL;
         run = page_lane_alloc(lane, owner, 1025, 1)) {
        last = run.base;
    }
    assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    uint64_t rest = LANE_PAGES % 1025;
    assert_int_equal(page_lane_alloc(lane, owner, rest + 1, 1).status, QUARRY_NO_ADDRESS);
    (void)take_from_tree(lane, owner, rest);
    assert_int_equal(owner_pages_in(owner, lane), LANE_PAGES);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_NO_ADDRESS);
    assert_int_equal(page_alloc(lane, owner, LANE_PAGES + 1).status, QUARRY_NO_ADDRESS);
    assert_int_equal(page_alloc(lane, owner, UINT64_MAX).status, QUARRY_NO_ADDRESS);
    page_lane_free(lane, last);
    assert_ptr_equal(take_from_tree(lane, owner, 1025), last);
    heap_check();
}

/* ---- zeroes --------------------------------------------------------------------------------- */

static bool is_filled_with(const char *bytes, size_t length, char byte)
{
    return bytes[0] == byte && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void check_zero_if_said(struct page_run run, uint64_t page_count, bool is_zero)
{
    assert_int_equal(run.status, QUARRY_OK);
    assert_int_equal(run.is_zero, is_zero);
    if (is_zero) {
        assert_true(is_filled_with(run.base, page_count << PAGE_SHIFT, 0));
    }
    memset(run.base, 0x5a, page_count << PAGE_SHIFT);
}

static void a_run_is_said_to_be_zero_only_when_all_of_it_is(void **state)
{
    (void)state;
    struct page_run run = page_lane_alloc(lane, owner, 100, 1);
    check_zero_if_said(run, 100, true);
    page_lane_free(lane, run.base);
    check_zero_if_said(page_lane_alloc(lane, owner, 50, 1), 50, false);
    /* 50 backed pages and 50 that never were. */
    check_zero_if_said(page_lane_alloc(lane, owner, 100, 1), 100, false);
    check_zero_if_said(page_lane_alloc(lane, owner, 20, 1), 20, true);
    check_zero_if_said(page_alloc(lane, owner, 1), 1, true);
    check_zero_if_said(page_alloc(lane, owner, 15), 15, true);
    page_lane_free(lane, run.base);
    (void)page_heap_trim(heap);
    check_zero_if_said(page_lane_alloc(lane, owner, 50, 1), 50, true);
    heap_check();
}

static void pages_of_an_ended_lane_are_zero_in_the_next_lifetime(void **state)
{
    (void)state;
    check_zero_if_said(page_lane_alloc(lane, owner, 700, 1), 700, true);
    check_zero_if_said(page_alloc(lane, owner, 3), 3, true);
    page_lane_end(lane);
    check_zero_if_said(page_lane_alloc(lane, owner, 700, 1), 700, true);
    /* What the kernel refused to take is not zero, and not said to be. */
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_BUSY);
    page_lane_end(lane);
    os_sim_fail_clear(&sim);
    check_zero_if_said(page_lane_alloc(lane, owner, 700, 1), 700, false);
    page_lane_destroy(lane);
    lane = lane_make("next");
    check_zero_if_said(page_lane_alloc(lane, owner, 700, 1), 700, true);
}

/* ---- lengths
 * -----------------------------------------------------------------------------------------------
 */

static void a_run_grows_in_place_into_free_pages_and_shrinks_out_of_them(void **state)
{
    (void)state;
    char *run = take_from_tree(lane, owner, 10);
    uint64_t committed_bytes = heap_committed();

    assert_int_equal(page_lane_resize(lane, run, 10), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, run, 40), QUARRY_OK);
    assert_int_equal(page_lane_run_pages(lane, run), 40);
    assert_int_equal(owner_pages_in(owner, lane), 40);
    assert_int_equal(heap_committed() - committed_bytes, 30 * PAGE_BYTES);
    assert_int_equal(page_lane_resize(lane, run, 1), QUARRY_OK);
    assert_int_equal(owner_pages_in(owner, lane), 1);
    assert_int_equal(heap_totals().free_backed_bytes, 39 * PAGE_BYTES);
    assert_int_equal(heap_committed() - committed_bytes, 30 * PAGE_BYTES);
    heap_check();
}

static void a_run_does_not_grow_over_what_is_in_use_cached_or_beyond(void **state)
{
    (void)state;
    char *run = take_from_tree(lane, owner, 10), *next = take_from_tree(lane, owner, 5);

    assert_int_equal(page_lane_resize(lane, run, 11), QUARRY_BUSY);
    page_free(lane, next);
    assert_int_equal(own_cache(lane)->short_runs.count, 1);
    assert_int_equal(page_lane_resize(lane, run, 11), QUARRY_BUSY);
    page_caches_flush_all(heap);
    assert_int_equal(page_lane_resize(lane, run, 11), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, run, PAGE_CHUNK_PAGES), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, run, PAGE_CHUNK_PAGES + 1), QUARRY_BUSY);
    assert_int_equal(page_lane_resize(lane, run, LANE_PAGES + 1), QUARRY_BUSY);
    assert_int_equal(page_lane_resize(lane, run, UINT64_MAX), QUARRY_BUSY);
    assert_int_equal(page_lane_run_pages(lane, run), PAGE_CHUNK_PAGES);
    heap_check();
}

static void a_run_does_not_grow_beyond_the_budget(void **state)
{
    (void)state;
    char *run = take_from_tree(lane, owner, 10);

    assert_int_equal(page_heap_set_limit(heap, heap_committed() + 4 * PAGE_BYTES), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, run, 15), QUARRY_NO_MEMORY);
    assert_int_equal(page_lane_run_pages(lane, run), 10);
    assert_int_equal(page_lane_resize(lane, run, 14), QUARRY_OK);
    heap_check();
}

/* ---- names and places ----------------------------------------------------------------------- */

static enum quarry_status try_lane(const char *name, uint64_t reserved_bytes)
{
    struct page_lane *made = NULL;
    struct quarry_error error = {0};
    struct page_lane_options options = {.name = name, .reserved_bytes = reserved_bytes};
    enum quarry_status status = page_lane_create(heap, &options, &made, &error);

    assert_int_equal(made != NULL, status == QUARRY_OK);
    assert_int_equal(error.text[0] != '\0', status != QUARRY_OK);
    return status;
}

static void a_lane_needs_a_name_of_1_to_31_bytes_that_no_other_has(void **state)
{
    (void)state;
    uint64_t committed_bytes = heap_committed();

    assert_int_equal(try_lane(NULL, Q_GIB(1)), QUARRY_BAD_INPUT);
    assert_int_equal(try_lane("", Q_GIB(1)), QUARRY_BAD_INPUT);
    assert_int_equal(try_lane("01234567890123456789012345678901", Q_GIB(1)), QUARRY_BAD_INPUT);
    assert_int_equal(try_lane("lane", Q_GIB(1)), QUARRY_EXISTS);
    assert_int_equal(heap_committed(), committed_bytes);
    assert_int_equal(heap->lane_ids_taken, 1);
    assert_int_equal(try_lane("0123456789012345678901234567890", Q_GIB(1)), QUARRY_OK);
    page_lane_destroy(lane);
    assert_int_equal(try_lane("lane", Q_GIB(1)), QUARRY_OK);
}

static void a_lane_larger_than_the_address_space_is_refused(void **state)
{
    (void)state;
    assert_int_equal(try_lane("a", Q_GIB(9)), QUARRY_NO_ADDRESS);
    assert_int_equal(try_lane("b", Q_GIB(8)), QUARRY_NO_ADDRESS);
    assert_int_equal(try_lane("c", UINT64_MAX), QUARRY_NO_ADDRESS);
    assert_int_equal(try_lane("d", Q_GIB(7)), QUARRY_OK);
    assert_int_equal(try_lane("e", 1), QUARRY_NO_ADDRESS);
}

static void there_are_64_lanes_and_no_more(void **state)
{
    (void)state;
    char name[PAGE_LANE_NAME_BYTES];

    heap_end();
    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(66)});
    for (uint32_t i = 0; i < PAGE_LANES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "lane-%u", i);
        assert_int_equal(try_lane(name, 0), QUARRY_OK);
    }
    assert_int_equal(try_lane("one more", Q_GIB(1)), QUARRY_TOO_MANY);
    owner = owner_make("test");
    lane = atomic_load_relaxed_ptr(&heap->lane[63]);
    (void)take_pages(lane, owner, 9);
    assert_int_equal(owner_pages_in(owner, lane), 9);
    heap_check();
    page_lane_destroy(atomic_load_relaxed_ptr(&heap->lane[17]));
    assert_int_equal(try_lane("one more", Q_GIB(1)), QUARRY_OK);
    assert_non_null(atomic_load_relaxed_ptr(&heap->lane[17]));
}

static void zones_of_a_destroyed_lane_are_used_again_lowest_first(void **state)
{
    (void)state;
    struct page_lane *second = lane_make_sized("second", Q_GIB(2)), *third = lane_make("third");
    char *second_base = second->base;

    assert_ptr_equal(second->base, lane->base + Q_GIB(1));
    assert_ptr_equal(third->base, lane->base + Q_GIB(3));
    (void)take_from_tree(second, owner, 1000);
    page_lane_destroy(second);
    assert_null(page_heap_lane_of(heap, second_base));
    assert_null(page_heap_lane_of(heap, second_base + Q_GIB(1)));
    struct page_lane *wide = lane_make_sized("wide", Q_GIB(3));
    assert_ptr_equal(wide->base, lane->base + Q_GIB(4));
    second = lane_make_sized("second", Q_GIB(2) - 1);
    assert_ptr_equal(second->base, second_base);
    assert_ptr_equal(page_heap_lane_of(heap, second_base + Q_GIB(2) - 1), second);
    assert_ptr_equal(page_heap_lane_of(heap, second_base + Q_GIB(2)), third);
    assert_null(page_heap_lane_of(heap, heap->space - 1));
    assert_null(page_heap_lane_of(heap, heap->space + heap->space_bytes));
    (void)take_from_tree(second, owner, 1000);
    heap_check();
}

static void a_lane_whose_memory_is_refused_leaves_nothing_behind(void **state)
{
    (void)state;
    uint64_t committed_bytes = heap_committed();

    for (uint64_t index = 0;; index++) {
        os_sim_fail_at(&sim, OS_SIM_RESERVE | OS_SIM_COMMIT, index, OS_SIM_ONCE, QUARRY_NO_MEMORY);
        enum quarry_status status = try_lane("second", Q_GIB(1));
        if (status == QUARRY_OK) {
            assert_true(index > 0);
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        assert_int_equal(heap_committed(), committed_bytes);
        assert_int_equal(heap->lane_ids_taken, 1);
        heap_check();
    }
    os_sim_fail_clear(&sim);
}

/* ---- ends
 * ------------------------------------------------------------------------------------------------------
 */

static void an_ended_lane_gives_everything_back_with_one_call_a_stretch(void **state)
{
    (void)state;
    uint64_t metadata_bytes;

    for (int lifetime = 0; lifetime < 3; lifetime++) {
        (void)take_from_tree(lane, owner, 1000);
        char *hole = take_from_tree(lane, owner, 100);
        (void)take_from_tree(lane, owner, 2000);
        page_lane_free(lane, hole);
        assert_int_equal(page_heap_trim(heap), 100 * PAGE_BYTES);
        (void)take_pages(lane, owner, 1);
        page_caches_flush_all(heap);
        metadata_bytes = heap_totals().metadata_bytes;
        /* Backed: 0 to 1001 and 1100 to 3100. */
        uint64_t calls = os_sim_call_count(&sim, OS_SIM_DECOMMIT);
        page_lane_end(lane);
        assert_int_equal(os_sim_call_count(&sim, OS_SIM_DECOMMIT) - calls, 2);
        assert_int_equal(heap_committed(), metadata_bytes);
        assert_int_equal(owner_pages_in(owner, lane), 0);
        assert_int_equal(lane->tree.scavenged_pages, lane->tree.total_pages);
        heap_check();
    }
    assert_int_equal(lane->counters.grow_count, 3);
}

static void an_empty_lane_ends_without_a_call(void **state)
{
    (void)state;
    uint64_t calls = os_sim_call_count(&sim, OS_SIM_ANY);

    page_lane_end(lane);
    page_lane_end(lane);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_ANY), calls);
}

static void a_stretch_that_the_kernel_refuses_stays_backed_and_goes_later(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 1000);
    uint64_t metadata_bytes = heap_totals().metadata_bytes;
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_ONCE, QUARRY_BUSY);
    page_lane_end(lane);
    os_sim_fail_clear(&sim);
    assert_int_equal(heap_totals().free_backed_bytes, 1000 * PAGE_BYTES);
    assert_int_equal(owner_pages_in(owner, lane), 0);
    heap_check();
    assert_int_equal(page_heap_trim(heap), 1000 * PAGE_BYTES);
    assert_int_equal(heap_committed(), metadata_bytes);
}

static void a_destroyed_lane_that_cannot_be_uncommitted_keeps_its_zones_and_its_charge(void **state)
{
    (void)state;
    char *base = lane->base;

    (void)take_from_tree(lane, owner, 1000);
    uint64_t committed_bytes = heap_committed();
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT | OS_SIM_UNCOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    page_lane_destroy(lane);
    os_sim_fail_clear(&sim);
    /* The lane's own metadata went; its pages may still have backing. */
    assert_true(heap_committed() >= 1000 * PAGE_BYTES && heap_committed() < committed_bytes);
    assert_int_equal(heap_totals().metadata_bytes, heap_committed());
    heap_check();
    lane = lane_make("next");
    assert_ptr_equal(lane->base, base + Q_GIB(1));
    (void)take_from_tree(lane, owner, 10);
    heap_check();
}

/* ---- programmer's errors -------------------------------------------------------------------- */

static char *freed;

static void free_again(void)
{
    page_free(lane, freed);
}

static void free_inside(void)
{
    page_free(lane, freed + PAGE_BYTES);
}

static void free_between_pages(void)
{
    page_free(lane, freed + 8);
}

static void free_elsewhere(void)
{
    page_free(lane, lane->base - PAGE_BYTES);
}

static void free_from_tree_again(void)
{
    page_lane_free(lane, freed);
}

static void check_dies(void (*body)(void), const char *text)
{
    struct death death;

    death_watch(body, &death);
    assert_true(death.signal != 0);
    assert_non_null(strstr(death.text, text));
}

static void freeing_what_is_no_run_dies(void **state)
{
    (void)state;
    freed = take_pages(lane, owner, 3);
    check_dies(free_inside, "no run in use begins at the address");
    check_dies(free_between_pages, "not that of a page of this lane");
    check_dies(free_elsewhere, "not that of a page of this lane");
    page_free(lane, freed);
    check_dies(free_again, "no run in use begins at the address");
    check_dies(free_from_tree_again, "no run in use begins at the address");
}

#define in_a_heap(test)      cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)
#define in_a_real_heap(test) cmocka_unit_test_setup_teardown(test, set_up_real, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(runs_of_1_to_2049_pages_come_and_go),
        in_a_heap(every_length_up_to_600_fits_end_to_end),
        in_a_heap(a_run_of_more_than_2_to_the_20_pages_keeps_its_length_in_a_second_word),
        in_a_heap(runs_are_aligned_up_to_a_zone),
        in_a_heap(an_aligned_run_fills_a_hole_that_fits_only_when_aligned),
        in_a_heap(a_lane_grows_by_whole_chunks_as_pages_are_wanted),
        in_a_heap(a_failed_growth_charges_nothing_and_works_later),
        in_a_heap(a_lane_used_up_says_no_address_and_nothing_is_lost),
        in_a_real_heap(a_run_is_said_to_be_zero_only_when_all_of_it_is),
        in_a_real_heap(pages_of_an_ended_lane_are_zero_in_the_next_lifetime),
        in_a_heap(a_run_grows_in_place_into_free_pages_and_shrinks_out_of_them),
        in_a_heap(a_run_does_not_grow_over_what_is_in_use_cached_or_beyond),
        in_a_heap(a_run_does_not_grow_beyond_the_budget),
        in_a_heap(a_lane_needs_a_name_of_1_to_31_bytes_that_no_other_has),
        in_a_heap(a_lane_larger_than_the_address_space_is_refused),
        in_a_heap(there_are_64_lanes_and_no_more),
        in_a_heap(zones_of_a_destroyed_lane_are_used_again_lowest_first),
        in_a_heap(a_lane_whose_memory_is_refused_leaves_nothing_behind),
        in_a_heap(an_ended_lane_gives_everything_back_with_one_call_a_stretch),
        in_a_heap(an_empty_lane_ends_without_a_call),
        in_a_heap(a_stretch_that_the_kernel_refuses_stays_backed_and_goes_later),
        in_a_heap(a_destroyed_lane_that_cannot_be_uncommitted_keeps_its_zones_and_its_charge),
        in_a_heap(freeing_what_is_no_run_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
