/*
 * The figures that are said about rounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bench/statistics.h>

static void assert_close(double value, double wanted)
{
    assert_true(value > wanted - 1e-9 && value < wanted + 1e-9);
}

static void median_of_an_odd_count_is_the_middle_round(void **state)
{
    (void)state;
    double rounds[] = {9, 1, 5};
    struct bench_summary summary = bench_summarize(rounds, 3);

    assert_close(summary.median, 5);
    assert_close(summary.min, 1);
}

static void median_of_an_even_count_lies_between_the_middle_two(void **state)
{
    (void)state;
    double rounds[] = {8, 2, 4, 100};

    assert_close(bench_summarize(rounds, 4).median, 6);
}

static void one_slow_round_moves_the_spread_and_not_the_median(void **state)
{
    (void)state;
    double rounds[] = {10, 10, 10, 10, 10, 10, 1000};
    struct bench_summary summary = bench_summarize(rounds, 7);

    assert_close(summary.median, 10);
    assert_close(summary.spread_percent, 9900);
}

static void one_round_is_its_own_median_without_a_spread(void **state)
{
    (void)state;
    double rounds[] = {3};
    struct bench_summary summary = bench_summarize(rounds, 1);

    assert_close(summary.median, 3);
    assert_close(summary.min, 3);
    assert_close(summary.spread_percent, 0);
}

static void rounds_of_no_time_have_no_spread(void **state)
{
    (void)state;
    double rounds[] = {0, 0};

    assert_close(bench_summarize(rounds, 2).spread_percent, 0);
}

static void the_geometric_mean_of_two_and_eight_is_four(void **state)
{
    (void)state;
    struct bench_geomean mean = {0};

    assert_close(bench_geomean_value(&mean), 0);
    bench_geomean_add(&mean, 2);
    assert_close(bench_geomean_value(&mean), 2);
    bench_geomean_add(&mean, 8);
    assert_close(bench_geomean_value(&mean), 4);
}

static void the_geometric_mean_of_inverses_is_the_inverse(void **state)
{
    (void)state;
    static const double values[] = {0.5, 3, 1.25, 0.01};
    struct bench_geomean mean = {0};
    struct bench_geomean inverse = {0};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        bench_geomean_add(&mean, values[i]);
        bench_geomean_add(&inverse, 1 / values[i]);
    }
    assert_close(bench_geomean_value(&mean) * bench_geomean_value(&inverse), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_of_an_odd_count_is_the_middle_round),
        cmocka_unit_test(median_of_an_even_count_lies_between_the_middle_two),
        cmocka_unit_test(one_slow_round_moves_the_spread_and_not_the_median),
        cmocka_unit_test(one_round_is_its_own_median_without_a_spread),
        cmocka_unit_test(rounds_of_no_time_have_no_spread),
        cmocka_unit_test(the_geometric_mean_of_two_and_eight_is_four),
        cmocka_unit_test(the_geometric_mean_of_inverses_is_the_inverse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
