/*
 * Checkpoints, backups and ingested files beside RocksDB's own: each reads what the other has made.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rocksdb/c.h>

/* Runs ldb on a database. Returns: how many lines it wrote; fails the test where it does. */
static uint32_t ldb(const char *database, const char *words, const char *last)
{
    char command[512], line[512];
    uint32_t lines = 0;

    (void)snprintf(command, sizeof(command), "ldb --db=%s %s%s 2>&1", database, words, last);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe) != NULL) {
        lines++;
    }
    int status = pclose(pipe);
    if (status != 0) {
        fail_msg("%s: %d: %s", command, status, line);
    }
    return lines;
}

static void make_store(const char *path)
{
    struct quarry_kv *kv = out_open(path);

    out_fill(kv, 0, 3000, "first");
    must(quarry_kv_flush(kv, &out_error));
    must(quarry_kv_delete_range(kv, NULL, "key001000", 9, "key002000", 9, &out_error));
    out_fill(kv, 1500, 1600, "second");
    out_close(kv);
}

static void expect_store(struct quarry_kv *kv)
{
    out_expect_fill(kv, 0, 1000, "first");
    out_expect_fill(kv, 1000, 1500, NULL);
    out_expect_fill(kv, 1500, 1600, "second");
    out_expect_fill(kv, 1600, 2000, NULL);
    out_expect_fill(kv, 2000, 3000, "first");
    assert_int_equal(out_count(kv), 2100);
    must(quarry_kv_verify(kv, &out_error));
}

static void ldb_reads_and_writes_a_checkpoint(void **state)
{
    struct quarry_kv *kv;

    (void)state;
    make_store(out_path("kv"));
    kv = out_open(out_path("kv"));
    must(quarry_kv_checkpoint(kv, out_path("copy"), &out_error));
    out_close(kv);
    assert_int_equal(ldb(out_path("copy"), "scan", ""), 2100);
    (void)ldb(out_path("copy"), "checkconsistency", "");
    (void)ldb(out_path("copy"), "put more 1", "");
    (void)ldb(out_path("copy"), "compact", "");
    kv = out_open(out_path("copy"));
    out_expect(kv, "more", "1");
    must(quarry_kv_delete(kv, NULL, "more", 4, &out_error));
    expect_store(kv);
    out_close(kv);
    kv = out_open(out_path("kv")); /* whose files the checkpoint shared */
    expect_store(kv);
    out_close(kv);
}

static void ldb_restores_our_backups(void **state)
{
    struct quarry_kv *kv;

    (void)state;
    make_store(out_path("kv"));
    kv = out_open(out_path("kv"));
    must(quarry_kv_backup(kv, out_path("backups"), NULL, &out_error));
    out_fill(kv, 0, 10, "later");
    must(quarry_kv_backup(kv, out_path("backups"), NULL, &out_error));
    must(quarry_kv_backup_prune(out_vfs, out_path("backups"), 1, &out_error));
    out_close(kv);
    (void)ldb(out_path("back"), "restore --backup_dir=", out_path("backups"));
    assert_int_equal(ldb(out_path("back"), "scan", ""), 2100);
    kv = out_open(out_path("back"));
    out_expect_fill(kv, 0, 10, "later");
    out_expect_fill(kv, 10, 1000, "first");
    out_close(kv);
}

/* RocksDB adds to a directory of ours, and we restore that, and prune. */
static void we_restore_ldbs_backups(void **state)
{
    struct quarry_kv *kv;
    uint32_t id = 0;

    (void)state;
    make_store(out_path("kv"));
    kv = out_open(out_path("kv"));
    must(quarry_kv_backup(kv, out_path("backups"), NULL, &out_error));
    out_close(kv);
    (void)ldb(out_path("kv"), "put more 1", "");
    (void)ldb(out_path("kv"), "backup --backup_dir=", out_path("backups"));
    must(quarry_kv_restore(out_vfs, out_path("backups"), 0, out_path("two"), &out_error));
    must(quarry_kv_restore(out_vfs, out_path("backups"), 1, out_path("one"), &out_error));
    kv = out_open(out_path("two"));
    out_expect(kv, "more", "1");
    must(quarry_kv_delete(kv, NULL, "more", 4, &out_error));
    expect_store(kv);
    must(quarry_kv_backup(kv, out_path("backups"), &id, &out_error));
    assert_int_equal(id, 3);
    out_close(kv);
    kv = out_open(out_path("one"));
    expect_store(kv);
    out_close(kv);
    must(quarry_kv_backup_prune(out_vfs, out_path("backups"), 1, &out_error));
    (void)ldb(out_path("back"), "restore --backup_dir=", out_path("backups"));
    assert_int_equal(ldb(out_path("back"), "scan", ""), 2100);
}

/* ---- files that are ingested ---------------------------------------------------------------- */

static void check(char *error)
{
    if (error != NULL) {
        fail_msg("rocksdb: %s", error);
    }
}

