/*
 * Deleting samples beside a model: in open and sealed windows, through ends of the process,
 * cleaning, and calls and allocations that fail.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <string.h>

#include <base/base.h>
#include <quarry/vfs.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define T0     INT64_C(1600000000000)
#define WINDOW INT64_C(1000000)
#define STEP   INT64_C(50000)
#define SERIES 12u

static struct quarry_vfs *disk, *vfs;
static struct model model;
static uint64_t dice, lost_count;
static int64_t now_ms;

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    (void)loss;
    lost_count++;
}

static void disk_put(struct quarry_vfs *other)
{
    disk = other;
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &vfs), QUARRY_OK);
    rig.options.vfs = vfs;
}

static void disk_take(void)
{
    quarry_vfs_fault_destroy(vfs);
    quarry_vfs_memory_destroy(disk);
}

static int set_up(void **state)
{
    struct quarry_vfs *first = NULL;

    (void)rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &first), QUARRY_OK);
    disk_put(first);
    rig.options.window_count = 8;
    rig.options.fill_quiet_ms = -1;
    rig.options.out_of_order_ms = 500000;
    rig.options.directory = "/data";
    rig.options.lost = on_lost;
    lost_count = 0;
    dice = 11;
    now_ms = T0;
    model_init(&model, SERIES);
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    model_fini(&model);
    disk_take();
    return result;
}

static void open_and_wait(void)
{
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
}

static void kill_and_open(uint32_t kept_percent)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(disk, kept_percent, 1, &left), QUARRY_OK);
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    disk_take();
    disk_put(left);
    open_and_wait();
}

/* A float, or a histogram of each fourth series with the value as its sum, as the model has it. */
static void put(uint32_t number, int64_t t_ms)
{
    const struct quarry_tsdb_sample sample = {t_ms, random_u64(&dice)};
    const uint64_t counts[] = {number, sample.bits % 1000};
    const struct quarry_tsdb_span span = {-1, COUNT_OF(counts)};
    const struct quarry_tsdb_histogram histogram = {.t_ms = t_ms,
                                                    .schema = 3,
                                                    .sum_bits = sample.bits,
                                                    .count = counts[0] + counts[1],
                                                    .positive = {&span, counts, 1, 2}};
    const bool is_histogram = number % 4 == 1;
    const struct quarry_tsdb_entry entry = {.labels = rig_labels(number),
                                            .samples = is_histogram ? NULL : &sample,
                                            .sample_count = is_histogram ? 0 : 1,
                                            .histograms = is_histogram ? &histogram : NULL,
                                            .histogram_count = is_histogram};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    model_put(&model, number, sample);
}

static void live_steps(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t number = 0; number < SERIES; number++) {
            put(number, now_ms);
        }
        now_ms += STEP;
        rig_turns();
    }
    model_forget(&model, rig_stats().min_ms);
}

/* Of one series, or of all. */
static enum quarry_status store_delete(int64_t number, int64_t min_ms, int64_t max_ms)
{
    const struct quarry_tsdb_labels labels = rig_labels(number < 0 ? 0 : (uint32_t)number);
    struct quarry_tsdb_matcher matchers[3];

    for (size_t i = 0; i < labels.count; i++) {
        matchers[i] = (struct quarry_tsdb_matcher){QUARRY_TSDB_EQUAL, labels.labels[i].name,
                                                   labels.labels[i].value};
    }
    const struct quarry_tsdb_query query = {.matchers = matchers,
                                            .matcher_count = number < 0 ? 0 : labels.count,
                                            .min_ms = min_ms,
                                            .max_ms = max_ms};
    return quarry_tsdb_delete(rig.tsdb, &query, 1, NULL);
}

static void model_delete(int64_t number, int64_t min_ms, int64_t max_ms)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct model_series *series = &model.series[i];
        size_t kept = 0;
        for (size_t k = 0; k < series->count; k++) {
            bool is_deleted = (number < 0 || number == (int64_t)i) &&
                              series->samples[k].t_ms >= min_ms &&
                              series->samples[k].t_ms <= max_ms;
            series->samples[kept] = series->samples[k];
            kept += !is_deleted;
        }
        series->count = kept;
    }
}

static void delete_both(int64_t number, int64_t min_ms, int64_t max_ms)
{
    assert_int_equal(store_delete(number, min_ms, max_ms), QUARRY_OK);
    model_delete(number, min_ms, max_ms);
}

static void check(void)
{
    rig_assert_valid();
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

static uint64_t sealed_samples(void)
{
    struct quarry_tsdb_window windows[12];
    size_t count = quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));
    uint64_t samples = 0;

    for (size_t i = 0; i < count; i++) {
        samples += windows[i].sealed_shard_count == 64 ? windows[i].sample_count : 0;
    }
    return samples;
}

/* ---- one after another ---------------------------------------------------------------------- */

static void what_is_deleted_stays_so(void **state)
{
    (void)state;
    open_and_wait();
    live_steps(5 * WINDOW / STEP);
    delete_both(3, T0 + 2 * STEP, T0 + 5 * STEP);     /* sealed */
    delete_both(1, T0, INT64_MAX);                    /* histograms, of all windows */
    delete_both(5, now_ms - 3 * STEP, now_ms - STEP); /* open */
    check();
    assert_int_equal(rig_stats().tombstone_count, 3);
    kill_and_open(100);
    check();
    rig_close();
    open_and_wait();
    check();
    kill_and_open(0); /* what was synced alone */
    rig_assert_valid();
    assert_int_equal(rig_stats().tombstone_count, 3);
}

