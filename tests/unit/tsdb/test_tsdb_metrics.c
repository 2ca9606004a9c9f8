/*
 * Limits of metrics: series, samples a second, and how long samples are kept.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>
#include <string.h>

#include <base/base.h>

#define T0     (INT64_C(1600000000000) - INT64_C(1600000000000) % WINDOW)
#define WINDOW INT64_C(1000000)

/* Series of metric 1 are 1, 101, 201, …: rig_labels names a metric by the last two digits. */
static uint32_t series_of(uint32_t metric, uint32_t number)
{
    return 100 * number + metric;
}

static void limit(uint32_t metric, struct quarry_tsdb_metric_limits limits)
{
    const struct quarry_tsdb_labels labels = rig_labels(metric);

    assert_int_equal(quarry_tsdb_set_metric_limits(rig.tsdb, 0, labels.labels[0].value, &limits),
                     QUARRY_OK);
}

static void a_metric_has_no_more_series_than_it_may(void **state)
{
    (void)state;
    rig.options.window_count = 1;
    rig_open();
    assert_int_equal(rig_append(series_of(1, 0), T0, 1), QUARRY_OK);
    limit(1, (struct quarry_tsdb_metric_limits){.series_count = 3});
    for (uint32_t i = 1; i < 6; i++) {
        enum quarry_status status = rig_append(series_of(1, i), T0, 1);
        assert_int_equal(status, i < 3 ? QUARRY_OK : QUARRY_TOO_MANY);
        assert_int_equal(rig_result.first, i < 3 ? 0 : QUARRY_TSDB_METRIC_SERIES_LIMIT);
        assert_int_equal(rig_append(series_of(2, i), T0, 1), QUARRY_OK);
    }
    assert_int_equal(rig_append(series_of(1, 2), T0 + 1, 1), QUARRY_OK); /* a known one goes on */
    assert_string_equal(quarry_tsdb_refusal_text(QUARRY_TSDB_METRIC_SERIES_LIMIT),
                        "limit of series of the metric reached");
    for (int64_t k = 1; k < 4; k++) { /* two of them go with their window */
        assert_int_equal(rig_append(series_of(1, 0), T0 + k * WINDOW, 1), QUARRY_OK);
        rig_turns();
    }
    assert_int_equal(rig_append(series_of(1, 7), T0 + 3 * WINDOW, 1), QUARRY_OK);
    limit(1, (struct quarry_tsdb_metric_limits){.series_count = 0});
    for (uint32_t i = 8; i < 20; i++) {
        assert_int_equal(rig_append(series_of(1, i), T0 + 3 * WINDOW, 1), QUARRY_OK);
    }
}

static void a_metric_has_no_more_samples_a_second_than_it_may(void **state)
{
    struct quarry_tsdb_sample samples[10];

    (void)state;
    for (int64_t i = 0; i < 10; i++) {
        samples[i] = (struct quarry_tsdb_sample){T0 + i, 1};
    }
    rig_open();
    limit(1, (struct quarry_tsdb_metric_limits){.samples_per_second = 15});
    assert_int_equal(rig_append_many(series_of(1, 0), samples, 10), QUARRY_OK);
    assert_int_equal(rig_append_many(series_of(1, 1), samples, 10), QUARRY_TOO_MANY);
    assert_int_equal(rig_result.first, QUARRY_TSDB_METRIC_RATE_LIMIT);
    assert_int_equal(rig_result.taken_count, 0);
    assert_int_equal(rig_append_many(series_of(2, 1), samples, 10), QUARRY_OK);
    assert_int_equal(rig_append_many(series_of(1, 1), samples, 5), QUARRY_OK);
    assert_int_equal(rig_append_many(series_of(1, 1), samples + 5, 1), QUARRY_TOO_MANY);
    rig.wall_ms += 1000;
    assert_int_equal(rig_append_many(series_of(1, 1), samples + 5, 5), QUARRY_OK);
    /* What is refused for another reason is not counted. */
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(rig_append(series_of(1, 1), T0, 2), QUARRY_BAD_INPUT);
    }
    samples[0].t_ms = T0 + 10;
    assert_int_equal(rig_append_many(series_of(1, 1), samples, 1), QUARRY_OK);
    assert_int_equal(rig_stats().refused_counts[QUARRY_TSDB_METRIC_RATE_LIMIT], 11);
}

