/*
 * A cache whose items outlive its process. warm.c has the essay.
 */
#ifndef QUARRY_CACHE_WARM_H
#define QUARRY_CACHE_WARM_H

#include <cache/types.h>

/*
 * A lane for the items: over the file of the options, or cache->memory_lane, where the cache's own
 * structures are in any case. Sets cache->lane, and cache->file where there is one.
 */
enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error);
/* Finds the items of the file; all parts of the cache are there. Sets cache->recovery. */
enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error);
/* The file keeps what is there. Before the slab ends, after the last change. */
void cache_warm_close(struct quarry_cache *cache);
/* Ends cache->lane, if it is not memory_lane. After the slab has ended. */
void cache_warm_fini(struct quarry_cache *cache);
/* A tenant has been added, or is about to go: the file knows ids by names. Under tenants_mutex. */
enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant);
void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant);
/* Whether the file has items of an id whose tenant was not added yet. Under tenants_mutex. */
bool cache_warm_is_taken(const struct quarry_cache *cache, uint32_t id);
/* The id that the file has for the name; UINT32_MAX: none. Under tenants_mutex. */
uint32_t cache_warm_find_id(const struct quarry_cache *cache, const char *name);

#endif
