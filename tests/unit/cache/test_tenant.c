/*
 * Tenants: that they do not know of each other.
 */
#include "unit/cache/cache_rig.h"

#include <stdio.h>
#include <string.h>

static struct quarry_cache_tenant *add(const char *name)
{
    struct quarry_cache_tenant *added = NULL;
    struct quarry_error error = {0};

    assert_int_equal(quarry_cache_add_tenant(cache,
                                             &(struct quarry_cache_tenant_options){.name = name},
                                             &added, &error),
                     QUARRY_OK);
    assert_non_null(added);
    return added;
}

/* What follows is the tenant's. */
static void speak_for(struct quarry_cache_tenant *other)
{
    tenant = other;
}

static void tenants_have_keys_of_their_own(void **state)
{
    struct quarry_cache_tenant *first = tenant, *second = add("second");

    (void)state;
    (void)set("a", "first's");
    speak_for(second);
    assert_false(is_there("a"));
    (void)set("a", "second's");
    (void)set_filled("large", 2, 200000);
    speak_for(first);
    assert_string_equal(value_of("a"), "first's");
    assert_false(is_there("large"));
    quarry_cache_flush(first, 0);
    assert_false(is_there("a"));
    speak_for(second);
    assert_string_equal(value_of("a"), "second's");
    assert_true(is_filled("large", 2, 200000));
    assert_int_equal(stats_now().item_count, 2);
    speak_for(first);
    assert_int_equal(stats_now().item_count, 0);
}

static void a_key_hashes_otherwise_for_each(void **state)
{
    struct quarry_cache_tenant *second = add("second");

    (void)state;
    assert_true(quarry_cache_key_make(tenant, "a", 1).hash !=
                quarry_cache_key_make(second, "a", 1).hash);
}

static void tenants_are_found_by_name_and_walked(void **state)
{
    struct quarry_cache_tenant *b = add("b"), *c = add("c");

    (void)state;
    assert_ptr_equal(quarry_cache_find_tenant(cache, "b"), b);
    assert_ptr_equal(quarry_cache_find_tenant(cache, "default"), tenant);
    assert_null(quarry_cache_find_tenant(cache, "d"));
    assert_ptr_equal(quarry_cache_next_tenant(cache, NULL), tenant);
    assert_ptr_equal(quarry_cache_next_tenant(cache, tenant), b);
    assert_ptr_equal(quarry_cache_next_tenant(cache, b), c);
    assert_null(quarry_cache_next_tenant(cache, c));
    assert_string_equal(quarry_cache_tenant_name(c), "c");
    assert_ptr_equal(quarry_cache_of(c), cache);
}

static void names_are_checked(void **state)
{
    static const char *const bad[] = {NULL, "", "a-name-of-more-than-thirty-one-bytes"};
    struct quarry_cache_tenant *added = NULL;
    struct quarry_error error = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(
            quarry_cache_add_tenant(cache, &(struct quarry_cache_tenant_options){.name = bad[i]},
                                    &added, &error),
            QUARRY_BAD_INPUT);
    }
    assert_int_equal(
        quarry_cache_add_tenant(cache, &(struct quarry_cache_tenant_options){.name = "default"},
                                &added, &error),
        QUARRY_EXISTS);
    assert_null(added);
}

static void there_are_so_many_and_a_place_is_used_again(void **state)
{
    struct quarry_cache_tenant *added = NULL;
    struct quarry_error error = {0};

    (void)state;
    cache_begin(&(struct quarry_cache_options){
        .size_bytes = Q_MIB(16), .has_no_thread = true, .tenants_max = 3});
    struct quarry_cache_tenant *b = add("b");
    (void)add("c");
    struct quarry_cache_tenant_options options = {.name = "d"};
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &added, &error), QUARRY_TOO_MANY);
    quarry_cache_remove_tenant(b);
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &added, &error), QUARRY_OK);
    cache_end();
}

static void removing_one_gives_back_all_it_had(void **state)
{
    struct quarry_cache_stats before, after;
    char name[32];

    (void)state;
    quarry_cache_read_stats(cache, &before);
    struct quarry_cache_tenant *first = tenant, *second = add("second");
    speak_for(second);
    for (uint64_t i = 0; i < 5000; i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        assert_int_equal(set_filled(name, i, i % 1000 == 0 ? 100000 : 300), QUARRY_CACHE_HIT);
    }
    quarry_cache_remove_tenant(second);
    speak_for(first);
    quarry_cache_read_stats(cache, &after);
    assert_int_equal(after.item_count, 0);
    assert_int_equal(after.index_bytes, before.index_bytes);
    assert_int_equal(after.tenant_count, 1);
    cache_check();
}

static void reset_and_settings_are_each_tenants_own(void **state)
{
    struct quarry_cache_tenant *first = tenant, *second = add("second");

    (void)state;
    (void)set("a", "x");
    speak_for(second);
    (void)set("a", "x");
    quarry_cache_reset_tenant(second);
    assert_int_equal(stats_now().set_count, 0);
    struct quarry_cache_tenant_options options = {.quota_bytes = Q_MIB(2), .share_bytes = Q_MIB(1)};
    assert_int_equal(quarry_cache_set_tenant(second, &options), QUARRY_OK);
    assert_int_equal(stats_now().quota_bytes, Q_MIB(2));
    assert_int_equal(stats_now().share_bytes, Q_MIB(1));
    speak_for(first);
    assert_int_equal(stats_now().set_count, 1);
    assert_int_equal(stats_now().quota_bytes, Q_MIB(16));
}

static void items_of_tenants_move_under_their_keys(void **state)
{
    struct quarry_cache_tenant *first = tenant, *second = add("second");
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        speak_for(i % 2 == 0 ? first : second);
        assert_int_equal(set_filled(name, i, i % 200), QUARRY_CACHE_HIT);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        speak_for(i % 2 == 0 ? first : second);
        assert_true(is_filled(name, i, i % 200));
        speak_for(i % 2 == 0 ? second : first);
        assert_false(is_there(name));
    }
    speak_for(first);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(tenants_have_keys_of_their_own),
        CASE(a_key_hashes_otherwise_for_each),
        CASE(tenants_are_found_by_name_and_walked),
        CASE(names_are_checked),
        cmocka_unit_test(there_are_so_many_and_a_place_is_used_again),
        CASE(removing_one_gives_back_all_it_had),
        CASE(reset_and_settings_are_each_tenants_own),
        CASE(items_of_tenants_move_under_their_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
