/* Keepers: the spare, its reuse, its end under pressure, leaks. */
#include "unit/arena/arena_rig.h"

#include <ref/ref.h>

#include <string.h>

#define CAPACITY Q_MIB(4)

static void the_spare_begins_without_a_system_call(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();
    struct quarry_arena *arena = take_arena(keeper, CAPACITY);

    assert_int_equal(fill(arena), QUARRY_NO_ADDRESS);
    char *before = quarry_arena_at(arena, 8);
    uint64_t calls = os_sim_call_count(&sim, OS_SIM_ANY), committed_bytes = heap_committed();
    for (int turn = 0; turn < 3; turn++) {
        quarry_arena_destroy(arena);
        assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), CAPACITY);
        assert_int_equal(charged_bytes(), CAPACITY);
        rig_check();
        arena = take_arena(keeper, CAPACITY);
        assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), 0);
        assert_int_equal(take_bytes(arena, 100, 8), 8);
        assert_ptr_equal(quarry_arena_at(arena, 8), before);
        assert_int_equal(fill(arena), QUARRY_NO_ADDRESS);
        assert_int_equal(state_of(arena).lost_bytes, 0);
    }
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_ANY), calls);
    assert_int_equal(heap_committed(), committed_bytes);
    quarry_arena_destroy(arena);
    quarry_arena_keeper_destroy(keeper);
}

static void the_spare_is_of_the_capacity_last_destroyed(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();
    struct quarry_arena *small = take_arena(keeper, Q_KIB(256)),
                        *large = take_arena(keeper, CAPACITY);

    quarry_arena_destroy(small);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), Q_KIB(64));
    quarry_arena_destroy(large);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), Q_KIB(256));
    assert_int_equal(charged_bytes(), Q_KIB(256));
    /* Another capacity is made, and the spare stays. */
    small = take_arena(keeper, Q_KIB(256));
    assert_int_equal(state_of(small).backed_bytes, Q_KIB(64));
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), Q_KIB(256));
    quarry_arena_destroy(small);
    assert_int_equal(charged_bytes(), Q_KIB(64));
    rig_check();
    quarry_arena_keeper_destroy(keeper);
    assert_int_equal(charged_bytes(), 0);
}

static uint64_t asked_later_count;

static uint64_t ask_later(void *argument, uint64_t wanted_bytes)
{
    (void)argument;
    (void)wanted_bytes;
    asked_later_count++;
    return 0;
}

static void the_spare_goes_before_anybody_else_is_asked(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();
    struct quarry_arena *arena = take_arena(keeper, CAPACITY);
    void *run;

    assert_int_equal(page_heap_add_reclaimer(heap, 1, ask_later, NULL), QUARRY_OK);
    assert_int_equal(fill(arena), QUARRY_NO_ADDRESS);
    run = take_from_tree(lane, owner_make("other"), 1);
    quarry_arena_destroy(arena);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), CAPACITY);
    page_lane_free(lane, take_from_tree(lane, owner_make("other"), 100));
    assert_int_equal(asked_later_count, 0);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), 0);
    assert_int_equal(charged_bytes(), 0);
    rig_check();
    page_heap_remove_reclaimer(heap, ask_later, NULL);
    page_lane_free(lane, run);
    quarry_arena_keeper_destroy(keeper);
}

static void the_spare_makes_room_below_an_accounts_ceiling(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();
    struct quarry_arena *large = take_arena(keeper, CAPACITY),
                        *small = take_arena(keeper, Q_MIB(1));

    assert_int_equal(fill(large), QUARRY_NO_ADDRESS);
    assert_int_equal(quarry_account_set_bounds(account, 0, CAPACITY + Q_KIB(64)), QUARRY_OK);
    quarry_arena_destroy(large);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), CAPACITY);
    assert_int_equal(fill(small), QUARRY_NO_ADDRESS);
    assert_int_equal(quarry_arena_keeper_spare_bytes(keeper), 0);
    assert_int_equal(charged_bytes(), Q_MIB(1));
    rig_check();
    quarry_arena_destroy(small);
    quarry_arena_keeper_destroy(keeper);
}

