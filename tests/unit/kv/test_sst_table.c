/*
 * Tables: random ones with every combination of options come back as they were written.
 */
#include "unit/kv/sst_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct shape shapes[] = {
    {.count = 1, .key_bytes_max = 8, .value_bytes_max = 8, .versions_max = 1},
    {.count = 1500,
     .key_bytes_max = 12,
     .value_bytes_max = 60,
     .versions_max = 1,
     .is_plain = true},
    {.count = 1500,
     .key_bytes_max = 6,
     .value_bytes_max = 40,
     .versions_max = 9,
     .has_merges = true},
    {.count = 800,
     .key_bytes_max = 64,
     .value_bytes_max = 200,
     .versions_max = 2,
     .has_digits = true},
    {.count = 60, .key_bytes_max = 700, .value_bytes_max = 30000, .versions_max = 3},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static void round_trip(const struct kv_table_write_options *options, uint64_t seed)
{
    for (size_t i = 0; i < SHAPES; i++) {
        if (options->format == QUARRY_KV_FORMAT_LEVELDB && shapes[i].has_merges) {
            continue;
        }
        struct entries entries = entries_make(seed * 100 + i, &shapes[i]);
        uint64_t number = table_write(&entries, options, NULL);
        for (int pinned = 0; pinned < 2; pinned++) {
            struct kv_table *table = table_open(number, pinned != 0);
            table_check(table, &entries, seed);
            kv_table_evict(table);
            kv_table_close(table);
        }
        entries_free(&entries);
    }
}

static void every_compression_and_checksum_comes_back(void **state)
{
    static const enum quarry_kv_compression compressions[] = {
        QUARRY_KV_COMPRESSION_NONE, QUARRY_KV_COMPRESSION_SNAPPY, QUARRY_KV_COMPRESSION_LZ4,
        QUARRY_KV_COMPRESSION_ZSTD, QUARRY_KV_COMPRESSION_DEFAULT};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct kv_table_write_options options = {
            .compression = compressions[i],
            .checksum = (enum quarry_kv_checksum)(i % 5),
            .bloom_millibits = i % 2 == 0 ? 10000 : 0,
        };
        round_trip(&options, i + 1);
    }
}

static void every_layout_comes_back(void **state)
{
    static const uint32_t block_bytes[] = {64, 1024, 4096, 32768};
    static const uint32_t intervals[] = {1, 2, 16, 200};

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        struct kv_table_write_options options = {
            .block_bytes = block_bytes[i % 4],
            .restart_interval = intervals[i / 4],
            .bloom_millibits = i % 3 == 0 ? 0 : 5000 + (uint32_t)i * 1000,
            .is_partitioned = i % 2 == 1,
            .partition_bytes = i % 4 == 1 ? 200 : 4096,
            .buffer_bytes = i % 5 == 0 ? 100 : 0,
            .compression = i % 2 == 0 ? QUARRY_KV_COMPRESSION_LZ4 : QUARRY_KV_COMPRESSION_NONE,
        };
        round_trip(&options, 100 + i);
    }
}

static void leveldb_tables_come_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct kv_table_write_options options = {
            .format = QUARRY_KV_FORMAT_LEVELDB,
            .compression = i % 2 == 0 ? QUARRY_KV_COMPRESSION_SNAPPY : QUARRY_KV_COMPRESSION_NONE,
            .bloom_millibits = i < 2 ? 10000 : 0,
            .block_bytes = i == 0 ? 300 : 0,
        };
        round_trip(&options, 200 + i);
    }
}

/* ---- another order -------------------------------------------------------------------------- */

static int compare_backwards(void *argument, const void *a, size_t a_bytes, const void *b,
                             size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}

