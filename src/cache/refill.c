/*
 * Keeping a little free.
 *
 *     limit  ├── charged ───────────────────────────────┬── open ──┤
 *            │ items' cells │ free cells │ index, ghosts │          │
 *                           └──────────── free ────────── + ────────┘
 *
 * Cells are free where items of their size have gone; what is open can become a page of any size.
 * A part of the open bytes is kept in reserve for sizes that run short, enough for two pages; of
 * the rest, open or in cells, there should be a quarter of a percent. Less is free than wanted, and
 * the cache is *tight*: of every four sets one evicts a quarter more than they bring, bounded to
 * 16 items, so that no set waits for another's work; the turn does the rest, and goes on for a
 * quarter above the mark. Were the reserve counted as free as well, sets would use it up before
 * anything is evicted, and all eviction would be by pages that are emptied for the next reserve. A
 * part of the reserve is for those alone who cannot wait (reserve.c).
 *
 * The limit is the least of the size, the target that the budget has given, and what the memory
 * and the disk of the file turned out to have room for: when a page is refused below the first two,
 * what is charged then is the limit for some seconds. A disk that is full mostly stays so: it is
 * tried again after 5 seconds, and each time that it has hardly more room, after twice as many, up
 * to five minutes. Meanwhile the bound is the account's ceiling, so that no set asks the disk, and
 * the cache is one of that size; what lies in memory, the index above all, counts against it too.
 *
 * Who gives: the tenant furthest above its share, in bytes. None is when the shares add up to more
 * than the cache: then the one that has most for its share. It is chosen anew each turn, and by who
 * finds that it has nothing left. A tenant within its share is *safe* while another is not, and
 * where all are within theirs, while it has less than half as much for its share as who gives:
 * nothing of it goes for others, also where a page is emptied.
 *
 * What items take is counted in stripes by thread, as it changes with every set; who takes a cell
 * adds them up one time in sixteen.
 *
 * Locking: none. Figures are of about one moment; every decision by them is made again soon.
 */
#include <cache/refill.h>

#include <cache/policy_parts.h>
#include <cache/reserve.h>

/* Of the limit: what is wanted free, and the reserve. */
#define FREE_PART 400u
#define OPEN_PART 200u
/* So much free, and it fills anew. */
#define EMPTY_PART 4u
/* As much as two pages of the slab are, and two of its smallest. */
#define OPEN_MAX Q_MIB(2)
#define OPEN_MIN Q_KIB(128)
/* Who has less than this part of what the giver has for its share is safe. */
#define SAFE_PART 2.0
/* Cells taken by a stripe's threads between two looks. */
#define TAKEN_PER_LOOK 16u
/* And between two evictions while the cache is tight, or so many bytes: what evicting costs beside
 * the items is paid once for them. */
#define TAKEN_PER_EVICTION 4u
#define OWED_BYTES_MAX     Q_KIB(4)
/* How long a limit is believed in that the memory has set. */
#define BOUND_SECONDS 5u
/* And in one that the disk has, at most; one that was so much too low is believed no longer than
 * the first. */
#define DISK_SECONDS_MAX 320u
#define DISK_GROWN_PART  64u
#define NOBODY           UINT32_MAX

void cache_levels_init(struct cache_levels *ret_levels)
{
    *ret_levels = (struct cache_levels){.giver = NOBODY};
}

static struct cache_level_stripe *stripe_of(struct cache_levels *levels)
{
    return &levels->stripe[os_thread_id() % CACHE_LEVEL_STRIPES];
}

void cache_levels_add(struct cache_levels *levels, uint64_t bytes)
{
    (void)atomic_add_relaxed_u64(&stripe_of(levels)->used_bytes, bytes);
}

uint64_t cache_levels_used(const struct cache_levels *levels)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < CACHE_LEVEL_STRIPES; i++) {
        sum += atomic_load_relaxed_u64(&levels->stripe[i].used_bytes);
    }
    return sum > INT64_MAX ? 0 : sum;
}

/* Of items, and of those that are being written. */
static uint64_t used_bytes(const struct cache_levels *levels)
{
    return cache_levels_used(levels) + atomic_load_relaxed_u64(&levels->pending_bytes);
}

/* ---- room ----------------------------------------------------------------------------------- */

