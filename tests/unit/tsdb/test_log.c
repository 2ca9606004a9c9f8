/*
 * The log as a whole: what is appended is replayed; segments are full, broken, dropped; how long it
 * is and what happens without memory.
 */
#include "unit/tsdb/disk_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/base/random.h"

static struct rig_found found;
static struct tsdb_log_replayed replayed;

static void append_steps(struct tsdb_log *log, int64_t window, uint32_t count, uint32_t from,
                         uint32_t to)
{
    struct tsdb_log_ticket ticket;

    for (uint32_t step = from; step < to; step++) {
        assert_int_equal(rig_append(log, window, 1, count, step, &ticket), QUARRY_OK);
    }
}

static void assert_found(uint32_t count, uint32_t from, uint32_t to)
{
    for (uint32_t id = 1; id <= count; id++) {
        for (uint32_t step = from; step < to; step++) {
            assert_int_equal(found.counts[id][step], 1);
        }
    }
}

static void what_is_appended_is_replayed_bit_by_bit(void **state)
{
    struct tsdb_log *log = rig_log_open(0);

    (void)state;
    append_steps(log, 5, 900, 0, 300);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(900, 0, 300);
    assert_int_equal(found.sample_count, 900 * 300);
    assert_int_equal(replayed.sample_count, 900 * 300);
    assert_int_equal(found.series_count, 900);
    assert_int_equal(found.loss_count, 0);
    assert_int_equal(replayed.segment_count, 1);
}

static void an_empty_log_has_no_windows(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    int64_t window;

    (void)state;
    assert_false(tsdb_log_next_window(log, INT64_MIN, &window));
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(replayed.segment_count, 0);
}

static void windows_have_segments_of_their_own_and_go_whole(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    int64_t window = 0;

    (void)state;
    for (uint32_t step = 0; step < 30; step++) {
        append_steps(log, (int64_t)(step % 3) - 1, 50, step, step + 1);
    }
    assert_true(tsdb_log_next_window(log, INT64_MIN, &window));
    assert_int_equal(window, -1);
    assert_int_equal(tsdb_log_drop_window(log, -1, NULL), QUARRY_OK);
    assert_int_equal(tsdb_log_drop_window(log, -1, NULL), QUARRY_OK);
    assert_true(tsdb_log_next_window(log, INT64_MIN, &window));
    assert_int_equal(window, 0);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(found.sample_count, 50 * 20);
    for (uint32_t step = 0; step < 30; step++) {
        assert_int_equal(found.counts[7][step], step % 3 != 0);
    }
}

static void a_full_segment_is_followed_by_another_that_stands_alone(void **state)
{
    struct tsdb_log *log = rig_log_open(4096);
    struct tsdb_log_stats stats;

    (void)state;
    append_steps(log, 5, 10, 0, 500);
    tsdb_log_read_stats(log, &stats);
    assert_true(stats.segment_count >= 2);
    assert_int_equal(stats.sample_count, 10 * 500);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(replayed.segment_count, stats.segment_count);
    assert_found(10, 0, 500);
    assert_int_equal(found.series_count, 10 * stats.segment_count);
}

static void a_log_that_is_opened_again_goes_on_in_new_segments(void **state)
{
    (void)state;
    for (uint32_t life = 0; life < 3; life++) {
        struct tsdb_log *log = rig_log_open(0);
        append_steps(log, 5, 20, life * 10, life * 10 + 10);
        /* Replaying, it gives what was there before. */
        struct tsdb_log_visitor visitor = rig_visitor(&found);
        assert_int_equal(tsdb_log_replay(log, 5, &visitor, &replayed, NULL), QUARRY_OK);
        assert_int_equal(found.sample_count, 20 * 10 * life);
        tsdb_log_close(log);
    }
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(replayed.segment_count, 3);
    assert_found(20, 0, 30);
}

