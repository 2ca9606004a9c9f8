/*
 * Growing and shrinking a cache.
 *
 * The capacity bounds what is held, whatever it is for: what the account has charged. A thread that
 * makes a block asks before the slab takes a page for it (block_cache_on_page). Where that would be
 * too much, it makes way: by pages of which a quarter is free or more, whose blocks move to others
 * of their size; or by evicting some more blocks than it needs. The shards then keep as much less,
 * for else each of them would fill what it has been told it may, hot blocks first, and the next
 * block find none of it; they come to keep more again as blocks are entered (block_shard_squeeze).
 *
 *     capacity |—— blocks ——|—— free cells ——|— held by readers only —|— entries, tables —|
 *              |<- shards ->|<------------------ squeezed ----------------------------- ->|
 *
 * Rejected: counting free cells and entries when a shard's limit is set. How many there are is told
 * by stopping all threads; and most of them serve the next block, so that a cache which left room
 * for them would be a tenth smaller than it need be. The account's ceiling as the bound: it refuses
 * readers who hold a cache's worth of blocks, and a read shall not fail for want of memory.
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

#include <slab/slab.h>

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
/* And at least so many blocks of the size that is made. */
#define EVICT_AHEAD_BLOCKS 8u

/* What a cache may hold beside its capacity: a page of cells, and a 64th for their ends. */
#define SLACK_BYTES SHRINK_BYTES_MIN
#define SLACK_PART  64u
/* What pages are gathered for at a time. */
#define GATHER_BYTES SHRINK_BYTES_MIN
/* For how many calls none are gathered after calls that found none, at most, as a power of two. */
#define GATHER_VAIN_MAX 3u

/* What this thread takes memory for. */
static _Thread_local struct {
    const struct quarry_block_cache *cache; /* compared, never followed; NULL: none */
    uint64_t allowed_bytes;                 /* of its growing_bytes */
} exchange;

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
    block_cache_bound(cache);
    block_cache_aim(cache);
    block_cache_make_room(cache, 0);
}

void quarry_block_cache_unreserve(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t part = part_of_shard(cache, bytes);
    uint64_t before = atomic_sub_relaxed_u64(&cache->reserved_bytes, bytes);
    uint64_t part_before = atomic_sub_relaxed_u64(&cache->limits.reserved_bytes, part);

    Q_ASSERT_MSG(before >= bytes && part_before >= part, "more is unreserved than was reserved");
    block_cache_bound(cache);
    block_cache_aim(cache);
}

static void set_capacity(struct quarry_block_cache *cache, uint64_t capacity_bytes)
{
    uint64_t part = capacity_bytes / cache->shard_count;

    Q_ASSERT(capacity_bytes != 0);
    atomic_store_relaxed_u64(&cache->capacity_bytes, capacity_bytes);
    atomic_store_relaxed_u64(&cache->limits.max_bytes, part == 0 ? 1 : part);
    block_cache_bound(cache);
    block_cache_aim(cache);
}

void quarry_block_cache_set_capacity(struct quarry_block_cache *cache, uint64_t capacity_bytes)
{
    set_capacity(cache, capacity_bytes);
    block_cache_make_room(cache, 0);
}

/* ---- giving back ---------------------------------------------------------------------------- */

