/*
 * S3-FIFO without a main queue.
 *
 *     new ──> small queue ──(asked for twice)──────────────────> main: the M bit of its slot
 *               │  ↑ (asked for once: again, once)                 │ hand: used ──> frequency − 1
 *               ↓                                                  ↓
 *             gone, a ghost ──(comes back)──> main               gone
 *
 * The small queue begins as a tenth of the tenant's bytes; while it has more, it is what items are
 * taken from. Its share follows the ghosts, between a twentieth and a half: a key that comes back
 * just after the small queue has lost it would have been a hit had that been longer, and likewise
 * for the main one, so each such key moves the share by four items' worth to its side. Where what
 * is wanted changes from hour to hour, the small queue grows until it is nearly an LRU of half the
 * memory; where it is the same for days, it stays small. Its entries lie in a list (queue.h). The
 * main queue is no list at all: the hand goes over the buckets of the tenant's index, where
 * frequency and M are in the slot, so that one cache line shows seven candidates and an item costs
 * not a byte. What the order of a queue would tell, how long an item has been there, the hand tells
 * by coming round: an item stays a turn after its last use, or what is left of one after its
 * promotion.
 *
 * Simulated against S3-FIFO with queues and exact ghosts on nine traces at four sizes it misses
 * 0.7 % less; against memcached's segments 5 %, against LRU 9 % (docs/decisions/0015, which has all
 * that was tried: other shares, promotion at the first use, where the frequency begins).
 *
 * Stale entries. An item that is deleted, replaced or moved leaves its entry in the small queue.
 * Whoever takes an entry out reads the cell that it names as a guess, hashes the key it finds
 * there, and asks the index whether that item is in this very cell; 15 bits of the hash in the
 * entry tell another item apart. An entry that is of the same key stored anew in the same cell
 * makes it leave a little early, which does no harm. A tenant whose items are replaced all the time
 * and never evicted would grow its queue without end: so when it has a quarter more entries than
 * items, of two who push one looks at four of the oldest.
 *
 * While a cache fills, nothing is evicted, and all its items would be in the small queue, at eight
 * bytes each: those that are too many for it join the main queue untried. So they do later on,
 * where the main queue has lost its items by other ways.
 *
 * Invariants:
 *   1. An item of the small queue has an entry, but for one that is being entered just now.
 *   2. small_bytes and main_bytes are the bytes of the items without and with M, when nobody
 *      changes the tenant.
 *
 * Locking: none but the queue's and a bucket's, each for a few stores. Several threads may evict
 * from a tenant at once: each takes entries and buckets of its own.
 *
 * Source: S3-FIFO (SOSP 2023); a hand over the hash table: MemC3 (NSDI 2013).
 */
#include <cache/hand.h>

#include <cache/policy_parts.h>

/* The small queue's share of the tenant's bytes, of 2^32: docs/decisions/0015. */
#define SHARE_ONE   4294967296.0
#define SHARE_FIRST ((UINT64_C(1) << 32) / 10)
#define SHARE_LEAST ((UINT64_C(1) << 32) / 20)
#define SHARE_MOST  ((UINT64_C(1) << 32) / 2)
/* And above which its entries would cost too much memory: so much more. */
#define SHARE_SPARE ((UINT64_C(1) << 32) / 10)
/* Items' worth by which a key that comes back at once moves it. */
#define SHARE_STEP 4.0
/* With how many uses an item begins in the main queue: the hand takes who has none. */
#define PROVED  1u
#define UNTRIED 0u
/* Uses after which an item leaves the small queue for the main one. */
#define PROMOTED_AT 2u
/* Entries taken out at a time. */
#define ENTRIES_AT_ONCE 4u
/* Entries above those of the items that are put up with: a part of them, and so many more. */
#define TIDY_PART  4u
#define TIDY_SPARE 1024u
/* One push of so many looks for them, at two entries for each. */
#define PUSHES_PER_TIDY 2u

enum quarry_status cache_hand_init(struct cache_hand *ret_hand, struct quarry_cache_tenant *tenant,
                                   uint32_t order)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t quota = atomic_load_relaxed_u64(&tenant->quota_bytes);
    uint64_t size = atomic_load_relaxed_u64(&cache->size_bytes);

    *ret_hand = (struct cache_hand){.tenant = tenant, .small_share = SHARE_FIRST};
    cache_queue_init(&ret_hand->small, cache, order);
    return cache_ghosts_init(&ret_hand->ghosts, cache, quota != 0 && quota < size ? quota : size);
}

