/*
 * Repairing: with a manifest and without, tables that are lacking and damaged, logs.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <string.h>

static void repair(void)
{
    const struct quarry_kv_options options = out_options();

    must(quarry_kv_repair(out_memory, "/kv", &options, &out_error));
}

static void compact(struct quarry_kv *kv)
{
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));
}

static void remove_file(const char *directory, const char *name)
{
    char path[320];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    must(quarry_vfs_remove(out_vfs, path, &out_error));
}

struct found {
    char name[256];
    const char *begin;
};
static bool note_first(void *argument, const char *name)
{
    struct found *found = argument;

    if (strncmp(name, found->begin, strlen(found->begin)) == 0) {
        (void)snprintf(found->name, sizeof(found->name), "%s", name);
    }
    return true;
}
static void remove_beginning(const char *begin)
{
    struct found found = {.begin = begin};

    must(quarry_vfs_list(out_vfs, "/kv", note_first, &found, &out_error));
    assert_true(found.name[0] != '\0');
    remove_file("/kv", found.name);
}

/* A store with levels, memtables that are only in the log, and deletions. */
static void make_store(void)
{
    struct quarry_kv *kv = out_open("/kv");

    out_fill(kv, 0, 5000, "oldest");
    compact(kv);
    out_fill(kv, 0, 2000, "older");
    must(quarry_kv_flush(kv, &out_error));
    must(quarry_kv_delete_range(kv, NULL, "key001000", 9, "key001500", 9, &out_error));
    must(quarry_kv_delete(kv, NULL, "key004000", 9, &out_error));
    must(quarry_kv_flush(kv, &out_error));
    out_fill(kv, 0, 100, "in the log");
    out_close(kv);
}

static void expect_all(struct quarry_kv *kv)
{
    out_expect_fill(kv, 0, 100, "in the log");
    out_expect_fill(kv, 100, 1000, "older");
    out_expect_fill(kv, 1000, 1500, NULL);
    out_expect_fill(kv, 1500, 2000, "older");
    out_expect_fill(kv, 2000, 4000, "oldest");
    out_expect(kv, "key004000", NULL);
    out_expect_fill(kv, 4001, 5000, "oldest");
    assert_int_equal(out_count(kv), 5000 - 500 - 1);
    must(quarry_kv_verify(kv, &out_error));
}

static void check_and_use(void)
{
    struct quarry_kv *kv = out_open("/kv");

    expect_all(kv);
    out_put(kv, "afterwards", "yes");
    compact(kv);
    out_expect(kv, "afterwards", "yes");
    must(quarry_kv_delete(kv, NULL, "afterwards", 10, &out_error));
    expect_all(kv);
    out_close(kv);
}

static void what_is_whole_stays_as_it_is(void **state)
{
    (void)state;
    make_store();
    uint32_t tables = out_files("/kv", ".sst", NULL);
    repair();
    assert_true(out_files("/kv", ".sst", NULL) <= tables + 1);
    assert_int_equal(out_files("/kv/lost", ".sst", NULL), 0);
    check_and_use();
}

static void without_current_another_manifest_is_found(void **state)
{
    struct quarry_kv_options options = out_options();
    struct quarry_kv *kv;

    (void)state;
    make_store();
    remove_file("/kv", "CURRENT");
    options.create_if_missing = false;
    assert_int_equal(quarry_kv_open(out_memory, "/kv", &options, &kv, &out_error),
                     QUARRY_NOT_FOUND);
    repair();
    check_and_use();
}

static void without_a_manifest_all_tables_are_merged(void **state)
{
    (void)state;
    make_store();
    remove_file("/kv", "CURRENT");
    remove_beginning("MANIFEST-");
    repair();
    check_and_use();
}

static void a_damaged_manifest_is_put_away(void **state)
{
    struct found found = {.begin = "MANIFEST-"};
    char path[320];

    (void)state;
    make_store();
    must(quarry_vfs_list(out_vfs, "/kv", note_first, &found, &out_error));
    (void)snprintf(path, sizeof(path), "/kv/%s", found.name);
    out_damage(path, 20);
    struct quarry_kv_options options = out_options();
    struct quarry_kv *kv;
    assert_int_equal(quarry_kv_open(out_memory, "/kv", &options, &kv, &out_error), QUARRY_CORRUPT);
    repair();
    (void)snprintf(path, sizeof(path), "/kv/lost/%s", found.name);
    assert_true(out_exists(path));
    check_and_use();
}

