/*
 * Moving memory between sizes.
 *
 * Eviction frees cells, and a cell is of one size. When what is stored changes its sizes, free
 * cells of the old ones are of no use: a page must become free as a whole. The slab can empty one:
 * nothing is taken from it any more, and for each item in it we decide, when the slab asks us to
 * move it:
 *
 *     its class has room elsewhere for all that the page has                     moved there
 *     in the main queue, not used since the hand was there, its tenant not safe  evicted
 *     its class has a free cell elsewhere                                        moved there
 *     else                                                                       declined
 *
 * So where enough has been evicted already, by S3-FIFO, nothing more is: it is put together. A page
 * with items that were declined is given up. After a few of those in a row, and while a set waits,
 * items go as well that were used, and after some more those of tenants within their share: a set
 * must not fail while there is something to evict.
 *
 * Which page: of eight that come next in the slab's order, that which costs least: what its class
 * has room for elsewhere is copied, which is cheap; of the rest the bytes are lost, judged by a
 * sample of eight: twice as much for what somebody wants, and what an item has in other pages
 * as well, so that a page of the heads of large items is left in peace. Empty pages go first so,
 * then those of sizes that have fallen out of use, then those of cold items. It is neutral between
 * sizes, as S3-FIFO in bytes is: a byte of an item that nobody wants is worth nothing, be the item
 * large or small. A page of the class that is in need is never taken, so that two sizes do not pass
 * pages to and fro; beyond that nothing moves while the reserve is whole (refill.c): that is the
 * hysteresis.
 *
 * A step is bounded in cells, and the page waits, withdrawn, for the next one. Extents of large
 * items go by their items.
 *
 * Locking: one at a time is at it, by a flag; others are turned away. No lock is held.
 *
 * Cost: 0.2 to 0.5 µs an item; 16 evictions for a page of extents, 16,000 items for one of cells
 * of 64 bytes.
 *
 * Rejected: the page mover of memcached, which watches the ages of classes and moves pages ahead of
 * need: it took seconds to follow a change of sizes, in which sets fail. Counting hits by class,
 * as CacheLib does: it favours small items, whose pages have most hits, whatever they cost.
 */
#include <cache/rebalance.h>

#include <string.h>

#include <cache/policy_parts.h>

#define PAGES_COMPARED 8u
/* Pages passed over to find them, in a step. */
#define PAGES_LOOKED  64u
#define CELLS_SAMPLED 8u
#define CELLS_PEEKED  128u
/* In 256ths of a cell: copying it; and more than this is not lost for one. */
#define COST_OF_MOVE 24u
#define COST_MAX     (UINT64_C(16) * 256)
/* Pages that could not be emptied before it is done by force, and before nothing is safe. */
#define FAILED_MAX      4u
#define FAILED_MAX_SAFE 32u
/* Items decided on before a page is judged by them. */
#define ASKED_MIN 64u

void cache_rebalance_init(struct cache_rebalance *ret_rebalance, struct quarry_cache *cache)
{
    *ret_rebalance = (struct cache_rebalance){.cache = cache, .random = 1};
}

void cache_rebalance_fini(struct cache_rebalance *rebalance)
{
    if (rebalance->is_emptying) {
        (void)slab_mover_end(&rebalance->mover);
        rebalance->is_emptying = false;
    }
}

/* ---- an item -------------------------------------------------------------------------------- */

/* The item whose cell or extent it is. */
struct resident {
    struct quarry_cache_tenant *tenant; /* NULL: nobody's */
    uint64_t hash, ref48, slot;
};

static struct resident resident_of(struct quarry_cache *cache, uint64_t ref48)
{
    struct resident found = {.tenant = NULL};

    if (!cache_item_whose(cache, ref48, &found.tenant, &found.hash, &found.ref48)) {
        return (struct resident){.tenant = NULL};
    }
    found.slot = cache_index_slot(found.tenant, found.hash, found.ref48);
    return found.slot == 0 ? (struct resident){.tenant = NULL} : found;
}

/*
 * One that has been used, or is still in the small queue: that is its trial, and a page of what has
 * just been stored is as likely to be taken as any other.
 */
