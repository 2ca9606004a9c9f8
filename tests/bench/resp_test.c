/*
 * `quarry bench resp`: what it adds to the client's parts, and short sittings of the whole with a
 * look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. Redis is measured
 * where it is installed, and said to be absent elsewhere.
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

#include <bench/cache/wire.h>
#include <bench/resp/rows.h>

#include "bench/run_bench.h"

static struct bench_run run;

static const char *const servers[] = {"quarry", "redis"};
#define SERVER_COUNT (sizeof servers / sizeof servers[0])

/* ---- parts ---------------------------------------------------------------------------------- */

static void counting_and_setting_many_are_asked_for_as_redis_has_them(void **state)
{
    (void)state;
    struct bench_item item[2] = {{.number = 33, .key_bytes = 10, .value_bytes = 9},
                                 {.number = 34, .key_bytes = 8, .value_bytes = 8}};
    char text[2 * BENCH_WIRE_ROOM_BYTES];

    *bench_wire_redis.put_incr(text, item) = '\0';
    assert_string_equal(text, "*2\r\n$4\r\nINCR\r\n$10\r\nkkk0000011\r\n");
    *bench_wire_redis.put_mset(text, item, 2) = '\0';
    assert_string_equal(text, "*5\r\n$4\r\nMSET\r\n$10\r\nkkk0000011\r\n$9\r\n0000011vv\r\n"
                              "$8\r\nk0000012\r\n$8\r\n0000012v\r\n");
}

static void a_number_is_an_answer_when_it_has_come_whole(void **state)
{
    (void)state;
    static const char text[] = ":12\r\n+OK";
    struct bench_answer answer;

    for (size_t count = 0; count < 5; count++) {
        assert_int_equal(bench_wire_redis.take(text, count, &answer), 0);
        assert_int_equal(answer.reply, BENCH_REPLY_MORE);
    }
    assert_int_equal(bench_wire_redis.take(text, strlen(text), &answer), 5);
    assert_int_equal(answer.reply, BENCH_REPLY_NUMBER);
}

static void every_row_keeps_what_it_is_told(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_load_row *rows = bench_resp_rows(&count);

    assert_true(count > 40);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(bench_resp_row_find(rows[i].name), &rows[i]);
        bool is_power = strstr(rows[i].name, "power") != NULL;
        assert_int_equal(rows[i].store, is_power ? BENCH_STORE_POWER : BENCH_STORE_PROCESS);
    }
    assert_null(bench_resp_row_find("bytes_16_8"));
    assert_string_equal(bench_resp_tool_verb(bench_resp_row_find("tool_mset_p16")), "mset");
    assert_string_equal(bench_resp_tool_verb(bench_resp_row_find("tool_get_p1")), "get");
}

/* ---- sittings ------------------------------------------------------------------------------- */

/* The line of a row and server; NULL when the server is absent. */
static const struct flat_json *line_of(const char *row, const char *server)
{
    const struct flat_json *line = find_line(&run, row, server, 0);

    assert_non_null(line);
    return is_absent(line) ? NULL : line;
}

/* Runs a row; the machine and the directory have a line each. */
static void sit(const char *row, size_t row_count)
{
    char arguments[128];

    (void)snprintf(arguments, sizeof arguments, "resp --quick --json --rows '%s'", row);
    bench_json(arguments, &run);
    assert_int_equal(run.exit_code, 0);
    assert_int_equal(run.line_count, 2 + row_count * SERVER_COUNT);
}

static void check_closed(const struct flat_json *line, const char *row)
{
    double cpu_us = figure(line, "server_cpu_us_per_operation");
    double rate = figure(line, "operations_per_second");
    double busy = figure(line, "server_busy_percent");

    assert_true(cpu_us > 0.05 && rate > 0); /* the machine may be busy */
    assert_true(fabs(cpu_us * rate / 1e4 - busy) < 0.02 * busy);
    if (strncmp(row, "get", 3) == 0) {
        assert_true(figure(line, "hit_percent") == 100);
    }
}

static void servers_answer_every_verb_as_fast_as_they_can(void **state)
{
    (void)state;
    static const char *const rows[] = {"get_p1_tcp",  "get_p64_unix", "set_p16_unix",
                                       "mix_p16_tcp", "incr_p16_tcp", "mset_p1_unix"};

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        sit(rows[r], 1);
        for (size_t s = 0; s < SERVER_COUNT; s++) {
            const struct flat_json *line = line_of(rows[r], servers[s]);
            if (line != NULL) {
                check_closed(line, rows[r]);
            }
        }
    }
}

static void writes_that_outlive_a_power_cut_are_timed(void **state)
{
    (void)state;
    sit("set_power_50", 1);
    for (size_t s = 0; s < SERVER_COUNT; s++) {
        const struct flat_json *line = line_of("set_power_50", servers[s]);
        if (line != NULL) {
            double wall_us = figure(line, "wall_us_per_operation");
            double rate = figure(line, "operations_per_second");
            assert_true(fabs(wall_us * rate / 1e6 - 1) < 0.001);
            assert_true(figure(line, "server_cpu_us_per_operation") > 0);
        }
    }
}

