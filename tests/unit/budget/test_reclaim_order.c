/*
 * Who is asked for memory, in which order, for how much; and who is not.
 */
#include "unit/budget/budget_rig.h"

static struct page_lane *lane;
static struct holder first, second, third;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("lane");
    holders_begin();
    return 0;
}

/* The budget is full: not a page fits any more. */
static void fill_up(void)
{
    (void)page_heap_trim(heap);
    assert_int_equal(quarry_memory_set_limit(memory_now(), heap_committed()), QUARRY_OK);
}

/* Takes one page of somebody who has no account. */
static void *take_one(void)
{
    return take_from_tree(lane, owner_make("outsider"), 1);
}

static void set_value(struct holder *holder, uint64_t tail_hits)
{
    holder->value = (struct quarry_account_value){.tail_hits = tail_hits, .tail_bytes = Q_MIB(1)};
}

/* ---- the order ------------------------------------------------------------------------------ */

static void an_allocation_that_does_not_fit_is_paid_by_an_account(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "cache"};

    holder_init(&first, &options, lane, 1, false);
    holder_fill(&first, 64);
    fill_up();
    void *page = take_one();
    assert_int_equal(first.asked_count, 1);
    assert_int_equal(first.asked_bytes, PAGE_BYTES);
    assert_int_equal(first.run_count, 63);
    assert_int_equal(account_now(first.account).asked_count, 1);
    assert_int_equal(account_now(first.account).reclaimed_bytes, PAGE_BYTES);
    budget_check();
    page_free(lane, page);
    holder_fini(&first);
}

static void who_is_above_its_part_is_asked_first(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "modest", .share = 3};

    holder_init(&first, &options, lane, 1, false);
    options = (struct quarry_account_options){.name = "greedy", .share = 1, .priority = 9};
    holder_init(&second, &options, lane, 1, false);
    holder_fill(&first, 400);
    holder_fill(&second, 300);
    fill_up(); /* a quarter of it is less than 300 pages */
    void *page = take_one();
    assert_int_equal(asked_count, 1);
    assert_ptr_equal(asked[0], &second); /* whatever its priority */
    page_free(lane, page);
    holder_fini(&first);
    holder_fini(&second);
}

static void among_equals_the_least_valuable_is_asked_first(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "hot"};

    holder_init(&first, &options, lane, 1, true);
    options.name = "cold";
    options.priority = 9;
    holder_init(&second, &options, lane, 1, true);
    set_value(&first, 1000);
    set_value(&second, 10);
    holder_fill(&first, 100);
    holder_fill(&second, 100);
    budget_turn(); /* the first sample only begins the counts */
    budget_turn();
    assert_true(account_now(first.account).loss_value > account_now(second.account).loss_value);
    (void)budget_ask(budget_of(heap), &budget_of(heap)->root, PAGE_BYTES);
    assert_int_equal(asked_count, 1);
    assert_ptr_equal(asked[0], &second);
    holder_fini(&first);
    holder_fini(&second);
}

static void priority_decides_between_accounts_of_no_value(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kept", .priority = 2};

    holder_init(&first, &options, lane, 1, false);
    options = (struct quarry_account_options){.name = "spare", .priority = 1};
    holder_init(&second, &options, lane, 1, false);
    options = (struct quarry_account_options){.name = "later", .priority = 1};
    holder_init(&third, &options, lane, 1, false);
    holder_fill(&first, 10);
    holder_fill(&second, 10);
    holder_fill(&third, 10);
    uint64_t freed = budget_ask(budget_of(heap), &budget_of(heap)->root, 25 * PAGE_BYTES);
    assert_int_equal(freed, 25 * PAGE_BYTES);
    assert_int_equal(asked_count, 3);
    assert_ptr_equal(asked[0], &second);
    assert_ptr_equal(asked[1], &third);
    assert_ptr_equal(asked[2], &first);
    assert_int_equal(first.run_count, 5);
    holder_fini(&first);
    holder_fini(&second);
    holder_fini(&third);
}

/* ---- floors --------------------------------------------------------------------------------- */

