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

#include <serve/server_state.h>

struct family {
    const char *name, *type, *help;
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
        serve_metric_one(metrics, families[i].name, families[i].type, families[i].help,
                         figure_at(figures, families[i].at));
    }
}

/* ---- the cache ------------------------------------------------------------------------------ */

#define CACHE(field)  offsetof(struct quarry_cache_stats, field)
#define TENANT(field) offsetof(struct quarry_cache_tenant_stats, field)

static const struct family cache_families[] = {
    {"quarry_cache_size_bytes", "gauge", "What the cache may have.", CACHE(size_bytes)},
    {"quarry_cache_charged_bytes", "gauge", "What it has.", CACHE(charged_bytes)},
    {"quarry_cache_page_bytes", "gauge", "Of that: pages of cells.", CACHE(page_bytes)},
    {"quarry_cache_cell_bytes", "gauge", "Of those: cells of items.", CACHE(cell_bytes)},
    {"quarry_cache_free_bytes", "gauge", "Of those: cells that are free or wait for readers.",
     CACHE(free_bytes)},
    {"quarry_cache_index_bytes", "gauge", "Indexes.", CACHE(index_bytes)},
    {"quarry_cache_policy_bytes", "gauge", "Queues and ghosts.", CACHE(policy_bytes)},
    {"quarry_cache_items", "gauge", "Items of all tenants.", CACHE(item_count)},
    {"quarry_cache_moved_pages_total", "counter", "Pages that were emptied for another use.",
     CACHE(moved_pages)},
    {"quarry_cache_moved_items_total", "counter", "Items that were moved for that.",
     CACHE(moved_items)},
};

static const struct family tenant_families[] = {
    {"quarry_cache_tenant_items", "gauge", "Items of a tenant.", TENANT(item_count)},
    {"quarry_cache_tenant_item_bytes", "gauge", "Cells of its items.", TENANT(item_bytes)},
    {"quarry_cache_tenant_hits_total", "counter", "Gets that found something.", TENANT(get_hits)},
    {"quarry_cache_tenant_misses_total", "counter", "Gets that found nothing.", TENANT(get_misses)},
    {"quarry_cache_tenant_sets_total", "counter", "Items stored by request.", TENANT(set_count)},
    {"quarry_cache_tenant_evictions_total", "counter", "Items dropped for others.",
     TENANT(evictions)},
    {"quarry_cache_tenant_evicted_bytes_total", "counter", "Their cells.", TENANT(evicted_bytes)},
    {"quarry_cache_tenant_expirations_total", "counter", "Items found expired.", TENANT(expired)},
    {"quarry_cache_tenant_ghost_hits_total", "counter",
     "Misses of what was evicted not long before.", TENANT(ghost_hits)},
    {"quarry_cache_tenant_refused_too_large_total", "counter", "Items that were too large.",
     TENANT(store_too_large)},
    {"quarry_cache_tenant_refused_no_memory_total", "counter", "Items there was no room for.",
     TENANT(store_no_memory)},
};

