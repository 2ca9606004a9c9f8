/*
 * Items that lie in the index: finding and reading them, and what becomes of them.
 *
 *   key ── hash ──> slot ── ref48 ──> cell: item ── value
 *                                            └──── extents … (large.c)
 *
 * A get that changes nothing but the item's worth takes no lock (index.c says why that is enough):
 * the slot, the item's head, the key; then FETCHED, once; the second of the access, once a second;
 * the frequency, unless it is at its highest. All three are hints: a copy of the item that is being
 * made may lose them. What is no hint (TOKEN, the expiry, a large item's cas) changes under the
 * lock of the key's bucket, and gets that may change it, or that read an item whose cas can change
 * in place, look it up again under the lock (get.c).
 *
 * The end of an item has one order: VALID cleared in its cell, so that nobody who finds the cell
 * otherwise (recovery after a kill, a queue's old ref) takes it for one; out of the index, under
 * the same lock, for who sees that a key is gone, or another's, may be told so and then killed; the
 * cell retired, to be used again when all readers have left. A pinned one is left to the last who
 * unpins it: its count has a bit for that, so that of dropping and unpinning the later one sees the
 * other.
 *
 * Moving an item (for pages that are to be emptied) is a change of where it lies and of nothing
 * else: copied and repointed under the lock. Who reads the old cell reads what stays true.
 *
 * Invariants
 *   1. An item that the index leads to has VALID, but for a moment under the lock of its bucket.
 *   2. Whoever takes a slot out of the index drops its item, once.
 *   3. CACHE_COUNT_ITEMS, …_ITEM_BYTES and …_REQUEST_BYTES, over all stripes, are the sums over the
 *      index, but for changes under way.
 */
#include <cache/types.h>

#include <string.h>

#include <cache/expire.h>
#include <cache/large.h>
#include <cache/policy.h>
#include <cache/store.h>

/* ---- what an item is ------------------------------------------------------------------------ */

uint64_t cache_item_charge(const struct quarry_cache *cache, uint64_t ref48,
                           const struct cache_item *item, uint32_t head)
{
    uint64_t bytes = slab_page_of(cache->slab, ref48)->cell_bytes;

    return (head & CACHE_HEAD_LARGE) == 0 ? bytes : bytes + cache_large_charge(cache, item, head);
}

uint64_t cache_item_cas_slow(const struct cache_item *item, uint32_t head)
{
    uint64_t cas;

    if (Q_UNLIKELY((head & CACHE_HEAD_LARGE) != 0)) {
        const void *field = cache_item_cas_field(item, head);
        return atomic_load_relaxed_u64(field);
    }
    memcpy(&cas, cache_item_cas_field(item, head), sizeof(cas));
    return cas;
}

/* Of a cell that is in use. */
static inline uint32_t cell_bytes_of(const struct quarry_cache *cache, uint64_t ref48)
{
    const struct slab_tables *tables = (const struct slab_tables *)(const void *)cache->slab;
    /* Acquire: as in slab_data_unchecked. */
    const struct slab_table *table =
        atomic_load_acquire_ptr(&tables->table[QUARRY_REF_CLASS(ref48)]);
    const struct slab_page *page = atomic_load_acquire_ptr(&table->page[QUARRY_REF_PAGE(ref48)]);

    return page->cell_bytes;
}

void cache_hit_fill(const struct quarry_cache_tenant *tenant, uint64_t ref48,
                    const struct cache_item *item, uint32_t head, struct quarry_cache_hit *ret_hit)
{
    const struct quarry_cache *cache = tenant->cache;
    const char *key = cache_item_key(item, head);
    /* Relaxed: a hint. */
    uint16_t accessed = atomic_load_relaxed_u16(&item->accessed);

    ret_hit->value_bytes = head & CACHE_HEAD_LENGTH_MASK;
    ret_hit->piece.bytes = key + item->key_bytes;
    ret_hit->piece.byte_count = head & CACHE_HEAD_LENGTH_MASK;
    ret_hit->cas = cache_item_cas(cache, item, head);
    ret_hit->client_flags = cache_item_client_flags(item, head);
    ret_hit->expiry = cache_item_expiry(item, head);
    ret_hit->idle_seconds = (uint16_t)(cache_now(cache) - accessed);
    ret_hit->was_hit = (head & CACHE_HEAD_FETCHED) != 0;
    ret_hit->is_stale = (head & CACHE_HEAD_STALE) != 0;
    ret_hit->has_won = false;
    ret_hit->is_token_given = (head & CACHE_HEAD_TOKEN) != 0;
    ret_hit->is_new = false;
    ret_hit->class_id = QUARRY_REF_CLASS(ref48);
    ret_hit->item_bytes = cell_bytes_of(cache, ref48);
    ret_hit->key = key;
    ret_hit->key_bytes = item->key_bytes;
    ret_hit->ref = ref48;
    if (Q_UNLIKELY((head & CACHE_HEAD_LARGE) != 0)) {
        ret_hit->item_bytes += cache_large_charge(cache, item, head);
        cache_large_hit(cache, item, head, ret_hit);
    }
}

