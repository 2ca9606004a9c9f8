/*
 * `quarry bench pages` as its users run it: a short sitting, every row of it present for every
 * subject, every line JSON, every figure possible; and what it says to a wrong command line.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. A peer that is not
 * installed, or that a sanitizer's malloc keeps out, must say "absent" in every row; Quarry may
 * not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/run_bench.h"

static const char *const subjects[] = {"quarry",   "glibc",    "jemalloc",
                                       "mimalloc", "tcmalloc", "mmap"};
#define SUBJECT_COUNT (sizeof subjects / sizeof subjects[0])

static const char *const pair_rows[] = {
    "pair_cache_1",
    "pair_cache_2",
    "pair_cache_16",
    "pair_cache_512",
    "pair_tree_1",
    "pair_tree_2",
    "pair_tree_16",
    "pair_tree_512",
    "pair_cache_1_2t",
    "pair_cache_2_2t",
    "pair_cache_16_2t",
    "pair_cache_512_2t",
    "pair_tree_1_2t",
    "pair_tree_2_2t",
    "pair_tree_16_2t",
    "pair_tree_512_2t",
    "pair_tree_1_2t_lanes",
    "pair_tree_2_2t_lanes",
    "pair_tree_16_2t_lanes",
    "pair_tree_512_2t_lanes",
    "batch_64x1",
    "batch_64x2",
    "batch_64x16",
    "batch_8x512",
    "contiguous_1gib",
    "touch_16mib",
};
#define PAIR_ROW_COUNT (sizeof pair_rows / sizeof pair_rows[0])

/* The sitting most tests look at. */
static struct bench_run sitting;

/* ---- the sitting ---------------------------------------------------------------------------- */

static int sit(void **state)
{
    (void)state;
    bench_json(
        "pages --quick --json --rounds 1 --iterations 1000 --spike-bytes 8m --spike-seconds 1",
        &sitting);
    return sitting.exit_code;
}

static void every_line_names_the_benchmark_and_the_first_the_machine(void **state)
{
    (void)state;
    assert_true(sitting.line_count > 0);
    for (size_t i = 0; i < sitting.line_count; i++) {
        assert_string_equal(flat_json_text(&sitting.line[i], "bench"), "pages");
    }
    const struct flat_json *machine = &sitting.line[0];
    assert_string_equal(flat_json_text(machine, "row"), "machine");
    assert_true(figure(machine, "cpu_count") >= 1);
    assert_true(figure(machine, "ram_bytes") > 0);
    assert_int_equal((int)figure(machine, "rounds"), 1);
    assert_non_null(flat_json_text(machine, "jemalloc_version"));
}

static void every_row_has_each_subject_once(void **state)
{
    (void)state;
    for (size_t row = 0; row < PAIR_ROW_COUNT; row++) {
        for (size_t i = 0; i < SUBJECT_COUNT; i++) {
            if (find_line(&sitting, pair_rows[row], subjects[i], 0) == NULL) {
                fail_msg("no line for %s %s", pair_rows[row], subjects[i]);
            }
            assert_null(find_line(&sitting, pair_rows[row], subjects[i], 1));
        }
    }
}

static void quarry_and_mmap_are_absent_in_no_row(void **state)
{
    (void)state;
    for (size_t row = 0; row < PAIR_ROW_COUNT; row++) {
        assert_false(is_absent(find_line(&sitting, pair_rows[row], "quarry", 0)));
        assert_false(is_absent(find_line(&sitting, pair_rows[row], "mmap", 0)));
    }
}

static void a_peer_is_absent_in_all_rows_or_in_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUBJECT_COUNT; i++) {
        bool is_first = is_absent(find_line(&sitting, pair_rows[0], subjects[i], 0));
        for (size_t row = 1; row < PAIR_ROW_COUNT; row++) {
            assert_int_equal(is_absent(find_line(&sitting, pair_rows[row], subjects[i], 0)),
                             is_first);
        }
    }
}

static void figures_of_pairs_are_possible(void **state)
{
    (void)state;
    for (size_t n = 0; n < PAIR_ROW_COUNT * SUBJECT_COUNT; n++) {
        const struct flat_json *line =
            find_line(&sitting, pair_rows[n / SUBJECT_COUNT], subjects[n % SUBJECT_COUNT], 0);
        if (is_absent(line)) {
            continue;
        }
        assert_true(figure(line, "pairs_per_round") >= 1000);
        assert_true(figure(line, "wall_ns_per_pair") > 0);
        assert_true(figure(line, "cpu_ns_per_pair") > 0);
        /* One round: the smallest is the median. */
        assert_true(figure(line, "wall_min_ns_per_pair") == figure(line, "wall_ns_per_pair"));
        assert_true(figure(line, "wall_spread_percent") == 0);
    }
}

static void a_ratio_is_our_figure_divided_by_the_best_peers(void **state)
{
    (void)state;
    for (size_t row = 0; row < PAIR_ROW_COUNT; row++) {
        const struct flat_json *own = find_line(&sitting, pair_rows[row], "quarry", 0);
        const char *best_peer = flat_json_text(own, "best_peer");
        double best = 0;
        const char *best_name = NULL;
        for (size_t i = 1; i < SUBJECT_COUNT; i++) {
            const struct flat_json *peer = find_line(&sitting, pair_rows[row], subjects[i], 0);
            if (!is_absent(peer) &&
                (best_name == NULL || figure(peer, "wall_ns_per_pair") < best)) {
                best = figure(peer, "wall_ns_per_pair");
                best_name = subjects[i];
            }
        }
        assert_non_null(best_peer);
        assert_string_equal(best_peer, best_name);
        double error = figure(own, "ratio") - figure(own, "wall_ns_per_pair") / best;
        /* The figures are rounded to three decimals, and may be as small as a few nanoseconds. */
        assert_true(error > -0.01 * figure(own, "ratio") && error < 0.01 * figure(own, "ratio"));
    }
}

