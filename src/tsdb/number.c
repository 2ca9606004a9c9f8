/*
 * Numbers as Go reads and writes them, for that is what the other side of every text is.
 *
 *     text ──> sign ──┬─> up to 15 digits, perhaps a point: exact in a double, by one division
 *                     ├─> words: Inf, Infinity, NaN
 *                     └─> anything else of digits, point, exponent: the shim
 *
 *     bits ──> sign ──┬─> whole and below 10⁶: its digits
 *                     ├─> words
 *                     └─> shortest digits by the shim; from 10⁶ on and below 10⁻⁴ as
 *                         d.ddde±dd, else ddd.ddd
 *
 * The fast paths: 10^0 to 10^22 are doubles, and so is a whole number below 2^53, so one division
 * of the two is rounded once, correctly.
 *
 * Rejected: strtod and printf, which ask the locale, want a NUL at the end, and try up to three
 * precisions for the shortest digits.
 */
#include <tsdb/number.h>

#include <tsdb/number_shim.h>

#include <base/base.h>

#define SIGN_BIT (UINT64_C(1) << 63)
#define INF_BITS UINT64_C(0x7ff0000000000000)

/* Whole numbers of so many digits are below 2^53. */
#define EXACT_DIGITS_MAX 15u
/* Numbers from 10 to the first power on, and below 10 to the second, have an exponent: Go's 'g'. */
#define EXPONENT_FROM  6
#define EXPONENT_BELOW (-4)

static const double powers_of_ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double value_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether `text` is `word`, which is in lower case, in any case. */
static bool is_word(struct tsdb_slice text, const char *word)
{
    const size_t count = strlen(word);

    if (text.count != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char c = text.bytes[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != word[i]) {
            return false;
        }
    }
    return true;
}

/* Reads few digits with at most one point. Returns: false: it is not that simple. */
static bool read_simple(struct tsdb_slice text, double *ret_value)
{
    uint64_t digits = 0;
    size_t digit_count = 0, after_point = 0;
    bool has_point = false;

    if (text.count > EXACT_DIGITS_MAX + 1) {
        return false;
    }
    for (size_t i = 0; i < text.count; i++) {
        const char c = text.bytes[i];
        if (is_digit(c)) {
            digits = digits * 10 + (uint64_t)(c - '0');
            digit_count++;
            after_point += has_point;
        } else if (c == '.' && !has_point) {
            has_point = true;
        } else {
            return false;
        }
    }
    if (digit_count == 0 || digit_count > EXACT_DIGITS_MAX) {
        return false;
    }
    *ret_value = (double)digits / powers_of_ten[after_point];
    return true;
}

/* Whether all of it is digits with at most one point, at least one digit, and an exponent or none.
 */
static bool is_decimal(struct tsdb_slice text)
{
    size_t at = 0, digit_count = 0, point_count = 0;

    for (; at < text.count && (is_digit(text.bytes[at]) || text.bytes[at] == '.'); at++) {
        digit_count += is_digit(text.bytes[at]);
        point_count += text.bytes[at] == '.';
    }
    if (digit_count == 0 || point_count > 1 || at == text.count) {
        return digit_count > 0 && point_count <= 1;
    }
    if (text.bytes[at] != 'e' && text.bytes[at] != 'E') {
        return false;
    }
    at++;
    at += at < text.count && (text.bytes[at] == '+' || text.bytes[at] == '-');
    if (at == text.count) {
        return false;
    }
    while (at < text.count && is_digit(text.bytes[at])) {
        at++;
    }
    return at == text.count;
}

