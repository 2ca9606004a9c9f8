/*
 * Classic histograms, and what a query has to say: answers worked out by hand.
 */
#include "histogram_fixture.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- classic histograms --------------------------------------------------------------------- */

static double quantile(double q, const struct promql_classic_bucket *buckets, size_t count,
                       struct promql_classic_fix *fix)
{
    struct promql_classic_bucket copy[16];

    assert_true(count <= COUNT_OF(copy));
    memcpy(copy, buckets, count * sizeof *copy);
    return promql_classic_quantile(copy, count, q, fix);
}

static void quantiles_of_classic_buckets(void **state)
{
    static const struct promql_classic_bucket buckets[] = {
        {HUGE_VAL, 12}, {0.1, 5}, {0.2, 7}, {1e0, 11}};
    static const struct promql_classic_bucket low[] = {{-1, 2}, {2, 4}, {HUGE_VAL, 5}};
    static const struct promql_classic_bucket endless[] = {{1, 2}, {2, 4}};
    static const struct promql_classic_bucket alone[] = {{HUGE_VAL, 4}};
    static const struct promql_classic_bucket none[] = {{1, 0}, {HUGE_VAL, 0}};
    static const struct promql_classic_bucket twice[] = {{1, 1}, {1, 1}, {2, 4}, {HUGE_VAL, 4}};
    struct promql_classic_fix fix;

    (void)state;
    assert_near(quantile(0, buckets, 4, &fix), 0);
    assert_near(quantile(0.25, buckets, 4, &fix), 0.06);
    assert_near(quantile(0.5, buckets, 4, &fix), 0.15);
    assert_near(quantile(0.75, buckets, 4, &fix), 0.6);
    assert_near(quantile(1, buckets, 4, &fix), 1);
    assert_near(quantile(-0.1, buckets, 4, &fix), -HUGE_VAL);
    assert_near(quantile(1.1, buckets, 4, &fix), HUGE_VAL);
    assert_near(quantile(NAN, buckets, 4, &fix), NAN);
    assert_false(fix.is_forced);
    assert_near(quantile(0.2, low, 3, &fix), -1); /* all of it at its boundary */
    assert_near(quantile(0.6, low, 3, &fix), 0.5);
    assert_near(quantile(0.5, endless, 2, &fix), NAN);
    assert_near(quantile(0.5, alone, 1, &fix), NAN);
    assert_near(quantile(0.5, none, 2, &fix), NAN);
    assert_near(quantile(0.5, buckets, 0, &fix), NAN);
    assert_near(quantile(0.5, twice, 4, &fix), 1);
}

static void counts_that_fall_are_raised_and_told(void **state)
{
    static const struct promql_classic_bucket falling[] = {{0.1, 2}, {1, 1},    {10, 5},
                                                           {100, 4}, {1000, 9}, {HUGE_VAL, 8}};
    const struct promql_classic_bucket rounded[] = {
        {1, 1e9}, {2, 1e9 * (1 - 1e-13)}, {4, 3e9}, {HUGE_VAL, 3e9 * (1 - 1e-13)}};
    struct promql_classic_fix fix;

    (void)state;
    /* Raised to 2 2 5 5 9 9. */
    assert_near(quantile(0.01, falling, 6, &fix), 0.0045);
    assert_true(fix.is_forced);
    assert_near(fix.lowest, 1);
    assert_near(fix.highest, HUGE_VAL);
    assert_near(fix.most, 1);
    assert_near(quantile(0.5, falling, 6, &fix), 8.5);
    assert_near(quantile(0.99, falling, 6, &fix), 979.75);
    assert_near(quantile(0.5, rounded, 4, &fix), 2.5);
    assert_false(fix.is_forced);
}

static void fractions_of_classic_buckets(void **state)
{
    static const struct promql_classic_bucket buckets[] = {
        {0.1, 5}, {0.2, 7}, {1, 11}, {HUGE_VAL, 12}};
    static const struct promql_classic_bucket low[] = {{-1, 2}, {2, 4}, {HUGE_VAL, 4}};
    static const struct {
        bool is_low;
        double lower, upper, value;
    } cases[] = {
        {false, -HUGE_VAL, HUGE_VAL, 1},
        {false, 0, 0.2, 7.0 / 12},
        {false, -HUGE_VAL, 0.15, 0.5},
        {false, 0.05, 0.6, 6.5 / 12},
        {false, 2, HUGE_VAL, 1.0 / 12},
        {false, -2, 0, 0},
        {false, 0.3, 0.2, 0},
        {false, NAN, 0.2, NAN},
        {true, -HUGE_VAL, -1, 0.5},
        {true, -HUGE_VAL, 0.5, 0.75},
        {true, -5, 0.5, 0.25}, /* of the lowest nothing is known: all of it is below -5 */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct promql_classic_bucket copy[4];
        memcpy(copy, cases[i].is_low ? low : buckets,
               cases[i].is_low ? sizeof low : sizeof buckets);
        assert_near(
            promql_classic_fraction(copy, cases[i].is_low ? 3 : 4, cases[i].lower, cases[i].upper),
            cases[i].value);
    }
    assert_near(promql_classic_fraction(NULL, 0, 0, 1), NAN);
}

