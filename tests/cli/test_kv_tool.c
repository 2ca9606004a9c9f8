/*
 * `quarry kv` on stores of its own.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "json.h"
#include "kv_cli.h"

#define WRITE(path, text) kv_cli_write(path, text, sizeof(text) - 1)

/* A store `db` of four keys. */
static void make_store(void)
{
    SAYS("", "batchput", "db", "a", "1", "b", "two", "c", "3", "d", "4", "--create");
}

static uint64_t number_in(char *json, const char *key)
{
    uint64_t number = 0;

    if (!json_number(json, key, &number)) {
        fail_msg("no \"%s\" in %s", key, json);
    }
    return number;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void a_value_comes_back_byte_for_byte(void **state)
{
    static const char bytes[] = "\0\n\xff line\r\n";

    (void)state;
    kv_cli_write("value", bytes, sizeof bytes);
    TAKES("value", "put", "db", "key", "--create");
    SAYS("", "get", "db", "key", "copy");
    kv_cli_same_files("value", "copy");
    SAYS("0x000AFF206C696E650D0A00\n", "get", "db", "key", "--value-hex");
    SAYS("", "put", "db", "0x00ff", "610062", "--hex");
    SAYS("0x610062\n", "get", "db", "00FF", "--hex");
    SAYS("", "put", "db", "empty", "");
    SAYS("", "get", "db", "empty");
}

static void what_is_not_there_ends_with_1_and_names_the_key(void **state)
{
    (void)state;
    make_store();
    FAILS(1, "db has no key 'x'", "get", "db", "x");
    SAYS("yes\n", "exists", "db", "a");
    FAILS(1, "", "exists", "db", "x");
    SAYS("", "del", "db", "x"); /* no error */
}

static void no_store_is_made_unless_that_is_asked_for(void **state)
{
    (void)state;
    FAILS(1, "--create makes one", "put", "none", "a", "1");
    FAILS(1, "none", "get", "none", "a");
    assert_int_not_equal(access("none", F_OK), 0);
}

static void deleting_takes_keys_and_ranges_without_their_end(void **state)
{
    (void)state;
    make_store();
    SAYS("", "delrange", "db", "b", "d");
    SAYS("a : 1\nd : 4\n", "scan", "db");
    SAYS("{\"change_count\":2}\n", "del", "db", "a", "d", "--json");
    SAYS("", "scan", "db");
    FAILS(2, "the end comes before the begin", "delrange", "db", "d", "a");
}

static void scan_keeps_to_bounds_limit_and_direction(void **state)
{
    (void)state;
    make_store();
    SAYS("b : two\nc : 3\n", "scan", "db", "--from", "b", "--to", "d");
    SAYS("d : 4\nc : 3\n", "scan", "db", "--reverse", "--max", "2");
    SAYS("a\nb\n", "scan", "db", "--no-value", "--max_keys=2");
    SAYS("0x62 : 0x74776F\n", "scan", "db", "--hex", "--from=0x62", "--to=63");
    SAYS("{\"key\":\"a\",\"value\":\"1\"}\n", "scan", "db", "--json", "--max", "1");
    SAYS("4 keys, 4 bytes of keys, 6 bytes of values\n", "scan", "db", "--count-only");
    FAILS(2, "--to comes before --from", "scan", "db", "--from", "d", "--to", "a");
    FAILS(2, "is not hex", "scan", "db", "--from", "0xg1", "--hex");
}

static void scan_shows_no_bytes_that_a_terminal_would_obey(void **state)
{
    (void)state;
    SAYS("", "put", "db", "1b5b326a5c", "00", "--hex", "--create");
    SAYS("\\x1b[2j\\\\ : \\x00\n", "scan", "db");
    SAYS("{\"key_base64\":\"G1syalw=\",\"value_base64\":\"AA==\"}\n", "scan", "db", "--json");
}

static void keys_counts_what_is_there(void **state)
{
    (void)state;
    make_store();
    char *json = JSON_OF("keys", "db", "--from", "b", "--json");
    assert_int_equal(number_in(json, "key_count"), 3);
    assert_int_equal(number_in(json, "key_and_value_bytes"), 8);
    free(json);
}

static void merging_needs_an_operator_and_remembers_it(void **state)
{
    (void)state;
    make_store();
    FAILS(1, "merge_operator", "merge", "db", "a", "2");
    SAYS("", "merge", "db", "a", "2", "--set", "merge_operator=stringappend");
    SAYS("1,2", "get", "db", "a"); /* the store's OPTIONS file has it */
}

/* ---- batches -------------------------------------------------------------------------------- */

static void a_batch_understands_words_quotes_and_comments(void **state)
{
    static const char text[] = "# comment\n"
                               "put \"a b\" \"x\\n\\x00\\\"\\\\\"\n"
                               "put e \"\"\r\n"
                               "\n"
                               "del a\n"
                               "single-del b\n"
                               "delrange c d\n";

    (void)state;
    make_store();
    kv_cli_write("changes", text, sizeof text - 1);
    SAYS("{\"change_count\":5}\n", "batch", "db", "changes", "--json");
    SAYS("a b : x\\x0a\\x00\"\\\\\nd : 4\ne : \n", "scan", "db");
    WRITE("hex", "put 0x00 6161\ndel 61\n");
    TAKES("hex", "batch", "db", "--hex");
    SAYS("aa", "get", "db", "00", "--key-hex");
}

static void a_batch_with_a_mistake_changes_nothing(void **state)
{
    (void)state;
    make_store();
    WRITE("changes", "del a\nput x\n");
    FAILS(1, "line 2", "batch", "db", "changes");
    WRITE("changes", "del a\nput x \"y\n");
    FAILS(1, "a quote that is not closed", "batch", "db", "changes");
    SAYS("1", "get", "db", "a");
    FAILS(2, "the last key has no value", "batchput", "db", "a", "1", "b");
}

/* ---- in and out ----------------------------------------------------------------------------- */

static void any_bytes_survive_a_dump_in_hex_and_in_json(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 700);
    SAYS("", "load", "db", "dump", "--hex", "--create");
    SAYS("", "dump", "db", "again", "--hex");
    kv_cli_same_files("dump", "again");
    SAYS("", "dump", "db", "json", "--json");
    TAKES("json", "load", "other", "--json", "--create");
    SAYS("", "dump", "other", "third", "--hex");
    kv_cli_same_files("dump", "third");
}

