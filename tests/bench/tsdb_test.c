/*
 * `quarry bench tsdb` and `quarry bench promql`: parts of their client, and short sittings of the
 * whole with a look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. Peers are measured
 * where they are, and said to be absent elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bench/promql/answers.h>
#include <bench/promql/queries.h>
#include <bench/tsdb/figures.h>
#include <bench/tsdb/fleet.h>
#include <bench/tsdb/rows.h>

#include "bench/run_bench.h"

static struct bench_run run;

static const char *const servers[] = {"quarry", "prometheus", "victoria-metrics"};
#define SERVER_COUNT (sizeof servers / sizeof servers[0])

/* ---- fleets --------------------------------------------------------------------------------- */

/* Takes the next label apart. Returns: its end. */
static const char *next_label(const char *at, char name[128], char value[128])
{
    assert_int_equal(at[0], 0x0a);
    assert_int_equal(at[2], 0x0a);
    size_t name_bytes = (size_t)at[3];
    memcpy(name, at + 4, name_bytes);
    name[name_bytes] = '\0';
    at += 4 + name_bytes;
    assert_int_equal(at[0], 0x12);
    size_t value_bytes = (size_t)at[1];
    memcpy(value, at + 2, value_bytes);
    value[value_bytes] = '\0';
    return at + 2 + value_bytes;
}

/* Checks a series' labels: sorted, a name among them, none empty. Returns: how many. */
static uint32_t check_labels(const char *begin, const char *end)
{
    char before[128] = "";
    uint32_t count = 0;
    bool has_name = false;

    for (const char *at = begin; at < end; count++) {
        char name[128];
        char value[128];
        at = next_label(at, name, value);
        assert_true(at <= end);
        assert_true(strcmp(before, name) < 0);
        assert_true(value[0] != '\0');
        has_name = has_name || strcmp(name, "__name__") == 0;
        memcpy(before, name, sizeof before);
    }
    assert_true(has_name);
    return count;
}

static void labels_of_all_shapes_are_sorted(void **state)
{
    (void)state;
    static const struct {
        enum bench_fleet_shape shape;
        uint32_t least, most; /* labels */
    } shapes[] = {
        {BENCH_FLEET_TSBS, 8, 8}, {BENCH_FLEET_NODE, 4, 5}, {BENCH_FLEET_HISTOGRAM, 4, 4}};
    char labels[BENCH_FLEET_LABELS_BYTES];

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        struct bench_fleet fleet;
        bench_fleet_init(&fleet, shapes[s].shape, 1001, 0);
        assert_int_equal(fleet.series_count % fleet.host_series, 0);
        assert_true(fleet.series_count >= 1001);
        for (uint32_t i = 0; i < fleet.series_count; i++) {
            uint32_t count = check_labels(labels, bench_fleet_put_labels(&fleet, i, 0, labels));
            assert_true(count >= shapes[s].least && count <= shapes[s].most);
        }
        bench_fleet_fini(&fleet);
    }
}

static void a_fleet_is_the_same_each_time(void **state)
{
    (void)state;
    struct bench_fleet a;
    struct bench_fleet b;

    bench_fleet_init(&a, BENCH_FLEET_NODE, 2000, 0);
    bench_fleet_init(&b, BENCH_FLEET_NODE, 2000, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        assert_true(bench_fleet_next(&a, i % 2000) == bench_fleet_next(&b, i % 2000));
    }
    bench_fleet_fini(&a);
    bench_fleet_fini(&b);
}

/* How many series of a host have another value after some steps, and how many went back. */
static void move(struct bench_fleet *fleet, uint32_t *ret_moved, uint32_t *ret_back)
{
    *ret_moved = 0;
    *ret_back = 0;
    for (uint32_t i = 0; i < fleet->host_series; i++) {
        double first = bench_fleet_next(fleet, i);
        double last = first;
        bool went_back = false;
        for (uint32_t step = 0; step < 100; step++) {
            double next = bench_fleet_next(fleet, i);
            went_back = went_back || next < last;
            last = next;
        }
        *ret_moved += last != first || went_back;
        *ret_back += went_back;
    }
}

