/*
 * Accounts: names, the tree, charges and what is taken back, ceilings, and what is refused.
 */
#include "unit/budget/budget_rig.h"

#include <stdio.h>
#include <string.h>

#include "unit/os/child.h"

/* ---- names and the tree --------------------------------------------------------------------- */

static void an_account_has_an_owner_of_its_dotted_name(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL);
    struct quarry_account *block = account_named("block", kv);
    uint32_t owner;

    assert_int_equal(quarry_memory_owner(memory_now(), "kv.block", &owner), QUARRY_OK);
    assert_int_equal(quarry_account_owner(block), owner);
    assert_string_equal(account_now(block).name, "kv.block");
    assert_int_equal(account_now(block).depth, 2);
    assert_string_equal(quarry_memory_owner_name(memory_now(), quarry_account_owner(kv)), "kv");
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

static void siblings_have_different_names_and_cousins_may_share_one(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL), *cache = account_named("cache", NULL);
    struct quarry_account *first = account_named("net", kv), *second = account_named("net", cache);
    struct quarry_account *third = NULL;
    struct quarry_account_options again = {.name = "net", .parent = kv};

    assert_int_equal(account_try_make(&again, &third), QUARRY_EXISTS);
    assert_null(third);
    quarry_account_destroy(first);
    first = account_make(&again); /* gone, it may be had again, with the same owner */
    quarry_account_destroy(first);
    quarry_account_destroy(second);
    quarry_account_destroy(cache);
    quarry_account_destroy(kv);
}

static void names_that_are_none_are_refused(void **state)
{
    (void)state;
    struct quarry_account *account = NULL, *kv = account_named("kv", NULL);
    static const char *const names[] = {"",     "a.b", ".", "1234567890123456789012345678901x",
                                        "none", "lost"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct quarry_account_options options = {.name = names[i]};
        assert_int_equal(account_try_make(&options, &account), QUARRY_BAD_INPUT);
    }
    /* 28 bytes and "kv." are 31, the most. */
    struct quarry_account_options longest = {.name = "1234567890123456789012345678", .parent = kv};
    account = account_make(&longest);
    quarry_account_destroy(account);
    longest.name = "12345678901234567890123456789";
    assert_int_equal(account_try_make(&longest, &account), QUARRY_BAD_INPUT);
    quarry_account_destroy(kv);
}

static uint64_t gives_nothing(void *argument, uint64_t wanted_bytes)
{
    (void)argument, (void)wanted_bytes;
    return 0;
}

static void is_worth_nothing(void *argument, struct quarry_account_value *ret_value)
{
    (void)argument, (void)ret_value;
}

static void options_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    struct quarry_account *account = NULL;
    struct quarry_account_options options = {
        .name = "a", .floor_bytes = Q_MIB(2), .ceiling_bytes = Q_MIB(1)};

    assert_int_equal(account_try_make(&options, &account), QUARRY_BAD_INPUT);
    options = (struct quarry_account_options){.name = "a", .value = is_worth_nothing};
    assert_int_equal(account_try_make(&options, &account), QUARRY_BAD_INPUT);
    options.reclaim = gives_nothing;
    struct quarry_account *elastic = account_make(&options);
    options.name = "b";
    options.parent = elastic;
    assert_int_equal(account_try_make(&options, &account), QUARRY_BAD_INPUT);
    quarry_account_destroy(elastic);
}

static void what_is_kept_of_a_ceiling_is_for_threads_inside(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 1000};
    struct quarry_account *kv = account_make(&options), *part = account_named("part", kv);

    quarry_account_add_reserve(part, 300); /* of kv's ceiling: part has none */
    assert_int_equal(quarry_account_charge(part, 701), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_charge(part, 700), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_NO_MEMORY);
    quarry_reserve_begin(memory_now());
    assert_int_equal(quarry_account_charge(part, 301), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_charge(part, 300), QUARRY_OK);
    quarry_reserve_end(memory_now());
    quarry_account_uncharge(part, 200);
    assert_int_equal(quarry_account_charge(part, 1), QUARRY_NO_MEMORY); /* 800 are above 700 */
    budget_check();
    quarry_account_remove_reserve(part, 300);
    assert_int_equal(quarry_account_charge(part, 200), QUARRY_OK);
    quarry_account_uncharge(part, 1000);
    quarry_account_destroy(part);
    quarry_account_destroy(kv);
}

static void reserves_of_an_account_add_up(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 1000};
    struct quarry_account *kv = account_make(&options);

    quarry_account_add_reserve(kv, 400);
    quarry_account_add_reserve(kv, 400);
    assert_int_equal(quarry_account_charge(kv, 500), QUARRY_OK); /* half of it is for all */
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_NO_MEMORY);
    quarry_account_uncharge(kv, 500);
    quarry_account_remove_reserve(kv, 400);
    assert_int_equal(quarry_account_charge(kv, 600), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_NO_MEMORY);
    quarry_account_remove_reserve(kv, 400);
    assert_int_equal(quarry_account_charge(kv, 400), QUARRY_OK);
    quarry_account_uncharge(kv, 1000);
    quarry_account_destroy(kv);
}

