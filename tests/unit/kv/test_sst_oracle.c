/*
 * Tables against those who define the format: what RocksDB and LevelDB write is read here, what is
 * written here is read by them. In a directory of the machine's, removed at the end.
 */
#include "unit/kv/sst_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <leveldb/c.h>
#include <rocksdb/c.h>

static char directory[64];

static void must_not_fail(char *fault)
{
    if (fault != NULL) {
        fail_msg("the oracle: %s", fault);
    }
}

static void path_in(char *room, size_t room_bytes, const char *name)
{
    (void)snprintf(room, room_bytes, "%s/%s", directory, name);
}

static void empty_directory(void)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(mkdir(directory, 0700), 0);
}

static int directory_make(void **state)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/quarry_sst_XXXXXX");
    assert_non_null(mkdtemp(directory));
    return rig_set_up(state);
}

static int directory_remove(void **state)
{
    empty_directory();
    assert_int_equal(rmdir(directory), 0);
    return rig_tear_down(state);
}

/* ---- what they write ------------------------------------------------------------------------ */

/* Keys of every length that a hash tells apart, and values that tell their key. */
static size_t key_of(uint64_t n, char *room)
{
    size_t count = 1 + n * 7 % 1300;

    for (size_t i = 0; i < count; i++) {
        room[i] = (char)('a' + (n + i * i) % 26);
    }
    int digits = snprintf(room, 16, "%06llu", (unsigned long long)(n * 7919 % 1000000));
    room[digits] = count > (size_t)digits ? 'x' : '\0';
    return count > 6 ? count : 6;
}

static size_t value_of(uint64_t n, uint64_t version, char *room)
{
    return (size_t)snprintf(
        room, 400, "%llu/%llu/%.*s", (unsigned long long)n, (unsigned long long)version,
        (int)(n * 31 % 300),
        "the quick brown fox jumps over the lazy dog; the quick brown fox jumps "
        "over the lazy dog; the quick brown fox jumps over the lazy dog; the "
        "quick brown fox jumps over the lazy dog; the quick brown fox jumps over "
        "the lazy dog; the quick brown fox jumps over the lazy dog; and so on");
}

static void check_newest(struct kv_table *table, uint64_t n, uint64_t version, bool is_deleted)
{
    char key[2048], value[512];
    struct kv_slice user = kv_slice(key, key_of(n, key));
    struct kv_table_lookup lookup = {.key = {user, kv_trailer_seek(KV_SEQUENCE_MAX)},
                                     .hash = kv_table_hash(user)};
    struct kv_table_entry entry;
    struct quarry_error error = {0};
    enum quarry_status status = kv_table_get(table, &lookup, &entry, &error);
    size_t count = value_of(n, version, value);

    if (status != QUARRY_OK) {
        fail_msg("key %llu: %s: %s", (unsigned long long)n, quarry_status_name(status), error.text);
    }
    if (is_deleted) {
        assert_int_equal(kv_trailer_type(entry.trailer), KV_TYPE_DELETE);
    } else {
        assert_int_equal(kv_trailer_type(entry.trailer), KV_TYPE_PUT);
        assert_int_equal(entry.value.count, count);
        assert_memory_equal(entry.value.bytes, value, count);
    }
    kv_table_entry_release(&rig.tables, &entry);
}

/* Finds the files of a suffix in the directory, imports them, and calls `check` for each. */
static uint32_t for_each_file(const char *suffix,
                              void (*check)(struct kv_table *table, void *argument), void *argument)
{
    DIR *stream = opendir(directory);
    uint32_t count = 0;

    assert_non_null(stream);
    for (const struct dirent *file; (file = readdir(stream)) != NULL;) {
        const char *dot = strrchr(file->d_name, '.');
        if (dot != NULL && strcmp(dot, suffix) == 0) {
            char path[512];
            path_in(path, sizeof(path), file->d_name);
            uint64_t number = file_import(path);
            for (int pinned = 0; pinned < 2; pinned++) {
                struct kv_table *table = table_open(number, pinned != 0);
                struct quarry_error error = {0};
                if (kv_table_verify(table, &error) != QUARRY_OK) {
                    fail_msg("verify %s: %s", path, error.text);
                }
                check(table, argument);
                kv_table_evict(table);
                kv_table_close(table);
            }
            count++;
        }
    }
    (void)closedir(stream);
    return count;
}

