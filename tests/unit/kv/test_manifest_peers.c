/*
 * Manifests and options against RocksDB and LevelDB themselves: theirs are read by us, ours by
 * them, and by ldb.
 */
#include "unit/kv/ver_rig.h"

#include <leveldb/c.h>
#include <rocksdb/c.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kv/file_name.h>
#include <kv/manifest.h>

static char directory[64];

static void run(const char *command)
{
    if (system(command) != 0) {
        fail_msg("%s", command);
    }
}

static int set_up(void **state)
{
    char command[128];

    (void)snprintf(directory, sizeof(directory), "/tmp/quarry-kv-XXXXXX");
    (void)snprintf(command, sizeof(command), "rm -rf %s/db", mkdtemp(directory));
    run(command);
    (void)strncat(directory, "/db", sizeof(directory) - strlen(directory) - 1);
    return rig_set_up(state);
}

static int tear_down(void **state)
{
    char command[128];

    directory[strlen(directory) - 3] = '\0';
    (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
    run(command);
    return rig_tear_down(state);
}

/* What a command says, all of it. Returns: static. */
static const char *said(const char *before, const char *after)
{
    static char output[1 << 20];
    char command[512];
    size_t count;

    (void)snprintf(command, sizeof(command), "%s%s%s 2>&1", before, directory, after);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    count = fread(output, 1, sizeof(output) - 1, pipe);
    output[count] = '\0';
    (void)pclose(pipe);
    return output;
}

static uint32_t count_of(const char *haystack, const char *needle)
{
    uint32_t count = 0;

    for (const char *at = strstr(haystack, needle); at != NULL; at = strstr(at + 1, needle)) {
        count++;
    }
    return count;
}

static uint32_t file_count(const struct kv_version *version)
{
    uint32_t count = 0;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        count += version->levels[level].file_count;
    }
    return count;
}

static struct kv_version *read_it(struct kv_manifest_state *ret_state)
{
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    if (kv_manifest_read(quarry_vfs_posix(), directory, &heap, &kv_bytewise, ret_state, &version,
                         &error) != QUARRY_OK ||
        kv_version_validate(version, &error) != QUARRY_OK ||
        kv_manifest_check_files(quarry_vfs_posix(), directory, version, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return version;
}

/* Writes the tree anew, as one manifest and nothing else. */
static void rewrite(struct kv_manifest_state *state, const struct kv_version *version)
{
    struct kv_manifest_options options = {.vfs = quarry_vfs_posix(),
                                          .directory = directory,
                                          .memory = &heap,
                                          .comparator = &kv_bytewise,
                                          .form = state->form};
    struct kv_manifest *manifest = NULL;
    struct quarry_error error = {0};

    if (kv_manifest_create(&options, state, version, &manifest, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    /* An edit besides the snapshot. */
    begin_edit();
    assert_int_equal(kv_manifest_append(manifest, state, current_edit(), version, NULL), QUARRY_OK);
    kv_manifest_close(manifest);
}

/* ---- RocksDB -------------------------------------------------------------------------------- */

static rocksdb_options_t *options_of(void)
{
    rocksdb_options_t *options = rocksdb_options_create();

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, 64 << 10);
    rocksdb_options_set_target_file_size_base(options, 32 << 10);
    rocksdb_options_set_max_bytes_for_level_base(options, 128 << 10);
    rocksdb_options_set_max_bytes_for_level_multiplier(options, 4);
    return options;
}

static void fill_rocksdb(rocksdb_t *db, uint32_t from, uint32_t count)
{
    rocksdb_writeoptions_t *how = rocksdb_writeoptions_create();
    char key[16], value[100], *problem = NULL;

    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(key, sizeof(key), "k%07u", from + i * 7919 % 100003);
        if (i % 5 == 4) {
            rocksdb_delete(db, how, key, length, &problem);
        } else {
            rocksdb_put(db, how, key, length, value, sizeof(value), &problem);
        }
        assert_null(problem);
    }
    rocksdb_writeoptions_destroy(how);
}

static void flush_rocksdb(rocksdb_t *db)
{
    rocksdb_flushoptions_t *how = rocksdb_flushoptions_create();
    char *problem = NULL;

    rocksdb_flush(db, how, &problem);
    assert_null(problem);
    rocksdb_flushoptions_destroy(how);
}

static void make_rocksdb(rocksdb_options_t *options, bool is_compacted)
{
    char *problem = NULL;
    rocksdb_t *db = rocksdb_open(options, directory, &problem);

    assert_null(problem);
    for (uint32_t i = 0; i < 4; i++) {
        fill_rocksdb(db, i * 1000, 3000);
        flush_rocksdb(db);
    }
    if (is_compacted) {
        rocksdb_compact_range(db, NULL, 0, NULL, 0);
        fill_rocksdb(db, 50, 200);
        rocksdb_delete_file(db, "000000.sst"); /* is not there: nothing */
        flush_rocksdb(db);
    }
    rocksdb_close(db);
}

/* Ours and ldb's idea of the same directory. */
static void compare_with_ldb(const struct kv_version *version)
{
    const char *text = said("ldb --db=", " list_live_files_metadata --sort_by_filename");

    assert_int_equal(count_of(text, ".sst"), file_count(version));
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
            char line[64];
            (void)snprintf(line, sizeof(line), "%06u.sst : level %u,",
                           (uint32_t)version->levels[level].files[i]->number, level);
            if (strstr(text, line) == NULL) {
                fail_msg("'%s' is not in: %.2000s", line, text);
            }
        }
    }
}

