/*
 * A tenant's index: tables of buckets of seven slots, read without a lock.
 *
 *   hash   63 ....... depth ....... 32 bits below ............. 12 .. 0
 *          directory: which table   × bucket_count >> 32: home  tag
 *
 *   bucket  │ lock │ passed │ slot 0 │ … │ slot 6 │                       64 bytes, a cache line
 *
 * An item's *home* is the bucket that its hash leads to. It lies in a slot there, or where those
 * are taken, in the first bucket behind it that has one; each bucket that it was passed on from
 * counts it in `passed`. Who looks for a key begins at the home and goes on while `passed` is not
 * 0, so that one that is absent is known to be after 1.4 lines on average at the highest load.
 *
 * Tables grow one after the other (index_grow.c): `next` is where a table's keys are to be; homes
 * are moved one at a time, under their lock, each marked MOVED when all it had has gone. A key's
 * *authority* is the first table on the way along `next` in which its home is not MOVED.
 *
 * Invariants
 *   1. A key has one item at most, in its authority; while its home is being moved a second slot
 *      with the same ref in the table after that.
 *   2. What is done to a key is done by the holder of its home's lock in its authority. Slots that
 *      lie elsewhere than the home are the home's all the same: others change them only where they
 *      are empty, by a compare-and-swap.
 *   3. `passed` counts an item before it lies past the bucket, and until it does no more.
 *   4. A slot never leads to a cell that was given back: it is emptied or repointed first.
 *   5. What grows into another table is emptied only after `next` is there, and each item only
 *      after it lies in the next.
 *
 * Why readers need no version. An item that is there throughout a search lies in one slot of a
 * table until that home is moved. The reader loads the slot before it is emptied, and finds it; or
 * after that, and then sees `next` when it asks, for asking comes after (acquire; invariant 5), and
 * the slot in the next table, where the same holds. A slot that is repointed meanwhile shows the
 * old item or the new one, both of which the key had during the search. What a reader has found
 * stays whole until it leaves the epoch, also when it is out of the index by then (VALID may be
 * gone: it does not ask). So a search takes effect when it loads the slot that it finds, and a
 * search that finds nothing at a moment between its begin and end at which the key was absent.
 *
 * Locking: a word in each bucket, spun on and then slept on. Nothing is asked of other parts under
 * it, and no second one is taken. Frequencies are changed by compare-and-swap without it; so is
 * nothing else of a slot that is not empty.
 *
 * Cost: a hit is the directory, the table's head, one bucket, the item. 64 bytes hold 7 slots at a
 * load of 0.75 to 0.9: 10.2 to 12.2 bytes an item, 11.3 on average.
 *
 * Rejected: steps of one bucket: runs of full ones grow together, 4.8 lines to know that a key is
 * absent at a load of 0.88 instead of 2.5, and items as far as 50 from their home. A version in
 * each bucket, read again after a search: no reader needs it, for nothing is ever moved within a
 * table. Cuckoo hashing: it moves items within the table. Chained buckets: at this load a pointer
 * for each bucket costs as much as the second line that some searches touch.
 *
 * Source: F14 (overflow counts); extendible hashing (directory and segments).
 */
#include <cache/index.h>

#include <string.h>

#include <cache/index_find.h>

/* Of a table's slots, in 32nds, that are used at most but for what growth moves in. */
#define FULL_32NDS 31u
/* A lock is held for some tens of nanoseconds: who has spun so often waits for one who sleeps. */
#define SPINS_MAX 200u

/* ---- locks ---------------------------------------------------------------------------------- */

Q_COLD void cache_bucket_lock_slow(struct cache_bucket *bucket)
{
    for (uint32_t spin = 0; spin < SPINS_MAX; spin++) {
        uint32_t expected = 0;
        /* Pairs with the release in cache_bucket_unlock. */
        if (atomic_cas_acquire_u32(&bucket->lock, &expected, 1)) {
            return;
        }
        pause_cpu();
    }
    /* Taken so, it may have sleepers that we do not know of: it stays 2 until it is unlocked. */
    while (atomic_exchange_acquire_u32(&bucket->lock, 2) != 0) {
        os_futex_wait(&bucket->lock, 2, UINT64_MAX);
    }
}

