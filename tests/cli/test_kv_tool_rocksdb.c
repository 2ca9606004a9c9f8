/*
 * `quarry kv` on databases that RocksDB and LevelDB wrote; and RocksDB's tools on what it writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <leveldb/c.h>
#include <rocksdb/c.h>

#include "json.h"
#include "kv_cli.h"

#define KEYS 3000u

/* ---- databases ------------------------------------------------------------------------------ */

static void check(char *error)
{
    if (error != NULL) {
        fail_msg("%s", error);
    }
}

/* Any bytes, of which some compress. */
static size_t make_value(unsigned i, char *value)
{
    size_t count = i * 37 % 400;

    for (size_t at = 0; at < count; at++) {
        value[at] = (char)(i % 3 == 0 ? i : i * 2654435761u >> at % 24);
    }
    return count;
}

static void fill(rocksdb_t *db, unsigned first, unsigned step)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    char key[32], value[400], *error = NULL;

    for (unsigned i = first; i < KEYS; i += step) {
        int length = snprintf(key, sizeof key, "key%06u", i);
        size_t count = make_value(i, value);
        rocksdb_put(db, options, key, (size_t)length, value, count, &error);
        check(error);
    }
    rocksdb_writeoptions_destroy(options);
}

static void change(rocksdb_t *db)
{
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *error = NULL;

    rocksdb_writebatch_delete(batch, "key000007", 9);
    rocksdb_writebatch_delete_range(batch, "key000100", 9, "key000200", 9);
    rocksdb_writebatch_put(batch, "\0\n==> ", 6, "\xff\n", 2);
    rocksdb_writebatch_put(batch, "", 0, "", 0);
    rocksdb_write(db, options, batch, &error);
    check(error);
    rocksdb_writebatch_destroy(batch);
    rocksdb_writeoptions_destroy(options);
}

/* A database `rocks` with files in two levels, what was deleted in the log, and `dump` of it. */
static int make_rocksdb(void **state)
{
    rocksdb_options_t *options = rocksdb_options_create();
    char *error = NULL;

    if (kv_cli_begin(state) != 0) {
        return -1;
    }
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    rocksdb_t *db = rocksdb_open(options, "rocks", &error);
    check(error);
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    fill(db, 0, 1);
    rocksdb_compact_range(db, NULL, 0, NULL, 0);
    fill(db, 0, 7);
    rocksdb_flush(db, flush, &error);
    check(error);
    change(db);
    rocksdb_flushoptions_destroy(flush);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
    return kv_cli_shell("ldb --db=rocks --hex dump | grep -v '^Keys in range' > dump");
}

/* Whether RocksDB finds in a store what the database had. */
static void assert_rocksdb_reads(const char *store)
{
    assert_int_equal(
        kv_cli_shell("ldb --db=%s --hex dump | grep -v '^Keys in range' | cmp - dump", store), 0);
}

/* ---- RocksDB's, read ------------------------------------------------------------------------ */

static void reading_verbs_see_what_rocksdb_wrote(void **state)
{
    (void)state;
    SAYS("", "dump", "rocks", "ours", "--hex");
    kv_cli_same_files("dump", "ours");
    SAYS("0xFF0A\n", "get", "rocks", "000a3d3d3e20", "--hex");
    SAYS("", "get", "rocks", "");
    FAILS(1, "no key", "get", "rocks", "key000100");
    SAYS("yes\n", "exists", "rocks", "key000099");
    SAYS("key000099\nkey000200\n", "scan", "rocks", "--no-value", "--from", "key000099", "--to",
         "key000201");
    char *counted = JSON_OF("keys", "rocks", "--json");
    uint64_t count = 0;
    assert_true(json_number(counted, "key_count", &count));
    assert_int_equal(count, KEYS - 101 + 2);
    free(counted);
    SAYS_PART("sound: 2 files", "verify", "rocks");
}

static void shapes_and_properties_are_those_that_ldb_tells(void **state)
{
    char *files = kv_cli_shell_says("ldb --db=rocks get_property rocksdb.num-files-at-level1 | "
                                    "sed 's/.*: //'");

    (void)state;
    SAYS(files, "property", "rocks", "rocksdb.num-files-at-level1");
    free(files);
    SAYS_PART("score", "stats", "rocks");
    SAYS_PART("L1 ", "lsm", "rocks");
    free(JSON_OF("stats", "rocks", "--json"));
    SAYS("0 default\n", "families", "rocks");
    char *manifest = kv_cli_shell_says("ls rocks/MANIFEST-*");
    manifest[strcspn(manifest, "\n")] = '\0';
    SAYS_PART("--- level 1 --- 1 files", "manifest", manifest);
    SAYS_PART("remove:", "manifest", "rocks");
    free(manifest);
}