/* ---- the end of an item --------------------------------------------------------------------- */

/* Gives a cell up that readers may be in. */
void cache_cell_retire(struct quarry_cache *cache, uint64_t ref48)
{
    slab_retire_cell(cache->slab, slab_page_of(cache->slab, ref48), ref48 & QUARRY_REF48_MASK);
}

void cache_item_retire(struct quarry_cache *cache, uint64_t ref48, struct cache_item *item,
                       uint32_t head)
{
    if ((head & CACHE_HEAD_LARGE) != 0) {
        cache_large_retire(cache, item, head);
    }
    cache_cell_retire(cache, ref48);
}

void cache_item_let_go(struct quarry_cache *cache, struct slab_page *page, uint64_t ref48,
                       struct cache_item *item, uint32_t head)
{
    /* Of two on one word the later sees the earlier: this, or the last unpin, retires it. */
    if (Q_UNLIKELY((head & CACHE_HEAD_PINS) != 0) &&
        atomic_or_acq_rel_u32(cache_item_pins_field(item, head), CACHE_PINS_DEAD) != 0) {
        return;
    }
    if (Q_UNLIKELY((head & CACHE_HEAD_LARGE) != 0)) {
        cache_large_retire(cache, item, head);
    }
    slab_retire_cell(cache->slab, page, ref48);
}

/* An item that has been taken out of the index: what there is to know of it. */
struct gone {
    struct slab_page *page;
    struct cache_item *item;
    uint64_t ref48, bytes;
    uint32_t head;
    bool was_main;
};

static inline struct gone gone_of(const struct quarry_cache *cache, uint64_t slot)
{
    struct gone gone = {.ref48 = cache_slot_ref(slot), .was_main = cache_slot_is_main(slot)};

    gone.page = slab_page_of(cache->slab, gone.ref48);
    gone.item = slab_page_cell(gone.page, QUARRY_REF_CELL(gone.ref48));
    gone.head = cache_item_head(gone.item);
    gone.bytes = gone.page->cell_bytes;
    if (Q_UNLIKELY((gone.head & CACHE_HEAD_LARGE) != 0)) {
        gone.bytes += cache_large_charge(cache, gone.item, gone.head);
    }
    return gone;
}

static inline void drop(struct quarry_cache_tenant *tenant, const struct gone *gone)
{
    struct cache_stripe *stripe = cache_stripe_of(tenant);

    Q_ASSERT((gone->head & (CACHE_HEAD_VALID | CACHE_HEAD_EXTENT)) == 0);
    cache_stripe_add(stripe, CACHE_COUNT_ITEMS, UINT64_MAX);
    cache_stripe_add(stripe, CACHE_COUNT_ITEM_BYTES, -gone->bytes);
    cache_stripe_add(stripe, CACHE_COUNT_REQUEST_BYTES,
                     -cache_item_request_bytes(gone->item, gone->head));
    cache_policy_left(tenant, gone->bytes, gone->was_main);
    cache_item_let_go(tenant->cache, gone->page, gone->ref48, gone->item, gone->head);
}

void cache_item_drop(struct quarry_cache_tenant *tenant, uint64_t slot)
{
    const struct gone gone = gone_of(tenant->cache, slot);

    drop(tenant, &gone);
}

static void count_gone(struct quarry_cache_tenant *tenant, const struct gone *gone,
                       enum cache_gone why)
{
    struct cache_stripe *stripe = cache_stripe_of(tenant);
    bool was_fetched = (gone->head & CACHE_HEAD_FETCHED) != 0;

