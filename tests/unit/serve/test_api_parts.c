/*
 * The HTTP API's parts by themselves: JSON byte for byte, results in pieces, parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include <promql/promql.h>
#include <quarry/memory.h>
#include <serve/api/json.h>
#include <serve/api/params.h>
#include <serve/api/result.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct quarry_memory *heap;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;
static struct serve_memory pages;
static struct promql_memory query;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &heap, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(heap, &account_options, &account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(heap, "query", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    const struct quarry_lane_options lane_options = {.name = "text"};
    pages = (struct serve_memory){.memory = heap, .account = account};
    assert_int_equal(quarry_lane_create(heap, &lane_options, &pages.lane, NULL), QUARRY_OK);
    promql_memory_init(&query, account, pool, Q_MIB(16));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    promql_memory_fini(&query);
    quarry_lane_destroy(pages.lane);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(heap);
    return 0;
}

static struct quarry_tsdb_slice slice(const char *text)
{
    return (struct quarry_tsdb_slice){text, strlen(text)};
}

static struct http_slice part(const char *text)
{
    return (struct http_slice){text, strlen(text)};
}

/* ---- json ----------------------------------------------------------------------------------- */

static void assert_text(struct http_text *text, const char *expected)
{
    assert_false(text->is_failed);
    assert_int_equal(text->count, strlen(expected));
    assert_memory_equal(text->bytes, expected, text->count);
    http_text_empty(text);
}

static void strings_values_and_times_are_upstreams(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {{0, "0"},
                 {1000, "1"},
                 {1500, "1.500"},
                 {1005, "1.005"},
                 {-1, "-0.001"},
                 {-2500, "-2.500"},
                 {1435781451781, "1435781451.781"},
                 {60, "0.060"},
                 {INT64_MIN, "-9223372036854775.808"}};
    struct http_text text;

    (void)state;
    http_text_init(&text, &pages, Q_MIB(1));
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        api_put_time(&text, times[i].ms);
        assert_text(&text, times[i].text);
    }
    api_put_words(&text, "a\"b\\c\n\r\t\x01\x1f/<é€😀>&\x7f");
    assert_text(&text, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f/\\u003cé€😀\\u003e\\u0026\x7f\"");
    api_put_words(&text, "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9");
    assert_text(&text, "\"\xe2\x80\xa7\\u2028\\u2029\"");
    api_put_string(&text, (struct quarry_tsdb_slice){"x\xffy\xe2\x82", 5});
    assert_text(&text, "\"x\\ufffdy\\ufffd\\ufffd\"");
    api_put_value(&text, 1e21);
    api_put_value(&text, -HUGE_VAL);
    api_put_value(&text, 0.1);
    assert_text(&text, "\"1e+21\"\"-Inf\"\"0.1\"");
    http_text_fini(&text);
}

static void scalars_are_written_out(void **state)
{
    struct http_text text;

    (void)state;
    http_text_init(&text, &pages, Q_MIB(1));
    api_put_plain_value(&text, 1e-7);
    api_put_plain_value(&text, 1e21);
    api_put_plain_value(&text, HUGE_VAL);
    assert_text(&text, "\"0.0000001\"\"1000000000000000000000\"\"+Inf\"");
    api_put_plain_time(&text, 12300);
    http_text_say(&text, " ");
    api_put_plain_time(&text, 10000);
    http_text_say(&text, " ");
    api_put_plain_time(&text, -1);
    assert_text(&text, "12.3 10 -0.001");
    http_text_fini(&text);
}

static void durations_are_written_as_prometheus_does(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } durations[] = {{0, "0s"},           {1, "1ms"},
                     {90000, "1m30s"},    {1500, "1s500ms"},
                     {86400000, "1d"},    {129600000, "1d12h"},
                     {604800000, "1w"},   {691200000, "8d"},
                     {31536000000, "1y"}, {UINT64_MAX, "213503982334d14h25m51s615ms"}};
    char room[API_DURATION_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        assert_string_equal(api_duration_text(durations[i].ms, room), durations[i].text);
    }
}

static void what_is_quoted_can_be_printed(void **state)
{
    char room[API_QUOTED_BYTES], longest[300];

    (void)state;
    assert_string_equal(api_quote(part("a\"b\\ \a\b\f\n\r\t\v é😀"), room),
                        "\"a\\\"b\\\\ \\a\\b\\f\\n\\r\\t\\v é😀\"");
    assert_string_equal(api_quote(part("\x01\x7f\xff\xc3"), room), "\"\\x01\\x7f\\xff\\xc3\"");
    memset(longest, 1, sizeof longest);
    assert_int_equal(strlen(api_quote((struct http_slice){longest, sizeof longest}, room)), 1026);
}