static void histograms_and_exemplars_are_replayed(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    (void)state;
    for (uint32_t step = 0; step < 200; step++) {
        struct tsdb_log_histogram histograms[8];
        struct tsdb_log_exemplar exemplars[8];
        struct tsdb_label labels[8][1];
        struct tsdb_log_sample sample = rig_sample(3, step);
        char bytes[8][64];
        for (uint32_t i = 0; i < 8; i++) {
            histograms[i] = rig_histogram(i + 1, step, bytes[i]);
            exemplars[i] = rig_exemplar(i + 5, step, labels[i]);
        }
        const struct tsdb_log_batch batch = {.window = 5,
                                             .samples = &sample,
                                             .sample_count = step >= 100,
                                             .histograms = histograms,
                                             .histogram_count = 8,
                                             .exemplars = exemplars,
                                             .exemplar_count = 8,
                                             .describe = rig_describe};
        assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_OK);
    }
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(found.histogram_count, 8 * 200);
    assert_int_equal(found.exemplar_count, 8 * 200);
    assert_int_equal(found.sample_count, 100);
    assert_int_equal(found.series_count, 12);
}

/* Samples as they were appended, for those that are not the rig's. */
struct expected {
    const struct tsdb_log_sample *samples;
    size_t count, at;
};

static enum quarry_status take_id(void *argument, const struct tsdb_log_series *series,
                                  uint32_t *ret_handle)
{
    (void)argument;
    *ret_handle = series->id;
    return QUARRY_OK;
}

static enum quarry_status expect(void *argument, const struct tsdb_log_sample *samples,
                                 size_t count)
{
    struct expected *expected = argument;

    for (size_t i = 0; i < count; i++) {
        const struct tsdb_log_sample *sample = &expected->samples[expected->at % expected->count];
        assert_int_equal(samples[i].series, sample->series);
        assert_true(samples[i].t_ms == sample->t_ms);
        assert_true(samples[i].bits == sample->bits);
        expected->at++;
    }
    return QUARRY_OK;
}

static void times_ids_and_values_of_any_size_are_replayed(void **state)
{
    static const int64_t times[] = {INT64_MIN, INT64_MAX, 0, -1, RIG_BEGIN_MS};
    static const uint64_t values[] = {0,
                                      UINT64_MAX,
                                      TSDB_STALE_BITS,
                                      UINT64_C(0x8000000000000000),
                                      UINT64_C(0x7ff0000000000000),
                                      UINT64_C(0x4340000000000001),
                                      UINT64_C(0x40091eb851eb851f), /* 3.14 */
                                      1};
    struct tsdb_log_sample samples[1000];
    struct expected expected = {samples, 1000, 0};
    const struct tsdb_log_visitor visitor = {
        .argument = &expected, .series = take_id, .samples = expect};
    const struct tsdb_log_batch batch = {
        .window = INT64_MIN, .samples = samples, .sample_count = 1000, .describe = rig_describe};
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;
    uint64_t random = 1;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t value = random_u64(&random) % 3 == 0 ? random_width_u64(&random)
                                                      : values[random_u64(&random) % 8];
        samples[i] = (struct tsdb_log_sample){i % 2 == 0 ? 600000 : i % 50 + 1,
                                              times[random_u64(&random) % 5], value};
    }
    assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_OK);
    assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_OK);
    tsdb_log_close(log);
    log = rig_log_open(0);
    assert_int_equal(tsdb_log_replay(log, INT64_MIN, &visitor, &replayed, NULL), QUARRY_OK);
    assert_int_equal(expected.at, 2000);
    tsdb_log_close(log);
}

static void a_sync_is_shared_and_makes_it_survive_a_loss_of_power(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket first, second;
    struct tsdb_log_stats stats;

    (void)state;
    assert_int_equal(rig_append(log, 5, 1, 10, 0, &first), QUARRY_OK);
    assert_int_equal(rig_append(log, 5, 1, 10, 1, &second), QUARRY_OK);
    assert_int_equal(tsdb_log_sync(log, &second, NULL), QUARRY_OK);
    assert_int_equal(tsdb_log_sync(log, &first, NULL), QUARRY_OK);
    tsdb_log_read_stats(log, &stats);
    assert_int_equal(stats.sync_count, 1);
    assert_int_equal(rig_append(log, 6, 1, 10, 2, &second), QUARRY_OK);
    assert_int_equal(tsdb_log_sync_all(log, NULL), QUARRY_OK);
    assert_int_equal(rig_append(log, 6, 1, 10, 3, &second), QUARRY_OK);
    tsdb_log_close(log);
    disk_rig_lose_power(0, 1);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(10, 0, 3);
    assert_int_equal(found.sample_count, 30);
}

