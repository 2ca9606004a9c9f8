/*
 * Many threads: nothing is lost of what they add, no change is seen in part, and whoever watches is
 * told.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <os/os.h>

#define THREADS 4u
#define KEYS    5u
#define ROUNDS  3000u

static const char *const key_names[KEYS] = {"a", "b", "c", "d", "e"};

static struct quarry_kv_slice key_at(uint32_t key)
{
    return rig_text(key_names[key]);
}

static uint64_t number_of(const struct keyspace_value *value)
{
    char text[32] = {0};
    unsigned long long number = 0;

    memcpy(text, value->bytes, size_min(value->byte_count, sizeof(text) - 1));
    assert_int_equal(sscanf(text, "%llu", &number), 1);
    return number;
}

static enum quarry_status get_number(struct keyspace_change *change, uint32_t key,
                                     uint64_t *ret_number)
{
    struct keyspace_value value;
    enum quarry_status status = keyspace_get(change, &rig_scope, key_at(key), &value, NULL);

    *ret_number = 0;
    if (status == QUARRY_OK) {
        *ret_number = number_of(&value);
        keyspace_value_release(&value);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static uint64_t read_number(uint32_t key)
{
    struct keyspace_value value;

    if (keyspace_read(rig.keyspace, &rig_scope, key_at(key), false, &value, NULL) != QUARRY_OK) {
        return 0;
    }
    uint64_t number = number_of(&value);
    keyspace_value_release(&value);
    return number;
}

/* Adds one to each of some keys. QUARRY_BUSY: to none. */
static enum quarry_status add_one(const uint32_t *keys, uint32_t count, uint32_t flags)
{
    struct quarry_kv_slice slices[KEYS];
    const struct keyspace_keys set = {rig_scope, slices, count};
    char texts[KEYS][32];
    struct keyspace_change change;

    for (uint32_t i = 0; i < count; i++) {
        slices[i] = key_at(keys[i]);
    }
    enum quarry_status status = keyspace_begin(rig.keyspace, &set, 1, flags, &change);
    if (status != QUARRY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        uint64_t number;
        status = get_number(&change, keys[i], &number);
        snprintf(texts[i], sizeof(texts[i]), "%llu", (unsigned long long)number + 1);
        if (status == QUARRY_OK) {
            status = keyspace_put(&change, &rig_scope, slices[i], rig_text(texts[i]), 0);
        }
    }
    if (status == QUARRY_OK) {
        status = keyspace_commit(&change, NULL);
    } else {
        keyspace_abort(&change);
        return status;
    }
    if (status == QUARRY_BUSY) {
        keyspace_abort(&change);
    }
    return status;
}

struct worker {
    pthread_t thread;
    uint64_t seed;
    uint64_t added[KEYS];
    uint64_t busy_count;
};
static struct worker workers[THREADS];
static _Atomic(bool) is_done;

/* As a worker of the door: it never waits, and where it is busy does it again by waiting. */
static void *add_many(void *argument)
{
    struct worker *worker = argument;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t keys[KEYS], count = 1 + (uint32_t)rig_below(&worker->seed, 3);
        uint32_t first = (uint32_t)rig_below(&worker->seed, KEYS);
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = (first + i * 2) % KEYS;
        }
        enum quarry_status status = add_one(keys, count, KEYSPACE_NEVER_WAITS);
        if (status == QUARRY_BUSY) {
            worker->busy_count++;
            status = add_one(keys, count, 0);
        }
        assert_int_equal(status, QUARRY_OK);
        for (uint32_t i = 0; i < count; i++) {
            worker->added[keys[i]]++;
        }
    }
    return NULL;
}

static void start(void *(*run)(void *))
{
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.seed = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
    }
}

static void join(void)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
}

static void test_nothing_is_lost_of_what_many_add(void **state)
{
    (void)state;
    start(add_many);
    join();
    for (uint32_t key = 0; key < KEYS; key++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < THREADS; i++) {
            sum += workers[i].added[key];
        }
        assert_int_equal(read_number(key), sum);
    }
}

/* ---- changes are seen whole ----------------------------------------------------------------- */

static void *add_to_two(void *argument)
{
    static const uint32_t keys[2] = {0, 3};

    (void)argument;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(add_one(keys, 2, 0), QUARRY_OK);
    }
    return NULL;
}

static void *look_at_two(void *argument)
{
    const struct quarry_kv_slice slices[2] = {key_at(0), key_at(3)};

    (void)argument;
    while (!atomic_load_acquire_bool(&is_done)) {
        enum quarry_status statuses[2];
        struct keyspace_value values[2];
        assert_int_equal(
            keyspace_read_many(rig.keyspace, &rig_scope, slices, 2, false, statuses, values, NULL),
            QUARRY_OK);
        assert_int_equal(statuses[0], statuses[1]);
        if (statuses[0] == QUARRY_OK) {
            assert_int_equal(number_of(&values[0]), number_of(&values[1]));
        }
        keyspace_value_release(&values[0]);
        keyspace_value_release(&values[1]);
    }
    return NULL;
}

