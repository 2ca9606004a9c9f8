#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

struct store_rig rig;
struct quarry_tsdb_result rig_result;

static int64_t wall_ms(void *argument)
{
    return *(const int64_t *)argument;
}

int rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_GIB(1), .has_no_thread = true};

    (void)state;
    rig = (struct store_rig){.memory = NULL};
    assert_int_equal(quarry_memory_create(&options, &rig.memory, NULL), QUARRY_OK);
    rig.wall_ms = INT64_C(1700000000000);
    rig.options = (struct quarry_tsdb_options){.memory = rig.memory,
                                               .window_ms = 1000000,
                                               .out_of_order_ms = -1,
                                               .in_order_ms = 250000,
                                               .has_no_thread = true,
                                               .wall_ms = wall_ms,
                                               .wall_argument = &rig.wall_ms};
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    if (rig.tsdb != NULL) {
        rig_close();
    }
    assert_int_equal(quarry_memory_validate(rig.memory, NULL), QUARRY_OK);
    quarry_memory_destroy(rig.memory);
    return 0;
}

void rig_open(void)
{
    struct quarry_error error = {0};

    if (quarry_tsdb_open(&rig.options, &rig.tsdb, &error) != QUARRY_OK) {
        fail_msg("quarry_tsdb_open: %s", error.text);
    }
}

void rig_assert_valid(void)
{
    struct quarry_error error = {0};

    if (quarry_tsdb_validate(rig.tsdb, &error) != QUARRY_OK) {
        fail_msg("quarry_tsdb_validate: %s", error.text);
    }
}

void rig_close(void)
{
    struct quarry_account_state states[4];

    rig_assert_valid();
    quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    size_t count = quarry_memory_accounts(rig.memory, states, COUNT_OF(states));
    assert_int_equal(count, 1); /* the root */
}

uint32_t rig_turns(void)
{
    uint32_t count = 0;

    while (quarry_tsdb_turn(rig.tsdb)) {
        count++;
    }
    return count;
}

struct quarry_tsdb_stats rig_stats(void)
{
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(rig.tsdb, &stats);
    return stats;
}

/* ---- labels and samples --------------------------------------------------------------------- */

static struct quarry_tsdb_slice text(const char *bytes)
{
    return (struct quarry_tsdb_slice){bytes, strlen(bytes)};
}

struct quarry_tsdb_labels rig_labels(uint32_t number)
{
    static _Thread_local char rooms[8][2][32];
    static _Thread_local struct quarry_tsdb_label labels[8][3];
    static _Thread_local uint32_t turn;
    uint32_t at = turn++ % 8;

    (void)snprintf(rooms[at][0], sizeof rooms[at][0], "metric_%03u", number % 100);
    (void)snprintf(rooms[at][1], sizeof rooms[at][1], "host-%05u", number / 100);
    labels[at][0] = (struct quarry_tsdb_label){text("__name__"), text(rooms[at][0])};
    labels[at][1] = (struct quarry_tsdb_label){text("instance"), text(rooms[at][1])};
    labels[at][2] = (struct quarry_tsdb_label){text("job"), text("node")};
    return (struct quarry_tsdb_labels){labels[at], 3};
}

enum quarry_status rig_append_many(uint32_t number, const struct quarry_tsdb_sample *samples,
                                   size_t count)
{
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(number), .samples = samples, .sample_count = count};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

enum quarry_status rig_append(uint32_t number, int64_t t_ms, uint64_t bits)
{
    const struct quarry_tsdb_sample sample = {t_ms, bits};

    return rig_append_many(number, &sample, 1);
}

static void set_of(uint32_t number, int64_t min_ms, int64_t max_ms,
                   struct quarry_tsdb_set **ret_set)
{
    struct quarry_tsdb_matcher matchers[3];
    struct quarry_tsdb_labels labels = rig_labels(number);
    struct quarry_error error = {0};

    for (size_t i = 0; i < labels.count; i++) {
        matchers[i] = (struct quarry_tsdb_matcher){QUARRY_TSDB_EQUAL, labels.labels[i].name,
                                                   labels.labels[i].value};
    }
    const struct quarry_tsdb_query query = {
        .matchers = matchers, .matcher_count = labels.count, .min_ms = min_ms, .max_ms = max_ms};
    if (quarry_tsdb_select(rig.tsdb, &query, ret_set, &error) != QUARRY_OK) {
        fail_msg("quarry_tsdb_select: %s", error.text);
    }
}

