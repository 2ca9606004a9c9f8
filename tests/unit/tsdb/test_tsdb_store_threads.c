/*
 * Many threads at once: requests, queries, sealing, purging and removing series. What is read is
 * always right, for each sample's bits follow from its series and its time.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>

#include <base/base.h>
#include <os/os.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define T0          INT64_C(1600000000000)
#define WRITERS     3u
#define READERS     2u
#define OWN         ROUNDS(40u, 16u)   /* series of each writer */
#define SHARED      ROUNDS(10u, 4u)    /* series that all of them write */
#define HALF_WINDOW ROUNDS(50, 25)     /* seconds, which are steps */
#define STEPS       (30 * HALF_WINDOW) /* 15 windows */
#define WINDOW_MS   (INT64_C(2000) * HALF_WINDOW)
/* How late samples may be. */
#define LATE_MS (INT64_C(1200) * HALF_WINDOW)

static _Atomic uint32_t writers_left;
static _Atomic uint64_t read_count;
static _Atomic uint32_t read_passes, churn_passes;
static _Atomic int64_t written_ms; /* all writers are beyond it */
static pthread_barrier_t barrier;

static uint64_t bits_at(uint32_t number, int64_t t_ms)
{
    return (uint64_t)t_ms * 2654435761u + number;
}

static uint32_t number_of(uint32_t writer, uint32_t i)
{
    return i < OWN ? 100 * writer + i : 1000 + i;
}

/* A sample of each series; the shared ones by whoever is first. A late one now and then. */
static void writer_step(uint32_t writer, int64_t t_ms, uint64_t *dice)
{
    struct quarry_tsdb_result result;

    for (uint32_t i = 0; i < OWN + SHARED; i++) {
        uint32_t number = number_of(writer, i);
        struct quarry_tsdb_sample sample = {t_ms, bits_at(number, t_ms)};
        const struct quarry_tsdb_entry entry = {
            .labels = rig_labels(number), .samples = &sample, .sample_count = 1};
        const struct quarry_tsdb_request request = {
            .is_partial = i % 2 == 0, .entries = &entry, .entry_count = 1};
        if (random_u64(dice) % 20 == 0) {
            sample.t_ms -= 500 + (int64_t)(random_u64(dice) % 9000);
            sample.bits = bits_at(number, sample.t_ms);
        }
        enum quarry_status status = quarry_tsdb_append(rig.tsdb, &request, &result);
        Q_ASSERT(status == QUARRY_OK || status == QUARRY_BAD_INPUT);
    }
}

/* Waits until a reader and who makes short-lived series have gone on since. */
static void let_others_pass(void)
{
    uint32_t reads = atomic_load_relaxed_u32(&read_passes);
    uint32_t churns = atomic_load_relaxed_u32(&churn_passes);

    while (atomic_load_relaxed_u32(&read_passes) == reads ||
           atomic_load_relaxed_u32(&churn_passes) == churns) {
        os_sleep_ns(50000);
    }
}

static void *write_steps(void *argument)
{
    uint32_t writer = (uint32_t)(uintptr_t)argument;
    uint64_t dice = writer;

    for (int64_t i = 0; i < STEPS; i++) {
        writer_step(writer, T0 + 1000 * i, &dice);
        if (i % HALF_WINDOW == HALF_WINDOW - 1) { /* nobody is more than half a window ahead */
            (void)pthread_barrier_wait(&barrier);
            atomic_store_relaxed_i64(&written_ms, T0 + 1000 * i);
        }
        if (i % (6 * HALF_WINDOW) == 0) {
            let_others_pass();
        }
    }
    (void)atomic_sub_acq_rel_u32(&writers_left, 1);
    return NULL;
}

static uint32_t number_in(const struct quarry_tsdb_set *set, size_t index)
{
    struct quarry_tsdb_label labels[3];
    uint32_t number = 0, host = 0;

    Q_ASSERT(quarry_tsdb_set_labels(set, index, labels, 3) == 3);
    for (size_t i = 7; i < labels[0].value.count; i++) {
        number = 10 * number + (uint32_t)(labels[0].value.bytes[i] - '0');
    }
    for (size_t i = 5; i < labels[1].value.count; i++) {
        host = 10 * host + (uint32_t)(labels[1].value.bytes[i] - '0');
    }
    return number + 100 * host;
}

