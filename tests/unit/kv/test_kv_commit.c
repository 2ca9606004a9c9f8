/*
 * Writing: order, atomicity, rotation, large batches, logs that fail, budgets that are used up.
 */
#include "unit/kv/store_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/background_parts.h>
#include <kv/commit.h>
#include <kv/log_set.h>
#include <kv/view.h>
#include <os/os.h>

#define THREADS 4

static struct quarry_kv_options threaded_options(void)
{
    struct quarry_kv_options options = store_options();

    options.is_stepped = false;
    return options;
}

/* ---- one thread ----------------------------------------------------------------------------- */

static void every_kind_of_write_is_seen(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv_batch *batch = NULL;

    (void)state;
    options.merge_operator = quarry_kv_merge_append(',');
    struct quarry_kv *kv = store_open(&options);
    store_put(kv, "a", "1");
    store_put(kv, "b", "2");
    store_put(kv, "c", "3");
    store_put(kv, "d", "4");
    assert_int_equal(quarry_kv_merge(kv, NULL, "a", 1, "x", 1, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_single_delete(kv, NULL, "b", 1, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "c", 1, "d", 1, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    quarry_kv_batch_put(batch, "e", 1, "5", 1);
    quarry_kv_batch_delete(batch, "d", 1);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
    for (int round = 0; round < 2; round++) {
        store_expect(kv, "a", "1,x");
        store_expect(kv, "b", NULL);
        store_expect(kv, "c", NULL);
        store_expect(kv, "d", NULL);
        store_expect(kv, "e", "5");
        store_close(kv);
        kv = store_open(&options);
    }
    store_close(kv);
}

static void what_cannot_be_written_is_refused(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};
    char bytes[200];

    (void)state;
    options.key_bytes_max = 100;
    options.value_bytes_max = 150;
    struct quarry_kv *kv = store_open(&options);
    struct quarry_kv_batch *batch = NULL;
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(quarry_kv_put(kv, NULL, bytes, 101, "v", 1, &error), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_put(kv, NULL, "k", 1, bytes, 151, &error), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_put(kv, NULL, bytes, 100, bytes, 150, &error), QUARRY_OK);
    assert_int_equal(quarry_kv_merge(kv, NULL, "k", 1, "v", 1, &error), QUARRY_UNSUPPORTED);
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "b", 1, "a", 1, &error), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "a", 1, bytes, 101, &error),
                     QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_merge(batch, "k", 1, "v", 1), QUARRY_OK);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, &error), QUARRY_UNSUPPORTED);
    quarry_kv_batch_destroy(batch);
    store_expect(kv, "k", NULL);
    store_close(kv);
}

static void long_values_are_written(void **state)
{
    struct quarry_kv *kv = store_open(NULL);

    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        store_put_number(kv, i, 0, 1000 + (size_t)i * 9000);
    }
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 40; i++) {
            assert_true(store_has_number(kv, i, 0, 1000 + (size_t)i * 9000));
        }
        store_close(kv);
        kv = store_open(NULL);
    }
    store_close(kv);
}

static void changes_are_written_from_the_callers_memory(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct quarry_kv_batch *batch = NULL;
    struct quarry_error error = {0};
    char bytes[64];

    (void)state;
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_put(batch, "one", 3, "1", 1), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_put(batch, "two", 3, "2", 1), QUARRY_OK);
    const struct quarry_kv_slice data = quarry_kv_batch_data(batch);
    memcpy(bytes, data.bytes, data.byte_count);
    const struct quarry_kv_slice copy = {bytes, data.byte_count};
    quarry_kv_batch_destroy(batch);
    assert_int_equal(quarry_kv_write_data(kv, NULL, copy, &error), QUARRY_OK);
    assert_int_equal(quarry_kv_exists(kv, NULL, "two", 3, NULL), QUARRY_OK);
    /* Nothing of what is cut short, or counts wrongly. */
    for (size_t cut = 0; cut < copy.byte_count; cut++) {
        const struct quarry_kv_slice part = {bytes, cut};
        assert_int_equal(quarry_kv_write_data(kv, NULL, part, &error), QUARRY_CORRUPT);
    }
    bytes[8] = 3;
    assert_int_equal(quarry_kv_write_data(kv, NULL, copy, &error), QUARRY_CORRUPT);
    store_close(kv);
}