void cache_hand_fini(struct cache_hand *hand)
{
    cache_queue_fini(&hand->small);
    cache_ghosts_fini(&hand->ghosts);
}

/* ---- figures -------------------------------------------------------------------------------- */

static uint64_t level_read(const _Atomic uint64_t *level)
{
    uint64_t value = atomic_load_relaxed_u64(level);

    return value > INT64_MAX ? 0 : value; /* below 0 for a moment */
}

uint64_t cache_hand_small_bytes(const struct cache_hand *hand)
{
    return level_read(&hand->small_bytes);
}

uint64_t cache_hand_main_bytes(const struct cache_hand *hand)
{
    return level_read(&hand->main_bytes);
}

static void note_promoted(struct cache_hand *hand, uint64_t bytes)
{
    (void)atomic_sub_relaxed_u64(&hand->small_bytes, bytes);
    (void)atomic_sub_relaxed_u64(&hand->small_count, 1);
    (void)atomic_add_relaxed_u64(&hand->main_bytes, bytes);
}

/* So much of some bytes. */
static uint64_t share_of(uint64_t bytes, uint64_t share)
{
    return (uint64_t)((double)bytes * ((double)share / SHARE_ONE));
}

/* Whether it is for the small queue to lose something. */
static bool is_small_next(const struct cache_hand *hand)
{
    uint64_t small = cache_hand_small_bytes(hand), main = cache_hand_main_bytes(hand);

    return main == 0 || small > share_of(small + main, atomic_load_relaxed_u64(&hand->small_share));
}

void cache_hand_follow(struct cache_hand *hand, enum cache_ghost ghost)
{
    uint64_t count = level_read(&hand->small_count), small = cache_hand_small_bytes(hand);
    /* Relaxed, and not one operation: of two at once one may be lost. */
    uint64_t share = atomic_load_relaxed_u64(&hand->small_share);

    if (count == 0 || (ghost != CACHE_GHOST_YOUNG && ghost != CACHE_GHOST_OF_MAIN)) {
        return;
    }
    double items = (double)cache_hand_bytes(hand) / ((double)small / (double)count + 1);
    uint64_t step = (uint64_t)(SHARE_STEP * SHARE_ONE / (items + 1)) + 1;
    share = ghost == CACHE_GHOST_YOUNG ? size_min_u64(sat_add_u64(share, step), SHARE_MOST)
                                       : size_max_u64(sat_sub_u64(share, step), SHARE_LEAST);
    atomic_store_relaxed_u64(&hand->small_share, share);
}

/* ---- items ---------------------------------------------------------------------------------- */

enum cache_gone cache_hand_why(const struct quarry_cache_tenant *tenant,
                               const struct cache_item *item, uint32_t head)
{
    if (cache_item_is_expired(tenant->cache, item, head)) {
        return CACHE_GONE_EXPIRED;
    }
    return cache_item_is_flushed(tenant, item) ? CACHE_GONE_FLUSHED : CACHE_GONE_EVICTED;
}

/*
 * An item of the small queue joins the main one, with PROVED or UNTRIED uses. False: it is not
 * there any more.
 */
static bool enter_main(struct cache_hand *hand, uint64_t hash, uint64_t ref48, uint64_t bytes,
                       uint32_t frequency)
{
    bool is_there = cache_index_promote(hand->tenant, hash, ref48, frequency);

    if (is_there) {
        note_promoted(hand, bytes);
    }
    return is_there;
}

/* Because it has proved worth it. */
static void promote(struct cache_hand *hand, uint64_t hash, uint64_t ref48, uint64_t bytes)
{
    if (enter_main(hand, hash, ref48, bytes, PROVED)) {
        cache_count(hand->tenant, CACHE_COUNT_PROMOTED);
    }
}

/* ---- the small queue ------------------------------------------------------------------------ */

/* An entry as it was taken out: the item that it is of, or none. */
struct entry_item {
    struct cache_item *item; /* NULL: the entry is stale */
    uint64_t hash, ref48, slot;
    uint32_t head;
};

static struct entry_item entry_look(struct cache_hand *hand, uint64_t entry)
{
    struct quarry_cache_tenant *tenant = hand->tenant;
    struct entry_item found = {.ref48 = cache_entry_ref(entry)};

    found.slot = cache_item_guess_slot(tenant, found.ref48, cache_entry_hash(entry), &found.hash);
    if (found.slot != 0 && !cache_slot_is_main(found.slot)) {
        found.item = cache_item_at(tenant->cache, found.ref48);
        found.head = cache_item_head(found.item);
    }
    return found;
}

