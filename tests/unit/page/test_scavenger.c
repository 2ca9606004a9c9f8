/* The background: its goals in virtual time, and its thread in real time. */
#include "heap_rig.h"

#include <dirent.h>
#include <string.h>

/* What a decommit of one OS page costs here, about. */
#define REAL_COST_NS 300

static uint64_t retained_bytes(struct rig *rig)
{
    return page_scavenger_retained_bytes(rig->heap);
}

/* Makes the tests independent of the machine they run on. */
static void rig_set_cpus(struct rig *rig, double cpu_count)
{
    rig->heap->scavenger.cpu_count = cpu_count;
}

/* Holds `held_count` of `run_count` runs of 1 MiB, the lower ones, the others free and backed. */
static void hold_of(struct rig *rig, uint32_t held_count, uint32_t run_count)
{
    char *runs[512];

    assert_true(run_count <= COUNT_OF(runs));
    for (uint32_t i = 0; i < run_count; i++) {
        runs[i] = rig_alloc(rig, rig->lane, Q_MIB(1) >> PAGE_SHIFT);
    }
    for (uint32_t i = held_count; i < run_count; i++) {
        page_lane_free(rig->lane, runs[i]);
    }
}

/* ---- goals ---------------------------------------------------------------------------------- */

static void a_tenth_above_recent_use_is_retained(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.decommit_cost_ns = REAL_COST_NS});
    hold_of(&rig, 100, 300);
    (void)rig_run_for(&rig, 30 * Q_SECOND_NS);
    assert_true(retained_bytes(&rig) <= Q_MIB(110));
    assert_true(retained_bytes(&rig) >= Q_MIB(106)); /* a chunk less at the most */
    assert_int_equal(rig_check(&rig).in_use_bytes, Q_MIB(100));
    rig_close(&rig);
}

static void a_small_heap_retains_a_mebibyte(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.decommit_cost_ns = REAL_COST_NS});
    hold_of(&rig, 1, 20);
    (void)rig_run_for(&rig, 30 * Q_SECOND_NS);
    assert_true(retained_bytes(&rig) <= Q_MIB(2));
    rig_close(&rig);
}

static void memory_that_comes_and_goes_within_a_generation_stays(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.decommit_cost_ns = REAL_COST_NS});
    for (uint32_t breath = 0; breath < 50; breath++) {
        char *run = rig_alloc(&rig, rig.lane, Q_MIB(64) >> PAGE_SHIFT);
        (void)rig_run_for(&rig, 100 * Q_MS_NS);
        page_lane_free(rig.lane, run);
        (void)rig_run_for(&rig, 100 * Q_MS_NS);
    }
    assert_int_equal(os_sim_call_count(&rig.sim, OS_SIM_DECOMMIT), 0);
    rig_close(&rig);
}

/* A limit goal computed as 95 times the limit, instead of 95 % of it, is never passed. */
static void the_background_begins_at_95_percent_of_the_limit_not_at_95_times_it(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.limit_bytes = Q_MIB(200)});
    hold_of(&rig, 176, 192);
    assert_true(rig_committed_bytes(&rig) * 100 > Q_MIB(200) * 95);
    assert_true(page_scavenger_is_over_limit_goal(rig.heap));
    (void)rig_run_for(&rig, 30 * Q_SECOND_NS);
    /* Above recent use there is less than a tenth: the limit alone made it work. */
    assert_true(Q_MIB(192) < Q_MIB(176) / 100 * 110);
    assert_false(page_scavenger_is_over_limit_goal(rig.heap));
    assert_true(rig_committed_bytes(&rig) <= Q_MIB(190));
    assert_true(rig_committed_bytes(&rig) >= Q_MIB(186) - Q_KIB(8));
    rig_close(&rig);
}

static void below_95_percent_of_the_limit_the_limit_is_no_reason(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.limit_bytes = Q_MIB(204)});
    hold_of(&rig, 176, 192);
    assert_false(page_scavenger_is_over_limit_goal(rig.heap));
    uint64_t committed_bytes = rig_committed_bytes(&rig);
    (void)rig_run_for(&rig, 30 * Q_SECOND_NS);
    assert_int_equal(rig_committed_bytes(&rig), committed_bytes);
    rig_close(&rig);
}

