/*
 * Expiry by the pages of the slab. expire.c has the essay.
 */
#ifndef QUARRY_CACHE_EXPIRE_H
#define QUARRY_CACHE_EXPIRE_H

#include <cache/types.h>

/*
 * The item or its expiry is new: its page's minimum is no later from here on. Not for those that
 * never expire. `ref48`: of the item's cell. Threads: any, under a bucket's lock too. Cost: a few
 * instructions.
 */
void cache_expire_noted(struct quarry_cache *cache, uint64_t ref48, uint32_t expiry);

#endif
