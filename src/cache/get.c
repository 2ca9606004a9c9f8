/*
 * Reading: what quarry_cache_get and its neighbours do.
 *
 *   get ── find, no lock ── dead? ──> removed, a miss
 *            │
 *            ├─ plain ──> hit
 *            └─ may change something of it (touch, win), or is large ──> again, under the lock
 *
 * quarry_cache_get_value is the same without what a server's get has no use for: most of a hit's
 * fields, and a count for each. 170 instructions instead of 277 (callgrind, 20 + 100 bytes), of
 * which 30 are for the one item in five that lies past its home.
 *
 * Who has won is decided by TOKEN, which is set under the lock: of several who find an item stale,
 * about to expire, or missing, one is told to renew it, and the others that one is.
 *
 * A touch of an item that has no field for an expiry makes a copy with one (change.c), and then the
 * get begins anew.
 */
#include <cache/store.h>

#include <string.h>

#include <cache/change.h>
#include <cache/expire.h>
#include <cache/index_find.h>
#include <cache/policy.h>
#include <cache/write.h>

static const struct quarry_cache_get_options plainly = {0};

/* ---- keys and epochs ------------------------------------------------------------------------ */

struct quarry_cache_key quarry_cache_key_make(const struct quarry_cache_tenant *tenant,
                                              const void *bytes, size_t byte_count)
{
    Q_ASSERT(byte_count - 1 < QUARRY_CACHE_KEY_BYTES_MAX);
    return (struct quarry_cache_key){bytes, (uint32_t)byte_count,
                                     cache_hash(tenant, bytes, byte_count)};
}

void quarry_cache_prefetch(const struct quarry_cache_tenant *tenant,
                           const struct quarry_cache_key *key)
{
    cache_index_prefetch(tenant, key->hash);
}

void quarry_cache_prefetch_item(const struct quarry_cache_tenant *tenant,
                                const struct quarry_cache_key *key)
{
    cache_index_prefetch_item(tenant, key->hash);
}

void quarry_cache_enter(struct quarry_cache *cache)
{
    quarry_epoch_enter(cache->epoch);
}

void quarry_cache_leave(struct quarry_cache *cache)
{
    quarry_epoch_leave(cache->epoch);
}

/* ---- missing -------------------------------------------------------------------------------- */

/* A miss whose caller wants an empty item to be made. HIT: it is there, `ret_hit` says whose. */
static enum quarry_cache_outcome vivify(struct quarry_cache_tenant *tenant,
                                        const struct quarry_cache_key *key,
                                        const struct quarry_cache_get_options *options,
                                        struct quarry_cache_hit *ret_hit, bool *ret_exists)
{
    struct cache_item_plan plan = {.tenant_id = tenant->id,
                                   .key_bytes = key->byte_count,
                                   .expiry = options->vivify_expiry,
                                   .cas = options->vivify_cas};
    struct quarry_cache_write write;

    if (cache_write_open(tenant, key, &plan, 0, &write) != QUARRY_CACHE_HIT) {
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
        return QUARRY_CACHE_NO_MEMORY;
    }
    uint64_t ref48 = write.ref & QUARRY_REF48_MASK;
    struct cache_item *item = cache_write_item(&write);
    uint64_t cas = cache_write_insert(&write, CACHE_HEAD_TOKEN, ret_exists);
    if (cas == 0) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    cache_hit_fill(tenant, ref48, item, cache_item_head(item), ret_hit);
    ret_hit->is_new = true;
    ret_hit->has_won = true;
    ret_hit->is_token_given = false;
    return QUARRY_CACHE_HIT;
}

Q_NOINLINE static enum quarry_cache_outcome miss(struct quarry_cache_tenant *tenant,
                                                 const struct quarry_cache_key *key,
                                                 const struct quarry_cache_get_options *options,
                                                 struct quarry_cache_hit *ret_hit)
{
    cache_count(tenant, options->touches ? CACHE_COUNT_TOUCH_MISSES : CACHE_COUNT_GET_MISSES);
    cache_policy_missed(tenant, key->hash);
    if (!options->vivifies) {
        return QUARRY_CACHE_MISS;
    }
    bool exists = false;
    enum quarry_cache_outcome outcome = vivify(tenant, key, options, ret_hit, &exists);
    return exists ? quarry_cache_get(tenant, key, options, ret_hit) : outcome;
}

/* ---- under the lock ------------------------------------------------------------------------- */

/* Whether this call is to renew the item; then nobody else is from now on. */
static bool try_win(const struct quarry_cache *cache, const struct cache_found *found,
                    const struct quarry_cache_get_options *options)
{
    uint32_t expiry = cache_item_expiry(found->item, found->head), now = cache_now(cache);
    bool is_due = (found->head & CACHE_HEAD_STALE) != 0 ||
                  (options->recaches && expiry != 0 && expiry - now < options->recache_seconds);

    if (!is_due || (found->head & CACHE_HEAD_TOKEN) != 0) {
        return false;
    }
    /* Relaxed: the lock orders it; atomic for readers' FETCHED. */
    (void)atomic_or_relaxed_u32(&found->item->head, CACHE_HEAD_TOKEN);
    return true;
}

