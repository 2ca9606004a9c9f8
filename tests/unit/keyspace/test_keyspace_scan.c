/*
 * Scans by cursor, counts, and keys by chance.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

#define KEYS 400u

static uint32_t seen[KEYS];
static uint32_t visited_count;

static void visit(void *argument, struct quarry_kv_slice key, const struct keyspace_value *value)
{
    unsigned number = 0;
    char text[16] = {0};
    int end = 0;

    (void)argument;
    (void)value;
    memcpy(text, key.bytes, size_min(key.byte_count, sizeof(text) - 1));
    visited_count++;
    /* What has a tail comes and goes. */
    if (sscanf(text, "stays%u%n", &number, &end) == 1 && text[end] == '\0' && number < KEYS) {
        seen[number]++;
    }
}

static enum quarry_status scan(uint64_t from, uint64_t count, uint64_t *ret_cursor)
{
    visited_count = 0;
    return keyspace_scan(rig.keyspace, &rig_scope, from, count, false, NULL, visit, NULL,
                         ret_cursor, NULL);
}

static void put_number(const char *prefix, uint32_t number, uint64_t expires_ms)
{
    char key[32];

    snprintf(key, sizeof(key), "%s%03u", prefix, number);
    rig_put(key, "value", expires_ms);
}

static void test_keys_that_stay_are_seen_once_whatever_comes_and_goes(void **state)
{
    uint64_t cursor = 0, seed = 5;
    char key[32];

    (void)state;
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < KEYS; i++) {
        put_number("stays", i, 0);
    }
    do {
        assert_int_equal(scan(cursor, 7, &cursor), QUARRY_OK);
        assert_true(visited_count <= 7);
        for (uint32_t i = 0; i < 10; i++) {
            snprintf(key, sizeof(key), "stays%03u.%u", (unsigned)rig_below(&seed, KEYS),
                     (unsigned)rig_below(&seed, 3));
            if (rig_below(&seed, 2) == 0) {
                rig_put(key, "comes", 0);
            } else {
                rig_delete(key);
            }
        }
        put_number("stays", (uint32_t)rig_below(&seed, KEYS), 0);
        if (rig_below(&seed, 10) == 0) {
            assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
        }
    } while (cursor != 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(seen[i], 1);
    }
}

static void test_a_scan_ends_at_zero_without_another_call(void **state)
{
    uint64_t cursor = 1;

    (void)state;
    assert_int_equal(scan(0, 10, &cursor), QUARRY_OK);
    assert_int_equal(cursor, 0);
    for (uint32_t i = 0; i < 10; i++) {
        put_number("stays", i, 0);
    }
    assert_int_equal(scan(0, 10, &cursor), QUARRY_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(visited_count, 10);
    assert_int_equal(scan(0, 9, &cursor), QUARRY_OK);
    assert_int_not_equal(cursor, 0);
    assert_int_equal(scan(cursor, 9, &cursor), QUARRY_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(visited_count, 1);
}

static void test_a_cursor_can_be_used_again(void **state)
{
    uint64_t cursor = 0, next = 0, other = 0;

    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        put_number("stays", i, 0);
    }
    assert_int_equal(scan(0, 10, &cursor), QUARRY_OK);
    for (uint32_t i = 0; i < 3; i++) {
        memset(seen, 0, sizeof(seen));
        assert_int_equal(scan(cursor, 10, &next), QUARRY_OK);
        assert_int_equal(seen[10], 1);
        assert_int_equal(seen[19], 1);
        assert_int_equal(seen[20], 0);
        assert_int_not_equal(next, cursor);
    }
    /* It is of its database. */
    const struct keyspace_scope scope = {0, 1};
    assert_int_equal(
        keyspace_scan(rig.keyspace, &scope, cursor, 10, false, NULL, visit, NULL, &other, NULL),
        QUARRY_NOT_FOUND);
    assert_int_equal(scan(cursor + 1000000, 10, &other), QUARRY_NOT_FOUND);
    rig_reopen();
    assert_int_equal(scan(cursor, 10, &other), QUARRY_NOT_FOUND);
}

static void test_the_oldest_cursors_are_forgotten(void **state)
{
    uint64_t cursors[8];
    struct keyspace_figures figures;

    (void)state;
    rig_close();
    rig.keyspace_options.cursors_max = 4;
    rig_open();
    for (uint32_t i = 0; i < 100; i++) {
        put_number("stays", i, 0);
    }
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(scan(0, 10, &cursors[i]), QUARRY_OK);
    }
    keyspace_read_figures(rig.keyspace, &figures);
    assert_int_equal(figures.cursor_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t next;
        assert_int_equal(scan(cursors[i], 1, &next), QUARRY_NOT_FOUND);
    }
    uint64_t next;
    assert_int_equal(scan(cursors[7], 1, &next), QUARRY_OK);
    assert_int_equal(scan(cursors[4], 1, &next), QUARRY_NOT_FOUND); /* the one before came */
}

