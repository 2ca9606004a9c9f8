/*
 * Writing: an item is made whole in a cell that nobody finds, then put into the index by one store.
 *
 *   begin ── cell ── key ── value, as it comes ── commit: number, VALID, slot ── the old one drops
 *                      └─ extents, as it comes                └─ or abort: cells go back
 *
 * Begin takes no lock on the key and promises nothing about it: conditions are looked at when the
 * item is whole, under the lock of the key's bucket, in one step with what follows from them. So a
 * slow client holds nobody up, and of two that write at once the later commit counts.
 *
 * The order under the lock: the item gets its sequence number; then what is there is looked at;
 * then VALID, then the slot. Numbers of a key's items rise so, and a flush is exact: it notes that
 * it is under way, takes a number of its own, and says that all up to it are gone. A commit that
 * took its number before is covered; one that took it after sees the note, waits a moment, and
 * finds what it was about to build on gone.
 *
 * The key is looked up once, under the lock; whether it has a ghost is asked there too, where it is
 * not found: a look at one cache line, which calls nothing. append and prepend: join.c.
 *
 * Memory is asked for with no lock held. Where it is inside the epoch, because what is copied is
 * read there, and there is none, the call leaves, asks again, now that pages can be emptied, and
 * begins anew. What writes have taken and not committed is counted
 * (`pending_bytes`), for it is nobody's item yet and cannot be evicted.
 */
#include <cache/write.h>

#include <string.h>

#include <cache/expire.h>
#include <cache/index_find.h>
#include <cache/large.h>
#include <cache/policy.h>
#include <cache/policy_parts.h>

/* What the thread's last write in vain wanted a cell for. */
static _Thread_local size_t lacking_bytes;

/* A large value may lack a cell for each of its extents. */
#define RETRIES_MAX 64u

/* ---- making --------------------------------------------------------------------------------- */

enum quarry_cache_outcome cache_write_open(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct cache_item_plan *plan, uint32_t fields,
                                           struct quarry_cache_write *ret_write)
{
    struct quarry_cell cell;

    fields |= cache_item_plan_fields(plan);
    bool is_large = (fields & CACHE_HEAD_LARGE) != 0;
    size_t bytes = cache_item_plan_bytes(plan, fields);
    uint32_t cell_bytes = cache_policy_take_cell(tenant, bytes, &cell);
    if (Q_UNLIKELY(cell_bytes == 0)) {
        lacking_bytes = bytes;
        return QUARRY_CACHE_NO_MEMORY;
    }
    if ((fields & CACHE_HEAD_EXPIRY) != 0) {
        cache_expire_prepare(tenant->cache, cell.ref);
    }
    *ret_write = (struct quarry_cache_write){
        .tenant = tenant,
        .ref = cell.ref,
        .cell = cell.data,
        .hash = key->hash,
        .value_bytes = plan->value_bytes,
        .room = cache_item_lay(cell.data, plan, fields, key->bytes),
        .room_bytes = is_large ? 0 : plan->value_bytes,
    };
    cache_write_reserve(ret_write, cell_bytes);
    if (is_large && !cache_large_extend(ret_write)) {
        lacking_bytes = CACHE_EXTENT_BYTES;
        cache_write_end(ret_write);
        return QUARRY_CACHE_NO_MEMORY;
    }
    return QUARRY_CACHE_HIT;
}

void cache_write_enter(struct quarry_cache *cache)
{
    lacking_bytes = 0;
    cache_policy_can_retry = !cache_is_inside(cache);
    quarry_epoch_enter(cache->epoch);
}

void cache_write_leave(struct quarry_cache *cache)
{
    quarry_epoch_leave(cache->epoch);
    cache_policy_can_retry = false;
}

bool cache_write_may_retry(struct quarry_cache_tenant *tenant, uint32_t *tries)
{
    struct quarry_cell cell;

    if (lacking_bytes == 0 || ++*tries > RETRIES_MAX ||
        cache_policy_take_cell(tenant, lacking_bytes, &cell) == 0) {
        return false;
    }
    /* It stays with this thread, whose next take has it. */
    quarry_slab_give(tenant->cache->slab, cell.ref);
    return true;
}