/* As Prometheus does: the span ends with the last sample there was. */
static void what_comes_behind_is_seen(void **state)
{
    struct quarry_tsdb_sample samples[4];

    (void)state;
    open_and_wait();
    live_steps(4);
    delete_both(-1, INT64_MIN, INT64_MAX);
    check();
    put(0, now_ms);
    check();
    const struct quarry_tsdb_sample late = {T0 + STEP + 7, 1};
    assert_int_equal(rig_append_many(2, &late, 1), QUARRY_OK);
    assert_int_equal(rig_read(2, T0, now_ms, samples, 4), 0); /* in a span that was deleted */
    kill_and_open(100);
    check();
}

static void cleaning_gives_memory_back(void **state)
{
    (void)state;
    open_and_wait();
    live_steps(6 * WINDOW / STEP);
    uint64_t before = sealed_samples();
    delete_both(1, INT64_MIN, INT64_MAX);
    delete_both(2, T0 + WINDOW, T0 + 3 * WINDOW);
    delete_both(4, T0 + WINDOW + STEP, T0 + WINDOW + 2 * STEP);
    assert_int_equal(sealed_samples(), before);
    assert_int_equal(quarry_tsdb_clean(rig.tsdb, NULL), QUARRY_OK);
    assert_true(sealed_samples() < before - 60);
    assert_int_equal(rig_stats().tombstone_count, 1); /* the open windows' */
    check();
    const struct quarry_tsdb_sample sample = {T0 + WINDOW + STEP, 9};
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(4), .samples = &sample, .sample_count = 1};
    const struct quarry_tsdb_request request = {
        .fills_past = true, .entries = &entry, .entry_count = 1};
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    model_put(&model, 4, sample); /* what is clean takes samples again */
    check();
    kill_and_open(100);
    check();
    live_steps(3 * WINDOW / STEP); /* the open ones are sealed without them */
    assert_int_equal(quarry_tsdb_clean(rig.tsdb, NULL), QUARRY_OK);
    assert_int_equal(rig_stats().tombstone_count, 0);
    kill_and_open(100);
    check();
}

static void a_series_has_so_many_spans(void **state)
{
    (void)state;
    open_and_wait();
    live_steps(40);
    for (int64_t i = 0; i < 16; i++) {
        delete_both(0, T0 + 2 * i * STEP, T0 + 2 * i * STEP);
    }
    check();
    assert_int_equal(store_delete(0, T0 + 34 * STEP, T0 + 34 * STEP), QUARRY_TOO_MANY);
    check();                                /* nothing has changed */
    delete_both(0, T0 + 1, T0 + 30 * STEP); /* joins them */
    delete_both(0, T0 + 34 * STEP, T0 + 34 * STEP);
    assert_int_equal(rig_stats().tombstone_count, 4);
    check();
}

static void any_history_is_as_the_model_says(void **state)
{
    (void)state;
    open_and_wait();
    for (uint32_t round = 0; round < ROUNDS(60u, 20u); round++) {
        live_steps((uint32_t)(random_u64(&dice) % 9));
        int64_t from_ms = T0 + (int64_t)(random_u64(&dice) % (uint64_t)(now_ms - T0 + 1));
        int64_t number = (int64_t)(random_u64(&dice) % (SERIES + 1)) - 1;
        delete_both(number, from_ms, from_ms + (int64_t)(random_u64(&dice) % 700000));
        switch (random_u64(&dice) % 5) {
        case 0:
            kill_and_open(100);
            break;
        case 1:
            rig_close();
            open_and_wait();
            break;
        case 2:
        case 3:
            assert_int_equal(quarry_tsdb_clean(rig.tsdb, NULL), QUARRY_OK);
            break;
        default:
            break;
        }
        check();
    }
}

/* ---- what fails ----------------------------------------------------------------------------- */

/* Each call of the disk fails once: nothing is deleted, until it is asked for again. */
static void every_call_may_fail(void **state)
{
    bool has_failed = true;

    (void)state;
    open_and_wait();
    live_steps(4 * WINDOW / STEP);
    for (uint64_t index = 1; has_failed; index++) {
        const struct quarry_vfs_fault fault = {.first = index, .count = 1, .status = QUARRY_IO};
        int64_t from_ms = T0 + (int64_t)(index % 70) * STEP, number = (int64_t)(index % SERIES);
        assert_true(index < 200);
        quarry_vfs_fault_set(vfs, 0, &fault);
        enum quarry_status status = store_delete(number, from_ms, from_ms);
        quarry_vfs_fault_set(vfs, 0, NULL);
        has_failed = status != QUARRY_OK;
        if (status == QUARRY_OK) {
            model_delete(number, from_ms, from_ms);
        }
        check();          /* the process goes on as it was, whatever the disk has */
        if (has_failed) { /* and is told so once more */
            delete_both(number, from_ms, from_ms);
            kill_and_open(100);
            check();
        }
    }
    check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_is_deleted_stays_so),         TEST(what_comes_behind_is_seen),
        TEST(cleaning_gives_memory_back),       TEST(a_series_has_so_many_spans),
        TEST(any_history_is_as_the_model_says), TEST(every_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