/* RocksDB's directory is read; written anew by us; and is RocksDB's still. */
static void check_rocksdb(rocksdb_options_t *options, uint32_t least_files)
{
    struct kv_manifest_state read_state;
    char before[128];
    char *problem = NULL;
    struct kv_version *version = read_it(&read_state);

    assert_int_equal(read_state.form, KV_EDIT_ROCKSDB);
    assert_in_range(file_count(version), least_files, 10000);
    compare_with_ldb(version);
    const char *keys = said("ldb --db=", " scan 2>&1 | md5sum");
    (void)snprintf(before, sizeof(before), "%s", keys);
    rewrite(&read_state, version);
    assert_string_equal(said("ldb --db=", " scan 2>&1 | md5sum"), before);
    compare_with_ldb(version);
    const char *dump = said("cd ", " && ldb --db=. manifest_dump --verbose --path=$(cat CURRENT)");
    assert_int_equal(count_of(dump, "AddFile:"), file_count(version));
    assert_int_equal(count_of(dump, "Comparator: leveldb.BytewiseComparator"), 1);
    assert_string_equal(said("ldb --db=", " checkconsistency"), "OK\n");
    kv_version_release(version);
    /* Opened and written to by RocksDB itself, whose build has its assertions. */
    rocksdb_t *db = rocksdb_open(options, directory, &problem);
    assert_null(problem);
    fill_rocksdb(db, 20, 500);
    flush_rocksdb(db);
    rocksdb_compact_range(db, NULL, 0, NULL, 0);
    rocksdb_close(db);
    version = read_it(&read_state);
    compare_with_ldb(version);
    kv_version_release(version);
}

static void manifests_of_rocksdb_go_both_ways(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        rocksdb_options_t *options = options_of();
        char command[128];
        if (i == 1) {
            rocksdb_options_set_compaction_style(options, rocksdb_universal_compaction);
        } else if (i == 2) {
            rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
        } else if (i == 3) {
            rocksdb_options_set_max_manifest_file_size(options, 500);
        } else if (i == 4) {
            rocksdb_options_set_num_levels(options, 3);
            rocksdb_options_set_atomic_flush(options, 1);
        }
        make_rocksdb(options, i % 2 == 0);
        check_rocksdb(options, 1);
        rocksdb_options_destroy(options);
        (void)snprintf(command, sizeof(command), "rm -rf %s", directory);
        run(command);
    }
}

