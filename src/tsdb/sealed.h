/*
 * Sealed shards: what lies where, and reading one series of one.
 *
 * All places are offsets in the window's sealed space, so that the bytes mean the same wherever
 * they are.
 */
#ifndef QUARRY_TSDB_SEALED_H
#define QUARRY_TSDB_SEALED_H

#include <tsdb/column.h>
#include <tsdb/histogram_batch.h>
#include <tsdb/times.h>
#include <tsdb/window.h>

/*
 * Samples of one entry. A series with more of them in one window has several entries; what is
 * needed to make one, 42 bytes a sample, is so bounded by 2.7 MiB. A sample each 0.2 s for 4 h.
 */
#define TSDB_SEALED_SAMPLES_MAX 65536u

/* Bytes of histograms after which an entry ends: what is needed to make one is so bounded as well.
 */
#define TSDB_SEALED_HISTOGRAM_BYTES (UINT32_C(1) << 20)

/* Samples of one series, of one kind. By local number, and then by time. */
struct tsdb_sealed_entry {
    uint32_t local;
    uint32_t times;     /* which of the shard's times */
    uint64_t values_at; /* a column (column.h), or blocks of histograms (histogram_column.h) */
    uint32_t value_bytes;
    uint32_t count; /* as of its times; TSDB_SEALED_HISTOGRAMS is added where it is of those */
};
#define TSDB_SEALED_HISTOGRAMS (UINT32_C(1) << 31)

static inline uint32_t tsdb_sealed_count(const struct tsdb_sealed_entry *entry)
{
    return entry->count & ~TSDB_SEALED_HISTOGRAMS;
}
static inline bool tsdb_sealed_has_histograms(const struct tsdb_sealed_entry *entry)
{
    return (entry->count & TSDB_SEALED_HISTOGRAMS) != 0;
}
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
    uint32_t next;       /* entry that is opened next */
    uint32_t left;       /* samples of the open entry */
    bool has_histograms; /* the open entry */
    struct tsdb_column_reader column;
    struct tsdb_histograms_reader histograms;
    struct tsdb_times_reader times;
    /* times that are decoded ahead of their histograms */
    uint32_t time_at, time_count;
    int64_t t_ms[QUARRY_TSDB_BLOCK_SAMPLES];
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
 * `ret_t_ms`, `ret_bits`: room for QUARRY_TSDB_BLOCK_SAMPLES. `batch`: gets as many histograms as
 * are returned, or none: they are floats. `ret_count`: 0 at the end.
 * Errors: QUARRY_CORRUPT; QUARRY_NO_MEMORY: for histograms, and the same call may succeed later.
 * Cost: 1 to 5 ns a float.
 */
enum quarry_status tsdb_sealed_read_take(struct tsdb_sealed_read *read, int64_t *ret_t_ms,
                                         uint64_t *ret_bits, struct tsdb_histogram_batch *batch,
                                         uint32_t *ret_count);

/* Where the bytes of a shard begin and end; both 0: it has none. Cost: a look at each entry. */
void tsdb_sealed_extent(const struct tsdb_window *window, uint32_t shard, uint64_t *ret_from,
                        uint64_t *ret_to);

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
