/*
 * What native histograms stand for: quantiles, fractions, moments, parts, and their texts. Answers
 * are worked out by hand or those of Prometheus' scripts.
 */
#include "histogram_fixture.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char positive[] =
    "{{schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 buckets:[2 3 0 1 4]}}";
static const char negative[] =
    "{{schema:0 count:12 sum:100 z_bucket:2 z_bucket_w:0.001 n_buckets:[2 3 0 1 4]}}";
static const char both[] = "{{schema:0 count:24 sum:100 z_bucket:4 z_bucket_w:0.001 buckets:[2 3 0 "
                           "1 4] n_buckets:[2 3 0 1 4]}}";
static const char custom[] =
    "{{schema:-53 sum:172.5 count:15 custom_values:[5 10 15 20] buckets:[1 6 4 3 1]}}";

static void quantiles_are_upstreams(void **state)
{
    static const struct {
        const char *histogram;
        double q, value;
    } cases[] = {
        {"{{schema:0 sum:5 count:4 buckets:[1 2 1]}}", 0.5, 1.414213562373095},
        {"{{schema:0 sum:-4 count:4 n_buckets:[1 2 1]}}", 0.5, -1.414213562373095},
        {"{{schema:0 z_bucket:1 z_bucket_w:0.5 sum:0.25 count:1}}", 0.5, 0},
        {positive, 1.001, HUGE_VAL},
        {positive, 1, 16},
        {positive, 0.99, 15.67072476139083},
        {positive, 0.9, 12.99603834169977},
        {positive, 0.6, 4.594793419988138},
        {positive, 0.5, 1.5874010519681994},
        {positive, 0.1, 0.0006},
        {positive, 0, 0},
        {negative, 0.5, -1.5874010519681996},
        {negative, 0.1, -12.996038341699768},
        {negative, 0, -16},
        {negative, -1, -HUGE_VAL},
        {negative, 0.9166666666666666, -0.0005},
        {both, 0.7, 1.2030250360821164},
        {both, 0.55, 0.0006},
        {both, 0.5, 0},
        {both, 0.45, -0.0006},
        {both, 0.5416666666666666, 0.0005},
        {both, NAN, NAN},
        {"{{schema:-1 sum:6 count:5 buckets:[0 5]}}", 0.5, 2},
        {"{{schema:1 sum:4 count:5 buckets:[0 0 5]}}", 0.5, 1.6817928305074292},
        {custom, 0, 0},        /* the lowest begins at 0 */
        {custom, 0.5, 10.625}, /* 7.5: one eighth of the four between 10 and 15 */
        {custom, 1, 20},       /* above the last boundary: at it */
        {"{{schema:-53 sum:1 count:4 custom_values:[-2 3] buckets:[2 2]}}", 0.25, -2},
        {"{{}}", 0.5, NAN},
    };
    enum promql_histogram_nan nan;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_near(promql_histogram_quantile(histogram_of(cases[i].histogram), cases[i].q, &nan),
                    cases[i].value);
        assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_NONE);
    }
}

static void observations_that_are_nan_are_told(void **state)
{
    const struct promql_histogram *some =
        histogram_of("{{schema:0 count:15 sum:NaN buckets:[12]}}");
    const struct promql_histogram *all = histogram_of("{{schema:0 count:3 sum:NaN}}");
    const struct promql_histogram *infinite =
        histogram_of("{{schema:0 count:12 sum:NaN buckets:[12]}}");
    enum promql_histogram_nan nan;

    (void)state;
    assert_near(promql_histogram_fraction(some, -HUGE_VAL, HUGE_VAL, &nan), 0.8);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_EXCLUDED);
    assert_near(promql_histogram_fraction(all, -HUGE_VAL, HUGE_VAL, &nan), 0);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_EXCLUDED);
    assert_near(promql_histogram_fraction(infinite, -HUGE_VAL, HUGE_VAL, &nan), 1);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_NONE);

    assert_near(promql_histogram_quantile(some, 0.4, &nan), 0.7071067811865476);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_SKEWED);
    assert_near(promql_histogram_quantile(some, 0.9, &nan), NAN);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_RESULT);
    assert_near(promql_histogram_quantile(infinite, 0.5, &nan), 0.7071067811865476);
    assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_NONE);
}

