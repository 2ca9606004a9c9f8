/*
 * The files of a store read one by one: what is in them, and nothing kept afterwards.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/inspect.h>

#define KEYS 500u

static struct kv_inspector *inspector;

/* A store with a table of KEYS keys and a log of one batch; closed. */
static int begin(void **state)
{
    if (out_set_up(state) != 0) {
        return -1;
    }
    struct quarry_kv *kv = out_open("/kv");
    out_fill(kv, 0, KEYS, "first");
    must(quarry_kv_delete_range(kv, NULL, "key000010", 9, "key000020", 9, &out_error));
    must(quarry_kv_flush(kv, &out_error));
    out_put(kv, "in the log", "value");
    out_close(kv);
    must(kv_inspector_create(out_memory, out_vfs, NULL, &inspector, &out_error));
    return 0;
}

static int end(void **state)
{
    kv_inspector_destroy(inspector);
    return out_tear_down(state);
}

/* The path of the only file whose name ends so. */
static const char *path_of(const char *ending)
{
    static char path[300];
    char name[256];

    assert_true(out_files("/kv", ending, name) >= 1);
    (void)snprintf(path, sizeof path, "/kv/%s", name);
    return path;
}

/* ---- tables --------------------------------------------------------------------------------- */

static bool add_block(void *argument, const struct kv_inspect_block *block)
{
    struct kv_inspect_block *sum = argument;

    assert_true(block->stored_bytes > 0 && block->plain_bytes > 0);
    assert_int_equal(block->offset, sum->offset);
    sum->offset += block->stored_bytes + 5; /* the next one is just behind it */
    sum->stored_bytes += block->stored_bytes + 5;
    return true;
}

static void a_table_tells_entries_ranges_and_blocks(void **state)
{
    struct kv_inspect_block sum = {0};
    struct kv_table_iterator iterator;
    struct kv_table *table;
    size_t range_count = 0, entry_count = 0;

    (void)state;
    must(kv_inspect_table(inspector, path_of(".sst"), &table, &out_error));
    (void)kv_table_ranges(table, &range_count);
    assert_int_equal(range_count, 1);
    kv_table_iterator_init(&iterator, table, NULL, &out_error);
    for (iterator.base.ops->first(&iterator.base); iterator.base.is_valid;
         iterator.base.ops->next(&iterator.base)) {
        entry_count++;
    }
    iterator.base.ops->fini(&iterator.base);
    assert_int_equal(entry_count, kv_table_properties(table)->entry_count - range_count);
    must(kv_inspect_blocks(table, add_block, &sum, &out_error));
    assert_int_equal(sum.stored_bytes, kv_table_properties(table)->data_bytes);
    assert_int_equal(kv_inspect_format_version(table), 5);
    must(kv_table_verify(table, &out_error));
    kv_inspect_close(table);
}

static void a_damaged_block_is_told_with_its_place(void **state)
{
    struct kv_inspect_block sum = {0};
    struct kv_table *table;

    (void)state;
    out_damage(path_of(".sst"), 10);
    must(kv_inspect_table(inspector, path_of(".sst"), &table, &out_error));
    assert_int_equal(kv_inspect_blocks(table, add_block, &sum, &out_error), QUARRY_CORRUPT);
    assert_non_null(strstr(out_error.text, "checksum"));
    kv_inspect_close(table);
}

static void two_files_of_one_number_are_not_taken_for_each_other(void **state)
{
    struct quarry_kv *kv = out_open("/other");
    char name[256], path[300];
    struct kv_table *table;

    (void)state;
    out_fill(kv, 0, 10, "other");
    must(quarry_kv_flush(kv, &out_error));
    out_close(kv);
    assert_int_equal(out_files("/other", ".sst", name), 1);
    (void)snprintf(path, sizeof path, "/other/%s", name);
    must(kv_inspect_table(inspector, path_of(".sst"), &table, &out_error));
    must(kv_table_verify(table, &out_error));
    kv_inspect_close(table);
    must(kv_inspect_table(inspector, path, &table, &out_error));
    must(kv_table_verify(table, &out_error));
    assert_int_equal(kv_table_properties(table)->entry_count, 10);
    kv_inspect_close(table);
}

