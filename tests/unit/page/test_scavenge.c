/* Giving pages back by hand: which ones, in which order, and what happens when the kernel refuses.
 */
#include "heap_rig.h"

#define FORCED     PAGE_SCAVENGE_FORCED, PAGE_CAUSE_MANUAL
#define BACKGROUND PAGE_SCAVENGE_BACKGROUND, PAGE_CAUSE_BACKGROUND
#define CHUNK      PAGE_CHUNK_PAGES
#define HALF       (PAGE_CHUNK_PAGES / 2) /* a huge page of 2 MiB */

static const struct rig_options small_pages = {.has_no_huge_pages = true};
static const struct rig_options huge_pages = {0};

/* The highest scavenged page of the first chunks, or PAGE_NONE. */
static uint64_t highest_scavenged(const struct page_lane *lane, uint32_t chunk_count)
{
    for (uint64_t page = (uint64_t)chunk_count * CHUNK; page > 0; page--) {
        if (rig_is_scavenged(lane, page - 1)) {
            return page - 1;
        }
    }
    return PAGE_NONE;
}

/* ---- which pages ---------------------------------------------------------------------------- */

static void nothing_free_is_nothing_to_give_back(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 0);
    rig_fill_chunks(&rig, rig.lane, 3);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 0);
    assert_int_equal(os_sim_call_count(&rig.sim, OS_SIM_DECOMMIT), 0);
    rig_free_pages(rig.lane, 0, 3 * CHUNK);
    rig_close(&rig);
}

static void three_chunks_are_exhausted_and_a_second_time_nothing_is_left(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 3);
    uint64_t committed_bytes = rig_committed_bytes(&rig);
    rig_free_pages(rig.lane, 0, 3 * CHUNK);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 3 * PAGE_CHUNK_BYTES);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 0);
    struct quarry_ledger totals = rig_check(&rig);
    assert_int_equal(totals.committed_bytes, committed_bytes - 3 * PAGE_CHUNK_BYTES);
    assert_int_equal(totals.free_backed_bytes, 0);
    assert_int_equal(totals.released_bytes, 3 * PAGE_CHUNK_BYTES);
    rig_close(&rig);
}

static void the_highest_page_goes_first(void **state)
{
    const uint64_t freed[] = {3, 100, CHUNK + 7, CHUNK + 8, 2 * CHUNK + 300};
    const uint64_t order[] = {2 * CHUNK + 300, CHUNK + 8, CHUNK + 7, 100, 3};
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 3);
    for (size_t i = 0; i < COUNT_OF(freed); i++) {
        rig_free_pages(rig.lane, freed[i], 1);
    }
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        assert_false(rig_is_scavenged(rig.lane, order[i]));
        assert_int_equal(page_scavenge(rig.heap, 1, FORCED), PAGE_BYTES);
        assert_true(rig_is_scavenged(rig.lane, order[i]));
    }
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), 0);
    rig_close(&rig);
}

static void many_steps_walk_down_and_stop_where_they_were_told(void **state)
{
    const uint64_t step_pages = 24;
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 3);
    rig_free_pages(rig.lane, 0, 3 * CHUNK);
    for (uint64_t done = step_pages; done <= 3 * CHUNK; done += step_pages) {
        assert_int_equal(page_scavenge(rig.heap, step_pages << PAGE_SHIFT, FORCED),
                         step_pages << PAGE_SHIFT);
        assert_int_equal(rig.lane->tree.scavenged_pages, done);
        assert_true(rig_is_scavenged(rig.lane, 3 * CHUNK - done));
        assert_true(done == 3 * CHUNK || !rig_is_scavenged(rig.lane, 3 * CHUNK - done - 1));
    }
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), 0);
    rig_close(&rig);
}

