/*
 * A cache whose items outlive its process. warm.c has the essay.
 */
#ifndef QUARRY_CACHE_WARM_H
#define QUARRY_CACHE_WARM_H

#include <cache/types.h>

/* A lane for the cache: over the file of the options, or of anonymous memory. Sets cache->lane. */
enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error);
/* Finds the items of the file; all parts of the cache are there. Sets cache->recovery. */
enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error);
/* The file keeps what is there. Before the slab ends, after the last change. */
void cache_warm_close(struct quarry_cache *cache);
/* A tenant has been added, or is about to go: the file knows ids by names. Under tenants_mutex. */
enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant);
void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant);
/* The id that the file has for the name; UINT32_MAX: none. Under tenants_mutex. */
uint32_t cache_warm_find_id(const struct quarry_cache *cache, const char *name);

#endif
