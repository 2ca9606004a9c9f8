/* Tenants of the configuration, and their limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <os/os.h>
#include <serve/tenants.h>

#include "unit/serve/config_rig.h"

static struct quarry_memory *memory;
static struct quarry_cache *cache;
static struct serve_tenants *tenants;

static int begin(void **state)
{
    const struct quarry_memory_options memory_options = {.limit_bytes = Q_MIB(64)};
    const struct quarry_cache_options cache_options = {.size_bytes = Q_MIB(16), .tenants_max = 8};

    return config_rig_begin(state) != 0 ||
           quarry_memory_create(&memory_options, &memory, &error) != QUARRY_OK ||
           quarry_cache_create(memory, &cache_options, &cache, &error) != QUARRY_OK;
}

static int end(void **state)
{
    serve_tenants_destroy(tenants);
    tenants = NULL;
    quarry_cache_close(cache);
    quarry_memory_destroy(memory);
    return config_rig_end(state);
}

static void make(void)
{
    if (serve_tenants_create(cache, config, &tenants, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static struct quarry_cache_tenant *tenant(const char *name)
{
    struct quarry_cache_tenant *found = serve_tenants_find(tenants, name);

    assert_non_null(found);
    return found;
}

static uint64_t quota_of(const char *name)
{
    struct quarry_cache_tenant_stats stats;

    quarry_cache_read_tenant(tenant(name), &stats);
    return stats.quota_bytes;
}

static void sections_make_tenants_with_quotas(void **state)
{
    (void)state;
    put("tenant.acme.quota", "2m");
    put("tenant.globex.share", "1m");
    make();
    assert_int_equal(quota_of("acme"), Q_MIB(2));
    assert_ptr_not_equal(tenant("acme"), tenant("globex"));
    assert_ptr_equal(tenant(""), quarry_cache_default_tenant(cache));
    assert_ptr_equal(tenant("default"), tenant(""));
    assert_null(serve_tenants_find(tenants, "nobody"));
}

static void a_tenant_that_only_the_file_knew_is_nobodys(void **state)
{
    const struct quarry_cache_tenant_options options = {.name = "old"};
    struct quarry_cache_tenant *old = NULL;

    (void)state;
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &old, &error), QUARRY_OK);
    make();
    assert_null(serve_tenants_find(tenants, "old"));
    put("tenant.old.quota", "1m");
    assert_int_equal(serve_tenants_add(tenants, config, &error), QUARRY_OK);
    assert_ptr_equal(tenant("old"), old);
}

static void too_many_tenants_are_an_error(void **state)
{
    char key[32];

    (void)state;
    for (uint32_t i = 0; i < 8; i++) { /* and the default one */
        snprintf(key, sizeof key, "tenant.t%u.quota", i);
        put(key, "1m");
    }
    assert_int_equal(serve_tenants_create(cache, config, &tenants, &error), QUARRY_TOO_MANY);
    assert_null(tenants);
}

static void connections_are_counted_and_bounded(void **state)
{
    (void)state;
    put("tenant.acme.connections", "2");
    make();
    struct quarry_cache_tenant *acme = tenant("acme");
    assert_true(serve_tenants_enter(tenants, acme));
    assert_true(serve_tenants_enter(tenants, acme));
    assert_false(serve_tenants_enter(tenants, acme));
    serve_tenants_leave(tenants, acme);
    assert_true(serve_tenants_enter(tenants, acme));
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(serve_tenants_enter(tenants, tenant("")));
        assert_true(serve_tenants_enter(tenants, NULL));
    }
}

static void a_rate_lets_a_second_of_requests_go_at_once_and_no_more(void **state)
{
    uint32_t count = 0;

    (void)state;
    put("tenant.acme.requests_per_second", "1000");
    make();
    struct quarry_cache_tenant *acme = tenant("acme");
    uint64_t begin_ns = os_monotonic_ns(os_real());
    while (serve_tenants_admit(tenants, acme, 1) && count < 100000) {
        count++;
    }
    uint64_t took_ns = os_monotonic_ns(os_real()) - begin_ns;
    assert_in_range(count, 1000, 1002 + took_ns / Q_MS_NS);
    os_sleep_ns(20 * Q_MS_NS); /* twenty more */
    assert_true(serve_tenants_admit(tenants, acme, 10));
    assert_true(serve_tenants_admit(tenants, tenant(""), 1000000));
}

static void a_reload_changes_limits_and_takes_none_away(void **state)
{
    struct serve_config *next = NULL;

    (void)state;
    put("tenant.acme.quota", "2m");
    put("tenant.acme.connections", "1");
    make();
    assert_true(serve_tenants_enter(tenants, tenant("acme")));
    assert_false(serve_tenants_enter(tenants, tenant("acme")));
    put("tenant.acme.connections", "3");
    put("tenant.acme.quota", "3m");
    put("tenant.globex.quota", "1m");
    assert_int_equal(serve_tenants_add(tenants, config, &error), QUARRY_OK);
    assert_false(serve_tenants_enter(tenants, tenant("acme")));
    serve_tenants_apply(tenants, config);
    assert_true(serve_tenants_enter(tenants, tenant("acme")));
    assert_int_equal(quota_of("acme"), Q_MIB(3));
    assert_int_equal(quota_of("globex"), Q_MIB(1));
    /* A configuration without it: it stays, without limits. */
    assert_int_equal(serve_config_create(&next, &error), QUARRY_OK);
    serve_tenants_apply(tenants, next);
    serve_config_destroy(next);
    assert_int_equal(quota_of("acme"), Q_MIB(16)); /* the size of the cache: none of its own */
    for (uint32_t i = 0; i < 10; i++) {
        assert_true(serve_tenants_enter(tenants, tenant("acme")));
    }
}

static void the_default_tenant_may_have_limits_too(void **state)
{
    (void)state;
    put("tenant.default.connections", "1");
    put("tenant.default.quota", "4m");
    make();
    assert_true(serve_tenants_enter(tenants, tenant("")));
    assert_false(serve_tenants_enter(tenants, tenant("")));
    assert_int_equal(quota_of("default"), Q_MIB(4));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sections_make_tenants_with_quotas),
        TEST(a_tenant_that_only_the_file_knew_is_nobodys),
        TEST(too_many_tenants_are_an_error),
        TEST(connections_are_counted_and_bounded),
        TEST(a_rate_lets_a_second_of_requests_go_at_once_and_no_more),
        TEST(a_reload_changes_limits_and_takes_none_away),
        TEST(the_default_tenant_may_have_limits_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
