/*
 * Histograms in a store, beside floats: what was taken comes back, from open windows and sealed
 * ones, in order and late; and every allocation on the way fails once.
 *
 * A histogram is made from a number, so that a model needs to remember no more than that.
 */
#include "unit/tsdb/store_rig.h"

#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/random.h"

#define T0     (INT64_C(1600000000000) - INT64_C(1600000000000) % WINDOW)
#define WINDOW INT64_C(1000000)
#define SERIES 6u

static uint64_t dice;

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- histograms from numbers ---------------------------------------------------------------- */

struct made {
    struct quarry_tsdb_histogram histogram;
    struct quarry_tsdb_span spans[2];
    uint64_t positive[64], negative[2], custom[4];
};

static uint64_t count_of(bool is_float, uint64_t count)
{
    return is_float ? bits_of((double)count / 4) : count;
}

/* Layouts change every 40 numbers; counts rise, and fall back at each 97th. */
static void make(uint64_t number, int64_t t_ms, struct made *made)
{
    uint64_t layout = number / 40 % 5, total = 0, age = number % 97;
    bool is_float = layout == 3, is_custom = layout == 4;
    uint32_t buckets = is_custom ? 4 : 8 + 14 * (uint32_t)layout;

    memset(made, 0, sizeof(*made));
    for (uint32_t i = 0; i < buckets; i++) {
        uint64_t count = age * (i % 5) + (number * (i + 1)) % 3 + (i == 7 ? number << 20 : 0);
        made->positive[i] = count_of(is_float, count);
        total += count;
    }
    made->spans[0] = (struct quarry_tsdb_span){is_custom ? 0 : -3, 3};
    made->spans[1] = (struct quarry_tsdb_span){is_custom ? 0 : 5, buckets - 3};
    for (uint32_t i = 0; i < 4; i++) {
        made->custom[i] = bits_of(i * 2.5);
    }
    made->histogram = (struct quarry_tsdb_histogram){
        .t_ms = t_ms,
        .schema = is_custom ? QUARRY_TSDB_SCHEMA_CUSTOM : (int32_t)layout,
        .is_float = is_float,
        .reset_hint = (enum quarry_tsdb_reset_hint)(number % 4),
        .zero_threshold_bits = is_custom ? 0 : bits_of(0x1p-128),
        .zero_count = is_custom ? 0 : count_of(is_float, number % 11),
        .count = count_of(is_float, total + (is_custom ? 0 : number % 11)),
        .sum_bits = number % 31 == 30 ? QUARRY_TSDB_STALE_BITS : bits_of((double)number * 1.25),
        .positive = {made->spans, made->positive, 2, buckets},
        .custom_bits = is_custom ? made->custom : NULL,
        .custom_count = is_custom ? 4 : 0,
    };
}

static void assert_words(const void *a, const void *b, size_t count)
{
    if (count != 0) {
        assert_memory_equal(a, b, 8 * count);
    }
}

static void assert_same(const struct quarry_tsdb_histogram *a,
                        const struct quarry_tsdb_histogram *b)
{
    assert_int_equal(a->t_ms, b->t_ms);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->is_float, b->is_float);
    assert_int_equal(a->reset_hint, b->reset_hint);
    assert_int_equal(a->zero_threshold_bits, b->zero_threshold_bits);
    assert_int_equal(a->zero_count, b->zero_count);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->sum_bits, b->sum_bits);
    assert_int_equal(a->positive.span_count, b->positive.span_count);
    assert_int_equal(a->positive.bucket_count, b->positive.bucket_count);
    assert_int_equal(a->negative.bucket_count, b->negative.bucket_count);
    assert_int_equal(a->custom_count, b->custom_count);
    assert_words(a->positive.spans, b->positive.spans, a->positive.span_count);
    assert_words(a->positive.buckets, b->positive.buckets, a->positive.bucket_count);
    assert_words(a->custom_bits, b->custom_bits, a->custom_count);
}

/* ---- a model -------------------------------------------------------------------------------- */

/* Bits are a float's, or the number of a histogram. */
struct value {
    int64_t t_ms;
    uint64_t bits;
    bool is_histogram;
};

struct values {
    struct value *all;
    size_t count, capacity;
};
static struct values values[SERIES];

static void values_put(uint32_t series, struct value value)
{
    struct values *own = &values[series];
    size_t at = own->count;

    if (own->count == own->capacity) {
        own->capacity = own->capacity == 0 ? 64 : 2 * own->capacity;
        own->all = realloc(own->all, own->capacity * sizeof(*own->all));
        assert_non_null(own->all);
    }
    while (at > 0 && own->all[at - 1].t_ms > value.t_ms) {
        at--;
    }
    if (at > 0 && own->all[at - 1].t_ms == value.t_ms) {
        return;
    }
    memmove(own->all + at + 1, own->all + at, (own->count - at) * sizeof(*own->all));
    own->all[at] = value;
    own->count++;
}

