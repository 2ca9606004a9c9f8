/*
 * What the writer and the reader of histogram chunks share.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_CHUNK_PARTS_H
#define QUARRY_TSDB_HISTOGRAM_CHUNK_PARTS_H

#include <tsdb/histogram_chunk.h>

/* Bits behind each prefix of a varbit number. */
extern const uint8_t histogram_chunk_varbit_counts[9];

/* Thousandths up to which a boundary is written as such: with one more they fit 25 bits. */
#define HISTOGRAM_CHUNK_BOUND_MAX 33554430

/* Takes fields and words for a histogram of any size; both are own. Errors: QUARRY_NO_MEMORY. */
enum quarry_status histogram_chunk_room_take(struct tsdb_memory *memory,
                                             struct histogram_chunk_field **ret_fields,
                                             uint64_t **ret_words);

#endif
