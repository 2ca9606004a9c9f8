/* Options by name, and in files that RocksDB writes and reads. */
#include "unit/kv/ver_rig.h"

#include <kv/options_names.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct quarry_vfs *vfs;

static int set_up(void **state)
{
    (void)state;
    return quarry_vfs_memory_create(1, &vfs) == QUARRY_OK ? 0 : 1;
}
static int tear_down(void **state)
{
    (void)state;
    quarry_vfs_memory_destroy(vfs);
    return 0;
}

static void write_text(const char *path, const char *bytes, size_t count)
{
    struct quarry_vfs_file *file = NULL;

    assert_int_equal(quarry_vfs_open(vfs, path,
                                     QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                     &file, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 0, bytes, count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
}

static enum quarry_status load_text(struct quarry_kv_options *options, const char *bytes,
                                    struct quarry_error *error)
{
    write_text("/o", bytes, strlen(bytes));
    return quarry_kv_options_load(options, vfs, "/o", error);
}

#define SET(name, value)                                                                           \
    assert_int_equal(quarry_kv_options_set(&options, name, value, NULL), QUARRY_OK)

static void options_have_our_names_and_rocksdbs(void **state)
{
    struct quarry_kv_options options = {0};

    (void)state;
    SET("write_buffer_bytes", "64m");
    assert_int_equal(options.write_buffer_bytes, Q_MIB(64));
    SET("write_buffer_size", "1048576");
    assert_int_equal(options.write_buffer_bytes, Q_MIB(1));
    SET("compression", "zstd");
    assert_int_equal(options.compression, QUARRY_KV_COMPRESSION_ZSTD);
    SET("compression", "kLZ4HCCompression");
    assert_int_equal(options.compression, QUARRY_KV_COMPRESSION_LZ4);
    SET("bottommost_compression", "kDisableCompressionOption");
    assert_int_equal(options.compression_bottom, QUARRY_KV_COMPRESSION_DEFAULT);
    SET("compression_per_level", "kNoCompression:kNoCompression:kZSTD:kSnappyCompression");
    assert_int_equal(options.compression_top, QUARRY_KV_COMPRESSION_NONE);
    assert_int_equal(options.compression, QUARRY_KV_COMPRESSION_ZSTD);
    SET("compression_opts", "{enabled=false;level=3;strategy=0;}");
    assert_int_equal(options.compression_level, 3);
    SET("compression_level", "-5");
    assert_int_equal(options.compression_level, -5);
    SET("bloom_bits", "9.9");
    assert_int_equal(options.bloom_millibits, 9900);
    SET("filter_policy", "bloomfilter:12:false");
    assert_int_equal(options.bloom_millibits, 12000);
    SET("filter_policy", "nullptr");
    assert_int_equal(options.bloom_millibits, 1);
    SET("max_bytes_for_level_multiplier", "8.000000");
    assert_int_equal(options.level_ratio, 8);
    SET("max_open_files", "-1");
    assert_int_equal(options.open_files_max, 0);
    SET("prefix_extractor", "rocksdb.FixedPrefix.4");
    assert_int_equal(options.prefix_bytes, 4);
    SET("max_background_jobs", "7");
    assert_int_equal(options.background_count, 7);
    SET("durability", "power");
    assert_int_equal(options.durability, QUARRY_KV_POWER);
    SET("format", "leveldb");
    assert_int_equal(options.format, QUARRY_KV_FORMAT_LEVELDB);
    SET("checksum", "kxxHash64");
    assert_int_equal(options.checksum, QUARRY_KV_CHECKSUM_XXH64);
    SET("create_if_missing", "yes");
    assert_true(options.create_if_missing);
    SET("create_if_missing", "0");
    assert_false(options.create_if_missing);
    SET("max_file_size", "2m");
    assert_int_equal(options.file_bytes, Q_MIB(2));
    SET("merge_operator", "{id=StringAppendOperator;delimiter=:;}");
    assert_string_equal(options.merge_operator->name, quarry_kv_merge_append(':')->name);
    SET("merge_operator", "UInt64AddOperator");
    assert_ptr_equal(options.merge_operator, quarry_kv_merge_uint64_add());
    SET("merge_operator", "none");
    assert_null(options.merge_operator);
}

static void an_unknown_name_is_told_the_nearest(void **state)
{
    struct quarry_kv_options options = {0};
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(quarry_kv_options_set(&options, "write_bufer_bytes", "1", &error),
                     QUARRY_NOT_FOUND);
    assert_non_null(strstr(error.text, "'write_buffer_bytes'"));
    assert_int_equal(quarry_kv_options_set(&options, "max_backgrond_jobs", "1", &error),
                     QUARRY_NOT_FOUND);
    assert_non_null(strstr(error.text, "'max_background_jobs'"));
    assert_int_equal(quarry_kv_options_set(&options, "xyzzy", "1", &error), QUARRY_NOT_FOUND);
    assert_null(strstr(error.text, "mean"));
}

static void a_value_that_makes_no_sense_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"write_buffer_bytes", "lots"},
        {"write_buffer_bytes", ""},
        {"write_buffer_bytes", "99t"},
        {"write_buffer_count", "-1"},
        {"write_buffer_count", "2.5"},
        {"write_buffer_count", "70000"},
        {"compression", "zst"},
        {"create_if_missing", "maybe"},
        {"bloom_bits", "many"},
        {"bloom_bits", "101"},
        {"compression_level", "23"},
        {"compression_level", "x"},
        {"merge_operator", "mine"},
        {"prefix_bytes", "99999999999"},
        {"compression_per_level", "kA"},
        {"checksum", "md5"},
        {"step_seed", "18446744073709551616"},
        {"compression_opts", "{level=x;}"},
    };
    struct quarry_kv_options options = {0}, none = {0};

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_error error = {0};
        assert_int_equal(quarry_kv_options_set(&options, cases[i][0], cases[i][1], &error),
                         QUARRY_BAD_INPUT);
        assert_int_equal(error.status, QUARRY_BAD_INPUT);
        assert_memory_equal(&options, &none, sizeof(options));
    }
    struct quarry_error error = {0};
    assert_int_equal(quarry_kv_options_set(&options, "compression", "zst", &error),
                     QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "'zstd'"));
}

