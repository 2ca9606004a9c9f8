/*
 * Native histograms written as test scripts write them, in a query's memory.
 */
#ifndef QUARRY_TESTS_PROMQL_HISTOGRAM_FIXTURE_H
#define QUARRY_TESTS_PROMQL_HISTOGRAM_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <promql/promql.h>
#include <quarry/memory.h>

static struct quarry_memory *fixture_heap;
static struct quarry_account *fixture_account;
static struct quarry_lifetime *fixture_lifetime;
static struct quarry_pool *fixture_pool;
static struct promql_memory query;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &fixture_heap, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(fixture_heap, &account_options, &fixture_account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(fixture_heap, "query", &fixture_lifetime, NULL),
                     QUARRY_OK);
    assert_int_equal(
        quarry_pool_create(fixture_lifetime, quarry_account_owner(fixture_account), &fixture_pool),
        QUARRY_OK);
    promql_memory_init(&query, fixture_account, fixture_pool, Q_MIB(32));
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_account_state account_state;

    (void)state;
    promql_memory_fini(&query);
    quarry_account_read(fixture_account, &account_state);
    assert_int_equal(account_state.charged_bytes, 0);
    quarry_lifetime_end(fixture_lifetime);
    quarry_account_destroy(fixture_account);
    quarry_memory_destroy(fixture_heap);
    return 0;
}

/* The numbers of "name:[1 2 3]". Returns: how many. */
static uint32_t read_list(const char *text, const char *name, double *room)
{
    const char *at = strstr(text, name);
    uint32_t count = 0;

    if (at == NULL) {
        return 0;
    }
    at += strlen(name);
    while (*at != ']') {
        char *end;
        room[count++] = strtod(at, &end);
        assert_true(end > at && count <= 64);
        at = end + strspn(end, " ");
    }
    return count;
}

static double read_number(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? 0 : strtod(at + strlen(name), NULL);
}

static struct promql_buckets read_side(const char *text, const char *name, const char *offset)
{
    double *counts = promql_memory_take(&query, 64 * sizeof *counts);
    struct promql_span *span = promql_memory_take(&query, sizeof *span);
    const uint32_t count = read_list(text, name, counts);

    assert_true(counts != NULL && span != NULL);
    *span = (struct promql_span){.offset = (int32_t)read_number(text, offset), .length = count};
    return (struct promql_buckets){
        .spans = span, .counts = counts, .span_count = count > 0, .bucket_count = count};
}

/* A histogram of "{{schema:1 count:4 sum:5 z_bucket:… z_bucket_w:… offset:… buckets:[…] …}}". */
static const struct promql_histogram *histogram_of(const char *text)
{
    struct promql_histogram *histogram = promql_memory_take(&query, sizeof *histogram);
    double *bounds = promql_memory_take(&query, 64 * sizeof *bounds);

    assert_true(histogram != NULL && bounds != NULL);
    *histogram = (struct promql_histogram){
        .schema = (int32_t)read_number(text, "schema:"),
        .zero_count = read_number(text, "z_bucket:"),
        .zero_threshold = read_number(text, "z_bucket_w:"),
        .count = read_number(text, "count:"),
        .sum = read_number(text, "sum:"),
        .positive = read_side(text, " buckets:[", " offset:"),
        .negative = read_side(text, "n_buckets:[", "n_offset:"),
        .custom_bounds = bounds,
        .custom_count = read_list(text, "custom_values:[", bounds),
        .reset_hint = strstr(text, "hint:gauge") != NULL       ? PROMQL_RESET_GAUGE
                      : strstr(text, "hint:not_reset") != NULL ? PROMQL_RESET_NO
                      : strstr(text, "hint:reset") != NULL     ? PROMQL_RESET_YES
                                                               : PROMQL_RESET_UNKNOWN};
    return histogram;
}

static const char *test_text(const struct promql_histogram *histogram)
{
    struct promql_writer out = {.memory = &query};
    struct quarry_tsdb_slice text;

    promql_histogram_write_test(&out, histogram);
    assert_true(promql_write_finish(&out, &text));
    return text.bytes;
}

/* Whether a histogram is, but for rounding, what a text says. */
static void assert_histogram(const struct promql_histogram *histogram, const char *expected)
{
    const struct promql_histogram *wanted = histogram_of(expected);

    assert_non_null(histogram);
    if (!promql_histogram_near(histogram, wanted, 1e-6) ||
        (strstr(expected, "hint:") != NULL && histogram->reset_hint != wanted->reset_hint)) {
        fail_msg("%s is not %s", test_text(histogram), expected);
    }
}

static void assert_near(double value, double expected)
{
    if (!promql_number_near(value, expected, 1e-6)) {
        fail_msg("%.17g is not %.17g", value, expected);
    }
}

#endif
