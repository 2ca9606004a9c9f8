/*
 * What goes and what stays: the parts, put together.
 *
 *     a set ──> take_cell ──(tight)──> evicts up to 16 items ──> cell
 *                   └──(no cell)──> waits until a page has been emptied (need.c)
 *     the turn ──> chooses who gives ─> evicts ahead ─> empties pages ─> expires ─> sweeps, ghosts
 *
 *     hand       which item of a tenant goes: S3-FIFO          queue, ghost   what it goes by
 *     refill     how much is free, and which tenant gives      rebalance      pages between sizes
 *     expire     what is gone by itself                        account        the rest of the
 * memory
 *
 * A set takes its cell from what is free already. When the cache is tight it has evicted a little
 * before, for the next ones: cells that were evicted can be used only when all readers that were
 * inside the epoch have left, so nobody can evict for himself in a moment. Only where that runs
 * dry, because the sizes of what is stored have changed faster than the turn could follow, does a
 * set wait for it (need.c).
 *
 * Work is counted in items, entries and buckets that were looked at, each some cache misses, up
 * to a microsecond on a busy machine: a turn does up to CACHE_TURN_WORK of it, under 200 µs.
 *
 * Locking: no lock is held, but the turn's by who calls cache_policy_turn. What a turn alone uses
 * says so.
 */
#include <cache/policy.h>

#include <cache/account.h>
#include <cache/policy_parts.h>
#include <cache/reserve.h>

/* Of CACHE_TURN_WORK, the most for each part of a turn. */
#define EVICT_WORK     64u
#define REBALANCE_WORK 48u
#define EXPIRE_WORK    48u
#define SWEEP_WORK     24u
/* So much done, and there is more to do. */
#define MORE_WORK 24u
/* What is evicted at a time for sets that wait where no page can be emptied. */
#define NEED_BYTES Q_MIB(1)
/* And between two moments at which readers have left. */
#define NEED_MAX_BYTES Q_MIB(4)
/* Every so many turns that make room look for pages that have become free by themselves. */
#define TURNS_PER_SETTLE 16u
/* What a set evicts at most while it is not in need, and how far it looks for that. */
#define SET_ITEMS 16u
#define SET_WORK  64u
/* When a set has evicted so much, it is looked at once whether there is enough. */
#define SET_BYTES_LOOK Q_KIB(4)
/* A tenant may be above its quota by so much, for a moment, before its sets wait. */
#define OVERSHOOT_BYTES   Q_MIB(1)
#define VALIDATED_AT_ONCE 256u
/* One miss of so many is looked up among the ghosts, by these bits of its hash. */
#define MISS_SAMPLE       8u
#define MISS_SAMPLE_SHIFT 20
/* Tenants whose ghosts and flushes are looked at in a turn. */
#define TENANTS_PER_TURN 16u

_Thread_local uint32_t cache_policy_depth;
_Thread_local bool cache_policy_can_retry;

/* ---- beginning and ending ------------------------------------------------------------------- */

enum quarry_status cache_policy_init(struct quarry_cache *cache)
{
    struct cache_policy *policy = cache_memory_take(cache, sizeof(*policy));

    if (policy == NULL) {
        return QUARRY_NO_MEMORY;
    }
    cache_levels_init(&policy->levels);
    cache_rebalance_init(&policy->rebalance, cache);
    cache->policy = policy;
    return QUARRY_OK;
}

void cache_policy_fini(struct quarry_cache *cache)
{
    if (cache->policy == NULL) {
        return;
    }
    cache_rebalance_fini(&cache->policy->rebalance);
    cache_expiry_fini(cache);
    cache_memory_give(cache, cache->policy, sizeof(*cache->policy));
    cache->policy = NULL;
}

enum quarry_status cache_policy_tenant_init(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    struct cache_policy_tenant *policy = cache_memory_take(cache, sizeof(*policy));

    if (policy == NULL) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = cache_hand_init(&policy->hand, tenant, tenant->id);
    if (status != QUARRY_OK) {
        cache_memory_give(cache, policy, sizeof(*policy));
        return status;
    }
    tenant->policy = policy;
    return QUARRY_OK;
}

void cache_policy_tenant_fini(struct quarry_cache_tenant *tenant)
{
    struct cache_policy_tenant *policy = tenant->policy;

    if (policy == NULL) {
        return;
    }
    uint32_t id = tenant->id;
    (void)atomic_cas_relaxed_u32(&tenant->cache->policy->levels.giver, &id, UINT32_MAX);
    cache_hand_fini(&policy->hand);
    cache_memory_give(tenant->cache, policy, sizeof(*policy));
    tenant->policy = NULL;
}

