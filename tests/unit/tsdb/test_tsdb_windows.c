/*
 * Windows through their lives: 36 hours of samples against a model, what sealing and purging cost
 * in memory, series that go, and what is given up when memory runs out.
 */
#include "unit/tsdb/store_rig.h"

#include <stdlib.h>

#include <base/base.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define T0     INT64_C(1600000000000)
#define HOUR   INT64_C(3600000)
#define STALE  QUARRY_TSDB_STALE_BITS
#define SECOND INT64_C(1000)

static uint64_t dice;

static uint64_t bits_of(double value)
{
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- 36 hours ------------------------------------------------------------------------------- */

#define SERIES ROUNDS(300u, 100u)

/* One series' ways. */
struct source {
    int64_t next_ms, step_ms;
    uint32_t kind;
    double value;
};
static struct source sources[SERIES];

static uint64_t source_bits(struct source *source)
{
    uint64_t r = random_u64(&dice);

    if (r % 997 == 0) {
        return STALE;
    }
    switch (source->kind) {
    case 0: /* a counter */
        source->value += (double)(r % 50);
        return bits_of(source->value);
    case 1: /* a gauge of hundredths */
        source->value += (double)(int64_t)(r % 21) - 10;
        return bits_of(source->value / 100);
    case 2: /* always the same */
        return bits_of(42);
    default: /* any bits */
        return r;
    }
}

static void sources_begin(void)
{
    static const int64_t steps[] = {15, 60, 30, 300};

    dice = 36;
    for (uint32_t i = 0; i < SERIES; i++) {
        sources[i] = (struct source){.step_ms = steps[i % 4] * SECOND, .kind = i / 4 % 4};
        sources[i].next_ms = T0 + (int64_t)(random_u64(&dice) % 60000);
    }
}

/* All samples until a time, in requests of what is due each minute; some of them late. */
static void minute_append(struct model *model, int64_t until_ms)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct quarry_tsdb_sample samples[8];
        size_t count = 0;
        while (sources[i].next_ms < until_ms) {
            samples[count] =
                (struct quarry_tsdb_sample){sources[i].next_ms, source_bits(&sources[i])};
            model_put(model, i, samples[count]);
            count++;
            sources[i].next_ms += sources[i].step_ms;
        }
        if (count != 0) {
            assert_int_equal(rig_append_many(i, samples, count), QUARRY_OK);
            assert_int_equal(rig_result.taken_count, count);
        }
    }
}

/* Samples up to nine minutes late, of moments between others'. */
static void late_append(struct model *model, int64_t now_ms)
{
    for (uint32_t k = 0; k < 5; k++) {
        uint32_t i = (uint32_t)(random_u64(&dice) % SERIES);
        struct quarry_tsdb_sample sample = {now_ms - 60000 - (int64_t)(random_u64(&dice) % 480000),
                                            random_u64(&dice)};
        sample.t_ms -= sample.t_ms % 15000 - 7; /* a moment that no series is sampled at */
        if (rig_append_many(i, &sample, 1) == QUARRY_OK) {
            model_put(model, i, sample);
        }
    }
}

/* Pages charged to samples, what of them holds some, and pages whose ends may be free: one for each
 * shard that is open, and its window's table of chains. */
static void bytes_of_windows(uint64_t *ret_span, uint64_t *ret_live, uint64_t *ret_ends)
{
    struct quarry_tsdb_window windows[16];
    size_t count = quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));

    *ret_span = *ret_live = *ret_ends = 0;
    for (size_t i = 0; i < count; i++) {
        *ret_span += windows[i].open_bytes + windows[i].sealed_bytes;
        *ret_live += windows[i].open_used_bytes + windows[i].sealed_used_bytes;
        *ret_ends += (64 - windows[i].sealed_shard_count) * QUARRY_PAGE_BYTES;
    }
}

