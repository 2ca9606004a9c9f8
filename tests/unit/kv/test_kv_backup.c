/*
 * Backups: what is restored is what was backed up, nothing is copied twice, what is damaged is not
 * restored, and what is pruned is gone.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/store.h>

static uint32_t back_up(struct quarry_kv *kv)
{
    uint32_t id = 0;

    must(quarry_kv_backup(kv, "/backups", &id, &out_error));
    return id;
}

static void each_backup_is_restored_as_it_was(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 2000, "first");
    assert_int_equal(back_up(kv), 1);
    out_fill(kv, 1000, 3000, "second");
    assert_int_equal(back_up(kv), 2);
    out_fill(kv, 0, 3000, "third");
    out_close(kv);

    must(quarry_kv_restore(out_vfs, "/backups", 1, "/one", &out_error));
    must(quarry_kv_restore(out_vfs, "/backups", 0, "/latest", &out_error));
    kv = out_open("/one");
    out_expect_fill(kv, 0, 2000, "first");
    assert_int_equal(out_count(kv), 2000);
    out_close(kv);
    kv = out_open("/latest");
    out_expect_fill(kv, 0, 1000, "first");
    out_expect_fill(kv, 1000, 3000, "second");
    must(quarry_kv_verify(kv, &out_error));
    out_close(kv);
}

static void files_that_are_there_are_not_copied_again(void **state)
{
    struct quarry_vfs *below = out_vfs;
    uint32_t tables;

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    struct quarry_kv *kv = out_open("/kv");
    out_fill(kv, 0, 2000, "first");
    back_up(kv);
    tables = out_files("/backups/shared_checksum", ".sst", NULL);
    assert_true(tables > 0);
    out_put(kv, "one more", "1");
    const struct quarry_vfs_fault count = {.operations = 1u << QUARRY_VFS_OP_CREATE,
                                           .path_contains = "shared_checksum"};
    quarry_vfs_fault_set(out_vfs, 0, &count);
    back_up(kv);
    assert_int_equal(quarry_vfs_fault_hits(out_vfs, 0), 1);
    assert_int_equal(out_files("/backups/shared_checksum", ".sst", NULL), tables + 1);
    out_close(kv);
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

/* Two stores whose files have the same numbers share a directory of backups. */
static void files_of_the_same_number_are_told_apart(void **state)
{
    struct quarry_kv *one = out_open("/one"), *other = out_open("/other");

    (void)state;
    out_fill(one, 0, 100, "of one");
    out_fill(other, 0, 100, "of the other");
    assert_int_equal(back_up(one), 1);
    assert_int_equal(back_up(other), 2);
    out_close(one);
    out_close(other);
    must(quarry_kv_restore(out_vfs, "/backups", 1, "/back", &out_error));
    one = out_open("/back");
    out_expect_fill(one, 0, 100, "of one");
    out_close(one);
}

static void nothing_is_restored_over_a_store(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 10, "first");
    back_up(kv);
    out_fill(kv, 0, 10, "second");
    out_close(kv);
    assert_int_equal(quarry_kv_restore(out_vfs, "/backups", 0, "/kv", &out_error), QUARRY_EXISTS);
    assert_int_equal(quarry_kv_restore(out_vfs, "/backups", 7, "/seven", &out_error),
                     QUARRY_NOT_FOUND);
    assert_false(out_exists("/seven"));
    assert_int_equal(quarry_kv_restore(out_vfs, "/none", 0, "/seven", &out_error),
                     QUARRY_NOT_FOUND);
    kv = out_open("/kv");
    out_expect_fill(kv, 0, 10, "second");
    out_close(kv);
}

static void a_damaged_backup_is_not_restored(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    char name[256], path[320];

    (void)state;
    out_fill(kv, 0, 500, "first");
    back_up(kv);
    out_close(kv);
    assert_true(out_files("/backups/shared_checksum", ".sst", name) > 0);
    (void)snprintf(path, sizeof(path), "/backups/shared_checksum/%s", name);
    out_damage(path, 100);
    assert_int_equal(quarry_kv_restore(out_vfs, "/backups", 0, "/back", &out_error),
                     QUARRY_CORRUPT);
    assert_non_null(strstr(out_error.text, name));
    assert_false(out_exists("/back"));
    out_damage(path, 100); /* and back again */
    must(quarry_kv_restore(out_vfs, "/backups", 0, "/back", &out_error));
}

