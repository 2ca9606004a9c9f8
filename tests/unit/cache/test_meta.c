/*
 * What memcached's meta commands add: winners, stale items, counting, deleting by parts.
 */
#include "unit/cache/cache_rig.h"

#include <string.h>

static enum quarry_cache_outcome count_with(const char *key,
                                            const struct quarry_cache_count_options *options,
                                            struct quarry_cache_counted *ret_counted)
{
    struct quarry_cache_key named = key_of(key);

    return quarry_cache_count(tenant, &named, options, ret_counted);
}

static enum quarry_cache_outcome delete_with(const char *key,
                                             const struct quarry_cache_delete_options *options)
{
    struct quarry_cache_key named = key_of(key);

    return quarry_cache_delete(tenant, &named, options);
}

/* Counts up by `delta`, which must succeed. */
static uint64_t incr(const char *key, uint64_t delta)
{
    struct quarry_cache_counted counted = {0};

    assert_int_equal(
        count_with(key, &(struct quarry_cache_count_options){.delta = delta}, &counted),
        QUARRY_CACHE_HIT);
    return counted.number;
}

static uint64_t decr(const char *key, uint64_t delta)
{
    struct quarry_cache_counted counted = {0};
    struct quarry_cache_count_options options = {.delta = delta, .decrements = true};

    assert_int_equal(count_with(key, &options, &counted), QUARRY_CACHE_HIT);
    return counted.number;
}

/* ---- winning -------------------------------------------------------------------------------- */

static void a_miss_may_make_an_empty_item_whose_maker_has_won(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 30;
    struct quarry_cache_get_options options = {.vivifies = true, .vivify_expiry = expiry};
    struct quarry_cache_hit hit;

    (void)state;
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.is_new && hit.has_won && !hit.is_token_given && !hit.is_stale);
    assert_int_equal(hit.value_bytes, 0);
    assert_int_equal(hit.expiry, expiry);
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(!hit.is_new && !hit.has_won && hit.is_token_given);
    (void)set("a", "renewed");
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(!hit.is_new && !hit.has_won && !hit.is_token_given);
    assert_int_equal(stats_now().get_misses, 1);
    assert_int_equal(stats_now().get_hits, 2);
    options.vivify_cas = 4711;
    assert_int_equal(get_with("b", &options, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(hit.cas, 4711);
}

static void one_wins_an_item_that_is_about_to_expire(void **state)
{
    uint32_t now = quarry_cache_now(cache);
    struct quarry_cache_get_options options = {.recaches = true, .recache_seconds = 10};
    struct quarry_cache_hit hit;

    (void)state;
    (void)set_until("a", "x", now + 20);
    (void)set("never", "x");
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_false(hit.has_won);
    wait_s(10);
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_false(hit.has_won);
    wait_s(1);
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.has_won && !hit.is_token_given);
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(!hit.has_won && hit.is_token_given);
    assert_int_equal(get_with("never", &options, &hit), QUARRY_CACHE_HIT);
    assert_false(hit.has_won);
}

static void a_stale_item_is_won_by_who_asks_first(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    uint64_t cas = set("a", "x");
    uint32_t soon = quarry_cache_now(cache) + 30;
    struct quarry_cache_delete_options options = {
        .invalidates = true, .sets_expiry = true, .expiry = soon};
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_HIT);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.is_stale && hit.has_won && !hit.is_token_given);
    assert_true(hit.cas > cas);
    assert_int_equal(hit.expiry, soon);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.is_stale && !hit.has_won && hit.is_token_given);
    assert_string_equal(value_of("a"), "x");
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_HIT);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.has_won);
    (void)set("a", "fresh");
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_false(hit.is_stale || hit.has_won || hit.is_token_given);
}

static void who_looks_at_the_cas_leaves_no_trace_when_it_is_another(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    uint64_t cas = set("a", "x");
    wait_s(5);
    struct quarry_cache_get_options options = {.has_cas = true, .cas = cas + 1};
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_EXISTS);
    assert_false(peek("a").was_hit);
    assert_int_equal(peek("a").idle_seconds, 5);
    options.cas = cas;
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_true(peek("a").was_hit);
}

/* ---- deleting by parts ---------------------------------------------------------------------- */

static void an_invalidation_may_give_the_cas(void **state)
{
    struct quarry_cache_delete_options options = {.invalidates = true, .new_cas = 1234567};

    (void)state;
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_MISS);
    options.cas = set("a", "x") + 1;
    options.has_cas = true;
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_EXISTS);
    assert_false(peek("a").is_stale);
    options.cas--;
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_HIT);
    assert_int_equal(hit_of("a").cas, 1234567);
    assert_true(hit_of("a").is_stale);
}

