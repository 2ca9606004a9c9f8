/*
 * Figures: of tenants, of the cache, of its classes. Sums over stripes, tables and pages, taken
 * when asked for; each is exact by itself, together they are of about one instant.
 */
#include <string.h>

#include <cache/policy.h>
#include <cache/types.h>

uint64_t cache_count_read(const struct quarry_cache_tenant *tenant, enum cache_count what)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i <= tenant->stripe_mask; i++) {
        /* Relaxed: a figure. */
        sum += atomic_load_relaxed_u64(&tenant->stripes[i].count[what]);
    }
    return sum;
}

/* Where each count is told. */
static const struct {
    enum cache_count what;
    uint32_t offset;
} told[] = {
#define TOLD(what, field)                                                                          \
    {                                                                                              \
        CACHE_COUNT_##what, offsetof(struct quarry_cache_tenant_stats, field)                      \
    }
    TOLD(ITEMS, item_count),
    TOLD(ITEM_BYTES, item_bytes),
    TOLD(REQUEST_BYTES, request_bytes),
    TOLD(TOTAL_ITEMS, total_items),
    TOLD(GET_HITS, get_hits),
    TOLD(GET_MISSES, get_misses),
    TOLD(GET_EXPIRED, get_expired),
    TOLD(GET_FLUSHED, get_flushed),
    TOLD(TOUCH_HITS, touch_hits),
    TOLD(TOUCH_MISSES, touch_misses),
    TOLD(DELETE_HITS, delete_hits),
    TOLD(DELETE_MISSES, delete_misses),
    TOLD(INCR_HITS, incr_hits),
    TOLD(INCR_MISSES, incr_misses),
    TOLD(DECR_HITS, decr_hits),
    TOLD(DECR_MISSES, decr_misses),
    TOLD(CAS_HITS, cas_hits),
    TOLD(CAS_MISSES, cas_misses),
    TOLD(CAS_BADVAL, cas_badval),
    TOLD(SETS, set_count),
    TOLD(TOO_LARGE, store_too_large),
    TOLD(NO_MEMORY, store_no_memory),
    TOLD(EVICTIONS, evictions),
    TOLD(EVICTED_UNFETCHED, evicted_unfetched),
    TOLD(EVICTED_BYTES, evicted_bytes),
    TOLD(EXPIRED, expired),
    TOLD(EXPIRED_UNFETCHED, expired_unfetched),
    TOLD(GHOST_HITS, ghost_hits),
    TOLD(PROMOTED, promoted),
#undef TOLD
};
Q_STATIC_ASSERT(sizeof(told) / sizeof(told[0]) == CACHE_COUNTS, "each count is told");

void quarry_cache_read_tenant(const struct quarry_cache_tenant *tenant,
                              struct quarry_cache_tenant_stats *ret_stats)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t quota_bytes = atomic_load_relaxed_u64(&tenant->quota_bytes);

    memset(ret_stats, 0, sizeof(*ret_stats));
    os_mutex_lock(&cache->tenants_mutex);
    for (uint32_t i = 0; i < CACHE_COUNTS; i++) {
        uint64_t value =
            cache_count_read(tenant, told[i].what) - tenant->counted_from[told[i].what];
        memcpy((char *)ret_stats + told[i].offset, &value, sizeof(value));
    }
    os_mutex_unlock(&cache->tenants_mutex);
    ret_stats->pinned_bytes = atomic_load_relaxed_u64(&tenant->pinned_bytes);
    ret_stats->quota_bytes =
        quota_bytes != 0 ? quota_bytes : atomic_load_relaxed_u64(&cache->size_bytes);
    ret_stats->share_bytes = atomic_load_relaxed_u64(&tenant->share_bytes);
    ret_stats->evicted_age_seconds = atomic_load_relaxed_u32(&tenant->evicted_age);
    cache_policy_read_tenant(tenant, ret_stats);
}

void quarry_cache_reset_tenant(struct quarry_cache_tenant *tenant)
{
    os_mutex_lock(&tenant->cache->tenants_mutex);
    for (uint32_t what = CACHE_COUNT_LEVELS; what < CACHE_COUNTS; what++) {
        tenant->counted_from[what] = cache_count_read(tenant, (enum cache_count)what);
    }
    os_mutex_unlock(&tenant->cache->tenants_mutex);
}

