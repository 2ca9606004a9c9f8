/*
 * Appending: what comes back is what was put in, and what is refused is told and not there.
 */
#include "unit/tsdb/store_rig.h"

#include <string.h>

#define STALE QUARRY_TSDB_STALE_BITS
#define T0    INT64_C(1600000000000)

static struct quarry_tsdb_sample read_room[4096];

static void assert_samples(uint32_t number, const struct quarry_tsdb_sample *samples, size_t count)
{
    assert_int_equal(rig_read(number, INT64_MIN, INT64_MAX, read_room, COUNT_OF(read_room)), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(read_room[i].t_ms, samples[i].t_ms);
        assert_int_equal(read_room[i].bits, samples[i].bits);
    }
}

static void bits_come_back_as_they_were(void **state)
{
    const struct quarry_tsdb_sample samples[] = {
        {T0, 0},
        {T0 + 1, UINT64_C(0x8000000000000000)},
        {T0 + 15000, UINT64_C(0x7ff8000000000001)},
        {T0 + 30000, STALE},
        {T0 + 30001, UINT64_MAX},
        {T0 + 60000, UINT64_C(0x3ff0000000000000)},
    };

    (void)state;
    rig_open();
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_int_equal(rig_append(1, samples[i].t_ms, samples[i].bits), QUARRY_OK);
        assert_int_equal(rig_result.taken_count, 1);
    }
    assert_samples(1, samples, COUNT_OF(samples));
}

static void an_empty_store_takes_any_past_and_goes_on_from_there(void **state)
{
    (void)state;
    rig_open();
    assert_int_equal(rig_append(1, -5000, 1), QUARRY_OK);
    assert_int_equal(rig_append(2, -4000, 2), QUARRY_OK);
    assert_int_equal(rig_stats().max_ms, -4000);
    assert_int_equal(rig_append(1, T0, 3), QUARRY_OK); /* 1,600,000 windows later */
    assert_int_equal(rig_stats().window_count, 1);
    const struct quarry_tsdb_sample kept = {T0, 3};
    assert_samples(1, &kept, 1);
    assert_int_equal(rig_stats().purged_window_count, 1);
}

static void rules_hold_for_what_was_committed_before_the_request(void **state)
{
    const struct quarry_tsdb_sample crossed[] = {{T0 + 10, 1}, {T0 + 5, 2}, {T0 + 20, 3}};
    const struct quarry_tsdb_sample kept[] = {{T0, 0}, {T0 + 10, 1}, {T0 + 20, 3}};

    (void)state;
    rig_open();
    assert_int_equal(rig_append(1, T0, 0), QUARRY_OK);
    assert_int_equal(rig_append_many(1, crossed, 3), QUARRY_OK); /* as Prometheus' appender */
    assert_int_equal(rig_result.taken_count, 2);
    assert_int_equal(rig_stats().raced_count, 1);
    assert_samples(1, kept, 3);
    assert_int_equal(rig_append_many(1, crossed, 3), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_OUT_OF_ORDER);
    assert_int_equal(rig_result.taken_count, 0);
}

/* Three series: good, refused, good. */
static enum quarry_status append_mixed(bool is_partial, uint8_t refusals[3])
{
    const struct quarry_tsdb_sample samples[] = {{T0 + 100, 1}, {T0 - 1, 2}, {T0 + 100, 3}};
    struct quarry_tsdb_entry entries[3];

