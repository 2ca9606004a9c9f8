/*
 * Values of samples in the log: a code of 6 bits and up to 8 bytes, against the value before.
 *
 *     code        bytes  the value is
 *     0           0      the same
 *     1 to 36     1-8    the one before, XORed with so many bytes at one of the places of a word
 *     37 to 60    1-8    a decimal number with 0, 2 or 3 places: a difference to the one before
 *     61          0      the marker that ends a series; the value before stays what it was
 *     62          1 + …  absolute: the next byte is a code of 0 to 60, against a value before of 0
 *     63          –      none
 *
 * Decimals, because counters of seconds and most gauges are of them, and two that are close have
 * nothing in common in the last six bytes of a double. Whether a value is one is tried by making it
 * again: what is taken has the same bits.
 *
 * The number of the value before is cut off towards zero and not rounded, which is the same on
 * every machine; that it may be one too small costs a difference that is larger by one.
 */
#ifndef QUARRY_TSDB_LOG_VALUE_H
#define QUARRY_TSDB_LOG_VALUE_H

#include <base/base.h>

#include <tsdb/types.h>

#define LOG_VALUE_SAME     0u
#define LOG_VALUE_XOR      1u
#define LOG_VALUE_DECIMAL  37u
#define LOG_VALUE_STALE    61u
#define LOG_VALUE_ABSOLUTE 62u
#define LOG_VALUE_CODES    63u
/* The code of an absolute value, and its bytes. */
#define LOG_VALUE_BYTES_MAX 9u

/* Numbers below it are exact in a double. */
#define LOG_VALUE_EXACT 0x1p53

static inline uint64_t log_value_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline double log_value_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* What decimals are multiplied by: places 0, 2 and 3. */
static inline double log_value_scale(uint32_t decimal)
{
    static const double scales[] = {1, 100, 1000};

    return scales[decimal];
}

/* A value as a number of so many places, cut off; 0 where it is out of range. */
static inline int64_t log_value_number(uint64_t bits, double scale)
{
    double scaled = log_value_double(bits) * scale;

    return scaled > -LOG_VALUE_EXACT && scaled < LOG_VALUE_EXACT ? (int64_t)scaled : 0;
}

/* How many bytes hold a number; at least one. */
static inline uint32_t log_value_byte_count(uint64_t number)
{
    return (71 - bits_leading_zeros_u64(number | 1)) / 8;
}

/* The first code of an XOR whose highest bytes are zero, by how many of them. */
static inline uint32_t log_value_xor_code(uint32_t zero_count)
{
    return LOG_VALUE_XOR + zero_count * 8 - zero_count * (zero_count - 1) / 2;
}

/*
 * A value as a decimal number against the one before.
 * `ret_difference`: zigzag. Returns: false: with so many places it is none.
 */
static inline bool log_value_try_decimal(uint64_t bits, uint64_t base, double scale,
                                         uint64_t *ret_difference)
{
    double value = log_value_double(bits), scaled = value * scale;

    if (!(scaled > -LOG_VALUE_EXACT && scaled < LOG_VALUE_EXACT)) {
        return false;
    }
    int64_t number = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
    if (log_value_bits((double)number / scale) != bits) {
        return false;
    }
    *ret_difference = varint_zigzag(number - log_value_number(base, scale));
    return true;
}

/*
 * The shortest code of a value that is neither the same nor the end of a series.
 * `to`: room for 8 bytes, all of which may be written. `ret_byte_count`: how many of them count.
 */
static inline uint32_t log_value_encode(uint64_t bits, uint64_t base, uint8_t *to,
                                        uint32_t *ret_byte_count)
{
    uint64_t word = bits ^ base, difference = 0;
    uint32_t high = bits_leading_zeros_u64(word) / 8, low = bits_trailing_zeros_u64(word) / 8;
    uint32_t byte_count = 8 - high - low, code = log_value_xor_code(high) + byte_count - 1;

    Q_DCHECK(word != 0);
    word >>= low * 8;
    for (uint32_t decimal = 0; decimal < 3 && byte_count > 1; decimal++) {
        if (log_value_try_decimal(bits, base, log_value_scale(decimal), &difference)) {
            uint32_t wanted = log_value_byte_count(difference);
            if (wanted < byte_count) {
                byte_count = wanted;
                code = LOG_VALUE_DECIMAL + decimal * 8 + wanted - 1;
                word = difference;
            }
            break; /* more places make it no shorter */
        }
    }
    endian_store_le_u64(to, word);
    *ret_byte_count = byte_count;
    return code;
}

/*
 * Writes a value. `to`: room for LOG_VALUE_BYTES_MAX bytes, all of which may be written.
 * `ret_code`: 6 bits. Returns: how many bytes count.
 * Threads: any. Cost: some 50 instructions, of node_exporter-like data, most of them for tries of
 * decimals.
 */
static inline size_t log_value_put(uint8_t *to, uint64_t bits, uint64_t base, bool is_absolute,
                                   uint32_t *ret_code)
{
    uint32_t byte_count = 0, code;

    if (bits == TSDB_STALE_BITS) {
        *ret_code = LOG_VALUE_STALE;
        return 0;
    }
    base = is_absolute ? 0 : base;
    code =
        bits == base ? LOG_VALUE_SAME : log_value_encode(bits, base, to + is_absolute, &byte_count);
    if (!is_absolute) {
        *ret_code = code;
        return byte_count;
    }
    to[0] = (uint8_t)code;
    *ret_code = LOG_VALUE_ABSOLUTE;
    return byte_count + 1;
}

/* How a code of 0 to 60 is read. */
struct log_value_form {
    uint8_t byte_count;
    uint8_t shift;   /* of an XOR: bits below its bytes */
    uint8_t decimal; /* 1 + the index of its scale; 0: an XOR */
};
extern const struct log_value_form log_value_forms[LOG_VALUE_STALE];

/*
 * A value of a code of 0 to 60, and the bytes that go with it. `from`: 8 bytes can be read there.
 */
static inline uint64_t log_value_get(uint32_t code, const uint8_t *from, uint64_t base)
{
    const struct log_value_form form = log_value_forms[code];
    uint64_t word = endian_load_le_u64(from);

    word = form.byte_count == 0 ? 0 : word & (UINT64_MAX >> (64 - form.byte_count * 8));
    if (Q_LIKELY(form.decimal == 0)) {
        return base ^ (word << form.shift);
    }
    double scale = log_value_scale(form.decimal - 1u);
    uint64_t number = (uint64_t)log_value_number(base, scale) + (uint64_t)varint_unzigzag(word);
    return log_value_bits((double)(int64_t)number / scale);
}

/*
 * Of the values of a record, one after the other: what a reader that lacks a value before compares.
 * Begins with LOG_VALUE_CHECK.
 */
#define LOG_VALUE_CHECK UINT64_C(0x9e3779b97f4a7c15)
static inline uint64_t log_value_check(uint64_t check, uint64_t bits)
{
    return (bits_rotate_left_u64(check, 23) ^ bits) * UINT64_C(0xd6e8feb86659fd93);
}
static inline uint32_t log_value_check_end(uint64_t check)
{
    return (uint32_t)(check ^ (check >> 32));
}

#endif
