/* The heap profile: accounts of stacks, live samples, ages, and what happens when there is no room.
 */
#include "profile_rig.h"

#include <errno.h>

static void a_sample_shows_in_its_stack_and_among_the_live(void **state)
{
    (void)state;
    sample_plant(0x1000, 800, 0xabc0, 5);
    struct mem_stats_snapshot shot = rig_snapshot();
    const struct mem_stats_stack *stack = stack_of(&shot, 0xabc0);

    assert_int_equal(stack->depth, 5);
    assert_int_equal(stack->pc[4], 0xabc4);
    assert_int_equal(stack->owner, 3);
    assert_int_equal(stack->lifetime, 4);
    assert_int_equal(stack->alloc.sampled_count, 1);
    assert_int_equal(stack->alloc.sampled_bytes, 800);
    assert_int_equal(stack->alloc.weight, 2 * MEM_STATS_WEIGHT_ONE);
    assert_int_equal(stack->alloc.bytes, 1600);
    assert_int_equal(stack->alloc.requested_bytes, 1400);
    assert_int_equal(stack->age_min_ns, UINT64_MAX);
    assert_int_equal(shot.sample_count, 1);
    assert_int_equal(shot.samples[0].address, 0x1000);
    assert_int_equal(shot.samples[0].requested_bytes, 700);
    assert_int_equal(shot.head->sampled_count, 1);
    assert_balanced(&shot);
}

static void a_freed_sample_leaves_its_account_balanced(void **state)
{
    (void)state;
    sample_plant(0x1000, 800, 0xabc0, 5);
    sample_plant(0x2000, 64, 0xabc0, 5);
    assert_true(mem_profile_free(&profile, (void *)0x1000));
    assert_false(mem_profile_free(&profile, (void *)0x1000));
    assert_false(mem_profile_free(&profile, (void *)0x3000));
    struct mem_stats_snapshot shot = rig_snapshot();

    assert_int_equal(shot.stack_count, 1);
    assert_int_equal(shot.sample_count, 1);
    assert_int_equal(shot.samples[0].address, 0x2000);
    assert_int_equal(stack_of(&shot, 0xabc0)->free.bytes, 1600);
    assert_balanced(&shot);
}

static void stacks_differ_by_their_addresses_owner_and_lifetime(void **state)
{
    (void)state;
    sample_plant(0x1000, 8, 0x500, 3);
    sample_plant(0x2000, 8, 0x500, 4); /* the same beginning */
    sample_plant(0x3000, 8, 0x501, 3);
    sample_plant(0x4000, 8, 0x500, 3);
    assert_int_equal(rig_snapshot().stack_count, 3);
    mem_profile_alloc_now(&profile, (void *)0x5000, 8, 8, 1, 1);
    uint32_t before = rig_snapshot().stack_count;
    for (uint32_t i = 0; i < 4; i++) { /* one call site, and four owners × lifetimes */
        mem_profile_alloc_now(&profile, (void *)(uintptr_t)(0x6000 + i), 8, 8, i / 2, i % 2);
    }
    assert_int_equal(rig_snapshot().stack_count, before + 4);
}

static void a_stack_that_cannot_be_unwound_counts_all_the_same(void **state)
{
    (void)state;
    sample_plant(0x1000, 32, 0, 0);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.stack_count, 1);
    assert_int_equal(shot.stacks[0].depth, 0);
    assert_balanced(&shot);
}

static void a_real_stack_is_taken(void **state)
{
    (void)state;
    errno = 77;
    mem_profile_alloc_now(&profile, (void *)0x1000, 100, 112, 1, 2);
    assert_int_equal(errno, 77);
    struct mem_stats_snapshot shot = rig_snapshot();
    uint64_t own = (uint64_t)(uintptr_t)a_real_stack_is_taken;
    bool is_seen = false;

    for (uint32_t i = 0; i < shot.stacks[0].depth; i++) {
        is_seen = is_seen || (shot.stacks[0].pc[i] > own && shot.stacks[0].pc[i] < own + 4096);
    }
    assert_true(is_seen);
    assert_int_equal(shot.samples[0].requested_bytes, 100);
    assert_int_equal(shot.samples[0].mean_bytes, Q_KIB(512));
}