    for (uint32_t i = 0; i < 3; i++) {
        entries[i] = (struct quarry_tsdb_entry){
            .labels = rig_labels(i + 1), .samples = &samples[i], .sample_count = 1};
    }
    const struct quarry_tsdb_request request = {
        .is_partial = is_partial, .entries = entries, .entry_count = 3, .ret_refusals = refusals};
    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void a_request_takes_all_or_nothing(void **state)
{
    const struct quarry_tsdb_sample before = {T0, 9};
    uint8_t refusals[3] = {9, 9, 9};

    (void)state;
    rig_open();
    assert_int_equal(rig_append(2, T0, 9), QUARRY_OK);
    assert_int_equal(append_mixed(false, refusals), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_OUT_OF_ORDER);
    assert_int_equal(rig_result.first_entry, 1);
    assert_int_equal(rig_result.taken_count, 0);
    assert_memory_equal(refusals, ((uint8_t[]){0, QUARRY_TSDB_OUT_OF_ORDER, 0}), 3);
    assert_samples(1, NULL, 0);
    assert_samples(2, &before, 1);
    assert_samples(3, NULL, 0);
}

static void a_partial_request_takes_what_is_good(void **state)
{
    const struct quarry_tsdb_sample one = {T0 + 100, 1}, three = {T0 + 100, 3};
    uint8_t refusals[3];

    (void)state;
    rig_open();
    assert_int_equal(rig_append(2, T0, 9), QUARRY_OK);
    assert_int_equal(append_mixed(true, refusals), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.taken_count, 2);
    assert_int_equal(rig_result.refused_counts[QUARRY_TSDB_OUT_OF_ORDER], 1);
    assert_samples(1, &one, 1);
    assert_samples(3, &three, 1);
    assert_int_equal(rig_stats().raced_count, 0);
}

static void bad_labels_fail_nobody_else(void **state)
{
    const struct quarry_tsdb_label twice[] = {{QUARRY_TSDB_TEXT("a"), QUARRY_TSDB_TEXT("1")},
                                              {QUARRY_TSDB_TEXT("a"), QUARRY_TSDB_TEXT("2")}};
    const struct quarry_tsdb_label empty[] = {{QUARRY_TSDB_TEXT("a"), QUARRY_TSDB_TEXT("")}};
    const struct quarry_tsdb_sample sample = {T0, 1};
    const struct quarry_tsdb_entry entries[] = {
        {.labels = {twice, 2}, .samples = &sample, .sample_count = 1},
        {.labels = rig_labels(1), .samples = &sample, .sample_count = 1},
        {.labels = {empty, 1}, .samples = &sample, .sample_count = 1},
        {.labels = {NULL, 0}, .samples = &sample, .sample_count = 1},
    };
    const struct quarry_tsdb_request request = {.entries = entries, .entry_count = 4};

    (void)state;
    rig_open();
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(rig_result.taken_count, 1);
    assert_int_equal(rig_result.refused_counts[QUARRY_TSDB_BAD_LABELS], 3);
    assert_samples(1, &sample, 1);
}

/* Counts its calls, and tells the labels of series 100 + index. */
static bool resolve(void *argument, size_t entry_index, struct quarry_tsdb_labels *ret_labels)
{
    uint32_t *count = argument;

    *count += 1;
    *ret_labels = rig_labels(100 + (uint32_t)entry_index);
    return entry_index < 2;
}

static void a_known_key_needs_no_labels(void **state)
{
    uint32_t count = 0;
    struct quarry_tsdb_sample sample = {T0, 1};
    const struct quarry_tsdb_entry entries[] = {
        {.key = QUARRY_TSDB_TEXT("key of 100"), .samples = &sample, .sample_count = 1},
        {.key = QUARRY_TSDB_TEXT("key of 101"), .samples = &sample, .sample_count = 1},
        {.key = QUARRY_TSDB_TEXT("no labels"), .samples = &sample, .sample_count = 1},
    };
    struct quarry_tsdb_request request = {
        .entries = entries, .entry_count = 2, .resolve = resolve, .resolve_argument = &count};

    (void)state;
    rig_open();
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(rig_result.new_series_count, 2);
    sample.t_ms++;
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(rig_result.new_series_count, 0);
    request.entry_count = 3;
    sample.t_ms++;
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(rig_result.refused_counts[QUARRY_TSDB_BAD_LABELS], 1);
    assert_int_equal(rig_read(101, INT64_MIN, INT64_MAX, read_room, 3), 3);
    request.tenant = 7; /* the same bytes are another's series */
    request.entry_count = 1;
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(rig_result.new_series_count, 1);
    assert_int_equal(rig_stats().tenant_count, 2);
}

static void late_samples_are_merged_when_read_and_when_sealed(void **state)
{
    const int64_t late[] = {50, 10, 30, 10, 70, 20, 90, 85, 5, 95, 91, 92};
    struct model model;

    (void)state;
    rig.options.out_of_order_ms = 250000;
    rig_open();
    model_init(&model, 2);
    for (int64_t i = 0; i < 30; i++) {
        assert_int_equal(rig_append(1, T0 + 10 * i, (uint64_t)i), QUARRY_OK);
        model_put(&model, 1, (struct quarry_tsdb_sample){T0 + 10 * i, (uint64_t)i});
    }
    for (uint32_t i = 0; i < COUNT_OF(late); i++) {
        assert_int_equal(rig_append(1, T0 + late[i], 1000 + i), QUARRY_OK);
        model_put(&model, 1, (struct quarry_tsdb_sample){T0 + late[i], 1000 + i});
    }
    assert_int_equal(rig_stats().late_count, COUNT_OF(late));
    model_compare(&model);
    assert_int_equal(rig_append(1, T0 + 2000000, 7), QUARRY_OK); /* two windows on */
    model_put(&model, 1, (struct quarry_tsdb_sample){T0 + 2000000, 7});
    assert_true(rig_turns() >= 64);
    assert_int_equal(rig_stats().sealed_shard_count, 64);
    model_compare(&model);
    model_fini(&model);
}

static void a_sealed_window_takes_nothing(void **state)
{
    (void)state;
    rig.options.out_of_order_ms = 250000;
    rig_open();
    assert_int_equal(rig_append(1, T0, 1), QUARRY_OK);
    assert_int_equal(rig_append(1, T0 + 1000000 + 250000, 2), QUARRY_OK);
    rig_turns();
    /* The rules would take it, were it not that its window has been sealed. */
    assert_int_equal(rig_append(1, T0 + 1000000 - 1, 3), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_TOO_OLD);
}

static void limits_of_a_tenant_hold_by_one(void **state)
{
    const struct quarry_tsdb_limits limits = {
        .series_count = 3, .label_count = 3, .label_name_bytes = 8, .label_value_bytes = 10};

    (void)state;
    rig.options.limits = limits;
    rig_open();
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(rig_append(i, T0, 1), QUARRY_OK);
    }
    assert_int_equal(rig_append(3, T0, 1), QUARRY_TOO_MANY);
    assert_int_equal(rig_result.first, QUARRY_TSDB_SERIES_LIMIT);
    assert_int_equal(rig_append(2, T0 + 1, 1), QUARRY_OK); /* known ones go on */
    const struct quarry_tsdb_limits more = {.series_count = 4, .label_name_bytes = 7};
    assert_int_equal(quarry_tsdb_set_limits(rig.tsdb, 0, &more), QUARRY_OK);
    assert_int_equal(rig_append(3, T0, 1), QUARRY_OK); /* "instance" has 8: bad labels */
    assert_int_equal(rig_result.refused_counts[QUARRY_TSDB_BAD_LABELS], 1);
    const struct quarry_tsdb_limits enough = {.series_count = 4};
    assert_int_equal(quarry_tsdb_set_limits(rig.tsdb, 0, &enough), QUARRY_OK);
    assert_int_equal(rig_append(3, T0, 1), QUARRY_OK);
    assert_int_equal(rig_result.taken_count, 1);
    assert_int_equal(rig_append(4, T0, 1), QUARRY_TOO_MANY);
}

