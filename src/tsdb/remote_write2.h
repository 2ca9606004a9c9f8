/*
 * Remote write 2.0: a decoded body, whose series name their labels by numbers of symbols.
 *
 *     tsdb_write2_count(body, &counts, error);             // room for counts.symbol_count slices
 *     tsdb_write2_open(body, symbols, &reader, error);
 *     while ((status = tsdb_write2_next_series(&reader, &series, error)) == QUARRY_OK) {
 *         tsdb_write2_labels(&reader, &series, &set, error);
 *         tsdb_label_set_finish_series(&set, &labels);     // its fault is the series', not the
 * rest's …tsdb_labels_encode(labels, …)                   // the key of 1.0 for the same labels
 *     }
 *
 * Errors of all calls here: QUARRY_BAD_INPUT: these bytes are no request, and `error` tells at
 * which byte. Nothing allocates. Threads: a reader is one thread's.
 */
#ifndef QUARRY_TSDB_REMOTE_WRITE2_H
#define QUARRY_TSDB_REMOTE_WRITE2_H

#include <tsdb/wire_parts.h>

/* What a request consists of. */
struct tsdb_write2_counts {
    uint32_t symbol_count, series_count;
};

/* Where a reader is in a body. Body and symbols are borrowed while it is used. */
struct tsdb_write2_reader {
    const uint8_t *begin;
    struct protobuf_cursor cursor;
    const struct tsdb_slice *symbols;
    uint32_t symbol_count;
};

/* One series; slices are borrowed from the body. */
struct tsdb_write2_series {
    struct tsdb_slice message;
    struct tsdb_sample sample; /* the first, where there is one */
    int64_t start_ms;          /* of that sample; 0: not told */
    uint32_t sample_count, histogram_count, exemplar_count;
    struct tsdb_slice family; /* the message of its metadata; of no bytes: it says nothing */
};

/*
 * Counts a request's symbols and series by going over it once.
 *
 * `body`: borrowed for the call. Errors: also QUARRY_TOO_LARGE: 2^32 of something.
 * Cost: some 25 instructions for each.
 */
enum quarry_status tsdb_write2_count(struct tsdb_slice body, struct tsdb_write2_counts *ret_counts,
                                     struct quarry_error *error);
/*
 * Begins to read a request.
 *
 * `symbols`: borrowed while the reader is used; room for as many as were counted, which is filled.
 * Errors: QUARRY_BAD_INPUT also where the first symbol is not the empty one.
 * Cost: some 25 instructions for each symbol and series.
 */
enum quarry_status tsdb_write2_open(struct tsdb_slice body, struct tsdb_slice *symbols,
                                    const struct tsdb_write2_counts *counts,
                                    struct tsdb_write2_reader *ret_reader,
                                    struct quarry_error *error);

/* Reads a series. Errors: QUARRY_NOT_FOUND: that was the last one. Cost: 30 instructions a field.
 */
enum quarry_status tsdb_write2_next_series(struct tsdb_write2_reader *reader,
                                           struct tsdb_write2_series *ret_series,
                                           struct quarry_error *error);
/*
 * Reads a series' labels. `set`: of no labels yet; odd and unknown refs are faults of its own.
 * Cost: some 80 instructions a label.
 */
enum quarry_status tsdb_write2_labels(const struct tsdb_write2_reader *reader,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_label_set *set, struct quarry_error *error);

/* Where one is before the first sample, histogram or exemplar of a series. */
static inline struct tsdb_write_items tsdb_write2_items_of(const struct tsdb_write2_series *series)
{
    return (struct tsdb_write_items){.cursor = protobuf_cursor_of(series->message)};
}

/* The next sample, and when counting began (0: not told). Errors: QUARRY_NOT_FOUND. */
enum quarry_status tsdb_write2_next_sample(const struct tsdb_write2_reader *reader,
                                           struct tsdb_write_items *items,
                                           struct tsdb_sample *ret_sample, int64_t *ret_start_ms,
                                           struct quarry_error *error);
/* As tsdb_write_next_histogram. */
enum quarry_status tsdb_write2_next_histogram(const struct tsdb_write2_reader *reader,
                                              struct tsdb_write_items *items,
                                              const struct tsdb_wire_histogram_room *room,
                                              struct tsdb_wire_histogram *ret_histogram,
                                              struct quarry_error *error);
/* As tsdb_write_next_exemplar. */
enum quarry_status tsdb_write2_next_exemplar(const struct tsdb_write2_reader *reader,
                                             struct tsdb_write_items *items,
                                             struct tsdb_label_set *set,
                                             struct tsdb_exemplar *ret_exemplar,
                                             struct quarry_error *error);
/*
 * What a series says of its family; the name is the caller's to set, from the labels.
 * Errors: QUARRY_NOT_FOUND: nothing; QUARRY_BAD_INPUT also for refs that are no symbol's.
 */
enum quarry_status tsdb_write2_family(const struct tsdb_write2_reader *reader,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_family *ret_family, struct quarry_error *error);

#endif