/* ---- what the store tells ------------------------------------------------------------------- */

bool cache_policy_is_ghost(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct cache_hand *hand = &tenant->policy->hand;

    enum cache_ghost ghost = cache_ghosts_take(&hand->ghosts, hash);
    if (Q_LIKELY(ghost == CACHE_GHOST_NONE)) {
        return false;
    }
    cache_hand_follow(hand, ghost);
    cache_count(tenant, CACHE_COUNT_GHOST_HITS);
    return ghost != CACHE_GHOST_OF_MAIN;
}

void cache_policy_entered(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                          uint64_t bytes, bool is_main)
{
    struct cache_hand *hand = &tenant->policy->hand;

    cache_levels_add(&tenant->cache->policy->levels, bytes);
    if (is_main) {
        (void)atomic_add_relaxed_u64(&hand->main_bytes, bytes);
        return;
    }
    (void)atomic_add_relaxed_u64(&hand->small_bytes, bytes);
    (void)atomic_add_relaxed_u64(&hand->small_count, 1);
    cache_policy_depth++;
    cache_hand_push(hand, hash, ref48, bytes);
    cache_policy_depth--;
}

void cache_policy_replaced(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                           uint64_t bytes, uint64_t old_bytes, bool is_main)
{
    struct cache_hand *hand = &tenant->policy->hand;

    if (bytes != old_bytes) {
        cache_levels_add(&tenant->cache->policy->levels, bytes - old_bytes);
        (void)atomic_add_relaxed_u64(is_main ? &hand->main_bytes : &hand->small_bytes,
                                     bytes - old_bytes);
    }
    if (!is_main) {
        cache_policy_depth++;
        cache_hand_push(hand, hash, ref48, bytes);
        cache_policy_depth--;
    }
}

void cache_policy_left(struct quarry_cache_tenant *tenant, uint64_t bytes, bool is_main)
{
    struct cache_hand *hand = &tenant->policy->hand;

    cache_levels_add(&tenant->cache->policy->levels, -bytes);
    (void)atomic_sub_relaxed_u64(is_main ? &hand->main_bytes : &hand->small_bytes, bytes);
    if (!is_main) {
        (void)atomic_sub_relaxed_u64(&hand->small_count, 1);
    }
}

void cache_policy_missed(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct cache_hand *hand = &tenant->policy->hand;

    if ((hash >> MISS_SAMPLE_SHIFT) % MISS_SAMPLE == 0 && cache_ghosts_have(&hand->ghosts, hash)) {
        (void)atomic_add_relaxed_u64(&hand->ghost_hits, MISS_SAMPLE);
    }
}

/* ---- memory for items ----------------------------------------------------------------------- */

static uint64_t over_quota_bytes(const struct quarry_cache_tenant *tenant, uint64_t bytes)
{
    uint64_t quota = atomic_load_relaxed_u64(&tenant->quota_bytes);
    uint64_t held =
        cache_hand_bytes(&tenant->policy->hand) + atomic_load_relaxed_u64(&tenant->pending_bytes);

    return quota == 0 ? 0 : sat_sub_u64(held + bytes, quota);
}

static struct cache_evicted evict_own(struct quarry_cache_tenant *tenant, uint64_t bytes)
{
    const struct cache_evict_limits limits = {bytes, SET_ITEMS, SET_WORK};
    struct cache_evicted evicted = {0};

    quarry_epoch_enter(tenant->cache->epoch);
    if (cache_hand_bytes(&tenant->policy->hand) != 0) {
        evicted = cache_hand_evict(&tenant->policy->hand, &limits);
    }
    quarry_epoch_leave(tenant->cache->epoch);
    return evicted;
}

/* Evicts for the quota. False: the tenant has no more than others' eyes to give. */
static bool keep_quota(struct quarry_cache_tenant *tenant, uint64_t bytes)
{
    uint64_t over = over_quota_bytes(tenant, bytes);

    if (over == 0) {
        return true;
    }
    if (tenant->cache->never_evicts) {
        return false;
    }
    struct cache_evicted evicted = evict_own(tenant, over + over / 4);
    while (over_quota_bytes(tenant, bytes) > OVERSHOOT_BYTES && evicted.work != 0) {
        evicted = evict_own(tenant, over);
    }
    return over_quota_bytes(tenant, bytes) <= OVERSHOOT_BYTES;
}