static void samples_of_a_second_are_limited(void **state)
{
    (void)state;
    rig.options.limits.samples_per_second = 3;
    rig_open();
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(rig_append(1, T0 + i, 1), QUARRY_OK);
    }
    assert_int_equal(rig_append(1, T0 + 3, 1), QUARRY_TOO_MANY);
    assert_int_equal(rig_result.first, QUARRY_TSDB_RATE_LIMIT);
    rig.wall_ms += 1000;
    assert_int_equal(rig_append(1, T0 + 3, 1), QUARRY_OK);
}

static void the_future_is_kept_out(void **state)
{
    (void)state;
    rig_open();
    assert_int_equal(rig_append(1, rig.wall_ms + 600001, 1), QUARRY_BAD_INPUT);
    assert_int_equal(rig_result.first, QUARRY_TSDB_OUT_OF_BOUNDS);
    assert_int_equal(rig_append(1, rig.wall_ms + 600000, 1), QUARRY_OK);
    assert_int_equal(rig_append(2, INT64_MAX, 1), QUARRY_BAD_INPUT);
    assert_int_equal(rig_append(2, INT64_MIN, 1), QUARRY_BAD_INPUT);
}

static void spans_are_cut_to_the_sample(void **state)
{
    (void)state;
    rig_open();
    for (int64_t i = 0; i < 1000; i++) {
        assert_int_equal(rig_append(1, T0 + 1000 * i, (uint64_t)i), QUARRY_OK);
    }
    for (int64_t from = 0; from < 1000; from += 37) {
        size_t count = rig_read(1, T0 + 1000 * from, T0 + 1000 * 700, read_room, 1);
        assert_int_equal(count, from <= 700 ? 701 - from : 0);
        assert_true(count == 0 || read_room[0].bits == (uint64_t)from);
    }
    assert_int_equal(rig_read(1, T0 + 1, T0 + 999, read_room, 1), 0);
}

