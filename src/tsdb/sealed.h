/*
 * Sealed shards: what lies where, and reading one series of one.
 *
 * All places are offsets in the window's sealed space, so that the bytes mean the same wherever
 * they are.
 */
#ifndef QUARRY_TSDB_SEALED_H
#define QUARRY_TSDB_SEALED_H

#include <tsdb/column.h>
#include <tsdb/times.h>
#include <tsdb/window.h>

/*
 * Samples of one entry. A series with more of them in one window has several entries; what is
 * needed to make one, 42 bytes a sample, is so bounded by 2.7 MiB. A sample each 0.2 s for 4 h.
 */
#define TSDB_SEALED_SAMPLES_MAX 65536u

/* Samples of one series. By local number, and then by time. */
struct tsdb_sealed_entry {
    uint32_t local;
    uint32_t times;     /* which of the shard's times */
    uint64_t values_at; /* a column (column.h) */
    uint32_t value_bytes;
    uint32_t count; /* as of its times */
};
Q_STATIC_ASSERT(sizeof(struct tsdb_sealed_entry) == 24, "it is what a series costs in a window");

/* When samples were; of all series that were sampled at the same times. */
struct tsdb_sealed_times {
    uint64_t at; /* times.h */
    uint32_t byte_count;
    uint32_t count;
    int64_t first_ms, last_ms;
};
Q_STATIC_ASSERT(sizeof(struct tsdb_sealed_times) == 32, "aligned to 8 wherever it is");

/* Reads one series of a shard, block by block. */
struct tsdb_sealed_read {
    const struct tsdb_window *window;
    const struct tsdb_sealed_shard *shard;
    uint32_t local;
    uint32_t next;        /* entry that is opened next */
    uint32_t block_count; /* blocks of the open entry that are left */
    struct tsdb_column_reader column;
    struct tsdb_times_reader times;
};

/*
 * Begins with the samples of a series that are not before a time; a few that are may come first.
 *
 * `window`: of which `shard` is sealed; borrowed as long as `read` is used. Cost: a search.
 */
void tsdb_sealed_read_begin(struct tsdb_sealed_read *read, const struct tsdb_window *window,
                            uint32_t shard, uint32_t local, int64_t min_ms);

/*
 * Takes the next block.
 *
 * `ret_t_ms`, `ret_bits`: room for QUARRY_TSDB_BLOCK_SAMPLES. `ret_count`: 0 at the end.
 * Errors: QUARRY_CORRUPT. Cost: 1 to 5 ns a sample.
 */
enum quarry_status tsdb_sealed_read_take(struct tsdb_sealed_read *read, int64_t *ret_t_ms,
                                         uint64_t *ret_bits, uint32_t *ret_count);

/* An entry of a shard, and one of its times. */
static inline const struct tsdb_sealed_entry *
tsdb_sealed_entry_at(const struct tsdb_window *window, const struct tsdb_sealed_shard *shard,
                     uint32_t index)
{
    Q_DCHECK(index < shard->entry_count);
    return (const struct tsdb_sealed_entry *)tsdb_space_at(&window->sealed, shard->entries_at) +
           index;
}
static inline const struct tsdb_sealed_times *
tsdb_sealed_times_at(const struct tsdb_window *window, const struct tsdb_sealed_shard *shard,
                     uint32_t index)
{
    Q_DCHECK(index < shard->times_count);
    return (const struct tsdb_sealed_times *)tsdb_space_at(&window->sealed, shard->times_at) +
           index;
}

#endif
