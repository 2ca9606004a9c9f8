/*
 * Ingesting and exporting: entries appear at one moment, above what is older and below what is
 * newer, and what was not made to be ingested is refused.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <string.h>

#include <kv/sst/format.h>
#include <kv/store.h>

static void make_file(struct quarry_kv *kv, const char *path, uint32_t from, uint32_t to,
                      const char *value)
{
    struct quarry_kv_file_writer *writer;
    char key[16];

    must(quarry_kv_file_writer_create(kv, path, &writer, &out_error));
    for (uint32_t i = from; i < to; i++) {
        (void)snprintf(key, sizeof(key), "key%06u", i % 1000000u);
        if (value == NULL) {
            must(quarry_kv_file_writer_delete(writer, key, strlen(key), &out_error));
        } else {
            must(quarry_kv_file_writer_put(writer, key, strlen(key), value, strlen(value),
                                           &out_error));
        }
    }
    must(quarry_kv_file_writer_finish(writer, &out_error));
}

static void ingest(struct quarry_kv *kv, const char *path)
{
    must(quarry_kv_ingest(kv, &path, 1, false, &out_error));
}

static uint32_t files_at(struct quarry_kv *kv, uint32_t level)
{
    struct quarry_kv_stats stats;

    quarry_kv_read_stats(kv, &stats);
    return stats.level[level].file_count;
}

static void an_empty_store_gets_the_file_at_the_bottom(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    make_file(kv, "/new.sst", 0, 1000, "ingested");
    ingest(kv, "/new.sst");
    assert_false(out_exists("/new.sst"));
    assert_int_equal(files_at(kv, QUARRY_KV_LEVELS - 1), 1);
    out_expect(kv, "key000000", "ingested");
    out_expect(kv, "key000999", "ingested");
    out_expect(kv, "key001000", NULL);
    assert_int_equal(out_count(kv), 1000);
    must(quarry_kv_verify(kv, &out_error));
    out_close(kv);
    kv = out_open("/kv");
    assert_int_equal(out_count(kv), 1000);
    out_put(kv, "key000500", "later");
    out_expect(kv, "key000500", "later");
    out_expect(kv, "key000501", "ingested");
    out_close(kv);
}

static void it_is_newer_than_what_was_written_before(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 1000, "flushed");
    must(quarry_kv_flush(kv, &out_error));
    out_fill(kv, 0, 500, "in memory");
    make_file(kv, "/new.sst", 100, 200, "ingested");
    ingest(kv, "/new.sst");
    out_expect_fill(kv, 0, 100, "in memory");
    out_expect(kv, "key000100", "ingested");
    out_expect(kv, "key000199", "ingested");
    out_expect_fill(kv, 200, 500, "in memory");
    out_expect_fill(kv, 500, 1000, "flushed");
    out_fill(kv, 150, 151, "after");
    out_expect_fill(kv, 150, 151, "after");
    out_expect(kv, "key000151", "ingested");
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));
    out_expect(kv, "key000100", "ingested");
    out_expect_fill(kv, 150, 151, "after");
    assert_int_equal(out_count(kv), 1000);
    out_close(kv);
}

static void what_is_in_memory_of_other_keys_stays_there(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_stats stats;

    (void)state;
    out_fill(kv, 5000, 5010, "in memory");
    make_file(kv, "/new.sst", 0, 10, "ingested");
    ingest(kv, "/new.sst");
    quarry_kv_read_stats(kv, &stats);
    assert_int_equal(stats.flush_count, 0);
    make_file(kv, "/new.sst", 5005, 5006, "ingested");
    ingest(kv, "/new.sst");
    quarry_kv_read_stats(kv, &stats);
    assert_int_equal(stats.flush_count, 1);
    out_expect(kv, "key005005", "ingested");
    out_expect_fill(kv, 5006, 5010, "in memory");
    out_close(kv);
}

static void a_range_deletion_in_memory_is_older(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_delete_range(kv, NULL, "key", 3, "kez", 3, &out_error));
    make_file(kv, "/new.sst", 10, 20, "ingested");
    ingest(kv, "/new.sst");
    assert_int_equal(out_count(kv), 10);
    out_expect(kv, "key000010", "ingested");
    out_expect_fill(kv, 0, 10, NULL);
    must(quarry_kv_delete_range(kv, NULL, "key", 3, "kez", 3, &out_error));
    assert_int_equal(out_count(kv), 0);
    out_close(kv);
}

static void deletions_delete(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 100, "first");
    make_file(kv, "/new.sst", 20, 30, NULL);
    ingest(kv, "/new.sst");
    out_expect_fill(kv, 0, 20, "first");
    out_expect_fill(kv, 20, 30, NULL);
    out_expect_fill(kv, 30, 100, "first");
    out_close(kv);
}

static void snapshots_and_iterators_do_not_see_it(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_iterator *iterator;
    const struct quarry_kv_snapshot *snapshot;
    struct quarry_kv_value value = {0};

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_snapshot_take(kv, &snapshot));
    must(quarry_kv_iterate(kv, NULL, &iterator, &out_error));
    make_file(kv, "/new.sst", 0, 200, "ingested");
    ingest(kv, "/new.sst");
    const struct quarry_kv_read_options before = {.snapshot = snapshot};
    assert_int_equal(quarry_kv_get(kv, &before, "key000150", 9, &value, &out_error),
                     QUARRY_NOT_FOUND);
    must(quarry_kv_get(kv, &before, "key000050", 9, &value, &out_error));
    assert_memory_equal(value.bytes, "first", 5);
    quarry_kv_value_release(&value);
    uint32_t count = 0;
    for (bool is = quarry_kv_iterator_first(iterator); is; is = quarry_kv_iterator_next(iterator)) {
        assert_memory_equal(quarry_kv_iterator_value(iterator).bytes, "first", 5);
        count++;
    }
    assert_int_equal(count, 100);
    quarry_kv_iterator_destroy(iterator);
    quarry_kv_snapshot_release(kv, snapshot);
    assert_int_equal(out_count(kv), 200);
    out_close(kv);
}

static void several_files_come_together_or_not_at_all(void **state)
{
    static const char *const paths[] = {"/c.sst", "/a.sst", "/b.sst"};
    static const char *const overlapping[] = {"/d.sst", "/e.sst"};
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    make_file(kv, "/a.sst", 0, 10, "a");
    make_file(kv, "/b.sst", 10, 20, "b");
    make_file(kv, "/c.sst", 20, 30, "c");
    make_file(kv, "/d.sst", 40, 51, "d");
    make_file(kv, "/e.sst", 50, 60, "e");
    assert_int_equal(quarry_kv_ingest(kv, overlapping, 2, false, &out_error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(out_error.text, "/d.sst"));
    assert_true(out_exists("/d.sst"));
    assert_true(out_exists("/e.sst"));
    assert_int_equal(out_count(kv), 0);
    must(quarry_kv_ingest(kv, paths, 3, true, &out_error));
    assert_true(out_exists("/a.sst")); /* it was to be kept */
    assert_int_equal(out_count(kv), 30);
    out_expect(kv, "key000009", "a");
    out_expect(kv, "key000010", "b");
    out_expect(kv, "key000029", "c");
    /* The same once more: other files of the same contents. */
    must(quarry_kv_ingest(kv, paths, 3, false, &out_error));
    assert_int_equal(out_count(kv), 30);
    out_close(kv);
}