/* What a locked look came to. */
enum locked {
    LOCKED_DONE,
    LOCKED_DEAD,  /* it is there no more: to be removed */
    LOCKED_NARROW /* it has no field for an expiry */
};

static enum locked get_locked(struct quarry_cache_tenant *tenant, const struct cache_found *found,
                              const struct quarry_cache_get_options *options,
                              struct quarry_cache_hit *ret_hit,
                              enum quarry_cache_outcome *ret_outcome)
{
    struct quarry_cache *cache = tenant->cache;
    enum cache_gone why;

    if (cache_found_is_dead(tenant, found, &why)) {
        return LOCKED_DEAD;
    }
    cache_hit_fill(tenant, cache_slot_ref(found->seen), found->item, found->head, ret_hit);
    if (options->has_cas && options->cas != ret_hit->cas) {
        *ret_outcome = QUARRY_CACHE_EXISTS;
        return LOCKED_DONE;
    }
    if (options->touches && options->expiry != ret_hit->expiry) {
        if ((found->head & CACHE_HEAD_EXPIRY) == 0) {
            return LOCKED_NARROW;
        }
        cache_item_set_expiry(cache, cache_slot_ref(found->seen), found->item, options->expiry);
        ret_hit->expiry = options->expiry;
    }
    ret_hit->has_won = try_win(cache, found, options);
    if (!options->leaves_no_trace) {
        cache_found_touch(cache, found);
    }
    *ret_outcome = QUARRY_CACHE_HIT;
    return LOCKED_DONE;
}

/* As get, for what may change more than hints. */
Q_NOINLINE static enum quarry_cache_outcome get_slow(struct quarry_cache_tenant *tenant,
                                                     const struct quarry_cache_key *key,
                                                     const struct quarry_cache_get_options *options,
                                                     struct quarry_cache_hit *ret_hit)
{
    for (;;) {
        struct cache_lock lock;
        enum quarry_cache_outcome outcome = QUARRY_CACHE_MISS;
        enum locked locked = LOCKED_DEAD;

        cache_index_lock(tenant, key->hash, &lock);
        struct cache_found found = cache_index_find_locked(tenant, &lock, key);
        if (found.item != NULL) {
            locked = get_locked(tenant, &found, options, ret_hit, &outcome);
        }
        cache_index_unlock(&lock);
        if (locked == LOCKED_DEAD) {
            cache_remove_dead_get(tenant, key, &found);
            return miss(tenant, key, options, ret_hit);
        }
        if (locked == LOCKED_DONE) {
            bool is_hit = outcome == QUARRY_CACHE_HIT;
            cache_count_add(tenant,
                            options->touches ? CACHE_COUNT_TOUCH_HITS : CACHE_COUNT_GET_HITS,
                            is_hit ? 1 : 0);
            return outcome;
        }
        if (!cache_change_widen(tenant, &found, key)) {
            return QUARRY_CACHE_NO_MEMORY;
        }
    }
}

/* ---- the door ------------------------------------------------------------------------------- */

void cache_remove_dead_get(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                           const struct cache_found *found)
{
    enum cache_gone why;

    if (found->item != NULL && cache_found_is_dead(tenant, found, &why)) {
        cache_count(tenant,
                    why == CACHE_GONE_EXPIRED ? CACHE_COUNT_GET_EXPIRED : CACHE_COUNT_GET_FLUSHED);
        (void)cache_item_remove(tenant, key->hash, cache_slot_ref(found->seen), why);
    }
}

enum quarry_cache_outcome quarry_cache_get(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct quarry_cache_get_options *options,
                                           struct quarry_cache_hit *ret_hit)
{
    struct cache_found found = cache_find(tenant, key);
    enum cache_gone why;

    if (Q_LIKELY(options == NULL)) {
        options = &plainly;
    }
    if (found.item == NULL) {
        return miss(tenant, key, options, ret_hit);
    }
    if (Q_UNLIKELY(options->touches || options->recaches ||
                   (found.head & (CACHE_HEAD_STALE | CACHE_HEAD_LARGE)) != 0)) {
        return get_slow(tenant, key, options, ret_hit);
    }
    if (Q_UNLIKELY(cache_found_is_dead(tenant, &found, &why))) {
        cache_remove_dead_get(tenant, key, &found);
        return miss(tenant, key, options, ret_hit);
    }
    cache_hit_fill(tenant, cache_slot_ref(found.seen), found.item, found.head, ret_hit);
    if (Q_UNLIKELY(options->has_cas && options->cas != ret_hit->cas)) {
        return QUARRY_CACHE_EXISTS;
    }
    if (Q_LIKELY(!options->leaves_no_trace)) {
        cache_found_touch(tenant->cache, &found);
    }
    cache_count(tenant, CACHE_COUNT_GET_HITS);
    return QUARRY_CACHE_HIT;
}

/* What the short way leaves to the other: it is counted there, and by the caller once more. */
Q_NOINLINE static enum quarry_cache_outcome get_value_slow(struct quarry_cache_tenant *tenant,
                                                           const struct quarry_cache_key *key,
                                                           struct quarry_cache_hit *ret_hit)
{
    enum quarry_cache_outcome outcome = quarry_cache_get(tenant, key, NULL, ret_hit);

