/*
 * Figures of the time-series store: its own, and some under the names that Prometheus has for the
 * same, so that dashboards made for one show this one too.
 *
 * What is called the head there, the samples that are not in blocks yet, is the whole store here.
 *
 * Locking: what the store takes. Cost: some microseconds.
 */
#include <serve/server_metrics.h>

#include <stdio.h>
#include <string.h>

#include <serve/server_state.h>

struct family {
    enum serve_metric metric;
    size_t at; /* of the figure, an uint64_t of struct quarry_tsdb_stats */
};
#define TSDB(field) offsetof(struct quarry_tsdb_stats, field)

static const struct family families[] = {
    {METRIC_quarry_tsdb_series, TSDB(series_count)},
    {METRIC_quarry_tsdb_tenants, TSDB(tenant_count)},
    {METRIC_quarry_tsdb_windows, TSDB(window_count)},
    {METRIC_quarry_tsdb_samples_total, TSDB(taken_count)},
    {METRIC_quarry_tsdb_late_samples_total, TSDB(late_count)},
    {METRIC_quarry_tsdb_repeated_samples_total, TSDB(repeated_count)},
    {METRIC_quarry_tsdb_raced_samples_total, TSDB(raced_count)},
    {METRIC_quarry_tsdb_series_created_total, TSDB(created_series_count)},
    {METRIC_quarry_tsdb_series_removed_total, TSDB(removed_series_count)},
    {METRIC_quarry_tsdb_series_visited_total, TSDB(visited_series_count)},
    {METRIC_quarry_tsdb_sealed_shards_total, TSDB(sealed_shard_count)},
    {METRIC_quarry_tsdb_early_shards_total, TSDB(early_shard_count)},
    {METRIC_quarry_tsdb_purged_windows_total, TSDB(purged_window_count)},
    {METRIC_quarry_tsdb_early_windows_total, TSDB(early_window_count)},
    {METRIC_quarry_tsdb_fillings_total, TSDB(filling_count)},
    {METRIC_quarry_tsdb_open_fillings, TSDB(open_filling_count)},
    {METRIC_quarry_tsdb_filling_failures_total, TSDB(filling_failed_count)},
    {METRIC_quarry_tsdb_tombstones, TSDB(tombstone_count)},
    {METRIC_quarry_tsdb_exported_windows_total, TSDB(offered_window_count)},
    {METRIC_quarry_tsdb_export_failures_total, TSDB(offer_failed_count)},
    {METRIC_quarry_tsdb_unexported_windows_total, TSDB(untaken_window_count)},
    {METRIC_quarry_tsdb_left_out_series, TSDB(left_out_series_count)},
    {METRIC_quarry_tsdb_peak_bytes, TSDB(peak_bytes)},
    {METRIC_quarry_tsdb_charged_bytes, TSDB(charged_bytes)},
    {METRIC_quarry_tsdb_histograms_total, TSDB(histogram_count)},
    {METRIC_quarry_tsdb_log_bytes_total, TSDB(log_bytes)},
    {METRIC_quarry_tsdb_log_segments_total, TSDB(log_segment_count)},
    {METRIC_quarry_tsdb_log_syncs_total, TSDB(log_sync_count)},
    {METRIC_quarry_tsdb_log_failures_total, TSDB(log_failed_count)},
    {METRIC_quarry_tsdb_replayed_samples, TSDB(replayed_count)},
    {METRIC_quarry_tsdb_window_files, TSDB(window_file_count)},
    {METRIC_quarry_tsdb_saved_windows_total, TSDB(saved_window_count)},
    {METRIC_quarry_tsdb_save_failures_total, TSDB(save_failed_count)},
    {METRIC_quarry_tsdb_snapshots_total, TSDB(snapshot_count)},
    {METRIC_quarry_tsdb_snapshot_failures_total, TSDB(snapshot_failed_count)},
};

