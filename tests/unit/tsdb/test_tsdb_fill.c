/*
 * Filling windows that are sealed: samples of long ago beside a model, through sealing anew, ends
 * of the process and purges; what it costs in memory; and what is refused.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <quarry/vfs.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define T0     INT64_C(1600000000000)
#define WINDOW INT64_C(1000000)
#define STEP   INT64_C(50000)
#define SERIES 40u
#define KEPT   6u

static struct quarry_vfs *disk;
static struct model model;
static uint64_t dice, lost_count;
static int64_t now_ms; /* of the next live step */

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    (void)loss;
    lost_count++;
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    rig.options.window_count = KEPT;
    rig.options.fill_quiet_ms = -1;
    rig.options.lost = on_lost;
    lost_count = 0;
    dice = 5;
    now_ms = T0;
    model_init(&model, SERIES);
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    model_fini(&model);
    quarry_vfs_memory_destroy(disk);
    return result;
}

/* Samples of a series at once, of whatever is kept. */
static enum quarry_status fill_many(uint32_t number, const struct quarry_tsdb_sample *samples,
                                    size_t count)
{
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(number), .samples = samples, .sample_count = count};
    const struct quarry_tsdb_request request = {
        .fills_past = true, .entries = &entry, .entry_count = 1};

    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void put(uint32_t number, int64_t t_ms, bool is_live)
{
    struct quarry_tsdb_sample sample = {t_ms, random_u64(&dice)};
    enum quarry_status status =
        is_live ? rig_append_many(number, &sample, 1) : fill_many(number, &sample, 1);

    assert_int_equal(status, QUARRY_OK);
    model_put(&model, number, sample);
}

/* A sample of most series, as time goes by: some series are there now and then only. */
static void live_steps(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t number = 0; number < SERIES - 5; number++) {
            if (number % 4 != 0 || random_u64(&dice) % 3 == 0) {
                put(number, now_ms, true);
            }
        }
        now_ms += STEP;
        rig_turns();
    }
    model_forget(&model, rig_stats().min_ms);
}

static int64_t kept_min_ms(void)
{
    return ((now_ms - STEP) / WINDOW - KEPT) * WINDOW;
}

/* Some samples of any time that is kept, of any series, those that were never live as well. */
static void fill_some(uint32_t count)
{
    int64_t min_ms = kept_min_ms();

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)(random_u64(&dice) % SERIES);
        uint64_t span_ms = (uint64_t)(now_ms - STEP - min_ms);
        int64_t t_ms = min_ms + (int64_t)(random_u64(&dice) % span_ms);
        put(number, t_ms | 1, false); /* no moment of live samples */
    }
}

static void check(void)
{
    rig_assert_valid();
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

/* Whether all windows are sealed, but the newest two. */
static bool all_is_sealed(void)
{
    struct quarry_tsdb_window windows[KEPT + 2];
    size_t count = quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));

    for (size_t i = 0; i + 2 < count; i++) {
        if (windows[i].sealed_shard_count != 64 || windows[i].open_bytes != 0) {
            return false;
        }
    }
    return true;
}

/* ---- in memory ------------------------------------------------------------------------------ */

static void samples_of_any_window_that_is_kept_come_back(void **state)
{
    (void)state;
    rig_open();
    live_steps(9 * WINDOW / STEP);
    for (uint32_t round = 0; round < ROUNDS(42u, 21u); round++) {
        fill_some((uint32_t)(random_u64(&dice) % 60));
        check(); /* merged */
        for (uint64_t turns = random_u64(&dice) % 200; turns > 0; turns--) {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
        check(); /* half of it sealed anew */
        fill_some((uint32_t)(random_u64(&dice) % 20));
        check();
        if (round % 3 == 0) {
            rig_turns();
            assert_true(all_is_sealed());
            check();
        }
        live_steps((uint32_t)(random_u64(&dice) % 7));
        if (round % 20 == 19) {
            fill_some(30);
            assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_OK);
            model_forget(&model, rig_stats().min_ms);
            check();
        }
    }
    assert_true(rig_stats().filling_count > 20);
}

