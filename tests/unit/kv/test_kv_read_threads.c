/*
 * Reading while others write, flush and compact. Keys come in pairs that are always changed
 * together: whoever reads both at one moment finds the same of them.
 */
#include "unit/kv/store_rig.h"

#include <kv/view.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define PAIRS   200u
#define READERS 3u
#define ROUNDS  10000u

static struct quarry_kv *kv;
static _Atomic uint32_t is_done;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return z ^ (z >> 27);
}

/* Both of a pair: far apart, so that they lie in different blocks and files. */
static size_t make_key(char *room, bool is_second, uint32_t pair)
{
    return (size_t)snprintf(room, 32, "%c/key%05u", is_second ? 'z' : 'a', pair);
}

static void write_pair(uint64_t *random, struct quarry_kv_batch *batch, uint32_t round)
{
    char key[32], end[32], value[300];
    uint32_t pair = (uint32_t)(next_random(random) % PAIRS);
    uint64_t which = next_random(random) % 20;
    size_t count = (size_t)snprintf(value, sizeof(value), "%u %250u", round, pair);

    quarry_kv_batch_clear(batch);
    for (int second = 0; second < 2; second++) {
        size_t key_bytes = make_key(key, second == 1, pair);
        enum quarry_status status;
        if (which < 14) {
            status = quarry_kv_batch_put(batch, key, key_bytes, value, count);
        } else if (which < 19) {
            status = quarry_kv_batch_delete(batch, key, key_bytes);
        } else {
            size_t end_bytes = make_key(end, second == 1, pair + 5);
            status = quarry_kv_batch_delete_range(batch, key, key_bytes, end, end_bytes);
        }
        assert_int_equal(status, QUARRY_OK);
    }
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
}

static void *write_all(void *argument)
{
    struct quarry_kv_batch *batch = NULL;
    uint64_t random = 1;

    (void)argument;
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        write_pair(&random, batch, round);
    }
    quarry_kv_batch_destroy(batch);
    atomic_store_release_u32(&is_done, 1);
    return NULL;
}

/* ---- readers -------------------------------------------------------------------------------- */

static void read_pair_at_once(uint64_t *random)
{
    char a[32], z[32];
    uint32_t pair = (uint32_t)(next_random(random) % PAIRS);
    const struct quarry_kv_slice keys[2] = {{a, make_key(a, false, pair)},
                                            {z, make_key(z, true, pair)}};
    enum quarry_status statuses[2];
    struct quarry_kv_value values[2];
    quarry_kv_prefetch(kv, keys, 2);

    assert_int_equal(quarry_kv_multi_get(kv, NULL, keys, 2, statuses, values, NULL), QUARRY_OK);
    assert_int_equal(statuses[0], statuses[1]);
    if (statuses[0] == QUARRY_OK) {
        assert_int_equal(values[0].byte_count, values[1].byte_count);
        assert_memory_equal(values[0].bytes, values[1].bytes, values[0].byte_count);
    }
    quarry_kv_value_release(&values[0]);
    quarry_kv_value_release(&values[1]);
}

static void read_pair_of_snapshot(uint64_t *random)
{
    struct quarry_kv_read_options options = {0};
    struct quarry_kv_value first = {0};
    char key[32], second[400];
    uint32_t pair = (uint32_t)(next_random(random) % PAIRS);
    size_t byte_count = 0;

    assert_int_equal(quarry_kv_snapshot_take(kv, &options.snapshot), QUARRY_OK);
    size_t key_bytes = make_key(key, false, pair);
    enum quarry_status one = quarry_kv_get(kv, &options, key, key_bytes, &first, NULL);
    key_bytes = make_key(key, true, pair);
    enum quarry_status other =
        quarry_kv_read(kv, &options, key, key_bytes, second, sizeof(second), &byte_count, NULL);
    assert_int_equal(one, other);
    if (one == QUARRY_OK) {
        assert_int_equal(first.byte_count, byte_count);
        assert_memory_equal(first.bytes, second, byte_count);
    } else {
        assert_int_equal(one, QUARRY_NOT_FOUND);
    }
    quarry_kv_value_release(&first);
    quarry_kv_snapshot_release(kv, options.snapshot);
}

static uint64_t hash_of(struct quarry_kv_slice slice, size_t from)
{
    uint64_t hash = 7;

    for (size_t i = from; i < slice.byte_count; i++) {
        hash = hash * 31 + ((const unsigned char *)slice.bytes)[i];
    }
    return hash;
}

/* All of one half, forwards or backwards: a sum that does not depend on the order. */
static uint64_t sum_of_half(struct quarry_kv_iterator *iterator, bool is_second, bool is_forward)
{
    uint64_t sum = 0;
    bool is_found;

    if (is_forward) {
        is_found = quarry_kv_iterator_seek(iterator, is_second ? "z" : "a", 1);
    } else {
        is_found = quarry_kv_iterator_seek_for_prev(iterator, is_second ? "z~" : "a~", 2);
    }
    while (is_found) {
        struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
        if (((const char *)key.bytes)[0] != (is_second ? 'z' : 'a')) {
            break;
        }
        sum += hash_of(key, 1) * (hash_of(quarry_kv_iterator_value(iterator), 0) | 1);
        is_found =
            is_forward ? quarry_kv_iterator_next(iterator) : quarry_kv_iterator_previous(iterator);
    }
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    return sum;
}

