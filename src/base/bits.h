/*
 * Bits of 32- and 64-bit words. Bit 0 is the least significant.
 *
 * Errors: none; a parameter out of range is a programmer's error (Q_DCHECK, these are hot).
 * Threads: any. Cost: one to three instructions each; counting is a short library routine where the
 * build targets x86-64 without POPCNT.
 */
#ifndef QUARRY_BASE_BITS_H
#define QUARRY_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>

#include <base/assert.h>

/* How many bits are set: 0 to 64. */
static inline uint32_t bits_count_u64(uint64_t word)
{
    return (uint32_t)__builtin_popcountll(word);
}
static inline uint32_t bits_count_u32(uint32_t word)
{
    return (uint32_t)__builtin_popcount(word);
}

/* The index of the lowest set bit; the word's width when none is. */
static inline uint32_t bits_trailing_zeros_u64(uint64_t word)
{
    return word == 0 ? 64 : (uint32_t)__builtin_ctzll(word);
}
static inline uint32_t bits_trailing_zeros_u32(uint32_t word)
{
    return word == 0 ? 32 : (uint32_t)__builtin_ctz(word);
}

/* How many zeros are above the highest set bit; the word's width when none is set. */
static inline uint32_t bits_leading_zeros_u64(uint64_t word)
{
    return word == 0 ? 64 : (uint32_t)__builtin_clzll(word);
}
static inline uint32_t bits_leading_zeros_u32(uint32_t word)
{
    return word == 0 ? 32 : (uint32_t)__builtin_clz(word);
}

/* Whether exactly one bit is set; 0 is no power of two. */
static inline bool bits_is_power_of_two_u64(uint64_t word)
{
    return word != 0 && (word & (word - 1)) == 0;
}
static inline bool bits_is_power_of_two_u32(uint32_t word)
{
    return word != 0 && (word & (word - 1)) == 0;
}

/* The largest n with 2^n <= word, which must not be 0. */
static inline uint32_t bits_log2_floor_u64(uint64_t word)
{
    Q_DCHECK(word != 0);
    return 63 - bits_leading_zeros_u64(word);
}
static inline uint32_t bits_log2_floor_u32(uint32_t word)
{
    Q_DCHECK(word != 0);
    return 31 - bits_leading_zeros_u32(word);
}

/* The smallest n with 2^n >= word, which must not be 0; 64 (32) above the largest power. */
static inline uint32_t bits_log2_ceil_u64(uint64_t word)
{
    Q_DCHECK(word != 0);
    return 64 - bits_leading_zeros_u64(word - 1);
}
static inline uint32_t bits_log2_ceil_u32(uint32_t word)
{
    Q_DCHECK(word != 0);
    return 32 - bits_leading_zeros_u32(word - 1);
}

/*
 * `count` set bits, the lowest at index `first`: bits_mask_u64(2, 3) is binary 11100.
 * `first` + `count` is at most the width; a count of 0 gives 0.
 */
static inline uint64_t bits_mask_u64(uint32_t first, uint32_t count)
{
    Q_DCHECK(first <= 64 && count <= 64 - first);
    return count == 0 ? 0 : (UINT64_MAX >> (64 - count)) << first;
}
static inline uint32_t bits_mask_u32(uint32_t first, uint32_t count)
{
    Q_DCHECK(first <= 32 && count <= 32 - first);
    return count == 0 ? 0 : (UINT32_MAX >> (32 - count)) << first;
}

/* The word with its bits moved up by `count` modulo the width, the top ones coming in below. */
static inline uint64_t bits_rotate_left_u64(uint64_t word, uint32_t count)
{
    return (word << (count & 63)) | (word >> (-count & 63));
}
static inline uint32_t bits_rotate_left_u32(uint32_t word, uint32_t count)
{
    return (word << (count & 31)) | (word >> (-count & 31));
}

#endif