static void values_forget(int64_t min_ms)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        size_t gone = 0;
        while (gone < values[i].count && values[i].all[gone].t_ms < min_ms) {
            gone++;
        }
        values[i].count -= gone;
        if (values[i].count != 0) {
            memmove(values[i].all, values[i].all + gone, values[i].count * sizeof(*values[i].all));
        }
    }
}

static enum quarry_status value_append(uint32_t series, struct value value)
{
    struct made made;
    const struct quarry_tsdb_sample sample = {value.t_ms, value.bits};
    struct quarry_tsdb_entry entry = {.labels = rig_labels(series)};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    if (value.is_histogram) {
        make(value.bits, value.t_ms, &made);
        entry.histograms = &made.histogram;
        entry.histogram_count = 1;
    } else {
        entry.samples = &sample;
        entry.sample_count = 1;
    }
    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void value_compare(const struct quarry_tsdb_block *block, uint32_t at,
                          const struct value *expected)
{
    struct made made;

    assert_int_equal(block->t_ms[at], expected->t_ms);
    assert_int_equal(block->histograms != NULL, expected->is_histogram);
    if (!expected->is_histogram) {
        assert_int_equal(block->bits[at], expected->bits);
        return;
    }
    make(expected->bits, expected->t_ms, &made);
    assert_same(&block->histograms[at], &made.histogram);
    assert_int_equal(block->bits[at], made.histogram.sum_bits);
}

static enum quarry_status series_compare(uint32_t series, int64_t min_ms)
{
    const struct quarry_tsdb_labels labels = rig_labels(series);
    const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_EQUAL, QUARRY_TSDB_TEXT("__name__"),
                                                labels.labels[0].value};
    const struct quarry_tsdb_query query = {
        .matchers = &matcher, .matcher_count = 1, .min_ms = min_ms, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;
    size_t at = 0;
    enum quarry_status status = quarry_tsdb_select(rig.tsdb, &query, &set, NULL);

    if (status == QUARRY_OK && quarry_tsdb_set_count(set) != 0) {
        status = quarry_tsdb_cursor_create(set, &cursor);
    }
    while (at < values[series].count && values[series].all[at].t_ms < min_ms) {
        at++;
    }
    if (cursor != NULL) {
        quarry_tsdb_cursor_series(cursor, 0);
        while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
            assert_true(block.count > 0 && block.count <= QUARRY_TSDB_BLOCK_SAMPLES);
            for (uint32_t i = 0; i < block.count; i++, at++) {
                assert_true(at < values[series].count);
                value_compare(&block, i, &values[series].all[at]);
            }
        }
        status = status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
    }
    if (status == QUARRY_OK) {
        assert_int_equal(at, values[series].count);
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    return status;
}

static void all_compare(void)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        assert_int_equal(series_compare(i, INT64_MIN), QUARRY_OK);
    }
    assert_int_equal(
        series_compare((uint32_t)(dice % SERIES), T0 + (int64_t)(random_u64(&dice) % 4000000)),
        QUARRY_OK);
}

static int values_set_up(void **state)
{
    dice = 77;
    memset(values, 0, sizeof values);
    return rig_set_up(state);
}

static int values_tear_down(void **state)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        free(values[i].all);
    }
    return rig_tear_down(state);
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* Series 0 has histograms alone, the others turn now and then; some skip windows. */
static bool turns_to_histogram(uint32_t series, int64_t step)
{
    return series == 0 || (step / (20 + 13 * series)) % 2 == 0;
}

static void step_append(int64_t step, int64_t t_ms)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct value value = {t_ms + i, (uint64_t)step + 1000 * i, turns_to_histogram(i, step)};
        if (i == 5 && step / 100 % 2 == 1) {
            continue;
        }
        assert_int_equal(value_append(i, value), QUARRY_OK);
        assert_int_equal(rig_result.taken_histogram_count, value.is_histogram);
        values_put(i, value);
        if (random_u64(&dice) % 5 == 0) { /* one that is late, of either kind */
            int64_t back_ms = (int64_t)(random_u64(&dice) % 200000);
            struct value late = {t_ms - back_ms, random_u64(&dice) % 100000,
                                 random_u64(&dice) % 2 == 0};
            if (value_append(i, late) == QUARRY_OK && late.t_ms < value.t_ms) {
                values_put(i, late);
            }
        }
    }
}

