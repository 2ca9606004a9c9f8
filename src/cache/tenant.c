/*
 * Tenants: spaces of keys that do not know of each other.
 *
 *   cache ── tenant[id] ──> tenant ── index, stripes, secret
 *
 * Each has an index of its own, so that no key of another can be found in it, and a secret of its
 * own under which keys are hashed, so that nobody can choose keys that meet. What they share is the
 * slab: a page holds cells of all, and an item says whose it is.
 *
 * An id is a place in the table, used again when its tenant has gone: by then no cell of the cache
 * has VALID and that id. A tenant that came out of a file is parked until somebody adds it by name.
 *
 * Counts are in stripes, a thread adding to the one that its number leads to; reading sums them up.
 * A reset notes the sums and subtracts them from then on, so that no count is lost to it.
 *
 * Flushing takes a number from the cache's sequence: items up to it are gone (write.c). One that is
 * to come later is looked for whenever the clock has moved on (cache_clock_tick), before anybody
 * sees the new second.
 *
 * Locking: tenants_mutex around adding, removing and naming. Reading the table takes none: a tenant
 * goes only when all who were inside the epoch have left.
 */
#include <cache/tenant.h>

#include <string.h>

#include <cache/hot_keys.h>
#include <cache/policy.h>
#include <cache/prefixes.h>
#include <cache/warm.h>

#define ITEMS_AT_A_TIME 512u

/* ---- making one ----------------------------------------------------------------------------- */

static void tenant_destroy(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    size_t stripe_bytes = (tenant->stripe_mask + 1) * sizeof(struct cache_stripe);

    if (tenant->policy != NULL) {
        cache_policy_tenant_fini(tenant);
    }
    cache_index_fini(&tenant->index);
    cache_prefixes_fini(tenant);
    cache_hot_keys_fini(tenant);
    cache_memory_give(cache, tenant->stripes, stripe_bytes);
    cache_memory_give(cache, tenant, sizeof(*tenant));
}

static enum quarry_status tenant_init(struct quarry_cache_tenant *tenant,
                                      struct quarry_cache *cache,
                                      const struct quarry_cache_tenant_options *options)
{
    tenant->cache = cache;
    tenant->stripe_mask = cache->stripe_count - 1;
    if (!os_random(&tenant->secret, sizeof(tenant->secret))) {
        tenant->secret = os_monotonic_ns(cache->os) * UINT64_C(0x9e3779b97f4a7c15);
    }
    memcpy(tenant->name, options->name, strlen(options->name) + 1);
    atomic_store_relaxed_u64(&tenant->quota_bytes, options->quota_bytes);
    atomic_store_relaxed_u64(&tenant->share_bytes, options->share_bytes);
    tenant->stripes = cache_memory_take(cache, cache->stripe_count * sizeof(struct cache_stripe));
    if (tenant->stripes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = cache_index_init(&tenant->index, cache);
    return status == QUARRY_OK ? cache_policy_tenant_init(tenant) : status;
}

static struct quarry_cache_tenant *tenant_create(struct quarry_cache *cache,
                                                 const struct quarry_cache_tenant_options *options)
{
    struct quarry_cache_tenant *tenant = cache_memory_take(cache, sizeof(*tenant));

    if (tenant != NULL && tenant_init(tenant, cache, options) != QUARRY_OK) {
        tenant_destroy(tenant);
        return NULL;
    }
    return tenant;
}

/* ---- the table ------------------------------------------------------------------------------ */

static struct quarry_cache_tenant *find_locked(const struct quarry_cache *cache, const char *name)
{
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);

    for (uint32_t id = 0; id < limit; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL && strcmp(tenant->name, name) == 0) {
            return tenant;
        }
    }
    return NULL;
}

/* The first id that is free; UINT32_MAX: none. */
static uint32_t choose_id_locked(const struct quarry_cache *cache)
{
    for (uint32_t id = 0; id < cache->tenants_max; id++) {
        if (cache_tenant_of(cache, id) == NULL && !cache_warm_is_taken(cache, id)) {
            return id;
        }
    }
    return UINT32_MAX;
}

/* The tenant is found from here on, under an id that is free. */
static void enter_at_locked(struct quarry_cache *cache, struct quarry_cache_tenant *tenant)
{
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);

    /* Release: pairs with cache_tenant_of. */
    atomic_store_release_ptr(&cache->tenant[tenant->id], tenant);
    atomic_store_release_u32(&cache->tenant_limit, tenant->id < limit ? limit : tenant->id + 1);
    (void)atomic_add_relaxed_u32(&cache->tenant_count, 1);
}

