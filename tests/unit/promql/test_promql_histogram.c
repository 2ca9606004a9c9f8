/*
 * Arithmetic on native histograms: answers worked out by hand, and those of Prometheus' scripts.
 */
#include "histogram_fixture.h"

static void bounds_are_powers_of_roots_of_two(void **state)
{
    (void)state;
    assert_true(promql_schema_bound(0, 0) == 1);
    assert_true(promql_schema_bound(0, 3) == 8);
    assert_true(promql_schema_bound(0, -2) == 0.25);
    assert_true(promql_schema_bound(-2, 2) == 256);
    assert_true(promql_schema_bound(1, 1) == 1.414213562373095);
    assert_true(promql_schema_bound(1, -1) == 0.7071067811865475);
    assert_true(promql_schema_bound(2, 3) == 0.8408964152537144 * 2);
    assert_true(promql_schema_bound(8, -1) == 0.9972960560854698);
    assert_true(promql_schema_bound(8, -6) == 0.9838856116165875);
    assert_true(promql_schema_bound(0, 1024) == 0x1.fffffffffffffp+1023);
    assert_true(isinf(promql_schema_bound(0, 1025)));
    assert_true(promql_schema_bound(-4, 64) == 0x1.fffffffffffffp+1023);
    assert_true(isinf(promql_schema_bound(8, PROMQL_INDEX_MAX)));
    assert_true(promql_schema_bound(8, -PROMQL_INDEX_MAX) == 0);
}

struct sum_case {
    const char *left, *right, *sum, *difference;
};

static const struct sum_case sum_cases[] = {
    {"{{schema:0 count:4 sum:4 buckets:[1 2 1]}}", "{{schema:0 sum:-4 count:4 n_buckets:[1 2 1]}}",
     "{{count:8 sum:0 buckets:[1 2 1] n_buckets:[1 2 1]}}",
     "{{count:0 sum:8 buckets:[1 2 1] n_buckets:[-1 -2 -1]}}"},
    {"{{schema:0 sum:4 count:4 buckets:[1 2 1]}}", "{{sum:2 count:1 buckets:[1] offset:1}}",
     "{{sum:6 count:5 buckets:[1 3 1]}}", "{{sum:2 count:3 buckets:[1 1 1]}}"},
    /* Schemas: the coarser one. (2,4] and (1,2] of schema 0 are (1,4] of -1. */
    {"{{schema:-1 sum:4 count:1 buckets:[1] offset:1}}",
     "{{schema:0 sum:4 count:4 buckets:[2 2] offset:1}}",
     "{{schema:-1 sum:8 count:5 offset:1 buckets:[5]}}",
     "{{schema:-1 sum:0 count:-3 offset:1 buckets:[-3]}}"},
    {"{{schema:0 count:41 sum:2345.6 z_bucket:5 z_bucket_w:0.001 buckets:[1 3 1 2 1 1 1] "
     "n_buckets:[0 1 4 2 7 0 0 0 0 5 5 2]}}",
     "{{schema:1 count:11 sum:1234.5 z_bucket:3 z_bucket_w:0.001 buckets:[0 2 1] n_buckets:[0 0 3 "
     "2]}}",
     "{{count:52 sum:3580.1 z_bucket:8 z_bucket_w:0.001 buckets:[1 6 1 2 1 1 1] n_buckets:[0 4 6 "
     "2 7 0 0 0 0 5 5 2]}}",
     "{{schema:0 count:30 sum:1111.1 z_bucket:2 z_bucket_w:0.001 buckets:[1 0 1 2 1 1 1] "
     "n_buckets:[0 -2 2 2 7 0 0 0 0 5 5 2]}}"},
    /* Zero buckets: 3 lies in (2,4], so the border moves to 4 and takes 1 + 2 + 3 with it; that
     * cuts nothing of the other side. */
    {"{{schema:0 count:12 sum:1 z_bucket:1 z_bucket_w:1 buckets:[1 2 3 5] offset:0}}",
     "{{schema:0 count:9 sum:1 z_bucket:4 z_bucket_w:3 buckets:[5] offset:5}}",
     "{{count:21 sum:2 z_bucket:11 z_bucket_w:4 offset:3 buckets:[5 0 5]}}",
     "{{count:3 sum:0 z_bucket:3 z_bucket_w:4 offset:3 buckets:[5 0 -5]}}"},
    /* Own boundaries: those of both. */
    {"{{schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]}}",
     "{{schema:-53 sum:555 count:450 custom_values:[1 2 3 4 5 6 7 8] buckets:[10 20 30 40 50 60 "
     "70 80 90]}}",
     "{{schema:-53 sum:610 count:465 custom_values:[2 4 6] buckets:[31 72 115 247]}}",
     "{{schema:-53 sum:-500 count:-435 custom_values:[2 4 6] buckets:[-29 -68 -105 -233]}}"},
    {"{{schema:-53 sum:1 count:1 custom_values:[2] buckets:[1]}}",
     "{{schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]}}",
     "{{schema:-53 sum:2 count:2 custom_values:[] buckets:[2]}}",
     "{{schema:-53 sum:0 count:0 custom_values:[]}}"},
};