/* What a set gives for the next ones. `bytes`: that are owed. */
static void give_ahead(struct quarry_cache *cache, uint64_t bytes)
{
    const struct cache_evict_limits limits = {bytes + bytes / 4, SET_ITEMS, SET_WORK};

    if (bytes != 0 && !cache->never_evicts) {
        struct cache_evicted evicted = cache_refill_evict(cache, &limits);
        if (evicted.bytes >= SET_BYTES_LOOK) {
            cache_refill_look(cache);
        }
    }
}

/* `owed_bytes`: that are to be evicted ahead. */
static Q_NOINLINE enum quarry_status take_cell(struct quarry_cache_tenant *tenant, size_t bytes,
                                               uint64_t owed_bytes, struct quarry_cell *ret_cell)
{
    struct quarry_cache *cache = tenant->cache;

    cache_policy_depth++;
    enum quarry_status status = QUARRY_NO_MEMORY;
    if (keep_quota(tenant, bytes)) {
        give_ahead(cache, owed_bytes);
        status = slab_take(cache->slab, bytes, ret_cell);
        if (Q_UNLIKELY(status == QUARRY_NO_MEMORY || status == QUARRY_NO_SPACE)) {
            status = cache_need_take(cache, bytes, status, ret_cell);
        }
    }
    cache_policy_depth--;
    return status;
}

uint32_t cache_policy_take_cell(struct quarry_cache_tenant *tenant, size_t bytes,
                                struct quarry_cell *ret_cell)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t owed_bytes = cache_refill_owed(&cache->policy->levels, cache, bytes);

    if (Q_LIKELY(owed_bytes == 0 && atomic_load_relaxed_u64(&tenant->quota_bytes) == 0)) {
        uint32_t cell_bytes = slab_take_kept(cache->slab, bytes, ret_cell);
        if (Q_LIKELY(cell_bytes != 0)) {
            return cell_bytes;
        }
    }
    return take_cell(tenant, bytes, owed_bytes, ret_cell) == QUARRY_OK
               ? slab_page_of(cache->slab, ret_cell->ref)->cell_bytes
               : 0;
}

bool cache_policy_make_room(struct quarry_cache *cache, uint64_t bytes)
{
    if (cache_policy_depth != 0 || cache_is_inside(cache)) {
        return false;
    }
    return cache_account_give_back(cache, bytes) != 0;
}

/* ---- in the background ---------------------------------------------------------------------- */

/* Evicts ahead. Returns: work done. */
static uint32_t turn_evict(struct quarry_cache *cache)
{
    struct cache_room room = cache_room_read(cache);
    uint64_t lacking = cache_room_lacking(&room);

    if (cache->never_evicts || lacking == 0) {
        return 0;
    }
    const struct cache_evict_limits limits = {lacking, EVICT_WORK, EVICT_WORK};
    return cache_refill_evict(cache, &limits).work;
}

/*
 * Pages that had been emptied become free, some time after their readers have left; what was
 * evicted for sets that wait, and this thread keeps. Returns: whether that was this turn's part.
 */
static bool turn_settle(struct quarry_cache *cache)
{
    struct cache_policy *policy = cache->policy;

    if (policy->has_evicted_for_need) {
        policy->has_evicted_for_need = false;
        (void)quarry_slab_trim(cache->slab);
        cache_need_tell(&policy->need);
        return true;
    }
    /* Cells that were evicted may have been the last of a page: looked for less often. */
    if (policy->emptied_seen == atomic_load_relaxed_u64(&policy->rebalance.emptied_count) &&
        ++policy->unsettled_turns < TURNS_PER_SETTLE) {
        return false;
    }
    policy->unsettled_turns = 0;
    uint64_t emptied = atomic_load_relaxed_u64(&policy->rebalance.emptied_count);
    if (slab_settle(cache->slab) == 0) {
        return false;
    }
    policy->emptied_seen = emptied;
    cache_need_tell(&policy->need);
    return true;
}