static void a_meta_file_is_not_believed(void **state)
{
    static const char *const wrong[] = {
        "",
        "1\n2\n",
        "1\n2\nthree\n",
        "1\n2\n1\nprivate/1/CURRENT\n",
        "1\n2\n1\nprivate/1/CURRENT crc32 99999999999\n",
        "1\n2\n2\nprivate/1/CURRENT crc32 1\n",
        "1\n2\n1\nprivate/1/../../../CURRENT crc32 1\n",
        "1\n2\n1\nprivate/1/passwd crc32 1\n",
        "1\n2\n1\nprivate/2/CURRENT crc32 1\n",
        "1\n2\n1\n/CURRENT crc32 1\n",
        "1\n2\n1\nCURRENT crc32 1\n",
        "1\n2\n1\nshared_checksum/000004.sst crc32 1\n",
        "1\n2\n1\nshared_checksum/_1_2 crc32 1\n",
        "1\n2\n1\nprivate/1/LOCK crc32 1\n",
        "1\n2\n0\n",
    };
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_put(kv, "a", "1");
    back_up(kv);
    out_close(kv);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        out_write_file("/backups/meta/1", wrong[i]);
        enum quarry_status status = quarry_kv_restore(out_vfs, "/backups", 1, "/back", &out_error);
        if (status != QUARRY_CORRUPT) {
            fail_msg("%zu: %s", i, quarry_status_name(status));
        }
        assert_false(out_exists("/back"));
    }
    out_write_file("/backups/meta/1", "schema_version 2.1\n1\n2\n0\n");
    assert_int_equal(quarry_kv_restore(out_vfs, "/backups", 1, "/back", &out_error),
                     QUARRY_UNSUPPORTED);
}

static void pruning_keeps_the_latest(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 500, "first");
    back_up(kv);
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));
    out_fill(kv, 0, 500, "second");
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));
    back_up(kv);
    out_fill(kv, 500, 600, "third");
    back_up(kv);
    out_close(kv);
    uint32_t before = out_files("/backups/shared_checksum", ".sst", NULL);
    must(quarry_vfs_make_directory(out_vfs, "/backups/private/9", &out_error));
    must(quarry_kv_backup_prune(out_vfs, "/backups", 2, &out_error));
    assert_true(out_files("/backups/shared_checksum", ".sst", NULL) < before);
    assert_int_equal(out_files("/backups/meta", "", NULL), 2);
    assert_int_equal(out_files("/backups/private", "", NULL), 2);
    assert_int_equal(quarry_kv_restore(out_vfs, "/backups", 1, "/one", &out_error),
                     QUARRY_NOT_FOUND);
    must(quarry_kv_restore(out_vfs, "/backups", 2, "/two", &out_error));
    must(quarry_kv_restore(out_vfs, "/backups", 3, "/three", &out_error));
    kv = out_open("/three");
    out_expect_fill(kv, 0, 500, "second");
    out_expect_fill(kv, 500, 600, "third");
    out_close(kv);
    must(quarry_kv_backup_prune(out_vfs, "/backups", 0, &out_error));
    assert_int_equal(out_files("/backups/shared_checksum", "", NULL), 0);
}

/* More shared files than are looked at together. */
static void pruning_goes_through_many_files(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    uint32_t count;

    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        out_fill(kv, i * 10, i * 10 + 10, "flushed");
        must(quarry_kv_flush(kv, &out_error));
        if (i % 10 == 0) {
            back_up(kv);
        }
    }
    back_up(kv);
    count = out_files("/backups/shared_checksum", ".sst", NULL);
    for (uint32_t i = 0; i < 70; i++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "/backups/shared_checksum/%06u_1_2.sst", i * 3);
        out_write_file(path, "nobody's");
    }
    must(quarry_kv_backup_prune(out_vfs, "/backups", 100, &out_error));
    assert_int_equal(out_files("/backups/shared_checksum", ".sst", NULL), count);
    out_close(kv);
}

static void a_directory_of_backups_has_one_user_at_a_time(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_vfs_lock *lock;

    (void)state;
    back_up(kv);
    must(quarry_vfs_take_lock(out_vfs, "/backups/LOCK", &lock, &out_error));
    assert_int_equal(quarry_kv_backup(kv, "/backups", NULL, &out_error), QUARRY_BUSY);
    assert_int_equal(quarry_kv_backup_prune(out_vfs, "/backups", 0, &out_error), QUARRY_BUSY);
    quarry_vfs_unlock(lock);
    out_close(kv);
}

