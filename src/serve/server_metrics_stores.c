/*
 * Figures of the cache and the key-value store.
 *
 * Tables of a family's name and where its figure lies, so that a family is a line. Tenants are at
 * most cache.tenants_max; each has a series of each of its families.
 *
 * Locking: what the stores take. Cost: a walk over the tenants for each of their families.
 */
#include <serve/server_metrics.h>

#include <stdio.h>
#include <string.h>

#include <quarry/block.h>

#include <serve/server_state.h>

struct family {
    enum serve_metric metric;
    size_t at; /* of the figure, an uint64_t */
};

static uint64_t figure_at(const void *figures, size_t at)
{
    uint64_t value;

    memcpy(&value, (const char *)figures + at, sizeof value);
    return value;
}

static void write_plain(struct serve_metrics *metrics, const struct family *families, size_t count,
                        const void *figures)
{
    for (size_t i = 0; i < count; i++) {
        serve_metric_one(metrics, families[i].metric, figure_at(figures, families[i].at));
    }
}

/* ---- the cache ------------------------------------------------------------------------------ */

#define CACHE(field)  offsetof(struct quarry_cache_stats, field)
#define TENANT(field) offsetof(struct quarry_cache_tenant_stats, field)

static const struct family cache_families[] = {
    {METRIC_quarry_cache_size_bytes, CACHE(size_bytes)},
    {METRIC_quarry_cache_charged_bytes, CACHE(charged_bytes)},
    {METRIC_quarry_cache_page_bytes, CACHE(page_bytes)},
    {METRIC_quarry_cache_cell_bytes, CACHE(cell_bytes)},
    {METRIC_quarry_cache_free_bytes, CACHE(free_bytes)},
    {METRIC_quarry_cache_index_bytes, CACHE(index_bytes)},
    {METRIC_quarry_cache_policy_bytes, CACHE(policy_bytes)},
    {METRIC_quarry_cache_items, CACHE(item_count)},
    {METRIC_quarry_cache_moved_pages_total, CACHE(moved_pages)},
    {METRIC_quarry_cache_moved_items_total, CACHE(moved_items)},
    {METRIC_quarry_cache_pinned_bytes, CACHE(pinned_bytes)},
    {METRIC_quarry_cache_index_slots, CACHE(index_slots)},
};

static const struct family tenant_families[] = {
    {METRIC_quarry_cache_tenant_items, TENANT(item_count)},
    {METRIC_quarry_cache_tenant_item_bytes, TENANT(item_bytes)},
    {METRIC_quarry_cache_tenant_hits_total, TENANT(get_hits)},
    {METRIC_quarry_cache_tenant_misses_total, TENANT(get_misses)},
    {METRIC_quarry_cache_tenant_sets_total, TENANT(set_count)},
    {METRIC_quarry_cache_tenant_evictions_total, TENANT(evictions)},
    {METRIC_quarry_cache_tenant_evicted_bytes_total, TENANT(evicted_bytes)},
    {METRIC_quarry_cache_tenant_expirations_total, TENANT(expired)},
    {METRIC_quarry_cache_tenant_ghost_hits_total, TENANT(ghost_hits)},
    {METRIC_quarry_cache_tenant_refused_too_large_total, TENANT(store_too_large)},
    {METRIC_quarry_cache_tenant_refused_no_memory_total, TENANT(store_no_memory)},
    {METRIC_quarry_cache_tenant_requested_bytes, TENANT(request_bytes)},
    {METRIC_quarry_cache_tenant_evicted_unfetched_total, TENANT(evicted_unfetched)},
    {METRIC_quarry_cache_tenant_promoted_total, TENANT(promoted)},
};

static void write_tenants(struct serve_metrics *metrics, struct quarry_cache *cache,
                          const struct family *family)
{
    struct quarry_cache_tenant_stats stats;

    serve_metric_family(metrics, family->metric);
    for (struct quarry_cache_tenant *tenant = quarry_cache_next_tenant(cache, NULL); tenant != NULL;
         tenant = quarry_cache_next_tenant(cache, tenant)) {
        quarry_cache_read_tenant(tenant, &stats);
        serve_metric_u64(metrics, figure_at(&stats, family->at), "tenant",
                         quarry_cache_tenant_name(tenant), NULL);
    }
}