static size_t cursor_read(struct quarry_tsdb_cursor *cursor, struct quarry_tsdb_sample *samples,
                          size_t room)
{
    struct quarry_tsdb_block block;
    size_t count = 0;
    enum quarry_status status;

    while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
        assert_true(block.count > 0 && block.count <= QUARRY_TSDB_BLOCK_SAMPLES);
        for (uint32_t i = 0; i < block.count; i++, count++) {
            if (count < room) {
                samples[count] = (struct quarry_tsdb_sample){block.t_ms[i], block.bits[i]};
            }
        }
    }
    assert_int_equal(status, QUARRY_NOT_FOUND);
    return count;
}

size_t rig_read(uint32_t number, int64_t min_ms, int64_t max_ms, struct quarry_tsdb_sample *samples,
                size_t room)
{
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    size_t count = 0;

    set_of(number, min_ms, max_ms, &set);
    assert_true(quarry_tsdb_set_count(set) <= 1);
    if (quarry_tsdb_set_count(set) == 1) {
        assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
        quarry_tsdb_cursor_series(cursor, 0);
        count = cursor_read(cursor, samples, room);
        quarry_tsdb_cursor_destroy(cursor);
    }
    quarry_tsdb_set_close(set);
    return count;
}

/* ---- a model -------------------------------------------------------------------------------- */

void model_init(struct model *model, uint32_t series_count)
{
    model->series = calloc(series_count, sizeof(*model->series));
    model->series_count = series_count;
    assert_non_null(model->series);
}

void model_fini(struct model *model)
{
    for (uint32_t i = 0; i < model->series_count; i++) {
        free(model->series[i].samples);
    }
    free(model->series);
}

void model_put(struct model *model, uint32_t number, struct quarry_tsdb_sample sample)
{
    struct model_series *series = &model->series[number];
    size_t at = series->count;

    if (series->count == series->capacity) {
        series->capacity = series->capacity == 0 ? 64 : 2 * series->capacity;
        series->samples = realloc(series->samples, series->capacity * sizeof(*series->samples));
        assert_non_null(series->samples);
    }
    while (at > 0 && series->samples[at - 1].t_ms > sample.t_ms) {
        at--;
    }
    if (at > 0 && series->samples[at - 1].t_ms == sample.t_ms) {
        return;
    }
    memmove(series->samples + at + 1, series->samples + at,
            (series->count - at) * sizeof(*series->samples));
    series->samples[at] = sample;
    series->count++;
}

void model_forget(struct model *model, int64_t min_ms)
{
    for (uint32_t i = 0; i < model->series_count; i++) {
        struct model_series *series = &model->series[i];
        size_t gone = 0;
        while (gone < series->count && series->samples[gone].t_ms < min_ms) {
            gone++;
        }
        series->count -= gone;
        if (series->count != 0) {
            memmove(series->samples, series->samples + gone,
                    series->count * sizeof(*series->samples));
        }
    }
}

static uint32_t digits_of(struct quarry_tsdb_slice slice, size_t from)
{
    uint32_t number = 0;

    for (size_t i = from; i < slice.count; i++) {
        number = 10 * number + (uint32_t)(slice.bytes[i] - '0');
    }
    return number;
}

/* The number of a series by its labels. */
static uint32_t number_of(const struct quarry_tsdb_set *set, size_t index)
{
    struct quarry_tsdb_label labels[3];

    assert_int_equal(quarry_tsdb_set_labels(set, index, labels, 3), 3);
    return digits_of(labels[0].value, strlen("metric_")) +
           100 * digits_of(labels[1].value, strlen("host-"));
}

static void series_compare(const struct model_series *series, uint32_t number,
                           struct quarry_tsdb_cursor *cursor, struct quarry_tsdb_sample *room)
{
    size_t count = cursor_read(cursor, room, series->count);

    if (count != series->count) {
        fail_msg("series %u: %zu samples, %zu expected", number, count, series->count);
    }
    for (size_t i = 0; i < count; i++) {
        if (room[i].t_ms != series->samples[i].t_ms || room[i].bits != series->samples[i].bits) {
            fail_msg("series %u, sample %zu of %zu: time %lld, bits %llx; expected %lld, %llx",
                     number, i, count, (long long)room[i].t_ms, (unsigned long long)room[i].bits,
                     (long long)series->samples[i].t_ms,
                     (unsigned long long)series->samples[i].bits);
        }
    }
}

void model_compare(const struct model *model)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    size_t expected = 0, most = 0, found = 0;

    for (uint32_t i = 0; i < model->series_count; i++) {
        expected += model->series[i].count != 0;
        most = model->series[i].count > most ? model->series[i].count : most;
    }
    struct quarry_tsdb_sample *room = malloc((most + 1) * sizeof(*room));
    assert_non_null(room);
    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
        uint32_t number = number_of(set, i);
        quarry_tsdb_cursor_series(cursor, i);
        series_compare(&model->series[number], number, cursor, room);
        found += model->series[number].count != 0;
    }
    assert_int_equal(found, expected);
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    free(room);
}
