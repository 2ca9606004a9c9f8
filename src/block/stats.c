/*
 * Reading the metrics; checking everything.
 *
 * Counts are read while others count; sums of a shard are read under its lock. The windows turn by
 * copies of the totals (counters.c).
 */
#include <block/cache.h>

#include <string.h>

static void add_counts(const struct block_shard *shard, struct block_totals *totals)
{
    for (uint32_t i = 0; i < BLOCK_CELLS; i++) {
        const struct block_pair *pair = &shard->counts[i];
        totals->cell[i].inserts += atomic_load_relaxed_u64(&pair->count[BLOCK_INSERT]);
        totals->cell[i].evictions += atomic_load_relaxed_u64(&pair->count[BLOCK_EVICTION]);
    }
}

void block_cache_totals(struct quarry_block_cache *cache, struct block_totals *ret_totals)
{
    *ret_totals = (struct block_totals){.time_ns = os_monotonic_ns(cache->os)};
    block_lookups_add(&cache->lookups, ret_totals);
    for (uint64_t i = 0; i < cache->shard_count; i++) {
        struct block_shard *shard = &cache->shards[i];
        add_counts(shard, ret_totals);
        os_mutex_lock(&shard->mutex);
        ret_totals->ghost_hits += shard->clock.revived_count;
        os_mutex_unlock(&shard->mutex);
    }
}

void quarry_block_cache_tick(struct quarry_block_cache *cache)
{
    struct block_totals totals;

    /* Relaxed: a hint. */
    if (os_monotonic_ns(cache->os) >= atomic_load_relaxed_u64(&cache->windows.next_ns)) {
        block_cache_totals(cache, &totals);
        block_windows_turn(&cache->windows, &totals);
    }
}

/* What is in a shard now. */
static void add_contents(struct block_shard *shard, struct quarry_block_stats *stats)
{
    const struct clock_pro_sum *sum = shard->clock.sum;

    os_mutex_lock(&shard->mutex);
    stats->hot_bytes += sum[CLOCK_PRO_HOT].bytes;
    stats->hot_count += sum[CLOCK_PRO_HOT].count;
    stats->cold_bytes += sum[CLOCK_PRO_COLD].bytes;
    stats->cold_count += sum[CLOCK_PRO_COLD].count;
    stats->ghost_bytes += sum[CLOCK_PRO_TEST].bytes;
    stats->ghost_count += sum[CLOCK_PRO_TEST].count;
    stats->cold_target_bytes += shard->clock.cold_target_bytes;
    for (uint32_t i = 0; i < QUARRY_BLOCK_KINDS; i++) {
        stats->kind_bytes[i] += shard->kind_bytes[i];
    }
    os_mutex_unlock(&shard->mutex);
}

static void fill_counts(const struct block_totals *totals, struct quarry_block_stats *stats)
{
    memcpy(stats->counts, totals->cell, sizeof(stats->counts));
    memcpy(stats->background, &totals->cell[QUARRY_BLOCK_KINDS * QUARRY_BLOCK_LEVELS],
           sizeof(stats->background));
    stats->ghost_hits = totals->ghost_hits;
}
Q_STATIC_ASSERT(sizeof(((struct quarry_block_stats *)0)->counts) +
                        sizeof(((struct quarry_block_stats *)0)->background) ==
                    sizeof(((struct block_totals *)0)->cell),
                "cells are counts by kind and level, then background by kind");

void quarry_block_cache_stats(struct quarry_block_cache *cache, enum quarry_block_window window,
                              struct quarry_block_stats *ret_stats)
{
    struct block_totals totals;
    struct quarry_slab_stats slab;
    struct quarry_block_stats stats = {0};

    quarry_block_cache_tick(cache);
    block_cache_totals(cache, &totals);
    if (window == QUARRY_BLOCK_WINDOW_TOTAL) {
        stats.window_ns = totals.time_ns - cache->made_ns;
    } else {
        block_windows_subtract(&cache->windows, window, &totals, &stats.window_ns);
    }
    fill_counts(&totals, &stats);
    for (uint64_t i = 0; i < cache->shard_count; i++) {
        add_contents(&cache->shards[i], &stats);
    }
    quarry_slab_read_stats(cache->slab, &slab);
    stats.capacity_bytes = atomic_load_relaxed_u64(&cache->capacity_bytes);
    stats.reserved_bytes = atomic_load_relaxed_u64(&cache->reserved_bytes);
    stats.block_bytes = slab.live_bytes + atomic_load_relaxed_u64(&cache->large_bytes);
    stats.metadata_bytes = cache->own_bytes + slab.metadata_bytes +
                           atomic_load_relaxed_u64(&cache->memory.taken_bytes);
    *ret_stats = stats;
}

enum quarry_status quarry_block_cache_validate(struct quarry_block_cache *cache,
                                               struct quarry_error *error)
{
    for (uint64_t i = 0; i < cache->shard_count; i++) {
        const char *wrong = block_shard_validate(&cache->shards[i]);
        if (wrong != NULL) {
            return error_set(error, QUARRY_CORRUPT, "block cache, shard %u: %s", (unsigned)i,
                             wrong);
        }
    }
    return quarry_slab_validate(cache->slab, error);
}
