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

/* Up to here all whole numbers are doubles, and their own shortest text. */
#define WHOLE_MAX 1e15

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

size_t promql_number_write_whole(uint64_t number, char *room)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char digits[PROMQL_WHOLE_BYTES_MAX], *at = digits + sizeof digits;

    for (; number >= 100; number /= 100) {
        at -= 2;
        memcpy(at, pairs + number % 100 * 2, 2);
    }
    if (number >= 10) {
        at -= 2;
        memcpy(at, pairs + number * 2, 2);
    } else {
        *--at = (char)('0' + number);
    }
    const size_t count = (size_t)(digits + sizeof digits - at);
    memcpy(room, at, count);
    return count;
}

/* Whether a number above 0 is one without a point or an exponent: what counters count is. */
static bool is_whole(double value, enum promql_number_form form)
{
    return form != PROMQL_NUMBER_G && value < WHOLE_MAX && value == (double)(uint64_t)value;
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
    if (is_whole(fabs(value), form)) {
        at += promql_number_write_whole((uint64_t)fabs(value), at);
        return (size_t)(at - room);
    }
    const int count = number_shim_digits(fabs(value), digits, &point);
    at = has_exponent(form, point - 1) ? put_exponent(at, digits, count, point - 1)
                                       : put_plain(at, digits, count, point);
    Q_ASSERT((size_t)(at - room) <= PROMQL_NUMBER_BYTES_MAX);
    return (size_t)(at - room);
}