/* The one that was there first stays, of two values of one moment; a series is found by a query
 * that began before. */
static void what_was_sealed_stays(void **state)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;

    (void)state;
    rig_open();
    live_steps(4 * WINDOW / STEP);
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    quarry_tsdb_cursor_series(cursor, 0);
    for (uint32_t i = 0; i < WINDOW / STEP; i++) {
        put(1, T0 + i * STEP, false);     /* another value: the first stays */
        put(1, T0 + i * STEP + 1, false); /* and behind it */
        put(1, T0 + i * STEP + 1, false); /* the second of these is none */
    }
    check();
    rig_turns();
    check();
    assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_OK);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    check();
}

static void what_is_not_kept_is_refused(void **state)
{
    struct quarry_tsdb_sample sample = {0, 1};

    (void)state;
    rig_open();
    live_steps(9 * WINDOW / STEP);
    sample.t_ms = kept_min_ms() - 1;
    assert_int_equal(fill_many(1, &sample, 1), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_TOO_OLD);
    sample.t_ms = kept_min_ms() + 1;
    assert_int_equal(rig_append_many(1, &sample, 1), QUARRY_BAD_INPUT); /* nothing live is late */
    assert_int_equal(fill_many(1, &sample, 1), QUARRY_OK);
    model_put(&model, 1, sample);
    check();
}