Q_COLD void cache_bucket_unlock_slow(struct cache_bucket *bucket)
{
    /* An exchange, for nobody but the holder makes it 0. */
    uint32_t before = atomic_exchange_acq_rel_u32(&bucket->lock, 0);

    Q_ASSERT(before == 2);
    os_futex_wake(&bucket->lock, 1);
}

void cache_index_lock(struct quarry_cache_tenant *tenant, uint64_t hash,
                      struct cache_lock *ret_lock)
{
    cache_lock_home(tenant, hash, ret_lock);
}

void cache_lock_home_slow(struct quarry_cache_tenant *tenant, struct cache_table *table,
                          uint64_t hash, struct cache_lock *ret_lock)
{
    for (;;) {
        uint32_t home = cache_table_home(table, hash);
        struct cache_bucket *bucket = &table->bucket[home];

        cache_bucket_lock(bucket);
        bool is_growing = cache_table_is_growing(table);
        if (Q_LIKELY(!is_growing)) {
            *ret_lock = (struct cache_lock){table, bucket, home, false};
            return;
        }
        if (!cache_bucket_is_moved(bucket)) {
            cache_table_move_home(tenant, table, home);
        }
        cache_bucket_unlock(bucket);
        table = cache_table_next(table, hash);
    }
}

void cache_index_unlock(struct cache_lock *lock)
{
    cache_bucket_unlock(lock->home);
}

/* ---- finding -------------------------------------------------------------------------------- */

bool cache_table_find_behind(const struct quarry_cache *cache, struct cache_table *table,
                             uint32_t home, const struct quarry_cache_key *key,
                             struct cache_found *ret_found)
{
    uint32_t at = home, step = cache_table_step(table, home);

    for (uint32_t n = 1; n < CACHE_TABLE_REACH; n++) {
        if (Q_LIKELY(cache_bucket_passed(&table->bucket[at]) == 0)) {
            return false;
        }
        at = cache_table_following(table, at, step);
        if (cache_bucket_find(cache, &table->bucket[at], key, ret_found)) {
            return true;
        }
    }
    return false;
}

static bool table_find(const struct quarry_cache *cache, struct cache_table *table, uint32_t home,
                       const struct quarry_cache_key *key, struct cache_found *ret_found)
{
    return cache_bucket_find(cache, &table->bucket[home], key, ret_found) ||
           cache_table_find_behind(cache, table, home, key, ret_found);
}

struct cache_found cache_tables_find(const struct quarry_cache *cache, struct cache_table *table,
                                     const struct quarry_cache_key *key)
{
    struct cache_found found;

    if (cache_table_find_behind(cache, table, cache_table_home(table, key->hash), key, &found)) {
        return found;
    }
    for (table = cache_table_next(table, key->hash); table != NULL;
         table = cache_table_next(table, key->hash)) {
        if (table_find(cache, table, cache_table_home(table, key->hash), key, &found)) {
            return found;
        }
    }
    return (struct cache_found){0};
}

struct cache_found cache_index_find(const struct quarry_cache_tenant *tenant,
                                    const struct quarry_cache_key *key)
{
    return cache_find(tenant, key);
}

struct cache_found cache_find_behind_locked(const struct quarry_cache *cache,
                                            const struct cache_lock *lock,
                                            const struct quarry_cache_key *key)
{
    struct cache_found found;
    bool has = cache_table_find_behind(cache, lock->table, lock->home_index, key, &found);

    return has ? found : (struct cache_found){0};
}

