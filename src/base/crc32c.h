/*
 * CRC-32C (Castagnoli), the checksum of every log, table and chunk that Quarry reads or writes.
 *
 * Finds every error of up to 3 bits in a block of less than 256 MiB, and every burst of up to 32.
 */
#ifndef QUARRY_BASE_CRC32C_H
#define QUARRY_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The checksum of some bytes followed by `data`, given the checksum `crc` of the former (0 for no
 * bytes): crc32c_extend(crc32c_value(a), b) is the checksum of a and b joined.
 *
 * `data`: borrowed, `byte_count` bytes; may be NULL when that is 0.
 * Errors: none. Threads: any. Cost: O(byte_count), with the CPU's CRC and carry-less multiply
 * instructions where it has them (found out at the first call); no allocation. The upper parts of
 * vector registers are clean afterwards, so that what follows is not slowed down.
 */
uint32_t crc32c_extend(uint32_t crc, const void *data, size_t byte_count);

/* The checksum of `data` alone; "123456789" gives 0xe3069283. As crc32c_extend. */
static inline uint32_t crc32c_value(const void *data, size_t byte_count)
{
    return crc32c_extend(0, data, byte_count);
}

/*
 * Joining checksums without the bytes: crc32c_combine(crc of a, crc of b, crc32c_shift_of(b's
 * bytes)) is the checksum of a and b joined. For a part that is known before the other.
 *
 * Errors: none. Threads: any. Cost: crc32c_combine some 200 instructions; crc32c_shift_of as many
 * for each bit that is set in the count.
 */
uint32_t crc32c_shift_of(size_t byte_count);
uint32_t crc32c_combine(uint32_t a_crc, uint32_t b_crc, uint32_t b_shift);

/* Added by crc32c_mask; the formats of LevelDB and RocksDB fix it. */
#define CRC32C_MASK_DELTA UINT32_C(0xa282ead8)

/*
 * The form in which LevelDB's and RocksDB's files store a checksum, and back: rotated and shifted,
 * because the checksum of bytes that hold their own checksums is a poor one.
 * Errors: none. Threads: any. Cost: two instructions.
 */
static inline uint32_t crc32c_mask(uint32_t crc)
{
    return ((crc >> 15) | (crc << 17)) + CRC32C_MASK_DELTA;
}
static inline uint32_t crc32c_unmask(uint32_t masked)
{
    uint32_t rotated = masked - CRC32C_MASK_DELTA;
    return (rotated >> 17) | (rotated << 15);
}

#endif
