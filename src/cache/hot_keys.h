/*
 * Which keys of a tenant are used most, for the rest of the folder. hot_keys.c has the essay; the
 * calls are in quarry/cache.h.
 */
#ifndef QUARRY_CACHE_HOT_KEYS_H
#define QUARRY_CACHE_HOT_KEYS_H

#include <cache/types.h>

/* Ends the sketches of a tenant that goes. */
void cache_hot_keys_fini(struct quarry_cache_tenant *tenant);

#endif