static void numbers_and_truths_are_read(void **state)
{
    static const char *const wrong[] = {"",   "-", "+", "1.5", " 1", "x", "9223372036854775808",
                                        "--1"};
    int64_t number = 0;
    bool value = false;

    (void)state;
    assert_true(api_read_number(part("-5"), &number) && number == -5);
    assert_true(api_read_number(part("+7"), &number) && number == 7);
    assert_true(api_read_number(part("9223372036854775807"), &number) && number == INT64_MAX);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        assert_false(api_read_number(part(wrong[i]), &number));
    }
    assert_true(api_read_bool(part("True"), &value) && value);
    assert_true(api_read_bool(part("0"), &value) && !value);
    assert_false(api_read_bool(part("yes"), &value));
    assert_false(api_read_bool(part(""), &value));
}

/* ---- results -------------------------------------------------------------------------------- */

static const struct quarry_tsdb_label up_labels[] = {
    {QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("up")},
    {QUARRY_TSDB_TEXT("job"), QUARRY_TSDB_TEXT("node")}};

static void assert_result(struct promql_result *result, size_t series_max, const char *expected)
{
    /* However small the pieces are, the whole is the same. */
    for (size_t piece_bytes = 1; piece_bytes < 400; piece_bytes += 7) {
        struct api_result_writer writer = {
            .result = result, .memory = &query, .series_max = series_max};
        struct http_text text;
        char whole[4096];
        size_t count = 0;
        bool is_last = false;

        http_text_init(&text, &pages, Q_MIB(1));
        while (!is_last) {
            http_text_empty(&text);
            is_last = api_put_result(&writer, &text, piece_bytes);
            assert_false(text.is_failed);
            assert_true(is_last || text.count >= piece_bytes);
            assert_true(count + text.count < sizeof whole);
            memcpy(whole + count, text.bytes, text.count);
            count += text.count;
        }
        whole[count] = '\0';
        assert_string_equal(whole, expected);
        http_text_fini(&text);
    }
}

static void results_of_each_type_are_upstreams(void **state)
{
    const int64_t times[] = {1500, 2500, 3500};
    const double values[] = {1, NAN, 0.25};
    const struct promql_series series[] = {
        {.labels = up_labels, .label_count = 2, .t_ms = times, .values = values, .count = 3},
        {.t_ms = times, .values = values, .count = 1}};
    struct promql_result result = {.type = PROMQL_SCALAR, .scalar = 2, .t_ms = 1000};

    (void)state;
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,"
                  "\"2\"]}}");
    result = (struct promql_result){.type = PROMQL_STRING, .string = slice("a\"b"), .t_ms = 1};
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"string\",\"result\":[0.001,"
                  "\"a\\\"b\"]}}");
    result = (struct promql_result){.type = PROMQL_VECTOR};
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}");
    result = (struct promql_result){.type = PROMQL_VECTOR, .series = series, .series_count = 2};
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                  "{\"metric\":{\"__name__\":\"up\",\"job\":\"node\"},\"value\":[1.500,\"1\"]},"
                  "{\"metric\":{},\"value\":[1.500,\"1\"]}]}}");
    result.type = PROMQL_MATRIX;
    assert_result(&result, 1,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                  "{\"metric\":{\"__name__\":\"up\",\"job\":\"node\"},\"values\":[[1.500,\"1\"],"
                  "[2.500,\"NaN\"],[3.500,\"0.25\"]]}]},\"warnings\":[\"results truncated due to "
                  "limit\"]}");
}

static void histograms_stand_in_a_list_of_their_own(void **state)
{
    static const struct promql_span span = {1, 1};
    static const double count = 3;
    const struct promql_histogram histogram = {
        .count = 3,
        .sum = 4.5,
        .positive = {.spans = &span, .counts = &count, .span_count = 1, .bucket_count = 1}};
    const struct promql_histogram *const mixed[] = {NULL, &histogram, NULL, &histogram};
    const struct promql_histogram *const only[] = {&histogram};
    const int64_t times[] = {1000, 2000, 3000, 4000};
    const double values[] = {1, 0, 3, 0};
    const struct quarry_tsdb_slice infos[] = {slice("PromQL info: x (1:1)")};
    const struct promql_series series[] = {
        {.t_ms = times, .values = values, .histograms = mixed, .count = 4},
        {.t_ms = times, .values = values, .histograms = only, .count = 1}};
    struct promql_result result = {.type = PROMQL_MATRIX,
                                   .series = series,
                                   .series_count = 2,
                                   .infos = infos,
                                   .info_count = 1};

    (void)state;
#define JSON "{\"count\":\"3\",\"sum\":\"4.5\",\"buckets\":[[0,\"1\",\"2\",\"3\"]]}"
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
                  "{\"metric\":{},\"values\":[[1,\"1\"],[3,\"3\"]],\"histograms\":[[2," JSON
                  "],[4," JSON "]]},{\"metric\":{},\"histograms\":[[1," JSON
                  "]]}]},\"infos\":[\"PromQL info: x (1:1)\"]}");
    result.type = PROMQL_VECTOR;
    result.series = &series[1];
    result.series_count = 1;
    result.info_count = 0;
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
                  "{\"metric\":{},\"histogram\":[1," JSON "]}]}}");
