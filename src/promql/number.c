/*
 * Doubles as text: the digits come from double-conversion, what is around them is Go's.
 *
 *     0.digits × 10^point     point <= 0      0.000ddd
 *                             inside          dd.ddd
 *                             behind          ddd000
 *                             far away        d.ddde±XX
 */
#include <promql/number.h>

#include <tsdb/number_shim.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static char *put(char *at, const char *bytes, int count)
{
    memcpy(at, bytes, (size_t)count);
    return at + count;
}

static char *put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

static char *put_plain(char *at, const char *digits, int count, int point)
{
    if (point <= 0) {
        at = put(at, "0.", 2);
        return put(put_zeros(at, -point), digits, count);
    }
    if (point >= count) {
        return put_zeros(put(at, digits, count), point - count);
    }
    at = put(at, digits, point);
    *at++ = '.';
    return put(at, digits + point, count - point);
}

static char *put_exponent(char *at, const char *digits, int count, int exponent)
{
    char text[16];

    *at++ = digits[0];
    if (count > 1) {
        *at++ = '.';
        at = put(at, digits + 1, count - 1);
    }
    return put(at, text, snprintf(text, sizeof text, "e%+03d", exponent));
}

/* Whether a number with this exponent is written with one. */
static bool has_exponent(enum promql_number_form form, int exponent)
{
    switch (form) {
    case PROMQL_NUMBER_G:
        return exponent < -4 || exponent >= 6;
    case PROMQL_NUMBER_JSON:
        return exponent < -6 || exponent >= 21;
    case PROMQL_NUMBER_PLAIN:
    default:
        return false;
    }
}

size_t promql_number_write(double value, enum promql_number_form form, char *room)
{
    char digits[NUMBER_DIGITS_MAX + 1];
    char *at = room;
    int point;

    if (isnan(value)) {
        return (size_t)(put(at, "NaN", 3) - room);
    }
    if (isinf(value)) {
        return (size_t)(put(at, value < 0 ? "-Inf" : "+Inf", 4) - room);
    }
    if (signbit(value)) {
        *at++ = '-';
    }
    if (value == 0) {
        *at++ = '0';
        return (size_t)(at - room);
    }
    const int count = number_shim_digits(fabs(value), digits, &point);
    at = has_exponent(form, point - 1) ? put_exponent(at, digits, count, point - 1)
                                       : put_plain(at, digits, count, point);
    Q_ASSERT((size_t)(at - room) <= PROMQL_NUMBER_BYTES_MAX);
    return (size_t)(at - room);
}
