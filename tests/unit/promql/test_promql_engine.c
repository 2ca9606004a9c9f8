/*
 * Evaluation over a store: results, orders, limits, and what happens when memory is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <promql/promql.h>
#include <quarry/memory.h>

/* Three quarters of what the server's threads have, which run queries; sanitizers' frames are
 * larger. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMALL_STACK_BYTES Q_MIB(1)
#else
#define SMALL_STACK_BYTES Q_KIB(192)
#endif

#define SERIES_COUNT 4
#define SAMPLE_COUNT 61
#define STEP_MS      INT64_C(15000)
#define BEGIN_MS     INT64_C(3600000)
#define END_MS       (BEGIN_MS + (SAMPLE_COUNT - 1) * STEP_MS)

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;
static struct quarry_tsdb *tsdb;
static struct promql_tsdb_source store;
static struct promql_source source;

static int64_t wall_ms(void *argument)
{
    (void)argument;
    return END_MS;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* requests_total{instance, job}: instance i rises by i + 1 a sample; two instances a job. */
static void fill(void)
{
    static const char *const instances[SERIES_COUNT] = {"a", "b", "c", "d"};

    for (size_t i = 0; i < SERIES_COUNT; i++) {
        struct quarry_tsdb_label labels[] = {
            {QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("requests_total")},
            {QUARRY_TSDB_TEXT("instance"), {instances[i], 1}},
            {QUARRY_TSDB_TEXT("job"), {i < 2 ? "x" : "y", 1}},
        };
        struct quarry_tsdb_sample samples[SAMPLE_COUNT];
        struct quarry_tsdb_entry entry = {
            .labels = {labels, 3}, .samples = samples, .sample_count = SAMPLE_COUNT};
        struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
        struct quarry_tsdb_result result;
        for (size_t j = 0; j < SAMPLE_COUNT; j++) {
            samples[j] = (struct quarry_tsdb_sample){.t_ms = BEGIN_MS + (int64_t)j * STEP_MS,
                                                     .bits = bits_of((double)(j * (i + 1)))};
        }
        assert_int_equal(quarry_tsdb_append(tsdb, &request, &result), QUARRY_OK);
    }
}

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    const struct quarry_tsdb_options tsdb_options = {
        .memory = memory, .has_no_thread = true, .wall_ms = wall_ms};
    assert_int_equal(quarry_tsdb_open(&tsdb_options, &tsdb, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account_options, &account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "query", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    store = (struct promql_tsdb_source){.tsdb = tsdb, .account = account, .pool = pool};
    source = promql_tsdb_source(&store);
    fill();
    return 0;
}

static uint64_t charged(void)
{
    struct quarry_account_state account_state;

    quarry_account_read(account, &account_state);
    return account_state.charged_bytes;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_tsdb_close(tsdb);
    quarry_memory_destroy(memory);
    return 0;
}

static struct promql_options options_of_test(void)
{
    return (struct promql_options){.source = &source,
                                   .account = account,
                                   .pool = pool,
                                   .grant_bytes = Q_MIB(32),
                                   .allows_experimental_functions = true};
}

static struct quarry_tsdb_slice slice(const char *text)
{
    return (struct quarry_tsdb_slice){.bytes = text, .count = strlen(text)};
}

/* What is said of samples and of bytes. */
static const char too_much[] =
    "query processing would load too many samples into memory in query execution";

static bool query(const struct promql_options *options, const char *text,
                  struct promql_result *result)
{
    return promql_query_instant_text(options, slice(text), END_MS, result);
}

static bool range(const struct promql_options *options, const char *text,
                  struct promql_result *result)
{
    struct promql_steps steps = {.start_ms = BEGIN_MS, .end_ms = END_MS, .step_ms = 60000};

    return promql_query_range_text(options, slice(text), steps, result);
}

static void a_sum_of_rates_has_a_series_for_each_group(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    assert_true(query(&options, "sum by (job) (rate(requests_total[5m]))", &result));
    assert_int_equal(result.type, PROMQL_VECTOR);
    assert_int_equal(result.series_count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool is_x = memcmp(result.series[i].labels[0].value.bytes, "x", 1) == 0;
        assert_int_equal(result.series[i].label_count, 1);
        assert_int_equal(result.series[i].count, 1);
        assert_int_equal(result.series[i].t_ms[0], END_MS);
        assert_null(result.series[i].histograms);
        assert_float_equal(result.series[i].values[0], (is_x ? 3.0 : 7.0) / 15, 1e-9);
    }
    promql_result_fini(&result);
}

static void a_range_is_sorted_by_labels_and_has_a_point_for_each_step(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    assert_true(range(&options, "-requests_total", &result));
    assert_int_equal(result.type, PROMQL_MATRIX);
    assert_int_equal(result.series_count, SERIES_COUNT);
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        const struct promql_series *series = &result.series[i];
        assert_int_equal(series->label_count, 2);
        assert_int_equal(series->labels[0].value.bytes[0], "abcd"[i]);
        assert_int_equal(series->count, 16);
        for (size_t j = 0; j < series->count; j++) {
            assert_int_equal(series->t_ms[j], BEGIN_MS + (int64_t)j * 60000);
            assert_true(series->values[j] == -(double)(j * 4 * (i + 1)));
        }
    }
    promql_result_fini(&result);
}