/* It goes through the queue once more. */
static void entry_again(struct cache_hand *hand, const struct entry_item *found, bool is_second)
{
    if (!cache_queue_push(&hand->small, cache_entry_make(found->ref48, found->hash, is_second))) {
        promote(hand, found->hash, found->ref48,
                cache_item_charge(hand->tenant->cache, found->ref48, found->item, found->head));
    }
}

/* What becomes of the oldest. Returns: bytes that were freed. */
static uint64_t entry_decide(struct cache_hand *hand, uint64_t entry)
{
    struct entry_item found = entry_look(hand, entry);
    uint32_t frequency = cache_slot_frequency(found.slot);

    if (found.item == NULL) {
        return 0;
    }
    enum cache_gone why = cache_hand_why(hand->tenant, found.item, found.head);
    if (why != CACHE_GONE_EVICTED) {
        return cache_item_remove(hand->tenant, found.hash, found.ref48, why);
    }
    if (frequency >= PROMOTED_AT) {
        promote(hand, found.hash, found.ref48,
                cache_item_charge(hand->tenant->cache, found.ref48, found.item, found.head));
        return 0;
    }
    if (frequency != 0 && !cache_entry_is_second(entry)) {
        entry_again(hand, &found, true);
        return 0;
    }
    uint64_t bytes = cache_item_remove(hand->tenant, found.hash, found.ref48, CACHE_GONE_EVICTED);
    if (bytes != 0) {
        cache_ghosts_note(&hand->ghosts, found.hash);
    }
    return bytes;
}

/* How many to decide on at once, so that not many more bytes go than are wanted. */
static uint32_t entries_wanted(const struct cache_hand *hand, uint64_t bytes, uint32_t items)
{
    uint64_t count = level_read(&hand->small_count);
    uint64_t mean = cache_hand_small_bytes(hand) / (count == 0 ? 1 : count) + 1;

    return (uint32_t)size_min_u64(size_min_u64(items, ENTRIES_AT_ONCE), bytes / mean + 1);
}

/* Decides on the oldest few. False: there are none. */
static bool small_step(struct cache_hand *hand, const struct cache_evict_limits *limits,
                       struct cache_evicted *evicted)
{
    uint64_t entries[ENTRIES_AT_ONCE];
    uint32_t wanted =
        entries_wanted(hand, limits->bytes - evicted->bytes, limits->items - evicted->items);
    uint32_t count = cache_queue_pop(&hand->small, entries, wanted);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = entry_decide(hand, entries[i]);
        evicted->bytes += bytes;
        evicted->items += bytes != 0;
    }
    evicted->work += count;
    return count != 0;
}

/* Whether the queue has so many entries of items that are gone that it is worth looking for them.
 */
static bool is_untidy(const struct cache_hand *hand, uint64_t entries)
{
    uint64_t items = level_read(&hand->small_count);

    return entries > items + items / TIDY_PART + TIDY_SPARE;
}

/* Whether it has so much that what is oldest leaves it untried. */
static bool is_overlong(const struct cache_hand *hand, uint64_t entries)
{
    const struct cache_levels *levels = &hand->tenant->cache->policy->levels;
    uint64_t small = cache_hand_small_bytes(hand), main = cache_hand_main_bytes(hand);
    bool has_evicted = atomic_load_relaxed_u32(&levels->has_evicted) != 0;

    uint64_t share = atomic_load_relaxed_u64(&hand->small_share) + (has_evicted ? SHARE_SPARE : 0);

    return entries > TIDY_SPARE && small > share_of(small + main, share);
}

/* An entry of an item that is there stays in the queue, or its item leaves it for the main one. */
static void entry_tidy(struct cache_hand *hand, uint64_t entry, bool leaves)
{
    struct entry_item found = entry_look(hand, entry);

    if (found.item == NULL) {
        return;
    }
    if (leaves) {
        enter_main(hand, found.hash, found.ref48,
                   cache_item_charge(hand->tenant->cache, found.ref48, found.item, found.head),
                   UNTRIED);
    } else {
        entry_again(hand, &found, cache_entry_is_second(entry));
    }
}