static void a_tree_has_eight_levels(void **state)
{
    (void)state;
    struct quarry_account *level[BUDGET_DEPTH_MAX + 1] = {NULL}, *one_more = NULL;

    for (uint32_t i = 1; i <= BUDGET_DEPTH_MAX; i++) {
        level[i] = account_named("x", level[i - 1]);
        assert_int_equal(account_now(level[i]).depth, i);
    }
    struct quarry_account_options options = {.name = "x", .parent = level[BUDGET_DEPTH_MAX]};
    assert_int_equal(account_try_make(&options, &one_more), QUARRY_TOO_MANY);
    assert_int_equal(quarry_account_charge(level[BUDGET_DEPTH_MAX], 100), QUARRY_OK);
    assert_int_equal(account_charged(level[1]), 100);
    quarry_account_uncharge(level[BUDGET_DEPTH_MAX], 100);
    for (uint32_t i = BUDGET_DEPTH_MAX; i > 0; i--) {
        quarry_account_destroy(level[i]);
    }
}

static void the_tree_is_read_with_each_account_before_those_below(void **state)
{
    (void)state;
    struct quarry_account_state states[8];

    assert_int_equal(quarry_memory_accounts(memory_now(), NULL, 0), 0);
    struct quarry_account *kv = account_named("kv", NULL), *cache = account_named("cache", NULL);
    struct quarry_account *block = account_named("block", kv), *wal = account_named("wal", kv);
    assert_int_equal(quarry_memory_accounts(memory_now(), states, 8), 5);
    assert_string_equal(states[0].name, "");
    assert_int_equal(states[0].ceiling_bytes, Q_GIB(4));
    assert_string_equal(states[1].name, "kv");
    assert_string_equal(states[2].name, "kv.block");
    assert_string_equal(states[3].name, "kv.wal");
    assert_string_equal(states[4].name, "cache");
    memset(states, 0x5a, sizeof(states));
    assert_int_equal(quarry_memory_accounts(memory_now(), states, 2), 5);
    assert_int_equal((uint8_t)states[2].name[0], 0x5a);
    quarry_account_destroy(block);
    quarry_account_destroy(wal);
    assert_int_equal(quarry_memory_accounts(memory_now(), states, 8), 3);
    quarry_account_destroy(cache);
    quarry_account_destroy(kv);
}

/* ---- charges -------------------------------------------------------------------------------- */

static void a_charge_counts_for_all_above(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL), *block = account_named("block", kv);
    struct quarry_account_state root;

    assert_int_equal(quarry_account_charge(block, 3000), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, 500), QUARRY_OK);
    assert_int_equal(account_now(block).own_bytes, 3000);
    assert_int_equal(account_now(kv).own_bytes, 500);
    assert_int_equal(account_now(kv).charged_bytes, 3500);
    (void)quarry_memory_accounts(memory_now(), &root, 1);
    assert_int_equal(root.charged_bytes, 3500);
    budget_check();
    quarry_account_uncharge(block, 3000);
    assert_int_equal(account_charged(kv), 500);
    assert_int_equal(account_now(kv).peak_bytes, 3500);
    assert_int_equal(account_now(block).peak_bytes, 3000);
    quarry_account_uncharge(kv, 500);
    budget_check();
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

static void a_ceiling_refuses_the_byte_above_it(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 10000};
    struct quarry_account *kv = account_make(&options), *block = account_named("block", kv);

    assert_int_equal(quarry_account_charge(block, 9999), QUARRY_OK);
    assert_int_equal(quarry_account_charge(block, 2), QUARRY_NO_MEMORY);
    assert_int_equal(account_charged(block), 9999); /* what was added below is taken back */
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_NO_MEMORY);
    assert_int_equal(account_now(kv).refused_count, 2);
    assert_int_equal(account_now(block).refused_count, 0);
    assert_int_equal(quarry_account_charge(block, UINT64_MAX), QUARRY_NO_MEMORY);
    budget_check();
    quarry_account_uncharge(block, 9999);
    quarry_account_uncharge(kv, 1);
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

