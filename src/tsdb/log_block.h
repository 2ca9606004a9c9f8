/*
 * Blocks of a segment's file, and the headers in them. docs/formats/tsdb-log.md has the bytes.
 */
#ifndef QUARRY_TSDB_LOG_BLOCK_H
#define QUARRY_TSDB_LOG_BLOCK_H

#include <base/base.h>

/* What is lost with a byte at most, but for what needs it. Doubling it halves the headers, which
 * are a thousandth. */
#define LOG_BLOCK_BYTES        32768u
#define LOG_BLOCK_HEADER_BYTES 32u
#define LOG_FRAGMENT_BYTES     7u /* before a fragment's own */
/* "QTL" and the version of the format. */
#define LOG_BLOCK_MAGIC UINT32_C(0x314c5451)

enum log_fragment_type {
    LOG_FRAGMENT_NONE = 0, /* zeros: never written */
    LOG_FRAGMENT_WHOLE = 1,
    LOG_FRAGMENT_FIRST = 2,
    LOG_FRAGMENT_MIDDLE = 3,
    LOG_FRAGMENT_LAST = 4,
};

/* What all headers of a segment say. */
struct log_identity {
    int64_t window;
    uint64_t sequence;
    uint32_t salt; /* random: bytes of another file are not taken for this one's */
};

/* Where the first fragment of a block is: the first block has its header twice. */
static inline size_t log_block_start(uint64_t block)
{
    return block == 0 ? 2 * LOG_BLOCK_HEADER_BYTES : LOG_BLOCK_HEADER_BYTES;
}

/* Writes LOG_BLOCK_HEADER_BYTES. */
static inline void log_block_header_put(uint8_t *to, const struct log_identity *identity,
                                        uint64_t block)
{
    endian_store_le_u32(to + 4, LOG_BLOCK_MAGIC);
    endian_store_le_u64(to + 8, (uint64_t)identity->window);
    endian_store_le_u64(to + 16, identity->sequence);
    endian_store_le_u32(to + 24, identity->salt);
    endian_store_le_u32(to + 28, (uint32_t)block);
    endian_store_le_u32(to, crc32c_value(to + 4, LOG_BLOCK_HEADER_BYTES - 4));
}

/* Reads a header. Returns: false: it is none, or of another block. */
static inline bool log_block_header_get(const uint8_t *from, uint64_t block,
                                        struct log_identity *ret_identity)
{
    if (endian_load_le_u32(from) != crc32c_value(from + 4, LOG_BLOCK_HEADER_BYTES - 4) ||
        endian_load_le_u32(from + 4) != LOG_BLOCK_MAGIC ||
        endian_load_le_u32(from + 28) != (uint32_t)block) {
        return false;
    }
    ret_identity->window = (int64_t)endian_load_le_u64(from + 8);
    ret_identity->sequence = endian_load_le_u64(from + 16);
    ret_identity->salt = endian_load_le_u32(from + 24);
    return true;
}

/* What the checksums of a block's fragments begin with: its header's. */
static inline uint32_t log_block_seed(const struct log_identity *identity, uint64_t block)
{
    uint8_t header[LOG_BLOCK_HEADER_BYTES];

    log_block_header_put(header, identity, block);
    return endian_load_le_u32(header);
}

#endif
