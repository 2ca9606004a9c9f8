/*
 * Sheets: rounds, medians, stars, ratios and losses, from figures that are made up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <bench/sheet.h>

#include "bench/flat_json.h"

static const struct bench_column columns[] = {
    {.name = "quarry"}, {.name = "one"}, {.name = "two"}, {.name = "other"}};
static const struct bench_form forms[] = {{"wall_ns", "wall ns", 1, true},
                                          {"hit_percent", "hit %", 1, false}};

/* The order of calls, as columns' first letters. */
static char calls[64];

/* Figures by column: the first of `context`, growing by 10 with each round. */
static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                    size_t column, double *ret_figures)
{
    const double *base = row->context;
    size_t used = strlen(calls);
    size_t round = used / sheet->column_count;

    assert_true(used + 1 < sizeof calls);
    calls[used] = sheet->column[column].name[0];
    calls[used + 1] = '\0';
    ret_figures[0] = base[column] + 10 * (double)round;
    return base[column] > 0;
}

static struct bench_sheet make_sheet(FILE *file, bool is_json)
{
    calls[0] = '\0';
    return (struct bench_sheet){
        .bench = "test",
        .column = columns,
        .column_count = 4,
        .file = file,
        .is_json = is_json,
        .round_count = 3,
        .is_wanted = {true, true, true, true},
    };
}

static struct bench_sheet_row make_row(const double *base)
{
    return (struct bench_sheet_row){.name = "row",
                                    .form = forms,
                                    .form_count = 2,
                                    .columns = 0xf,
                                    .measure = measure,
                                    .context = base};
}

/* Runs a row and parses what it prints. Returns: how many lines. */
static size_t run_json(struct bench_sheet *sheet, const struct bench_sheet_row *row,
                       struct flat_json *line)
{
    char text[1024];
    size_t count = 0;

    bench_sheet_run(sheet, row);
    rewind(sheet->file);
    while (fgets(text, sizeof text, sheet->file) != NULL) {
        assert_true(count < 4);
        assert_true(flat_json_parse(text, &line[count++]));
    }
    return count;
}

static double number(const struct flat_json *line, const char *key)
{
    double value = 0;

    assert_true(flat_json_number(line, key, &value));
    return value;
}

static void rounds_go_over_all_columns_and_begin_with_another_one(void **state)
{
    (void)state;
    static const double base[] = {100, 200, 300, 400};
    struct flat_json line[4];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, true);
    struct bench_sheet_row row = make_row(base);

    assert_int_equal(run_json(&sheet, &row, line), 4);
    assert_string_equal(calls, "qotootoqtoqo");
    (void)fclose(file);
}

static void the_median_is_compared_with_the_best_of_the_others(void **state)
{
    (void)state;
    static const double base[] = {190, 300, 200, 400};
    struct flat_json line[4];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, true);
    struct bench_sheet_row row = make_row(base);

    assert_int_equal(run_json(&sheet, &row, line), 4);
    assert_true(number(&line[0], "wall_ns") == 200); /* the second of three rounds */
    assert_true(number(&line[0], "wall_ns_min") == 190);
    assert_true(number(&line[0], "wall_ns_spread_percent") == 10);
    assert_true(number(&line[0], "ratio") > 0.952 && number(&line[0], "ratio") < 0.953);
    assert_string_equal(flat_json_text(&line[0], "best_peer"), "two");
    assert_string_equal(flat_json_text(&line[0], "ranked"), "wall_ns");
    assert_true(flat_json_find(&line[0], "is_best")->is_true);
    assert_false(flat_json_find(&line[0], "is_loss")->is_true);
    assert_true(number(&line[1], "ratio") > 0.64 && number(&line[1], "ratio") < 0.65);
    /* What nobody measured is in no line. */
    assert_null(flat_json_find(&line[0], "hit_percent"));
    assert_int_equal(bench_sheet_end(&sheet), 0);
    (void)fclose(file);
}

static void a_reference_is_in_no_ratio(void **state)
{
    (void)state;
    static const double base[] = {190, 300, 200, 1};
    struct flat_json line[4];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, true);
    struct bench_sheet_row row = make_row(base);

    row.reference = BENCH_COLUMN(3);
    assert_int_equal(run_json(&sheet, &row, line), 4);
    assert_string_equal(flat_json_text(&line[0], "best_peer"), "two");
    assert_null(flat_json_find(&line[3], "ratio"));
    assert_null(flat_json_find(&line[3], "ranked"));
    assert_true(flat_json_find(&line[3], "is_reference")->is_true);
    assert_null(flat_json_find(&line[1], "is_reference"));
    assert_false(flat_json_find(&line[3], "is_best")->is_true);
    (void)fclose(file);
}

static void who_fails_or_is_absent_says_so_and_the_exit_code_too(void **state)
{
    (void)state;
    static const double base[] = {100, 0, 200, 300};
    struct flat_json line[4];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, true);
    struct bench_sheet_row row = make_row(base);

    sheet.absent_reason[2] = "not here";
    assert_int_equal(run_json(&sheet, &row, line), 4);
    assert_true(flat_json_find(&line[1], "absent")->is_true);
    assert_string_equal(flat_json_text(&line[1], "reason"), "its measurement failed");
    assert_string_equal(flat_json_text(&line[2], "reason"), "not here");
    assert_string_equal(flat_json_text(&line[0], "best_peer"), "other");
    assert_int_equal(bench_sheet_end(&sheet), 1);
    (void)fclose(file);
}

static void a_column_that_is_not_of_a_row_has_no_line(void **state)
{
    (void)state;
    static const double base[] = {100, 200, 300, 400};
    struct flat_json line[4];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, true);
    struct bench_sheet_row row = make_row(base);

    row.columns = BENCH_COLUMN(0) | BENCH_COLUMN(2);
    row.is_exact = true;
    assert_int_equal(run_json(&sheet, &row, line), 2);
    assert_string_equal(calls, "qt");
    assert_string_equal(flat_json_text(&line[1], "subject"), "two");
    assert_int_equal((int)number(&line[1], "rounds"), 1);
    (void)fclose(file);
}

static void a_table_marks_the_best_and_the_loss(void **state)
{
    (void)state;
    static const double base[] = {390, 200, 100, 300};
    char text[2048];
    FILE *file = tmpfile();
    struct bench_sheet sheet = make_sheet(file, false);
    struct bench_sheet_row row = make_row(base);

    bench_sheet_run(&sheet, &row);
    bench_sheet_run(&sheet, &row);
    assert_int_equal(bench_sheet_end(&sheet), 0);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_non_null(strstr(text, "110.0*"));
    assert_null(strstr(text, "400.0*"));
    /* A line of what nobody has is left out. */
    assert_null(strstr(text, "hit %"));
    assert_non_null(strstr(text, "3.64 (two) LOSS"));
    assert_non_null(strstr(text, "in 0 of 2, behind in 2"));
    /* Two rows of the same figures have one head. */
    const char *head = strstr(text, "ratio (best of the others)");
    assert_non_null(head);
    assert_null(strstr(head + 1, "ratio (best of the others)"));
    (void)fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_go_over_all_columns_and_begin_with_another_one),
        cmocka_unit_test(the_median_is_compared_with_the_best_of_the_others),
        cmocka_unit_test(a_reference_is_in_no_ratio),
        cmocka_unit_test(who_fails_or_is_absent_says_so_and_the_exit_code_too),
        cmocka_unit_test(a_column_that_is_not_of_a_row_has_no_line),
        cmocka_unit_test(a_table_marks_the_best_and_the_loss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