/* A block of one table is damaged: its entries are lost, and no others. */
static void damage_one(bool has_manifest)
{
    char name[256], path[320];
    struct quarry_kv *kv;

    make_store();
    kv = out_open("/kv");
    compact(kv);
    out_close(kv);
    assert_true(out_files("/kv", ".sst", name) > 2);
    (void)snprintf(path, sizeof(path), "/kv/%s", name);
    out_damage(path, 200);
    if (!has_manifest) {
        remove_beginning("MANIFEST-");
    }
    repair();
    (void)snprintf(path, sizeof(path), "/kv/lost/%s", name);
    assert_true(out_exists(path));
    assert_int_equal(out_files("/kv/lost", ".sst", NULL), 1);
    kv = out_open("/kv");
    must(quarry_kv_verify(kv, &out_error));
    uint64_t count = out_count(kv);
    if (count >= 4499 || count < 4499 - 100) {
        fail_msg("%llu keys", (unsigned long long)count);
    }
    out_put(kv, "afterwards", "yes");
    compact(kv);
    assert_int_equal(out_count(kv), count + 1);
    out_close(kv);
}

static void of_a_damaged_table_the_rest_is_kept(void **state)
{
    (void)state;
    damage_one(true);
}

static void of_a_damaged_table_the_rest_is_merged(void **state)
{
    (void)state;
    damage_one(false);
}

/* Of a table without an end nothing is known. */
static void a_table_that_cannot_be_opened_is_put_away(void **state)
{
    char name[256], path[320];
    uint64_t byte_count;
    bool is_directory;

    (void)state;
    make_store();
    assert_true(out_files("/kv", ".sst", name) > 2);
    (void)snprintf(path, sizeof(path), "/kv/%s", name);
    must(quarry_vfs_stat(out_vfs, path, &byte_count, &is_directory, &out_error));
    out_damage(path, byte_count - 1);
    repair();
    (void)snprintf(path, sizeof(path), "/kv/lost/%s", name);
    assert_true(out_exists(path));
    struct quarry_kv *kv = out_open("/kv");
    must(quarry_kv_verify(kv, &out_error));
    out_close(kv);
}

static void a_lacking_table_is_done_without(void **state)
{
    char name[256];
    struct quarry_kv_options options = out_options();
    struct quarry_kv *kv;

    (void)state;
    make_store();
    assert_true(out_files("/kv", ".sst", name) > 2);
    remove_file("/kv", name);
    assert_int_equal(quarry_kv_open(out_memory, "/kv", &options, &kv, &out_error), QUARRY_CORRUPT);
    repair();
    kv = out_open("/kv");
    must(quarry_kv_verify(kv, &out_error));
    assert_true(out_count(kv) > 1000);
    out_close(kv);
}

static void what_the_manifest_does_not_name_is_not_brought_back(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_file_writer *writer;

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_file_writer_create(kv, "/kv/000099.sst", &writer, &out_error));
    must(quarry_kv_file_writer_put(writer, "orphan", 6, "1", 1, &out_error));
    must(quarry_kv_file_writer_finish(writer, &out_error));
    out_close(kv);
    repair();
    assert_true(out_exists("/kv/lost/000099.sst"));
    kv = out_open("/kv");
    out_expect(kv, "orphan", NULL);
    out_expect_fill(kv, 0, 100, "first");
    out_close(kv);
}

static void what_comes_before_damage_in_a_log_is_kept(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    char name[256], path[320];

    (void)state;
    out_fill(kv, 0, 1000, "in the log");
    /* What is there when the machine stops: the log is the only place. */
    struct quarry_vfs *before = out_vfs, *after;
    must(quarry_vfs_memory_crash(before, 100, 5, &after));
    out_close(kv);
    out_vfs = after;
    assert_true(out_files("/kv", ".log", NULL) > 0);
    assert_int_equal(out_files("/kv", ".sst", name), 0);
    struct found found = {.begin = "0000"};
    must(quarry_vfs_list(out_vfs, "/kv", note_first, &found, &out_error));
    (void)snprintf(path, sizeof(path), "/kv/%s", found.name);
    out_damage(path, 64u << 10);
    remove_beginning("MANIFEST-");
    repair();
    assert_true(out_files("/kv/lost", ".log", NULL) > 0);
    kv = out_open("/kv");
    uint64_t count = out_count(kv);
    assert_true(count > 100 && count < 1000);
    out_expect_fill(kv, 0, (uint32_t)count, "in the log");
    out_close(kv);
    quarry_vfs_memory_destroy(before);
}

static void ingested_files_stay_newer_than_what_was_there(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_file_writer *writer;
    const char *path = "/new.sst";

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_flush(kv, &out_error));
    must(quarry_kv_file_writer_create(kv, path, &writer, &out_error));
    must(quarry_kv_file_writer_put(writer, "key000050", 9, "ingested", 8, &out_error));
    must(quarry_kv_file_writer_finish(writer, &out_error));
    must(quarry_kv_ingest(kv, &path, 1, false, &out_error));
    out_fill(kv, 60, 61, "later");
    must(quarry_kv_flush(kv, &out_error));
    out_close(kv);
    remove_beginning("MANIFEST-");
    repair();
    kv = out_open("/kv");
    out_expect(kv, "key000050", "ingested");
    out_expect_fill(kv, 60, 61, "later");
    assert_int_equal(out_count(kv), 100);
    out_close(kv);
}

