/*
 * The limits of metrics on a request: samples of each, counted before any is appended.
 *
 * What is over a metric's rate is refused by entries, in their order. An attempt that is begun anew
 * gives back what it has counted.
 */
#include <tsdb/append.h>

#include <tsdb/metrics.h>

static bool has_limits(const struct tsdb_append *append)
{
    return atomic_load_relaxed_u64(&append->tsdb->metrics.count) != 0;
}

void tsdb_append_take_metrics(struct tsdb_append *append)
{
    for (uint32_t i = 0; has_limits(append) && i < append->request->entry_count; i++) {
        struct tsdb_append_item *item = &append->items[i];
        struct tsdb_metric *metric =
            item->id == TSDB_SERIES_NONE ? NULL : tsdb_metric_of_series(append->tsdb, item->id);
        size_t count = tsdb_entry_count(&append->request->entries[i]);
        if (metric != NULL && !tsdb_metric_take_samples(metric, append->wall_ms, count)) {
            tsdb_append_refuse(append, i, 0, count, QUARRY_TSDB_METRIC_RATE_LIMIT);
            item->id = TSDB_SERIES_NONE;
        }
    }
}

void tsdb_append_give_metrics(struct tsdb_append *append)
{
    for (uint32_t i = 0; has_limits(append) && i < append->request->entry_count; i++) {
        const struct tsdb_append_item *item = &append->items[i];
        struct tsdb_metric *metric =
            item->id == TSDB_SERIES_NONE ? NULL : tsdb_metric_of_series(append->tsdb, item->id);
        if (metric != NULL) {
            tsdb_metric_give_samples(metric, append->wall_ms,
                                     tsdb_entry_count(&append->request->entries[i]));
        }
    }
}