static void tables_in_another_order_come_back(void **state)
{
    static const struct quarry_kv_comparator backwards = {.name = "test.Backwards",
                                                          .compare = compare_backwards};

    (void)state;
    rig_begin(&backwards, 0);
    for (uint32_t i = 0; i < 4; i++) {
        struct kv_table_write_options options = {.block_bytes = 500,
                                                 .bloom_millibits = 10000,
                                                 .is_partitioned = i % 2 == 1,
                                                 .partition_bytes = 300,
                                                 .restart_interval = i < 2 ? 16 : 3};
        round_trip(&options, 300 + i);
    }
    rig_end();
}

static void a_table_of_another_order_is_refused(void **state)
{
    static const struct quarry_kv_comparator backwards = {.name = "test.Backwards",
                                                          .compare = compare_backwards};
    struct entries entries;
    struct quarry_vfs_file *file = NULL;
    const struct kv_table_options options = {.file_number = 1, .largest_sequence = UINT64_MAX};
    struct kv_table *table = NULL;
    struct quarry_error error = {0};
    struct kv_tables others;
    char path[64];

    (void)state;
    entries = entries_make(1, &shapes[1]);
    uint64_t number = table_write(&entries, &(struct kv_table_write_options){0}, NULL);
    const struct kv_tables_options tables = {
        .pool = rig.pool, .account = rig.account, .cache = rig.cache, .comparator = &backwards};
    assert_int_equal(kv_tables_init(&others, &tables, NULL), QUARRY_OK);
    assert_int_equal(
        quarry_vfs_open(rig.vfs, table_path(number, path), QUARRY_VFS_READ, &file, NULL),
        QUARRY_OK);
    assert_int_equal(kv_table_open(&others, &file, &options, &table, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "leveldb.BytewiseComparator"));
    assert_non_null(file);
    quarry_vfs_close(file);
    kv_tables_fini(&others);
    entries_free(&entries);
}

/* ---- filters -------------------------------------------------------------------------------- */

static void filters_reject_most_of_what_is_not_there(void **state)
{
    struct entries entries;
    static const struct shape shape = {.count = 4000,
                                       .key_bytes_max = 64,
                                       .value_bytes_max = 10,
                                       .versions_max = 1,
                                       .has_digits = true};

    (void)state;
    entries = entries_make(5, &shape);
    for (int i = 0; i < 3; i++) {
        struct kv_table_write_options options = {.bloom_millibits = 10000,
                                                 .is_partitioned = i == 1,
                                                 .format = i == 2 ? QUARRY_KV_FORMAT_LEVELDB
                                                                  : QUARRY_KV_FORMAT_ROCKSDB};
        struct kv_table *table = table_open(table_write(&entries, &options, NULL), true);
        uint32_t rejected = 0;
        for (uint32_t n = 0; n < 2000; n++) {
            char key[64];
            int count = snprintf(key, sizeof(key), "a rather long common beginning/%010u!", n * 16);
            struct kv_table_lookup lookup = {
                .key = {kv_slice(key, (size_t)count), kv_trailer_seek(KV_SEQUENCE_MAX)},
                .hash = kv_table_hash(kv_slice(key, (size_t)count))};
            struct kv_table_entry entry;
            kv_table_prefetch(table, lookup.hash);
            assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_NOT_FOUND);
            rejected += lookup.filtered == KV_TABLE_REJECTED;
        }
        assert_in_range(rejected, 1950, 2000);
        kv_table_close(table);
    }
    entries_free(&entries);
}

static void a_filter_in_memory_is_asked_without_the_table(void **state)
{
    static const struct shape shape = {
        .count = 1000, .key_bytes_max = 30, .value_bytes_max = 10, .versions_max = 2};
    const struct kv_table_write_options options = {.bloom_millibits = 10000};
    struct entries entries;
    uint32_t rejected = 0;

    (void)state;
    entries = entries_make(12, &shape);
    uint64_t number = table_write(&entries, &options, NULL);
    struct kv_table *table = table_open(number, true);
    for (size_t i = 0; i < entries.count; i++) {
        assert_int_equal(kv_table_ask(table, kv_table_hash(entries.entry[i].key.user)),
                         KV_TABLE_PASSED);
    }
    for (uint64_t n = 0; n < 1000; n++) {
        rejected +=
            kv_table_ask(table, n * UINT64_C(0x9e3779b97f4a7c15)) == KV_TABLE_REJECTED ? 1 : 0;
    }
    assert_in_range(rejected, 950, 1000);
    kv_table_close(table);
    table = table_open(number, false);
    assert_int_equal(kv_table_ask(table, kv_table_hash(entries.entry[0].key.user)),
                     KV_TABLE_NOT_FILTERED);
    kv_table_close(table);
    entries_free(&entries);
}

