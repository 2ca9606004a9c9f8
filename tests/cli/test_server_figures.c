/* What a server tells, read and drawn: whatever it is, and whoever tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cli/server_picture.h>

static struct server_figures before, now;
static struct server_findings findings;

static void parse(const char *text, struct server_figures *ret_figures)
{
    *ret_figures = (struct server_figures){0};
    server_figures_parse(text, strlen(text), ret_figures);
}

/* ---- a page --------------------------------------------------------------------------------- */

static void samples_are_summed_over_their_labels(void **state)
{
    (void)state;
    parse("# HELP quarry_cache_tenant_hits_total Gets that found something.\n"
          "# TYPE quarry_cache_tenant_hits_total counter\n"
          "quarry_cache_tenant_hits_total{tenant=\"a\"} 5\n"
          "quarry_cache_tenant_hits_total{tenant=\"} 9 {\\\" le=\"} 7\n"
          "quarry_memory_limit_bytes 268435456\n"
          "quarry_memory_state_bytes{state=\"in_use\"} 1000\n"
          "quarry_memory_state_bytes{state=\"cached\"} 200\n"
          "quarry_net_lag_max_seconds 0.125\n"
          "quarry_kv_level_files{level=\"0\"} 3\n"
          "quarry_kv_level_files{level=\"1\"} 40\n",
          &now);
    assert_true(now.value[SERVER_CACHE_HITS] == 12);
    assert_true(now.value[SERVER_LIMIT] == 268435456);
    assert_true(now.value[SERVER_IN_USE] == 1000);
    assert_true(now.value[SERVER_CACHED] == 200);
    assert_true(now.value[SERVER_LAG_SECONDS] == 0.125);
    assert_true(now.value[SERVER_KV_LEVEL0_FILES] == 3);
}

static void lines_that_make_no_sense_are_passed_over(void **state)
{
    static const char *const lines[] = {
        "quarry_memory_limit_bytes",
        "quarry_memory_limit_bytes ",
        "quarry_memory_limit_bytes x",
        "quarry_memory_limit_bytes NaN",
        "quarry_memory_limit_bytes +Inf",
        "quarry_memory_limit_bytes{",
        "quarry_memory_limit_bytes{a=\"",
        "quarry_memory_limit_bytes}",
        "quarry_memory_limit_bytes{}",
        "}{ 5",
        "{} 5",
        " 5",
        "#quarry_memory_limit_bytes 5",
        "quarry_memory_limit_byte 5",
        "quarry_memory_limit_bytess 5",
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s\nquarry_memory_peak_bytes 9", lines[i]);
        parse(text, &now);
        assert_true(now.value[SERVER_LIMIT] == 0);
        assert_true(now.value[SERVER_PEAK] == 9); /* the line behind it, without an end */
    }
}

/* A line of a megabyte, bytes of every value, and a page cut anywhere. */
static void a_page_of_anything_is_read(void **state)
{
    size_t length = (size_t)1 << 20;
    char *text = malloc(length);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', length);
    memcpy(text + length - 31, "\nquarry_memory_limit_bytes 1234", 31);
    now = (struct server_figures){0};
    server_figures_parse(text, length, &now);
    assert_true(now.value[SERVER_LIMIT] == 1234);
    uint32_t seed = 1;
    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (char)(seed >> 24);
    }
    for (size_t i = 0; i < 200; i++) {
        server_figures_parse(text + i, (length >> 4) - i, &now);
    }
    static const char page[] = "quarry_resp_duration_seconds_bucket{le=\"0.5\"} 7\n";
    for (size_t cut = 0; cut < sizeof page; cut++) {
        server_figures_parse(page, cut, &now);
    }
    free(text);
}

/* ---- between two looks ---------------------------------------------------------------------- */

static const char buckets_before[] =
    "quarry_resp_duration_seconds_bucket{le=\"0.001\"} 100\n"
    "quarry_resp_duration_seconds_bucket{le=\"0.002\"} 100\n"
    "quarry_resp_duration_seconds_bucket{le=\"+Inf\"} 100\nquarry_resp_commands_total 100\n";

