/*
 * What the parts of writing share. The folder's own.
 */
#ifndef QUARRY_SERVE_PROMETHEUS_WRITE_H
#define QUARRY_SERVE_PROMETHEUS_WRITE_H

#include <serve/prometheus/prometheus.h>

/* Series of an answer that are named; the others are counted. */
#define WRITE_TOLD_MAX 16u

/* A request under way, and what came of it. */
struct write_request {
    struct http_call *call;
    struct serve_tsdb *store;
    uint16_t tenant;
    struct tsdb_slice body; /* decoded */
    bool is_partial;        /* what is good of it is stored */

    uint64_t taken_count; /* samples, histograms among them */
    uint64_t taken_histogram_count, taken_exemplar_count;
    uint64_t refused_counts[QUARRY_TSDB_REFUSALS]; /* samples */
    uint64_t wrong_count;                          /* series that were refused; 2.0 */
    enum quarry_tsdb_refusal first;                /* the first refusal that fails it */
    /* The body makes no sense, or there was no memory. */
    enum quarry_status status;
    struct quarry_error error;
};

/* The limits that label sets are read with, as the store has them. */
static inline void write_label_set(const struct serve_tsdb *store, struct tsdb_label *labels,
                                   struct tsdb_label_set *ret_set)
{
    tsdb_label_set_init(ret_set, &store->limits.labels, labels);
}

/* Room for the labels of one series. Own: tsdb_memory_give. NULL: no memory. */
static inline struct tsdb_label *write_labels_take(const struct serve_tsdb *store)
{
    return tsdb_memory_take(&store->memory,
                            store->limits.labels.label_count_max * sizeof(struct tsdb_label));
}

/* ---- write_parts.c: histograms and exemplars of a body ----------------------------------------
 */

/* How many of each there are, or may be. */
struct write_parts_counts {
    size_t histograms, spans, values; /* values: counts of buckets, and bounds */
    size_t exemplars, labels;         /* labels: of exemplars */
};

/* Where they lie while they are appended: what has been put in, and how much there may be. */
struct write_parts {
    void *taken; /* own; NULL: nothing */
    struct quarry_tsdb_histogram *histograms;
    struct quarry_tsdb_span *spans;
    uint64_t *values;
    struct quarry_tsdb_exemplar *exemplars;
    struct tsdb_label *labels;
    struct write_parts_counts used, most;
};

/* What one histogram may have at most. */
#define WRITE_SPANS_MAX  (2 * QUARRY_TSDB_HISTOGRAM_PARTS_MAX)
#define WRITE_VALUES_MAX (3 * QUARRY_TSDB_HISTOGRAM_PARTS_MAX)

/* Takes room for `most`. Errors: QUARRY_NO_MEMORY. */
enum quarry_status write_parts_take(const struct serve_tsdb *store,
                                    const struct write_parts_counts *most,
                                    struct write_parts *ret_parts, struct quarry_error *error);
void write_parts_give(const struct serve_tsdb *store, struct write_parts *parts);
/* Where the next of each will be. */
static inline const struct quarry_tsdb_histogram *
write_parts_histograms_end(const struct write_parts *parts)
{
    return parts->taken == NULL ? NULL : parts->histograms + parts->used.histograms;
}
static inline const struct quarry_tsdb_exemplar *
write_parts_exemplars_end(const struct write_parts *parts)
{
    return parts->taken == NULL ? NULL : parts->exemplars + parts->used.exemplars;
}
/* Where the next histogram is read to: what is left. */
struct tsdb_wire_histogram_room write_parts_room(const struct write_parts *parts);
/* Keeps a histogram that was read there. Returns: false: there is no room for one more. */
bool write_parts_add_histogram(struct write_parts *parts, struct tsdb_wire_histogram *histogram);
/* An empty set in what is left for labels of exemplars, within the store's limits. */
void write_parts_set(const struct serve_tsdb *store, const struct write_parts *parts,
                     struct tsdb_label_set *ret_set);
/* Keeps an exemplar whose labels are in such a set; one whose labels have a fault is passed over.
 * Returns: false: there is no room for one more. */
bool write_parts_add_exemplar(struct write_parts *parts, const struct tsdb_label_set *set,
                              const struct tsdb_exemplar *exemplar);

/* ---- the request ------------------------------------------------------------------------------
 */

/* write_1.c, write_2.c: decode and append the body. What comes of it is in the request. */
void write_1(struct write_request *request);
void write_2(struct write_request *request);

/* Adds up what an append came to. */
void write_count(struct write_request *request, const struct quarry_tsdb_result *result);
/* Whether `status` of an append is what the counts of its result tell: by the rules, by a limit,
 * for want of memory. What else there is (files that fail, a store that is not ready) fails a
 * request. */
bool write_is_refusal(enum quarry_status status, const struct quarry_tsdb_result *result);

/*
 * Says of a series why it was refused, as a line of the answer; behind some it is only counted.
 * `labels`: count 0: unknown.
 */
void write_tell(struct write_request *request, const char *why, struct tsdb_labels labels);

/* Answers by what the request came to. */
void write_answer(struct write_request *request);

/* A media type without its parameters. */
struct http_slice write_media_type(struct http_slice type);

#endif