    if (why == CACHE_GONE_EVICTED) {
        uint16_t age =
            (uint16_t)(cache_now(tenant->cache) - atomic_load_relaxed_u16(&gone->item->accessed));
        atomic_store_relaxed_u32(&tenant->evicted_age, age);
        cache_stripe_add(stripe, CACHE_COUNT_EVICTIONS, 1);
        cache_stripe_add(stripe, CACHE_COUNT_EVICTED_BYTES, gone->bytes);
        if (!was_fetched) {
            cache_stripe_add(stripe, CACHE_COUNT_EVICTED_UNFETCHED, 1);
        }
    } else if (why == CACHE_GONE_EXPIRED) {
        cache_stripe_add(stripe, CACHE_COUNT_EXPIRED, 1);
        cache_stripe_add(stripe, CACHE_COUNT_EXPIRED_UNFETCHED, was_fetched ? 0 : 1);
    }
}

static void observe(const struct quarry_cache_tenant *tenant, uint64_t ref48,
                    const struct cache_item *item, uint32_t head, enum cache_gone why)
{
    const struct quarry_cache *cache = tenant->cache;
    struct quarry_cache_hit hit;

    if (why != CACHE_GONE_EVICTED && why != CACHE_GONE_EXPIRED) {
        return;
    }
    cache_hit_fill(tenant, ref48, item, head, &hit);
    cache->observe(
        cache->observe_argument,
        why == CACHE_GONE_EVICTED ? QUARRY_CACHE_EVENT_EVICTED : QUARRY_CACHE_EVENT_EXPIRED, &hit);
}

uint64_t cache_item_remove(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                           enum cache_gone why)
{
    uint64_t slot = cache_index_remove(tenant, hash, ref48);

    if (slot == 0) {
        return 0;
    }
    const struct gone gone = gone_of(tenant->cache, slot);
    count_gone(tenant, &gone, why);
    if (Q_UNLIKELY(tenant->cache->observe != NULL)) {
        observe(tenant, ref48, gone.item, gone.head, why);
    }
    drop(tenant, &gone);
    return gone.bytes;
}

void cache_item_strand(struct quarry_cache_tenant *tenant, uint64_t slot)
{
    const struct gone gone = gone_of(tenant->cache, slot);

    count_gone(tenant, &gone, CACHE_GONE_EVICTED);
    drop(tenant, &gone);
}

/* ---- dead ones ------------------------------------------------------------------------------ */

bool cache_find_live(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                     struct cache_found *ret_found)
{
    struct cache_found found = cache_index_find(tenant, key);
    enum cache_gone why;

    if (found.item == NULL) {
        return false;
    }
    if (cache_found_is_dead(tenant, &found, &why)) {
        (void)cache_item_remove(tenant, key->hash, cache_slot_ref(found.seen), why);
        return false;
    }
    *ret_found = found;
    return true;
}

/* ---- expiries -------------------------------------------------------------------------------- */

void cache_item_set_expiry(struct quarry_cache *cache, uint64_t ref48, struct cache_item *item,
                           uint32_t expiry)
{
    if (expiry != 0) { /* first, for a page's minimum may be too low and not too high */
        cache_expire_noted(cache, ref48, expiry);
    }
    /* Relaxed: a figure of its own; the lock orders writers. */
    atomic_store_relaxed_u32(cache_item_expiry_field(item), expiry);
}

/* ---- moving --------------------------------------------------------------------------------- */

/* Copies an item whose bucket is locked: all but what readers change is still. */
static void copy_item(struct cache_item *to, const struct cache_item *from, uint32_t head)
{
    size_t bytes = cache_item_key_offset(head) - CACHE_ITEM_BYTES + from->key_bytes +
                   (head & CACHE_HEAD_LENGTH_MASK);

    to->cas_low = from->cas_low;
    to->cas_mid = from->cas_mid;
    to->key_bytes = from->key_bytes;
    atomic_store_relaxed_u16(&to->accessed, atomic_load_relaxed_u16(&from->accessed));
    memcpy(to->rest, from->rest, bytes);
    /* Release: pairs with cache_item_head. */
    atomic_store_release_u32(&to->head, head);
}

bool cache_item_is_pinned(const struct cache_item *item, uint32_t head)
{
    return (head & CACHE_HEAD_PINS) != 0 &&
           atomic_load_relaxed_u32(cache_item_pins_field(item, head)) != 0;
}

