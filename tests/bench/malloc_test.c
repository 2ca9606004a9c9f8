/*
 * `quarry bench malloc` as its users run it: short sittings, with a look at every line they print,
 * and what it says to a wrong command line.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. glibc is the subject
 * that every machine has; under a sanitizer, whose malloc keeps all others out, everybody must be
 * absent and say why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/run_bench.h"

static const char *const rows[] = {
    "pair_16b",
    "pair_64b",
    "pair_256b",
    "pair_1kib",
    "pair_4kib",
    "pair_32kib",
    "pair_256kib",
    "pair_1mib",
    "batch_16b",
    "batch_64b",
    "batch_256b",
    "batch_1kib",
    "batch_4kib",
    "bignum_churn",
    "bitset_solver",
    "larson",
    "larson_sized",
    "mstress",
    "xmalloc",
    "sh8",
    "rptest",
    "cache_scratch",
    "large",
    "thread_churn",
    "spike_256b",
    "spike_256b_survivors",
    "spike_64kib",
    "spike_64kib_survivors",
    "spike_256b_lifetimes",
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

#define MIB 1048576.0

static struct bench_run run;

/* glibc's n-th line of a row; NULL when a sanitizer keeps it out, which the line must say. */
static const struct flat_json *glibc_line(const char *row, size_t n)
{
    const struct flat_json *line = find_line(&run, row, "glibc", n);

#ifdef __SANITIZE_ADDRESS__
    if (n == 0) {
        assert_non_null(line);
        assert_true(is_absent(line));
    }
    return NULL;
#else
    assert_non_null(line);
    assert_false(is_absent(line));
    return line;
#endif
}

