/*
 * Words and numbers of memcached's lines: the halves that are not inline.
 *
 * Invariants:
 *  1. Nothing is read outside the word: words are not terminated.
 *  2. What memcached 1.6.18 accepts is accepted, with the same result; tests/memcached holds both
 * to the same conversations. A NUL, which ends a line for memcached, is a byte like others here.
 *
 * Cost: a number takes a multiplication a digit; writing one takes a division by 100 for two
 * digits.
 *
 * Rejected: a search for spaces 16 bytes at a time, which pays above some 40 bytes a word; common
 * lines have shorter ones, and the end of the line is found by memchr, which is vectored already.
 *
 * Source: behaviour of memcached 1.6.18, observed; RFC 4648 for base64.
 */
#include <serve/memcached_scan.h>

#include <stdlib.h>

void memcached_split(struct memcached_word line, struct memcached_words *ret_words)
{
    const char *at = line.text;
    const char *end = line.text + line.length;

    ret_words->count = 0;
    ret_words->rest = (struct memcached_word){NULL, 0};
    while (at < end) {
        if (*at == ' ') {
            at++;
            continue;
        }
        if (ret_words->count == MEMCACHED_WORDS_MAX) {
            ret_words->rest = (struct memcached_word){at, (size_t)(end - at)};
            return;
        }
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *stop = space == NULL ? end : space;

        ret_words->at[ret_words->count++] = (struct memcached_word){at, (size_t)(stop - at)};
        at = stop;
    }
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool is_white(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* A number as the C library would read it: its sign and its size. */
struct magnitude {
    uint64_t size;
    bool is_negative;
};

static bool read_magnitude(struct memcached_word word, struct magnitude *ret_number)
{
    const char *at = word.text;
    const char *end = word.text + word.length;
    struct magnitude number = {0, false};

    while (at < end && is_white(*at)) {
        at++;
    }
    if (at < end && (*at == '-' || *at == '+')) {
        number.is_negative = *at == '-';
        at++;
    }
    const char *digits = at;

    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (!checked_mul_u64(number.size, 10, &number.size) ||
            !checked_add_u64(number.size, (uint64_t)(*at - '0'), &number.size)) {
            return false;
        }
    }
    if (at == digits || (at < end && !is_white(*at))) {
        return false;
    }
    *ret_number = number;
    return true;
}

bool memcached_read_u64(struct memcached_word word, uint64_t *ret_number)
{
    struct magnitude number;

    if (!read_magnitude(word, &number)) {
        return false;
    }
    uint64_t value = number.is_negative ? 0 - number.size : number.size;

    if (number.is_negative && (value >> 63) != 0) {
        return false;
    }
    *ret_number = value;
    return true;
}

bool memcached_read_u32(struct memcached_word word, uint32_t *ret_number)
{
    uint64_t value;

    if (!memcached_read_u64(word, &value)) {
        return false;
    }
    *ret_number = (uint32_t)value;
    return true;
}

bool memcached_read_i32(struct memcached_word word, int32_t *ret_number)
{
    struct magnitude number;

    if (!read_magnitude(word, &number) ||
        number.size > (uint64_t)INT32_MAX + (number.is_negative ? 1 : 0)) {
        return false;
    }
    *ret_number = (int32_t)(number.is_negative ? -(int64_t)number.size : (int64_t)number.size);
    return true;
}

/* Long enough for every fraction that makes sense here; what is longer is refused. */
#define FRACTION_BYTES_MAX 63u

bool memcached_read_fraction(struct memcached_word word, double *ret_number)
{
    char text[FRACTION_BYTES_MAX + 1];
    char *end;

    if (word.length == 0 || word.length > FRACTION_BYTES_MAX) {
        return false;
    }
    memcpy(text, word.text, word.length);
    text[word.length] = '\0';
    double number = strtod(text, &end);

    if (end == text || (*end != '\0' && !is_white(*end))) {
        return false;
    }
    *ret_number = number;
    return true;
}

const char memcached_digit_pairs[201] = "00010203040506070809"
                                        "10111213141516171819"
                                        "20212223242526272829"
                                        "30313233343536373839"
                                        "40414243444546474849"
                                        "50515253545556575859"
                                        "60616263646566676869"
                                        "70717273747576777879"
                                        "80818283848586878889"
                                        "90919293949596979899";

char *memcached_write_u64(char *out, uint64_t number)
{
    char digits[MEMCACHED_NUMBER_BYTES];
    char *at = digits + sizeof digits;

    while (number >= 100) {
        at -= 2;
        memcpy(at, &memcached_digit_pairs[number % 100 * 2], 2);
        number /= 100;
    }
    if (number >= 10) {
        at -= 2;
        memcpy(at, &memcached_digit_pairs[number * 2], 2);
    } else {
        *--at = (char)('0' + number);
    }
    size_t length = (size_t)(digits + sizeof digits - at);

    memcpy(out, at, length);
    return out + length;
}

/* ---- base64 --------------------------------------------------------------------------------- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t memcached_base64_encode(char *out, const void *bytes, size_t byte_count)
{
    const uint8_t *from = bytes;
    char *to = out;

    for (; byte_count >= 3; byte_count -= 3, from += 3) {
        *to++ = base64_digits[from[0] >> 2];
        *to++ = base64_digits[(from[0] & 3) << 4 | from[1] >> 4];
        *to++ = base64_digits[(from[1] & 15) << 2 | from[2] >> 6];
        *to++ = base64_digits[from[2] & 63];
    }
    if (byte_count > 0) {
        uint8_t second = byte_count == 2 ? from[1] : 0;

        *to++ = base64_digits[from[0] >> 2];
        *to++ = base64_digits[(from[0] & 3) << 4 | second >> 4];
        *to++ = byte_count == 2 ? base64_digits[(second & 15) << 2] : '=';
        *to++ = '=';
    }
    return (size_t)(to - out);
}

/* The value of a digit; -1: it is none. */
static int base64_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z') {
        return digit - 'A';
    }
    if (digit >= 'a' && digit <= 'z') {
        return digit - 'a' + 26;
    }
    if (digit >= '0' && digit <= '9') {
        return digit - '0' + 52;
    }
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* Four digits, the last `padding` of which are padding. Returns: false: one is no digit. */
static bool base64_group(const char *digits, size_t padding, uint8_t out[3])
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(digits[i]) : 0;

        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return true;
}