/* Goes on with the page that is emptied, or chooses one. */
static enum cache_rebalance_step turn_empty(struct quarry_cache *cache,
                                            const struct cache_room *room, uint32_t work)
{
    struct cache_policy *policy = cache->policy;
    bool is_needed = cache_need_is_there(&policy->need);
    bool is_urgent = room->over_bytes != 0 || is_needed;
    /* Of what grows now a page is taken only where there is no other, and once a second. */
    uint32_t spared_class = is_needed ? atomic_load_relaxed_u32(&policy->need.class_id)
                                      : atomic_load_relaxed_u32(&cache->slab->grown_class);
    enum cache_rebalance_step step =
        cache_rebalance_step(&policy->rebalance, spared_class, is_urgent, work);

    if (step == CACHE_REBALANCE_NOTHING &&
        (room->over_bytes != 0 || policy->own_second != cache_now(cache))) {
        policy->own_second = cache_now(cache);
        step = cache_rebalance_step(&policy->rebalance, 0, is_urgent, work);
    }
    return step;
}

/* Whether who waits has enough coming: until readers have left, nothing of it can be taken. */
static bool need_is_met(struct quarry_cache *cache)
{
    struct cache_policy *policy = cache->policy;

    if (cache_need_has_cells(cache)) {
        cache_need_tell(&policy->need); /* they have yet to get the processor */
        return true;
    }
    if (ref_epoch_is_past(cache->epoch, policy->need_stamp)) {
        policy->need_stamp = ref_epoch_now(cache->epoch);
        policy->need_evicted_bytes = 0;
    }
    return policy->need_evicted_bytes >= NEED_MAX_BYTES;
}

/* Nothing can be emptied but pages of what sets wait for: some of it goes instead. */
static uint32_t turn_evict_for_need(struct quarry_cache *cache)
{
    const struct cache_evict_limits limits = {NEED_BYTES, EVICT_WORK, EVICT_WORK};
    struct cache_policy *policy = cache->policy;

    if (!cache_need_is_there(&policy->need) || cache->never_evicts || need_is_met(cache)) {
        return 1;
    }
    struct cache_evicted evicted = cache_refill_evict(cache, &limits);
    policy->need_evicted_bytes += evicted.bytes;
    policy->has_evicted_for_need = evicted.work != 0;
    return evicted.work == 0 ? 1 : (uint32_t)size_max_u64(evicted.work, MORE_WORK);
}

/*
 * Whether pages enough have been emptied that become free when readers have left. A reader may lose
 * its processor: page after page would be emptied meanwhile, until next to nothing is stored.
 */
static bool is_enough_coming(struct quarry_cache *cache, const struct cache_room *room)
{
    struct cache_policy *policy = cache->policy;
    uint64_t emptied = atomic_load_relaxed_u64(&policy->rebalance.emptied_bytes);

    if (ref_epoch_is_past(cache->epoch, policy->coming_stamp)) {
        policy->coming_stamp = ref_epoch_now(cache->epoch);
        policy->coming_from_bytes = emptied;
    }
    return emptied - policy->coming_from_bytes >= 2 * room->wants_open_bytes + room->over_bytes;
}

/* Sees to it that pages can be added. */
static uint32_t turn_rebalance(struct quarry_cache *cache)
{
    struct cache_room room = cache_room_read(cache);

    if (room.open_bytes >= room.wants_open_bytes && room.over_bytes == 0) {
        return 0;
    }
    if (turn_settle(cache)) {
        return REBALANCE_WORK;
    }
    if (is_enough_coming(cache, &room)) {
        return 1;
    }
    enum cache_rebalance_step step = turn_empty(cache, &room, REBALANCE_WORK);
    if (step == CACHE_REBALANCE_NOTHING || cache_rebalance_is_futile(&cache->policy->rebalance)) {
        return turn_evict_for_need(cache); /* else it is no use to go on at once */
    }
    return REBALANCE_WORK;
}

/* Ghosts and flushes of some tenants. */
static uint32_t turn_tenants(struct quarry_cache *cache)
{
    struct cache_policy *policy = cache->policy;
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit), work = 0;

    quarry_epoch_enter(cache->epoch);
    for (uint32_t i = 0; i < TENANTS_PER_TURN && i < limit && work < SWEEP_WORK; i++) {
        uint32_t id = policy->next_tenant++ % limit;
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL && tenant->policy != NULL) {
            work += cache_sweep_turn(tenant, SWEEP_WORK - work);
            cache_hand_see_ghosts(&tenant->policy->hand);
        }
    }
    quarry_epoch_leave(cache->epoch);
    return work;
}