/* Whether Quarry was measured in the run or said to be absent, in every line of a row alike. */
static bool has_quarry(const char *row)
{
    const struct flat_json *line = find_line(&run, row, "quarry", 0);

    assert_non_null(line);
    return !is_absent(line);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void a_row_has_all_its_figures(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --rounds 2 --row bignum_churn --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(flat_json_text(&run.line[0], "row"), "machine");
    assert_true(figure(&run.line[0], "threads") >= 2);
    const struct flat_json *line = glibc_line("bignum_churn", 0);
    if (line != NULL) {
        /* 64 numbers, and four for each of 125,000 steps, allocated and freed. */
        assert_true(figure(line, "operations_per_round") == 2 * (64 + 4 * 125000));
        assert_int_equal((int)figure(line, "rounds"), 2);
        assert_true(figure(line, "wall_ns_per_pair") > 1);
        assert_true(figure(line, "wall_min_ns_per_pair") <= figure(line, "wall_ns_per_pair"));
        assert_true(figure(line, "cpu_ns_per_pair") > 0);
        assert_true(figure(line, "p999_ns") > 0);
        assert_true(figure(line, "peak_rss_bytes") > 0.5 * MIB);
        assert_true(figure(line, "peak_rss_bytes") < 64 * MIB);
        assert_string_equal(flat_json_text(line, "group"), "workloads");
    }
}

static void resident_memory_over_time_is_time_times_memory(void **state)
{
    (void)state;
    bench_json("malloc --json --rounds 1 --row bignum_churn --against glibc", &run);
    const struct flat_json *line = glibc_line("bignum_churn", 0);
    if (line != NULL) {
        double seconds =
            figure(line, "wall_ns_per_pair") * figure(line, "operations_per_round") / 2 * 1e-9;
        double area = figure(line, "rss_byte_seconds");
        /* It runs in a constant peak, and marks are read a little after they were written. */
        assert_true(area > 0.3 * seconds * figure(line, "peak_rss_bytes"));
        assert_true(area < (seconds + 1) * 1.1 * figure(line, "peak_rss_bytes"));
    }
}

static void quarry_is_measured_or_says_why_not(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --rounds 1 --row 'pair_[16]*b' --against glibc", &run);
    assert_int_equal(has_quarry("pair_16b"), has_quarry("pair_64b"));
    if (!has_quarry("pair_16b")) {
        assert_null(find_line(&run, "geometric_mean", "quarry", 0));
    } else {
        assert_non_null(flat_json_text(find_line(&run, "pair_16b", "quarry", 0), "best_peer"));
    }
}

static void the_only_subject_is_the_best_of_every_row(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --rounds 1 --row 'batch_*kib' --against glibc", &run);
    if (glibc_line("batch_1kib", 0) != NULL && !has_quarry("batch_1kib")) {
        const struct flat_json *mean = find_line(&run, "geometric_mean", "glibc", 0);
        assert_non_null(mean);
        assert_string_equal(flat_json_text(mean, "against"), "best_of_row");
        assert_int_equal((int)figure(mean, "rows"), 2);
        assert_true(figure(mean, "ratio") > 0.999 && figure(mean, "ratio") < 1.001);
    }
}

static void a_peer_that_was_not_asked_for_is_in_no_line(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --rounds 1 --row pair_16b --against glibc,tcmalloc", &run);
    assert_null(find_line(&run, "pair_16b", "jemalloc", 0));
    assert_non_null(find_line(&run, "pair_16b", "tcmalloc", 0));
    assert_null(find_line(&run, "pair_16b", "tcmalloc", 1));
    assert_null(find_line(&run, "pair_64b", "tcmalloc", 0));
}

/* ---- spikes, the story, programs, instructions ---------------------------------------------- */

static void a_spike_is_watched_at_its_points(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --row spike_64kib_survivors --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = glibc_line("spike_64kib_survivors", 0);
    if (line == NULL) {
        return;
    }
    assert_true(figure(line, "rss_byte_seconds") > 1 * MIB);
    for (size_t point = 0; point < 3; point++) {
        line = glibc_line("spike_64kib_survivors", 1 + point);
        assert_int_equal((int)figure(line, "at_seconds"), (int)point);
        assert_true(figure(line, "full_rss_bytes") > 256 * MIB);
        /* One in a hundred of 4096 objects, by the same random numbers everywhere. */
        assert_true(figure(line, "survivor_bytes") > 1 * MIB);
        assert_true(figure(line, "survivor_bytes") < 5 * MIB);
        assert_true(figure(line, "rss_bytes") > figure(line, "survivor_bytes"));
        assert_true(figure(line, "rss_bytes") < 300 * MIB);
    }
    assert_null(find_line(&run, "spike_64kib_survivors", "glibc", 4));
}

static void survivors_in_a_lifetime_are_quarrys_row_alone(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --row spike_256b_lifetimes --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    assert_null(find_line(&run, "spike_256b_lifetimes", "glibc", 0));
    assert_null(find_line(&run, "spike_256b_survivors", "glibc", 0));
    assert_null(find_line(&run, "geometric_mean", "quarry", 0));
    if (!has_quarry("spike_256b_lifetimes")) {
        return;
    }
    for (size_t point = 0; point < 3; point++) {
        const struct flat_json *line = find_line(&run, "spike_256b_lifetimes", "quarry", point);
        assert_non_null(line);
        assert_int_equal((int)figure(line, "at_seconds"), (int)point);
        /* One in a hundred of a million objects. */
        assert_true(figure(line, "survivor_bytes") > 2 * MIB);
        assert_true(figure(line, "survivor_bytes") < 3 * MIB);
        assert_true(figure(line, "rss_bytes") > figure(line, "survivor_bytes"));
        /* glibc is measured in the row with the plain survivors. */
        assert_string_equal(flat_json_text(line, "best_peer"), "glibc");
        assert_true(figure(line, "ratio") > 0);
    }
    assert_null(find_line(&run, "spike_256b_lifetimes", "quarry", 3));
}

static void lifetimes_need_a_malloc_that_has_them(void **state)
{
    (void)state;
    static const char *const needing[] = {
        "malloc glibc spike spike_256b_lifetimes 1000",
        "malloc glibc story after lifetimes 10 0",
    };
    char text[4096];

    for (size_t i = 0; i < sizeof needing / sizeof needing[0]; i++) {
        int exit_code = child_text(needing[i], text, sizeof text);
#ifdef __SANITIZE_ADDRESS__
        assert_int_equal(exit_code, 3);
#else
        assert_int_equal(exit_code, 1);
        assert_non_null(strstr(text, "malloc has no lifetimes here"));
#endif
    }
}

static void the_story_is_told_hour_by_hour(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --story restart --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    if (glibc_line("restart_before", 0) == NULL) {
        return;
    }
    for (size_t hour = 0; hour <= 36; hour++) {
        const struct flat_json *before = glibc_line("restart_before", hour);
        const struct flat_json *after = glibc_line("restart_after", hour);
        assert_int_equal((int)figure(before, "hour"), (int)hour);
        assert_int_equal((int)figure(after, "hour"), (int)hour + 36);
        assert_true(figure(after, "resident_bytes") > 0.9 * figure(after, "live_bytes"));
        double error = figure(after, "resident_bytes") - figure(after, "live_bytes") -
                       figure(after, "waste_bytes");
        assert_true(error > -1 && error < 1);
    }
    const struct flat_json *summary = glibc_line("restart_after", 37);
    assert_true(figure(summary, "waste_per_live_worst") >= figure(summary, "waste_per_live_mean"));
    assert_true(figure(summary, "waste_per_live_mean") > 0);
}

#define LIFETIMES "quarry, a lifetime per window"

/* One hour of the store with lifetimes: its pages hold what is live and are counted in JSON. */
static void check_lifetimes_hour(const char *row, size_t index, size_t hour)
{
    const struct flat_json *line = find_line(&run, row, LIFETIMES, index);

    assert_non_null(line);
    assert_int_equal((int)figure(line, "hour"), (int)hour);
    double live_bytes = figure(line, "live_bytes");
    /* It is the same store, so the same is live as with plain malloc. */
    assert_true(live_bytes == figure(find_line(&run, row, "quarry", index), "live_bytes"));
    double page_bytes = figure(line, "page_bytes");
    assert_true(page_bytes >= live_bytes);
    /* Nine windows at most: rounding by up to an eighth, and what a pool keeps empty, about 1 MiB.
     * A window that outlived its purge would be above it in the end. */
    assert_true(page_bytes < 1.125 * live_bytes + 9 * 2 * MIB);
    double error = page_bytes - live_bytes - figure(line, "page_waste_bytes");
    assert_true(error > -1 && error < 1);
    if (live_bytes > 0) {
        error = figure(line, "page_waste_per_live") - (page_bytes - live_bytes) / live_bytes;
        assert_true(error > -0.001 && error < 0.001);
    }
}

static void the_story_is_told_with_a_lifetime_per_window(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --story restart --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    assert_non_null(find_line(&run, "restart_before", LIFETIMES, 0));
    assert_int_equal(is_absent(find_line(&run, "restart_after", LIFETIMES, 0)),
                     !has_quarry("restart_after"));
    if (!has_quarry("restart_after")) {
        return;
    }
    for (size_t index = 0; index <= 36; index++) {
        check_lifetimes_hour("restart_before", index, index);
        check_lifetimes_hour("restart_after", index, 36 + index);
    }
    const struct flat_json *summary = find_line(&run, "restart_after", LIFETIMES, 37);
    assert_true(figure(summary, "page_waste_per_live_worst") >=
                figure(summary, "page_waste_per_live_mean"));
    assert_non_null(flat_json_text(summary, "best_peer"));
    /* Plain malloc has no such figure. */
    assert_null(flat_json_find(find_line(&run, "restart_after", "quarry", 36), "page_bytes"));
}

static void a_program_has_its_time_and_its_peak(void **state)
{
    (void)state;
    bench_json("malloc --quick --json --programs --row program_perl --against glibc", &run);
    assert_int_equal(run.exit_code, 0);
    if (find_line(&run, "program_perl", "glibc", 0) == NULL) {
        /* Not installed: a line of its own says so. */
        assert_true(is_absent(find_line(&run, "program_perl", "quarry", 0)));
        return;
    }
    const struct flat_json *line = glibc_line("program_perl", 0);
    if (line != NULL) {
        assert_true(figure(line, "wall_seconds") > 0);
        assert_true(figure(line, "cpu_seconds") > 0);
        assert_true(figure(line, "peak_rss_bytes") > 4 * MIB);
    }
}

static void a_program_that_is_not_installed_is_a_line_that_says_so(void **state)
{
    (void)state;
    char text[4096];

    assert_int_equal(
        bench_text_without_path("malloc --quick --programs --row program_git --against glibc", text,
                                sizeof text),
        0);
    assert_non_null(strstr(text, "program_git: git is not installed"));
}

static void instructions_are_counted_or_said_to_be_absent(void **state)
{
    (void)state;
    bench_json("malloc --json --instructions --row pair_64b --against glibc", &run);
    const struct flat_json *line = find_line(&run, "instr_pair_64b", "glibc", 0);
    if (line == NULL) {
        assert_true(is_absent(find_line(&run, "instructions", "quarry", 0)));
    } else if (!is_absent(line)) {
        assert_string_equal(flat_json_text(line, "counted_by"), "callgrind");
        assert_true(figure(line, "instructions_per_pair") > 20);
        assert_true(figure(line, "instructions_per_pair") < 2000);
    }
}

/* ---- the command line ----------------------------------------------------------------------- */

static void help_names_every_row(void **state)
{
    (void)state;
    static char text[16384];

    assert_help_names("malloc", rows, ROW_COUNT);
    assert_int_equal(bench_text("malloc --help", text, sizeof text), 0);
    assert_non_null(strstr(text, "program_redis"));
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"malloc --bogus", "--bogus"},
        {"malloc --rounds 0", "from 1"},
        {"malloc --rounds 102", "to 101"},
        {"malloc --against glibc,foo", "foo"},
        {"malloc --against mmap", "mmap"},
        {"malloc --story sad", "there is restart"},
        {"malloc --story restart --programs", "apart"},
        {"malloc extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "malloc",
        "malloc glibc",
        "malloc nobody probe",
        "malloc glibc row no_such_row 1 2",
        "malloc glibc row larson 1 1",
        "malloc glibc row larson 1 9",
        "malloc glibc spike spike_256b",
        "malloc glibc story during malloc 10 0",
        "malloc glibc story after malloc 0 0",
        "malloc glibc story after regions 10 0",
        "malloc glibc story after 10 0",
    };
    char text[4096];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int exit_code = child_text(wrong[i], text, sizeof text);
        /* Under a sanitizer it ends before it reads on: glibc's malloc is not in force. */
        if (exit_code != 2 && exit_code != 3) {
            fail_msg("%s: exit %d, said: %s", wrong[i], exit_code, text);
        }
#ifndef __SANITIZE_ADDRESS__
        assert_int_equal(exit_code, 2);
        assert_non_null(strstr(text, "see its help"));
#endif
    }
}

