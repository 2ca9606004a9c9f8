/*
 * `quarry bench kv` as its users run it: short sittings, with a look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. That every value read
 * is the one that was written is looked at by what measures. RocksDB and LevelDB are measured where
 * their libraries are, and said to be absent elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/run_bench.h"

#define SMALL "kv --quick --json --keys 2000 "

static struct bench_run run;

static const char *const subjects[] = {"quarry", "rocksdb", "leveldb"};
#define SUBJECT_COUNT (sizeof subjects / sizeof subjects[0])

static const char *const rows[] = {
    "fillseq",          "fillseq_batch",  "fillrandom",  "overwrite",   "fillsync",
    "two_writers",      "deleterandom",   "readrandom",  "readmissing", "coldread",
    "readwhilewriting", "readseq",        "readreverse", "seekrandom",  "scan100",
    "ycsb_a",           "ycsb_b",         "ycsb_c",      "ycsb_d",      "ycsb_e",
    "ycsb_f",           "multireadrandom"};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* Returns: the line, or NULL where a peer is absent. */
static const struct flat_json *line_of(const char *row, const char *subject)
{
    const struct flat_json *line = find_line(&run, row, subject, 0);

    assert_non_null(line);
    if (strcmp(subject, "quarry") != 0 && is_absent(line)) {
        return NULL;
    }
    return line;
}

static void check_work(const char *row, const char *subject)
{
    const struct flat_json *line = line_of(row, subject);

    if (line == NULL) {
        return;
    }
    assert_true(figure(line, "operations_per_second") > 0);
    assert_true(figure(line, "cpu_us_per_operation") > 0);
    assert_true(figure(line, "p99_us") <= figure(line, "p9999_us"));
    assert_true(figure(line, "p9999_us") <= figure(line, "worst_us"));
    assert_true(figure(line, "peak_rss_bytes") > 1 << 20);
}

static void every_row_has_figures(void **state)
{
    (void)state;
    bench_json(SMALL, &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 2 + ROW_COUNT * SUBJECT_COUNT - 1);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        bool has_leveldb = strcmp(rows[i], "multireadrandom") != 0;
        for (size_t n = 0; n < (has_leveldb ? SUBJECT_COUNT : SUBJECT_COUNT - 1); n++) {
            check_work(rows[i], subjects[n]);
        }
    }
}

static void what_is_written_is_measured(void **state)
{
    (void)state;
    bench_json(SMALL "--rows fillrandom", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t n = 0; n < SUBJECT_COUNT; n++) {
        const struct flat_json *line = line_of("fillrandom", subjects[n]);
        if (line != NULL) {
            assert_true(figure(line, "space_amplification") > 0.5);
        }
    }
}

static void budgets_count_what_is_refused(void **state)
{
    (void)state;
    bench_json("kv --quick --json --database 4m --rows 'budget_*'", &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 2 + 3 * SUBJECT_COUNT);
    for (size_t n = 0; n < SUBJECT_COUNT; n++) {
        const struct flat_json *line = line_of("budget_64m", subjects[n]);
        if (line != NULL) {
            assert_true(figure(line, "peak_of_allowed_percent") > 0);
            assert_true(figure(line, "writes_per_second") > 0);
            assert_true(figure(line, "refused_reads_ppm") == 0);
            assert_true(figure(line, "refused_writes_ppm") == 0);
        }
    }
}

static void what_was_not_closed_is_opened_whole(void **state)
{
    (void)state;
    bench_json("kv --quick --json --log 2m --rows recover_wal", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t n = 0; n < SUBJECT_COUNT; n++) {
        const struct flat_json *line = line_of("recover_wal", subjects[n]);
        if (line != NULL) {
            assert_true(figure(line, "open_ms") > 0);
            assert_true(figure(line, "lost_keys") == 0);
            assert_true(figure(line, "disk_bytes") > 2 << 20);
        }
    }
}

static void many_files_are_opened(void **state)
{
    (void)state;
    bench_json("kv --quick --json --files 20 --rows open_files", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t n = 0; n < SUBJECT_COUNT; n++) {
        const struct flat_json *line = line_of("open_files", subjects[n]);
        if (line != NULL) {
            assert_true(figure(line, "files") > 10);
            assert_true(figure(line, "lost_keys") == 0);
        }
    }
}

#ifndef __SANITIZE_ADDRESS__ /* valgrind cannot run such a program */
static void instructions_are_counted_where_there_is_a_valgrind(void **state)
{
    (void)state;
    bench_json(SMALL "--rows fillseq --instructions", &run);
    assert_int_equal(run.exit_code, 0);
    if (run.line_count == 3) {
        assert_true(is_absent(&run.line[2]));
        return;
    }
    for (size_t n = 0; n < SUBJECT_COUNT; n++) {
        const struct flat_json *line = line_of("fillseq", subjects[n]);
        if (line != NULL) {
            assert_true(figure(line, "instructions_per_operation") > 500);
        }
    }
}
#endif

static void leveldb_is_absent_where_it_cannot_compress(void **state)
{
    (void)state;
    bench_json(SMALL "--compression lz4 --rows fillseq", &run);
    assert_int_equal(run.exit_code, 0);
    assert_true(is_absent(find_line(&run, "fillseq", "leveldb", 0)));
    check_work("fillseq", "quarry");
}

static void wrong_command_lines_are_refused(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"kv --keys 10", "wants a number from 1000"},
        {"kv --value-bytes 7", "wants a number from 8"},
        {"kv --compression zip", "there are none, snappy, lz4"},
        {"kv --database 1", "wants a size"},
        {"kv --log many", "wants a size"},
        {"kv --against redis", "there are rocksdb, leveldb"},
        {"kv --keys", "--keys"},
    };

    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_directory_that_is_not_there_is_said_so(void **state)
{
    (void)state;
    char text[512];

    assert_int_equal(bench_text("kv --quick --directory /nowhere/at/all", text, sizeof text), 1);
    assert_non_null(strstr(text, "/nowhere/at/all"));
}

static void help_names_every_row(void **state)
{
    (void)state;
    static const char *const long_rows[] = {"budget_64m", "budget_256m", "budget_1g", "recover_wal",
                                            "open_files"};

    assert_help_names("kv", rows, ROW_COUNT);
    assert_help_names("kv", long_rows, sizeof long_rows / sizeof long_rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_figures),
        cmocka_unit_test(what_is_written_is_measured),
        cmocka_unit_test(budgets_count_what_is_refused),
        cmocka_unit_test(what_was_not_closed_is_opened_whole),
        cmocka_unit_test(many_files_are_opened),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(instructions_are_counted_where_there_is_a_valgrind),
#endif
        cmocka_unit_test(leveldb_is_absent_where_it_cannot_compress),
        cmocka_unit_test(wrong_command_lines_are_refused),
        cmocka_unit_test(a_directory_that_is_not_there_is_said_so),
        cmocka_unit_test(help_names_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
