/*
 * Remote write 1.0: all of a request or none of it.
 *
 * The body is gone over twice, once to count, so that its parts get memory of just their size, and
 * once to fill it:
 *
 *     | series … | entries … | samples … |      what the store is given, in one append
 *
 * A series that the store knows by its bytes is found without a look at its labels. Those bytes
 * come from a guess where the labels end (tsdb/remote_write.h), which is put to the test here, for
 * each series: a walk over tags and lengths, some 20 instructions a label. So a body that is no
 * request is known for one before anything of it is stored, and a key that gets into the store's
 * memo is always a row of labels, whole.
 *
 * Bodies that do not stand the test are read field by field, which says the same of them.
 */
#include <serve/prometheus/write.h>

/* Of a series, and of a label in it. */
#define TAG_LABEL 0x0au
#define TAG_NAME  0x0au
#define TAG_VALUE 0x12u

struct parts {
    struct tsdb_write_series *series; /* own, with the others behind it */
    struct quarry_tsdb_entry *entries;
    struct tsdb_sample *samples;
    size_t series_count, sample_count;
};

/* What the store asks for labels by. */
struct resolver {
    const struct write_request *request;
    const struct tsdb_write_reader *reader;
    const struct parts *parts;
    struct tsdb_label *labels; /* own */
};

/* ---- whether a key is a row of labels -------------------------------------------------------- */

/* Goes over a field of bytes. Returns: behind its head; NULL: it is another, or does not fit. */
static const uint8_t *enter(const uint8_t *at, const uint8_t *end, uint32_t tag, size_t *ret_count)
{
    if (end - at < 2 || at[0] != tag) {
        return NULL;
    }
    size_t count = at[1];
    at += 2;
    if (count >= 0x80) { /* of two bytes; longer ones are for the slow half */
        if (at == end || *at == 0 || *at >= 0x80) {
            return NULL;
        }
        count = (count & 0x7f) | (size_t)*at++ << 7;
    }
    *ret_count = count;
    return count <= (size_t)(end - at) ? at : NULL;
}