static void nobody_is_asked_to_go_below_its_floor(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "cache", .floor_bytes = 40 * PAGE_BYTES};

    holder_init(&first, &options, lane, 1, false);
    holder_fill(&first, 64);
    uint64_t freed = budget_ask(budget_of(heap), &budget_of(heap)->root, Q_MIB(1));
    assert_int_equal(freed, 24 * PAGE_BYTES);
    assert_int_equal(first.run_count, 40);
    assert_int_equal(first.asked_bytes, 24 * PAGE_BYTES);
    /* At its floor it is not asked at all. */
    fill_up();
    assert_int_equal(page_lane_alloc(lane, owner_make("outsider"), 1, 1).status, QUARRY_NO_MEMORY);
    assert_int_equal(first.asked_count, 1);
    holder_fini(&first);
}

static void the_floor_of_a_part_keeps_what_is_below_it(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .floor_bytes = 50 * PAGE_BYTES};
    struct quarry_account *kv = account_make(&options);

    options = (struct quarry_account_options){.name = "block", .parent = kv};
    holder_init(&first, &options, lane, 1, false);
    options.name = "arena";
    holder_init(&second, &options, lane, 1, false);
    holder_fill(&first, 40);
    holder_fill(&second, 30);
    uint64_t freed = budget_ask(budget_of(heap), &budget_of(heap)->root, Q_GIB(1));
    assert_int_equal(freed, 20 * PAGE_BYTES);
    assert_int_equal(account_charged(kv), 50 * PAGE_BYTES);
    holder_fini(&first);
    holder_fini(&second);
    quarry_account_destroy(kv);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static void an_account_that_frees_little_is_asked_again(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "slow"};

    holder_init(&first, &options, lane, 1, false);
    first.per_call_bytes = 4 * PAGE_BYTES;
    holder_fill(&first, 64);
    uint64_t freed = budget_ask(budget_of(heap), &budget_of(heap)->root, 30 * PAGE_BYTES);
    assert_int_equal(freed, 30 * PAGE_BYTES);
    assert_int_equal(first.asked_count, 8);
    holder_fini(&first);
}

static uint64_t frees_nothing(void *argument, uint64_t wanted_bytes)
{
    uint32_t *count = argument;

    (void)wanted_bytes;
    (*count)++;
    return 0;
}

static void an_account_that_frees_nothing_is_asked_once(void **state)
{
    (void)state;
    uint32_t count = 0;
    struct quarry_account_options options = {
        .name = "stuck", .reclaim = frees_nothing, .argument = &count};
    struct quarry_account *stuck = account_make(&options);

    assert_int_equal(quarry_account_charge(stuck, Q_MIB(1)), QUARRY_OK);
    options = (struct quarry_account_options){.name = "willing", .priority = 5};
    holder_init(&first, &options, lane, 1, false);
    holder_fill(&first, 10);
    assert_int_equal(budget_ask(budget_of(heap), &budget_of(heap)->root, Q_MIB(8)),
                     10 * PAGE_BYTES);
    assert_int_equal(count, 1);
    quarry_account_uncharge(stuck, Q_MIB(1));
    quarry_account_destroy(stuck);
    holder_fini(&first);
}

/* ---- ceilings ------------------------------------------------------------------------------- */

static void an_account_at_its_ceiling_asks_only_those_below_it(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 100 * PAGE_BYTES};
    struct quarry_account *kv = account_make(&options);

    options = (struct quarry_account_options){.name = "block", .parent = kv, .priority = 9};
    holder_init(&first, &options, lane, 1, false);
    options = (struct quarry_account_options){.name = "cache"};
    holder_init(&second, &options, lane, 1, false);
    holder_fill(&second, 200);
    holder_fill(&first, 100);
    assert_int_equal(asked_count, 0);
    assert_true(holder_take(&first));
    assert_int_equal(asked_count, 1);
    assert_ptr_equal(asked[0], &first);
    assert_int_equal(second.run_count, 200);
    assert_int_equal(account_charged(kv), 100 * PAGE_BYTES);
    budget_check();
    holder_fini(&first);
    holder_fini(&second);
    quarry_account_destroy(kv);
}

