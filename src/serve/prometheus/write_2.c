/*
 * Remote write 2.0: what is good of a request is stored, the rest is named in the answer.
 *
 * Series are gathered into batches, so that a request takes the same memory whatever it says: its
 * symbols may be named by any number of series, and would be as large as all of them together.
 *
 *     series ── refs ──> labels ──> key: the bytes that 1.0 has for them ──┐
 *                                                                         v
 *     batch   | series | entries | samples | keys |  ── full, or the end ──> append
 *
 * A body that turns out to be none behind the first batch has that stored, and the answer's counts
 * say so. Requests of senders fit into one.
 *
 * A series that is known by its key has its labels read once, here; else once more, when the store
 * asks.
 */
#include <serve/prometheus/write.h>

/* A batch: senders send 2,000 samples in a request. Doubled, a request has 0.9 MB more. */
#define BATCH_SERIES    4096u
#define BATCH_SAMPLES   8192u
#define BATCH_KEY_BYTES Q_KIB(512)
/* And of histograms and exemplars, which have room where there are any: 0.8 MB. One histogram of
 * any size fits. */
#define BATCH_HISTOGRAMS 1024u
#define BATCH_SPANS      (WRITE_SPANS_MAX * 2)
#define BATCH_VALUES     (WRITE_VALUES_MAX * 4)
#define BATCH_EXEMPLARS  1024u
#define BATCH_LABELS     4096u

struct batch {
    struct tsdb_write2_series series[BATCH_SERIES];
    struct quarry_tsdb_entry entries[BATCH_SERIES];
    uint8_t refusals[BATCH_SERIES];
    struct tsdb_sample samples[BATCH_SAMPLES];
    char keys[BATCH_KEY_BYTES];
    size_t series_count, sample_count, key_bytes;
};

struct reading {
    struct write_request *request;
    struct tsdb_write2_reader reader;
    struct tsdb_slice *symbols;      /* own */
    struct batch *batch;             /* own */
    struct write_parts others;       /* own: histograms and exemplars of the batch */
    struct tsdb_label *labels;       /* own: of the series that is read */
    struct tsdb_label *batch_labels; /* own: of one that the store asks for */
};

/* ---- a batch -------------------------------------------------------------------------------- */

static enum tsdb_label_fault labels_of(const struct reading *reading,
                                       const struct tsdb_write2_series *series,
                                       struct tsdb_label *room, struct tsdb_label_set *set,
                                       struct tsdb_labels *ret_labels)
{
    write_label_set(reading->request->store, room, set);
    /* Its refs were readable when it was put into the batch. */
    (void)tsdb_write2_labels(&reading->reader, series, set, NULL);
    return tsdb_label_set_finish_series(set, ret_labels);
}

/* In the form of quarry_tsdb_resolve_function. */
static bool resolve(void *argument, size_t entry_index, struct quarry_tsdb_labels *ret_labels)
{
    const struct reading *reading = argument;
    struct tsdb_label_set set;

    return labels_of(reading, &reading->batch->series[entry_index], reading->batch_labels, &set,
                     ret_labels) == TSDB_LABELS_GOOD;
}

static void tell_refusals(struct reading *reading)
{
    const struct batch *batch = reading->batch;
    struct tsdb_label_set set;

    for (size_t i = 0; i < batch->series_count; i++) {
        struct tsdb_labels labels = {NULL, 0};
        if (batch->refusals[i] == QUARRY_TSDB_TAKEN) {
            continue;
        }
        if (reading->request->wrong_count < WRITE_TOLD_MAX) {
            (void)labels_of(reading, &batch->series[i], reading->batch_labels, &set, &labels);
        }
        write_tell(reading->request,
                   quarry_tsdb_refusal_text((enum quarry_tsdb_refusal)batch->refusals[i]), labels);
    }
}

/* Appends what the batch has, and empties it. */
static enum quarry_status flush(struct reading *reading)
{
    struct batch *batch = reading->batch;
    const struct quarry_tsdb_request appended = {
        .tenant = reading->request->tenant,
        .is_partial = true,
        .entries = batch->entries,
        .entry_count = batch->series_count,
        .resolve = resolve,
        .resolve_argument = reading,
        .ret_refusals = batch->refusals,
    };
    struct quarry_tsdb_result result;

    if (batch->series_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        quarry_tsdb_append(reading->request->store->tsdb, &appended, &result);
    write_count(reading->request, &result);
    tell_refusals(reading);
    batch->series_count = batch->sample_count = batch->key_bytes = 0;
    reading->others.used = (struct write_parts_counts){0};
    /* A refusal is answered by its count; anything else is the end. */
    return status == QUARRY_OK || write_is_refusal(status, &result)
               ? QUARRY_OK
               : error_set(&reading->request->error, status, "%s", quarry_status_text(status));
}

/* Begins an entry of the series; flushes for it where it must. */
static enum quarry_status add_entry(struct reading *reading,
                                    const struct tsdb_write2_series *series,
                                    struct tsdb_labels labels)
{
    struct batch *batch = reading->batch;
    enum quarry_status status = QUARRY_OK;

