/*
 * A look at the server's parts: what they count, and, where somebody asks, what has to be looked
 * for.
 *
 *   counts    the figures of /metrics, as numbers: some dozen microseconds
 *   closely   the machine's files, tenants' quotas, classes and hot keys of the cache, values by
 *             label, targets, the disk: milliseconds, so only for who asks
 *
 * Labels are those of the tenant of all who name none, and are not counted beyond a million series:
 * /api/v1/status/tsdb is for that. A key that is hot is not named: keys are users' data.
 *
 * Locking: what the parts take.
 */
#include <serve/server_checkup.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include <serve/log.h>
#include <serve/server_state.h>

#define LABELS_MAX       256u
#define LABEL_SERIES_MAX 1000000u
#define CLASSES_MAX      256u

static void put_name(char *ret_name, size_t name_bytes, const void *bytes, size_t count)
{
    size_t kept = size_min(count, name_bytes - 1);

    memcpy(ret_name, bytes, kept);
    ret_name[kept] = '\0';
}

static void put_words(char *ret_text, size_t text_bytes, const char *words)
{
    put_name(ret_text, text_bytes, words, strlen(words));
}

/* ---- counts --------------------------------------------------------------------------------- */

static void count_server(struct server *server, struct checkup_server *figures)
{
    struct quarry_ledger ledger;
    struct serve_counters counters;

    (void)quarry_memory_ledger(server->memory, &ledger, NULL, 0);
    serve_net_read_counters(server->net, &counters);
    *figures = (struct checkup_server){
        .limit_bytes = ledger.limit_bytes,
        .committed_bytes = ledger.committed_bytes,
        .connection_count = serve_net_connection_count(server->net),
        .connections_max = atomic_load_relaxed_u64(&server->connections_max), /* a setting */
        .turned_away_count = counters.turned_away_count,
        .no_descriptor_count = counters.no_descriptor_count,
        .slow_reader_count = counters.slow_reader_count,
        .slow_writer_count = counters.slow_writer_count,
        .tls_failed_count = counters.tls_failed_count,
        .log_left_out_count = serve_log_left_out_count(),
        .lag_max_ns = counters.lag_max_ns,
        .waiting_bytes = counters.waiting_bytes,
    };
}

static void count_cache(struct server *server, struct checkup_cache *figures)
{
    struct quarry_cache_stats stats;
    struct quarry_cache_tenant_stats tenant_stats;
    uint64_t most_evictions = 0;

    quarry_cache_read_stats(server->cache, &stats);
    *figures = (struct checkup_cache){
        .size_bytes = stats.size_bytes,
        .page_bytes = stats.page_bytes,
        .cell_bytes = stats.cell_bytes,
        .item_count = stats.item_count,
        .is_full = stats.is_full,
    };
    for (struct quarry_cache_tenant *tenant = quarry_cache_next_tenant(server->cache, NULL);
         tenant != NULL; tenant = quarry_cache_next_tenant(server->cache, tenant)) {
        quarry_cache_read_tenant(tenant, &tenant_stats);
        figures->request_bytes += tenant_stats.request_bytes;
        figures->hit_count += tenant_stats.get_hits;
        figures->miss_count += tenant_stats.get_misses;
        figures->eviction_count += tenant_stats.evictions;
        figures->ghost_hit_count += tenant_stats.ghost_hits;
        figures->refused_count += tenant_stats.store_no_memory;
        if (tenant_stats.evictions > most_evictions) {
            most_evictions = tenant_stats.evictions;
            figures->evicted_age_s = tenant_stats.evicted_age_seconds;
        }
    }
}

static void count_kv(struct quarry_kv *kv, struct checkup_kv *figures)
{
    struct quarry_kv_stats stats;
    struct quarry_kv_state state;

    quarry_kv_read_stats(kv, &stats);
    quarry_kv_read_state(kv, &state);
    *figures = (struct checkup_kv){
        .level0_count = stats.level[0].file_count,
        .level0_bytes = stats.level[0].file_bytes,
        .level0_score = stats.level[0].score,
        .moving_bytes = stats.level[0].file_bytes + stats.level[1].file_bytes,
        .throttled_ns = stats.throttled_ns,
        .stopped_ns = stats.stopped_ns,
        .memtable_count = stats.memtable_count,
        .memtable_bytes = stats.memtable_bytes,
        .block_bytes = stats.block_bytes,
        .pinned_bytes = stats.pinned_bytes,
        .snapshot_count = stats.snapshot_count,
        .iterator_count = stats.iterator_count,
        .oldest_snapshot_ns = stats.oldest_snapshot_ns,
        .obsolete_bytes = stats.obsolete_bytes,
        .is_read_only = state.is_read_only,
    };
    for (size_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        figures->file_bytes += stats.level[level].file_bytes;
    }
    put_words(figures->reason, sizeof figures->reason, state.is_read_only ? state.reason.text : "");
}

