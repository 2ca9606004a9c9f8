/*
 * Pressure: when a level begins and ends, and who is told.
 */
#include "unit/budget/budget_rig.h"

#include <string.h>

#include "unit/os/child.h"

#define LIMIT_BYTES Q_MIB(64)

static struct page_lane *lane;
static uint32_t owner;
static void *filler;

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.limit_bytes = LIMIT_BYTES});
    lane = lane_make("lane");
    owner = owner_make("writer");
    quarry_account_destroy(account_named("a", NULL)); /* makes the tree */
    filler = take_from_tree(lane, owner, 1);
    return 0;
}

/* Somebody without an account holds so many thousandths of the limit, whatever was before. */
static void hold_milli(uint64_t milli)
{
    page_free(lane, filler);
    (void)page_heap_trim(heap);
    uint64_t bytes = LIMIT_BYTES / 1000 * milli - heap_committed();
    filler = take_from_tree(lane, owner, bytes >> PAGE_SHIFT);
}

static void refuse_one(void)
{
    assert_int_equal(page_lane_alloc(lane, owner, Q_MIB(63) >> PAGE_SHIFT, 1).status,
                     QUARRY_NO_MEMORY);
}

static enum quarry_pressure level_now(void)
{
    return quarry_memory_pressure(memory_now());
}

static void turns(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        budget_turn();
    }
}

/* ---- levels --------------------------------------------------------------------------------- */

static void a_memory_without_a_tree_has_no_pressure(void **state)
{
    (void)state;
    heap_restart(&(struct heap_setup){0});
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    quarry_memory_remove_pressure_listener(memory_now(), NULL, NULL);
    lane = lane_make("lane");
    filler = NULL;
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(quarry_pressure_name(QUARRY_PRESSURE_NONE), "none");
    assert_string_equal(quarry_pressure_name(QUARRY_PRESSURE_MODERATE), "moderate");
    assert_string_equal(quarry_pressure_name(QUARRY_PRESSURE_HIGH), "high");
    assert_string_equal(quarry_pressure_name(QUARRY_PRESSURE_CRITICAL), "critical");
}

static void it_rises_at_once_where_a_level_begins(void **state)
{
    (void)state;
    static const struct {
        uint64_t milli;
        enum quarry_pressure level;
    } steps[] = {
        {790, QUARRY_PRESSURE_NONE},     {805, QUARRY_PRESSURE_MODERATE},
        {890, QUARRY_PRESSURE_MODERATE}, {905, QUARRY_PRESSURE_HIGH},
        {960, QUARRY_PRESSURE_HIGH},     {975, QUARRY_PRESSURE_CRITICAL},
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        hold_milli(steps[i].milli);
        turns(1);
        assert_int_equal(level_now(), steps[i].level);
    }
    /* From none to critical in one tick. */
    hold_milli(100);
    turns(40);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    hold_milli(980);
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_CRITICAL);
}

static void it_falls_a_level_a_second_and_five_points_lower(void **state)
{
    (void)state;
    hold_milli(980);
    turns(1);
    hold_milli(930); /* below where it began, and not by five points */
    turns(50);
    assert_int_equal(level_now(), QUARRY_PRESSURE_CRITICAL);
    hold_milli(700);
    turns(5);
    assert_int_equal(level_now(), QUARRY_PRESSURE_CRITICAL); /* a second is not over */
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_HIGH);
    turns(5);
    assert_int_equal(level_now(), QUARRY_PRESSURE_MODERATE);
    turns(5);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
}

static void swinging_about_a_threshold_changes_the_level_once(void **state)
{
    (void)state;
    uint32_t change_count = 0;
    enum quarry_pressure level = level_now();

    for (uint32_t i = 0; i < 60; i++) {
        hold_milli(i % 3 == 0 ? 910 : 870);
        turns(1);
        change_count += level_now() != level;
        level = level_now();
    }
    assert_int_equal(level, QUARRY_PRESSURE_HIGH);
    assert_int_equal(change_count, 1);
}

static void a_rest_that_is_interrupted_begins_anew(void **state)
{
    (void)state;
    hold_milli(910);
    turns(1);
    for (uint32_t i = 0; i < 10; i++) {
        hold_milli(500);
        turns(5);
        hold_milli(880);
        turns(1);
        assert_int_equal(level_now(), QUARRY_PRESSURE_HIGH);
    }
}

static void what_accounts_could_give_is_no_pressure(void **state)
{
    (void)state;
    static struct holder holder;
    struct quarry_account_options options = {.name = "cache"};

    holder_init(&holder, &options, lane, 16, false);
    holder_fill(&holder, 480); /* 60 of 64 MiB */
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    /* A floor is what it could not give. */
    assert_int_equal(quarry_account_set_bounds(holder.account, Q_MIB(54), 0), QUARRY_OK);
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_MODERATE);
    holder_fini(&holder);
}

static void free_pages_are_no_pressure(void **state)
{
    (void)state;
    hold_milli(975);
    page_free(lane, filler); /* backed still */
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    filler = NULL;
    filler = take_from_tree(lane, owner, 1);
}