static void the_root_refuses_what_the_limit_has_no_room_for(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL), *cache = account_named("cache", NULL);

    assert_int_equal(quarry_account_charge(kv, Q_GIB(3)), QUARRY_OK);
    assert_int_equal(quarry_account_charge(cache, Q_GIB(1)), QUARRY_OK);
    assert_int_equal(quarry_account_charge(cache, 1), QUARRY_NO_MEMORY);
    assert_int_equal(account_charged(cache), Q_GIB(1));
    quarry_account_uncharge(kv, Q_GIB(3));
    /* The limit is followed while running. */
    assert_int_equal(quarry_memory_set_limit(memory_now(), Q_GIB(2)), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, Q_GIB(1) + 1), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_charge(kv, Q_GIB(1)), QUARRY_OK);
    quarry_account_uncharge(kv, Q_GIB(1));
    quarry_account_uncharge(cache, Q_GIB(1));
    quarry_account_destroy(cache);
    quarry_account_destroy(kv);
}

/* At every level once: whatever refuses, everything is as it was. */
static void a_charge_refused_at_any_level_leaves_nothing_behind(void **state)
{
    (void)state;
    struct quarry_account *level[5] = {NULL};

    for (uint32_t full = 1; full <= 4; full++) {
        for (uint32_t i = 1; i <= 4; i++) {
            struct quarry_account_options options = {
                .name = "x", .parent = level[i - 1], .ceiling_bytes = i == full ? 100 : 200};
            level[i] = account_make(&options);
        }
        assert_int_equal(quarry_account_charge(level[4], 60), QUARRY_OK);
        assert_int_equal(quarry_account_charge(level[4], 60), QUARRY_NO_MEMORY);
        for (uint32_t i = 1; i <= 4; i++) {
            assert_int_equal(account_charged(level[i]), 60);
            assert_int_equal(account_now(level[i]).refused_count, i == full);
        }
        budget_check();
        quarry_account_uncharge(level[4], 60);
        for (uint32_t i = 4; i > 0; i--) {
            quarry_account_destroy(level[i]);
        }
    }
}

static void bounds_change_while_running(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL);

    assert_int_equal(quarry_account_charge(kv, 5000), QUARRY_OK);
    assert_int_equal(quarry_account_set_bounds(kv, 2, 1), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_account_set_bounds(kv, 1000, 4000), QUARRY_OK);
    assert_int_equal(account_now(kv).floor_bytes, 1000);
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_set_bounds(kv, 0, 0), QUARRY_OK);
    assert_int_equal(quarry_account_charge(kv, 1), QUARRY_OK);
    quarry_account_uncharge(kv, 5001);
    quarry_account_destroy(kv);
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void pages_are_charged_and_owned_together(void **state)
{
    (void)state;
    static struct holder holder;
    struct page_lane *lane = lane_make("lane");
    struct quarry_account_options options = {.name = "slab", .ceiling_bytes = Q_KIB(64)};

    holder_init(&holder, &options, lane, 2, false);
    holder_fill(&holder, 4);
    assert_int_equal(account_charged(holder.account), Q_KIB(64));
    assert_int_equal(owner_pages_in(quarry_account_owner(holder.account), lane), 8);
    budget_check();
    /* A page that nobody charged is a difference, and is named. */
    struct quarry_error error = {0};
    void *stray = take_pages(lane, quarry_account_owner(holder.account), 1);
    assert_int_equal(quarry_accounts_validate(memory_now(), &error), QUARRY_CORRUPT);
    assert_non_null(strstr(error.text, "slab"));
    page_free(lane, stray);
    budget_check();
    holder_fini(&holder);
}

static void pages_that_cannot_be_had_are_not_charged(void **state)
{
    (void)state;
    struct page_lane *lane = lane_make_sized("small", Q_GIB(1));
    struct quarry_account *account = account_named("a", NULL);
    void *base = NULL;

    assert_int_equal(quarry_account_pages_alloc(account, (struct quarry_lane *)(void *)lane,
                                                Q_GIB(2) >> PAGE_SHIFT, &base),
                     QUARRY_NO_ADDRESS);
    assert_int_equal(
        quarry_account_pages_alloc(account, (struct quarry_lane *)(void *)lane, UINT64_MAX, &base),
        QUARRY_NO_ADDRESS);
    assert_null(base);
    assert_int_equal(account_charged(account), 0);
    quarry_account_destroy(account);
}

static void what_was_refused_is_no_peak(void **state)
{
    (void)state;
    struct quarry_account *parent =
        account_make(&(struct quarry_account_options){.name = "parent", .ceiling_bytes = 1000});
    struct quarry_account *account = account_named("a", parent);

    assert_int_equal(quarry_account_charge(account, 600), QUARRY_OK);
    assert_int_equal(quarry_account_charge(account, 401), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_charge(account, UINT64_MAX), QUARRY_NO_MEMORY);
    assert_int_equal(account_now(account).peak_bytes, 600);
    assert_int_equal(account_now(parent).peak_bytes, 600);
    quarry_account_uncharge(account, 600);
    budget_check();
    quarry_account_destroy(account);
    quarry_account_destroy(parent);
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void accounts_that_are_left_end_with_the_memory(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL);

    (void)account_named("block", kv);
    assert_int_equal(quarry_account_charge(kv, 100), QUARRY_OK);
    heap_restart(&(struct heap_setup){0});
    assert_int_equal(quarry_memory_accounts(memory_now(), NULL, 0), 0);
    kv = account_named("kv", NULL);
    assert_int_equal(account_charged(kv), 0);
    quarry_account_destroy(kv);
}