static void a_rate_is_of_the_time_between(void **state)
{
    (void)state;
    parse(buckets_before, &before);
    parse("quarry_resp_commands_total 400\n", &now);
    assert_true(server_rate(NULL, &now, SERVER_RESP_COMMANDS) < 0);
    before.monotonic_ns = Q_SECOND_NS;
    now.monotonic_ns = Q_SECOND_NS;
    assert_true(server_rate(&before, &now, SERVER_RESP_COMMANDS) < 0); /* no time has passed */
    now.monotonic_ns = 3 * Q_SECOND_NS;
    assert_true(server_rate(&before, &now, SERVER_RESP_COMMANDS) == 150);
    assert_true(server_rate(&now, &before, SERVER_RESP_COMMANDS) < 0);
    now.value[SERVER_RESP_COMMANDS] = 50; /* it was started anew */
    assert_true(server_rate(&before, &now, SERVER_RESP_COMMANDS) < 0);
}

static void the_slowest_hundredth_is_found(void **state)
{
    (void)state;
    parse(buckets_before, &before);
    parse("quarry_resp_duration_seconds_bucket{le=\"0.001\"} 1098\n"
          "quarry_resp_duration_seconds_bucket{le=\"0.002\"} 1100\n"
          "quarry_resp_duration_seconds_bucket{le=\"+Inf\"} 1100\n",
          &now);
    assert_true(server_p99_seconds(&before, &now) == 0.001);
    now.bucket[0].below_count = 1000;
    assert_true(server_p99_seconds(&before, &now) == 0.002);
    now.bucket[1].below_count = 1000;
    assert_true(server_p99_seconds(&before, &now) == 0.002); /* above that, and not how much */
    assert_true(server_p99_seconds(&before, &before) < 0);   /* there were none */
    assert_true(server_p99_seconds(NULL, &now) < 0);
    now.bucket_count = 0;
    assert_true(server_p99_seconds(&before, &now) < 0);
}

/* ---- the picture ---------------------------------------------------------------------------- */

static void plant_everything(double value)
{
    memset(&now, 0, sizeof now);
    for (size_t i = 0; i < SERVER_FIGURES; i++) {
        now.value[i] = value;
    }
    before = now;
    now.monotonic_ns = Q_SECOND_NS;
    now.owner_count = SERVER_OWNERS_MAX;
    for (size_t i = 0; i < SERVER_OWNERS_MAX; i++) {
        memset(now.owner[i].name, 'o', sizeof now.owner[i].name - 1);
        now.owner[i].in_use_bytes = UINT64_MAX;
    }
    findings.is_told = true;
    findings.count = SERVER_FINDINGS_MAX;
    for (size_t i = 0; i < SERVER_FINDINGS_MAX; i++) {
        memset(findings.finding[i].severity, 's', sizeof findings.finding[i].severity - 1);
        memset(findings.finding[i].cause, 'c', sizeof findings.finding[i].cause - 1);
        memset(findings.finding[i].text, i % 2 == 0 ? 't' : ' ',
               sizeof findings.finding[i].text - 1);
    }
}

static void draw(uint32_t width, uint32_t height, bool is_ascii)
{
    const struct server_picture picture = {
        .url = "http://a-server-whose-name-is-longer-than-any-terminal.example.org:9090/and/more",
        .note = "q quits  12:00:01",
        .before = &before,
        .now = &now,
        .findings = &findings,
        .fault = "connection refused",
        .is_ascii = is_ascii,
    };
    struct canvas canvas = {0};

    assert_int_equal(canvas_reset(&canvas, width, height), QUARRY_OK);
    server_picture_draw(&canvas, &picture);
    for (size_t i = 0; is_ascii && i < (size_t)canvas.width * canvas.height; i++) {
        assert_true(canvas.cell[i].character >= ' ' && canvas.cell[i].character <= '~');
    }
    canvas_fini(&canvas);
}

static void anything_is_drawn_on_any_size(void **state)
{
    static const double values[] = {0, 1, -1, 0.5, 1e9, 1e18, 1e300, -1e300};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        plant_everything(values[i]);
        for (uint32_t width = 40; width <= 240; width += 25) {
            for (uint32_t height = 10; height <= 60; height += 7) {
                draw(width, height, height % 2 == 0);
            }
        }
    }
    now = (struct server_figures){0};
    findings = (struct server_findings){0};
    draw(80, 24, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_summed_over_their_labels),
        cmocka_unit_test(lines_that_make_no_sense_are_passed_over),
        cmocka_unit_test(a_page_of_anything_is_read),
        cmocka_unit_test(a_rate_is_of_the_time_between),
        cmocka_unit_test(the_slowest_hundredth_is_found),
        cmocka_unit_test(anything_is_drawn_on_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