uint64_t cache_room_hard_limit(const struct quarry_cache *cache)
{
    const struct cache_levels *levels = &cache->policy->levels;
    uint64_t limit = atomic_load_relaxed_u64(&cache->size_bytes);
    uint64_t bound = atomic_load_relaxed_u64(&levels->bound_bytes);

    if (bound != 0 && cache_now(cache) < atomic_load_relaxed_u32(&levels->bound_until)) {
        limit = size_min_u64(limit, bound);
    }
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&levels->disk_is_bound) != 0)) {
        limit = size_min_u64(limit, atomic_load_relaxed_u64(&levels->disk_bytes));
    }
    return limit;
}

/* Whether the file has become so much larger that its disk must have had room again. */
static bool has_outgrown_disk(const struct quarry_cache *cache)
{
    uint64_t then = atomic_load_relaxed_u64(&cache->policy->levels.disk_page_bytes);
    uint64_t now = atomic_load_relaxed_u64(&cache->slab->page_bytes);

    return now > then + then / DISK_GROWN_PART;
}

uint64_t quarry_cache_disk_limit(const struct quarry_cache *cache)
{
    uint64_t bound = atomic_load_relaxed_u64(&cache->policy->levels.disk_bytes);
    bool is_less = bound < atomic_load_relaxed_u64(&cache->size_bytes);

    return is_less && !has_outgrown_disk(cache) ? bound : 0;
}

static uint64_t limit_bytes(const struct quarry_cache *cache)
{
    uint64_t limit = cache_room_hard_limit(cache);
    uint64_t target = atomic_load_relaxed_u64(&cache->target_bytes);

    return target != 0 ? size_min_u64(limit, size_max_u64(target, cache->floor_bytes)) : limit;
}

static uint64_t charged_bytes(const struct quarry_cache *cache)
{
    return atomic_load_relaxed_u64(&cache->account->charged_bytes);
}

struct cache_room cache_room_read(struct quarry_cache *cache)
{
    struct cache_room room = {.limit_bytes = limit_bytes(cache),
                              .charged_bytes = charged_bytes(cache)};
    uint64_t pages = atomic_load_relaxed_u64(&cache->slab->page_bytes);
    uint64_t open = room.limit_bytes / OPEN_PART;

    room.open_bytes = sat_sub_u64(room.limit_bytes, room.charged_bytes);
    room.over_bytes = sat_sub_u64(room.charged_bytes, room.limit_bytes);
    room.cell_bytes = sat_sub_u64(pages, used_bytes(&cache->policy->levels));
    room.wants_open_bytes = size_max_u64(size_min_u64(open, OPEN_MAX), OPEN_MIN) +
                            cache_need_bytes(&cache->policy->need);
    room.wants_free_bytes = room.limit_bytes / FREE_PART;
    room.free_bytes = room.cell_bytes + sat_sub_u64(room.open_bytes, room.wants_open_bytes);
    room.free_bytes = sat_sub_u64(room.free_bytes, room.over_bytes);
    return room;
}

void cache_room_bound_by_disk(struct quarry_cache *cache)
{
    const struct cache_levels *levels = &cache->policy->levels;
    uint64_t size = atomic_load_relaxed_u64(&cache->size_bytes), ceiling = size;

    if (atomic_load_relaxed_u32(&levels->disk_is_bound) != 0) {
        ceiling = size_min_u64(size, atomic_load_relaxed_u64(&levels->disk_bytes));
    }
    enum quarry_status status = quarry_account_set_bounds(
        cache->account, size_min_u64(cache->floor_bytes, ceiling), ceiling);
    Q_ASSERT(status == QUARRY_OK);
}

