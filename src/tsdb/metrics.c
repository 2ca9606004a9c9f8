/*
 * Limits of metrics.
 *
 *     buckets[hash of tenant and name] ──> metric ──> metric ──> NULL
 *
 * A metric that was given limits has a record for good; setting them again changes its numbers. So
 * readers need no lock, and nothing is ever taken from under them.
 *
 * How many series a metric has is not counted here: the registry knows, by its index. Who makes one
 * is counted as pending before it asks, so that two who make one at the same time see each other.
 *
 * A series' record has no room for its metric, so that is found by its labels; where no metric has
 * limits nothing is looked at.
 *
 * Cost: some 60 ns for each entry of a request while there are limits.
 */
#include <tsdb/metrics.h>

#include <string.h>

#include <tsdb/store.h>

void tsdb_metrics_init(struct quarry_tsdb *tsdb)
{
    os_mutex_init(&tsdb->metrics.mutex, OS_RANK_TSDB_LIMITS, 0);
}

void tsdb_metrics_fini(struct quarry_tsdb *tsdb)
{
    for (uint32_t i = 0; i < TSDB_METRIC_BUCKETS; i++) {
        struct tsdb_metric *metric = atomic_load_relaxed_ptr(&tsdb->metrics.buckets[i]);
        for (struct tsdb_metric *next; metric != NULL; metric = next) {
            next = metric->next;
            tsdb_memory_give(&tsdb->small[TSDB_PART_META], metric);
        }
    }
}

/* ---- finding -------------------------------------------------------------------------------- */

static _Atomic(void *) *bucket_of(struct quarry_tsdb *tsdb, uint16_t tenant, struct tsdb_slice name)
{
    uint64_t hash = hash_xxh3_u64(name.bytes, name.count, tenant);

    return &tsdb->metrics.buckets[hash % TSDB_METRIC_BUCKETS];
}

struct tsdb_metric *tsdb_metric_find(struct quarry_tsdb *tsdb, uint16_t tenant,
                                     struct tsdb_slice name)
{
    /* Relaxed: only to save the search. */
    if (atomic_load_relaxed_u64(&tsdb->metrics.count) == 0) {
        return NULL;
    }
    /* Acquire: pairs with the release in metric_make. */
    struct tsdb_metric *metric = atomic_load_acquire_ptr(bucket_of(tsdb, tenant, name));
    while (metric != NULL &&
           (metric->tenant != tenant ||
            !tsdb_slice_equal(name, (struct tsdb_slice){metric->name, metric->name_bytes}))) {
        metric = metric->next;
    }
    return metric;
}

struct tsdb_metric *tsdb_metric_of_labels(struct quarry_tsdb *tsdb, uint16_t tenant,
                                          const struct tsdb_labels *labels)
{
    if (atomic_load_relaxed_u64(&tsdb->metrics.count) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < labels->count; i++) {
        if (tsdb_slice_equal(labels->labels[i].name, tsdb_slice_of(TSDB_METRIC_NAME))) {
            return tsdb_metric_find(tsdb, tenant, labels->labels[i].value);
        }
    }
    return NULL;
}

struct tsdb_metric *tsdb_metric_of_series(struct quarry_tsdb *tsdb, uint32_t id)
{
    struct tsdb_label labels[TSDB_LABELS_MAX];

    if (atomic_load_relaxed_u64(&tsdb->metrics.count) == 0) {
        return NULL;
    }
    const struct tsdb_labels all = {labels, tsdb_registry_labels(tsdb->registry, id, labels)};
    return tsdb_metric_of_labels(tsdb, tsdb_registry_series(tsdb->registry, id)->tenant, &all);
}

/* ---- setting -------------------------------------------------------------------------------- */

/* Returns: NULL: no memory. */
static struct tsdb_metric *metric_make(struct quarry_tsdb *tsdb, uint16_t tenant,
                                       struct tsdb_slice name)
{
    struct tsdb_metric *made =
        tsdb_memory_take_zero(&tsdb->small[TSDB_PART_META], sizeof(*made) + name.count);
    _Atomic(void *) *bucket = bucket_of(tsdb, tenant, name);

    if (made == NULL) {
        return NULL;
    }
    made->tenant = tenant;
    made->name_bytes = (uint32_t)name.count;
    memcpy(made->name, name.bytes, name.count);
    atomic_store_relaxed_u64(&made->series_count, UINT64_MAX);
    atomic_store_relaxed_u64(&made->samples_per_second, UINT64_MAX);
    atomic_store_relaxed_i64(&made->retention_ms, INT64_MAX);
    os_mutex_lock(&tsdb->metrics.mutex);
    struct tsdb_metric *there = atomic_load_relaxed_ptr(bucket);
    made->next = there;
    while (there != NULL && (there->tenant != tenant || there->name_bytes != name.count ||
                             memcmp(there->name, name.bytes, name.count) != 0)) {
        there = there->next;
    }
    if (there == NULL) {
        /* Release: pairs with the acquire in tsdb_metric_find. */
        atomic_store_release_ptr(bucket, made);
        (void)atomic_add_relaxed_u64(&tsdb->metrics.count, 1);
    }
    os_mutex_unlock(&tsdb->metrics.mutex);
    if (there != NULL) { /* another thread was faster */
        tsdb_memory_give(&tsdb->small[TSDB_PART_META], made);
    }
    return there != NULL ? there : made;
}