static void a_limit_lowered_to_what_is_used_sets_the_background_to_work(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.limit_bytes = Q_GIB(1)});
    hold_of(&rig, 176, 192);
    assert_int_equal(page_heap_set_limit(rig.heap, Q_MIB(196)), QUARRY_OK);
    (void)rig_run_for(&rig, 30 * Q_SECOND_NS);
    assert_true(rig_committed_bytes(&rig) <= Q_MIB(196) / 100 * 95);
    rig_close(&rig);
}

/* ---- pace ----------------------------------------------------------------------------------- */

static void check_spike(double cpu_count)
{
    struct rig rig;

    rig_open(&rig, &(struct rig_options){.decommit_cost_ns = REAL_COST_NS});
    rig_set_cpus(&rig, cpu_count);
    hold_of(&rig, 0, 256);
    uint64_t spike_bytes = retained_bytes(&rig);
    assert_true(spike_bytes >= Q_MIB(256));
    (void)rig_run_for(&rig, Q_SECOND_NS);
    assert_true(retained_bytes(&rig) < spike_bytes);
    (void)rig_run_for(&rig, 4 * Q_SECOND_NS);
    assert_true(retained_bytes(&rig) <= spike_bytes / 10);
    rig_close(&rig);
}

static void a_spike_begins_to_go_within_a_second_and_is_gone_in_five(void **state)
{
    (void)state;
    check_spike(1.0);
    check_spike(2.0);
    check_spike(64.0);
}

/* The share of one CPU that the background takes while it gives back 64 MiB less three pages. */
static double background_share(struct rig *rig)
{
    struct page_scavenger_counters *counters = &rig->heap->scavenger.counters;

    while (retained_bytes(rig) > Q_MIB(56)) { /* past the first bouts */
        os_sim_advance(&rig->sim, page_scavenger_run(rig->heap));
    }
    uint64_t began_ns = os_monotonic_ns(&rig->sim.os);
    uint64_t began_cpu_ns = atomic_load_relaxed_u64(&counters->background_cpu_ns);
    while (retained_bytes(rig) > Q_MIB(6)) {
        os_sim_advance(&rig->sim, page_scavenger_run(rig->heap));
    }
    uint64_t worked_ns = atomic_load_relaxed_u64(&counters->background_cpu_ns) - began_cpu_ns;
    return (double)worked_ns / (double)(os_monotonic_ns(&rig->sim.os) - began_ns);
}

static void the_background_takes_one_percent_of_the_cpus(void **state)
{
    (void)state;
    for (uint32_t cpu_count = 1; cpu_count <= 8; cpu_count *= 2) {
        struct rig rig;
        rig_open(&rig, &(struct rig_options){.decommit_cost_ns = 10 * Q_US_NS});
        rig_set_cpus(&rig, cpu_count);
        page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, (Q_MIB(64) >> PAGE_SHIFT) - 3));
        double share = background_share(&rig) / cpu_count;
        assert_true(share > 0.005 && share < 0.015);
        rig_close(&rig);
    }
}

/* The sleep after a bout tells the share: the controller begins at the set point. */
static void the_share_rises_to_a_tenth_near_the_limit(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig,
             &(struct rig_options){.limit_bytes = Q_MIB(300), .decommit_cost_ns = 10 * Q_US_NS});
    rig_set_cpus(&rig, 1.0);
    hold_of(&rig, 200, 296);
    assert_int_equal(page_heap_set_limit(rig.heap, rig_committed_bytes(&rig)), QUARRY_OK);
    uint64_t began_ns = os_monotonic_ns(&rig.sim.os);
    uint64_t share_high_permille = 0, worked_ns = 0;
    struct page_scavenger_counters *counters = &rig.heap->scavenger.counters;
    while (rig_committed_bytes(&rig) * 100 > Q_MIB(296) * 95) {
        os_sim_advance(&rig.sim, size_max_u64(page_scavenger_run(rig.heap), Q_US_NS));
        worked_ns = atomic_load_relaxed_u64(&counters->background_cpu_ns);
        assert_true(os_monotonic_ns(&rig.sim.os) - began_ns < 30 * Q_SECOND_NS);
    }
    share_high_permille = worked_ns * 1000 / (os_monotonic_ns(&rig.sim.os) - began_ns);
    /* 1 % alone would have taken four times as long. */
    assert_true(share_high_permille >= 20 && share_high_permille <= 150);
    rig_close(&rig);
}