static void a_failed_sync_leaves_the_segment_and_begins_another(void **state)
{
    const struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_SYNC, .count = 1, .status = QUARRY_IO};
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket lost, kept;
    struct tsdb_log_stats stats;
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(rig_append(log, 5, 1, 10, 0, &lost), QUARRY_OK);
    quarry_vfs_fault_set(rig_vfs, 0, &fault);
    assert_int_equal(tsdb_log_sync(log, &lost, &error), QUARRY_IO);
    assert_int_equal(tsdb_log_sync(log, &lost, &error), QUARRY_IO); /* and it stays so */
    assert_int_equal(quarry_vfs_fault_hits(rig_vfs, 0), 1);
    assert_int_equal(rig_append(log, 5, 1, 10, 1, &kept), QUARRY_OK);
    assert_true(kept.sequence > lost.sequence);
    assert_int_equal(tsdb_log_sync(log, &kept, NULL), QUARRY_OK);
    assert_int_equal(tsdb_log_sync_all(log, NULL), QUARRY_OK);
    tsdb_log_read_stats(log, &stats);
    assert_int_equal(stats.broken_count, 1);
    tsdb_log_close(log);
    disk_rig_lose_power(0, 1);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(10, 1, 2);
}

static void a_failed_write_loses_its_batch_and_nothing_else(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .count = 1,
                                           .is_partial = true,
                                           .status = QUARRY_IO};
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    (void)state;
    append_steps(log, 5, 100, 0, 10);
    quarry_vfs_fault_set(rig_vfs, 0, &fault);
    assert_int_equal(rig_append(log, 5, 1, 100, 10, &ticket), QUARRY_IO);
    append_steps(log, 5, 100, 11, 20);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(100, 0, 10);
    assert_found(100, 11, 20);
    assert_int_equal(replayed.segment_count, 2);
}

static void a_full_disk_refuses_and_leaves_no_files_behind(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;
    struct tsdb_log_stats stats;

    (void)state;
    append_steps(log, 5, 100, 0, 2);
    quarry_vfs_memory_set_space(rig_disk, 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(rig_append(log, 6, 1, 100, 2, &ticket), QUARRY_NO_SPACE);
    }
    tsdb_log_read_stats(log, &stats);
    assert_int_equal(stats.segment_count, 1);
    quarry_vfs_memory_set_space(rig_disk, UINT64_MAX);
    append_steps(log, 6, 100, 2, 4);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(100, 0, 4);
}

static void a_disk_that_cannot_preallocate_is_written_to(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_PREALLOCATE,
                                           .status = QUARRY_UNSUPPORTED};
    (void)state;
    quarry_vfs_fault_set(rig_vfs, 0, &fault);
    struct tsdb_log *log = rig_log_open(0);
    append_steps(log, 5, 100, 0, 50);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(100, 0, 50);
}

static void labels_that_are_too_large_are_refused_and_the_rest_is_kept(void **state)
{
    static char value[TSDB_LOG_LABEL_BYTES_MAX + 1];
    struct tsdb_label label = {tsdb_slice_of("a"), {value, sizeof(value)}};
    struct tsdb_log_exemplar exemplar = {1, rig_time(0), 0, {&label, 1}};
    struct tsdb_log_histogram histogram = {1, rig_time(0), {value, sizeof(value)}};
    struct tsdb_log_batch batch = {.window = 5, .describe = rig_describe};
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    (void)state;
    append_steps(log, 5, 10, 0, 1);
    batch.exemplars = &exemplar;
    batch.exemplar_count = 1;
    assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_TOO_LARGE);
    batch.histograms = &histogram;
    batch.histogram_count = 1;
    assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_TOO_LARGE);
    append_steps(log, 5, 10, 1, 2);
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(replayed.segment_count, 1);
    assert_found(10, 0, 2);
}

