/*
 * Keys: comparing and hashing.
 */
#ifndef QUARRY_BLOCK_KEY_H
#define QUARRY_BLOCK_KEY_H

#include <quarry/block.h>

#include <base/base.h>

static inline bool block_key_equal(const struct quarry_block_key *a,
                                   const struct quarry_block_key *b)
{
    /* One branch: nearly always all three are the same. */
    return ((a->offset ^ b->offset) | (a->file ^ b->file) | (a->handle ^ b->handle)) == 0;
}

/* 2^64 divided by the golden ratio, odd: spreads neighbouring numbers over the upper bits. */
#define BLOCK_KEY_FACTOR UINT64_C(0x9e3779b97f4a7c15)

/*
 * 64 well-mixed bits. Files and offsets are small and regular, so each is folded down after its
 * multiplication; the three enter at different places, or a file and an offset could change roles.
 * The shard is the highest bits, the bucket the lowest, the tag between them.
 */
static inline uint64_t block_key_hash(const struct quarry_block_key *key)
{
    uint64_t hash = (key->handle * BLOCK_KEY_FACTOR) ^ key->file;

    hash *= BLOCK_KEY_FACTOR;
    hash = (hash ^ (hash >> 32) ^ key->offset) * UINT64_C(0xd6e8feb86659fd93);
    hash = (hash ^ (hash >> 32)) * BLOCK_KEY_FACTOR;
    return hash ^ (hash >> 32);
}

/* Of the file alone, for the table of files. */
static inline uint32_t block_file_hash(uint64_t handle, uint64_t file)
{
    uint64_t hash = (handle * BLOCK_KEY_FACTOR) ^ file;

    hash = (hash ^ (hash >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(hash >> 32);
}

#endif