static void take_back_too_much(void *account)
{
    quarry_account_uncharge(account, 101);
}

static void end_charged(void *account)
{
    quarry_account_destroy(account);
}

static uint64_t pauses_itself(void *argument, uint64_t wanted_bytes)
{
    quarry_account_pause(*(struct quarry_account **)argument);
    return wanted_bytes;
}

static void pause_from_within(void *unused)
{
    struct quarry_account *own = NULL;

    (void)unused;
    own = account_make(&(struct quarry_account_options){
        .name = "own", .ceiling_bytes = 100, .reclaim = pauses_itself, .argument = &own});
    (void)quarry_account_charge(own, 100);
    (void)quarry_account_charge(own, 100);
}

static void misuse_ends_the_program_with_a_message(void **state)
{
    (void)state;
    struct quarry_account *kv = account_named("kv", NULL), *block = account_named("block", kv);

    assert_int_equal(quarry_account_charge(block, 100), QUARRY_OK);
    child_assert_aborts(take_back_too_much, block, "more is taken back");
    child_assert_aborts(take_back_too_much, kv, "more is taken back");
    child_assert_aborts(end_charged, block, "still charged");
    child_assert_aborts(end_charged, kv, "has children");
    child_assert_aborts(pause_from_within, NULL, "from within its own functions");
    quarry_account_uncharge(block, 100);
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

/* ---- faults --------------------------------------------------------------------------------- */

/* The budget has room for the n-th need and not for the next, for every n. */
static void creating_fails_whole_wherever_there_is_no_memory(void **state)
{
    (void)state;
    const uint64_t least_bytes = Q_KIB(136); /* a heap alone */
    uint32_t refused_count = 0, made_count = 0;

    for (uint64_t room_bytes = 0; room_bytes <= Q_KIB(256); room_bytes += Q_KIB(12)) {
        heap_restart(&(struct heap_setup){.limit_bytes = least_bytes + room_bytes});
        struct quarry_account_options options = {.name = "a"};
        for (uint32_t i = 0; i < 1000; i++) {
            char name[8];
            struct quarry_account *account = NULL;
            options.name = name;
            (void)snprintf(name, sizeof(name), "a%u", i);
            enum quarry_status status = account_try_make(&options, &account);
            if (status != QUARRY_OK) {
                assert_int_equal(status, QUARRY_NO_MEMORY);
                assert_null(account);
                refused_count++;
                break;
            }
            made_count++;
        }
        budget_check();
        heap_check();
    }
    assert_true(refused_count > 10 && made_count > 40 * refused_count);
}

static void creating_fails_whole_when_the_kernel_refuses(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "a"};
    struct quarry_account *account = NULL;
    enum quarry_status status = QUARRY_NO_MEMORY;

    for (uint64_t index = 0; status != QUARRY_OK; index++) {
        heap_restart(&(struct heap_setup){0});
        os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, index, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
        status = account_try_make(&options, &account);
        bool was_refused = os_sim_failed_count(&sim) > 0;
        os_sim_fail_clear(&sim);
        assert_int_equal(was_refused, status != QUARRY_OK);
        heap_check();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_account_has_an_owner_of_its_dotted_name, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(siblings_have_different_names_and_cousins_may_share_one,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(names_that_are_none_are_refused, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(options_that_contradict_themselves_are_refused, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(what_is_kept_of_a_ceiling_is_for_threads_inside,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(reserves_of_an_account_add_up, heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(a_tree_has_eight_levels, heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(the_tree_is_read_with_each_account_before_those_below,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(a_charge_counts_for_all_above, heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(a_ceiling_refuses_the_byte_above_it, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(the_root_refuses_what_the_limit_has_no_room_for,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(a_charge_refused_at_any_level_leaves_nothing_behind,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(bounds_change_while_running, heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(pages_are_charged_and_owned_together, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(pages_that_cannot_be_had_are_not_charged, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(what_was_refused_is_no_peak, heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(accounts_that_are_left_end_with_the_memory, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(misuse_ends_the_program_with_a_message, heap_set_up,
                                        heap_tear_down),
        cmocka_unit_test_setup_teardown(creating_fails_whole_wherever_there_is_no_memory,
                                        heap_set_up, heap_tear_down),
        cmocka_unit_test_setup_teardown(creating_fails_whole_when_the_kernel_refuses, heap_set_up,
                                        heap_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
