/*
 * Opening and closing: what is refused and how it is said, what is made, what is found again.
 */
#include "unit/kv/store_rig.h"

#include <stdio.h>
#include <string.h>

static void a_new_store_is_made_and_found_again(void **state)
{
    struct quarry_kv *kv = store_open(NULL);

    (void)state;
    store_put(kv, "answer", "42");
    store_put(kv, "gone", "1");
    store_delete(kv, "gone");
    store_expect(kv, "answer", "42");
    store_close(kv);
    kv = store_open(NULL);
    store_expect(kv, "answer", "42");
    store_expect(kv, "gone", NULL);
    store_close(kv);
}

static void files_are_those_of_rocksdb(void **state)
{
    struct quarry_kv *kv = store_open(NULL);

    (void)state;
    store_put(kv, "a", "1");
    assert_int_equal(store_count_files("/db", "CURRENT"), 1);
    assert_int_equal(store_count_files("/db", "IDENTITY"), 1);
    assert_int_equal(store_count_files("/db", "LOCK"), 1);
    assert_int_equal(store_count_files("/db", ".log"), 1);
    store_close(kv);
    kv = store_open(NULL);
    /* What was in the log is a table now, and the log is gone. */
    assert_int_equal(store_count_files("/db", ".sst"), 1);
    assert_int_equal(store_count_files("/db", ".log"), 1);
    store_close(kv);
}

static void a_store_that_is_not_there_is_not_found(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    options.create_if_missing = false;
    assert_int_equal(store_try_open(&options, &error), QUARRY_NOT_FOUND);
    assert_non_null(strstr(error.text, "/db"));
    options.create_if_missing = true;
    options.read_only = true;
    assert_int_equal(store_try_open(&options, &error), QUARRY_NOT_FOUND);
    uint64_t byte_count;
    bool is_directory;
    assert_int_equal(quarry_vfs_stat(rig_disk, "/db", &byte_count, &is_directory, NULL),
                     QUARRY_NOT_FOUND);
}

static void a_store_that_is_there_may_be_refused(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    store_close(store_open(NULL));
    options.error_if_exists = true;
    assert_int_equal(store_try_open(&options, &error), QUARRY_EXISTS);
    assert_int_equal(error.status, QUARRY_EXISTS);
}

static void a_store_is_open_once(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv *kv = store_open(NULL), *reader = NULL;

    (void)state;
    store_put(kv, "a", "1");
    options.name = "other";
    assert_int_equal(store_try_open(&options, NULL), QUARRY_BUSY);
    options.read_only = true;
    struct quarry_error error = {0};
    if (quarry_kv_open(rig_memory, "/db", &options, &reader, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    store_expect(reader, "a", "1");
    assert_int_equal(quarry_kv_put(reader, NULL, "b", 1, "2", 1, &error), QUARRY_PERMISSION);
    assert_int_equal(quarry_kv_sync(reader, NULL), QUARRY_PERMISSION);
    struct quarry_kv_state is;
    quarry_kv_read_state(reader, &is);
    assert_true(is.is_read_only);
    store_close(reader);
    store_close(kv);
}

struct listing {
    char text[4096];
};

static bool visit(void *argument, const char *name)
{
    struct listing *listing = argument;
    char path[300];
    uint64_t byte_count = 0;
    bool is_directory;

    snprintf(path, sizeof path, "/db/%s", name);
    assert_int_equal(quarry_vfs_stat(rig_disk, path, &byte_count, &is_directory, NULL), QUARRY_OK);
    size_t used = strlen(listing->text);
    snprintf(listing->text + used, sizeof listing->text - used, "%s %llu\n", name,
             (unsigned long long)byte_count);
    return true;
}

static void reading_only_writes_nothing(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv *kv = store_open(NULL);
    struct listing before = {0}, after = {0};

    (void)state;
    for (uint32_t i = 0; i < 2000; i++) {
        store_put_number(kv, i, 0, 500);
    }
    store_close(kv);
    assert_int_equal(quarry_vfs_list(rig_disk, "/db", visit, &before, NULL), QUARRY_OK);
    options.read_only = true;
    kv = store_open(&options);
    for (uint32_t i = 0; i < 2000; i++) {
        assert_true(store_has_number(kv, i, 0, 500));
    }
    store_close(kv);
    assert_int_equal(quarry_vfs_list(rig_disk, "/db", visit, &after, NULL), QUARRY_OK);
    assert_string_equal(before.text, after.text);
}

static int reversed(void *argument, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);

    (void)argument;
    return order != 0 ? -order : (a_bytes < b_bytes) - (a_bytes > b_bytes);
}

static void another_comparator_is_refused_by_name(void **state)
{
    const struct quarry_kv_comparator comparator = {.name = "test.Reversed", .compare = reversed};
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    store_close(store_open(NULL));
    options.comparator = &comparator;
    assert_int_equal(store_try_open(&options, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "test.Reversed"));
    assert_non_null(strstr(error.text, "leveldb.BytewiseComparator"));
}

static void a_store_with_its_own_order_keeps_it(void **state)
{
    const struct quarry_kv_comparator comparator = {.name = "test.Reversed", .compare = reversed};
    struct quarry_kv_options options = store_options();
    struct quarry_kv_iterator *iterator = NULL;

    (void)state;
    options.comparator = &comparator;
    struct quarry_kv *kv = store_open(&options);
    store_put(kv, "a", "1");
    store_put(kv, "b", "2");
    store_close(kv);
    kv = store_open(&options);
    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_memory_equal(quarry_kv_iterator_key(iterator).bytes, "b", 1);
    quarry_kv_iterator_destroy(iterator);
    store_close(kv);
}

static void options_without_sense_are_refused(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    options.compression = QUARRY_KV_COMPRESSION_ZLIB;
    assert_int_equal(store_try_open(&options, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "compression"));
    options = store_options();
    options.level_ratio = 1;
    assert_int_equal(store_try_open(&options, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "level_ratio"));
    options = store_options();
    options.format = QUARRY_KV_FORMAT_LEVELDB;
    options.compression = QUARRY_KV_COMPRESSION_ZSTD;
    assert_int_equal(store_try_open(&options, &error), QUARRY_BAD_INPUT);
}

static void too_small_a_budget_is_told(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    options.memory_bytes = Q_MIB(1);
    assert_int_equal(store_try_open(&options, &error), QUARRY_NO_MEMORY);
    assert_non_null(strstr(error.text, "8388608"));
}

static void the_least_budget_works(void **state)
{
    struct quarry_kv_options options = store_options();

    (void)state;
    options.memory_bytes = Q_MIB(8);
    options.write_buffer_bytes = 0;
    struct quarry_kv *kv = store_open(&options);
    for (uint32_t i = 0; i < 20000; i++) {
        store_put_number(kv, i % 5000, i / 5000, 300);
    }
    store_close(kv);
    kv = store_open(&options);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_true(store_has_number(kv, i, 3, 300));
    }
    store_close(kv);
}

