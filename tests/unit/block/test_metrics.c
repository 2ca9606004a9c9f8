/*
 * What a cache counts.
 */
#include "unit/block/block_rig.h"

#include <pthread.h>

#include <block/counters.h>

static struct quarry_block_counts counts_of(enum quarry_block_window window, uint32_t kind,
                                            uint32_t level)
{
    struct quarry_block_stats stats;

    quarry_block_cache_stats(cache, window, &stats);
    return stats.counts[kind][level];
}

static void lookup(uint64_t n, struct quarry_block_tag tag)
{
    struct quarry_block_key key = key_of(n);
    struct quarry_block block;

    if (quarry_block_cache_get(cache, &key, tag, &block)) {
        quarry_block_release(cache, &block);
    }
}

static void hits_and_misses_are_counted_by_kind_and_level(void **state)
{
    (void)state;
    assert_int_equal(enter(1, 4096), QUARRY_OK);
    for (uint8_t kind = 0; kind < QUARRY_BLOCK_KINDS; kind++) {
        for (uint8_t level = 0; level < QUARRY_BLOCK_LEVELS; level++) {
            struct quarry_block_tag tag = {.kind = kind, .level = level};
            for (uint32_t i = 0; i < 1u + kind; i++) {
                lookup(1, tag);
            }
            for (uint32_t i = 0; i < 1u + level; i++) {
                lookup(2, tag);
            }
        }
    }
    for (uint8_t kind = 0; kind < QUARRY_BLOCK_KINDS; kind++) {
        for (uint8_t level = 0; level < QUARRY_BLOCK_LEVELS; level++) {
            struct quarry_block_counts counts = counts_of(QUARRY_BLOCK_WINDOW_TOTAL, kind, level);
            assert_int_equal(counts.hits, 1u + kind);
            assert_int_equal(counts.misses, 1u + level);
        }
    }
}

static void background_readers_are_counted_apart(void **state)
{
    (void)state;
    assert_int_equal(enter(1, 4096), QUARRY_OK);
    lookup(1, background_tag);
    lookup(2, background_tag);
    lookup(2, background_tag);
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.background[QUARRY_BLOCK_DATA].hits, 1);
    assert_int_equal(stats.background[QUARRY_BLOCK_DATA].misses, 2);
    assert_int_equal(stats.counts[QUARRY_BLOCK_DATA][2].hits, 0);
    assert_int_equal(stats.counts[QUARRY_BLOCK_DATA][2].inserts, 1);
}

static void insertions_evictions_and_ghosts_are_counted(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    struct quarry_block_stats stats = stats_now();
    struct quarry_block_counts counts = stats.counts[data_tag.kind][data_tag.level];
    assert_int_equal(counts.inserts, 300);
    assert_int_equal(counts.evictions, 300 - stats.cold_count);
    assert_int_equal(stats.ghost_count, counts.evictions);
    assert_int_equal(stats.ghost_hits, 0);
    assert_int_equal(enter(5, 4096), QUARRY_OK);
    assert_int_equal(stats_now().ghost_hits, 1);
}

static void bytes_are_those_of_the_memory(void **state)
{
    (void)state;
    struct quarry_block held = block_make(1000, 600000); /* a run of pages */

    for (uint64_t n = 0; n < 50; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.block_bytes, stats.cold_bytes + stats.hot_bytes + 74 * 8192);
    struct quarry_ledger totals = heap_totals();
    assert_true(stats.block_bytes + stats.metadata_bytes <= totals.in_use_bytes + Q_MIB(1));
    quarry_block_release(cache, &held);
}

/* ---- windows -------------------------------------------------------------------------------- */

static void a_minute_passes(void)
{
    os_sim_advance(&sim, UINT64_C(60000000000));
    quarry_block_cache_tick(cache);
}

static uint64_t misses_in(enum quarry_block_window window)
{
    return counts_of(window, data_tag.kind, data_tag.level).misses;
}

static void windows_hold_what_happened_in_them(void **state)
{
    (void)state;
    for (uint64_t minute = 0; minute < 180; minute++) { /* a miss a minute */
        lookup(minute, data_tag);
        assert_int_equal(misses_in(QUARRY_BLOCK_WINDOW_TOTAL), minute + 1);
        uint64_t in_ten = misses_in(QUARRY_BLOCK_WINDOW_10_MINUTES);
        uint64_t in_hour = misses_in(QUARRY_BLOCK_WINDOW_1_HOUR);
        if (minute >= 20) {
            assert_in_range(in_ten, 10, 12);
        }
        if (minute >= 80) {
            assert_in_range(in_hour, 60, 71);
        }
        a_minute_passes();
    }
    struct quarry_block_stats stats;
    quarry_block_cache_stats(cache, QUARRY_BLOCK_WINDOW_10_MINUTES, &stats);
    assert_int_equal(stats.window_ns, UINT64_C(600000000000));
    quarry_block_cache_stats(cache, QUARRY_BLOCK_WINDOW_1_HOUR, &stats);
    assert_in_range(stats.window_ns, UINT64_C(3600000000000), UINT64_C(4200000000000));
}

static void a_window_says_how_long_it_really_was(void **state)
{
    (void)state;
    struct quarry_block_stats stats;

    lookup(1, data_tag);
    os_sim_advance(&sim, UINT64_C(7200000000000)); /* nobody turned them for two hours */
    quarry_block_cache_stats(cache, QUARRY_BLOCK_WINDOW_10_MINUTES, &stats);
    assert_int_equal(stats.counts[data_tag.kind][data_tag.level].misses, 1);
    assert_int_equal(stats.window_ns, UINT64_C(7200000000000));
}

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS 24u /* more than stripes: some share */
#define LOOKUPS 5000u

static void *look_up_often(void *argument)
{
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        lookup(i % 2, data_tag);
    }
    return argument;
}

static void no_lookup_of_any_thread_is_lost(void **state)
{
    (void)state;
    pthread_t threads[THREADS];

    assert_int_equal(enter(1, 4096), QUARRY_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_up_often, NULL), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct quarry_block_counts counts =
        counts_of(QUARRY_BLOCK_WINDOW_TOTAL, data_tag.kind, data_tag.level);
    assert_int_equal(counts.hits, THREADS * LOOKUPS / 2);
    assert_int_equal(counts.misses, THREADS * LOOKUPS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hits_and_misses_are_counted_by_kind_and_level, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(background_readers_are_counted_apart, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(insertions_evictions_and_ghosts_are_counted, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_those_of_the_memory, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(windows_hold_what_happened_in_them, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_window_says_how_long_it_really_was, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(no_lookup_of_any_thread_is_lost, cache_set_up,
                                        cache_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