static void a_full_memtable_is_rotated_and_flushed(void **state)
{
    struct quarry_kv *kv = store_open(NULL);

    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        store_put_number(kv, i % 3000, i / 3000, 200);
    }
    assert_true(store_count_files("/db", ".sst") >= 1);
    for (uint32_t i = 0; i < 3000; i++) {
        assert_true(store_has_number(kv, i, i < 1000 ? 3 : 2, 200));
    }
    store_close(kv);
}

static void a_batch_larger_than_a_memtable_is_a_layer(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct quarry_kv_batch *batch = NULL;
    char key[32], value[400];

    (void)state;
    memset(value, 'v', sizeof value);
    store_put(kv, "key000001", "before");
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key%06u", i);
        assert_int_equal(quarry_kv_batch_put(batch, key, 9, value, sizeof value), QUARRY_OK);
    }
    assert_int_equal(quarry_kv_batch_delete_range(batch, "key000100", 9, "key000200", 9),
                     QUARRY_OK);
    assert_int_equal(quarry_kv_batch_delete(batch, "key000300", 9), QUARRY_OK);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
    store_put(kv, "key000150", "after");
    for (int round = 0; round < 2; round++) {
        struct quarry_kv_value found;
        store_expect(kv, "key000100", NULL);
        store_expect(kv, "key000150", "after");
        store_expect(kv, "key000300", NULL);
        assert_int_equal(quarry_kv_get(kv, NULL, "key000001", 9, &found, NULL), QUARRY_OK);
        assert_int_equal(found.byte_count, sizeof value);
        quarry_kv_value_release(&found);
        store_close(kv);
        kv = store_open(NULL);
    }
    store_close(kv);
}

static void an_empty_batch_changes_nothing(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct quarry_kv_batch *batch = NULL;

    (void)state;
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    uint64_t before = kv_visible_sequence(kv);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_log_data(batch, "note", 4), QUARRY_OK);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    assert_int_equal(kv_visible_sequence(kv), before);
    quarry_kv_batch_destroy(batch);
    store_put(kv, "a", "1");
    store_close(kv);
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_close(kv);
}

static void used_logs_are_used_again(void **state)
{
    struct quarry_kv_options options = store_options();

    (void)state;
    options.write_buffer_bytes = Q_MIB(4); /* large enough for a log that is mapped */
    struct quarry_kv *kv = store_open(&options);
    for (uint32_t i = 0; i < 30000; i++) {
        store_put_number(kv, i, 0, 500);
        if (i % 1000 == 0) {
            /* The one that is written to, one that is ready, one that waits to be used again, and
             * those of what is not flushed. */
            assert_true(store_count_files("/db", ".log") <= 6);
        }
    }
    store_close(kv);
    /* One more where a memtable waited to be flushed. */
    assert_true(store_count_files("/db", ".log") <= 2);
    kv = store_open(&options);
    for (uint32_t i = 0; i < 30000; i += 7) {
        assert_true(store_has_number(kv, i, 0, 500));
    }
    store_close(kv);
}

/* ---- failures ------------------------------------------------------------------------------- */

struct noted {
    _Atomic uint32_t count[QUARRY_KV_EVENT_SPACE_BACK + 1];
};

static void note(void *argument, const struct quarry_kv_event_data *data)
{
    struct noted *noted = argument;

    atomic_fetch_add(&noted->count[data->event], 1);
}

/* A store over a file system that fails, with its listener. */
static struct quarry_kv *open_faulty(struct quarry_vfs **ret_faulty, struct noted *noted,
                                     bool is_stepped)
{
    struct quarry_kv_options options = store_options();

    assert_int_equal(quarry_vfs_fault_create(rig_disk, 1, ret_faulty), QUARRY_OK);
    memset(noted, 0, sizeof *noted);
    options.vfs = *ret_faulty;
    options.listener = (struct quarry_kv_listener){.notice = note, .argument = noted};
    options.is_stepped = is_stepped;
    return store_open(&options);
}