    if (batch->series_count == BATCH_SERIES || batch->sample_count == BATCH_SAMPLES) {
        status = flush(reading);
    }
    size_t key_bytes = tsdb_labels_encode(labels, batch->keys + batch->key_bytes,
                                          BATCH_KEY_BYTES - batch->key_bytes);
    if (status == QUARRY_OK && key_bytes == 0) {
        status = flush(reading);
        /* None at all where even so it does not fit: then its labels are asked for. */
        key_bytes = tsdb_labels_encode(labels, batch->keys, BATCH_KEY_BYTES);
    }
    batch->series[batch->series_count] = *series;
    batch->entries[batch->series_count++] = (struct quarry_tsdb_entry){
        .key = {batch->keys + batch->key_bytes, key_bytes},
        .samples = &batch->samples[batch->sample_count],
        .histograms = write_parts_histograms_end(&reading->others),
        .exemplars = write_parts_exemplars_end(&reading->others),
    };
    batch->key_bytes += key_bytes;
    return status;
}

static enum quarry_status add_samples(struct reading *reading,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_labels labels)
{
    struct tsdb_write_items items = tsdb_write2_items_of(series);
    struct batch *batch = reading->batch;
    struct tsdb_sample sample;
    int64_t start_ms;
    enum quarry_status status = add_entry(reading, series, labels), read = QUARRY_OK;

    while (status == QUARRY_OK &&
           (read = tsdb_write2_next_sample(&reading->reader, &items, &sample, &start_ms,
                                           &reading->request->error)) == QUARRY_OK) {
        if (batch->sample_count == BATCH_SAMPLES) {
            status = add_entry(reading, series, labels);
        }
        batch->samples[batch->sample_count++] = sample;
        batch->entries[batch->series_count - 1].sample_count++;
    }
    return status == QUARRY_OK && read != QUARRY_NOT_FOUND ? read : status;
}

/* ---- histograms and exemplars ---------------------------------------------------------------- */

static enum quarry_status take_others(struct reading *reading)
{
    const struct write_parts_counts most = {
        .histograms = BATCH_HISTOGRAMS,
        .spans = BATCH_SPANS,
        .values = BATCH_VALUES,
        .exemplars = BATCH_EXEMPLARS,
        .labels = size_max(BATCH_LABELS, reading->request->store->limits.labels.label_count_max),
    };

