/*
 * Logarithm and exponential, as exact as sampling needs them.
 *
 * A logarithm splits u into 2^e × m with m in [√½, √2) and sums the series of 2 artanh(s),
 * s = (m - 1) / (m + 1), |s| < 0.172, up to s^7; the first term left out is below 3e-8.
 *
 * 1 - exp(-x) halves x until it is below 1/8, sums the series up to y^6 (the first term left out is
 * below 1e-10 of the sum), and doubles again by 1 - (1 - p)² = p (2 - p), which does not amplify a
 * relative error.
 *
 * Both lie three orders of magnitude below the error that 16 bits below the point give a weight,
 * and that below what sampling itself scatters.
 *
 * Rejected: a table for the logarithm (1 KiB of cache for 20 instructions every half MiB).
 */
#include <mem/sampling.h>

#include <string.h>

#define LN_2      0.69314718055994530942
#define SQRT_HALF 0.70710678118654752440
/* Above, 1 - exp(-x) is 1 within 2^-34. */
#define X_MAX 24.0

uint64_t mem_random_u64(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t word = *state;
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return word ^ (word >> 32);
}

/* Splits u > 0, normal, into mantissa and exponent: u = 2^*ret_exponent × result in [√½, √2). */
static double split(double u, int *ret_exponent)
{
    uint64_t word;
    double mantissa;

    memcpy(&word, &u, sizeof(word));
    int exponent = (int)(word >> 52) - 1022; /* mantissa in [½, 1) */
    word = (word & (UINT64_MAX >> 12)) | (uint64_t)1022 << 52;
    memcpy(&mantissa, &word, sizeof(mantissa));
    if (mantissa < SQRT_HALF) {
        mantissa *= 2;
        exponent--;
    }
    *ret_exponent = exponent;
    return mantissa;
}

double mem_minus_log(double u)
{
    int exponent;

    Q_DCHECK(u > 0 && u <= 1);
    double mantissa = split(u, &exponent);
    double s = (mantissa - 1) / (mantissa + 1), q = s * s;
    double log_mantissa = 2 * s * (1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7))));

    return -(exponent * LN_2 + log_mantissa);
}

double mem_one_minus_exp(double x)
{
    uint32_t halvings = 0;

    Q_DCHECK(x >= 0);
    if (x >= X_MAX) {
        return 1;
    }
    for (; x >= 0.125; halvings++) {
        x /= 2;
    }
    double p = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6)))));
    for (; halvings > 0; halvings--) {
        p *= 2 - p;
    }
    return p;
}

uint64_t mem_sampling_gap(uint64_t mean_bytes, uint64_t *rng_state)
{
    if (mean_bytes == 0) {
        return UINT64_MAX;
    }
    /* (0, 1] in steps of 2^-53: the longest gap is 37 means. */
    double u = (double)((mem_random_u64(rng_state) >> 11) + 1) * 0x1p-53;
    double mean = (double)size_min_u64(mean_bytes, MEM_SAMPLING_MEAN_MAX_BYTES);

    return (uint64_t)(mem_minus_log(u) * mean) + 1;
}

uint64_t mem_sampling_weight(uint64_t bytes, uint64_t mean_bytes)
{
    Q_ASSERT(bytes > 0 && mean_bytes > 0);
    double mean = (double)size_min_u64(mean_bytes, MEM_SAMPLING_MEAN_MAX_BYTES);

    return (uint64_t)(65536.0 / mem_one_minus_exp((double)bytes / mean) + 0.5);
}
