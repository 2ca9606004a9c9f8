/*
 * Remote write 1.0: a decoded body, series after series, read where it lies.
 *
 *     struct tsdb_write_reader reader = tsdb_write_reader_of(body);
 *     struct tsdb_write_series series;
 *
 *     while ((status = tsdb_write_next_series(&reader, &series, error)) == QUARRY_OK) {
 *         id = memo_find(series.labels);              // one hash of bytes
 *         if (id == TSDB_SERIES_NONE) {
 *             tsdb_write_labels(&reader, &series, &set, error);
 *             …tsdb_label_set_finish_series…          // slow: once in a series' life
 *         }
 *         …series.sample, or tsdb_write_next_sample…
 *     }
 *     // QUARRY_NOT_FOUND: it was whole
 *
 * THE MEMO'S KEY. `labels` of a series is what it is known by. Most series' labels are not looked
 * at: the message's last bytes have the form of a sample, and what is before them is taken for
 * labels. That is a guess, which tsdb_write_labels puts to the test, once:
 *
 *   a key may be put into a memo only after tsdb_write_labels returned QUARRY_OK for the series,
 * and only the key that the series has after that call.
 *
 * Then any message that begins with a key that is in the memo, with the form of a sample behind it,
 * is just those labels and that sample, because protobuf is read from the front.
 *
 * Errors of all calls here: QUARRY_BAD_INPUT: these bytes are no request, and `error` tells at
 * which byte; what the reader gave before it stands. Nothing allocates. Threads: a reader is one
 * thread's.
 */
#ifndef QUARRY_TSDB_REMOTE_WRITE_H
#define QUARRY_TSDB_REMOTE_WRITE_H

#include <tsdb/wire_parts.h>

/* Where a reader is in a body, which is borrowed while it is used. */
struct tsdb_write_reader {
    const uint8_t *begin;
    struct protobuf_cursor cursor;
    uint64_t time; /* the last one as it stood, and decoded; UINT64_MAX: there was none */
    int64_t t_ms;
};

/* How many parts of each kind a series has. */
struct tsdb_write_counts {
    uint32_t samples, histograms, exemplars;
};

/* One series. All slices are borrowed from the body. */
struct tsdb_write_series {
    struct tsdb_slice message;
    struct tsdb_slice labels;  /* the memo's key; of no bytes: it has none, and no memo */
    struct tsdb_sample sample; /* the first, where there is one */
    struct tsdb_write_counts counts;
    bool is_guess; /* `labels` was not looked at */
};

static inline struct tsdb_write_reader tsdb_write_reader_of(struct tsdb_slice body)
{
    return (struct tsdb_write_reader){.begin = (const uint8_t *)body.bytes,
                                      .cursor = protobuf_cursor_of(body),
                                      .time = UINT64_MAX};
}

/*
 * Reads a series; metadata and unknown fields are left out.
 *
 * Errors: QUARRY_NOT_FOUND: that was the last one.
 * Cost: of one sample some 55 instructions, whatever the labels; else some 30 for each field.
 */
enum quarry_status tsdb_write_next_series(struct tsdb_write_reader *reader,
                                          struct tsdb_write_series *ret_series,
                                          struct quarry_error *error);

/*
 * Reads a series' labels.
 *
 * `series`: where its key was a wrong guess, it is read again, and may have another key, other
 * samples, or no key. `set`: of no labels yet; the fault, if there is one, is its own, and
 * QUARRY_OK is returned. Its slices are borrowed from the body. Cost: some 60 instructions a label.
 */
enum quarry_status tsdb_write_labels(const struct tsdb_write_reader *reader,
                                     struct tsdb_write_series *series, struct tsdb_label_set *set,
                                     struct quarry_error *error);

/* Where one is before the first sample, histogram or exemplar of a series. */
static inline struct tsdb_write_items tsdb_write_items_of(const struct tsdb_write_series *series)
{
    return (struct tsdb_write_items){.cursor = protobuf_cursor_of(series->message)};
}

/* The next sample of a series. Errors: QUARRY_NOT_FOUND: there is none. Cost: some 60 instructions.
 */
enum quarry_status tsdb_write_next_sample(const struct tsdb_write_reader *reader,
                                          struct tsdb_write_items *items,
                                          struct tsdb_sample *ret_sample,
                                          struct quarry_error *error);
/*
 * The next histogram. `room`: where its arrays are put.
 * Errors: QUARRY_NOT_FOUND; QUARRY_TOO_LARGE: for its room, and the next one may be read.
 */
enum quarry_status tsdb_write_next_histogram(const struct tsdb_write_reader *reader,
                                             struct tsdb_write_items *items,
                                             const struct tsdb_wire_histogram_room *room,
                                             struct tsdb_wire_histogram *ret_histogram,
                                             struct quarry_error *error);
/*
 * The next exemplar. `set`: begun anew by the caller; when its labels have a fault, that is the
 * set's, and `ret_exemplar` has no labels. Errors: QUARRY_NOT_FOUND.
 */
enum quarry_status tsdb_write_next_exemplar(const struct tsdb_write_reader *reader,
                                            struct tsdb_write_items *items,
                                            struct tsdb_label_set *set,
                                            struct tsdb_exemplar *ret_exemplar,
                                            struct quarry_error *error);

/*
 * The next metadata of a request, by a reader of its own: series are left out.
 * `ret_family`: borrowed from the body. Errors: QUARRY_NOT_FOUND.
 */
enum quarry_status tsdb_write_next_family(struct tsdb_write_reader *reader,
                                          struct tsdb_family *ret_family,
                                          struct quarry_error *error);

#endif