void server_metrics_cache(struct serve_metrics *metrics, struct server *server)
{
    struct quarry_cache_stats stats;

    quarry_cache_read_stats(server->cache, &stats);
    write_plain(metrics, cache_families, sizeof cache_families / sizeof cache_families[0], &stats);
    for (size_t i = 0; i < sizeof tenant_families / sizeof tenant_families[0]; i++) {
        write_tenants(metrics, server->cache, &tenant_families[i]);
    }
}

/* ---- the key-value store -------------------------------------------------------------------- */

#define KV(field) offsetof(struct quarry_kv_stats, field)

static const struct family kv_families[] = {
    {METRIC_quarry_kv_keys_estimated, KV(estimated_keys)},
    {METRIC_quarry_kv_puts_total, KV(put_count)},
    {METRIC_quarry_kv_deletes_total, KV(delete_count)},
    {METRIC_quarry_kv_merges_total, KV(merge_count)},
    {METRIC_quarry_kv_range_deletes_total, KV(range_delete_count)},
    {METRIC_quarry_kv_batches_total, KV(batch_count)},
    {METRIC_quarry_kv_gets_total, KV(get_count)},
    {METRIC_quarry_kv_get_hits_total, KV(get_hit_count)},
    {METRIC_quarry_kv_seeks_total, KV(seek_count)},
    {METRIC_quarry_kv_steps_total, KV(step_count)},
    {METRIC_quarry_kv_filter_useful_total, KV(filter_useful_count)},
    {METRIC_quarry_kv_filter_false_total, KV(filter_false_count)},
    {METRIC_quarry_kv_written_bytes_total, KV(written_bytes)},
    {METRIC_quarry_kv_read_bytes_total, KV(read_bytes)},
    {METRIC_quarry_kv_log_bytes_total, KV(log_bytes)},
    {METRIC_quarry_kv_log_syncs_total, KV(log_sync_count)},
    {METRIC_quarry_kv_flushes_total, KV(flush_count)},
    {METRIC_quarry_kv_flushed_bytes_total, KV(flush_bytes)},
    {METRIC_quarry_kv_compactions_total, KV(compaction_count)},
    {METRIC_quarry_kv_memtable_bytes, KV(memtable_bytes)},
    {METRIC_quarry_kv_block_bytes, KV(block_bytes)},
    {METRIC_quarry_kv_pinned_bytes, KV(pinned_bytes)},
    {METRIC_quarry_kv_table_bytes, KV(table_bytes)},
    {METRIC_quarry_kv_charged_bytes, KV(charged_bytes)},
    {METRIC_quarry_kv_snapshots, KV(snapshot_count)},
    {METRIC_quarry_kv_iterators, KV(iterator_count)},
    {METRIC_quarry_kv_obsolete_bytes, KV(obsolete_bytes)},
    {METRIC_quarry_kv_filter_passed_total, KV(filter_passed_count)},
    {METRIC_quarry_kv_log_groups_total, KV(log_group_count)},
    {METRIC_quarry_kv_moves_total, KV(move_count)},
    {METRIC_quarry_kv_memtables, KV(memtable_count)},
    {METRIC_quarry_kv_compaction_bytes, KV(compaction_bytes)},
};

/* Those of a level. */
#define LEVEL(field) offsetof(struct quarry_kv_level_stats, field)

static const struct family level_families[] = {
    {METRIC_quarry_kv_level_bytes, LEVEL(file_bytes)},
    {METRIC_quarry_kv_level_compaction_read_bytes_total, LEVEL(compaction_read_bytes)},
    {METRIC_quarry_kv_level_compaction_written_bytes_total, LEVEL(compaction_written_bytes)},
};

static const char *level_name(size_t level)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6"};

    Q_STATIC_ASSERT(sizeof names / sizeof names[0] == QUARRY_KV_LEVELS, "a name for each");
    return names[level];
}

static void write_levels(struct serve_metrics *metrics, const struct quarry_kv_stats *stats)
{
    serve_metric_family(metrics, METRIC_quarry_kv_level_files);
    for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        serve_metric_u64(metrics, stats->level[level].file_count, "level", level_name(level), NULL);
    }
    for (size_t i = 0; i < sizeof level_families / sizeof level_families[0]; i++) {
        const struct family *family = &level_families[i];
        serve_metric_family(metrics, family->metric);
        for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
            serve_metric_u64(metrics, figure_at(&stats->level[level], family->at), "level",
                             level_name(level), NULL);
        }
    }
}

