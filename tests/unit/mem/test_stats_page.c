/* The writer of the statistics segment: what a refresh publishes, and when it cannot. */
#include "profile_rig.h"

#include <string.h>
#include <unistd.h>

static void refresh(void)
{
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
}

static void a_segment_names_its_process_and_layout(void **state)
{
    (void)state;
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_memory_equal(&shot.head->magic, "QHEAPSTA", 8);
    assert_int_equal(shot.head->version, MEM_STATS_VERSION);
    assert_int_equal(shot.head->pid, getpid());
    assert_int_equal(shot.head->segment_bytes, MEM_STATS_BYTES);
    assert_non_null(strstr(shot.head->command, "test_mem_stats_page"));
    assert_int_equal(shot.head->sample_mean_bytes, Q_KIB(512));
}

static void before_a_refresh_there_are_stacks_and_no_totals(void **state)
{
    (void)state;
    sample_plant(0x1000, 64, 0xabc0, 2);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_false(shot.is_refreshed);
    assert_int_equal(shot.row_count, 0);
    assert_int_equal(shot.stack_count, 1);
}

static void a_census_is_published_whole(void **state)
{
    (void)state;
    census.totals.span_bytes = 1000;
    census.totals.thread_count = 12;
    census.totals.ledger.committed_bytes = 77;
    census.limit_bytes = 4321;
    census.is_hardened = true;
    census.row_count = MEM_STATS_ROWS_MAX;
    census.class_count = 67;
    for (uint32_t i = 0; i < MEM_STATS_ROWS_MAX; i++) {
        census.row[i].owner = i;
        census.row[i].lifetime = i % 4;
        census.row[i].live_bytes = i * 3;
    }
    strcpy(census.row[9].owner_name, "kv.memtable");
    strcpy(census.row[2].lifetime_name, "flush");
    for (uint32_t i = 0; i < 67; i++) {
        census.class[i].object_bytes = 8 * (i + 1);
    }
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_true(shot.is_refreshed);
    assert_int_equal(shot.totals->span_bytes, 1000);
    assert_int_equal(shot.totals->thread_count, 12);
    assert_int_equal(shot.totals->ledger.committed_bytes, 77);
    assert_int_equal(shot.head->limit_bytes, 4321);
    assert_int_equal(shot.head->is_hardened, 1);
    assert_int_equal(shot.row_count, MEM_STATS_ROWS_MAX);
    assert_int_equal(shot.rows[255].live_bytes, 765);
    assert_int_equal(shot.class_count, 67);
    assert_int_equal(shot.classes[66].object_bytes, 536);
    assert_string_equal(mem_stats_owner_name(&shot, 9), "kv.memtable");
    assert_string_equal(mem_stats_lifetime_name(&shot, 2), "flush");
    assert_null(mem_stats_owner_name(&shot, 256));
    assert_null(mem_stats_lifetime_name(&shot, 4));
}

static void the_heap_map_is_one_that_parses(void **state)
{
    struct page_heap_map_view view;
    struct page_lane *lane = lane_make("general");
    uint32_t owner = owner_make("net");

    (void)state;
    void *pages = take_pages(lane, owner, 700);
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(page_heap_map_parse(shot.map, shot.map_bytes, &view, NULL), QUARRY_OK);
    assert_int_equal(view.chunk_count, 2);
    assert_string_equal(page_heap_map_lane_at(&view, 0).name, "general");
    page_free(lane, pages);
    census.heap = NULL;
    refresh();
    assert_int_equal(rig_snapshot().map_bytes, 0);
}

static void modules_are_listed_once_and_stay(void **state)
{
    (void)state;
    refresh();
    uint64_t sequence = rig_snapshot().head->sequence;
    uint32_t count = rig_snapshot().module_count;
    assert_in_range(count, 3, 64);
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.module_count, count);
    assert_int_equal(shot.head->sequence, sequence + 2); /* one turn of the seqlock, not two */
    assert_non_null(strstr(shot.modules[0].path, "test_mem_stats_page"));
}

