/*
 * Variable-length integers: LEB128, as protobuf, LevelDB, RocksDB and Prometheus store them.
 *
 * Seven bits a byte, the least significant first; the top bit says that another byte follows.
 *
 *     300  =  0b10_0101100   ->   1|0101100  0|0000010   ->   AC 02
 */
#ifndef QUARRY_BASE_VARINT_H
#define QUARRY_BASE_VARINT_H

#include <stddef.h>
#include <stdint.h>

#include <base/annotate.h>
#include <base/bits.h>

/* The longest encodings: 32 and 64 bits in groups of 7. */
#define VARINT_U32_BYTES_MAX 5
#define VARINT_U64_BYTES_MAX 10

/* How many bytes varint_put writes for `value`: 1 to 10. Cost: a few instructions. */
static inline size_t varint_length_u64(uint64_t value)
{
    return bits_log2_floor_u64(value | 1) / 7 + 1;
}

/*
 * Writes `value` in its shortest form.
 *
 * `buffer`: borrowed; room for varint_length_u64(value) bytes.
 * Returns: the number of bytes written, 1 to 5 (10).
 * Errors: none. Threads: any. Cost: of 32 bits inline for one byte, else a step for each.
 */
size_t varint_put_u64(uint8_t *buffer, uint64_t value);
static inline size_t varint_put_u32(uint8_t *buffer, uint32_t value)
{
    if (Q_LIKELY(value < 0x80)) {
        *buffer = (uint8_t)value;
        return 1;
    }
    return varint_put_u64(buffer, value);
}

/* The cold halves of varint_get, for values of more than one byte. */
size_t varint_get_u32_slow(const uint8_t *at, const uint8_t *end, uint32_t *ret_value);
size_t varint_get_u64_slow(const uint8_t *at, const uint8_t *end, uint64_t *ret_value);

/*
 * Reads a value from [at, end). A value padded with zero groups is accepted, as every reader of
 * these formats does: protobuf writers pad lengths that they fill in afterwards.
 *
 * Returns: the number of bytes read, 1 to 5 (10); or 0, with `*ret_value` untouched, when the bytes
 * end inside the value, when it has more than 5 (10) bytes, or when it does not fit the type.
 * Errors: as returned. Threads: any. Cost: inline for one byte, else a step for each.
 */
static inline size_t varint_get_u32(const uint8_t *at, const uint8_t *end, uint32_t *ret_value)
{
    if (Q_LIKELY(at < end && *at < 0x80)) {
        *ret_value = *at;
        return 1;
    }
    return varint_get_u32_slow(at, end, ret_value);
}
static inline size_t varint_get_u64(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    if (Q_LIKELY(at < end && *at < 0x80)) {
        *ret_value = *at;
        return 1;
    }
    return varint_get_u64_slow(at, end, ret_value);
}

/*
 * Signed numbers near 0 as small unsigned ones: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4; and back.
 * Errors: none; one to one over the whole range. Threads: any. Cost: three instructions.
 */
static inline uint64_t varint_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}
static inline int64_t varint_unzigzag(uint64_t value)
{
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

#endif
