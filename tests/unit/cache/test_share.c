/*
 * Several tenants in one cache: quotas, shares, and who gives.
 */
#include "unit/cache/policy_rig.h"

static void fill(struct quarry_cache_tenant *of, uint64_t first, uint64_t count, size_t bytes)
{
    for (uint64_t n = first; n < first + count; n++) {
        assert_int_equal(put_to(of, n, bytes, 0), QUARRY_CACHE_HIT);
        if (n % 32 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
}

static void a_tenant_holds_no_more_than_its_quota(void **state)
{
    struct quarry_cache_tenant *bound = policy_tenant("bound", Q_MIB(2), 0);

    (void)state;
    for (uint64_t n = 0; n < 40000; n++) {
        assert_int_equal(put_to(bound, n, 200, 0), QUARRY_CACHE_HIT);
        assert_true(stats_of(bound).item_bytes <= Q_MIB(2) + Q_KIB(4));
    }
    assert_true(stats_of(bound).item_bytes > Q_MIB(2) * 9 / 10);
    for (uint64_t n = 50000; n < 50020; n++) { /* large ones, over by a page for a moment */
        assert_int_equal(put_to(bound, n, 500000, 0), QUARRY_CACHE_HIT);
        assert_true(stats_of(bound).item_bytes <= Q_MIB(3));
    }
    assert_false(stats_now().is_full);
}

static void a_quota_that_is_lowered_is_kept_from_then_on(void **state)
{
    struct quarry_cache_tenant *bound = policy_tenant("bound", Q_MIB(8), 0);
    const struct quarry_cache_tenant_options lower = {"bound", Q_MIB(2), 0};

    (void)state;
    fill(bound, 0, 40000, 200);
    assert_true(stats_of(bound).item_bytes > Q_MIB(7));
    assert_int_equal(quarry_cache_set_tenant(bound, &lower), QUARRY_OK);
    fill(bound, 100000, 10, 200);
    assert_true(stats_of(bound).item_bytes <= Q_MIB(3));
}

static void who_floods_takes_nothing_of_a_share(void **state)
{
    struct quarry_cache_tenant *quiet = policy_tenant("quiet", 0, Q_MIB(4));
    struct quarry_cache_tenant *loud = policy_tenant("loud", 0, Q_MIB(4));

    (void)state;
    fill(quiet, 0, 12000, 200); /* 2.7 MB, and none of it is asked for */
    fill(loud, 0, 200000, 200);
    fill(loud, 0, 60, 400000); /* and of other sizes */
    fill(loud, 300000, 100000, 60);
    assert_int_equal(stats_of(quiet).evictions, 0);
    assert_true(count_of(quiet, 0, 12000) > 11900); /* but for what the index has no place for */
    assert_true(stats_of(loud).item_bytes > Q_MIB(8));
}

static void who_is_furthest_above_its_share_gives_first(void **state)
{
    struct quarry_cache_tenant *greedy = policy_tenant("greedy", 0, Q_MIB(2));
    struct quarry_cache_tenant *modest = policy_tenant("modest", 0, Q_MIB(6));

    (void)state;
    fill(greedy, 0, 50000, 200);
    fill(modest, 0, 30000, 200);
    assert_true(stats_of(greedy).evictions > 0);
    assert_true(stats_of(modest).item_bytes > Q_MIB(6));
    fill(modest, 100000, 100000, 200);
    assert_true(stats_of(modest).evictions > 0);
    assert_true(stats_of(greedy).item_bytes >
                Q_MIB(2)); /* both are as far above: the rest is even */
    assert_true(stats_of(greedy).item_bytes < Q_MIB(7));
}

static void tenants_without_a_share_have_equal_parts(void **state)
{
    struct quarry_cache_tenant *first = policy_tenant("first", 0, 0);
    struct quarry_cache_tenant *second = policy_tenant("second", 0, 0);

    (void)state;
    assert_int_equal(cache_tenant_share(first), Q_MIB(16) / 3);
    fill(first, 0, 60000, 200);
    fill(second, 0, 60000, 200);
    fill(first, 100000, 60000, 200);
    uint64_t a = stats_of(first).item_bytes, b = stats_of(second).item_bytes;
    assert_true(a > b / 4 * 3 && b > a / 4 * 3);
}

static void the_items_of_a_tenant_that_goes_make_room(void **state)
{
    struct quarry_cache_tenant *gone = policy_tenant("gone", 0, 0);

    (void)state;
    fill(gone, 0, 60000, 200);
    quarry_cache_remove_tenant(gone);
    (void)turn_all();
    fill(tenant, 0, 60000, 200);
    assert_true(stats_of(tenant).item_bytes > Q_MIB(11));
}

static void a_flush_of_one_leaves_the_others(void **state)
{
    struct quarry_cache_tenant *other = policy_tenant("other", 0, 0);

    (void)state;
    fill(tenant, 0, 5000, 100);
    fill(other, 0, 5000, 100);
    quarry_cache_flush(other, 0);
    (void)turn_all();
    assert_int_equal(stats_of(other).item_count, 0);
    assert_true(stats_of(tenant).item_count > 4900);
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, policy_set_up, policy_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(a_tenant_holds_no_more_than_its_quota),
        RIG(a_quota_that_is_lowered_is_kept_from_then_on),
        RIG(who_floods_takes_nothing_of_a_share),
        RIG(who_is_furthest_above_its_share_gives_first),
        RIG(tenants_without_a_share_have_equal_parts),
        RIG(the_items_of_a_tenant_that_goes_make_room),
        RIG(a_flush_of_one_leaves_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
