/*
 * The histogram of sampled times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bench/malloc/latency.h>

/* Its 4 KiB begin empty. */
static struct bench_latency latency;

static int empty(void **state)
{
    (void)state;
    latency = (struct bench_latency){0};
    return 0;
}

static void nothing_sampled_has_no_quantile(void **state)
{
    (void)state;
    assert_int_equal(bench_latency_quantile(&latency, 9990), 0);
}

static void times_below_sixteen_are_exact(void **state)
{
    (void)state;
    for (uint64_t ticks = 0; ticks < 16; ticks++) {
        bench_latency_add(&latency, ticks);
        assert_int_equal(bench_latency_quantile(&latency, 10000), ticks);
    }
}

static void a_quantile_is_never_below_the_truth_and_at_most_a_sixteenth_above(void **state)
{
    (void)state;
    for (uint64_t ticks = 1; ticks < UINT64_C(1) << 62; ticks += ticks / 3 + 1) {
        (void)empty(NULL);
        bench_latency_add(&latency, ticks);
        uint64_t found = bench_latency_quantile(&latency, 10000);
        assert_true(found >= ticks);
        assert_true(found - ticks <= ticks / 16);
    }
}

static void one_slow_time_in_a_thousand_is_above_p999_and_two_are_it(void **state)
{
    (void)state;
    for (int i = 0; i < 999; i++) {
        bench_latency_add(&latency, 10);
    }
    bench_latency_add(&latency, 1000000);
    assert_int_equal(bench_latency_quantile(&latency, 9990), 10);
    bench_latency_add(&latency, 1000000);
    assert_true(bench_latency_quantile(&latency, 9990) >= 1000000);
}

static void merging_is_as_if_one_had_seen_all(void **state)
{
    (void)state;
    static struct bench_latency other;

    for (uint64_t ticks = 0; ticks < 1000; ticks++) {
        bench_latency_add(ticks % 2 == 0 ? &latency : &other, ticks);
    }
    bench_latency_merge(&latency, &other);
    assert_int_equal(latency.sample_count, 1000);
    uint64_t median = bench_latency_quantile(&latency, 5000);
    assert_true(median >= 499 && median <= 531);
}

static void the_largest_time_has_a_bucket(void **state)
{
    (void)state;
    bench_latency_add(&latency, UINT64_MAX);
    assert_true(bench_latency_quantile(&latency, 10000) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_sampled_has_no_quantile, empty),
        cmocka_unit_test_setup(times_below_sixteen_are_exact, empty),
        cmocka_unit_test(a_quantile_is_never_below_the_truth_and_at_most_a_sixteenth_above),
        cmocka_unit_test_setup(one_slow_time_in_a_thousand_is_above_p999_and_two_are_it, empty),
        cmocka_unit_test_setup(merging_is_as_if_one_had_seen_all, empty),
        cmocka_unit_test_setup(the_largest_time_has_a_bucket, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