static void prefixes_are_found_in_whole_and_in_partitioned_filters(void **state)
{
    static const struct shape shape = {
        .count = 3000, .key_bytes_max = 9, .value_bytes_max = 30, .versions_max = 3};
    (void)state;
    rig_begin(NULL, 4);
    struct entries entries = entries_make(6, &shape);
    for (int i = 0; i < 2; i++) {
        struct kv_table_write_options options = {.bloom_millibits = 10000,
                                                 .prefix_bytes = 4,
                                                 .block_bytes = 200,
                                                 .partition_bytes = 150,
                                                 .is_partitioned = i == 1};
        struct kv_table *table = table_open(table_write(&entries, &options, NULL), i == 0);
        uint32_t rejected = 0;
        for (size_t n = 0; n < entries.count; n++) {
            struct kv_slice user = entries.entry[n].key.user;
            if (user.count >= 4) {
                assert_true(kv_table_may_have_prefix(table, kv_slice(user.bytes, 4)));
            }
        }
        for (uint32_t n = 0; n < 1000; n++) {
            char prefix[4] = {'q', (char)n, (char)(n >> 8), 'z'};
            rejected += !kv_table_may_have_prefix(table, kv_slice(prefix, 4));
        }
        assert_in_range(rejected, 950, 1000);
        assert_true(kv_table_may_have_prefix(table, kv_slice("qqq", 3)));
        kv_table_close(table);
    }
    entries_free(&entries);
    rig_end();
}

/* ---- range deletions ------------------------------------------------------------------------ */

static struct kv_table_writer *writer_make(struct quarry_vfs_file **ret_file, uint64_t *ret_number,
                                           const struct kv_table_write_options *options)
{
    char path[64];
    struct kv_table_writer *writer = NULL;

    *ret_number = rig.next_number++;
    assert_int_equal(quarry_vfs_open(rig.vfs, table_path(*ret_number, path),
                                     (uint32_t)QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, ret_file,
                                     NULL),
                     QUARRY_OK);
    assert_int_equal(kv_table_writer_create(&rig.tables, *ret_file, options, &writer, NULL),
                     QUARRY_OK);
    return writer;
}

static void range_deletions_are_listed_and_widen_the_bounds(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t number;
    struct kv_table_result result;
    const struct kv_table_write_options options = {.syncs = true};
    struct kv_table_writer *writer = writer_make(&file, &number, &options);
    size_t count;

    (void)state;
    assert_int_equal(
        kv_table_writer_add(writer, (struct kv_key){kv_slice("m", 1), kv_trailer(9, KV_TYPE_PUT)},
                            kv_slice("v", 1), NULL),
        QUARRY_OK);
    assert_int_equal(
        kv_table_writer_add_range_delete(writer, kv_slice("a", 1), kv_slice("z", 1), 7, NULL),
        QUARRY_OK);
    assert_int_equal(
        kv_table_writer_add_range_delete(writer, kv_slice("a", 1), kv_slice("b", 1), 3, NULL),
        QUARRY_OK);
    assert_int_equal(
        kv_table_writer_add_range_delete(writer, kv_slice("n", 1), kv_slice("o", 1), 12, NULL),
        QUARRY_OK);
    assert_int_equal(kv_table_writer_finish(writer, &result, NULL), QUARRY_OK);
    assert_int_equal(result.entry_count, 4);
    assert_int_equal(result.range_delete_count, 3);
    assert_int_equal(result.smallest_sequence, 3);
    assert_int_equal(result.largest_sequence, 12);
    assert_memory_equal(result.smallest.user.bytes, "a", 1);
    assert_true(result.smallest.trailer == kv_trailer(7, KV_TYPE_RANGE_DELETE));
    assert_memory_equal(result.largest.user.bytes, "z", 1);
    assert_true(result.largest.trailer == kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE));
    kv_table_writer_destroy(writer);
    quarry_vfs_close(file);

    struct kv_table *table = table_open(number, false);
    const struct kv_table_range *ranges = kv_table_ranges(table, &count);
    assert_int_equal(count, 3);
    assert_memory_equal(ranges[0].end.bytes, "z", 1);
    assert_int_equal(ranges[1].sequence, 3);
    assert_memory_equal(ranges[2].begin.bytes, "n", 1);
    assert_int_equal(kv_table_verify(table, NULL), QUARRY_OK);
    kv_table_close(table);
}