static void free_chunks_far_apart_are_found(void **state)
{
    const uint32_t free_chunks[] = {19, 14, 0};
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 20);
    for (size_t i = 0; i < COUNT_OF(free_chunks); i++) {
        rig_free_pages(rig.lane, (uint64_t)free_chunks[i] * CHUNK, CHUNK);
    }
    for (size_t i = 0; i < COUNT_OF(free_chunks); i++) {
        assert_int_equal(page_scavenge(rig.heap, PAGE_CHUNK_BYTES, FORCED), PAGE_CHUNK_BYTES);
        assert_int_equal(
            page_tree_count_scavenged(&rig.lane->tree, (uint64_t)free_chunks[i] * CHUNK, CHUNK),
            CHUNK);
    }
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 0);
    rig_close(&rig);
}

static void of_two_lanes_the_higher_goes_first(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    struct page_lane *high = rig_add_lane(&rig, "high");
    assert_true(high->base > rig.lane->base);
    rig_fill_chunks(&rig, rig.lane, 1);
    rig_fill_chunks(&rig, high, 1);
    rig_free_pages(rig.lane, CHUNK - 1, 1);
    rig_free_pages(high, 0, 1);
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), PAGE_BYTES);
    assert_true(rig_is_scavenged(high, 0));
    assert_false(rig_is_scavenged(rig.lane, CHUNK - 1));
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), PAGE_BYTES);
    assert_true(rig_is_scavenged(rig.lane, CHUNK - 1));
    rig_close(&rig);
}

static void what_was_given_back_and_taken_again_can_be_given_back_again(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    uint64_t empty_bytes = 0;
    for (uint32_t round = 0; round < 3; round++) {
        char *run = rig_alloc(&rig, rig.lane, 5 * CHUNK / 4);
        page_lane_free(rig.lane, run);
        assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 5 * PAGE_CHUNK_BYTES / 4);
        assert_true(round == 0 || rig_committed_bytes(&rig) == empty_bytes);
        empty_bytes = rig_committed_bytes(&rig);
        (void)rig_check(&rig);
    }
    rig_close(&rig);
}

/* ---- huge pages, density and generations ---------------------------------------------------- */

static void a_huge_page_that_is_all_free_goes_whole(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    assert_int_equal(rig.sim.os.huge_page_bytes, Q_MIB(2));
    rig_fill_chunks(&rig, rig.lane, 1);
    rig_free_pages(rig.lane, 0, CHUNK);
    assert_int_equal(page_scavenge(rig.heap, 8 * PAGE_BYTES, FORCED), Q_MIB(2));
    assert_int_equal(highest_scavenged(rig.lane, 1), CHUNK - 1);
    assert_true(rig_is_scavenged(rig.lane, HALF));
    assert_false(rig_is_scavenged(rig.lane, HALF - 1));
    rig_close(&rig);
}

static void a_dense_huge_page_is_left_whole_unless_forced(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    rig_fill_chunks(&rig, rig.lane, 1);
    rig_free_pages(rig.lane, HALF + 20, 8); /* 248 of 256 in use: 31/32, dense */
    rig_free_pages(rig.lane, 100, 100);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 100 * PAGE_BYTES);
    assert_int_equal(highest_scavenged(rig.lane, 1), 199);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 0);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 8 * PAGE_BYTES);
    rig_close(&rig);
}

static void a_huge_page_one_page_thinner_than_dense_is_broken(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    rig_fill_chunks(&rig, rig.lane, 1);
    rig_free_pages(rig.lane, HALF + 20, 9);
    rig_free_pages(rig.lane, 20, 9);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 18 * PAGE_BYTES);
    rig_close(&rig);
}

static void a_dense_chunk_is_left_whole_unless_forced(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 2);
    rig_free_pages(rig.lane, CHUNK + 9, 16); /* 496 in use: dense */
    rig_free_pages(rig.lane, 9, 17);         /* 495: not */
    for (uint32_t i = 0; i < 3; i++) {
        rig_next_generation(rig.lane);
    }
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 17 * PAGE_BYTES);
    assert_int_equal(highest_scavenged(rig.lane, 2), 25);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 16 * PAGE_BYTES);
    rig_close(&rig);
}