static void lines_of_text_are_dumped_as_ldb_does_or_not_at_all(void **state)
{
    (void)state;
    make_store();
    SAYS("a ==> 1\nb ==> two\n", "dump", "db", "--max", "2");
    SAYS("0x61 ==> 1\n", "dump", "db", "--max", "1", "--key-hex");
    SAYS("Keys in range: 4\n", "dump", "db", "--count_only");
    SAYS("", "put", "db", "e", "one\ntwo");
    FAILS(1, "key 5 cannot stand in a line", "dump", "db");
    SAYS("", "put", "db", "e ==> f", "", "--set", "compression=none");
    SAYS("", "del", "db", "e");
    FAILS(1, "--hex or --json", "dump", "db");
    SAYS("", "put", "db", "e ==>", "x");
    SAYS("", "del", "db", "e ==> f");
    FAILS(1, "--hex or --json", "dump", "db");
}

static void load_says_which_line_is_wrong(void **state)
{
    (void)state;
    WRITE("text", "a ==> b ==> c\nKeys in range: 1\n\n");
    SAYS("", "load", "db", "text", "--create");
    SAYS("b ==> c", "get", "db", "a");
    WRITE("text", "a ==> 1\nb\n");
    FAILS(1, "line 2: it is not KEY ==> VALUE", "load", "db", "text");
    FAILS(1, "line 1: it is not 0xKEY ==> 0xVALUE", "load", "db", "text", "--hex");
    FAILS(1, "line 1: it is no JSON object", "load", "db", "text", "--json");
    FAILS(1, "none: ", "load", "db", "none");
}

static void a_range_is_exported_and_ingested(void **state)
{
    (void)state;
    make_store();
    SAYS("2 keys\n", "export", "db", "file.sst", "--from", "b", "--to", "d");
    SAYS("{\"file_count\":1}\n", "ingest", "other", "file.sst", "--create", "--json");
    SAYS("b : two\nc : 3\n", "scan", "other");
    assert_int_equal(access("file.sst", F_OK), 0);
    SAYS("", "ingest", "third", "file.sst", "--create", "--move");
    assert_int_not_equal(access("file.sst", F_OK), 0);
    FAILS(1, "no key in that range", "export", "db", "empty.sst", "--from", "x");
}

static void a_store_is_imported_as_sorted_files(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 400);
    SAYS("", "load", "db", "dump", "--hex", "--create");
    SAYS("", "import-rocksdb", "db", "copy");
    SAYS("", "dump", "copy", "again", "--hex");
    kv_cli_same_files("dump", "again");
    char *json = JSON_OF("lsm", "copy", "--json");
    assert_non_null(strstr(json, "{\"level\":6,\"file_count\":1,"));
    assert_non_null(strstr(json, "\"flush_count\":0"));
    free(json);
    FAILS(1, "is there already", "import-rocksdb", "db", "copy");
    FAILS(2, "where to?", "import-rocksdb", "db");
}