static void a_refusal_is_high_and_refusals_that_go_on_are_critical(void **state)
{
    (void)state;
    hold_milli(100);
    refuse_one();
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_HIGH);
    turns(11);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(level_now() != QUARRY_PRESSURE_CRITICAL);
        refuse_one();
        turns(1);
    }
    assert_int_equal(level_now(), QUARRY_PRESSURE_CRITICAL);
}

static void a_charge_refused_by_the_memory_counts_and_one_by_a_ceiling_does_not(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "tenant", .ceiling_bytes = 100};
    struct quarry_account *tenant = account_make(&options), *part = account_named("part", NULL);

    assert_int_equal(quarry_account_charge(tenant, 101), QUARRY_NO_MEMORY);
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_NONE);
    assert_int_equal(quarry_account_charge(part, LIMIT_BYTES + 1), QUARRY_NO_MEMORY);
    turns(1);
    assert_int_equal(level_now(), QUARRY_PRESSURE_HIGH);
    quarry_account_destroy(part);
    quarry_account_destroy(tenant);
}

/* ---- listeners ------------------------------------------------------------------------------ */

struct listener {
    enum quarry_pressure last;
    uint32_t count;
};

static void note(void *argument, enum quarry_pressure level)
{
    struct listener *listener = argument;

    listener->last = level;
    listener->count++;
    /* No lock is held: the tree may be asked. */
    assert_int_equal(quarry_memory_accounts(memory_now(), NULL, 0), 1);
    assert_int_equal(quarry_memory_pressure(memory_now()), level);
}

static void listeners_are_told_of_every_change_once(void **state)
{
    (void)state;
    struct listener first = {0}, second = {0};

    assert_int_equal(quarry_memory_add_pressure_listener(memory_now(), note, &first), QUARRY_OK);
    assert_int_equal(quarry_memory_add_pressure_listener(memory_now(), note, &second), QUARRY_OK);
    hold_milli(975);
    turns(3);
    assert_int_equal(first.count, 1);
    assert_int_equal(first.last, QUARRY_PRESSURE_CRITICAL);
    assert_int_equal(second.count, 1);
    quarry_memory_remove_pressure_listener(memory_now(), note, &second);
    hold_milli(100);
    turns(30);
    assert_int_equal(first.count, 4);
    assert_int_equal(first.last, QUARRY_PRESSURE_NONE);
    assert_int_equal(second.count, 1);
    quarry_memory_remove_pressure_listener(memory_now(), note, &first);
}

static void remove_itself(void *argument, enum quarry_pressure level)
{
    (void)level;
    quarry_memory_remove_pressure_listener(memory_now(), remove_itself, argument);
}

static void listen_once(void *unused)
{
    (void)unused;
    (void)quarry_memory_add_pressure_listener(memory_now(), remove_itself, NULL);
    hold_milli(975);
    turns(3);
}

static void a_listener_that_removes_itself_ends_the_program(void **state)
{
    (void)state;
    child_assert_aborts(listen_once, NULL, "removed from within itself");
}

static void there_are_sixteen_listeners(void **state)
{
    (void)state;
    struct listener listener[BUDGET_LISTENERS_MAX + 1] = {0};

    for (uint32_t i = 0; i < BUDGET_LISTENERS_MAX; i++) {
        assert_int_equal(quarry_memory_add_pressure_listener(memory_now(), note, &listener[i]),
                         QUARRY_OK);
    }
    struct listener *late = &listener[BUDGET_LISTENERS_MAX];
    assert_int_equal(quarry_memory_add_pressure_listener(memory_now(), note, late),
                     QUARRY_TOO_MANY);
    quarry_memory_remove_pressure_listener(memory_now(), note, &listener[7]);
    assert_int_equal(quarry_memory_add_pressure_listener(memory_now(), note, late), QUARRY_OK);
    hold_milli(810);
    turns(1);
    for (uint32_t i = 0; i <= BUDGET_LISTENERS_MAX; i++) {
        assert_int_equal(listener[i].count, i != 7);
    }
}

static int tear_down(void **state)
{
    if (filler != NULL) {
        page_free(lane, filler);
    }
    return heap_tear_down(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_memory_without_a_tree_has_no_pressure),
        TEST(levels_have_names),
        TEST(it_rises_at_once_where_a_level_begins),
        TEST(it_falls_a_level_a_second_and_five_points_lower),
        TEST(swinging_about_a_threshold_changes_the_level_once),
        TEST(a_rest_that_is_interrupted_begins_anew),
        TEST(what_accounts_could_give_is_no_pressure),
        TEST(free_pages_are_no_pressure),
        TEST(a_refusal_is_high_and_refusals_that_go_on_are_critical),
        TEST(a_charge_refused_by_the_memory_counts_and_one_by_a_ceiling_does_not),
        TEST(listeners_are_told_of_every_change_once),
        TEST(a_listener_that_removes_itself_ends_the_program),
        TEST(there_are_sixteen_listeners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
