/* Names of files: what is written reads the same, and only such names are read. */
#include "unit/kv/ver_rig.h"

#include <kv/file_name.h>

#include <string.h>

static void names_are_those_of_rocksdb_and_leveldb(void **state)
{
    static const struct {
        const char *name;
        enum kv_file_kind kind;
        uint64_t number;
    } cases[] = {
        {"CURRENT", KV_FILE_CURRENT, 0},
        {"LOCK", KV_FILE_LOCK, 0},
        {"IDENTITY", KV_FILE_IDENTITY, 0},
        {"LOG", KV_FILE_INFO_LOG, 0},
        {"LOG.old.1700000000000000", KV_FILE_INFO_LOG, UINT64_C(1700000000000000)},
        {"000004.log", KV_FILE_LOG, 4},
        {"000004.sst", KV_FILE_TABLE, 4},
        {"000004.ldb", KV_FILE_TABLE_LEVELDB, 4},
        {"1234567.sst", KV_FILE_TABLE, 1234567},
        {"MANIFEST-000005", KV_FILE_MANIFEST, 5},
        {"OPTIONS-000007", KV_FILE_OPTIONS, 7},
        {"OPTIONS-000007.dbtmp", KV_FILE_OPTIONS_TEMPORARY, 7},
        {"000008.dbtmp", KV_FILE_TEMPORARY, 8},
        {"000009.blob", KV_FILE_BLOB, 9},
        {"18446744073709551615.sst", KV_FILE_TABLE, UINT64_MAX},
    };
    char made[KV_FILE_NAME_BYTES];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(cases); i++) {
        struct kv_file_name name;
        assert_true(kv_file_name_parse(cases[i].name, &name));
        assert_int_equal(name.kind, cases[i].kind);
        assert_int_equal(name.number, cases[i].number);
        assert_string_equal(kv_file_name_make(name.kind, name.number, made), cases[i].name);
    }
}

static void other_names_are_nobodys(void **state)
{
    static const char *const names[] = {
        "",
        "CURRENT2",
        "000004",
        ".sst",
        "000004.sstx",
        "x000004.sst",
        "-1.sst",
        "MANIFEST-",
        "MANIFEST-5x",
        "OPTIONS-",
        "4.SST",
        "LOG.old.x",
        "LOGX",
        "0x4.sst",
        " 000004.sst",
        "000004.sst ",
        "18446744073709551616.sst",
        "99999999999999999999999.log",
        "MANIFEST5",
    };
    struct kv_file_name name;

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        assert_false(kv_file_name_parse(names[i], &name));
    }
}

static void short_and_old_names_are_read(void **state)
{
    struct kv_file_name name;

    (void)state;
    assert_true(kv_file_name_parse("4.sst", &name));
    assert_int_equal(name.number, 4);
    assert_true(kv_file_name_parse("LOG.old", &name));
    assert_int_equal(name.kind, KV_FILE_INFO_LOG);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    static char directory[QUARRY_VFS_PATH_BYTES_MAX];
    struct kv_path path;
    struct quarry_error error = {0};
    const size_t rest = sizeof("/MANIFEST-000005");

    (void)state;
    memset(directory, 'd', sizeof(directory) - rest);
    assert_int_equal(kv_file_path(directory, KV_FILE_MANIFEST, 5, &path, &error), QUARRY_OK);
    assert_int_equal(strlen(path.text), sizeof(path.text) - 1);
    directory[sizeof(directory) - rest] = 'd';
    assert_int_equal(kv_file_path(directory, KV_FILE_MANIFEST, 5, &path, &error), QUARRY_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_rocksdb_and_leveldb),
        cmocka_unit_test(other_names_are_nobodys),
        cmocka_unit_test(short_and_old_names_are_read),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
