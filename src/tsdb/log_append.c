/*
 * Appending batches.
 *
 *     sample ──> table: value before, age ──> record ──full──> segment
 *                 └ new, or of age 32: its labels ┘
 *
 * The age of a series is how many samples of it have been written since the last absolute one:
 *
 *     0 new ──> 1 … 32 ── absolute, labels again ──> 33 … 64 ── absolute ──> 33 … 64 ── absolute …
 *
 * A record is put together under the lock: it refers to values before, whose order is that of the
 * log. It may lag behind that of the store, where two requests bring samples of one series at the
 * same time: who replays takes them in whatever order they come.
 *
 * Invariants
 *   1. What the table of a segment says has been appended to it: where that fails, nothing is
 *      appended to the segment any more.
 *   2. The labels of a series are in a segment before, or in the record of, its first sample.
 *   3. A batch is whole in the segment that its ticket names. A sync takes no lock, and may break
 * the segment while the batch is being appended to it: then all of it goes to another one.
 *
 * Locking: `mutex`, for a whole batch.
 * Cost: 166 instructions a sample of node_exporter-like data in batches of 500, labels aside.
 *
 * Rejected: putting records together without the lock: each would have to hold its values whole, 8
 * bytes a sample.
 */
#include <string.h>

#include <tsdb/log_parts.h>

/* The age of a series that has been defined, and whose next sample is absolute. */
#define AGE_WITHOUT_VALUE (2 * LOG_REBASE_SAMPLES)

/* A batch on its way. */
struct appending {
    struct tsdb_log *log;
    struct log_entry *entry;
    const struct tsdb_log_batch *batch;
    struct quarry_error *error;
};

/* Closes the record under way, and appends it. */
static enum quarry_status flush(struct appending *appending)
{
    struct log_record *record = &appending->log->record;
    struct tsdb_slice parts[LOG_RECORD_PARTS];
    uint8_t head[LOG_RECORD_HEAD_BYTES_MAX];

    if (record->entry_count == 0 && record->definitions.byte_count == 0) {
        return QUARRY_OK;
    }
    log_record_finish(record, head, parts);
    enum quarry_status status =
        log_segment_append(appending->entry->segment, parts, LOG_RECORD_PARTS, appending->error);
    if (status == QUARRY_OK) {
        appending->log->stats.record_count++;
        log_record_begin(record, record->kind);
    }
    return status;
}

/* What a table knows of no series, for ids that it has no memory for. */
static const struct log_table_slot unknown_slot;

static Q_NOINLINE enum quarry_status define(struct appending *appending, uint32_t id,
                                            bool is_repeated)
{
    struct tsdb_log_series series = {.id = id};

    appending->batch->describe(appending->batch->argument, id, &series);
    Q_ASSERT(series.id == id);
    enum quarry_status status = log_record_define(&appending->log->record, &series, is_repeated);
    if (status != QUARRY_OK) {
        return error_set(appending->error, status,
                         "log '%s': series %u with %zu labels, at most %u and %llu bytes",
                         appending->log->directory, id, series.labels.count, TSDB_LOG_LABELS_MAX,
                         (unsigned long long)TSDB_LOG_LABEL_BYTES_MAX);
    }
    appending->log->stats.definition_count++;
    return QUARRY_OK;
}

/*
 * Sees to it that a series is defined in the segment.
 * `ret_slot`: unknown_slot: there is no memory to know of it.
 */
static inline enum quarry_status find_series(struct appending *appending, uint32_t id,
                                             struct log_table_slot *ret_slot)
{
    Q_ASSERT(id != TSDB_SERIES_NONE);
    if (Q_UNLIKELY(!log_table_find(&appending->entry->table, id, ret_slot))) {
        *ret_slot = unknown_slot;
        return define(appending, id, false);
    }
    if (Q_LIKELY(*ret_slot->age != 0)) {
        return QUARRY_OK;
    }
    appending->entry->series_count++;
    return define(appending, id, false);
}

/* One sample that needs more than its value before. */
static Q_NOINLINE enum quarry_status append_absolute(struct appending *appending,
                                                     const struct tsdb_log_sample *sample,
                                                     struct log_table_slot slot)
{
    enum quarry_status status = QUARRY_OK;

    if (slot.age == NULL) {
        log_record_sample(&appending->log->record, sample, 0, true);
        return QUARRY_OK;
    }
    /* Once more what the series is, for readers who lost where it was said: once, not each time. */
    if (*slot.age == LOG_REBASE_SAMPLES) {
        status = define(appending, sample->series, true);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    log_record_sample(&appending->log->record, sample, 0, true);
    if (sample->bits != TSDB_STALE_BITS) {
        *slot.base = sample->bits;
        *slot.age = *slot.age == 0 ? 1 : LOG_REBASE_SAMPLES + 1;
    } else if (*slot.age == 0) {
        *slot.age = AGE_WITHOUT_VALUE;
    }
    return QUARRY_OK;
}

static inline enum quarry_status append_sample(struct appending *appending,
                                               const struct tsdb_log_sample *sample)
{
    struct log_table_slot slot;
    enum quarry_status status = find_series(appending, sample->series, &slot);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    if (Q_UNLIKELY(slot.age == NULL || *slot.age % LOG_REBASE_SAMPLES == 0)) {
        return append_absolute(appending, sample, slot);
    }
    log_record_sample(&appending->log->record, sample, *slot.base, false);
    if (Q_LIKELY(sample->bits != TSDB_STALE_BITS)) {
        *slot.base = sample->bits;
        (*slot.age)++;
    }
    return QUARRY_OK;
}

static enum quarry_status append_samples(struct appending *appending)
{
    const struct tsdb_log_batch *batch = appending->batch;
    enum quarry_status status = QUARRY_OK;