static void the_background_takes_nothing_before_the_next_generation(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    rig_fill_chunks(&rig, rig.lane, 2);
    rig_next_generation(rig.lane);
    rig_free_pages(rig.lane, 0, 2 * CHUNK);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 0);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 2 * PAGE_CHUNK_BYTES);
    rig_close(&rig);
}

static void a_forced_scavenge_takes_at_once_what_the_background_lets_rest(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    rig_fill_chunks(&rig, rig.lane, 2);
    rig_next_generation(rig.lane);
    rig_free_pages(rig.lane, 0, 2 * CHUNK);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 2 * PAGE_CHUNK_BYTES);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 0);
    rig_close(&rig);
}

static void a_chunk_that_was_dense_rests_a_generation_more(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &small_pages);
    rig_fill_chunks(&rig, rig.lane, 2);
    rig_free_pages(rig.lane, 0, 100);
    rig_next_generation(rig.lane);
    /* The upper chunk was full when this generation first touched it. */
    rig_free_pages(rig.lane, CHUNK, 100);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 100 * PAGE_BYTES);
    assert_int_equal(highest_scavenged(rig.lane, 2), 99);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 100 * PAGE_BYTES);
    assert_int_equal(highest_scavenged(rig.lane, 2), CHUNK + 99);
    rig_close(&rig);
}

/* ---- a kernel that refuses ------------------------------------------------------------------ */

static void a_piece_that_the_kernel_refuses_once_stays_backed_and_charged(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &huge_pages);
    rig_fill_chunks(&rig, rig.lane, 2);
    rig_free_pages(rig.lane, 0, 2 * CHUNK);
    uint64_t committed_bytes = rig_committed_bytes(&rig);
    os_sim_fail_at(&rig.sim, OS_SIM_DECOMMIT, 1, OS_SIM_ONCE, QUARRY_BUSY);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), PAGE_CHUNK_BYTES);
    struct quarry_ledger totals = rig_check(&rig);
    assert_int_equal(totals.committed_bytes, committed_bytes - PAGE_CHUNK_BYTES);
    assert_int_equal(totals.free_backed_bytes, PAGE_CHUNK_BYTES);
    assert_int_equal(atomic_load_relaxed_u64(&rig.heap->scavenger.counters.decommit_error_count),
                     1);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), PAGE_CHUNK_BYTES);
    rig_close(&rig);
}

static void a_kernel_that_refuses_for_ever_ends_every_kind_of_scavenging(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.limit_bytes = Q_MIB(64)});
    char *runs[4];
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        runs[i] = rig_alloc(&rig, rig.lane, 2 * CHUNK);
    }
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        page_lane_free(rig.lane, runs[i]);
    }
    uint64_t committed_bytes = rig_committed_bytes(&rig);
    os_sim_fail_at(&rig.sim, OS_SIM_DECOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    rig_next_generation(rig.lane);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), 0);
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, BACKGROUND), 0);
    assert_int_equal(page_heap_trim(rig.heap), 0);
    assert_int_equal(page_heap_set_limit(rig.heap, Q_MIB(8)), QUARRY_NO_MEMORY);
    assert_int_equal(page_commit_read(&rig.heap->commit).limit_bytes, Q_MIB(64));
    page_lane_end(rig.lane);
    (void)rig_run_for(&rig, 5 * Q_SECOND_NS);
    struct quarry_ledger totals = rig_check(&rig);
    assert_int_equal(totals.committed_bytes, committed_bytes);
    assert_int_equal(totals.free_backed_bytes, 4 * 2 * PAGE_CHUNK_BYTES);
    /* The pages are still good for allocation. */
    page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, 8 * CHUNK));
    os_sim_fail_clear(&rig.sim);
    assert_int_equal(page_heap_trim(rig.heap), 4 * 2 * PAGE_CHUNK_BYTES);
    rig_close(&rig);
}