static void closing_is_refused_while_something_is_out(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    const struct quarry_kv_snapshot *snapshot = NULL;
    struct quarry_kv_iterator *iterator = NULL;
    struct quarry_kv_value value;
    struct quarry_error error = {0};

    (void)state;
    store_put(kv, "a", "1");
    assert_int_equal(quarry_kv_snapshot_take(kv, &snapshot), QUARRY_OK);
    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_get(kv, NULL, "a", 1, &value, NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_close(kv, &error), QUARRY_BUSY);
    assert_non_null(strstr(error.text, "1 snapshots, 1 iterators and 1 values"));
    quarry_kv_value_release(&value);
    quarry_kv_iterator_destroy(iterator);
    quarry_kv_snapshot_release(kv, snapshot);
    store_close(kv);
}

static void a_store_of_none_keeps_no_log_and_is_closed_whole(void **state)
{
    struct quarry_kv_options options = store_options();
    const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};

    (void)state;
    options.durability = QUARRY_KV_NONE;
    struct quarry_kv *kv = store_open(&options);
    store_put(kv, "a", "1");
    assert_int_equal(store_count_files("/db", ".log"), 0);
    assert_int_equal(store_count_files("/db", ".sst"), 0);
    assert_int_equal(quarry_kv_put(kv, &power, "b", 1, "2", 1, NULL), QUARRY_OK);
    assert_int_equal(store_count_files("/db", ".sst"), 1);
    store_put(kv, "c", "3");
    store_close(kv);
    kv = store_open(&options);
    store_expect(kv, "a", "1");
    store_expect(kv, "b", "2");
    store_expect(kv, "c", "3");
    store_close(kv);
}

static void leveldbs_files_are_kept_if_asked_for(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_error error = {0};

    (void)state;
    options.format = QUARRY_KV_FORMAT_LEVELDB;
    struct quarry_kv *kv = store_open(&options);
    store_put(kv, "a", "1");
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "a", 1, "b", 1, &error), QUARRY_UNSUPPORTED);
    store_close(kv);
    kv = store_open(&options);
    assert_int_equal(store_count_files("/db", ".ldb"), 1);
    assert_int_equal(store_count_files("/db", ".sst"), 0);
    store_put(kv, "b", "2");
    store_close(kv);
    /* Without being asked for, it becomes RocksDB's. */
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_expect(kv, "b", "2");
    assert_int_equal(quarry_kv_delete_range(kv, NULL, "a", 1, "b", 1, &error), QUARRY_OK);
    store_expect(kv, "a", NULL);
    store_close(kv);
    assert_int_equal(store_try_open(&options, &error), QUARRY_UNSUPPORTED);
}

static void destroying_removes_what_is_the_stores(void **state)
{
    struct quarry_vfs_file *file = NULL;
    struct quarry_kv *kv = store_open(NULL);
    uint64_t byte_count;
    bool is_directory;

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        store_put_number(kv, i, 0, 500);
    }
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_BUSY);
    store_close(kv);
    assert_int_equal(quarry_vfs_open(rig_disk, "/db/notes.txt",
                                     QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
                     QUARRY_OK);
    quarry_vfs_close(file);
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_OK);
    assert_int_equal(store_count_files("/db", ""), 1);
    assert_int_equal(quarry_vfs_remove(rig_disk, "/db/notes.txt", NULL), QUARRY_OK);
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_stat(rig_disk, "/db", &byte_count, &is_directory, NULL),
                     QUARRY_NOT_FOUND);
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_NOT_FOUND);
}