static void peaks_and_integrals_are_kept(void **state)
{
    (void)state;
    census.totals.ledger.committed_bytes = Q_MIB(10);
    census.totals.live_bytes = Q_MIB(2);
    census.totals.large_bytes = Q_MIB(1);
    census.totals.span_bytes = Q_MIB(4);
    refresh();
    os_sim_advance(&sim, 2 * Q_SECOND_NS);
    census.totals.ledger.committed_bytes = Q_MIB(20);
    census.totals.live_bytes = Q_MIB(1);
    refresh();
    os_sim_advance(&sim, Q_SECOND_NS);
    census.totals.ledger.committed_bytes = Q_MIB(6);
    census.totals.span_bytes = Q_MIB(2);
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    const struct mem_stats_totals *totals = shot.totals;

    assert_int_equal(totals->observed_ns, 3 * Q_SECOND_NS);
    assert_int_equal(totals->peak_live_bytes, Q_MIB(3));
    assert_int_equal(totals->peak_span_bytes, Q_MIB(5));
    assert_int_equal(totals->committed_peak_seen_bytes, Q_MIB(20));
    assert_int_equal(totals->live_bytes_at_committed_peak, Q_MIB(2));
    /* Trapezia: 2 s at 15 MiB and 1 s at 13. */
    assert_int_equal(totals->committed_integral_kib_ms, (2 * 15 + 13) * 1024 * 1000);
    assert_int_equal(totals->live_integral_kib_ms, 2 * 2560 * 1000 + 2048 * 1000);
    assert_int_equal(totals->span_integral_kib_ms, (2 * 5 + 4) * 1024 * 1000);
}

/* One span of 8 KiB, whose objects begin at 64 KiB: 40 slots, 4 alive. */
static bool one_sparse_span(void *argument, const void *object, uint32_t *ret_capacity,
                            uint32_t *ret_used, uint64_t *ret_span_bytes, uint64_t *ret_span_id)
{
    uint32_t *call_count = argument;

    (*call_count)++;
    *ret_capacity = 40;
    *ret_used = 4;
    *ret_span_bytes = 8000;
    *ret_span_id = 1;
    return (uint64_t)(uintptr_t)object / Q_KIB(64) == 1;
}

static void what_a_stack_pins_is_written_to_it_and_taken_back(void **state)
{
    uint32_t call_count = 0;

    (void)state;
    mem_stats_set_sample_mean(&stats, 1); /* every object is seen: the estimate is exact */
    sample_plant(Q_KIB(64) + 200, 200, 0xabc0, 2);
    sample_plant(Q_KIB(64) + 400, 200, 0xdef0, 2);
    sample_plant(Q_KIB(256), 200, 0x1230, 2);
    census.span_of = one_sparse_span;
    census.argument = &call_count;
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(call_count, 3);
    assert_int_equal(stack_of(&shot, 0xabc0)->pinned_span_bytes, 3600);
    assert_int_equal(stack_of(&shot, 0xdef0)->pinned_span_bytes, 3600);
    assert_int_equal(stack_of(&shot, 0xdef0)->pinned_live_bytes, 400); /* planted weight: 2 */
    assert_int_equal(stack_of(&shot, 0x1230)->pinned_span_bytes, 0);
    assert_int_equal(shot.totals->pinned_span_bytes, 7200);
    assert_int_equal(shot.totals->pinned_live_bytes, 800);

    assert_true(mem_profile_free(&profile, (void *)(Q_KIB(64) + 200)));
    refresh();
    shot = rig_snapshot();
    assert_int_equal(stack_of(&shot, 0xabc0)->pinned_span_bytes, 0);
    assert_int_equal(stack_of(&shot, 0xabc0)->pinned_live_bytes, 0);
    assert_int_equal(stack_of(&shot, 0xdef0)->pinned_span_bytes, 7200);
}

