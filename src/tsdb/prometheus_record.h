/*
 * The records of Prometheus' write-ahead log, taken apart.
 */
#ifndef QUARRY_TSDB_PROMETHEUS_RECORD_H
#define QUARRY_TSDB_PROMETHEUS_RECORD_H

#include <tsdb/block_array.h>
#include <tsdb/block_source.h>

/*
 * Who is told what a log holds. A `ref` is the log's own number of a series, which may be one that
 * was never told of: its series was lost, or ended long ago. All arguments are borrowed for the
 * call. A call that is NULL is not wanted; one that does not return QUARRY_OK ends the reading.
 */
struct prometheus_visitor {
    void *argument;
    /* `ref` is a series of these labels. Several may be of the same. */
    enum quarry_status (*series)(void *argument, uint64_t ref, const struct tsdb_labels *labels,
                                 struct quarry_error *error);
    enum quarry_status (*sample)(void *argument, uint64_t ref, const struct block_sample *sample,
                                 struct quarry_error *error);
    /* Samples of the series that came before, from the first time to the last, count as deleted. */
    enum quarry_status (*deleted)(void *argument, uint64_t ref, int64_t min_t_ms, int64_t max_t_ms,
                                  struct quarry_error *error);
    enum quarry_status (*exemplar)(void *argument, uint64_t ref, struct tsdb_sample sample,
                                   const struct tsdb_labels *labels, struct quarry_error *error);
    /* `type`: 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info,
     * 7 state set. */
    enum quarry_status (*metadata)(void *argument, uint64_t ref, uint8_t type,
                                   struct tsdb_slice unit, struct tsdb_slice help,
                                   struct quarry_error *error);
};

struct prometheus_record_reader {
    struct tsdb_memory *memory; /* borrowed */
    struct block_array labels;  /* struct tsdb_label */
    uint64_t *words;            /* own; arrays of a histogram; NULL before the first */
    uint64_t unknown_count;     /* records of types that are not known */
    uint64_t skipped_count;     /* histograms of schemas or sizes that are not known */
};

void prometheus_record_init(struct prometheus_record_reader *reader, struct tsdb_memory *memory);
void prometheus_record_fini(struct prometheus_record_reader *reader);
/*
 * Tells a visitor what is in a record. Errors: QUARRY_CORRUPT: it is not what it should be, and
 * what was told of it stays; QUARRY_NO_MEMORY; the visitor's own. The error is written by the
 * visitor alone.
 */
enum quarry_status prometheus_record_read(struct prometheus_record_reader *reader,
                                          const uint8_t *bytes, size_t byte_count,
                                          const struct prometheus_visitor *visitor,
                                          struct quarry_error *error);

#endif
