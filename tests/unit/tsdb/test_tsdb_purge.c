/*
 * Windows that are offered before they are purged: by age, for memory, ahead of time and not; what
 * fails; and the blocks that are made of them, which are the same when they are written again.
 */
#include "unit/tsdb/store_rig.h"

#include <base/base.h>
#include <os/os.h>

#include "unit/base/random.h"

#define T0     INT64_C(1600000000000) /* where a window begins: they are of 1,000 s */
#define WINDOW INT64_C(1000000)

/* What the function was told, and what it says. */
static struct taken {
    int64_t starts[64];
    size_t count;
    uint64_t sample_counts[64]; /* that were to be read of series 0 */
    enum quarry_status says;
    uint32_t fails; /* calls that fail before */
    _Atomic uint32_t calls;
} taken;

static enum quarry_status take(void *argument, const struct quarry_tsdb_leaving *leaving)
{
    struct quarry_tsdb_sample samples[64];

    assert_ptr_equal(argument, &taken);
    (void)atomic_add_seq_cst_u32(&taken.calls, 1);
    if (taken.fails > 0) {
        taken.fails--;
        return taken.says;
    }
    assert_true(taken.count < COUNT_OF(taken.starts));
    assert_int_equal(leaving->end_ms - leaving->start_ms, WINDOW);
    taken.starts[taken.count] = leaving->start_ms;
    taken.sample_counts[taken.count] =
        rig_read(0, leaving->start_ms, leaving->end_ms - 1, samples, COUNT_OF(samples));
    taken.count++;
    return QUARRY_OK;
}

static void open_taking(uint32_t window_count)
{
    taken = (struct taken){.says = QUARRY_IO};
    rig.options.before_purge = take;
    rig.options.purge_argument = &taken;
    rig.options.window_count = window_count;
    rig_open();
}

/* Ten samples of each of some series in a window. */
static void fill_window(uint32_t window, uint32_t series_count)
{
    for (int64_t i = 0; i < 10; i++) {
        for (uint32_t number = 0; number < series_count; number++) {
            assert_int_equal(
                rig_append(number, T0 + window * WINDOW + i * 100000, window * 100 + (uint64_t)i),
                QUARRY_OK);
        }
    }
}

static void every_window_is_offered_once_before_it_goes(void **state)
{
    (void)state;
    open_taking(2);
    for (uint32_t window = 0; window < 10; window++) {
        fill_window(window, 3);
        (void)rig_turns();
    }
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.purged_window_count, 7);
    assert_int_equal(stats.offered_window_count, taken.count);
    assert_int_equal(stats.untaken_window_count, 0);
    assert_true(taken.count >= 7 && taken.count <= 8); /* and the next one, ahead */
    for (size_t i = 0; i < taken.count; i++) {
        assert_int_equal(taken.starts[i], T0 + (int64_t)i * WINDOW);
        assert_int_equal(taken.sample_counts[i], 10);
    }
}

static void who_purges_offers_where_no_turn_was_taken(void **state)
{
    (void)state;
    open_taking(2);
    for (uint32_t window = 0; window < 3; window++) {
        fill_window(window, 1);
    }
    assert_int_equal(taken.count, 0);
    assert_int_equal(rig_append(0, T0 + 9 * WINDOW, 1), QUARRY_OK); /* all of them go at once */
    assert_int_equal(taken.count, 3);
    assert_int_equal(rig_stats().purged_window_count, 3);
    assert_int_equal(rig_stats().untaken_window_count, 0);
    assert_int_equal(taken.sample_counts[2], 10);
}

static void a_window_by_hand_is_offered_too(void **state)
{
    (void)state;
    open_taking(4);
    fill_window(0, 1);
    assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_NOT_FOUND);
    fill_window(1, 1);
    assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_OK);
    assert_int_equal(taken.count, 1);
    assert_int_equal(taken.starts[0], T0);
}

static void a_failure_is_tried_once_more_and_does_not_stop_a_purge(void **state)
{
    (void)state;
    open_taking(2);
    taken.fails = 1; /* ahead of time: taken at the second try */
    for (uint32_t window = 0; window < 4; window++) {
        fill_window(window, 1);
        (void)rig_turns();
    }
    assert_int_equal(rig_stats().offer_failed_count, 1);
    assert_int_equal(rig_stats().untaken_window_count, 0);
    assert_int_equal(taken.starts[0], T0);
    taken.fails = UINT32_MAX;
    for (uint32_t window = 4; window < 8; window++) {
        fill_window(window, 1);
        (void)rig_turns();
    }
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.purged_window_count, 5);
    assert_int_equal(stats.untaken_window_count, 5 - taken.count);
    assert_true(stats.untaken_window_count >= 3);
}

static void for_want_of_memory_the_oldest_is_offered_first(void **state)
{
    uint64_t dice = 7;

    (void)state;
    rig.options.memory_bytes = Q_MIB(12);
    rig.options.in_order_ms = WINDOW;
    open_taking(20);
    for (int64_t step = 0; rig_stats().early_window_count < 2; step++) {
        assert_true(step < 200);
        for (uint32_t number = 0; number < 1000; number++) {
            struct quarry_tsdb_sample samples[20];
            for (int64_t i = 0; i < 20; i++) {
                samples[i] =
                    (struct quarry_tsdb_sample){T0 + (step * 20 + i) * 5000, random_u64(&dice)};
            }
            (void)rig_append_many(number, samples, COUNT_OF(samples));
        }
    }
    struct quarry_tsdb_stats stats = rig_stats();
    assert_true(stats.early_window_count > 0);
    assert_int_equal(stats.untaken_window_count, 0);
    assert_true(taken.count >= stats.early_window_count);
}