/* Of sizes{}: histograms of integers, or of floats, each with ten more than the one before. */
static void fill_histograms(bool is_float)
{
    struct quarry_tsdb_label labels[] = {
        {QUARRY_TSDB_TEXT("__name__"), QUARRY_TSDB_TEXT("sizes")},
        {QUARRY_TSDB_TEXT("float"), {is_float ? "1" : "0", 1}},
    };
    static const struct quarry_tsdb_span span = {1, 2};
    struct quarry_tsdb_entry entry = {.labels = {labels, 2}, .histogram_count = 1};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
    struct quarry_tsdb_result result;

    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const double counts[] = {(double)(8 * i), (double)(2 * i)};
        const uint64_t buckets[] = {is_float ? bits_of(counts[0]) : 8 * i,
                                    is_float ? bits_of(counts[1]) : 2 * i};
        const struct quarry_tsdb_histogram histogram = {
            .t_ms = BEGIN_MS + (int64_t)i * STEP_MS,
            .is_float = is_float,
            .count = is_float ? bits_of((double)(10 * i)) : 10 * i,
            .sum_bits = bits_of((double)i / 2),
            .positive = {&span, buckets, 1, 2}};
        entry.histograms = &histogram;
        assert_int_equal(quarry_tsdb_append(tsdb, &request, &result), QUARRY_OK);
    }
}

static void histograms_of_the_store_are_evaluated(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    fill_histograms(false);
    fill_histograms(true);
    assert_true(query(&options, "sizes", &result));
    assert_int_equal(result.series_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct promql_histogram *histogram = result.series[i].histograms[0];
        assert_true(histogram->count == 10.0 * (SAMPLE_COUNT - 1));
        assert_true(histogram->sum == (SAMPLE_COUNT - 1) / 2.0);
        assert_int_equal(histogram->positive.bucket_count, 2);
        assert_true(histogram->positive.counts[0] == 8.0 * (SAMPLE_COUNT - 1));
        assert_int_equal(histogram->positive.spans[0].offset, 1);
    }
    promql_result_fini(&result);
    assert_true(query(&options, "histogram_count(sum(rate(sizes[5m])))", &result));
    assert_true(fabs(result.series[0].values[0] - 2 * 10.0 / (STEP_MS / 1000.0)) < 1e-9);
    promql_result_fini(&result);
    assert_true(range(&options, "histogram_sum(sizes)", &result));
    assert_int_equal(result.series[0].count, 16);
    assert_true(result.series[1].values[15] == (SAMPLE_COUNT - 1) / 2.0);
    promql_result_fini(&result);
}

static void topk_is_in_its_order_at_an_instant(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    assert_true(query(&options, "topk(3, requests_total)", &result));
    assert_int_equal(result.series_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(result.series[i].values[0] == (double)(60 * (4 - i)));
    }
    promql_result_fini(&result);
}

/* How an instant query fails. */
static void assert_fails(const struct promql_options *options, const char *text,
                         enum promql_error error, const char *message)
{
    struct promql_result result;

    assert_false(query(options, text, &result));
    assert_int_equal(result.error, error);
    assert_string_equal(result.error_text, message);
    assert_int_equal(result.series_count, 0);
    promql_result_fini(&result);
}

static void what_cannot_be_matched_says_so_as_prometheus_does(void **state)
{
    struct promql_options options = options_of_test();

    (void)state;
    assert_fails(&options, "requests_total + on (job) requests_total", PROMQL_ERROR_EXECUTION,
                 "found duplicate series for the match group {job=\"x\"} on the right hand-side of "
                 "the operation: [{__name__=\"requests_total\", instance=\"a\", job=\"x\"}, "
                 "{__name__=\"requests_total\", instance=\"b\", job=\"x\"}];many-to-many matching "
                 "not allowed: matching labels must be unique on one side");
    assert_fails(&options, "label_replace(requests_total, \"instance\", \"z\", \"\", \"\")",
                 PROMQL_ERROR_EXECUTION, "vector cannot contain metrics with the same labelset");
    assert_fails(&options, "topk(NaN, requests_total)", PROMQL_ERROR_EXECUTION,
                 "Parameter value is NaN");
}