#define KEYS 1500u

static void check_all(struct kv_table *table, void *argument)
{
    (void)argument;
    for (uint64_t n = 0; n < KEYS; n++) {
        check_newest(table, n, n % 5 == 0 ? 2 : 1, n % 11 == 0);
    }
    for (uint64_t n = 0; n < 200; n++) {
        char key[64];
        struct kv_slice user = kv_slice(
            key, (size_t)snprintf(key, sizeof(key), "%06llu-", (unsigned long long)(n * 5000)));
        struct kv_table_lookup lookup = {.key = {user, kv_trailer_seek(KV_SEQUENCE_MAX)},
                                         .hash = kv_table_hash(user)};
        struct kv_table_entry entry;
        assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_NOT_FOUND);
    }
}

struct rocksdb_setup {
    int compression, format_version, index_type, checksum, bits;
    bool is_partitioned, has_hash_index, has_dictionary, is_ribbon, keeps_versions;
};

static rocksdb_options_t *rocksdb_setup_options(const struct rocksdb_setup *setup)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_disable_auto_compactions(options, 1);
    rocksdb_options_set_compression(options, setup->compression);
    if (setup->has_dictionary) {
        rocksdb_options_set_compression_options(options, -14, 3, 0, 4096);
    }
    rocksdb_block_based_options_set_format_version(table, setup->format_version);
    rocksdb_block_based_options_set_index_type(table, setup->index_type);
    rocksdb_block_based_options_set_checksum(table, (char)setup->checksum);
    rocksdb_block_based_options_set_block_size(table, 2048);
    if (setup->is_partitioned) {
        rocksdb_block_based_options_set_partition_filters(table, 1);
        rocksdb_block_based_options_set_metadata_block_size(table, 512);
    }
    if (setup->has_hash_index) {
        rocksdb_block_based_options_set_data_block_index_type(table, 1);
    }
    if (setup->bits != 0) {
        rocksdb_block_based_options_set_filter_policy(
            table, setup->is_ribbon ? rocksdb_filterpolicy_create_ribbon(setup->bits)
                                    : rocksdb_filterpolicy_create_bloom_full(setup->bits));
    }
    if (setup->index_type == rocksdb_block_based_table_index_type_hash_search) {
        rocksdb_options_set_prefix_extractor(options,
                                             rocksdb_slicetransform_create_fixed_prefix(3));
    }
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

static void rocksdb_fill(rocksdb_t *db, bool keeps_versions)
{
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    const rocksdb_snapshot_t *snapshot = NULL;
    char key[2048], value[512], *fault = NULL;

    rocksdb_writeoptions_disable_WAL(writing, 1);
    for (uint64_t n = 0; n < KEYS; n++) {
        size_t key_bytes = key_of(n, key);
        rocksdb_put(db, writing, key, key_bytes, value, value_of(n, 1, value), &fault);
        must_not_fail(fault);
    }
    if (keeps_versions) {
        snapshot = rocksdb_create_snapshot(db);
    }
    for (uint64_t n = 0; n < KEYS; n++) {
        size_t key_bytes = key_of(n, key);
        if (n % 11 == 0) {
            rocksdb_delete(db, writing, key, key_bytes, &fault);
        } else if (n % 5 == 0) {
            rocksdb_put(db, writing, key, key_bytes, value, value_of(n, 2, value), &fault);
        }
        must_not_fail(fault);
    }
    rocksdb_flushoptions_t *flushing = rocksdb_flushoptions_create();
    rocksdb_flush(db, flushing, &fault);
    must_not_fail(fault);
    rocksdb_flushoptions_destroy(flushing);
    if (snapshot != NULL) {
        rocksdb_release_snapshot(db, snapshot);
    }
    rocksdb_writeoptions_destroy(writing);
}

