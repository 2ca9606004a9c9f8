/*
 * A cache of anonymous memory, whose items end with the process.
 */
#include <cache/warm.h>

enum quarry_status cache_warm_open(struct quarry_cache *cache,
                                   const struct quarry_cache_options *options,
                                   struct quarry_error *error)
{
    if (options->file_path != NULL) {
        return error_set(error, QUARRY_UNSUPPORTED, "cache '%s': no files in this build",
                         cache->name);
    }
    cache->lane = cache->memory_lane;
    return QUARRY_OK;
}

enum quarry_status cache_warm_recover(struct quarry_cache *cache, uint32_t thread_count,
                                      struct quarry_error *error)
{
    (void)thread_count;
    (void)error;
    cache->recovery.was_cold = true;
    return QUARRY_OK;
}

void cache_warm_close(struct quarry_cache *cache)
{
    Q_ASSERT(cache->file == NULL);
}

void cache_warm_fini(struct quarry_cache *cache)
{
    Q_ASSERT(cache->lane == cache->memory_lane);
}

enum quarry_status cache_warm_add_tenant(struct quarry_cache_tenant *tenant)
{
    Q_ASSERT(tenant->cache->file == NULL);
    return QUARRY_OK;
}

void cache_warm_remove_tenant(struct quarry_cache_tenant *tenant)
{
    Q_ASSERT(tenant->cache->file == NULL);
}

bool cache_warm_is_taken(const struct quarry_cache *cache, uint32_t id)
{
    (void)cache;
    (void)id;
    return false;
}

uint32_t cache_warm_find_id(const struct quarry_cache *cache, const char *name)
{
    (void)cache;
    (void)name;
    return UINT32_MAX;
}