/* What of lines of sst_dump and ours is the same. */
static void assert_same_entries(const char *table)
{
    char *theirs = kv_cli_shell_says("sst_dump --file=%s --command=scan --output_hex | "
                                     "grep -c ' => '",
                                     table);
    char *ours = kv_cli_shell_says("'%s' kv sst %s --command scan --hex | grep -c ' =>'",
                                   QUARRY_CLI_PATH, table);
    assert_string_equal(ours, theirs);
    free(theirs);
    free(ours);
}

static void tables_are_those_that_sst_dump_reads(void **state)
{
    char *tables = kv_cli_shell_says("ls rocks/*.sst");

    (void)state;
    for (char *table = strtok(tables, "\n"); table != NULL; table = strtok(NULL, "\n")) {
        char *count = kv_cli_shell_says("sst_dump --file=%s --show_properties --command=none | "
                                        "grep '# entries:'",
                                        table);
        SAYS_PART(count, "sst", table);
        free(count);
        SAYS_PART(": sound\n", "sst", table, "--command=verify");
        SAYS_PART("lz4\n", "sst", table, "--command=blocks");
        assert_same_entries(table);
    }
    free(tables);
    SAYS_PART("'0x6B6579303030303030' seq:", "entries", "rocks", "--hex", "--max", "3");
}

static void logs_are_those_that_ldb_reads(void **state)
{
    (void)state;
    /* The log of a database that was not closed in order: a copy of an open one. */
    assert_int_equal(kv_cli_shell("ldb --db=open --create_if_missing put 0 0 > /dev/null"), 0);
    char *log = kv_cli_shell_says("ls open/*.log | tail -1");
    log[strcspn(log, "\n")] = '\0';
    char *theirs = kv_cli_shell_says("ldb dump_wal --walfile=%s | grep ^1, | cut -d, -f1-3", log);
    char *ours =
        kv_cli_shell_says("'%s' kv wal %s | grep ^1, | cut -d, -f1-3", QUARRY_CLI_PATH, log);
    assert_string_equal(ours, theirs);
    free(theirs);
    free(ours);
    SAYS_PART("1 batches, 1 changes", "wal", log);
    SAYS_PART(" PUT : 0x30 : 0x30\n", "wal", log, "--hex");
    free(log);
}

/* ---- RocksDB's, changed --------------------------------------------------------------------- */

static void rocksdb_reads_a_store_that_was_changed(void **state)
{
    (void)state;
    SAYS("", "put", "rocks", "new", "value");
    SAYS("", "del", "rocks", "key000001");
    SAYS("", "delrange", "rocks", "key000300", "key000400");
    SAYS("", "batchput", "rocks", "x", "1", "y", "2");
    kv_cli_write("changes", "put z 3\ndel x\n", 14);
    SAYS("", "batch", "rocks", "changes");
    SAYS("", "merge", "rocks", "y", "9", "--set", "merge_operator=stringappend");
    SAYS("", "flush", "rocks");
    SAYS("", "dump", "rocks", "ours", "--hex");
    assert_int_equal(
        kv_cli_shell("ldb --db=rocks --hex dump | grep -v '^Keys in range' | cmp - ours"), 0);
    SAYS("", "compact", "rocks");
    assert_int_equal(
        kv_cli_shell("ldb --db=rocks --hex dump | grep -v '^Keys in range' | cmp - ours"), 0);
}

static void a_compaction_keeps_the_codec_of_the_files(void **state)
{
    (void)state;
    SAYS("", "compact", "rocks");
    char *table = kv_cli_find("rocks", ".sst");
    SAYS_PART("SST file compression algo: LZ4\n", "sst", table);
    free(table);
    assert_rocksdb_reads("rocks");
}

