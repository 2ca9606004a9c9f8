/*
 * The cache's account: how it takes part in the budget. account.c has the essay.
 */
#ifndef QUARRY_CACHE_ACCOUNT_H
#define QUARRY_CACHE_ACCOUNT_H

#include <cache/types.h>

/*
 * Creates cache->account, paused, charged for cache->own_bytes; resumes it; ends it.
 *
 * `options`: as given to quarry_cache_create, its name set. Errors: as quarry_account_create and
 * quarry_account_charge.
 */
enum quarry_status cache_account_init(struct quarry_cache *cache,
                                      const struct quarry_cache_options *options,
                                      struct quarry_error *error);
void cache_account_start(struct quarry_cache *cache);
/* Before the cache's parts end: its functions are not called any more. */
void cache_account_stop(struct quarry_cache *cache);
void cache_account_fini(struct quarry_cache *cache);
/* Another size. Errors: QUARRY_BAD_INPUT. */
enum quarry_status cache_account_set_size(struct quarry_cache *cache, uint64_t size_bytes);

/*
 * Gives memory back: evicts, and empties pages, until about so much is free or nothing more can be.
 *
 * Returns: bytes given back. Threads: any that is not inside the epoch; no lock held. Cost: in
 * steps, none above 200 µs.
 */
uint64_t cache_account_give_back(struct quarry_cache *cache, uint64_t wanted_bytes);

#endif
