/*
 * Samples on their way into a store or to a server, gathered to some thousand for each append.
 */
#ifndef QUARRY_CLI_TSDB_BATCH_H
#define QUARRY_CLI_TSDB_BATCH_H

#include <cli/tsdb_http.h>

#include <tsdb/blocks.h>

struct tsdb_batch;

/* What became of them. */
struct tsdb_batch_counts {
    uint64_t taken_count, new_series_count;
    uint64_t refused_counts[QUARRY_TSDB_REFUSALS]; /* by enum quarry_tsdb_refusal */
    uint64_t unsupported_count;                    /* histograms that the store does not take */
    uint64_t unsaid_count; /* histograms and stale markers, which text has no words for */
    uint64_t server_refused_count;
};

/* `tsdb`: borrowed; NULL: `http` is, which is of a server. Returns: own; NULL: no memory. */
struct tsdb_batch *tsdb_batch_create(struct quarry_tsdb *tsdb, struct tsdb_http *http);
/* Appends nothing more. `batch`: given; NULL does nothing. */
void tsdb_batch_destroy(struct tsdb_batch *batch);

/* The samples that follow are of this series. `labels`: borrowed until the next one. */
void tsdb_batch_series(struct tsdb_batch *batch, const struct tsdb_labels *labels);
/* Adds one. Errors: those of quarry_tsdb_append that are no refusal. */
enum quarry_status tsdb_batch_add(struct tsdb_batch *batch, const struct block_sample *sample);
/* Appends what is there. Errors: likewise. */
enum quarry_status tsdb_batch_flush(struct tsdb_batch *batch);
const struct tsdb_batch_counts *tsdb_batch_counts(const struct tsdb_batch *batch);

#endif