/* ---- databases ------------------------------------------------------------------------------ */

static void databases_and_tenants_are_apart_and_expire(void **state)
{
    (void)state;
    SAYS("", "put", "db", "k", "zero", "--database", "0", "--create");
    SAYS("", "put", "db", "k", "one", "--database", "1", "--ttl", "1000");
    SAYS("", "put", "db", "k", "acme", "--tenant", "acme");
    SAYS("zero", "get", "db", "k", "--database", "0");
    SAYS("acme", "get", "db", "k", "--tenant", "acme");
    SAYS("k : one\n", "scan", "db", "--database", "1");
    char *json = JSON_OF("get", "db", "k", "--database", "1", "--json");
    assert_in_range(number_in(json, "ttl_seconds"), 900, 1000);
    free(json);
    SAYS("", "delrange", "db", "a", "z", "--database", "0");
    SAYS("", "scan", "db", "--database", "0");
    SAYS("one", "get", "db", "k", "--database", "1");
    FAILS(1, "has no tenant 'nobody'", "scan", "db", "--tenant", "nobody");
    FAILS(1, "say --database", "put", "db", "k", "v", "--ttl", "5");
}

static void a_dump_of_a_database_keeps_expiry(void **state)
{
    (void)state;
    SAYS("", "put", "db", "k", "v", "--database", "2", "--ttl", "1000", "--create");
    SAYS("", "dump", "db", "json", "--json", "--database", "2");
    TAKES("json", "load", "db", "--json", "--database", "3");
    SAYS("", "dump", "db", "again", "--json", "--database", "3");
    kv_cli_same_files("json", "again");
    char *text = kv_cli_read("json", NULL);
    assert_non_null(strstr(text, "\"expires_ms\":"));
    free(text);
}

/* ---- care ----------------------------------------------------------------------------------- */

/* Turns over a bit in the middle of the only table. */
static void damage(const char *directory)
{
    char *path = kv_cli_find(directory, ".sst");
    size_t byte_count;
    char *bytes = kv_cli_read(path, &byte_count);

    bytes[100] ^= 1;
    kv_cli_write(path, bytes, byte_count);
    free(bytes);
    free(path);
}

static void verify_finds_damage_and_repair_saves_the_rest(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 2000);
    SAYS("", "load", "db", "dump", "--hex", "--create");
    SAYS("", "compact", "db");
    SAYS_PART("sound: 1 files", "verify", "db");
    damage("db");
    FAILS(3, "quarry kv verify: ", "verify", "db");
    char *path = kv_cli_find("db", ".sst");
    FAILS(3, "checksum", "sst", path, "--command", "verify");
    free(path);
    SAYS("{\"done\":true}\n", "repair", "db", "--json");
    SAYS_PART("sound", "verify", "db");
    char *json = JSON_OF("keys", "db", "--json");
    assert_in_range(number_in(json, "key_count"), 1900, 1999);
    free(json);
    assert_int_equal(access("db/lost", F_OK), 0);
}

static void backups_are_listed_verified_pruned_and_restored(void **state)
{
    (void)state;
    make_store();
    SAYS("backup 1\n", "backup", "create", "db", "backups");
    SAYS("", "put", "db", "e", "5");
    SAYS("{\"id\":2}\n", "backup", "create", "db", "backups", "--json");
    char *json = JSON_OF("backup", "list", "backups", "--json");
    assert_int_equal(number_in(json, "sequence"), 4);
    free(json);
    SAYS("", "restore", "backups", "old", "--id", "1");
    FAILS(1, "no key 'e'", "get", "old", "e");
    json = JSON_OF("backup", "verify", "backups", "--json");
    free(json);
    damage("backups/shared_checksum");
    FAILS(3, "checksum", "backup", "verify", "backups");
    FAILS(2, "--keep N", "backup", "prune", "backups");
    SAYS_PART("     2  ", "backup", "prune", "backups", "--keep", "1");
    FAILS(1, "meta/1", "backup", "list", "backups", "--id", "1");
    FAILS(2, "create, list, verify or prune", "backup", "make", "backups");
}

static void a_checkpoint_is_a_store(void **state)
{
    (void)state;
    make_store();
    SAYS("", "checkpoint", "db", "copy");
    SAYS("", "del", "db", "a");
    SAYS("1", "get", "copy", "a");
    FAILS(1, "copy", "checkpoint", "db", "copy");
}