static void add_tenant(const struct quarry_cache_tenant *tenant, struct quarry_cache_stats *stats)
{
    stats->item_count += cache_count_read(tenant, CACHE_COUNT_ITEMS);
    stats->cell_bytes += cache_count_read(tenant, CACHE_COUNT_ITEM_BYTES);
    stats->pinned_bytes += atomic_load_relaxed_u64(&tenant->pinned_bytes);
    stats->index_bytes += atomic_load_relaxed_u64(&tenant->index.bytes);
    stats->index_slots += atomic_load_relaxed_u64(&tenant->index.slot_count);
    stats->index_grown_count += atomic_load_relaxed_u64(&tenant->index.grown_count);
}

void quarry_cache_read_stats(struct quarry_cache *cache, struct quarry_cache_stats *ret_stats)
{
    struct quarry_slab_stats slab;
    struct quarry_account_state account;

    memset(ret_stats, 0, sizeof(*ret_stats));
    quarry_slab_read_stats(cache->slab, &slab);
    quarry_account_read(cache->account, &account);
    ret_stats->size_bytes = atomic_load_relaxed_u64(&cache->size_bytes);
    ret_stats->charged_bytes = account.charged_bytes;
    ret_stats->page_bytes = slab.page_bytes;
    ret_stats->page_count = slab.page_count;
    ret_stats->free_bytes = slab.free_bytes + slab.cached_bytes + slab.limbo_bytes;
    ret_stats->moved_pages = slab.page_given_count;
    ret_stats->moved_items = slab.moved_count;
    ret_stats->value_bytes_max = atomic_load_relaxed_u64(&cache->value_bytes_max);
    ret_stats->tenant_count = atomic_load_relaxed_u32(&cache->tenant_count);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < atomic_load_acquire_u32(&cache->tenant_limit); id++) {
        const struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL) {
            add_tenant(tenant, ret_stats);
        }
    }
    quarry_epoch_leave(cache->epoch);
    cache_policy_read_stats(cache, ret_stats);
}

/* Adds a page to its class among `count`, by size. Returns: how many there are then. */
static size_t add_page(const struct quarry_slab_page *page,
                       struct quarry_cache_class_stats *classes, size_t count)
{
    size_t at = 0;

    while (at < count && classes[at].class_id != page->class_id &&
           classes[at].cell_bytes <= page->cell_bytes) {
        at++;
    }
    if (at == count || classes[at].class_id != page->class_id) {
        memmove(&classes[at + 1], &classes[at], (count - at) * sizeof(classes[0]));
        classes[at] = (struct quarry_cache_class_stats){.class_id = page->class_id,
                                                        .cell_bytes = page->cell_bytes};
        count++;
    }
    classes[at].page_count++;
    classes[at].cell_count += page->cell_count;
    if (page->cell_count > classes[at].cells_per_page) { /* the first pages are smaller */
        classes[at].cells_per_page = page->cell_count;
    }
    return count;
}

/* What is in use: neither free, nor with a thread for its next takes, nor waiting for readers. */
static void count_used(struct quarry_cache *cache, struct quarry_cache_class_stats *class)
{
    struct quarry_slab_stats stats;

    slab_class_read_stats(cache->slab, class->class_id, &stats);
    /* Pages may have come since they were counted. */
    class->used_count = size_min_u64(stats.live_count, class->cell_count);
}

size_t quarry_cache_read_classes(struct quarry_cache *cache,
                                 struct quarry_cache_class_stats *classes, size_t capacity)
{
    static const size_t bytes = (SLAB_CLASSES_MAX + 1) * sizeof(struct quarry_cache_class_stats);
    struct quarry_cache_class_stats *all = cache_memory_take(cache, bytes);
    struct quarry_slab_page page;
    uint64_t cursor = 0;
    size_t count = 0;

    if (all == NULL) {
        return 0;
    }
    while (quarry_slab_next_page(cache->slab, &cursor, &page)) {
        count = add_page(&page, all, count);
    }
    for (size_t i = 0; i < count && i < capacity; i++) {
        count_used(cache, &all[i]);
    }
    memcpy(classes, all, (count < capacity ? count : capacity) * sizeof(classes[0]));
    cache_memory_give(cache, all, bytes);
    return count;
}