void cache_write_end(struct quarry_cache_write *write)
{
    struct quarry_cache *cache = write->tenant->cache;
    struct cache_item *item = cache_write_item(write);
    uint32_t head = cache_item_head(item);

    Q_ASSERT((head & CACHE_HEAD_VALID) == 0);
    if ((head & CACHE_HEAD_LARGE) != 0) {
        cache_large_give(cache, item, head);
    }
    quarry_slab_give(cache->slab, write->ref);
    cache_write_unreserve(write);
    *write = (struct quarry_cache_write){0};
}

char *quarry_cache_write_room(struct quarry_cache_write *write, size_t *ret_bytes)
{
    if (write->room_bytes == 0 && write->filled_bytes != write->value_bytes &&
        !cache_large_extend(write)) {
        *ret_bytes = 1;
        return NULL;
    }
    *ret_bytes = write->room_bytes;
    return write->room_bytes == 0 ? NULL : write->room;
}

void quarry_cache_write_filled(struct quarry_cache_write *write, size_t bytes)
{
    Q_ASSERT(bytes <= write->room_bytes);
    write->filled_bytes += bytes;
    write->room += bytes;
    write->room_bytes -= bytes;
}

bool cache_write_add(struct quarry_cache_write *write, const void *bytes, uint64_t byte_count)
{
    const char *from = bytes;

    while (byte_count != 0) {
        size_t room_bytes;
        char *room = quarry_cache_write_room(write, &room_bytes);
        if (room == NULL) {
            lacking_bytes = CACHE_EXTENT_BYTES;
            return false;
        }
        size_t now = byte_count < room_bytes ? byte_count : room_bytes;
        memcpy(room, from, now);
        quarry_cache_write_filled(write, now);
        from += now;
        byte_count -= now;
    }
    return true;
}

bool cache_write_add_item(struct quarry_cache_write *write, const struct cache_found *found)
{
    const struct quarry_cache *cache = write->tenant->cache;

    if ((found->head & CACHE_HEAD_LARGE) == 0) {
        return cache_write_add(write, cache_item_value(found->item, found->head),
                               found->head & CACHE_HEAD_LENGTH_MASK);
    }
    for (uint64_t ref48 = cache_item_first_extent(found->item, found->head); ref48 != 0;) {
        const struct cache_extent *extent = slab_data_unchecked(cache->slab, ref48);
        uint32_t head = atomic_load_acquire_u32(&extent->head);
        if (!cache_write_add(write, extent->bytes, head & CACHE_HEAD_LENGTH_MASK)) {
            return false;
        }
        ref48 = atomic_load_acquire_u64(&extent->next);
    }
    return true;
}

/* ---- publishing ----------------------------------------------------------------------------- */

/* Gives a whole item its number. Under the lock. Returns: its cas. */
static uint64_t number(struct quarry_cache_write *write)
{
    struct quarry_cache *cache = write->tenant->cache;
    struct cache_item *item = cache_write_item(write);
    uint32_t head = cache_item_head(item);
    /* Acquire and release: of a flush's number and this the later sees what the earlier did. */
    uint64_t sequence = atomic_add_acq_rel_u64(&cache->sequence, 1) + 1;
    uint64_t earlier = cache_item_sequence(item, sequence); /* of a try before; else 0 */

    Q_ASSERT(write->filled_bytes == write->value_bytes);
    cache_item_set_sequence(item, sequence);
    atomic_store_relaxed_u16(&item->accessed, (uint16_t)cache_now(cache));
    if ((head & CACHE_HEAD_CAS) == 0) {
        return sequence;
    }
    uint64_t cas;
    memcpy(&cas, cache_item_cas_field(item, head), sizeof(cas));
    if (cas == 0 || cas == earlier) {
        cas = sequence;
        memcpy(cache_item_cas_field(item, head), &cas, sizeof(cas));
    }
    return cas;
}