static void what_was_not_made_for_it_is_refused(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    char name[256];
    const char *own = NULL, *text = "/text.sst", *none = "/none.sst";

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_flush(kv, &out_error));
    assert_int_equal(out_files("/kv", ".sst", name), 1);
    own = out_path("kv");
    char path[320];
    (void)snprintf(path, sizeof(path), "%s/%s", own, name);
    own = path;
    assert_int_equal(quarry_kv_ingest(kv, &own, 1, true, &out_error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(out_error.text, name));
    out_write_file(text, "no table, though it is quite long enough to be one: fifty-three bytes");
    assert_int_equal(quarry_kv_ingest(kv, &text, 1, false, &out_error), QUARRY_CORRUPT);
    assert_true(out_exists(text));
    assert_int_equal(quarry_kv_ingest(kv, &none, 1, false, &out_error), QUARRY_NOT_FOUND);
    make_file(kv, "/new.sst", 0, 1000, "ingested");
    out_damage("/new.sst", 500);
    const char *damaged = "/new.sst";
    assert_int_equal(quarry_kv_ingest(kv, &damaged, 1, false, &out_error), QUARRY_CORRUPT);
    assert_true(out_exists("/new.sst"));
    assert_int_equal(out_files("/kv", ".sst", NULL), 1);
    assert_int_equal(out_count(kv), 100);
    out_close(kv);
}

/* Where some bytes are in others; the last place. */
static size_t find_bytes(const char *bytes, size_t count, const char *wanted, size_t wanted_count)
{
    for (size_t at = count - wanted_count; at > 0; at--) {
        if (memcmp(bytes + at, wanted, wanted_count) == 0) {
            return at;
        }
    }
    fail_msg("'%s' is not there", wanted);
    return 0;
}

