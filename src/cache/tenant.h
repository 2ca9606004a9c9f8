/*
 * Tenants, for the rest of the folder. tenant.c has the essay.
 */
#ifndef QUARRY_CACHE_TENANT_H
#define QUARRY_CACHE_TENANT_H

#include <cache/types.h>

/* Ends all of them, items and all; the cache is closing, and their cells go with the slab. */
void cache_tenants_destroy(struct quarry_cache *cache);
/*
 * A tenant that a file had, under its id, with the secret of its keys. It is parked: its items are
 * there, and go as anybody's do, but it is nobody's until it is added by its name. Errors:
 * NO_MEMORY; EXISTS (the id, or the name).
 */
enum quarry_status cache_tenant_restore(struct quarry_cache *cache, uint32_t id, const char *name,
                                        uint64_t secret, struct quarry_cache_tenant **ret_tenant);
/* Everything stored until now is gone. */
void cache_tenant_flush_now(struct quarry_cache_tenant *tenant);
/* Flushes that were to come by `now`. Inside the epoch; nobody has seen that second yet. */
void cache_tenants_flush_due(struct quarry_cache *cache, uint32_t now);

#endif
