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

    uint64_t taken_count;                          /* samples */
    uint64_t refused_counts[QUARRY_TSDB_REFUSALS]; /* likewise */
    uint64_t histogram_count, exemplar_count;      /* that were left out */
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
