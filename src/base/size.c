/*
 * Byte counts as text, both ways.
 *
 * Written by hand, without stdio: the heap prints sizes from inside malloc, and configuration has
 * to be read strictly (strtod takes "0x1p3", "inf" and the locale's decimal comma).
 *
 *     "1.5 GiB"  =  whole "1"  fraction "5"  unit "GiB" (shift 30)
 *
 * Invariants:
 *   1. size_parse(size_format(n)) is n rounded to a tenth of its unit, or TOO_LARGE when that
 *      rounding reaches 2^64.
 *   2. A number and its unit are exact: the arithmetic is in 128 bits and rounds down once.
 *
 * Locking: none. Cost: O(length).
 *
 * Rejected: decimal units ("MB" as 10^6). Every limit that people give to a memory server is in
 * powers of 1024, and Redis reads "mb" so; two readings would differ by 7 % at a GiB.
 */
#include <base/size.h>

#include <base/checked.h>

/* Unit letters above bytes, the n-th (from 1) meaning 2^(10 n). */
static const char unit_letters[] = "KMGTPE";

/* Limits the digits of a fraction, so that it is a whole number of billionths: below 2^30, which
 * times the largest unit is below 2^90. A tenth digit would say less than a byte of every unit up
 * to GiB; nobody writes it. */
#define FRACTION_DIGITS_MAX 9

static char *put_number(char *at, uint64_t number);
static const char *parse_whole(const char *at, uint64_t *ret_whole, bool *ret_fits);
static const char *parse_fraction(const char *at, uint64_t *ret_billionths);
static const char *parse_unit(const char *at, uint32_t *ret_shift);

const char *size_format(uint64_t bytes, char buffer[SIZE_TEXT_BYTES])
{
    uint32_t unit = bytes == 0 ? 0 : bits_log2_floor_u64(bytes) / 10;
    uint32_t shift = unit * 10;
    uint64_t whole = bytes >> shift;
    /* below 2^60 * 10 + 2^59, which fits */
    uint64_t rest = bytes & bits_mask_u64(0, shift);
    uint64_t tenths = unit == 0 ? 0 : (rest * 10 + (UINT64_C(1) << (shift - 1))) >> shift;
    if (tenths == 10) {
        whole++;
        tenths = 0;
    }
    if (whole == 1024 && unit < sizeof unit_letters - 1) {
        whole = 1;
        unit++;
    }
    char *at = put_number(buffer, whole);
    if (tenths != 0) {
        *at++ = '.';
        *at++ = (char)('0' + tenths);
    }
    *at++ = ' ';
    if (unit != 0) {
        *at++ = unit_letters[unit - 1];
        *at++ = 'i';
    }
    *at++ = 'B';
    *at++ = '\0';
    Q_ASSERT(at - buffer <= SIZE_TEXT_BYTES);
    return buffer;
}

enum quarry_status size_parse(const char *text, uint64_t *ret_bytes)
{
    Q_ASSERT(text != NULL && ret_bytes != NULL);
    uint64_t whole = 0;
    uint64_t billionths = 0;
    uint32_t shift = 0;
    bool fits = false;
    const char *at = parse_whole(text, &whole, &fits);
    bool has_fraction = at != NULL && *at == '.';
    if (has_fraction)
        at = parse_fraction(at + 1, &billionths);
    if (at != NULL)
        at = parse_unit(at, &shift);
    if (at == NULL || *at != '\0' || (has_fraction && shift == 0))
        return QUARRY_BAD_INPUT;
    if (!fits || whole > UINT64_MAX >> shift)
        return QUARRY_TOO_LARGE;
    uint64_t part = (uint64_t)(((unsigned __int128)billionths << shift) / 1000000000);
    *ret_bytes = (whole << shift) + part; /* part < 2^shift, so nothing carries (invariant 2) */
    return QUARRY_OK;
}

static char *put_number(char *at, uint64_t number)
{
    Q_ASSERT(number <= 1024);
    uint64_t divisor = 1;
    while (number / divisor >= 10)
        divisor *= 10;
    for (; divisor != 0; divisor /= 10)
        *at++ = (char)('0' + number / divisor % 10);
    return at;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Past the digits, or NULL when there is none. A number that does not fit is still read to its end,
 * so that "99999999999999999999x" is bad input rather than too large. */
static const char *parse_whole(const char *at, uint64_t *ret_whole, bool *ret_fits)
{
    if (!is_digit(*at))
        return NULL;
    uint64_t whole = 0;
    bool fits = true;
    for (; is_digit(*at); at++) {
        fits = fits && checked_mul_u64(whole, 10, &whole) &&
               checked_add_u64(whole, (uint64_t)(*at - '0'), &whole);
    }
    *ret_whole = whole;
    *ret_fits = fits;
    return at;
}

/* Past the digits after the point, or NULL when there is none or there are too many. */
static const char *parse_fraction(const char *at, uint64_t *ret_billionths)
{
    uint64_t billionths = 0;
    uint32_t digit_count = 0;
    for (; is_digit(*at); at++) {
        if (++digit_count > FRACTION_DIGITS_MAX)
            return NULL;
        billionths = billionths * 10 + (uint64_t)(*at - '0');
    }
    if (digit_count == 0)
        return NULL;
    for (; digit_count < FRACTION_DIGITS_MAX; digit_count++)
        billionths *= 10;
    *ret_billionths = billionths;
    return at;
}

/* Past an optional space and unit, or NULL when a space has no unit after it. */
static const char *parse_unit(const char *at, uint32_t *ret_shift)
{
    const char *number_end = at;
    if (*at == ' ')
        at++;
    const char *unit = at;
    for (uint32_t i = 0; i < sizeof unit_letters - 1; i++) {
        if (to_upper(*unit) == unit_letters[i]) {
            *ret_shift = (i + 1) * 10;
            at++;
            break;
        }
    }
    if (at != unit && to_upper(at[0]) == 'I' && to_upper(at[1]) == 'B')
        at += 2;
    else if (to_upper(*at) == 'B')
        at++;
    return at == unit && unit != number_end ? NULL : at;
}
