/*
 * What a scrape leaves in the store.
 *
 *     the page's samples        none of them where the page fails
 *     stale markers             of series whose last sample was ours, and that are not on the page;
 *                               of all such series where the page fails or did not come
 *     the report                up, scrape_duration_seconds, scrape_samples_scraped,
 *                               scrape_samples_post_metric_relabeling, scrape_series_added
 *
 * Samples that the store refuses by its rules (out of order, too old) are left out and counted, as
 * Prometheus does; those that it has no room for are told besides, and their series tried again.
 *
 * A target that is gone ends like a page that did not come, at the time at which it would have been
 * scraped next, but for series that another target of the same labels goes on with meanwhile: the
 * store takes late samples, and a marker that came late would end what is alive.
 *
 * What differs from Prometheus 2.42: when a page fails in its middle, it writes no marker for the
 * series that stand before the fault; here they are ended like the others.
 *
 * Locking: the mutex for a target's state, at the end. Cost: see read.c; a walk over the target's
 * series.
 *
 * Source: Prometheus' scrape loop.
 */
#include <serve/scrape/state.h>

#include <stdio.h>
#include <string.h>

#include <serve/log.h>

/* Of the room for labels, between pages. */
#define ROOM_KEPT_BYTES Q_MIB(1)
/* Lines that may be kept of pages that fail before they are forgotten anyway. */
#define FAILED_LINES_MAX 1000u

/* ---- into the store ------------------------------------------------------------------------- */

/* What may be taken the next time. */
static bool is_passing(uint8_t refusal)
{
    return refusal == QUARRY_TSDB_NO_MEMORY || refusal == QUARRY_TSDB_RATE_LIMIT ||
           refusal == QUARRY_TSDB_SERIES_LIMIT;
}

static uint64_t sum_refused(const struct quarry_tsdb_result *result)
{
    uint64_t sum = 0;

    for (size_t i = QUARRY_TSDB_TAKEN + 1; i < QUARRY_TSDB_REFUSALS; i++) {
        sum += result->refused_counts[i];
    }
    return sum;
}

static void note_outcome(struct scrape *scrape, uint64_t *ret_new_count)
{
    const struct batch *batch = &scrape->batch;
    uint64_t new_count = 0, stale_count = 0;

    for (size_t i = 0; i < batch->count; i++) {
        bool is_taken = batch->refusals[i] == QUARRY_TSDB_TAKEN;
        if (batch->marks[i] == BATCH_STALE) {
            stale_count += is_taken ? 1 : 0;
            batch->series[i]->is_live = is_passing(batch->refusals[i]);
        } else if (is_taken) {
            new_count += batch->marks[i] == BATCH_NEW ? 1 : 0;
            if (batch->series[i] != NULL) {
                batch->series[i]->is_live = true;
            }
        }
    }
    scrape_count(scrape, stale_count, stale_count);
    *ret_new_count = new_count;
}

/* Appends the batch, and empties it. Returns: how many of its lines were new and taken. */
static uint64_t append(struct scrape *scrape, const struct target *target)
{
    struct quarry_tsdb_result result;
    uint64_t new_count = 0;
    enum quarry_status status =
        batch_append(&scrape->memory, &scrape->batch, scrape->options.tsdb, &result);

    scrape_count(scrape, sample_count, result.taken_count);
    scrape_count(scrape, refused_count, sum_refused(&result));
    if (status != QUARRY_OK) {
        serve_log(is_passing((uint8_t)result.first) ? SERVE_LOG_WARNING : SERVE_LOG_DEBUG,
                  "samples of a target were refused",
                  serve_log_text("job", target->facts->job->settings.name),
                  serve_log_text("url", target->facts->url),
                  serve_log_count("samples", sum_refused(&result)),
                  serve_log_text("why", result.first != QUARRY_TSDB_TAKEN
                                            ? quarry_tsdb_refusal_text(result.first)
                                            : quarry_status_text(status)));
    }
    note_outcome(scrape, &new_count);
    batch_empty(&scrape->memory, &scrape->batch);
    return new_count;
}

/* Markers for live series that did not come in this attempt. What there is no memory for is tried
 * with the next one. */