static void series_check(struct quarry_tsdb_cursor *cursor, uint32_t number)
{
    struct quarry_tsdb_block block;
    int64_t last_ms = INT64_MIN;
    enum quarry_status status;

    while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
        for (uint32_t i = 0; i < block.count; i++) {
            Q_ASSERT(block.t_ms[i] > last_ms);
            Q_ASSERT(block.bits[i] == bits_at(number, block.t_ms[i]));
            last_ms = block.t_ms[i];
        }
        (void)atomic_add_relaxed_u64(&read_count, block.count);
    }
    Q_ASSERT(status == QUARRY_NOT_FOUND);
}

static void *read_series(void *argument)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};

    (void)argument;
    while (atomic_load_acquire_u32(&writers_left) != 0) {
        struct quarry_tsdb_set *set;
        struct quarry_tsdb_cursor *cursor;
        enum quarry_status status = quarry_tsdb_select(rig.tsdb, &query, &set, NULL);
        Q_ASSERT(status == QUARRY_OK);
        status = quarry_tsdb_cursor_create(set, &cursor);
        Q_ASSERT(status == QUARRY_OK);
        for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
            quarry_tsdb_cursor_series(cursor, i);
            series_check(cursor, number_in(set, i));
        }
        quarry_tsdb_cursor_destroy(cursor);
        quarry_tsdb_set_close(set);
        (void)atomic_add_relaxed_u32(&read_passes, 1);
    }
    return NULL;
}

/* Series that live for a window or so. */
static void *churn(void *argument)
{
    uint32_t number = 10000;

    (void)argument;
    while (atomic_load_acquire_u32(&writers_left) != 0) {
        struct quarry_tsdb_stats stats;
        struct quarry_tsdb_window windows[8];
        quarry_tsdb_read_stats(rig.tsdb, &stats);
        (void)quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));
        for (uint32_t i = 0; i < 20 && stats.max_ms != 0; i++, number++) {
            const struct quarry_tsdb_sample sample = {stats.max_ms, bits_at(number, stats.max_ms)};
            const struct quarry_tsdb_entry entry = {
                .labels = rig_labels(number), .samples = &sample, .sample_count = 1};
            const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
            struct quarry_tsdb_result result;
            (void)quarry_tsdb_append(rig.tsdb, &request, &result);
        }
        (void)atomic_add_relaxed_u32(&churn_passes, 1);
        os_sleep_ns(200000);
    }
    return NULL;
}

static void threads_run(void)
{
    pthread_t writers[WRITERS], readers[READERS], churner;

    atomic_store_relaxed_u32(&writers_left, WRITERS);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, WRITERS), 0);
    for (uintptr_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, write_steps, (void *)i), 0);
    }
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_series, NULL), 0);
    }
    assert_int_equal(pthread_create(&churner, NULL, churn, NULL), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i], NULL);
    }
    for (uint32_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    pthread_join(churner, NULL);
    pthread_barrier_destroy(&barrier);
}

/* Every moment of the windows that are left: the last sample of each series' each step, at least of
 * those that nobody replaced by a late one. */
static void most_is_there(void)
{
    for (uint32_t writer = 0; writer < WRITERS; writer++) {
        for (uint32_t i = 0; i < OWN; i++) {
            size_t count = rig_read(number_of(writer, i), rig_stats().min_ms, INT64_MAX, NULL, 0);
            int64_t seconds = (rig_stats().max_ms - rig_stats().min_ms) / 1000;
            assert_true((int64_t)count > seconds * 8 / 10);
        }
    }
}

static void what_is_read_is_right_while_all_go_on(void **state)
{
    (void)state;
    rig.options.window_ms = WINDOW_MS;
    rig.options.window_count = 4;
    rig.options.out_of_order_ms = LATE_MS;
    rig.options.in_order_ms = LATE_MS;
    rig.options.has_no_thread = false;
    rig_open();
    threads_run();
    assert_true(atomic_load_relaxed_u64(&read_count) > 1000);
    while (quarry_tsdb_turn(rig.tsdb)) {
    }
    assert_true(rig_stats().purged_window_count >= 8);
    assert_true(rig_stats().sealed_shard_count >= 64 * 4);
    assert_true(rig_stats().removed_series_count > 0);
    assert_true(rig_stats().late_count > 0);
    rig_assert_valid();
    most_is_there();
}

static void two_requests_race_for_one_series_and_one_of_them_wins(void **state)
{
    (void)state;
    rig.options.window_ms = WINDOW_MS;
    rig.options.in_order_ms = LATE_MS;
    rig_open();
    threads_run();
    rig_turns();
    rig_assert_valid();
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_is_read_is_right_while_all_go_on),
        STORE_TEST(two_requests_race_for_one_series_and_one_of_them_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