static uint64_t figure_at(const struct quarry_tsdb_stats *stats, size_t at)
{
    uint64_t value;

    memcpy(&value, (const char *)stats + at, sizeof value);
    return value;
}

static void write_bytes(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    const struct {
        const char *part;
        uint64_t bytes;
    } parts[] = {
        {"registry", stats->registry_bytes}, {"open", stats->open_bytes},
        {"sealed", stats->sealed_bytes},     {"query", stats->query_bytes},
        {"meta", stats->meta_bytes},
    };

    serve_metric_family(metrics, METRIC_quarry_tsdb_bytes);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        serve_metric_u64(metrics, parts[i].bytes, "part", parts[i].part, NULL);
    }
}

/* Windows are few: their number is bounded by the settings, and late ones are not that many. */
#define WINDOWS_MAX 64u

static void write_windows(struct serve_metrics *metrics, const struct quarry_tsdb_window *windows,
                          size_t count)
{
    char name[8];

    serve_metric_family(metrics, METRIC_quarry_tsdb_window_bytes);
    for (size_t i = 0; i < count; i++) {
        uint64_t used = windows[i].open_used_bytes + windows[i].sealed_used_bytes;
        (void)snprintf(name, sizeof name, "%u", (unsigned)i);
        serve_metric_u64(metrics, used, "window", name, "state", "used", NULL);
        serve_metric_u64(metrics,
                         sat_sub_u64(windows[i].open_bytes + windows[i].sealed_bytes, used),
                         "window", name, "state", "slack", NULL);
    }
    serve_metric_family(metrics, METRIC_quarry_tsdb_window_samples);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%u", (unsigned)i);
        serve_metric_u64(metrics, windows[i].sample_count, "window", name, NULL);
    }
}

static void write_used(struct serve_metrics *metrics, struct quarry_tsdb *tsdb)
{
    struct quarry_tsdb_window windows[WINDOWS_MAX];
    size_t count =
        (size_t)size_min_u64(quarry_tsdb_windows(tsdb, windows, WINDOWS_MAX), WINDOWS_MAX);
    uint64_t open_bytes = 0;
    uint64_t sealed_bytes = 0;

    for (size_t i = 0; i < count; i++) {
        open_bytes += windows[i].open_used_bytes;
        sealed_bytes += windows[i].sealed_used_bytes;
    }
    serve_metric_family(metrics, METRIC_quarry_tsdb_used_bytes);
    serve_metric_u64(metrics, open_bytes, "part", "open", NULL);
    serve_metric_u64(metrics, sealed_bytes, "part", "sealed", NULL);
    write_windows(metrics, windows, count);
}

static void write_refusals(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    static const char *const reasons[QUARRY_TSDB_REFUSALS] = {
        [QUARRY_TSDB_OUT_OF_ORDER] = "out_of_order",
        [QUARRY_TSDB_OUT_OF_BOUNDS] = "out_of_bounds",
        [QUARRY_TSDB_TOO_OLD] = "too_old",
        [QUARRY_TSDB_DUPLICATE] = "duplicate",
        [QUARRY_TSDB_BAD_LABELS] = "bad_labels",
        [QUARRY_TSDB_SERIES_LIMIT] = "series_limit",
        [QUARRY_TSDB_RATE_LIMIT] = "rate_limit",
        [QUARRY_TSDB_NO_MEMORY] = "no_memory",
        [QUARRY_TSDB_BAD_HISTOGRAM] = "bad_histogram",
        [QUARRY_TSDB_METRIC_SERIES_LIMIT] = "metric_series_limit",
        [QUARRY_TSDB_METRIC_RATE_LIMIT] = "metric_rate_limit",
    };

    Q_STATIC_ASSERT(QUARRY_TSDB_REFUSALS == QUARRY_TSDB_METRIC_RATE_LIMIT + 1, "a word for each");
    serve_metric_family(metrics, METRIC_quarry_tsdb_refused_samples_total);
    for (size_t i = QUARRY_TSDB_TAKEN + 1; i < QUARRY_TSDB_REFUSALS; i++) {
        serve_metric_u64(metrics, stats->refused_counts[i], "reason", reasons[i], NULL);
    }
}