static void add_markers(struct scrape *scrape, struct target *target, uint64_t attempt,
                        int64_t t_ms)
{
    const struct tsdb_sample marker = {.t_ms = t_ms, .bits = TSDB_STALE_BITS};

    for (struct series *series = NULL; (series = series_next(&target->table, series)) != NULL;) {
        if (series->is_live && series->attempt != attempt &&
            batch_add(&scrape->memory, &scrape->batch,
                      (struct tsdb_slice){series->key, series->key_bytes}, marker, series,
                      BATCH_STALE) != QUARRY_OK) {
            return;
        }
    }
}

/* ---- the report ----------------------------------------------------------------------------- */

static const char *const report_names[REPORT_COUNT] = {
    [REPORT_UP] = "up",
    [REPORT_DURATION] = "scrape_duration_seconds",
    [REPORT_SAMPLES] = "scrape_samples_scraped",
    [REPORT_SAMPLES_LEFT] = "scrape_samples_post_metric_relabeling",
    [REPORT_SERIES_ADDED] = "scrape_series_added",
};

/* The series of a report, made when it is wanted first; NULL: no memory. */
static struct series *report_series(struct scrape *scrape, struct target *target, size_t which)
{
    struct tsdb_slice key;

    if (target->report[which] != NULL) {
        return target->report[which];
    }
    if (scrape_labels_report_key(&scrape->memory, &scrape->room, target->facts, report_names[which],
                                 &key) != QUARRY_OK) {
        return NULL;
    }
    struct series *series = tsdb_memory_take(&scrape->memory, sizeof *series + key.count);
    if (series != NULL) {
        *series = (struct series){.key_bytes = (uint32_t)key.count};
        memcpy(series->key, key.bytes, key.count);
        target->report[which] = series;
    }
    return series;
}