uint32_t cache_hand_tidy(struct cache_hand *hand, uint32_t work)
{
    uint64_t taken[ENTRIES_AT_ONCE], entries = atomic_load_relaxed_u64(&hand->small.count);
    bool leaves = is_overlong(hand, entries);

    if (!leaves && !is_untidy(hand, entries)) {
        return 0;
    }
    uint32_t count =
        cache_queue_pop(&hand->small, taken, (uint32_t)size_min_u64(work, ENTRIES_AT_ONCE));
    for (uint32_t i = 0; i < count; i++) {
        entry_tidy(hand, taken[i], leaves);
    }
    return count;
}

void cache_hand_push(struct cache_hand *hand, uint64_t hash, uint64_t ref48, uint64_t bytes)
{
    if (!cache_queue_push(&hand->small, cache_entry_make(ref48, hash, false))) {
        (void)enter_main(hand, hash, ref48, bytes,
                         UNTRIED); /* the hand finds it without an entry */
        return;
    }
    if (atomic_load_relaxed_u64(&hand->small.count) % PUSHES_PER_TIDY == 0) {
        (void)cache_hand_tidy(hand, 2 * PUSHES_PER_TIDY);
    }
}

void cache_hand_see_ghosts(struct cache_hand *hand)
{
    if (cache_count_read(hand->tenant, CACHE_COUNT_EVICTIONS) != 0) {
        uint64_t items = cache_count_read(hand->tenant, CACHE_COUNT_ITEMS);
        cache_ghosts_turn(&hand->ghosts, items > INT64_MAX ? 0 : items, cache_hand_bytes(hand));
    }
}

/* ---- the main queue ------------------------------------------------------------------------- */

/* An item that nobody has used since the hand was here last. Returns: bytes that were freed. */
static uint64_t main_evict(struct cache_hand *hand, uint64_t slot)
{
    struct quarry_cache *cache = hand->tenant->cache;
    uint64_t ref48 = cache_slot_ref(slot);
    const struct cache_item *item = cache_item_at(cache, ref48);
    uint32_t head = cache_item_head(item);

    if ((head & CACHE_HEAD_VALID) == 0) {
        return 0; /* it has just gone */
    }
    uint64_t hash = cache_item_hash(hand->tenant, item, head);
    enum cache_gone why = cache_hand_why(hand->tenant, item, head);
    uint64_t bytes = cache_item_remove(hand->tenant, hash, ref48, why);
    if (bytes != 0 && why == CACHE_GONE_EVICTED) {
        cache_ghosts_note_main(&hand->ghosts, hash);
    }
    return bytes;
}

static void main_decide(struct cache_hand *hand, const struct cache_slot_view *view,
                        struct cache_evicted *evicted)
{
    uint32_t frequency = cache_slot_frequency(view->seen);

    if (!cache_slot_is_main(view->seen)) {
        return;
    }
    uint64_t bytes = 0;
    if (frequency == 0) {
        bytes = main_evict(hand, view->seen);
        evicted->bytes += bytes;
        evicted->items += bytes != 0;
    } else if (cache_slot_lower(view->slot, view->seen) != 0 && frequency == 1) {
        bytes = quarry_slab_cell_bytes(hand->tenant->cache->slab, cache_slot_ref(view->seen));
        (void)atomic_add_relaxed_u64(&hand->kept_count, 1);
    }
    if (bytes != 0) {
        (void)atomic_add_relaxed_u64(&hand->seen_bytes, bytes);
    }
}

/* A bucket. */
static void main_step(struct cache_hand *hand, struct cache_evicted *evicted)
{
    struct cache_slot_view views[CACHE_BUCKET_SLOTS];
    uint64_t before = atomic_load_relaxed_u64(&hand->cursor), cursor = before;
    uint32_t count = cache_index_look(&hand->tenant->index, &cursor, views);

    evicted->work++;
    /* Relaxed: whoever moves the hand past a bucket is who decides on it. */
    if (!atomic_cas_relaxed_u64(&hand->cursor, &before, cursor)) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        main_decide(hand, &views[i], evicted);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

static bool is_done(const struct cache_evicted *evicted, const struct cache_evict_limits *limits)
{
    return evicted->bytes >= limits->bytes || evicted->items >= limits->items ||
           evicted->work >= limits->work;
}

struct cache_evicted cache_hand_evict(struct cache_hand *hand,
                                      const struct cache_evict_limits *limits)
{
    struct cache_evicted evicted = {0};

    while (!is_done(&evicted, limits)) {
        if (!is_small_next(hand) || !small_step(hand, limits, &evicted)) {
            main_step(hand, &evicted);
        }
    }
    return evicted;
}
