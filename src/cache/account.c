/*
 * The cache's account: its ceiling is the cache's size.
 */
#include <cache/account.h>

static uint64_t on_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct quarry_cache *cache = argument;

    return quarry_slab_compact(cache->slab, wanted_bytes, cache_item_move, cache);
}

enum quarry_status cache_account_init(struct quarry_cache *cache,
                                      const struct quarry_cache_options *options,
                                      struct quarry_error *error)
{
    struct quarry_account_options account = {
        .name = options->name,
        .parent = options->parent,
        .share = options->share,
        .floor_bytes = options->floor_bytes,
        .ceiling_bytes = atomic_load_relaxed_u64(&cache->size_bytes),
        .is_all_pages = true,
        .begins_paused = true,
        .pauses_in_child = true,
        .reclaim = on_reclaim,
        .argument = cache,
    };
    enum quarry_status status =
        quarry_account_create(cache->heap, &account, &cache->account, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_account_charge(cache->account, cache->own_bytes);
    if (status != QUARRY_OK) {
        quarry_account_destroy(cache->account);
        cache->account = NULL;
    }
    return status;
}

void cache_account_start(struct quarry_cache *cache)
{
    quarry_account_resume(cache->account);
}

void cache_account_stop(struct quarry_cache *cache)
{
    quarry_account_pause(cache->account);
}

void cache_account_fini(struct quarry_cache *cache)
{
    quarry_account_uncharge(cache->account, cache->own_bytes);
    quarry_account_destroy(cache->account);
    cache->account = NULL;
}

enum quarry_status cache_account_set_size(struct quarry_cache *cache, uint64_t size_bytes)
{
    enum quarry_status status =
        quarry_account_set_bounds(cache->account, cache->floor_bytes, size_bytes);

    if (status == QUARRY_OK) {
        atomic_store_relaxed_u64(&cache->size_bytes, size_bytes);
    }
    return status;
}