/* With a span for late samples of more than a window whoever writes fills. */
static void a_sender_that_catches_up_fills(void **state)
{
    (void)state;
    rig.options.out_of_order_ms = 4 * WINDOW;
    rig_open();
    live_steps(8 * WINDOW / STEP);
    int64_t from_ms = now_ms - STEP - 4 * WINDOW;
    for (int64_t t_ms = from_ms; t_ms < now_ms - STEP; t_ms += 7000) {
        put(SERIES - 1, t_ms, true);
        put(2, t_ms | 1, true);
        if (t_ms % 3 == 0) {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
    }
    check();
    struct quarry_tsdb_sample sample = {from_ms - 1, 1};
    assert_int_equal(rig_append_many(1, &sample, 1), QUARRY_BAD_INPUT);
    rig_turns();
    assert_true(all_is_sealed());
    check();
}

/* Sealing anew takes a shard more than there is, not a window. */
static void filling_costs_what_comes(void **state)
{
    struct quarry_tsdb_sample samples[1000];
    struct quarry_tsdb_window before;

    (void)state;
    rig_open();
    for (uint32_t number = 0; number < 256; number++) {
        for (uint32_t i = 0; i < 1000; i++) {
            samples[i] = (struct quarry_tsdb_sample){T0 + i * 1000, random_u64(&dice)};
        }
        assert_int_equal(fill_many(number, samples, 1000), QUARRY_OK);
    }
    samples[0].t_ms = T0 + 3 * WINDOW;
    assert_int_equal(rig_append_many(0, samples, 1), QUARRY_OK);
    rig_turns();
    assert_true(quarry_tsdb_windows(rig.tsdb, &before, 1) > 1);
    assert_true(before.sealed_bytes > Q_MIB(2));
    for (uint32_t number = 0; number < 256; number++) {
        samples[0].t_ms = T0 + 1;
        assert_int_equal(fill_many(number, samples, 1), QUARRY_OK);
    }
    uint64_t most_bytes = 0;
    for (bool goes_on = true; goes_on;) {
        struct quarry_tsdb_stats stats = rig_stats();
        most_bytes = stats.sealed_bytes > most_bytes ? stats.sealed_bytes : most_bytes;
        goes_on = quarry_tsdb_turn(rig.tsdb);
    }
    /* A shard, and a page of each that is shared with its neighbour. */
    uint64_t more_bytes = before.sealed_bytes / 64 + UINT64_C(66) * QUARRY_PAGE_BYTES;
    if (most_bytes > before.sealed_bytes + more_bytes) {
        fail_msg("%llu bytes, from %llu", (unsigned long long)most_bytes,
                 (unsigned long long)before.sealed_bytes);
    }
    rig_assert_valid();
}

/* Memory runs out: what is of the newest window has the oldest go, what is older is refused. */
static void no_window_goes_for_samples_of_the_past(void **state)
{
    struct quarry_tsdb_sample samples[100];
    enum quarry_status status = QUARRY_OK;

    (void)state;
    rig.options.memory_bytes = Q_MIB(8);
    rig_open();
    live_steps(4 * WINDOW / STEP);
    for (uint32_t i = 0; status == QUARRY_OK; i++) {
        for (uint32_t k = 0; k < COUNT_OF(samples); k++) {
            samples[k] = (struct quarry_tsdb_sample){
                T0 + (int64_t)(random_u64(&dice) % (uint64_t)WINDOW), random_u64(&dice)};
        }
        assert_true(i < 20000);
        status = fill_many(i % 1000, samples, COUNT_OF(samples));
    }
    assert_int_equal(status, QUARRY_NO_MEMORY);
    assert_int_equal(rig_stats().purged_window_count, 0);
    rig_assert_valid();
    for (uint32_t i = 0; rig_stats().purged_window_count == 0; i++) {
        for (uint32_t k = 0; k < COUNT_OF(samples); k++) {
            samples[k] =
                (struct quarry_tsdb_sample){now_ms + i * INT64_C(100) + k, random_u64(&dice)};
        }
        assert_true(i < 5000);
        assert_int_equal(fill_many(i % 1000, samples, COUNT_OF(samples)), QUARRY_OK);
    }
    assert_int_equal(rig_stats().early_window_count, 1);
    rig_assert_valid();
}

/* A series' samples that wait want more memory to be sealed than there is: the windows behind it
 * are sealed all the same, and this one when there is some. */
static void a_filling_without_room_keeps_nothing_from_being_sealed(void **state)
{
    const struct quarry_account_options options = {.name = "above"};
    struct quarry_tsdb_window windows[KEPT + 2];
    struct quarry_tsdb_sample samples[500];
    struct quarry_account_state charged;
    struct quarry_account *above = NULL;

    (void)state;
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig_open();
    live_steps(3 * WINDOW / STEP);
    for (uint32_t i = 0; i < 120; i++) {
        for (uint32_t k = 0; k < COUNT_OF(samples); k++) {
            samples[k] = (struct quarry_tsdb_sample){T0 + i * INT64_C(500) + k, random_u64(&dice)};
            model_put(&model, 1, samples[k]);
        }
        assert_int_equal(fill_many(1, samples, COUNT_OF(samples)), QUARRY_OK);
    }
    quarry_account_read(above, &charged);
    assert_int_equal(quarry_account_set_bounds(above, 0, charged.charged_bytes + Q_MIB(2)),
                     QUARRY_OK);
    live_steps(2 * WINDOW / STEP);
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.open_filling_count, 1);
    assert_true(stats.filling_failed_count > 0);
    size_t count = quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));
    assert_true(count >= 5 && windows[0].sealed_shard_count < 64);
    for (size_t i = 1; i + 2 < count; i++) {
        assert_int_equal(windows[i].sealed_shard_count, 64);
    }
    assert_int_equal(quarry_account_set_bounds(above, 0, 0), QUARRY_OK);
    check();
    while (rig_stats().open_filling_count != 0) { /* its pause is over sometime */
        rig_turns();
    }
    assert_true(all_is_sealed());
    check();
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_OK);
    rig.tsdb = NULL;
    quarry_account_destroy(above);
}

/* ---- histograms ----------------------------------------------------------------------------- */

static void histogram_put(int64_t t_ms, bool is_live)
{
    const uint64_t counts[] = {(uint64_t)t_ms % 977, 3};
    const struct quarry_tsdb_span span = {-1, COUNT_OF(counts)};
    const struct quarry_tsdb_histogram histogram = {.t_ms = t_ms,
                                                    .schema = 3,
                                                    .sum_bits = (uint64_t)t_ms * 3,
                                                    .count = counts[0] + counts[1],
                                                    .positive = {&span, counts, 1, 2}};
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(0), .histograms = &histogram, .histogram_count = 1};
    const struct quarry_tsdb_request request = {
        .fills_past = !is_live, .entries = &entry, .entry_count = 1};

    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
}