static void floats_and_histograms_come_back_from_every_window(void **state)
{
    uint64_t purged_count = 0;

    (void)state;
    rig.options.out_of_order_ms = 250000;
    rig.options.window_count = 3;
    rig_open();
    for (int64_t step = 0; step < 900; step++) {
        step_append(step, T0 + step * 7500);
        if (step % 5 == 0) {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
        if (rig_stats().purged_window_count != purged_count || step % 200 == 0) {
            purged_count = rig_stats().purged_window_count;
            values_forget(rig_stats().min_ms);
            all_compare();
            rig_assert_valid();
        }
    }
    assert_true(purged_count >= 2);
    assert_true(rig_stats().histogram_count > 2000);
    assert_true(rig_stats().late_count > 300);
    rig_turns();
    all_compare();
    rig_assert_valid();
}

static void a_set_reads_on_while_its_histograms_are_sealed(void **state)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    struct quarry_tsdb_block block;
    size_t at = 0;

    (void)state;
    rig_open();
    for (int64_t i = 0; i < 500; i++) {
        struct value value = {T0 + i * 100, (uint64_t)i, i < 430};
        assert_int_equal(value_append(1, value), QUARRY_OK);
        values_put(1, value);
    }
    struct value last = {T0 + 3 * WINDOW / 2, 7, true};
    assert_int_equal(value_append(1, last), QUARRY_OK);
    values_put(1, last);
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    quarry_tsdb_cursor_series(cursor, 0);
    while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
        for (uint32_t i = 0; i < block.count; i++, at++) {
            value_compare(&block, i, &values[1].all[at]);
        }
        if (at > 100) {
            rig_turns();
        }
    }
    assert_int_equal(at, values[1].count);
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
}

static void the_rules_for_floats_hold_for_histograms(void **state)
{
    (void)state;
    rig_open();
    assert_int_equal(value_append(1, (struct value){T0 + 1000, 5, true}), QUARRY_OK);
    assert_int_equal(value_append(1, (struct value){T0 + 1000, 5, true}), QUARRY_OK);
    assert_int_equal(rig_stats().repeated_count, 1);
    assert_int_equal(value_append(1, (struct value){T0 + 1000, 6, true}), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_DUPLICATE);
    assert_int_equal(value_append(1, (struct value){T0 + 1000, 5, false}), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_DUPLICATE);
    assert_int_equal(value_append(1, (struct value){T0 + 999, 5, true}), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_OUT_OF_ORDER);
    assert_int_equal(value_append(1, (struct value){T0 + 1001, 5, false}), QUARRY_OK);
    assert_int_equal(value_append(1, (struct value){T0 + 1001, 5, true}), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_DUPLICATE);
    assert_int_equal(value_append(1, (struct value){T0 + 1002, 9, true}), QUARRY_OK);
    /* The window of the last one is sealed: it is still known. */
    assert_int_equal(value_append(2, (struct value){T0 + 3 * WINDOW / 2, 1, false}), QUARRY_OK);
    rig_turns();
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    assert_int_equal(value_append(1, (struct value){T0 + 3 * WINDOW / 2, 9, true}), QUARRY_OK);
}

static void a_histogram_that_breaks_a_rule_is_told(void **state)
{
    struct made made;
    struct quarry_error error = {0};
    struct quarry_tsdb_histogram histograms[2];
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(3), .histograms = histograms, .histogram_count = 2};
    struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    (void)state;
    rig_open();
    make(3, T0, &made);
    histograms[0] = histograms[1] = made.histogram;
    assert_int_equal(quarry_tsdb_histogram_check(histograms, &error), QUARRY_OK);
    histograms[0].count++;
    assert_int_equal(quarry_tsdb_histogram_check(histograms, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "observation count should equal"));
    histograms[1].t_ms++;
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_BAD_HISTOGRAM);
    assert_int_equal(rig_result.taken_count, 0);
    request.is_partial = true;
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.taken_histogram_count, 1);
    histograms[0] = made.histogram;
    histograms[0].positive.bucket_count--;
    assert_int_equal(quarry_tsdb_histogram_check(histograms, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "different number of buckets"));
    histograms[0] = made.histogram;
    histograms[0].schema = 9;
    assert_int_equal(quarry_tsdb_histogram_check(histograms, &error), QUARRY_BAD_INPUT);
    histograms[0] = made.histogram;
    histograms[0].custom_count = 1;
    histograms[0].custom_bits = made.custom;
    assert_int_equal(quarry_tsdb_histogram_check(histograms, &error), QUARRY_BAD_INPUT);
    made.positive[2] = UINT64_MAX;
    assert_int_equal(quarry_tsdb_histogram_check(&made.histogram, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "negative"));
    make(160, T0, &made);
    made.custom[1] = made.custom[0];
    assert_int_equal(quarry_tsdb_histogram_check(&made.histogram, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "strictly increasing"));
}

