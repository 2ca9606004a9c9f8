/*
 * Who waits, who is busy, and that nothing has happened then.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <os/os.h>

static uint64_t busy_count(void)
{
    struct keyspace_figures figures;

    keyspace_read_figures(rig.keyspace, &figures);
    return figures.busy_count;
}

static void test_a_locked_key_is_busy_for_who_never_waits(void **state)
{
    struct keyspace_change holder, other;

    (void)state;
    rig_begin(&holder, "a");
    assert_int_equal(rig_try_begin(&other, "a", KEYSPACE_NEVER_WAITS), QUARRY_BUSY);
    assert_int_equal(busy_count(), 1);
    assert_int_equal(rig_try_begin(&other, "b", KEYSPACE_NEVER_WAITS), QUARRY_OK);
    keyspace_abort(&other);
    rig_expect("a", NULL); /* reading needs no lock */
    keyspace_abort(&holder);
    assert_int_equal(rig_try_begin(&other, "a", KEYSPACE_NEVER_WAITS), QUARRY_OK);
    /* One that never waits is looked at for a moment, and is busy as well. */
    assert_int_equal(rig_try_begin(&holder, "a", KEYSPACE_NEVER_WAITS), QUARRY_BUSY);
    keyspace_abort(&other);
}

static void test_what_was_taken_before_it_was_busy_is_given_back(void **state)
{
    struct quarry_kv_slice slices[40];
    char names[40][16];
    struct keyspace_change holder, other;

    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(names[i], sizeof(names[i]), "key%u", i);
        slices[i] = rig_text(names[i]);
    }
    for (size_t count = 2; count <= 40; count += 3) { /* few, and by a map */
        for (uint32_t held = 0; held < count; held++) {
            const struct keyspace_keys keys = {rig_scope, slices, count};
            rig_begin(&holder, names[held]);
            assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, KEYSPACE_NEVER_WAITS, &other),
                             QUARRY_BUSY);
            assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0,
                                            KEYSPACE_NEVER_WAITS | KEYSPACE_ALL_KEYS, &other),
                             QUARRY_BUSY);
            keyspace_abort(&holder);
            assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, KEYSPACE_NEVER_WAITS, &other),
                             QUARRY_OK);
            keyspace_abort(&other);
        }
    }
}

static void test_a_change_of_all_keys_is_alone(void **state)
{
    struct keyspace_change all, other;
    char key[16];

    (void)state;
    assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_ALL_KEYS, &all), QUARRY_OK);
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(rig_try_begin(&other, key, KEYSPACE_NEVER_WAITS), QUARRY_BUSY);
    }
    assert_int_equal(
        keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_NEVER_WAITS | KEYSPACE_ALL_KEYS, &other),
        QUARRY_BUSY);
    assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_NEVER_WAITS, &other),
                     QUARRY_OK); /* one of no keys */
    keyspace_abort(&other);
    keyspace_abort(&all);
    assert_int_equal(
        keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_NEVER_WAITS | KEYSPACE_ALL_KEYS, &other),
        QUARRY_OK);
    keyspace_abort(&other);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static _Atomic(uint32_t) stage;

static void *put_waiting(void *argument)
{
    (void)argument;
    rig_put("a", "by who waits", 0);
    atomic_store_release_u32(&stage, 1);
    return NULL;
}

static void test_who_may_wait_waits(void **state)
{
    struct keyspace_change holder;
    pthread_t thread;

    (void)state;
    atomic_store_relaxed_u32(&stage, 0);
    rig_begin(&holder, "a");
    assert_int_equal(pthread_create(&thread, NULL, put_waiting, NULL), 0);
    os_sleep_ns(20000000);
    assert_int_equal(atomic_load_acquire_u32(&stage), 0);
    assert_int_equal(keyspace_put(&holder, &rig_scope, rig_text("a"), rig_text("first"), 0),
                     QUARRY_OK);
    rig_commit(&holder);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load_acquire_u32(&stage), 1);
    rig_expect("a", "by who waits");
}

/* ---- the disk ------------------------------------------------------------------------------- */

/* Puts a key into a block of which nothing is cached: opening has read that of the format line. */
static void put_cold(const char *key, const char *value)
{
    static char filler[8000];

    memset(filler, 'f', sizeof(filler) - 1);
    rig_put(key, value, 0);
    rig_put("z1", filler, 0);
    rig_put("z2", filler, 0);
    assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
    rig_reopen();
}

