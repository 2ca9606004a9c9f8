/*
 * Bits one after another in words, the least significant first: what the codes of open samples are
 * written to and read from.
 *
 * A number of n bits lies at the next n bits, its lowest first; a word that is full is followed by
 * the next. In bytes the words are little endian, so bit i is bit i % 8 of byte i / 8.
 */
#ifndef QUARRY_TSDB_BITS_H
#define QUARRY_TSDB_BITS_H

#include <base/base.h>

/* Writes to words that are zero from `at` on. Whoever writes knows that there is room. */
struct tsdb_bit_writer {
    uint64_t *words;
    size_t at;
};

/* Writes the low `count` bits of `value`, 0 to 64; the others must be zero. */
static inline void tsdb_bits_put(struct tsdb_bit_writer *writer, uint64_t value, uint32_t count)
{
    Q_DCHECK(count <= 64 && (count == 64 || value >> count == 0));
    uint64_t *word = writer->words + writer->at / 64;
    uint32_t shift = writer->at % 64;

    word[0] |= value << shift;
    if (shift + count > 64) {
        word[1] |= value >> (64 - shift);
    }
    writer->at += count;
}

/* The 64 bits from bit `at` on. There is a word behind the one that holds bit `at`. */
static inline uint64_t tsdb_bits_peek(const uint64_t *words, size_t at)
{
    const uint64_t *word = words + at / 64;
    uint32_t shift = at % 64;

    return word[0] >> shift | (word[1] << 1) << (63 - shift);
}

/* The low `count` bits of a word, 0 to 64. */
static inline uint64_t tsdb_bits_low(uint64_t word, uint32_t count)
{
    return count == 64 ? word : word & ((UINT64_C(1) << count) - 1);
}

/*
 * Numbers that are mostly small: z in `order` bits where it fits these, and two bits more for each
 * doubling. n ones, a zero, then what is left in order + n bits (exponential Golomb codes).
 */

/* How many bits tsdb_golomb_put writes. */
static inline uint32_t tsdb_golomb_length(uint64_t z, uint32_t order)
{
    return 2 * bits_log2_floor_u64((z >> order) + 1) + 1 + order;
}

/* The largest number that has a code: the sum above must not wrap. */
#define TSDB_GOLOMB_MAX (UINT64_MAX >> 2)

/* `z` is at most TSDB_GOLOMB_MAX, `order` at most 61. */
static inline void tsdb_golomb_put(struct tsdb_bit_writer *writer, uint64_t z, uint32_t order)
{
    uint32_t ones = bits_log2_floor_u64((z >> order) + 1);

    tsdb_bits_put(writer, bits_mask_u64(0, ones), ones + 1);
    tsdb_bits_put(writer, z - (bits_mask_u64(0, ones) << order), ones + order);
}

/*
 * Reads one number from a word of bits, the first the lowest, of which `count` are known.
 * Returns: the bits that its code has; 0 where that is more than are known, *ret_z untouched.
 */
static inline uint32_t tsdb_golomb_in(uint64_t word, uint32_t count, uint32_t order,
                                      uint64_t *ret_z)
{
    uint32_t ones = bits_trailing_zeros_u64(~word);
    uint32_t length = 2 * ones + 1 + order;

    if (Q_UNLIKELY(length > count)) {
        return 0;
    }
    /* Neither is 64: both are less than `length`. */
    uint64_t past = (UINT64_C(1) << ones) - 1, rest = (UINT64_C(1) << (ones + order)) - 1;
    *ret_z = ((word >> ones >> 1) & rest) + (past << order);
    return length;
}

/*
 * Reads one number of `words` at `*at`, which moves behind it. Up to 127 bits are looked at.
 * Returns: whether there was one: not 62 ones or more, and no more than 62 bits of it.
 */
static inline bool tsdb_golomb_get(const uint64_t *words, size_t *at, uint32_t order,
                                   uint64_t *ret_z)
{
    uint32_t ones = bits_trailing_zeros_u64(~tsdb_bits_peek(words, *at));

    if (Q_UNLIKELY(ones + order > 62)) {
        return false;
    }
    uint64_t rest = tsdb_bits_low(tsdb_bits_peek(words, *at + ones + 1), ones + order);
    *ret_z = rest + (bits_mask_u64(0, ones) << order);
    *at += 2 * ones + 1 + order;
    return true;
}

#endif