static void write_theirs(const char *path)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    char *error = NULL, key[16];

    rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, options);
    rocksdb_sstfilewriter_open(writer, path, &error);
    check(error);
    for (int i = 100; i < 200; i++) {
        (void)snprintf(key, sizeof(key), "key%06d", i);
        if (i % 10 == 0) {
            rocksdb_sstfilewriter_delete(writer, key, 9, &error);
        } else {
            rocksdb_sstfilewriter_put(writer, key, 9, "theirs", 6, &error);
        }
        check(error);
    }
    rocksdb_sstfilewriter_delete_range(writer, "key002000", 9, "key002500", 9, &error);
    check(error);
    rocksdb_sstfilewriter_finish(writer, &error);
    check(error);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env);
    rocksdb_options_destroy(options);
}

static void expect_ingested(struct quarry_kv *kv)
{
    out_expect_fill(kv, 0, 100, "first");
    out_expect(kv, "key000100", NULL);
    out_expect(kv, "key000101", "theirs");
    out_expect(kv, "key000199", "theirs");
    out_expect_fill(kv, 200, 1000, "first");
    out_expect_fill(kv, 2000, 2500, NULL);
    out_expect_fill(kv, 2500, 3000, "first");
    assert_int_equal(out_count(kv), 2100 - 10 - 500);
}

static void files_of_rocksdbs_writer_are_ingested(void **state)
{
    struct quarry_kv *kv;
    const char *path = out_path("theirs.sst");

    (void)state;
    make_store(out_path("kv"));
    write_theirs(path);
    kv = out_open(out_path("kv"));
    must(quarry_kv_ingest(kv, &path, 1, false, &out_error));
    expect_ingested(kv);
    must(quarry_kv_verify(kv, &out_error));
    out_close(kv);
    /* And RocksDB reads the store with it, as it does one of its own. */
    assert_int_equal(ldb(out_path("kv"), "scan", ""), 2100 - 10 - 500);
    (void)ldb(out_path("kv"), "checkconsistency", "");
    (void)ldb(out_path("kv"), "put more 1", "");
    (void)ldb(out_path("kv"), "compact", "");
    kv = out_open(out_path("kv"));
    must(quarry_kv_delete(kv, NULL, "more", 4, &out_error));
    expect_ingested(kv);
    out_close(kv);
}

static void ldb_ingests_what_we_export(void **state)
{
    const struct quarry_kv_read_options range = {.lower = {"key000100", 9},
                                                 .upper = {"key000200", 9}};
    uint64_t count;
    struct quarry_kv *kv;

    (void)state;
    make_store(out_path("kv"));
    kv = out_open(out_path("kv"));
    must(quarry_kv_export(kv, &range, out_path("part.sst"), &count, &out_error));
    assert_int_equal(count, 100);
    out_close(kv);
    (void)ldb(out_path("db"), "put key000150 old --create_if_missing", "");
    (void)ldb(out_path("db"), "ingest_extern_sst ", out_path("part.sst"));
    assert_int_equal(ldb(out_path("db"), "scan", ""), 100);
    kv = out_open(out_path("db"));
    out_expect_fill(kv, 100, 200, "first");
    out_close(kv);
}

static void ldb_reads_a_repaired_store(void **state)
{
    const struct quarry_kv_options options = out_options();
    char command[256];

    (void)state;
    make_store(out_path("kv"));
    (void)snprintf(command, sizeof(command), "rm %s/MANIFEST-* %s/CURRENT", out_path("kv"),
                   out_path("kv"));
    assert_int_equal(system(command), 0);
    must(quarry_kv_repair(out_memory, out_path("kv"), &options, &out_error));
    assert_int_equal(ldb(out_path("kv"), "scan", ""), 2100);
    (void)ldb(out_path("kv"), "checkconsistency", "");
    (void)ldb(out_path("kv"), "put more 1", "");
    struct quarry_kv *kv = out_open(out_path("kv"));
    must(quarry_kv_delete(kv, NULL, "more", 4, &out_error));
    expect_store(kv);
    out_close(kv);
}

static bool note_options(void *argument, const char *name)
{
    if (strncmp(name, "OPTIONS-", 8) == 0) {
        (void)snprintf(argument, 256, "%s", name);
    }
    return true;
}

static bool find_options(const char *path, char name[256])
{
    name[0] = '\0';
    must(quarry_vfs_list(out_vfs, path, note_options, name, &out_error));
    return name[0] != '\0';
}

static void settings_come_along(void **state)
{
    struct quarry_kv_options options = {0};
    char name[256], path[320];

    (void)state;
    make_store(out_path("kv"));
    struct quarry_kv *kv = out_open(out_path("kv"));
    must(quarry_kv_checkpoint(kv, out_path("copy"), &out_error));
    out_close(kv);
    assert_int_equal(ldb(out_path("copy"), "scan --try_load_options", ""), 2100);
    (void)ldb(out_path("db"), "put a 1 --create_if_missing --write_buffer_size=4194304", "");
    assert_true(find_options(out_path("db"), name));
    (void)snprintf(path, sizeof(path), "%s/%s", out_path("db"), name);
    must(quarry_kv_options_load(&options, out_vfs, path, &out_error));
    assert_int_equal(options.write_buffer_bytes, 4194304);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up_disk, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ldb_reads_and_writes_a_checkpoint),
        TEST(ldb_restores_our_backups),
        TEST(we_restore_ldbs_backups),
        TEST(files_of_rocksdbs_writer_are_ingested),
        TEST(ldb_ingests_what_we_export),
        TEST(ldb_reads_a_repaired_store),
        TEST(settings_come_along),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