/* Two series that differ by their names alone, of which one is there when the other is not. */
#define ONE_THEN_OTHER                                                                             \
    "(requests_total{instance=\"a\"} and on () (vector(time()) < 4000) or "                        \
    "label_replace(requests_total{instance=\"a\"}, \"__name__\", \"other\", \"\", \"\") "          \
    "unless on () (vector(time()) < 4000))"

static void names_that_are_lost_are_missed_as_in_prometheus(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    assert_true(range(&options, ONE_THEN_OTHER, &result));
    assert_int_equal(result.series_count, 2);
    promql_result_fini(&result);
    assert_true(range(&options, ONE_THEN_OTHER " * 1", &result)); /* step by step */
    assert_int_equal(result.series_count, 1);
    promql_result_fini(&result);
    assert_false(range(&options, "-" ONE_THEN_OTHER, &result)); /* series by series */
    assert_string_equal(result.error_text, "vector cannot contain metrics with the same labelset");
    promql_result_fini(&result);
    assert_false(range(&options, "sum_over_time(" ONE_THEN_OTHER "[30s:15s])", &result));
    promql_result_fini(&result);
}

static void a_query_ends_at_its_deadline_and_when_it_is_canceled(void **state)
{
    struct promql_options options = options_of_test();
    _Atomic bool cancel;

    (void)state;
    options.deadline_ns = 1;
    assert_fails(&options, "requests_total", PROMQL_ERROR_TIMEOUT,
                 "query timed out in expression evaluation");
    options.deadline_ns = 0;
    options.cancel = &cancel;
    atomic_store_relaxed_bool(&cancel, true); /* pairs with nothing */
    assert_fails(&options, "requests_total", PROMQL_ERROR_CANCELED,
                 "query was canceled in expression evaluation");
    atomic_store_relaxed_bool(&cancel, false);
    struct promql_result result;
    assert_true(query(&options, "requests_total", &result));
    promql_result_fini(&result);
}

static void samples_and_points_are_limited_to_the_last_one(void **state)
{
    struct promql_options options = options_of_test();
    struct promql_result result;

    (void)state;
    assert_true(query(&options, "requests_total", &result));
    uint64_t peak = result.stats.samples_peak;
    assert_true(peak >= SERIES_COUNT);
    promql_result_fini(&result);
    options.samples_max = peak;
    assert_true(query(&options, "requests_total", &result));
    promql_result_fini(&result);
    options.samples_max = peak - 1;
    assert_fails(&options, "requests_total", PROMQL_ERROR_EXECUTION, too_much);
    options.samples_max = 0;
    options.points_max = 15;
    assert_true(range(&options, "requests_total", &result));
    promql_result_fini(&result);
    options.points_max = 14;
    assert_false(range(&options, "requests_total", &result));
    assert_int_equal(result.error, PROMQL_ERROR_BAD_DATA);
    promql_result_fini(&result);
}

/* Each query with each grant up to the one that is enough: it fails in order, and owes nothing. */
/* `before` `count` times, `core`, `behind` as many times; and what that comes to. */
struct repeated {
    const char *before, *core, *behind;
    double value;
    size_t count;
    bool is_good;
};

static size_t repeat(char *text, size_t room, const char *piece, size_t count)
{
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, room - used, "%s", piece);
    }
    return used;
}

/* On a stack as small as those of the server's threads. */
static void *run_repeated(void *argument)
{
    static char text[1u << 18];
    struct repeated *repeated = argument;
    struct promql_options options = options_of_test();
    struct promql_result result;
    size_t used = repeat(text, sizeof(text), repeated->before, repeated->count);

    options.grant_bytes = Q_MIB(192);
    used += repeat(text + used, sizeof(text) - used, repeated->core, 1);
    used += repeat(text + used, sizeof(text) - used, repeated->behind, repeated->count);
    if (!query(&options, text, &result)) {
        print_error("%.60s…: %s\n", text, result.error_text);
        promql_result_fini(&result);
        return NULL;
    }
    double value = result.type == PROMQL_SCALAR ? result.scalar
                   : result.series_count == 1   ? result.series[0].values[0]
                                                : -1;
    repeated->is_good = value == repeated->value;
    print_message("%.40s…: %.17g\n", text, value);
    promql_result_fini(&result);
    return NULL;
}

