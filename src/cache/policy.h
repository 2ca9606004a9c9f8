/*
 * What goes and what stays: the calls that the store makes. policy.c has the essay.
 */
#ifndef QUARRY_CACHE_POLICY_H
#define QUARRY_CACHE_POLICY_H

#include <cache/types.h>

/* ---- beginning and ending ------------------------------------------------------------------- */

/* Makes cache->policy; the account and the slab are there. Errors: QUARRY_NO_MEMORY. */
enum quarry_status cache_policy_init(struct quarry_cache *cache);
void cache_policy_fini(struct quarry_cache *cache);
/* Makes tenant->policy; its index is there. Errors: QUARRY_NO_MEMORY. */
enum quarry_status cache_policy_tenant_init(struct quarry_cache_tenant *tenant);
/* Nobody uses the tenant any more, and no item is left. */
void cache_policy_tenant_fini(struct quarry_cache_tenant *tenant);

/* ---- what the store tells ------------------------------------------------------------------- */

/*
 * Whether a key was evicted not long ago, so that its item goes into the main queue at once. Counts
 * the ghost's hit. Before a new key is inserted. No lock held; inside the epoch.
 */
bool cache_policy_is_ghost(struct quarry_cache_tenant *tenant, uint64_t hash);
/*
 * An item was inserted, or has come to lie elsewhere (then cache_policy_left was called as well);
 * an item of the small queue is its youngest. No lock held; inside the epoch. Another thread may
 * have taken the item out again, and have said so before: figures may be below 0 for a moment.
 */
void cache_policy_entered(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                          uint64_t bytes, bool is_main);
/*
 * An item has come in the place of another, in whose queue it is; of the small queue it is the
 * youngest. As above.
 */
void cache_policy_replaced(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                           uint64_t bytes, uint64_t old_bytes, bool is_main);
/* An item has left the index. As above. */
void cache_policy_left(struct quarry_cache_tenant *tenant, uint64_t bytes, bool is_main);
/* A key was asked for and not found: what the gain of more memory is estimated from. */
void cache_policy_missed(struct quarry_cache_tenant *tenant, uint64_t hash);

/* ---- memory for items ----------------------------------------------------------------------- */

/*
 * A cell of at least `bytes` for an item of the tenant, within its quota and the cache's size:
 * evicts up to 16 items for it, and where that does not help makes a page of its size.
 *
 * Returns: the cell's bytes; 0: the cache never evicts, or there is nothing to evict.
 * Threads: inside the epoch or not; no lock held.
 */
uint32_t cache_policy_take_cell(struct quarry_cache_tenant *tenant, size_t bytes,
                                struct quarry_cell *ret_cell);
/*
 * Room for the cache's own structures, after an allocation for them failed: gives back about
 * `bytes` of pages. Returns: whether it is worth trying again. No lock held.
 */
bool cache_policy_make_room(struct quarry_cache *cache, uint64_t bytes);

/* ---- in the background ---------------------------------------------------------------------- */

/* Some of what is to do: refill, expire, rebalance. Returns: whether there is more. Up to 200 µs.
 */
bool cache_policy_turn(struct quarry_cache *cache);

/* ---- figures -------------------------------------------------------------------------------- */

/* Fills in small_bytes and main_bytes. */
void cache_policy_read_tenant(const struct quarry_cache_tenant *tenant,
                              struct quarry_cache_tenant_stats *stats);
/* Fills in policy_bytes, crawled_items, is_full. */
void cache_policy_read_stats(struct quarry_cache *cache, struct quarry_cache_stats *stats);
/* Checks its own figures against the index. Nobody else uses the cache. */
enum quarry_status cache_policy_validate(struct quarry_cache *cache, struct quarry_error *error);

#endif
