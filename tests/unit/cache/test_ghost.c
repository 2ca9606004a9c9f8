/*
 * Ghosts: what is remembered, and for how long.
 */
#include <stdlib.h>
#include <string.h>

#include "unit/cache/policy_rig.h"

#include "unit/base/random.h"

#define BUCKETS 64u
#define GHOSTS  (BUCKETS * CACHE_GHOSTS_PER_BUCKET)

static struct cache_ghost_table *table;

static int table_set_up(void **state)
{
    size_t bytes = cache_ghost_table_bytes(BUCKETS);

    (void)state;
    table = aligned_alloc(64, bytes);
    assert_non_null(table);
    memset(table, 0, bytes);
    table->bucket_count = BUCKETS;
    table->bytes = bytes;
    return 0;
}

static int table_tear_down(void **state)
{
    (void)state;
    free(table);
    return 0;
}

static uint64_t hash_at(uint64_t n)
{
    return random_u64(&n);
}

static void what_was_noted_is_found_once(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100; n++) {
        cache_ghost_note(table, hash_at(n));
    }
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_not_equal(cache_ghost_find(table, hash_at(n)), CACHE_GHOST_NONE);
        assert_int_not_equal(cache_ghost_take(table, hash_at(n)), CACHE_GHOST_NONE);
        assert_int_equal(cache_ghost_take(table, hash_at(n)), CACHE_GHOST_NONE);
        assert_int_equal(cache_ghost_find(table, hash_at(n)), CACHE_GHOST_NONE);
    }
}

static void a_hash_without_lowest_bits_is_remembered_too(void **state)
{
    uint64_t hash = UINT64_C(0x123456789abc0000);

    (void)state;
    assert_int_equal(cache_ghost_take(table, hash), CACHE_GHOST_NONE);
    cache_ghost_note(table, hash);
    assert_int_not_equal(cache_ghost_take(table, hash), CACHE_GHOST_NONE);
}

static void the_oldest_of_a_bucket_is_forgotten_first(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= CACHE_GHOSTS_PER_BUCKET + 1; n++) {
        cache_ghost_note(table, n); /* all in the first bucket */
    }
    assert_int_equal(cache_ghost_find(table, 1), CACHE_GHOST_NONE);
    for (uint64_t n = 2; n <= CACHE_GHOSTS_PER_BUCKET + 1; n++) {
        assert_int_not_equal(cache_ghost_find(table, n), CACHE_GHOST_NONE);
    }
}

static void the_whole_is_a_queue_with_a_blurred_end(void **state)
{
    uint64_t recent = 0, old = 0;

    (void)state;
    for (uint64_t n = 0; n < 10 * GHOSTS; n++) {
        cache_ghost_note(table, hash_at(n));
    }
    for (uint64_t n = 10 * GHOSTS - GHOSTS / 2; n < 10 * GHOSTS; n++) {
        recent += cache_ghost_find(table, hash_at(n)) != CACHE_GHOST_NONE;
    }
    for (uint64_t n = 0; n < 8 * GHOSTS; n++) {
        old += cache_ghost_find(table, hash_at(n)) != CACHE_GHOST_NONE;
    }
    assert_true(recent > GHOSTS / 2 * 99 / 100);
    assert_true(old < 8 * GHOSTS / 1000); /* but for mistakes, one in 2,100 */
}

static void strangers_are_rarely_taken_for_ghosts(void **state)
{
    uint64_t mistakes = 0;

    (void)state;
    for (uint64_t n = 0; n < 2 * GHOSTS; n++) {
        cache_ghost_note(table, hash_at(n));
    }
    for (uint64_t n = 1000000; n < 1200000; n++) {
        mistakes += cache_ghost_find(table, hash_at(n)) != CACHE_GHOST_NONE;
    }
    assert_true(mistakes > 20 && mistakes < 200); /* 94 are expected */
}

/* ---- of a tenant ---------------------------------------------------------------------------- */

static struct cache_ghosts ghosts;

static void note(uint64_t first, uint64_t last)
{
    quarry_cache_enter(cache);
    for (uint64_t n = first; n < last; n++) {
        cache_ghosts_note(&ghosts, hash_at(n));
    }
    quarry_cache_leave(cache);
}

static uint64_t found(uint64_t first, uint64_t last)
{
    uint64_t count = 0;

    quarry_cache_enter(cache);
    for (uint64_t n = first; n < last; n++) {
        count += cache_ghosts_have(&ghosts, hash_at(n));
    }
    quarry_cache_leave(cache);
    return count;
}

static void see(uint64_t item_count)
{
    for (uint32_t i = 0; i < 3 * ghosts.part_count; i++) {
        cache_ghosts_turn(&ghosts, item_count, item_count * 100);
    }
}

static void a_tenant_that_grows_keeps_its_ghosts_and_has_more(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(64)});
    assert_int_equal(cache_ghosts_init(&ghosts, cache, Q_MIB(256)), QUARRY_OK);
    assert_int_equal(ghosts.part_count, 4);
    note(0, 100);
    assert_int_equal(found(0, 100), 0); /* there is no table yet */
    see(10000);
    uint64_t capacity = cache_ghosts_capacity(&ghosts);
    assert_true(capacity >= 10000 / 2 && capacity < 10000);
    note(0, 2000);
    assert_true(found(0, 2000) > 1990);
    see(40000);
    assert_true(found(0, 2000) > 1990); /* in the older table */
    note(2000, 40000);
    see(40000);
    assert_true(found(0, 2000) < 20); /* which has gone by now */
    assert_true(cache_ghosts_capacity(&ghosts) < 40000);
    see(1000);
    note(0, 30000);
    see(1000);
    see(1000);
    assert_true(cache_ghosts_capacity(&ghosts) < 2000);
    cache_ghosts_fini(&ghosts);
    policy_end();
}

static void large_items_have_more_ghosts(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(64)});
    assert_int_equal(cache_ghosts_init(&ghosts, cache, Q_MIB(64)), QUARRY_OK);
    cache_ghosts_turn(&ghosts, 10000, 10000 * 4096);
    uint64_t capacity = cache_ghosts_capacity(&ghosts);
    assert_true(capacity > 9500 && capacity < 14000); /* one each, and a quarter to grow into */
    cache_ghosts_fini(&ghosts);
    policy_end();
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, table_set_up, table_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(what_was_noted_is_found_once),
        WITH_TABLE(a_hash_without_lowest_bits_is_remembered_too),
        WITH_TABLE(the_oldest_of_a_bucket_is_forgotten_first),
        WITH_TABLE(the_whole_is_a_queue_with_a_blurred_end),
        WITH_TABLE(strangers_are_rarely_taken_for_ghosts),
        cmocka_unit_test(a_tenant_that_grows_keeps_its_ghosts_and_has_more),
        cmocka_unit_test(large_items_have_more_ghosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