static void a_log_that_cannot_be_written_is_left(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .path_contains = ".log",
                                           .count = 1,
                                           .status = QUARRY_IO,
                                           .os_errno = 5};
    struct quarry_vfs *faulty = NULL;
    struct noted noted;
    struct quarry_kv *kv = open_faulty(&faulty, &noted, true);

    (void)state;
    store_put(kv, "a", "1");
    quarry_vfs_fault_set(faulty, 0, &fault);
    assert_int_equal(quarry_kv_put(kv, NULL, "b", 1, "2", 1, NULL), QUARRY_IO);
    store_expect(kv, "b", NULL);
    store_put(kv, "c", "3");
    assert_int_equal(noted.count[QUARRY_KV_EVENT_LOG_RETIRED], 1);
    /* What the log had is in a file before the next write is acknowledged. */
    assert_true(store_count_files("/db", ".sst") >= 1);
    /* The end of the process now: what was acknowledged is there, and nothing else. */
    struct quarry_vfs *after = NULL;
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, 1, &after), QUARRY_OK);
    store_close(kv);
    quarry_vfs_fault_destroy(faulty);
    quarry_vfs_memory_destroy(rig_disk);
    rig_disk = after;
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_expect(kv, "b", NULL);
    store_expect(kv, "c", "3");
    store_close(kv);
}

static void a_log_that_fails_with_its_first_record_is_removed(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .path_contains = ".log",
                                           .count = 1,
                                           .status = QUARRY_IO,
                                           .is_partial = true};
    struct quarry_vfs *faulty = NULL;
    struct noted noted;
    struct quarry_kv *kv = open_faulty(&faulty, &noted, true);

    (void)state;
    quarry_vfs_fault_set(faulty, 0, &fault);
    assert_int_equal(quarry_kv_put(kv, NULL, "a", 1, "1", 1, NULL), QUARRY_IO);
    store_put(kv, "b", "2");
    assert_int_equal(noted.count[QUARRY_KV_EVENT_LOG_RETIRED], 1);
    /* No table was needed for it; what was refused cannot come back. */
    assert_int_equal(store_count_files("/db", ".sst"), 0);
    assert_int_equal(store_count_files("/db", ".log"), 1);
    store_close(kv);
    quarry_vfs_fault_destroy(faulty);
    kv = store_open(NULL);
    store_expect(kv, "a", NULL);
    store_expect(kv, "b", "2");
    store_close(kv);
}

static void a_log_that_cannot_be_synced_is_left(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_SYNC,
                                           .path_contains = ".log",
                                           .count = 1,
                                           .status = QUARRY_IO,
                                           .os_errno = 5};
    const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};
    struct quarry_vfs *faulty = NULL;
    struct noted noted;
    struct quarry_kv *kv = open_faulty(&faulty, &noted, true);

    (void)state;
    store_put(kv, "a", "1");
    quarry_vfs_fault_set(faulty, 0, &fault);
    assert_int_equal(quarry_kv_put(kv, &power, "b", 1, "2", 1, NULL), QUARRY_IO);
    assert_int_equal(quarry_kv_put(kv, &power, "c", 1, "3", 1, NULL), QUARRY_OK);
    assert_int_equal(noted.count[QUARRY_KV_EVENT_LOG_RETIRED], 1);
    /* All that was acknowledged, with the power gone. */
    struct quarry_vfs *after = NULL;
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 0, 1, &after), QUARRY_OK);
    store_close(kv);
    quarry_vfs_fault_destroy(faulty);
    quarry_vfs_memory_destroy(rig_disk);
    rig_disk = after;
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_expect(kv, "c", "3");
    store_close(kv);
}

static void without_any_log_writes_are_refused_until_there_is_one(void **state)
{
    const struct quarry_vfs_fault fault = {
        .path_contains = ".log", .status = QUARRY_NO_SPACE, .os_errno = 28};
    struct quarry_vfs *faulty = NULL;
    struct noted noted;
    struct quarry_kv *kv = open_faulty(&faulty, &noted, true);
    struct quarry_error error = {0};

    (void)state;
    store_put(kv, "a", "1");
    quarry_vfs_fault_set(faulty, 0, &fault);
    for (int i = 0; i < 5; i++) {
        assert_int_not_equal(quarry_kv_put(kv, NULL, "b", 1, "2", 1, &error), QUARRY_OK);
        store_expect(kv, "a", "1");
        store_expect(kv, "b", NULL);
    }
    quarry_vfs_fault_set(faulty, 0, NULL);
    store_put(kv, "c", "3");
    store_close(kv);
    quarry_vfs_fault_destroy(faulty);
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_expect(kv, "b", NULL);
    store_expect(kv, "c", "3");
    store_close(kv);
}

