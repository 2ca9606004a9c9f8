/*
 * The histogram of times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bench/histogram.h>

/* Begins empty. */
static struct bench_histogram histogram;

static int empty(void **state)
{
    (void)state;
    histogram = (struct bench_histogram){0};
    return 0;
}

static void no_values_have_no_quantile(void **state)
{
    (void)state;
    assert_int_equal(bench_histogram_quantile(&histogram, 9990), 0);
}

static void values_below_128_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 128; value++) {
        bench_histogram_add(&histogram, value);
        assert_int_equal(bench_histogram_quantile(&histogram, 10000), value);
    }
    assert_int_equal(bench_histogram_quantile(&histogram, 5000), 63);
}

static void a_quantile_is_never_below_the_truth_and_at_most_a_hundredth_above(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < UINT64_C(1) << 62; value += value / 3 + 1) {
        (void)empty(NULL);
        bench_histogram_add(&histogram, value);
        bench_histogram_add(&histogram, 2 * value);
        uint64_t found = bench_histogram_quantile(&histogram, 5000);
        assert_true(found >= value);
        assert_true(found - value <= value / 100);
        assert_true(bench_histogram_quantile(&histogram, 10000) == 2 * value);
    }
}

static void quantiles_of_many_values_are_told_to_a_hundredth(void **state)
{
    (void)state;
    static const uint32_t shares[] = {1, 5000, 9900, 9990, 9999};

    for (uint64_t value = 1; value <= 1000000; value++) {
        bench_histogram_add(&histogram, value);
    }
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t told = bench_histogram_quantile(&histogram, shares[i]);
        assert_true(told >= 100 * shares[i] && told <= 101 * shares[i]);
    }
    assert_int_equal(bench_histogram_quantile(&histogram, 10000), 1000000);
}

static void one_slow_value_in_a_thousand_is_above_p999_and_two_are_it(void **state)
{
    (void)state;
    for (int i = 0; i < 999; i++) {
        bench_histogram_add(&histogram, 10);
    }
    bench_histogram_add(&histogram, 1000000);
    assert_int_equal(bench_histogram_quantile(&histogram, 9990), 10);
    bench_histogram_add(&histogram, 1000000);
    assert_true(bench_histogram_quantile(&histogram, 9990) >= 1000000);
}

static void merging_is_as_if_one_had_seen_all(void **state)
{
    (void)state;
    static struct bench_histogram other;

    for (uint64_t value = 0; value < 1000; value++) {
        bench_histogram_add(value % 2 == 0 ? &histogram : &other, value);
    }
    bench_histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram.max, 999);
    uint64_t median = bench_histogram_quantile(&histogram, 5000);
    assert_true(median >= 499 && median <= 503);
}

static void the_largest_value_has_a_bucket(void **state)
{
    (void)state;
    bench_histogram_add(&histogram, UINT64_MAX);
    assert_true(bench_histogram_quantile(&histogram, 10000) == UINT64_MAX);
}

static void a_rank_finds_what_no_share_tells(void **state)
{
    (void)state;
    assert_int_equal(bench_histogram_at_rank(&histogram, 1), 0);
    for (uint64_t value = 1; value <= 100; value++) {
        bench_histogram_add(&histogram, value);
    }
    assert_int_equal(bench_histogram_at_rank(&histogram, 0), 0);
    for (uint64_t rank = 1; rank <= 100; rank++) {
        assert_int_equal(bench_histogram_at_rank(&histogram, rank), rank);
    }
    assert_int_equal(bench_histogram_at_rank(&histogram, 101), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_values_have_no_quantile, empty),
        cmocka_unit_test_setup(values_below_128_are_exact, empty),
        cmocka_unit_test(a_quantile_is_never_below_the_truth_and_at_most_a_hundredth_above),
        cmocka_unit_test_setup(quantiles_of_many_values_are_told_to_a_hundredth, empty),
        cmocka_unit_test_setup(one_slow_value_in_a_thousand_is_above_p999_and_two_are_it, empty),
        cmocka_unit_test_setup(merging_is_as_if_one_had_seen_all, empty),
        cmocka_unit_test_setup(a_rank_finds_what_no_share_tells, empty),
        cmocka_unit_test_setup(the_largest_value_has_a_bucket, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