/* The disk is full. A race between threads that find so costs some seconds more or less. */
static Q_COLD void note_disk_full(struct quarry_cache *cache, uint64_t charged_bytes)
{
    struct cache_levels *levels = &cache->policy->levels;
    uint32_t wait = atomic_load_relaxed_u32(&levels->disk_wait_seconds);

    if (wait == 0 || has_outgrown_disk(cache)) {
        wait = BOUND_SECONDS;
    } else if (atomic_load_relaxed_u32(&levels->disk_is_bound) == 0) {
        wait = (uint32_t)size_min_u64(2 * (uint64_t)wait, DISK_SECONDS_MAX);
    }
    atomic_store_relaxed_u64(&levels->disk_bytes, charged_bytes);
    atomic_store_relaxed_u64(&levels->disk_page_bytes,
                             atomic_load_relaxed_u64(&cache->slab->page_bytes));
    atomic_store_relaxed_u32(&levels->disk_wait_seconds, wait);
    atomic_store_relaxed_u32(&levels->disk_until, cache_now(cache) + wait);
    atomic_store_relaxed_u32(&levels->disk_is_bound, 1);
    cache_room_bound_by_disk(cache);
}

/* It is tried again when its time has come. */
static void try_disk_again(struct quarry_cache *cache)
{
    struct cache_levels *levels = &cache->policy->levels;

    if (Q_UNLIKELY(atomic_load_relaxed_u32(&levels->disk_is_bound) != 0) &&
        cache_now(cache) >= atomic_load_relaxed_u32(&levels->disk_until)) {
        atomic_store_relaxed_u32(&levels->disk_is_bound, 0);
        cache_room_bound_by_disk(cache);
    }
}

void cache_room_note_refused(struct quarry_cache *cache, enum quarry_status status)
{
    struct cache_levels *levels = &cache->policy->levels;
    struct cache_room room = cache_room_read(cache);

    if (status == QUARRY_NO_SPACE) {
        note_disk_full(cache, room.charged_bytes);
        return;
    }
    /* Above what is kept from who cannot wait, and a page. */
    if (room.open_bytes > room.wants_open_bytes + cache_reserve_bytes(cache, room.limit_bytes)) {
        atomic_store_relaxed_u64(&levels->bound_bytes, room.charged_bytes);
        atomic_store_relaxed_u32(&levels->bound_until, cache_now(cache) + BOUND_SECONDS);
    }
}

/* What is to be free: twice as much where what is free is not where it is wanted. */
static uint64_t free_mark(const struct cache_room *room)
{
    bool is_short = room->open_bytes < room->wants_open_bytes;

    return is_short ? 2 * room->wants_free_bytes : room->wants_free_bytes;
}

uint64_t cache_room_lacking(const struct cache_room *room)
{
    uint64_t mark = free_mark(room);

    return sat_sub_u64(mark + mark / 4, room->free_bytes);
}

bool cache_room_is_full(const struct cache_room *room)
{
    uint64_t mark = free_mark(room);

    return room->free_bytes < mark + mark / 2;
}

void cache_refill_look(struct quarry_cache *cache)
{
    struct cache_levels *levels = &cache->policy->levels;
    struct cache_room room = cache_room_read(cache);
    uint64_t lacking = cache_room_lacking(&room);
    uint32_t was_tight = atomic_load_relaxed_u32(&levels->is_tight);
    uint32_t is_tight = lacking > (was_tight ? 0 : room.wants_free_bytes / 4);

    if (room.free_bytes > room.limit_bytes / EMPTY_PART) {
        atomic_store_relaxed_u32(&levels->has_evicted, 0);
    }
    if (is_tight != was_tight) {
        atomic_store_relaxed_u32(&levels->is_tight, is_tight);
        if (is_tight) {
            cache_wake(cache);
        }
    }
}

uint64_t cache_refill_owed(struct cache_levels *levels, struct quarry_cache *cache, uint64_t bytes)
{
    struct cache_level_stripe *stripe = stripe_of(levels);
    uint32_t count = atomic_load_relaxed_u32(&stripe->taken_count) + 1;

    /* Relaxed, here and below: a race looks a little less often, and evicts a little less. */
    atomic_store_relaxed_u32(&stripe->taken_count, count);
    if (count % TAKEN_PER_LOOK == 0) {
        cache_refill_look(cache);
    }
    if (Q_LIKELY(atomic_load_relaxed_u32(&levels->is_tight) == 0)) {
        return 0;
    }
    uint32_t owed = atomic_load_relaxed_u32(&stripe->owed_bytes);
    bool is_due = count % TAKEN_PER_EVICTION == 0 || owed + bytes >= OWED_BYTES_MAX;
    atomic_store_relaxed_u32(&stripe->owed_bytes, is_due ? 0 : owed + (uint32_t)bytes);
    return is_due ? owed + bytes : 0;
}