static void a_budget_that_is_used_up_flushes_and_then_refuses(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_account_state own;
    uint32_t written_count = 0;
    enum quarry_status status = QUARRY_OK;

    (void)state;
    options.memory_bytes = Q_MIB(64);
    options.write_buffer_bytes = Q_MIB(4);
    struct quarry_kv *kv = store_open(&options);
    /* What is left is less than a memtable. */
    quarry_account_read(kv->account, &own);
    const uint64_t most_bytes = Q_MIB(64) - kv->reserve_bytes;
    uint64_t taken_bytes = most_bytes - own.charged_bytes - Q_MIB(2);
    assert_int_equal(quarry_account_charge(kv->part[KV_PART_READ], taken_bytes), QUARRY_OK);
    for (uint32_t i = 0; i < 20000; i++) {
        store_put_number(kv, i, 0, 400);
        written_count++;
    }
    assert_int_equal(written_count, 20000);
    quarry_account_read(kv->account, &own);
    if (own.charged_bytes < most_bytes) {
        uint64_t rest_bytes = most_bytes - own.charged_bytes;
        assert_int_equal(quarry_account_charge(kv->part[KV_PART_READ], rest_bytes), QUARRY_OK);
        taken_bytes += rest_bytes;
    }
    char value[4096] = {0};
    for (uint32_t i = 0; i < 20000 && status == QUARRY_OK; i++) {
        char key[32];
        status = quarry_kv_put(kv, NULL, key, (size_t)snprintf(key, sizeof key, "more%u", i), value,
                               sizeof value, NULL);
    }
    assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    quarry_account_uncharge(kv->part[KV_PART_READ], taken_bytes);
    store_put(kv, "at last", "1");
    for (uint32_t i = 0; i < 20000; i += 11) {
        assert_true(store_has_number(kv, i, 0, 400));
    }
    store_close(kv);
}

/* Charges what is left of a budget beside the reserves. Returns: how much that was. */
static uint64_t use_up(struct quarry_kv *kv, uint64_t budget_bytes)
{
    struct quarry_account_state own;
    uint64_t used_bytes = 0;

    quarry_reserve_begin(kv->memory); /* nor does the background have what is kept for it */
    for (uint64_t bytes = budget_bytes; bytes != 0; bytes /= 2) {
        while (quarry_account_charge(kv->part[KV_PART_READ], bytes) == QUARRY_OK) {
            used_bytes += bytes;
        }
    }
    quarry_reserve_end(kv->memory);
    quarry_account_read(kv->account, &own);
    assert_true(own.charged_bytes >= budget_bytes - Q_KIB(64));
    return used_bytes;
}

/* A memtable waits to be flushed, and for another there is no memory until then. */
static void a_rotation_waits_for_the_memory_that_a_flush_gives_back(void **state)
{
    struct quarry_kv_options options = store_options();
    uint64_t used_bytes;
    uint32_t number = 0;

    (void)state;
    options.memory_bytes = Q_MIB(32);
    options.write_buffer_bytes = Q_MIB(2);
    options.write_buffer_count = 4;
    struct quarry_kv *kv = store_open(&options);
    while (kv->immutable_count == 0) {
        store_put_number(kv, number++, 0, 400);
    }
    (void)kv_commit_release_reserve(kv, KV_RESERVE_ROTATE);
    used_bytes = use_up(kv, Q_MIB(32));
    assert_int_equal(quarry_kv_put(kv, NULL, "full", 4, "1", 1, NULL), QUARRY_OK);
    assert_int_equal(kv_rotate(kv, NULL, NULL), QUARRY_OK);
    assert_true(kv->background->flushed_count > 0);
    store_put(kv, "after", "1");
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    for (uint32_t i = 0; i < number; i += 7) {
        assert_true(store_has_number(kv, i, 0, 400));
    }
    store_close(kv);
}

static struct quarry_kv *open_small(uint64_t memory_bytes)
{
    struct quarry_kv_options options = store_options();

    options.memory_bytes = memory_bytes;
    options.write_buffer_bytes = Q_MIB(4);
    options.write_buffer_count = 4;
    return store_open(&options);
}

/* Until the memtable has about so many bytes. */
static uint32_t fill_memtable(struct quarry_kv *kv, size_t byte_count)
{
    uint32_t number = 0;

    for (size_t bytes = 0; bytes < byte_count; bytes += 400) {
        store_put_number(kv, number++, 0, 400);
    }
    assert_int_equal(kv->immutable_count, 0);
    return number;
}

static void expect_numbers(struct quarry_kv *kv, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 13) {
        assert_true(store_has_number(kv, i, 0, 400));
    }
}