static void rocksdb_round(const struct rocksdb_setup *setup)
{
    char *fault = NULL;
    rocksdb_options_t *options = rocksdb_setup_options(setup);

    empty_directory();
    rocksdb_t *db = rocksdb_open(options, directory, &fault);
    must_not_fail(fault);
    rocksdb_fill(db, setup->keeps_versions);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    assert_int_equal(for_each_file(".sst", check_all, NULL), 1);
}

static void every_format_version_and_compression_of_rocksdb_is_read(void **state)
{
    static const int compressions[] = {rocksdb_no_compression,   rocksdb_snappy_compression,
                                       rocksdb_zlib_compression, rocksdb_bz2_compression,
                                       rocksdb_lz4_compression,  rocksdb_lz4hc_compression,
                                       rocksdb_zstd_compression};

    (void)state;
    for (int version = 0; version <= 5; version++) {
        for (int i = 0; i < 7; i++) {
            const struct rocksdb_setup setup = {
                .compression = compressions[i],
                .format_version = version,
                .checksum = version == 0 ? 1 : i % 5,
                .bits = 10,
                .keeps_versions = i % 2 == 0,
            };
            rocksdb_round(&setup);
        }
    }
}

static void every_index_and_filter_of_rocksdb_is_read(void **state)
{
    (void)state;
    for (int version = 2; version <= 5; version++) {
        for (int type = 0; type <= 3; type++) {
            for (int i = 0; i < 4; i++) {
                const struct rocksdb_setup setup = {
                    .compression = i == 3 ? rocksdb_zstd_compression : rocksdb_lz4_compression,
                    .format_version = version,
                    .index_type = type,
                    .checksum = 1 + i,
                    .bits = i == 1 ? 0 : 6 + 5 * i,
                    .is_partitioned = type == 2,
                    .has_hash_index = i % 2 == 0,
                    .has_dictionary = i == 3,
                    .is_ribbon = i == 2,
                    .keeps_versions = i < 2,
                };
                rocksdb_round(&setup);
            }
        }
    }
}

static void check_ranges(struct kv_table *table, void *argument)
{
    size_t count;
    const struct kv_table_range *ranges = kv_table_ranges(table, &count);

    (void)argument;
    assert_int_equal(count, 2);
    assert_memory_equal(ranges[0].begin.bytes, "a", 1);
    assert_memory_equal(ranges[0].end.bytes, "c", 1);
    assert_memory_equal(ranges[1].begin.bytes, "x", 1);
    assert_memory_equal(ranges[1].end.bytes, "y", 1);
    assert_true(ranges[0].sequence > 0 && ranges[1].sequence > 0);
}

static void range_deletions_of_rocksdb_are_read(void **state)
{
    char *fault = NULL;
    const struct rocksdb_setup setup = {.format_version = 5, .checksum = 4};
    rocksdb_options_t *options = rocksdb_setup_options(&setup);
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_flushoptions_t *flushing = rocksdb_flushoptions_create();

    (void)state;
    empty_directory();
    rocksdb_t *db = rocksdb_open(options, directory, &fault);
    must_not_fail(fault);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, "x", 1, "y", 1);
    rocksdb_writebatch_delete_range(batch, "a", 1, "c", 1);
    rocksdb_write(db, writing, batch, &fault);
    must_not_fail(fault);
    rocksdb_writebatch_destroy(batch);
    rocksdb_put(db, writing, "m", 1, "v", 1, &fault);
    rocksdb_flush(db, flushing, &fault);
    must_not_fail(fault);
    rocksdb_close(db);
    assert_int_equal(for_each_file(".sst", check_ranges, NULL), 1);
    rocksdb_flushoptions_destroy(flushing);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_options_destroy(options);
}

