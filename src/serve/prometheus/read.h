/*
 * What the parts of reading share. The folder's own.
 */
#ifndef QUARRY_SERVE_PROMETHEUS_READ_H
#define QUARRY_SERVE_PROMETHEUS_READ_H

#include <serve/prometheus/prometheus.h>

/* One request of remote read, as long as it is answered. */
struct reading {
    struct serve_tsdb *store;
    uint16_t tenant;
    struct tsdb_read_request request;
    char *body;                    /* own: what the request points into */
    char *room;                    /* own: its parts */
    struct quarry_tsdb_set **sets; /* own, as are all of them: of each query */
    struct tsdb_label *labels;     /* own: of the series under way */

    /* where a stream is: the next series of a query, or a cursor in the midst of one */
    size_t query, series;
    struct quarry_tsdb_cursor *cursor; /* own; NULL: of no query yet */
    bool is_in_series;
    struct quarry_tsdb_block block;             /* what the cursor gave last; */
    uint32_t block_at;                          /* and how much of it has gone */
    struct histogram_chunk_appender histograms; /* own */
    struct tsdb_buffer chunks;                  /* own: bytes of the frame's chunks */
    struct tsdb_buffer frame;                   /* own */
    struct tsdb_buffer scratch;                 /* own */
};

/* read_samples.c, read_stream.c: answer a request whose sets are open. */
enum http_outcome read_answer_samples(struct http_call *call, struct reading *reading);
enum http_outcome read_answer_stream(struct http_call *call);

/* The labels of a series of the query under way. */
struct tsdb_labels read_labels(const struct reading *reading, size_t query, size_t series);
/* Answers with what is wrong. `error`: with a text. */
enum http_outcome read_answer_error(struct http_call *call, const struct quarry_error *error);

#endif