static void sums_and_differences_have_known_buckets(void **state)
{
    const struct promql_histogram *result;

    (void)state;
    for (size_t i = 0; i < sizeof sum_cases / sizeof sum_cases[0]; i++) {
        const struct sum_case *c = &sum_cases[i];
        const struct promql_histogram *left = histogram_of(c->left);
        const struct promql_histogram *right = histogram_of(c->right);
        assert_int_equal(promql_histogram_add(&query, left, right, NULL, &result),
                         PROMQL_HISTOGRAM_DONE);
        assert_histogram(result, c->sum);
        assert_int_equal(promql_histogram_subtract(&query, left, right, NULL, &result),
                         PROMQL_HISTOGRAM_DONE);
        assert_histogram(result, c->difference);
        assert_histogram(left, c->left); /* which stay as they were */
        assert_histogram(right, c->right);
    }
}

static void own_bounds_that_differ_are_told_and_others_refused(void **state)
{
    const struct promql_histogram *custom =
        histogram_of("{{schema:-53 sum:1 count:1 custom_values:[5 10] buckets:[1]}}");
    const struct promql_histogram *more =
        histogram_of("{{schema:-53 sum:1 count:1 custom_values:[5] buckets:[1]}}");
    const struct promql_histogram *exponential = histogram_of("{{sum:1 count:1 buckets:[1]}}");
    const struct promql_histogram *result = NULL;
    struct promql_histogram_notes notes = {false, false};

    (void)state;
    assert_int_equal(promql_histogram_add(&query, custom, custom, &notes, &result),
                     PROMQL_HISTOGRAM_DONE);
    assert_false(notes.bounds_reconciled);
    assert_int_equal(promql_histogram_add(&query, custom, more, &notes, &result),
                     PROMQL_HISTOGRAM_DONE);
    assert_true(notes.bounds_reconciled);
    notes.bounds_reconciled = false;
    assert_int_equal(promql_histogram_add(&query, more, custom, &notes, &result),
                     PROMQL_HISTOGRAM_DONE);
    assert_true(notes.bounds_reconciled);
    result = NULL;
    assert_int_equal(promql_histogram_add(&query, custom, exponential, &notes, &result),
                     PROMQL_HISTOGRAM_INCOMPATIBLE);
    assert_null(result);
}