static void rocksdb_reads_copies_backups_and_imports(void **state)
{
    (void)state;
    SAYS("", "checkpoint", "rocks", "copy");
    assert_rocksdb_reads("copy");
    SAYS("backup 1\n", "backup", "create", "rocks", "backups");
    assert_int_equal(kv_cli_shell("ldb restore --db=theirs --backup_dir=backups > /dev/null"), 0);
    assert_rocksdb_reads("theirs");
    SAYS("", "restore", "backups", "ours");
    assert_rocksdb_reads("ours");
    SAYS("", "import-rocksdb", "rocks", "imported");
    assert_rocksdb_reads("imported");
    SAYS("", "load", "loaded", "dump", "--hex", "--create");
    assert_rocksdb_reads("loaded");
    SAYS("", "dump", "rocks", "json", "--json");
    TAKES("json", "load", "again", "--json", "--create");
    assert_rocksdb_reads("again");
    SAYS("", "destroy", "again", "--yes");
}

static void backups_and_files_of_rocksdb_are_taken(void **state)
{
    (void)state;
    assert_int_equal(kv_cli_shell("ldb backup --db=rocks --backup_dir=backups > /dev/null"), 0);
    SAYS_PART("     1  ", "backup", "list", "backups");
    SAYS_PART("     1  ", "backup", "verify", "backups");
    SAYS("", "restore", "backups", "ours");
    assert_rocksdb_reads("ours");
    assert_int_equal(
        kv_cli_shell("ldb --db=rocks --hex dump | ldb --db=rocks --hex write_extern_sst a.sst "
                     "> /dev/null"),
        0);
    SAYS("", "ingest", "ingested", "a.sst", "--create");
    assert_rocksdb_reads("ingested");
    SAYS("2 keys\n", "export", "rocks", "b.sst", "--from", "key000098", "--to", "key000200");
    assert_int_equal(kv_cli_shell("ldb --db=fresh --create_if_missing ingest_extern_sst b.sst "
                                  "> /dev/null"),
                     0);
    SAYS("key000098\nkey000099\n", "scan", "fresh", "--no-value");
}

static void rocksdb_reads_what_was_repaired(void **state)
{
    (void)state;
    assert_int_equal(kv_cli_shell("rm rocks/CURRENT && cp -r rocks whole"), 0);
    SAYS("", "repair", "rocks");
    assert_rocksdb_reads("rocks");
    assert_int_equal(kv_cli_shell("rm whole/MANIFEST-*"), 0);
    SAYS("", "repair", "whole");
    assert_rocksdb_reads("whole");
}

/* ---- LevelDB's ------------------------------------------------------------------------------ */

static void a_leveldb_directory_is_read_and_imported(void **state)
{
    leveldb_options_t *options = leveldb_options_create();
    leveldb_writeoptions_t *write = leveldb_writeoptions_create();
    char *error = NULL, key[16];

    (void)state;
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_t *db = leveldb_open(options, "level", &error);
    check(error);
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "k%04u", i);
        leveldb_put(db, write, key, 5, key, 5, &error);
        check(error);
    }
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_delete(db, write, "k0000", 5, &error);
    leveldb_close(db);
    leveldb_writeoptions_destroy(write);
    leveldb_options_destroy(options);
    SAYS_PART("499 keys, ", "scan", "level", "--count-only");
    char *table = kv_cli_find("level", ".ldb");
    SAYS_PART("  format version: 0\n", "sst", table);
    SAYS_PART(": sound\n", "sst", table, "--command=verify");
    free(table);
    SAYS_PART("k0001 ", "scan", "level", "--max", "1");
    SAYS("", "import-rocksdb", "level", "imported");
    char *theirs = kv_cli_shell_says("ldb --db=imported scan | wc -l");
    assert_string_equal(theirs, "499\n");
    free(theirs);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, make_rocksdb, kv_cli_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(reading_verbs_see_what_rocksdb_wrote),
        KV_TEST(shapes_and_properties_are_those_that_ldb_tells),
        KV_TEST(tables_are_those_that_sst_dump_reads),
        KV_TEST(logs_are_those_that_ldb_reads),
        KV_TEST(rocksdb_reads_a_store_that_was_changed),
        KV_TEST(a_compaction_keeps_the_codec_of_the_files),
        KV_TEST(rocksdb_reads_copies_backups_and_imports),
        KV_TEST(backups_and_files_of_rocksdb_are_taken),
        KV_TEST(rocksdb_reads_what_was_repaired),
        KV_TEST(a_leveldb_directory_is_read_and_imported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