static void an_address_used_again_ends_the_sample_that_was_there(void **state)
{
    (void)state;
    sample_plant(0x1000, 800, 0xabc0, 5);
    sample_plant(0x1000, 64, 0xdef0, 2);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.sample_count, 1);
    assert_int_equal(stack_of(&shot, 0xabc0)->free.sampled_count, 1);
    assert_balanced(&shot);
}

static void a_realloc_in_place_keeps_the_sample_and_changes_its_bytes(void **state)
{
    (void)state;
    sample_plant(0x1000, 800, 0xabc0, 5);
    assert_true(mem_profile_move(&profile, (void *)0x1000, (void *)0x1000, 1500, 1600));
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(stack_of(&shot, 0xabc0)->alloc.bytes, 3200);
    assert_int_equal(stack_of(&shot, 0xabc0)->alloc.sampled_count, 1);
    assert_balanced(&shot);

    assert_true(mem_profile_move(&profile, (void *)0x1000, (void *)0x1000, 100, 128));
    shot = rig_snapshot();
    assert_int_equal(stack_of(&shot, 0xabc0)->alloc.bytes, 3200);
    assert_int_equal(stack_of(&shot, 0xabc0)->free.bytes, 3200 - 256);
    assert_int_equal(stack_of(&shot, 0xabc0)->free.sampled_count, 0);
    assert_balanced(&shot);
    assert_true(mem_profile_free(&profile, (void *)0x1000));
    assert_int_equal(mem_profile_move(&profile, (void *)0x1000, (void *)0x1000, 1, 8), false);
}

static void a_realloc_elsewhere_takes_the_sample_along(void **state)
{
    (void)state;
    sample_plant(0x1000, 800, 0xabc0, 5);
    sample_plant(0x9000, 16, 0xdef0, 2); /* whose end was not told */
    assert_true(mem_profile_move(&profile, (void *)0x1000, (void *)0x9000, 800, 800));
    assert_false(mem_profile_free(&profile, (void *)0x1000));
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.sample_count, 1);
    assert_int_equal(shot.samples[0].address, 0x9000);
    assert_balanced(&shot);
    assert_true(mem_profile_free(&profile, (void *)0x9000));
}

static void ages_at_free_fall_into_powers_of_four(void **state)
{
    static const struct {
        uint64_t age_ns;
        uint32_t bucket;
    } ages[] = {
        {0, 0},
        {Q_MS_NS - 1, 0},
        {Q_MS_NS, 1},
        {4 * Q_MS_NS - 1, 1},
        {4 * Q_MS_NS, 2},
        {Q_SECOND_NS, 5}, /* 4^4 = 256 ms up to 1,024 */
        {1024 * Q_MS_NS, 6},
        {24 * 3600 * Q_SECOND_NS, 14},
        {UINT64_C(268435456) * Q_MS_NS, 15},
        {UINT64_MAX, 15},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        assert_int_equal(mem_stats_age_bucket(ages[i].age_ns), ages[i].bucket);
    }
}

static void a_stack_knows_how_old_its_objects_grew(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        sample_plant(0x1000 + i, 100, 0xabc0, 5);
    }
    os_sim_advance(&sim, 2 * Q_MS_NS);
    mem_profile_free(&profile, (void *)0x1000);
    os_sim_advance(&sim, 100 * Q_MS_NS);
    mem_profile_free(&profile, (void *)0x1001);
    mem_profile_free(&profile, (void *)0x1002);
    struct mem_stats_snapshot shot = rig_snapshot();
    const struct mem_stats_stack *stack = stack_of(&shot, 0xabc0);

    assert_int_equal(stack->age_min_ns, 2 * Q_MS_NS);
    assert_int_equal(stack->age_max_ns, 102 * Q_MS_NS);
    assert_int_equal(stack->age_sum_ns, 206 * Q_MS_NS);
    assert_int_equal(stack->age[1].weight, 2 * MEM_STATS_WEIGHT_ONE);
    assert_int_equal(stack->age[1].bytes, 200);
    assert_int_equal(stack->age[4].weight, 4 * MEM_STATS_WEIGHT_ONE);
    assert_int_equal(stack->age[4].bytes, 400);
}

