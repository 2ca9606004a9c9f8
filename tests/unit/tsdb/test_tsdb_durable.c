/*
 * A store with a directory: what was acknowledged is there when it is opened again, whatever
 * happened in between; compared with a model, for each durability.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <quarry/vfs.h>

#include "unit/base/random.h"

#define T0        INT64_C(1600000000000)
#define WINDOW    INT64_C(1000000)
#define SERIES    40u
#define DIRECTORY "/data"

static struct quarry_vfs *disk, *vfs; /* in memory; the same, failing on command */
static struct model model;
static uint64_t random_state;
static uint64_t lost_count;

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    assert_true(loss->file[0] != '\0');
    lost_count++;
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &vfs), QUARRY_OK);
    rig.options.directory = DIRECTORY;
    rig.options.vfs = vfs;
    rig.options.out_of_order_ms = 250000;
    rig.options.window_count = 4;
    rig.options.log_segment_bytes = Q_KIB(16);
    rig.options.lost = on_lost;
    lost_count = 0;
    random_state = 7;
    model_init(&model, SERIES);
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    model_fini(&model);
    quarry_vfs_fault_destroy(vfs);
    quarry_vfs_memory_destroy(disk);
    return result;
}

/* Another disk in place of the one there is. The store is closed. */
static void disk_replace(struct quarry_vfs *other)
{
    quarry_vfs_fault_destroy(vfs);
    quarry_vfs_memory_destroy(disk);
    disk = other;
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &vfs), QUARRY_OK);
    rig.options.vfs = vfs;
}

static void reopen(void)
{
    if (rig.tsdb != NULL) {
        rig_close();
    }
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
}

static uint64_t value_at(uint32_t number, int64_t t_ms)
{
    uint64_t state = number * UINT64_C(1000003) + (uint64_t)t_ms;
    double value = (double)(random_u64(&state) % 1000) / 4;
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return number % 8 == 0 ? random_u64(&state) : bits;
}

/* One sample of each series, and a late one now and then. Returns: the first status that is not OK.
 */
static enum quarry_status put_step(int64_t t_ms, bool has_late)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct quarry_tsdb_sample samples[2] = {{t_ms, value_at(i, t_ms)},
                                                {t_ms - 7000, value_at(i, t_ms - 7000)}};
        size_t count = has_late && random_u64(&random_state) % 4 == 0 ? 2 : 1;
        enum quarry_status status = rig_append_many(i, samples, count);
        if (status != QUARRY_OK) {
            return status;
        }
        for (size_t k = 0; k < count; k++) {
            model_put(&model, i, samples[k]);
        }
    }
    return QUARRY_OK;
}

/* Steps of 50 s, turns between them. Returns: the time after the last. */
static int64_t put_steps(int64_t from_ms, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(put_step(from_ms + i * 50000, i > 3), QUARRY_OK);
        rig_turns();
    }
    return from_ms + count * INT64_C(50000);
}

static void forget_purged(void)
{
    model_forget(&model, rig_stats().min_ms);
}

/* ---- coming back ---------------------------------------------------------------------------- */

static void what_was_taken_is_there_after_a_clean_close(void **state)
{
    (void)state;
    for (int level = QUARRY_TSDB_DURABILITY_NONE; level <= QUARRY_TSDB_DURABILITY_POWER; level++) {
        model_fini(&model);
        model_init(&model, SERIES);
        struct quarry_vfs *fresh = NULL;
        assert_int_equal(quarry_vfs_memory_create(2, &fresh), QUARRY_OK);
        disk_replace(fresh);
        rig.options.durability = (enum quarry_tsdb_durability)level;
        rig_open();
        int64_t now_ms = T0;
        for (uint32_t round = 0; round < 6; round++) {
            quarry_tsdb_wait_ready(rig.tsdb);
            now_ms = put_steps(now_ms, 23);
            forget_purged();
            model_compare(&model);
            reopen();
            model_compare(&model);
        }
        assert_true(rig_stats().window_file_count >= 3);
        assert_int_equal(lost_count, 0);
        rig_close();
    }
}

/* What a process that is killed leaves: all files as they are, and no end. */
static void kill_and_reopen(uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(disk, kept_percent, seed, &left), QUARRY_OK);
    rig_assert_valid();
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    disk_replace(left);
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    rig_assert_valid();
}

static void what_was_acknowledged_survives_the_process(void **state)
{
    int64_t now_ms = T0;

    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_PROCESS;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    for (uint32_t round = 0; round < 12; round++) {
        now_ms = put_steps(now_ms, 13);
        forget_purged();
        kill_and_reopen(100, round);
        model_compare(&model);
    }
    assert_int_equal(lost_count, 0);
}

static void what_was_acknowledged_survives_a_loss_of_power(void **state)
{
    int64_t now_ms = T0;

    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    for (uint32_t round = 0; round < 12; round++) {
        now_ms = put_steps(now_ms, 13);
        forget_purged();
        kill_and_reopen(round * 29 % 101, round);
        model_compare(&model);
    }
}

/* ---- series that come and go ---------------------------------------------------------------- */

static void ids_of_series_that_went_are_not_mixed_up(void **state)
{
    int64_t now_ms = T0;

    (void)state;
    rig.options.window_count = 2;
    rig.options.snapshot_ms = 1; /* at each turn */
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    for (uint32_t round = 0; round < 30; round++) {
        for (uint32_t i = 0; i < 12; i++) {
            uint32_t number = (round * 5 + i) % SERIES;
            struct quarry_tsdb_sample sample = {now_ms, value_at(number, now_ms)};
            assert_int_equal(rig_append_many(number, &sample, 1), QUARRY_OK);
            model_put(&model, number, sample);
        }
        now_ms += WINDOW / 2 + 17;
        quarry_vfs_memory_pass_time(disk, 10000000);
        rig_turns();
        forget_purged();
        if (round % 3 == 2) {
            kill_and_reopen(100, round);
        } else if (round % 7 == 0) {
            reopen();
        }
        model_compare(&model);
    }
    assert_true(rig_stats().loss_count == 0);
}