static void half_of_node_exporter_stands_still(void **state)
{
    (void)state;
    struct bench_fleet fleet;
    uint32_t moved = 0;
    uint32_t back = 0;
    uint32_t still = bench_fleet_constant_count(BENCH_FLEET_NODE);

    bench_fleet_init(&fleet, BENCH_FLEET_NODE, 1000, 0);
    move(&fleet, &moved, &back);
    assert_true(still > 450 && still < 550);
    assert_int_equal(moved, 1000 - still);
    assert_true(back > 100 && back < 250); /* the rest are counters */
    bench_fleet_fini(&fleet);
}

static void figures_of_a_cpu_are_whole_numbers_to_a_hundred(void **state)
{
    (void)state;
    struct bench_fleet fleet;

    bench_fleet_init(&fleet, BENCH_FLEET_TSBS, 10, 0);
    for (uint32_t i = 0; i < 10000; i++) {
        double value = bench_fleet_next(&fleet, i % 10);
        assert_true(value >= 0 && value <= 100 && value == floor(value));
    }
    bench_fleet_fini(&fleet);
}

static void buckets_hold_what_those_below_them_do(void **state)
{
    (void)state;
    struct bench_fleet fleet;

    bench_fleet_init(&fleet, BENCH_FLEET_HISTOGRAM, BENCH_FLEET_HISTOGRAM_SERIES, 0);
    for (uint32_t step = 0; step < 100; step++) {
        double below = 0;
        for (uint32_t i = 0; i < BENCH_FLEET_HISTOGRAM_SERIES; i++) {
            double value = bench_fleet_next(&fleet, i);
            assert_true(value >= below);
            below = value;
        }
    }
    bench_fleet_fini(&fleet);
}

static void churn_replaces_each_host_once_in_its_steps(void **state)
{
    (void)state;
    struct bench_fleet fleet;

    bench_fleet_init(&fleet, BENCH_FLEET_TSBS, 1000, 10);
    for (uint32_t place = 0; place < 100; place++) {
        uint32_t changes = 0;
        for (uint64_t step = 0; step < 10; step++) {
            uint64_t host = bench_fleet_host(&fleet, place * 10, step);
            uint64_t next = bench_fleet_host(&fleet, place * 10, step + 1);
            assert_true(host % 100 == place);
            changes += next != host;
        }
        assert_int_equal(changes, 1);
    }
    bench_fleet_fini(&fleet);
}

/* ---- answers -------------------------------------------------------------------------------- */

static struct bench_answer_set read_answers(const char *json)
{
    struct bench_answer_set answers;

    assert_true(bench_answers_read(json, strlen(json), &answers));
    return answers;
}

static bool are_equal(const char *a, const char *b)
{
    char why[256];
    struct bench_answer_set left = read_answers(a);
    struct bench_answer_set right = read_answers(b);
    bool are = bench_answers_are_equal(&left, &right, why, sizeof why);

    bench_answers_fini(&left);
    bench_answers_fini(&right);
    return are;
}

#define VECTOR(series)                                                                             \
    "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[" series "]}}"
#define POINT(labels, v) "{\"metric\":{" labels "},\"value\":[10.5,\"" v "\"]}"
#define A1               POINT("\"a\":\"1\",\"b\":\"2\"", "1")
#define B1               POINT("\"b\":\"2\",\"a\":\"1\"", "1.0000000001")
#define C2               POINT("\"a\":\"2\"", "NaN")

static void answers_are_the_same_in_whatever_order_they_come(void **state)
{
    (void)state;
    assert_true(are_equal(VECTOR(A1 "," C2), VECTOR(C2 "," B1)));
    assert_false(are_equal(VECTOR(A1), VECTOR(A1 "," C2)));
    assert_false(are_equal(VECTOR(A1), VECTOR(POINT("\"a\":\"1\",\"b\":\"2\"", "1.00000001"))));
    assert_false(are_equal(VECTOR(A1), VECTOR(POINT("\"a\":\"1\",\"b\":\"3\"", "1"))));
    assert_false(are_equal(VECTOR(C2), VECTOR(POINT("\"a\":\"2\"", "0"))));
    assert_true(are_equal(VECTOR(POINT("", "+Inf")), VECTOR(POINT("", "+Inf"))));
    assert_false(are_equal(VECTOR(POINT("", "+Inf")), VECTOR(POINT("", "-Inf"))));
}