/* From here on the cell says that it is an item. */
static void seal(struct quarry_cache_write *write, uint32_t flags)
{
    struct cache_item *item = cache_write_item(write);
    uint32_t head = cache_item_head(item);

    /* Release: pairs with cache_item_head, wherever the cell is found. */
    atomic_store_release_u32(&item->head, head | CACHE_HEAD_VALID | flags);
}

static void unseal(struct quarry_cache_write *write, uint32_t flags)
{
    (void)atomic_and_release_u32(&cache_write_item(write)->head, ~(CACHE_HEAD_VALID | flags));
}

/* The figures of an item that has come in the place of another. */
static void settle_replaced(const struct quarry_cache_write *write, uint64_t slot,
                            const struct cache_found *old)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    struct quarry_cache *cache = tenant->cache;
    struct cache_stripe *stripe = cache_stripe_of(tenant);
    uint32_t head = cache_item_head(old->item);
    uint64_t bytes = write->reserved_bytes, old_bytes = old->page->cell_bytes;

    if (Q_UNLIKELY((head & CACHE_HEAD_LARGE) != 0)) {
        old_bytes += cache_large_charge(cache, old->item, head);
    }
    uint64_t more = write->value_bytes - cache_item_value_bytes(old->item, head);
    if (bytes != old_bytes) {
        cache_stripe_add(stripe, CACHE_COUNT_ITEM_BYTES, bytes - old_bytes);
    }
    if (more != 0) { /* the key is the same */
        cache_stripe_add(stripe, CACHE_COUNT_REQUEST_BYTES, more);
    }
    cache_stripe_add(stripe, CACHE_COUNT_TOTAL_ITEMS, 1);
    cache_policy_replaced(tenant, write->hash, cache_slot_ref(slot), bytes, old_bytes,
                          cache_slot_is_main(slot));
    cache_item_let_go(cache, old->page, cache_slot_ref(old->seen), old->item, head);
}

static void settle_new(const struct quarry_cache_write *write, uint64_t slot)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    struct cache_stripe *stripe = cache_stripe_of(tenant);
    uint64_t bytes = write->reserved_bytes;

    cache_stripe_add(stripe, CACHE_COUNT_ITEMS, 1);
    cache_stripe_add(stripe, CACHE_COUNT_ITEM_BYTES, bytes);
    cache_stripe_add(stripe, CACHE_COUNT_REQUEST_BYTES,
                     cache_write_item(write)->key_bytes + write->value_bytes);
    cache_stripe_add(stripe, CACHE_COUNT_TOTAL_ITEMS, 1);
    cache_policy_entered(tenant, write->hash, cache_slot_ref(slot), bytes,
                         cache_slot_is_main(slot));
}

/*
 * The item is in the index, as `slot` says: figures and queues; what was there before, if anything
 * was, is let go. Somebody may have taken it out again.
 */
static void settle(struct quarry_cache_write *write, uint64_t slot, const struct cache_found *old)
{
    if (old->item != NULL) {
        settle_replaced(write, slot, old);
    } else {
        settle_new(write, slot);
    }
    cache_write_unreserve(write);
    write->tenant = NULL;
}

/* The pages' minimum first, for it may be too low and not too high. */
static inline void note_expiry(const struct quarry_cache_write *write)
{
    const struct cache_item *item = cache_write_item(write);
    uint32_t expiry = cache_item_expiry(item, cache_item_head(item));

    if (expiry != 0) {
        cache_expire_noted(write->tenant->cache, write->ref & QUARRY_REF48_MASK, expiry);
    }
}

/* Whether what was found is gone, for who has taken a number after a flush may have. */
static bool is_dead_now(const struct quarry_cache_tenant *tenant, const struct cache_found *found)
{
    enum cache_gone why;

    /* Acquire: pairs with the releases in quarry_cache_flush; see the essay. */
    while (Q_UNLIKELY(atomic_load_acquire_u32(&tenant->is_flushing) != 0)) {
        os_yield();
    }
    return cache_found_is_dead(tenant, found, &why);
}

/* ---- putting -------------------------------------------------------------------------------- */

