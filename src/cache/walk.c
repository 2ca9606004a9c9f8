/*
 * Walking a tenant's items, from outside: index_walk.c with what has expired or was flushed left
 * out.
 */
#include <cache/store.h>

#define REFS_AT_A_TIME 64u

static bool show(const struct quarry_cache_tenant *tenant, uint64_t ref48,
                 struct quarry_cache_hit *ret_hit)
{
    struct cache_item *item = cache_item_at(tenant->cache, ref48);
    struct cache_found found = {.item = item, .head = cache_item_head(item)};
    enum cache_gone why;

    if (cache_found_is_dead(tenant, &found, &why)) {
        return false;
    }
    cache_hit_fill(tenant, ref48, item, found.head, ret_hit);
    return true;
}

size_t quarry_cache_next(struct quarry_cache_tenant *tenant, uint64_t *cursor,
                         struct quarry_cache_hit *hits, size_t capacity)
{
    size_t shown = 0;

    while (shown < capacity && *cursor != UINT64_MAX) {
        uint64_t refs[REFS_AT_A_TIME];
        size_t left = capacity - shown;
        uint32_t count = cache_index_next(tenant, cursor, refs,
                                          left < REFS_AT_A_TIME ? (uint32_t)left : REFS_AT_A_TIME);
        for (uint32_t i = 0; i < count; i++) {
            shown += show(tenant, refs[i], &hits[shown]) ? 1 : 0;
        }
    }
    return shown;
}
