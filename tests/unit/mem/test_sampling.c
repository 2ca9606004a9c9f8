/* The arithmetic of sampling, against libm and against itself. */
#include "unit/base/cmocka_all.h"

#include <math.h>

#include <mem/sampling.h>

#define DRAWS 200000
#define BINS  20

static void the_logarithm_is_within_its_stated_error(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 53000; i++) {
        double u = exp2(-(double)i / 1000);
        if (fabs(mem_minus_log(u) + log(u)) >= 1e-7) {
            fail_msg("-ln(%.17g): %.17g", u, mem_minus_log(u));
        }
    }
    assert_true(fabs(mem_minus_log(0x1p-53) - 53 * log(2)) < 1e-7);
    assert_true(mem_minus_log(1) == 0);
}

static void the_exponential_is_within_its_stated_error(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 47000; i++) {
        double x = exp2((double)i / 1000 - 40), exact = -expm1(-x);
        if (fabs(mem_one_minus_exp(x) - exact) >= 1e-7 * exact) {
            fail_msg("1 - exp(-%.17g): %.17g, and it is %.17g", x, mem_one_minus_exp(x), exact);
        }
    }
    assert_true(mem_one_minus_exp(0) == 0);
    assert_true(mem_one_minus_exp(1e300) == 1);
}

static void gaps_have_the_mean_that_was_asked_for(void **state)
{
    static const uint64_t means[] = {4096, Q_KIB(512), Q_MIB(64)};

    (void)state;
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++) {
        uint64_t rng = 7 + i;
        double sum = 0;
        for (int draw = 0; draw < DRAWS; draw++) {
            sum += (double)mem_sampling_gap(means[i], &rng);
        }
        double mean = sum / DRAWS;
        assert_true(fabs(mean / (double)means[i] - 1) < 0.01);
    }
}

/* Bins that an exponential fills alike; chi-square with 19 degrees of freedom, p = 0.001. */
static void gaps_are_exponentially_distributed(void **state)
{
    const double mean = 1 << 20, expected = (double)DRAWS / BINS;
    uint32_t filled[BINS] = {0};
    uint64_t rng = 11;
    double chi_square = 0;

    (void)state;
    for (int draw = 0; draw < DRAWS; draw++) {
        double below = 1 - exp(-(double)(mem_sampling_gap(1 << 20, &rng) - 1) / mean);
        filled[(uint32_t)(below * BINS)]++;
    }
    for (int bin = 0; bin < BINS; bin++) {
        chi_square += (filled[bin] - expected) * (filled[bin] - expected) / expected;
    }
    assert_true(chi_square < 43.8);
    assert_true(chi_square > 3.9); /* nor suspiciously even: p = 0.9999 */
}

static void a_mean_of_zero_never_samples(void **state)
{
    uint64_t rng = 1;

    (void)state;
    assert_true(mem_sampling_gap(0, &rng) == UINT64_MAX);
}

static void a_gap_is_never_zero(void **state)
{
    uint64_t rng = 3;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        assert_true(mem_sampling_gap(1, &rng) >= 1);
    }
}

static void a_mean_beyond_reason_counts_as_the_largest(void **state)
{
    uint64_t a = 5, b = 5;

    (void)state;
    assert_true(mem_sampling_gap(UINT64_MAX, &a) ==
                mem_sampling_gap(MEM_SAMPLING_MEAN_MAX_BYTES, &b));
    assert_true(mem_sampling_weight(8, UINT64_MAX) ==
                mem_sampling_weight(8, MEM_SAMPLING_MEAN_MAX_BYTES));
}

static void a_weight_is_the_reciprocal_of_the_chance(void **state)
{
    (void)state;
    for (uint64_t bytes = 8; bytes < Q_GIB(1); bytes += bytes / 3 + 1) {
        double exact = 65536 / -expm1(-(double)bytes / (double)Q_KIB(512));
        double weight = (double)mem_sampling_weight(bytes, Q_KIB(512));
        assert_true(fabs(weight - exact) <= 0.51 + exact * 1e-7);
    }
}

static void an_object_far_above_the_mean_counts_once(void **state)
{
    (void)state;
    assert_int_equal(mem_sampling_weight(Q_MIB(64), Q_KIB(512)), 65536);
    assert_int_equal(mem_sampling_weight(UINT64_MAX, 1), 65536);
}

static void scaling_does_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(mem_sampling_scale(65536, UINT64_MAX), UINT64_MAX);
    assert_int_equal(mem_sampling_scale(3 * 65536 / 2, 100), 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_logarithm_is_within_its_stated_error),
        cmocka_unit_test(the_exponential_is_within_its_stated_error),
        cmocka_unit_test(gaps_have_the_mean_that_was_asked_for),
        cmocka_unit_test(gaps_are_exponentially_distributed),
        cmocka_unit_test(a_mean_of_zero_never_samples),
        cmocka_unit_test(a_gap_is_never_zero),
        cmocka_unit_test(a_mean_beyond_reason_counts_as_the_largest),
        cmocka_unit_test(a_weight_is_the_reciprocal_of_the_chance),
        cmocka_unit_test(an_object_far_above_the_mean_counts_once),
        cmocka_unit_test(scaling_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