uint64_t block_cache_charged_bytes(const struct quarry_block_cache *cache)
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
    uint64_t before_bytes = block_cache_charged_bytes(cache), given_bytes = 0;

    for (uint32_t i = 0; i < SHRINK_ROUNDS; i++) {
        give_free(cache, wanted_bytes - given_bytes); /* perhaps that is enough */
        given_bytes = sat_sub_u64(before_bytes, block_cache_charged_bytes(cache));
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

/* ---- what may be held ----------------------------------------------------------------------- */

void block_cache_bound(struct quarry_block_cache *cache)
{
    /* Relaxed all: a bound of before, for a moment. */
    uint64_t bytes = sat_sub_u64(atomic_load_relaxed_u64(&cache->capacity_bytes),
                                 atomic_load_relaxed_u64(&cache->reserved_bytes));

    bytes = sat_add_u64(bytes, bytes / SLACK_PART);
    bytes = sat_add_u64(bytes, SLACK_BYTES + cache->fixed_bytes);
    atomic_store_relaxed_u64(&cache->held_max_bytes, bytes);
}

enum quarry_status block_cache_on_page(void *argument, uint64_t bytes)
{
    struct quarry_block_cache *cache = argument;

    if (exchange.cache != cache) {
        return QUARRY_OK; /* nothing can make way */
    }
    /* What is allowed counts before it is charged, and for a moment twice: never too little. */
    uint64_t growing_bytes = atomic_add_relaxed_u64(&cache->growing_bytes, bytes) + bytes;
    exchange.allowed_bytes += bytes;
    if (sat_add_u64(block_cache_charged_bytes(cache), growing_bytes) <=
        atomic_load_relaxed_u64(&cache->held_max_bytes)) {
        return QUARRY_OK;
    }
    (void)atomic_sub_relaxed_u64(&cache->growing_bytes, bytes);
    exchange.allowed_bytes -= bytes;
    return QUARRY_NO_MEMORY;
}

void block_cache_exchange_begin(const struct quarry_block_cache *cache)
{
    Q_ASSERT(exchange.cache == NULL && exchange.allowed_bytes == 0);
    exchange.cache = cache;
}

void block_cache_exchange_end(struct quarry_block_cache *cache)
{
    Q_ASSERT(exchange.cache == cache);
    exchange.cache = NULL;
    if (Q_UNLIKELY(exchange.allowed_bytes != 0)) {
        (void)atomic_sub_relaxed_u64(&cache->growing_bytes, exchange.allowed_bytes);
        exchange.allowed_bytes = 0;
    }
}

/* Whether it is time to look for pages again. Relaxed all: a call more or less. */
static bool gather_is_due(struct quarry_block_cache *cache)
{
    uint32_t left = atomic_load_relaxed_u32(&cache->gather_left);

    if (left != 0) {
        atomic_store_relaxed_u32(&cache->gather_left, left - 1);
    }
    return left == 0;
}

static void gather_note(struct quarry_block_cache *cache, bool has_found)
{
    uint32_t vain = atomic_load_relaxed_u32(&cache->gather_vain);

    vain = has_found ? 0 : (uint32_t)size_min(vain + 1, GATHER_VAIN_MAX);
    atomic_store_relaxed_u32(&cache->gather_vain, vain);
    atomic_store_relaxed_u32(&cache->gather_left, (UINT32_C(1) << vain) - 1);
}

/* Pages of which a good part is free. Returns: bytes given back. */
static uint64_t gather(struct quarry_block_cache *cache)
{
    if (!gather_is_due(cache)) {
        return 0;
    }
    block_large_collect(cache);
    uint64_t bytes = slab_gather(cache->slab, GATHER_BYTES, move_block, cache);
    if (bytes != 0) {
        let_readers_pass(cache);
        (void)slab_settle(cache->slab);
    }
    gather_note(cache, bytes != 0);
    return bytes;
}

/* As block_cache_evict, and the shards are to keep as much less. */
static uint64_t evict_for_good(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t part = part_of_shard(cache, bytes), evicted_bytes = 0;

    for (uint64_t i = 0; i < cache->shard_count; i++) {
        struct block_victims victims = {0};
        evicted_bytes += block_shard_squeeze(&cache->shards[i], &cache->limits, part, &victims);
        block_victims_release(cache, victims);
    }
    return evicted_bytes;
}

bool block_cache_make_way(struct quarry_block_cache *cache, uint64_t bytes)
{
    if (gather(cache) != 0) {
        return true;
    }
    uint64_t ahead_bytes =
        size_min_u64(block_cache_charged_bytes(cache) / EVICT_AHEAD_PART,
                     size_max_u64(EVICT_AHEAD_BYTES, EVICT_AHEAD_BLOCKS * bytes));
    uint64_t evicted_bytes = evict_for_good(cache, size_max_u64(bytes, ahead_bytes));
    let_readers_pass(cache);
    return evicted_bytes != 0;
}

void block_cache_make_room(struct quarry_block_cache *cache, uint64_t bytes)
{
    uint64_t held_max_bytes = atomic_load_relaxed_u64(&cache->held_max_bytes);
    uint64_t wanted_bytes = sat_add_u64(block_cache_charged_bytes(cache), bytes);

    if (wanted_bytes > held_max_bytes) {
        (void)quarry_block_cache_shrink(cache, wanted_bytes - held_max_bytes);
    }
}

/* ---- what the account calls ----------------------------------------------------------------- */

/* What nobody has to be evicted for. Returns: bytes given back. */
static uint64_t give_unused(struct quarry_block_cache *cache)
{
    uint64_t before_bytes = block_cache_charged_bytes(cache);

    let_readers_pass(cache);
    block_large_collect(cache);
    (void)quarry_slab_trim(cache->slab);
    return sat_sub_u64(before_bytes, block_cache_charged_bytes(cache));
}

uint64_t block_cache_on_reclaim(void *cache, uint64_t wanted_bytes)
{
    return exchange.cache == cache ? give_unused(cache)
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
    set_capacity(cache, capacity_bytes == 0 ? 1 : capacity_bytes);
}
