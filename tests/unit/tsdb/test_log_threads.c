/*
 * The log by several threads: appending and syncing at once, syncs that fail, windows that are
 * dropped beside them. What was acknowledged is replayed.
 */
#include "unit/tsdb/disk_rig.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4u
#define STEPS   120u
#define IDS     40u

static struct rig_found found;
static struct tsdb_log_replayed replayed;
static struct tsdb_log *shared_log;
static _Atomic bool is_done;

struct appender {
    pthread_t thread;
    uint32_t index;
    bool is_synced[STEPS]; /* acknowledged with a sync */
};

static void *append(void *argument)
{
    struct appender *appender = argument;
    struct tsdb_log_ticket ticket;

    for (uint32_t step = 0; step < STEPS; step++) {
        assert_int_equal(rig_append(shared_log, 5, 1 + appender->index * IDS, IDS, step, &ticket),
                         QUARRY_OK);
        appender->is_synced[step] = tsdb_log_sync(shared_log, &ticket, NULL) == QUARRY_OK;
    }
    return NULL;
}

/* Windows that come and go, figures, and syncs of everything. */
static void *disturb(void *argument)
{
    struct tsdb_log_ticket ticket;
    struct tsdb_log_stats stats;
    int64_t window = 100, first;

    (void)argument;
    while (!atomic_load_acquire_bool(&is_done)) {
        assert_int_equal(rig_append(shared_log, window, 900, 10, 1, &ticket), QUARRY_OK);
        (void)tsdb_log_sync_all(shared_log, NULL);
        assert_int_equal(tsdb_log_drop_window(shared_log, window, NULL), QUARRY_OK);
        assert_int_equal(tsdb_log_sync(shared_log, &ticket, NULL), QUARRY_OK);
        tsdb_log_read_stats(shared_log, &stats);
        assert_true(tsdb_log_next_window(shared_log, INT64_MIN, &first) && first == 5);
        window++;
    }
    return NULL;
}

static void run(struct appender *appenders)
{
    struct tsdb_log_ticket ticket;
    pthread_t other;

    atomic_store_release_bool(&is_done, false);
    shared_log = rig_log_open(4096);
    assert_int_equal(rig_append(shared_log, 5, 1000, 1, 0, &ticket), QUARRY_OK);
    assert_int_equal(pthread_create(&other, NULL, disturb, NULL), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        appenders[i].index = i;
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, append, &appenders[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(appenders[i].thread, NULL), 0);
    }
    atomic_store_release_bool(&is_done, true);
    assert_int_equal(pthread_join(other, NULL), 0);
}

static void assert_synced(const struct appender *appenders)
{
    disk_rig_lose_power(0, 1);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        for (uint32_t step = 0; step < STEPS; step++) {
            for (uint32_t id = 1 + i * IDS; id < 1 + (i + 1) * IDS; id++) {
                assert_true(found.counts[id][step] <= 1);
                assert_true(!appenders[i].is_synced[step] || found.counts[id][step] == 1);
            }
        }
    }
}

static void what_threads_sync_at_once_survives(void **state)
{
    static struct appender appenders[THREADS];
    struct tsdb_log_stats stats;

    (void)state;
    run(appenders);
    for (uint32_t step = 0; step < STEPS; step++) {
        assert_true(appenders[step % THREADS].is_synced[step]);
    }
    tsdb_log_read_stats(shared_log, &stats);
    assert_true(stats.sync_count > 0 && stats.record_count >= THREADS * STEPS);
    tsdb_log_close(shared_log);
    assert_synced(appenders);
}

static void syncs_that_fail_now_and_then_are_told_to_those_they_concern(void **state)
{
    static struct appender appenders[THREADS];
    uint32_t refused = 0;

    (void)state;
    for (uint32_t slot = 0; slot < 6; slot++) {
        const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_SYNC,
                                               .path_contains = "window-5-",
                                               .first = 5 + slot * 9,
                                               .count = 1,
                                               .status = QUARRY_IO};
        quarry_vfs_fault_set(rig_vfs, slot, &fault);
    }
    run(appenders);
    tsdb_log_close(shared_log);
    for (uint32_t i = 0; i < THREADS; i++) {
        for (uint32_t step = 0; step < STEPS; step++) {
            refused += !appenders[i].is_synced[step];
        }
    }
    assert_true(refused > 0);
    assert_synced(appenders);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_rig_set_up, disk_rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_threads_sync_at_once_survives),
        TEST(syncs_that_fail_now_and_then_are_told_to_those_they_concern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
