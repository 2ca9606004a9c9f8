/*
 * `quarry bench cache`: its parts alone, against what is known of them, and short sittings of the
 * whole with a look at every line they print.
 *
 * Figures are not judged, only whether they can be: the machine may be busy. memcached and Redis
 * are measured where they are installed, and said to be absent elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bench/cache/rows.h>
#include <bench/cache/shape.h>
#include <bench/cache/steady.h>
#include <bench/cache/wire.h>
#include <bench/cache/zipf.h>

#include "bench/run_bench.h"
#include "unit/base/rounds.h"

static struct bench_run run;

/* ---- parts ---------------------------------------------------------------------------------- */

static void ranks_are_drawn_by_zipfs_law(void **state)
{
    (void)state;
    static const double skews[] = {0, 0.6372, 0.99, 1, 1.2117, 2};
    enum { COUNT = 50, DRAWS = 400000 };

    for (size_t s = 0; s < sizeof skews / sizeof skews[0]; s++) {
        struct bench_zipf zipf;
        uint64_t drawn[COUNT] = {0};
        uint64_t random = 1;
        double sum = 0;
        bench_zipf_init(&zipf, COUNT, skews[s]);
        for (uint32_t i = 0; i < DRAWS; i++) {
            drawn[bench_zipf_next(&zipf, &random)]++;
        }
        for (uint32_t k = 1; k <= COUNT; k++) {
            sum += pow(k, -skews[s]);
        }
        for (uint32_t k = 1; k <= COUNT; k++) {
            double wanted = DRAWS * pow(k, -skews[s]) / sum;
            assert_true(fabs((double)drawn[k - 1] - wanted) < 6 * sqrt(wanted) + 1);
        }
    }
}

static void one_rank_is_always_drawn(void **state)
{
    (void)state;
    struct bench_zipf zipf;
    uint64_t random = 1;

    bench_zipf_init(&zipf, 1, 0.99);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(bench_zipf_next(&zipf, &random), 0);
    }
}

/* ---- protocols ------------------------------------------------------------------------------ */

/* Takes the answer out of each beginning of it: only the whole is one. */
static void check_answer(const struct bench_wire *wire, const char *text, enum bench_reply reply,
                         const char *value)
{
    struct bench_answer answer;
    char longer[128];

    for (size_t count = 0; count < strlen(text); count++) {
        assert_int_equal(wire->take(text, count, &answer), 0);
        assert_int_equal(answer.reply, BENCH_REPLY_MORE);
    }
    (void)snprintf(longer, sizeof longer, "%sVALUE", text);
    assert_int_equal(wire->take(longer, strlen(longer), &answer), strlen(text));
    assert_int_equal(answer.reply, reply);
    assert_int_equal(answer.value_bytes, value == NULL ? 0 : strlen(value));
    assert_true(value == NULL || memcmp(answer.value, value, strlen(value)) == 0);
}

static void answers_of_memcached_are_told_apart(void **state)
{
    (void)state;
    const struct bench_wire *wire = &bench_wire_memcached;

    check_answer(wire, "END\r\n", BENCH_REPLY_MISS, NULL);
    check_answer(wire, "STORED\r\n", BENCH_REPLY_STORED, NULL);
    check_answer(wire, "VALUE key 0 5\r\na\r\nbc\r\nEND\r\n", BENCH_REPLY_HIT, "a\r\nbc");
    check_answer(wire, "VALUE key 7 0\r\n\r\nEND\r\n", BENCH_REPLY_HIT, "");
    check_answer(wire, "SERVER_ERROR out of memory\r\n", BENCH_REPLY_REFUSED, NULL);
    check_answer(wire, "ERROR\r\n", BENCH_REPLY_WRONG, NULL);
}

