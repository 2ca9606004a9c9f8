/*
 * Reading one series of an open window: its chain, with what is late merged in.
 */
#ifndef QUARRY_TSDB_OPEN_READ_H
#define QUARRY_TSDB_OPEN_READ_H

#include <tsdb/head.h>
#include <tsdb/histogram_batch.h>
#include <tsdb/histogram_chain.h>
#include <tsdb/out_of_order.h>
#include <tsdb/sealed.h>
#include <tsdb/window.h>

#define TSDB_BLOCK_SAMPLES QUARRY_TSDB_BLOCK_SAMPLES

struct tsdb_open_read {
    const struct tsdb_memory *memory;
    const struct tsdb_open_shard *shard;
    uint32_t next; /* chunklet to be loaded; NONE: the last one is */
    enum quarry_status status;
    struct tsdb_reader reader;
    /* floats in order that are decoded and not given yet */
    uint32_t at, count;
    int64_t t_ms[TSDB_BLOCK_SAMPLES];
    uint64_t bits[TSDB_BLOCK_SAMPLES];
    /* histograms in order: `histograms.last` is not given yet if `has_histogram` */
    struct tsdb_histogram_chain histograms;
    bool has_histogram;
    /* in place of a chain: what lay sealed before, of a window that is filled */
    bool has_base;
    struct tsdb_sealed_read base;
    struct tsdb_histogram_batch base_batch;
    uint32_t base_at; /* histograms of the batch that were taken */
    struct tsdb_late late;
    size_t late_at;
    struct tsdb_histogram_chain late_histograms; /* its rooms alone */
};

/*
 * Begins with a series' chains in a shard.
 *
 * `read`: the caller's, zeroed before its first use; its memory is used again. `chain`: NULL or
 * borrowed for the call. `memory`: borrowed as long as `read` is used; always the same.
 * Errors: QUARRY_NO_MEMORY. Threads, here and below: as tsdb_late_collect.
 */
enum quarry_status tsdb_open_read_begin(struct tsdb_open_read *read,
                                        const struct tsdb_memory *memory,
                                        const struct tsdb_open_shard *shard,
                                        const struct tsdb_chain *chain);
/*
 * The same for a series of a filling: what its base has of the series is what came in order, from a
 * time on; what came since is late.
 *
 * `open`: borrowed as long as `read` is used; it has a base.
 */
enum quarry_status tsdb_open_read_begin_filling(struct tsdb_open_read *read,
                                                const struct tsdb_memory *memory,
                                                const struct tsdb_open *open, uint32_t id,
                                                int64_t min_ms);
void tsdb_open_read_fini(struct tsdb_open_read *read, const struct tsdb_memory *memory);

/*
 * Takes up to `count_max` samples, in rising time: floats, or histograms.
 *
 * `batch`: gets as many histograms as are returned, or none: they are floats. Of histograms `bits`
 * are their sums'.
 * Returns: how many; 0: there are no more, or tsdb_open_read_status says why.
 * Cost: some nanoseconds a float.
 */
uint32_t tsdb_open_read_take(struct tsdb_open_read *read, uint32_t count_max, int64_t *ret_t_ms,
                             uint64_t *ret_bits, struct tsdb_histogram_batch *batch);

/* Why the last take gave nothing: QUARRY_OK: there are no more; QUARRY_CORRUPT; QUARRY_NO_MEMORY:
 * the same call may succeed later. */
static inline enum quarry_status tsdb_open_read_status(const struct tsdb_open_read *read)
{
    return read->status;
}

#endif