static void add_report(struct scrape *scrape, struct target *target, int64_t t_ms,
                       const uint64_t bits[REPORT_COUNT], enum batch_mark mark)
{
    for (size_t i = 0; i < REPORT_COUNT; i++) {
        struct series *series = report_series(scrape, target, i);
        if (series != NULL) {
            (void)batch_add(&scrape->memory, &scrape->batch,
                            (struct tsdb_slice){series->key, series->key_bytes},
                            (struct tsdb_sample){t_ms, bits[i]}, series, mark);
        }
    }
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void report(struct scrape *scrape, struct target *target, const struct page *page,
                   const struct reading *reading, bool is_up, uint64_t duration_ns)
{
    const uint64_t bits[REPORT_COUNT] = {
        [REPORT_UP] = bits_of(is_up ? 1.0 : 0.0),
        [REPORT_DURATION] = bits_of((double)duration_ns / 1e9),
        [REPORT_SAMPLES] = bits_of((double)reading->total),
        [REPORT_SAMPLES_LEFT] = bits_of((double)reading->added),
        [REPORT_SERIES_ADDED] = bits_of((double)reading->new_count),
    };

    add_report(scrape, target, page->t_ms, bits, BATCH_KNOWN);
    (void)append(scrape, target);
}

/* ---- the target's state --------------------------------------------------------------------- */

static void log_change(const struct target *target, enum scrape_health before, const char *why)
{
    const char *job = target->facts->job->settings.name, *url = target->facts->url;

    if (why[0] != '\0' && before != SCRAPE_DOWN) {
        serve_log(SERVE_LOG_WARNING, "a target cannot be scraped", serve_log_text("job", job),
                  serve_log_text("url", url), serve_log_text("why", why));
    } else if (why[0] == '\0' && before == SCRAPE_DOWN) {
        serve_log(SERVE_LOG_INFO, "a target can be scraped again", serve_log_text("job", job),
                  serve_log_text("url", url));
    }
}

static void set_state(struct scrape *scrape, struct target *target, const struct page *page,
                      const char *why, uint64_t duration_ns, uint64_t sample_count)
{
    enum scrape_health before = target->health;

    os_mutex_lock(&scrape->mutex);
    target->health = why[0] == '\0' ? SCRAPE_UP : SCRAPE_DOWN;
    (void)snprintf(target->error, sizeof target->error, "%.*s", SCRAPE_ERROR_BYTES - 1, why);
    target->last_ms = page->t_ms;
    target->last_duration_ns = duration_ns;
    target->last_sample_count = sample_count;
    os_mutex_unlock(&scrape->mutex);
    log_change(target, before, why);
}

/* ---- a scrape ------------------------------------------------------------------------------- */

/* Gives back what one long line took. */
static void trim_room(struct scrape *scrape)
{
    if (scrape->room.text.capacity + scrape->room.key_capacity > ROOM_KEPT_BYTES) {
        scrape_label_room_clear(&scrape->memory, &scrape->room);
    }
}

/* Forgets lines that are not there any more: after pages that came, or when those that failed have
 * left too many. */
static void sweep(struct scrape *scrape, struct target *target, bool is_whole)
{
    struct series_table *table = &target->table;
    bool is_too_much = table->line_count > table->kept_count * 2 + FAILED_LINES_MAX;

    if (is_whole || is_too_much) {
        series_sweep(&scrape->memory, table, target->attempt);
    }
    if (is_whole) {
        table->kept_count = table->line_count;
    }
}

void scrape_collect(struct scrape *scrape, struct target *target, const struct page *page)
{
    struct reading reading = {.total = 0};
    struct quarry_error error = {0};
    size_t series_before = target->table.series_count;
    enum quarry_status status =
        page->error == NULL ? QUARRY_OK : error_set(&error, QUARRY_IO, "%s", page->error);

    Q_ASSERT(scrape->batch.count == 0);
    target->attempt++;
    if (status == QUARRY_OK) {
        status = scrape_read_page(scrape, target, page, &reading, &error);
    }
    if (status == QUARRY_OK) {
        add_markers(scrape, target, target->attempt, page->t_ms);
        reading.new_count = append(scrape, target);
    } else {
        batch_empty(&scrape->memory, &scrape->batch);
        add_markers(scrape, target, UINT64_MAX, page->t_ms);
        (void)append(scrape, target);
    }
    sweep(scrape, target, status == QUARRY_OK && page->body.count > 0);
    uint64_t duration_ns = os_monotonic_ns(os_real()) - page->begin_ns;
    report(scrape, target, page, &reading, status == QUARRY_OK, duration_ns);
    set_state(scrape, target, page, status == QUARRY_OK ? "" : error.text, duration_ns,
              reading.total);
    trim_room(scrape);
    scrape_count(scrape, scrape_count, 1);
    scrape_count(scrape, failed_count, status == QUARRY_OK ? 0 : 1);
    scrape_count(scrape, body_bytes, page->body.count);
    scrape_count(scrape, series_count, target->table.series_count - series_before);
}

/* ---- the end of a target -------------------------------------------------------------------- */

/* Has series of others that are alive taken for ended already. Returns: whether another target of
 * the same labels has been scraped. */
static bool leave_to_twins(struct scrape *scrape, struct target *target)
{
    const struct hash_u128 *hash = &target->facts->labels_hash;
    bool is_reported = false;

    for (size_t i = 0; i < scrape->target_count; i++) {
        const struct target *other = scrape->targets[i];
        const struct hash_u128 *its = &other->facts->labels_hash;
        if (other->last_ms == 0 || its->low != hash->low || its->high != hash->high) {
            continue;
        }
        is_reported = true;
        for (struct series *series = NULL;
             (series = series_next(&target->table, series)) != NULL;) {
            const struct series *same = series_find(
                &other->table, (struct tsdb_slice){series->key, series->key_bytes}, series->hash);
            series->is_live = series->is_live && (same == NULL || !same->is_live);
        }
    }
    return is_reported;
}

void scrape_end_series(struct scrape *scrape, struct target *target)
{
    static const uint64_t markers[REPORT_COUNT] = {
        TSDB_STALE_BITS, TSDB_STALE_BITS, TSDB_STALE_BITS, TSDB_STALE_BITS, TSDB_STALE_BITS};
    bool is_reported = leave_to_twins(scrape, target);

    Q_ASSERT(target->phase == TARGET_ENDING && target->last_ms != 0);
    add_markers(scrape, target, UINT64_MAX, target->stale_ms);
    if (!is_reported) {
        add_report(scrape, target, target->stale_ms, markers, BATCH_STALE);
    }
    (void)append(scrape, target);
}