static bool is_row_of_labels(struct tsdb_slice key)
{
    const uint8_t *at = (const uint8_t *)key.bytes, *end = at + key.count;
    size_t label_bytes = 0, bytes = 0;

    while (at < end) {
        at = enter(at, end, TAG_LABEL, &label_bytes);
        if (at == NULL) {
            return false;
        }
        const uint8_t *label_end = at + label_bytes;
        at = enter(at, label_end, TAG_NAME, &bytes);
        at = at == NULL ? NULL : enter(at + bytes, label_end, TAG_VALUE, &bytes);
        if (at == NULL || at + bytes != label_end) {
            return false;
        }
        at = label_end;
    }
    return true;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The next series, with labels that can be read. `labels`: room for one's. */
static enum quarry_status next(const struct write_request *request,
                               struct tsdb_write_reader *reader, struct tsdb_label *labels,
                               struct tsdb_write_series *ret_series, struct quarry_error *error)
{
    enum quarry_status status = tsdb_write_next_series(reader, ret_series, error);
    struct tsdb_label_set set;

    if (status != QUARRY_OK ||
        (ret_series->labels.count > 0 && is_row_of_labels(ret_series->labels))) {
        return status;
    }
    write_label_set(request->store, labels, &set);
    return tsdb_write_labels(reader, ret_series, &set, error);
}

static enum quarry_status count_parts(struct write_request *request, struct tsdb_label *labels,
                                      struct parts *parts)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(request->body);
    struct tsdb_write_series series;
    enum quarry_status status;

    while ((status = next(request, &reader, labels, &series, &request->error)) == QUARRY_OK) {
        parts->series_count += series.counts.samples > 0 ? 1 : 0;
        parts->sample_count += series.counts.samples;
        request->histogram_count += series.counts.histograms;
        request->exemplar_count += series.counts.exemplars;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status take_parts(struct write_request *request, struct parts *parts)
{
    size_t each = sizeof *parts->series + sizeof *parts->entries;

    /* A series has two bytes of the body or more, which is bounded: no overflow. */
    parts->series =
        tsdb_memory_take(&request->store->memory,
                         parts->series_count * each + parts->sample_count * sizeof *parts->samples);
    if (parts->series == NULL) {
        return error_set(&request->error, QUARRY_NO_MEMORY,
                         "no memory for a request of %zu series and %zu samples",
                         parts->series_count, parts->sample_count);
    }
    parts->entries = (struct quarry_tsdb_entry *)(void *)(parts->series + parts->series_count);
    parts->samples = (struct tsdb_sample *)(void *)(parts->entries + parts->series_count);
    return QUARRY_OK;
}

/* Reads the samples of one series. */
static enum quarry_status fill_samples(const struct tsdb_write_reader *reader,
                                       const struct tsdb_write_series *series,
                                       struct tsdb_sample *samples, struct quarry_error *error)
{
    struct tsdb_write_items items = tsdb_write_items_of(series);
    enum quarry_status status = QUARRY_OK;

    if (series->counts.samples == 1) {
        samples[0] = series->sample;
        return QUARRY_OK;
    }
    for (uint32_t i = 0; status == QUARRY_OK && i < series->counts.samples; i++) {
        status = tsdb_write_next_sample(reader, &items, &samples[i], error);
    }
    Q_ASSERT(status != QUARRY_NOT_FOUND);
    return status;
}

static enum quarry_status fill_parts(struct write_request *request,
                                     struct tsdb_write_reader *reader, struct tsdb_label *labels,
                                     struct parts *parts)
{
    struct tsdb_sample *samples = parts->samples;
    struct tsdb_write_series series;
    size_t index = 0;
    enum quarry_status status;

    while ((status = next(request, reader, labels, &series, &request->error)) == QUARRY_OK) {
        if (series.counts.samples == 0) {
            continue;
        }
        Q_ASSERT(index < parts->series_count);
        parts->series[index] = series;
        parts->entries[index] = (struct quarry_tsdb_entry){
            .key = series.labels, .samples = samples, .sample_count = series.counts.samples};
        status = fill_samples(reader, &series, samples, &request->error);
        if (status != QUARRY_OK) {
            return status;
        }
        samples += series.counts.samples;
        index++;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* ---- appending ------------------------------------------------------------------------------ */

/* In the form of quarry_tsdb_resolve_function. */
static bool resolve(void *argument, size_t entry_index, struct quarry_tsdb_labels *ret_labels)
{
    struct resolver *resolver = argument;
    struct tsdb_write_series series = resolver->parts->series[entry_index];
    struct tsdb_label_set set;

    write_label_set(resolver->request->store, resolver->labels, &set);
    return tsdb_write_labels(resolver->reader, &series, &set, NULL) == QUARRY_OK &&
           tsdb_slice_equal(series.labels, resolver->parts->series[entry_index].labels) &&
           tsdb_label_set_finish_series(&set, ret_labels) == TSDB_LABELS_GOOD;
}

static void append(struct write_request *request, const struct tsdb_write_reader *reader,
                   struct tsdb_label *labels, const struct parts *parts)
{
    struct resolver resolver = {
        .request = request, .reader = reader, .parts = parts, .labels = labels};
    const struct quarry_tsdb_request appended = {
        .tenant = request->tenant,
        .entries = parts->entries,
        .entry_count = parts->series_count,
        .resolve = resolve,
        .resolve_argument = &resolver,
    };
    struct quarry_tsdb_result result;
    enum quarry_status status = quarry_tsdb_append(request->store->tsdb, &appended, &result);

    write_count(request, &result);
    if (status != QUARRY_OK && !write_is_refusal(status, &result)) {
        request->status = error_set(&request->error, status, "%s", quarry_status_text(status));
    }
}

static void keep_metadata(const struct write_request *request)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(request->body);
    struct tsdb_family family;

    /* What is not kept is missing on a page for people, and is told again in a minute. */
    while (tsdb_write_next_family(&reader, &family, NULL) == QUARRY_OK) {
        (void)tsdb_metadata_put(request->store->metadata, request->tenant, &family,
                                TSDB_METADATA_ALL);
    }
}

void write_1(struct write_request *request)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(request->body);
    struct parts parts = {.series = NULL};
    struct tsdb_label *labels = write_labels_take(request->store);

    request->status = labels == NULL
                          ? error_set(&request->error, QUARRY_NO_MEMORY, "no memory for labels")
                          : count_parts(request, labels, &parts);
    if (request->status == QUARRY_OK && request->histogram_count > 0) {
        request->status =
            error_set(&request->error, QUARRY_BAD_INPUT, "native histograms are disabled");
    }
    if (request->status == QUARRY_OK && parts.series_count > 0) {
        request->status = take_parts(request, &parts);
        if (request->status == QUARRY_OK) {
            request->status = fill_parts(request, &reader, labels, &parts);
        }
        if (request->status == QUARRY_OK) {
            append(request, &reader, labels, &parts);
        }
        tsdb_memory_give(&request->store->memory, parts.series);
    }
    if (request->status == QUARRY_OK) {
        keep_metadata(request);
    }
    tsdb_memory_give(&request->store->memory, labels);
}
