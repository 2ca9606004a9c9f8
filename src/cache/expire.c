/*
 * Expiry in the background.
 *
 * Every page of the slab has a minimum: no item in it expires before. Publishing an item lowers
 * that of its page by one compare-and-swap at most, and costs the item no memory. Once a second the
 * turn goes over the minima, and visits the pages whose minimum has passed: removes what has
 * expired and finds the minimum anew.
 *
 *     class ──> level 0: pages 0…15 │ level 1: 16…47 │ level 2: 48…111 │ …     32 bits a page
 *
 * Tables grow with the class, as pages' numbers do; 0 is a page in which nothing expires. A place
 * for a page is made when a cell of it is taken. Where that fails, or a cell came by another way (a
 * move, or a file), what is noted is lost, and a flag says so: the turn then makes places for all
 * pages and visits each.
 *
 * A page of many items with all sorts of expiries has one that has passed in every second, and to
 * look at all of it each time would cost more than it frees. So looking is paid for: 50,000 items a
 * second are free, each item that has expired pays for four more, and who has nothing left waits
 * for the next second. So that what can be looked at goes to the pages that have most to give, a
 * page is visited when its minimum has been past for a *lag*, which grows with each second in which
 * not all minima were looked at, and shrinks with each in which they were. Simulated with lifetimes
 * of 1 to 15 minutes it looks at five items for each that it removes, and a ninth of what is held
 * has expired (docs/decisions/0018). Without the lag it followed the newest pages, and what had
 * expired in old ones grew without end. What has expired and not been found yet is nobody's:
 * lookups see to that, and it goes before anything is evicted that the hand meets it with.
 *
 * After a flush the tenant's index is walked, and what is from before it removed.
 *
 * Invariants: (1) a minimum is 0 or no later than the expiry of any published item of the page, but
 * while has_unknown is set, or its page is visited.
 *
 * Locking: none. A visit takes the minimum away first, and then looks: what is published meanwhile
 * is noted behind it or seen. What was noted before and is not published yet is a cell in use that
 * is no item: such a page is visited again in the next second.
 *
 * Rejected: a wheel of items, which is 8 bytes and a lock for each; visiting in the order of the
 * minima, which needs a queue of pages and visits no fewer.
 */
#include <cache/expire.h>

#include <cache/policy_parts.h>

#define LEVEL_PAGES_FIRST 16u
/* Items looked at for nothing in a second, and what one that has expired pays for. */
#define CREDIT_PER_SECOND 50000
#define CREDIT_PER_ITEM   5
/* Seconds. */
#define LAG_MAX      3600u
#define REFS_AT_ONCE 64u
/* Walks of an index after a flush, when it grows. */
#define SWEEP_ROUNDS_MAX 8u
/* Minima, or pages without a place, that cost as much as an item. */
#define MINIMA_PER_ITEM 32u

/* ---- minima --------------------------------------------------------------------------------- */

/* Where the minimum of a page is: its level, and its place there. */
struct place {
    uint32_t level, at;
};

static struct place place_of(uint32_t page)
{
    uint32_t level = bits_log2_floor_u32(page / LEVEL_PAGES_FIRST + 1);

    Q_DCHECK(level < CACHE_EXPIRY_LEVELS);
    return (struct place){level, page - LEVEL_PAGES_FIRST * ((1u << level) - 1)};
}

/* The number of the first page that is not in the level. */
static uint32_t level_end(uint32_t level)
{
    return LEVEL_PAGES_FIRST * ((2u << level) - 1);
}

static size_t level_bytes(uint32_t level)
{
    return ((size_t)LEVEL_PAGES_FIRST << level) * sizeof(_Atomic uint32_t);
}

/* NULL: there is no place for it. */
static _Atomic uint32_t *minimum_of(struct cache_expiry *expiry, uint32_t class_id, uint32_t page)
{
    struct place place = place_of(page);
    /* Acquire: both pair with the releases in part_make. */
    struct cache_expiry_class *class = atomic_load_acquire_ptr(&expiry->class[class_id]);
    _Atomic uint32_t *level =
        class == NULL ? NULL : atomic_load_acquire_ptr(&class->level[place.level]);

    return level == NULL ? NULL : &level[place.at];
}