bool cache_policy_turn(struct quarry_cache *cache)
{
    struct cache_policy *policy = cache->policy;

    cache_policy_depth++;
    cache_refill_choose(cache);
    uint32_t work = turn_evict(cache);
    work += turn_rebalance(cache);
    atomic_bump_relaxed_u32(&policy->need.work_count, work);
    work += cache_expire_turn(cache, EXPIRE_WORK);
    work += turn_tenants(cache);
    cache_policy_depth--;
    atomic_bump_relaxed_u32(&policy->need.turn_count, 1);
    if (work > atomic_load_relaxed_u32(&policy->work_max)) {
        atomic_store_relaxed_u32(&policy->work_max, work);
    }
    return work >= MORE_WORK;
}

/* ---- figures -------------------------------------------------------------------------------- */

void cache_policy_read_tenant(const struct quarry_cache_tenant *tenant,
                              struct quarry_cache_tenant_stats *stats)
{
    stats->small_bytes = cache_hand_small_bytes(&tenant->policy->hand);
    stats->main_bytes = cache_hand_main_bytes(&tenant->policy->hand);
}

void cache_policy_read_stats(struct quarry_cache *cache, struct quarry_cache_stats *stats)
{
    struct cache_policy *policy = cache->policy;
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);
    struct cache_room room = cache_room_read(cache);

    stats->policy_bytes = sizeof(*policy) + atomic_load_relaxed_u64(&policy->expiry.bytes);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < limit; id++) {
        const struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL && tenant->policy != NULL) {
            const struct cache_hand *hand = &tenant->policy->hand;
            stats->policy_bytes += sizeof(*tenant->policy) +
                                   atomic_load_relaxed_u64(&hand->small.bytes) +
                                   atomic_load_relaxed_u64(&hand->ghosts.bytes);
        }
    }
    quarry_epoch_leave(cache->epoch);
    stats->crawled_items = atomic_load_relaxed_u64(&policy->expiry.crawled_count);
    stats->is_full = cache_room_is_full(&room);
}

/* ---- validation ----------------------------------------------------------------------------- */

static enum quarry_status differs(struct quarry_error *error, const char *what, uint64_t here,
                                  uint64_t there)
{
    return error_set(error, QUARRY_CORRUPT, "cache: %s: %llu bytes noted, %llu found", what,
                     (unsigned long long)here, (unsigned long long)there);
}

/* Adds an item to what is found of its queue. */
static void validate_item(struct quarry_cache_tenant *tenant, uint64_t ref48, uint64_t *found)
{
    const struct cache_item *item = cache_item_at(tenant->cache, ref48);
    uint32_t head = cache_item_head(item);
    uint64_t slot = cache_index_slot(tenant, cache_item_hash(tenant, item, head), ref48);

    found[cache_slot_is_main(slot)] += cache_item_charge(tenant->cache, ref48, item, head);
}

static enum quarry_status validate_tenant(struct quarry_cache_tenant *tenant, uint64_t *sum,
                                          struct quarry_error *error)
{
    uint64_t refs[VALIDATED_AT_ONCE], found[2] = {0, 0}, cursor = 0;

    while (cursor != UINT64_MAX) {
        uint32_t count = cache_index_next(tenant, &cursor, refs, VALIDATED_AT_ONCE);
        for (uint32_t i = 0; i < count; i++) {
            validate_item(tenant, refs[i], found);
        }
    }
    const struct cache_hand *hand = &tenant->policy->hand;
    *sum += found[0] + found[1];
    if (found[0] != cache_hand_small_bytes(hand)) {
        return differs(error, "small queue", cache_hand_small_bytes(hand), found[0]);
    }
    if (found[1] != cache_hand_main_bytes(hand)) {
        return differs(error, "main queue", cache_hand_main_bytes(hand), found[1]);
    }
    return QUARRY_OK;
}

enum quarry_status cache_policy_validate(struct quarry_cache *cache, struct quarry_error *error)
{
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);
    enum quarry_status status = QUARRY_OK;
    uint64_t sum = 0;

    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < limit && status == QUARRY_OK; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL && tenant->policy != NULL) {
            status = validate_tenant(tenant, &sum, error);
        }
    }
    quarry_epoch_leave(cache->epoch);
    if (status == QUARRY_OK && sum != cache_levels_used(&cache->policy->levels)) {
        status = differs(error, "items", cache_levels_used(&cache->policy->levels), sum);
    }
    return status;
}