static void classic_ones_become_native(void **state)
{
    struct promql_classic_bucket buckets[] = {{HUGE_VAL, 12}, {0.1, 5}, {0.2, 5}, {1, 11}};
    struct promql_classic_bucket endless[] = {{2, 4}, {1, 1}};

    (void)state;
    assert_histogram(promql_classic_to_native(&query, buckets, 4, 0, 7.5),
                     "{{schema:-53 count:12 sum:7.5 custom_values:[0.1 0.2 1] buckets:[5 0 6 1]}}");
    assert_histogram(promql_classic_to_native(&query, endless, 2, 9, 3),
                     "{{schema:-53 count:9 sum:3 custom_values:[1 2] buckets:[1 3]}}");
}

/* ---- annotations ---------------------------------------------------------------------------- */

static const char question[] = "sum(\n  rate(up[5m]))";

static struct quarry_tsdb_slice slice(const char *text)
{
    return (struct quarry_tsdb_slice){text, strlen(text)};
}

static void each_annotation_has_its_text(void **state)
{
    static const char *const texts[PROMQL_ANNOTATION_COUNT] = {
        "PromQL warning: quantile value should be between 0 and 1, got NaN (1:1)",
        "PromQL warning: ratio value should be between -1 and 1, got NaN, capping to 1 (1:1)",
        "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"x\\\"y\" for "
        "metric name \"up\" (1:1)",
        "PromQL warning: encountered a mix of histograms and floats for metric name \"up\" (1:1)",
        "PromQL warning: encountered a mix of histograms and floats for aggregation (1:1)",
        "PromQL warning: vector contains a mix of classic and native histograms for metric name "
        "\"up\" (1:1)",
        "PromQL warning: this native histogram metric is not a counter: \"up\" (1:1)",
        "PromQL warning: this native histogram metric is not a gauge: \"up\" (1:1)",
        "PromQL warning: vector contains a mix of histograms with exponential and custom buckets "
        "schemas for metric name \"up\" (1:1)",
        "PromQL warning: incompatible bucket layout encountered for binary operator + (1:1)",
        "PromQL warning: sort is ineffective for range queries since results are always ordered "
        "by labels (1:1)",
        "PromQL warning: conflicting counter resets during histogram + (1:1)",
        "PromQL info: metric might not be a counter, name does not end in "
        "_total/_sum/_count/_bucket: \"up\" (1:1)",
        "PromQL info: metric might not be a counter, __type__ label is not set to \"counter\" or "
        "\"histogram\", got \"x\\\"y\": \"up\" (1:1)",
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for "
        "metric name \"up\", from buckets 0.5 to +Inf, with a max diff of 1e+02, over 1 samples "
        "from 1970-01-01T00:16:40Z to 1970-01-01T00:16:40Z (1:1)",
        "PromQL info: incompatible sample types encountered for binary operator \"+\": float + "
        "histogram (1:1)",
        "PromQL info: ignored histogram in + aggregation (1:1)",
        "PromQL info: ignored histograms in a range containing both floats and histograms for "
        "metric name \"up\" (1:1)",
        "PromQL info: input to histogram_quantile has NaN observations, result is NaN for metric "
        "name \"up\" (1:1)",
        "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher "
        "for metric name \"up\" (1:1)",
        "PromQL info: input to histogram_fraction has NaN observations, which are excluded from "
        "all fractions for metric name \"up\" (1:1)",
        "PromQL info: mismatched custom buckets were reconciled during + (1:1)",
    };
    const struct promql_annotation_details details = {.metric = slice("up"),
                                                      .label = slice("x\"y"),
                                                      .value = NAN,
                                                      .limit = 1,
                                                      .operation = "+",
                                                      .left = "float",
                                                      .right = "histogram",
                                                      .t_ms = 1000500,
                                                      .lowest = 0.5,
                                                      .highest = HUGE_VAL,
                                                      .most = 100};
    struct promql_annotations annotations = {.memory = &query};
    struct promql_annotation_texts result;

    (void)state;
    for (uint32_t i = 0; i < PROMQL_ANNOTATION_COUNT; i++) {
        promql_annotate(&annotations, (enum promql_annotation)i, 0, &details);
    }
    assert_true(promql_annotations_finish(&annotations, slice(question), &result));
    assert_int_equal(result.warning_count, 12);
    assert_int_equal(result.info_count, 10);
    for (size_t i = 0; i < PROMQL_ANNOTATION_COUNT; i++) {
        assert_string_equal(i < 12 ? result.warnings[i].bytes : result.infos[i - 12].bytes,
                            texts[i]);
    }
}