void cache_expire_noted(struct quarry_cache *cache, uint64_t ref48, uint32_t expiry)
{
    struct cache_expiry *all = &cache->policy->expiry;
    _Atomic uint32_t *minimum = minimum_of(all, QUARRY_REF_CLASS(ref48), QUARRY_REF_PAGE(ref48));

    Q_DCHECK(expiry != 0);
    if (minimum == NULL) {
        atomic_store_relaxed_u32(&all->has_unknown, 1);
        return;
    }
    /* Relaxed: a visit reads the item itself, under the bucket's lock. */
    uint32_t seen = atomic_load_relaxed_u32(minimum);
    while ((seen == 0 || seen > expiry) && !atomic_cas_weak_relaxed_u32(minimum, &seen, expiry)) {
    }
}

/* Makes a part of the tables, unless another thread does. NULL: there is no memory. */
static void *part_make(struct quarry_cache *cache, _Atomic(void *) *link, size_t bytes)
{
    void *expected = NULL, *part = cache_memory_take(cache, bytes);

    if (part == NULL) {
        return atomic_load_acquire_ptr(link);
    }
    /* Release: pairs with the acquires in minimum_of. */
    if (!atomic_cas_acq_rel_ptr(link, &expected, part)) {
        cache_memory_give(cache, part, bytes);
        return expected;
    }
    (void)atomic_add_relaxed_u64(&cache->policy->expiry.bytes, bytes);
    return part;
}

static Q_NOINLINE void prepare_slow(struct quarry_cache *cache, uint32_t class_id, uint32_t page)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    struct place place = place_of(page);
    struct cache_expiry_class *class = atomic_load_acquire_ptr(&expiry->class[class_id]);

    if (class == NULL) {
        class = part_make(cache, &expiry->class[class_id], sizeof(*class));
    }
    if (class != NULL && atomic_load_acquire_ptr(&class->level[place.level]) == NULL) {
        (void)part_make(cache, &class->level[place.level], level_bytes(place.level));
    }
}

void cache_expire_prepare(struct quarry_cache *cache, uint64_t ref48)
{
    uint32_t class_id = QUARRY_REF_CLASS(ref48), page = QUARRY_REF_PAGE(ref48);

    if (Q_UNLIKELY(minimum_of(&cache->policy->expiry, class_id, page) == NULL)) {
        prepare_slow(cache, class_id, page);
    }
}

void cache_expiry_fini(struct quarry_cache *cache)
{
    for (uint32_t id = 0; id < SLAB_CLASSES_MAX; id++) {
        struct cache_expiry_class *class =
            atomic_load_relaxed_ptr(&cache->policy->expiry.class[id]);
        for (uint32_t i = 0; class != NULL && i < CACHE_EXPIRY_LEVELS; i++) {
            cache_memory_give(cache, atomic_load_relaxed_ptr(&class->level[i]), level_bytes(i));
        }
        cache_memory_give(cache, class, sizeof(*class));
    }
}

/* ---- pages without a place ------------------------------------------------------------------ */

/* Gives some pages their places, and has them visited. Returns: what it cost, in items. */
static uint32_t places_make(struct quarry_cache *cache, uint32_t work)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    struct quarry_slab_page page;
    uint32_t count = 0;

    if (expiry->unknown_cursor == 0) {
        if (atomic_load_relaxed_u32(&expiry->has_unknown) == 0) {
            return 0;
        }
        atomic_store_relaxed_u32(&expiry->has_unknown, 0);
    }
    for (; count < work; count++) {
        if (!quarry_slab_next_page(cache->slab, &expiry->unknown_cursor, &page)) {
            expiry->unknown_cursor = 0;
            break;
        }
        prepare_slow(cache, page.class_id, page.page);
        cache_expire_noted(cache, slab_ref_make(0, page.class_id, page.page, 0), 1);
    }
    return count + 1;
}

