/*
 * Pages for a block cache's own structures: of its account, in its lane, zero when taken.
 */
#ifndef QUARRY_BLOCK_MEMORY_H
#define QUARRY_BLOCK_MEMORY_H

#include <quarry/memory.h>

#include <base/base.h>

struct quarry_block_cache;

struct block_memory {
    struct quarry_block_cache *cache; /* borrowed: makes room for what is taken */
    struct quarry_account *account;   /* borrowed */
    struct quarry_lane *lane;         /* borrowed */
    _Atomic uint64_t taken_bytes;
};

/*
 * Takes whole pages for at least `bytes`, all zero. No lock of this folder held: other caches, and
 * this one, may be asked for memory.
 * Returns: own; NULL: there is no memory.
 */
void *block_memory_take(struct block_memory *memory, size_t bytes);

/* `base`: given; NULL does nothing. */
void block_memory_give(struct block_memory *memory, void *base);

#endif