static void destroying_removes_other_engines_files_by_their_names(void **state)
{
    static const char *const names[] = {"LOG", "LOG.old", "LOG.old.1700000000000000", "4.log",
                                        "0000000000017.sst"};
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count;
    bool is_directory;

    (void)state;
    store_close(store_open(NULL));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/db/%s", names[i]);
        assert_int_equal(
            quarry_vfs_open(rig_disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
            QUARRY_OK);
        quarry_vfs_close(file);
    }
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_stat(rig_disk, "/db", &byte_count, &is_directory, NULL),
                     QUARRY_NOT_FOUND);
}

static void opening_that_fails_anywhere_gives_all_back(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct quarry_vfs *faulty = NULL;
    struct quarry_kv_options options = store_options();
    uint32_t refused_count = 0;
    enum quarry_status status = QUARRY_IO;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        store_put_number(kv, i, 0, 500);
    }
    store_close(kv);
    assert_int_equal(quarry_vfs_fault_create(rig_disk, 1, &faulty), QUARRY_OK);
    options.vfs = faulty;
    for (uint64_t first = 1; status != QUARRY_OK; first++) {
        const struct quarry_vfs_fault fault = {
            .first = first, .count = 1, .status = QUARRY_IO, .os_errno = 5};
        struct quarry_error error = {0};
        quarry_vfs_fault_set(faulty, 0, &fault);
        kv = NULL;
        status = quarry_kv_open(rig_memory, "/db", &options, &kv, &error);
        bool is_hit = quarry_vfs_fault_hits(faulty, 0) != 0;
        quarry_vfs_fault_set(faulty, 0, NULL);
        if (status == QUARRY_OK) {
            store_close(kv);
        } else {
            refused_count++;
            assert_int_not_equal(error.text[0], 0);
        }
        status = is_hit ? QUARRY_IO : status; /* what is not needed may fail unseen */
    }
    assert_true(refused_count > 10);
    kv = store_open(NULL);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(store_has_number(kv, i, 0, 500));
    }
    store_close(kv);
    quarry_vfs_fault_destroy(faulty);
}

static void opening_without_memory_gives_all_back(void **state)
{
    struct quarry_kv *kv = store_open(NULL);
    struct quarry_account *parent = NULL;
    const struct quarry_account_options account = {.name = "tenant"};
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t refused_count = 0;

    (void)state;
    store_put(kv, "a", "1");
    store_close(kv);
    assert_int_equal(quarry_account_create(rig_memory, &account, &parent, NULL), QUARRY_OK);
    for (uint64_t extra = 0; status != QUARRY_OK; extra += Q_KIB(4)) {
        struct quarry_kv_options options = store_options();
        options.parent = parent;
        options.memory_bytes = 0;
        /* The budget looks large enough, and most of it is another's. */
        assert_int_equal(quarry_account_set_bounds(parent, 0, Q_MIB(64)), QUARRY_OK);
        assert_int_equal(quarry_account_charge(parent, Q_MIB(64) - 4096 - extra), QUARRY_OK);
        struct quarry_error error = {0};
        kv = NULL;
        status = quarry_kv_open(rig_memory, "/db", &options, &kv, &error);
        if (status == QUARRY_OK) {
            store_close(kv);
        } else {
            assert_int_equal(status, QUARRY_NO_MEMORY);
            refused_count++;
        }
        quarry_account_uncharge(parent, Q_MIB(64) - 4096 - extra);
        struct quarry_account_state own;
        quarry_account_read(parent, &own);
        assert_int_equal(own.charged_bytes, 0);
    }
    assert_true(refused_count > 5);
    quarry_account_destroy(parent);
    kv = store_open(NULL);
    store_expect(kv, "a", "1");
    store_close(kv);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_is_made_and_found_again),
        TEST(files_are_those_of_rocksdb),
        TEST(a_store_that_is_not_there_is_not_found),
        TEST(a_store_that_is_there_may_be_refused),
        TEST(a_store_is_open_once),
        TEST(reading_only_writes_nothing),
        TEST(another_comparator_is_refused_by_name),
        TEST(a_store_with_its_own_order_keeps_it),
        TEST(options_without_sense_are_refused),
        TEST(too_small_a_budget_is_told),
        TEST(the_least_budget_works),
        TEST(closing_is_refused_while_something_is_out),
        TEST(a_store_of_none_keeps_no_log_and_is_closed_whole),
        TEST(leveldbs_files_are_kept_if_asked_for),
        TEST(destroying_removes_other_engines_files_by_their_names),
        TEST(destroying_removes_what_is_the_stores),
        TEST(opening_that_fails_anywhere_gives_all_back),
        TEST(opening_without_memory_gives_all_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
