/*
 * Queries that threads help: the same results, in memory that does not go with the series; ending
 * early; refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <promql/promql.h>
#include <quarry/memory.h>

#include "unit/base/rounds.h"

#define SERIES_COUNT 1200
#define SAMPLE_COUNT 40
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
static struct promql_crew *crew;

static int64_t wall_ms(void *argument)
{
    (void)argument;
    return END_MS;
}

/* load{instance="0000" …, job, part}: what a sum of them comes to depends on the order. Each tenth
 * one has no counter's name; each third falls to 0 now and then. */
static void fill_series(size_t i)
{
    char instance[8];
    const char *name = i % 10 == 0 ? "load" : "load_total";
    struct quarry_tsdb_label labels[] = {
        {QUARRY_TSDB_TEXT("__name__"), {name, strlen(name)}},
        {QUARRY_TSDB_TEXT("instance"), {instance, 4}},
        {QUARRY_TSDB_TEXT("job"), {&"abcd"[i % 4], 1}},
        {QUARRY_TSDB_TEXT("part"), {i < SERIES_COUNT / 10 ? "x" : "y", 1}},
    };
    struct quarry_tsdb_sample samples[SAMPLE_COUNT];
    struct quarry_tsdb_entry entry = {
        .labels = {labels, 4}, .samples = samples, .sample_count = SAMPLE_COUNT};
    struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
    struct quarry_tsdb_result result;

    snprintf(instance, sizeof instance, "%04zu", i);
    for (size_t j = 0; j < SAMPLE_COUNT; j++) {
        const double value = i % 3 == 0 && j % 11 == 7 ? 0 : 0.1 * (double)j * (double)(i + 1);
        samples[j].t_ms = BEGIN_MS + (int64_t)j * STEP_MS;
        memcpy(&samples[j].bits, &value, sizeof value);
    }
    assert_int_equal(quarry_tsdb_append(tsdb, &request, &result), QUARRY_OK);
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
    store = (struct promql_tsdb_source){.tsdb = tsdb};
    source = promql_tsdb_source(&store);
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        fill_series(i);
    }
    assert_int_equal(promql_crew_create(account, pool, 3, &crew, NULL), QUARRY_OK);
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
    promql_crew_destroy(crew);
    assert_int_equal(charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_tsdb_close(tsdb);
    quarry_memory_destroy(memory);
    return 0;
}

static struct promql_options options_of(struct promql_crew *helpers, uint32_t block_series)
{
    return (struct promql_options){.source = &source,
                                   .account = account,
                                   .pool = pool,
                                   .crew = helpers,
                                   .block_series = block_series,
                                   .grant_bytes = Q_MIB(48)};
}

static bool range(const struct promql_options *options, const char *text,
                  struct promql_result *result)
{
    const struct promql_steps steps = {.start_ms = BEGIN_MS, .end_ms = END_MS, .step_ms = 20000};
    const struct quarry_tsdb_slice slice = {.bytes = text, .count = strlen(text)};

    return promql_query_range_text(options, slice, steps, result);
}

/* ---- the same ------------------------------------------------------------------------------- */