enum quarry_status quarry_tsdb_set_metric_limits(struct quarry_tsdb *tsdb, uint16_t tenant,
                                                 struct quarry_tsdb_slice metric,
                                                 const struct quarry_tsdb_metric_limits *limits)
{
    if (metric.count == 0 || metric.count > UINT16_MAX || limits->retention_ms < 0) {
        return QUARRY_BAD_INPUT;
    }
    struct tsdb_metric *found = tsdb_metric_find(tsdb, tenant, metric);
    if (found == NULL) {
        found = metric_make(tsdb, tenant, metric);
    }
    if (found == NULL) {
        return QUARRY_NO_MEMORY;
    }
    /* Relaxed: only numbers. */
    atomic_store_relaxed_u64(&found->series_count,
                             limits->series_count != 0 ? limits->series_count : UINT64_MAX);
    atomic_store_relaxed_u64(&found->samples_per_second, limits->samples_per_second != 0
                                                             ? limits->samples_per_second
                                                             : UINT64_MAX);
    atomic_store_relaxed_i64(&found->retention_ms,
                             limits->retention_ms != 0 ? limits->retention_ms : INT64_MAX);
    return QUARRY_OK;
}

/* ---- asking --------------------------------------------------------------------------------- */

bool tsdb_metric_begin_series(struct quarry_tsdb *tsdb, struct tsdb_metric *metric)
{
    if (metric == NULL) {
        return true;
    }
    /* Acquire and release: who is not pending any more is in the registry's index. */
    uint64_t before = atomic_add_acq_rel_u64(&metric->pending_count, 1);
    uint64_t limit = atomic_load_relaxed_u64(&metric->series_count);
    const struct tsdb_slice name = {metric->name, metric->name_bytes};
    if (limit != UINT64_MAX &&
        before + tsdb_registry_metric_count(tsdb->registry, metric->tenant, name) >= limit) {
        tsdb_metric_end_series(metric);
        return false;
    }
    return true;
}

void tsdb_metric_end_series(struct tsdb_metric *metric)
{
    if (metric != NULL) {
        (void)atomic_sub_acq_rel_u64(&metric->pending_count, 1);
    }
}

bool tsdb_metric_take_samples(struct tsdb_metric *metric, int64_t wall_ms, uint64_t count)
{
    uint64_t limit = atomic_load_relaxed_u64(&metric->samples_per_second);
    uint64_t now = (uint64_t)(wall_ms / 1000), second = atomic_load_relaxed_u64(&metric->second);

    if (limit == UINT64_MAX) {
        return true;
    }
    /* Relaxed: only numbers. Who first sees a new second begins it. */
    if (second != now && atomic_cas_relaxed_u64(&metric->second, &second, now)) {
        atomic_store_relaxed_u64(&metric->sample_count, 0);
    }
    uint64_t before = atomic_load_relaxed_u64(&metric->sample_count);
    do {
        if (before >= limit || count > limit - before) {
            return false;
        }
    } while (!atomic_cas_weak_relaxed_u64(&metric->sample_count, &before, before + count));
    return true;
}

void tsdb_metric_give_samples(struct tsdb_metric *metric, int64_t wall_ms, uint64_t count)
{
    uint64_t before = atomic_load_relaxed_u64(&metric->sample_count);

    if (atomic_load_relaxed_u64(&metric->second) != (uint64_t)(wall_ms / 1000)) {
        return; /* they were of another second, which is over */
    }
    while (!atomic_cas_weak_relaxed_u64(&metric->sample_count, &before,
                                        before > count ? before - count : 0)) {
    }
}

int64_t tsdb_metric_min_ms(struct quarry_tsdb *tsdb, uint32_t id)
{
    struct tsdb_metric *metric = tsdb_metric_of_series(tsdb, id);
    int64_t time_ms = tsdb_time_ms(tsdb), min_ms;
    int64_t retention_ms =
        metric == NULL ? INT64_MAX : atomic_load_relaxed_i64(&metric->retention_ms);

    return retention_ms == INT64_MAX || __builtin_sub_overflow(time_ms, retention_ms, &min_ms)
               ? INT64_MIN
               : min_ms;
}