struct cache_found cache_index_find_locked(const struct quarry_cache_tenant *tenant,
                                           const struct cache_lock *lock,
                                           const struct quarry_cache_key *key)
{
    return cache_find_locked(tenant->cache, lock, key);
}

/* The item of a bucket whose key has the hash; NULL: there is none. */
static struct cache_found find_hash_in(const struct quarry_cache_tenant *tenant,
                                       struct cache_bucket *bucket, uint64_t hash)
{
    struct cache_found found = {0};

    for (uint32_t slots = cache_bucket_match(bucket, cache_slot_tag(hash)); slots != 0;
         slots &= slots - 1) {
        found.slot = cache_bucket_matched(bucket, slots);
        found.seen = cache_slot_load(found.slot);
        if (found.seen != 0) {
            found.page = cache_slot_page(tenant->cache, found.seen);
            found.item = slab_page_cell(found.page, QUARRY_REF_CELL(found.seen));
            found.head = cache_item_head(found.item);
            if (cache_item_hash(tenant, found.item, found.head) == hash) {
                return found;
            }
        }
    }
    return (struct cache_found){0};
}

struct cache_found cache_index_find_hash_locked(const struct quarry_cache_tenant *tenant,
                                                const struct cache_lock *lock, uint64_t hash)
{
    uint32_t at = lock->home_index, step = cache_table_step(lock->table, at);
    struct cache_found found = {0};

    for (uint32_t n = 0; n < CACHE_TABLE_REACH && found.item == NULL; n++) {
        struct cache_bucket *bucket = &lock->table->bucket[at];
        found = find_hash_in(tenant, bucket, hash);
        if (cache_bucket_passed(bucket) == 0) {
            break;
        }
        at = cache_table_following(lock->table, at, step);
    }
    return found;
}

/* The slot of a table that holds this very ref, or NULL. */
static Q_ALWAYS_INLINE _Atomic uint64_t *slot_in(struct cache_table *table, uint32_t home,
                                                 uint64_t hash, uint64_t ref48)
{
    uint64_t tag = cache_slot_tag(hash), wanted = tag | ref48;
    uint32_t at = home;

    for (uint32_t n = 0; n < CACHE_TABLE_REACH; n++) {
        struct cache_bucket *bucket = &table->bucket[at];
        for (uint32_t slots = cache_bucket_match(bucket, tag); slots != 0; slots &= slots - 1) {
            _Atomic uint64_t *slot = cache_bucket_matched(bucket, slots);
            if ((cache_slot_load(slot) & (CACHE_SLOT_TAG_MASK | QUARRY_REF48_MASK)) == wanted) {
                return slot;
            }
        }
        if (Q_LIKELY(cache_bucket_passed(bucket) == 0)) {
            return NULL;
        }
        at = cache_table_following(table, at, cache_table_step(table, home));
    }
    return NULL;
}

_Atomic uint64_t *cache_index_slot_locked(const struct cache_lock *lock, uint64_t hash,
                                          uint64_t ref48)
{
    return slot_in(lock->table, lock->home_index, hash, ref48);
}

uint64_t cache_index_slot(const struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48)
{
    for (struct cache_table *table = cache_table_of(&tenant->index, hash); table != NULL;
         table = cache_table_next(table, hash)) {
        const _Atomic uint64_t *slot = slot_in(table, cache_table_home(table, hash), hash, ref48);
        uint64_t seen = slot == NULL ? 0 : cache_slot_load(slot);
        if (cache_slot_ref(seen) == ref48) { /* it may have been emptied, or repointed, since */
            return seen;
        }
    }
    return 0;
}

/* ---- fetching ahead ------------------------------------------------------------------------- */

void cache_index_prefetch(const struct quarry_cache_tenant *tenant, uint64_t hash)
{
    const struct cache_table *table = cache_table_of(&tenant->index, hash);

    __builtin_prefetch(&table->bucket[cache_table_home(table, hash)]);
}