static bool is_same_slice(struct quarry_tsdb_slice a, struct quarry_tsdb_slice b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

static bool is_same_series(const struct promql_series *a, const struct promql_series *b)
{
    for (size_t i = 0; a->label_count == b->label_count && i < a->label_count; i++) {
        if (!is_same_slice(a->labels[i].name, b->labels[i].name) ||
            !is_same_slice(a->labels[i].value, b->labels[i].value)) {
            return false;
        }
    }
    return a->label_count == b->label_count && a->count == b->count &&
           memcmp(a->t_ms, b->t_ms, a->count * sizeof *a->t_ms) == 0 &&
           memcmp(a->values, b->values, a->count * sizeof *a->values) == 0;
}

/* To the last bit. */
static bool is_same(const struct promql_result *a, const struct promql_result *b)
{
    bool is_same = a->error == b->error && a->series_count == b->series_count &&
                   a->warning_count == b->warning_count && a->info_count == b->info_count &&
                   a->stats.samples_total == b->stats.samples_total;

    for (size_t i = 0; is_same && i < a->series_count; i++) {
        is_same = is_same_series(&a->series[i], &b->series[i]);
    }
    for (size_t i = 0; is_same && i < a->info_count; i++) {
        is_same = is_same_slice(a->infos[i], b->infos[i]);
    }
    return is_same;
}

static const char *const texts[] = {
    "sum by (job) (rate(load_total[1m]))",
    "sum(load_total) / count(load_total)",
    "avg without (instance) (increase({__name__=~\"load.*\"}[45s]))",
    "stddev(rate({__name__=~\"load.*\", instance=~\"0.*\"}[1m]) * 2)",
    "topk by (job) (3, max_over_time(load_total[1m]) > 5)",
    "load_total",
    "quantile(0.9, quantile_over_time(0.5, load_total[1m]))",
    "load_total - on (instance) group_left load_total offset 15s",
    "sum(sum_over_time(load_total[1m] @ 3900))",
    "label_replace(rate(load_total[1m]), \"new\", \"$1\", \"instance\", \"(.).*\")",
    "sum(load_total{instance=~\"000[0-4]\"})",
};

static void rows_are_the_same_with_threads_and_without(void **state)
{
    static const uint32_t blocks[] = {0, 1, 7, SERIES_COUNT / 3};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct promql_options alone = options_of(NULL, 0);
        struct promql_result expected;
        assert_true(range(&alone, texts[i], &expected));
        assert_true(expected.series_count > 0);
        for (size_t j = 0; j < sizeof blocks / sizeof blocks[0]; j++) {
            const struct promql_options helped = options_of(crew, blocks[j]);
            struct promql_result result;
            assert_true(range(&helped, texts[i], &result));
            if (!is_same(&expected, &result)) {
                fail_msg("%s differs in blocks of %u", texts[i], blocks[j]);
            }
            promql_result_fini(&result);
        }
        promql_result_fini(&expected);
    }
}

/* Several queries at a time, each of which waits for its own jobs alone. */
static void *ask_often(void *argument)
{
    bool *is_wrong = argument;
    const struct promql_options alone = options_of(NULL, 0), helped = options_of(crew, 5);
    struct promql_result expected;

    (void)range(&alone, texts[0], &expected);
    for (size_t i = 0; i < 5; i++) {
        struct promql_result result;
        (void)range(&helped, texts[0], &result);
        *is_wrong = *is_wrong || expected.series_count != 4 || !is_same(&expected, &result);
        promql_result_fini(&result);
    }
    promql_result_fini(&expected);
    return NULL;
}

static void queries_share_the_threads(void **state)
{
    pthread_t threads[4];
    bool is_wrong[4] = {false};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &is_wrong[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(is_wrong[i]);
    }
}

/* ---- quantiles ------------------------------------------------------------------------------ */

