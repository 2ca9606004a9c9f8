/*
 * Keys that expire: never seen again, and dropped from files.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

#define MANY 500u

static void pass_ms(uint64_t duration_ms)
{
    (void)atomic_add_relaxed_u64(&rig.now_ms, duration_ms);
}

static void compact(void)
{
    struct quarry_error error = {0};

    if (quarry_kv_compact_range(keyspace_kv(rig.keyspace), (struct quarry_kv_slice){NULL, 0},
                                (struct quarry_kv_slice){NULL, 0}, &error) != QUARRY_OK) {
        fail_msg("quarry_kv_compact_range: %s", error.text);
    }
}

static void flush(void)
{
    assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
}

/* Entries that the store keeps, the keyspace's own line included. */
static uint64_t entry_count(void)
{
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(keyspace_kv(rig.keyspace), &stats);
    return stats.estimated_keys;
}

static uint64_t dropped_count(void)
{
    struct keyspace_figures figures;

    keyspace_read_figures(rig.keyspace, &figures);
    return figures.expired_dropped_count;
}

static void put_many(uint64_t expires_ms)
{
    char key[16];

    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "key%05u", i);
        rig_put(key, "value", expires_ms);
    }
}

static void test_a_key_is_gone_at_the_millisecond_at_which_it_expires(void **state)
{
    struct keyspace_figures figures;

    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    assert_int_equal(rig_expiry("a"), RIG_NOW_MS + 100);
    pass_ms(99);
    rig_expect("a", "1");
    pass_ms(1);
    rig_expect("a", NULL);
    keyspace_read_figures(rig.keyspace, &figures);
    assert_int_equal(figures.expired_seen_count, 1);
}

static void test_an_expiry_in_the_past_deletes(void **state)
{
    (void)state;
    rig_put("a", "1", 0);
    rig_put("a", "2", RIG_NOW_MS);
    rig_expect("a", NULL);
    rig_put("a", "3", 1);
    rig_expect("a", NULL);
    pass_ms(0);
    assert_int_equal(rig_count(), 0);
}

static void test_a_change_has_one_time(void **state)
{
    struct keyspace_change change;

    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    rig_begin(&change, "a");
    assert_int_equal(change.now_ms, RIG_NOW_MS);
    pass_ms(200);
    rig_expect_get(&change, "a", "1");
    keyspace_abort(&change);
    rig_expect("a", NULL);
}

static void test_what_has_expired_is_not_seen_after_opening_anew(void **state)
{
    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    rig_put("b", "1", RIG_NOW_MS + 1000);
    rig_put("c", "1", 0);
    rig_close();
    pass_ms(100);
    rig_open();
    rig_expect("a", NULL);
    rig_expect("b", "1");
    assert_int_equal(rig_expiry("b"), RIG_NOW_MS + 1000);
    assert_int_equal(rig_count(), 2);
}

static void test_a_compaction_drops_what_has_expired(void **state)
{
    (void)state;
    put_many(RIG_NOW_MS + 100);
    rig_put("stays", "1", 0);
    compact();
    assert_int_equal(entry_count(), MANY + 2); /* with the format line */
    assert_int_equal(dropped_count(), 0);
    pass_ms(100);
    compact(); /* of files that are in the last level already */
    assert_int_equal(entry_count(), 2);
    assert_int_equal(dropped_count(), MANY);
    rig_expect("key00007", NULL);
    rig_expect("stays", "1");
    rig_reopen();
    assert_int_equal(rig_count(), 1);
}

static void test_a_flush_drops_what_has_expired(void **state)
{
    (void)state;
    put_many(RIG_NOW_MS + 100);
    pass_ms(100);
    flush();
    assert_int_equal(dropped_count(), MANY);
    rig_expect("key00007", NULL);
}

static void test_what_lies_below_is_not_seen_again(void **state)
{
    (void)state;
    put_many(0);
    compact();
    put_many(RIG_NOW_MS + 100);
    pass_ms(100);
    flush();
    assert_int_equal(dropped_count(), MANY);
    rig_expect("key00007", NULL);
    rig_reopen();
    rig_expect("key00007", NULL);
    assert_int_equal(rig_count(), 0);
    compact();
    assert_int_equal(entry_count(), 1);
}

static void test_a_snapshot_keeps_the_entry_and_the_clock_hides_it(void **state)
{
    const struct quarry_kv_snapshot *snapshot;
    struct keyspace_walk_options options = {0};
    struct keyspace_walk *walk;
    struct quarry_kv_slice key;
    struct keyspace_value value;

    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    assert_int_equal(quarry_kv_snapshot_take(keyspace_kv(rig.keyspace), &snapshot), QUARRY_OK);
    rig_put("b", "1", 0);
    options.snapshot = snapshot;
    assert_int_equal(keyspace_walk_begin(rig.keyspace, &rig_scope, &options, &walk, NULL),
                     QUARRY_OK);
    pass_ms(100); /* behind the walk's time */
    assert_int_equal(keyspace_walk_next(walk, &key, &value, NULL), QUARRY_OK);
    assert_memory_equal(key.bytes, "a", 1);
    assert_int_equal(keyspace_walk_next(walk, &key, &value, NULL), QUARRY_NOT_FOUND);
    keyspace_walk_end(walk);
    compact();
    assert_int_equal(dropped_count(), 0);
    assert_int_equal(keyspace_walk_begin(rig.keyspace, &rig_scope, &options, &walk, NULL),
                     QUARRY_OK);
    assert_int_equal(keyspace_walk_next(walk, &key, &value, NULL), QUARRY_NOT_FOUND);
    keyspace_walk_end(walk);
    quarry_kv_snapshot_release(keyspace_kv(rig.keyspace), snapshot);
    compact();
    assert_int_equal(dropped_count(), 1);
}

static void test_a_key_that_was_made_to_stay_stays(void **state)
{
    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    flush();
    rig_put("a", "1", 0);
    pass_ms(1000);
    compact();
    rig_expect("a", "1");
    assert_int_equal(rig_expiry("a"), 0);
}

static void test_a_count_is_made_anew_when_a_key_has_expired(void **state)
{
    struct keyspace_counts counts;
    bool is_exact = false;

    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    rig_put("b", "1", RIG_NOW_MS + 300);
    rig_put("c", "1", 0);
    assert_int_equal(rig_count(), 3);
    pass_ms(50);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, 3);
    assert_int_equal(counts.expiring_keys, 2);
    assert_int_equal(counts.ttl_ms_sum, 50 + 250);
    pass_ms(50);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, 2);
    assert_int_equal(counts.ttl_ms_sum, 200);
    assert_int_equal(rig_count(), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_is_gone_at_the_millisecond_at_which_it_expires),
        TEST(test_an_expiry_in_the_past_deletes),
        TEST(test_a_change_has_one_time),
        TEST(test_what_has_expired_is_not_seen_after_opening_anew),
        TEST(test_a_compaction_drops_what_has_expired),
        TEST(test_a_flush_drops_what_has_expired),
        TEST(test_what_lies_below_is_not_seen_again),
        TEST(test_a_snapshot_keeps_the_entry_and_the_clock_hides_it),
        TEST(test_a_key_that_was_made_to_stay_stays),
        TEST(test_a_count_is_made_anew_when_a_key_has_expired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