static void count_tsdb(struct quarry_tsdb *tsdb, struct checkup_tsdb *figures)
{
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(tsdb, &stats);
    const uint64_t *refused = stats.refused_counts;
    *figures = (struct checkup_tsdb){
        .series_count = stats.series_count,
        .charged_bytes = stats.charged_bytes,
        .taken_count = stats.taken_count,
        .created_series_count = stats.created_series_count,
        .removed_series_count = stats.removed_series_count,
        .late_refused_count = refused[QUARRY_TSDB_OUT_OF_ORDER] +
                              refused[QUARRY_TSDB_OUT_OF_BOUNDS] + refused[QUARRY_TSDB_TOO_OLD],
        .series_refused_count =
            refused[QUARRY_TSDB_SERIES_LIMIT] + refused[QUARRY_TSDB_METRIC_SERIES_LIMIT],
        .rate_refused_count =
            refused[QUARRY_TSDB_RATE_LIMIT] + refused[QUARRY_TSDB_METRIC_RATE_LIMIT],
        .memory_refused_count = refused[QUARRY_TSDB_NO_MEMORY],
        .early_window_count = stats.early_window_count,
        .early_shard_count = stats.early_shard_count,
        .unexported_window_count = stats.untaken_window_count,
        .log_failed_count = stats.log_failed_count,
        .save_failed_count = stats.save_failed_count + stats.snapshot_failed_count,
        .left_out_series_count = stats.left_out_series_count,
    };
}

void server_look_at_counts(struct server *server, struct checkup_look *ret_look)
{
    *ret_look = (struct checkup_look){
        .has_server = true,
        .has_cache = true,
        .has_kv = server->keyspace != NULL,
        .has_tsdb = server->tsdb != NULL,
    };
    count_server(server, &ret_look->server);
    count_cache(server, &ret_look->cache);
    if (ret_look->has_kv) {
        count_kv(keyspace_kv(server->keyspace), &ret_look->kv);
    }
    if (ret_look->has_tsdb) {
        count_tsdb(server->tsdb->tsdb, &ret_look->tsdb);
    }
}

/* ---- the cache, closely --------------------------------------------------------------------- */

static void look_at_quota(const struct quarry_cache_tenant *tenant,
                          const struct quarry_cache_tenant_stats *stats,
                          struct checkup_cache *figures)
{
    double part =
        stats->quota_bytes == 0 ? 0 : (double)stats->item_bytes / (double)stats->quota_bytes;
    double most = figures->quota_bytes == 0
                      ? -1
                      : (double)figures->quota_used_bytes / (double)figures->quota_bytes;

    if (stats->quota_bytes != 0 && part > most) {
        figures->quota_bytes = stats->quota_bytes;
        figures->quota_used_bytes = stats->item_bytes;
        put_words(figures->quota_tenant, sizeof figures->quota_tenant,
                  quarry_cache_tenant_name(tenant));
    }
}

/* What is counted of keys fades with time, and so is held against what is counted now. */
static void look_at_hot_key(const struct quarry_cache_tenant *tenant,
                            const struct quarry_cache_tenant_stats *stats,
                            struct checkup_cache *figures)
{
    struct quarry_cache_hot_key *keys = calloc(QUARRY_CACHE_HOT_KEYS_MAX, sizeof *keys);

    if (keys == NULL) {
        return;
    }
    size_t count = quarry_cache_read_hot_keys(tenant, QUARRY_CACHE_USE_HIT, keys);
    if (count > 0 && keys[0].count > figures->hot_key_count) {
        figures->hot_key_count = keys[0].count;
        figures->hot_all_count = stats->get_hits;
        put_words(figures->hot_tenant, sizeof figures->hot_tenant,
                  quarry_cache_tenant_name(tenant));
    }
    free(keys);
}

static void look_at_classes(struct quarry_cache *cache, struct checkup_cache *figures)
{
    struct quarry_cache_class_stats *classes = calloc(CLASSES_MAX, sizeof *classes);

    if (classes == NULL) {
        return;
    }
    size_t count = size_min(quarry_cache_read_classes(cache, classes, CLASSES_MAX), CLASSES_MAX);
    for (size_t i = 0; i < count; i++) {
        uint64_t idle = sat_mul_u64(sat_sub_u64(classes[i].cell_count, classes[i].used_count),
                                    classes[i].cell_bytes);
        if (idle > figures->idle_class_bytes) {
            figures->idle_class_bytes = idle;
            figures->idle_class_cell_bytes = classes[i].cell_bytes;
            figures->idle_class_page_count = classes[i].page_count;
        }
    }
    free(classes);
}

