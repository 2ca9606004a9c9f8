/*
 * Histograms of one series in one window, sealed: a column for each bucket. Their times are in
 * times.h.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_COLUMN_H
#define QUARRY_TSDB_HISTOGRAM_COLUMN_H

#include <tsdb/column.h>
#include <tsdb/histogram.h>

/* Histograms that are encoded together, and that a reader yields at a time, at most. */
#define TSDB_HISTOGRAMS_BLOCK 64u

/* Words of scratch that encoding needs. */
#define TSDB_HISTOGRAMS_SCRATCH (2 * TSDB_HISTOGRAMS_BLOCK)

/* How many of `histograms` the next block holds: those whose layout is the first one's, up to
 * TSDB_HISTOGRAMS_BLOCK. `count`: 1 or more. */
uint32_t tsdb_histograms_block(const struct tsdb_histogram *histograms, uint32_t count);

/* Bytes that a block of `count` histograms like `first` has at most. */
size_t tsdb_histograms_bytes_max(const struct tsdb_histogram *first, uint32_t count);

/*
 * Encodes one block; a series is blocks one behind the other.
 *
 * `histograms`: borrowed, sound, of one layout. `count`: as tsdb_histograms_block says, or fewer.
 * `before`: borrowed: one of the block before; NULL: this is the first. `scratch`: words of
 * TSDB_HISTOGRAMS_SCRATCH. `ret_bytes`: room for tsdb_histograms_bytes_max(histograms, count).
 * Returns: how many bytes. Times are not among them.
 * Errors: none. Threads: any. Cost: that of a column for each bucket.
 */
size_t tsdb_histograms_encode(const struct tsdb_histogram *histograms, uint32_t count,
                              const struct tsdb_histogram *before, uint64_t *scratch,
                              uint8_t *ret_bytes);

/* The fields are the reader's own. */
struct tsdb_histograms_reader {
    const uint8_t *at, *end; /* borrowed */
    const uint8_t *layout;   /* borrowed: where the layout that holds was told */
    uint32_t left;
    bool is_float;
    bool is_corrupt;
};

/*
 * Begins reading.
 *
 * `bytes`, `byte_count`: borrowed until the last take. `count`: histograms in all blocks.
 */
void tsdb_histograms_open(struct tsdb_histograms_reader *reader, const uint8_t *bytes,
                          size_t byte_count, uint32_t count);

/*
 * Takes the next block.
 *
 * `room`: borrowed as long as the histograms are used. `ret_histograms`: room for
 * TSDB_HISTOGRAMS_BLOCK; their arrays are in `room`, their times 0. `ret_count`: how many; 0 at the
 * end.
 * Returns: QUARRY_OK; what there is is sound. Errors: QUARRY_CORRUPT: what is left is damaged, and
 * nothing else is returned from here on. QUARRY_NO_MEMORY: the room is too small; nothing was
 * taken, and `*ret_words` is what to try with: first the most that a layout needs, then what the
 * block does.
 * Threads: any. Cost: that of a column's reading for each bucket, and a store.
 */
enum quarry_status tsdb_histograms_take(struct tsdb_histograms_reader *reader,
                                        struct tsdb_histogram_room room,
                                        struct tsdb_histogram *ret_histograms, uint32_t *ret_count,
                                        size_t *ret_words);

#endif