/* Zero is what a chain begins with, and a sample all the same. */
static void a_zero_that_comes_again_is_there_once(void **state)
{
    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    assert_int_equal(rig_append(1, T0, 0), QUARRY_OK);
    assert_int_equal(rig_append(1, T0, 0), QUARRY_OK);
    assert_int_equal(rig_append(1, T0, 1), QUARRY_BAD_INPUT);
    assert_int_equal(rig_read(1, INT64_MIN, INT64_MAX, NULL, 0), 1);
    kill_and_reopen(100, 1);
    assert_int_equal(rig_append(1, T0, 0), QUARRY_OK);
    assert_int_equal(rig_read(1, INT64_MIN, INT64_MAX, NULL, 0), 1);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void one_process_has_a_directory_at_a_time(void **state)
{
    struct quarry_tsdb *second = NULL;
    struct quarry_error error;

    (void)state;
    rig_open();
    struct quarry_tsdb_options options = rig.options;
    options.name = "second";
    assert_int_equal(quarry_tsdb_open(&options, &second, &error), QUARRY_BUSY);
    rig_close();
}

static void appends_wait_until_the_log_was_replayed(void **state)
{
    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    int64_t now_ms = put_steps(T0, 60);
    kill_and_reopen(100, 1);
    (void)quarry_tsdb_close(rig.tsdb);
    rig_open();
    assert_false(quarry_tsdb_ready(rig.tsdb));
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_BUSY);
    assert_int_equal(rig_stats().series_count, SERIES); /* they are there at once */
    while (rig_stats().window_count == 0) {
        assert_true(quarry_tsdb_turn(rig.tsdb));
    }
    assert_false(quarry_tsdb_ready(rig.tsdb));
    assert_true(rig_read(1, INT64_MIN, INT64_MAX, NULL, 0) > 0); /* sealed ones are read first */
    quarry_tsdb_wait_ready(rig.tsdb);
    model_compare(&model);
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_OK);
}

static void windows_keep_their_length(void **state)
{
    struct quarry_error error;

    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    put_steps(T0, 50);
    rig_close();
    rig.options.window_ms = 2 * WINDOW;
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
}

static void a_failed_sync_ends_acknowledgements(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_SYNC,
                                           .path_contains = ".log",
                                           .count = 1,
                                           .status = QUARRY_IO};

    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    int64_t now_ms = put_steps(T0, 5);
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_IO);
    quarry_vfs_fault_set(vfs, 0, NULL);
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_IO); /* again: it is in memory by now */
    assert_int_equal(rig_append(1, now_ms + 1, 1), QUARRY_IO);
    assert_int_equal(rig_stats().log_status, QUARRY_IO);
    assert_int_equal(rig_read(2, INT64_MIN, INT64_MAX, NULL, 0), model.series[2].count);
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_IO);
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    assert_int_equal(rig_append(1, now_ms + 2, 1), QUARRY_OK);
}

static void a_log_that_is_full_takes_nothing_and_goes_on_later(void **state)
{
    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    int64_t now_ms = put_steps(T0, 5);
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .status = QUARRY_NO_SPACE};
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_NO_SPACE);
    assert_int_equal(rig_result.taken_count, 0);
    quarry_vfs_fault_set(vfs, 0, NULL);
    model_compare(&model);
    assert_int_equal(put_step(now_ms, false), QUARRY_OK);
    kill_and_reopen(100, 3);
    model_compare(&model);
}

/* A disk with room for the registry, and not for the open windows besides. */
static void a_snapshot_that_has_no_room_is_written_without_windows(void **state)
{
    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    int64_t now_ms = put_steps(T0, 9);
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .path_contains = "snapshot-",
                                           .count = 1,
                                           .status = QUARRY_NO_SPACE};
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_OK);
    rig.tsdb = NULL;
    assert_int_equal(quarry_vfs_fault_hits(vfs, 0), 1);
    quarry_vfs_fault_set(vfs, 0, NULL);
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    assert_true(rig_stats().replayed_count != 0);
    model_compare(&model);
    (void)put_steps(now_ms, 3);
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

/* ---- copies --------------------------------------------------------------------------------- */

static void a_copy_is_opened_elsewhere(void **state)
{
    (void)state;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    int64_t now_ms = put_steps(T0, 70);
    forget_purged();
    assert_int_equal(quarry_tsdb_snapshot(rig.tsdb, "/copy", NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_snapshot(rig.tsdb, "/copy", NULL), QUARRY_EXISTS);
    assert_int_equal(rig_append(1, now_ms, 1), QUARRY_OK); /* not in the copy */
    rig_close();
    rig.options.directory = "/copy";
    assert_int_equal(quarry_tsdb_verify_directory(&rig.options, NULL), QUARRY_OK);
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_was_taken_is_there_after_a_clean_close),
        TEST(what_was_acknowledged_survives_the_process),
        TEST(what_was_acknowledged_survives_a_loss_of_power),
        TEST(ids_of_series_that_went_are_not_mixed_up),
        TEST(a_zero_that_comes_again_is_there_once),
        TEST(one_process_has_a_directory_at_a_time),
        TEST(appends_wait_until_the_log_was_replayed),
        TEST(windows_keep_their_length),
        TEST(a_failed_sync_ends_acknowledgements),
        TEST(a_log_that_is_full_takes_nothing_and_goes_on_later),
        TEST(a_snapshot_that_has_no_room_is_written_without_windows),
        TEST(a_copy_is_opened_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