/* ---- ingested files ------------------------------------------------------------------------- */

static void check_ingested(struct kv_table *table, void *argument)
{
    (void)argument;
    if (kv_table_properties(table)->external_version == 0) {
        return; /* the file that was there before */
    }
    struct kv_table_lookup lookup = {
        .key = {kv_slice("key05", 5), kv_trailer_seek(KV_SEQUENCE_MAX)},
        .hash = kv_table_hash(kv_slice("key05", 5))};
    struct kv_table_entry entry;
    assert_int_equal(kv_table_get(table, &lookup, &entry, NULL), QUARRY_OK);
    assert_memory_equal(entry.value.bytes, "new", 3);
    if (kv_table_properties(table)->global_sequence != 0) {
        assert_true(kv_trailer_sequence(entry.trailer) ==
                    kv_table_properties(table)->global_sequence);
    }
    kv_table_entry_release(&rig.tables, &entry);
}

static void files_that_rocksdb_has_ingested_are_read(void **state)
{
    char *fault = NULL, path[512], key[16];
    const struct rocksdb_setup setup = {.format_version = 5, .checksum = 1, .bits = 10};
    rocksdb_options_t *options = rocksdb_setup_options(&setup);
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    rocksdb_envoptions_t *environment = rocksdb_envoptions_create();
    rocksdb_ingestexternalfileoptions_t *ingesting = rocksdb_ingestexternalfileoptions_create();
    const char *paths[] = {path};

    (void)state;
    empty_directory();
    path_in(path, sizeof(path), "outside");
    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(environment, options);
    rocksdb_sstfilewriter_open(writer, path, &fault);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof(key), "key%02d", i);
        rocksdb_sstfilewriter_put(writer, key, 5, "new", 3, &fault);
    }
    rocksdb_sstfilewriter_finish(writer, &fault);
    must_not_fail(fault);
    rocksdb_t *db = rocksdb_open(options, directory, &fault);
    must_not_fail(fault);
    rocksdb_put(db, writing, "key05", 5, "old", 3, &fault);
    rocksdb_ingest_external_file(db, paths, 1, ingesting, &fault);
    must_not_fail(fault);
    rocksdb_close(db);
    assert_int_equal(for_each_file(".sst", check_ingested, NULL), 2);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_ingestexternalfileoptions_destroy(ingesting);
    rocksdb_envoptions_destroy(environment);
    rocksdb_writeoptions_destroy(writing);
    rocksdb_options_destroy(options);
}

static void rocksdb_ingests_what_is_written_here(void **state)
{
    static const struct shape shape = {.count = 1500,
                                       .key_bytes_max = 64,
                                       .value_bytes_max = 90,
                                       .versions_max = 1,
                                       .is_plain = true,
                                       .has_digits = true};
    char *fault = NULL, path[512];
    const struct rocksdb_setup setup = {.format_version = 5, .checksum = 1, .bits = 10};
    rocksdb_options_t *options = rocksdb_setup_options(&setup);
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_ingestexternalfileoptions_t *ingesting = rocksdb_ingestexternalfileoptions_create();
    const char *paths[] = {path};
    struct entries entries = entries_make(77, &shape);
    const struct kv_table_write_options writing = {
        .is_ingestible = true, .bloom_millibits = 10000, .compression = QUARRY_KV_COMPRESSION_ZSTD};

    (void)state;
    empty_directory();
    path_in(path, sizeof(path), "outside");
    file_export(table_write(&entries, &writing, NULL), path);
    rocksdb_t *db = rocksdb_open(options, directory, &fault);
    must_not_fail(fault);
    rocksdb_ingest_external_file(db, paths, 1, ingesting, &fault);
    must_not_fail(fault);
    for (size_t i = 0; i < entries.count; i++) {
        size_t count;
        char *value = rocksdb_get(db, reading, entries.entry[i].key.user.bytes,
                                  entries.entry[i].key.user.count, &count, &fault);
        must_not_fail(fault);
        assert_non_null(value);
        assert_int_equal(count, entries.entry[i].value.count);
        assert_memory_equal(value, entries.entry[i].value.bytes, count);
        rocksdb_free(value);
    }
    rocksdb_close(db);
    entries_free(&entries);
    rocksdb_ingestexternalfileoptions_destroy(ingesting);
    rocksdb_readoptions_destroy(reading);
    rocksdb_options_destroy(options);
}