static void answers_of_redis_are_told_apart(void **state)
{
    (void)state;
    const struct bench_wire *wire = &bench_wire_redis;

    check_answer(wire, "$-1\r\n", BENCH_REPLY_MISS, NULL);
    check_answer(wire, "+OK\r\n", BENCH_REPLY_STORED, NULL);
    check_answer(wire, "$5\r\na\r\nbc\r\n", BENCH_REPLY_HIT, "a\r\nbc");
    check_answer(wire, "$0\r\n\r\n", BENCH_REPLY_HIT, "");
    check_answer(wire, "-OOM command not allowed\r\n", BENCH_REPLY_REFUSED, NULL);
    check_answer(wire, ":1\r\n", BENCH_REPLY_NUMBER, NULL);
    check_answer(wire, "*1\r\n", BENCH_REPLY_WRONG, NULL);
}

static void requests_are_what_the_protocols_say(void **state)
{
    (void)state;
    struct bench_item item = {.number = 33, .key_bytes = 10, .value_bytes = 9};
    char text[BENCH_WIRE_ROOM_BYTES];

    *bench_wire_memcached.put_get(text, &item) = '\0';
    assert_string_equal(text, "get kkk0000011\r\n");
    *bench_wire_memcached.put_set(text, &item) = '\0';
    assert_string_equal(text, "set kkk0000011 0 0 9\r\n0000011vv\r\n");
    *bench_wire_redis.put_get(text, &item) = '\0';
    assert_string_equal(text, "*2\r\n$3\r\nGET\r\n$10\r\nkkk0000011\r\n");
    item.ttl_seconds = 12;
    *bench_wire_memcached.put_set(text, &item) = '\0';
    assert_string_equal(text, "set kkk0000011 0 12 9\r\n0000011vv\r\n");
    *bench_wire_redis.put_set(text, &item) = '\0';
    assert_string_equal(text, "*5\r\n$3\r\nSET\r\n$10\r\nkkk0000011\r\n$9\r\n0000011vv\r\n"
                              "$2\r\nEX\r\n$2\r\n12\r\n");
}

static void a_value_is_known_to_be_of_its_key(void **state)
{
    (void)state;
    struct bench_item item = {.number = 12345678, .key_bytes = 20, .value_bytes = 100};
    struct bench_item other = {.number = 12345679, .key_bytes = 20, .value_bytes = 100};
    char value[100];
    struct bench_answer answer = {BENCH_REPLY_HIT, value, sizeof value};

    (void)bench_wire_put_value(value, &item);
    assert_true(bench_wire_is_value_of(&answer, &item));
    assert_false(bench_wire_is_value_of(&answer, &other));
    answer.value_bytes--;
    assert_false(bench_wire_is_value_of(&answer, &item));
}

static void a_value_of_a_version_is_checked_to_its_last_byte(void **state)
{
    (void)state;
    struct bench_item item = {.number = 77, .key_bytes = 20, .value_bytes = 100, .version = 70};
    struct bench_item asked = {.number = 77, .key_bytes = 20, .value_bytes = 100, .version = 1};
    char value[200];
    struct bench_answer answer = {BENCH_REPLY_HIT, value, bench_item_bytes(&item)};

    assert_int_equal(bench_item_bytes(&item), 106);
    assert_ptr_equal(bench_wire_put_value(value, &item), value + 106);
    assert_true(bench_wire_is_value_of(&answer, &asked)); /* any version will do */
    for (size_t i = 0; i < 106; i++) {
        value[i] ^= 1;
        assert_false(bench_wire_is_value_of(&answer, &asked));
        value[i] ^= 1;
    }
    answer.value_bytes--;
    assert_false(bench_wire_is_value_of(&answer, &asked));
    answer.value_bytes++;
    asked.number++;
    assert_false(bench_wire_is_value_of(&answer, &asked));
}

/* ---- traces --------------------------------------------------------------------------------- */

