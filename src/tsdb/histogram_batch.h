/*
 * Some histograms with the memory they lie in: what readers give at a time.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_BATCH_H
#define QUARRY_TSDB_HISTOGRAM_BATCH_H

#include <tsdb/histogram_column.h>
#include <tsdb/memory.h>

/* All-zero but for `memory` has none, and holds no memory. */
struct tsdb_histogram_batch {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct tsdb_histogram *items;     /* own: room for TSDB_HISTOGRAMS_BLOCK; NULL: none yet */
    struct tsdb_histogram_room room;  /* own: their arrays */
    size_t used_words;
    uint32_t count;
};

/* Forgets the histograms; the memory is used again. */
static inline void tsdb_histogram_batch_begin(struct tsdb_histogram_batch *batch)
{
    batch->count = 0;
    batch->used_words = 0;
}

/*
 * Has room for `words` words, in an empty batch, and for the histograms.
 *
 * Errors: QUARRY_NO_MEMORY: as it was, or without memory.
 */
enum quarry_status tsdb_histogram_batch_reserve(struct tsdb_histogram_batch *batch, size_t words);

/*
 * Copies a histogram in behind the others.
 *
 * Errors: QUARRY_BUSY: the batch is full, and has one at least; QUARRY_NO_MEMORY: it was empty.
 */
enum quarry_status tsdb_histogram_batch_put(struct tsdb_histogram_batch *batch,
                                            const struct tsdb_histogram *histogram);

/* Gives its memory back. */
void tsdb_histogram_batch_fini(struct tsdb_histogram_batch *batch);

#endif