static void a_table_of_range_deletions_alone_has_no_entries(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t number;
    struct kv_table_result result;

    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct kv_table_write_options options = {.is_partitioned = i == 1,
                                                       .bloom_millibits = 10000};
        struct kv_table_writer *writer = writer_make(&file, &number, &options);
        assert_int_equal(
            kv_table_writer_add_range_delete(writer, kv_slice("a", 1), kv_slice("z", 1), 7, NULL),
            QUARRY_OK);
        assert_int_equal(kv_table_writer_finish(writer, &result, NULL), QUARRY_OK);
        kv_table_writer_destroy(writer);
        quarry_vfs_close(file);
        struct kv_table *table = table_open(number, i == 0);
        struct kv_table_iterator iterator;
        /* What is deleted in it no filter has. */
        assert_int_equal(kv_table_ask(table, kv_table_hash(kv_slice("b", 1))),
                         KV_TABLE_NOT_FILTERED);
        kv_table_iterator_init(&iterator, table, NULL, NULL);
        iterator.base.ops->first(&iterator.base);
        assert_false(iterator.base.is_valid);
        iterator.base.ops->last(&iterator.base);
        assert_false(iterator.base.is_valid);
        iterator.base.ops->seek(&iterator.base, (struct kv_key){kv_slice("b", 1), 0});
        assert_false(iterator.base.is_valid);
        assert_int_equal(iterator.base.status, QUARRY_OK);
        iterator.base.ops->fini(&iterator.base);
        assert_int_equal(kv_table_verify(table, NULL), QUARRY_OK);
        kv_table_close(table);
    }
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void a_writer_refuses_what_is_out_of_order_and_stays_so(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t number;
    struct kv_table_result result;
    struct quarry_error error = {0};
    const struct kv_table_write_options options = {0};
    struct kv_table_writer *writer = writer_make(&file, &number, &options);
    const struct kv_key b = {kv_slice("b", 1), kv_trailer(5, KV_TYPE_PUT)};
    const struct kv_key a = {kv_slice("a", 1), kv_trailer(5, KV_TYPE_PUT)};

    (void)state;
    assert_int_equal(kv_table_writer_add(writer, b, kv_slice("", 0), &error), QUARRY_OK);
    assert_int_equal(kv_table_writer_add(writer, a, kv_slice("", 0), &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "order"));
    error = (struct quarry_error){0};
    assert_int_equal(kv_table_writer_finish(writer, &result, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "order"));
    kv_table_writer_destroy(writer);
    quarry_vfs_close(file);
}

