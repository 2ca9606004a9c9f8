/*
 * Histograms and exemplars of a body, as the store takes them, in one piece of memory:
 *
 *     | histograms | exemplars | labels of exemplars | spans | counts and bounds |
 *
 * What is read lies where it will be when it is appended: a histogram is read into what is left,
 * and kept by counting it.
 *
 * Locking: none.
 */
#include <serve/prometheus/write.h>

enum quarry_status write_parts_take(const struct serve_tsdb *store,
                                    const struct write_parts_counts *most,
                                    struct write_parts *ret_parts, struct quarry_error *error)
{
    /* Each has a byte of the body or more, which is bounded: no overflow. */
    size_t byte_count =
        most->histograms * sizeof *ret_parts->histograms +
        most->exemplars * sizeof *ret_parts->exemplars + most->labels * sizeof *ret_parts->labels +
        most->spans * sizeof *ret_parts->spans + most->values * sizeof *ret_parts->values;

    *ret_parts = (struct write_parts){.most = *most};
    if (byte_count == 0) {
        return QUARRY_OK;
    }
    char *at = tsdb_memory_take(&store->memory, byte_count);
    if (at == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for %zu histograms, %zu exemplars",
                         most->histograms, most->exemplars);
    }
    ret_parts->taken = at;
    ret_parts->histograms = (struct quarry_tsdb_histogram *)(void *)at;
    ret_parts->exemplars =
        (struct quarry_tsdb_exemplar *)(void *)(ret_parts->histograms + most->histograms);
    ret_parts->labels = (struct tsdb_label *)(void *)(ret_parts->exemplars + most->exemplars);
    ret_parts->spans = (struct quarry_tsdb_span *)(void *)(ret_parts->labels + most->labels);
    ret_parts->values = (uint64_t *)(void *)(ret_parts->spans + most->spans);
    return QUARRY_OK;
}

void write_parts_give(const struct serve_tsdb *store, struct write_parts *parts)
{
    tsdb_memory_give(&store->memory, parts->taken);
    *parts = (struct write_parts){.taken = NULL};
}

struct tsdb_wire_histogram_room write_parts_room(const struct write_parts *parts)
{
    size_t spans = parts->most.spans - parts->used.spans;
    size_t values = parts->most.values - parts->used.values;

    return (struct tsdb_wire_histogram_room){
        .spans = parts->spans + parts->used.spans,
        .values = parts->values + parts->used.values,
        .span_count_max = (uint32_t)size_min(spans, WRITE_SPANS_MAX),
        .value_count_max = (uint32_t)size_min(values, WRITE_VALUES_MAX)};
}

bool write_parts_add_histogram(struct write_parts *parts, struct tsdb_wire_histogram *histogram)
{
    if (parts->used.histograms == parts->most.histograms) {
        return false;
    }
    parts->used.spans += histogram->positive.span_count + histogram->negative.span_count;
    parts->used.values +=
        histogram->positive.value_count + histogram->negative.value_count + histogram->custom_count;
    tsdb_wire_histogram_take(histogram, &parts->histograms[parts->used.histograms++]);
    return true;
}

void write_parts_set(const struct serve_tsdb *store, const struct write_parts *parts,
                     struct tsdb_label_set *ret_set)
{
    struct tsdb_label_limits limits = store->limits.labels;
    size_t left = parts->most.labels - parts->used.labels;

    limits.label_count_max = (uint32_t)size_min(limits.label_count_max, left);
    tsdb_label_set_init(ret_set, &limits, parts->labels + parts->used.labels);
}

bool write_parts_add_exemplar(struct write_parts *parts, const struct tsdb_label_set *set,
                              const struct tsdb_exemplar *exemplar)
{
    if (set->fault != TSDB_LABELS_GOOD) {
        return true;
    }
    if (parts->used.exemplars == parts->most.exemplars) {
        return false;
    }
    parts->used.labels += exemplar->labels.count;
    parts->exemplars[parts->used.exemplars++] = (struct quarry_tsdb_exemplar){
        .t_ms = exemplar->t_ms, .bits = exemplar->bits, .labels = exemplar->labels};
    return true;
}