static void every_option_is_written_as_it_is_read(void **state)
{
    static const char *const values[] = {
        "1", "true", "7", "power", "leveldb", "zstd", "xxh3", "1234567", "UInt64AddOperator"};
    char value[KV_OPTION_VALUE_BYTES], again[KV_OPTION_VALUE_BYTES];

    (void)state;
    for (uint32_t i = 0; i < kv_option_count(); i++) {
        uint32_t taken = 0;
        for (uint32_t j = 0; j < COUNT_OF(values); j++) {
            struct quarry_kv_options options = {0}, copy = {0};
            if (quarry_kv_options_set(&options, kv_option_name(i), values[j], NULL) == QUARRY_OK) {
                (void)kv_option_format(&options, i, value);
                assert_int_equal(quarry_kv_options_set(&copy, kv_option_name(i), value, NULL),
                                 QUARRY_OK);
                assert_string_equal(kv_option_format(&copy, i, again), value);
                taken++;
            }
        }
        assert_in_range(taken, 1, COUNT_OF(values));
    }
}

static void fill(struct quarry_kv_options *options)
{
    *options = (struct quarry_kv_options){
        .memory_bytes = Q_GIB(1),
        .create_if_missing = true,
        .format = QUARRY_KV_FORMAT_ROCKSDB,
        .durability = QUARRY_KV_POWER,
        .write_buffer_bytes = Q_MIB(8),
        .write_buffer_count = 3,
        .log_bytes_max = Q_MIB(512),
        .block_bytes = 16384,
        .block_restart_interval = 8,
        .compression = QUARRY_KV_COMPRESSION_ZSTD,
        .compression_top = QUARRY_KV_COMPRESSION_NONE,
        .compression_bottom = QUARRY_KV_COMPRESSION_DEFAULT,
        .compression_level = 7,
        .checksum = QUARRY_KV_CHECKSUM_XXH3,
        .bloom_millibits = 12500,
        .has_partitioned_filters = true,
        .prefix_bytes = 6,
        .file_bytes = Q_MIB(16),
        .level1_bytes = Q_MIB(64),
        .level_ratio = 8,
        .level0_compact = 6,
        .level0_stop = 40,
        .background_count = 5,
        .open_files_max = 500,
        .is_stepped = true,
        .step_seed = UINT64_MAX,
        .merge_operator = quarry_kv_merge_uint64_add(),
    };
}