static void *delete_all(void *argument)
{
    (void)argument;
    while (!atomic_load_acquire_bool(&is_done)) {
        struct keyspace_change change;
        assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_ALL_KEYS, &change),
                         QUARRY_OK);
        assert_int_equal(keyspace_delete_range(&change, &rig_scope, rig_text(""),
                                               (struct quarry_kv_slice){NULL, 0}),
                         QUARRY_OK);
        rig_commit(&change);
        os_sleep_ns(3000000);
    }
    return NULL;
}

static void test_a_change_is_seen_whole_or_not_at_all(void **state)
{
    pthread_t reader, deleter;

    (void)state;
    atomic_store_relaxed_bool(&is_done, false);
    assert_int_equal(pthread_create(&reader, NULL, look_at_two, NULL), 0);
    assert_int_equal(pthread_create(&deleter, NULL, delete_all, NULL), 0);
    start(add_to_two);
    join();
    atomic_store_release_bool(&is_done, true);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(pthread_join(deleter, NULL), 0);
}

/* ---- watching ------------------------------------------------------------------------------- */

/* WATCH, GET, MULTI, SET, EXEC: adds one to a key, or does it again. */
static void *add_by_watching(void *argument)
{
    struct worker *worker = argument;
    struct keyspace_watch watch = {0};
    const struct quarry_kv_slice key = key_at(0);
    const struct keyspace_keys set = {rig_scope, &key, 1};

    for (uint32_t round = 0; round < ROUNDS / 4;) {
        struct keyspace_change change;
        char text[32];
        assert_int_equal(keyspace_watch_add(rig.keyspace, &watch, &rig_scope, key, false),
                         QUARRY_OK);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)read_number(0) + 1);
        assert_int_equal(keyspace_begin(rig.keyspace, &set, 1, 0, &change), QUARRY_OK);
        if (keyspace_watch_is_clean(rig.keyspace, &watch)) {
            assert_int_equal(keyspace_put(&change, &rig_scope, key, rig_text(text), 0), QUARRY_OK);
            rig_commit(&change);
            worker->added[0]++;
            round++;
        } else {
            worker->busy_count++;
            keyspace_abort(&change);
        }
        keyspace_watch_clear(rig.keyspace, &watch);
    }
    return NULL;
}

static void test_nothing_is_lost_by_who_watches(void **state)
{
    uint64_t sum = 0;

    (void)state;
    start(add_by_watching);
    join();
    for (uint32_t i = 0; i < THREADS; i++) {
        sum += workers[i].added[0];
    }
    assert_int_equal(sum, THREADS * (ROUNDS / 4));
    assert_int_equal(read_number(0), sum);
}

/* ---- all of it at once ---------------------------------------------------------------------- */

static void visit(void *argument, struct quarry_kv_slice key, const struct keyspace_value *value)
{
    (void)argument;
    assert_int_equal(key.byte_count, 1);
    assert_true(value->byte_count >= 1);
}

static void *do_anything(void *argument)
{
    struct worker *worker = argument;
    char name[8];

    for (uint32_t round = 0; round < ROUNDS / 10; round++) {
        struct keyspace_scope scope;
        struct keyspace_counts counts;
        struct keyspace_value key;
        uint64_t cursor = 0;
        uint32_t keys[1] = {(uint32_t)rig_below(&worker->seed, KEYS)};
        bool is_exact;
        snprintf(name, sizeof(name), "t%u", (unsigned)rig_below(&worker->seed, 20));
        assert_int_equal(add_one(keys, 1, 0), QUARRY_OK);
        assert_int_equal(keyspace_scope_of(rig.keyspace, name, 0, true, &scope, NULL), QUARRY_OK);
        do {
            assert_int_equal(keyspace_scan(rig.keyspace, &rig_scope, cursor, 1, false, NULL, visit,
                                           NULL, &cursor, NULL),
                             QUARRY_OK);
        } while (cursor != 0);
        assert_int_equal(keyspace_count(rig.keyspace, &rig_scope, NULL, &counts, NULL), QUARRY_OK);
        assert_in_range(counts.keys, 1, KEYS);
        keyspace_estimate(rig.keyspace, &rig_scope, &counts, &is_exact);
        assert_int_equal(keyspace_random(rig.keyspace, &rig_scope, round, false, &key, NULL),
                         QUARRY_OK);
        keyspace_value_release(&key);
    }
    return NULL;
}

static void test_threads_that_do_anything_agree_on_tenants(void **state)
{
    bool is_taken[21] = {false};
    char name[8];

    (void)state;
    start(do_anything);
    join();
    for (uint32_t i = 0; i < 20; i++) {
        struct keyspace_scope scope;
        snprintf(name, sizeof(name), "t%u", i);
        assert_int_equal(keyspace_scope_of(rig.keyspace, name, 0, true, &scope, NULL), QUARRY_OK);
        assert_in_range(scope.tenant, 1, 20);
        assert_false(is_taken[scope.tenant]);
        is_taken[scope.tenant] = true;
    }
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    rig_close();
    rig.options.is_stepped = false; /* with threads in the background */
    rig_open();
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_lost_of_what_many_add),
        TEST(test_a_change_is_seen_whole_or_not_at_all),
        TEST(test_nothing_is_lost_by_who_watches),
        TEST(test_threads_that_do_anything_agree_on_tenants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
