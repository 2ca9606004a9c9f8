/*
 * A series that turns between floats and histograms, read while it is appended to and sealed: what
 * a reader sees is a beginning of what was written, whole.
 */
#include "unit/tsdb/store_rig.h"

#include <pthread.h>
#include <string.h>

#include <base/atomic.h>
#include <base/base.h>

#define T0      INT64_C(1600000000000)
#define STEPS   3000u
#define READERS 2u

static _Atomic uint64_t written_count;
static _Atomic uint64_t failed_count;

static bool is_histogram(uint64_t step)
{
    return step / 30 % 3 != 0;
}

/* Buckets that grow in number, so that the writer's state does as well. */
static enum quarry_status step_append(uint64_t step)
{
    uint64_t buckets[64], total = 0;
    const uint32_t bucket_count = 4 + (uint32_t)(step / 20 % 60);
    const struct quarry_tsdb_span span = {0, bucket_count};
    const struct quarry_tsdb_sample sample = {T0 + (int64_t)step * 300, step};

    for (uint32_t i = 0; i < bucket_count; i++) {
        buckets[i] = step * (i + 1);
        total += buckets[i];
    }
    const struct quarry_tsdb_histogram histogram = {.t_ms = sample.t_ms,
                                                    .count = total,
                                                    .sum_bits = step,
                                                    .positive = {&span, buckets, 1, bucket_count}};
    const struct quarry_tsdb_entry entry = {.labels = rig_labels(1),
                                            .samples = &sample,
                                            .sample_count = !is_histogram(step),
                                            .histograms = &histogram,
                                            .histogram_count = is_histogram(step)};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
    struct quarry_tsdb_result result;

    return quarry_tsdb_append(rig.tsdb, &request, &result);
}

static void *thread_write(void *argument)
{
    (void)argument;
    for (uint64_t step = 0; step < STEPS; step++) {
        if (step_append(step) != QUARRY_OK) {
            (void)atomic_add_relaxed_u64(&failed_count, 1);
        }
        atomic_store_release_u64(&written_count, step + 1);
        if (step % 64 == 0) {
            (void)quarry_tsdb_turn(rig.tsdb);
        }
    }
    return NULL;
}

/* Whether a block goes on at a step. */
static bool block_is_right(const struct quarry_tsdb_block *block, uint64_t step)
{
    for (uint32_t i = 0; i < block->count; i++, step++) {
        if (block->t_ms[i] != T0 + (int64_t)step * 300 || block->bits[i] != step ||
            (block->histograms != NULL) != is_histogram(step)) {
            return false;
        }
        for (uint32_t k = 0;
             block->histograms != NULL && k < block->histograms[i].positive.bucket_count; k++) {
            if (block->histograms[i].positive.buckets[k] != step * (k + 1)) {
                return false;
            }
        }
    }
    return true;
}

/* Reads all there is. Returns: how many samples; UINT64_MAX: something was wrong. */
static uint64_t read_all(void)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    struct quarry_tsdb_block block;
    enum quarry_status status;
    uint64_t count = 0;

    if (quarry_tsdb_select(rig.tsdb, &query, &set, NULL) != QUARRY_OK) {
        return UINT64_MAX;
    }
    if (quarry_tsdb_set_count(set) == 1) {
        if (quarry_tsdb_cursor_create(set, &cursor) != QUARRY_OK) {
            quarry_tsdb_set_close(set);
            return UINT64_MAX;
        }
        quarry_tsdb_cursor_series(cursor, 0);
        while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK &&
               block_is_right(&block, count)) {
            count += block.count;
        }
        count = status == QUARRY_NOT_FOUND ? count : UINT64_MAX;
        quarry_tsdb_cursor_destroy(cursor);
    }
    quarry_tsdb_set_close(set);
    return count;
}

static void *thread_read(void *argument)
{
    uint64_t before;

    (void)argument;
    do {
        before = atomic_load_acquire_u64(&written_count);
        uint64_t count = read_all();
        if (count == UINT64_MAX || count < before) {
            (void)atomic_add_relaxed_u64(&failed_count, 1);
        }
    } while (before < STEPS);
    return NULL;
}

static void readers_see_whole_samples_of_a_series_that_turns(void **state)
{
    pthread_t writer, readers[READERS];

    (void)state;
    rig.options.window_ms = 200000;
    rig.options.in_order_ms = 50000;
    rig_open();
    assert_int_equal(pthread_create(&writer, NULL, thread_write, NULL), 0);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, thread_read, NULL), 0);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(atomic_load_relaxed_u64(&failed_count), 0);
    rig_turns();
    assert_int_equal(read_all(), STEPS);
    assert_true(rig_stats().sealed_shard_count >= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_whole_samples_of_a_series_that_turns,
                                        rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