static void every_sample_of_36_hours_comes_back(void **state)
{
    struct model model;
    uint64_t purged_count = 0;

    (void)state;
    rig.options.window_ms = 4 * HOUR;
    rig.options.out_of_order_ms = 0; /* 10 minutes */
    rig.options.in_order_ms = 0;     /* an hour */
    rig.options.window_count = 4;
    rig_open();
    model_init(&model, SERIES);
    sources_begin();
    for (int64_t minute = 1; minute <= 36 * 60; minute++) {
        minute_append(&model, T0 + minute * 60000);
        if (minute > 15) {
            late_append(&model, T0 + minute * 60000);
        }
        if (minute % 7 == 0) {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
        if (rig_stats().purged_window_count != purged_count) {
            purged_count = rig_stats().purged_window_count;
            model_forget(&model, rig_stats().min_ms);
            model_compare(&model);
        }
    }
    model_compare(&model);
    rig_turns();
    rig_assert_valid();
    model_compare(&model);
    assert_true(purged_count >= 4);
    assert_true(rig_stats().late_count > 1000);
    model_fini(&model);
}

/* ---- what sealing and purging cost ---------------------------------------------------------- */

#define MANY 4096u

/* One sample of each of MANY series, with a key, in one request; `wanders`: any bits. */
static void many_append(int64_t t_ms, bool wanders)
{
    static struct quarry_tsdb_entry entries[MANY];
    static struct quarry_tsdb_sample samples[MANY];
    static char keys[MANY][8];
    static struct quarry_tsdb_label labels[MANY][1];
    const struct quarry_tsdb_request request = {.entries = entries, .entry_count = MANY};
    struct quarry_tsdb_result result;

    for (uint32_t i = 0; i < MANY; i++) {
        for (uint32_t k = 0; k < 8; k++) {
            keys[i][k] = (char)('a' + (i >> (2 * k) & 3));
        }
        labels[i][0] = (struct quarry_tsdb_label){QUARRY_TSDB_TEXT("name"), {keys[i], 8}};
        samples[i] = (struct quarry_tsdb_sample){
            t_ms, wanders ? random_u64(&dice) : bits_of((double)(t_ms / 1000 % 977 * (i % 7)))};
        entries[i] = (struct quarry_tsdb_entry){.key = {keys[i], 8},
                                                .labels = {labels[i], 1},
                                                .samples = &samples[i],
                                                .sample_count = 1};
    }
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &result), QUARRY_OK);
    assert_int_equal(result.taken_count, MANY);
}

static void after_each_purge_a_hundredth_is_slack_at_most(void **state)
{
    uint64_t purged_count = 0, visited_count;

    (void)state;
    rig.options.window_ms = 400 * SECOND;
    rig.options.in_order_ms = 100 * SECOND;
    rig_open();
    for (int64_t i = 0; i < 1200; i++) {
        visited_count = rig_stats().visited_series_count;
        many_append(T0 + i * 4 * SECOND, true);
        if (rig_stats().purged_window_count != purged_count) {
            uint64_t span_bytes, live_bytes, end_bytes;
            purged_count = rig_stats().purged_window_count;
            /* The purge was this request's. */
            assert_int_equal(rig_stats().visited_series_count, visited_count);
            rig_turns();
            bytes_of_windows(&span_bytes, &live_bytes, &end_bytes);
            assert_int_equal(rig_stats().open_bytes + rig_stats().sealed_bytes, span_bytes);
            if (span_bytes - live_bytes > live_bytes / 100 + end_bytes / 2) {
                fail_msg("%llu bytes of pages, %llu in use", (unsigned long long)span_bytes,
                         (unsigned long long)live_bytes);
            }
        } else {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
    }
    assert_true(purged_count >= 3);
}

static void sealing_takes_a_64th_more_at_its_peak(void **state)
{
    uint64_t window_bytes, most_bytes = 0;

    (void)state;
    rig.options.window_ms = 1000 * SECOND;
    rig_open();
    dice = 5;
    int64_t start_ms = T0 - T0 % (1000 * SECOND);
    for (int64_t i = 0; i < 200; i++) { /* bits that no column makes shorter */
        many_append(start_ms + i * 5 * SECOND, true);
    }
    window_bytes = rig_stats().open_bytes;
    many_append(start_ms + 1250 * SECOND, true);
    uint64_t before_bytes = rig_stats().charged_bytes;
    while (quarry_tsdb_turn(rig.tsdb)) {
        uint64_t now_bytes = rig_stats().charged_bytes;
        most_bytes = now_bytes > most_bytes ? now_bytes : most_bytes;
    }
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    /* The accounts' own peak sees what was there in between, too. */
    assert_true(rig_stats().peak_bytes <= before_bytes + window_bytes / 64 + Q_KIB(512));
    assert_true(most_bytes <= before_bytes + window_bytes / 64 + Q_KIB(512));
    assert_true(rig_stats().charged_bytes < before_bytes);
}

static void a_purged_window_gives_all_of_its_pages_back(void **state)
{
    struct quarry_ledger ledger;

    (void)state;
    rig.options.window_count = 1;
    rig_open();
    for (int64_t i = 0; i < 100; i++) {
        many_append(T0 + i * SECOND, true);
    }
    uint64_t open_bytes = rig_stats().open_bytes;
    assert_true(open_bytes > Q_MIB(3));
    assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_NOT_FOUND);
    (void)quarry_memory_ledger(rig.memory, &ledger, NULL, 0);
    uint64_t in_use_bytes = ledger.in_use_bytes;
    many_append(T0 + 10000 * SECOND, true); /* ten windows on: the old one goes as it is, open */
    assert_int_equal(rig_stats().purged_window_count, 1);
    (void)quarry_memory_ledger(rig.memory, &ledger, NULL, 0);
    assert_true(ledger.in_use_bytes + open_bytes * 3 / 4 < in_use_bytes);
    assert_true(rig_stats().open_bytes < Q_MIB(2));
    rig_turns();
}

