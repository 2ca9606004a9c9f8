/*
 * No memory, and disks that fail, at any place: a status, nothing half done, nothing left behind.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

#include <keyspace/types.h>
#include <kv/store.h>

#define LONG_BYTES 3000u
#define KEYS       40u

static struct quarry_account *parent; /* of the store's account and the keyspace's */
static char long_key[LONG_BYTES + 1], long_value[LONG_BYTES + 1];

static int set_up(void **state)
{
    const struct quarry_account_options options = {.name = "bounded"};

    (void)rig_set_up(state);
    rig_close();
    assert_int_equal(quarry_account_create(rig.memory, &options, &parent, NULL), QUARRY_OK);
    rig.options.parent = parent;
    rig_open();
    memset(long_key, 'k', LONG_BYTES);
    memset(long_value, 'v', LONG_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    if (rig.keyspace != NULL) {
        rig_close();
    }
    quarry_account_destroy(parent);
    return rig_tear_down(state);
}

static uint64_t charged_bytes(struct quarry_account *account)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.charged_bytes;
}

/* Allows an account so many bytes more than it has; UINT64_MAX: any. */
static void allow(struct quarry_account *account, uint64_t byte_count)
{
    uint64_t ceiling = byte_count == UINT64_MAX ? 0 : charged_bytes(account) + byte_count + 1;

    assert_int_equal(quarry_account_set_bounds(account, 0, ceiling), QUARRY_OK);
}

/* Does something with more and more memory until it succeeds. Returns: how often it did not. */
static uint32_t sweep(struct quarry_account *account, enum quarry_status (*act)(void),
                      uint64_t step_bytes)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t failure_count = 0;

    for (uint64_t allowed = 0; status != QUARRY_OK; allowed += step_bytes) {
        allow(account, allowed);
        status = act();
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        failure_count += status != QUARRY_OK;
        assert_true(allowed < Q_MIB(256));
    }
    allow(account, UINT64_MAX);
    return failure_count;
}

/* ---- what may fail -------------------------------------------------------------------------- */

static enum quarry_status read_long(void)
{
    struct keyspace_value value;
    enum quarry_status status =
        keyspace_read(rig.keyspace, &rig_scope, rig_text(long_key), false, &value, NULL);

    if (status == QUARRY_OK) {
        assert_int_equal(value.byte_count, LONG_BYTES);
        keyspace_value_release(&value);
    }
    return status;
}

static enum quarry_status put_long(void)
{
    struct keyspace_change change;

    rig_begin(&change, long_key);
    enum quarry_status status =
        keyspace_put(&change, &rig_scope, rig_text(long_key), rig_text(long_value), 0);
    assert_int_equal(status, QUARRY_OK); /* it is only remembered */
    status = keyspace_commit(&change, NULL);
    assert_int_not_equal(status, QUARRY_BUSY);
    return status;
}

static void name_keys(char names[KEYS][16], struct quarry_kv_slice slices[KEYS])
{
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(names[i], 16, "key%u", i);
        slices[i] = rig_text(names[i]);
    }
}

static uint64_t round_number;

/* All of them or none. */
static enum quarry_status put_many(void)
{
    char names[KEYS][16], value[32];
    struct quarry_kv_slice slices[KEYS];
    struct keyspace_change change;
    const struct keyspace_keys keys = {rig_scope, slices, KEYS};

    name_keys(names, slices);
    snprintf(value, sizeof(value), "%llu", (unsigned long long)++round_number);
    enum quarry_status status = keyspace_begin(rig.keyspace, &keys, 1, 0, &change);
    if (status != QUARRY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < KEYS && status == QUARRY_OK; i++) {
        status = keyspace_put(&change, &rig_scope, slices[i], rig_text(value), 0);
    }
    if (status != QUARRY_OK) {
        keyspace_abort(&change);
    } else {
        status = keyspace_commit(&change, NULL);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        rig_expect(names[i], status == QUARRY_OK ? value : NULL);
    }
    return status;
}

static enum quarry_status read_many(void)
{
    char names[KEYS][16];
    struct quarry_kv_slice slices[KEYS];
    enum quarry_status statuses[KEYS];
    struct keyspace_value values[KEYS];

    name_keys(names, slices);
    enum quarry_status status =
        keyspace_read_many(rig.keyspace, &rig_scope, slices, KEYS, false, statuses, values, NULL);
    for (uint32_t i = 0; i < KEYS && status == QUARRY_OK; i++) {
        keyspace_value_release(&values[i]);
    }
    return status;
}

static struct keyspace_watch watch;

static enum quarry_status watch_long(void)
{
    enum quarry_status status =
        keyspace_watch_add(rig.keyspace, &watch, &rig_scope, rig_text(long_key), false);

    assert_int_equal(watch.key_count, status == QUARRY_OK);
    keyspace_watch_clear(rig.keyspace, &watch);
    return status;
}

static void visit(void *argument, struct quarry_kv_slice key, const struct keyspace_value *value)
{
    uint32_t *count = argument;

    *count += key.byte_count != 0 && value->byte_count != 0;
}

static enum quarry_status scan(void)
{
    uint64_t cursor = 0;
    uint32_t count = 0;
    enum quarry_status status;

    do {
        status = keyspace_scan(rig.keyspace, &rig_scope, cursor, 3, false, NULL, visit, &count,
                               &cursor, NULL);
    } while (status == QUARRY_OK && cursor != 0);
    assert_true(status != QUARRY_OK || count == KEYS + 1);
    return status;
}

static enum quarry_status count_and_choose(void)
{
    struct keyspace_counts counts = {0};
    struct keyspace_value key;
    enum quarry_status status = keyspace_count(rig.keyspace, &rig_scope, NULL, &counts, NULL);

