/*
 * The door of `block`: counted buffers and the Clock-Pro cache over them. Other folders include
 * this header and no other of the folder. README.md lists the parts in reading order.
 *
 * Beside the public calls: fetching ahead, and the clock alone, for whoever compares policies.
 */
#ifndef QUARRY_BLOCK_BLOCK_H
#define QUARRY_BLOCK_BLOCK_H

#include <quarry/block.h>

#include <block/clock_pro.h>

/* What of a block a lookup touches, one after the other. */
enum block_prefetch {
    BLOCK_PREFETCH_SLOT,   /* where the cache says where it is */
    BLOCK_PREFETCH_HEADER, /* its key and count */
    BLOCK_PREFETCH_EXTRA,  /* the first of its extra bytes */
};

/*
 * Has the CPU fetch what a lookup of this key will touch, so that the misses of several overlap:
 * the steps in their order, and time for the CPU between them. Nothing is loaded, nothing counts as
 * used. Threads: any. Cost: 20 instructions, and a miss where the step before was just now.
 */
void block_cache_prefetch(struct quarry_block_cache *cache, const struct quarry_block_key *key,
                          enum block_prefetch step);

#endif