void cache_index_prefetch_item(const struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct cache_table *table = cache_table_of(&tenant->index, hash);
    struct cache_bucket *bucket = &table->bucket[cache_table_home(table, hash)];

    for (uint32_t slots = cache_bucket_match(bucket, cache_slot_tag(hash)); slots != 0;
         slots &= slots - 1) {
        uint64_t seen = cache_slot_load(cache_bucket_matched(bucket, slots));
        if (Q_LIKELY(seen != 0)) {
            const struct slab_page *page = cache_slot_page(tenant->cache, seen);
            __builtin_prefetch(slab_page_cell(page, QUARRY_REF_CELL(seen)));
        }
    }
}

/* ---- placing and clearing ------------------------------------------------------------------- */

static bool place_in(struct cache_bucket *bucket, uint64_t value)
{
    for (uint32_t slots = cache_bucket_empty(bucket); slots != 0; slots &= slots - 1) {
        uint64_t empty = 0;
        /* Release: pairs with cache_slot_load, so that who finds the item sees it whole. */
        if (atomic_cas_release_u64(cache_bucket_matched(bucket, slots), &empty, value)) {
            return true;
        }
    }
    return false;
}

/* The buckets of a home before the one at `past` have an item less that lies past them. */
static void unpass(struct cache_table *table, uint32_t home, uint32_t past)
{
    uint32_t at = home, step = cache_table_step(table, home), n = 0;

    for (; at != past; at = cache_table_following(table, at, step)) {
        /* Release: the slot was emptied before. */
        uint32_t before = atomic_sub_release_u32(&table->bucket[at].passed, 1);
        Q_ASSERT((before & ~CACHE_BUCKET_MOVED) != 0 && n++ < CACHE_TABLE_REACH);
    }
}

bool cache_table_place(struct cache_table *table, uint32_t home, uint64_t value)
{
    uint32_t at = home, step = cache_table_step(table, home);

    for (uint32_t n = 0; n < CACHE_TABLE_REACH; n++) {
        if (place_in(&table->bucket[at], value)) {
            return true;
        }
        /* Relaxed: the release in place_in comes after it; invariant 3. */
        (void)atomic_add_relaxed_u32(&table->bucket[at].passed, 1);
        at = cache_table_following(table, at, step);
    }
    unpass(table, home, at);
    return false;
}

uint64_t cache_table_clear(struct cache_table *table, uint32_t home, _Atomic uint64_t *slot)
{
    uint32_t at =
        (uint32_t)(((uintptr_t)slot - (uintptr_t)table->bucket) / sizeof(struct cache_bucket));
    /* Release: pairs with cache_slot_load: who sees it empty sees `next`; invariant 5. */
    uint64_t before = atomic_exchange_acq_rel_u64(slot, 0);

    Q_ASSERT(at < table->bucket_count && before != 0);
    unpass(table, home, at);
    return before;
}

/* ---- changing ------------------------------------------------------------------------------- */

bool cache_index_insert_locked(struct cache_lock *lock, uint64_t hash, uint64_t ref48, bool is_main)
{
    struct cache_table *table = lock->table;
    uint64_t slots = cache_table_slots(table), used = atomic_load_relaxed_u32(&table->used_count);
    uint64_t value = ref48 | cache_slot_tag(hash) | (is_main ? CACHE_SLOT_JOINS_MAIN : 0);

    Q_DCHECK((ref48 & ~QUARRY_REF48_MASK) == 0 && ref48 != 0);
    /* Relaxed: a figure. */
    if (used >= slots * FULL_32NDS / 32 || !cache_table_place(table, lock->home_index, value)) {
        return false;
    }
    lock->wants_growth = used >= cache_table_threshold(table);
    (void)atomic_add_relaxed_u32(&table->used_count, 1);
    return true;
}

uint64_t cache_index_remove_locked(struct cache_lock *lock, _Atomic uint64_t *slot)
{
    uint64_t before = cache_table_clear(lock->table, lock->home_index, slot);

    (void)atomic_sub_relaxed_u32(&lock->table->used_count, 1);
    return before;
}

