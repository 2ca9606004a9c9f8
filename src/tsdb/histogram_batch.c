/*
 * Batches of histograms.
 *
 *     items   | h0 | h1 | h2 | …                up to 64
 *               │    └───────────────┐
 *     room    | arrays of h0 | arrays of h1 | …
 *
 * Room is made for as many as fit when the first one comes, since it cannot be moved while others
 * point into it: 64 like the first, or half a MiB. One that does not fit waits for the next batch.
 */
#include <tsdb/histogram_batch.h>

/* Words that a batch has room for at most, but for a single one that is larger. A hundred buckets,
 * 64 times, are a seventh of it. */
#define WORDS_MAX 65536u

enum quarry_status tsdb_histogram_batch_reserve(struct tsdb_histogram_batch *batch, size_t words)
{
    Q_ASSERT(batch->count == 0);
    if (batch->items == NULL) {
        batch->items =
            tsdb_memory_take(batch->memory, TSDB_HISTOGRAMS_BLOCK * sizeof(*batch->items));
        if (batch->items == NULL) {
            return QUARRY_NO_MEMORY;
        }
    }
    if (words <= batch->room.count) {
        return QUARRY_OK;
    }
    tsdb_memory_give(batch->memory, batch->room.words);
    batch->room.words = tsdb_memory_take(batch->memory, words * sizeof(uint64_t));
    batch->room.count = batch->room.words == NULL ? 0 : words;
    return batch->room.words == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

enum quarry_status tsdb_histogram_batch_put(struct tsdb_histogram_batch *batch,
                                            const struct tsdb_histogram *histogram)
{
    size_t words = tsdb_histogram_words(histogram);

    if (batch->count == 0) {
        size_t many = size_min(TSDB_HISTOGRAMS_BLOCK * words, WORDS_MAX);
        enum quarry_status status =
            tsdb_histogram_batch_reserve(batch, words + 1 > many ? words + 1 : many);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (batch->count == TSDB_HISTOGRAMS_BLOCK || words > batch->room.count - batch->used_words) {
        return QUARRY_BUSY;
    }
    const struct tsdb_histogram_room rest = {batch->room.words + batch->used_words,
                                             batch->room.count - batch->used_words};
    tsdb_histogram_copy(histogram, rest, &batch->items[batch->count++]);
    batch->used_words += words;
    return QUARRY_OK;
}

void tsdb_histogram_batch_fini(struct tsdb_histogram_batch *batch)
{
    tsdb_memory_give(batch->memory, batch->items);
    tsdb_memory_give(batch->memory, batch->room.words);
    *batch = (struct tsdb_histogram_batch){.memory = batch->memory};
}
