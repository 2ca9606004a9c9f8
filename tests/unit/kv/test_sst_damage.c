/*
 * Tables that are damaged, and memory that is short: an error or the right data, never anything
 * else.
 */
#include "unit/kv/sst_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/sst/block_build.h>
#include <kv/sst/checksum.h>
#include <kv/sst/format.h>

static const struct shape small = {
    .count = 60, .key_bytes_max = 10, .value_bytes_max = 30, .versions_max = 2};

static const struct kv_table_write_options forms[] = {
    {.block_bytes = 400, .bloom_millibits = 10000},
    {.block_bytes = 300,
     .bloom_millibits = 10000,
     .is_partitioned = true,
     .partition_bytes = 100,
     .compression = QUARRY_KV_COMPRESSION_ZSTD,
     .checksum = QUARRY_KV_CHECKSUM_XXH3},
    {.block_bytes = 400,
     .bloom_millibits = 10000,
     .format = QUARRY_KV_FORMAT_LEVELDB,
     .compression = QUARRY_KV_COMPRESSION_SNAPPY},
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

static enum quarry_status try_open(uint64_t number, bool is_pinned, struct kv_table **ret_table,
                                   struct quarry_error *error)
{
    char path[64];
    struct quarry_vfs_file *file = NULL;
    const struct kv_table_options options = {
        .file_number = number, .largest_sequence = UINT64_MAX, .is_pinned = is_pinned};

    assert_int_equal(
        quarry_vfs_open(rig.vfs, table_path(number, path), QUARRY_VFS_READ, &file, NULL),
        QUARRY_OK);
    enum quarry_status status = kv_table_open(&rig.tables, &file, &options, ret_table, error);
    if (status != QUARRY_OK) {
        quarry_vfs_close(file);
    }
    return status;
}

/* Walks it whole. Returns: how many entries were seen to be right; SIZE_MAX: one was not. */
static size_t walk(struct kv_table *table, const struct entries *entries,
                   enum quarry_status *ret_status)
{
    struct kv_table_iterator iterator;
    struct kv_iterator *it = &iterator.base;
    size_t i = 0;

    kv_table_iterator_init(&iterator, table, NULL, NULL);
    for (it->ops->first(it); it->is_valid; it->ops->next(it), i++) {
        if (i >= entries->count || it->key.trailer != entries->entry[i].key.trailer ||
            kv_compare_bytes(it->key.user, entries->entry[i].key.user) != 0 ||
            kv_compare_bytes(it->value, entries->entry[i].value) != 0) {
            i = SIZE_MAX - 1;
            break;
        }
    }
    *ret_status = it->status;
    it->ops->fini(it);
    return i == SIZE_MAX - 1 ? SIZE_MAX : i;
}

/* Everything that readers do, whatever comes of it. */
static void read_anyway(struct kv_table *table, const struct entries *entries)
{
    struct kv_table_iterator iterator;
    struct kv_iterator *it = &iterator.base;

    for (size_t i = 0; i < entries->count; i += 7) {
        struct kv_table_lookup lookup = {.key = entries->entry[i].key,
                                         .hash = kv_table_hash(entries->entry[i].key.user)};
        struct kv_table_entry entry;
        if (kv_table_get(table, &lookup, &entry, NULL) == QUARRY_OK) {
            kv_table_entry_release(&rig.tables, &entry);
        }
    }
    kv_table_iterator_init(&iterator, table, NULL, NULL);
    for (it->ops->last(it); it->is_valid; it->ops->previous(it)) {
    }
    for (size_t i = 0; i < entries->count; i += 5) {
        it->ops->seek(it, entries->entry[i].key);
        it->ops->seek_before(it, entries->entry[i].key);
    }
    it->ops->fini(it);
    (void)kv_table_approximate_offset(table, entries->entry[0].key);
}

static void check_damaged(const char *bytes, size_t byte_count, const struct entries *entries,
                          bool is_pinned)
{
    uint64_t number = file_write(bytes, byte_count);
    struct quarry_error error = {0};
    struct kv_table *table = NULL;
    enum quarry_status status = try_open(number, is_pinned, &table, &error);

    if (status != QUARRY_OK) {
        assert_true(error.text[0] != '\0');
        return;
    }
    if (walk(table, entries, &status) == SIZE_MAX) {
        fail_msg("damage was read as data");
    }
    read_anyway(table, entries);
    (void)kv_table_verify(table, &error);
    kv_table_evict(table);
    kv_table_close(table);
}

static void every_flipped_byte_is_an_error_or_harmless(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        struct entries entries = entries_make(40 + f, &small);
        size_t byte_count;
        char *bytes = file_read(table_write(&entries, &forms[f], NULL), &byte_count);
        for (size_t i = 0; i < byte_count; i++) {
            char kept = bytes[i];
            bytes[i] = (char)(kept ^ (1 << i % 8));
            check_damaged(bytes, byte_count, &entries, i % 2 == 0);
            bytes[i] = (char)~kept;
            check_damaged(bytes, byte_count, &entries, i % 2 != 0);
            bytes[i] = kept;
        }
        free(bytes);
        entries_free(&entries);
    }
}

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        struct entries entries = entries_make(50 + f, &small);
        size_t byte_count;
        char *bytes = file_read(table_write(&entries, &forms[f], NULL), &byte_count);
        for (size_t i = 0; i < byte_count; i++) {
            struct kv_table *table = NULL;
            struct quarry_error error = {0};
            enum quarry_status status = try_open(file_write(bytes, i), false, &table, &error);
            assert_true(status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED);
            assert_non_null(strstr(error.text, "table "));
        }
        free(bytes);
        entries_free(&entries);
    }
}