static void test_what_would_be_read_from_disk_is_busy(void **state)
{
    struct keyspace_value value, values[2];
    enum quarry_status statuses[2];
    const struct quarry_kv_slice keys[] = {rig_text("a"), rig_text("b")};
    struct keyspace_walk_options options = {.never_waits = true};
    struct keyspace_walk *walk = NULL;
    struct quarry_kv_slice key;
    struct keyspace_watch watch = {0};
    struct keyspace_change change;
    uint64_t cursor;

    (void)state;
    put_cold("a", "1");
    assert_int_equal(keyspace_read(rig.keyspace, &rig_scope, keys[0], true, &value, NULL),
                     QUARRY_BUSY);
    assert_int_equal(
        keyspace_read_many(rig.keyspace, &rig_scope, keys, 2, true, statuses, values, NULL),
        QUARRY_BUSY);
    assert_int_equal(keyspace_watch_add(rig.keyspace, &watch, &rig_scope, keys[0], true),
                     QUARRY_BUSY);
    assert_int_equal(watch.key_count, 0);
    assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, 1, true, &value, NULL), QUARRY_BUSY);
    assert_int_equal(
        keyspace_scan(rig.keyspace, &rig_scope, 0, 10, true, NULL, NULL, NULL, &cursor, NULL),
        QUARRY_BUSY);
    enum quarry_status status =
        keyspace_walk_begin(rig.keyspace, &rig_scope, &options, &walk, NULL);
    if (status == QUARRY_OK) {
        status = keyspace_walk_next(walk, &key, &value, NULL);
        keyspace_walk_end(walk);
    }
    assert_int_equal(status, QUARRY_BUSY);
    assert_int_equal(rig_try_begin(&change, "a", KEYSPACE_NEVER_WAITS), QUARRY_OK);
    assert_int_equal(keyspace_get(&change, &rig_scope, keys[0], &value, NULL), QUARRY_BUSY);
    keyspace_abort(&change);
    assert_true(busy_count() >= 6);
    rig_expect("a", "1"); /* by who waits; from then on it is cached */
    assert_int_equal(keyspace_read(rig.keyspace, &rig_scope, keys[0], true, &value, NULL),
                     QUARRY_OK);
    keyspace_value_release(&value);
}

/* Fills memtables until a write that never waits is busy; the change is still there then. */
static void fill(struct keyspace_change *busy, uint32_t write_count)
{
    static char value[20000];
    static const struct quarry_kv_slice slices[] = {{"first", 5}, {"second", 6}};
    const struct keyspace_keys keys = {rig_scope, slices, 2};

    memset(value, 'v', sizeof(value) - 1);
    for (uint32_t round = 0; round < 1000; round++) {
        assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, KEYSPACE_NEVER_WAITS, busy),
                         QUARRY_OK);
        for (uint32_t i = 0; i < write_count; i++) {
            assert_int_equal(keyspace_put(busy, &rig_scope, slices[i], rig_text(value), 0),
                             QUARRY_OK);
        }
        enum quarry_status status = keyspace_commit(busy, NULL);
        if (status == QUARRY_BUSY) {
            return;
        }
        assert_int_equal(status, QUARRY_OK);
    }
    fail_msg("it was never busy");
}

static void test_a_commit_without_room_is_busy_and_can_be_done_again(void **state)
{
    struct keyspace_change change, other;

    (void)state;
    for (uint32_t write_count = 1; write_count <= 2; write_count++) {
        fill(&change, write_count);
        assert_int_equal(rig_try_begin(&other, "first", KEYSPACE_NEVER_WAITS), QUARRY_BUSY);
        assert_int_equal(keyspace_commit(&change, NULL), QUARRY_BUSY);
        while (quarry_kv_step(keyspace_kv(rig.keyspace))) {
        }
        assert_int_equal(keyspace_commit(&change, NULL), QUARRY_OK);
        assert_int_equal(rig_try_begin(&other, "first", KEYSPACE_NEVER_WAITS), QUARRY_OK);
        keyspace_abort(&other);
        fill(&change, write_count);
        keyspace_abort(&change);
        rig_put("first", "1", 0); /* who may wait does the work */
        rig_expect("first", "1");
    }
}

static void test_an_error_ends_a_change(void **state)
{
    static char value[33u << 20];
    struct keyspace_change change;
    struct quarry_error error = {0};

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    rig_begin(&change, "a");
    assert_int_equal(keyspace_put(&change, &rig_scope, rig_text("a"), rig_text(value), 0),
                     QUARRY_OK);
    assert_int_equal(keyspace_commit(&change, &error), QUARRY_TOO_LARGE);
    rig_expect("a", NULL);
    rig_put("a", "1", 0);
    rig_expect("a", "1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_locked_key_is_busy_for_who_never_waits),
        TEST(test_what_was_taken_before_it_was_busy_is_given_back),
        TEST(test_a_change_of_all_keys_is_alone),
        TEST(test_who_may_wait_waits),
        TEST(test_what_would_be_read_from_disk_is_busy),
        TEST(test_a_commit_without_room_is_busy_and_can_be_done_again),
        TEST(test_an_error_ends_a_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