static void an_item_may_be_kept_without_its_value(void **state)
{
    struct quarry_cache_delete_options options = {.drops_value = true};
    uint32_t expiry = quarry_cache_now(cache) + 30;

    (void)state;
    (void)store_with("a", "value",
                     &(struct quarry_cache_store_options){.client_flags = 5, .expiry = expiry},
                     NULL);
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_HIT);
    struct quarry_cache_hit hit = hit_of("a");
    assert_int_equal(hit.value_bytes, 0);
    assert_int_equal(hit.client_flags, 0);
    assert_int_equal(hit.expiry, expiry);
    assert_false(hit.is_stale);
    options.invalidates = true;
    assert_int_equal(delete_with("a", &options), QUARRY_CACHE_HIT);
    assert_true(hit_of("a").is_stale);
}

/* ---- counting ------------------------------------------------------------------------------- */

static void numbers_are_counted_up_and_down(void **state)
{
    (void)state;
    (void)set("n", "10");
    assert_int_equal(incr("n", 5), 15);
    assert_int_equal(decr("n", 1), 14);
    assert_string_equal(value_of("n"), "14");
    assert_int_equal(stats_now().incr_hits, 1);
    assert_int_equal(stats_now().decr_hits, 1);
}

static void down_ends_at_zero_and_up_wraps(void **state)
{
    (void)state;
    (void)set("n", "5");
    assert_int_equal(decr("n", 6), 0);
    (void)set("n", "18446744073709551615");
    assert_int_equal(incr("n", 1), 0);
    assert_int_equal(decr("n", 0), 0);
    (void)set("n", "18446744073709551614");
    assert_true(incr("n", 1) == UINT64_MAX);
}

static void fewer_digits_are_padded_with_spaces(void **state)
{
    (void)state;
    (void)set("n", "100");
    assert_int_equal(decr("n", 1), 99);
    assert_string_equal(value_of("n"), "99 ");
    assert_int_equal(decr("n", 90), 9);
    assert_string_equal(value_of("n"), "9  ");
    assert_int_equal(incr("n", 991), 1000);
    assert_string_equal(value_of("n"), "1000");
}

static void what_is_no_number_is_not_counted(void **state)
{
    static const char *const others[] = {"",      "x",
                                         "-1",    " 1",
                                         "1x",    "1 1",
                                         "0x1",   "18446744073709551616",
                                         "1\r\n", "100000000000000000000"};
    struct quarry_cache_counted counted;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        (void)set("n", others[i]);
        assert_int_equal(
            count_with("n", &(struct quarry_cache_count_options){.delta = 1}, &counted),
            QUARRY_CACHE_NOT_NUMBER);
        assert_string_equal(value_of("n"), others[i]);
    }
}

static void counting_keeps_flags_and_expiry(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 30;

    (void)state;
    (void)store_with(
        "n", "9", &(struct quarry_cache_store_options){.client_flags = 5, .expiry = expiry}, NULL);
    assert_int_equal(incr("n", 1), 10);
    assert_int_equal(hit_of("n").client_flags, 5);
    assert_int_equal(hit_of("n").expiry, expiry);
    struct quarry_cache_counted counted;
    struct quarry_cache_count_options options = {
        .delta = 1, .sets_expiry = true, .expiry = 0, .new_cas = 99999};
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_HIT);
    assert_int_equal(counted.cas, 99999);
    assert_int_equal(hit_of("n").cas, 99999);
    assert_int_equal(hit_of("n").expiry, 0);
    assert_int_equal(hit_of("n").client_flags, 5);
}

static void counting_looks_at_the_cas(void **state)
{
    struct quarry_cache_count_options options = {.delta = 1, .has_cas = true};
    struct quarry_cache_counted counted;

    (void)state;
    options.cas = set("n", "1") + 1;
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_EXISTS);
    options.cas--;
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_HIT);
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_EXISTS);
    assert_string_equal(value_of("n"), "2");
}

static void counting_may_make_what_is_not_there(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 30;
    struct quarry_cache_count_options options = {.delta = 2};
    struct quarry_cache_counted counted;

    (void)state;
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_MISS);
    options.vivifies = true;
    options.initial = 40;
    options.vivify_expiry = expiry;
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_HIT);
    assert_true(counted.is_new);
    assert_int_equal(counted.number, 40);
    assert_int_equal(counted.cas, hit_of("n").cas);
    assert_int_equal(count_with("n", &options, &counted), QUARRY_CACHE_HIT);
    assert_false(counted.is_new);
    assert_int_equal(counted.number, 42);
    assert_int_equal(hit_of("n").expiry, expiry);
    assert_int_equal(stats_now().incr_misses, 2);
    assert_int_equal(stats_now().incr_hits, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_miss_may_make_an_empty_item_whose_maker_has_won),
        CASE(one_wins_an_item_that_is_about_to_expire),
        CASE(a_stale_item_is_won_by_who_asks_first),
        CASE(who_looks_at_the_cas_leaves_no_trace_when_it_is_another),
        CASE(an_invalidation_may_give_the_cas),
        CASE(an_item_may_be_kept_without_its_value),
        CASE(numbers_are_counted_up_and_down),
        CASE(down_ends_at_zero_and_up_wraps),
        CASE(fewer_digits_are_padded_with_spaces),
        CASE(what_is_no_number_is_not_counted),
        CASE(counting_keeps_flags_and_expiry),
        CASE(counting_looks_at_the_cas),
        CASE(counting_may_make_what_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