/* The widest histogram that there may be, and narrow ones beside it. */
static void a_histogram_may_have_thousands_of_buckets(void **state)
{
    static uint64_t buckets[QUARRY_TSDB_HISTOGRAM_PARTS_MAX];
    const struct quarry_tsdb_span span = {0, QUARRY_TSDB_HISTOGRAM_PARTS_MAX};
    struct quarry_tsdb_histogram wide = {.positive = {&span, buckets, 1, span.length}};
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(0), .histograms = &wide, .histogram_count = 1};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    (void)state;
    rig_open();
    for (int64_t i = 0; i < 30; i++) {
        wide.count = 0;
        for (uint32_t k = 0; k < span.length; k++) {
            buckets[k] += k % 3;
            wide.count += buckets[k];
        }
        wide.t_ms = T0 + 2 * i;
        assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
        assert_int_equal(value_append(0, (struct value){T0 + 2 * i + 1, 3, i % 2 == 0}), QUARRY_OK);
    }
    rig_assert_valid();
    assert_int_equal(value_append(1, (struct value){T0 + 3 * WINDOW / 2, 1, false}), QUARRY_OK);
    rig_turns();
    rig_assert_valid();
    assert_int_equal(rig_read(0, INT64_MIN, INT64_MAX, NULL, 0), 60);
}

/* ---- want of memory ------------------------------------------------------------------------- */

static struct quarry_account *above;

static void leave_account(uint64_t bytes)
{
    struct quarry_account_state state;

    quarry_account_read(above, &state);
    assert_int_equal(
        quarry_account_set_bounds(above, 0, bytes == UINT64_MAX ? 0 : state.charged_bytes + bytes),
        QUARRY_OK);
}

static struct value wanted;

static enum quarry_status call_append(void)
{
    enum quarry_status status = value_append(0, wanted);

    if (status == QUARRY_OK) {
        values_put(0, wanted);
    }
    return status;
}

static enum quarry_status call_seal(void)
{
    struct quarry_tsdb_window window;

    rig_turns();
    (void)quarry_tsdb_windows(rig.tsdb, &window, 1);
    return window.sealed_shard_count == 64 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

static enum quarry_status call_read(void)
{
    return series_compare(0, INT64_MIN);
}

static uint32_t until_it_works(enum quarry_status (*call)(void))
{
    uint32_t failed_count = 0;

    for (uint64_t bytes = 1;; bytes += 1 + bytes / 16) {
        leave_account(bytes);
        enum quarry_status status = call();
        leave_account(UINT64_MAX);
        if (status == QUARRY_OK) {
            return failed_count;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        failed_count++;
        rig_assert_valid();
        all_compare();
    }
}

static void no_call_depends_on_memory_for_histograms(void **state)
{
    const struct quarry_account_options options = {.name = "above"};

    (void)state;
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig.options.out_of_order_ms = 250000;
    rig.options.keeps_oldest = true;
    rig_open();
    wanted = (struct value){T0, 1, true};
    assert_true(until_it_works(call_append) > 3);
    for (int64_t i = 1; i < 150; i++) {
        wanted = (struct value){T0 + i, (uint64_t)i, i % 50 != 49};
        (void)until_it_works(call_append);
    }
    wanted = (struct value){T0 - 5, 8, true};
    (void)until_it_works(call_append);
    assert_true(until_it_works(call_read) > 5);
    wanted = (struct value){T0 + 3 * WINDOW / 2, 3, false};
    (void)until_it_works(call_append);
    assert_true(until_it_works(call_seal) > 5);
    assert_true(until_it_works(call_read) > 5);
    rig_assert_valid();
    quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    quarry_account_destroy(above);
}

#define VALUES_TEST(name) cmocka_unit_test_setup_teardown(name, values_set_up, values_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        VALUES_TEST(floats_and_histograms_come_back_from_every_window),
        VALUES_TEST(a_set_reads_on_while_its_histograms_are_sealed),
        VALUES_TEST(the_rules_for_floats_hold_for_histograms),
        VALUES_TEST(a_histogram_that_breaks_a_rule_is_told),
        VALUES_TEST(a_histogram_may_have_thousands_of_buckets),
        VALUES_TEST(no_call_depends_on_memory_for_histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