static void put_checksum(char *bytes, struct sst_handle handle)
{
    endian_store_le_u32(
        bytes + handle.offset + handle.byte_count + 1,
        sst_checksum(SST_CHECKSUM_CRC32C, bytes + handle.offset, handle.byte_count));
}

/* Damage behind checksums that hold: what a program's error would leave, or an attacker. */
static void random_bytes_behind_right_checksums_never_crash(void **state)
{
    struct entries entries;
    uint64_t random = 9;

    (void)state;
    entries = entries_make(60, &small);
    for (size_t f = 0; f < 3; f += 2) {
        size_t byte_count, footer_bytes = f == 0 ? SST_FOOTER_BYTES : SST_FOOTER_OLD_BYTES;
        struct kv_table_write_options options = forms[f];
        options.compression = QUARRY_KV_COMPRESSION_NONE;
        char *bytes = file_read(table_write(&entries, &options, NULL), &byte_count);
        char *copy = malloc(byte_count);
        struct sst_footer footer;
        const char *fault;
        assert_non_null(copy);
        assert_int_equal(
            sst_footer_get(bytes + byte_count - footer_bytes, footer_bytes, &footer, &fault),
            QUARRY_OK);
        for (int i = 0; i < 6000; i++) {
            /* Data blocks begin at 0; the index, metaindex by the footer. */
            struct sst_handle handle = i % 3 == 0   ? footer.index
                                       : i % 3 == 1 ? footer.metaindex
                                                    : (struct sst_handle){0};
            memcpy(copy, bytes, byte_count);
            if (handle.byte_count == 0) {
                struct kv_table *table = table_open(file_write(bytes, byte_count), false);
                handle.byte_count = 0;
                for (size_t at = 300; at < 500; at++) { /* where its trailer is */
                    if (endian_load_le_u32(bytes + at + 1) ==
                        sst_checksum(SST_CHECKSUM_CRC32C, bytes, at)) {
                        handle.byte_count = at;
                    }
                }
                kv_table_close(table);
                assert_true(handle.byte_count != 0);
            }
            for (uint64_t n = 1 + rig_random(&random) % 3; n > 0; n--) {
                copy[handle.offset + rig_random(&random) % handle.byte_count] =
                    (char)rig_random(&random);
            }
            put_checksum(copy, handle);
            struct kv_table *table = NULL;
            uint64_t number = file_write(copy, byte_count);
            if (try_open(number, i % 2 == 0, &table, NULL) == QUARRY_OK) {
                enum quarry_status status;
                (void)walk(table, &entries, &status);
                read_anyway(table, &entries);
                (void)kv_table_verify(table, NULL);
                kv_table_evict(table);
                kv_table_close(table);
            }
        }
        free(copy);
        free(bytes);
    }
    entries_free(&entries);
}

/* ---- memory that is short ------------------------------------------------------------------- */

