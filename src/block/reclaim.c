/*
 * Growing and shrinking a cache.
 *
 * Three things change its size. Whoever owns it sets its capacity, or reserves a part of it. The
 * memory's arbiter assigns a target, which the capacity of an elastic cache follows. And when
 * memory is short, the account asks for bytes: blocks are evicted, then the blocks that are left
 * on the emptiest pages are moved to fuller ones, and whole pages go back. Evicting alone would
 * give nothing back: blocks of all ages share pages.
 *
 * Locking: no lock is held while releasing, moving and waiting; evicting goes by steps of a
 * megabyte under a shard's lock.
 *
 * Cost: giving back a megabyte of 4 KiB blocks evicts about 256 and moves up to as many.
 */
#include <block/cache.h>

/* A page of cells is about as large: less evicted is less than a page, and nothing comes back. */
#define SHRINK_BYTES_MIN ((uint64_t)1 << 20)
/* Rounds of giving back and evicting in one call, the first without having evicted. */
#define SHRINK_ROUNDS 4u
/*
 * What is evicted at a time to make blocks where memory is short: about 64 blocks of 4 KiB, but no
 * more of a small cache than this part. Twice as much asks half as often, and keeps as much less.
 */
#define EVICT_AHEAD_BYTES ((uint64_t)256 << 10)
#define EVICT_AHEAD_PART  32u

/* The cache that this thread takes memory for; compared, never followed. */
static _Thread_local const struct quarry_block_cache *exchanging;

/* ---- capacity ------------------------------------------------------------------------------- */

void block_cache_aim(struct quarry_block_cache *cache)
{
    for (uint64_t i = 0; i < cache->shard_count; i++) {
        bool is_reached;
        do {
            struct block_victims victims = {0};
            is_reached = block_shard_aim(&cache->shards[i], &cache->limits, &victims);
            block_victims_release(cache, victims);
        } while (!is_reached);
    }
}

static uint64_t part_of_shard(const struct quarry_block_cache *cache, uint64_t bytes)
{
    return bytes / cache->shard_count + (bytes % cache->shard_count != 0);
}

void quarry_block_cache_reserve(struct quarry_block_cache *cache, uint64_t bytes)
{
    (void)atomic_add_relaxed_u64(&cache->reserved_bytes, bytes);
    (void)atomic_add_relaxed_u64(&cache->limits.reserved_bytes, part_of_shard(cache, bytes));
    block_cache_aim(cache);
}

void quarry_block_cache_unreserve(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t part = part_of_shard(cache, bytes);
    uint64_t before = atomic_sub_relaxed_u64(&cache->reserved_bytes, bytes);
    uint64_t part_before = atomic_sub_relaxed_u64(&cache->limits.reserved_bytes, part);

    Q_ASSERT_MSG(before >= bytes && part_before >= part, "more is unreserved than was reserved");
    block_cache_aim(cache);
}

void quarry_block_cache_set_capacity(struct quarry_block_cache *cache, uint64_t capacity_bytes)
{
    uint64_t part = capacity_bytes / cache->shard_count;

    Q_ASSERT(capacity_bytes != 0);
    atomic_store_relaxed_u64(&cache->capacity_bytes, capacity_bytes);
    atomic_store_relaxed_u64(&cache->limits.max_bytes, part == 0 ? 1 : part);
    block_cache_aim(cache);
}

/* ---- giving back ---------------------------------------------------------------------------- */

/* What the account has charged: blocks, free cells, tables. */
static uint64_t charged_bytes(const struct quarry_block_cache *cache)
{
    struct quarry_account_state state;

    quarry_account_read(cache->account, &state);
    return state.own_bytes;
}

uint64_t block_cache_evict(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t part = part_of_shard(cache, bytes), evicted_bytes = 0;

    for (uint64_t i = 0; i < cache->shard_count; i++) {
        for (uint64_t left = part; left != 0;) {
            struct block_victims victims = {0};
            uint64_t wanted = left < BLOCK_TARGET_STEP_BYTES ? left : BLOCK_TARGET_STEP_BYTES;
            uint64_t done = block_shard_shrink(&cache->shards[i], wanted, &victims);
            block_victims_release(cache, victims);
            evicted_bytes += done;
            left = done == 0 ? 0 : sat_sub_u64(left, done);
        }
    }
    return evicted_bytes;
}

uint64_t block_cache_evict_ahead(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t ahead_bytes = charged_bytes(cache) / EVICT_AHEAD_PART;

    ahead_bytes = ahead_bytes < EVICT_AHEAD_BYTES ? ahead_bytes : EVICT_AHEAD_BYTES;
    return block_cache_evict(cache, bytes < ahead_bytes ? ahead_bytes : bytes);
}