#define RANGE(at) "{\"data\":{\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],[" at ",\"2\"]]}]}}"

static void a_point_at_another_time_is_another_one(void **state)
{
    (void)state;
    struct bench_answer_set answers = read_answers(RANGE("2"));

    assert_int_equal(bench_answers_point_count(&answers), 2);
    bench_answers_fini(&answers);
    assert_true(are_equal(RANGE("2"), RANGE("2.000")));
    assert_false(are_equal(RANGE("2"), RANGE("2.1")));
    assert_false(
        are_equal(RANGE("2"), "{\"data\":{\"result\":[{\"metric\":{},\"value\":[1,\"1\"]}]}}"));
}

static void what_is_no_answer_is_told(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{\"status\":\"error\"}",
        "{\"data\":{\"result\":1}}",
        VECTOR("{\"metric\":{}}"),
        VECTOR("{\"metric\":{},\"value\":[1]}"),
        VECTOR("{\"metric\":{},\"value\":[1,\"\"]}"),
        VECTOR("{\"metric\":{},\"value\":[1,\"2x\"]}"),
        VECTOR("{\"metric\":{},\"value\":[\"1\",\"2\"]}"),
        VECTOR("{\"value\":[1,\"2\"]}"),
    };
    struct bench_answer_set answers;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(bench_answers_read(wrong[i], strlen(wrong[i]), &answers));
    }
}

/* ---- sittings ------------------------------------------------------------------------------- */

/* The line of a row and server; NULL when the server is absent. */
static const struct flat_json *line_of(const char *row, const char *server)
{
    const struct flat_json *line = find_line(&run, row, server, 0);

    assert_non_null(line);
    if (strcmp(server, "quarry") == 0) {
        assert_false(is_absent(line));
    }
    return is_absent(line) ? NULL : line;
}

/* Sits over rows. Every server has a line of each. */
static void sit(const char *rows, size_t row_count)
{
    char arguments[192];

    (void)snprintf(arguments, sizeof arguments, "tsdb --quick --json --rows '%s'", rows);
    bench_json(arguments, &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 2 + row_count * SERVER_COUNT);
}

static void samples_are_taken_by_one_connection_and_by_eight(void **state)
{
    (void)state;
    static const char *const rows[] = {"tsbs_10k_b500_c8", "node_10k_b500_c1"};

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        sit(rows[r], 1);
        for (size_t s = 0; s < SERVER_COUNT; s++) {
            const struct flat_json *line = line_of(rows[r], servers[s]);
            if (line == NULL) {
                continue;
            }
            double ns = figure(line, "server_cpu_ns_per_sample");
            assert_true(ns > 10);
            assert_true(fabs(figure(line, "samples_per_cpu_second") * ns / 1e9 - 1) < 0.001);
            assert_true(figure(line, "samples_per_second") > 0);
            assert_true(figure(line, "server_cpu_ns_per_new_series") > 10);
            assert_true(figure(line, "resident_bytes") > 1e6);
            double body = figure(line, "body_bytes_per_sample");
            assert_true(body > 10 && body < 150); /* it is compressed */
        }
    }
}

static void hosts_that_come_and_go_are_all_counted(void **state)
{
    (void)state;
    sit("churn_*", 1);
    assert_true(figure(line_of("churn_100k_b10000_c8", "quarry"), "server_cpu_ns_per_sample") > 10);
}

static void memory_is_told_by_series_and_by_sample(void **state)
{
    (void)state;
    sit("memory_*", 2);
    const struct flat_json *series = line_of("memory_series_1m", "quarry");
    const struct flat_json *samples = line_of("memory_samples_node", "quarry");

    assert_true(figure(series, "series") == 1000);
    assert_true(figure(series, "peak_bytes") >= figure(series, "resident_bytes") * 0.99);
    double open = figure(samples, "open_store_bytes_per_sample");
    double sealed = figure(samples, "sealed_store_bytes_per_sample"); /* so it was sealed */
    assert_true(open > 0.1 && sealed > 0.1);
}

