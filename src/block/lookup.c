/*
 * Finding blocks, and entering them.
 *
 * A lookup that finds its block, in numbered steps (shard.c says why they are safe):
 *   1. enter the epoch;
 *   2. load the shard's table word; load the slots of the bucket, until one has the tag and its
 *      block's key is the one wanted;
 *   3. raise the block's count by compare-and-swap; from 0: begin again at 2;
 *   4. set the entry's referenced bit, if it is not set;
 *   5. leave the epoch.
 *
 * A count of 0 under a slot that still leads to it is a block on the move, for the time of a copy.
 * After some rounds the lookup waits for the shard's lock, which the mover holds.
 *
 * A miss needs no confirmation: see table.c.
 *
 * Cost: three lines of memory, of which the table's and the referenced bit's are few enough to be
 * in a cache of the CPU's; one locked instruction, and one for the release.
 */
#include <block/block.h>
#include <block/cache.h>

/* Rounds without the lock. Moving 4 KiB takes about as long as eight. */
#define LOOKUP_TRIES 8u

/* Steps 2 and 3. Returns: NULL: not there, or (*ret_again) gone just now. */
static inline struct block_header *find_and_pin(const struct block_shard *shard,
                                                const struct quarry_block_key *key, uint64_t hash,
                                                bool *ret_again)
{
    /* Acquire: pairs with the release in install_table. */
    block_table table = atomic_load_acquire_uptr(&shard->table);
    struct block_cursor cursor = block_table_begin(table, hash);
    _Atomic uint64_t *place;
    uint64_t slot;

    while ((slot = block_table_next(&cursor, &place)) != 0) {
        if (block_slot_is_ghost(slot)) {
            continue;
        }
        struct block_header *header = block_slot_header(slot);
        if (Q_LIKELY(block_key_equal(&header->key, key))) {
            if (Q_LIKELY(ref_count_try_acquire(&header->count))) {
                return header;
            }
            *ret_again = true;
            return NULL;
        }
    }
    return NULL;
}

static void touch(const struct block_header *header)
{
    /* Relaxed: written before the slot that led here. */
    clock_pro_touch((_Atomic uint8_t *)atomic_load_relaxed_uptr(&header->referenced));
}

Q_COLD static struct block_header *lookup_locked(struct block_shard *shard,
                                                 const struct quarry_block_key *key, uint64_t hash)
{
    return block_shard_find(shard, key, hash);
}

struct block_header *block_lookup(struct quarry_block_cache *cache,
                                  const struct quarry_block_key *key, uint64_t hash,
                                  bool is_background)
{
    struct block_shard *shard = block_cache_shard(cache, hash);
    struct block_header *header = NULL;
    bool is_again = true;

    quarry_epoch_enter(cache->epoch);
    for (uint32_t i = 0; Q_LIKELY(header == NULL) && is_again && i < LOOKUP_TRIES; i++) {
        is_again = false;
        header = find_and_pin(shard, key, hash, &is_again);
    }
    quarry_epoch_leave(cache->epoch);
    if (Q_UNLIKELY(is_again)) {
        header = lookup_locked(shard, key, hash);
    }
    if (header != NULL && !is_background) {
        touch(header);
    }
    return header;
}

bool quarry_block_cache_get(struct quarry_block_cache *cache, const struct quarry_block_key *key,
                            struct quarry_block_tag tag, struct quarry_block *ret_block)
{
    Q_ASSERT(tag.kind < QUARRY_BLOCK_KINDS && tag.level < QUARRY_BLOCK_LEVELS);
    struct block_header *header = block_lookup(cache, key, block_key_hash(key), tag.is_background);

    block_lookups_count(&cache->lookups, tag, header == NULL ? BLOCK_MISS : BLOCK_HIT);
    if (header == NULL) {
        return false;
    }
    *ret_block = block_handle(cache, header);
    return true;
}

/* ---- fetching ahead ------------------------------------------------------------------------- */

/* The header that a slot with the key's tag leads to, of a block or of none any more; or NULL. */
static const struct block_header *guess(const struct block_shard *shard, uint64_t hash)
{
    /* Acquire: pairs with the release in install_table. */
    struct block_cursor cursor = block_table_begin(atomic_load_acquire_uptr(&shard->table), hash);
    _Atomic uint64_t *place;
    uint64_t slot = block_table_next(&cursor, &place);

    return slot == 0 || block_slot_is_ghost(slot) ? NULL : block_slot_header(slot);
}