static bool is_worth_keeping(const struct resident *resident)
{
    return cache_slot_frequency(resident->slot) != 0 || !cache_slot_is_main(resident->slot) ||
           cache_tenant_is_safe(resident->tenant);
}

/* Whether it may go for this page. */
static bool may_evict(const struct cache_rebalance *rebalance, const struct resident *resident)
{
    switch (rebalance->force) {
    case CACHE_FORCE_NONE:
        return !is_worth_keeping(resident);
    case CACHE_FORCE_USED:
        return !cache_tenant_is_safe(resident->tenant);
    case CACHE_FORCE_ALL:
        return true;
    }
    return false;
}

static enum cache_gone why_goes(const struct quarry_cache *cache, const struct resident *resident)
{
    const struct cache_item *item = cache_item_at(cache, resident->ref48);

    return cache_hand_why(resident->tenant, item, cache_item_head(item));
}

/* Has it gone? */
static bool resident_remove(struct cache_rebalance *rebalance, const struct resident *resident,
                            enum cache_gone why)
{
    uint64_t bytes = cache_item_remove(resident->tenant, resident->hash, resident->ref48, why);

    if (bytes != 0 && why == CACHE_GONE_EVICTED) {
        cache_ghosts_note(&resident->tenant->policy->hand.ghosts, resident->hash);
        (void)atomic_add_relaxed_u64(&rebalance->evicted_count, 1);
    }
    return bytes != 0;
}

/*
 * Whether an item goes instead of moving. Where there is not room for all that the page has, what
 * there is is for those that are worth keeping.
 */
static bool must_go(const struct cache_rebalance *rebalance, const struct resident *resident,
                    bool has_cell, enum cache_gone *ret_why)
{
    *ret_why = why_goes(rebalance->cache, resident);
    if (*ret_why != CACHE_GONE_EVICTED) {
        return true;
    }
    if (rebalance->cache->never_evicts || (has_cell && rebalance->has_room)) {
        return false;
    }
    return has_cell ? !is_worth_keeping(resident) : may_evict(rebalance, resident);
}

/* A quarry_slab_move_function. Without a new cell it may only let the item go. */
static bool decide(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                   void *new_data, size_t bytes)
{
    struct cache_rebalance *rebalance = argument;
    struct quarry_cache *cache = rebalance->cache;
    struct resident resident = resident_of(cache, old_ref & QUARRY_REF48_MASK);
    enum cache_gone why;
    bool is_done = false;

    rebalance->asked_count++;
    if (resident.tenant != NULL && must_go(rebalance, &resident, new_data != NULL, &why)) {
        is_done = resident_remove(rebalance, &resident, why);
        rebalance->kept_count += !is_done;
        return false;
    }
    if (new_data != NULL) {
        is_done = cache_item_move(cache, old_ref, old_data, new_ref, new_data, bytes);
    }
    rebalance->kept_count += !is_done;
    return is_done;
}

/* ---- a page --------------------------------------------------------------------------------- */

static uint32_t next_random(struct cache_rebalance *rebalance, uint32_t below)
{
    rebalance->random = rebalance->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)((rebalance->random >> 32) * below >> 32);
}

/* Whether an item was seen among the first so many already. */
static bool is_known(const struct resident *residents, size_t count,
                     const struct resident *resident)
{
    for (size_t i = 0; i < count; i++) {
        if (residents[i].tenant == resident->tenant && residents[i].ref48 == resident->ref48) {
            return true;
        }
    }
    return false;
}

/* What is lost with an item, all of its cells together; twice as much where it was to be kept. */
static uint64_t item_loss(const struct quarry_cache *cache, const struct resident *resident)
{
    const struct cache_item *item = cache_item_at(cache, resident->ref48);
    uint64_t bytes = cache_item_charge(cache, resident->ref48, item, cache_item_head(item));

    return is_worth_keeping(resident) ? 2 * bytes : bytes / 2;
}

/*
 * Some of the items that lie in a page, from a cell on; cells of nobody are passed over: threads
 * keep more of them than there are heads of large items.
 */