static void what_a_metric_keeps_no_longer_is_neither_read_nor_sealed(void **state)
{
    (void)state;
    rig_open();
    limit(1, (struct quarry_tsdb_metric_limits){.retention_ms = WINDOW / 2});
    for (int64_t i = 0; i < 30; i++) {
        assert_int_equal(rig_append(series_of(1, 0), T0 + i * WINDOW / 10, (uint64_t)i), QUARRY_OK);
        assert_int_equal(rig_append(series_of(2, 0), T0 + i * WINDOW / 10, (uint64_t)i), QUARRY_OK);
        if (i == 10) { /* before a window is sealed */
            assert_int_equal(rig_read(series_of(1, 0), INT64_MIN, INT64_MAX, NULL, 0), 6);
        }
    }
    rig_turns();
    struct quarry_tsdb_window windows[4];
    assert_int_equal(quarry_tsdb_windows(rig.tsdb, windows, 4), 3);
    assert_int_equal(windows[0].sealed_shard_count, 64);
    assert_int_equal(windows[0].sample_count, 10); /* the other metric's */
    assert_int_equal(rig_read(series_of(1, 0), INT64_MIN, INT64_MAX, NULL, 0), 6);
    assert_int_equal(rig_read(series_of(2, 0), INT64_MIN, INT64_MAX, NULL, 0), 30);
    rig_assert_valid();
}

static void limits_that_make_no_sense_are_told(void **state)
{
    const struct quarry_tsdb_metric_limits negative = {.retention_ms = -1}, none = {0};
    const struct quarry_tsdb_slice name = QUARRY_TSDB_TEXT("up"), empty = QUARRY_TSDB_TEXT("");

    (void)state;
    rig_open();
    assert_int_equal(quarry_tsdb_set_metric_limits(rig.tsdb, 0, name, &negative), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_tsdb_set_metric_limits(rig.tsdb, 0, empty, &none), QUARRY_BAD_INPUT);
}

static void want_of_memory_is_told(void **state)
{
    const struct quarry_account_options options = {.name = "above"};
    const struct quarry_tsdb_metric_limits limits = {.series_count = 1};
    struct quarry_tsdb_slice name = QUARRY_TSDB_TEXT("up");
    struct quarry_account_state read;
    struct quarry_account *above;

    (void)state;
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig_open();
    quarry_account_read(above, &read);
    assert_int_equal(quarry_account_set_bounds(above, 0, read.charged_bytes + 1), QUARRY_OK);
    assert_int_equal(quarry_tsdb_set_metric_limits(rig.tsdb, 0, name, &limits), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_set_bounds(above, 0, 0), QUARRY_OK);
    assert_int_equal(quarry_tsdb_set_metric_limits(rig.tsdb, 0, name, &limits), QUARRY_OK);
    rig_assert_valid();
    quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    quarry_account_destroy(above);
}

/* ---- many at once --------------------------------------------------------------------------- */

#define THREADS 4u
#define EACH    300u

static void *thread_make(void *argument)
{
    uint32_t own = *(const uint32_t *)argument;

    for (uint32_t i = 0; i < EACH; i++) {
        const struct quarry_tsdb_sample sample = {T0, 1};
        const struct quarry_tsdb_entry entry = {.labels =
                                                    rig_labels(series_of(1, own + THREADS * i)),
                                                .samples = &sample,
                                                .sample_count = 1};
        const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
        struct quarry_tsdb_result result;
        (void)quarry_tsdb_append(rig.tsdb, &request, &result);
    }
    return NULL;
}

static void threads_together_make_no_more_series_than_there_may_be(void **state)
{
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];

    (void)state;
    rig_open();
    limit(1, (struct quarry_tsdb_metric_limits){.series_count = 500});
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, thread_make, &numbers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(rig_stats().series_count <= 500);
    /* One may have been refused wrongly, for another was being made: that leaves room. */
    for (uint32_t i = THREADS * EACH; rig_append(series_of(1, i), T0, 1) == QUARRY_OK; i++) {
    }
    assert_int_equal(rig_stats().series_count, 500);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_metric_has_no_more_series_than_it_may),
        STORE_TEST(a_metric_has_no_more_samples_a_second_than_it_may),
        STORE_TEST(what_a_metric_keeps_no_longer_is_neither_read_nor_sealed),
        STORE_TEST(limits_that_make_no_sense_are_told),
        STORE_TEST(want_of_memory_is_told),
        STORE_TEST(threads_together_make_no_more_series_than_there_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
