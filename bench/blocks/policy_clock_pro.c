/*
 * Quarry's policy: the clock of its block cache itself, one shard of it, driven directly.
 *
 *   key ──► entry's number ──► test: has come back, so revive it
 *                        └───► hot or cold: touch it
 *   no number: insert; the clock says by calls what leaves
 */
#include <bench/blocks/policy.h>

#include <stdlib.h>

#include <base/base.h>
#include <block/clock_pro.h>

struct cache {
    struct clock_pro clock;
    uint32_t *entry; /* of each key; CLOCK_PRO_NONE: none */
};

/* A resident entry becomes a ghost: the clock knows, and there is no value to drop. */
static void evict(void *argument, uint32_t entry)
{
    (void)argument;
    (void)entry;
}

static void forget(void *argument, uint32_t entry)
{
    struct cache *cache = argument;

    cache->entry[clock_pro_entry(&cache->clock, entry)->value] = CLOCK_PRO_NONE;
}

static const struct clock_pro_events events = {.evict = evict, .forget = forget};

static void *create(uint64_t capacity_bytes, uint32_t key_count)
{
    struct cache *cache = bench_policy_alloc(1, sizeof *cache);
    uint32_t chunk_capacity = key_count / CLOCK_PRO_CHUNK_ENTRIES + 2;

    cache->entry = bench_policy_alloc(key_count, sizeof *cache->entry);
    for (uint32_t key = 0; key < key_count; key++) {
        cache->entry[key] = CLOCK_PRO_NONE;
    }
    clock_pro_init(&cache->clock, capacity_bytes, &events, cache);
    cache->clock.chunks = bench_policy_alloc(chunk_capacity, sizeof(void *));
    cache->clock.chunk_capacity = chunk_capacity;
    return cache;
}

static void destroy(void *context)
{
    struct cache *cache = context;

    for (uint32_t i = 0; i < cache->clock.chunk_count; i++) {
        free(cache->clock.chunks[i]);
    }
    free(cache->clock.chunks);
    free(cache->entry);
    free(cache);
}

static void insert(struct cache *cache, uint32_t key, uint32_t bytes)
{
    if (cache->clock.free_entry == CLOCK_PRO_NONE) {
        clock_pro_add_chunk(&cache->clock, bench_policy_alloc(1, sizeof(struct clock_pro_chunk)));
    }
    uint32_t entry = clock_pro_insert(&cache->clock, bytes, false);
    if (entry != CLOCK_PRO_NONE) {
        clock_pro_entry(&cache->clock, entry)->value = key;
    }
    cache->entry[key] = entry;
}

static bool access_key(void *context, uint32_t key, uint32_t bytes)
{
    struct cache *cache = context;
    uint32_t entry = cache->entry[key];

    if (entry == CLOCK_PRO_NONE) {
        insert(cache, key, bytes);
        return false;
    }
    if (clock_pro_entry(&cache->clock, entry)->type != CLOCK_PRO_TEST) {
        clock_pro_touch(clock_pro_referenced(&cache->clock, entry));
        return true;
    }
    if (!clock_pro_revive(&cache->clock, entry, bytes)) {
        cache->entry[key] = CLOCK_PRO_NONE;
    }
    return false;
}

const struct bench_policy bench_policy_clock_pro = {"quarry", "Clock-Pro, as Quarry has it", create,
                                                    destroy, access_key};