static void walk_over_halves(uint64_t *random)
{
    const struct quarry_kv_read_options options = {.leaves_no_trace = next_random(random) % 2 == 0};
    struct quarry_kv_iterator *iterator = NULL;

    assert_int_equal(quarry_kv_iterate(kv, &options, &iterator, NULL), QUARRY_OK);
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t sum = sum_of_half(iterator, false, true);
        assert_true(sum_of_half(iterator, true, true) == sum);
        assert_true(sum_of_half(iterator, true, false) == sum);
        assert_true(sum_of_half(iterator, false, false) == sum);
        assert_int_equal(quarry_kv_iterator_refresh(iterator, NULL), QUARRY_OK);
    }
    quarry_kv_iterator_destroy(iterator);
}

static void *read_all(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    while (atomic_load_acquire_u32(&is_done) == 0) {
        for (uint32_t i = 0; i < 20; i++) {
            read_pair_at_once(&random);
            read_pair_of_snapshot(&random);
        }
        walk_over_halves(&random);
    }
    return NULL;
}

static void readers_see_pairs_whole_while_all_changes(void **state)
{
    struct quarry_kv_options options = store_options();
    pthread_t writer, readers[READERS];

    (void)state;
    options.is_stepped = false;
    options.write_buffer_bytes = Q_KIB(64);
    options.file_bytes = Q_KIB(32);
    options.open_files_max = 8;
    kv = store_open(&options);
    atomic_store_release_u32(&is_done, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_all, (void *)(i + 10)), 0);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    store_close(kv);
}

/* ---- little memory -------------------------------------------------------------------------- */

#define BUDGET_BYTES Q_MIB(24)

/* Charges what is left of the budget, so that nothing is there but the reserves. */
static uint64_t use_up(void)
{
    uint64_t used_bytes = 0;

    for (uint64_t bytes = BUDGET_BYTES; bytes != 0; bytes /= 2) {
        while (quarry_account_charge(kv->part[KV_PART_READ], bytes) == QUARRY_OK) {
            used_bytes += bytes;
        }
    }
    return used_bytes;
}

/* Both of a pair, or, where there is no memory for it, neither. */
static void *write_what_fits(void *argument)
{
    const struct quarry_kv_write_options now = {.never_waits = true};
    struct quarry_kv_batch *batch = argument;
    uint64_t random = 77;
    uint32_t written_count = 0;
    char key[32], value[100] = {0};

    while (atomic_load_acquire_u32(&is_done) == 0 && written_count < 2000) {
        uint32_t pair = (uint32_t)(next_random(&random) % PAIRS);
        memcpy(value, &random, sizeof(random));
        quarry_kv_batch_clear(batch);
        enum quarry_status status =
            quarry_kv_batch_put(batch, key, make_key(key, false, pair), value, sizeof(value));
        if (status == QUARRY_OK) {
            status =
                quarry_kv_batch_put(batch, key, make_key(key, true, pair), value, sizeof(value));
        }
        if (status == QUARRY_OK) {
            status = quarry_kv_write(kv, &now, batch, NULL);
        }
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY || status == QUARRY_BUSY);
        written_count++;
    }
    return NULL;
}

static void *read_some(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    for (uint32_t i = 0; i < 20; i++) {
        read_pair_at_once(&random);
        if (i % 20 == 0) {
            walk_over_halves(&random);
        }
    }
    return NULL;
}

/* Level 0 grows to a dozen files, and each walk is over all of them. */
static void readers_take_turns_when_nothing_is_left(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv_batch *batch = NULL;
    pthread_t writer, readers[READERS];

    (void)state;
    options.is_stepped = false;
    options.memory_bytes = BUDGET_BYTES;
    options.write_buffer_bytes = Q_KIB(64);
    options.level0_compact = 1000;
    options.level0_stop = 2000;
    kv = store_open(&options);
    uint64_t random = 5;
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    for (uint32_t round = 0; round < 1500; round++) {
        write_pair(&random, batch, round);
    }
    assert_int_equal(quarry_kv_flush(kv, NULL), QUARRY_OK);
    uint64_t used_bytes = use_up();
    atomic_store_release_u32(&is_done, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_what_fits, batch), 0);
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_some, (void *)(i + 10)), 0);
    }
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    atomic_store_release_u32(&is_done, 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    quarry_kv_batch_destroy(batch);
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    store_close(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_pairs_whole_while_all_changes, store_set_up,
                                        store_tear_down),
        cmocka_unit_test_setup_teardown(readers_take_turns_when_nothing_is_left, store_set_up,
                                        store_tear_down),
    };

    return cmocka_run_group_tests_name("kv_read_threads", tests, NULL, NULL);
}
