/*
 * Exemplars: kept by count and bytes, in order, by series and tenant; and gone with their series.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/random.h"

#define T0     INT64_C(1600000000000)
#define SECOND INT64_C(1000)

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* One exemplar of a series, labelled by a number; with a sample at its time unless `t_ms` is 0. */
static enum quarry_status exemplar_append(uint16_t tenant, uint32_t series, int64_t sample_ms,
                                          int64_t t_ms, double value, const char *trace)
{
    const struct quarry_tsdb_label label = {QUARRY_TSDB_TEXT("trace_id"), {trace, strlen(trace)}};
    const struct quarry_tsdb_exemplar exemplar = {t_ms, bits_of(value), {&label, 1}};
    const struct quarry_tsdb_sample sample = {sample_ms, 1};
    const struct quarry_tsdb_entry entry = {.labels = rig_labels(series),
                                            .samples = &sample,
                                            .sample_count = sample_ms != 0,
                                            .exemplars = &exemplar,
                                            .exemplar_count = 1};
    const struct quarry_tsdb_request request = {
        .tenant = tenant, .entries = &entry, .entry_count = 1};

    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

/* What was told, as text: "metric_001: 5=1.5 a, 6=2 b; ". */
struct told {
    char text[1 << 16];
    size_t bytes, exemplar_count, series_count;
};

static bool tell(void *argument, const struct quarry_tsdb_labels *series,
                 const struct quarry_tsdb_exemplar *exemplars, size_t count)
{
    struct told *told = argument;

    told->series_count++;
    told->exemplar_count += count;
    told->bytes += (size_t)snprintf(told->text + told->bytes, sizeof told->text - told->bytes,
                                    "%.*s:", (int)series->labels[0].value.count,
                                    series->labels[0].value.bytes);
    for (size_t i = 0; i < count && told->bytes + 100 < sizeof told->text; i++) {
        double value;
        memcpy(&value, &exemplars[i].bits, sizeof value);
        assert_int_equal(exemplars[i].labels.count, 1);
        told->bytes += (size_t)snprintf(told->text + told->bytes, sizeof told->text - told->bytes,
                                        " %lld=%g %.*s", (long long)(exemplars[i].t_ms - T0), value,
                                        (int)exemplars[i].labels.labels[0].value.count,
                                        exemplars[i].labels.labels[0].value.bytes);
    }
    told->bytes += (size_t)snprintf(told->text + told->bytes, sizeof told->text - told->bytes, ";");
    return true;
}

static struct told ask(uint16_t tenant, int64_t min_ms, int64_t max_ms)
{
    const struct quarry_tsdb_query query = {.tenant = tenant, .min_ms = min_ms, .max_ms = max_ms};
    struct told told = {.bytes = 0};

    assert_int_equal(quarry_tsdb_exemplars(rig.tsdb, &query, tell, &told, NULL), QUARRY_OK);
    return told;
}

static void exemplars_come_in_order_by_series_and_tenant(void **state)
{
    (void)state;
    rig_open();
    assert_int_equal(exemplar_append(0, 2, T0, T0, 1.5, "a"), QUARRY_OK);
    assert_int_equal(rig_result.taken_exemplar_count, 1);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 5, 2, "b"), QUARRY_OK);
    assert_int_equal(exemplar_append(0, 2, T0 + 9, T0 + 9, 3, "c"), QUARRY_OK);
    assert_int_equal(exemplar_append(7, 2, T0 + 9, T0 + 3, 4, "d"), QUARRY_OK);
    assert_string_equal(ask(0, INT64_MIN, INT64_MAX).text,
                        "metric_001: 5=2 b;metric_002: 0=1.5 a 9=3 c;");
    assert_string_equal(ask(0, T0 + 6, T0 + 9).text, "metric_002: 9=3 c;");
    assert_string_equal(ask(7, INT64_MIN, INT64_MAX).text, "metric_002: 3=4 d;");
    assert_string_equal(ask(8, INT64_MIN, INT64_MAX).text, "");
}

