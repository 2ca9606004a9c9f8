/*
 * Reading the histograms of a chain of chunklets, one after another.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_CHAIN_H
#define QUARRY_TSDB_HISTOGRAM_CHAIN_H

#include <tsdb/histogram.h>
#include <tsdb/memory.h>
#include <tsdb/window.h>

/* All-zero is ready for a chain, and holds no memory. */
struct tsdb_histogram_chain {
    /* what is left of a sample's beginning, and of what is loaded */
    uint8_t *bytes; /* own */
    size_t byte_capacity, byte_count, byte_at;
    uint32_t left; /* samples that end in what is loaded */
    bool has_last; /* something came before, in this chain */
    uint32_t turn; /* which of the rooms has the last one; the other is for the next */
    struct tsdb_histogram last;
    struct tsdb_histogram_room room[2]; /* own */
};

/* Forgets what came before: a chain begins, or floats have come between. Memory stays. */
void tsdb_histogram_chain_begin(struct tsdb_histogram_chain *chain);

/*
 * Loads a chunklet of histograms, when none are left of the one before.
 *
 * `ret_next`: the number of the chunklet behind it. Errors: QUARRY_NO_MEMORY: nothing has changed;
 * QUARRY_CORRUPT. Threads: beside the writer.
 */
enum quarry_status tsdb_histogram_chain_load(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory,
                                             const struct tsdb_chunklet *chunklet,
                                             uint32_t *ret_next);

/*
 * The next of what is loaded, `left` of them: in `chain->last` until the next call.
 *
 * Errors: QUARRY_NO_MEMORY: the same call may succeed later; QUARRY_CORRUPT.
 */
enum quarry_status tsdb_histogram_chain_take(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory);

/*
 * Decodes a late histogram, from chunklets of a row (shard.h): into the room that is free.
 *
 * `number`: of its first chunklet. `ret_histogram`: borrowed until the next call of any.
 * Errors: as above.
 */
enum quarry_status tsdb_histogram_chain_late(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory,
                                             const struct tsdb_open_shard *shard, uint32_t number,
                                             struct tsdb_histogram *ret_histogram);

/* Gives its memory back. */
void tsdb_histogram_chain_fini(struct tsdb_histogram_chain *chain,
                               const struct tsdb_memory *memory);

#endif