static enum quarry_status enter_locked(struct quarry_cache *cache,
                                       struct quarry_cache_tenant *tenant)
{
    if (find_locked(cache, tenant->name) != NULL) {
        return QUARRY_EXISTS;
    }
    tenant->id = choose_id_locked(cache);
    if (tenant->id == UINT32_MAX) {
        return QUARRY_TOO_MANY;
    }
    enum quarry_status status = cache_warm_add_tenant(tenant);
    if (status == QUARRY_OK) {
        enter_at_locked(cache, tenant);
    }
    return status;
}

/* A parked tenant of the name is the caller's from here on; NULL: there is none. */
static struct quarry_cache_tenant *claim_parked(struct quarry_cache *cache,
                                                const struct quarry_cache_tenant_options *options)
{
    os_mutex_lock(&cache->tenants_mutex);
    struct quarry_cache_tenant *tenant = find_locked(cache, options->name);
    if (tenant != NULL && atomic_load_relaxed_u32(&tenant->is_parked) == 0) {
        tenant = NULL;
    }
    if (tenant != NULL) {
        (void)quarry_cache_set_tenant(tenant, options);
        /* Release: who sees that it is there sees what it may have. */
        atomic_store_release_u32(&tenant->is_parked, 0);
    }
    os_mutex_unlock(&cache->tenants_mutex);
    return tenant;
}

enum quarry_status cache_tenant_restore(struct quarry_cache *cache, uint32_t id, const char *name,
                                        uint64_t secret, struct quarry_cache_tenant **ret_tenant)
{
    struct quarry_cache_tenant_options options = {.name = name};
    struct quarry_cache_tenant *tenant = tenant_create(cache, &options);

    if (tenant == NULL) {
        return QUARRY_NO_MEMORY;
    }
    tenant->id = id;
    tenant->secret = secret;
    atomic_store_relaxed_u32(&tenant->is_parked, 1);
    os_mutex_lock(&cache->tenants_mutex);
    bool is_free = cache_tenant_of(cache, id) == NULL && find_locked(cache, name) == NULL;
    if (is_free) {
        enter_at_locked(cache, tenant);
    }
    os_mutex_unlock(&cache->tenants_mutex);
    if (!is_free) {
        tenant_destroy(tenant);
        return QUARRY_EXISTS;
    }
    *ret_tenant = tenant;
    return QUARRY_OK;
}

static bool is_name(const char *name)
{
    return name != NULL && name[0] != 0 && strnlen(name, CACHE_NAME_BYTES) < CACHE_NAME_BYTES;
}

enum quarry_status quarry_cache_add_tenant(struct quarry_cache *cache,
                                           const struct quarry_cache_tenant_options *options,
                                           struct quarry_cache_tenant **ret_tenant,
                                           struct quarry_error *error)
{
    if (options == NULL || !is_name(options->name)) {
        return error_set(error, QUARRY_BAD_INPUT, "cache '%s': a tenant's name has 1 to %u bytes",
                         cache->name, CACHE_NAME_BYTES - 1);
    }
    struct quarry_cache_tenant *tenant = claim_parked(cache, options);
    if (tenant != NULL) {
        *ret_tenant = tenant;
        return QUARRY_OK;
    }
    tenant = tenant_create(cache, options);
    if (tenant == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "cache '%s': no memory for tenant '%s'",
                         cache->name, options->name);
    }
    os_mutex_lock(&cache->tenants_mutex);
    enum quarry_status status = enter_locked(cache, tenant);
    os_mutex_unlock(&cache->tenants_mutex);
    if (status != QUARRY_OK) {
        tenant_destroy(tenant);
        return error_set(error, status, "cache '%s': tenant '%s' of at most %u: %s", cache->name,
                         options->name, cache->tenants_max, quarry_status_name(status));
    }
    *ret_tenant = tenant;
    return QUARRY_OK;
}

enum quarry_status quarry_cache_set_tenant(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_tenant_options *options)
{
    if (options == NULL) {
        return QUARRY_BAD_INPUT;
    }
    atomic_store_relaxed_u64(&tenant->quota_bytes, options->quota_bytes);
    atomic_store_relaxed_u64(&tenant->share_bytes, options->share_bytes);
    return QUARRY_OK;
}

/* ---- removing one --------------------------------------------------------------------------- */

/* Drops all items of a tenant that nobody uses. */
static void purge(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t cursor = 0, refs[ITEMS_AT_A_TIME];

    while (cursor != UINT64_MAX) {
        quarry_epoch_enter(cache->epoch);
        uint32_t count = cache_index_next(tenant, &cursor, refs, ITEMS_AT_A_TIME);
        for (uint32_t i = 0; i < count; i++) {
            struct cache_item *item = cache_item_at(cache, refs[i]);
            uint64_t hash = cache_item_hash(tenant, item, cache_item_head(item));
            (void)cache_item_remove(tenant, hash, refs[i], CACHE_GONE_DELETED);
        }
        quarry_epoch_leave(cache->epoch);
    }
}

