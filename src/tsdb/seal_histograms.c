/*
 * Histograms of one entry that is being sealed, block by block.
 *
 *     batch, up to 64 ──by layout──> | block | block | …     bytes, which grow; then sealed space
 *
 * Blocks are made as batches come, so that no more than a batch of histograms is in memory however
 * many a series has. A block of very wide histograms has fewer of them: what encoding may need at
 * worst is taken beforehand.
 */
#include <tsdb/seal.h>

/* What a block may need at worst, but for a single histogram. 64 of a hundred buckets need 70 KiB.
 */
#define BLOCK_BYTES_MAX Q_MIB(1)

void tsdb_sealing_histograms_begin(struct tsdb_sealing_histograms *histograms)
{
    histograms->byte_count = 0;
    tsdb_histogram_batch_begin(&histograms->before);
}

void tsdb_sealing_histograms_fini(struct tsdb_sealing_histograms *histograms)
{
    tsdb_memory_give(histograms->batch.memory, histograms->bytes);
    tsdb_histogram_batch_fini(&histograms->batch);
    tsdb_histogram_batch_fini(&histograms->before);
}

/* How many of `items` the next block has. */
static uint32_t block_count(const struct tsdb_histogram *items, uint32_t count)
{
    uint32_t block = tsdb_histograms_block(items, count);

    while (block > 1 && tsdb_histograms_bytes_max(items, block) > BLOCK_BYTES_MAX) {
        block /= 2;
    }
    return block;
}

static enum quarry_status block_put(struct tsdb_sealing_histograms *histograms,
                                    const struct tsdb_histogram *items, uint32_t count)
{
    const struct tsdb_histogram *before =
        histograms->before.count == 0 ? NULL : histograms->before.items;
    void *bytes = histograms->bytes;
    enum quarry_status status =
        tsdb_memory_grow(histograms->batch.memory, &bytes, &histograms->capacity,
                         histograms->byte_count + tsdb_histograms_bytes_max(items, count), 1);

    histograms->bytes = bytes;
    if (status != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    histograms->byte_count += tsdb_histograms_encode(items, count, before, histograms->scratch,
                                                     histograms->bytes + histograms->byte_count);
    tsdb_histogram_batch_begin(&histograms->before);
    status = tsdb_histogram_batch_reserve(&histograms->before, tsdb_histogram_words(items) + 1);
    return status != QUARRY_OK ? status : tsdb_histogram_batch_put(&histograms->before, items);
}

enum quarry_status tsdb_sealing_histograms_put(struct tsdb_sealing_histograms *histograms)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t count = 0;

    for (uint32_t i = 0; i < histograms->batch.count && status == QUARRY_OK; i += count) {
        count = block_count(histograms->batch.items + i, histograms->batch.count - i);
        status = block_put(histograms, histograms->batch.items + i, count);
    }
    return status;
}
