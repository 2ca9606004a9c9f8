#include "unit/kv/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct quarry_memory *rig_memory;
struct quarry_vfs *rig_disk;

int store_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    struct quarry_error error = {0};

    (void)state;
    if (quarry_memory_create(&options, &rig_memory, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(quarry_vfs_memory_create(1, &rig_disk), QUARRY_OK);
    return 0;
}

int store_tear_down(void **state)
{
    struct quarry_account_state root;

    (void)state;
    quarry_vfs_memory_destroy(rig_disk);
    if (quarry_memory_accounts(rig_memory, &root, 1) != 0) {
        assert_int_equal(root.charged_bytes, 0);
    }
    quarry_memory_destroy(rig_memory);
    return 0;
}

void store_lose_power(uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *after = NULL;

    assert_int_equal(quarry_vfs_memory_crash(rig_disk, kept_percent, seed, &after), QUARRY_OK);
    quarry_vfs_memory_destroy(rig_disk);
    rig_disk = after;
}

struct quarry_kv_options store_options(void)
{
    return (struct quarry_kv_options){.vfs = rig_disk,
                                      .create_if_missing = true,
                                      .write_buffer_bytes = Q_KIB(256),
                                      .memory_bytes = Q_MIB(64),
                                      .is_stepped = true};
}

enum quarry_status store_try_open(const struct quarry_kv_options *options,
                                  struct quarry_error *error)
{
    struct quarry_kv *kv = NULL;
    enum quarry_status status = quarry_kv_open(rig_memory, "/db", options, &kv, error);

    if (status == QUARRY_OK) {
        store_close(kv);
    }
    return status;
}

struct quarry_kv *store_open(const struct quarry_kv_options *options)
{
    struct quarry_kv_options own = store_options();
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    if (quarry_kv_open(rig_memory, "/db", options == NULL ? &own : options, &kv, &error) !=
        QUARRY_OK) {
        fail_msg("quarry_kv_open: %s", error.text);
    }
    return kv;
}

void store_close(struct quarry_kv *kv)
{
    struct quarry_error error = {0};

    if (quarry_kv_close(kv, &error) != QUARRY_OK) {
        fail_msg("quarry_kv_close: %s", error.text);
    }
}

void store_put(struct quarry_kv *kv, const char *key, const char *value)
{
    struct quarry_error error = {0};

    if (quarry_kv_put(kv, NULL, key, strlen(key), value, strlen(value), &error) != QUARRY_OK) {
        fail_msg("quarry_kv_put: %s", error.text);
    }
}

void store_delete(struct quarry_kv *kv, const char *key)
{
    struct quarry_error error = {0};

    if (quarry_kv_delete(kv, NULL, key, strlen(key), &error) != QUARRY_OK) {
        fail_msg("quarry_kv_delete: %s", error.text);
    }
}

void store_expect(struct quarry_kv *kv, const char *key, const char *value)
{
    struct quarry_kv_value found;
    struct quarry_error error = {0};
    enum quarry_status status = quarry_kv_get(kv, NULL, key, strlen(key), &found, &error);

    if (value == NULL) {
        assert_int_equal(status, QUARRY_NOT_FOUND);
        return;
    }
    if (status != QUARRY_OK) {
        fail_msg("get of '%s': %s: %s", key, quarry_status_name(status), error.text);
    }
    assert_int_equal(found.byte_count, strlen(value));
    assert_memory_equal(found.bytes, value, found.byte_count);
    quarry_kv_value_release(&found);
}

static size_t number_key(uint32_t number, char key[32])
{
    return (size_t)snprintf(key, 32, "key%06u", number);
}

static void number_value(uint32_t number, uint32_t round, char *value, size_t value_bytes)
{
    char text[64];
    size_t byte_count = (size_t)snprintf(text, sizeof text, "value %u of %u", number, round);

    memset(value, (int)('a' + number % 26), value_bytes);
    memcpy(value, text, size_min(byte_count, value_bytes));
}

void store_put_number(struct quarry_kv *kv, uint32_t number, uint32_t round, size_t value_bytes)
{
    struct quarry_error error = {0};
    char key[32], *value = malloc(value_bytes);

    assert_non_null(value);
    number_value(number, round, value, value_bytes);
    if (quarry_kv_put(kv, NULL, key, number_key(number, key), value, value_bytes, &error) !=
        QUARRY_OK) {
        fail_msg("quarry_kv_put: %s", error.text);
    }
    free(value);
}

bool store_has_number(struct quarry_kv *kv, uint32_t number, uint32_t round, size_t value_bytes)
{
    struct quarry_kv_value found;
    char key[32], *value = malloc(value_bytes);
    size_t key_bytes = number_key(number, key);

    assert_non_null(value);
    number_value(number, round, value, value_bytes);
    bool has = quarry_kv_get(kv, NULL, key, key_bytes, &found, NULL) == QUARRY_OK;
    if (has) {
        has = found.byte_count == value_bytes && memcmp(found.bytes, value, value_bytes) == 0;
        quarry_kv_value_release(&found);
    }
    free(value);
    return has;
}

struct count {
    const char *end;
    uint32_t count;
};

static bool visit(void *argument, const char *name)
{
    struct count *count = argument;
    size_t name_bytes = strlen(name), end_bytes = strlen(count->end);

    count->count +=
        name_bytes >= end_bytes && strcmp(name + name_bytes - end_bytes, count->end) == 0;
    return true;
}

uint32_t store_count_files(const char *directory, const char *end)
{
    struct count count = {.end = end};

    assert_int_equal(quarry_vfs_list(rig_disk, directory, visit, &count, NULL), QUARRY_OK);
    return count.count;
}