static void fractions_are_upstreams(void **state)
{
    static const struct {
        const char *histogram;
        double lower, upper, value;
    } cases[] = {
        {"{{schema:0 sum:5 count:4 buckets:[1 2 1]}}", 1, 2, 0.5},
        {positive, 0, HUGE_VAL, 1},
        {positive, -HUGE_VAL, 0, 0},
        {positive, -0.001, 0, 0},
        {positive, 0, 0.001, 0.16666666666666666},
        {positive, 0.001, HUGE_VAL, 0.8333333333333334},
        {positive, 0, 0.0005, 0.08333333333333333},
        {positive, 0, 6, 0.6320802083934297},
        {positive, 1, 6, 0.29874687506009634},
        {positive, 1.5, 6, 0.15250624987980724},
        {positive, -6, -1, 0},
        {positive, 42, 3.1415, 0},
        {positive, 0.000001, 0.000001, 0},
        {positive, NAN, NAN, NAN},
        {negative, 0, HUGE_VAL, 0},
        {negative, -HUGE_VAL, 0, 1},
        {negative, -0.001, 0, 0.16666666666666666},
        {negative, -HUGE_VAL, -0.0005, 0.9166666666666666},
        {negative, -2, -1.5, 0.10375937481971091},
        {negative, -8, -1, 0.3333333333333333},
        {negative, -HUGE_VAL, -6, 0.36791979160657035},
        {both, -0.0005, 0.0005, 0.08333333333333333},
        {both, -HUGE_VAL, 0.0005, 0.5416666666666666},
        {both, 1.5, 2, 0.051879687409855414},
        {both, -6, -1.5, 0.07625312493990362},
        {both, -HUGE_VAL, HUGE_VAL, 1},
        {custom, -HUGE_VAL, 15, 11.0 / 15},
        {custom, 12.5, 15, 2.0 / 15},
        {custom, 25, HUGE_VAL, 1.0 / 15}, /* the last one has no scale: all of it is above */
        {"{{}}", 0, 1, NAN},
    };
    enum promql_histogram_nan nan;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const double value = promql_histogram_fraction(histogram_of(cases[i].histogram),
                                                       cases[i].lower, cases[i].upper, &nan);
        /* Prometheus' scripts are content with a part in a million; so is what rounding leaves. */
        if (cases[i].value == 0) {
            assert_true(fabs(value) < 1e-12);
        } else {
            assert_near(value, cases[i].value);
        }
        assert_int_equal(nan, PROMQL_HISTOGRAM_NAN_NONE);
    }
}