static void destroy_asks_first(void **state)
{
    (void)state;
    make_store();
    FAILS(2, "All that is in db will be gone: say --yes", "destroy", "db");
    SAYS("1", "get", "db", "a");
    SAYS("", "destroy", "db", "--yes");
    assert_int_not_equal(access("db", F_OK), 0);
}

static void a_store_that_is_open_can_be_looked_at_and_not_written(void **state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)state;
    make_store();
    int fd = open("db/LOCK", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
    FAILS(75, "ask the server with --server", "put", "db", "a", "2");
    SAYS("1", "get", "db", "a");
    (void)close(fd);
    SAYS("", "put", "db", "a", "2");
}

/* ---- what it is like ------------------------------------------------------------------------ */

static void figures_are_tables_pictures_and_json(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 500);
    SAYS("", "load", "db", "dump", "--hex", "--create");
    SAYS("", "flush", "db");
    SAYS_PART("level   files        size   score", "stats", "db");
    SAYS_PART("L0      #####", "lsm", "db", "--ascii");
    SAYS_PART("kv db   version ", "lsm", "db", "--once");
    char *json = JSON_OF("stats", "db", "--json");
    assert_int_equal(number_in(json, "sequence"), 500);
    free(json);
    SAYS("1\n", "property", "db", "rocksdb.num-files-at-level0");
    SAYS_PART("rocksdb.estimate-num-keys\n", "property", "db");
    json = JSON_OF("property", "db", "rocksdb.num-snapshots", "rocksdb.levelstats", "--json");
    assert_int_equal(number_in(json, "rocksdb.num-snapshots"), 0);
    free(json);
    FAILS(1, "no property 'rocksdb.nonsense'", "property", "db", "rocksdb.nonsense");
    SAYS("0 default\n", "families", "db");
}

static void single_files_are_looked_into(void **state)
{
    (void)state;
    make_store();
    char *log = kv_cli_find("db", ".log");
    SAYS_PART("1,4,", "wal", log, "--hex");
    SAYS_PART(" PUT : 0x61 : 0x31 PUT : 0x62 : 0x74776F", "wal", log, "--hex");
    SAYS_PART("1 batches, 4 changes; ends at offset ", "wal", log, "--count-only");
    free(log);
    SAYS("", "compact", "db");
    char *table = kv_cli_find("db", ".sst");
    SAYS_PART("  # entries: 4\n", "sst", table);
    SAYS_PART("'b' seq:", "sst", table, "--command", "scan", "--from", "b", "--max", "1");
    SAYS_PART(", type:1 => two\n", "sst", table, "--command=scan");
    SAYS_PART(": sound\n", "sst", table, "--command=verify");
    SAYS_PART("      offset ", "sst", table, "--command=blocks");
    char *json = JSON_OF("sst", table, "--json");
    assert_int_equal(number_in(json, "entry_count"), 4);
    assert_int_equal(number_in(json, "format_version"), 5);
    free(json);
    free(table);
    SAYS_PART("comparator: leveldb.BytewiseComparator", "manifest", "db");
    SAYS_PART("add:", "manifest", "db");
    SAYS_PART("Internal keys in range: 4\n", "entries", "db");
    SAYS_PART("{\"entry_count\":4}\n", "entries", "db", "--json", "--count-only");
    FAILS(1, "none.sst", "sst", "none.sst");
    FAILS(1, "", "sst", "db/CURRENT");
    FAILS(2, "--command takes", "sst", "x", "--command", "burn");
}

static void a_damaged_log_is_told_with_its_place(void **state)
{
    size_t byte_count;

    (void)state;
    make_store();
    SAYS("", "put", "db", "e", "5");
    char *log = kv_cli_find("db", ".log");
    char *bytes = kv_cli_read(log, &byte_count);
    bytes[20] ^= 1;
    kv_cli_write("damaged.log", bytes, byte_count);
    FAILS(3, "", "wal", "damaged.log");
    free(bytes);
    free(log);
}

/* ---- the command line ----------------------------------------------------------------------- */

static void every_verb_has_help_that_names_its_options(void **state)
{
    struct run overview = RUN("kv");
    unsigned verb_count = 0;
    char verb[32];

    (void)state;
    for (const char *line = overview.out; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (line[0] != ' ' || strncmp(line, "  quarry", 8) == 0 ||
            sscanf(line, "  %31[a-z-]", verb) != 1 || line[2] == ' ') {
            continue;
        }
        SAYS_PART("  --json ", verb, "--help");
        SAYS_PART("Exit status: 0; 1 ", verb, "-h");
        verb_count++;
    }
    assert_int_equal(verb_count, 32);
    run_free(&overview);
    SAYS_PART("usage: quarry kv VERB DIR", "--help");
    struct run help = RUN("help", "kv");
    assert_non_null(strstr(help.out, "import-rocksdb"));
    run_free(&help);
}