static void any_decommit_may_fail_and_the_ledger_stays_exact(void **state)
{
    bool is_through = false;
    (void)state;

    for (uint64_t index = 0; !is_through; index++) {
        struct rig rig;
        rig_open(&rig, &huge_pages);
        rig_fill_chunks(&rig, rig.lane, 3);
        for (uint64_t page = 0; page < 3 * CHUNK; page += 96) {
            rig_free_pages(rig.lane, page, 40);
        }
        os_sim_fail_at(&rig.sim, OS_SIM_DECOMMIT, index, OS_SIM_ONCE, QUARRY_BUSY);
        uint64_t free_bytes = rig.lane->tree.free_pages << PAGE_SHIFT;
        uint64_t released_bytes = page_scavenge(rig.heap, UINT64_MAX, FORCED);
        is_through = os_sim_failed_count(&rig.sim) == 0;
        struct quarry_ledger totals = rig_check(&rig);
        assert_int_equal(totals.free_backed_bytes, free_bytes - released_bytes);
        assert_int_equal(is_through, released_bytes == free_bytes);
        released_bytes += page_scavenge(rig.heap, UINT64_MAX, FORCED);
        assert_int_equal(released_bytes, free_bytes);
        rig_close(&rig);
    }
}

/* ---- larger OS pages ------------------------------------------------------------------------ */

static void with_os_pages_of_64_kib_only_whole_ones_go_back(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.page_bytes = Q_KIB(64), .has_no_huge_pages = true});
    rig_fill_chunks(&rig, rig.lane, 1);
    rig_free_pages(rig.lane, 16, 7);  /* most of the OS page at 16 */
    rig_free_pages(rig.lane, 36, 12); /* a half and the whole of the one at 40 */
    assert_int_equal(page_scavenge(rig.heap, UINT64_MAX, FORCED), Q_KIB(64));
    assert_int_equal(highest_scavenged(rig.lane, 1), 47);
    assert_false(rig_is_scavenged(rig.lane, 39));
    rig_free_pages(rig.lane, 23, 1);
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), Q_KIB(64));
    assert_true(rig_is_scavenged(rig.lane, 16));
    assert_int_equal(page_scavenge(rig.heap, 1, FORCED), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_free_is_nothing_to_give_back),
        cmocka_unit_test(three_chunks_are_exhausted_and_a_second_time_nothing_is_left),
        cmocka_unit_test(the_highest_page_goes_first),
        cmocka_unit_test(many_steps_walk_down_and_stop_where_they_were_told),
        cmocka_unit_test(free_chunks_far_apart_are_found),
        cmocka_unit_test(of_two_lanes_the_higher_goes_first),
        cmocka_unit_test(what_was_given_back_and_taken_again_can_be_given_back_again),
        cmocka_unit_test(a_huge_page_that_is_all_free_goes_whole),
        cmocka_unit_test(a_dense_huge_page_is_left_whole_unless_forced),
        cmocka_unit_test(a_huge_page_one_page_thinner_than_dense_is_broken),
        cmocka_unit_test(a_dense_chunk_is_left_whole_unless_forced),
        cmocka_unit_test(the_background_takes_nothing_before_the_next_generation),
        cmocka_unit_test(a_forced_scavenge_takes_at_once_what_the_background_lets_rest),
        cmocka_unit_test(a_chunk_that_was_dense_rests_a_generation_more),
        cmocka_unit_test(a_piece_that_the_kernel_refuses_once_stays_backed_and_charged),
        cmocka_unit_test(a_kernel_that_refuses_for_ever_ends_every_kind_of_scavenging),
        cmocka_unit_test(any_decommit_may_fail_and_the_ledger_stays_exact),
        cmocka_unit_test(with_os_pages_of_64_kib_only_whole_ones_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