    if (status == QUARRY_OK) {
        assert_int_equal(counts.keys, KEYS + 1);
        rig_delete("not there"); /* the next one counts again */
        status = keyspace_random(rig.keyspace, &rig_scope, 5, false, &key, NULL);
    }
    if (status == QUARRY_OK) {
        keyspace_value_release(&key);
    }
    return status;
}

static enum quarry_status make_tenant(void)
{
    struct keyspace_scope scope;

    return keyspace_scope_of(rig.keyspace, "acme", 0, true, &scope, NULL);
}

static void delete_all(void)
{
    struct keyspace_change change;

    assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_ALL_KEYS, &change), QUARRY_OK);
    assert_int_equal(
        keyspace_delete_range(&change, &rig_scope, rig_text(""), (struct quarry_kv_slice){NULL, 0}),
        QUARRY_OK);
    rig_commit(&change);
}

static void test_no_memory_at_any_place_is_a_status(void **state)
{
    struct quarry_account *own = rig.keyspace->small.account;
    struct quarry_account *reading;

    (void)state;
    assert_true(sweep(own, put_many, 64) >= 1);
    assert_true(sweep(own, put_long, 64) >= 1);
    assert_true(sweep(own, read_long, 64) >= 1);
    assert_true(sweep(own, read_many, 64) >= 1);
    assert_true(sweep(own, watch_long, 64) >= 2);
    assert_true(sweep(own, scan, 64) >= 2);
    assert_true(sweep(own, count_and_choose, 64) >= 2);
    assert_true(sweep(own, make_tenant, 64) >= 1);
    rig_reopen(); /* spare batches are gone */
    own = rig.keyspace->small.account;
    reading = rig.keyspace->kv->part[KV_PART_READ];
    assert_int_equal(rig_count(), KEYS + 1);
    delete_all();
    assert_true(sweep(reading, put_many, 64) >= 1);
    assert_true(sweep(reading, put_long, 64) >= 1);
    rig_reopen();
    assert_int_equal(rig_count(), KEYS + 1);
}

static enum quarry_status open_it(void)
{
    enum quarry_status status = rig_try_open(NULL);

    if (status != QUARRY_OK) {
        assert_int_equal(charged_bytes(parent), 0);
    }
    return status;
}

static void test_no_memory_for_opening_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_int_equal(make_tenant(), QUARRY_OK);
    rig_put("a", "1", 0);
    rig_close();
    assert_true(sweep(parent, open_it, Q_KIB(8)) >= 10);
    rig_expect("a", "1");
}

/* ---- disks ---------------------------------------------------------------------------------- */

static void fail_at(uint64_t nth)
{
    const struct quarry_vfs_fault fault = {
        .first = nth, .count = 1, .status = QUARRY_IO, .os_errno = 5};

    quarry_vfs_fault_set(rig.vfs, 0, nth == 0 ? NULL : &fault);
}

static void test_an_operation_that_fails_while_opening_is_a_status(void **state)
{
    uint32_t failure_count = 0;
    uint64_t hits = 1;

    (void)state;
    assert_int_equal(make_tenant(), QUARRY_OK);
    rig_put("a", "1", 0);
    assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
    rig_close();
    for (uint64_t nth = 1; hits != 0; nth++) {
        fail_at(nth);
        enum quarry_status status = rig_try_open(NULL);
        hits = quarry_vfs_fault_hits(rig.vfs, 0);
        fail_at(0);
        failure_count += status != QUARRY_OK;
        if (status != QUARRY_OK) {
            assert_int_equal(charged_bytes(parent), 0);
            rig_open();
        }
        rig_expect("a", "1");
        (void)keyspace_close(rig.keyspace, NULL);
        rig.keyspace = NULL;
    }
    assert_true(failure_count >= 5);
}

/* Of changes that were acknowledged none is lost, and each is there whole or not at all. */
static void test_an_operation_that_fails_while_writing_halves_no_change(void **state)
{
    char names[KEYS][16], value[32];
    struct quarry_kv_slice slices[KEYS];
    uint64_t hits = 1;

    (void)state;
    name_keys(names, slices);
    for (uint64_t nth = 1; hits != 0; nth++) {
        struct keyspace_change change;
        const struct keyspace_keys keys = {rig_scope, slices, KEYS};
        snprintf(value, sizeof(value), "%llu", (unsigned long long)nth);
        fail_at(nth);
        assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
        for (uint32_t i = 0; i < KEYS; i++) {
            assert_int_equal(keyspace_put(&change, &rig_scope, slices[i], rig_text(value), 0),
                             QUARRY_OK);
        }
        bool is_done = keyspace_commit(&change, NULL) == QUARRY_OK;
        (void)quarry_kv_flush(keyspace_kv(rig.keyspace), NULL);
        hits = quarry_vfs_fault_hits(rig.vfs, 0);
        fail_at(0);
        (void)keyspace_close(rig.keyspace, NULL);
        rig_open();
        struct keyspace_value found;
        enum quarry_status status =
            keyspace_read(rig.keyspace, &rig_scope, slices[0], false, &found, NULL);
        bool has = status == QUARRY_OK && found.byte_count == strlen(value) &&
                   memcmp(found.bytes, value, found.byte_count) == 0;
        assert_true(has || !is_done);
        if (status == QUARRY_OK) {
            keyspace_value_release(&found);
        }
        for (uint32_t i = 0; i < KEYS && has; i++) {
            rig_expect(names[i], value);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_no_memory_at_any_place_is_a_status),
        TEST(test_no_memory_for_opening_leaves_nothing_behind),
        TEST(test_an_operation_that_fails_while_opening_is_a_status),
        TEST(test_an_operation_that_fails_while_writing_halves_no_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