#undef JSON
}

static void annotations_beyond_ten_are_counted(void **state)
{
    struct quarry_tsdb_slice warnings[12];
    struct promql_result result = {
        .type = PROMQL_SCALAR, .warnings = warnings, .warning_count = 12};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(warnings); i++) {
        warnings[i] = slice("w");
    }
    assert_result(&result, 0,
                  "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[0,"
                  "\"0\"]},\"warnings\":[\"w\",\"w\",\"w\",\"w\",\"w\",\"w\",\"w\",\"w\",\"w\","
                  "\"w\",\"2 more warning annotations omitted\"]}");
}

/* ---- parameters ----------------------------------------------------------------------------- */

static void times_are_seconds_or_dates(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},
                {"1435781451.781", 1435781451781},
                {"1435781451.7814", 1435781451781},
                {"-1.5", -1500},
                {"1e3", 1000000},
                {"2015-07-01T20:10:51.781Z", 1435781451781},
                {"2015-07-01T20:10:51.7819999Z", 1435781451781},
                {"2015-07-01T22:10:51+02:00", 1435781451000},
                {"1969-12-31T23:59:59Z", -1000},
                {"2000-02-29T00:00:00-00:30", 951784200000},
                {"0001-01-01T00:00:00Z", -62135596800000},
                {"-292273086-05-16T16:47:06Z", API_TIME_MIN_MS},
                {"+292277025-08-18T07:12:54.999999999Z", API_TIME_MAX_MS}};
    static const char *const bad[] = {"",
                                      "x",
                                      "NaN",
                                      "Inf",
                                      "1e300",
                                      "2015-07-01",
                                      "2015-07-01T20:10:51",
                                      "2015-02-29T00:00:00Z",
                                      "2015-13-01T00:00:00Z",
                                      "2015-07-01T24:00:00Z",
                                      "2015-07-01T20:10:51.Z",
                                      "2015-07-01T20:10:51Zx",
                                      "2015-07-01T20:10:51+0200"};
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (!api_read_time(part(good[i].text), &ms) || ms != good[i].ms) {
            fail_msg("%s", good[i].text);
        }
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (api_read_time(part(bad[i]), &ms)) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void durations_are_seconds_or_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"15", 15000}, {"0.5", 500},   {"1h30m", 5400000},
                {"1m", 60000}, {"250ms", 250}, {"1s500ms", 1500},
                {"-5", -5000}, {"0", 0},       {"1y2w3d", 33004800000}};
    static const char *const bad[] = {
        "", "m", "30m1h", "1m1m", "1.5h", "1x", "1h ", "99999999999999999999y", "400000000y"};
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        if (!api_read_duration(part(good[i].text), &ms) || ms != good[i].ms) {
            fail_msg("%s", good[i].text);
        }
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (api_read_duration(part(bad[i]), &ms)) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void counts_are_whole(void **state)
{
    uint64_t count;

    (void)state;
    assert_true(api_read_count(part("18446744073709551615"), &count));
    assert_true(count == UINT64_MAX);
    assert_false(api_read_count(part("18446744073709551616"), &count));
    assert_false(api_read_count(part("-1"), &count));
    assert_false(api_read_count(part(""), &count));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scalars_are_written_out),
        TEST(durations_are_written_as_prometheus_does),
        TEST(what_is_quoted_can_be_printed),
        TEST(numbers_and_truths_are_read),
        TEST(strings_values_and_times_are_upstreams),
        TEST(results_of_each_type_are_upstreams),
        TEST(histograms_stand_in_a_list_of_their_own),
        TEST(annotations_beyond_ten_are_counted),
        TEST(times_are_seconds_or_dates),
        TEST(durations_are_seconds_or_units),
        TEST(counts_are_whole),
    };
    return cmocka_run_group_tests_name("serve_api_parts", tests, NULL, NULL);
}
