/*
 * Remote write 1.0: all of a request or none of it.
 *
 * The body is gone over twice, once to count, so that its parts get memory of just their size, and
 * once to fill it:
 *
 *     | series … | entries … | samples … |      what the store is given, in one append
 *     | histograms … | exemplars … | …   |      and beside it, where there are any
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
    struct write_parts others; /* histograms and exemplars */
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

/* Reads the histograms of one series into what is left of the room. */
static enum quarry_status fill_histograms(const struct tsdb_write_reader *reader,
                                          const struct tsdb_write_series *series,
                                          struct write_parts *others, struct quarry_error *error)
{
    struct tsdb_write_items items = tsdb_write_items_of(series);
    struct tsdb_wire_histogram histogram;
    enum quarry_status status;

    for (;;) {
        const struct tsdb_wire_histogram_room room = write_parts_room(others);
        status = tsdb_write_next_histogram(reader, &items, &room, &histogram, error);
        if (status != QUARRY_OK) {
            return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        }
        bool has_room = write_parts_add_histogram(others, &histogram);
        Q_ASSERT(has_room);
    }
}

/* And its exemplars. */
static enum quarry_status fill_exemplars(const struct write_request *request,
                                         const struct tsdb_write_reader *reader,
                                         const struct tsdb_write_series *series,
                                         struct write_parts *others, struct quarry_error *error)
{
    struct tsdb_write_items items = tsdb_write_items_of(series);
    struct tsdb_exemplar exemplar;
    struct tsdb_label_set set;
    enum quarry_status status;

    for (;;) {
        write_parts_set(request->store, others, &set);
        status = tsdb_write_next_exemplar(reader, &items, &set, &exemplar, error);
        if (status != QUARRY_OK) {
            return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        }
        bool has_room = write_parts_add_exemplar(others, &set, &exemplar);
        Q_ASSERT(has_room);
    }
}

static enum quarry_status fill_others(const struct write_request *request,
                                      const struct tsdb_write_reader *reader,
                                      const struct tsdb_write_series *series,
                                      struct write_parts *others, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (series->counts.histograms > 0) {
        status = fill_histograms(reader, series, others, error);
    }
    if (status == QUARRY_OK && series->counts.exemplars > 0) {
        status = fill_exemplars(request, reader, series, others, error);
    }
    return status;
}

static void counts_add(struct write_parts_counts *sum, const struct write_parts_counts *of)
{
    sum->histograms += of->histograms;
    sum->spans += of->spans;
    sum->values += of->values;
    sum->exemplars += of->exemplars;
    sum->labels += of->labels;
}

/*
 * What a series' histograms and exemplars need, by reading each kind into a room for one of them;
 * `trial`: that room.
 */
static enum quarry_status count_others(struct write_request *request,
                                       const struct tsdb_write_reader *reader,
                                       const struct tsdb_write_series *series,
                                       struct write_parts *trial, struct write_parts_counts *sum)
{
    struct tsdb_write_items histograms = tsdb_write_items_of(series), exemplars = histograms;
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; status == QUARRY_OK && i < series->counts.histograms; i++) {
        struct tsdb_wire_histogram histogram;
        trial->used = (struct write_parts_counts){0};
        const struct tsdb_wire_histogram_room room = write_parts_room(trial);
        status = tsdb_write_next_histogram(reader, &histograms, &room, &histogram, &request->error);
        if (status == QUARRY_OK) {
            (void)write_parts_add_histogram(trial, &histogram);
            counts_add(sum, &trial->used);
        }
    }
    for (uint32_t i = 0; status == QUARRY_OK && i < series->counts.exemplars; i++) {
        struct tsdb_exemplar exemplar;
        struct tsdb_label_set set;
        trial->used = (struct write_parts_counts){0};
        write_parts_set(request->store, trial, &set);
        status = tsdb_write_next_exemplar(reader, &exemplars, &set, &exemplar, &request->error);
        if (status == QUARRY_OK) {
            /* Its labels are read before they are looked at: they need room whatever they are. */
            sum->exemplars++;
            sum->labels += set.count;
        }
    }
    return status == QUARRY_TOO_LARGE ? QUARRY_BAD_INPUT : status;
}

/* Room for one histogram or exemplar, whatever they are; none where a body has neither. */
static enum quarry_status take_trial(struct write_request *request, struct write_parts *trial)
{
    const struct write_parts_counts most = {
        .histograms = 1,
        .spans = WRITE_SPANS_MAX,
        .values = WRITE_VALUES_MAX,
        .exemplars = 1,
        .labels = request->store->limits.labels.label_count_max,
    };

    return trial->taken != NULL ? QUARRY_OK
                                : write_parts_take(request->store, &most, trial, &request->error);
}

static enum quarry_status count_parts(struct write_request *request, struct tsdb_label *labels,
                                      struct parts *parts, struct write_parts_counts *others)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(request->body);
    struct write_parts trial = {.taken = NULL};
    struct tsdb_write_series series;
    enum quarry_status status;

    while ((status = next(request, &reader, labels, &series, &request->error)) == QUARRY_OK) {
        const struct tsdb_write_counts *counts = &series.counts;
        bool has_others = counts->histograms > 0 || counts->exemplars > 0;
        parts->series_count += counts->samples > 0 || has_others ? 1 : 0;
        parts->sample_count += counts->samples;
        if (has_others) {
            status = take_trial(request, &trial);
            if (status == QUARRY_OK) {
                status = count_others(request, &reader, &series, &trial, others);
            }
        }
        if (status != QUARRY_OK) {
            break;
        }
    }
    write_parts_give(request->store, &trial);
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status take_parts(struct write_request *request,
                                     const struct write_parts_counts *others, struct parts *parts)
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
    return write_parts_take(request->store, others, &parts->others, &request->error);
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
        const struct tsdb_write_counts *counts = &series.counts;
        struct write_parts *others = &parts->others;
        if (counts->samples + counts->histograms + counts->exemplars == 0) {
            continue;
        }
        Q_ASSERT(index < parts->series_count);
        parts->series[index] = series;
        parts->entries[index] = (struct quarry_tsdb_entry){
            .key = series.labels,
            .samples = samples,
            .sample_count = counts->samples,
            .histograms = write_parts_histograms_end(others),
            .histogram_count = counts->histograms,
            .exemplars = write_parts_exemplars_end(others),
        };
        status = fill_samples(reader, &series, samples, &request->error);
        if (status == QUARRY_OK) {
            status = fill_others(request, reader, &series, others, &request->error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
        /* Those whose labels have a fault are left out. */
        parts->entries[index].exemplar_count =
            (size_t)(write_parts_exemplars_end(others) - parts->entries[index].exemplars);
        samples += counts->samples;
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
    struct write_parts_counts others = {0};
    struct tsdb_label *labels = write_labels_take(request->store);

    request->status = labels == NULL
                          ? error_set(&request->error, QUARRY_NO_MEMORY, "no memory for labels")
                          : count_parts(request, labels, &parts, &others);
    if (request->status == QUARRY_OK && parts.series_count > 0) {
        request->status = take_parts(request, &others, &parts);
        if (request->status == QUARRY_OK) {
            request->status = fill_parts(request, &reader, labels, &parts);
        }
        if (request->status == QUARRY_OK) {
            append(request, &reader, labels, &parts);
        }
        write_parts_give(request->store, &parts.others);
        tsdb_memory_give(&request->store->memory, parts.series);
    }
    if (request->status == QUARRY_OK) {
        keep_metadata(request);
    }
    tsdb_memory_give(&request->store->memory, labels);
}
