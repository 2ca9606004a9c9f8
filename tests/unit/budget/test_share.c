/*
 * Dividing bytes by share, within floors and ceilings, at every level of the tree.
 */
#include "unit/budget/budget_rig.h"

#include "unit/base/random.h"

static uint64_t gives_nothing(void *argument, uint64_t wanted_bytes)
{
    (void)argument, (void)wanted_bytes;
    return 0;
}

static void is_worth_nothing(void *argument, struct quarry_account_value *ret_value)
{
    (void)argument, (void)ret_value;
}

static struct quarry_account *elastic(struct quarry_account_options options)
{
    options.reclaim = gives_nothing;
    options.value = is_worth_nothing;
    return account_make(&options);
}

static uint64_t target(struct quarry_account *account)
{
    return account_now(account).target_bytes;
}

/* Divides `bytes`, and checks that no more than that is given. */
static void divide(uint64_t bytes)
{
    struct quarry_account *root = &budget_of(heap)->root;

    os_mutex_lock(&budget_of(heap)->mutex);
    budget_share_gather(root);
    budget_share_divide(root, bytes);
    os_mutex_unlock(&budget_of(heap)->mutex);
}

static void assert_about(uint64_t bytes, uint64_t wanted_bytes)
{
    assert_in_range(bytes, sat_sub_u64(wanted_bytes, 4), wanted_bytes + 4);
}

static void shares_divide_at_each_level(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .share = 3};
    struct quarry_account *kv = account_make(&options);
    struct quarry_account *block =
        elastic((struct quarry_account_options){.name = "block", .parent = kv, .share = 2});
    struct quarry_account *table =
        elastic((struct quarry_account_options){.name = "table", .parent = kv});
    struct quarry_account *cache = elastic((struct quarry_account_options){.name = "cache"});
    struct quarry_account *net = account_named("net", NULL); /* not elastic: has no part */

    divide(12000);
    assert_about(target(block), 6000);
    assert_about(target(table), 3000);
    assert_about(target(cache), 3000);
    assert_int_equal(target(net), 0);
    quarry_account_destroy(net);
    quarry_account_destroy(cache);
    quarry_account_destroy(table);
    quarry_account_destroy(block);
    quarry_account_destroy(kv);
}

static void the_first_targets_are_what_shares_give(void **state)
{
    (void)state;
    struct quarry_account *a = elastic((struct quarry_account_options){.name = "a", .share = 3});
    uint64_t alone_bytes = target(a);
    struct quarry_account *b = elastic((struct quarry_account_options){.name = "b"});
    uint64_t room_bytes = budget_of(heap)->arbiter.room_bytes;

    /* 95 % of the limit, less what the heap itself has. */
    assert_in_range(room_bytes, Q_GIB(4) / 100 * 95 - Q_MIB(1), Q_GIB(4) / 100 * 95);
    assert_in_range(alone_bytes, room_bytes, room_bytes + Q_KIB(64));
    assert_about(target(a), room_bytes / 4 * 3);
    assert_about(target(b), room_bytes / 4);
    quarry_account_destroy(b);
    quarry_account_destroy(a);
}

static void what_a_bound_takes_or_leaves_goes_to_the_others_by_weight(void **state)
{
    (void)state;
    struct quarry_account *a =
        elastic((struct quarry_account_options){.name = "a", .floor_bytes = 5000});
    struct quarry_account *b =
        elastic((struct quarry_account_options){.name = "b", .ceiling_bytes = 1000});
    struct quarry_account *c = elastic((struct quarry_account_options){.name = "c", .share = 3});
    struct quarry_account *d = elastic((struct quarry_account_options){.name = "d", .share = 1});

    divide(12000); /* by share: 2000, 2000, 6000, 2000 */
    assert_int_equal(target(a), 5000);
    assert_int_equal(target(b), 1000);
    assert_about(target(c), 4500);
    assert_about(target(d), 1500);
    divide(1200000);
    assert_int_equal(target(b), 1000);
    assert_about(target(a), 1199000 / 5);
    quarry_account_destroy(d);
    quarry_account_destroy(c);
    quarry_account_destroy(b);
    quarry_account_destroy(a);
}

static void floors_are_given_even_when_there_is_less(void **state)
{
    (void)state;
    struct quarry_account *a =
        elastic((struct quarry_account_options){.name = "a", .floor_bytes = 5000});
    struct quarry_account *b =
        elastic((struct quarry_account_options){.name = "b", .floor_bytes = 3000});

    divide(100);
    assert_int_equal(target(a), 5000);
    assert_int_equal(target(b), 3000);
    quarry_account_destroy(b);
    quarry_account_destroy(a);
}