static void moments_are_upstreams(void **state)
{
    static const struct {
        const char *histogram;
        double average, variance;
    } cases[] = {
        {"{{schema:0 count:10 sum:-112946 z_bucket:0 n_buckets:[0 0 1 1 1 0 1 1 0 0 3 0 0 0 1 0 0 "
         "1]}}",
         -11294.6, 759352122.1939945},
        {"{{schema:0 count:10 sum:-100 z_bucket:0 n_buckets:[0 0 0 0 10]}}", -10,
         1.725830020304794},
        {"{{schema:-53 count:2 sum:4 custom_values:[2 4] buckets:[0 2]}}", 2, 1},
        {"{{schema:0 count:2 sum:2 z_bucket:2 z_bucket_w:1}}", 1, 1},
        {"{{}}", NAN, NAN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_near(promql_histogram_average(histogram_of(cases[i].histogram)), cases[i].average);
        assert_near(promql_histogram_variance(histogram_of(cases[i].histogram)), cases[i].variance);
    }
}

/* ---- trimming ------------------------------------------------------------------------------- */

static const char h_test[] = "{{schema:0 sum:123.75 count:34 z_bucket:1 z_bucket_w:0.001 "
                             "buckets:[2 4 8 16] n_buckets:[1 2]}}";
static const char h_positive[] =
    "{{schema:0 sum:8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 buckets:[10]}}";
static const char h_negative[] =
    "{{schema:0 sum:-8.0210678118654755 count:12 z_bucket:2 z_bucket_w:0.5 n_buckets:[10]}}";
static const char zero_only[] = "{{schema:0 count:5 sum:0 z_bucket:5 z_bucket_w:0.1 }}";
static const char below_zero[] =
    "{{schema:-53 sum:172.5 count:15 custom_values:[-10 5 10 15 20] buckets:[2 1 6 4 3 1]}}";
static const char one_bucket[] = "{{schema:-53 sum:100.0 count:100 buckets:[100]}}";
static const char split_at_0[] =
    "{{schema:-53 sum:33.0 count:100 custom_values:[0] buckets:[1 100]}}";
static const char split_above[] =
    "{{schema:-53 sum:33 count:101 custom_values:[5] buckets:[1 100]}}";
static const char split_below[] =
    "{{schema:-53 sum:33 count:101 custom_values:[-5] buckets:[1 100]}}";

struct trim_case {
    const char *histogram;
    double limit;
    const char *result;
};

static const struct trim_case trims_above[] = {
    {h_test, -HUGE_VAL, "{{schema:0 z_bucket_w:0.001}}"},
    {h_test, 0,
     "{{schema:0 sum:-3.53578390593273768 count:3.5 z_bucket:0.5 z_bucket_w:0.001 n_buckets:[1 "
     "2]}}"},
    {h_test, 1.4142135624,
     "{{count:8 sum:0.2570938865989847 z_bucket:1 z_bucket_w:0.001 buckets:[2 2] n_buckets:[1 "
     "2]}}"},
    {h_test, 2,
     "{{count:10 sum:3.5355339059327373 z_bucket:1 z_bucket_w:0.001 buckets:[2 4] n_buckets:[1 "
     "2]}}"},
    {"{{schema:2 sum:12.8286080906 count:28 z_bucket:1 z_bucket_w:0.001 buckets:[1 2 4 7 3] "
     "n_buckets:[1 5 3 1]}}",
     -1.3,
     "{{schema:2 count:2.45786052095524 sum:-3.5189307983595066 z_bucket_w:0.001 n_offset:2 "
     "n_buckets:[1.45786052095524 1]}}"},
    {h_positive, 0.5, "{{schema:0 count:2 sum:0.5 z_bucket:2 z_bucket_w:0.5}}"},
    {h_positive, 0.1, "{{schema:0 count:0.4 sum:0.02 z_bucket:0.4 z_bucket_w:0.5}}"},
    {h_positive, 0, "{{schema:0 z_bucket_w:0.5}}"},
    {h_negative, -0.5,
     "{{schema:0 count:10 sum:-7.0710678118654755 z_bucket:0 z_bucket_w:0.5 n_buckets:[10]}}"},
    {h_negative, -0.1,
     "{{schema:0 count:11.6 sum:-7.551067811865476 z_bucket:1.6 z_bucket_w:0.5 n_buckets:[10]}}"},
    {h_negative, 0, h_negative},
    {zero_only, 0.05, "{{schema:0 count:3.75 sum:-0.09375 z_bucket:3.75 z_bucket_w:0.1 }}"},
    {zero_only, 0, "{{schema:0 count:2.5 sum:-0.125 z_bucket:2.5 z_bucket_w:0.1 }}"},
    {zero_only, -0.05, "{{schema:0 count:1.25 sum:-0.09375 z_bucket:1.25 z_bucket_w:0.1 }}"},
    {zero_only, -0.1, "{{schema:0 count:0 sum:0 z_bucket:0 z_bucket_w:0.1 }}"},
    {custom, 15, "{{schema:-53 count:11 sum:97.5 custom_values:[5 10 15 20] buckets:[1 6 4]}}"},
    {custom, 50, "{{schema:-53 count:14 sum:150.0 custom_values:[5 10 15 20] buckets:[1 6 4 3]}}"},
    {custom, -HUGE_VAL, "{{schema:-53 custom_values:[5 10 15 20]}}"},
    {custom, HUGE_VAL, custom},
    {below_zero, -4,
     "{{schema:-53 count:2.4 sum:-22.8 custom_values:[-10 5 10 15 20] buckets:[2 0.4]}}"},
    {below_zero, -15, "{{schema:-53 count:2 sum:-30 custom_values:[-10 5 10 15 20] buckets:[2]}}"},
    {one_bucket, 10, "{{schema:-53 custom_values:[]}}"},
    {one_bucket, HUGE_VAL, one_bucket},
    {split_at_0, -10, "{{schema:-53 sum:-10.0 count:1 custom_values:[0] buckets:[1 0]}}"},
    {split_above, 10, "{{schema:-53 sum:2.5 count:1 custom_values:[5] buckets:[1 0]}}"},
    {split_above, 2, "{{schema:-53 sum:0.4 count:0.4 custom_values:[5] buckets:[0.4 0]}}"},
    {split_above, 0, "{{schema:-53 custom_values:[5]}}"},
    {split_below, -2, "{{schema:-53 sum:-5.0 count:1 custom_values:[-5] buckets:[1 0]}}"},
    {split_below, -10, "{{schema:-53 sum:-10.0 count:1 custom_values:[-5] buckets:[1 0]}}"},
};

static const struct trim_case trims_below[] = {
    {h_test, 0,
     "{{schema:0 sum:120.20840280171308 count:30.5 z_bucket:0.5 z_bucket_w:0.001 buckets:[2 4 8 "
     "16]}}"},
    {h_test, 2, "{{count:24 sum:113.13708498984761 z_bucket_w:0.001 offset:2 buckets:[8 16]}}"},
    {h_test, -1,
     "{{count:32 sum:119.50104602052653 z_bucket:1 z_bucket_w:0.001 buckets:[2 4 8 16] "
     "n_buckets:[1]}}"},
    {h_negative, -0.5, "{{schema:0 count:2 sum:-0.5 z_bucket:2 z_bucket_w:0.5}}"},
    {h_negative, -0.1, "{{schema:0 count:0.4 sum:-0.02 z_bucket:0.4 z_bucket_w:0.5}}"},
    {zero_only, 0, "{{schema:0 count:2.5 sum:0.125 z_bucket:2.5 z_bucket_w:0.1 }}"},
    {zero_only, -0.1, zero_only},
    {custom, HUGE_VAL, "{{schema:-53 custom_values:[5 10 15 20]}}"},
    {one_bucket, 10, "{{schema:-53 custom_values:[]}}"},
    {one_bucket, HUGE_VAL, "{{schema:-53 custom_values:[]}}"},
    {split_at_0, -10, "{{schema:-53 sum:0.0 count:100 custom_values:[0] buckets:[0 100]}}"},
    {split_at_0, 10, "{{schema:-53 sum:1000.0 count:100 custom_values:[0] buckets:[0 100]}}"},
    {split_above, 1, "{{schema:-53 count:100.8 sum:502.4 custom_values:[5] buckets:[0.8 100]}}"},
    {split_below, 10, "{{schema:-53 sum:1000.0 count:100 custom_values:[-5] buckets:[0 100]}}"},
};

static void trimming_keeps_one_side_of_a_limit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(trims_above); i++) {
        const struct trim_case *c = &trims_above[i];
        assert_histogram(promql_histogram_trim_above(&query, histogram_of(c->histogram), c->limit),
                         c->result);
    }
    for (size_t i = 0; i < COUNT_OF(trims_below); i++) {
        const struct trim_case *c = &trims_below[i];
        assert_histogram(promql_histogram_trim_below(&query, histogram_of(c->histogram), c->limit),
                         c->result);
    }
}