void quarry_cache_remove_tenant(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;

    Q_ASSERT_MSG(tenant != cache->default_tenant, "the default tenant stays");
    os_mutex_lock(&cache->turn_mutex);
    os_mutex_lock(&cache->tenants_mutex);
    cache_warm_remove_tenant(tenant);
    atomic_store_release_ptr(&cache->tenant[tenant->id], NULL);
    (void)atomic_sub_relaxed_u32(&cache->tenant_count, 1);
    os_mutex_unlock(&cache->tenants_mutex);
    os_mutex_unlock(&cache->turn_mutex);
    cache_wait_for_readers(cache);
    purge(tenant);
    Q_ASSERT_MSG(atomic_load_relaxed_u64(&tenant->pinned_bytes) == 0, "a pin outlives its tenant");
    cache_wait_for_readers(cache);
    cache_warm_free_id(cache, tenant->id);
    tenant_destroy(tenant);
}

void cache_tenants_destroy(struct quarry_cache *cache)
{
    for (uint32_t id = 0; id < cache->tenants_max; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL) {
            atomic_store_relaxed_ptr(&cache->tenant[id], NULL);
            tenant_destroy(tenant);
        }
    }
}

/* ---- looking -------------------------------------------------------------------------------- */

struct quarry_cache_tenant *quarry_cache_default_tenant(struct quarry_cache *cache)
{
    return cache->default_tenant;
}

struct quarry_cache_tenant *quarry_cache_find_tenant(struct quarry_cache *cache, const char *name)
{
    os_mutex_lock(&cache->tenants_mutex);
    struct quarry_cache_tenant *tenant = find_locked(cache, name);
    if (tenant != NULL && atomic_load_relaxed_u32(&tenant->is_parked) != 0) {
        tenant = NULL;
    }
    os_mutex_unlock(&cache->tenants_mutex);
    return tenant;
}

struct quarry_cache_tenant *quarry_cache_next_tenant(struct quarry_cache *cache,
                                                     const struct quarry_cache_tenant *tenant)
{
    uint32_t limit = atomic_load_acquire_u32(&cache->tenant_limit);

    for (uint32_t id = tenant == NULL ? 0 : tenant->id + 1; id < limit; id++) {
        struct quarry_cache_tenant *next = cache_tenant_of(cache, id);
        /* Acquire: pairs with the release of who adds it. */
        if (next != NULL && atomic_load_acquire_u32(&next->is_parked) == 0) {
            return next;
        }
    }
    return NULL;
}

const char *quarry_cache_tenant_name(const struct quarry_cache_tenant *tenant)
{
    return tenant->name;
}

struct quarry_cache *quarry_cache_of(const struct quarry_cache_tenant *tenant)
{
    return tenant->cache;
}

/* ---- flushing ------------------------------------------------------------------------------- */

void cache_tenant_flush_now(struct quarry_cache_tenant *tenant)
{
    uint32_t idle = 0;

    /* Acquire: pairs with the release below. The number comes after it: see write.c. */
    while (!atomic_cas_acq_rel_u32(&tenant->is_flushing, &idle, 1)) {
        idle = 0;
        os_yield();
    }
    uint64_t sequence = atomic_add_acq_rel_u64(&tenant->cache->sequence, 1) + 1;
    cache_warm_note_flush(tenant, sequence, atomic_load_relaxed_u32(&tenant->flush_at));
    /* Release: both pair with is_dead_now in write.c. */
    atomic_store_release_u64(&tenant->flushed_sequence, sequence);
    atomic_store_release_u32(&tenant->is_flushing, 0);
}

void quarry_cache_flush(struct quarry_cache_tenant *tenant, uint32_t when)
{
    bool is_now = when <= cache_now(tenant->cache);

    /* The last of several counts, as it is with memcached. */
    if (!is_now) {
        cache_warm_note_flush(tenant, atomic_load_acquire_u64(&tenant->flushed_sequence), when);
    }
    atomic_store_release_u32(&tenant->flush_at, is_now ? 0 : when);
    if (is_now) {
        cache_tenant_flush_now(tenant);
    }
}

void cache_tenants_flush_due(struct quarry_cache *cache, uint32_t now)
{
    uint32_t limit = atomic_load_acquire_u32(&cache->tenant_limit);

    for (uint32_t id = 0; id < limit; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        uint32_t when = tenant == NULL ? 0 : atomic_load_acquire_u32(&tenant->flush_at);
        if (when != 0 && when <= now && atomic_cas_acq_rel_u32(&tenant->flush_at, &when, 0)) {
            cache_tenant_flush_now(tenant);
        }
    }
}