/* ---- growth, caches, quiet ------------------------------------------------------------------ */

static void growing_one_lane_gives_as_much_back_from_another(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){0});
    struct page_lane *other = rig_add_lane(&rig, "other");
    page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, Q_MIB(64) >> PAGE_SHIFT));
    rig_next_generation(rig.lane);
    /* As after a while without it: nothing was in use recently. */
    atomic_store_relaxed_u64(&rig.heap->scavenger.retain_goal_bytes, Q_MIB(8));
    uint64_t before_bytes = retained_bytes(&rig);
    char *run = rig_alloc(&rig, other, Q_MIB(32) >> PAGE_SHIFT);
    assert_int_equal(
        atomic_load_relaxed_u64(&rig.heap->scavenger.counters.released_bytes[PAGE_CAUSE_GROW]),
        Q_MIB(32));
    assert_int_equal(retained_bytes(&rig), before_bytes);
    assert_int_equal(rig.lane->tree.scavenged_pages, Q_MIB(32) >> PAGE_SHIFT);
    page_lane_free(other, run);
    rig_close(&rig);
}

static void growth_within_the_goal_gives_nothing_back(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){0});
    struct page_lane *other = rig_add_lane(&rig, "other");
    page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, Q_MIB(64) >> PAGE_SHIFT));
    rig_next_generation(rig.lane);
    atomic_store_relaxed_u64(&rig.heap->scavenger.retain_goal_bytes, Q_MIB(96));
    char *run = rig_alloc(&rig, other, Q_MIB(32) >> PAGE_SHIFT);
    assert_int_equal(os_sim_call_count(&rig.sim, OS_SIM_DECOMMIT), 0);
    page_lane_free(other, run);
    rig_close(&rig);
}

static void caches_that_nobody_uses_are_flushed(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){0});
    page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, 1)); /* the lane has grown */
    page_free(rig.lane, page_alloc(rig.lane, rig.owner, 1).base);
    page_free(rig.lane, page_alloc(rig.lane, rig.owner, 100).base);
    assert_int_equal(rig_check(&rig).cached_bytes, 164 * PAGE_BYTES);
    (void)rig_run_for(&rig, 3 * PAGE_GENERATION_NS);
    assert_int_equal(rig_check(&rig).cached_bytes, 0);
    /* And once more, after it has been used again. */
    page_free(rig.lane, page_alloc(rig.lane, rig.owner, 1).base);
    assert_true(rig_check(&rig).cached_bytes > 0);
    (void)rig_run_for(&rig, 3 * PAGE_GENERATION_NS);
    assert_int_equal(rig_check(&rig).cached_bytes, 0);
    rig_close(&rig);
}

static void a_cache_that_is_used_now_and_then_is_kept(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){0});
    page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, 1)); /* the lane has grown */
    for (uint32_t i = 0; i < 20; i++) {
        page_free(rig.lane, page_alloc(rig.lane, rig.owner, 1).base);
        (void)rig_run_for(&rig, PAGE_GENERATION_NS);
    }
    assert_int_equal(rig_check(&rig).cached_bytes, 64 * PAGE_BYTES);
    assert_int_equal(rig.lane->counters.refill_count, 1);
    rig_close(&rig);
}

static void a_quiet_heap_parks_and_a_spike_ends_the_quiet(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){0});
    assert_true(rig_run_for(&rig, PAGE_GENERATION_NS / 2) <= PAGE_GENERATION_NS);
    assert_int_equal(rig_run_for(&rig, 10 * PAGE_GENERATION_NS), 2 * Q_SECOND_NS);
    hold_of(&rig, 0, 64);
    assert_true(rig_run_for(&rig, 2 * PAGE_GENERATION_NS) <= PAGE_GENERATION_NS);
    assert_int_equal(rig_run_for(&rig, 30 * Q_SECOND_NS), 2 * Q_SECOND_NS);
    assert_true(retained_bytes(&rig) <= Q_MIB(1));
    rig_close(&rig);
}