/* The n-th operation in the directory fails, and the power with it: what the meta directory names
 * can be restored. */
static void a_backup_that_fails_is_not_there(void **state)
{
    struct quarry_vfs *below = out_vfs;
    enum quarry_status status = QUARRY_IO;

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    struct quarry_kv *kv = out_open("/kv");
    out_fill(kv, 0, 300, "first");
    back_up(kv);
    out_fill(kv, 0, 300, "second");
    for (uint64_t n = 1; status != QUARRY_OK; n++) {
        const struct quarry_vfs_fault fault = {
            .path_contains = "/backups", .first = n, .count = 1, .status = QUARRY_IO};
        quarry_vfs_fault_set(out_vfs, 0, &fault);
        status = quarry_kv_backup(kv, "/backups", NULL, &out_error);
        bool was_hit = quarry_vfs_fault_hits(out_vfs, 0) != 0;
        quarry_vfs_fault_set(out_vfs, 0, NULL);
        assert_true(status == QUARRY_OK || was_hit);
        must(quarry_kv_restore(out_vfs, "/backups", 0, "/back", &out_error));
        struct quarry_kv *back = out_open("/back");
        struct quarry_kv_value value = {0};
        must(quarry_kv_get(back, NULL, "key000000", 9, &value, &out_error));
        bool is_second = memcmp(value.bytes, "second", 6) == 0;
        quarry_kv_value_release(&value);
        out_expect_fill(back, 0, 300, is_second ? "second" : "first");
        out_close(back);
        must(quarry_kv_destroy(out_vfs, "/back", &out_error));
        if (status == QUARRY_OK) {
            assert_true(is_second);
            status = was_hit ? QUARRY_IO : QUARRY_OK;
        }
        assert_true(n < 1000);
    }
    out_close(kv);
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

/* As much memory as there may be, for every amount from none to enough. */
static void without_memory_nothing_is_left(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_account_state account;
    uint32_t refusals = 0;

    (void)state;
    out_fill(kv, 0, 100, "first");
    for (uint64_t more = 1; status != QUARRY_OK; more += 32) {
        quarry_account_read(kv->part[KV_PART_META], &account);
        must(quarry_account_set_bounds(kv->part[KV_PART_META], 0, account.charged_bytes + more));
        status = quarry_kv_backup(kv, "/backups", NULL, &out_error);
        must(quarry_account_set_bounds(kv->part[KV_PART_META], 0, 0));
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_true(out_exists("/backups/meta/1") == (status == QUARRY_OK));
        refusals += status != QUARRY_OK;
        assert_true(more < 16u << 20);
    }
    assert_true(refusals > 3);
    out_expect_fill(kv, 0, 100, "first");
    out_close(kv);
}

static void a_backup_outlives_a_loss_of_power(void **state)
{
    struct quarry_vfs *before = out_vfs, *after;
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 300, "first");
    back_up(kv);
    must(quarry_vfs_memory_crash(before, 0, 5, &after));
    out_close(kv);
    out_vfs = after;
    must(quarry_kv_restore(out_vfs, "/backups", 0, "/back", &out_error));
    out_vfs = before;
    struct quarry_vfs *restored;
    must(quarry_vfs_memory_crash(after, 0, 6, &restored));
    out_vfs = restored;
    kv = out_open("/back");
    out_expect_fill(kv, 0, 300, "first");
    out_close(kv);
    quarry_vfs_memory_destroy(before);
    quarry_vfs_memory_destroy(after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_backup_is_restored_as_it_was),
        TEST(files_that_are_there_are_not_copied_again),
        TEST(files_of_the_same_number_are_told_apart),
        TEST(nothing_is_restored_over_a_store),
        TEST(a_damaged_backup_is_not_restored),
        TEST(a_meta_file_is_not_believed),
        TEST(pruning_keeps_the_latest),
        TEST(pruning_goes_through_many_files),
        TEST(a_directory_of_backups_has_one_user_at_a_time),
        TEST(a_backup_that_fails_is_not_there),
        TEST(without_memory_nothing_is_left),
        TEST(a_backup_outlives_a_loss_of_power),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
