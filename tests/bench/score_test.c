/*
 * Ratios and means of `quarry bench malloc`, and what its report says of a row that was lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bench/malloc/report.h>
#include <bench/malloc/score.h>

/* By subject: quarry, glibc, jemalloc, mimalloc, tcmalloc, tbbmalloc. */
enum { GLIBC = 1, JEMALLOC, MIMALLOC, TCMALLOC };

static void assert_close(double value, double wanted)
{
    if (value < wanted - 1e-9 || value > wanted + 1e-9) {
        fail_msg("%f, wanted %f", value, wanted);
    }
}

/* ---- ratios --------------------------------------------------------------------------------- */

static void a_ratio_is_to_the_best_peer_that_was_measured(void **state)
{
    (void)state;
    struct bench_figures figures = {{6, 9, 0, 4, 5, 0}};
    struct bench_ratio ratio = bench_figures_ratio(&figures);

    assert_true(ratio.is_known);
    assert_close(ratio.ratio, 1.5);
    assert_string_equal(ratio.best_peer, "mimalloc");
    assert_true(bench_ratio_is_loss(ratio));
}

static void there_is_no_ratio_without_both_sides(void **state)
{
    (void)state;
    struct bench_figures alone = {{6, 0, 0, 0, 0, 0}};
    struct bench_figures without = {{0, 9, 8, 7, 6, 5}};

    assert_false(bench_figures_ratio(&alone).is_known);
    assert_false(bench_figures_ratio(&without).is_known);
    assert_false(bench_ratio_is_loss(bench_figures_ratio(&without)));
    assert_close(bench_figures_against(&alone, GLIBC), 0);
    assert_close(bench_figures_against(&without, GLIBC), 0);
}

static void what_prints_as_level_is_no_loss(void **state)
{
    (void)state;
    struct bench_figures level = {{1004, 1000, 0, 0, 0, 0}};
    struct bench_figures lost = {{1006, 1000, 0, 0, 0, 0}};

    assert_false(bench_ratio_is_loss(bench_figures_ratio(&level)));
    assert_true(bench_ratio_is_loss(bench_figures_ratio(&lost)));
}

/* ---- means ---------------------------------------------------------------------------------- */

static void twice_and_half_as_much_are_a_draw(void **state)
{
    (void)state;
    struct bench_score score = {0};
    struct bench_figures won = {{1, 2, 0, 0, 0, 0}};
    struct bench_figures lost = {{20, 10, 0, 0, 0, 0}};

    bench_score_add(&score, &won);
    bench_score_add(&score, &lost);
    assert_close(bench_geomean_value(&score.against_peer[GLIBC]), 1);
    assert_int_equal(score.tally.row_count, 2);
    assert_int_equal(score.tally.loss_count, 1);
}

static void the_best_of_a_row_may_be_the_subject_itself(void **state)
{
    (void)state;
    struct bench_score score = {0};
    struct bench_figures first = {{1, 4, 0, 0, 0, 0}};
    struct bench_figures second = {{9, 1, 0, 0, 0, 0}};

    bench_score_add(&score, &first);
    bench_score_add(&score, &second);
    assert_close(bench_geomean_value(&score.against_best[BENCH_QUARRY]), 3);
    assert_close(bench_geomean_value(&score.against_best[GLIBC]), 2);
}

static void who_was_not_measured_has_no_part_in_the_means(void **state)
{
    (void)state;
    struct bench_score score = {0};
    struct bench_figures figures = {{0, 4, 2, 0, 0, 0}};

    bench_score_add(&score, &figures);
    assert_int_equal(score.against_best[MIMALLOC].count, 0);
    assert_int_equal(score.against_peer[GLIBC].count, 0);
    assert_int_equal(score.tally.row_count, 0);
    assert_close(bench_geomean_value(&score.against_best[GLIBC]), 2);
    assert_close(bench_geomean_value(&score.against_best[MIMALLOC]), 0);
}

/* ---- the report ----------------------------------------------------------------------------- */

static void set_figure(struct bench_malloc_result *result, enum bench_malloc_figure figure,
                       double value)
{
    result->figure[figure] = (struct bench_summary){value, value, 0};
}

/* A row in which Quarry takes `own_ns` a pair, glibc 10 and jemalloc 20; others are absent. */
static void fill_results(struct bench_malloc_result result[BENCH_MALLOC_SUBJECTS], double own_ns)
{
    static const double ns[] = {0, 10, 20};

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        result[i] = (struct bench_malloc_result){.operation_count = 2};
        if (i > JEMALLOC) {
            result[i].absent_reason = "not asked for";
            continue;
        }
        set_figure(&result[i], BENCH_WALL, i == BENCH_QUARRY ? own_ns : ns[i]);
        set_figure(&result[i], BENCH_RSS, 100);
        set_figure(&result[i], BENCH_P999, i == BENCH_QUARRY ? 40 : 20);
    }
}

/* What the report of one such row prints. Returns: to be freed. */
static char *report_of(double own_ns, bool is_json)
{
    struct bench_malloc_result result[BENCH_MALLOC_SUBJECTS];
    struct bench_malloc_report report = {.is_json = is_json, .round_count = 1};
    char *text = NULL;
    size_t bytes = 0;

    report.file = open_memstream(&text, &bytes);
    assert_non_null(report.file);
    for (size_t i = 0; i <= JEMALLOC; i++) {
        report.subject[i].is_wanted = true;
    }
    fill_results(result, own_ns);
    bench_malloc_report_row(&report, "a_row", BENCH_WORKLOAD, result);
    bench_malloc_report_end(&report);
    assert_int_equal(fclose(report.file), 0);
    return text;
}

static void a_lost_row_is_marked_in_the_table(void **state)
{
    (void)state;
    char *lost = report_of(15, false);
    char *won = report_of(5, false);

    assert_non_null(strstr(lost, "1.50 (glibc) LOSS"));
    assert_non_null(strstr(lost, "behind in 1\n"));
    assert_null(strstr(won, "LOSS"));
    assert_non_null(strstr(won, "0.50 (glibc)"));
    free(lost);
    free(won);
}

static void a_lost_row_is_marked_in_json(void **state)
{
    (void)state;
    char *lost = report_of(15, true);
    char *won = report_of(5, true);

    assert_non_null(strstr(lost, "\"ratio\":1.500,\"best_peer\":\"glibc\",\"is_loss\":true"));
    assert_non_null(strstr(won, "\"ratio\":0.500000,\"best_peer\":\"glibc\",\"is_loss\":false"));
    assert_non_null(strstr(lost, "\"against\":\"jemalloc\",\"rows\":1,\"ratio\":0.750000"));
    free(lost);
    free(won);
}

static void times_of_the_clock_itself_are_no_loss(void **state)
{
    (void)state;
    char *text = report_of(5, false);
    const char *line = strstr(text, "p99.9 ns");

    assert_non_null(line);
    assert_non_null(strstr(line, "1.00 (glibc)\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ratio_is_to_the_best_peer_that_was_measured),
        cmocka_unit_test(there_is_no_ratio_without_both_sides),
        cmocka_unit_test(what_prints_as_level_is_no_loss),
        cmocka_unit_test(twice_and_half_as_much_are_a_draw),
        cmocka_unit_test(the_best_of_a_row_may_be_the_subject_itself),
        cmocka_unit_test(who_was_not_measured_has_no_part_in_the_means),
        cmocka_unit_test(a_lost_row_is_marked_in_the_table),
        cmocka_unit_test(a_lost_row_is_marked_in_json),
        cmocka_unit_test(times_of_the_clock_itself_are_no_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