static uint32_t sample_from(struct cache_rebalance *rebalance, const struct quarry_slab_page *page,
                            uint32_t cell, struct resident *residents)
{
    quarry_ref refs[CELLS_PEEKED];
    size_t peeked = slab_peek_refs(rebalance->cache->slab, page->class_id, page->page, cell, refs,
                                   CELLS_PEEKED);
    uint32_t count = 0;

    for (size_t i = 0; i < peeked && count < CELLS_SAMPLED; i++) {
        residents[count] = resident_of(rebalance->cache, refs[i] & QUARRY_REF48_MASK);
        count += residents[count].tenant != NULL;
    }
    return count;
}

/* What is lost by the mean item of a page that cannot move, in 256ths of its cell. */
static uint64_t mean_loss(struct cache_rebalance *rebalance, const struct quarry_slab_page *page)
{
    struct resident residents[CELLS_SAMPLED];
    uint32_t from = next_random(rebalance, page->cell_count);
    uint32_t count = sample_from(rebalance, page, from, residents);
    uint64_t loss = 0;

    if (count == 0) {
        count = sample_from(rebalance, page, 0, residents);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_known(residents, i, &residents[i])) {
            loss += item_loss(rebalance->cache, &residents[i]);
        }
    }
    return count == 0 ? 256 : loss * 256 / count / page->cell_bytes;
}

/* How many live cells of a page its class has no room for elsewhere. */
static uint64_t count_without_room(const struct cache_rebalance *rebalance,
                                   const struct quarry_slab_page *page, uint64_t live)
{
    uint64_t free_count = slab_class_free_count(rebalance->cache->slab, page->class_id);

    return sat_sub_u64(live, sat_sub_u64(free_count, page->free_count));
}

static uint64_t page_live_count(const struct quarry_slab_page *page)
{
    return page->cell_count - page->free_count - page->limbo_count;
}

/* What emptying a page costs, in 256ths of its bytes. */
static uint64_t page_cost(struct cache_rebalance *rebalance, const struct quarry_slab_page *page)
{
    uint64_t live = page_live_count(page);
    uint64_t to_lose = count_without_room(rebalance, page, live);
    uint64_t cost = (live - to_lose) * COST_OF_MOVE;

    if (to_lose != 0) {
        cost += to_lose * mean_loss(rebalance, page);
    }
    return cost / page->cell_count;
}

static uint32_t page_name(uint32_t class_id, uint32_t page)
{
    return class_id << 16 | page; /* no class is 0 */
}

static bool is_stuck(const struct cache_rebalance *rebalance, const struct quarry_slab_page *page)
{
    for (uint32_t i = 0; i < CACHE_STUCK_MAX; i++) {
        if (rebalance->stuck[i] == page_name(page->class_id, page->page)) {
            return true;
        }
    }
    return false;
}

/* The next page in the slab's order that may be emptied. False: none among the next few. */
static bool page_next(struct cache_rebalance *rebalance, uint32_t spared_class, uint32_t *looked,
                      struct quarry_slab_page *ret_page)
{
    for (; *looked < PAGES_LOOKED; (*looked)++) {
        if (!quarry_slab_next_page(rebalance->cache->slab, &rebalance->cursor, ret_page)) {
            rebalance->cursor = 0;
            rebalance->rounds++;
        } else if (ret_page->class_id != spared_class && !ret_page->is_moving &&
                   !is_stuck(rebalance, ret_page)) {
            return true;
        }
    }
    return false;
}

/* The page to empty next. False: none was found among those that were looked at. */
static bool page_choose(struct cache_rebalance *rebalance, uint32_t spared_class,
                        struct quarry_slab_page *ret_page)
{
    struct quarry_slab_page page;
    uint64_t least = COST_MAX;
    uint32_t looked = 0;

    quarry_epoch_enter(rebalance->cache->epoch);
    for (uint32_t compared = 0; compared < PAGES_COMPARED; compared++) {
        if (!page_next(rebalance, spared_class, &looked, &page)) {
            break;
        }
        uint64_t cost = page_cost(rebalance, &page);
        if (cost < least) {
            least = cost;
            *ret_page = page;
        }
    }
    quarry_epoch_leave(rebalance->cache->epoch);
    return least != COST_MAX;
}

/* Nothing was found: there is nothing when all pages have been looked at. */
static enum cache_rebalance_step not_found(struct cache_rebalance *rebalance)
{
    if (rebalance->rounds < 2) {
        return CACHE_REBALANCE_MORE;
    }
    rebalance->rounds = 0;
    memset(rebalance->stuck, 0, sizeof(rebalance->stuck));
    return CACHE_REBALANCE_NOTHING;
}

