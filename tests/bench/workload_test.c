/*
 * The workloads of `quarry bench malloc` themselves, in this process and briefly: that each does
 * its work with any number of threads, counts what it does, and frees what it allocates. Leaks and
 * races are for the sanitizers that this runs under.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bench/malloc/rows.h>
#include <bench/malloc/story.h>
#include <bench/malloc/watch.h>

#define STEPS 6u

static struct bench_worker workers[BENCH_WORKERS_MAX];

/* Runs a few steps of a row. Returns: the operations of all threads. */
static uint64_t run_row(const struct bench_malloc_row *row, uint64_t step_count,
                        uint32_t thread_count)
{
    struct bench_job job = {row, step_count, row->is_threaded ? thread_count : 1, workers};
    uint64_t operation_count = 0;

    for (uint32_t i = 0; i < job.thread_count; i++) {
        bench_worker_init(&workers[i], i, row->sample_every);
    }
    row->run(&job);
    for (uint32_t i = 0; i < job.thread_count; i++) {
        operation_count += bench_worker_operations(&workers[i]);
    }
    return operation_count;
}

static void every_row_works_with_two_threads_and_with_five(void **state)
{
    (void)state;
    size_t row_count = 0;
    const struct bench_malloc_row *rows = bench_malloc_rows(&row_count);

    assert_int_equal(row_count, 24);
    for (size_t i = 0; i < row_count; i++) {
        assert_true(run_row(&rows[i], STEPS, 2) >= 2 * STEPS);
        if (rows[i].is_threaded) {
            assert_true(run_row(&rows[i], STEPS, 5) >= 2 * STEPS);
        }
    }
}

static void operations_are_counted_exactly(void **state)
{
    (void)state;

    assert_int_equal(run_row(bench_malloc_row_find("pair_64b"), STEPS, 2),
                     2 * STEPS * BENCH_MICRO_PAIRS);
    assert_int_equal(run_row(bench_malloc_row_find("batch_64b"), STEPS, 2),
                     2 * STEPS * BENCH_BATCH_OBJECTS);
    /* 64 numbers at first, and four a step; each is freed. */
    assert_int_equal(run_row(bench_malloc_row_find("bignum_churn"), STEPS, 2),
                     2 * (64 + 4 * STEPS));
    /* A producer's batch is 120 objects and itself. */
    assert_int_equal(run_row(bench_malloc_row_find("xmalloc"), STEPS, 2), 2 * 121 * STEPS);
    assert_int_equal(run_row(bench_malloc_row_find("thread_churn"), STEPS, 2), 2 * 32 * STEPS);
}

static void rows_of_one_thread_do_the_same_work_each_time(void **state)
{
    (void)state;
    const struct bench_malloc_row *row = bench_malloc_row_find("bitset_solver");
    uint64_t operation_count = run_row(row, 2 * STEPS, 2);

    assert_int_equal(run_row(row, 2 * STEPS, 2), operation_count);
    assert_true(run_row(row, STEPS, 2) < operation_count);
}

static void every_so_many_operations_one_is_timed(void **state)
{
    (void)state;
    const struct bench_malloc_row *row = bench_malloc_row_find("bignum_churn");
    uint64_t operation_count = run_row(row, 1000, 2);

    assert_int_equal(workers[0].latency.count, operation_count / row->sample_every);
}

static void rows_are_found_by_name_alone(void **state)
{
    (void)state;
    assert_null(bench_malloc_row_find("pair"));
    assert_null(bench_malloc_row_find(""));
    assert_string_equal(bench_malloc_row_find("large")->name, "large");
}

static void the_story_goes_on_where_it_was_interrupted(void **state)
{
    (void)state;
    static struct bench_story_hour before[BENCH_STORY_HOURS + 1];
    static struct bench_story_hour after[BENCH_STORY_HOURS + 1];
    struct bench_story_options options = {.series_count = 40};

    bench_story_run(&options, before);
    options.is_after = true;
    bench_story_run(&options, after);
    assert_int_equal(before[0].live_bytes, 0);
    for (size_t i = 1; i <= BENCH_STORY_HOURS; i++) {
        assert_true(before[i].live_bytes > before[i - 1].live_bytes);
        assert_true(after[i].live_bytes > 0);
    }
    /* The snapshot holds what was there, without what the store had rounded up. */
    assert_true(after[0].live_bytes < before[BENCH_STORY_HOURS].live_bytes);
    assert_true(after[0].live_bytes > before[BENCH_STORY_HOURS].live_bytes * 9 / 10);
    /* When nine windows have passed, it is a store like any other again. */
    assert_true(after[BENCH_STORY_HOURS].live_bytes >
                before[BENCH_STORY_HOURS].live_bytes * 8 / 10);
    assert_true(after[BENCH_STORY_HOURS].live_bytes <
                before[BENCH_STORY_HOURS].live_bytes * 12 / 10);
}

static void a_watch_has_the_points_that_lie_within_its_time(void **state)
{
    (void)state;
    assert_int_equal(bench_watch_point_count(0), 1);
    assert_int_equal(bench_watch_point_count(4), 3);
    assert_int_equal(bench_watch_point_count(30), 6);
    assert_int_equal(bench_watch_point_count(1000), BENCH_WATCH_POINTS);
    assert_int_equal(bench_watch_point_seconds(5), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_works_with_two_threads_and_with_five),
        cmocka_unit_test(operations_are_counted_exactly),
        cmocka_unit_test(rows_of_one_thread_do_the_same_work_each_time),
        cmocka_unit_test(every_so_many_operations_one_is_timed),
        cmocka_unit_test(rows_are_found_by_name_alone),
        cmocka_unit_test(the_story_goes_on_where_it_was_interrupted),
        cmocka_unit_test(a_watch_has_the_points_that_lie_within_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