static void what_is_older_than_the_newest_is_refused(void **state)
{
    char wide[3 * 127 + 1];

    (void)state;
    rig_open();
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 10, 5, "b"), QUARRY_OK);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 10, 5, "b"), QUARRY_OK); /* repeated */
    assert_int_equal(rig_result.taken_exemplar_count, 1);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 9, 6, "c"), QUARRY_OK);
    assert_int_equal(rig_result.refused_exemplar_count, 1);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 10, 4, "c"), QUARRY_OK);
    assert_int_equal(rig_result.refused_exemplar_count, 1);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 10, 6, "a"), QUARRY_OK); /* a larger value */
    assert_int_equal(rig_result.taken_exemplar_count, 1);
    /* 128 characters are taken, however many bytes they have, and not one more. */
    for (size_t i = 0; i < 3 * 120; i += 3) {
        memcpy(wide + i, "\xe2\x82\xac", 3);
    }
    wide[3 * 120] = '\0';
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 20, 1, wide), QUARRY_OK);
    assert_int_equal(rig_result.taken_exemplar_count, 1);
    memcpy(wide + 3 * 120, "x", 2);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 21, 1, wide), QUARRY_OK);
    assert_int_equal(rig_result.refused_exemplar_count, 1);
    assert_int_equal(ask(0, INT64_MIN, INT64_MAX).exemplar_count, 3);
    assert_int_equal(rig_stats().refused_exemplar_count, 3);
}

static void an_exemplar_makes_no_series_and_a_refused_request_has_none(void **state)
{
    (void)state;
    rig_open();
    assert_int_equal(exemplar_append(0, 1, 0, T0, 1, "a"), QUARRY_OK);
    assert_int_equal(rig_result.refused_exemplar_count, 1);
    assert_int_equal(rig_stats().series_count, 0);
    assert_int_equal(rig_append(1, T0 + 5, 1), QUARRY_OK);
    assert_int_equal(exemplar_append(0, 1, 0, T0, 1, "a"), QUARRY_OK);
    assert_int_equal(rig_result.taken_exemplar_count, 1);
    assert_int_equal(exemplar_append(0, 1, T0, T0 + 1, 1, "b"), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.taken_exemplar_count, 0);
    assert_int_equal(ask(0, INT64_MIN, INT64_MAX).exemplar_count, 1);
}

static void the_newest_are_kept_by_count_and_by_bytes(void **state)
{
    char trace[33];
    uint64_t bytes_max = 0;

    (void)state;
    rig.options.limits.exemplar_count = 100;
    rig.options.limits.exemplar_bytes = 9000;
    rig_open();
    for (int64_t i = 0; i < 1000; i++) {
        (void)snprintf(trace, sizeof trace, "%0*lld", i < 500 ? 1 : 32, (long long)i);
        assert_int_equal(exemplar_append(0, (uint32_t)i % 300, T0 + i, T0 + i, 1, trace),
                         QUARRY_OK);
        assert_true(rig_stats().exemplar_count <= 100);
        bytes_max = rig_stats().exemplar_bytes > bytes_max ? rig_stats().exemplar_bytes : bytes_max;
        if (i == 499) {
            assert_int_equal(ask(0, T0 + 499, T0 + 499).exemplar_count, 1);
        }
    }
    assert_true(bytes_max <= 9000 && bytes_max > 8500);
    struct told told = ask(0, INT64_MIN, INT64_MAX);
    assert_int_equal(told.exemplar_count, rig_stats().exemplar_count);
    assert_int_equal(ask(0, T0 + 1000 - (int64_t)told.exemplar_count, INT64_MAX).exemplar_count,
                     told.exemplar_count);
    rig_assert_valid();
    const struct quarry_tsdb_limits fewer = {.exemplar_count = 3};
    assert_int_equal(quarry_tsdb_set_limits(rig.tsdb, 0, &fewer), QUARRY_OK);
    assert_int_equal(exemplar_append(0, 1, T0 + 1000, T0 + 1000, 1, "a"), QUARRY_OK);
    assert_int_equal(rig_stats().exemplar_count, 3);
}

static void exemplars_go_with_their_series(void **state)
{
    (void)state;
    rig.options.window_count = 1;
    rig_open();
    for (uint32_t i = 0; i < 500; i++) {
        assert_int_equal(exemplar_append(0, i, T0 + i, T0 + i, 1, "a"), QUARRY_OK);
    }
    assert_int_equal(rig_stats().exemplar_count, 500);
    for (int64_t k = 1; k < 4; k++) {
        assert_int_equal(exemplar_append(0, 3, T0 + k * 1000 * SECOND, T0 + k, 9, "b"), QUARRY_OK);
        rig_turns();
    }
    assert_int_equal(rig_stats().series_count, 1);
    /* T0 + 3 of the series itself is as new as the last. */
    assert_int_equal(ask(0, INT64_MIN, INT64_MAX).exemplar_count, rig_stats().exemplar_count);
    assert_true(rig_stats().exemplar_count <= 2);
    rig_assert_valid();
}