/* ---- what is written here ------------------------------------------------------------------- */

static uint64_t run_sst_dump(const char *path, const char *arguments, const char *wanted)
{
    char command[1024], line[4096];
    uint64_t count = 0;

    (void)snprintf(command, sizeof(command), "sst_dump --file='%s' %s 2>&1", path, arguments);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    while (fgets(line, sizeof(line), output) != NULL) {
        count += strstr(line, wanted) != NULL;
        if (strstr(line, "orruption") != NULL) {
            fail_msg("%s: %s", command, line);
        }
    }
    assert_int_equal(pclose(output), 0);
    return count;
}

/* Opens the directory by RocksDB after its repair, and looks every newest version up. */
static void check_by_rocksdb(const struct entries *entries, const struct rocksdb_setup *setup)
{
    char *fault = NULL;
    rocksdb_options_t *options = rocksdb_setup_options(setup);
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();

    rocksdb_repair_db(options, directory, &fault);
    must_not_fail(fault);
    rocksdb_t *db = rocksdb_open(options, directory, &fault);
    must_not_fail(fault);
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->entry[i];
        size_t count = 0;
        if (i > 0 && kv_compare_bytes(entries->entry[i - 1].key.user, entry->key.user) == 0) {
            continue;
        }
        char *value =
            rocksdb_get(db, reading, entry->key.user.bytes, entry->key.user.count, &count, &fault);
        must_not_fail(fault);
        if (kv_trailer_type(entry->key.trailer) != KV_TYPE_PUT) {
            assert_null(value);
        } else {
            assert_non_null(value);
            assert_int_equal(count, entry->value.count);
            assert_memory_equal(value, entry->value.bytes, count);
        }
        rocksdb_free(value);
    }
    rocksdb_close(db);
    rocksdb_readoptions_destroy(reading);
    rocksdb_options_destroy(options);
}

static void rocksdb_reads_every_combination_of_options(void **state)
{
    static const enum quarry_kv_compression compressions[] = {
        QUARRY_KV_COMPRESSION_NONE, QUARRY_KV_COMPRESSION_SNAPPY, QUARRY_KV_COMPRESSION_LZ4,
        QUARRY_KV_COMPRESSION_ZSTD};
    static const struct shape shapes[] = {
        {.count = 1200, .key_bytes_max = 9, .value_bytes_max = 80, .versions_max = 4},
        {.count = 900, .key_bytes_max = 700, .value_bytes_max = 300, .versions_max = 1},
    };

    (void)state;
    for (uint32_t i = 0; i < 32; i++) {
        struct entries entries = entries_make(500 + i, &shapes[i % 2]);
        char path[512];
        const struct kv_table_write_options options = {
            .compression = compressions[i % 4],
            .checksum = (enum quarry_kv_checksum)(1 + i / 4 % 4),
            .bloom_millibits = i % 3 == 0 ? 0 : 3000 * (i % 5 + 1),
            .is_partitioned = i % 8 >= 4,
            .partition_bytes = 512,
            .block_bytes = i % 7 == 0 ? 300 : 0,
            .restart_interval = i % 5 == 0 ? 3 : 0,
            .db_id = "a store",
            .session_id = "a session",
            .host = "a host",
            .creation_time = 1700000000,
        };
        empty_directory();
        path_in(path, sizeof(path), "000007.sst");
        file_export(table_write(&entries, &options, NULL), path);
        (void)run_sst_dump(path, "--command=verify --verify_checksum", "");
        assert_int_equal(run_sst_dump(path, "--command=scan --output_hex", " => "), entries.count);
        assert_true(run_sst_dump(path, "--command=none --show_properties",
                                 "comparator name: leveldb.BytewiseComparator") == 1);
        check_by_rocksdb(&entries,
                         &(struct rocksdb_setup){.format_version = 5,
                                                 .checksum = 1,
                                                 .bits = options.bloom_millibits == 0 ? 0 : 10,
                                                 .is_partitioned = i % 8 >= 4});
        entries_free(&entries);
    }
}