static void test_cursors_of_long_keys_take_so_many_bytes(void **state)
{
    static char key[60001];
    struct keyspace_figures figures;
    uint64_t cursor;

    (void)state;
    memset(key, 'k', 60000);
    rig_put(key, "1", 0);
    rig_put("z", "1", 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(scan(0, 1, &cursor), QUARRY_OK);
    }
    keyspace_read_figures(rig.keyspace, &figures);
    assert_true(figures.cursor_count < 20);
    assert_int_equal(scan(cursor, 1, &cursor), QUARRY_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(visited_count, 1);
}

static void test_a_call_passes_so_many_expired_keys(void **state)
{
    uint64_t cursor = 0;
    uint32_t call_count = 0;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        put_number("gone", i, RIG_NOW_MS + 1);
    }
    put_number("stays", 0, 0);
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 1);
    memset(seen, 0, sizeof(seen));
    do {
        assert_int_equal(scan(cursor, 5, &cursor), QUARRY_OK);
        call_count++;
    } while (cursor != 0);
    assert_int_equal(seen[0], 1);
    assert_true(call_count >= 5);
}

/* ---- counts --------------------------------------------------------------------------------- */

static void test_a_count_is_remembered_until_something_is_written(void **state)
{
    struct keyspace_counts counts;
    bool is_exact = true;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        put_number("stays", i, 0);
    }
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_false(is_exact);
    assert_in_range(counts.keys, KEYS - KEYS / 10, KEYS + KEYS / 10);
    assert_int_equal(rig_count(), KEYS);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, KEYS);
    /* In another database. */
    const struct keyspace_scope other = {0, 1};
    struct quarry_kv_slice key = rig_text("a");
    const struct keyspace_keys keys = {other, &key, 1};
    struct keyspace_change change;
    assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
    assert_int_equal(keyspace_put(&change, &other, key, key, 0), QUARRY_OK);
    rig_commit(&change);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    put_number("stays", KEYS, 0);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_false(is_exact);
    assert_in_range(counts.keys, KEYS - KEYS / 10, KEYS + KEYS / 10);
    assert_int_equal(rig_count(), KEYS + 1);
}

static void test_few_keys_are_estimated_exactly(void **state)
{
    const struct keyspace_scope other = {0, 1};
    struct keyspace_counts counts;
    bool is_exact = false;

    (void)state;
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, 0);
    for (uint32_t i = 0; i < 100; i++) {
        put_number("stays", i, i < 30 ? RIG_NOW_MS + 100 : 0);
    }
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, 100);
    assert_int_equal(counts.expiring_keys, 30);
    assert_int_equal(counts.ttl_ms_sum, 3000);
    keyspace_estimate(rig.keyspace, &other, &counts, &is_exact);
    assert_true(is_exact);
    assert_int_equal(counts.keys, 0);
}

static void test_an_estimate_tells_databases_apart_by_their_bytes(void **state)
{
    static char value[1000];
    const struct keyspace_scope other = {0, 1};
    struct keyspace_counts counts;
    bool is_exact;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    for (uint32_t i = 0; i < 4 * KEYS; i++) {
        char text[32];
        snprintf(text, sizeof(text), "key%u", i);
        struct quarry_kv_slice key = rig_text(text);
        const struct keyspace_keys keys = {i % 4 == 0 ? other : rig_scope, &key, 1};
        struct keyspace_change change;
        assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
        assert_int_equal(keyspace_put(&change, &keys.scope, key, rig_text(value), 0), QUARRY_OK);
        rig_commit(&change);
    }
    assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
    keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
    assert_false(is_exact);
    assert_in_range(counts.keys, 2 * KEYS, 7 * KEYS / 2);
    keyspace_estimate(rig.keyspace, &other, &counts, &is_exact);
    assert_in_range(counts.keys, KEYS / 2, 2 * KEYS);
}

