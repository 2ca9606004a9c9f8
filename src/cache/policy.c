/*
 * What goes: by a hand that turns around a tenant's index, evicting what was not asked for since it
 * came by last.
 */
#include <cache/policy.h>

#define EVICTED_AT_ONCE 8u
#define ROUNDS_MAX      4u

struct cache_policy_tenant {
    _Atomic uint64_t hand;
    _Atomic uint64_t bytes[2];
};

struct cache_policy {
    _Atomic uint32_t is_full;
};

enum quarry_status cache_policy_init(struct quarry_cache *cache)
{
    cache->policy = cache_memory_take(cache, sizeof(*cache->policy));
    return cache->policy != NULL ? QUARRY_OK : QUARRY_NO_MEMORY;
}

void cache_policy_fini(struct quarry_cache *cache)
{
    cache_memory_give(cache, cache->policy, sizeof(*cache->policy));
}

enum quarry_status cache_policy_tenant_init(struct quarry_cache_tenant *tenant)
{
    tenant->policy = cache_memory_take(tenant->cache, sizeof(*tenant->policy));
    return tenant->policy != NULL ? QUARRY_OK : QUARRY_NO_MEMORY;
}

void cache_policy_tenant_fini(struct quarry_cache_tenant *tenant)
{
    cache_memory_give(tenant->cache, tenant->policy, sizeof(*tenant->policy));
}

bool cache_policy_is_ghost(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    (void)tenant;
    (void)hash;
    return false;
}

void cache_policy_entered(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                          uint64_t bytes, bool is_main)
{
    (void)hash;
    (void)ref48;
    (void)atomic_add_relaxed_u64(&tenant->policy->bytes[is_main], bytes);
}

void cache_policy_left(struct quarry_cache_tenant *tenant, uint64_t bytes, bool is_main)
{
    (void)atomic_sub_relaxed_u64(&tenant->policy->bytes[is_main], bytes);
}

void cache_policy_missed(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    (void)tenant;
    (void)hash;
}

/* Looks at one bucket. Returns: bytes of what was evicted. */
static uint64_t evict_some(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    struct cache_slot_view slots[CACHE_BUCKET_SLOTS];
    uint64_t hand = atomic_load_relaxed_u64(&tenant->policy->hand), bytes = 0;

    quarry_epoch_enter(cache->epoch);
    uint32_t count = cache_index_look(&tenant->index, &hand, slots);
    atomic_store_relaxed_u64(&tenant->policy->hand, hand);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t ref48 = cache_slot_ref(slots[i].seen);
        if (cache_slot_frequency(slots[i].seen) != 0) {
            (void)cache_slot_lower(slots[i].slot, slots[i].seen);
            continue;
        }
        struct cache_item *item = cache_item_at(cache, ref48);
        uint64_t hash = cache_item_hash(tenant, item, cache_item_head(item));
        bytes += cache_item_remove(tenant, hash, ref48, CACHE_GONE_EVICTED);
    }
    quarry_epoch_leave(cache->epoch);
    return bytes;
}

/* Evicts at least so many bytes. False: there are none. */
static bool evict(struct quarry_cache_tenant *tenant, uint64_t bytes)
{
    uint64_t gone = 0;

    for (uint32_t round = 0; round < ROUNDS_MAX && gone < bytes;) {
        gone += evict_some(tenant);
        round += atomic_load_relaxed_u64(&tenant->policy->hand) == 0 ? 1 : 0;
    }
    return gone != 0;
}

enum quarry_status cache_policy_take_cell(struct quarry_cache_tenant *tenant, size_t bytes,
                                          struct quarry_cell *ret_cell)
{
    struct quarry_cache *cache = tenant->cache;
    enum quarry_status status = slab_take(cache->slab, bytes, ret_cell);

    for (uint32_t i = 0; status != QUARRY_OK && i < 64 && !cache->never_evicts; i++) {
        atomic_store_relaxed_u32(&cache->policy->is_full, 1);
        if (!evict(tenant, EVICTED_AT_ONCE * bytes << i / 8)) {
            return QUARRY_NO_MEMORY;
        }
        ref_epoch_advance(cache->epoch);
        ref_epoch_advance(cache->epoch);
        (void)quarry_slab_trim(cache->slab);
        status = slab_take(cache->slab, bytes, ret_cell);
    }
    return status == QUARRY_OK ? QUARRY_OK : QUARRY_NO_MEMORY;
}

bool cache_policy_make_room(struct quarry_cache *cache, uint64_t bytes)
{
    return quarry_slab_compact(cache->slab, bytes, cache_item_move, cache) != 0;
}

bool cache_policy_turn(struct quarry_cache *cache)
{
    (void)cache;
    return false;
}

void cache_policy_read_tenant(const struct quarry_cache_tenant *tenant,
                              struct quarry_cache_tenant_stats *stats)
{
    stats->small_bytes = atomic_load_relaxed_u64(&tenant->policy->bytes[0]);
    stats->main_bytes = atomic_load_relaxed_u64(&tenant->policy->bytes[1]);
}

void cache_policy_read_stats(struct quarry_cache *cache, struct quarry_cache_stats *stats)
{
    stats->is_full = atomic_load_relaxed_u32(&cache->policy->is_full) != 0;
}

enum quarry_status cache_policy_validate(struct quarry_cache *cache, struct quarry_error *error)
{
    (void)cache;
    (void)error;
    return QUARRY_OK;
}
