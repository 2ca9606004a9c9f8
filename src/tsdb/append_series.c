/*
 * From the entries of a request to series: by their bytes, else by their labels, else made.
 *
 *     key ──hash──> memo ──> id                       a known series: a hash, and a cache line or
 * two │ not there └──> labels (resolve) ──> lookup ──> id        one that came in other bytes, or
 * was forgotten │ not there └──> limits, room ──> made
 *
 * Keys are hashed some entries ahead, so that the memo's cache lines are there when they are looked
 * at; without that the wait for memory would be half of an append.
 *
 * New series are what is refused first when memory runs out: for each that is known, two chunklets
 * are kept free, so that its next samples find room. Before a new one is refused shards are sealed
 * early, if that can give something; a window is never purged for one.
 *
 * Series that were made stay when the request is refused, without samples; they go like those whose
 * last window is gone.
 *
 * Locking: none for what is known by its key; else the registry's mutex, and for a new series its
 * shard's.
 */
#include <tsdb/append.h>

#include <tsdb/metrics.h>
#include <tsdb/turn.h>

/* Entries whose memo bucket is fetched ahead: about a cache miss's worth of others. */
#define AHEAD 8u

/* ---- room ----------------------------------------------------------------------------------- */

bool tsdb_append_room_for_series(struct quarry_tsdb *tsdb)
{
    uint64_t limit_bytes = tsdb->options.memory_bytes;

    if (limit_bytes == 0) {
        return quarry_memory_pressure(tsdb->memory) < QUARRY_PRESSURE_CRITICAL;
    }
    uint64_t kept_bytes =
        ((uint64_t)tsdb_registry_count(tsdb->registry) + 1) * TSDB_SERIES_RESERVE_BYTES;
    kept_bytes += limit_bytes / TSDB_RESERVE_PART + TSDB_SERIES_NEW_BYTES;
    return tsdb_charged_bytes(tsdb) + kept_bytes <= limit_bytes;
}

/* ---- one entry ------------------------------------------------------------------------------ */

static void entry_refuse(struct tsdb_append *append, uint32_t index,
                         enum quarry_tsdb_refusal refusal)
{
    tsdb_append_refuse(append, index, 0, tsdb_entry_count(&append->request->entries[index]),
                       refusal);
}

/* The window that a new series counts as having samples in, so that it is not removed at once. */
static int32_t window_now(const struct tsdb_append *append)
{
    int64_t time_ms = tsdb_time_ms(append->tsdb);
    int32_t number = 0;

    (void)tsdb_window_number(time_ms == TSDB_TIME_NONE ? append->first_ms : time_ms,
                             append->tsdb->options.window_ms, &number);
    return number;
}

static void series_begin(struct tsdb_append *append, uint32_t id)
{
    struct quarry_tsdb *tsdb = append->tsdb;
    struct tsdb_series *series = tsdb_registry_series(tsdb->registry, id);
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));

    os_mutex_lock(mutex);
    if (series->head.tail == TSDB_CHUNKLET_NONE) {
        series->last_window = window_now(append);
    }
    os_mutex_unlock(mutex);
    append->result->new_series_count++;
    (void)atomic_add_relaxed_u64(&tsdb->counters.created_series_count, 1);
}

static enum tsdb_append_step series_make(struct tsdb_append *append, uint32_t index,
                                         const struct tsdb_labels *labels,
                                         const struct tsdb_memo_key *key, uint32_t *ret_id)
{
    struct quarry_tsdb *tsdb = append->tsdb;
    bool is_new = false;

    struct tsdb_metric *metric = tsdb_metric_of_labels(tsdb, append->request->tenant, labels);
    if (!tsdb_metric_begin_series(tsdb, metric)) {
        entry_refuse(append, index, QUARRY_TSDB_METRIC_SERIES_LIMIT);
        return TSDB_APPEND_GO_ON;
    }
    if (!tsdb_limits_add_series(&tsdb->limits, append->tenant)) {
        tsdb_metric_end_series(metric);
        entry_refuse(append, index, QUARRY_TSDB_SERIES_LIMIT);
        return TSDB_APPEND_GO_ON;
    }
    enum quarry_status status = QUARRY_NO_MEMORY;
    if (tsdb_append_room_for_series(tsdb)) {
        status = tsdb_registry_get(tsdb->registry, append->request->tenant, labels, key, ret_id,
                                   &is_new);
    }
    tsdb_metric_end_series(metric);
    if (status != QUARRY_OK || !is_new) {
        tsdb_limits_remove_series(&tsdb->limits, append->tenant);
    }
    if (status == QUARRY_OK && is_new) {
        series_begin(append, *ret_id);
    }
    if (status != QUARRY_OK && append->is_last) {
        entry_refuse(append, index,
                     status == QUARRY_BAD_INPUT ? QUARRY_TSDB_BAD_LABELS : QUARRY_TSDB_NO_MEMORY);
        return TSDB_APPEND_GO_ON;
    }
    return status == QUARRY_OK ? TSDB_APPEND_GO_ON : TSDB_APPEND_NO_SERIES;
}