static void write_tenants(struct serve_metrics *metrics, struct quarry_cache *cache,
                          const struct family *family)
{
    struct quarry_cache_tenant_stats stats;

    serve_metric_family(metrics, family->name, family->type, family->help);
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
    {"quarry_kv_keys_estimated", "gauge", "About how many keys there are.", KV(estimated_keys)},
    {"quarry_kv_puts_total", "counter", "Keys written.", KV(put_count)},
    {"quarry_kv_deletes_total", "counter", "Keys deleted.", KV(delete_count)},
    {"quarry_kv_merges_total", "counter", "Merges written.", KV(merge_count)},
    {"quarry_kv_range_deletes_total", "counter", "Ranges deleted.", KV(range_delete_count)},
    {"quarry_kv_batches_total", "counter", "Batches written.", KV(batch_count)},
    {"quarry_kv_gets_total", "counter", "Keys asked for.", KV(get_count)},
    {"quarry_kv_get_hits_total", "counter", "Of those, keys that were there.", KV(get_hit_count)},
    {"quarry_kv_seeks_total", "counter", "Places sought by iterators.", KV(seek_count)},
    {"quarry_kv_steps_total", "counter", "Steps of iterators.", KV(step_count)},
    {"quarry_kv_filter_useful_total", "counter", "Reads that a filter saved.",
     KV(filter_useful_count)},
    {"quarry_kv_filter_false_total", "counter", "Reads that a filter was wrong about.",
     KV(filter_false_count)},
    {"quarry_kv_written_bytes_total", "counter", "Keys and values written by users.",
     KV(written_bytes)},
    {"quarry_kv_read_bytes_total", "counter", "Keys and values read by users.", KV(read_bytes)},
    {"quarry_kv_log_bytes_total", "counter", "Bytes of the log.", KV(log_bytes)},
    {"quarry_kv_log_syncs_total", "counter", "Syncs of the log.", KV(log_sync_count)},
    {"quarry_kv_flushes_total", "counter", "Memtables that became files.", KV(flush_count)},
    {"quarry_kv_flushed_bytes_total", "counter", "Bytes of those files.", KV(flush_bytes)},
    {"quarry_kv_compactions_total", "counter", "Compactions.", KV(compaction_count)},
    {"quarry_kv_memtable_bytes", "gauge", "Memtables.", KV(memtable_bytes)},
    {"quarry_kv_block_bytes", "gauge", "Blocks in the cache.", KV(block_bytes)},
    {"quarry_kv_pinned_bytes", "gauge", "Blocks that somebody uses.", KV(pinned_bytes)},
    {"quarry_kv_table_bytes", "gauge", "Open tables.", KV(table_bytes)},
    {"quarry_kv_charged_bytes", "gauge", "All memory of the store.", KV(charged_bytes)},
    {"quarry_kv_snapshots", "gauge", "Snapshots that are held.", KV(snapshot_count)},
    {"quarry_kv_iterators", "gauge", "Iterators that are open.", KV(iterator_count)},
    {"quarry_kv_obsolete_bytes", "gauge", "Files that only iterators and checkpoints keep.",
     KV(obsolete_bytes)},
};

/* Those of a level. */
#define LEVEL(field) offsetof(struct quarry_kv_level_stats, field)

static const struct family level_families[] = {
    {"quarry_kv_level_bytes", "gauge", "Files, by level.", LEVEL(file_bytes)},
    {"quarry_kv_level_compaction_read_bytes_total", "counter", "Read by compactions into it.",
     LEVEL(compaction_read_bytes)},
    {"quarry_kv_level_compaction_written_bytes_total", "counter", "Written by compactions into it.",
     LEVEL(compaction_written_bytes)},
};

static const char *level_name(size_t level)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6"};

    Q_STATIC_ASSERT(sizeof names / sizeof names[0] == QUARRY_KV_LEVELS, "a name for each");
    return names[level];
}

static void write_levels(struct serve_metrics *metrics, const struct quarry_kv_stats *stats)
{
    serve_metric_family(metrics, "quarry_kv_level_files", "gauge", "How many files a level has.");
    for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        serve_metric_u64(metrics, stats->level[level].file_count, "level", level_name(level), NULL);
    }
    for (size_t i = 0; i < sizeof level_families / sizeof level_families[0]; i++) {
        const struct family *family = &level_families[i];
        serve_metric_family(metrics, family->name, family->type, family->help);
        for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
            serve_metric_u64(metrics, figure_at(&stats->level[level], family->at), "level",
                             level_name(level), NULL);
        }
    }
}

static void write_state(struct serve_metrics *metrics, struct quarry_kv *kv,
                        const struct quarry_kv_stats *stats)
{
    struct quarry_kv_state state;

    quarry_kv_read_state(kv, &state);
    serve_metric_one(metrics, "quarry_kv_read_only", "gauge", "1: the store takes no writes.",
                     state.is_read_only ? 1 : 0);
    serve_metric_family(metrics, "quarry_kv_delayed_seconds_total", "counter",
                        "For how long writers were held up, by how.");
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
    write_state(metrics, kv, &stats);
}