bool tsdb_number_read(struct tsdb_slice text, uint64_t *ret_bits)
{
    const bool has_sign = text.count > 0 && (text.bytes[0] == '-' || text.bytes[0] == '+');
    const uint64_t sign = has_sign && text.bytes[0] == '-' ? SIGN_BIT : 0;
    const struct tsdb_slice rest = {text.bytes + has_sign, text.count - has_sign};
    double value;

    if (read_simple(rest, &value)) {
        *ret_bits = bits_of(value) | sign;
        return true;
    }
    if (is_word(rest, "inf") || is_word(rest, "infinity")) {
        *ret_bits = INF_BITS | sign;
        return true;
    }
    if (!has_sign && is_word(rest, "nan")) {
        *ret_bits = TSDB_NAN_BITS;
        return true;
    }
    if (!is_decimal(rest) || !number_shim_read(rest.bytes, rest.count, &value) ||
        bits_of(value) == INF_BITS) {
        return false;
    }
    *ret_bits = bits_of(value) | sign;
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static char *put_word(char *at, const char *word)
{
    const size_t count = strlen(word);
    memcpy(at, word, count);
    return at + count;
}

static char *put_zeros(char *at, int count)
{
    for (int i = 0; i < count; i++) {
        *at++ = '0';
    }
    return at;
}

static char *put_whole(char *at, uint32_t value)
{
    char digits[10];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0) {
        *at++ = digits[--count];
    }
    return at;
}

/* "d.ddde+dd", of at least two digits of exponent. */
static char *put_exponent(char *at, const char *digits, int digit_count, int exponent)
{
    *at++ = digits[0];
    if (digit_count > 1) {
        *at++ = '.';
        memcpy(at, digits + 1, (size_t)digit_count - 1);
        at += digit_count - 1;
    }
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    const uint32_t magnitude = (uint32_t)(exponent < 0 ? -exponent : exponent);
    if (magnitude < 10) {
        *at++ = '0';
    }
    return put_whole(at, magnitude);
}

/* "ddd.ddd", "ddd000" or "0.00ddd". */
static char *put_plain(char *at, const char *digits, int digit_count, int point)
{
    const int before = point < 0 ? 0 : point < digit_count ? point : digit_count;

    if (before == 0) {
        *at++ = '0';
    }
    memcpy(at, digits, (size_t)before);
    at = put_zeros(at + before, point - digit_count);
    if (before < digit_count) {
        *at++ = '.';
        at = put_zeros(at, -point);
        memcpy(at, digits + before, (size_t)(digit_count - before));
        at += digit_count - before;
    }
    return at;
}

/* A finite number above 0. */
static char *put_positive(char *at, double value)
{
    char digits[NUMBER_DIGITS_MAX + 1];
    int point;

    if (value < 1e6 && value == (double)(uint32_t)value) {
        return put_whole(at, (uint32_t)value);
    }
    const int digit_count = number_shim_digits(value, digits, &point);
    Q_ASSERT(digit_count > 0 && digit_count <= NUMBER_DIGITS_MAX);
    if (point - 1 < EXPONENT_BELOW || point - 1 >= EXPONENT_FROM) {
        return put_exponent(at, digits, digit_count, point - 1);
    }
    return put_plain(at, digits, digit_count, point);
}

size_t tsdb_number_write(uint64_t bits, char *room)
{
    const uint64_t magnitude = bits & ~SIGN_BIT;
    char *at = room;

    if (magnitude > INF_BITS) {
        return (size_t)(put_word(at, "NaN") - room);
    }
    if (magnitude == INF_BITS) {
        return (size_t)(put_word(at, bits == magnitude ? "+Inf" : "-Inf") - room);
    }
    if (bits != magnitude) {
        *at++ = '-';
    }
    at = magnitude == 0 ? put_word(at, "0") : put_positive(at, value_of(magnitude));
    Q_ASSERT((size_t)(at - room) <= TSDB_NUMBER_BYTES_MAX);
    return (size_t)(at - room);
}

size_t tsdb_number_write_openmetrics(uint64_t bits, char *room)
{
    size_t count = tsdb_number_write(bits, room);

    for (size_t i = 0; i < count; i++) {
        if (!is_digit(room[i]) && room[i] != '-') {
            return count; /* it has a point or an exponent, or is a word */
        }
    }
    room[count++] = '.';
    room[count++] = '0';
    return count;
}
