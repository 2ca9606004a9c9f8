/*
 * Doubles that are decimals of few places, as integers.
 *
 * A double is a decimal of `scale` places when it is what a program gets that reads such a number
 * from text: m / 10^scale, rounded once, for an integer m. Both are exact as doubles up to 2^53 and
 * 10^22, and division rounds once, so the way back gives the very bits. 0.1 + 0.2 is none; -0, NaN
 * and infinities are none.
 */
#ifndef QUARRY_TSDB_DECIMAL_H
#define QUARRY_TSDB_DECIMAL_H

#include <base/base.h>

/* The most places: nanoseconds as seconds, with three more. Beyond, numbers that are decimals by
 * chance become as frequent as those by intent. */
#define TSDB_DECIMAL_SCALE_MAX 12u

/* In place of places: units of 1024, which memory and files come in. */
#define TSDB_DECIMAL_KIB 13u

/*
 * From here on: nearly decimals of scale - this places, up to TSDB_NEARLY_SCALE_MAX, what a program
 * has that multiplied by 0.001, or added seconds and nanoseconds. m is 4 times the decimal's
 * integer, and 0 to 3 for the double that is -1 to 2 steps above the decimal.
 */
#define TSDB_NEARLY           16u
#define TSDB_NEARLY_SCALE_MAX 9u

/* What |m| of a decimal is below, before it is rounded: then it is below 2^51, and adding
 * 1.5 * 2^52 rounds it to an integer. */
#define TSDB_DECIMAL_LIMIT (0x1p51 - 1)

/* 10^scale; behind them 1 / 1024, by which the same arithmetic is exact. */
extern const double tsdb_decimal_powers[TSDB_DECIMAL_KIB + 1];

static inline double tsdb_double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t tsdb_bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* The bits of m / 10^scale, scale no more than TSDB_DECIMAL_KIB. */
static inline uint64_t tsdb_quotient_bits(int64_t m, uint32_t scale)
{
    return tsdb_bits_of((double)m / tsdb_decimal_powers[scale]);
}

/* The bits that `m` stands for with `scale`. */
static inline uint64_t tsdb_decimal_bits(int64_t m, uint32_t scale)
{
    return scale < TSDB_NEARLY
               ? tsdb_quotient_bits(m, scale)
               : tsdb_quotient_bits(m >> 2, scale - TSDB_NEARLY) + ((uint64_t)m & 3) - 1;
}

/*
 * The integer nearest to `bits` times 10^scale, scale no more than TSDB_DECIMAL_KIB. Returns false
 * where it is beyond the limit, or `bits` are no number.
 */
static inline bool tsdb_decimal_round(uint64_t bits, uint32_t scale, int64_t *ret_m)
{
    const double rounder = 0x1.8p52;
    double scaled = tsdb_double_of(bits) * tsdb_decimal_powers[scale];

    if (!(scaled > -TSDB_DECIMAL_LIMIT && scaled < TSDB_DECIMAL_LIMIT)) {
        return false;
    }
    *ret_m = (int64_t)(scaled + rounder - rounder);
    return true;
}

/*
 * Whether `bits` are a decimal of `scale` places, or nearly; then *ret_m is its integer, else
 * untouched. Cost: 3 ns, of which the division is most.
 */
static inline bool tsdb_decimal_get(uint64_t bits, uint32_t scale, int64_t *ret_m)
{
    const bool is_nearly = scale >= TSDB_NEARLY;
    const uint32_t places = is_nearly ? scale - TSDB_NEARLY : scale;
    int64_t m;

    if (!tsdb_decimal_round(bits, places, &m)) {
        return false;
    }
    uint64_t above = bits - tsdb_quotient_bits(m, places);
    if (is_nearly ? above + 1 > 3 : above != 0) {
        return false;
    }
    *ret_m = is_nearly ? m * 4 + (int64_t)(above + 1) : m;
    return true;
}

/*
 * The fewest places, `scale_min` or more, that make `bits` a decimal.
 * Returns: TSDB_DECIMAL_SCALE_MAX + 1 where none do. Cost: 3 ns for each that is tried.
 */
static inline uint32_t tsdb_decimal_scale(uint64_t bits, uint32_t scale_min)
{
    int64_t m;
    uint32_t scale = scale_min;

    while (scale <= TSDB_DECIMAL_SCALE_MAX && !tsdb_decimal_get(bits, scale, &m)) {
        scale++;
    }
    return scale;
}

/* As tsdb_decimal_scale, for what is nearly a decimal. Returns: TSDB_NEARLY + places, or
 * TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX + 1. */
static inline uint32_t tsdb_nearly_scale(uint64_t bits, uint32_t scale_min)
{
    int64_t m;
    uint32_t scale = scale_min < TSDB_NEARLY ? TSDB_NEARLY : scale_min;

    while (scale <= TSDB_NEARLY + TSDB_NEARLY_SCALE_MAX && !tsdb_decimal_get(bits, scale, &m)) {
        scale++;
    }
    return scale;
}

#endif
