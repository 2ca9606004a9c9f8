/*
 * What histograms of a series have in common, as bytes: schema, threshold, spans, boundaries.
 *
 *     | schema, zigzag | zero threshold, 8 bytes | positive spans, negative spans, boundaries |
 *     | span: offset, zigzag; length | …                            how many, varints as all
 *     | boundary, 8 bytes | …
 *
 * What was read is sound (tsdb_histogram_is_sound), or refused.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_LAYOUT_H
#define QUARRY_TSDB_HISTOGRAM_LAYOUT_H

#include <tsdb/histogram.h>

/* Bytes that histogram_layout_put writes at most. */
size_t histogram_layout_bytes_max(const struct tsdb_histogram *histogram);

/* Writes the layout of a sound histogram. Returns what is behind it. */
uint8_t *histogram_layout_put(const struct tsdb_histogram *histogram, uint8_t *to);

/*
 * Reads a layout into `ret_histogram`: its arrays lie in `room`, buckets unset.
 *
 * `*at`: moves behind it. Returns: QUARRY_OK; QUARRY_CORRUPT; QUARRY_NO_MEMORY: the room is too
 * small.
 */
enum quarry_status histogram_layout_get(const uint8_t **at, const uint8_t *end,
                                        struct tsdb_histogram_room room,
                                        struct tsdb_histogram *ret_histogram);

/* Lays the arrays of a histogram with the counts of `histogram` out in `room`, which is large
 * enough (tsdb_histogram_words). Returns where the buckets are, the negative ones behind. */
uint64_t *histogram_layout_place(struct tsdb_histogram_room room, struct tsdb_histogram *histogram);

#endif
