/*
 * Series with their samples, one after another: what the writer of a block takes, and its reader
 * gives.
 */
#ifndef QUARRY_TSDB_BLOCK_SOURCE_H
#define QUARRY_TSDB_BLOCK_SOURCE_H

#include <quarry/status.h>

#include <tsdb/histogram.h>
#include <tsdb/types.h>

/* A float at a time, or a histogram. */
struct block_sample {
    int64_t t_ms;
    uint64_t bits;                          /* of the float; 0 with a histogram */
    const struct tsdb_histogram *histogram; /* borrowed until the next sample; NULL: a float */
};

/*
 * A walk over series. Each call returns QUARRY_NOT_FOUND when there are no more; any other status
 * ends the walk, with the error written.
 */
struct block_source {
    void *argument;
    /*
     * The next series, in the order of labels: as label after label, name and value, by bytes.
     * What is left of the one before is passed over. `ret_labels`: borrowed until the next series.
     */
    enum quarry_status (*next_series)(void *argument, struct tsdb_labels *ret_labels,
                                      struct quarry_error *error);
    /* The next sample of the series; times rise. */
    enum quarry_status (*next_sample)(void *argument, struct block_sample *ret_sample,
                                      struct quarry_error *error);
};

#endif