/* Work that the rules forbid is no reason to spin: it looks round once a generation. */
static void work_that_may_not_be_done_is_not_retried_before_the_next_generation(void **state)
{
    struct rig rig;
    (void)state;

    rig_open(&rig, &(struct rig_options){.limit_bytes = Q_MIB(66)});
    char *run = rig_alloc(&rig, rig.lane, Q_MIB(64) >> PAGE_SHIFT);
    assert_true(page_scavenger_is_over_limit_goal(rig.heap));
    uint64_t turn_count = 0, end_ns = os_monotonic_ns(&rig.sim.os) + 10 * Q_SECOND_NS;
    while (os_monotonic_ns(&rig.sim.os) < end_ns) {
        uint64_t wait_ns = page_scavenger_run(rig.heap);
        assert_true(wait_ns > 0);
        os_sim_advance(&rig.sim, wait_ns);
        turn_count++;
    }
    assert_true(turn_count <= 10 * Q_SECOND_NS / PAGE_GENERATION_NS + 1);
    page_lane_free(rig.lane, run);
    rig_close(&rig);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static struct page_heap *real_heap(struct page_lane **ret_lane, uint32_t *ret_owner)
{
    struct page_heap_options options = {.limit_bytes = Q_GIB(1), .reserved_bytes = Q_GIB(4)};
    struct page_lane_options lane_options = {.name = "real", .reserved_bytes = Q_GIB(1)};
    struct page_heap *heap;

    assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
    assert_int_equal(page_lane_create(heap, &lane_options, ret_lane, NULL), QUARRY_OK);
    assert_int_equal(page_ledger_register(&heap->ledger, "test", ret_owner), QUARRY_OK);
    return heap;
}

static uint32_t scavenger_state(struct page_heap *heap)
{
    return atomic_load_relaxed_u32(&heap->scavenger.state);
}

static uint32_t count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    uint32_t count = 0;

    assert_non_null(tasks);
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        count += entry->d_name[0] != '.';
    }
    assert_int_equal(closedir(tasks), 0);
    return count;
}

/* Waits up to a minute. */
static bool comes_true(bool (*is_so)(struct page_heap *), struct page_heap *heap)
{
    for (uint32_t i = 0; i < 6000; i++) {
        if (is_so(heap)) {
            return true;
        }
        os_sleep_ns(10 * Q_MS_NS);
    }
    return false;
}

static bool is_small(struct page_heap *heap)
{
    return page_scavenger_retained_bytes(heap) <= Q_MIB(6);
}

static bool is_parked(struct page_heap *heap)
{
    return atomic_load_relaxed_u32(&heap->scavenger.sleep) == 2;
}

static bool is_paced(struct page_heap *heap)
{
    return atomic_load_relaxed_u32(&heap->scavenger.sleep) == 1;
}

static void the_thread_works_in_a_process_that_does_nothing(void **state)
{
    struct page_lane *lane;
    uint32_t owner;
    (void)state;

    struct page_heap *heap = real_heap(&lane, &owner);
    struct page_run run = page_lane_alloc(lane, owner, Q_MIB(64) >> PAGE_SHIFT, 1);
    assert_non_null(run.base);
    memset(run.base, 1, Q_MIB(64));
    page_lane_free(lane, run.base);
    assert_true(page_scavenger_retained_bytes(heap) >= Q_MIB(64));
    assert_true(comes_true(is_small, heap));
    assert_int_equal(page_heap_validate(heap, NULL), QUARRY_OK);
    page_heap_destroy(heap);
}

static void the_thread_parks_and_a_poke_wakes_it(void **state)
{
    struct page_lane *lane;
    uint32_t owner;
    (void)state;

    struct page_heap *heap = real_heap(&lane, &owner);
    struct page_run run = page_lane_alloc(lane, owner, 1, 1);
    assert_true(comes_true(is_parked, heap));
    page_scavenger_poke(heap);
    /* It stays awake for a few generations: a parked one that looked round would park again. */
    assert_true(comes_true(is_paced, heap));
    page_lane_free(lane, run.base);
    page_heap_destroy(heap);
}