/* The slab wants a cell's contents elsewhere: a quarry_slab_move_function. */
static bool move_block(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                       void *new_data, size_t bytes)
{
    struct quarry_block_cache *cache = argument;
    struct block_header *from = (struct block_header *)(uintptr_t)old_data;

    (void)bytes;
    /*
     * Acquire: pair with the releases in quarry_block_alloc and in give_value. A cell whose block
     * is being made has not its name yet; one that was never entered is somebody's.
     */
    if (atomic_load_acquire_u64(&from->ref) != old_ref ||
        atomic_load_acquire_uptr(&from->referenced) == 0) {
        return false;
    }
    struct block_shard *shard = block_cache_shard(cache, block_key_hash(&from->key));
    return block_shard_move(shard, from, new_data, new_ref);
}

static void let_readers_pass(struct quarry_block_cache *cache)
{
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(cache->epoch);
    }
}

/* Gives back what is free. Pages whose last cells were moved or retired go once readers have left.
 */
static void give_free(struct quarry_block_cache *cache, uint64_t wanted_bytes)
{
    let_readers_pass(cache);
    block_large_collect(cache);
    (void)quarry_slab_compact(cache->slab, wanted_bytes, move_block, cache);
    let_readers_pass(cache);
    (void)quarry_slab_trim(cache->slab);
}

uint64_t quarry_block_cache_shrink(struct quarry_block_cache *cache, uint64_t wanted_bytes)
{
    uint64_t before_bytes = charged_bytes(cache), given_bytes = 0;

    for (uint32_t i = 0; i < SHRINK_ROUNDS; i++) {
        give_free(cache, wanted_bytes - given_bytes); /* perhaps that is enough */
        given_bytes = sat_sub_u64(before_bytes, charged_bytes(cache));
        if (given_bytes >= wanted_bytes) {
            break;
        }
        uint64_t lacking_bytes = wanted_bytes - given_bytes;
        if (block_cache_evict(cache, lacking_bytes < SHRINK_BYTES_MIN ? SHRINK_BYTES_MIN
                                                                      : lacking_bytes) == 0) {
            break;
        }
    }
    return given_bytes;
}

/* ---- what the account calls ----------------------------------------------------------------- */

void block_cache_exchange_begin(const struct quarry_block_cache *cache)
{
    Q_ASSERT(exchanging == NULL);
    exchanging = cache;
}

void block_cache_exchange_end(const struct quarry_block_cache *cache)
{
    Q_ASSERT(exchanging == cache);
    exchanging = NULL;
}

/* What nobody has to be evicted for. Returns: bytes given back. */
static uint64_t give_unused(struct quarry_block_cache *cache)
{
    uint64_t before_bytes = charged_bytes(cache);

    let_readers_pass(cache);
    block_large_collect(cache);
    (void)quarry_slab_trim(cache->slab);
    return sat_sub_u64(before_bytes, charged_bytes(cache));
}

uint64_t block_cache_on_reclaim(void *cache, uint64_t wanted_bytes)
{
    return exchanging == cache ? give_unused(cache)
                               : quarry_block_cache_shrink(cache, wanted_bytes);
}

void block_cache_on_value(void *argument, struct quarry_account_value *ret_value)
{
    struct quarry_block_cache *cache = argument;
    uint64_t ghost_hits = 0, tail_hits = 0;

    for (uint64_t i = 0; i < cache->shard_count; i++) {
        struct block_shard *shard = &cache->shards[i];
        os_mutex_lock(&shard->mutex);
        ghost_hits += shard->clock.revived_count;
        tail_hits += shard->clock.kept_count;
        ret_value->ghost_bytes += shard->clock.sum[CLOCK_PRO_TEST].bytes;
        ret_value->tail_bytes += shard->clock.sum[CLOCK_PRO_COLD].bytes;
        os_mutex_unlock(&shard->mutex);
    }
    /* Relaxed: one thread asks at a time. */
    ret_value->ghost_hits =
        sat_sub_u64(ghost_hits, atomic_exchange_relaxed_u64(&cache->value_ghost_hits, ghost_hits));
    ret_value->tail_hits =
        sat_sub_u64(tail_hits, atomic_exchange_relaxed_u64(&cache->value_tail_hits, tail_hits));
}

void block_cache_on_target(void *argument, uint64_t target_bytes)
{
    struct quarry_block_cache *cache = argument;

    uint64_t beside = cache->own_bytes + atomic_load_relaxed_u64(&cache->memory.taken_bytes);
    uint64_t capacity_bytes = sat_sub_u64(target_bytes, beside);
    quarry_block_cache_set_capacity(cache, capacity_bytes == 0 ? 1 : capacity_bytes);
}