static void hints_of_sums_follow_the_table(void **state)
{
    static const struct {
        enum promql_reset_hint left, right, sum;
        bool collide;
    } cases[] = {
        {PROMQL_RESET_NO, PROMQL_RESET_NO, PROMQL_RESET_NO, false},
        {PROMQL_RESET_GAUGE, PROMQL_RESET_YES, PROMQL_RESET_GAUGE, false},
        {PROMQL_RESET_UNKNOWN, PROMQL_RESET_GAUGE, PROMQL_RESET_GAUGE, false},
        {PROMQL_RESET_UNKNOWN, PROMQL_RESET_NO, PROMQL_RESET_UNKNOWN, false},
        {PROMQL_RESET_YES, PROMQL_RESET_UNKNOWN, PROMQL_RESET_UNKNOWN, false},
        {PROMQL_RESET_YES, PROMQL_RESET_NO, PROMQL_RESET_UNKNOWN, true},
        {PROMQL_RESET_NO, PROMQL_RESET_YES, PROMQL_RESET_UNKNOWN, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool collide = false;
        assert_int_equal(promql_reset_hint_of_sum(cases[i].left, cases[i].right, &collide),
                         cases[i].sum);
        assert_int_equal(collide, cases[i].collide);
    }
}

static void factors_scale_everything(void **state)
{
    const struct promql_histogram *h = histogram_of(
        "{{schema:0 count:30 sum:33 z_bucket:3 z_bucket_w:0.001 buckets:[3 3 3] n_buckets:[6 6 "
        "6]}}");

    (void)state;
    assert_histogram(promql_histogram_multiply(&query, h, 3),
                     "{{schema:0 count:90 sum:99 z_bucket:9 z_bucket_w:0.001 buckets:[9 9 9] "
                     "n_buckets:[18 18 18]}}");
    assert_histogram(promql_histogram_multiply(&query, h, -1),
                     "{{schema:0 count:-30 sum:-33 z_bucket:-3 z_bucket_w:0.001 buckets:[-3 -3 "
                     "-3] n_buckets:[-6 -6 -6] counter_reset_hint:gauge}}");
    assert_histogram(promql_histogram_multiply(&query, h, 0), "{{z_bucket_w:0.001}}");
    assert_histogram(promql_histogram_divide(&query, h, 3),
                     "{{schema:0 count:10 sum:11 z_bucket:1 z_bucket_w:0.001 buckets:[1 1 1] "
                     "n_buckets:[2 2 2]}}");
    assert_histogram(promql_histogram_divide(&query, h, 0),
                     "{{schema:0 count:Inf sum:Inf z_bucket:Inf z_bucket_w:0.001}}");
}

static void resolution_is_reduced_by_pairs(void **state)
{
    const struct promql_histogram *h = histogram_of(
        "{{schema:2 count:36 sum:1 offset:-1 buckets:[1 2 3 4 5 6 7 8] n_offset:1 n_buckets:[9 "
        "1]}}");

    (void)state;
    /* -1,0 | 1,2 | 3,4 | 5,6 of schema 2 are 0 | 1 | 2 | 3 of schema 1 */
    assert_histogram(promql_histogram_reduce(&query, h, 1),
                     "{{schema:1 count:36 sum:1 buckets:[3 7 11 15] n_offset:1 n_buckets:[10]}}");
    assert_histogram(promql_histogram_reduce(&query, h, 0),
                     "{{schema:0 count:36 sum:1 buckets:[3 18 15] n_offset:1 n_buckets:[10]}}");
    assert_histogram(promql_histogram_reduce(&query, h, -4),
                     "{{schema:-4 count:36 sum:1 buckets:[3 33] n_offset:1 n_buckets:[10]}}");
}

static void empty_buckets_go_and_equality_sees_them(void **state)
{
    const struct promql_histogram *full =
        histogram_of("{{count:4 sum:5 offset:-2 buckets:[0 1 0 0 3 0]}}");
    const struct promql_histogram *compact = promql_histogram_compact(&query, full);

    (void)state;
    assert_int_equal(compact->positive.span_count, 2);
    assert_int_equal(compact->positive.bucket_count, 2);
    assert_int_equal(compact->positive.spans[0].offset, -1);
    assert_int_equal(compact->positive.spans[1].offset, 2);
    assert_true(promql_histogram_near(full, compact, 1e-6));
    assert_false(promql_histogram_equal(full, compact));
    assert_true(promql_histogram_equal(full, promql_histogram_copy(&query, full)));

    /* The same buckets, in another way to say it. */
    static const struct promql_span spans[] = {{-1, 1}, {0, 0}, {2, 1}};
    struct promql_histogram split = *compact;
    split.positive.spans = spans;
    split.positive.span_count = 3;
    assert_true(promql_histogram_equal(compact, &split));
}

static bool is_reset(const char *now, const char *before)
{
    bool result = false;

    assert_true(
        promql_histogram_detect_reset(&query, histogram_of(now), histogram_of(before), &result));
    return result;
}

static void resets_are_seen_in_every_part(void **state)
{
    static const char before[] = "{{schema:1 count:10 sum:9 z_bucket:2 z_bucket_w:0.1 buckets:[1 "
                                 "2 3] n_buckets:[1 1]}}";
    static const struct {
        const char *now;
        bool is_reset;
    } cases[] = {
        {"{{schema:1 count:10 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 2 3] n_buckets:[1 1]}}",
         0},
        {"{{schema:1 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 3 3] n_buckets:[1 2]}}",
         0},
        {"{{schema:1 count:9 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 2 3] n_buckets:[1 1]}}", 1},
        {"{{schema:1 count:12 sum:1 z_bucket:1 z_bucket_w:0.1 buckets:[1 3 3] n_buckets:[1 1]}}",
         1},
        {"{{schema:1 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 1 9] n_buckets:[1 1]}}",
         1},
        {"{{schema:1 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 2 9]}}", 1},
        {"{{schema:2 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[9 9 9] n_buckets:[9 9]}}",
         1},
        {"{{schema:1 count:12 sum:1 z_bucket:9 z_bucket_w:0.01 buckets:[9 9 9] n_buckets:[9]}}", 1},
        /* Coarser: -2..0 and 1,2 of schema 1 are 0 and 1 of schema 0. */
        {"{{schema:0 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 5] n_buckets:[1 1]}}", 0},
        {"{{schema:0 count:12 sum:1 z_bucket:2 z_bucket_w:0.1 buckets:[1 4] n_buckets:[1 1]}}", 1},
        /* A wider zero bucket up to 1 takes the first bucket of each side; up to 1.2 it cuts. */
        {"{{schema:1 count:12 sum:1 z_bucket:4 z_bucket_w:1 offset:1 buckets:[2 3] n_offset:1 "
         "n_buckets:[1]}}",
         0},
        {"{{schema:1 count:12 sum:1 z_bucket:3 z_bucket_w:1 offset:1 buckets:[2 3] n_offset:1 "
         "n_buckets:[1]}}",
         1},
        {"{{schema:1 count:12 sum:1 z_bucket:9 z_bucket_w:1.2 offset:2 buckets:[3]}}", 1},
        {"{{schema:-53 count:12 sum:1 custom_values:[1] buckets:[9 9]}}", 1},
        {"{{schema:1 count:1 counter_reset_hint:not_reset}}", 0},
        {"{{schema:1 count:10 z_bucket:2 z_bucket_w:0.1 buckets:[1 2 3] n_buckets:[1 1] "
         "counter_reset_hint:reset}}",
         1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (is_reset(cases[i].now, before) != cases[i].is_reset) {
            fail_msg("%s", cases[i].now);
        }
    }
}

static void resets_of_own_bounds_are_seen_in_the_common_ones(void **state)
{
    static const char before[] = "{{schema:-53 count:15 custom_values:[2 4 6] buckets:[1 2 5 7]}}";

    (void)state;
    assert_false(
        is_reset("{{schema:-53 count:15 custom_values:[2 3 4 6] buckets:[1 1 1 5 7]}}", before));
    assert_true(
        is_reset("{{schema:-53 count:15 custom_values:[2 3 4 6] buckets:[1 0 1 5 8]}}", before));
    assert_false(is_reset("{{schema:-53 count:15 custom_values:[4] buckets:[3 12]}}", before));
    assert_true(is_reset("{{schema:-53 count:15 custom_values:[4] buckets:[2 13]}}", before));
    assert_false(is_reset("{{schema:-53 count:15 custom_values:[1] buckets:[0 15]}}", before));
}

/* ---- sums of many --------------------------------------------------------------------------- */

static const char *const parts[] = {
    "{{schema:0 count:1.7976931348623157e+308 sum:5.30921651659898 z_bucket:1.78264e50 "
    "z_bucket_w:0.001 buckets:[1.78264E+50 1.78264E+215 1.78264E+219 3363.5121756487] "
    "n_buckets:[1178.20696291113 731.697776280323 715.201503759399 1386.11378876781 "
    "855.572553278132]}}",
    "{{schema:0 count:1e308 sum:0.961118537914768 z_bucket:0.76342771 z_bucket_w:0.001 "
    "buckets:[0.76342771 0.76342771 0.76342771 195.70084087969] n_buckets:[421.30382970055 0 "
    "450441.779]}}",
    "{{schema:0 count:1e-6 sum:1.62091361305318 z_bucket:1.9592258 z_bucket_w:0.001 "
    "buckets:[1.9592258 1.9592258 1.9592258 1135.74692279] n_buckets:[0 4504.41779 "
    "588.599358265103 40.3760942760943]}}",
    "{{schema:0 count:1e-6 sum:0.865089463758091 z_bucket:7.69805412 z_bucket_w:0.001 "
    "buckets:[2.258E+220 2.258E+220 2.3757689E+217 1078.68071312804] n_buckets:[349.905284031261 "
    "0 0 0.161173466838949 588.599358]}}",
    "{{schema:0 count:1e-6 sum:0.323055185914577 z_bucket:458.90154 z_bucket_w:0.001 "
    "buckets:[7.69805412 7.69805412 2.258E+220 3173.28218135701]}}",
    "{{schema:0 count:1e-6 sum:0.951811357687154 z_bucket:1.78264e50 z_bucket_w:0.001 "
    "buckets:[458.90154 458.90154 7.69805412 2178.35] n_buckets:[2054.92644438789 "
    "844.560108898123]}}",
    "{{schema:0 count:1e-6 sum:0 z_bucket:5 z_bucket_w:0.001 buckets:[0 0 1.78264E+219 "
    "376.770478890989]}}",
    "{{schema:0 count:1e-6 sum:0 z_bucket:0 z_bucket_w:0.001 buckets:[0 0 458.90154 250325.5] "
    "n_buckets:[0 0.0000000011353 0 608.697257]}}",
};

static const char mean_of_parts[] =
    "{{schema:0 count:3.497116418577895e+307 sum:1.2539005843658437 z_bucket:4.4566e49 "
    "z_bucket_w:0.001 buckets:[2.8225e+219 2.822522283e+219 3.271129711125e+219 "
    "32728.442914086805] n_buckets:[500.5428151288539 760.0844593974477 56468.19748275306 "
    "254.4185391888429 180.5214889097665]}}";

static void a_mean_does_not_overflow_where_the_sum_does(void **state)
{
    struct promql_histogram_mean mean = {.sum = {.memory = &query}};
    struct promql_histogram_sum sum = {.memory = &query};

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const struct promql_histogram *part = histogram_of(parts[i]);
        assert_int_equal(promql_histogram_mean_add(&mean, part, NULL), PROMQL_HISTOGRAM_DONE);
        assert_int_equal(promql_histogram_sum_add(&sum, part, NULL), PROMQL_HISTOGRAM_DONE);
    }
    assert_true(mean.is_incremental);
    assert_histogram(promql_histogram_mean_finish(&mean), mean_of_parts);
    assert_true(isinf(promql_histogram_sum_finish(&sum)->count));
}

static void sums_keep_what_rounding_takes(void **state)
{
    static const double sums[] = {5.3, 1e100, 1, -1e100, 2, 1e50, -1e50};
    struct promql_histogram_mean mean = {.sum = {.memory = &query}};
    struct promql_histogram_sum sum = {.memory = &query};

    (void)state;
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++) {
        double *count = promql_memory_take(&query, sizeof *count);
        static const struct promql_span span = {3, 1};
        assert_non_null(count);
        *count = sums[i];
        const struct promql_histogram part = {
            .count = (double)i + 1,
            .sum = sums[i],
            .zero_count = sums[i],
            .positive = {.spans = &span, .counts = count, .span_count = 1, .bucket_count = 1}};
        assert_int_equal(promql_histogram_sum_add(&sum, &part, NULL), PROMQL_HISTOGRAM_DONE);
        assert_int_equal(promql_histogram_mean_add(&mean, &part, NULL), PROMQL_HISTOGRAM_DONE);
    }
    const struct promql_histogram *total = promql_histogram_sum_finish(&sum);
    assert_near(total->sum, 8.3);
    assert_near(total->zero_count, 8.3);
    assert_near(total->positive.counts[0], 8.3);
    assert_true(total->count == 28);
    assert_near(promql_histogram_mean_finish(&mean)->sum, 1.1857142857142857);
}