static void records_of_freed_samples_are_used_again(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        for (uint64_t i = 1; i <= 100; i++) {
            sample_plant(i * 64 + round, 100, 0xabc0, 5);
        }
        for (uint64_t i = 1; i <= 100; i++) {
            assert_true(mem_profile_free(&profile, (void *)(i * 64 + round)));
        }
    }
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.sample_count, 0);
    assert_int_equal(profile.first_free_word, 0);
    assert_int_equal(
        ((const struct mem_stats_head *)stats.segment.base)->section[MEM_STATS_SAMPLES].count, 100);
}

static void a_full_table_of_samples_drops_and_counts(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= MEM_STATS_SAMPLES_MAX + 10; i++) {
        sample_plant(i * 16, 16, 0xabc0, 5);
    }
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.sample_count, MEM_STATS_SAMPLES_MAX);
    assert_int_equal(shot.head->dropped_sample_count, 10);
    assert_balanced(&shot);
    assert_true(mem_profile_free(&profile, (void *)(500 * 16)));
    sample_plant(7, 16, 0xabc0, 5);
    shot = rig_snapshot();
    assert_int_equal(shot.sample_count, MEM_STATS_SAMPLES_MAX);
    assert_int_equal(shot.head->dropped_sample_count, 10);
}

static void a_full_table_of_stacks_drops_and_counts(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= MEM_STATS_STACKS_MAX + 10; i++) {
        sample_plant(i * 16, 16, 0x10000 + i * 8, 2);
    }
    sample_plant(8, 16, 0x10000 + 8, 2); /* a stack that is known goes on counting */
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.stack_count, MEM_STATS_STACKS_MAX);
    assert_int_equal(shot.sample_count, MEM_STATS_STACKS_MAX + 1);
    assert_int_equal(shot.head->dropped_stack_count, 10);
    assert_int_equal(stack_of(&shot, 0x10008)->alloc.sampled_count, 2);
}

/* With every budget from none to plenty. */
static void no_sample_takes_memory_that_the_budget_has_not(void **state)
{
    (void)state;
    for (uint64_t extra = 0; extra < Q_KIB(64); extra += 4096) {
        uint64_t limit_bytes = rig_begin_with_room(extra);
        for (uint64_t i = 1; i <= 600; i++) {
            sample_plant(i * 16, 16, 0x10000 + i / 8, 2);
        }
        assert_true(heap_committed() <= limit_bytes);
        if (stats.segment.base != NULL) {
            struct mem_stats_snapshot shot = rig_snapshot();
            assert_balanced(&shot);
            assert_int_equal(shot.head->dropped_budget_count + shot.sample_count, 600);
            assert_int_equal(shot.head->sampled_count, shot.sample_count);
        } else {
            assert_int_equal(atomic_load_relaxed_u64(&stats.first_dropped_count), 600);
            assert_false(mem_profile_free(&profile, (void *)16));
        }
        rig_end();
    }
}

/* Plants, frees and refreshes with the nth system call for memory refused. Returns: if one was. */
static bool run_with_a_fault(uint64_t nth, enum os_sim_fail_mode mode)
{
    rig_begin(Q_KIB(512), Q_GIB(4));
    os_sim_fail_at(&sim, OS_SIM_RESERVE | OS_SIM_COMMIT, nth, mode, QUARRY_NO_MEMORY);
    for (uint64_t i = 1; i <= 1500; i++) {
        sample_plant(i * 16, 16, 0x10000 + i / 2, 2);
    }
    for (uint64_t i = 1; i <= 1500; i += 3) {
        (void)mem_profile_free(&profile, (void *)(i * 16));
    }
    enum quarry_status status = mem_stats_refresh(&stats, &census);
    assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    bool has_failed = os_sim_failed_count(&sim) > 0;
    os_sim_fail_clear(&sim);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_balanced(&shot);
    assert_int_equal(shot.head->sampled_count + shot.head->dropped_budget_count, 1500);
    assert_true(has_failed || shot.head->dropped_budget_count == 0);
    rig_end();
    return has_failed;
}

static void a_refused_system_call_costs_samples_and_no_more(void **state)
{
    uint64_t calls = 0;

    (void)state;
    for (; run_with_a_fault(calls, OS_SIM_ONCE); calls++) {
        assert_true(run_with_a_fault(calls, OS_SIM_FOR_EVER));
    }
    assert_true(calls > 8);
}