    return reading->others.taken != NULL
               ? QUARRY_OK
               : write_parts_take(reading->request->store, &most, &reading->others,
                                  &reading->request->error);
}

/* Whether one more of any size has room; else a batch is flushed for it. */
static bool has_histogram_room(const struct write_parts *others)
{
    return others->used.histograms < others->most.histograms &&
           others->most.spans - others->used.spans >= WRITE_SPANS_MAX &&
           others->most.values - others->used.values >= WRITE_VALUES_MAX;
}

static bool has_exemplar_room(const struct reading *reading)
{
    const struct write_parts *others = &reading->others;

    return others->used.exemplars < others->most.exemplars &&
           others->most.labels - others->used.labels >=
               reading->request->store->limits.labels.label_count_max;
}

/* `labels`: of the series, for one that is refused here. */
static enum quarry_status add_histograms(struct reading *reading,
                                         const struct tsdb_write2_series *series,
                                         struct tsdb_labels labels)
{
    struct tsdb_write_items items = tsdb_write2_items_of(series);
    struct tsdb_wire_histogram histogram;
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK) {
        if (!has_histogram_room(&reading->others)) {
            status = flush(reading);
            status = status == QUARRY_OK ? add_entry(reading, series, labels) : status;
            if (status != QUARRY_OK) {
                return status;
            }
        }
        const struct tsdb_wire_histogram_room room = write_parts_room(&reading->others);
        status = tsdb_write2_next_histogram(&reading->reader, &items, &room, &histogram,
                                            &reading->request->error);
        if (status == QUARRY_OK) {
            bool is_kept = write_parts_add_histogram(&reading->others, &histogram);
            Q_ASSERT(is_kept);
            reading->batch->entries[reading->batch->series_count - 1].histogram_count++;
        } else if (status == QUARRY_TOO_LARGE) {
            write_tell(reading->request, reading->request->error.text, labels);
            status = QUARRY_OK;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status add_exemplars(struct reading *reading,
                                        const struct tsdb_write2_series *series,
                                        struct tsdb_labels labels)
{
    struct tsdb_write_items items = tsdb_write2_items_of(series);
    struct write_parts *others = &reading->others;
    struct tsdb_exemplar exemplar;
    struct tsdb_label_set set;
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK) {
        if (!has_exemplar_room(reading)) {
            status = flush(reading);
            status = status == QUARRY_OK ? add_entry(reading, series, labels) : status;
            if (status != QUARRY_OK) {
                return status;
            }
        }
        write_parts_set(reading->request->store, others, &set);
        status = tsdb_write2_next_exemplar(&reading->reader, &items, &set, &exemplar,
                                           &reading->request->error);
        if (status == QUARRY_OK) {
            size_t before = others->used.exemplars;
            (void)write_parts_add_exemplar(others, &set, &exemplar);
            reading->batch->entries[reading->batch->series_count - 1].exemplar_count +=
                others->used.exemplars - before;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status add_others(struct reading *reading,
                                     const struct tsdb_write2_series *series,
                                     struct tsdb_labels labels)
{
    enum quarry_status status = QUARRY_OK;

    if (series->histogram_count > 0) {
        status = add_histograms(reading, series, labels);
    }
    if (status == QUARRY_OK && series->exemplar_count > 0) {
        status = add_exemplars(reading, series, labels);
    }
    return status;
}

/* ---- series --------------------------------------------------------------------------------- */

static enum quarry_status keep_family(const struct reading *reading,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_labels labels)
{
    struct tsdb_family family;
    enum quarry_status status =
        tsdb_write2_family(&reading->reader, series, &family, &reading->request->error);

    if (status == QUARRY_NOT_FOUND) {
        return QUARRY_OK;
    }
    if (status == QUARRY_OK) {
        family.name = tsdb_labels_metric_name(labels);
        (void)tsdb_metadata_put(reading->request->store->metadata, reading->request->tenant,
                                &family, TSDB_METADATA_ALL);
    }
    return status;
}

static enum quarry_status add_series(struct reading *reading,
                                     const struct tsdb_write2_series *series)
{
    struct write_request *request = reading->request;
    struct tsdb_label_set set;
    struct tsdb_labels labels = {NULL, 0};
    struct quarry_error why;

    write_label_set(request->store, reading->labels, &set);
    enum quarry_status status = tsdb_write2_labels(&reading->reader, series, &set, &request->error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (tsdb_label_set_finish_series(&set, &labels) != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, &why);
        write_tell(request, why.text, labels);
        return QUARRY_OK;
    }
    if (series->sample_count + (uint64_t)series->histogram_count == 0) {
        write_tell(request, "neither samples nor histograms", labels);
        return keep_family(reading, series, labels);
    }
    status = keep_family(reading, series, labels);
    if (status == QUARRY_OK && series->histogram_count + (uint64_t)series->exemplar_count > 0) {
        status = take_others(reading);
    }
    /* An entry for the samples, which the histograms and exemplars join. */
    status = status == QUARRY_OK ? add_samples(reading, series, labels) : status;
    return status == QUARRY_OK ? add_others(reading, series, labels) : status;
}

/* ---- the request ---------------------------------------------------------------------------- */

static enum quarry_status begin(struct reading *reading)
{
    struct write_request *request = reading->request;
    const struct tsdb_memory *memory = &request->store->memory;
    struct tsdb_write2_counts counts;
    enum quarry_status status = tsdb_write2_count(request->body, &counts, &request->error);

    if (status != QUARRY_OK) {
        return status;
    }
    reading->symbols =
        tsdb_memory_take(memory, (counts.symbol_count + (size_t)1) * sizeof *reading->symbols);
    reading->batch = tsdb_memory_take(memory, sizeof *reading->batch);
    reading->labels = write_labels_take(request->store);
    reading->batch_labels = write_labels_take(request->store);
    if (reading->symbols == NULL || reading->batch == NULL || reading->labels == NULL ||
        reading->batch_labels == NULL) {
        return error_set(&request->error, QUARRY_NO_MEMORY, "no memory for a request of %u symbols",
                         counts.symbol_count);
    }
    reading->batch->series_count = reading->batch->sample_count = reading->batch->key_bytes = 0;
    return tsdb_write2_open(request->body, reading->symbols, &counts, &reading->reader,
                            &request->error);
}

static void end(struct reading *reading)
{
    const struct tsdb_memory *memory = &reading->request->store->memory;

    write_parts_give(reading->request->store, &reading->others);
    tsdb_memory_give(memory, reading->symbols);
    tsdb_memory_give(memory, reading->batch);
    tsdb_memory_give(memory, reading->labels);
    tsdb_memory_give(memory, reading->batch_labels);
}

void write_2(struct write_request *request)
{
    struct reading reading = {.request = request};
    struct tsdb_write2_series series;
    enum quarry_status status = begin(&reading), read = QUARRY_NOT_FOUND;

    while (status == QUARRY_OK && (read = tsdb_write2_next_series(&reading.reader, &series,
                                                                  &request->error)) == QUARRY_OK) {
        status = add_series(&reading, &series);
    }
    if (status == QUARRY_OK) {
        status = read == QUARRY_NOT_FOUND ? flush(&reading) : read;
    }
    request->status = status;
    end(&reading);
}