/* ---- who gives ------------------------------------------------------------------------------ */

static uint64_t tenant_bytes(const struct quarry_cache_tenant *tenant)
{
    return cache_hand_bytes(&tenant->policy->hand);
}

uint64_t cache_tenant_share(const struct quarry_cache_tenant *tenant)
{
    uint64_t share = atomic_load_relaxed_u64(&tenant->share_bytes);
    uint32_t count = atomic_load_relaxed_u32(&tenant->cache->tenant_count);

    return share != 0 ? share : limit_bytes(tenant->cache) / (count == 0 ? 1 : count);
}

/* The tenant of an id that takes part already; NULL: there is none. Inside the epoch. */
static struct quarry_cache_tenant *giving_tenant(struct quarry_cache *cache, uint32_t id)
{
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);

    return tenant == NULL || tenant->policy == NULL ? NULL : tenant;
}

/* How far above its share a tenant is: first those that are, by bytes; then the others, by part. */
struct claim {
    uint32_t id;
    uint64_t above_bytes;
    double part;
};

static struct claim claim_of(const struct quarry_cache_tenant *tenant)
{
    uint64_t bytes = tenant_bytes(tenant), share = cache_tenant_share(tenant);

    return (struct claim){tenant->id, sat_sub_u64(bytes, share),
                          (double)bytes / (double)(share == 0 ? 1 : share)};
}

static bool gives_before(const struct claim *claim, const struct claim *best)
{
    if (claim->above_bytes != best->above_bytes) {
        return claim->above_bytes > best->above_bytes;
    }
    return claim->part > best->part;
}

void cache_refill_choose(struct quarry_cache *cache)
{
    struct claim best = {.id = NOBODY};
    uint64_t pending = 0;
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);

    try_disk_again(cache);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < limit; id++) {
        const struct quarry_cache_tenant *tenant = giving_tenant(cache, id);
        pending += tenant == NULL ? 0 : atomic_load_relaxed_u64(&tenant->pending_bytes);
        if (tenant != NULL && tenant_bytes(tenant) != 0) {
            struct claim claim = claim_of(tenant);
            best = gives_before(&claim, &best) ? claim : best;
        }
    }
    quarry_epoch_leave(cache->epoch);
    atomic_store_relaxed_u32(&cache->policy->levels.giver, best.id);
    atomic_store_relaxed_u64(&cache->policy->levels.pending_bytes, pending);
    cache_refill_look(cache);
}

bool cache_tenant_is_safe(const struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    uint32_t id = atomic_load_relaxed_u32(&cache->policy->levels.giver);

    if (id == tenant->id || tenant_bytes(tenant) > cache_tenant_share(tenant)) {
        return false;
    }
    const struct quarry_cache_tenant *giver = id == NOBODY ? NULL : giving_tenant(cache, id);
    if (giver == NULL) {
        return false;
    }
    struct claim its = claim_of(giver);
    return its.above_bytes != 0 || SAFE_PART * claim_of(tenant).part < its.part;
}

/* From who gives now. No work: it has nothing. */
static struct cache_evicted evict_from_giver(struct quarry_cache *cache,
                                             const struct cache_evict_limits *limits)
{
    struct cache_evicted evicted = {0};
    uint32_t id = atomic_load_relaxed_u32(&cache->policy->levels.giver);

    quarry_epoch_enter(cache->epoch);
    struct quarry_cache_tenant *tenant = id == NOBODY ? NULL : giving_tenant(cache, id);
    if (tenant != NULL && tenant_bytes(tenant) != 0) {
        evicted = cache_hand_evict(&tenant->policy->hand, limits);
    }
    quarry_epoch_leave(cache->epoch);
    return evicted;
}

struct cache_evicted cache_refill_evict(struct quarry_cache *cache,
                                        const struct cache_evict_limits *limits)
{
    struct cache_evicted evicted = evict_from_giver(cache, limits);

    atomic_store_relaxed_u32(&cache->policy->levels.has_evicted, 1);
    if (evicted.work == 0) {
        cache_refill_choose(cache);
        evicted = evict_from_giver(cache, limits);
    }
    return evicted;
}
