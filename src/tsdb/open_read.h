/*
 * Reading one series of an open window: its chain, with what is late merged in.
 */
#ifndef QUARRY_TSDB_OPEN_READ_H
#define QUARRY_TSDB_OPEN_READ_H

#include <tsdb/head.h>
#include <tsdb/out_of_order.h>
#include <tsdb/window.h>

#define TSDB_BLOCK_SAMPLES QUARRY_TSDB_BLOCK_SAMPLES

struct tsdb_open_read {
    const struct tsdb_open_shard *shard;
    uint32_t next; /* chunklet to be loaded; NONE: the last one is */
    struct tsdb_reader reader;
    /* samples in order that are decoded and not given yet */
    uint32_t at, count;
    int64_t t_ms[TSDB_BLOCK_SAMPLES];
    uint64_t bits[TSDB_BLOCK_SAMPLES];
    struct tsdb_late late;
    size_t late_at;
};

/*
 * Begins with a series' chains in a shard.
 *
 * `read`: the caller's, zeroed before its first use; its memory is used again. `chain`: NULL or
 * borrowed for the call. `memory`: of late samples, always the same.
 * Errors: QUARRY_NO_MEMORY. Threads, here and below: as tsdb_late_collect.
 */
enum quarry_status tsdb_open_read_begin(struct tsdb_open_read *read,
                                        const struct tsdb_memory *memory,
                                        const struct tsdb_open_shard *shard,
                                        const struct tsdb_chain *chain);
void tsdb_open_read_fini(struct tsdb_open_read *read, const struct tsdb_memory *memory);

/*
 * Takes up to `count_max` samples, in rising time.
 *
 * Returns: how many; 0: there are no more, or a chunklet is damaged (tsdb_reader_status).
 * Cost: some nanoseconds a sample.
 */
uint32_t tsdb_open_read_take(struct tsdb_open_read *read, uint32_t count_max, int64_t *ret_t_ms,
                             uint64_t *ret_bits);

#endif
