/*
 * Directories that RocksDB and LevelDB have made: opened, written to, and given back to RocksDB.
 */
#include "unit/kv/store_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leveldb/c.h>
#include <rocksdb/c.h>

static char folder[64];

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int set_up(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/quarry-kv-peers-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return store_set_up(state);
}

static int tear_down(void **state)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return store_tear_down(state);
}

static struct quarry_kv *open_ours(struct quarry_kv_options options)
{
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    options.vfs = NULL;
    if (quarry_kv_open(rig_memory, folder, &options, &kv, &error) != QUARRY_OK) {
        fail_msg("quarry_kv_open: %s", error.text);
    }
    return kv;
}

static void succeed(char *error)
{
    if (error != NULL) {
        fail_msg("%s", error);
    }
}

/* ---- RocksDB -------------------------------------------------------------------------------- */

static rocksdb_t *open_rocksdb(bool recycles)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *error = NULL;

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, 128 << 10);
    if (recycles) {
        rocksdb_options_set_recycle_log_file_num(options, 2);
    }
    rocksdb_options_set_uint64add_merge_operator(options);
    rocksdb_t *db = rocksdb_open(options, folder, &error);
    succeed(error);
    rocksdb_options_destroy(options);
    return db;
}

static void rocksdb_set(rocksdb_t *db, const char *key, const char *value)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    char *error = NULL;

    rocksdb_put(db, options, key, strlen(key), value, strlen(value), &error);
    succeed(error);
    rocksdb_writeoptions_destroy(options);
}

/* Returns: to be freed; NULL: it is not there. */
static char *rocksdb_find(rocksdb_t *db, const char *key)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    char *error = NULL, *copy = NULL;
    size_t byte_count = 0;
    char *value = rocksdb_get(db, options, key, strlen(key), &byte_count, &error);

    succeed(error);
    if (value != NULL) {
        copy = calloc(1, byte_count + 1);
        assert_non_null(copy);
        memcpy(copy, value, byte_count);
        rocksdb_free(value);
    }
    rocksdb_readoptions_destroy(options);
    return copy;
}

static void rocksdb_expect(rocksdb_t *db, const char *key, const char *value)
{
    char *found = rocksdb_find(db, key);

    if (value == NULL) {
        assert_null(found);
    } else {
        assert_non_null(found);
        assert_string_equal(found, value);
    }
    free(found);
}

static void fill_rocksdb(rocksdb_t *db)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    char *error = NULL, key[32], value[200];
    const uint64_t one = 1;

    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key%06d", i % 1000);
        snprintf(value, sizeof value, "%d: %0*d", i, 100, i);
        rocksdb_set(db, key, value);
        rocksdb_merge(db, options, "sum", 3, (const char *)&one, sizeof one, &error);
        succeed(error);
    }
    rocksdb_delete(db, options, "key000007", 9, &error);
    succeed(error);
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    rocksdb_writebatch_delete_range(batch, "key000100", 9, "key000200", 9);
    rocksdb_write(db, options, batch, &error);
    succeed(error);
    rocksdb_writebatch_destroy(batch);
    rocksdb_set(db, "key000150", "back");
    rocksdb_writeoptions_destroy(options);
}

static void expect_filled(struct quarry_kv *kv)
{
    char key[32], value[200];
    uint64_t sum = 0;
    size_t byte_count = 0;

    for (int i = 2000; i < 3000; i++) {
        bool is_gone = i == 2007 || (i >= 2100 && i < 2200);
        snprintf(key, sizeof key, "key%06d", i % 1000);
        snprintf(value, sizeof value, "%d: %0*d", i, 100, i);
        store_expect(kv, key, i == 2150 ? "back" : is_gone ? NULL : value);
    }
    assert_int_equal(quarry_kv_read(kv, NULL, "sum", 3, &sum, sizeof sum, &byte_count, NULL),
                     QUARRY_OK);
    assert_int_equal(sum, 3000);
}

static void exchange_with_rocksdb(bool recycles)
{
    struct quarry_kv_options options = store_options();
    const uint64_t one = 1;

    options.merge_operator = quarry_kv_merge_uint64_add();
    rocksdb_t *db = open_rocksdb(recycles);
    fill_rocksdb(db);
    rocksdb_close(db);
    options.read_only = true;
    struct quarry_kv *kv = open_ours(options);
    expect_filled(kv);
    store_close(kv);
    options.read_only = false;
    kv = open_ours(options);
    expect_filled(kv);
    store_put(kv, "ours", "1");
    store_delete(kv, "key000008");
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "key000500", 9, "key000600", 9, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_kv_merge(kv, NULL, "sum", 3, &one, sizeof one, NULL), QUARRY_OK);
    store_close(kv);
    db = open_rocksdb(recycles); /* reads our log */
    rocksdb_expect(db, "ours", "1");
    rocksdb_expect(db, "key000008", NULL);
    rocksdb_expect(db, "key000550", NULL);
    rocksdb_expect(db, "key000150", "back");
    rocksdb_set(db, "theirs", "2");
    rocksdb_close(db);
    kv = open_ours(options);
    store_expect(kv, "ours", "1");
    store_expect(kv, "theirs", "2");
    uint64_t sum = 0;
    size_t byte_count = 0;
    assert_int_equal(quarry_kv_read(kv, NULL, "sum", 3, &sum, sizeof sum, &byte_count, NULL),
                     QUARRY_OK);
    assert_int_equal(sum, 3001);
    store_close(kv);
}