static void many_pinners_find_room(void **state)
{
    uint32_t call_count = 0;

    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        sample_plant(Q_KIB(64) + i, 8, 0x10000 + i % 700, 1);
    }
    census.span_of = one_sparse_span;
    census.argument = &call_count;
    refresh();
    struct mem_stats_snapshot shot = rig_snapshot();
    uint64_t pinned_live_bytes = 0;
    for (uint32_t i = 0; i < shot.stack_count; i++) {
        pinned_live_bytes += shot.stacks[i].pinned_live_bytes;
    }
    assert_int_equal(pinned_live_bytes, 3000 * 16);
    assert_int_equal(shot.totals->pinned_live_bytes, 3000 * 16);
}

static void a_wish_for_a_refresh_lasts_until_it_is_granted(void **state)
{
    struct mem_stats_reader reader;
    struct quarry_error error = {0};

    (void)state;
    assert_false(mem_stats_wants_refresh(&stats));
    refresh();
    assert_int_equal(mem_stats_attach((uint32_t)getpid(), &reader, &error), QUARRY_OK);
    assert_false(mem_stats_wants_refresh(&stats));
    assert_int_equal(mem_stats_ask_refresh(&reader, &error), QUARRY_OK);
    assert_true(mem_stats_wants_refresh(&stats));
    refresh();
    assert_false(mem_stats_wants_refresh(&stats));
    assert_int_equal(mem_stats_write_sample_mean(&reader, 12345, &error), QUARRY_OK);
    assert_int_equal(mem_stats_sample_mean(&stats), 12345);
    mem_stats_detach(&reader);
}

static void one_refresh_at_a_time(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&stats.is_refreshing, 1);
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_BUSY);
    atomic_store_relaxed_u32(&stats.is_refreshing, 0);
    refresh();
}

/* With every budget from none to plenty: what does not fit has count 0, and nothing is passed. */
static void a_refresh_takes_no_memory_that_the_budget_has_not(void **state)
{
    bool was_refused = false, was_partial = false, was_whole = false;

    (void)state;
    for (uint64_t extra = 0; extra < Q_KIB(256); extra += 4096) {
        uint64_t limit_bytes = rig_begin_with_room(extra);
        census.row_count = MEM_STATS_ROWS_MAX;
        census.class_count = 67;
        enum quarry_status status = mem_stats_refresh(&stats, &census);
        assert_true(heap_committed() <= limit_bytes);
        was_refused = was_refused || status == QUARRY_NO_MEMORY;
        if (status == QUARRY_OK) {
            struct mem_stats_snapshot shot = rig_snapshot();
            assert_true(shot.row_count == 0 || shot.row_count == MEM_STATS_ROWS_MAX);
            was_partial = was_partial || shot.row_count == 0;
            was_whole = was_whole || (shot.is_refreshed && shot.row_count > 0 &&
                                      shot.class_count == 67 && shot.module_count > 0);
        }
        rig_end();
    }
    assert_true(was_refused && was_partial && was_whole);
}

static void nothing_is_made_or_charged_before_it_is_needed(void **state)
{
    uint64_t before = heap_committed(), rng = 4;

    (void)state;
    assert_false(mem_profile_free(&profile, (void *)0x1000));
    assert_true(mem_profile_gap(&profile, &rng, &(uint64_t){0}) > 0);
    assert_false(mem_stats_wants_refresh(&stats));
    assert_null(stats.segment.base);
    assert_int_equal(heap_committed(), before);
}

#define STATS_TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATS_TEST(a_segment_names_its_process_and_layout),
        STATS_TEST(before_a_refresh_there_are_stacks_and_no_totals),
        STATS_TEST(a_census_is_published_whole),
        STATS_TEST(the_heap_map_is_one_that_parses),
        STATS_TEST(modules_are_listed_once_and_stay),
        STATS_TEST(peaks_and_integrals_are_kept),
        STATS_TEST(what_a_stack_pins_is_written_to_it_and_taken_back),
        STATS_TEST(many_pinners_find_room),
        STATS_TEST(a_wish_for_a_refresh_lasts_until_it_is_granted),
        STATS_TEST(one_refresh_at_a_time),
        cmocka_unit_test(a_refresh_takes_no_memory_that_the_budget_has_not),
        STATS_TEST(nothing_is_made_or_charged_before_it_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