static void those_who_write_together_share_a_sync(void **state)
{
    (void)state;
    bench_json("resp --quick --json --rows syncs_power_50", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = find_line(&run, "syncs_power_50", "quarry", 0);
    if (line != NULL && !is_absent(line)) {
        double syncs = figure(line, "syncs_per_operation");
        /* 1 when each has its own. Of 50 that write at once 0.06 on a disk that takes its time, 0.5
         * on one that is as fast as they are. */
        assert_true(syncs > 0.001 && syncs < 0.9);
    }
}

static void latencies_rise_with_the_quantile(void **state)
{
    (void)state;
    bench_json("resp --quick --json --rows open_60", &run);
    const struct flat_json *line = find_line(&run, "open_60", "quarry", 0);
    if (line == NULL || is_absent(line)) {
        return; /* nobody sets the rate */
    }
    static const char *const keys[] = {"p50_us", "p99_us", "p999_us", "p9999_us", "worst_us"};
    double before = 1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(figure(line, keys[i]) >= before);
        before = figure(line, keys[i]);
    }
    assert_true(figure(line, "operations_per_second") > 0);
}

static void many_keys_stay_within_the_memory_that_was_given(void **state)
{
    (void)state;
    sit("memory_10m' --keys '120000", 1);
    const struct flat_json *ours = line_of("memory_10m", "quarry");
    const struct flat_json *theirs = line_of("memory_10m", "redis");

    assert_non_null(ours);
    assert_true(figure(ours, "items") == 120000);
    assert_true(figure(ours, "limit_bytes") == 268435456);
    assert_true(figure(ours, "peak_bytes") >= figure(ours, "resident_bytes"));
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is in none of it */
    assert_true(figure(ours, "peak_bytes") <= figure(ours, "limit_bytes"));
#endif
    assert_true(figure(ours, "disk_bytes") > 1000000);
    assert_true(figure(ours, "server_cpu_us_per_get") > 0);
    if (theirs != NULL) { /* it has all of it in memory */
        assert_true(figure(theirs, "resident_bytes") > 12000000);
    }
}

static void the_figures_of_redis_benchmark_are_taken_over(void **state)
{
    (void)state;
    bench_json("resp --quick --json --rows 'tool_[gm]*et_p16'", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t s = 0; s < SERVER_COUNT; s++) {
        const struct flat_json *get = find_line(&run, "tool_get_p16", servers[s], 0);
        if (get == NULL || is_absent(get)) {
            continue;
        }
        const struct flat_json *mset = line_of("tool_mset_p16", servers[s]);
        assert_true(figure(get, "operations_per_second") > 0);
        assert_true(figure(get, "p50_us") > 0);
        assert_true(figure(get, "worst_us") >= figure(get, "p99_us"));
        assert_true(figure(mset, "server_cpu_us_per_operation") >
                    figure(get, "server_cpu_us_per_operation"));
    }
}

static void a_sitting_leaves_nothing_in_its_directory(void **state)
{
    (void)state;
    char directory[] = "/tmp/quarry-resp-test-XXXXXX";
    char arguments[160];
    static char text[65536];

    assert_non_null(mkdtemp(directory));
    (void)snprintf(arguments, sizeof arguments,
                   "resp --quick --rows get_p16_unix --against redis --directory %s", directory);
    assert_int_equal(bench_text(arguments, text, sizeof text), 0);
    assert_non_null(strstr(text, directory));
    assert_int_equal(rmdir(directory), 0); /* it is empty */
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    char text[8192];

    assert_int_equal(bench_text("resp --quick --directory /nowhere/at/all", text, sizeof text), 1);
    assert_non_null(strstr(text, "/nowhere/at/all"));
}

static void help_names_every_row(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "get_p1_tcp",    "get_p16_unix", "set_p64_tcp",      "mix_p1_unix",   "incr_p16_tcp",
        "mset_p64_unix", "calls_get_p1", "calls_set_p16",    "set_power_50",  "syncs_power_50",
        "calls_get_p64", "tool_set_p64", "set_power_50_p16", "open_60",       "open_80",
        "memory_10m",    "tool_get_p1",  "tool_set_p16",     "tool_incr_p16", "tool_mset_p1",
    };
    assert_help_names("resp", rows, sizeof rows / sizeof rows[0]);
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"resp --bogus", "--bogus"},
        {"resp --rounds 0", "from 1"},
        {"resp --against memcached", "memcached: there are redis"},
        {"resp --keys 5", "from 1000"},
        {"resp --instructions", "counts no instructions"},
        {"resp extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "resp",
        "resp nobody quarry get_p1_tcp 1 0 0 /tmp",
        "resp memcached quarry get_p1_tcp 1 0 0 /tmp",
        "resp redis quarry no_such_row 1 0 0 /tmp",
        "resp redis quarry bytes_16_8 1 0 0 /tmp",
        "resp redis quarry get_p1_tcp 1 0 0",
        "resp redis quarry open_60 1 0 0 /tmp",
    };
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "`quarry bench resp`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_and_setting_many_are_asked_for_as_redis_has_them),
        cmocka_unit_test(a_number_is_an_answer_when_it_has_come_whole),
        cmocka_unit_test(every_row_keeps_what_it_is_told),
        cmocka_unit_test(servers_answer_every_verb_as_fast_as_they_can),
        cmocka_unit_test(writes_that_outlive_a_power_cut_are_timed),
        cmocka_unit_test(those_who_write_together_share_a_sync),
        cmocka_unit_test(latencies_rise_with_the_quantile),
        cmocka_unit_test(many_keys_stay_within_the_memory_that_was_given),
        cmocka_unit_test(the_figures_of_redis_benchmark_are_taken_over),
        cmocka_unit_test(a_sitting_leaves_nothing_in_its_directory),
        cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
