/*
 * A query's memory: what it takes is charged, stays inside its grant, and all of it goes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <promql/memory.h>
#include <quarry/memory.h>

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account_options, &account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "query", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    return 0;
}

static uint64_t charged(void)
{
    struct quarry_account_state account_state;

    quarry_account_read(account, &account_state);
    return account_state.charged_bytes;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(memory);
    return 0;
}

static void what_is_taken_keeps_its_bytes_and_is_charged(void **state)
{
    struct promql_memory query;
    char *taken[300];

    (void)state;
    promql_memory_init(&query, account, pool, Q_MIB(16));
    for (size_t i = 0; i < 300; i++) {
        taken[i] = promql_memory_take(&query, i * 37);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % 16, 0);
        memset(taken[i], (int)(i % 251), i * 37);
    }
    for (size_t i = 0; i < 300; i++) {
        for (size_t j = 0; j < i * 37; j++) {
            assert_int_equal((unsigned char)taken[i][j], i % 251);
        }
    }
    assert_int_equal(charged(), query.charged_bytes);
    assert_true(query.charged_bytes >= 300ull * 299 / 2 * 37);
    assert_string_equal(promql_memory_copy(&query, "up{job", 2), "up");
    promql_memory_fini(&query);
}

static void it_stays_inside_its_grant(void **state)
{
    struct promql_memory query;
    uint64_t taken_bytes = 0;

    (void)state;
    promql_memory_init(&query, account, pool, Q_MIB(1));
    while (promql_memory_take(&query, 1000) != NULL) {
        taken_bytes += 1000;
        assert_true(charged() <= Q_MIB(1));
    }
    assert_true(taken_bytes > Q_MIB(1) / 10 * 9);
    assert_true(query.is_refused);
    assert_null(promql_memory_take(&query, 1)); /* it stays so */
    promql_memory_fini(&query);
    promql_memory_init(&query, account, pool, Q_MIB(1));
    assert_null(promql_memory_take(&query, Q_MIB(2)));
    promql_memory_fini(&query);
    promql_memory_init(&query, account, pool, UINT64_MAX);
    assert_null(promql_memory_take_zero(&query, SIZE_MAX / 2, 3));
    promql_memory_fini(&query);
    promql_memory_init(&query, account, pool, UINT64_MAX);
    assert_null(promql_memory_take(&query, SIZE_MAX));
    promql_memory_fini(&query);
    promql_memory_init(&query, account, pool, UINT64_MAX);
    assert_null(promql_memory_take(&query, Q_MIB(128))); /* more than there is */
    promql_memory_fini(&query);
}

static void a_mark_is_gone_back_to(void **state)
{
    struct promql_memory query;

    (void)state;
    promql_memory_init(&query, account, pool, Q_MIB(16));
    struct promql_mark empty = promql_memory_mark(&query);
    char *kept = promql_memory_copy(&query, "kept", 4);
    struct promql_mark mark = promql_memory_mark(&query);
    uint64_t charged_bytes = charged();
    for (int round = 0; round < 100; round++) {
        assert_non_null(promql_memory_take_zero(&query, 1000, 200));
        promql_memory_release(&query, mark);
        assert_int_equal(charged(), charged_bytes);
    }
    assert_string_equal(kept, "kept");
    promql_memory_release(&query, empty);
    assert_int_equal(charged(), 0);
    promql_memory_fini(&query);
}

static void one_within_another_shares_its_grant(void **state)
{
    struct promql_memory outer, inner;

    (void)state;
    promql_memory_init(&outer, account, pool, Q_MIB(1));
    assert_non_null(promql_memory_take(&outer, Q_KIB(600)));
    promql_memory_init_within(&inner, &outer);
    assert_null(promql_memory_take(&inner, Q_KIB(600)));
    promql_memory_fini(&inner);
    promql_memory_init_within(&inner, &outer);
    assert_non_null(promql_memory_take(&inner, Q_KIB(300)));
    assert_int_equal(charged(), outer.charged_bytes);
    assert_null(promql_memory_take(&outer, Q_KIB(300)));
    const uint64_t peak_bytes = outer.peak_bytes;
    assert_true(peak_bytes >= Q_KIB(900));
    promql_memory_fini(&inner);
    assert_int_equal(charged(), outer.charged_bytes);
    assert_true(outer.charged_bytes < Q_KIB(700) && outer.peak_bytes == peak_bytes);
    promql_memory_fini(&outer);
    assert_int_equal(charged(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_taken_keeps_its_bytes_and_is_charged, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(it_stays_inside_its_grant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_is_gone_back_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_within_another_shares_its_grant, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
