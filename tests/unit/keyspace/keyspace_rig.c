#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

struct keyspace_rig rig;
const struct keyspace_scope rig_scope = {0, 0};

static uint64_t now_ms(void *argument)
{
    (void)argument;
    return atomic_load_relaxed_u64(&rig.now_ms);
}

int rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    struct quarry_error error = {0};

    (void)state;
    rig = (struct keyspace_rig){.keyspace_options = {.now_ms = now_ms}};
    atomic_store_relaxed_u64(&rig.now_ms, RIG_NOW_MS);
    if (quarry_memory_create(&options, &rig.memory, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(quarry_vfs_memory_create(1, &rig.disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(rig.disk, 1, &rig.vfs), QUARRY_OK);
    rig.options = (struct quarry_kv_options){.vfs = rig.vfs,
                                             .create_if_missing = true,
                                             .write_buffer_bytes = Q_KIB(256),
                                             .memory_bytes = Q_MIB(64),
                                             .is_stepped = true};
    rig_open();
    return 0;
}

int rig_tear_down(void **state)
{
    struct quarry_account_state root;

    (void)state;
    if (rig.keyspace != NULL) {
        rig_close();
    }
    quarry_vfs_fault_destroy(rig.vfs);
    quarry_vfs_memory_destroy(rig.disk);
    if (quarry_memory_accounts(rig.memory, &root, 1) != 0) {
        assert_int_equal(root.charged_bytes, 0);
    }
    quarry_memory_destroy(rig.memory);
    return 0;
}

enum quarry_status rig_try_open(struct quarry_error *error)
{
    return keyspace_open(rig.memory, "/db", &rig.options, &rig.keyspace_options, &rig.keyspace,
                         error);
}

void rig_open(void)
{
    struct quarry_error error = {0};

    if (rig_try_open(&error) != QUARRY_OK) {
        fail_msg("keyspace_open: %s", error.text);
    }
}

void rig_close(void)
{
    struct quarry_error error = {0};

    if (keyspace_close(rig.keyspace, &error) != QUARRY_OK) {
        fail_msg("keyspace_close: %s", error.text);
    }
    rig.keyspace = NULL;
}

void rig_reopen(void)
{
    rig_close();
    rig_open();
}

struct quarry_kv_slice rig_text(const char *text)
{
    return (struct quarry_kv_slice){text, strlen(text)};
}

/* ---- changes -------------------------------------------------------------------------------- */

enum quarry_status rig_try_begin(struct keyspace_change *change, const char *key, uint32_t flags)
{
    struct quarry_kv_slice slice = rig_text(key);
    const struct keyspace_keys keys = {rig_scope, &slice, 1};

    return keyspace_begin(rig.keyspace, &keys, 1, flags, change);
}

void rig_begin(struct keyspace_change *change, const char *key)
{
    assert_int_equal(rig_try_begin(change, key, 0), QUARRY_OK);
}

void rig_commit(struct keyspace_change *change)
{
    struct quarry_error error = {0};

    if (keyspace_commit(change, &error) != QUARRY_OK) {
        fail_msg("keyspace_commit: %s", error.text);
    }
}

void rig_put(const char *key, const char *value, uint64_t expires_ms)
{
    struct keyspace_change change;

    rig_begin(&change, key);
    assert_int_equal(keyspace_put(&change, &rig_scope, rig_text(key), rig_text(value), expires_ms),
                     QUARRY_OK);
    rig_commit(&change);
}

void rig_delete(const char *key)
{
    struct keyspace_change change;

    rig_begin(&change, key);
    assert_int_equal(keyspace_delete(&change, &rig_scope, rig_text(key)), QUARRY_OK);
    rig_commit(&change);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void expect(enum quarry_status status, struct keyspace_value *found, const char *key,
                   const char *value, const struct quarry_error *error)
{
    if (value == NULL) {
        assert_int_equal(status, QUARRY_NOT_FOUND);
        return;
    }
    if (status != QUARRY_OK) {
        fail_msg("'%s': %s: %s", key, quarry_status_name(status), error->text);
    }
    assert_int_equal(found->byte_count, strlen(value));
    assert_memory_equal(found->bytes, value, found->byte_count);
    keyspace_value_release(found);
}

void rig_expect_in(const struct keyspace_scope *scope, const char *key, const char *value)
{
    struct keyspace_value found;
    struct quarry_error error = {0};
    enum quarry_status status =
        keyspace_read(rig.keyspace, scope, rig_text(key), false, &found, &error);

    expect(status, &found, key, value, &error);
}

void rig_expect(const char *key, const char *value)
{
    rig_expect_in(&rig_scope, key, value);
}

void rig_expect_get(struct keyspace_change *change, const char *key, const char *value)
{
    struct keyspace_value found;
    struct quarry_error error = {0};
    enum quarry_status status = keyspace_get(change, &rig_scope, rig_text(key), &found, &error);

    expect(status, &found, key, value, &error);
}

uint64_t rig_expiry(const char *key)
{
    struct keyspace_value found;

    assert_int_equal(keyspace_read(rig.keyspace, &rig_scope, rig_text(key), false, &found, NULL),
                     QUARRY_OK);
    uint64_t expires_ms = found.expires_ms;
    keyspace_value_release(&found);
    return expires_ms;
}

uint64_t rig_count(void)
{
    struct keyspace_counts counts;

    assert_int_equal(keyspace_count(rig.keyspace, &rig_scope, NULL, &counts, NULL), QUARRY_OK);
    return counts.keys;
}

/* ---- chance --------------------------------------------------------------------------------- */

uint64_t rig_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

uint64_t rig_below(uint64_t *seed, uint64_t bound)
{
    return rig_random(seed) % bound;
}