static void what_is_long_or_deep_is_evaluated_on_a_small_stack(void **state)
{
    struct repeated chains[] = {
        {"", "1", " + 1", 10001, 10000, false},
        {"", "1", " + scalar(vector(1))", 10001, 10000, false},
        {"", "requests_total{instance=\"a\"}", " + 1", 10060, 10000, false},
        {"", "requests_total{instance=\"a\"}", " >= 0", 60, 10000, false},
        {"", "vector(1)", " + vector(1)", 10001, 10000, false},
        {"", "vector(1)", " or vector(2)", 1, 10000, false},
        {"", "vector(7)", " unless vector(2) > 2", 7, 10000, false},
        /* As deep as the limit lets it be. */
        {"vector(1) ^ ", "vector(2)", "", 1, 253, false},
        {"vector(1) + (", "vector(2)", ")", 128, 126, false},
        {"1 + (", "2", ")", 128, 126, false},
        {"-", "vector(2)", "", 2, 250, false},
        {"abs(", "vector(2)", ")", 2, 253, false},
        {"sum(", "vector(2)", ")", 2, 253, false},
        {"topk(1, ", "vector(2)", ")", 2, 253, false},
        {"label_replace(", "vector(2)", ", \"a\", \"b\", \"c\", \"d\")", 2, 253, false},
        {"max_over_time(", "vector(2)", "[1m:1m])", 2, 126, false},
        {"vector(scalar(", "vector(2)", "))", 2, 126, false},
        {"absent(", "vector(2)", ")", 1, 252, false},
        {"histogram_quantile(1, ", "vector(2)", ")", -1, 253, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        pthread_attr_t attributes;
        pthread_t thread;

        assert_int_equal(pthread_attr_init(&attributes), 0);
        assert_int_equal(pthread_attr_setstacksize(&attributes, SMALL_STACK_BYTES), 0);
        assert_int_equal(pthread_create(&thread, &attributes, run_repeated, &chains[i]), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(pthread_attr_destroy(&attributes), 0);
        assert_true(chains[i].is_good);
    }
}

static void every_refusal_of_memory_is_an_error_and_leaves_nothing(void **state)
{
    static const char *const texts[] = {
        "sum by (job) (rate(requests_total[5m]))",
        "topk by (job) (1, requests_total) or quantile(0.5, requests_total)",
        "label_replace(requests_total, \"new\", \"$1-$1\", \"instance\", \"(.*)\")",
        "requests_total / on (instance) group_left requests_total unless requests_total > 1e9",
        "max_over_time(deriv(requests_total[5m])[5m:1m]) + count_values(\"v\", requests_total)",
        "histogram_quantile(0.5, label_replace(requests_total, \"le\", \"1\", \"\", \"\"))",
        "absent(nothing{a=\"b\"}) or -requests_total or vector(scalar(requests_total))",
    };
    struct promql_options options = options_of_test();

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bool is_done = false;
        size_t failed_count = 0;
        for (uint64_t grant_bytes = 256; !is_done; grant_bytes += grant_bytes / 32 + 64) {
            struct promql_result result;
            options.grant_bytes = grant_bytes;
            is_done = range(&options, texts[i], &result);
            if (!is_done && result.error != PROMQL_ERROR_INTERNAL && /* parsing has no other */
                strcmp(result.error_text, too_much) != 0) {
                /* Memory is refused before what else is wrong is seen. */
                fail_msg("%s: %s", texts[i], result.error_text);
            }
            failed_count += !is_done;
            promql_result_fini(&result);
            assert_int_equal(charged(), 0);
            assert_true(grant_bytes < Q_MIB(16));
        }
        assert_true(failed_count > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sum_of_rates_has_a_series_for_each_group),
        cmocka_unit_test(a_range_is_sorted_by_labels_and_has_a_point_for_each_step),
        cmocka_unit_test(topk_is_in_its_order_at_an_instant),
        cmocka_unit_test(what_cannot_be_matched_says_so_as_prometheus_does),
        cmocka_unit_test(names_that_are_lost_are_missed_as_in_prometheus),
        cmocka_unit_test(a_query_ends_at_its_deadline_and_when_it_is_canceled),
        cmocka_unit_test(samples_and_points_are_limited_to_the_last_one),
        cmocka_unit_test(what_is_long_or_deep_is_evaluated_on_a_small_stack),
        cmocka_unit_test(histograms_of_the_store_are_evaluated),
        cmocka_unit_test(every_refusal_of_memory_is_an_error_and_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