static void a_long_sum_takes_memory_once(void **state)
{
    const struct promql_histogram *part =
        histogram_of("{{schema:1 count:9 sum:4 buckets:[1 2 3] n_buckets:[1 1 1]}}");
    struct promql_histogram_sum sum = {.memory = &query};
    uint64_t after_two = 0;

    (void)state;
    for (size_t i = 0; i < 20000; i++) {
        assert_int_equal(promql_histogram_sum_add(&sum, part, NULL), PROMQL_HISTOGRAM_DONE);
        after_two = i == 1 ? query.charged_bytes : after_two;
    }
    assert_int_equal(query.charged_bytes, after_two);
    assert_histogram(promql_histogram_sum_finish(&sum),
                     "{{schema:1 count:180000 sum:80000 buckets:[20000 40000 60000] "
                     "n_buckets:[20000 20000 20000]}}");
}

/* ---- hostile ones and faults ---------------------------------------------------------------- */

static void spans_that_lie_are_walked_within_their_counts(void **state)
{
    static const struct promql_span spans[] = {
        {INT32_MAX, 2}, {INT32_MAX, UINT32_MAX}, {INT32_MAX, UINT32_MAX}};
    static const struct promql_span low[] = {{INT32_MIN, 1}, {INT32_MIN, 1}, {-5, 2}};
    static const double counts[] = {1, 2, 3, 4};
    const struct promql_histogram h = {
        .schema = 8,
        .count = 20,
        .positive = {.spans = spans, .counts = counts, .span_count = 3, .bucket_count = 4},
        .negative = {.spans = low, .counts = counts, .span_count = 3, .bucket_count = 4}};
    const struct promql_histogram *result;
    enum promql_histogram_nan nan;
    bool reset;

    (void)state;
    assert_int_equal(promql_histogram_add(&query, &h, &h, NULL, &result), PROMQL_HISTOGRAM_DONE);
    assert_true(result->count == 40);
    double total = 0;
    for (uint32_t i = 0; i < result->positive.bucket_count; i++) {
        total += result->positive.counts[i];
    }
    assert_true(total == 20);
    assert_non_null(promql_histogram_reduce(&query, &h, -4));
    (void)promql_histogram_quantile(&h, 0.9, &nan);
    (void)promql_histogram_fraction(&h, -1, 1, &nan);
    assert_true(promql_histogram_detect_reset(&query, &h, &h, &reset));
    assert_false(reset);
}