static void options_that_a_format_does_not_have_are_refused(void **state)
{
    static const struct kv_table_write_options wrong[] = {
        {.compression = QUARRY_KV_COMPRESSION_ZLIB},
        {.compression = (enum quarry_kv_compression)6},
        {.checksum = (enum quarry_kv_checksum)5},
        {.format = QUARRY_KV_FORMAT_LEVELDB, .compression = QUARRY_KV_COMPRESSION_ZSTD},
        {.format = QUARRY_KV_FORMAT_LEVELDB, .is_partitioned = true},
        {.format = QUARRY_KV_FORMAT_LEVELDB, .checksum = QUARRY_KV_CHECKSUM_XXH3},
    };
    struct kv_table_writer *writer = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(kv_table_writer_create(&rig.tables, NULL, &wrong[i], &writer, NULL),
                         QUARRY_BAD_INPUT);
    }
}

static void an_empty_table_is_not_written(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t number;
    struct kv_table_result result;
    const struct kv_table_write_options options = {0};
    struct kv_table_writer *writer = writer_make(&file, &number, &options);

    (void)state;
    assert_int_equal(kv_table_writer_finish(writer, &result, NULL), QUARRY_BAD_INPUT);
    kv_table_writer_destroy(writer);
    quarry_vfs_close(file);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void offsets_rise_with_keys_and_end_with_the_data(void **state)
{
    struct entries entries;
    struct kv_table_result result;

    (void)state;
    entries = entries_make(8, &shapes[1]);
    struct kv_table *table =
        table_open(table_write(&entries, &(struct kv_table_write_options){0}, &result), false);
    uint64_t last = 0;
    for (size_t i = 0; i < entries.count; i++) {
        uint64_t offset = kv_table_approximate_offset(table, entries.entry[i].key);
        assert_true(offset >= last && offset < result.file_bytes);
        last = offset;
    }
    const struct kv_key beyond = {
        kv_slice("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 13), 0};
    assert_int_equal(kv_table_approximate_offset(table, beyond), result.properties.data_bytes);
    kv_table_close(table);
    entries_free(&entries);
}

static void all_entries_of_an_ingested_file_have_its_sequence(void **state)
{
    struct entries entries;
    char path[64];

    (void)state;
    entries = entries_make(9, &shapes[1]);
    const struct kv_table_write_options options = {.is_ingestible = true};
    uint64_t number = table_write(&entries, &options, NULL);
    struct quarry_vfs_file *file = NULL;
    assert_int_equal(
        quarry_vfs_open(rig.vfs, table_path(number, path), QUARRY_VFS_READ, &file, NULL),
        QUARRY_OK);
    const struct kv_table_options opening = {.file_number = number, .largest_sequence = 77};
    struct kv_table *table = NULL;
    assert_int_equal(kv_table_open(&rig.tables, &file, &opening, &table, NULL), QUARRY_OK);
    for (size_t i = 0; i < entries.count; i++) {
        entries.entry[i].key.trailer = kv_trailer(77, KV_TYPE_PUT);
    }
    table_check(table, &entries, 3);
    struct kv_table_lookup lookup = {.key = {entries.entry[5].key.user, kv_trailer_seek(76)},
                                     .hash = kv_table_hash(entries.entry[5].key.user)};
    struct kv_table_entry entry;
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_NOT_FOUND);
    kv_table_close(table);
    entries_free(&entries);
}

static void a_lookup_of_cached_blocks_alone_does_not_read(void **state)
{
    struct entries entries;
    struct kv_table_entry entry;

    (void)state;
    entries = entries_make(10, &shapes[1]);
    struct kv_table *table =
        table_open(table_write(&entries, &(struct kv_table_write_options){0}, NULL), false);
    struct kv_table_lookup lookup = {.key = entries.entry[3].key,
                                     .hash = kv_table_hash(entries.entry[3].key.user),
                                     .only_cached = true};
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_BUSY);
    lookup.only_cached = false;
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_OK);
    kv_table_entry_release(&rig.tables, &entry);
    lookup.only_cached = true;
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_OK);
    kv_table_entry_release(&rig.tables, &entry);
    kv_table_evict(table);
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_BUSY);
    kv_table_close(table);
    entries_free(&entries);
}

