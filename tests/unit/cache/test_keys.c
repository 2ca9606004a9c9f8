/*
 * What keys are used: prefixes and hot keys.
 */
#include "unit/cache/cache_rig.h"

#include "unit/base/random.h"

#include <stdio.h>
#include <string.h>

static void use_prefix(const char *key, enum quarry_cache_use use)
{
    struct quarry_cache_key named = key_of(key);

    quarry_cache_count_prefix(tenant, &named, use);
}

static void uses_are_counted_by_what_stands_before_the_colon(void **state)
{
    struct quarry_cache_prefix prefixes[4];

    (void)state;
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, 4), 0);
    use_prefix("user:1", QUARRY_CACHE_USE_HIT);
    use_prefix("user:2", QUARRY_CACHE_USE_HIT);
    use_prefix("user:2:x", QUARRY_CACHE_USE_SET);
    use_prefix("page:1", QUARRY_CACHE_USE_MISS);
    use_prefix("none", QUARRY_CACHE_USE_HIT);
    use_prefix(":empty", QUARRY_CACHE_USE_DELETE);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, 4), 3);
    assert_string_equal(prefixes[0].text, "user");
    assert_int_equal(prefixes[0].counts[QUARRY_CACHE_USE_HIT], 2);
    assert_int_equal(prefixes[0].counts[QUARRY_CACHE_USE_SET], 1);
    assert_string_equal(prefixes[1].text, "page");
    assert_int_equal(prefixes[1].counts[QUARRY_CACHE_USE_MISS], 1);
    assert_string_equal(prefixes[2].text, "");
    assert_int_equal(prefixes[2].counts[QUARRY_CACHE_USE_DELETE], 1);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 2, prefixes, 4), 1);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 3, prefixes, 4), 0);
    quarry_cache_reset_prefixes(tenant);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, 1), 1);
    assert_int_equal(prefixes[0].counts[QUARRY_CACHE_USE_HIT], 0);
}

static void prefixes_that_are_too_long_or_too_many_are_not_counted(void **state)
{
    static struct quarry_cache_prefix prefixes[QUARRY_CACHE_PREFIXES_MAX + 1];
    char key[QUARRY_CACHE_KEY_BYTES_MAX + 1];

    (void)state;
    memset(key, 'x', sizeof key);
    strcpy(key + QUARRY_CACHE_PREFIX_BYTES_MAX + 1, ":");
    use_prefix(key, QUARRY_CACHE_USE_HIT);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, 1), 0);
    strcpy(key + QUARRY_CACHE_PREFIX_BYTES_MAX, ":");
    use_prefix(key, QUARRY_CACHE_USE_HIT);
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, 1), 1);
    for (unsigned i = 0; i < 2 * QUARRY_CACHE_PREFIXES_MAX; i++) {
        snprintf(key, sizeof key, "p%u:x", i);
        use_prefix(key, QUARRY_CACHE_USE_HIT);
    }
    assert_int_equal(quarry_cache_read_prefixes(tenant, 0, prefixes, QUARRY_CACHE_PREFIXES_MAX + 1),
                     QUARRY_CACHE_PREFIXES_MAX);
    assert_string_equal(prefixes[1].text, "p0");
}

static void note(const char *text, enum quarry_cache_use use, uint32_t weight)
{
    struct quarry_cache_key key = key_of(text);

    quarry_cache_note_hot_key(tenant, &key, use, weight);
}

static void keys_that_come_often_are_found_among_many(void **state)
{
    struct quarry_cache_hot_key keys[QUARRY_CACHE_HOT_KEYS_MAX];
    uint64_t random = 7;
    char text[32];

    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t roll = (uint32_t)(random_u64(&random) % 1000);

        snprintf(text, sizeof text, "k%u", (uint32_t)(random_u64(&random) % 100000));
        note(roll < 50    ? "first"
             : roll < 80  ? "second"
             : roll < 100 ? "third"
                          : text,
             QUARRY_CACHE_USE_HIT, 64);
    }
    assert_true(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_HIT, keys) >= 3);
    assert_memory_equal(keys[0].key, "first", keys[0].key_bytes);
    assert_memory_equal(keys[1].key, "second", keys[1].key_bytes);
    assert_memory_equal(keys[2].key, "third", keys[2].key_bytes);
    assert_in_range(keys[0].count, 64 * 9000, 64 * 10600);
    assert_in_range(keys[2].count, 64 * 3400, 64 * 4600);
    assert_int_equal(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_MISS, keys), 0);
}

static void hits_misses_and_changes_are_told_apart(void **state)
{
    struct quarry_cache_hot_key keys[QUARRY_CACHE_HOT_KEYS_MAX];

    (void)state;
    note("h", QUARRY_CACHE_USE_HIT, 1);
    note("m", QUARRY_CACHE_USE_MISS, 2);
    note("c", QUARRY_CACHE_USE_SET, 3);
    note("c", QUARRY_CACHE_USE_DELETE, 4);
    assert_int_equal(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_HIT, keys), 1);
    assert_int_equal(keys[0].count, 1);
    assert_int_equal(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_MISS, keys), 1);
    assert_int_equal(keys[0].count, 2);
    assert_int_equal(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_DELETE, keys), 1);
    assert_int_equal(keys[0].count, 7);
    assert_int_equal(keys[0].key_bytes, 1);
    assert_int_equal(keys[0].key[0], 'c');
}

static void what_was_hot_long_ago_goes(void **state)
{
    struct quarry_cache_hot_key keys[QUARRY_CACHE_HOT_KEYS_MAX];

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        note("old", QUARRY_CACHE_USE_HIT, 1000000);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        note("new", QUARRY_CACHE_USE_HIT, 1000000);
    }
    assert_int_equal(quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_HIT, keys), 2);
    assert_memory_equal(keys[0].key, "new", 3);
    assert_true(keys[1].count < 100000000 / 7);
}

static void a_tenant_has_keys_of_its_own(void **state)
{
    struct quarry_cache_hot_key keys[QUARRY_CACHE_HOT_KEYS_MAX];
    struct quarry_cache_tenant *other;

    (void)state;
    assert_int_equal(quarry_cache_add_tenant(cache,
                                             &(struct quarry_cache_tenant_options){.name = "other"},
                                             &other, NULL),
                     QUARRY_OK);
    note("h", QUARRY_CACHE_USE_HIT, 1);
    assert_int_equal(quarry_cache_read_hot_keys(other, QUARRY_CACHE_USE_HIT, keys), 0);
    quarry_cache_reset_prefixes(other);
    quarry_cache_remove_tenant(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(uses_are_counted_by_what_stands_before_the_colon),
        TEST(prefixes_that_are_too_long_or_too_many_are_not_counted),
        TEST(keys_that_come_often_are_found_among_many),
        TEST(hits_misses_and_changes_are_told_apart),
        TEST(what_was_hot_long_ago_goes),
        TEST(a_tenant_has_keys_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