static void test_counting_can_be_cancelled(void **state)
{
    _Atomic(bool) is_cancelled;
    struct keyspace_counts counts;

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        put_number("stays", i, 0);
    }
    atomic_store_relaxed_bool(&is_cancelled, true);
    assert_int_equal(keyspace_count(rig.keyspace, &rig_scope, &is_cancelled, &counts, NULL),
                     QUARRY_CANCELLED);
    atomic_store_relaxed_bool(&is_cancelled, false);
    assert_int_equal(keyspace_count(rig.keyspace, &rig_scope, &is_cancelled, &counts, NULL),
                     QUARRY_OK);
    assert_int_equal(counts.keys, KEYS);
}

/* ---- chance --------------------------------------------------------------------------------- */

static const char *const shapes[] = {
    "",          "a",          "a\x01",     "ab",          "user:00000001", "user:00000002",
    "user:0000", "user:00000", "user:0001", "user:900000", "zebra",         "zebra stripes, many",
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void test_each_key_has_a_chance(void **state)
{
    uint32_t counts[SHAPES] = {0};
    uint64_t seed = 11;

    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        rig_put(shapes[i], "1", 0);
    }
    for (uint32_t round = 0; round < 5000; round++) {
        struct keyspace_value key;
        assert_int_equal(keyspace_random(rig.keyspace, &rig_scope,
                                         rig_random(&seed) << 32 ^ rig_random(&seed), false, &key,
                                         NULL),
                         QUARRY_OK);
        for (size_t i = 0; i < SHAPES; i++) {
            counts[i] += key.byte_count == strlen(shapes[i]) &&
                         memcmp(key.bytes, shapes[i], key.byte_count) == 0;
        }
        keyspace_value_release(&key);
    }
    uint32_t sum = 0, most = 0;
    for (size_t i = 0; i < SHAPES; i++) {
        sum += counts[i];
        most = counts[i] > most ? counts[i] : most;
    }
    assert_int_equal(sum, 5000);
    assert_true(most < 4500);
    /* Numbers come out about evenly: 200 times each, within a factor of five. */
    rig_close();
    assert_int_equal(quarry_kv_destroy(rig.vfs, "/db", NULL), QUARRY_OK);
    rig_open();
    uint32_t even[100] = {0};
    for (uint32_t i = 0; i < 100; i++) {
        put_number("k", i, 0);
    }
    for (uint32_t round = 0; round < 20000; round++) {
        struct keyspace_value key;
        unsigned number = 0;
        assert_int_equal(keyspace_random(rig.keyspace, &rig_scope,
                                         rig_random(&seed) << 32 ^ rig_random(&seed), false, &key,
                                         NULL),
                         QUARRY_OK);
        assert_int_equal(key.byte_count, 4);
        for (uint32_t i = 1; i < 4; i++) {
            number = number * 10 + (unsigned)(((const char *)key.bytes)[i] - '0');
        }
        even[number]++;
        keyspace_value_release(&key);
    }
    for (uint32_t i = 0; i < 100; i++) {
        assert_in_range(even[i], 40, 1000);
    }
}

static void test_a_key_by_chance_is_one_that_lives(void **state)
{
    struct keyspace_value key;

    (void)state;
    assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, 1, false, &key, NULL),
                     QUARRY_NOT_FOUND);
    for (uint32_t i = 0; i < KEYS; i++) {
        put_number("gone", i, RIG_NOW_MS + 1);
    }
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 1);
    assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, 1, false, &key, NULL),
                     QUARRY_NOT_FOUND);
    assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, 1, true, &key, NULL), QUARRY_BUSY);
    rig_put("a", "1", 0);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, i, false, &key, NULL),
                         QUARRY_OK);
        assert_memory_equal(key.bytes, "a", key.byte_count);
        keyspace_value_release(&key);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_keys_that_stay_are_seen_once_whatever_comes_and_goes),
        TEST(test_a_scan_ends_at_zero_without_another_call),
        TEST(test_a_cursor_can_be_used_again),
        TEST(test_the_oldest_cursors_are_forgotten),
        TEST(test_cursors_of_long_keys_take_so_many_bytes),
        TEST(test_a_call_passes_so_many_expired_keys),
        TEST(test_a_count_is_remembered_until_something_is_written),
        TEST(test_few_keys_are_estimated_exactly),
        TEST(test_an_estimate_tells_databases_apart_by_their_bytes),
        TEST(test_counting_can_be_cancelled),
        TEST(test_each_key_has_a_chance),
        TEST(test_a_key_by_chance_is_one_that_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