static void properties_are_those_that_rocksdb_would_write(void **state)
{
    static const char *const lines[] = {
        "# data blocks: ",
        "# entries: 1200",
        "# deletions: ",
        "filter policy name: bloomfilter",
        "comparator name: leveldb.BytewiseComparator",
        "compression algo: LZ4",
        "index block size (user-key? 1, delta-value? 1)",
        "DB identity: a store",
        "creation time: 1700000000",
        "prefix extractor name: nullptr",
        "merge operator name: nullptr",
        "property collectors names: []",
        "column family name: default",
    };
    static const struct shape shape = {
        .count = 1200, .key_bytes_max = 40, .value_bytes_max = 80, .versions_max = 1};
    char path[512];
    const struct kv_table_write_options options = {.compression = QUARRY_KV_COMPRESSION_LZ4,
                                                   .bloom_millibits = 10000,
                                                   .creation_time = 1700000000,
                                                   .db_id = "a store"};
    struct entries entries = entries_make(3, &shape);

    (void)state;
    entries.count = entries.count < 1200 ? entries.count : 1200;
    path_in(path, sizeof(path), "000007.sst");
    file_export(table_write(&entries, &options, NULL), path);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char wanted[128];
        (void)snprintf(wanted, sizeof(wanted), "%s", lines[i]);
        if (strcmp(lines[i], "# entries: 1200") == 0) {
            (void)snprintf(wanted, sizeof(wanted), "# entries: %zu", entries.count);
        }
        if (run_sst_dump(path, "--command=none --show_properties", wanted) == 0) {
            fail_msg("sst_dump does not say: %s", wanted);
        }
    }
    entries_free(&entries);
}

/* ---- LevelDB -------------------------------------------------------------------------------- */

static leveldb_options_t *leveldb_setup(bool is_compressed, int bits)
{
    leveldb_options_t *options = leveldb_options_create();

    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_compression(options, is_compressed ? leveldb_snappy_compression
                                                           : leveldb_no_compression);
    if (bits != 0) {
        leveldb_options_set_filter_policy(options, leveldb_filterpolicy_create_bloom(bits));
    }
    return options;
}

/* After a compaction deletions are gone, and each key is in one of the files. */
static void check_leveldb_table(struct kv_table *table, void *argument)
{
    uint64_t *found = argument;

    for (uint64_t n = 0; n < KEYS; n++) {
        char key[2048];
        struct kv_slice user = kv_slice(key, key_of(n, key));
        struct kv_table_lookup lookup = {.key = {user, kv_trailer_seek(KV_SEQUENCE_MAX)},
                                         .hash = kv_table_hash(user)};
        struct kv_table_entry entry;
        enum quarry_status status = kv_table_get(table, &lookup, &entry, NULL);
        if (status == QUARRY_OK) {
            char value[512];
            size_t count = value_of(n, n % 5 == 0 ? 2 : 1, value);
            assert_int_equal(entry.value.count, count);
            assert_memory_equal(entry.value.bytes, value, count);
            kv_table_entry_release(&rig.tables, &entry);
            (*found)++;
        } else {
            assert_int_equal(status, QUARRY_NOT_FOUND);
        }
    }
}