static void a_ceiling_above_holds_what_is_not_elastic_too(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 10000};
    struct quarry_account *kv = account_make(&options), *wal = account_named("wal", kv);
    struct quarry_account *block =
        elastic((struct quarry_account_options){.name = "block", .parent = kv});
    struct quarry_account *cache = elastic((struct quarry_account_options){.name = "cache"});

    assert_int_equal(quarry_account_charge(wal, 4000), QUARRY_OK);
    divide(100000);
    assert_int_equal(target(block), 6000);
    assert_about(target(cache), 94000);
    /* Its floor comes up to what is elastic in it, the log's bytes counted. */
    assert_int_equal(quarry_account_set_bounds(kv, 9000, 0), QUARRY_OK);
    divide(6000);
    assert_int_equal(target(block), 5000);
    assert_about(target(cache), 1000);
    quarry_account_uncharge(wal, 4000);
    quarry_account_destroy(cache);
    quarry_account_destroy(block);
    quarry_account_destroy(wal);
    quarry_account_destroy(kv);
}

static void a_ceiling_beats_the_floors_below_it(void **state)
{
    (void)state;
    struct quarry_account_options options = {.name = "kv", .ceiling_bytes = 1000};
    struct quarry_account *kv = account_make(&options);
    struct quarry_account *a =
        elastic((struct quarry_account_options){.name = "a", .parent = kv, .floor_bytes = 3000});
    struct quarry_account *b =
        elastic((struct quarry_account_options){.name = "b", .parent = kv, .floor_bytes = 1000});

    divide(100000);
    assert_int_equal(target(a), 750);
    assert_int_equal(target(b), 250);
    quarry_account_destroy(b);
    quarry_account_destroy(a);
    quarry_account_destroy(kv);
}

/* ---- any tree ------------------------------------------------------------------------------- */

#define LEAVES 12u

static void check_division(struct quarry_account *const *leaf, uint64_t bytes)
{
    uint64_t sum = 0, floors = 0, ceilings = 0;

    for (uint32_t i = 0; i < LEAVES; i++) {
        struct quarry_account_state now = account_now(leaf[i]);
        assert_true(now.target_bytes >= now.floor_bytes);
        assert_true(now.ceiling_bytes == 0 || now.target_bytes <= now.ceiling_bytes);
        sum += now.target_bytes;
        floors += now.floor_bytes;
        ceilings = sat_add_u64(ceilings, now.ceiling_bytes == 0 ? UINT64_MAX : now.ceiling_bytes);
    }
    assert_true(sum <= size_max_u64(bytes, floors));
    /* Nothing is left that somebody might have had. */
    assert_true(sum + LEAVES >= size_min_u64(size_max_u64(bytes, floors), ceilings));
}

static void every_division_is_whole_and_within_bounds(void **state)
{
    (void)state;
    struct quarry_account *part[3], *leaf[LEAVES];
    static const char *const names[] = {"a", "b", "c", "d"};
    uint64_t seed = 4711;

    for (uint32_t round = 0; round < 300; round++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct quarry_account_options options = {
                .name = names[i], .share = 1 + (uint32_t)(random_u64(&seed) % 5)};
            part[i] = account_make(&options);
        }
        for (uint32_t i = 0; i < LEAVES; i++) {
            uint64_t floor = random_u64(&seed) % 2 == 0 ? 0 : random_u64(&seed) % 1000;
            uint64_t above = random_u64(&seed) % 4000;
            leaf[i] = elastic((struct quarry_account_options){
                .name = names[i / 3],
                .parent = part[i % 3],
                .share = 1 + (uint32_t)(random_u64(&seed) % 9),
                .floor_bytes = floor,
                .ceiling_bytes = random_u64(&seed) % 2 == 0 ? 0 : floor + above,
            });
        }
        for (uint32_t i = 0; i < 4; i++) {
            uint64_t bytes = random_u64(&seed) % 60000;
            divide(bytes);
            check_division(leaf, bytes);
        }
        for (uint32_t i = 0; i < LEAVES; i++) {
            quarry_account_destroy(leaf[i]);
        }
        for (uint32_t i = 0; i < 3; i++) {
            quarry_account_destroy(part[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, heap_set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shares_divide_at_each_level),
        TEST(the_first_targets_are_what_shares_give),
        TEST(what_a_bound_takes_or_leaves_goes_to_the_others_by_weight),
        TEST(floors_are_given_even_when_there_is_less),
        TEST(a_ceiling_above_holds_what_is_not_elastic_too),
        TEST(a_ceiling_beats_the_floors_below_it),
        TEST(every_division_is_whole_and_within_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
