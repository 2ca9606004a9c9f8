/*
 * How much is done under one lock of a slab: no more than SLAB_LOCK_CELLS_MAX cells are looked at
 * or changed, with many threads, many cells and pages being moved, and where most has piled up. How
 * long that takes is measured by `quarry bench slab`.
 */
#include "unit/slab/slab_rig.h"

#include <pthread.h>

#include "unit/slab/storm.h"

#define CELLS 20000u

static quarry_ref refs[CELLS];

static int set_up(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.times_locks = true});
    return 0;
}

static void take_cells(size_t bytes, uint32_t count)
{
    assert_true(count <= CELLS);
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = take_filled(bytes, i);
    }
}

static void give_cells(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        quarry_slab_give(slab, refs[i]);
    }
}

/* ---- storms --------------------------------------------------------------------------------- */

static void check_storm(size_t bytes_max)
{
    struct storm storm = {
        .slab = slab,
        .epoch = epoch,
        .reader_count = 1,
        .writer_count = 4,
        .wanted_reads = UINT64_MAX,
        .seconds_max = 1,
        .bytes_max = bytes_max,
    };

    (void)storm_run(&storm);
    struct quarry_slab_stats stats = slab_stats();
    print_message("%llu cells at most, %llu ns of CPU\n", (unsigned long long)stats.lock_cells_max,
                  (unsigned long long)stats.lock_cpu_ns_max);
    assert_true(stats.lock_cpu_ns_max > 0);
    assert_in_range(stats.lock_cells_max, SLAB_BATCH_CELLS, SLAB_LOCK_CELLS_MAX);
}

static void little_is_done_under_locks_over_the_smallest_cells(void **state)
{
    (void)state;
    check_storm(32);
}

static void little_is_done_under_locks_over_cells_of_many_sizes(void **state)
{
    (void)state;
    check_storm(1024);
}

/* ---- where most has piled up ---------------------------------------------------------------- */

/* Another thread with a grown magazine and a full ring, all of one class and its first page. */
struct hoarder {
    pthread_t thread;
    pthread_barrier_t barrier;
};

static void *hoard(void *argument)
{
    struct hoarder *hoarder = argument;
    const uint32_t count = SLAB_MAGAZINE_CELLS_GROWN;

    for (uint32_t round = 0; round < 20; round++) {
        take_cells(64, count);
        give_cells(count);
    }
    take_cells(64, SLAB_LIMBO_CELLS);
    quarry_epoch_enter(epoch); /* so that nothing of the ring is past */
    for (uint32_t i = 0; i < SLAB_LIMBO_CELLS - 1; i++) {
        quarry_slab_retire(slab, refs[i]);
    }
    (void)pthread_barrier_wait(&hoarder->barrier);
    (void)pthread_barrier_wait(&hoarder->barrier);
    quarry_epoch_leave(epoch);
    quarry_slab_give(slab, refs[SLAB_LIMBO_CELLS - 1]);
    return NULL;
}

static void hoarder_begin(struct hoarder *hoarder)
{
    assert_int_equal(pthread_barrier_init(&hoarder->barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&hoarder->thread, NULL, hoard, hoarder), 0);
    (void)pthread_barrier_wait(&hoarder->barrier);
}

static void hoarder_end(struct hoarder *hoarder)
{
    (void)pthread_barrier_wait(&hoarder->barrier);
    assert_int_equal(pthread_join(hoarder->thread, NULL), 0);
    (void)pthread_barrier_destroy(&hoarder->barrier);
}

static bool decline(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                    void *new_data, size_t bytes)
{
    (void)argument, (void)old_ref, (void)old_data, (void)new_ref, (void)new_data, (void)bytes;
    return false;
}

static void all_that_a_thread_has_of_a_page_is_taken_away_within_the_bound(void **state)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0;
    struct hoarder hoarder;

    (void)state;
    hoarder_begin(&hoarder);
    while (quarry_slab_next_page(slab, &cursor, &page)) {
        (void)quarry_slab_move_page(slab, page.class_id, page.page, decline, NULL);
    }
    hoarder_end(&hoarder);
    assert_in_range(slab_stats().lock_cells_max, 2 * (SLAB_LIMBO_CELLS - 1), SLAB_LOCK_CELLS_MAX);
}

static void what_a_reader_has_kept_in_limbo_is_freed_in_parts(void **state)
{
    (void)state;
    take_cells(16, CELLS);
    quarry_epoch_enter(epoch);
    for (uint32_t i = 0; i < CELLS; i++) {
        quarry_slab_retire(slab, refs[i]);
    }
    quarry_epoch_leave(epoch);
    (void)quarry_slab_trim(slab);
    assert_int_equal(slab_stats().limbo_count, 0);
    assert_in_range(slab_stats().lock_cells_max, 512, SLAB_LOCK_CELLS_MAX);
}

static void what_a_thread_keeps_is_given_up_in_parts(void **state)
{
    struct hoarder hoarder;

    (void)state;
    hoarder_begin(&hoarder);
    (void)quarry_slab_trim(slab);
    uint64_t most_cells = slab_stats().lock_cells_max;
    hoarder_end(&hoarder);
    /* A refill of a grown magazine is the most; emptying takes 64 of either kind. */
    assert_in_range(most_cells, SLAB_MAGAZINE_CELLS_GROWN / 2, SLAB_MAGAZINE_CELLS_GROWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, slab_tear_down)
        TEST(little_is_done_under_locks_over_the_smallest_cells),
        TEST(little_is_done_under_locks_over_cells_of_many_sizes),
        TEST(all_that_a_thread_has_of_a_page_is_taken_away_within_the_bound),
        TEST(what_a_reader_has_kept_in_limbo_is_freed_in_parts),
        TEST(what_a_thread_keeps_is_given_up_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