static void what_is_saved_is_loaded(void **state)
{
    struct quarry_kv_options options, loaded = {0}, none = {0};

    (void)state;
    fill(&options);
    assert_int_equal(quarry_kv_options_save(&options, vfs, "/OPTIONS-000007", NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_options_load(&loaded, vfs, "/OPTIONS-000007", NULL), QUARRY_OK);
    assert_memory_equal(&loaded, &options, sizeof(options));
    /* Defaults stay defaults, but for those that a file must say. */
    assert_int_equal(quarry_kv_options_save(&none, vfs, "/OPTIONS-000008", NULL), QUARRY_OK);
    loaded = (struct quarry_kv_options){0};
    assert_int_equal(quarry_kv_options_load(&loaded, vfs, "/OPTIONS-000008", NULL), QUARRY_OK);
    none.checksum = QUARRY_KV_CHECKSUM_CRC32C;
    none.bloom_millibits = 10000;
    assert_memory_equal(&loaded, &none, sizeof(none));
}

#define HEAD "[Version]\n  rocksdb_version=7.8.3\n  options_file_version=1.1\n"

static void a_file_is_read_as_rocksdb_reads_it(void **state)
{
    struct quarry_kv_options options = {0};

    (void)state;
    assert_int_equal(load_text(&options,
                               "# one\r\n" HEAD "[DBOptions]\r\n max_background_jobs = 3 # two\r\n"
                               "  something_new={a=b;c={d=e;};}\n"
                               "[CFOptions \"other\"]\n  write_buffer_size=1\n"
                               "[CFOptions \"default\"]\n"
                               "  merge_operator={id=StringAppendOperator;delimiter=\\:;}\n"
                               "  write_buffer_size=4096\n"
                               "[TableOptions/BlockBasedTable \"default\"]\n"
                               "  block_size=8192\n  filter_policy=bloomfilter:8:false",
                               NULL),
                     QUARRY_OK);
    assert_int_equal(options.background_count, 3);
    assert_int_equal(options.write_buffer_bytes, 4096);
    assert_int_equal(options.block_bytes, 8192);
    assert_int_equal(options.bloom_millibits, 8000);
    assert_ptr_equal(options.merge_operator, quarry_kv_merge_append(':'));
}

static void a_file_that_makes_no_sense_changes_nothing(void **state)
{
    static const struct {
        const char *text;
        enum quarry_status status;
        const char *said;
    } cases[] = {
        {"", QUARRY_CORRUPT, "[Version]"},
        {"[DBOptions]\n", QUARRY_CORRUPT, "[Version]"},
        {"a=b\n" HEAD, QUARRY_CORRUPT, "line 1"},
        {HEAD "[DBOptions]\n  max_background_jobs=many\n", QUARRY_CORRUPT, "line 5"},
        {HEAD "[DBOptions\n", QUARRY_CORRUPT, "line 4"},
        {HEAD "[DBOptions]\nwhat\n", QUARRY_CORRUPT, "line 5"},
        {"[Version]\noptions_file_version=2.0\n", QUARRY_UNSUPPORTED, "2.0"},
        {HEAD "[CFOptions \"default\"]\n  comparator=mine\n", QUARRY_BAD_INPUT, "mine"},
        {HEAD "[DBOptions]\nmax_background_jobs=2\n# quarry: durability=ever\n", QUARRY_CORRUPT,
         "durability"},
    };
    struct quarry_kv_options options = {0}, none = {0};
    static char large[20000];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_error error = {0};
        assert_int_equal(load_text(&options, cases[i].text, &error), cases[i].status);
        assert_non_null(strstr(error.text, cases[i].said));
        assert_memory_equal(&options, &none, sizeof(options));
    }
    memset(large, 'x', sizeof(large) - 1);
    assert_int_equal(load_text(&options, large, NULL), QUARRY_CORRUPT);
    write_text("/o", HEAD "\0", sizeof(HEAD) + 1);
    assert_int_equal(quarry_kv_options_load(&options, vfs, "/o", NULL), QUARRY_CORRUPT);
    assert_int_equal(quarry_kv_options_load(&options, vfs, "/none", NULL), QUARRY_NOT_FOUND);
}

static void lines_across_the_window_are_whole(void **state)
{
    static char file[40000];
    struct quarry_kv_options options = {0};

    (void)state;
    for (uint32_t shift = 0; shift < 40; shift++) {
        int count = snprintf(file, sizeof(file), HEAD "#%*s\n[DBOptions]\n", (int)shift + 1, "x");
        for (uint32_t i = 0; i < 500; i++) {
            count += snprintf(file + count, sizeof(file) - (size_t)count,
                              "  max_background_jobs=%u\n", i % 100 + 1);
        }
        assert_int_equal(load_text(&options, file, NULL), QUARRY_OK);
        assert_int_equal(options.background_count, 100);
    }
}

static void a_save_that_fails_leaves_the_old_file(void **state)
{
    struct quarry_kv_options options, loaded = {0};
    struct quarry_vfs *below = vfs;
    uint64_t first = 1;
    bool is_failing = true;

    (void)state;
    fill(&options);
    assert_int_equal(quarry_kv_options_save(&options, vfs, "/OPTIONS-000007", NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(below, 1, &vfs), QUARRY_OK);
    struct quarry_kv_options other = options;
    other.background_count = 9;
    for (; is_failing; first++) {
        struct quarry_vfs_fault fault = {.first = first, .count = 1, .status = QUARRY_IO};
        quarry_vfs_fault_set(vfs, 0, &fault);
        is_failing = quarry_kv_options_save(&other, vfs, "/OPTIONS-000007", NULL) != QUARRY_OK;
        quarry_vfs_fault_set(vfs, 0, NULL);
        loaded = (struct quarry_kv_options){0};
        assert_int_equal(quarry_kv_options_load(&loaded, vfs, "/OPTIONS-000007", NULL), QUARRY_OK);
        assert_true(loaded.background_count == 5 || loaded.background_count == 9);
    }
    assert_int_equal(loaded.background_count, 9);
    assert_in_range(first, 5, 20);
    quarry_vfs_fault_destroy(vfs);
    vfs = below;
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(options_have_our_names_and_rocksdbs),
        RIGGED(an_unknown_name_is_told_the_nearest),
        RIGGED(a_value_that_makes_no_sense_is_refused),
        RIGGED(every_option_is_written_as_it_is_read),
        RIGGED(what_is_saved_is_loaded),
        RIGGED(a_file_is_read_as_rocksdb_reads_it),
        RIGGED(a_file_that_makes_no_sense_changes_nothing),
        RIGGED(lines_across_the_window_are_whole),
        RIGGED(a_save_that_fails_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