static void what_memory_refuses_is_said(void **state)
{
    static const char left[] = "{{schema:-53 sum:55 count:15 custom_values:[2 4 6] buckets:[1 2 5 "
                               "7]}}";
    static const char right[] = "{{schema:-53 sum:5 count:4 custom_values:[2 3 6 8] buckets:[1 2 "
                                "5 7 8]}}";
    const struct promql_histogram *l = histogram_of(left), *r = histogram_of(right), *result;
    struct promql_memory saved = query;
    bool is_done = false;

    (void)state;
    /* Grants are charged by chunks: what is left of one is taken up before. */
    for (size_t left_bytes = 0; !is_done; left_bytes += 16) {
        struct promql_memory small;
        promql_memory_init(&small, fixture_account, fixture_pool, 4096);
        void *first = promql_memory_take(&small, 16);
        assert_non_null(first);
        const uint64_t room = small.charged_bytes - 32 - 16; /* the chunk's header, and `first` */
        assert_non_null(promql_memory_take(&small, (size_t)room - left_bytes));
        struct promql_histogram_notes notes = {false, false};
        const enum promql_histogram_outcome outcome =
            promql_histogram_add(&small, l, r, &notes, &result);
        assert_int_equal(outcome == PROMQL_HISTOGRAM_REFUSED, small.is_refused);
        is_done = outcome == PROMQL_HISTOGRAM_DONE;
        promql_memory_fini(&small);
        assert_true(left_bytes < 2048);
    }
    assert_true(saved.charged_bytes == query.charged_bytes);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_are_powers_of_roots_of_two),
        TEST(sums_and_differences_have_known_buckets),
        TEST(own_bounds_that_differ_are_told_and_others_refused),
        TEST(hints_of_sums_follow_the_table),
        TEST(factors_scale_everything),
        TEST(resolution_is_reduced_by_pairs),
        TEST(empty_buckets_go_and_equality_sees_them),
        TEST(resets_are_seen_in_every_part),
        TEST(resets_of_own_bounds_are_seen_in_the_common_ones),
        TEST(a_mean_does_not_overflow_where_the_sum_does),
        TEST(sums_keep_what_rounding_takes),
        TEST(a_long_sum_takes_memory_once),
        TEST(spans_that_lie_are_walked_within_their_counts),
        TEST(what_memory_refuses_is_said),
    };
    return cmocka_run_group_tests_name("promql_histogram", tests, NULL, NULL);
}