/* ---- texts ---------------------------------------------------------------------------------- */

typedef void write_function(struct promql_writer *writer, const struct promql_histogram *histogram);

static void assert_text(write_function *write, const char *histogram, const char *expected)
{
    struct promql_writer out = {.memory = &query};
    struct quarry_tsdb_slice text;

    write(&out, histogram_of(histogram));
    assert_true(promql_write_finish(&out, &text));
    assert_string_equal(text.bytes, expected);
}

static void texts_are_upstreams(void **state)
{
    static const char mixed[] = "{{schema:1 count:12.5 sum:-1e+30 z_bucket:3 z_bucket_w:0.001 "
                                "buckets:[1 0 2] n_offset:1 n_buckets:[4]}}";

    (void)state;
    assert_text(promql_histogram_write, "{{}}", "{count:0, sum:0}");
    assert_text(promql_histogram_write, mixed,
                "{count:12.5, sum:-1e+30, [-1.414213562373095,-1):4, [-0.001,0.001]:3, "
                "(0.7071067811865475,1]:1, (1.414213562373095,2]:2}");
    assert_text(promql_histogram_write, custom,
                "{count:15, sum:172.5, [-Inf,5]:1, (5,10]:6, (10,15]:4, (15,20]:3, (20,+Inf]:1}");
    assert_text(promql_histogram_write_test, "{{}}", "{{}}");
    assert_text(promql_histogram_write_test, mixed,
                "{{schema:1 count:12.5 sum:-1e+30 z_bucket:3 z_bucket_w:0.001 buckets:[1 0 2] "
                "n_offset:1 n_buckets:[4]}}");
    assert_text(promql_histogram_write_test,
                "{{schema:-53 count:3 sum:1e6 custom_values:[5 10.5] offset:1 buckets:[3] "
                "counter_reset_hint:not_reset}}",
                "{{schema:-53 count:3 sum:1e+06 custom_values:[5 10.5] "
                "counter_reset_hint:not_reset offset:1 buckets:[3]}}");
    assert_text(promql_histogram_write_json, "{{}}", "{\"count\":\"0\",\"sum\":\"0\"}");
    assert_text(promql_histogram_write_json, mixed,
                "{\"count\":\"12.5\",\"sum\":\"-1e+30\",\"buckets\":["
                "[1,\"-1.414213562373095\",\"-1\",\"4\"],[3,\"-0.001\",\"0.001\",\"3\"],"
                "[0,\"0.7071067811865475\",\"1\",\"1\"],[0,\"1.414213562373095\",\"2\",\"2\"]]}");
}

