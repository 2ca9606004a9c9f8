/*
 * Checks a cache against itself, with nobody else in it.
 *
 * For each tenant: each table's slots are as many as it counts; each bucket has passed as many as
 * it counts; each slot leads to an item that is whole, whose key leads back to it; items, bytes and
 * requests add up to what was counted. For the cache: cells in use are those of items, of writes
 * under way and of what is pinned; the slab and the policy check themselves.
 */
#include <string.h>

#include <cache/index_table.h>
#include <cache/large.h>
#include <cache/policy.h>
#include <cache/store.h>

struct check {
    struct quarry_cache *cache;
    struct quarry_cache_tenant *tenant;
    struct quarry_error *error;
    uint64_t items, item_bytes, request_bytes, cells;
};

static enum quarry_status differ(const struct check *check, const char *what, uint64_t found,
                                 uint64_t wanted)
{
    return error_set(check->error, QUARRY_CORRUPT, "cache '%s', tenant '%s': %s %llu, not %llu",
                     check->cache->name, check->tenant == NULL ? "" : check->tenant->name, what,
                     (unsigned long long)found, (unsigned long long)wanted);
}

static uint64_t extents_of(const struct quarry_cache *cache, const struct cache_item *item,
                           uint32_t head)
{
    uint64_t count = 0;

    if ((head & CACHE_HEAD_LARGE) != 0) {
        for (uint64_t ref48 = cache_item_first_extent(item, head); ref48 != 0; count++) {
            const struct cache_extent *extent = slab_data_unchecked(cache->slab, ref48);
            ref48 = atomic_load_acquire_u64(&extent->next);
        }
    }
    return count;
}

static enum quarry_status check_item(struct check *check, const _Atomic uint64_t *slot,
                                     uint64_t seen)
{
    uint64_t ref48 = cache_slot_ref(seen);
    const struct cache_item *item =
        slab_data(check->cache->slab, quarry_slab_ref(check->cache->slab, ref48));

    if (item == NULL) {
        return differ(check, "a slot leads to no cell, but to", ref48, 0);
    }
    uint32_t head = cache_item_head(item);
    if ((head & (CACHE_HEAD_VALID | CACHE_HEAD_EXTENT)) != CACHE_HEAD_VALID) {
        return differ(check, "an item's head is", head, CACHE_HEAD_VALID);
    }
    if (cache_item_tenant_id(item, head) != check->tenant->id) {
        return differ(check, "an item is of", cache_item_tenant_id(item, head), check->tenant->id);
    }
    struct quarry_cache_key key = {cache_item_key(item, head), item->key_bytes,
                                   cache_item_hash(check->tenant, item, head)};
    struct cache_found found = cache_index_find(check->tenant, &key);
    if (found.slot != slot) {
        return differ(check, "a key does not lead to its slot, but to", cache_slot_ref(found.seen),
                      ref48);
    }
    check->items++;
    check->item_bytes += cache_item_charge(check->cache, ref48, item, head);
    check->request_bytes += cache_item_request_bytes(item, head);
    check->cells += 1 + extents_of(check->cache, item, head);
    return QUARRY_OK;
}

/* How many buckets an item that lies in bucket `at` was passed on from; its home is by its hash. */
static uint64_t passed_by(const struct check *check, const struct cache_table *table, uint32_t at,
                          uint64_t seen)
{
    const struct cache_item *item = cache_item_at(check->cache, cache_slot_ref(seen));
    uint64_t hash = cache_item_hash(check->tenant, item, cache_item_head(item));
    uint32_t home = cache_table_home(table, hash), step = cache_table_step(table, home);
    uint64_t count = 0;

    for (; home != at && count < CACHE_TABLE_REACH; count++) {
        home = cache_table_following(table, home, step);
    }
    return count;
}

/* What the slots and the heads of a table's buckets add up to. */
struct sums {
    uint32_t used;
    uint64_t passed, passed_counted;
};

static enum quarry_status check_bucket(struct check *check, struct cache_table *table, uint32_t at,
                                       struct sums *sums)
{
    struct cache_bucket *bucket = &table->bucket[at];

    if (atomic_load_relaxed_u32(&bucket->lock) != 0) {
        return differ(check, "a bucket is locked:", at, 0);
    }
    sums->passed_counted += cache_bucket_passed(bucket);
    for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        uint64_t seen = cache_slot_load(&bucket->slot[i]);
        if (seen == 0) {
            continue;
        }
        enum quarry_status status = check_item(check, &bucket->slot[i], seen);
        if (status != QUARRY_OK) {
            return status;
        }
        sums->used++;
        sums->passed += passed_by(check, table, at, seen);
    }
    return QUARRY_OK;
}