static void a_column_family_with_data_is_refused_by_its_name(void **state)
{
    rocksdb_options_t *options = options_of();
    rocksdb_writeoptions_t *how = rocksdb_writeoptions_create();
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    char *problem = NULL;
    struct kv_manifest_state read_state;
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    (void)state;
    make_rocksdb(options, false);
    rocksdb_t *db = rocksdb_open(options, directory, &problem);
    assert_null(problem);
    rocksdb_column_family_handle_t *family =
        rocksdb_create_column_family(db, options, "people", &problem);
    assert_null(problem);
    assert_int_equal(kv_manifest_read(quarry_vfs_posix(), directory, &heap, &kv_bytewise,
                                      &read_state, &version, &error),
                     QUARRY_OK); /* it is empty yet */
    kv_version_release(version);
    rocksdb_put_cf(db, how, family, "a", 1, "b", 1, &problem);
    rocksdb_flush_cf(db, flush, family, &problem);
    assert_null(problem);
    rocksdb_column_family_handle_destroy(family);
    rocksdb_close(db);
    assert_int_equal(kv_manifest_read(quarry_vfs_posix(), directory, &heap, &kv_bytewise,
                                      &read_state, &version, &error),
                     QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "'people'"));
    rocksdb_flushoptions_destroy(flush);
    rocksdb_writeoptions_destroy(how);
    rocksdb_options_destroy(options);
}

static void blob_files_are_refused(void **state)
{
    rocksdb_options_t *options = options_of();
    struct kv_manifest_state read_state;
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    (void)state;
    rocksdb_options_set_enable_blob_files(options, 1);
    make_rocksdb(options, false);
    assert_int_equal(kv_manifest_read(quarry_vfs_posix(), directory, &heap, &kv_bytewise,
                                      &read_state, &version, &error),
                     QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "blob"));
    rocksdb_options_destroy(options);
}