static enum quarry_status add_to_batch(struct quarry_kv_batch *batch, size_t byte_count)
{
    static char value[16384];
    enum quarry_status status = QUARRY_OK;
    char key[32];

    for (uint32_t i = 0; i * sizeof value < byte_count && status == QUARRY_OK; i++) {
        int length = snprintf(key, sizeof key, "batch%06u", i);
        status = quarry_kv_batch_put(batch, key, (size_t)length, value, sizeof value);
    }
    return status;
}

/* It becomes a layer of its own, for which there is no memory until the memtable is in files. */
static void a_large_batch_waits_for_the_memory_that_a_flush_gives_back(void **state)
{
    struct quarry_kv_batch *batch = NULL;
    struct quarry_error error = {0};

    (void)state;
    struct quarry_kv *kv = open_small(Q_MIB(32));
    uint32_t count = fill_memtable(kv, Q_MIB(3));
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    assert_int_equal(add_to_batch(batch, Q_MIB(2) + Q_KIB(512)), QUARRY_OK);
    uint64_t used_bytes = use_up(kv, Q_MIB(32));
    enum quarry_status status = quarry_kv_write(kv, NULL, batch, &error);
    if (status != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(kv->background->flushed_count > 0);
    quarry_kv_batch_destroy(batch);
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    expect_numbers(kv, count);
    store_close(kv);
}

static void a_batch_that_is_being_made_waits_as_well(void **state)
{
    struct quarry_kv_batch *batch = NULL;

    (void)state;
    struct quarry_kv *kv = open_small(Q_MIB(32));
    uint32_t count = fill_memtable(kv, Q_MIB(3));
    assert_int_equal(quarry_kv_batch_create(kv, true, &batch), QUARRY_OK);
    uint64_t used_bytes = use_up(kv, Q_MIB(32));
    assert_int_equal(add_to_batch(batch, Q_MIB(1)), QUARRY_OK);
    assert_true(kv->background->flushed_count > 0);
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
    expect_numbers(kv, count);
    store_close(kv);
}

static void a_long_value_waits_and_says_when_nothing_is_to_be_waited_for(void **state)
{
    static char value[16384];
    const struct quarry_kv_write_options now = {.never_waits = true};
    struct quarry_error error = {0};

    (void)state;
    struct quarry_kv *kv = open_small(Q_MIB(32));
    (void)fill_memtable(kv, Q_MIB(2));
    uint64_t used_bytes = use_up(kv, Q_MIB(32));
    assert_int_equal(quarry_kv_put(kv, NULL, "long", 4, value, sizeof value, NULL), QUARRY_OK);
    assert_true(kv->background->flushed_count > 0);
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    assert_int_equal(quarry_kv_flush(kv, NULL), QUARRY_OK);
    kv_view_collect(kv);
    (void)quarry_arena_keeper_reclaim(kv->keeper, UINT64_MAX);
    used_bytes = use_up(kv, Q_MIB(32));
    assert_int_equal(quarry_kv_put(kv, &now, "long", 4, value, sizeof value, &error), QUARRY_BUSY);
    assert_non_null(strstr(error.text, "would wait"));
    assert_int_equal(quarry_kv_put(kv, NULL, "long", 4, value, sizeof value, &error),
                     QUARRY_NO_MEMORY);
    assert_non_null(strstr(error.text, "nothing to flush"));
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    store_close(kv);
}

static void a_write_that_can_never_fit_is_too_large(void **state)
{
    struct quarry_kv_batch *batch = NULL;
    struct quarry_error error = {0};
    size_t byte_count = Q_MIB(7);
    char *value = calloc(1, byte_count);

    (void)state;
    struct quarry_kv *kv = open_small(Q_MIB(8));
    store_put(kv, "before", "1");
    assert_int_equal(quarry_kv_put(kv, NULL, "large", 5, value, byte_count, &error),
                     QUARRY_TOO_LARGE);
    char limit[64];
    (void)snprintf(limit, sizeof limit, "at most %llu in a budget of 8388608",
                   (unsigned long long)kv->write_memory_max);
    assert_non_null(strstr(error.text, limit));
    assert_in_range(kv->write_memory_max, Q_MIB(4), Q_MIB(7));
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    assert_int_equal(add_to_batch(batch, Q_MIB(7)), QUARRY_TOO_LARGE);
    assert_true(quarry_kv_batch_count(batch) > 50);
    quarry_kv_batch_destroy(batch);
    store_expect(kv, "before", "1");
    store_expect(kv, "large", NULL);
    store_put(kv, "after", "1");
    store_close(kv);
    free(value);
}

/* ---- barriers ------------------------------------------------------------------------------- */

struct barrier {
    struct quarry_kv *kv;
    uint64_t sequence;
    enum quarry_status status;
};

static enum quarry_status install(void *argument, uint64_t sequence)
{
    struct barrier *barrier = argument;

    barrier->sequence = sequence;
    assert_int_equal(kv_visible_sequence(barrier->kv), sequence - 1);
    assert_int_equal(quarry_kv_put(barrier->kv,
                                   &(struct quarry_kv_write_options){.never_waits = true}, "b", 1,
                                   "2", 1, NULL),
                     QUARRY_BUSY);
    return barrier->status;
}

static void a_barrier_uses_a_sequence_up(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct barrier barrier = {.kv = kv, .status = QUARRY_OK};

    (void)state;
    store_put(kv, "a", "1");
    uint64_t before = kv_visible_sequence(kv);
    assert_int_equal(kv_commit_barrier(kv, install, &barrier), QUARRY_OK);
    assert_int_equal(barrier.sequence, before + 1);
    assert_int_equal(kv_visible_sequence(kv), before + 1);
    barrier.status = QUARRY_IO;
    assert_int_equal(kv_commit_barrier(kv, install, &barrier), QUARRY_IO);
    assert_int_equal(kv_visible_sequence(kv), before + 1);
    assert_int_equal(kv_rotate(kv, NULL, NULL), QUARRY_OK);
    store_put(kv, "c", "3");
    store_close(kv);
    /* The gap is no lost write, though another log begins behind it. */
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_expect(kv, "c", "3");
    store_close(kv);
}

/* ---- threads -------------------------------------------------------------------------------- */

static struct {
    struct quarry_kv *kv;
    _Atomic bool is_over;
    _Atomic uint64_t written_count;
} shared;

#define ACCOUNTS  64u
#define TRANSFERS 1500u
#define FUNDS     1000u

static void account_key(uint32_t thread, uint32_t number, char key[16])
{
    snprintf(key, 16, "%02u-%04u", thread, number);
}

/* Moves between accounts of its own, each transfer a batch. */
static void *transfer(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument, funds[ACCOUNTS];
    struct quarry_kv_batch *batch = NULL;
    char key[16];

    assert_int_equal(quarry_kv_batch_create(shared.kv, false, &batch), QUARRY_OK);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        funds[i] = FUNDS;
    }
    for (uint32_t i = 0; i < TRANSFERS; i++) {
        uint32_t from = i * 7 % ACCOUNTS, to = (i * 13 + 5) % ACCOUNTS;
        if (from == to || funds[from] == 0) {
            continue;
        }
        funds[from]--;
        funds[to]++;
        quarry_kv_batch_clear(batch);
        account_key(thread, from, key);
        quarry_kv_batch_put(batch, key, strlen(key), &funds[from], sizeof funds[from]);
        account_key(thread, to, key);
        quarry_kv_batch_put(batch, key, strlen(key), &funds[to], sizeof funds[to]);
        assert_int_equal(quarry_kv_write(shared.kv, NULL, batch, NULL), QUARRY_OK);
        atomic_fetch_add(&shared.written_count, 1);
    }
    quarry_kv_batch_destroy(batch);
    return NULL;
}