/* ---- logs, manifests ------------------------------------------------------------------------ */

static enum quarry_status count_changes(void *argument, struct kv_slice record,
                                        struct quarry_error *error)
{
    uint64_t *count = argument;

    (void)error;
    *count += kv_batch_count(record);
    return QUARRY_OK;
}

static enum quarry_status refuse(void *argument, struct kv_slice record, struct quarry_error *error)
{
    (void)argument;
    (void)record;
    (void)error;
    return QUARRY_CANCELLED;
}

static void a_log_tells_its_batches_and_its_end(void **state)
{
    struct kv_log_end log_end;
    uint64_t count = 0;

    (void)state;
    must(kv_inspect_records(inspector, path_of(".log"), count_changes, &count, &log_end,
                            &out_error));
    assert_int_equal(count, 1);
    assert_int_equal(log_end.record_count, 1);
    assert_int_equal(log_end.ending, KV_LOG_ENDS_CLEAN);
    assert_int_equal(
        kv_inspect_records(inspector, path_of(".log"), refuse, NULL, &log_end, &out_error),
        QUARRY_CANCELLED);
    assert_int_equal(
        kv_inspect_records(inspector, "/kv/999999.log", refuse, NULL, &log_end, &out_error),
        QUARRY_NOT_FOUND);
}

static void a_manifest_comes_to_the_files_that_there_are(void **state)
{
    struct kv_manifest_state manifest;
    struct kv_version *version;
    struct kv_path path;

    (void)state;
    must(kv_inspect_current(out_vfs, "/kv", &path, &out_error));
    must(kv_inspect_manifest(inspector, path.text, &manifest, &version, &out_error));
    assert_int_equal(version->levels[0].file_count, 1);
    assert_int_equal(manifest.last_sequence, KEYS + 1);
    kv_version_release(version);
    out_write_file("/kv/CURRENT", "nonsense\n");
    assert_int_equal(kv_inspect_current(out_vfs, "/kv", &path, &out_error), QUARRY_CORRUPT);
    assert_int_equal(kv_inspect_current(out_vfs, "/none", &path, &out_error), QUARRY_NOT_FOUND);
}

/* ---- backups -------------------------------------------------------------------------------- */

static void a_backup_is_measured_and_compared(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct kv_inspect_backup backup;
    char name[256], path[300];
    uint32_t id;

    (void)state;
    must(quarry_kv_backup(kv, "/backups", &id, &out_error));
    out_close(kv);
    must(kv_inspect_backup(out_vfs, "/backups", id, true, &backup, &out_error));
    assert_int_equal(backup.id, 1);
    assert_true(backup.file_count >= 4 && backup.byte_count > 1000);
    assert_true(out_files("/backups/shared_checksum", ".sst", name) >= 1);
    (void)snprintf(path, sizeof path, "/backups/shared_checksum/%s", name);
    out_damage(path, 50);
    must(kv_inspect_backup(out_vfs, "/backups", id, false, &backup, &out_error));
    assert_int_equal(kv_inspect_backup(out_vfs, "/backups", id, true, &backup, &out_error),
                     QUARRY_CORRUPT);
    must(quarry_vfs_remove(out_vfs, path, &out_error));
    assert_int_equal(kv_inspect_backup(out_vfs, "/backups", id, false, &backup, &out_error),
                     QUARRY_CORRUPT);
    assert_non_null(strstr(out_error.text, "not there"));
    assert_int_equal(kv_inspect_backup(out_vfs, "/backups", 7, false, &backup, &out_error),
                     QUARRY_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_table_tells_entries_ranges_and_blocks),
        TEST(a_damaged_block_is_told_with_its_place),
        TEST(two_files_of_one_number_are_not_taken_for_each_other),
        TEST(a_log_tells_its_batches_and_its_end),
        TEST(a_manifest_comes_to_the_files_that_there_are),
        TEST(a_backup_is_measured_and_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