/* ---- readers -------------------------------------------------------------------------------- */

static void a_query_keeps_its_windows_and_its_series(void **state)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    struct quarry_tsdb_block block;
    struct quarry_tsdb_label labels[3];

    (void)state;
    rig.options.window_count = 2;
    rig_open();
    for (int64_t i = 0; i < 600; i++) {
        assert_int_equal(rig_append(1, T0 + i, (uint64_t)i), QUARRY_OK);
    }
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_set_count(set), 1);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    quarry_tsdb_cursor_series(cursor, 0);
    assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_OK);
    assert_int_equal(block.count, QUARRY_TSDB_BLOCK_SAMPLES);
    for (int64_t i = 1; i < 6; i++) { /* its window is sealed, then purged */
        assert_int_equal(rig_append(2, T0 + i * 1000 * SECOND, 1), QUARRY_OK);
        rig_turns();
    }
    assert_int_equal(rig_stats().window_count, 3);
    assert_int_equal(rig_stats().series_count, 2); /* the query keeps it */
    assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_OK);
    assert_int_equal(block.t_ms[0], T0 + QUARRY_TSDB_BLOCK_SAMPLES);
    assert_int_equal(block.bits[0], QUARRY_TSDB_BLOCK_SAMPLES);
    assert_int_equal(quarry_tsdb_set_labels(set, 0, labels, 3), 3);
    assert_memory_equal(labels[0].value.bytes, "metric_001", 10);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    rig_turns();
    assert_int_equal(rig_stats().series_count, 1);
}

static void a_cursor_goes_on_where_its_window_was_sealed(void **state)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    struct quarry_tsdb_block block;
    int64_t start_ms = T0 - T0 % (1000 * SECOND), next_ms = start_ms;

    (void)state;
    rig_open();
    for (int64_t i = 0; i < 5000; i++) {
        assert_int_equal(rig_append(1, start_ms + i, (uint64_t)i), QUARRY_OK);
    }
    assert_int_equal(rig_append(1, start_ms + 1500 * SECOND, 5000), QUARRY_OK);
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    quarry_tsdb_cursor_series(cursor, 0);
    for (uint32_t i = 0; i < 5000;) {
        assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_OK);
        for (uint32_t k = 0; k < block.count; k++, i++, next_ms++) {
            assert_int_equal(block.t_ms[k], next_ms);
            assert_int_equal(block.bits[k], i);
        }
        (void)quarry_tsdb_turn(rig.tsdb);
        if (i > 2000) {
            rig_turns();
        }
    }
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_OK);
    assert_int_equal(block.count, 1);
    assert_int_equal(quarry_tsdb_cursor_next(cursor, &block), QUARRY_NOT_FOUND);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
}

/* ---- series --------------------------------------------------------------------------------- */

static void series_go_with_their_last_window(void **state)
{
    (void)state;
    rig.options.window_count = 2;
    rig_open();
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(rig_append(i, T0, i), QUARRY_OK);
    }
    uint64_t registry_bytes = rig_stats().registry_bytes;
    for (int64_t k = 1; k < 5; k++) { /* ten of them go on */
        for (uint32_t i = 0; i < 10; i++) {
            assert_int_equal(rig_append(i, T0 + k * 1000 * SECOND, i), QUARRY_OK);
        }
        rig_turns();
    }
    assert_int_equal(rig_stats().series_count, 10);
    assert_int_equal(rig_stats().removed_series_count, 2990);
    assert_true(rig_stats().registry_bytes < registry_bytes / 2);
    assert_int_equal(rig_append(2000, T0 + 4001 * SECOND, 1), QUARRY_OK); /* and may come back */
    assert_int_equal(rig_result.new_series_count, 1);
}