static bool move_item(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t old48,
                      uint64_t new48, struct cache_item *to)
{
    struct quarry_cache *cache = tenant->cache;
    struct cache_item *from = cache_item_at(cache, old48);
    struct cache_lock lock;
    uint64_t slot_now = 0;
    uint32_t head = 0, expiry = 0;

    cache_index_lock(tenant, hash, &lock);
    _Atomic uint64_t *slot = cache_index_slot_locked(&lock, hash, old48);
    if (slot != NULL) {
        head = cache_item_head(from);
        if (!cache_item_is_pinned(from, head)) {
            expiry = cache_item_expiry(from, head);
            copy_item(to, from, head);
            slot_now = cache_index_repoint_locked(slot, new48);
            (void)atomic_and_release_u32(&from->head, ~CACHE_HEAD_VALID);
        }
    }
    cache_index_unlock(&lock);
    if (slot_now == 0) {
        return false;
    }
    if (expiry != 0) {
        cache_expire_noted(cache, new48, expiry);
    }
    if (!cache_slot_is_main(slot_now)) { /* the small queue knows items by where they lie */
        uint64_t bytes = cache_item_charge(cache, old48, from, head);
        cache_policy_left(tenant, bytes, false);
        cache_policy_entered(tenant, hash, new48, bytes, false);
    }
    return true;
}

bool cache_item_move(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                     void *new_data, size_t bytes)
{
    struct quarry_cache *cache = argument;
    uint64_t old48 = old_ref & QUARRY_REF48_MASK, new48 = new_ref & QUARRY_REF48_MASK;
    struct cache_guess guess;

    if (!cache_item_guess(old_data, bytes, &guess)) {
        return false;
    }
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, guess.tenant_id);
    if (tenant == NULL) {
        return false;
    }
    if (guess.key_bytes == 0) {
        return cache_large_move_extent(tenant, guess.hash, old48, new48, new_data);
    }
    return move_item(tenant, cache_hash(tenant, guess.key, guess.key_bytes), old48, new48,
                     new_data);
}

/* Whose item a guess may be of, and the hash of its key. NULL: nobody's. */
static struct quarry_cache_tenant *guess_read(struct quarry_cache *cache, uint64_t ref48,
                                              struct cache_guess *guess)
{
    const struct slab_page *page = slab_page_of(cache->slab, ref48);

    if (QUARRY_REF_CELL(ref48) >= page->cell_count ||
        !cache_item_guess(slab_page_cell(page, QUARRY_REF_CELL(ref48)), page->cell_bytes, guess)) {
        return NULL;
    }
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, guess->tenant_id);
    if (tenant != NULL && guess->key_bytes != 0) {
        guess->hash = cache_hash(tenant, guess->key, guess->key_bytes);
    }
    return tenant;
}

uint64_t cache_item_guess_slot(struct quarry_cache_tenant *tenant, uint64_t ref48,
                               uint32_t hash_bits, uint64_t *ret_hash)
{
    struct cache_guess guess;

    if (guess_read(tenant->cache, ref48, &guess) != tenant || guess.key_bytes == 0 ||
        (guess.hash & CACHE_GUESS_HASH_MASK) != hash_bits) {
        return 0;
    }
    *ret_hash = guess.hash;
    return cache_index_slot(tenant, guess.hash, ref48);
}

bool cache_item_whose(struct quarry_cache *cache, uint64_t ref48,
                      struct quarry_cache_tenant **ret_tenant, uint64_t *ret_hash,
                      uint64_t *ret_ref48)
{
    struct cache_guess guess;
    struct quarry_cache_tenant *tenant = guess_read(cache, ref48, &guess);

    if (tenant == NULL) {
        return false;
    }
    *ret_tenant = tenant;
    *ret_hash = guess.hash;
    if (guess.key_bytes != 0) {
        *ret_ref48 = ref48;
        return cache_index_slot(tenant, guess.hash, ref48) != 0;
    }
    struct cache_lock lock;
    cache_index_lock(tenant, guess.hash, &lock);
    struct cache_found found = cache_index_find_hash_locked(tenant, &lock, guess.hash);
    cache_index_unlock(&lock);
    *ret_ref48 = cache_slot_ref(found.seen);
    return found.item != NULL;
}