/* What a trace has of what was published, by counting its keys. */
static void check_shape(const struct bench_shape *shape)
{
    struct bench_trace_maker maker;
    struct bench_request request;
    uint64_t raw_keys = (uint64_t)shape->key_count * (shape->renewed_percent / 100 + 2);
    uint8_t *seen = calloc(raw_keys, 1);
    uint64_t keys = 0;
    uint64_t once = 0;
    uint64_t sets = 0;
    double bytes = 0;

    assert_non_null(seen);
    bench_trace_begin(&maker, shape, shape->request_count, 40);
    while (bench_trace_next(&maker, &request)) {
        sets += request.is_set;
        bytes += request.item.value_bytes;
        if (request.item.number >= raw_keys) {
            keys++;
            once++;
            continue;
        }
        uint8_t *times = &seen[request.item.number];
        keys += *times == 0;
        once += *times == 0;
        once -= *times == 1;
        *times = (uint8_t)(*times < 2 ? *times + 1 : 2);
    }
    free(seen);
    double requests = shape->request_count;
    (void)printf("%s: %.2f %% of requests for new keys, %.1f %% of keys once\n", shape->name,
                 100.0 * (double)keys / requests, 100.0 * (double)once / (double)keys);
    assert_true(fabs(100.0 * (double)keys / requests / shape->compulsory_percent - 1) < 0.05);
    assert_true(100.0 * (double)once / (double)keys > 0.9 * shape->once_percent);
    assert_true(fabs(1000.0 * (double)sets / requests - shape->set_permille) < 2);
    /* Over requests, of which some keys have many; and short values are made longer. */
    assert_true(bytes / requests > 0.5 * shape->value_bytes &&
                bytes / requests < 1.6 * shape->value_bytes + BENCH_WIRE_VALUE_BYTES_MIN);
}

static void traces_have_the_published_figures(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_shape *shapes = bench_shapes(&count);

    assert_int_equal(count, 6);
    for (size_t i = 0; i < ROUNDS(count, 1); i++) {
        check_shape(&shapes[i]);
    }
}

static void a_trace_is_the_same_each_time(void **state)
{
    (void)state;
    struct bench_trace_maker one;
    struct bench_trace_maker two;
    const struct bench_shape *shape = bench_shape_find("cluster45");
    struct bench_request a;
    struct bench_request b;

    assert_null(bench_shape_find("cluster0"));
    bench_trace_begin(&one, shape, 1000, 1);
    bench_trace_begin(&two, shape, 1000, 1);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(bench_trace_next(&one, &a) && bench_trace_next(&two, &b));
        assert_int_equal(a.item.number, b.item.number);
        assert_int_equal(a.item.value_bytes, b.item.value_bytes);
        assert_int_equal(a.item.ttl_seconds, b.item.ttl_seconds);
        assert_int_equal(a.is_set, b.is_set);
    }
    assert_false(bench_trace_next(&one, &a));
}

/* ---- a load at a constant rate ------------------------------------------------------------------
 */

static void hits_of_windows_tell_how_long_they_were_few(void **state)
{
    (void)state;
    static struct bench_span span;

    assert_int_equal(bench_span_hit_ppm(&span), 0);
    assert_int_equal(bench_span_below_ns(&span, 900000), 0);
    for (uint32_t i = 0; i < 10; i++) {
        bool is_few = i == 2 || (i >= 5 && i < 8);
        span.window_gets[i] = i == 6 ? 0 : 100; /* one that nobody could ask in */
        span.window_hits[i] = i == 6 ? 0 : (is_few ? 80 : 95);
        span.get_count += span.window_gets[i];
        span.hit_count += span.window_hits[i];
    }
    assert_int_equal(bench_span_below_ns(&span, 900000), 3 * BENCH_STEADY_WINDOW_NS);
    assert_int_equal(bench_span_below_ns(&span, 800000), 0);
    assert_int_equal(bench_span_least_ppm(&span), 800000);
    assert_int_equal(bench_span_hit_ppm(&span), 900000);
}

/* ---- sittings ------------------------------------------------------------------------------- */

static const char *const servers[] = {"quarry", "memcached", "redis"};
#define SERVER_COUNT (sizeof servers / sizeof servers[0])

/* The line of a row and server; NULL when the server is absent. */
static const struct flat_json *line_of(const char *row, const char *server)
{
    const struct flat_json *line = find_line(&run, row, server, 0);

    assert_non_null(line);
    return is_absent(line) ? NULL : line;
}