static void memory_is_charged_as_it_is_touched(void **state)
{
    uint64_t before = heap_committed();

    (void)state;
    sample_plant(0x1000, 16, 0xabc0, 5);
    uint64_t first = heap_committed() - before;
    assert_in_range(first, 4096, Q_KIB(64));
    for (uint64_t i = 1; i <= 50; i++) {
        sample_plant(0x1000 + i, 16, 0xabc0, 5);
    }
    assert_int_equal(heap_committed() - before, first); /* 50 samples fit the first page */
    assert_int_equal(rig_snapshot().head->charged_bytes, 3 * 4096); /* head, stack, samples */
}

static void the_mean_can_be_changed_while_running(void **state)
{
    uint64_t rng = 1;

    (void)state;
    mem_stats_set_sample_mean(&stats, 0); /* before there is a segment */
    assert_true(mem_profile_gap(&profile, &rng, &(uint64_t){0}) == UINT64_MAX);
    mem_profile_alloc_now(&profile, (void *)0x1000, 8, 8, 1, 1);
    assert_false(mem_profile_free(&profile, (void *)0x1000));
    mem_stats_set_sample_mean(&stats, 64);
    mem_profile_alloc_now(&profile, (void *)0x1000, 8, 8, 1, 1);
    assert_int_equal(rig_snapshot().head->sample_mean_bytes, 64);
    mem_stats_set_sample_mean(&stats, 4096); /* in the segment */
    assert_int_equal(rig_snapshot().head->sample_mean_bytes, 4096);
    assert_int_equal(mem_stats_sample_mean(&stats), 4096);
    assert_int_equal(rig_snapshot().samples[0].mean_bytes, 64); /* written is written */
}

/* Others of the same user can write to the segment. */
static void nonsense_in_the_segment_leads_nowhere(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 20; i++) {
        sample_plant(i * 16, 16, 0xabc0 + i, 3);
    }
    struct mem_stats_sample *samples = (void *)(stats.segment.base + MEM_STATS_AT_SAMPLES);
    struct mem_stats_head *head = (void *)stats.segment.base;
    samples[0].stack = UINT32_MAX;
    samples[1].stack = MEM_STATS_STACKS_MAX;
    samples[2].weight = UINT64_MAX;
    samples[3].usable_bytes = UINT64_MAX;
    samples[4].birth_monotonic_ns = UINT64_MAX;
    head->section[MEM_STATS_SAMPLES].count = UINT64_MAX;
    head->section[MEM_STATS_STACKS].count = UINT64_MAX;
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_true(mem_profile_free(&profile, (void *)(i * 16)));
    }
}

#define PROFILE_TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROFILE_TEST(a_sample_shows_in_its_stack_and_among_the_live),
        PROFILE_TEST(a_freed_sample_leaves_its_account_balanced),
        PROFILE_TEST(stacks_differ_by_their_addresses_owner_and_lifetime),
        PROFILE_TEST(a_stack_that_cannot_be_unwound_counts_all_the_same),
        PROFILE_TEST(a_real_stack_is_taken),
        PROFILE_TEST(an_address_used_again_ends_the_sample_that_was_there),
        PROFILE_TEST(a_realloc_in_place_keeps_the_sample_and_changes_its_bytes),
        PROFILE_TEST(a_realloc_elsewhere_takes_the_sample_along),
        cmocka_unit_test(ages_at_free_fall_into_powers_of_four),
        PROFILE_TEST(a_stack_knows_how_old_its_objects_grew),
        PROFILE_TEST(records_of_freed_samples_are_used_again),
        PROFILE_TEST(a_full_table_of_samples_drops_and_counts),
        PROFILE_TEST(a_full_table_of_stacks_drops_and_counts),
        cmocka_unit_test(no_sample_takes_memory_that_the_budget_has_not),
        cmocka_unit_test(a_refused_system_call_costs_samples_and_no_more),
        PROFILE_TEST(memory_is_charged_as_it_is_touched),
        PROFILE_TEST(the_mean_can_be_changed_while_running),
        PROFILE_TEST(nonsense_in_the_segment_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
