/*
 * Watching keys.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

static struct keyspace_watch watch;

static void add(const char *key)
{
    assert_int_equal(keyspace_watch_add(rig.keyspace, &watch, &rig_scope, rig_text(key), false),
                     QUARRY_OK);
}

static bool is_clean(void)
{
    return keyspace_watch_is_clean(rig.keyspace, &watch);
}

static void clear(void)
{
    struct keyspace_figures figures;

    keyspace_watch_clear(rig.keyspace, &watch);
    keyspace_read_figures(rig.keyspace, &figures);
    assert_int_equal(figures.watch_count, 0);
    assert_int_equal(watch.key_count, 0);
    assert_true(is_clean());
}

static void delete_range(const char *begin, const char *end)
{
    struct keyspace_change change;

    assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_ALL_KEYS, &change), QUARRY_OK);
    assert_int_equal(
        keyspace_delete_range(&change, &rig_scope, rig_text(begin),
                              end == NULL ? (struct quarry_kv_slice){NULL, 0} : rig_text(end)),
        QUARRY_OK);
    rig_commit(&change);
}

static void test_a_write_of_a_watched_key_makes_it_dirty(void **state)
{
    (void)state;
    rig_put("a", "1", 0);
    add("a");
    add("none");
    assert_true(is_clean());
    rig_put("b", "1", 0);
    assert_true(is_clean());
    rig_put("a", "1", 0); /* the same value is a write */
    assert_false(is_clean());
    clear();
    add("none");
    rig_put("none", "1", 0);
    assert_false(is_clean());
    clear();
    add("a");
    rig_delete("a");
    assert_false(is_clean());
    clear();
}

static void test_it_is_keys_that_are_watched_and_not_stripes(void **state)
{
    char key[16];

    (void)state;
    rig_close();
    rig.keyspace_options.stripe_count = 64;
    rig_open();
    add("watched");
    for (uint32_t i = 0; i < 500; i++) { /* some in the same stripe */
        snprintf(key, sizeof(key), "key%u", i);
        rig_put(key, "1", 0);
    }
    assert_true(is_clean());
    rig_put("watched", "1", 0);
    assert_false(is_clean());
    clear();
}

static void test_a_database_is_not_another(void **state)
{
    const struct keyspace_scope other = {0, 1};

    (void)state;
    assert_int_equal(keyspace_watch_add(rig.keyspace, &watch, &other, rig_text("a"), false),
                     QUARRY_OK);
    rig_put("a", "1", 0);
    assert_true(is_clean());
    clear();
}

static void test_a_change_that_was_aborted_is_none(void **state)
{
    struct keyspace_change change;

    (void)state;
    add("a");
    rig_begin(&change, "a");
    assert_int_equal(keyspace_put(&change, &rig_scope, rig_text("a"), rig_text("1"), 0), QUARRY_OK);
    keyspace_abort(&change);
    assert_true(is_clean());
    clear();
}

static void test_each_key_of_a_batch_counts(void **state)
{
    const struct quarry_kv_slice slices[] = {rig_text("a"), rig_text("b"), rig_text("c")};
    const struct keyspace_keys keys = {rig_scope, slices, 3};
    static const char *const watched[] = {"a", "b", "c", "d"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct keyspace_change change;
        add(watched[i]);
        assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(keyspace_put(&change, &rig_scope, slices[k], rig_text("1"), 0),
                             QUARRY_OK);
        }
        rig_commit(&change);
        assert_int_equal(is_clean(), i == 3);
        clear();
    }
}

static void test_a_watched_key_that_expires_makes_it_dirty(void **state)
{
    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    rig_put("gone", "1", RIG_NOW_MS + 1);
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 1);
    add("gone"); /* it has expired before: nothing changes */
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 99);
    add("a");
    assert_true(is_clean());
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 100);
    assert_false(is_clean());
    clear();
}

static void test_that_a_compaction_has_dropped_it_changes_nothing(void **state)
{
    (void)state;
    rig_put("a", "1", RIG_NOW_MS + 100);
    add("a");
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 100);
    assert_int_equal(quarry_kv_compact_range(keyspace_kv(rig.keyspace),
                                             (struct quarry_kv_slice){NULL, 0},
                                             (struct quarry_kv_slice){NULL, 0}, NULL),
                     QUARRY_OK);
    assert_false(is_clean());
    clear();
}

static void test_a_range_changes_the_keys_that_are_there(void **state)
{
    (void)state;
    rig_put("b", "1", 0);
    rig_put("expired", "1", RIG_NOW_MS + 1);
    add("none");
    add("b");
    delete_range("c", NULL);
    delete_range("a", "b");
    assert_true(is_clean());
    delete_range("b", "c");
    assert_false(is_clean());
    clear();
    add("expired");
    rig_put("z", "1", 0);
    add("z");
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS + 1);
    delete_range("", "z");
    delete_range("", NULL);
    assert_false(is_clean());
    clear();
}

static void test_a_key_is_watched_once_and_a_thousand_at_most(void **state)
{
    struct keyspace_scope scopes[2000];
    struct quarry_kv_slice keys[2000];
    char key[16];

    (void)state;
    add("a");
    add("a");
    assert_int_equal(watch.key_count, 1);
    assert_int_equal(keyspace_watch_keys(&watch, scopes, keys, 2000), 1);
    assert_memory_equal(keys[0].bytes, "a", 1);
    for (uint32_t i = 1; i < 1024; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        add(key);
    }
    assert_int_equal(keyspace_watch_add(rig.keyspace, &watch, &rig_scope, rig_text("more"), false),
                     QUARRY_TOO_MANY);
    assert_int_equal(keyspace_watch_keys(&watch, scopes, keys, 2000), 1024);
    assert_int_equal(keyspace_watch_keys(&watch, scopes, keys, 3), 3);
    rig_put("key1023", "1", 0);
    assert_false(is_clean());
    clear();
}

static void test_two_who_watch_a_key_are_both_told(void **state)
{
    struct keyspace_watch other = {0};

    (void)state;
    add("a");
    assert_int_equal(keyspace_watch_add(rig.keyspace, &other, &rig_scope, rig_text("a"), false),
                     QUARRY_OK);
    rig_put("a", "1", 0);
    assert_false(is_clean());
    assert_false(keyspace_watch_is_clean(rig.keyspace, &other));
    keyspace_watch_clear(rig.keyspace, &other);
    clear();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_write_of_a_watched_key_makes_it_dirty),
        TEST(test_it_is_keys_that_are_watched_and_not_stripes),
        TEST(test_a_database_is_not_another),
        TEST(test_a_change_that_was_aborted_is_none),
        TEST(test_each_key_of_a_batch_counts),
        TEST(test_a_watched_key_that_expires_makes_it_dirty),
        TEST(test_that_a_compaction_has_dropped_it_changes_nothing),
        TEST(test_a_range_changes_the_keys_that_are_there),
        TEST(test_a_key_is_watched_once_and_a_thousand_at_most),
        TEST(test_two_who_watch_a_key_are_both_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