static void check_closed(const char *row, const char *server)
{
    const struct flat_json *line = line_of(row, server);

    if (line == NULL) {
        return;
    }
    double cpu_us = figure(line, "server_cpu_us_per_operation");
    double rate = figure(line, "operations_per_second");
    assert_true(cpu_us > 0.05 && rate > 0); /* the machine may be busy */
    double busy = figure(line, "server_busy_percent");
    assert_true(fabs(cpu_us * rate / 1e4 - busy) < 0.02 * busy);
    if (strncmp(row, "get", 3) == 0) {
        assert_true(figure(line, "hit_percent") == 100);
    }
}

static void servers_answer_as_fast_as_they_can(void **state)
{
    (void)state;
    static const char *const rows[] = {"get_p1_tcp", "get_p16_unix", "set_p1_unix", "set_p16_tcp"};

    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        char arguments[128];
        (void)snprintf(arguments, sizeof arguments, "cache --quick --json --rows %s", rows[r]);
        bench_json(arguments, &run);
        assert_int_equal(run.exit_code, 0);
        assert_int_equal(run.line_count, 1 + SERVER_COUNT);
        for (size_t s = 0; s < SERVER_COUNT; s++) {
            check_closed(rows[r], servers[s]);
        }
    }
}

static void system_calls_are_counted_or_said_to_be_absent(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows calls_get_p1 --against memcached", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = find_line(&run, "calls_get_p1", "memcached", 0);
    if (line != NULL && !is_absent(line)) {
        /* A request is read and answered; a wait is shared by those that are ready. */
        double calls = figure(line, "system_calls_per_operation");
        assert_true(calls >= 1 && calls < 5);
    }
}

static void latencies_rise_with_the_quantile(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows open_60 --against memcached", &run);
    const struct flat_json *line = line_of("open_60", "memcached");
    if (line == NULL) {
        return;
    }
    assert_int_equal(run.exit_code, 0);
    double before = 0;
    static const char *const keys[] = {"p50_us", "p99_us", "p999_us", "p9999_us", "worst_us"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_true(figure(line, keys[i]) >= before);
        before = figure(line, keys[i]);
    }
    assert_true(figure(line, "p50_us") > 1 && figure(line, "operations_per_second") > 0);
}

static void items_cost_more_than_their_data(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows 'bytes_20_*'", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t s = 0; s < SERVER_COUNT; s++) {
        const struct flat_json *small = line_of("bytes_20_32", servers[s]);
        const struct flat_json *large = line_of("bytes_20_273", servers[s]);
        if (small == NULL) {
            continue;
        }
        assert_true(figure(small, "bytes_per_item") > 52);
        assert_true(figure(large, "bytes_per_item") > 293);
        assert_true(figure(small, "overhead_bytes_per_item") < 200);
        assert_true(figure(small, "items") > figure(large, "items"));
    }
    const struct flat_json *known = line_of("bytes_20_32", "memcached");
    if (known != NULL) { /* its class of 120 bytes */
        assert_true(fabs(figure(known, "bytes_per_item") - 120) < 2);
    }
}

static void a_replay_misses_at_least_new_keys(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows miss_cluster45 --against memcached", &run);
    const struct flat_json *line = line_of("miss_cluster45", "memcached");
    if (line != NULL) {
        assert_true(figure(line, "miss_ratio") > 0.3 && figure(line, "miss_ratio") <= 1);
        assert_true(figure(line, "resident_bytes") > 1048576);
    }
}

static void what_was_kept_is_there_after_a_kill(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows kill", &run);
    assert_int_equal(run.exit_code, 0);
    assert_null(find_line(&run, "kill", "redis", 0));
    for (size_t s = 0; s < SERVER_COUNT - 1; s++) {
        const struct flat_json *line = line_of("kill", servers[s]);
        if (line != NULL) {
            assert_true(figure(line, "hit_before_percent") > 97);
            assert_true(figure(line, "hit_after_percent") > 97);
            assert_true(figure(line, "ready_ms") > 0);
            assert_true(figure(line, "checked_values") > 1000);
        }
    }
}