/* Of the times that are a multiple of 1,000: at 0 of 4 and 2 histograms, at 1 a float, at 3
 * nothing. */
static void mixture_check(void)
{
    const struct quarry_tsdb_query query = {.min_ms = T0, .max_ms = T0 + WINDOW - 1};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;
    int64_t next_ms = T0;

    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    assert_int_equal(quarry_tsdb_set_count(set), 1);
    quarry_tsdb_cursor_series(cursor, 0);
    while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
        for (uint32_t i = 0; i < block.count; i++) {
            int64_t kind = (next_ms - T0) / 1000 % 4;
            assert_true(block.t_ms[i] == next_ms);
            assert_int_equal(block.histograms != NULL, kind != 1);
            assert_true(block.bits[i] == (kind == 1 ? 7 : (uint64_t)next_ms * 3));
            if (kind != 1) {
                assert_int_equal(block.histograms[i].positive.buckets[0], next_ms % 977);
            }
            next_ms += kind == 2 ? 2000 : 1000;
        }
    }
    assert_true(next_ms == T0 + WINDOW);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    rig_assert_valid();
}

static void histograms_and_floats_fill(void **state)
{
    struct quarry_tsdb_sample sample = {0, 7};

    (void)state;
    rig_open();
    for (int64_t t_ms = T0; t_ms < T0 + WINDOW; t_ms += 4000) {
        histogram_put(t_ms, true);
    }
    histogram_put(T0 + 3 * WINDOW, true);
    rig_turns();
    for (int64_t t_ms = T0 + WINDOW - 2000; t_ms > T0; t_ms -= 4000) {
        histogram_put(t_ms, false);
        sample.t_ms = t_ms - 1000;
        assert_int_equal(fill_many(0, &sample, 1), QUARRY_OK);
    }
    mixture_check();
    rig_turns();
    assert_true(all_is_sealed());
    mixture_check();
}

/* ---- threads -------------------------------------------------------------------------------- */

#define FILLERS 3u
#define FILLED  ROUNDS(1200u, 240u) /* samples of each, over four windows */

static _Atomic uint32_t fillers_left;

static uint64_t bits_at(uint32_t number, int64_t t_ms)
{
    return (uint64_t)t_ms * 2654435761u + number;
}

/* Its own series, over and over the windows that are sealed. */
static void *fill_steps(void *argument)
{
    uint32_t number = (uint32_t)(uintptr_t)argument;

    for (uint32_t i = 0; i < FILLED; i++) {
        int64_t t_ms = T0 + (i % 4) * WINDOW + 1 + i;
        const struct quarry_tsdb_sample sample = {t_ms, bits_at(number, t_ms)};
        const struct quarry_tsdb_entry entry = {
            .labels = rig_labels(number), .samples = &sample, .sample_count = 1};
        const struct quarry_tsdb_request request = {
            .fills_past = true, .entries = &entry, .entry_count = 1};
        struct quarry_tsdb_result result;
        enum quarry_status status;
        do { /* while others seal it is refused for a moment, now and then */
            status = quarry_tsdb_append(rig.tsdb, &request, &result);
        } while (status == QUARRY_NO_MEMORY);
        Q_ASSERT(status == QUARRY_OK);
    }
    (void)atomic_sub_acq_rel_u32(&fillers_left, 1);
    return NULL;
}

/* Reads a series: what is there is right, and rises. Returns: how many. */
static size_t series_read(uint32_t number)
{
    static struct quarry_tsdb_sample samples[FILLED + 400];
    size_t count = rig_read(number, INT64_MIN, INT64_MAX, samples, COUNT_OF(samples));

    assert_true(count <= COUNT_OF(samples));
    for (size_t i = 0; i < count; i++) {
        assert_true(samples[i].bits == bits_at(number, samples[i].t_ms));
        assert_true(i == 0 || samples[i].t_ms > samples[i - 1].t_ms);
    }
    return count;
}