static void restarts_end_with_the_right_answer(void **state)
{
    (void)state;
    static const char *const rows[] = {"restart_clean", "restart_kill"};

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        char arguments[128];
        (void)snprintf(arguments, sizeof arguments,
                       "tsdb --quick --json --against prometheus --rows %s", rows[r]);
        bench_json(arguments, &run);
        assert_int_equal(run.exit_code, 0);
        const struct flat_json *line = find_line(&run, rows[r], "quarry", 0);
        assert_non_null(line);
        assert_false(is_absent(line));
        assert_true(figure(line, "samples") == 3000);
        assert_true(figure(line, "first_right_answer_ms") > 0.1);
        assert_true(figure(line, "first_right_answer_worst_ms") >=
                    figure(line, "first_right_answer_ms"));
    }
}

static void a_flood_of_series_leaves_old_ones_right(void **state)
{
    (void)state;
    sit("cardinality_1g", 1);
    const struct flat_json *line = line_of("cardinality_1g", "quarry");

    assert_true(figure(line, "answers_wrong") == 0);
    assert_true(figure(line, "new_series_taken") > 0);
    assert_true(figure(line, "new_series_taken") <= 40000);
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is in none of it */
    assert_true(figure(line, "peak_percent_of_budget") < 100);
#endif
    assert_true(figure(line, "p99_during_ms") > 0.01);
}

static void every_hour_of_three_days_is_told(void **state)
{
    (void)state;
    bench_json("tsdb --quick --json --rows hours_36 --against prometheus", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t hour = 0; hour < 72; hour++) {
        const struct flat_json *line = find_line(&run, "hours_36_hour", "quarry", hour);
        assert_non_null(line);
        assert_true(figure(line, "hour") == (double)hour);
        assert_true(figure(line, "page_bytes") >= figure(line, "live_bytes"));
        assert_true(figure(line, "resident_bytes") > 1e6);
    }
    assert_null(find_line(&run, "hours_36_hour", "quarry", 72));
    const struct flat_json *line = find_line(&run, "hours_36", "quarry", 0);
    assert_non_null(line);
    assert_true(figure(line, "purged_windows") >= 8);
    assert_true(figure(line, "purged_pages_kept_percent") == 0);
    assert_true(fabs(figure(line, "peak_by_steady") * figure(line, "steady_bytes") /
                         figure(line, "peak_bytes") -
                     1) < 0.01);
    assert_true(figure(line, "restart_ms") > 0.1);
}

static void long_rows_are_asked_for_by_name(void **state)
{
    (void)state;
    const struct bench_series_row *row = bench_series_row_find("hours_36");

    assert_non_null(row);
    assert_false(bench_series_row_is_asked_for(row, "*"));
    assert_true(bench_series_row_is_asked_for(row, "hours*"));
    assert_true(bench_series_row_is_asked_for(bench_series_row_find("target_b2000_c1"), "*"));
}

static void every_row_has_figures(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_series_row *rows = bench_series_rows(&count);

    assert_true(count > 28);
    for (size_t i = 0; i < count; i++) {
        size_t form_count = 0;
        const struct bench_form *forms = bench_series_forms(&rows[i], &form_count);
        assert_ptr_equal(bench_series_row_find(rows[i].name), &rows[i]);
        assert_true(form_count > 3 && form_count <= BENCH_FIGURES_MAX);
        assert_true(forms[0].is_ranked);
    }
    assert_null(bench_series_row_find("get_p1_tcp"));
}

static void queries_are_answered_alike(void **state)
{
    (void)state;
    static const char *const rows[] = {"regex_count", "regex_sum"};

    bench_json("promql --quick --json --series 10000 --rows 'regex_*'", &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 1 + 2 * SERVER_COUNT);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t s = 0; s < SERVER_COUNT; s++) {
            const struct flat_json *line = line_of(rows[r], servers[s]);
            if (line != NULL) {
                assert_true(figure(line, "p50_ms") > 0.01);
                assert_true(figure(line, "p99_ms") >= figure(line, "p50_ms"));
                assert_true(figure(line, "answer_points") >= 1);
            }
        }
    }
}