static void shifts_of_sizes_are_answered_without_errors(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows shift", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t s = 0; s < SERVER_COUNT; s++) {
        const struct flat_json *line = line_of("shift", servers[s]);
        if (line != NULL) {
            assert_true(figure(line, "errors") == 0);
            assert_true(figure(line, "hit_alone_percent") > 99);
            assert_true(figure(line, "stored_bytes") > 1048576);
            assert_true(figure(line, "worst_us") >= figure(line, "p999_us"));
        }
    }
}

static void a_tenant_keeps_its_hits_beside_a_flood(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows tenants", &run);
    assert_int_equal(run.exit_code, 0);
    assert_null(find_line(&run, "tenants", "memcached", 0));
    const struct flat_json *line = line_of("tenants", "quarry");
    if (line != NULL) {
        assert_true(figure(line, "hit_alone_percent") > 99);
        assert_true(figure(line, "hit_beside_percent") > 99);
        assert_true(figure(line, "overshoot_bytes") <= 1048576);
        assert_true(figure(line, "flood_sets_per_second") > 0);
    }
}

static void idle_connections_cost_little(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows idle", &run);
    assert_int_equal(run.exit_code, 0);
    for (size_t s = 0; s < SERVER_COUNT - 1; s++) {
        const struct flat_json *line = line_of("idle", servers[s]);
        if (line != NULL) {
            assert_true(figure(line, "bytes_per_idle_connection") < 16384);
            assert_true(figure(line, "idle_connections") == 500);
            assert_true(figure(line, "p99_us") > 1);
        }
    }
}

static void who_holds_things_up_is_cut(void **state)
{
    (void)state;
    bench_json("cache --quick --json --rows slow", &run);
    assert_int_equal(run.exit_code, 0);
    const struct flat_json *line = line_of("slow", "quarry");
    if (line != NULL) {
        assert_true(figure(line, "readers_cut") == 20);
        assert_true(figure(line, "writers_cut") == 20);
        assert_true(figure(line, "readers_cut_ms") > 0);
        assert_true(figure(line, "writers_cut_ms") > 900);
    }
    line = line_of("slow", "memcached");
    if (line != NULL) {
        assert_true(figure(line, "readers_cut") == 0 && figure(line, "p99_beside_us") > 1);
    }
}

static void long_rows_run_only_when_asked_for(void **state)
{
    (void)state;
    size_t count = 0, long_count = 0;
    const struct bench_load_row *rows = bench_load_rows(&count);

    for (size_t i = 0; i < count; i++) {
        assert_int_equal(bench_load_row_is_asked_for(&rows[i], "*"), !rows[i].is_long);
        assert_true(bench_load_row_is_asked_for(&rows[i], rows[i].name));
        assert_false(bench_load_row_is_asked_for(&rows[i], "no_such_row"));
        long_count += rows[i].is_long;
    }
    assert_int_equal(long_count, 1);
    assert_true(bench_load_row_find("long")->is_long);
    assert_true(bench_load_row_is_asked_for(bench_load_row_find("long"), "l*"));
}

#ifdef __SANITIZE_ADDRESS__
/* All rows once, for their memory. Without a sanitizer those above have one of each kind. */
static void a_sitting_has_every_row_but_those_that_are_long(void **state)
{
    (void)state;
    static char text[65536];

    assert_int_equal(
        bench_text_without_path("cache --quick --json --against memcached", text, sizeof text), 0);
    assert_non_null(strstr(text, "\"row\":\"kill\""));
    assert_null(strstr(text, "\"row\":\"long\""));
}
#endif

static void a_server_that_is_not_installed_is_said_to_be_absent(void **state)
{
    (void)state;
    char text[8192];

    assert_int_equal(bench_text_without_path("cache --quick --rows get_p1_tcp --against memcached",
                                             text, sizeof text),
                     0);
    assert_non_null(strstr(text, "memcached is not installed"));
}