/* ---- many at once --------------------------------------------------------------------------- */

#define THREADS 3u
#define EACH    1500

static void *thread_append(void *argument)
{
    uint32_t own = *(const uint32_t *)argument;

    for (int64_t i = 0; i < EACH; i++) {
        const struct quarry_tsdb_exemplar exemplar = {T0 + i, bits_of(1), {NULL, 0}};
        const struct quarry_tsdb_sample sample = {T0 + 1000 * i, (uint64_t)i};
        const struct quarry_tsdb_entry entry = {.labels = rig_labels(100 * own + (uint32_t)i % 7),
                                                .samples = &sample,
                                                .sample_count = 1,
                                                .exemplars = &exemplar,
                                                .exemplar_count = 1};
        const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
        struct quarry_tsdb_result result;
        (void)quarry_tsdb_append(rig.tsdb, &request, &result);
    }
    return NULL;
}

static bool count_all(void *argument, const struct quarry_tsdb_labels *series,
                      const struct quarry_tsdb_exemplar *exemplars, size_t count)
{
    (void)series;
    for (size_t i = 1; i < count; i++) {
        assert_true(exemplars[i - 1].t_ms < exemplars[i].t_ms);
    }
    *(size_t *)argument += count;
    return true;
}

static void threads_put_in_while_others_ask(void **state)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];

    (void)state;
    rig.options.limits.exemplar_count = 200;
    rig.options.window_ms = 100 * SECOND; /* series go and come meanwhile */
    rig.options.in_order_ms = 100 * SECOND;
    rig.options.window_count = 2;
    rig_open();
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, thread_append, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < 200; i++) {
        size_t count = 0;
        assert_int_equal(quarry_tsdb_exemplars(rig.tsdb, &query, count_all, &count, NULL),
                         QUARRY_OK);
        (void)quarry_tsdb_turn(rig.tsdb);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    rig_turns();
    rig_assert_valid();
    assert_true(rig_stats().exemplar_count <= 200 && rig_stats().exemplar_count > 0);
}

/* ---- want of memory ------------------------------------------------------------------------- */

static void want_of_memory_refuses_an_exemplar_and_nothing_else(void **state)
{
    const struct quarry_account_options options = {.name = "above"};
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_account_state read;
    struct quarry_account *above;
    uint32_t refused_count = 0, failed_count = 0;
    enum quarry_status status = QUARRY_NO_MEMORY;

    (void)state;
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig_open();
    assert_int_equal(rig_append(1, T0, 1), QUARRY_OK);
    rig_result.taken_exemplar_count = 0;
    for (uint64_t bytes = 1; rig_result.taken_exemplar_count == 0; bytes += 24, refused_count++) {
        quarry_account_read(above, &read);
        assert_int_equal(quarry_account_set_bounds(above, 0, read.charged_bytes + bytes),
                         QUARRY_OK);
        assert_int_equal(exemplar_append(0, 1, 0, T0, 1, "a"), QUARRY_OK);
        assert_int_equal(quarry_account_set_bounds(above, 0, 0), QUARRY_OK);
        rig_assert_valid();
    }
    assert_true(refused_count > 3);
    for (uint64_t bytes = 1; status != QUARRY_OK; bytes += 24, failed_count++) {
        struct told told = {.bytes = 0};
        quarry_account_read(above, &read);
        assert_int_equal(quarry_account_set_bounds(above, 0, read.charged_bytes + bytes),
                         QUARRY_OK);
        status = quarry_tsdb_exemplars(rig.tsdb, &query, tell, &told, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_int_equal(told.exemplar_count, status == QUARRY_OK);
    }
    assert_true(failed_count > 3);
    assert_int_equal(quarry_account_set_bounds(above, 0, 0), QUARRY_OK);
    rig_assert_valid();
    quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    quarry_account_destroy(above);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(exemplars_come_in_order_by_series_and_tenant),
        STORE_TEST(what_is_older_than_the_newest_is_refused),
        STORE_TEST(an_exemplar_makes_no_series_and_a_refused_request_has_none),
        STORE_TEST(the_newest_are_kept_by_count_and_by_bytes),
        STORE_TEST(exemplars_go_with_their_series),
        STORE_TEST(threads_put_in_while_others_ask),
        STORE_TEST(want_of_memory_refuses_an_exemplar_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