static void write_metadata(struct serve_metrics *metrics, struct tsdb_metadata *metadata)
{
    struct tsdb_metadata_counts counts;

    tsdb_metadata_count(metadata, &counts);
    serve_metric_one(metrics, METRIC_quarry_tsdb_families, counts.family_count);
    serve_metric_one(metrics, METRIC_quarry_tsdb_evicted_families_total, counts.evicted_count);
}

static void write_exemplars(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    serve_metric_family(metrics, METRIC_quarry_tsdb_exemplars_total);
    serve_metric_u64(metrics, stats->taken_exemplar_count, "result", "taken", NULL);
    serve_metric_u64(metrics, stats->refused_exemplar_count, "result", "refused", NULL);
    serve_metric_one(metrics, METRIC_quarry_tsdb_exemplars, stats->exemplar_count);
    serve_metric_one(metrics, METRIC_quarry_tsdb_exemplar_bytes, stats->exemplar_bytes);
}

/* ---- by Prometheus' names -------------------------------------------------------------------- */

static void write_times(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    const struct {
        enum serve_metric metric;
        double value;
    } times[] = {
        {METRIC_prometheus_tsdb_head_min_time, (double)stats->min_ms},
        {METRIC_prometheus_tsdb_head_max_time, (double)stats->max_ms},
        {METRIC_prometheus_tsdb_head_min_time_seconds, (double)stats->min_ms / 1e3},
        {METRIC_prometheus_tsdb_head_max_time_seconds, (double)stats->max_ms / 1e3},
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        serve_metric_family(metrics, times[i].metric);
        serve_metric_double(metrics, times[i].value, NULL);
    }
}

/* Those that tell floats and histograms apart. */
static void write_floats(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    const struct {
        enum serve_metric metric;
        uint64_t value;
    } counts[] = {
        {METRIC_prometheus_tsdb_head_samples_appended_total,
         stats->taken_count - stats->histogram_count},
        {METRIC_prometheus_tsdb_head_out_of_order_samples_appended_total, stats->late_count},
        {METRIC_prometheus_tsdb_out_of_order_samples_total,
         stats->refused_counts[QUARRY_TSDB_OUT_OF_ORDER]},
        {METRIC_prometheus_tsdb_out_of_bound_samples_total,
         stats->refused_counts[QUARRY_TSDB_OUT_OF_BOUNDS]},
        {METRIC_prometheus_tsdb_too_old_samples_total, stats->refused_counts[QUARRY_TSDB_TOO_OLD]},
    };

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        serve_metric_family(metrics, counts[i].metric);
        serve_metric_u64(metrics, counts[i].value, "type", "float", NULL);
    }
}

static void write_aliases(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    serve_metric_one(metrics, METRIC_prometheus_tsdb_head_series, stats->series_count);
    serve_metric_one(metrics, METRIC_prometheus_tsdb_head_series_created_total,
                     stats->created_series_count);
    serve_metric_one(metrics, METRIC_prometheus_tsdb_head_series_removed_total,
                     stats->removed_series_count);
    write_times(metrics, stats);
    write_floats(metrics, stats);
}

/* ---- all of them ---------------------------------------------------------------------------- */

void server_metrics_tsdb(struct serve_metrics *metrics, struct server *server)
{
    struct quarry_tsdb_stats stats;

    if (server->tsdb == NULL) {
        return;
    }
    quarry_tsdb_read_stats(server->tsdb->tsdb, &stats);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        serve_metric_one(metrics, families[i].metric, figure_at(&stats, families[i].at));
    }
    write_bytes(metrics, &stats);
    write_used(metrics, server->tsdb->tsdb);
    write_refusals(metrics, &stats);
    write_metadata(metrics, server->tsdb->metadata);
    write_exemplars(metrics, &stats);
    write_aliases(metrics, &stats);
}
