/*
 * Native histograms: what one is, and how they are stored while their window is open and sealed.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_H
#define QUARRY_TSDB_HISTOGRAM_H

#include <base/base.h>

#include <tsdb/types.h>

/* The public header's, under this folder's names. */
#define tsdb_span      quarry_tsdb_span
#define tsdb_buckets   quarry_tsdb_buckets
#define tsdb_histogram quarry_tsdb_histogram

#define TSDB_HISTOGRAM_SCHEMA_MIN    QUARRY_TSDB_SCHEMA_MIN
#define TSDB_HISTOGRAM_SCHEMA_MAX    QUARRY_TSDB_SCHEMA_MAX
#define TSDB_HISTOGRAM_SCHEMA_CUSTOM QUARRY_TSDB_SCHEMA_CUSTOM

/* What has more parts than this is not from a client. Doubling it doubles the memory that a reader
 * must have. */
#define TSDB_HISTOGRAM_PARTS_MAX QUARRY_TSDB_HISTOGRAM_PARTS_MAX

/*
 * Turns Prometheus' integer buckets, each the difference to the one before, into counts; and back.
 * Sums wrap, so that both ways lose nothing. `count` of both arrays, which may be the same.
 */
void tsdb_histogram_counts(const int64_t *deltas, uint32_t count, uint64_t *ret_counts);
void tsdb_histogram_deltas(const uint64_t *counts, uint32_t count, int64_t *ret_deltas);

/*
 * Whether `histogram` can be stored: spans that add up to the buckets, no more parts than
 * TSDB_HISTOGRAM_PARTS_MAX, a schema that exists, boundaries with the schema that has them alone.
 * What the numbers mean is not looked at. Threads: any. Cost: O(spans).
 */
bool tsdb_histogram_is_sound(const struct tsdb_histogram *histogram);

/* Whether two histograms differ in time, counts, sum and hint alone, so that their buckets
 * correspond. Cost: O(spans and boundaries). */
bool tsdb_histogram_same_layout(const struct tsdb_histogram *a, const struct tsdb_histogram *b);

/* Memory for the arrays of one histogram: the caller's, of `count` words. */
struct tsdb_histogram_room {
    uint64_t *words;
    size_t count;
};

/* Words that a room needs for the arrays of any histogram. */
#define TSDB_HISTOGRAM_WORDS_MAX (5 * (size_t)TSDB_HISTOGRAM_PARTS_MAX)

/* Words that tsdb_histogram_copy needs for `histogram`. */
size_t tsdb_histogram_words(const struct tsdb_histogram *histogram);

/*
 * Copies a histogram with its arrays.
 *
 * `from`: sound. `room`: borrowed as long as the copy is used, tsdb_histogram_words(from) words or
 * more, and no array of `from` lies in it.
 */
void tsdb_histogram_copy(const struct tsdb_histogram *from, struct tsdb_histogram_room room,
                         struct tsdb_histogram *ret_copy);

/* ---- open: one after another ---------------------------------------------------------------- */

/* Bytes that tsdb_histogram_encode writes at most for `histogram`, whatever its numbers are. */
size_t tsdb_histogram_bytes_max(const struct tsdb_histogram *histogram);

/* And for its numbers, whatever comes before it. Cost: that of encoding. */
size_t tsdb_histogram_bytes_need(const struct tsdb_histogram *histogram);

/*
 * Encodes one sample, relative to the one before it.
 *
 * `before`: borrowed, sound; NULL: none, the first of a chain. `histogram`: borrowed, sound.
 * `ret_bytes`: room for tsdb_histogram_bytes_max(histogram).
 * Returns: how many bytes were written, 1 or more; they say themselves where they end.
 * Threads: any. Cost: O(buckets), for each of up to 21 orders that is tried.
 */
size_t tsdb_histogram_encode(const struct tsdb_histogram *before,
                             const struct tsdb_histogram *histogram, uint8_t *ret_bytes);

/*
 * Decodes what tsdb_histogram_encode wrote, with the same `before`.
 *
 * `bytes`, `count`: borrowed; more may follow the sample. `before`: borrowed; NULL for the first.
 * `room`: borrowed as long as the histogram is used; no array of `before` lies in it.
 * `ret_histogram`: its arrays lie in `room`. `ret_consumed`: how many bytes the sample has.
 * Returns: QUARRY_OK; a histogram that is sound, whatever the bytes were.
 * Errors: QUARRY_CORRUPT: the bytes make no sense, or end too early. QUARRY_NO_MEMORY: `room` is
 * too small; TSDB_HISTOGRAM_WORDS_MAX is not.
 * Threads: any. Cost: O(buckets).
 */
enum quarry_status tsdb_histogram_decode(const uint8_t *bytes, size_t count,
                                         const struct tsdb_histogram *before,
                                         struct tsdb_histogram_room room,
                                         struct tsdb_histogram *ret_histogram,
                                         size_t *ret_consumed);

#endif