static void a_series_sampled_often_has_several_entries(void **state)
{
    static struct quarry_tsdb_sample samples[1000];
    struct model model;
    int64_t start_ms = T0 - T0 % (1000 * SECOND);

    (void)state;
    rig_open();
    model_init(&model, 3);
    for (int64_t i = 0; i < 150; i++) {
        for (int64_t k = 0; k < 1000; k++) {
            samples[k] = (struct quarry_tsdb_sample){start_ms + 5 * (1000 * i + k),
                                                     bits_of((double)(k % 90))};
            model_put(&model, 1, samples[k]);
        }
        assert_int_equal(rig_append_many(1, samples, 1000), QUARRY_OK);
    }
    assert_int_equal(rig_append(2, start_ms + 1900 * SECOND, 1), QUARRY_OK);
    model_put(&model, 2, (struct quarry_tsdb_sample){start_ms + 1900 * SECOND, 1});
    rig_turns();
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    model_compare(&model);
    model_fini(&model);
}

/* ---- want of memory ------------------------------------------------------------------------- */

static void new_series_are_refused_before_known_ones(void **state)
{
    uint32_t count = 0;

    (void)state;
    rig.options.memory_bytes = Q_MIB(8);
    rig.options.keeps_oldest = true;
    rig_open();
    while (rig_append(count, T0, 1) == QUARRY_OK) {
        count++;
    }
    assert_int_equal(rig_result.first, QUARRY_TSDB_NO_MEMORY);
    assert_true(count > 2000);
    for (int64_t k = 1; k < 60; k++) { /* a chunklet or two of each is kept for them */
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(rig_append(i, T0 + k, i * (uint64_t)k), QUARRY_OK);
        }
    }
    assert_true(rig_stats().charged_bytes <= Q_MIB(8));
    assert_true(rig_stats().peak_bytes <= Q_MIB(8));
    assert_int_equal(rig_stats().early_window_count, 0);
}

static void windows_are_sealed_early_and_then_purged_early(void **state)
{
    int64_t step = 0;

    (void)state;
    rig.options.memory_bytes = Q_MIB(12);
    rig.options.in_order_ms = 1000 * SECOND; /* nothing is due before two windows have passed */
    rig_open();
    for (; rig_stats().early_window_count < 2; step++) {
        assert_true(step < 4000);
        many_append(T0 + step * 20 * SECOND, true);
    }
    assert_true(rig_stats().early_shard_count > 0);
    assert_true(rig_stats().peak_bytes <= Q_MIB(12));
    assert_true(rig_stats().window_count < 9);
    rig_turns();
    rig_assert_valid();
}

static void a_store_that_keeps_its_oldest_refuses_instead(void **state)
{
    int64_t step = 0;

    (void)state;
    rig.options.memory_bytes = Q_MIB(8);
    rig.options.keeps_oldest = true;
    rig_open();
    enum quarry_status status = QUARRY_OK;
    for (; status == QUARRY_OK; step++) {
        assert_true(step < 1000000);
        status = rig_append((uint32_t)(step % 500), T0 + step * 5, random_u64(&dice));
    }
    assert_int_equal(status, QUARRY_NO_MEMORY);
    assert_int_equal(rig_stats().early_window_count, 0);
    assert_true(rig_stats().refused_counts[QUARRY_TSDB_NO_MEMORY] > 0);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(every_sample_of_36_hours_comes_back),
        STORE_TEST(after_each_purge_a_hundredth_is_slack_at_most),
        STORE_TEST(sealing_takes_a_64th_more_at_its_peak),
        STORE_TEST(a_purged_window_gives_all_of_its_pages_back),
        STORE_TEST(a_query_keeps_its_windows_and_its_series),
        STORE_TEST(a_cursor_goes_on_where_its_window_was_sealed),
        STORE_TEST(series_go_with_their_last_window),
        STORE_TEST(a_series_sampled_often_has_several_entries),
        STORE_TEST(new_series_are_refused_before_known_ones),
        STORE_TEST(windows_are_sealed_early_and_then_purged_early),
        STORE_TEST(a_store_that_keeps_its_oldest_refuses_instead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
