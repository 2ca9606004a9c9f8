/*
 * Threads that append to a store with a directory, while its own seals and writes files: all that
 * was acknowledged is there afterwards.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>

#include <base/base.h>
#include <quarry/vfs.h>

#define T0      INT64_C(1600000000000)
#define THREADS 3u
#define STEPS   240u
#define STEP_MS INT64_C(20000) /* 50 of them are a window */

static struct quarry_vfs *vfs;

static int set_up(void **state)
{
    (void)rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &vfs), QUARRY_OK);
    rig.options.vfs = vfs;
    rig.options.directory = "/data";
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    rig.options.window_count = 20;
    rig.options.out_of_order_ms = 500000;
    rig.options.snapshot_ms = 1;
    rig.options.log_segment_bytes = Q_KIB(4);
    rig.options.has_no_thread = false;
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    quarry_vfs_memory_destroy(vfs);
    return result;
}

/* What each was told, for cmocka's checks are the main thread's. */
struct appender {
    pthread_t thread;
    uint32_t number;
    bool is_taken[STEPS];
};

static void *append_steps(void *argument)
{
    struct appender *appender = argument;

    for (uint32_t step = 0; step < STEPS; step++) {
        const struct quarry_tsdb_sample sample = {T0 + step * STEP_MS, step};
        const struct quarry_tsdb_entry entry = {
            .labels = rig_labels(appender->number), .samples = &sample, .sample_count = 1};
        const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
        struct quarry_tsdb_result result;
        appender->is_taken[step] =
            quarry_tsdb_append(rig.tsdb, &request, &result) == QUARRY_OK && result.taken_count == 1;
    }
    return NULL;
}

static void check(const struct appender *appender)
{
    struct quarry_tsdb_sample samples[STEPS];
    size_t count = rig_read(appender->number, INT64_MIN, INT64_MAX, samples, STEPS),
           taken_count = 0;

    for (uint32_t step = 0; step < STEPS; step++) {
        if (appender->is_taken[step]) {
            assert_true(taken_count < count);
            assert_int_equal(samples[taken_count].t_ms, T0 + step * STEP_MS);
            assert_int_equal(samples[taken_count].bits, step);
            taken_count++;
        }
    }
    assert_int_equal(count, taken_count);
}

static void what_threads_were_told_is_there_afterwards(void **state)
{
    static struct appender appenders[THREADS];

    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    for (uint32_t i = 0; i < THREADS; i++) {
        appenders[i].number = i;
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, append_steps, &appenders[i]),
                         0);
    }
    assert_int_equal(quarry_tsdb_snapshot(rig.tsdb, "/copy", NULL), QUARRY_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(appenders[i].thread, NULL), 0);
    }
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_OK);
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    assert_int_equal(rig_stats().loss_count, 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        check(&appenders[i]);
    }
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_threads_were_told_is_there_afterwards, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