/* ---- a page --------------------------------------------------------------------------------- */

/* Whether it is there still. After who changes its expiry now: that is read behind the lock. */
static bool is_there(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48)
{
    struct cache_lock lock;

    cache_index_lock(tenant, hash, &lock);
    bool is_in_index = cache_index_slot_locked(&lock, hash, ref48) != NULL;
    cache_index_unlock(&lock);
    return is_in_index;
}

/* An item of a page that is visited. Returns: whether it was removed. */
static bool item_visit(struct quarry_cache *cache, uint64_t ref48)
{
    struct quarry_cache_tenant *tenant;
    uint64_t hash, item_ref48;

    if (!cache_item_whose(cache, ref48, &tenant, &hash, &item_ref48)) {
        cache_expire_noted(cache, ref48, cache_now(cache) + 1); /* perhaps it becomes an item */
        return false;
    }
    if (item_ref48 != ref48 || !is_there(tenant, hash, ref48)) {
        return false;
    }
    const struct cache_item *item = cache_item_at(cache, ref48);
    uint32_t head = cache_item_head(item), expiry = cache_item_expiry(item, head);
    if (expiry == 0) {
        return false;
    }
    if (cache_item_is_expired(cache, item, head)) {
        return cache_item_remove(tenant, hash, ref48, CACHE_GONE_EXPIRED) != 0;
    }
    cache_expire_noted(cache, ref48, expiry);
    return false;
}

/* Goes on with the page of the scan. Returns: items looked at. */
static uint32_t page_visit(struct quarry_cache *cache, uint32_t work)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    quarry_ref refs[REFS_AT_ONCE];
    uint32_t removed = 0;

    quarry_epoch_enter(cache->epoch);
    uint32_t count =
        (uint32_t)quarry_slab_live_refs(cache->slab, expiry->scan_class, expiry->scan_page,
                                        &expiry->visit_cursor, refs, size_min(work, REFS_AT_ONCE));
    for (uint32_t i = 0; i < count; i++) {
        removed += item_visit(cache, refs[i] & QUARRY_REF48_MASK);
    }
    quarry_epoch_leave(cache->epoch);
    expiry->is_visiting = count != 0;
    expiry->credit += (int64_t)removed * CREDIT_PER_ITEM - (int64_t)count;
    (void)atomic_add_relaxed_u64(&expiry->crawled_count, count);
    return count;
}

/* ---- scans ---------------------------------------------------------------------------------- */

/* The first page from that of the scan on, and in its class, whose minimum has passed. */
static bool class_scan(struct cache_expiry *expiry, uint32_t now, uint32_t *minima)
{
    while (expiry->scan_page <= UINT16_MAX) {
        _Atomic uint32_t *minimum = minimum_of(expiry, expiry->scan_class, expiry->scan_page);
        if (minimum == NULL) {
            (*minima)++;
            expiry->scan_page = level_end(place_of(expiry->scan_page).level);
            continue;
        }
        uint32_t seen = atomic_load_relaxed_u32(minimum);
        (*minima)++;
        if (seen != 0 && seen + expiry->lag_seconds <= now) {
            atomic_store_relaxed_u32(minimum, 0); /* found anew by the visit */
            return true;
        }
        expiry->scan_page++;
    }
    return false;
}

/* Moves the scan on to a page to visit. False: it is at its end, or has looked at enough. */
static bool scan_next(struct quarry_cache *cache, uint32_t *minima, uint32_t minima_max)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    uint32_t now = cache_now(cache), classes = atomic_load_relaxed_u32(&cache->slab->class_count);

    while (expiry->scan_class != 0 && *minima < minima_max) {
        if (class_scan(expiry, now, minima)) {
            return true;
        }
        expiry->scan_page = 0;
        expiry->scan_class = expiry->scan_class + 1 < classes ? expiry->scan_class + 1 : 0;
        (*minima)++;
    }
    return false;
}