static void without_memory_for_its_table_a_log_goes_on_longer(void **state)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    (void)state;
    append_steps(log, 5, 500, 0, 2);
    disk_rig_leave(0);
    /* Ids of another page of the table. */
    for (uint32_t step = 0; step < 40; step++) {
        assert_int_equal(rig_append(log, 5, 600, 100, step, &ticket), QUARRY_OK);
    }
    disk_rig_leave(UINT64_MAX);
    for (uint32_t step = 40; step < 80; step++) {
        assert_int_equal(rig_append(log, 5, 600, 100, step, &ticket), QUARRY_OK);
    }
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    for (uint32_t step = 0; step < 80; step++) {
        assert_int_equal(found.counts[650][step], 1);
    }
    assert_found(500, 0, 2);
}

static void every_allocation_that_fails_is_told(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct tsdb_log_ticket ticket;
    struct tsdb_log *log = NULL;
    const struct tsdb_log_options options = {
        .vfs = rig_vfs, .directory = RIG_DIRECTORY, .memory = &rig_small};

    (void)state;
    for (uint64_t bytes = 0; status != QUARRY_OK; bytes += 4000) {
        disk_rig_leave(bytes);
        status = tsdb_log_open(&options, &log, NULL);
        if (status == QUARRY_OK) {
            status = rig_append(log, 5, 1, 50, 0, &ticket);
            tsdb_log_close(log);
        }
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_true(bytes < Q_MIB(4));
    }
    disk_rig_leave(UINT64_MAX);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_found(50, 0, 1);
    status = QUARRY_NO_MEMORY;
    log = rig_log_open(0);
    for (uint64_t bytes = 0; status != QUARRY_OK; bytes += 4000) {
        struct tsdb_log_visitor visitor = rig_visitor(&found);
        disk_rig_leave(bytes);
        status = tsdb_log_replay(log, 5, &visitor, &replayed, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    }
    disk_rig_leave(UINT64_MAX);
    tsdb_log_close(log);
}

/* Batches of so many samples, of targets of 500 series each that are scraped one after another. */
static double bytes_a_sample(uint32_t batch_samples, uint32_t steps)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket = {0, 0};
    struct tsdb_log_sample *samples = calloc(batch_samples, sizeof(*samples));
    uint64_t count = 0;

    assert_non_null(samples);
    for (uint32_t step = 0; step < steps; step++) {
        for (uint32_t first = 1; first <= 10000; first += batch_samples) {
            for (uint32_t i = 0; i < batch_samples; i++) {
                samples[i] = rig_sample(first + i, step);
                samples[i].t_ms += (first + i - 1) / 500 * 731;
            }
            const struct tsdb_log_batch batch = {.window = 5,
                                                 .samples = samples,
                                                 .sample_count = batch_samples,
                                                 .describe = rig_describe};
            assert_int_equal(tsdb_log_append(log, &batch, &ticket, NULL), QUARRY_OK);
            count += batch_samples;
        }
    }
    free(samples);
    tsdb_log_close(log);
    disk_rig_clear();
    return (double)ticket.end / (double)count;
}

static void samples_take_less_than_four_bytes(void **state)
{
    double small = bytes_a_sample(500, 240), large = bytes_a_sample(10000, 240);

    (void)state;
    print_message("an hour of 10,000 series: %.2f bytes a sample in batches of 500, %.2f of "
                  "10,000, labels included\n",
                  small, large);
    assert_true(small < 3.0);
    assert_true(large < 3.0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_rig_set_up, disk_rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_appended_is_replayed_bit_by_bit),
        TEST(an_empty_log_has_no_windows),
        TEST(windows_have_segments_of_their_own_and_go_whole),
        TEST(a_full_segment_is_followed_by_another_that_stands_alone),
        TEST(a_log_that_is_opened_again_goes_on_in_new_segments),
        TEST(histograms_and_exemplars_are_replayed),
        TEST(times_ids_and_values_of_any_size_are_replayed),
        TEST(a_sync_is_shared_and_makes_it_survive_a_loss_of_power),
        TEST(a_failed_sync_leaves_the_segment_and_begins_another),
        TEST(a_failed_write_loses_its_batch_and_nothing_else),
        TEST(a_full_disk_refuses_and_leaves_no_files_behind),
        TEST(a_disk_that_cannot_preallocate_is_written_to),
        TEST(labels_that_are_too_large_are_refused_and_the_rest_is_kept),
        TEST(without_memory_for_its_table_a_log_goes_on_longer),
        TEST(every_allocation_that_fails_is_told),
        TEST(samples_take_less_than_four_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