static void look_at_cache(struct quarry_cache *cache, struct checkup_cache *figures)
{
    struct quarry_cache_tenant_stats stats;

    for (struct quarry_cache_tenant *tenant = quarry_cache_next_tenant(cache, NULL); tenant != NULL;
         tenant = quarry_cache_next_tenant(cache, tenant)) {
        quarry_cache_read_tenant(tenant, &stats);
        look_at_quota(tenant, &stats, figures);
        look_at_hot_key(tenant, &stats, figures);
    }
    look_at_classes(cache, figures);
}

/* ---- labels --------------------------------------------------------------------------------- */

/* Labels by their values. */
struct labels {
    struct quarry_tsdb *tsdb;
    const _Atomic(bool) *is_cancelled;
    struct checkup_tsdb *figures;
    uint64_t value_count; /* of the label under way */
    uint32_t label_count;
};

static bool goes_on(const struct labels *labels)
{
    return labels->is_cancelled == NULL ||
           !atomic_load_relaxed_bool(labels->is_cancelled); /* a hint */
}

static bool count_value(void *argument, struct quarry_tsdb_slice value)
{
    struct labels *labels = argument;

    (void)value;
    labels->value_count++;
    return true;
}

static bool count_label(void *argument, struct quarry_tsdb_slice name)
{
    const struct quarry_tsdb_query all = {
        .min_ms = INT64_MIN, .max_ms = INT64_MAX, .has_no_limit = true};
    struct labels *labels = argument;

    labels->value_count = 0;
    if (quarry_tsdb_label_values(labels->tsdb, &all, name, count_value, labels, NULL) !=
        QUARRY_OK) {
        return false;
    }
    if (labels->value_count > labels->figures->top_label_value_count) {
        labels->figures->top_label_value_count = labels->value_count;
        put_name(labels->figures->top_label, sizeof labels->figures->top_label, name.bytes,
                 name.count);
    }
    return ++labels->label_count < LABELS_MAX && goes_on(labels);
}

static void look_at_labels(struct server *server, const _Atomic(bool) *is_cancelled,
                           struct checkup_tsdb *figures)
{
    const struct quarry_tsdb_query all = {
        .min_ms = INT64_MIN, .max_ms = INT64_MAX, .has_no_limit = true};
    struct labels labels = {
        .tsdb = server->tsdb->tsdb, .is_cancelled = is_cancelled, .figures = figures};

    if (figures->series_count <= LABEL_SERIES_MAX) {
        (void)quarry_tsdb_label_names(server->tsdb->tsdb, &all, count_label, &labels, NULL);
    }
}

/* ---- targets and the disk ------------------------------------------------------------------- */

static void look_at_targets(struct scrape *scrape, struct checkup_tsdb *figures)
{
    struct scrape_targets *targets = NULL;

    if (scrape == NULL || scrape_read_targets(scrape, &targets) != QUARRY_OK) {
        return;
    }
    figures->target_count = targets->count;
    for (size_t i = 0; i < targets->count; i++) {
        const struct scrape_target_state *target = &targets->all[i];
        if (target->health == SCRAPE_DOWN && figures->target_down_count++ == 0) {
            put_words(figures->down_job, sizeof figures->down_job, target->job);
            put_words(figures->down_reason, sizeof figures->down_reason, target->error);
        }
    }
    scrape_targets_destroy(targets);
}

static void look_at_disk(const char *path, struct checkup_kv *figures)
{
    struct statvfs disk;

    if (path[0] != '\0' && statvfs(path, &disk) == 0) {
        figures->disk_bytes = sat_mul_u64(disk.f_blocks, disk.f_frsize);
        figures->disk_free_bytes = sat_mul_u64(disk.f_bavail, disk.f_frsize);
    }
}

void server_look_closely(struct server *server, const _Atomic(bool) *is_cancelled,
                         struct checkup_look *look)
{
    look->has_host = true;
    checkup_read_host("", 0, &look->host);
    look_at_cache(server->cache, &look->cache);
    if (look->has_kv) {
        look_at_disk(server->data_dir.path, &look->kv);
    }
    if (look->has_tsdb) {
        look_at_labels(server, is_cancelled, &look->tsdb);
        look_at_targets(server->scrape, &look->tsdb);
    }
}