static bool add_name(void *argument, struct quarry_tsdb_slice name)
{
    char *text = argument;

    strncat(text, name.bytes, name.count);
    strcat(text, " ");
    return strlen(text) < 60;
}

static void names_and_values_come_in_order(void **state)
{
    const struct quarry_tsdb_query query = {.max_ms = INT64_MAX};
    const struct quarry_tsdb_slice job = QUARRY_TSDB_TEXT("__name__");
    char text[256] = "";

    (void)state;
    rig_open();
    for (uint32_t i = 10; i > 0; i--) {
        assert_int_equal(rig_append(i, T0, 1), QUARRY_OK);
    }
    assert_int_equal(quarry_tsdb_label_names(rig.tsdb, &query, add_name, text, NULL), QUARRY_OK);
    assert_string_equal(text, "__name__ instance job ");
    text[0] = 0;
    assert_int_equal(quarry_tsdb_label_values(rig.tsdb, &query, job, add_name, text, NULL),
                     QUARRY_OK);
    assert_string_equal(text, "metric_001 metric_002 metric_003 metric_004 metric_005 metric_006 ");
}

static void a_bad_expression_is_told(void **state)
{
    const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_REGEX, QUARRY_TSDB_TEXT("job"),
                                                QUARRY_TSDB_TEXT("(")};
    const struct quarry_tsdb_query query = {.matchers = &matcher, .matcher_count = 1};
    struct quarry_tsdb_set *set;
    struct quarry_error error = {0};

    (void)state;
    rig_open();
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, &error), QUARRY_BAD_INPUT);
    assert_true(error.text[0] != 0);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(bits_come_back_as_they_were),
        STORE_TEST(an_empty_store_takes_any_past_and_goes_on_from_there),
        STORE_TEST(rules_hold_for_what_was_committed_before_the_request),
        STORE_TEST(a_request_takes_all_or_nothing),
        STORE_TEST(a_partial_request_takes_what_is_good),
        STORE_TEST(bad_labels_fail_nobody_else),
        STORE_TEST(a_known_key_needs_no_labels),
        STORE_TEST(late_samples_are_merged_when_read_and_when_sealed),
        STORE_TEST(a_sealed_window_takes_nothing),
        STORE_TEST(limits_of_a_tenant_hold_by_one),
        STORE_TEST(samples_of_a_second_are_limited),
        STORE_TEST(the_future_is_kept_out),
        STORE_TEST(spans_are_cut_to_the_sample),
        STORE_TEST(names_and_values_come_in_order),
        STORE_TEST(a_bad_expression_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