static void another_size_of_a_file_is_found_out(void **state)
{
    rocksdb_options_t *options = options_of();
    struct kv_manifest_state read_state;
    struct kv_path path;
    struct quarry_error error = {0};
    struct quarry_vfs *vfs = quarry_vfs_posix();
    struct quarry_vfs_file *file = NULL;

    (void)state;
    make_rocksdb(options, true);
    struct kv_version *version = read_it(&read_state);
    uint64_t number = version->levels[0].files[0]->number;
    assert_int_equal(kv_file_path(directory, KV_FILE_TABLE, number, &path, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_open(vfs, path.text, QUARRY_VFS_WRITE, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_truncate(file, 100, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    assert_int_equal(kv_manifest_check_files(vfs, directory, version, &error), QUARRY_CORRUPT);
    assert_non_null(strstr(error.text, "100 bytes"));
    assert_int_equal(quarry_vfs_remove(vfs, path.text, NULL), QUARRY_OK);
    assert_int_equal(kv_manifest_check_files(vfs, directory, version, &error), QUARRY_CORRUPT);
    assert_non_null(strstr(error.text, "not there; missing in all: 1"));
    kv_version_release(version);
    rocksdb_options_destroy(options);
}

/* ---- LevelDB -------------------------------------------------------------------------------- */

static void fill_leveldb(leveldb_t *db, uint32_t from, uint32_t count)
{
    leveldb_writeoptions_t *how = leveldb_writeoptions_create();
    char key[16], value[100], *problem = NULL;

    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(key, sizeof(key), "k%07u", from + i * 7919 % 100003);
        leveldb_put(db, how, key, length, value, sizeof(value), &problem);
        assert_null(problem);
    }
    leveldb_writeoptions_destroy(how);
}

static uint32_t count_leveldb(leveldb_t *db)
{
    leveldb_readoptions_t *how = leveldb_readoptions_create();
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, how);
    uint32_t count = 0;

    for (leveldb_iter_seek_to_first(iterator); leveldb_iter_valid(iterator);
         leveldb_iter_next(iterator)) {
        count++;
    }
    leveldb_iter_destroy(iterator);
    leveldb_readoptions_destroy(how);
    return count;
}

static void manifests_of_leveldb_go_both_ways(void **state)
{
    leveldb_options_t *options = leveldb_options_create();
    char *problem = NULL;
    struct kv_manifest_state read_state;

    (void)state;
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_write_buffer_size(options, 64 << 10);
    leveldb_t *db = leveldb_open(options, directory, &problem);
    assert_null(problem);
    fill_leveldb(db, 0, 20000);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    fill_leveldb(db, 50000, 2000);
    uint32_t entry_count = count_leveldb(db);
    leveldb_close(db);
    for (uint32_t round = 0; round < 3; round++) {
        struct kv_version *version = read_it(&read_state);
        assert_int_equal(read_state.form, KV_EDIT_LEVELDB);
        assert_in_range(file_count(version), 1, 1000);
        rewrite(&read_state, version);
        kv_version_release(version);
        db = leveldb_open(options, directory, &problem);
        assert_null(problem);
        assert_int_equal(count_leveldb(db), entry_count);
        fill_leveldb(db, 50000, 2000);
        leveldb_close(db);
    }
    leveldb_options_destroy(options);
}

/* ---- options -------------------------------------------------------------------------------- */

static void options_go_both_ways(void **state)
{
    struct quarry_kv_options saved = {.write_buffer_bytes = Q_MIB(3),
                                      .block_bytes = 12345,
                                      .compression = QUARRY_KV_COMPRESSION_ZSTD,
                                      .compression_bottom = QUARRY_KV_COMPRESSION_DEFAULT,
                                      .prefix_bytes = 4,
                                      .background_count = 3,
                                      .level_ratio = 7,
                                      .durability = QUARRY_KV_POWER,
                                      .has_partitioned_filters = true,
                                      .merge_operator = quarry_kv_merge_uint64_add()};
    struct quarry_kv_options loaded = {0};
    rocksdb_options_t *options = options_of();
    char path[128], command[320];

    (void)state;
    make_rocksdb(options, false);
    /* Theirs. */
    (void)snprintf(path, sizeof(path), "%s/ours", directory);
    (void)snprintf(command, sizeof(command), "cp $(ls %s/OPTIONS-* | tail -1) %s", directory, path);
    run(command);
    struct quarry_error error = {0};
    if (quarry_kv_options_load(&loaded, quarry_vfs_posix(), path, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(loaded.write_buffer_bytes, 64 << 10);
    assert_int_equal(loaded.file_bytes, 32 << 10);
    assert_int_equal(loaded.level_ratio, 4);
    assert_int_equal(loaded.bloom_millibits, 1);
    assert_int_equal(loaded.compression, QUARRY_KV_COMPRESSION_SNAPPY);
    assert_true(loaded.create_if_missing);
    /* Ours, the only one there: ldb opens with it, and writes one of its own from it. */
    (void)snprintf(command, sizeof(command), "rm %s/OPTIONS-* %s", directory, path);
    run(command);
    (void)snprintf(path, sizeof(path), "%s/OPTIONS-000900", directory);
    assert_int_equal(quarry_kv_options_save(&saved, quarry_vfs_posix(), path, NULL), QUARRY_OK);
    assert_string_equal(said("ldb --db=", " --try_load_options put a b"), "OK\n");
    const char *theirs = said("cat $(ls ", "/OPTIONS-* | grep -v 000900 | tail -1)");
    assert_non_null(strstr(theirs, "write_buffer_size=3145728\n"));
    assert_non_null(strstr(theirs, "block_size=12345\n"));
    assert_non_null(strstr(theirs, "  compression=kZSTD\n"));
    assert_non_null(strstr(theirs, "prefix_extractor=rocksdb.FixedPrefix.4\n"));
    assert_null(strstr(theirs, "  filter_policy=nullptr\n"));
    assert_non_null(strstr(theirs, "partition_filters=true\n"));
    assert_non_null(strstr(theirs, "max_background_jobs=3\n"));
    assert_non_null(strstr(theirs, "max_bytes_for_level_multiplier=7.000000\n"));
    assert_non_null(strstr(theirs, "merge_operator=UInt64AddOperator\n"));
    rocksdb_options_destroy(options);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(manifests_of_rocksdb_go_both_ways),
        RIGGED(a_column_family_with_data_is_refused_by_its_name),
        RIGGED(blob_files_are_refused),
        RIGGED(another_size_of_a_file_is_found_out),
        RIGGED(manifests_of_leveldb_go_both_ways),
        RIGGED(options_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