/* All accounts at one moment: their sum never changes. */
static uint64_t sum_accounts(struct quarry_kv *kv)
{
    struct quarry_kv_iterator *iterator = NULL;
    uint64_t sum = 0;
    uint32_t one;

    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    for (bool is = quarry_kv_iterator_first(iterator); is; is = quarry_kv_iterator_next(iterator)) {
        memcpy(&one, quarry_kv_iterator_value(iterator).bytes, sizeof one);
        sum += one;
    }
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    quarry_kv_iterator_destroy(iterator);
    return sum;
}

static void *audit(void *argument)
{
    (void)argument;
    while (!atomic_load(&shared.is_over)) {
        assert_int_equal(sum_accounts(shared.kv), (uint64_t)THREADS * ACCOUNTS * FUNDS);
    }
    return NULL;
}

static void fund_accounts(struct quarry_kv *kv)
{
    uint32_t funds = FUNDS;
    char key[16];

    for (uint32_t thread = 0; thread < THREADS; thread++) {
        for (uint32_t i = 0; i < ACCOUNTS; i++) {
            account_key(thread, i, key);
            assert_int_equal(quarry_kv_put(kv, NULL, key, strlen(key), &funds, sizeof funds, NULL),
                             QUARRY_OK);
        }
    }
}

static void batches_are_seen_whole_or_not_at_all(void **state)
{
    struct quarry_kv_options options = threaded_options();
    pthread_t threads[THREADS], auditor;

    (void)state;
    struct quarry_kv *kv = store_open(&options);
    shared.kv = kv;
    atomic_store(&shared.is_over, false);
    atomic_store(&shared.written_count, 0);
    fund_accounts(kv);
    uint64_t before = kv_visible_sequence(kv);
    assert_int_equal(pthread_create(&auditor, NULL, audit, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, transfer, (void *)i), 0);
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&shared.is_over, true);
    pthread_join(auditor, NULL);
    assert_int_equal(kv_visible_sequence(kv) - before, 2 * atomic_load(&shared.written_count));
    assert_int_equal(sum_accounts(kv), (uint64_t)THREADS * ACCOUNTS * FUNDS);
    store_close(kv);
    kv = store_open(&options);
    assert_int_equal(sum_accounts(kv), (uint64_t)THREADS * ACCOUNTS * FUNDS);
    store_close(kv);
}