static void help_names_every_row(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "get_p1_tcp",
        "get_p16_tcp",
        "get_p64_unix",
        "set_p1_tcp",
        "set_p64_unix",
        "mix_p1_tcp",
        "calls_get_p1",
        "calls_set_p16",
        "open_60",
        "open_80",
        "bytes_16_8",
        "bytes_32_4000",
        "bytes_lognormal",
        "miss_cluster19",
        "miss_cluster22",
        "miss_cluster29",
        "miss_cluster45",
        "miss_cluster48",
        "miss_cluster52",
        "shift",
        "tenants",
        "idle",
        "slow",
        "kill",
        "long",
    };
    assert_help_names("cache", rows, sizeof rows / sizeof rows[0]);
}

static void a_wrong_command_line_is_told_and_exits_with_2(void **state)
{
    (void)state;
    static const struct bench_wrong wrong[] = {
        {"cache --bogus", "--bogus"},
        {"cache --rounds 0", "from 1"},
        {"cache --minutes 0", "from 1"},
        {"cache --minutes ten", "wants a number"},
        {"cache --against memcached,foo", "foo: there are memcached, redis"},
        {"cache --instructions", "counts no instructions"},
        {"cache extra", "'extra'"},
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof wrong[0]);
}

static void a_child_refuses_a_line_it_does_not_know(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "cache",
        "cache nobody quarry get_p1_tcp 1 0 0",
        "cache memcached quarry no_such_row 1 0 0",
        "cache memcached quarry get_p1_tcp 1 0",
        "cache memcached quarry get_p1_tcp yes 0 0",
        "cache memcached quarry open_60 1 0 0",
    };
    assert_child_refuses(wrong, sizeof wrong / sizeof wrong[0], "`quarry bench cache`");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_drawn_by_zipfs_law),
        cmocka_unit_test(one_rank_is_always_drawn),
        cmocka_unit_test(answers_of_memcached_are_told_apart),
        cmocka_unit_test(answers_of_redis_are_told_apart),
        cmocka_unit_test(requests_are_what_the_protocols_say),
        cmocka_unit_test(a_value_is_known_to_be_of_its_key),
        cmocka_unit_test(a_value_of_a_version_is_checked_to_its_last_byte),
        cmocka_unit_test(traces_have_the_published_figures),
        cmocka_unit_test(a_trace_is_the_same_each_time),
        cmocka_unit_test(hits_of_windows_tell_how_long_they_were_few),
        cmocka_unit_test(long_rows_run_only_when_asked_for),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test(a_sitting_has_every_row_but_those_that_are_long),
#endif
        cmocka_unit_test(a_server_that_is_not_installed_is_said_to_be_absent),
        cmocka_unit_test(help_names_every_row),
        cmocka_unit_test(a_wrong_command_line_is_told_and_exits_with_2),
        cmocka_unit_test(a_child_refuses_a_line_it_does_not_know),
    };
    const struct CMUnitTest sittings[] = {
        cmocka_unit_test(servers_answer_as_fast_as_they_can),
        cmocka_unit_test(system_calls_are_counted_or_said_to_be_absent),
        cmocka_unit_test(latencies_rise_with_the_quantile),
        cmocka_unit_test(items_cost_more_than_their_data),
        cmocka_unit_test(a_replay_misses_at_least_new_keys),
        cmocka_unit_test(what_was_kept_is_there_after_a_kill),
        cmocka_unit_test(shifts_of_sizes_are_answered_without_errors),
        cmocka_unit_test(a_tenant_keeps_its_hits_beside_a_flood),
        cmocka_unit_test(idle_connections_cost_little),
        cmocka_unit_test(who_holds_things_up_is_cut),
    };
    int failed_count = cmocka_run_group_tests(tests, NULL, NULL);

    /* Under a sanitizer one sitting has all rows. */
    return ROUNDS(true, false) ? failed_count + cmocka_run_group_tests(sittings, NULL, NULL)
                               : failed_count;
}