/* Makes a file one of the first version, as older writers made them. */
static void make_old(const char *path)
{
    static char bytes[65536];
    struct quarry_vfs_file *file;
    struct sst_handle handle;
    size_t count;

    must(quarry_vfs_open(out_vfs, path, QUARRY_VFS_WRITE, &file, &out_error));
    must(quarry_vfs_read(file, 0, bytes, sizeof(bytes), &count, &out_error));
    bytes[find_bytes(bytes, count, "version\2\0\0\0", 11) + 7] = 1;
    size_t at = find_bytes(bytes, count, "properties", 10) + 10;
    assert_true(sst_handle_get(bytes + at, bytes + count, &handle) != 0);
    char *trailer = bytes + handle.offset + handle.byte_count;
    uint32_t crc = crc32c_value(bytes + handle.offset, handle.byte_count + 1);
    endian_store_le_u32(trailer + 1, crc32c_mask(crc));
    must(quarry_vfs_write(file, 0, bytes, count, &out_error));
    quarry_vfs_close(file);
}

static void a_file_of_the_first_version_is_written_anew(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 100, "first");
    make_file(kv, "/old.sst", 50, 150, "ingested");
    make_old("/old.sst");
    ingest(kv, "/old.sst");
    assert_int_equal(out_count(kv), 150);
    out_expect_fill(kv, 0, 50, "first");
    out_expect(kv, "key000050", "ingested");
    must(quarry_kv_verify(kv, &out_error));
    assert_int_equal(out_files("/kv", ".sst", NULL), 2); /* what was brought in is gone */
    out_close(kv);
    kv = out_open("/kv");
    out_expect(kv, "key000050", "ingested");
    out_close(kv);
}

/* As much memory as there may be, for every amount from none to enough. */
static void without_memory_nothing_is_ingested(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_account_state account;
    const char *path = "/new.sst";
    uint32_t refusals = 0;

    (void)state;
    out_fill(kv, 0, 100, "first");
    must(quarry_kv_flush(kv, &out_error));
    make_file(kv, path, 50, 150, "ingested");
    for (uint64_t more = 1; status != QUARRY_OK; more += 8) {
        quarry_account_read(kv->part[KV_PART_COMPACTION], &account);
        must(quarry_account_set_bounds(kv->part[KV_PART_COMPACTION], 0,
                                       account.charged_bytes + more));
        status = quarry_kv_ingest(kv, &path, 1, true, &out_error);
        must(quarry_account_set_bounds(kv->part[KV_PART_COMPACTION], 0, 0));
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_int_equal(out_count(kv), status == QUARRY_OK ? 150 : 100);
        refusals += status != QUARRY_OK;
        assert_int_equal(out_files("/kv", ".sst", NULL), status == QUARRY_OK ? 2 : 1);
        assert_true(more < 16u << 20);
    }
    assert_true(refusals > 3);
    out_close(kv);
}

static void writers_want_rising_keys(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_file_writer *writer;

    (void)state;
    must(quarry_kv_file_writer_create(kv, "/new.sst", &writer, &out_error));
    assert_int_equal(quarry_kv_file_writer_create(kv, "/new.sst", &writer, &out_error),
                     QUARRY_EXISTS);
    must(quarry_kv_file_writer_put(writer, "b", 1, "1", 1, &out_error));
    assert_int_equal(quarry_kv_file_writer_put(writer, "a", 1, "1", 1, &out_error),
                     QUARRY_BAD_INPUT);
    assert_int_equal(quarry_kv_file_writer_delete(writer, "b", 1, &out_error), QUARRY_BAD_INPUT);
    must(quarry_kv_file_writer_put(writer, "c", 1, "1", 1, &out_error));
    quarry_kv_file_writer_abort(writer);
    assert_false(out_exists("/new.sst"));
    must(quarry_kv_file_writer_create(kv, "/new.sst", &writer, &out_error));
    assert_int_equal(quarry_kv_file_writer_finish(writer, &out_error), QUARRY_BAD_INPUT);
    assert_false(out_exists("/new.sst"));
    out_close(kv);
}