static void leveldbs_files_stay_so(void **state)
{
    struct quarry_kv_options options = out_options();

    (void)state;
    options.format = QUARRY_KV_FORMAT_LEVELDB;
    struct quarry_kv *kv = out_open_with("/kv", &options);
    out_fill(kv, 0, 2000, "first");
    must(quarry_kv_flush(kv, &out_error));
    out_fill(kv, 0, 100, "second");
    out_close(kv);
    remove_beginning("MANIFEST-");
    repair();
    assert_true(out_files("/kv", ".ldb", NULL) > 0);
    assert_int_equal(out_files("/kv", ".sst", NULL), 0);
    kv = out_open("/kv");
    out_expect_fill(kv, 0, 100, "second");
    out_expect_fill(kv, 100, 2000, "first");
    out_close(kv);
}

static void what_is_no_store_is_left_alone(void **state)
{
    const struct quarry_kv_options options = out_options();
    struct quarry_kv *kv;

    (void)state;
    must(quarry_vfs_make_directory(out_vfs, "/empty", &out_error));
    assert_int_equal(quarry_kv_repair(out_memory, "/empty", &options, &out_error),
                     QUARRY_NOT_FOUND);
    assert_int_equal(quarry_kv_repair(out_memory, "/none", &options, &out_error), QUARRY_NOT_FOUND);
    kv = out_open("/kv");
    assert_int_equal(quarry_kv_repair(out_memory, "/kv", &options, &out_error), QUARRY_BUSY);
    out_close(kv);
}

/* With every amount of memory from little to enough. */
static void a_repair_without_memory_can_be_done_again(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct quarry_kv_options options = out_options();
    uint32_t refusals = 0;

    (void)state;
    make_store();
    remove_beginning("MANIFEST-");
    for (uint64_t bytes = 4096; status != QUARRY_OK; bytes += bytes / 4) {
        options.memory_bytes = bytes;
        status = quarry_kv_repair(out_memory, "/kv", &options, &out_error);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_true(status == QUARRY_OK || out_error.text[0] != '\0');
        refusals += status != QUARRY_OK;
        assert_true(bytes < UINT64_C(1) << 30);
    }
    assert_true(refusals > 3);
    check_and_use();
}

/* The n-th operation of the repair fails: it can be done again. */
static void a_repair_that_fails_can_be_done_again(void **state)
{
    struct quarry_vfs *below = out_vfs;
    enum quarry_status status = QUARRY_IO;

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    for (uint64_t n = 1; status != QUARRY_OK; n += 1 + n / 8) {
        const struct quarry_vfs_fault fault = {
            .operations = 1u << QUARRY_VFS_OP_WRITE | 1u << QUARRY_VFS_OP_SYNC |
                          1u << QUARRY_VFS_OP_RENAME | 1u << QUARRY_VFS_OP_CREATE |
                          1u << QUARRY_VFS_OP_SYNC_DIRECTORY,
            .first = n,
            .count = 1,
            .status = QUARRY_NO_SPACE};
        const struct quarry_kv_options options = out_options();
        make_store();
        remove_beginning("MANIFEST-");
        quarry_vfs_fault_set(out_vfs, 0, &fault);
        status = quarry_kv_repair(out_memory, "/kv", &options, &out_error);
        quarry_vfs_fault_set(out_vfs, 0, NULL);
        if (status != QUARRY_OK) {
            repair();
        }
        struct quarry_kv *kv = out_open("/kv");
        expect_all(kv);
        out_close(kv);
        (void)quarry_kv_destroy(out_vfs, "/kv", &out_error);
        assert_true(n < 1000);
    }
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_whole_stays_as_it_is),
        TEST(without_current_another_manifest_is_found),
        TEST(without_a_manifest_all_tables_are_merged),
        TEST(a_damaged_manifest_is_put_away),
        TEST(of_a_damaged_table_the_rest_is_kept),
        TEST(of_a_damaged_table_the_rest_is_merged),
        TEST(a_table_that_cannot_be_opened_is_put_away),
        TEST(a_lacking_table_is_done_without),
        TEST(what_the_manifest_does_not_name_is_not_brought_back),
        TEST(what_comes_before_damage_in_a_log_is_kept),
        TEST(ingested_files_stay_newer_than_what_was_there),
        TEST(leveldbs_files_stay_so),
        TEST(what_is_no_store_is_left_alone),
        TEST(a_repair_without_memory_can_be_done_again),
        TEST(a_repair_that_fails_can_be_done_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