    if (outcome == QUARRY_CACHE_HIT) {
        cache_count_add(tenant, CACHE_COUNT_GET_HITS, UINT64_MAX);
    }
    return outcome;
}

enum quarry_cache_outcome quarry_cache_get_value(struct quarry_cache_tenant *tenant,
                                                 const struct quarry_cache_key *key,
                                                 struct quarry_cache_hit *ret_hit)
{
    struct cache_found found = cache_find(tenant, key);
    enum cache_gone why;

    if (Q_UNLIKELY(found.item == NULL ||
                   (found.head & (CACHE_HEAD_STALE | CACHE_HEAD_LARGE)) != 0 ||
                   cache_found_is_dead(tenant, &found, &why))) {
        return get_value_slow(tenant, key, ret_hit);
    }
    const char *text = found.key;
    ret_hit->key = text;
    ret_hit->key_bytes = key->byte_count;
    ret_hit->piece.bytes = text + key->byte_count;
    ret_hit->piece.byte_count = found.head & CACHE_HEAD_LENGTH_MASK;
    ret_hit->value_bytes = found.head & CACHE_HEAD_LENGTH_MASK;
    ret_hit->client_flags = cache_item_client_flags(found.item, found.head);
    ret_hit->ref = cache_slot_ref(found.seen);
    cache_found_touch(tenant->cache, &found);
    return QUARRY_CACHE_HIT;
}

void quarry_cache_count_hits(struct quarry_cache_tenant *tenant, uint32_t count)
{
    cache_count_add(tenant, CACHE_COUNT_GET_HITS, count);
}

/* ---- pins ----------------------------------------------------------------------------------- */

/*
 * Of the cache's size, what a tenant may have pinned. One item of any size may be pinned besides:
 * who reads a value that is larger than that would need as much memory for a copy of it.
 */
#define PINNED_PART 16u

/* Whether a tenant may pin an item of so many bytes. One that is pinned already costs no more. */
static bool may_pin(const struct quarry_cache_tenant *tenant, uint64_t bytes, bool is_pinned)
{
    /* Relaxed: figures; pins of other buckets at the same time may go a little over. */
    uint64_t most = atomic_load_relaxed_u64(&tenant->cache->size_bytes) / PINNED_PART;
    uint64_t pinned = atomic_load_relaxed_u64(&tenant->pinned_bytes);

    return is_pinned || pinned + bytes <= most || (bytes > most && pinned <= most);
}

static bool pin_locked(struct quarry_cache_tenant *tenant, const struct cache_lock *lock,
                       uint64_t hash, uint64_t ref48, struct cache_item *item)
{
    struct quarry_cache *cache = tenant->cache;
    uint32_t head = cache_item_head(item);
    uint64_t bytes = cache_item_charge(cache, ref48, item, head);

    if (cache_index_slot_locked(lock, hash, ref48) == NULL ||
        !may_pin(tenant, bytes, cache_item_is_pinned(item, head))) {
        return false;
    }
    /* Relaxed: the lock excludes the end of the item. */
    uint32_t before = atomic_add_relaxed_u32(cache_item_pins_field(item, head), 1);
    Q_ASSERT(before < CACHE_PINS_DEAD - 1);
    if (before == 0) {
        (void)atomic_add_relaxed_u64(&tenant->pinned_bytes, bytes);
    }
    return true;
}

bool quarry_cache_pin(struct quarry_cache_tenant *tenant, const struct quarry_cache_hit *hit)
{
    struct cache_item *item = cache_item_at(tenant->cache, hit->ref);
    struct cache_lock lock;

    if ((cache_item_head(item) & CACHE_HEAD_PINS) == 0) {
        return false;
    }
    uint64_t hash = cache_hash(tenant, hit->key, hit->key_bytes);
    cache_index_lock(tenant, hash, &lock);
    bool has = pin_locked(tenant, &lock, hash, hit->ref, item);
    cache_index_unlock(&lock);
    return has;
}

void quarry_cache_unpin(struct quarry_cache_tenant *tenant, uint64_t ref)
{
    struct quarry_cache *cache = tenant->cache;

    quarry_epoch_enter(cache->epoch);
    struct cache_item *item = cache_item_at(cache, ref);
    uint32_t head = cache_item_head(item);
    uint64_t bytes = cache_item_charge(cache, ref, item, head);
    /* Of two on one word the later sees the earlier: this, or the drop, retires it. */
    uint32_t before = atomic_sub_acq_rel_u32(cache_item_pins_field(item, head), 1);
    Q_ASSERT((before & ~CACHE_PINS_DEAD) != 0);
    if ((before & ~CACHE_PINS_DEAD) == 1) {
        (void)atomic_sub_relaxed_u64(&tenant->pinned_bytes, bytes);
    }
    if (before == (CACHE_PINS_DEAD | 1)) {
        cache_item_retire(cache, ref, item, head);
    }
    quarry_epoch_leave(cache->epoch);
}