static void what_is_exported_can_be_ingested(void **state)
{
    const struct quarry_kv_read_options range = {.lower = {"key000100", 9},
                                                 .upper = {"key000200", 9}};
    const struct quarry_kv_read_options nothing = {.lower = {"x", 1}};
    struct quarry_kv *kv = out_open("/kv"), *other = out_open("/other");
    uint64_t count = 0;

    (void)state;
    out_fill(kv, 0, 1000, "first");
    must(quarry_kv_delete(kv, NULL, "key000150", 9, &out_error));
    must(quarry_kv_export(kv, &range, "/part.sst", &count, &out_error));
    assert_int_equal(count, 99);
    assert_int_equal(quarry_kv_export(kv, &nothing, "/none.sst", &count, &out_error),
                     QUARRY_NOT_FOUND);
    assert_false(out_exists("/none.sst"));
    out_close(kv);
    ingest(other, "/part.sst");
    out_expect_fill(other, 100, 150, "first");
    out_expect_fill(other, 150, 151, NULL);
    out_expect_fill(other, 151, 200, "first");
    assert_int_equal(out_count(other), 99);
    out_close(other);
}

/* The n-th operation fails: all of the keys are there, or none, now and after opening again. */
static void an_ingestion_that_fails_has_not_happened(void **state)
{
    struct quarry_vfs *below = out_vfs;
    enum quarry_status status = QUARRY_IO;
    static const char *const paths[] = {"/new.sst", "/more.sst"};

    (void)state;
    must(quarry_vfs_fault_create(below, 1, &out_vfs));
    for (uint64_t n = 1; status != QUARRY_OK; n++) {
        const struct quarry_vfs_fault fault = {.first = n, .count = 1, .status = QUARRY_IO};
        struct quarry_kv *kv = out_open("/kv");
        out_fill(kv, 0, 100, "first");
        make_file(kv, "/new.sst", 50, 150, "ingested");
        make_file(kv, "/more.sst", 200, 250, "ingested");
        quarry_vfs_fault_set(out_vfs, 0, &fault);
        status = quarry_kv_ingest(kv, paths, 2, true, &out_error);
        bool was_hit = quarry_vfs_fault_hits(out_vfs, 0) != 0;
        quarry_vfs_fault_set(out_vfs, 0, NULL);
        assert_true(status == QUARRY_OK || was_hit);
        uint64_t seen = out_count(kv);
        assert_int_equal(seen, status == QUARRY_OK ? 200 : 100);
        out_shut(kv);
        kv = out_open("/kv");
        uint64_t after = out_count(kv);
        assert_true(after == 100 || after == 200);
        assert_true(status != QUARRY_OK || after == 200);
        must(quarry_kv_verify(kv, &out_error));
        out_close(kv);
        must(quarry_kv_destroy(out_vfs, "/kv", &out_error));
        must(quarry_vfs_remove(out_vfs, "/new.sst", &out_error));
        must(quarry_vfs_remove(out_vfs, "/more.sst", &out_error));
        status = was_hit ? QUARRY_IO : status;
        assert_true(n < 1000);
    }
    quarry_vfs_fault_destroy(out_vfs);
    out_vfs = below;
}

static void an_ingestion_outlives_a_loss_of_power(void **state)
{
    struct quarry_vfs *before = out_vfs, *after;
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    make_file(kv, "/new.sst", 0, 300, "ingested");
    ingest(kv, "/new.sst");
    must(quarry_vfs_memory_crash(before, 0, 5, &after));
    out_close(kv);
    out_vfs = after;
    kv = out_open("/kv");
    assert_int_equal(out_count(kv), 300);
    out_close(kv);
    quarry_vfs_memory_destroy(before);
}

static void leveldbs_files_cannot_have_it(void **state)
{
    struct quarry_kv_options options = out_options();
    struct quarry_kv_file_writer *writer;
    const char *path = "/new.sst";

    (void)state;
    options.format = QUARRY_KV_FORMAT_LEVELDB;
    struct quarry_kv *kv = out_open_with("/kv", &options);
    assert_int_equal(quarry_kv_file_writer_create(kv, path, &writer, &out_error),
                     QUARRY_UNSUPPORTED);
    assert_int_equal(quarry_kv_ingest(kv, &path, 1, false, &out_error), QUARRY_UNSUPPORTED);
    out_close(kv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_store_gets_the_file_at_the_bottom),
        TEST(it_is_newer_than_what_was_written_before),
        TEST(what_is_in_memory_of_other_keys_stays_there),
        TEST(a_range_deletion_in_memory_is_older),
        TEST(deletions_delete),
        TEST(snapshots_and_iterators_do_not_see_it),
        TEST(several_files_come_together_or_not_at_all),
        TEST(what_was_not_made_for_it_is_refused),
        TEST(a_file_of_the_first_version_is_written_anew),
        TEST(without_memory_nothing_is_ingested),
        TEST(writers_want_rising_keys),
        TEST(what_is_exported_can_be_ingested),
        TEST(an_ingestion_that_fails_has_not_happened),
        TEST(an_ingestion_outlives_a_loss_of_power),
        TEST(leveldbs_files_cannot_have_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
