/*
 * A cache in the budget.
 *
 * The account has the cache's size as its ceiling, and is elastic: it says what more memory would
 * bring and what less would cost, and is given a target. The limit by which it evicts (refill.c) is
 * the least of both, so that a target which sinks is followed by the turn, and one that rises by
 * itself.
 *
 * What more would bring: misses whose key was a ghost, by the bytes that the ghosts had: every
 * eighth miss is looked up. What less would cost: the hand leaves items that it finds used just
 * once since it was there, and takes those that it finds unused; hits on the former are what a
 * cache with so much less would have missed. That is an upper bound: an item that was used before
 * the last turn counts again.
 *
 * When others need memory the account is asked to give some back, by whatever thread needs it. That
 * takes whole pages: as much is evicted as lacks, by S3-FIFO, and then the pages that are worth
 * least are emptied, whose other items find room where the first had been. A thread that is taking
 * memory for this very cache, or is inside its epoch, gives nothing: what it would free is not free
 * before it leaves.
 */
#include <cache/account.h>

#include <cache/policy_parts.h>

#define STEP_WORK 128u
/* Given back in one call: whoever lacks more asks again. */
#define GIVE_MAX_BYTES Q_MIB(64)
/* Steps without a byte before it gives up: others are at it, or readers stay. */
#define FRUITLESS_MAX 256u

static uint64_t charged_bytes(const struct quarry_cache *cache)
{
    return atomic_load_relaxed_u64(&cache->account->charged_bytes);
}

/* ---- giving --------------------------------------------------------------------------------- */

/* Evicts where the free cells that there are would not hold what has to move. */
static void make_cells(struct quarry_cache *cache, uint64_t lacking_bytes)
{
    struct cache_room room = cache_room_read(cache);

    if (!cache->never_evicts && room.cell_bytes < lacking_bytes) {
        const struct cache_evict_limits limits = {lacking_bytes - room.cell_bytes, STEP_WORK,
                                                  STEP_WORK};
        (void)cache_refill_evict(cache, &limits);
    }
}

uint64_t cache_account_give_back(struct quarry_cache *cache, uint64_t wanted_bytes)
{
    uint64_t before = charged_bytes(cache), given = 0, wanted = wanted_bytes;
    uint32_t fruitless = 0;

    wanted = size_min_u64(wanted, GIVE_MAX_BYTES);
    cache_policy_depth++;
    (void)quarry_slab_trim(cache->slab);
    given = sat_sub_u64(before, charged_bytes(cache));
    while (given < wanted && fruitless < FRUITLESS_MAX) {
        make_cells(cache, wanted - given);
        enum cache_rebalance_step step =
            cache_rebalance_step(&cache->policy->rebalance, 0, true, STEP_WORK);
        (void)slab_settle(cache->slab);
        uint64_t now_given = sat_sub_u64(before, charged_bytes(cache));
        fruitless = now_given > given || step == CACHE_REBALANCE_MORE ? 0 : fruitless + 1;
        given = size_max_u64(given, now_given);
        if (step == CACHE_REBALANCE_NOTHING && fruitless > 1) {
            break;
        }
        if (step == CACHE_REBALANCE_BUSY) {
            os_yield();
        }
    }
    cache_policy_depth--;
    return given;
}

/* ---- what the account calls ----------------------------------------------------------------- */

static uint64_t on_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct quarry_cache *cache = argument;

    if (cache_policy_depth != 0 || cache_is_inside(cache)) {
        return 0;
    }
    return cache_account_give_back(cache, wanted_bytes);
}

/* What has been added to a figure since it was read last. */
static uint64_t since(uint64_t *told, uint64_t now)
{
    uint64_t more = sat_sub_u64(now, *told);

    *told = now;
    return more;
}

static void on_value(void *argument, struct quarry_account_value *ret_value)
{
    struct quarry_cache *cache = argument;
    uint64_t hits = 0, kept = 0, seen = 0, ghosts = 0, items = 0, bytes = 0;
    uint32_t limit = atomic_load_relaxed_u32(&cache->tenant_limit);

    quarry_epoch_enter(cache->epoch);
    for (uint32_t id = 0; id < limit; id++) {
        const struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL && tenant->policy != NULL) {
            const struct cache_hand *hand = &tenant->policy->hand;
            hits += atomic_load_relaxed_u64(&hand->ghost_hits);
            kept += atomic_load_relaxed_u64(&hand->kept_count);
            seen += atomic_load_relaxed_u64(&hand->seen_bytes);
            ghosts += cache_ghosts_capacity(&hand->ghosts);
            items += cache_count_read(tenant, CACHE_COUNT_ITEMS);
            bytes += cache_hand_bytes(hand);
        }
    }
    quarry_epoch_leave(cache->epoch);
    ret_value->ghost_hits = since(&cache->policy->told_ghost_hits, hits);
    ret_value->ghost_bytes = items == 0 || items > INT64_MAX ? 0 : ghosts * (bytes / items);
    ret_value->tail_hits = since(&cache->policy->told_kept_count, kept);
    ret_value->tail_bytes = since(&cache->policy->told_seen_bytes, seen);
}

static void on_target(void *argument, uint64_t target_bytes)
{
    struct quarry_cache *cache = argument;

    atomic_store_relaxed_u64(&cache->target_bytes, target_bytes);
    cache_wake(cache);
}

/* ---- beginning and ending ------------------------------------------------------------------- */

enum quarry_status cache_account_init(struct quarry_cache *cache,
                                      const struct quarry_cache_options *options,
                                      struct quarry_error *error)
{
    const struct quarry_account_options account_options = {
        .name = options->name,
        .parent = options->parent,
        .share = options->share,
        .floor_bytes = options->floor_bytes,
        .ceiling_bytes = atomic_load_relaxed_u64(&cache->size_bytes),
        .is_all_pages = true,
        .begins_paused = true,
        .pauses_in_child = true,
        .reclaim = on_reclaim,
        .value = on_value,
        .set_target = on_target,
        .argument = cache,
    };
    enum quarry_status status =
        quarry_account_create(cache->heap, &account_options, &cache->account, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_account_charge(cache->account, cache->own_bytes);
    if (status != QUARRY_OK) {
        quarry_account_destroy(cache->account);
        cache->account = NULL;
    }
    return status;
}

void cache_account_start(struct quarry_cache *cache)
{
    quarry_account_resume(cache->account);
}

void cache_account_stop(struct quarry_cache *cache)
{
    quarry_account_pause(cache->account);
}

void cache_account_fini(struct quarry_cache *cache)
{
    quarry_account_uncharge(cache->account, cache->own_bytes);
    quarry_account_destroy(cache->account);
    cache->account = NULL;
}

enum quarry_status cache_account_set_size(struct quarry_cache *cache, uint64_t size_bytes)
{
    uint64_t before = atomic_exchange_relaxed_u64(&cache->size_bytes, size_bytes);
    enum quarry_status status =
        quarry_account_set_bounds(cache->account, cache->floor_bytes, size_bytes);

    if (status != QUARRY_OK) {
        atomic_store_relaxed_u64(&cache->size_bytes, before);
    }
    cache_room_bound_by_disk(cache);
    cache_wake(cache); /* what is too much goes in turns */
    return status;
}
