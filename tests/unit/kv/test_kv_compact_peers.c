/* What flushes and compactions leave, before RocksDB's tools: the same keys, and no complaint. */
#include "unit/kv/back_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char directory[64];

/* `before` and `after`: of the command, around the directory's name. */
static void run(const char *before, const char *after)
{
    char command[512];

    snprintf(command, sizeof(command), "%s%s%s > /dev/null 2>&1", before, directory, after);
    int status = system(command);
    if (status != 0) {
        fprintf(stderr, "%s: %d\n", command, status);
    }
    assert_int_equal(status, 0);
}

/* ldb's scan against the model. */
static void check_scan(void)
{
    char command[512], line[4096], wanted[BACK_VALUE_BYTES + 32];
    uint32_t key = 0;

    snprintf(command, sizeof(command), LDB " --db=%s scan 2>/dev/null", directory);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe) != NULL) {
        while (key < BACK_KEYS && !back.now.has[key]) {
            key++;
        }
        assert_true(key < BACK_KEYS);
        snprintf(wanted, sizeof(wanted), "key%03u : %s\n", key, back.now.value[key]);
        if (strstr(line, " ==> ") != NULL) {
            snprintf(wanted, sizeof(wanted), "key%03u ==> %s\n", key, back.now.value[key]);
        }
        assert_string_equal(line, wanted);
        key++;
    }
    while (key < BACK_KEYS && !back.now.has[key]) {
        key++;
    }
    assert_int_equal(key, BACK_KEYS);
    assert_int_equal(pclose(pipe), 0);
}

static void begin_history(uint64_t seed)
{
    back_begin(seed);
    back.options.compression_bottom = QUARRY_KV_COMPRESSION_LZ4;
    back.options.level0_compact = 1 + (uint32_t)(seed % 4);
    back_open();
    for (uint32_t i = 0; i < 1200; i++) {
        back_change();
    }
}

static void copy_out(void)
{
    snprintf(directory, sizeof(directory), "/tmp/quarry_kv_peer_XXXXXX");
    assert_non_null(mkdtemp(directory));
    back_copy_out(directory);
}

static void test_ldb_reads_what_was_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        begin_history(seed * 6700417);
        back_close();
        copy_out();
        run(LDB " --db=", " checkconsistency");
        run("! " SST_DUMP " --command=verify --file=", " 2>&1 | grep -i corrupt");
        check_scan();
        run("rm -r ", "");
        back_end();
    }
}

/* RocksDB compacts all of it; then it is opened here, compacted, and read there once more. */
static void test_rocksdb_and_this_engine_compact_by_turns(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        begin_history(seed * 524287);
        back_close();
        copy_out();
        run(LDB " --db=", " compact");
        check_scan();
        back.options.vfs = NULL;
        back.path = directory;
        back_open();
        back_check();
        for (uint32_t i = 0; i < 600; i++) {
            back_change();
        }
        back_compact();
        back_check();
        back_close();
        run(LDB " --db=", " checkconsistency");
        check_scan();
        run("rm -r ", "");
        back_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ldb_reads_what_was_written),
        cmocka_unit_test(test_rocksdb_and_this_engine_compact_by_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