static void numbers_are_gos(void **state)
{
    static const struct {
        double value;
        const char *g, *plain, *json;
    } cases[] = {
        {0, "0", "0", "0"},
        {-0.0, "-0", "-0", "-0"},
        {1, "1", "1", "1"},
        {999999, "999999", "999999", "999999"},
        {1e6, "1e+06", "1000000", "1000000"},
        {-1234567890, "-1.23456789e+09", "-1234567890", "-1234567890"},
        {999999999999999, "9.99999999999999e+14", "999999999999999", "999999999999999"},
        {1e15, "1e+15", "1000000000000000", "1000000000000000"},
        {100.5, "100.5", "100.5", "100.5"},
        {0.1, "0.1", "0.1", "0.1"},
        {-0.000125, "-0.000125", "-0.000125", "-0.000125"},
        {0.0000125, "1.25e-05", "0.0000125", "0.0000125"},
        {1e-6, "1e-06", "0.000001", "0.000001"},
        {9.5e-7, "9.5e-07", "0.00000095", "9.5e-07"},
        {1e20, "1e+20", "100000000000000000000", "100000000000000000000"},
        {1.5e21, "1.5e+21", "1500000000000000000000", "1.5e+21"},
        {1e100, "1e+100", NULL, "1e+100"},
        {5e-324, "5e-324", NULL, "5e-324"},
        {HUGE_VAL, "+Inf", "+Inf", "+Inf"},
        {-HUGE_VAL, "-Inf", "-Inf", "-Inf"},
        {NAN, "NaN", "NaN", "NaN"},
    };
    char room[PROMQL_NUMBER_BYTES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *expected[] = {cases[i].g, cases[i].plain, cases[i].json};
        for (size_t form = 0; form < 3; form++) {
            const size_t count =
                promql_number_write(cases[i].value, (enum promql_number_form)form, room);
            room[count] = '\0';
            if (expected[form] != NULL) {
                assert_string_equal(room, expected[form]);
            } else {
                assert_true(strtod(room, NULL) == cases[i].value);
            }
        }
    }
}

static void texts_that_memory_refuses_are_told(void **state)
{
    struct promql_memory small;
    struct promql_writer out = {.memory = &small};
    struct quarry_tsdb_slice text;

    (void)state;
    promql_memory_init(&small, fixture_account, fixture_pool, 4096);
    for (size_t i = 0; i < 100; i++) {
        promql_histogram_write_json(&out, histogram_of(both));
    }
    assert_false(promql_write_finish(&out, &text));
    assert_true(small.is_refused);
    promql_memory_fini(&small);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quantiles_are_upstreams),
        TEST(observations_that_are_nan_are_told),
        TEST(fractions_are_upstreams),
        TEST(moments_are_upstreams),
        TEST(trimming_keeps_one_side_of_a_limit),
        TEST(texts_are_upstreams),
        TEST(numbers_are_gos),
        TEST(texts_that_memory_refuses_are_told),
    };
    return cmocka_run_group_tests_name("promql_histogram_value", tests, NULL, NULL);
}
