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
    const char *name, *type, *help;
    size_t at; /* of the figure, an uint64_t of struct quarry_tsdb_stats */
};
#define TSDB(field) offsetof(struct quarry_tsdb_stats, field)

static const struct family families[] = {
    {"quarry_tsdb_series", "gauge", "Series now.", TSDB(series_count)},
    {"quarry_tsdb_tenants", "gauge", "Tenants with series.", TSDB(tenant_count)},
    {"quarry_tsdb_windows", "gauge", "Windows now.", TSDB(window_count)},
    {"quarry_tsdb_samples_total", "counter", "Samples taken.", TSDB(taken_count)},
    {"quarry_tsdb_late_samples_total", "counter", "Of those, out of order.", TSDB(late_count)},
    {"quarry_tsdb_repeated_samples_total", "counter", "Of those, there already.",
     TSDB(repeated_count)},
    {"quarry_tsdb_raced_samples_total", "counter",
     "Out of order by the time they were written, and left out.", TSDB(raced_count)},
    {"quarry_tsdb_series_created_total", "counter", "Series begun.", TSDB(created_series_count)},
    {"quarry_tsdb_series_removed_total", "counter", "Series whose last window is gone.",
     TSDB(removed_series_count)},
    {"quarry_tsdb_series_visited_total", "counter", "Series looked at for removal.",
     TSDB(visited_series_count)},
    {"quarry_tsdb_sealed_shards_total", "counter", "Shards of windows that were sealed.",
     TSDB(sealed_shard_count)},
    {"quarry_tsdb_early_shards_total", "counter",
     "Of those, before their time, for want of memory.", TSDB(early_shard_count)},
    {"quarry_tsdb_purged_windows_total", "counter", "Windows purged.", TSDB(purged_window_count)},
    {"quarry_tsdb_early_windows_total", "counter",
     "Of those, before their time: samples were lost.", TSDB(early_window_count)},
    {"quarry_tsdb_exported_windows_total", "counter", "Windows exported before they were purged.",
     TSDB(offered_window_count)},
    {"quarry_tsdb_export_failures_total", "counter", "Tries to export a window that failed.",
     TSDB(offer_failed_count)},
    {"quarry_tsdb_unexported_windows_total", "counter",
     "Windows purged that were to be exported and were not.", TSDB(untaken_window_count)},
    {"quarry_tsdb_left_out_series", "gauge",
     "Series that had no room when the store was opened; their files are kept.",
     TSDB(left_out_series_count)},
    {"quarry_tsdb_peak_bytes", "gauge", "The most memory that the store has had.",
     TSDB(peak_bytes)},
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

    serve_metric_family(metrics, "quarry_tsdb_bytes", "gauge",
                        "Memory of the store, by part; the parts add up.");
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        serve_metric_u64(metrics, parts[i].bytes, "part", parts[i].part, NULL);
    }
}

/* Windows are few: their number is bounded by the settings, and late ones are not that many. */
#define WINDOWS_MAX 64u

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
    serve_metric_family(metrics, "quarry_tsdb_used_bytes", "gauge",
                        "Memory of windows that holds something, by part.");
    serve_metric_u64(metrics, open_bytes, "part", "open", NULL);
    serve_metric_u64(metrics, sealed_bytes, "part", "sealed", NULL);
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
    serve_metric_family(metrics, "quarry_tsdb_refused_samples_total", "counter",
                        "Samples refused, by reason.");
    for (size_t i = QUARRY_TSDB_TAKEN + 1; i < QUARRY_TSDB_REFUSALS; i++) {
        serve_metric_u64(metrics, stats->refused_counts[i], "reason", reasons[i], NULL);
    }
}

static void write_metadata(struct serve_metrics *metrics, struct tsdb_metadata *metadata)
{
    struct tsdb_metadata_counts counts;

    tsdb_metadata_count(metadata, &counts);
    serve_metric_one(metrics, "quarry_tsdb_families", "gauge",
                     "Metric families whose type or help is known.", counts.family_count);
    serve_metric_one(metrics, "quarry_tsdb_evicted_families_total", "counter",
                     "Families forgotten, for there were too many.", counts.evicted_count);
}

static void write_exemplars(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    serve_metric_family(metrics, "quarry_tsdb_exemplars_total", "counter",
                        "Exemplars that were brought, by what became of them.");
    serve_metric_u64(metrics, stats->taken_exemplar_count, "result", "taken", NULL);
    serve_metric_u64(metrics, stats->refused_exemplar_count, "result", "refused", NULL);
    serve_metric_one(metrics, "quarry_tsdb_exemplars", "gauge", "Exemplars that are kept.",
                     stats->exemplar_count);
    serve_metric_one(metrics, "quarry_tsdb_exemplar_bytes", "gauge",
                     "Bytes of the exemplars that are kept.", stats->exemplar_bytes);
}

/* ---- by Prometheus' names -------------------------------------------------------------------- */

static void write_times(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    const struct {
        const char *name, *help;
        double value;
    } times[] = {
        {"prometheus_tsdb_head_min_time", "Start of the oldest window, in milliseconds.",
         (double)stats->min_ms},
        {"prometheus_tsdb_head_max_time", "The newest sample, in milliseconds.",
         (double)stats->max_ms},
        {"prometheus_tsdb_head_min_time_seconds", "Start of the oldest window.",
         (double)stats->min_ms / 1e3},
        {"prometheus_tsdb_head_max_time_seconds", "The newest sample.",
         (double)stats->max_ms / 1e3},
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        serve_metric_family(metrics, times[i].name, "gauge", times[i].help);
        serve_metric_double(metrics, times[i].value, NULL);
    }
}

/* Those that tell floats and histograms apart. */
static void write_floats(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } counts[] = {
        {"prometheus_tsdb_head_samples_appended_total", "Samples taken.",
         stats->taken_count - stats->histogram_count},
        {"prometheus_tsdb_head_out_of_order_samples_appended_total", "Samples taken out of order.",
         stats->late_count},
        {"prometheus_tsdb_out_of_order_samples_total", "Samples refused as out of order.",
         stats->refused_counts[QUARRY_TSDB_OUT_OF_ORDER]},
        {"prometheus_tsdb_out_of_bound_samples_total", "Samples refused as out of bounds.",
         stats->refused_counts[QUARRY_TSDB_OUT_OF_BOUNDS]},
        {"prometheus_tsdb_too_old_samples_total", "Samples refused as too old.",
         stats->refused_counts[QUARRY_TSDB_TOO_OLD]},
    };

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        serve_metric_family(metrics, counts[i].name, "counter", counts[i].help);
        serve_metric_u64(metrics, counts[i].value, "type", "float", NULL);
    }
}

static void write_aliases(struct serve_metrics *metrics, const struct quarry_tsdb_stats *stats)
{
    serve_metric_one(metrics, "prometheus_tsdb_head_series", "gauge", "Series now.",
                     stats->series_count);
    serve_metric_one(metrics, "prometheus_tsdb_head_series_created_total", "counter",
                     "Series begun.", stats->created_series_count);
    serve_metric_one(metrics, "prometheus_tsdb_head_series_removed_total", "counter",
                     "Series removed.", stats->removed_series_count);
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
        serve_metric_one(metrics, families[i].name, families[i].type, families[i].help,
                         figure_at(&stats, families[i].at));
    }
    write_bytes(metrics, &stats);
    write_used(metrics, server->tsdb->tsdb);
    write_refusals(metrics, &stats);
    write_metadata(metrics, server->tsdb->metadata);
    write_exemplars(metrics, &stats);
    write_aliases(metrics, &stats);
}
