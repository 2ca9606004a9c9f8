/*
 * What the statistics segment shows of the budget: from the tree through a census and a refresh to
 * a reader.
 */
#include <mem/mem.h>

#include <stdio.h>
#include <string.h>

#include "unit/budget/budget_rig.h"

static struct mem_heap *objects;
static struct mem_census census;
static struct mem_stats stats;
static Q_ALIGNED(8) char image[MEM_STATS_BYTES];
static struct mem_stats_snapshot shot;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    memset(&census, 0, sizeof(census));
    assert_int_equal(mem_heap_find(heap, &objects, NULL), QUARRY_OK);
    mem_stats_init(&stats, &(struct mem_stats_options){.heap = heap});
    return 0;
}

static int tear_down(void **state)
{
    mem_stats_fini(&stats);
    return heap_tear_down(state);
}

/* What a reader sees now. */
static void look(void)
{
    struct quarry_error error = {0};

    mem_census_take(objects, &census);
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    memcpy(image, stats.segment.base, sizeof(image));
    if (mem_stats_parse(image, &shot, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static void without_a_tree_there_are_no_rows(void **state)
{
    (void)state;
    look();
    assert_int_equal(shot.account_count, 0);
    assert_int_equal(shot.totals->account_count, 0);
    assert_int_equal(shot.totals->pressure, QUARRY_PRESSURE_NONE);
}

static uint64_t gives_all(void *argument, uint64_t wanted_bytes)
{
    quarry_account_uncharge(*(struct quarry_account **)argument, wanted_bytes);
    return wanted_bytes;
}

static void is_worth_some(void *argument, struct quarry_account_value *ret_value)
{
    (void)argument;
    *ret_value = (struct quarry_account_value){1000, Q_MIB(1), 500, Q_MIB(1)};
}

static void every_figure_of_an_account_is_shown(void **state)
{
    (void)state;
    static struct quarry_account *block;
    struct quarry_account *kv = account_named("kv", NULL);
    struct quarry_account_options options = {
        .name = "block",
        .parent = kv,
        .share = 3,
        .priority = 7,
        .floor_bytes = 1000,
        .ceiling_bytes = 50000,
        .reclaim = gives_all,
        .value = is_worth_some,
        .argument = &block,
    };

    block = account_make(&options);
    assert_int_equal(quarry_account_charge(kv, 11), QUARRY_OK);
    assert_int_equal(quarry_account_charge(block, 50000), QUARRY_OK);
    assert_int_equal(quarry_account_charge(block, 100), QUARRY_OK); /* asks for 100 */
    assert_int_equal(quarry_account_charge(block, 50001), QUARRY_NO_MEMORY);
    budget_turn();
    budget_turn(); /* 1000 hits in 200 ms are 5000 a second */
    look();
    assert_int_equal(shot.account_count, 3);
    assert_int_equal(shot.totals->account_count, 3);
    assert_string_equal(shot.accounts[0].name, "");
    assert_int_equal(shot.accounts[0].charged_bytes, 50011);
    assert_int_equal(shot.accounts[0].ceiling_bytes, Q_GIB(4));
    assert_string_equal(shot.accounts[1].name, "kv");
    assert_int_equal(shot.accounts[1].own_bytes, 11);
    assert_int_equal(shot.accounts[1].is_elastic, 0);
    const struct mem_stats_account *row = &shot.accounts[2];
    assert_string_equal(row->name, "kv.block");
    assert_int_equal(row->owner, quarry_account_owner(block));
    assert_int_equal(row->depth, 2);
    assert_int_equal(row->share, 3);
    assert_int_equal(row->priority, 7);
    assert_int_equal(row->own_bytes, 50000);
    assert_int_equal(row->charged_bytes, 50000);
    assert_int_equal(row->peak_bytes, 50000);
    assert_int_equal(row->floor_bytes, 1000);
    assert_int_equal(row->ceiling_bytes, 50000);
    assert_int_equal(row->target_bytes, 50000);
    assert_int_equal(row->refused_count, 1);
    assert_int_equal(row->asked_count, 1);
    assert_int_equal(row->reclaimed_bytes, 100);
    assert_int_equal(row->growth_milli_per_mib, 5000000);
    assert_int_equal(row->loss_milli_per_mib, 2500000);
    assert_int_equal(row->is_elastic, 1);
    quarry_account_uncharge(kv, 11);
    quarry_account_uncharge(block, 50000);
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

static void pressure_and_what_is_set_aside_are_shown(void **state)
{
    (void)state;
    struct quarry_account *account = account_named("a", NULL);

    assert_int_equal(quarry_account_charge(account, Q_GIB(5)), QUARRY_NO_MEMORY);
    budget_turn();
    assert_int_equal(quarry_memory_set_reserve(memory_now(), Q_MIB(3)), QUARRY_OK);
    look();
    assert_int_equal(shot.totals->pressure, QUARRY_PRESSURE_HIGH);
    assert_int_equal(shot.totals->set_aside_goal_bytes, Q_MIB(3));
    assert_int_equal(shot.totals->ledger.set_aside_bytes, Q_MIB(3));
    const struct quarry_ledger *ledger = &shot.totals->ledger;
    assert_int_equal(ledger->in_use_bytes + ledger->cached_bytes + ledger->free_backed_bytes +
                         ledger->metadata_bytes + ledger->in_flight_bytes + ledger->set_aside_bytes,
                     ledger->committed_bytes);
    assert_int_equal(quarry_memory_set_reserve(memory_now(), 0), QUARRY_OK);
    quarry_account_destroy(account);
}

static void more_accounts_than_rows_are_counted(void **state)
{
    (void)state;
    static struct quarry_account *account[MEM_STATS_ACCOUNTS_MAX + 10];

    for (uint32_t i = 0; i < MEM_STATS_ACCOUNTS_MAX + 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "tenant%u", i);
        account[i] = account_named(name, NULL);
    }
    look();
    assert_int_equal(shot.account_count, MEM_STATS_ACCOUNTS_MAX);
    assert_int_equal(shot.totals->account_count, MEM_STATS_ACCOUNTS_MAX + 11);
    assert_string_equal(shot.accounts[MEM_STATS_ACCOUNTS_MAX - 1].name, "tenant254");
    for (uint32_t i = 0; i < MEM_STATS_ACCOUNTS_MAX + 10; i++) {
        quarry_account_destroy(account[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_tree_there_are_no_rows),
        TEST(every_figure_of_an_account_is_shown),
        TEST(pressure_and_what_is_set_aside_are_shown),
        TEST(more_accounts_than_rows_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