/* Puts keys of its own and reads each back at once; now and then durably. */
static void *put_and_read(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};
    char key[32], value[300];

    memset(value, 'v', sizeof value);
    for (uint32_t i = 0; i < 3000; i++) {
        struct quarry_kv_value found;
        size_t key_bytes = (size_t)snprintf(key, sizeof key, "%u-%06u", thread, i * 7919 % 3000);
        memcpy(value, &i, sizeof i);
        assert_int_equal(quarry_kv_put(shared.kv, i % 100 == 0 ? &power : NULL, key, key_bytes,
                                       value, sizeof value, NULL),
                         QUARRY_OK);
        assert_int_equal(quarry_kv_get(shared.kv, NULL, key, key_bytes, &found, NULL), QUARRY_OK);
        assert_memory_equal(found.bytes, &i, sizeof i);
        quarry_kv_value_release(&found);
    }
    return NULL;
}

static void *rotate_now_and_then(void *argument)
{
    (void)argument;
    while (!atomic_load(&shared.is_over)) {
        assert_int_equal(kv_rotate(shared.kv, NULL, NULL), QUARRY_OK);
        os_sleep_ns(2000000);
    }
    return NULL;
}

static void what_a_thread_has_written_it_reads(void **state)
{
    struct quarry_kv_options options = threaded_options();
    pthread_t threads[THREADS], rotator;

    (void)state;
    struct quarry_kv *kv = store_open(&options);
    shared.kv = kv;
    atomic_store(&shared.is_over, false);
    assert_int_equal(pthread_create(&rotator, NULL, rotate_now_and_then, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_read, (void *)i), 0);
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&shared.is_over, true);
    pthread_join(rotator, NULL);
    store_close(kv);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_write_is_seen),
        TEST(what_cannot_be_written_is_refused),
        TEST(long_values_are_written),
        TEST(changes_are_written_from_the_callers_memory),
        TEST(a_full_memtable_is_rotated_and_flushed),
        TEST(a_batch_larger_than_a_memtable_is_a_layer),
        TEST(an_empty_batch_changes_nothing),
        TEST(used_logs_are_used_again),
        TEST(a_log_that_cannot_be_written_is_left),
        TEST(a_log_that_fails_with_its_first_record_is_removed),
        TEST(a_log_that_cannot_be_synced_is_left),
        TEST(without_any_log_writes_are_refused_until_there_is_one),
        TEST(a_budget_that_is_used_up_flushes_and_then_refuses),
        TEST(a_rotation_waits_for_the_memory_that_a_flush_gives_back),
        TEST(a_large_batch_waits_for_the_memory_that_a_flush_gives_back),
        TEST(a_batch_that_is_being_made_waits_as_well),
        TEST(a_long_value_waits_and_says_when_nothing_is_to_be_waited_for),
        TEST(a_write_that_can_never_fit_is_too_large),
        TEST(a_barrier_uses_a_sequence_up),
        TEST(batches_are_seen_whole_or_not_at_all),
        TEST(what_a_thread_has_written_it_reads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