/* Once a second all minima are looked at. */
static void scan_begin(struct quarry_cache *cache)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    uint32_t now = cache_now(cache);

    if (now == expiry->scan_second) {
        return;
    }
    bool is_behind = expiry->scan_class != 0;
    expiry->scan_second = now;
    expiry->lag_seconds = is_behind ? (uint32_t)size_min(expiry->lag_seconds * 2 + 1, LAG_MAX)
                                    : expiry->lag_seconds * 3 / 4;
    expiry->credit = expiry->credit < 0 ? 0 : expiry->credit;
    expiry->credit = CREDIT_PER_SECOND +
                     (expiry->credit < CREDIT_PER_SECOND ? expiry->credit : CREDIT_PER_SECOND);
    if (!is_behind) {
        expiry->scan_class = 1;
        expiry->scan_page = 0;
    }
}

uint32_t cache_expire_turn(struct quarry_cache *cache, uint32_t work)
{
    struct cache_expiry *expiry = &cache->policy->expiry;
    uint32_t done = places_make(cache, work), minima = 0;

    scan_begin(cache);
    while (done < work && expiry->credit > 0) {
        if (expiry->is_visiting) {
            done += page_visit(cache, work - done) + 1;
            expiry->scan_page += !expiry->is_visiting;
        } else if (scan_next(cache, &minima, (work - done) * MINIMA_PER_ITEM)) {
            expiry->is_visiting = true;
            expiry->visit_cursor = 0;
        } else {
            break;
        }
    }
    return done + (minima + MINIMA_PER_ITEM - 1) / MINIMA_PER_ITEM;
}

/* ---- after a flush -------------------------------------------------------------------------- */

static void slot_sweep(struct quarry_cache_tenant *tenant, uint64_t slot)
{
    const struct cache_item *item = cache_item_at(tenant->cache, cache_slot_ref(slot));
    uint32_t head = cache_item_head(item);

    if ((head & CACHE_HEAD_VALID) != 0 && cache_item_is_flushed(tenant, item)) {
        (void)cache_item_remove(tenant, cache_item_hash(tenant, item, head), cache_slot_ref(slot),
                                CACHE_GONE_FLUSHED);
    }
}

/* A round has ended. One in which the index has grown may have missed some: there is another. */
static void round_end(const struct cache_index *index, struct cache_sweep *sweep)
{
    bool has_grown = atomic_load_relaxed_u64(&index->grown_count) != sweep->grown_count ||
                     atomic_load_relaxed_ptr(&index->growing) != NULL;

    if (has_grown && ++sweep->rounds < SWEEP_ROUNDS_MAX) {
        sweep->grown_count = atomic_load_relaxed_u64(&index->grown_count);
        return;
    }
    sweep->done_sequence = sweep->sequence;
    sweep->rounds = 0;
}

static void sweep_begin(const struct quarry_cache_tenant *tenant, struct cache_sweep *sweep)
{
    uint64_t flushed = atomic_load_relaxed_u64(&tenant->flushed_sequence);

    if (sweep->cursor == 0 && flushed != sweep->sequence) {
        sweep->sequence = flushed;
        sweep->grown_count = atomic_load_relaxed_u64(&tenant->index.grown_count);
        sweep->rounds = 0;
    }
}

uint32_t cache_sweep_turn(struct quarry_cache_tenant *tenant, uint32_t work)
{
    struct cache_sweep *sweep = &tenant->policy->sweep;
    struct cache_slot_view views[CACHE_BUCKET_SLOTS];
    uint32_t done = 0;

    sweep_begin(tenant, sweep);
    while (sweep->sequence != sweep->done_sequence && done < work) {
        uint32_t count = cache_index_look(&tenant->index, &sweep->cursor, views);
        for (uint32_t i = 0; i < count; i++) {
            slot_sweep(tenant, views[i].seen);
        }
        done += 1 + count / 2;
        if (sweep->cursor == 0) {
            round_end(&tenant->index, sweep);
            return sweep->sequence == sweep->done_sequence ? done : work; /* after a growth */
        }
    }
    return done;
}
