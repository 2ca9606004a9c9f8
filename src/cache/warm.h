/*
 * A cache whose items outlive its process. warm.c has the essay.
 */
#ifndef QUARRY_CACHE_WARM_H
#define QUARRY_CACHE_WARM_H

#include <cache/types.h>

/*
 * A lane for the items: over the file of the options, or cache->memory_lane, where the cache's own
 * structures are in any case. Sets cache->lane, and cache->file where there is one. The account is
 * there. Errors: as quarry_lane_create; CORRUPT: the file is not a cache's.
 */
enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error);
/* Where the slab's pages lie, and who is told of them. */
void cache_warm_slab_options(struct quarry_cache *cache, struct quarry_slab_options *slab_options);
/*
 * Finds the tenants and the items of the file; all parts of the cache are there, the default tenant
 * too, and nothing is in them: the slab has no classes. Sets cache->recovery, the clock and the
 * sequence. `thread_count`: 0: a CPU each.
 */
enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error);
/* Whether that is still to be, or under way: then nothing is evicted, nothing moved. */
bool cache_warm_is_recovering(const struct quarry_cache *cache);
/*
 * Ends the slab, and cache->lane if it is a file's, which keeps what is there and is closed; where
 * cache_warm_recover failed, or was not called, it stays as it is. After the last change, and after
 * the tenants have ended.
 */
void cache_warm_close(struct quarry_cache *cache);

/* Notes the clock and the sequence; some times a second. */
void cache_warm_tick(struct quarry_cache *cache);

/*
 * A tenant has been added; is about to go; and has gone, items and all: the file knows ids by
 * names. Under tenants_mutex. Errors: NO_MEMORY, NO_SPACE.
 */
enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant);
void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant);
void cache_warm_free_id(struct quarry_cache *cache, uint32_t id);
/* Whether items of a tenant that has gone may still have the id. Under tenants_mutex. */
bool cache_warm_is_taken(const struct quarry_cache *cache, uint32_t id);
/*
 * What a flush is about to make of a tenant: items up to the sequence are gone, and another flush
 * is to come at a time (0: none). Before anybody sees it.
 */
void cache_warm_note_flush(struct quarry_cache_tenant *tenant, uint64_t flushed_sequence,
                           uint32_t flush_at);

#endif