    log_record_begin(&appending->log->record, LOG_RECORD_SAMPLES);
    for (size_t i = 0; i < batch->sample_count && status == QUARRY_OK; i++) {
        status = append_sample(appending, &batch->samples[i]);
        if (status == QUARRY_OK && log_record_is_full(&appending->log->record)) {
            status = flush(appending);
        }
    }
    return status == QUARRY_OK ? flush(appending) : status;
}

/* Now and then, for what has no age: about one time in 64. */
static bool is_repeated_now(const struct tsdb_log *log, uint32_t id)
{
    return (log->stats.record_count ^ id) * UINT64_C(0xd6e8feb86659fd93) >> 58 == 0;
}

/* A histogram or an exemplar: its series, which does not get a value before from it. */
static enum quarry_status begin_other(struct appending *appending, uint32_t id)
{
    struct log_table_slot slot;
    enum quarry_status status = QUARRY_OK;

    if (log_record_is_full(&appending->log->record)) {
        status = flush(appending);
    }
    if (status == QUARRY_OK) {
        status = find_series(appending, id, &slot);
    }
    if (status != QUARRY_OK || slot.age == NULL) {
        return status;
    }
    if (*slot.age == 0) {
        *slot.age = AGE_WITHOUT_VALUE;
    } else if (is_repeated_now(appending->log, id)) {
        return define(appending, id, true);
    }
    return QUARRY_OK;
}

static enum quarry_status append_histograms(struct appending *appending)
{
    const struct tsdb_log_batch *batch = appending->batch;
    enum quarry_status status = QUARRY_OK;

    log_record_begin(&appending->log->record, LOG_RECORD_HISTOGRAMS);
    for (size_t i = 0; i < batch->histogram_count && status == QUARRY_OK; i++) {
        status = begin_other(appending, batch->histograms[i].series);
        if (status == QUARRY_OK) {
            status = log_record_histogram(&appending->log->record, &batch->histograms[i]);
        }
    }
    return status == QUARRY_OK ? flush(appending) : status;
}

static enum quarry_status append_exemplars(struct appending *appending)
{
    const struct tsdb_log_batch *batch = appending->batch;
    enum quarry_status status = QUARRY_OK;

    log_record_begin(&appending->log->record, LOG_RECORD_EXEMPLARS);
    for (size_t i = 0; i < batch->exemplar_count && status == QUARRY_OK; i++) {
        status = begin_other(appending, batch->exemplars[i].series);
        if (status == QUARRY_OK) {
            status = log_record_exemplar(&appending->log->record, &batch->exemplars[i]);
        }
    }
    return status == QUARRY_OK ? flush(appending) : status;
}

static enum quarry_status append_all(struct appending *appending)
{
    enum quarry_status status = QUARRY_OK;

    if (appending->batch->sample_count != 0) {
        status = append_samples(appending);
    }
    if (status == QUARRY_OK && appending->batch->histogram_count != 0) {
        status = append_histograms(appending);
    }
    if (status == QUARRY_OK && appending->batch->exemplar_count != 0) {
        status = append_exemplars(appending);
    }
    return status;
}

/*
 * Something could not be appended. What was put together before that is, for the table knows of it;
 * if it cannot be either, the segment is left (invariant 1).
 */
static void give_up(struct appending *appending)
{
    struct tsdb_log *log = appending->log;
    struct log_entry *entry = appending->entry;
    struct quarry_error own;

    appending->error = &own;
    if (log_segment_status(entry->segment, NULL) == QUARRY_OK && flush(appending) == QUARRY_OK) {
        return;
    }
    log_leave_entry(log, entry, NULL);
    /* Or there would be a file for each try. */
    if (log_segment_end(entry->segment) == 0 &&
        quarry_vfs_remove(log->vfs, entry->path, NULL) == QUARRY_OK) {
        log_drop_entry(log, entry);
    }
}

static enum quarry_status append_locked(struct tsdb_log *log, const struct tsdb_log_batch *batch,
                                        struct tsdb_log_ticket *ret_ticket,
                                        struct quarry_error *error) Q_REQUIRES(&log->mutex)
{
    struct appending appending = {.log = log, .batch = batch};
    enum quarry_status status = QUARRY_OK;
    bool is_outrun;

    /* Again for each sync that fails meanwhile, of a segment with something in it. */
    do {
        status = log_take_entry(log, batch->window, &appending.entry, error);
        if (status != QUARRY_OK) {
            return status;
        }
        appending.error = error;
        status = append_all(&appending);
        is_outrun = status != QUARRY_OK && log_segment_is_outrun(appending.entry->segment);
        if (status != QUARRY_OK) {
            give_up(&appending);
        }
    } while (is_outrun);
    if (status != QUARRY_OK) {
        return status;
    }
    log->stats.sample_count += batch->sample_count + batch->histogram_count;
    *ret_ticket = (struct tsdb_log_ticket){appending.entry->sequence,
                                           log_segment_end(appending.entry->segment)};
    return QUARRY_OK;
}

enum quarry_status tsdb_log_append(struct tsdb_log *log, const struct tsdb_log_batch *batch,
                                   struct tsdb_log_ticket *ret_ticket, struct quarry_error *error)
{
    os_mutex_lock(&log->mutex);
    enum quarry_status status = append_locked(log, batch, ret_ticket, error);
    os_mutex_unlock(&log->mutex);
    return status;
}