static enum quarry_status write_with_ceiling(const struct entries *entries,
                                             const struct kv_table_write_options *options,
                                             uint64_t *ret_number)
{
    char path[64];
    struct quarry_vfs_file *file = NULL;
    struct kv_table_writer *writer = NULL;
    struct kv_table_result result;
    struct quarry_error error = {0};

    *ret_number = rig.next_number++;
    assert_int_equal(quarry_vfs_open(rig.vfs, table_path(*ret_number, path),
                                     (uint32_t)QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
                     QUARRY_OK);
    enum quarry_status status = kv_table_writer_create(&rig.tables, file, options, &writer, &error);
    for (size_t i = 0; i < entries->count && status == QUARRY_OK; i++) {
        status =
            kv_table_writer_add(writer, entries->entry[i].key, entries->entry[i].value, &error);
    }
    if (status == QUARRY_OK) {
        status = kv_table_writer_finish(writer, &result, &error);
    }
    if (status != QUARRY_OK) {
        assert_int_equal(error.status, status);
    }
    kv_table_writer_destroy(writer);
    quarry_vfs_close(file);
    return status;
}

static void codecs_forget(void)
{
    sst_codecs_fini(&rig.tables.codecs);
}

static uint64_t charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(rig.account, &state);
    return state.charged_bytes;
}

static void writing_fails_cleanly_at_every_ceiling(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        struct entries entries = entries_make(70 + f, &small);
        struct kv_table_write_options options = forms[f];
        uint32_t refused = 0;
        uint64_t ceiling = 64, number;
        options.buffer_bytes = 1000;
        for (;; ceiling += 64) {
            assert_int_equal(quarry_account_set_bounds(rig.account, 0, ceiling), QUARRY_OK);
            enum quarry_status status = write_with_ceiling(&entries, &options, &number);
            codecs_forget();
            assert_int_equal(charged(), 0);
            if (status == QUARRY_OK) {
                break;
            }
            assert_int_equal(status, QUARRY_NO_MEMORY);
            refused++;
        }
        assert_int_equal(quarry_account_set_bounds(rig.account, 0, 0), QUARRY_OK);
        assert_true(refused > 20);
        struct kv_table *table = table_open(number, false);
        table_check(table, &entries, 1);
        kv_table_close(table);
        codecs_forget();
        entries_free(&entries);
    }
}

static void reading_fails_cleanly_at_every_ceiling(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMS; f++) {
        struct entries entries = entries_make(80 + f, &small);
        uint64_t number = table_write(&entries, &forms[f], NULL);
        uint32_t refused = 0;
        codecs_forget();
        for (uint64_t ceiling = 64;; ceiling += 64) {
            struct kv_table *table = NULL;
            struct quarry_error error = {0};
            assert_int_equal(quarry_account_set_bounds(rig.account, 0, ceiling), QUARRY_OK);
            enum quarry_status status = try_open(number, ceiling % 128 == 0, &table, &error);
            size_t seen = 0;
            if (status == QUARRY_OK) {
                seen = walk(table, &entries, &status);
                assert_true(seen != SIZE_MAX);
                read_anyway(table, &entries);
                if (status == QUARRY_OK) {
                    status = kv_table_verify(table, &error);
                }
                kv_table_evict(table);
                kv_table_close(table);
            }
            codecs_forget();
            assert_int_equal(charged(), 0);
            if (status == QUARRY_OK) {
                assert_int_equal(seen, entries.count);
                break;
            }
            assert_int_equal(status, QUARRY_NO_MEMORY);
            refused++;
        }
        assert_int_equal(quarry_account_set_bounds(rig.account, 0, 0), QUARRY_OK);
        assert_true(refused > 20);
        entries_free(&entries);
    }
}

/* ---- what verify finds ---------------------------------------------------------------------- */

static void verify_names_file_and_offset(void **state)
{
    struct entries entries;
    size_t byte_count;
    struct quarry_error error = {0};

    (void)state;
    entries = entries_make(90, &small);
    char *bytes = file_read(table_write(&entries, &forms[0], NULL), &byte_count);
    bytes[20] = (char)~bytes[20];
    uint64_t number = file_write(bytes, byte_count);
    struct kv_table *table = table_open(number, false);
    assert_int_equal(kv_table_verify(table, &error), QUARRY_CORRUPT);
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "table %06llu at 0:", (unsigned long long)number);
    assert_non_null(strstr(error.text, wanted));
    kv_table_close(table);
    free(bytes);
    entries_free(&entries);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_flipped_byte_is_an_error_or_harmless),
        TEST(every_truncation_is_an_error),
        TEST(random_bytes_behind_right_checksums_never_crash),
        TEST(writing_fails_cleanly_at_every_ceiling),
        TEST(reading_fails_cleanly_at_every_ceiling),
        TEST(verify_names_file_and_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