static void the_quota_is_kept_while_iterators_stand_on_blocks(void **state)
{
    struct entries entries;
    struct kv_pins pins = {.most_bytes = 6000, .quota_bytes = 6000};
    const struct kv_table_iterator_options options = {.pins = &pins};
    struct kv_table_iterator iterators[4];

    (void)state;
    entries = entries_make(11, &shapes[1]);
    struct kv_table *table =
        table_open(table_write(&entries, &(struct kv_table_write_options){0}, NULL), true);
    for (size_t i = 0; i < 4; i++) {
        kv_table_iterator_init(&iterators[i], table, &options, NULL);
        iterators[i].base.ops->first(&iterators[i].base);
        assert_true(iterators[i].base.is_valid);
        assert_true(pins.held_bytes > 0 && pins.held_bytes <= pins.quota_bytes);
    }
    assert_int_equal(pins.copied_count, 3);
    for (size_t i = 0; i < 4; i++) {
        iterators[i].base.ops->fini(&iterators[i].base);
    }
    assert_int_equal(pins.held_bytes, 0);
    kv_table_close(table);
    entries_free(&entries);
}

static void a_quota_that_shrinks_is_kept_from_the_next_step_on(void **state)
{
    struct entries entries;
    struct kv_pins pins;
    const struct kv_table_iterator_options options = {.pins = &pins};
    struct kv_table_iterator iterator;

    (void)state;
    kv_pins_init(&pins, Q_KIB(256));
    entries = entries_make(11, &shapes[1]);
    struct kv_table *table =
        table_open(table_write(&entries, &(struct kv_table_write_options){0}, NULL), true);
    kv_table_iterator_init(&iterator, table, &options, NULL);
    iterator.base.ops->first(&iterator.base);
    assert_true(pins.held_bytes > 0);
    while (pins.quota_bytes != 0) {
        uint64_t before_bytes = pins.quota_bytes;
        kv_pins_shrink(&pins);
        assert_true(pins.quota_bytes <= before_bytes / 2);
    }
    iterator.base.ops->next(&iterator.base);
    assert_true(iterator.base.is_valid);
    assert_int_equal(pins.held_bytes, 0);
    assert_int_equal(pins.copied_count, 1);
    for (uint32_t i = 0; i < 64; i++) {
        kv_pins_grow(&pins);
    }
    assert_int_equal(pins.quota_bytes, Q_KIB(256));
    iterator.base.ops->next(&iterator.base);
    assert_true(iterator.base.is_valid);
    assert_true(pins.held_bytes > 0);
    iterator.base.ops->fini(&iterator.base);
    assert_int_equal(pins.held_bytes, 0);
    kv_table_close(table);
    entries_free(&entries);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_compression_and_checksum_comes_back),
        TEST(every_layout_comes_back),
        TEST(leveldb_tables_come_back),
        cmocka_unit_test(tables_in_another_order_come_back),
        TEST(a_table_of_another_order_is_refused),
        TEST(filters_reject_most_of_what_is_not_there),
        TEST(a_filter_in_memory_is_asked_without_the_table),
        cmocka_unit_test(prefixes_are_found_in_whole_and_in_partitioned_filters),
        TEST(range_deletions_are_listed_and_widen_the_bounds),
        TEST(a_table_of_range_deletions_alone_has_no_entries),
        TEST(a_writer_refuses_what_is_out_of_order_and_stays_so),
        TEST(options_that_a_format_does_not_have_are_refused),
        TEST(an_empty_table_is_not_written),
        TEST(offsets_rise_with_keys_and_end_with_the_data),
        TEST(all_entries_of_an_ingested_file_have_its_sequence),
        TEST(a_lookup_of_cached_blocks_alone_does_not_read),
        TEST(the_quota_is_kept_while_iterators_stand_on_blocks),
        TEST(a_quota_that_shrinks_is_kept_from_the_next_step_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
