/*
 * Variable-length integers of more than one byte.
 *
 *     byte     0          1                8          9
 *     bits     0..6       7..13    ...     56..62     63
 *              1xxxxxxx   1xxxxxxx         1xxxxxxx   0000000x
 *
 * Invariants:
 *   1. put writes the shortest form, so put and varint_length_u64 agree.
 *   2. get never reads at or beyond `end`, nor a byte more than the value has.
 *   3. get returns a value or 0; no bits are dropped. (LevelDB's 32-bit reader drops the bits that
 *      do not fit, and so takes a corrupt length for a small one.)
 *
 * Locking: none. Cost: one short step a byte. Most values in the formats are lengths and deltas of
 * one byte, which the header reads inline.
 *
 * Rejected: reading eight bytes at once and gathering the groups by shifts: it needs eight readable
 * bytes after `at`, which a value at the end of a mapped file does not have.
 *
 * Source: the protocol buffer encoding, "Base 128 Varints"; LevelDB's doc/table_format.md.
 */
#include <base/varint.h>

#include <base/assert.h>

static size_t get(const uint8_t *at, const uint8_t *end, uint32_t width, uint64_t *ret_value);

size_t varint_put_u64(uint8_t *buffer, uint64_t value)
{
    size_t length = 0;
    while (value >= 0x80) {
        buffer[length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    buffer[length++] = (uint8_t)value;
    Q_DCHECK(length <= VARINT_U64_BYTES_MAX);
    return length;
}

size_t varint_get_u32_slow(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    uint64_t value;
    size_t length = get(at, end, 32, &value);
    if (length != 0)
        *ret_value = (uint32_t)value;
    return length;
}

size_t varint_get_u64_slow(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    return get(at, end, 64, ret_value);
}

/* Reads a value of at most `width` bits, 32 or 64. */
static size_t get(const uint8_t *at, const uint8_t *end, uint32_t width, uint64_t *ret_value)
{
    Q_DCHECK(at <= end);
    uint64_t value = 0;
    const uint8_t *start = at;
    for (uint32_t shift = 0; shift < width && at < end; shift += 7) {
        uint64_t group = *at & 0x7f;
        bool is_last = *at++ < 0x80;
        if (shift + 7 > width && group >> (width - shift) != 0)
            return 0; /* bits above the type (invariant 3) */
        value |= group << shift;
        if (is_last) {
            *ret_value = value;
            return (size_t)(at - start);
        }
    }
    return 0; /* truncated, or longer than the type's longest form */
}