static void the_spike_is_watched_to_the_end_and_stays_below_the_limit(void **state)
{
    (void)state;
    for (size_t point = 0; point < 2; point++) {
        const struct flat_json *line = find_line(&sitting, "spike_8mib", "quarry", point);
        assert_non_null(line);
        assert_int_equal((int)figure(line, "at_seconds"), (int)point);
        assert_true(figure(line, "rss_bytes") > 0);
        assert_true(figure(line, "full_rss_bytes") > 8.0 * 1024 * 1024);
        assert_true(figure(line, "committed_peak_bytes") > 8.0 * 1024 * 1024);
        assert_true(figure(line, "committed_peak_bytes") <= figure(line, "limit_bytes"));
        assert_true(figure(line, "committed_bytes") <= figure(line, "committed_peak_bytes"));
        assert_true(figure(line, "cpu_percent_of_all") <= figure(line, "cpu_percent_of_one"));
    }
    assert_null(find_line(&sitting, "spike_8mib", "quarry", 2));
    assert_null(find_line(&sitting, "spike_8mib", "mmap", 0));
}

/* ---- the command line ----------------------------------------------------------------------- */

static void instructions_are_counted_or_said_to_be_absent(void **state)
{
    (void)state;
    static struct bench_run run;

    bench_json("pages --json --instructions --rows pair_cache_1 --against glibc", &run);
#ifndef __SANITIZE_ADDRESS__ /* valgrind cannot run such a program, and the row says so */
    assert_int_equal(run.exit_code, 0);
#endif
    const struct flat_json *own = find_line(&run, "instr_pair_cache_1", "quarry", 0);
    assert_non_null(own);
    assert_non_null(find_line(&run, "instr_pair_cache_1", "glibc", 0));
    if (!is_absent(own)) {
        assert_non_null(flat_json_text(own, "counted_by"));
        /* A pair is two calls and a loop; at a thousand it would not be the cache's any more. */
        assert_true(figure(own, "instructions_per_pair") > 10);
        assert_true(figure(own, "instructions_per_pair") < 1000);
    }
}

static void against_and_rows_narrow_the_sitting(void **state)
{
    (void)state;
    static struct bench_run run;

    bench_json("pages --json --rounds 2 --iterations 100 --rows 'pair_cache_[12]' --against mmap",
               &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 1 + 2 * 2);
    assert_non_null(find_line(&run, "pair_cache_1", "quarry", 0));
    assert_non_null(find_line(&run, "pair_cache_2", "mmap", 0));
}

static void a_table_names_its_units_and_marks_nothing_it_did_not_measure(void **state)
{
    (void)state;
    char text[8192];

    assert_int_equal(
        bench_text("pages --rounds 1 --iterations 100 --rows pair_tree_1 --against mmap", text,
                   sizeof text),
        0);
    assert_non_null(strstr(text, "1 rounds"));
    assert_non_null(strstr(text, "pair_tree_1 "));
    assert_non_null(strstr(text, "wall ns/pair"));
    assert_non_null(strstr(text, "cpu ns/pair"));
    assert_non_null(strstr(text, "(mmap)"));
    assert_null(strstr(text, "jemalloc"));
}

static void help_names_every_row(void **state)
{
    (void)state;
    static char text[16384];

    assert_int_equal(bench_text("pages --help", text, sizeof text), 0);
    for (size_t row = 0; row < PAIR_ROW_COUNT; row++) {
        assert_non_null(strstr(text, pair_rows[row]));
    }
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"", "BENCHMARKS"},
        {"nothing", "'nothing'"},
        {"pages --bogus", "--bogus"},
        {"pages --rounds", "--rounds"},
        {"pages --rounds 0", "from 1"},
        {"pages --rounds 1x", "from 1"},
        {"pages --iterations -1", "from 1"},
        {"pages --against jemalloc,foo", "foo"},
        {"pages --spike-bytes 12q", "12q"},
        {"pages --spike-seconds 31", "from 0 to 30"},
        {"pages extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "nothing", "pages nobody probe",
                                        "pages quarry row no_such_row 1 0"};
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "see its help");
}

static void a_child_whose_library_is_not_in_force_measures_nothing(void **state)
{
    (void)state;
    char text[4096];

    /* No preload: whatever malloc this process has, it is not jemalloc's. */
    assert_int_equal(child_text("pages jemalloc row pair_cache_1 100 0", text, sizeof text), 3);
    assert_non_null(strstr(text, "malloc is in"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_names_the_benchmark_and_the_first_the_machine),
        cmocka_unit_test(every_row_has_each_subject_once),
        cmocka_unit_test(quarry_and_mmap_are_absent_in_no_row),
        cmocka_unit_test(a_peer_is_absent_in_all_rows_or_in_none),
        cmocka_unit_test(figures_of_pairs_are_possible),
        cmocka_unit_test(a_ratio_is_our_figure_divided_by_the_best_peers),
        cmocka_unit_test(the_spike_is_watched_to_the_end_and_stays_below_the_limit),
        cmocka_unit_test(instructions_are_counted_or_said_to_be_absent),
        cmocka_unit_test(against_and_rows_narrow_the_sitting),
        cmocka_unit_test(a_table_names_its_units_and_marks_nothing_it_did_not_measure),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
        cmocka_unit_test(a_child_whose_library_is_not_in_force_measures_nothing),
    };

    return cmocka_run_group_tests(tests, sit, NULL);
}