static void a_charge_that_could_never_fit_asks_nobody(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "cache", .ceiling_bytes = 100 * PAGE_BYTES};

    holder_init(&first, &options, lane, 1, false);
    holder_fill(&first, 50);
    assert_int_equal(quarry_account_charge(first.account, 101 * PAGE_BYTES), QUARRY_NO_MEMORY);
    assert_int_equal(asked_count, 0);
    assert_int_equal(first.run_count, 50);
    holder_fini(&first);
}

static void a_ceiling_that_is_lowered_is_brought_about(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "cache"};

    holder_init(&first, &options, lane, 1, false);
    holder_fill(&first, 100);
    first.per_call_bytes = PAGE_BYTES;
    assert_int_equal(quarry_account_set_bounds(first.account, 90 * PAGE_BYTES, 80 * PAGE_BYTES),
                     QUARRY_BAD_INPUT);
    assert_int_equal(quarry_account_set_bounds(first.account, 0, 80 * PAGE_BYTES), QUARRY_OK);
    assert_int_equal(first.run_count, 80);
    budget_check();
    holder_fini(&first);
}

/* Its reclaimer had nothing to give when the ceiling was lowered, and has by and by. */
static void a_ceiling_is_asked_for_again_at_every_tick(void **state)
{
    (void)state;
    uint32_t count = 0;
    struct quarry_account_options options = {
        .name = "stuck", .reclaim = frees_nothing, .argument = &count};
    struct quarry_account *stuck = account_make(&options);

    assert_int_equal(quarry_account_charge(stuck, Q_MIB(1)), QUARRY_OK);
    assert_int_equal(quarry_account_set_bounds(stuck, 0, Q_KIB(512)), QUARRY_OK);
    assert_int_equal(count, 1);
    budget_turn();
    budget_turn();
    assert_int_equal(count, 3);
    quarry_account_uncharge(stuck, Q_KIB(512));
    budget_turn();
    assert_int_equal(count, 3);
    quarry_account_uncharge(stuck, Q_KIB(512));
    quarry_account_destroy(stuck);
}

/* ---- from within ---------------------------------------------------------------------------- */

static struct quarry_account *greedy;

/* Needs memory itself to free some. */
static uint64_t charges_while_freeing(void *argument, uint64_t wanted_bytes)
{
    uint32_t *count = argument;

    (*count)++;
    assert_int_equal(quarry_account_charge(greedy, Q_GIB(3)), QUARRY_NO_MEMORY);
    assert_int_equal(budget_reclaim(budget_of(heap), wanted_bytes), 0);
    assert_int_equal(quarry_account_charge(greedy, 8), QUARRY_OK);
    quarry_account_uncharge(greedy, 108);
    return 100;
}

static void a_reclaimer_may_charge_and_nobody_is_asked_from_within(void **state)
{
    (void)state;
    uint32_t count = 0;
    struct quarry_account_options options = {.name = "greedy",
                                             .ceiling_bytes = 100,
                                             .reclaim = charges_while_freeing,
                                             .argument = &count};

    greedy = account_make(&options);
    assert_int_equal(quarry_account_set_bounds(greedy, 0, 110), QUARRY_OK);
    assert_int_equal(quarry_account_charge(greedy, 100), QUARRY_OK);
    assert_int_equal(quarry_account_charge(greedy, 50), QUARRY_OK);
    assert_int_equal(count, 1);
    assert_int_equal(account_charged(greedy), 50);
    quarry_account_uncharge(greedy, 50);
    quarry_account_destroy(greedy);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_allocation_that_does_not_fit_is_paid_by_an_account),
        TEST(who_is_above_its_part_is_asked_first),
        TEST(among_equals_the_least_valuable_is_asked_first),
        TEST(priority_decides_between_accounts_of_no_value),
        TEST(nobody_is_asked_to_go_below_its_floor),
        TEST(the_floor_of_a_part_keeps_what_is_below_it),
        TEST(an_account_that_frees_little_is_asked_again),
        TEST(an_account_that_frees_nothing_is_asked_once),
        TEST(an_account_at_its_ceiling_asks_only_those_below_it),
        TEST(a_charge_that_could_never_fit_asks_nobody),
        TEST(a_ceiling_that_is_lowered_is_brought_about),
        TEST(a_ceiling_is_asked_for_again_at_every_tick),
        TEST(a_reclaimer_may_charge_and_nobody_is_asked_from_within),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
