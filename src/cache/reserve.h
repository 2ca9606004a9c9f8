/*
 * What is kept aside for cells that are taken inside the epoch.
 */
#ifndef QUARRY_CACHE_RESERVE_H
#define QUARRY_CACHE_RESERVE_H

#include <cache/types.h>

/* How much of a limit is kept aside: 0.26 %, 64 to 512 KiB; else 0. */
uint64_t cache_reserve_bytes(const struct quarry_cache *cache, uint64_t limit_bytes);

/*
 * Whether the slab may keep a page that it has just been charged for: not of what is kept aside,
 * but for who is inside the epoch, and then a small one. Errors: QUARRY_NO_MEMORY. Threads: any.
 * Cost: a few loads.
 */
enum quarry_status cache_reserve_allow_page(struct quarry_cache *cache,
                                            const struct quarry_slab_page *page);

/*
 * A larger cell than need be, for who is inside the epoch and finds none of its size: the smallest
 * that is free. Errors: QUARRY_NO_MEMORY: none of any size is. Cost: a lock for each class.
 */
enum quarry_status cache_reserve_take_larger(struct quarry_cache *cache, size_t bytes,
                                             struct quarry_cell *ret_cell);

#endif