void block_cache_prefetch(struct quarry_block_cache *cache, const struct quarry_block_key *key,
                          enum block_prefetch step)
{
    uint64_t hash = block_key_hash(key);
    struct block_shard *shard = block_cache_shard(cache, hash);

    if (step == BLOCK_PREFETCH_SLOT) {
        /* Acquire: pairs with the release in install_table. */
        block_table_prefetch(atomic_load_acquire_uptr(&shard->table), hash);
        return;
    }
    quarry_epoch_enter(cache->epoch);
    const struct block_header *header = guess(shard, hash);
    if (header != NULL && step == BLOCK_PREFETCH_HEADER) {
        __builtin_prefetch(header, 1);
    } else if (header != NULL) {
        const char *extra = (const char *)header + QUARRY_BLOCK_HEADER_BYTES +
                            block_extra_offset(header->payload_bytes);
        __builtin_prefetch(extra);
    }
    quarry_epoch_leave(cache->epoch);
}

/* ---- entering ------------------------------------------------------------------------------- */

/* Whether a minute has passed is asked for one insertion in so many. */
#define TURN_EVERY 256u

static void turn_windows(struct quarry_block_cache *cache, uint64_t hash)
{
    /* The hash is as good as a counter, and nobody's line. */
    if (Q_UNLIKELY(hash % TURN_EVERY == 0)) {
        quarry_block_cache_tick(cache);
    }
}

enum quarry_status block_cache_enter(struct quarry_block_cache *cache,
                                     const struct quarry_block_key *key,
                                     struct quarry_block_tag tag, struct quarry_block *block,
                                     bool is_wanted)
{
    struct block_header *header = block_held(block);
    struct block_put put = {.header = header,
                            .hash = block_key_hash(key),
                            .bytes = (uint32_t)block_buffer_bytes(cache, header),
                            .is_referenced = is_wanted};
    struct block_victims victims = {0};

    Q_ASSERT_MSG(ref_count_read(&header->count) == 1, "a block that others hold is entered");
    Q_ASSERT_MSG(atomic_load_relaxed_uptr(&header->referenced) == 0, "a block is entered twice");
    Q_ASSERT(tag.kind < QUARRY_BLOCK_KINDS && tag.level < QUARRY_BLOCK_LEVELS);
    header->key = *key;
    header->kind = tag.kind;
    header->level = tag.level;
    header->is_background = tag.is_background;
    ref_count_acquire(&header->count); /* the cache's */
    struct block_shard *shard = block_cache_shard(cache, put.hash);
    enum quarry_status status = block_shard_put(shard, &put, &victims);
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        block_header_release(cache, header);
        (void)block_shard_erase(shard, key, put.hash, &victims);
    }
    block_victims_release(cache, victims);
    turn_windows(cache, put.hash);
    return status;
}

enum quarry_status quarry_block_cache_put(struct quarry_block_cache *cache,
                                          const struct quarry_block_key *key,
                                          struct quarry_block_tag tag, struct quarry_block *block)
{
    return block_cache_enter(cache, key, tag, block, false);
}

/* ---- removing ------------------------------------------------------------------------------- */

bool quarry_block_cache_erase(struct quarry_block_cache *cache, const struct quarry_block_key *key)
{
    uint64_t hash = block_key_hash(key);
    struct block_victims victims = {0};
    bool was_there = block_shard_erase(block_cache_shard(cache, hash), key, hash, &victims);

    block_victims_release(cache, victims);
    return was_there;
}

uint64_t quarry_block_cache_evict_file(struct quarry_block_cache *cache, uint64_t handle,
                                       uint64_t file)
{
    uint64_t block_count = 0;

    for (uint64_t i = 0; i < cache->shard_count; i++) {
        uint32_t removed;
        do {
            struct block_victims victims = {0};
            removed =
                block_shard_evict_file(&cache->shards[i], handle, file, &block_count, &victims);
            block_victims_release(cache, victims);
        } while (removed == BLOCK_EVICT_FILE_STEP);
    }
    return block_count;
}