/* What another thread would do meanwhile. */
static enum quarry_status take_and_append(void *argument, const struct quarry_tsdb_leaving *leaving)
{
    ((struct taken *)argument)->count++;
    return rig_append(0, leaving->end_ms - 1, 1);
}

static void what_comes_to_a_window_that_was_taken_open_is_counted(void **state)
{
    (void)state;
    rig.options.in_order_ms = WINDOW;
    rig.options.out_of_order_ms = WINDOW;
    open_taking(4);
    rig_close();
    rig.options.before_purge = take_and_append;
    rig_open();
    fill_window(0, 1);
    fill_window(1, 1);
    assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_OK);
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.offered_window_count, 1);
    assert_int_equal(stats.purged_window_count, 1);
    assert_int_equal(stats.untaken_window_count, 1);
}

/* What other threads would do meanwhile: a sample comes, and the window is sealed. */
static enum quarry_status take_append_and_seal(void *argument,
                                               const struct quarry_tsdb_leaving *leaving)
{
    ((struct taken *)argument)->count++;
    assert_int_equal(rig_append(0, leaving->end_ms - 1, 1), QUARRY_OK);
    fill_window(4, 1);
    (void)rig_turns();
    return QUARRY_OK;
}

/* Samples that came twice count as long as a window is open: one that was missed is not made up for
 * by these when they go. */
static void what_came_twice_does_not_hide_what_was_missed(void **state)
{
    struct quarry_tsdb_window windows[4];

    (void)state;
    rig.options.in_order_ms = WINDOW;
    rig.options.out_of_order_ms = WINDOW;
    rig.options.window_count = 8;
    taken = (struct taken){.count = 0};
    rig.options.before_purge = take_append_and_seal;
    rig.options.purge_argument = &taken;
    rig_open();
    fill_window(0, 1);
    for (int64_t i = 0; i < 5; i++) {
        assert_int_equal(rig_append(0, T0 + i * 100000, 99), QUARRY_OK);
    }
    fill_window(1, 1);
    assert_int_equal(quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows)), 2);
    assert_int_equal(windows[0].sample_count, 15);
    assert_int_equal(quarry_tsdb_purge_oldest(rig.tsdb), QUARRY_OK);
    assert_int_equal(taken.count, 1);
    assert_int_equal(rig_stats().purged_window_count, 1);
    assert_int_equal(rig_stats().untaken_window_count, 1);
}

/* ---- threads -------------------------------------------------------------------------------- */

static _Atomic uint32_t may_go;

static enum quarry_status take_slowly(void *argument, const struct quarry_tsdb_leaving *leaving)
{
    (void)leaving;
    (void)atomic_add_seq_cst_u32(&((struct taken *)argument)->calls, 1);
    while (atomic_load_seq_cst_u32(&may_go) == 0) {
        os_futex_wait(&may_go, 0, UINT64_C(60000000000));
    }
    return QUARRY_OK;
}

static void who_is_not_answered_in_time_is_passed_over(void **state)
{
    (void)state;
    taken = (struct taken){.says = QUARRY_OK};
    atomic_store_seq_cst_u32(&may_go, 0);
    rig.options.before_purge = take_slowly;
    rig.options.purge_argument = &taken;
    rig.options.window_count = 1;
    rig.options.has_no_thread = false;
    rig.options.purge_wait_ms = 1;
    rig_open();
    for (uint32_t window = 0; window < 6; window++) {
        fill_window(window, 1);
    }
    assert_int_equal(rig_stats().purged_window_count, 4);
    assert_int_equal(rig_stats().untaken_window_count, 4);
    atomic_store_seq_cst_u32(&may_go, 1);
    os_futex_wake(&may_go, UINT32_MAX);
}

static void a_request_waits_for_the_thread(void **state)
{
    (void)state;
    taken = (struct taken){.says = QUARRY_OK};
    atomic_store_seq_cst_u32(&may_go, 1);
    rig.options.before_purge = take_slowly;
    rig.options.purge_argument = &taken;
    rig.options.window_count = 1;
    rig.options.has_no_thread = false;
    rig.options.purge_wait_ms = 60000;
    rig_open();
    for (uint32_t window = 0; window < 12; window++) {
        fill_window(window, 1);
    }
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.purged_window_count, 10);
    assert_int_equal(stats.untaken_window_count, 0);
    assert_true(stats.offered_window_count >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_window_is_offered_once_before_it_goes, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(who_purges_offers_where_no_turn_was_taken, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(a_window_by_hand_is_offered_too, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_tried_once_more_and_does_not_stop_a_purge,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(for_want_of_memory_the_oldest_is_offered_first, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(what_comes_to_a_window_that_was_taken_open_is_counted,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(what_came_twice_does_not_hide_what_was_missed, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(who_is_not_answered_in_time_is_passed_over, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(a_request_waits_for_the_thread, rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