/* What is to be done where an item of this cas lives, or none. Returns: HIT: store it. */
static enum quarry_cache_outcome decide(bool is_live, uint64_t cas,
                                        const struct quarry_cache_store_options *options)
{
    if (options->mode == QUARRY_CACHE_ADD) {
        return is_live ? QUARRY_CACHE_NOT_STORED : QUARRY_CACHE_HIT;
    }
    if (!is_live) {
        return options->has_cas                        ? QUARRY_CACHE_MISS
               : options->mode == QUARRY_CACHE_REPLACE ? QUARRY_CACHE_NOT_STORED
                                                       : QUARRY_CACHE_HIT;
    }
    bool may =
        !options->has_cas || options->cas == cas || (options->invalidates && options->cas < cas);

    return may ? QUARRY_CACHE_HIT : QUARRY_CACHE_EXISTS;
}

/*
 * Of an item that is stored over a newer one: it is stale, has that one's expiry, and its token is
 * given if that one's is. Returns: its flags; for others 0.
 */
static uint32_t keep_of_newer(struct quarry_cache_write *write, const struct cache_found *found,
                              uint64_t cas, const struct quarry_cache_store_options *options)
{
    if (!options->invalidates || !options->has_cas || options->cas >= cas) {
        return 0;
    }
    cache_item_set_expiry(write->tenant->cache, write->ref & QUARRY_REF48_MASK,
                          cache_write_item(write), cache_item_expiry(found->item, found->head));
    return CACHE_HEAD_STALE | (found->head & CACHE_HEAD_TOKEN);
}

/* What one try of a put has come to. */
struct attempt {
    struct cache_put put;
    uint64_t slot;          /* HIT: as it is */
    struct cache_found old; /* what was there; without an item: nothing */
};

static void store_locked(struct quarry_cache_write *write, struct cache_lock *lock, uint32_t flags,
                         struct attempt *attempt)
{
    uint64_t ref48 = write->ref & QUARRY_REF48_MASK;

    if (attempt->old.item != NULL) {
        seal(write, flags);
        cache_item_end(attempt->old.item);
        attempt->slot = cache_index_replace_locked(attempt->old.slot, ref48);
        return;
    }
    bool is_main = cache_policy_is_ghost(write->tenant, write->hash);
    seal(write, flags);
    if (cache_index_insert_locked(lock, write->hash, ref48, is_main)) {
        attempt->slot = ref48 | (is_main ? CACHE_SLOT_JOINS_MAIN : 0);
    } else {
        unseal(write, flags);
        attempt->put.outcome = QUARRY_CACHE_NO_MEMORY;
    }
}

static void put_once(struct quarry_cache_write *write, const struct quarry_cache_key *key,
                     const struct quarry_cache_store_options *options, uint32_t flags,
                     struct attempt *attempt)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    struct cache_lock lock;

    cache_lock_home(tenant, key->hash, &lock);
    attempt->slot = 0;
    attempt->put.cas = number(write);
    attempt->old = cache_find_locked(tenant->cache, &lock, key);
    if (attempt->old.item != NULL) { /* what retiring it will write */
        __builtin_prefetch(&attempt->old.page->generation[QUARRY_REF_CELL(attempt->old.seen)], 1);
    }
    bool is_live = attempt->old.item != NULL && !is_dead_now(tenant, &attempt->old);
    uint64_t cas = is_live && options->has_cas
                       ? cache_item_cas(tenant->cache, attempt->old.item, attempt->old.head)
                       : 0;
    attempt->put.outcome = decide(is_live, cas, options);
    if (Q_LIKELY(attempt->put.outcome == QUARRY_CACHE_HIT)) {
        flags |= is_live ? keep_of_newer(write, &attempt->old, cas, options) : 0;
        store_locked(write, &lock, flags, attempt);
    } else if (is_live && options->mode == QUARRY_CACHE_ADD) {
        cache_found_touch(tenant->cache, &attempt->old);
    }
    cache_index_unlock(&lock);
    attempt->put.wants_growth = cache_index_wants_growth(&tenant->index, &lock);
}