/* What is no whole number. */
static void write_level_parts(struct serve_metrics *metrics, const struct quarry_kv_stats *stats)
{
    serve_metric_family(metrics, METRIC_quarry_kv_level_score);
    for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        serve_metric_double(metrics, stats->level[level].score, "level", level_name(level), NULL);
    }
    serve_metric_family(metrics, METRIC_quarry_kv_level_compaction_seconds_total);
    for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        serve_metric_double(metrics, (double)stats->level[level].compaction_ns / 1e9, "level",
                            level_name(level), NULL);
    }
}

/* ---- the block cache ------------------------------------------------------------------------ */

/* Those of a kind: of all levels and of background readers. */
static uint64_t kind_sum(const struct quarry_block_stats *stats, size_t kind, size_t at)
{
    uint64_t sum = figure_at(&stats->background[kind], at);

    for (size_t level = 0; level < QUARRY_BLOCK_LEVELS; level++) {
        sum += figure_at(&stats->counts[kind][level], at);
    }
    return sum;
}

static void write_kinds(struct serve_metrics *metrics, const struct quarry_block_stats *stats)
{
    static const char *const kinds[] = {"data", "index", "filter", "ranges", "value", "other"};
    static const struct family told[] = {
        {METRIC_quarry_block_cache_hits_total, offsetof(struct quarry_block_counts, hits)},
        {METRIC_quarry_block_cache_misses_total, offsetof(struct quarry_block_counts, misses)},
        {METRIC_quarry_block_cache_inserts_total, offsetof(struct quarry_block_counts, inserts)},
        {METRIC_quarry_block_cache_evictions_total,
         offsetof(struct quarry_block_counts, evictions)},
    };

    Q_STATIC_ASSERT(sizeof kinds / sizeof kinds[0] == QUARRY_BLOCK_KINDS, "a word for each");
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        serve_metric_family(metrics, told[i].metric);
        for (size_t kind = 0; kind < QUARRY_BLOCK_KINDS; kind++) {
            serve_metric_u64(metrics, kind_sum(stats, kind, told[i].at), "kind", kinds[kind], NULL);
        }
    }
}

static void write_blocks(struct serve_metrics *metrics, struct quarry_kv *kv)
{
    struct quarry_block_stats stats;

    quarry_kv_read_block_stats(kv, &stats);
    uint64_t cached_bytes = stats.hot_bytes + stats.cold_bytes;
    serve_metric_family(metrics, METRIC_quarry_block_cache_bytes);
    serve_metric_u64(metrics, stats.hot_bytes, "state", "hot", NULL);
    serve_metric_u64(metrics, stats.cold_bytes, "state", "cold", NULL);
    serve_metric_u64(metrics, sat_sub_u64(stats.block_bytes, cached_bytes), "state", "held", NULL);
    serve_metric_one(metrics, METRIC_quarry_block_cache_capacity_bytes, stats.capacity_bytes);
    serve_metric_one(metrics, METRIC_quarry_block_cache_metadata_bytes, stats.metadata_bytes);
    write_kinds(metrics, &stats);
    serve_metric_one(metrics, METRIC_quarry_block_cache_ghost_hits_total, stats.ghost_hits);
    serve_metric_one(metrics, METRIC_quarry_block_cache_target_cold_bytes, stats.cold_target_bytes);
}

/* ---- the key-value store -------------------------------------------------------------------- */

static void write_state(struct serve_metrics *metrics, struct quarry_kv *kv,
                        const struct quarry_kv_stats *stats)
{
    struct quarry_kv_state state;

    quarry_kv_read_state(kv, &state);
    serve_metric_one(metrics, METRIC_quarry_kv_read_only, state.is_read_only ? 1 : 0);
    serve_metric_family(metrics, METRIC_quarry_kv_delayed_seconds_total);
    serve_metric_double(metrics, (double)stats->throttled_ns / 1e9, "how", "throttled", NULL);
    serve_metric_double(metrics, (double)stats->stopped_ns / 1e9, "how", "stopped", NULL);
}

void server_metrics_kv(struct serve_metrics *metrics, struct server *server)
{
    struct quarry_kv_stats stats;

    if (server->keyspace == NULL) {
        return;
    }
    struct quarry_kv *kv = keyspace_kv(server->keyspace);

    quarry_kv_read_stats(kv, &stats);
    write_plain(metrics, kv_families, sizeof kv_families / sizeof kv_families[0], &stats);
    write_levels(metrics, &stats);
    write_level_parts(metrics, &stats);
    write_blocks(metrics, kv);
    write_state(metrics, kv, &stats);
}
