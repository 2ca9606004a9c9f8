/*
 * Changing what is there. change.c has the essay.
 */
#ifndef QUARRY_CACHE_CHANGE_H
#define QUARRY_CACHE_CHANGE_H

#include <cache/types.h>

/*
 * Gives an item that has no field for an expiry one, by a copy which never expires as yet; it was
 * found, and may have gone. Inside the epoch, no lock held. Returns: false: there is no memory;
 * else look again.
 */
bool cache_change_widen(struct quarry_cache_tenant *tenant, const struct cache_found *found,
                        const struct quarry_cache_key *key);

#endif