static void the_thread_starts_late_and_ends_with_the_heap(void **state)
{
    uint32_t before_count = count_threads();
    struct page_lane *lane;
    uint32_t owner;
    (void)state;

    struct page_heap *heap = real_heap(&lane, &owner);
    assert_int_equal(count_threads(), before_count);
    struct page_run run = page_lane_alloc(lane, owner, 1, 1);
    assert_int_equal(scavenger_state(heap), PAGE_SCAVENGER_RUNNING);
    assert_int_equal(count_threads(), before_count + 1);
    page_lane_free(lane, run.base);
    page_heap_destroy(heap);
    assert_int_equal(count_threads(), before_count);
}

static void a_thread_that_cannot_start_is_tried_again(void **state)
{
    const uint32_t kinds[] = {OS_SIM_RESERVE, OS_SIM_COMMIT};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct rig rig;
        /* A limit without room for the thread's stack comes first: nothing else has failed yet. */
        rig_open(&rig, &(struct rig_options){.has_thread = true});
        assert_int_equal(scavenger_state(rig.heap), PAGE_SCAVENGER_WANTED);
        uint64_t limit_bytes = rig_committed_bytes(&rig) + Q_KIB(32);
        assert_int_equal(page_heap_set_limit(rig.heap, limit_bytes), QUARRY_OK);
        assert_int_equal(scavenger_state(rig.heap), PAGE_SCAVENGER_WANTED);
        assert_int_equal(rig_committed_bytes(&rig), limit_bytes - Q_KIB(32));
        os_sim_fail_at(&rig.sim, kinds[i], 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
        for (uint32_t slow_path = 0; slow_path < 2500; slow_path++) {
            assert_int_equal(page_heap_set_limit(rig.heap, Q_GIB(1)), QUARRY_OK);
        }
        assert_true(os_sim_failed_count(&rig.sim) >= 2);
        assert_int_equal(scavenger_state(rig.heap), PAGE_SCAVENGER_WANTED);
        assert_int_equal(rig_committed_bytes(&rig), limit_bytes - Q_KIB(32));
        os_sim_fail_clear(&rig.sim);
        /* Not at each of them: an attempt is expensive. */
        for (uint32_t slow_path = 0; slow_path < 2500; slow_path++) {
            page_lane_free(rig.lane, rig_alloc(&rig, rig.lane, 1));
        }
        assert_int_equal(scavenger_state(rig.heap), PAGE_SCAVENGER_RUNNING);
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenth_above_recent_use_is_retained),
        cmocka_unit_test(a_small_heap_retains_a_mebibyte),
        cmocka_unit_test(memory_that_comes_and_goes_within_a_generation_stays),
        cmocka_unit_test(the_background_begins_at_95_percent_of_the_limit_not_at_95_times_it),
        cmocka_unit_test(below_95_percent_of_the_limit_the_limit_is_no_reason),
        cmocka_unit_test(a_limit_lowered_to_what_is_used_sets_the_background_to_work),
        cmocka_unit_test(a_spike_begins_to_go_within_a_second_and_is_gone_in_five),
        cmocka_unit_test(the_background_takes_one_percent_of_the_cpus),
        cmocka_unit_test(the_share_rises_to_a_tenth_near_the_limit),
        cmocka_unit_test(growing_one_lane_gives_as_much_back_from_another),
        cmocka_unit_test(growth_within_the_goal_gives_nothing_back),
        cmocka_unit_test(caches_that_nobody_uses_are_flushed),
        cmocka_unit_test(a_cache_that_is_used_now_and_then_is_kept),
        cmocka_unit_test(a_quiet_heap_parks_and_a_spike_ends_the_quiet),
        cmocka_unit_test(work_that_may_not_be_done_is_not_retried_before_the_next_generation),
        cmocka_unit_test(the_thread_works_in_a_process_that_does_nothing),
        cmocka_unit_test(the_thread_parks_and_a_poke_wakes_it),
        cmocka_unit_test(the_thread_starts_late_and_ends_with_the_heap),
        cmocka_unit_test(a_thread_that_cannot_start_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