/* With a thread that seals at once what is filled. */
static void threads_fill_while_it_is_sealed_and_read(void **state)
{
    pthread_t threads[FILLERS];
    uint32_t live_count = 5 * WINDOW / STEP;
    size_t before[FILLERS] = {0};

    (void)state;
    rig.options.has_no_thread = false;
    rig_open();
    for (uint32_t i = 0; i < live_count; i++) {
        for (uint32_t number = 0; number < FILLERS; number++) {
            int64_t t_ms = T0 + i * STEP;
            assert_int_equal(rig_append(number, t_ms, bits_at(number, t_ms)), QUARRY_OK);
        }
    }
    atomic_store_relaxed_u32(&fillers_left, FILLERS);
    for (uint32_t i = 0; i < FILLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fill_steps, (void *)(uintptr_t)i), 0);
    }
    while (atomic_load_relaxed_u32(&fillers_left) != 0) {
        for (uint32_t number = 0; number < FILLERS; number++) {
            size_t count = series_read(number);
            assert_true(count >= before[number]); /* nothing goes while it is sealed anew */
            before[number] = count;
        }
    }
    for (uint32_t i = 0; i < FILLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(series_read(i), live_count + FILLED);
    }
    assert_true(rig_stats().filling_count >= 1);
}

/* ---- with a directory ----------------------------------------------------------------------- */

static void open_and_wait(void)
{
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
}

/* What a process that is killed leaves: all files as they are, and no end. */
static void kill_process(void)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(disk, 100, 1, &left), QUARRY_OK);
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    quarry_vfs_memory_destroy(disk);
    disk = left;
    rig.options.vfs = disk;
}

static void kill_and_open(void)
{
    kill_process();
    open_and_wait();
}

static void what_was_filled_survives(void **state)
{
    (void)state;
    rig.options.directory = "/data";
    rig.options.vfs = disk;
    rig.options.log_segment_bytes = Q_KIB(16);
    open_and_wait();
    live_steps(9 * WINDOW / STEP);
    for (uint32_t round = 0; round < ROUNDS(30u, 10u); round++) {
        fill_some((uint32_t)(random_u64(&dice) % 60));
        for (uint64_t turns = random_u64(&dice) % 300; turns > 0; turns--) {
            (void)quarry_tsdb_turn(rig.tsdb); /* some of it sealed, or written */
        }
        fill_some((uint32_t)(random_u64(&dice) % 9));
        if (random_u64(&dice) % 3 == 0) {
            rig_close();
            open_and_wait();
        } else {
            kill_and_open();
        }
        check();
        if (random_u64(&dice) % 3 == 0) {
            rig_turns();
            assert_true(all_is_sealed());
            /* What is written is not replayed once more. */
            kill_and_open();
            struct quarry_tsdb_stats stats = rig_stats();
            assert_true(stats.replayed_count <= 2 * WINDOW / STEP * SERIES + 40);
            check();
        }
        live_steps((uint32_t)(random_u64(&dice) % 9));
    }
    check();
}

/* Overwrites both heads of a window's file. */
static void heads_destroy(const char *path)
{
    static const char zeros[128];
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count = 0;
    bool is_directory;

    assert_int_equal(quarry_vfs_stat(disk, path, &byte_count, &is_directory, NULL), QUARRY_OK);
    assert_true(byte_count > 2 * sizeof zeros);
    assert_int_equal(quarry_vfs_open(disk, path, QUARRY_VFS_WRITE, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 0, zeros, sizeof zeros, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, byte_count - sizeof zeros, zeros, sizeof zeros, NULL),
                     QUARRY_OK);
    quarry_vfs_close(file);
}

static uint64_t bytes_of(const char *path)
{
    uint64_t byte_count = 0;
    bool is_directory;

    assert_int_equal(quarry_vfs_stat(disk, path, &byte_count, &is_directory, NULL), QUARRY_OK);
    return byte_count;
}