static void peers_that_are_nowhere_are_absent(void **state)
{
    (void)state;
    static char text[16384];

    assert_int_equal(setenv("QUARRY_BENCH_PEERS", "/nowhere", 1), 0);
    int code = bench_text_without_path("tsdb --quick --json --rows target*", text, sizeof text);
    assert_int_equal(unsetenv("QUARRY_BENCH_PEERS"), 0);
    assert_int_equal(code, 0);
    assert_non_null(strstr(text, "\"subject\":\"quarry\",\"rounds\":1"));
    assert_non_null(strstr(text, "\"subject\":\"prometheus\",\"absent\":true,"
                                 "\"reason\":\"prometheus is neither"));
    assert_non_null(strstr(text, "\"subject\":\"victoria-metrics\",\"absent\":true,"));
}

static void a_sitting_leaves_nothing_in_its_directory(void **state)
{
    (void)state;
    char directory[] = "/tmp/quarry-tsdb-test-XXXXXX";
    char arguments[160];
    static char text[65536];

    assert_non_null(mkdtemp(directory));
    (void)snprintf(arguments, sizeof arguments,
                   "tsdb --quick --rows target* --against prometheus --directory %s", directory);
    assert_int_equal(bench_text(arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, directory));
    assert_int_equal(rmdir(directory), 0); /* it is empty */
}

static void help_names_every_row(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "target_b2000_c1",     "tsbs_10k_b500_c1",     "tsbs_100k_b10000_c8", "node_1m_b500_c8",
        "node_1m_b10000_c1",   "churn_100k_b10000_c8", "memory_series_1m",    "restart_clean",
        "memory_samples_node", "restart_kill",         "cardinality_1g",      "hours_36",
    };
    assert_help_names("tsdb", rows, sizeof rows / sizeof rows[0]);
    size_t count = 0;
    const struct bench_query_row *queries = bench_query_rows(&count);
    assert_true(count >= 14);
    for (size_t i = 0; i < count; i++) {
        assert_help_names("promql", &queries[i].name, 1);
    }
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"tsdb --bogus", "--bogus"},
        {"tsdb --rounds 0", "from 1"},
        {"tsdb --against redis", "redis: there are prometheus"},
        {"tsdb --instructions", "counts no instructions"},
        {"promql --series 5", "from 10000"},
        {"promql --series x", "series"},
        {"promql extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char text[8192];

    assert_int_equal(bench_text("tsdb --quick --directory /nowhere/at/all", text, sizeof text), 1);
    assert_non_null(strstr(text, "/nowhere/at/all"));
    assert_int_equal(bench_text("promql --quick --directory /nowhere/at/all", text, sizeof text),
                     1);
    assert_non_null(strstr(text, "/nowhere/at/all"));
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "tsdb",
        "tsdb nobody quarry target_b2000_c1 1 /tmp",
        "tsdb redis quarry target_b2000_c1 1 /tmp",
        "tsdb quarry quarry no_such_row 1 /tmp",
        "tsdb quarry quarry target_b2000_c1 x /tmp",
        "tsdb quarry quarry target_b2000_c1 1",
    };
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "`quarry bench tsdb`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_of_all_shapes_are_sorted),
        cmocka_unit_test(a_fleet_is_the_same_each_time),
        cmocka_unit_test(half_of_node_exporter_stands_still),
        cmocka_unit_test(figures_of_a_cpu_are_whole_numbers_to_a_hundred),
        cmocka_unit_test(buckets_hold_what_those_below_them_do),
        cmocka_unit_test(churn_replaces_each_host_once_in_its_steps),
        cmocka_unit_test(answers_are_the_same_in_whatever_order_they_come),
        cmocka_unit_test(a_point_at_another_time_is_another_one),
        cmocka_unit_test(what_is_no_answer_is_told),
        cmocka_unit_test(samples_are_taken_by_one_connection_and_by_eight),
        cmocka_unit_test(hosts_that_come_and_go_are_all_counted),
        cmocka_unit_test(memory_is_told_by_series_and_by_sample),
        cmocka_unit_test(restarts_end_with_the_right_answer),
        cmocka_unit_test(a_flood_of_series_leaves_old_ones_right),
        cmocka_unit_test(every_hour_of_three_days_is_told),
        cmocka_unit_test(long_rows_are_asked_for_by_name),
        cmocka_unit_test(every_row_has_figures),
        cmocka_unit_test(queries_are_answered_alike),
        cmocka_unit_test(peers_that_are_nowhere_are_absent),
        cmocka_unit_test(a_sitting_leaves_nothing_in_its_directory),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
