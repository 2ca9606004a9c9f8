/*
 * What reading, writing and changing have in common. Inside the epoch, all of it.
 */
#ifndef QUARRY_CACHE_STORE_H
#define QUARRY_CACHE_STORE_H

#include <cache/types.h>

/* Bytes of key and value. */
static inline uint64_t cache_item_request_bytes(const struct cache_item *item, uint32_t head)
{
    return item->key_bytes + cache_item_value_bytes(item, head);
}
/* The cas, where there is a field for it. */
uint64_t cache_item_cas_slow(const struct cache_item *item, uint32_t head);
static inline uint64_t cache_item_cas(const struct quarry_cache *cache,
                                      const struct cache_item *item, uint32_t head)
{
    if (Q_UNLIKELY((head & CACHE_HEAD_CAS) != 0)) {
        return cache_item_cas_slow(item, head);
    }
    return cache_item_sequence(item, atomic_load_relaxed_u64(&cache->sequence));
}
bool cache_item_is_pinned(const struct cache_item *item, uint32_t head);

/* Whether what was found is there for nobody any more, and then why. */
static inline bool cache_found_is_dead(const struct quarry_cache_tenant *tenant,
                                       const struct cache_found *found, enum cache_gone *ret_why)
{
    if (Q_UNLIKELY((found->head & CACHE_HEAD_EXPIRY) != 0) &&
        cache_item_is_expired(tenant->cache, found->item, found->head)) {
        *ret_why = CACHE_GONE_EXPIRED;
        return true;
    }
    if (Q_UNLIKELY(cache_item_is_flushed(tenant, found->item))) {
        *ret_why = CACHE_GONE_FLUSHED;
        return true;
    }
    return false;
}
/* The item of a key, without a lock; one that has expired or was flushed is removed instead. */
bool cache_find_live(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                     struct cache_found *ret_found);
/* The item has been read: raises its worth, and notes when. */
static inline void cache_found_touch(const struct quarry_cache *cache,
                                     const struct cache_found *found)
{
    uint16_t second = (uint16_t)cache_now(cache);

    /* Relaxed: hints, all three. */
    if (cache_slot_frequency(found->seen) < CACHE_SLOT_FREQUENCY_MAX) {
        (void)cache_slot_raise(found->slot, found->seen);
    }
    if ((found->head & CACHE_HEAD_FETCHED) == 0) {
        (void)atomic_or_relaxed_u32(&found->item->head, CACHE_HEAD_FETCHED);
    }
    if (atomic_load_relaxed_u16(&found->item->accessed) != second) {
        atomic_store_relaxed_u16(&found->item->accessed, second);
    }
}

/* A get has found it dead, or nothing: counts and removes it. */
void cache_remove_dead_get(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                           const struct cache_found *found);
/* Gives an item that has the field another expiry. Under the lock of its bucket. */
void cache_item_set_expiry(struct quarry_cache *cache, uint64_t ref48, struct cache_item *item,
                           uint32_t expiry);

/* Retires a cell; the cells of an item that is out of the index, and that nobody has pinned. */
void cache_cell_retire(struct quarry_cache *cache, uint64_t ref48);
void cache_item_retire(struct quarry_cache *cache, uint64_t ref48, struct cache_item *item,
                       uint32_t head);

/* A write has taken a cell: it counts against its tenant, but for no item yet. */
static inline void cache_write_reserve(struct quarry_cache_write *write, uint64_t bytes)
{
    write->reserved_bytes += bytes;
    (void)atomic_add_relaxed_u64(&write->tenant->pending_bytes, bytes);
}
static inline void cache_write_unreserve(struct quarry_cache_write *write)
{
    (void)atomic_sub_relaxed_u64(&write->tenant->pending_bytes, write->reserved_bytes);
    write->reserved_bytes = 0;
}

#endif