static int compare_doubles(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The values at a moment, sorted. Returns: how many. */
static size_t sorted_values(int64_t t_ms, double *values)
{
    const struct promql_options options = options_of(NULL, 0);
    struct promql_result result;
    size_t count;

    assert_true(promql_query_instant_text(&options, (struct quarry_tsdb_slice){"load_total", 10},
                                          t_ms, &result));
    count = result.series_count;
    assert_in_range(count, 1, SERIES_COUNT);
    for (size_t i = 0; i < count; i++) {
        values[i] = result.series[i].values[0];
    }
    promql_result_fini(&result);
    qsort(values, count, sizeof *values, compare_doubles);
    return count;
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
    static const double phis[] = {0, 0.001, 0.25, 0.3, 0.5, 0.77, 0.999, 1};
    enum { PHI_COUNT = sizeof phis / sizeof phis[0] };
    static double values[SERIES_COUNT];

    (void)state;
    for (size_t i = 0, count = 0; i < 3 * PHI_COUNT; i++) {
        const struct promql_options options = options_of(NULL, 0);
        const int64_t t_ms =
            BEGIN_MS + (int64_t)(i / PHI_COUNT * 9 + 7) * STEP_MS; /* with many 0 first */
        if (i % PHI_COUNT == 0) {
            count = sorted_values(t_ms, values);
        }
        const double phi = phis[i % PHI_COUNT], rank = phi * (double)(count - 1);
        const size_t lower = (size_t)rank, upper = lower + 1 < count ? lower + 1 : lower;
        const double weight = rank - (double)lower;
        struct promql_result result;
        char text[64];
        const int length = snprintf(text, sizeof text, "quantile(%g, load_total)", phi);
        assert_true(promql_query_instant_text(
            &options, (struct quarry_tsdb_slice){text, (size_t)length}, t_ms, &result));
        assert_int_equal(result.series_count, 1);
        assert_true(result.series[0].values[0] ==
                    values[lower] * (1 - weight) + values[upper] * weight);
        promql_result_fini(&result);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint64_t peak_of(struct promql_crew *helpers, const char *text)
{
    const struct promql_options options = options_of(helpers, 4);
    struct promql_result result;
    uint64_t peak_bytes;

    assert_true(range(&options, text, &result));
    assert_true(result.series_count == 4);
    peak_bytes = result.stats.bytes_peak;
    promql_result_fini(&result);
    return peak_bytes;
}

static void a_sum_has_memory_for_its_groups_however_many_series_there_are(void **state)
{
    struct promql_crew *const helpers[] = {NULL, crew};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const uint64_t few = peak_of(helpers[i], "sum by (job) (rate(load_total{part=\"x\"}[1m]))");
        const uint64_t many =
            peak_of(helpers[i], "sum by (job) (rate(load_total{part=\"y\"}[1m]))");
        const uint64_t rows = SERIES_COUNT / 10 * 7 * UINT64_C(30) * 9; /* of the others, kept */
        assert_true(many <= few + rows / 20);
    }
}

/* With little memory parts are refused theirs; then the query reads by itself, or is refused. */
static void with_little_memory_results_are_the_same_or_none(void **state)
{
    const char *text = "sum by (job) (quantile_over_time(0.5, load_total[5m]))";
    const struct promql_options alone = options_of(NULL, 0);
    struct promql_result expected;
    const uint64_t before_bytes = charged();
    size_t done_count = 0, refused_count = 0;

    (void)state;
    assert_true(range(&alone, text, &expected));
    for (uint64_t grant_bytes = Q_KIB(8); grant_bytes < Q_MIB(12);
         grant_bytes += grant_bytes / ROUNDS(6, 3)) {
        struct promql_options helped = options_of(crew, 100);
        struct promql_result result;
        helped.grant_bytes = grant_bytes;
        if (range(&helped, text, &result)) {
            assert_true(is_same(&expected, &result));
            assert_true(result.stats.bytes_peak <= grant_bytes);
            done_count++;
        } else {
            assert_string_equal(
                result.error_text,
                "query processing would load too many samples into memory in query execution");
            refused_count++;
        }
        promql_result_fini(&result);
    }
    assert_true(done_count > 5 && refused_count > 2);
    promql_result_fini(&expected);
    assert_int_equal(charged(), before_bytes);
}

static void a_crew_that_is_refused_memory_leaves_nothing(void **state)
{
    const struct quarry_account_options options = {.name = "small", .ceiling_bytes = Q_KIB(700)};
    struct quarry_account *small;
    struct quarry_error error = {0};
    struct promql_crew *none = NULL;
    struct quarry_account_state account_state;

    (void)state;
    assert_int_equal(quarry_account_create(memory, &options, &small, NULL), QUARRY_OK);
    assert_int_equal(promql_crew_create(small, pool, 16, &none, &error), QUARRY_NO_MEMORY);
    assert_null(none);
    assert_non_null(strstr(error.text, "16 threads"));
    quarry_account_read(small, &account_state);
    assert_int_equal(account_state.charged_bytes, 0);
    quarry_account_destroy(small);
}

/* ---- ending --------------------------------------------------------------------------------- */

static struct promql_source_functions counted;
static _Atomic uint32_t read_count; /* blocks that were read; relaxed: a count */
static _Atomic bool is_cancelled;   /* relaxed: it carries nothing */
#define CANCEL_AT 300u

static enum quarry_status count_next(struct promql_cursor *cursor, struct promql_block *ret_block)
{
    if (atomic_add_relaxed_u32(&read_count, 1) == CANCEL_AT) {
        atomic_store_relaxed_bool(&is_cancelled, true);
    }
    return source.functions->cursor_next(cursor, ret_block);
}

/* Each reads a series to its end at most; it asks the flag before the next one. */
static void a_query_that_is_cancelled_reads_no_further_series(void **state)
{
    const struct promql_source counting = {.functions = &counted, .argument = source.argument};
    struct promql_options options = options_of(crew, 3);
    struct promql_result result;

    (void)state;
    counted = *source.functions;
    counted.cursor_next = count_next;
    options.source = &counting;
    options.cancel = &is_cancelled;
    assert_false(range(&options, "sum(rate(load_total[1m]))", &result));
    assert_int_equal(result.error, PROMQL_ERROR_CANCELED);
    assert_string_equal(result.error_text, "query was canceled in expression evaluation");
    assert_true(atomic_load_relaxed_u32(&read_count) < CANCEL_AT + 5 * 4);
    promql_result_fini(&result);
}

/* How many blocks a query reads. */
static uint32_t reads_of(const char *text)
{
    const struct promql_source counting = {.functions = &counted, .argument = source.argument};
    struct promql_options options = options_of(NULL, 0);
    struct promql_result result;

    counted = *source.functions;
    counted.cursor_next = count_next;
    options.source = &counting;
    atomic_store_relaxed_u32(&read_count, CANCEL_AT + 1); /* nothing is cancelled */
    assert_true(range(&options, text, &result));
    promql_result_fini(&result);
    return atomic_load_relaxed_u32(&read_count) - (CANCEL_AT + 1);
}

static void an_aggregation_that_stands_twice_is_evaluated_once(void **state)
{
    const uint32_t once = reads_of("sum(rate(load_total[1m]))");

    (void)state;
    assert_true(once >= SERIES_COUNT / 10 * 9);
    assert_int_equal(reads_of("sum(rate(load_total[1m])) / (1 + sum(rate(load_total[1m])))"), once);
    assert_int_equal(reads_of("sum(rate(load_total[1m])) / sum(rate(load_total[45s]))"), 2 * once);
    /* At other times it is another one. */
    assert_int_equal(reads_of("max_over_time(sum(rate(load_total[1m]))[1m:]) or "
                              "sum(rate(load_total[1m])) or sum(rate(load_total[1m]))"),
                     2 * once);
}

/* Rows that nobody wants: what is under way is withdrawn before its memory goes. */
static void a_query_that_fails_ends_its_parts(void **state)
{
    const uint64_t before_bytes = charged();

    (void)state;
    for (size_t i = 0; i < ROUNDS(50, 12); i++) {
        struct promql_options options = options_of(crew, 1);
        struct promql_result result;
        options.samples_max = 200 + i;
        assert_false(range(&options, "count_values(\"v\", load_total)", &result));
        assert_int_equal(result.error, PROMQL_ERROR_EXECUTION);
        promql_result_fini(&result);
        assert_int_equal(charged(), before_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_same_with_threads_and_without),
        cmocka_unit_test(queries_share_the_threads),
        cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
        cmocka_unit_test(a_sum_has_memory_for_its_groups_however_many_series_there_are),
        cmocka_unit_test(with_little_memory_results_are_the_same_or_none),
        cmocka_unit_test(a_crew_that_is_refused_memory_leaves_nothing),
        cmocka_unit_test(a_query_that_is_cancelled_reads_no_further_series),
        cmocka_unit_test(an_aggregation_that_stands_twice_is_evaluated_once),
        cmocka_unit_test(a_query_that_fails_ends_its_parts),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