static enum cache_rebalance_step page_begin(struct cache_rebalance *rebalance,
                                            uint32_t spared_class)
{
    struct quarry_slab_page page;

    if (!page_choose(rebalance, spared_class, &page)) {
        return not_found(rebalance);
    }
    rebalance->rounds = 0;
    enum quarry_status status =
        slab_mover_begin(&rebalance->mover, rebalance->cache->slab, page.class_id, page.page,
                         decide, rebalance, false);
    if (status == QUARRY_BUSY) {
        return CACHE_REBALANCE_BUSY;
    }
    rebalance->is_emptying = status == QUARRY_OK; /* else it has just gone by itself */
    rebalance->asked_count = rebalance->kept_count = 0;
    rebalance->page_bytes = page.bytes;
    rebalance->has_room = count_without_room(rebalance, &page, page_live_count(&page)) == 0;
    rebalance->mover.asks_without_cell = true;
    return CACHE_REBALANCE_MORE;
}

static enum cache_rebalance_step page_end(struct cache_rebalance *rebalance)
{
    rebalance->is_emptying = false;
    if (slab_mover_end(&rebalance->mover) == QUARRY_OK) {
        atomic_store_relaxed_u32(&rebalance->failed_count, 0);
        memset(rebalance->stuck, 0, sizeof(rebalance->stuck));
        (void)atomic_add_relaxed_u64(&rebalance->emptied_count, 1);
        (void)atomic_add_relaxed_u64(&rebalance->emptied_bytes, rebalance->page_bytes);
        return CACHE_REBALANCE_DONE;
    }
    uint32_t at = atomic_load_relaxed_u32(&rebalance->failed_count) % CACHE_STUCK_MAX;
    rebalance->stuck[at] = page_name(rebalance->mover.page->class_id, rebalance->mover.page->index);
    atomic_bump_relaxed_u32(&rebalance->failed_count, 1);
    (void)atomic_add_relaxed_u64(&rebalance->failed_total, 1);
    return CACHE_REBALANCE_MORE;
}

/* Whether so much of the page stays that going on would be for nothing. */
static bool page_is_stubborn(const struct cache_rebalance *rebalance)
{
    return rebalance->force == CACHE_FORCE_NONE && rebalance->asked_count >= ASKED_MIN &&
           rebalance->kept_count > rebalance->asked_count / 2;
}

static enum cache_force force_now(const struct cache_rebalance *rebalance, bool is_urgent)
{
    uint32_t failed = atomic_load_relaxed_u32(&rebalance->failed_count);

    if (!is_urgent || failed < FAILED_MAX) {
        return CACHE_FORCE_NONE;
    }
    return failed < FAILED_MAX_SAFE ? CACHE_FORCE_USED : CACHE_FORCE_ALL;
}

static enum cache_rebalance_step step_claimed(struct cache_rebalance *rebalance,
                                              uint32_t spared_class, bool is_urgent, uint32_t work)
{
    rebalance->force = force_now(rebalance, is_urgent);
    if (!rebalance->is_emptying) {
        return page_begin(rebalance, spared_class);
    }
    if (slab_mover_step(&rebalance->mover, work) && !page_is_stubborn(rebalance)) {
        return CACHE_REBALANCE_MORE;
    }
    return page_end(rebalance);
}

enum cache_rebalance_step cache_rebalance_step(struct cache_rebalance *rebalance,
                                               uint32_t spared_class, bool is_urgent, uint32_t work)
{
    uint32_t expected = 0;

    /* Acquire: pairs with the release of who was at it before. */
    if (!atomic_cas_acquire_u32(&rebalance->claimed, &expected, 1)) {
        return CACHE_REBALANCE_BUSY;
    }
    enum cache_rebalance_step step = step_claimed(rebalance, spared_class, is_urgent, work);
    atomic_store_release_u32(&rebalance->claimed, 0);
    return step;
}

bool cache_rebalance_is_futile(const struct cache_rebalance *rebalance)
{
    return atomic_load_relaxed_u32(&rebalance->failed_count) >= FAILED_MAX;
}
