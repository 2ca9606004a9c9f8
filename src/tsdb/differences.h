/*
 * Integers as frames of themselves, of their differences, or of the differences of these: what a
 * column of values and one of times have in common.
 */
#ifndef QUARRY_TSDB_DIFFERENCES_H
#define QUARRY_TSDB_DIFFERENCES_H

#include <tsdb/column.h>

#define DIFFERENCES_ORDER_MAX 2u

/* Bytes, at most, that differences_put writes for `values` with this order. `bound`: stops, and
 * returns something not below it, when it is reached. `count` is more than `order`. */
size_t differences_measure(const int64_t *values, uint32_t count, uint32_t order, size_t bound);

/* Writes what comes before the first value, then frames. Returns bytes written. */
size_t differences_put(const int64_t *values, uint32_t count, uint32_t order, uint8_t *ret_bytes);

/* Begins reading `count` values at [at, end). Returns whether what comes before them is sound. */
bool differences_open(struct tsdb_differences *differences, const uint8_t *at, const uint8_t *end,
                      uint32_t count, uint32_t order);

/* Takes the next `count` values: TSDB_FRAME_VALUES, or what is left. Returns whether they were
 * there. */
bool differences_take(struct tsdb_differences *differences, uint32_t count, int64_t *ret_values);

#endif
