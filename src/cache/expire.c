/*
 * Expiry: items are found expired when they are asked for.
 */
#include <cache/expire.h>

void cache_expire_noted(struct quarry_cache *cache, uint64_t ref48, uint32_t expiry)
{
    Q_DCHECK(cache->slab != NULL && ref48 != 0 && expiry != 0);
    (void)cache;
    (void)ref48;
    (void)expiry;
}
