/*
 * Pages are moved under readers and writers; no reader sees a wrong byte. For two seconds, or for
 * QUARRY_SOAK_SECONDS; or until as many reads were checked as the first argument says.
 */
#include "unit/slab/slab_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/slab/storm.h"

static uint64_t wanted_reads = UINT64_MAX;
static uint64_t seconds_max = 2;

static void run(size_t bytes_max, uint32_t reader_count, uint32_t writer_count, bool times_locks)
{
    slab_begin(&(struct slab_setup){.times_locks = times_locks});
    struct storm storm = {
        .slab = slab,
        .epoch = epoch,
        .reader_count = reader_count,
        .writer_count = writer_count,
        .wanted_reads = wanted_reads,
        .seconds_max = seconds_max,
        .bytes_max = bytes_max,
    };
    struct storm_result result = storm_run(&storm);
    printf("%llu reads checked, %llu stale refs probed, %llu writes, %llu pages and %llu cells "
           "moved, locks held for %llu ns of CPU at most\n",
           (unsigned long long)result.read_count, (unsigned long long)result.stale_count,
           (unsigned long long)result.write_count, (unsigned long long)result.moved_pages,
           (unsigned long long)result.moved_cells,
           (unsigned long long)slab_stats().lock_cpu_ns_max);
    assert_true(result.read_count > 0 && result.write_count > 0);
    assert_true(result.moved_pages > 0 && result.moved_cells > 0);
    slab_check();
    (void)quarry_slab_trim(slab);
    assert_int_equal(slab_stats().page_bytes, 0);
    slab_end();
}

static void readers_of_small_cells_see_no_wrong_byte(void **state)
{
    (void)state;
    run(128, 2, 2, false);
}

static void readers_of_cells_of_many_sizes_see_no_wrong_byte(void **state)
{
    (void)state;
    run(2048, 2, 2, false);
}

static void many_threads_see_no_wrong_byte(void **state)
{
    (void)state;
    run(512, 6, 6, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_of_small_cells_see_no_wrong_byte),
        cmocka_unit_test(readers_of_cells_of_many_sizes_see_no_wrong_byte),
        cmocka_unit_test(many_threads_see_no_wrong_byte),
    };
    const char *seconds = getenv("QUARRY_SOAK_SECONDS");

    if (seconds != NULL) {
        seconds_max = size_max_u64(strtoull(seconds, NULL, 10) / COUNT_OF(tests), 1);
    }
    if (argc > 1) {
        wanted_reads = strtoull(argv[1], NULL, 10);
        seconds_max = 3600;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
