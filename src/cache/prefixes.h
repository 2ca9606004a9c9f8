/*
 * Counts of a tenant's keys by prefix, for the rest of the folder. prefixes.c has the essay; the
 * calls are in quarry/cache.h.
 */
#ifndef QUARRY_CACHE_PREFIXES_H
#define QUARRY_CACHE_PREFIXES_H

#include <cache/types.h>

/* Ends the counts of a tenant that goes. */
void cache_prefixes_fini(struct quarry_cache_tenant *tenant);

#endif