size_t memcached_base64_decode(void *out, size_t capacity, struct memcached_word word)
{
    uint8_t *to = out;

    if (word.length == 0 || word.length % 4 != 0) {
        return 0;
    }
    size_t padding = word.text[word.length - 1] != '='   ? 0
                     : word.text[word.length - 2] != '=' ? 1
                                                         : 2;

    if (word.length / 4 * 3 - padding > capacity) {
        return 0;
    }
    for (size_t at = 0; at < word.length; at += 4) {
        size_t missing = at + 4 == word.length ? padding : 0;
        uint8_t group[3];

        if (!base64_group(word.text + at, missing, group)) {
            return 0;
        }
        memcpy(to, group, 3 - missing);
        to += 3 - missing;
    }
    return (size_t)(to - (uint8_t *)out);
}

/* ---- URIs ----------------------------------------------------------------------------------- */

static bool is_plain_in_uri(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

char *memcached_write_uri(char *out, const void *bytes, size_t byte_count)
{
    static const char hex[] = "0123456789ABCDEF";
    const uint8_t *from = bytes;

    for (size_t i = 0; i < byte_count; i++) {
        if (is_plain_in_uri(from[i])) {
            *out++ = (char)from[i];
        } else {
            *out++ = '%';
            *out++ = hex[from[i] >> 4];
            *out++ = hex[from[i] & 15];
        }
    }
    return out;
}