static void a_child_whose_library_is_not_in_force_measures_nothing(void **state)
{
    (void)state;
    char text[4096];

    assert_int_equal(child_text("malloc mimalloc row pair_16b 1 2", text, sizeof text), 3);
    assert_non_null(strstr(text, "malloc is in"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_all_its_figures),
        cmocka_unit_test(resident_memory_over_time_is_time_times_memory),
        cmocka_unit_test(quarry_is_measured_or_says_why_not),
        cmocka_unit_test(the_only_subject_is_the_best_of_every_row),
        cmocka_unit_test(a_peer_that_was_not_asked_for_is_in_no_line),
        cmocka_unit_test(a_spike_is_watched_at_its_points),
        cmocka_unit_test(survivors_in_a_lifetime_are_quarrys_row_alone),
        cmocka_unit_test(lifetimes_need_a_malloc_that_has_them),
        cmocka_unit_test(the_story_is_told_hour_by_hour),
        cmocka_unit_test(the_story_is_told_with_a_lifetime_per_window),
        cmocka_unit_test(a_program_has_its_time_and_its_peak),
        cmocka_unit_test(a_program_that_is_not_installed_is_a_line_that_says_so),
        cmocka_unit_test(instructions_are_counted_or_said_to_be_absent),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
        cmocka_unit_test(a_child_whose_library_is_not_in_force_measures_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