static bool entry_labels(const struct tsdb_append *append, uint32_t index,
                         struct tsdb_labels *ret_labels)
{
    const struct quarry_tsdb_request *request = append->request;

    *ret_labels = request->entries[index].labels;
    return ret_labels->count != 0 ||
           (request->resolve != NULL &&
            request->resolve(request->resolve_argument, index, ret_labels));
}

/* Whether the log has room for such labels, of whatever limits. */
static bool log_can_hold(struct tsdb_labels labels)
{
    uint64_t byte_count = 0;

    for (size_t i = 0; i < labels.count; i++) {
        byte_count += labels.labels[i].name.count + labels.labels[i].value.count;
    }
    return byte_count <= TSDB_LOG_LABEL_BYTES_MAX;
}

/* The series of an entry that its key does not name. */
static Q_NOINLINE enum tsdb_append_step entry_find_slow(struct tsdb_append *append, uint32_t index,
                                                        const struct tsdb_memo_key *key,
                                                        uint32_t *ret_id)
{
    struct quarry_tsdb *tsdb = append->tsdb;
    const struct quarry_tsdb_limits *limits = tsdb_limits_of(&tsdb->limits, append->tenant);
    struct tsdb_labels labels;

    if (!entry_labels(append, index, &labels) || !tsdb_limits_allow_labels(limits, labels) ||
        !tsdb_labels_are_valid(&labels) || (tsdb->durable != NULL && !log_can_hold(labels))) {
        entry_refuse(append, index, QUARRY_TSDB_BAD_LABELS);
        return TSDB_APPEND_GO_ON;
    }
    enum quarry_status status =
        tsdb_registry_lookup(tsdb->registry, append->request->tenant, &labels, key, ret_id);
    return status == QUARRY_OK ? TSDB_APPEND_GO_ON
                               : series_make(append, index, &labels, key, ret_id);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static struct tsdb_memo_key entry_key(const struct tsdb_append *append, uint32_t index)
{
    const struct tsdb_registry *registry = append->tsdb->registry;
    struct tsdb_memo_key key =
        tsdb_registry_key(registry, append->request->tenant, append->request->entries[index].key);

    tsdb_registry_prefetch(registry, key);
    return key;
}

static enum tsdb_append_step entry_find(struct tsdb_append *append, uint32_t index,
                                        struct tsdb_memo_key key, uint32_t *ret_id)
{
    const struct quarry_tsdb_entry *entry = &append->request->entries[index];

    *ret_id = TSDB_SERIES_NONE;
    if (tsdb_entry_count(entry) == 0) {
        return TSDB_APPEND_GO_ON;
    }
    if (entry->key.count == 0) {
        return entry_find_slow(append, index, NULL, ret_id);
    }
    *ret_id = tsdb_registry_find(append->tsdb->registry, key);
    return Q_LIKELY(*ret_id != TSDB_SERIES_NONE) ? TSDB_APPEND_GO_ON
                                                 : entry_find_slow(append, index, &key, ret_id);
}

enum tsdb_append_step tsdb_append_find_series(struct tsdb_append *append)
{
    uint32_t count = (uint32_t)append->request->entry_count, ahead = 0;
    struct tsdb_memo_key keys[AHEAD];

    for (uint32_t i = 0; i < count; i++) {
        uint32_t id;
        for (; ahead < count && ahead < i + AHEAD; ahead++) {
            keys[ahead % AHEAD] = entry_key(append, ahead);
        }
        enum tsdb_append_step step = entry_find(append, i, keys[i % AHEAD], &id);
        if (step != TSDB_APPEND_GO_ON) {
            return step;
        }
        append->items[i] = tsdb_append_item_of(id, i);
        if (id != TSDB_SERIES_NONE) {
            __builtin_prefetch(tsdb_registry_series(append->tsdb->registry, id), 1);
        }
    }
    return TSDB_APPEND_GO_ON;
}