static void ldb_words_are_understood(void **state)
{
    (void)state;
    SAYS("", "put", "--db=db", "--create_if_missing", "a", "1");
    SAYS("0x61 : 0x31\n", "scan", "--db=db", "--key_hex", "--value_hex");
    SAYS("", "delete", "--db=db", "a");
    SAYS("", "deleterange", "--db=db", "a", "b");
    SAYS_PART("log number: ", "manifest_dump", "db");
    SAYS_PART("sound", "checkconsistency", "--db=db");
    SAYS("0 default\n", "list_column_families", "--db=db");
    SAYS_PART("keys  ", "approxsize", "--db=db", "--from=a", "--to=b");
    SAYS_PART("Internal keys in range: ", "idump", "--db=db");
}

static void a_wrong_command_line_is_refused_with_a_hint(void **state)
{
    (void)state;
    FAILS(2, "did you mean 'scan'?", "scna", "db");
    FAILS(2, "did you mean 'deleterange'?", "deleterang", "db");
    FAILS(2, "which store?", "get");
    FAILS(2, "something is missing: quarry kv get KEY [FILE]", "get", "db");
    FAILS(2, "'c' is one argument too many", "get", "db", "a", "b", "c");
    FAILS(2, "it takes no --ttl", "get", "db", "a", "--ttl", "4");
    FAILS(2, "there is no option '--frmo'", "scan", "db", "--frmo", "a");
    FAILS(2, "'--from' takes a value", "scan", "db", "--from");
    FAILS(2, "--database takes a number from 0 to 255", "scan", "db", "--database", "256");
    FAILS(2, "--set nonsense=1: ", "scan", "db", "--set", "nonsense=1");
    FAILS(2, "--set takes NAME=VALUE", "scan", "db", "--set", "compression");
    FAILS(2, "either --db or --server", "scan", "--db=db", "--server");
    FAILS(4, "cannot connect to unix:nobody", "get", "--server=unix:nobody", "a");
}

static void memory_is_bounded_and_more_of_it_is_asked_for(void **state)
{
    (void)state;
    make_store();
    FAILS(1, "--memory gives it more", "scan", "db", "--memory", "4M");
    kv_cli_make_dump("dump", 3000);
    SAYS("", "load", "db", "dump", "--hex", "--memory", "24M");
    char *json = JSON_OF("keys", "db", "--memory", "24M", "--json");
    assert_int_equal(number_in(json, "key_count"), 3004);
    free(json);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_cli_begin, kv_cli_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(a_value_comes_back_byte_for_byte),
        KV_TEST(what_is_not_there_ends_with_1_and_names_the_key),
        KV_TEST(no_store_is_made_unless_that_is_asked_for),
        KV_TEST(deleting_takes_keys_and_ranges_without_their_end),
        KV_TEST(scan_keeps_to_bounds_limit_and_direction),
        KV_TEST(scan_shows_no_bytes_that_a_terminal_would_obey),
        KV_TEST(keys_counts_what_is_there),
        KV_TEST(merging_needs_an_operator_and_remembers_it),
        KV_TEST(a_batch_understands_words_quotes_and_comments),
        KV_TEST(a_batch_with_a_mistake_changes_nothing),
        KV_TEST(any_bytes_survive_a_dump_in_hex_and_in_json),
        KV_TEST(lines_of_text_are_dumped_as_ldb_does_or_not_at_all),
        KV_TEST(load_says_which_line_is_wrong),
        KV_TEST(a_range_is_exported_and_ingested),
        KV_TEST(a_store_is_imported_as_sorted_files),
        KV_TEST(databases_and_tenants_are_apart_and_expire),
        KV_TEST(a_dump_of_a_database_keeps_expiry),
        KV_TEST(verify_finds_damage_and_repair_saves_the_rest),
        KV_TEST(backups_are_listed_verified_pruned_and_restored),
        KV_TEST(a_checkpoint_is_a_store),
        KV_TEST(destroy_asks_first),
        KV_TEST(a_store_that_is_open_can_be_looked_at_and_not_written),
        KV_TEST(figures_are_tables_pictures_and_json),
        KV_TEST(single_files_are_looked_into),
        KV_TEST(a_damaged_log_is_told_with_its_place),
        KV_TEST(every_verb_has_help_that_names_its_options),
        KV_TEST(ldb_words_are_understood),
        KV_TEST(a_wrong_command_line_is_refused_with_a_hint),
        KV_TEST(memory_is_bounded_and_more_of_it_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