/* `promised`: slots of it that are counted for what has yet to be moved in. */
static enum quarry_status check_table(struct check *check, struct cache_table *table,
                                      uint64_t promised)
{
    struct sums sums = {0};

    for (uint32_t at = 0; at < table->bucket_count; at++) {
        enum quarry_status status = check_bucket(check, table, at, &sums);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    uint32_t counted = atomic_load_relaxed_u32(&table->used_count);
    if (sums.used + (uint32_t)promised != counted) {
        return differ(check, "a table's slots are counted as", counted, sums.used + promised);
    }
    return sums.passed == sums.passed_counted
               ? QUARRY_OK
               : differ(check, "a table's buckets have passed", sums.passed_counted, sums.passed);
}

/* The tables that one grows into. */
static enum quarry_status check_next(struct check *check, const struct cache_table *table)
{
    struct cache_table *first = atomic_load_relaxed_ptr(&table->next[0]);
    struct cache_table *second = atomic_load_relaxed_ptr(&table->next[1]);
    uint32_t owed[2] = {atomic_load_relaxed_u32(&table->owed[0]),
                        atomic_load_relaxed_u32(&table->owed[1])};
    enum quarry_status status = QUARRY_OK;

    if (second == NULL) {
        return QUARRY_OK;
    }
    status = check_table(check, first, first == second ? (uint64_t)owed[0] + owed[1] : owed[0]);
    return status != QUARRY_OK || first == second ? status : check_table(check, second, owed[1]);
}

static enum quarry_status check_index(struct check *check)
{
    const struct cache_directory *directory = cache_directory_of(&check->tenant->index);
    enum quarry_status status = QUARRY_OK;

    for (uint64_t i = 0; i < UINT64_C(1) << directory->bits && status == QUARRY_OK;) {
        struct cache_table *table = atomic_load_relaxed_ptr(&directory->table[i]);
        uint64_t prefix = table->depth == 0 ? 0 : i << (64 - directory->bits);
        if (table->prefix != prefix) {
            return differ(check, "a table's prefix is", table->prefix, prefix);
        }
        i += UINT64_C(1) << (directory->bits - table->depth);
        status = check_table(check, table, 0);
        if (status == QUARRY_OK) {
            status = check_next(check, table);
        }
    }
    return status;
}

static enum quarry_status check_tenant(struct check *check)
{
    struct quarry_cache_tenant *tenant = check->tenant;

    check->items = check->item_bytes = check->request_bytes = 0;
    enum quarry_status status = check_index(check);
    if (status != QUARRY_OK) {
        return status;
    }
    if (cache_count_read(tenant, CACHE_COUNT_ITEMS) != check->items) {
        return differ(check, "items are counted as", cache_count_read(tenant, CACHE_COUNT_ITEMS),
                      check->items);
    }
    if (cache_count_read(tenant, CACHE_COUNT_ITEM_BYTES) != check->item_bytes) {
        return differ(check, "their cells are counted as",
                      cache_count_read(tenant, CACHE_COUNT_ITEM_BYTES), check->item_bytes);
    }
    if (cache_count_read(tenant, CACHE_COUNT_REQUEST_BYTES) != check->request_bytes) {
        return differ(check, "keys and values are counted as",
                      cache_count_read(tenant, CACHE_COUNT_REQUEST_BYTES), check->request_bytes);
    }
    return QUARRY_OK;
}

/* With nothing pinned and no write under way, cells in use are those of items. */
static enum quarry_status check_cells(struct check *check)
{
    struct quarry_cache *cache = check->cache;
    struct quarry_slab_stats slab;
    uint64_t others = 0;

    for (uint32_t id = 0; id < cache->tenants_max; id++) {
        const struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL) {
            others += atomic_load_relaxed_u64(&tenant->pinned_bytes) +
                      atomic_load_relaxed_u64(&tenant->pending_bytes);
        }
    }
    quarry_slab_read_stats(cache->slab, &slab);
    check->tenant = NULL;
    if (slab.live_count < check->cells || (others == 0 && slab.live_count != check->cells)) {
        return differ(check, "cells in use are", slab.live_count, check->cells);
    }
    return quarry_slab_validate(cache->slab, check->error);
}

enum quarry_status quarry_cache_validate(struct quarry_cache *cache, struct quarry_error *error)
{
    struct check check = {.cache = cache, .error = error};
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&cache->turn_mutex);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < cache->tenants_max && status == QUARRY_OK; id++) {
        check.tenant = cache_tenant_of(cache, id);
        status = check.tenant == NULL ? QUARRY_OK : check_tenant(&check);
    }
    quarry_epoch_leave(cache->epoch);
    if (status == QUARRY_OK) {
        status = check_cells(&check);
    }
    if (status == QUARRY_OK) {
        status = cache_policy_validate(cache, error);
    }
    os_mutex_unlock(&cache->turn_mutex);
    return status;
}
