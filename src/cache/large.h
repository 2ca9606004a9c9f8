/*
 * Large values: in extents. large.c has the essay. Inside the epoch, all of it.
 */
#ifndef QUARRY_CACHE_LARGE_H
#define QUARRY_CACHE_LARGE_H

#include <cache/types.h>

/* Bytes of the extents' cells. */
uint64_t cache_large_charge(const struct quarry_cache *cache, const struct cache_item *item,
                            uint32_t head);
/* Fills in the length, and the first piece. */
void cache_large_hit(const struct quarry_cache *cache, const struct cache_item *item, uint32_t head,
                     struct quarry_cache_hit *hit);
/* Retires the extents of an item that is out of the index; gives back those of one that never was
 * in it. */
void cache_large_retire(struct quarry_cache *cache, struct cache_item *item, uint32_t head);
void cache_large_give(struct quarry_cache *cache, struct cache_item *item, uint32_t head);
/* The cas, which of a large item changes in place. Under the lock of its bucket. */
void cache_large_set_cas(struct cache_item *item, uint32_t head, uint64_t cas);

/* Moves an extent, as cache_item_move. */
bool cache_large_move_extent(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t old48,
                             uint64_t new48, void *new_data);

/* What is next of a write: takes an extent, and makes it its room. False: there is no memory. */
bool cache_large_extend(struct quarry_cache_write *write);

#endif
