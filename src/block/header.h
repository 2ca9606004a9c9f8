/*
 * What stands before a block's payload.
 */
#ifndef QUARRY_BLOCK_HEADER_H
#define QUARRY_BLOCK_HEADER_H

#include <quarry/block.h>

#include <base/base.h>
#include <ref/ref.h>

/*
 *   | header, 64 | payload, up to 8 | extra |
 *
 * One line: what a lookup compares, the count that it raises, and where it says that the block was
 * used. A reader that found the address in a table may read `count`, `key` and `referenced` while
 * it is inside the cache's epoch, whatever has become of the block.
 */
struct block_header {
    _Atomic uint32_t count;       /* references: one of the cache, one of each reader; 0: gone */
    uint32_t payload_bytes;       /* const */
    _Atomic uint64_t ref;         /* its own name; 0: no block is here */
    struct quarry_block_key key;  /* const once entered */
    _Atomic uintptr_t referenced; /* address of its entry's referenced bit; 0: never entered */
    union {
        uint32_t entry;            /* guarded by the shard, while it is in the cache */
        struct block_header *next; /* of those that a shard lets go, by who lets them go */
    };
    uint32_t extra_bytes; /* const */
    uint8_t kind, level;  /* const once entered */
    bool is_background;   /* const once entered */
    bool is_large;        /* const: a run of pages */
};
Q_STATIC_ASSERT(sizeof(struct block_header) == QUARRY_BLOCK_HEADER_BYTES, "the header is a line");

static inline struct block_header *block_header_of(const void *data)
{
    return (struct block_header *)((uintptr_t)data - QUARRY_BLOCK_HEADER_BYTES);
}

static inline void *block_header_data(struct block_header *header)
{
    return (char *)header + QUARRY_BLOCK_HEADER_BYTES;
}

/* Where the extra bytes begin, from the payload's first byte on. */
static inline size_t block_extra_offset(size_t payload_bytes)
{
    return (payload_bytes + 7) & ~(size_t)7;
}

static inline size_t block_total_bytes(size_t payload_bytes, size_t extra_bytes)
{
    return QUARRY_BLOCK_HEADER_BYTES + block_extra_offset(payload_bytes) + extra_bytes;
}

#endif