/* The log has what filled a window, whose file, with all else, has lost its heads: it is kept. */
static void a_damaged_file_is_kept_beside_the_log_of_its_filling(void **state)
{
    char path[64], aside[80];
    struct quarry_tsdb_loss losses[4];
    struct quarry_tsdb_sample samples[4];

    (void)state;
    rig.options.directory = "/data";
    rig.options.vfs = disk;
    (void)snprintf(path, sizeof path, "/data/window-%lld.qtw", (long long)(T0 / WINDOW));
    for (uint32_t round = 1; round <= 2; round++) {
        (void)snprintf(aside, sizeof aside, "%s.damaged%s", path, round == 1 ? "" : "-2");
        open_and_wait();
        if (round == 1) {
            live_steps(4 * WINDOW / STEP); /* sealed, and written */
        }
        put(SERIES - 1, T0 + 10 + round, false);
        kill_process();
        heads_destroy(path);
        uint64_t byte_count = bytes_of(path);
        lost_count = 0;
        open_and_wait();
        assert_int_equal(lost_count, 2); /* what was in it; and where it is now */
        assert_int_equal(quarry_tsdb_losses(rig.tsdb, losses, COUNT_OF(losses)), 2);
        assert_int_equal(losses[1].kind, QUARRY_TSDB_LOSS_SET_ASIDE);
        assert_string_equal(losses[1].file, aside + strlen("/data/"));
        assert_int_equal(bytes_of(aside), byte_count);
        assert_int_equal(rig_read(SERIES - 1, T0, T0 + WINDOW - 1, samples, 4), 1);
        assert_int_equal(samples[0].t_ms, T0 + 10 + round);
        rig_turns(); /* sealed, and written beside it */
        assert_true(bytes_of(path) != 0);
        assert_int_equal(bytes_of(aside), byte_count);
        rig_close();
    }
}

/* A process that does not log went on with a log, and wrote the window's file. That is damaged
 * before the log has gone: it has more than the log all the same. */
static void a_log_that_lacks_samples_is_not_taken_for_a_damaged_file(void **state)
{
    char path[64];
    uint8_t byte;
    size_t count = 0;

    (void)state;
    rig.options.directory = "/data";
    rig.options.vfs = disk;
    (void)snprintf(path, sizeof path, "/data/window-%lld.qtw", (long long)(T0 / WINDOW));
    open_and_wait();
    for (uint32_t number = 0; number < 20; number++) {
        assert_int_equal(rig_append(number, T0, number), QUARRY_OK);
    }
    kill_process();
    rig.options.durability = QUARRY_TSDB_DURABILITY_NONE;
    open_and_wait();
    for (uint32_t number = 0; number < 20; number++) {
        assert_int_equal(rig_append(number, T0 + 1000, number + 1), QUARRY_OK);
    }
    assert_int_equal(rig_append(0, T0 + 3 * WINDOW, 7), QUARRY_OK);
    while (rig_stats().saved_window_count == 0) { /* and the log is there still */
        assert_true(quarry_tsdb_turn(rig.tsdb));
    }
    kill_process();
    struct quarry_vfs_file *file = NULL;
    assert_int_equal(quarry_vfs_open(disk, path, QUARRY_VFS_WRITE, &file, NULL), QUARRY_OK);
    uint64_t at = bytes_of(path) / 2; /* between the infos, of the columns */
    assert_int_equal(quarry_vfs_read(file, at, &byte, 1, &count, NULL), QUARRY_OK);
    byte ^= 0x10;
    assert_int_equal(quarry_vfs_write(file, at, &byte, 1, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    uint64_t byte_count = bytes_of(path);
    open_and_wait();
    assert_true(lost_count > 0);
    rig_turns();
    assert_int_equal(bytes_of(path), byte_count); /* neither removed nor written over */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(samples_of_any_window_that_is_kept_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_sealed_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_kept_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sender_that_catches_up_fills, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filling_costs_what_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_window_goes_for_samples_of_the_past, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_filling_without_room_keeps_nothing_from_being_sealed,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms_and_floats_fill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_fill_while_it_is_sealed_and_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_filled_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_that_lacks_samples_is_not_taken_for_a_damaged_file,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_kept_beside_the_log_of_its_filling,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