static struct cache_put put_item(struct quarry_cache_write *write,
                                 const struct quarry_cache_key *key,
                                 const struct quarry_cache_store_options *options, uint32_t flags)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    struct attempt attempt;

    note_expiry(write);
    for (;;) {
        put_once(write, key, options, flags, &attempt);
        if (Q_LIKELY(attempt.slot != 0)) {
            settle(write, attempt.slot, &attempt.old);
            return attempt.put;
        }
        if (attempt.put.outcome != QUARRY_CACHE_NO_MEMORY ||
            !cache_index_make_room(tenant, key->hash)) {
            return attempt.put;
        }
    }
}

struct cache_put cache_write_put(struct quarry_cache_write *write,
                                 const struct quarry_cache_store_options *options, uint32_t flags)
{
    struct quarry_cache_key key = cache_write_key(write);

    return put_item(write, &key, options, flags);
}

uint64_t cache_write_insert(struct quarry_cache_write *write, uint32_t flags, bool *ret_exists)
{
    static const struct quarry_cache_store_options add = {.mode = QUARRY_CACHE_ADD};
    struct quarry_cache_tenant *tenant = write->tenant;
    uint64_t hash = write->hash;

    struct cache_put put = cache_write_put(write, &add, flags);
    *ret_exists = put.outcome == QUARRY_CACHE_NOT_STORED;
    if (put.outcome != QUARRY_CACHE_HIT) {
        cache_write_end(write);
        return 0;
    }
    if (put.wants_growth) {
        cache_index_grow(tenant, hash);
    }
    return put.cas;
}

/* The lock is held, and the slot leads to what was found. Returns: the cas; 0: that is dead. */
static uint64_t replace_locked(struct quarry_cache_write *write, _Atomic uint64_t *slot,
                               const struct cache_found *old, const struct cache_replace *how)
{
    struct quarry_cache *cache = write->tenant->cache;
    struct cache_item *item = cache_write_item(write);
    uint64_t ref48 = write->ref & QUARRY_REF48_MASK, cas = number(write);

    if (is_dead_now(write->tenant, old)) {
        return 0;
    }
    if (how->keeps_number) {
        item->cas_low = old->item->cas_low;
        item->cas_mid = old->item->cas_mid;
    }
    if (!how->sets_expiry && (old->head & CACHE_HEAD_EXPIRY) != 0) {
        cache_item_set_expiry(cache, ref48, item, cache_item_expiry(old->item, old->head));
    }
    seal(write, how->flags | (old->head & how->kept));
    cache_item_end(old->item);
    (void)cache_index_repoint_locked(slot, ref48);
    return cas;
}

uint64_t cache_write_replace(struct quarry_cache_write *write, const struct cache_found *found,
                             const struct cache_replace *how)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    uint64_t old48 = cache_slot_ref(found->seen), slot_now = 0, cas = 0;
    struct cache_found old = *found;
    struct cache_lock lock;

    note_expiry(write);
    cache_index_lock(tenant, write->hash, &lock);
    _Atomic uint64_t *slot = cache_index_slot_locked(&lock, write->hash, old48);
    if (slot != NULL) {
        old.slot = slot;
        old.head = cache_item_head(found->item);
        cas = replace_locked(write, slot, &old, how);
        slot_now = atomic_load_relaxed_u64(slot);
    }
    cache_index_unlock(&lock);
    if (cas == 0) {
        cache_write_end(write);
        return 0;
    }
    settle(write, slot_now, &old);
    return cas;
}

/* ---- the door ------------------------------------------------------------------------------- */

enum quarry_cache_outcome quarry_cache_write_begin(struct quarry_cache_tenant *tenant,
                                                   const struct quarry_cache_key *key,
                                                   uint64_t value_bytes,
                                                   const struct quarry_cache_store_options *options,
                                                   struct quarry_cache_write *ret_write)
{
    struct quarry_cache *cache = tenant->cache;
    struct cache_item_plan plan = {
        .tenant_id = tenant->id,
        .key_bytes = key->byte_count,
        .value_bytes = value_bytes,
        .client_flags = options->client_flags,
        .expiry = cache_store_is_join(options) ? options->vivify_expiry : options->expiry,
        .cas = options->new_cas,
    };