uint64_t cache_index_repoint_locked(_Atomic uint64_t *slot, uint64_t ref48)
{
    uint64_t seen = atomic_load_relaxed_u64(slot), after;

    do {
        after = (seen & ~QUARRY_REF48_MASK) | ref48;
        /* Release: pairs with cache_slot_load. Others change the frequency only. */
    } while (!atomic_cas_weak_release_u64(slot, &seen, after));
    return after;
}

uint64_t cache_index_replace_locked(_Atomic uint64_t *slot, uint64_t ref48)
{
    uint64_t seen = atomic_load_relaxed_u64(slot), after;

    do {
        bool is_most = cache_slot_frequency(seen) == CACHE_SLOT_FREQUENCY_MAX;
        after = ((seen & ~QUARRY_REF48_MASK) | ref48) + (is_most ? 0 : CACHE_SLOT_FREQUENCY_ONE);
        /* Release: pairs with cache_slot_load. Others change the frequency only. */
    } while (!atomic_cas_weak_release_u64(slot, &seen, after));
    return after;
}

uint64_t cache_index_remove(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48)
{
    struct cache_lock lock;
    uint64_t before = 0;

    cache_index_lock(tenant, hash, &lock);
    _Atomic uint64_t *slot = cache_index_slot_locked(&lock, hash, ref48);
    if (slot != NULL) {
        cache_item_end(cache_item_at(tenant->cache, ref48));
        before = cache_index_remove_locked(&lock, slot);
    }
    cache_index_unlock(&lock);
    return before;
}

static bool promote_locked(_Atomic uint64_t *slot, uint32_t frequency)
{
    uint64_t seen = atomic_load_relaxed_u64(slot);

    while (!cache_slot_is_main(seen)) {
        uint64_t after =
            (seen << 2 >> 2) | CACHE_SLOT_MAIN | (uint64_t)frequency << CACHE_SLOT_FREQUENCY_SHIFT;
        /* Relaxed: the ref stays. */
        if (atomic_cas_weak_relaxed_u64(slot, &seen, after)) {
            return true;
        }
    }
    return false;
}

bool cache_index_promote(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                         uint32_t frequency)
{
    struct cache_lock lock;

    cache_index_lock(tenant, hash, &lock);
    _Atomic uint64_t *slot = cache_index_slot_locked(&lock, hash, ref48);
    bool has = slot != NULL && promote_locked(slot, frequency);
    cache_index_unlock(&lock);
    return has;
}

static struct quarry_cache_key key_of(const struct cache_item *item, uint64_t hash)
{
    uint32_t head = cache_item_head(item);

    return (struct quarry_cache_key){
        .bytes = cache_item_key(item, head), .byte_count = item->key_bytes, .hash = hash};
}

enum quarry_status cache_index_restore(struct quarry_cache_tenant *tenant, uint64_t hash,
                                       uint64_t ref48, bool is_main, uint64_t *ret_ref48)
{
    struct quarry_cache_key key = key_of(cache_item_at(tenant->cache, ref48), hash);

    for (;;) {
        struct cache_lock lock;
        cache_index_lock(tenant, hash, &lock);
        struct cache_found found = cache_index_find_locked(tenant, &lock, &key);
        bool has = found.item == NULL && cache_index_insert_locked(&lock, hash, ref48, is_main);
        cache_index_unlock(&lock);
        if (cache_index_wants_growth(&tenant->index, &lock)) {
            cache_index_grow(tenant, hash);
        }
        if (found.item != NULL) {
            *ret_ref48 = cache_slot_ref(found.seen);
            return QUARRY_EXISTS;
        }
        if (has) {
            return QUARRY_OK;
        }
        if (!cache_index_make_room(tenant, hash)) {
            return QUARRY_NO_MEMORY;
        }
    }
}
