/*
 * Filters that functions of the user make: written into LevelDB's tables, found by their name, and
 * asked for the keys of their stretch and no others.
 */
#include "unit/kv/sst_rig.h"

#include <stdio.h>
#include <string.h>

#define KEY_COUNT 3000u

/* What a policy of these tests counts. */
struct counts {
    uint64_t made, asked;
    uint64_t fails_after; /* filters; 0: never */
};

/* A filter is all of its keys: a length, and the bytes. */
static enum quarry_status create_list(void *argument, const struct quarry_kv_slice *keys,
                                      size_t key_count, struct quarry_kv_buffer *filter)
{
    struct counts *counts = argument;
    enum quarry_status status = QUARRY_OK;

    assert_true(key_count > 0);
    if (++counts->made == counts->fails_after) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < key_count && status == QUARRY_OK; i++) {
        char length[4];
        endian_store_le_u32(length, (uint32_t)keys[i].byte_count);
        status = quarry_kv_buffer_append(filter, length, sizeof(length));
        if (status == QUARRY_OK) {
            status = quarry_kv_buffer_append(filter, keys[i].bytes, keys[i].byte_count);
        }
    }
    return status;
}

static bool may_match_list(void *argument, struct quarry_kv_slice key,
                           struct quarry_kv_slice filter)
{
    struct counts *counts = argument;
    const char *at = filter.bytes, *end = at + filter.byte_count;