static void tables_of_leveldb_are_read(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        char *fault = NULL, key[2048], value[512];
        leveldb_options_t *options = leveldb_setup(i % 2 == 0, i < 2 ? 10 : 0);
        leveldb_writeoptions_t *writing = leveldb_writeoptions_create();
        uint64_t found = 0, expected = 0;
        empty_directory();
        leveldb_t *db = leveldb_open(options, directory, &fault);
        must_not_fail(fault);
        for (uint64_t n = 0; n < KEYS; n++) {
            size_t key_bytes = key_of(n, key);
            leveldb_put(db, writing, key, key_bytes, value, value_of(n, n % 5 == 0 ? 2 : 1, value),
                        &fault);
            must_not_fail(fault);
            expected++;
        }
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        leveldb_close(db);
        assert_true(for_each_file(".ldb", check_leveldb_table, &found) >= 1);
        assert_int_equal(found, 2 * expected); /* pinned, and not */
        leveldb_writeoptions_destroy(writing);
        leveldb_options_destroy(options);
    }
}

static void leveldb_reads_what_is_written_here(void **state)
{
    static const struct shape shape = {
        .count = 1500, .key_bytes_max = 30, .value_bytes_max = 90, .versions_max = 3};

    (void)state;
    for (uint32_t i = 0; i < 6; i++) {
        struct entries entries = entries_make(900 + i, &shape);
        char *fault = NULL, path[512];
        const struct kv_table_write_options writing = {
            .format = QUARRY_KV_FORMAT_LEVELDB,
            .compression = i % 2 == 0 ? QUARRY_KV_COMPRESSION_SNAPPY : QUARRY_KV_COMPRESSION_NONE,
            .bloom_millibits = i < 4 ? 10000 : 0,
            .block_bytes = i < 2 ? 700 : 0};
        leveldb_options_t *options = leveldb_setup(true, 10);
        leveldb_readoptions_t *reading = leveldb_readoptions_create();
        leveldb_readoptions_set_verify_checksums(reading, 1);
        empty_directory();
        path_in(path, sizeof(path), "000007.ldb");
        file_export(table_write(&entries, &writing, NULL), path);
        leveldb_repair_db(options, directory, &fault);
        must_not_fail(fault);
        leveldb_t *db = leveldb_open(options, directory, &fault);
        must_not_fail(fault);
        for (size_t n = 0; n < entries.count; n++) {
            const struct entry *entry = &entries.entry[n];
            size_t count = 0;
            if (n > 0 && kv_compare_bytes(entries.entry[n - 1].key.user, entry->key.user) == 0) {
                continue;
            }
            char *got = leveldb_get(db, reading, entry->key.user.bytes, entry->key.user.count,
                                    &count, &fault);
            must_not_fail(fault);
            assert_int_equal(got != NULL, kv_trailer_type(entry->key.trailer) == KV_TYPE_PUT);
            if (got != NULL) {
                assert_int_equal(count, entry->value.count);
                assert_memory_equal(got, entry->value.bytes, count);
                leveldb_free(got);
            }
        }
        leveldb_close(db);
        leveldb_readoptions_destroy(reading);
        leveldb_options_destroy(options);
        entries_free(&entries);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, directory_make, directory_remove)
    const struct CMUnitTest tests[] = {
        TEST(every_format_version_and_compression_of_rocksdb_is_read),
        TEST(every_index_and_filter_of_rocksdb_is_read),
        TEST(range_deletions_of_rocksdb_are_read),
        TEST(files_that_rocksdb_has_ingested_are_read),
        TEST(rocksdb_ingests_what_is_written_here),
        TEST(rocksdb_reads_every_combination_of_options),
        TEST(properties_are_those_that_rocksdb_would_write),
        TEST(tables_of_leveldb_are_read),
        TEST(leveldb_reads_what_is_written_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