    if (value_bytes > atomic_load_relaxed_u64(&cache->value_bytes_max)) {
        cache_count(tenant, CACHE_COUNT_TOO_LARGE);
        return QUARRY_CACHE_TOO_LARGE;
    }
    /* One that is stored over a newer item takes over its expiry: it has a place for it. */
    uint32_t fields = options->invalidates ? CACHE_HEAD_EXPIRY : 0;
    enum quarry_cache_outcome outcome = cache_write_open(tenant, key, &plan, fields, ret_write);
    if (outcome != QUARRY_CACHE_HIT) {
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
    }
    return outcome;
}

void quarry_cache_write_abort(struct quarry_cache_write *write)
{
    cache_write_end(write);
}

static void count_commit(struct quarry_cache_tenant *tenant,
                         const struct quarry_cache_store_options *options,
                         enum quarry_cache_outcome outcome)
{
    cache_count(tenant, CACHE_COUNT_SETS);
    if (options->has_cas && options->mode != QUARRY_CACHE_ADD && !cache_store_is_join(options)) {
        cache_count(tenant, outcome == QUARRY_CACHE_HIT      ? CACHE_COUNT_CAS_HITS
                            : outcome == QUARRY_CACHE_EXISTS ? CACHE_COUNT_CAS_BADVAL
                                                             : CACHE_COUNT_CAS_MISSES);
    }
    if (outcome == QUARRY_CACHE_NO_MEMORY) {
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
    } else if (outcome == QUARRY_CACHE_TOO_LARGE) {
        cache_count(tenant, CACHE_COUNT_TOO_LARGE);
    }
}

/* `key`: of the write, and its bytes stay. */
static enum quarry_cache_outcome commit(struct quarry_cache_write *write,
                                        const struct quarry_cache_key *key,
                                        const struct quarry_cache_store_options *options,
                                        struct quarry_cache_stored *ret_stored)
{
    struct quarry_cache_tenant *tenant = write->tenant;
    uint64_t hash = write->hash, value_bytes = write->value_bytes;
    struct cache_put done;
    uint32_t tries = 0;

    Q_ASSERT(write->filled_bytes == write->value_bytes);
    do {
        cache_write_enter(tenant->cache);
        done = cache_store_is_join(options) ? cache_write_join(write, options, &value_bytes)
                                            : put_item(write, key, options, 0);
        cache_write_leave(tenant->cache);
    } while (Q_UNLIKELY(done.outcome == QUARRY_CACHE_NO_MEMORY) &&
             cache_write_may_retry(tenant, &tries));
    if (Q_UNLIKELY(write->tenant != NULL)) {
        cache_write_end(write);
    }
    count_commit(tenant, options, done.outcome);
    if (Q_UNLIKELY(done.wants_growth)) {
        cache_index_grow(tenant, hash);
    }
    if (done.outcome == QUARRY_CACHE_HIT && ret_stored != NULL) {
        *ret_stored = (struct quarry_cache_stored){done.cas, value_bytes};
    }
    return done.outcome;
}

enum quarry_cache_outcome
quarry_cache_write_commit(struct quarry_cache_write *write,
                          const struct quarry_cache_store_options *options,
                          struct quarry_cache_stored *ret_stored)
{
    struct quarry_cache_key key = cache_write_key(write);

    return commit(write, &key, options, ret_stored);
}

enum quarry_cache_outcome quarry_cache_store(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key, const void *value,
                                             uint64_t value_bytes,
                                             const struct quarry_cache_store_options *options,
                                             struct quarry_cache_stored *ret_stored)
{
    struct quarry_cache_write write;
    enum quarry_cache_outcome outcome =
        quarry_cache_write_begin(tenant, key, value_bytes, options, &write);

    if (outcome != QUARRY_CACHE_HIT) {
        return outcome;
    }
    if (Q_LIKELY(write.room_bytes == value_bytes && value_bytes != 0)) {
        memcpy(write.room, value, value_bytes);
        write.filled_bytes = value_bytes;
        write.room_bytes = 0;
    } else if (!cache_write_add(&write, value, value_bytes)) {
        cache_write_end(&write);
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
        return QUARRY_CACHE_NO_MEMORY;
    }
    return commit(&write, key, options, ret_stored);
}