    counts->asked++;
    while (at < end) {
        size_t length = endian_load_le_u32(at);
        at += 4;
        if (length == key.byte_count && memcmp(at, key.bytes, length) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}

static struct quarry_kv_filter_policy list_policy(struct counts *counts)
{
    return (struct quarry_kv_filter_policy){.name = "test.List",
                                            .argument = counts,
                                            .create = create_list,
                                            .may_match = may_match_list};
}

static const struct kv_table_write_options leveldb = {.format = QUARRY_KV_FORMAT_LEVELDB,
                                                      .compression = QUARRY_KV_COMPRESSION_SNAPPY};

static void tables_with_filters_of_a_policy_come_back(void **state)
{
    static const struct shape shapes[] = {
        {.count = 1, .key_bytes_max = 8, .value_bytes_max = 8, .versions_max = 1},
        {.count = 900, .key_bytes_max = 6, .value_bytes_max = 40, .versions_max = 9},
        {.count = 60, .key_bytes_max = 700, .value_bytes_max = 30000, .versions_max = 3},
        {.count = 3000, .key_bytes_max = 4, .value_bytes_max = 1, .versions_max = 1},
    };
    struct counts counts = {0};
    const struct quarry_kv_filter_policy policy = list_policy(&counts);

    (void)state;
    rig.tables.filter_policy = &policy;
    for (uint64_t i = 0; i < 12; i++) {
        struct entries entries = entries_make(i + 1, &shapes[i % 4]);
        struct kv_table_write_options options = leveldb;
        options.block_bytes = i < 4 ? 0 : i < 8 ? 100 : 20000;
        uint64_t number = table_write(&entries, &options, NULL);
        uint64_t asked = counts.asked;
        for (int pinned = 0; pinned < 2; pinned++) {
            struct kv_table *table = table_open(number, pinned != 0);
            struct quarry_error error = {0};
            table_check(table, &entries, i);
            assert_int_equal(kv_table_verify(table, &error), QUARRY_OK);
            kv_table_evict(table);
            kv_table_close(table);
        }
        assert_true(counts.asked > asked);
        entries_free(&entries);
    }
}

/* Whether a key is let through. */
static enum kv_table_filtered look_up(struct kv_table *table, const char *key)
{
    const struct kv_slice user = kv_slice(key, strlen(key));
    struct kv_table_lookup lookup = {.key = {user, kv_trailer_seek(KV_SEQUENCE_MAX)},
                                     .hash = kv_table_hash(user)};
    struct kv_table_entry entry;

    if (kv_table_get(table, &lookup, &entry, NULL) == QUARRY_OK) {
        kv_table_entry_release(&rig.tables, &entry);
    }
    return lookup.filtered;
}

static const struct shape digits = {.count = KEY_COUNT,
                                    .key_bytes_max = 64,
                                    .value_bytes_max = 10,
                                    .versions_max = 1,
                                    .has_digits = true};

static void a_policy_rejects_every_key_that_it_was_not_given(void **state)
{
    struct counts counts = {0};
    const struct quarry_kv_filter_policy policy = list_policy(&counts);

    (void)state;
    rig.tables.filter_policy = &policy;
    struct entries entries = entries_make(5, &digits);
    struct kv_table *table = table_open(table_write(&entries, &leveldb, NULL), true);
    for (uint32_t i = 0; i < 500; i++) {
        char key[64];
        snprintf(key, sizeof(key), "a rather long common beginning/%010u!", i * 40);
        assert_int_equal(look_up(table, key), KV_TABLE_REJECTED);
    }
    assert_true(counts.made > 10);
    kv_table_close(table);
    entries_free(&entries);
}

static void a_filter_of_another_name_is_not_asked(void **state)
{
    struct counts counts = {0}, others = {0};
    const struct quarry_kv_filter_policy policy = list_policy(&counts);
    struct quarry_kv_filter_policy other = list_policy(&others);
    const char *absent = "a rather long common beginning/0000000000!";

    (void)state;
    other.name = "test.Lis";
    struct entries entries = entries_make(6, &digits);
    rig.tables.filter_policy = &policy;
    uint64_t number = table_write(&entries, &leveldb, NULL);
    struct kv_table_write_options bloom = leveldb;
    rig.tables.filter_policy = NULL;
    bloom.bloom_millibits = 10000;
    uint64_t bloomed = table_write(&entries, &bloom, NULL);

    const struct quarry_kv_filter_policy *asked[] = {NULL, &other, &policy};
    for (int i = 0; i < 3; i++) {
        rig.tables.filter_policy = asked[i];
        struct kv_table *table = table_open(number, i == 1);
        assert_int_equal(look_up(table, absent),
                         i == 2 ? KV_TABLE_REJECTED : KV_TABLE_NOT_FILTERED);
        kv_table_close(table);
        table = table_open(bloomed, i == 1);
        assert_int_equal(look_up(table, absent),
                         i == 0 ? KV_TABLE_REJECTED : KV_TABLE_NOT_FILTERED);
        kv_table_close(table);
    }
    assert_int_equal(others.asked, 0);
    entries_free(&entries);
}

static void a_policy_that_fails_fails_the_table(void **state)
{
    (void)state;
    struct entries entries = entries_make(7, &digits);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        struct counts counts = {.fails_after = nth == 3 ? 1000 : nth};
        const struct quarry_kv_filter_policy policy = list_policy(&counts);
        struct quarry_vfs_file *file = NULL;
        struct kv_table_writer *writer = NULL;
        struct kv_table_result result;
        char path[64];
        enum quarry_status status = QUARRY_OK;
        rig.tables.filter_policy = &policy;
        assert_int_equal(quarry_vfs_open(rig.vfs, table_path(100 + nth, path),
                                         QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
                         QUARRY_OK);
        assert_int_equal(kv_table_writer_create(&rig.tables, file, &leveldb, &writer, NULL),
                         QUARRY_OK);
        for (size_t i = 0; i < entries.count && status == QUARRY_OK; i++) {
            status =
                kv_table_writer_add(writer, entries.entry[i].key, entries.entry[i].value, NULL);
        }
        assert_int_equal(status, nth == 3 ? QUARRY_OK : QUARRY_NO_MEMORY);
        assert_int_equal(kv_table_writer_finish(writer, &result, NULL), status);
        kv_table_writer_destroy(writer);
        quarry_vfs_close(file);
    }
    entries_free(&entries);
}

static enum quarry_status open_with(const struct quarry_kv_filter_policy *policy,
                                    enum quarry_kv_format format, struct quarry_error *error)
{
    const struct quarry_kv_options options = {.name = "policy store",
                                              .vfs = rig.vfs,
                                              .create_if_missing = true,
                                              .filter_policy = policy,
                                              .format = format};
    struct quarry_kv *kv = NULL;
    enum quarry_status status = quarry_kv_open(rig.memory, "store", &options, &kv, error);

    if (status == QUARRY_OK) {
        assert_int_equal(quarry_kv_close(kv, error), QUARRY_OK);
    }
    return status;
}

static void a_store_takes_a_policy_for_leveldbs_format_alone(void **state)
{
    struct counts counts = {0};
    struct quarry_kv_filter_policy policy = list_policy(&counts);
    struct quarry_error error = {0};
    char name[202];

    (void)state;
    assert_int_equal(open_with(&policy, QUARRY_KV_FORMAT_AUTO, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "LevelDB"));
    assert_int_equal(open_with(&policy, QUARRY_KV_FORMAT_LEVELDB, &error), QUARRY_OK);
    policy.may_match = NULL;
    assert_int_equal(open_with(&policy, QUARRY_KV_FORMAT_LEVELDB, &error), QUARRY_BAD_INPUT);
    policy.may_match = may_match_list;
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    policy.name = name;
    assert_int_equal(open_with(&policy, QUARRY_KV_FORMAT_LEVELDB, &error), QUARRY_BAD_INPUT);
    name[200] = '\0';
    assert_int_equal(open_with(&policy, QUARRY_KV_FORMAT_LEVELDB, &error), QUARRY_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tables_with_filters_of_a_policy_come_back),
        TEST(a_policy_rejects_every_key_that_it_was_not_given),
        TEST(a_filter_of_another_name_is_not_asked),
        TEST(a_policy_that_fails_fails_the_table),
        TEST(a_store_takes_a_policy_for_leveldbs_format_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