static void annotations_come_once_with_the_first_position(void **state)
{
    struct promql_annotations annotations = {.memory = &query};
    struct promql_annotation_texts result;
    const struct promql_annotation_details up = {.metric = slice("up")};
    const struct promql_annotation_details down = {.metric = slice("down")};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        promql_annotate(&annotations, PROMQL_NATIVE_NOT_COUNTER, 7 + i % 3, &up);
        promql_annotate(&annotations, PROMQL_NATIVE_NOT_COUNTER, 12, &down);
        promql_annotate(&annotations, PROMQL_MIXED_CLASSIC_NATIVE, 1000, NULL);
    }
    assert_true(promql_annotations_finish(&annotations, slice(question), &result));
    assert_int_equal(result.warning_count, 3);
    assert_string_equal(result.warnings[0].bytes, "PromQL warning: this native histogram metric is "
                                                  "not a counter: \"up\" (2:3)");
    assert_string_equal(result.warnings[1].bytes, "PromQL warning: this native histogram metric is "
                                                  "not a counter: \"down\" (2:8)");
    assert_string_equal(result.warnings[2].bytes,
                        "PromQL warning: vector contains a mix of classic and native histograms "
                        "(invalid position)");
    assert_true(query.peak_bytes < 64 * 1024); /* what is there already takes nothing */
}

static void forced_monotonicity_becomes_wider(void **state)
{
    struct promql_annotations annotations = {.memory = &query};
    struct promql_annotation_texts result;
    struct promql_annotation_details details = {
        .t_ms = 60000, .lowest = 2, .highest = 4, .most = 1};

    (void)state;
    promql_annotate(&annotations, PROMQL_FORCED_MONOTONICITY, 0, &details);
    details =
        (struct promql_annotation_details){.t_ms = 0, .lowest = 1, .highest = 3, .most = 0.25};
    promql_annotate(&annotations, PROMQL_FORCED_MONOTONICITY, 5, &details);
    assert_true(promql_annotations_finish(&annotations, slice(question), &result));
    assert_int_equal(result.info_count, 1);
    assert_string_equal(
        result.infos[0].bytes,
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), "
        "from buckets 1 to 4, with a max diff of 1, over 2 samples from 1970-01-01T00:00:00Z to "
        "1970-01-01T00:01:00Z (1:1)");
}

static void answers_have_only_so_many(void **state)
{
    char room[64];

    (void)state;
    assert_int_equal(promql_annotations_cut(10, 10, "info", room, sizeof room), 10);
    assert_string_equal(room, "");
    assert_int_equal(promql_annotations_cut(13, 10, "info", room, sizeof room), 10);
    assert_string_equal(room, "3 more info annotations omitted");
}

static void quoting_is_gos(void **state)
{
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\r\a\x01\x7f", "\"\\n\\t\\r\\a\\x01\\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff\xc3", "\"\\xff\\xc3\""},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct promql_writer out = {.memory = &query};
        struct quarry_tsdb_slice text;
        promql_write_quoted(&out, slice(cases[i].text));
        assert_true(promql_write_finish(&out, &text));
        assert_string_equal(text.bytes, cases[i].quoted);
    }
}

static void annotations_that_memory_refuses_are_told(void **state)
{
    struct promql_memory small;
    struct promql_annotations annotations = {.memory = &small};
    struct promql_annotation_texts result;
    char names[100][24];

    (void)state;
    promql_memory_init(&small, fixture_account, fixture_pool, 4096);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(names[i], sizeof names[i], "metric_%zu", i);
        promql_annotate(&annotations, PROMQL_NATIVE_NOT_GAUGE, 0,
                        &(struct promql_annotation_details){.metric = slice(names[i])});
    }
    assert_true(small.is_refused);
    assert_false(promql_annotations_finish(&annotations, slice(question), &result));
    promql_memory_fini(&small);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quantiles_of_classic_buckets),
        TEST(counts_that_fall_are_raised_and_told),
        TEST(fractions_of_classic_buckets),
        TEST(classic_ones_become_native),
        TEST(each_annotation_has_its_text),
        TEST(annotations_come_once_with_the_first_position),
        TEST(forced_monotonicity_becomes_wider),
        TEST(answers_have_only_so_many),
        TEST(quoting_is_gos),
        TEST(annotations_that_memory_refuses_are_told),
    };
    return cmocka_run_group_tests_name("promql_classic", tests, NULL, NULL);
}