static void an_account_may_reclaim_through_its_keeper(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();

    assert_int_equal(quarry_arena_keeper_reclaim(keeper, 1), 0);
    quarry_arena_destroy(take_arena(keeper, CAPACITY));
    assert_int_equal(quarry_arena_keeper_reclaim(keeper, 1), Q_KIB(256));
    assert_int_equal(quarry_arena_keeper_reclaim(keeper, 1), 0);
    quarry_arena_keeper_destroy(keeper);
}

static void refusals_name_what_was_wrong(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make(), *refused = NULL;
    struct quarry_arena *arena = NULL;
    struct quarry_arena_options options = rig_options(0);
    struct quarry_error error;

    assert_int_equal(quarry_arena_keeper_take(keeper, 1000, &arena, &error), QUARRY_BAD_INPUT);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    assert_int_equal(quarry_arena_keeper_take(keeper, CAPACITY, &arena, &error), QUARRY_NO_MEMORY);
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(4)), QUARRY_OK);
    assert_null(arena);
    options.lane = NULL;
    assert_int_equal(quarry_arena_keeper_create(memory(), &options, &refused, &error),
                     QUARRY_BAD_INPUT);
    assert_null(refused);
    quarry_arena_keeper_destroy(NULL);
    quarry_arena_keeper_destroy(keeper);
}

static void there_are_as_many_keepers_as_reclaimers(void **state)
{
    (void)state;
    const struct quarry_arena_options options = rig_options(0);
    struct quarry_arena_keeper *keeper[PAGE_RECLAIMERS_MAX + 1];
    uint32_t count = 0;

    while (count <= PAGE_RECLAIMERS_MAX &&
           quarry_arena_keeper_create(memory(), &options, &keeper[count], NULL) == QUARRY_OK) {
        count++;
    }
    assert_in_range(count, 1, PAGE_RECLAIMERS_MAX);
    assert_int_equal(quarry_arena_keeper_create(memory(), &options, &keeper[count], NULL),
                     QUARRY_TOO_MANY);
    while (count > 0) {
        quarry_arena_keeper_destroy(keeper[--count]);
    }
}

/* ---- leaks ---------------------------------------------------------------------------------- */

static struct ref_leak told;
static uint32_t told_count;

static void remember_leak(void *argument, const struct ref_leak *leak)
{
    (void)argument;
    assert_string_equal(leak->kind, "arena");
    told = *leak;
    told_count++;
}

static void an_arena_left_behind_is_reported_and_still_goes(void **state)
{
    (void)state;
    struct quarry_arena_keeper *keeper = keeper_make();

    ref_leak_set_every(1);
    ref_leak_set_handler(remember_leak, NULL);
    quarry_arena_destroy(take_arena(keeper, CAPACITY));
    struct quarry_arena *arena = take_arena(keeper, CAPACITY);
    struct quarry_arena *other = take_arena(keeper, CAPACITY);
    quarry_arena_destroy(other);
    told_count = 0;
    quarry_arena_keeper_destroy(keeper);
    ref_leak_set_handler(NULL, NULL);
    assert_int_equal(told_count, 1);
    assert_int_equal(told.object, (uintptr_t)arena);
    /* It works, and takes the keeper with it. */
    (void)take_bytes(arena, 100, 8);
    assert_int_equal(charged_bytes(), Q_KIB(256));
    quarry_arena_destroy(arena);
    assert_int_equal(charged_bytes(), 0);
}

#define in_a_rig(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_rig(the_spare_begins_without_a_system_call),
        in_a_rig(the_spare_is_of_the_capacity_last_destroyed),
        in_a_rig(the_spare_goes_before_anybody_else_is_asked),
        in_a_rig(the_spare_makes_room_below_an_accounts_ceiling),
        in_a_rig(an_account_may_reclaim_through_its_keeper),
        in_a_rig(refusals_name_what_was_wrong),
        in_a_rig(there_are_as_many_keepers_as_reclaimers),
        in_a_rig(an_arena_left_behind_is_reported_and_still_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