static void rocksdbs_directory_is_opened_and_given_back(void **state)
{
    (void)state;
    exchange_with_rocksdb(false);
}

static void with_recycled_logs_too(void **state)
{
    (void)state;
    exchange_with_rocksdb(true);
}

static void a_mapped_log_is_read_by_rocksdb(void **state)
{
    struct quarry_kv_options options = store_options();

    (void)state;
    options.write_buffer_bytes = Q_MIB(8);
    struct quarry_kv *kv = open_ours(options);
    for (uint32_t i = 0; i < 5000; i++) {
        store_put_number(kv, i, 0, 100);
    }
    store_close(kv);
    rocksdb_t *db = open_rocksdb(false);
    char *found = rocksdb_find(db, "key004999");
    assert_non_null(found);
    assert_memory_equal(found, "value 4999 of 0", 15);
    free(found);
    rocksdb_close(db);
}

/* ---- LevelDB -------------------------------------------------------------------------------- */

static leveldb_t *open_leveldb(void)
{
    leveldb_options_t *options = leveldb_options_create();
    char *error = NULL;

    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_write_buffer_size(options, 64 << 10);
    leveldb_t *db = leveldb_open(options, folder, &error);
    succeed(error);
    leveldb_options_destroy(options);
    return db;
}

/* Keys that come again in each table of level 0. */
static void fill_leveldb(leveldb_t *db)
{
    leveldb_writeoptions_t *options = leveldb_writeoptions_create();
    char *error = NULL, key[32], value[200];

    for (int i = 0; i < 4000; i++) {
        snprintf(key, sizeof key, "key%06d", i * 17 % 500);
        snprintf(value, sizeof value, "%d: %0*d", i, 100, i);
        leveldb_put(db, options, key, strlen(key), value, strlen(value), &error);
        succeed(error);
    }
    leveldb_delete(db, options, "key000007", 9, &error);
    succeed(error);
    leveldb_writeoptions_destroy(options);
}

static void expect_leveldbs(struct quarry_kv *kv)
{
    char key[32], value[200];

    for (int i = 3500; i < 4000; i++) {
        int number = i * 17 % 500;
        snprintf(key, sizeof key, "key%06d", number);
        snprintf(value, sizeof value, "%d: %0*d", i, 100, i);
        store_expect(kv, key, number == 7 ? NULL : value);
    }
}

static void leveldbs_directory_is_opened_and_becomes_rocksdbs(void **state)
{
    struct quarry_kv_options options = store_options();

    (void)state;
    leveldb_t *theirs = open_leveldb();
    fill_leveldb(theirs);
    leveldb_close(theirs);
    options.read_only = true;
    struct quarry_kv *kv = open_ours(options);
    expect_leveldbs(kv);
    store_close(kv);
    options.read_only = false;
    for (int round = 0; round < 2; round++) {
        kv = open_ours(options);
        expect_leveldbs(kv);
        store_put(kv, "ours", "1");
        store_close(kv);
    }
    rocksdb_t *db = open_rocksdb(false);
    rocksdb_expect(db, "ours", "1");
    rocksdb_expect(db, "key000007", NULL);
    rocksdb_close(db);
}

static void leveldbs_directory_stays_leveldbs_if_asked_for(void **state)
{
    struct quarry_kv_options options = store_options();
    char *error = NULL;
    size_t byte_count = 0;

    (void)state;
    leveldb_t *db = open_leveldb();
    fill_leveldb(db);
    leveldb_close(db);
    options.format = QUARRY_KV_FORMAT_LEVELDB;
    struct quarry_kv *kv = open_ours(options);
    expect_leveldbs(kv);
    for (uint32_t i = 0; i < 5000; i++) {
        store_put_number(kv, 1000 + i, 0, 100);
    }
    store_close(kv);
    db = open_leveldb();
    leveldb_readoptions_t *read = leveldb_readoptions_create();
    char *value = leveldb_get(db, read, "key005999", 9, &byte_count, &error);
    succeed(error);
    assert_non_null(value);
    assert_int_equal(byte_count, 100);
    leveldb_free(value);
    assert_null(leveldb_get(db, read, "key000007", 9, &byte_count, &error));
    succeed(error);
    leveldb_readoptions_destroy(read);
    leveldb_close(db);
    kv = open_ours(options);
    expect_leveldbs(kv);
    store_close(kv);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rocksdbs_directory_is_opened_and_given_back),
        TEST(with_recycled_logs_too),
        TEST(a_mapped_log_is_read_by_rocksdb),
        TEST(leveldbs_directory_is_opened_and_becomes_rocksdbs),
        TEST(leveldbs_directory_stays_leveldbs_if_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
