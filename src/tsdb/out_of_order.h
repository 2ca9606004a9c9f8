/*
 * Late samples of one series in one window: collected, sorted, and without those that lost.
 */
#ifndef QUARRY_TSDB_OUT_OF_ORDER_H
#define QUARRY_TSDB_OUT_OF_ORDER_H

#include <tsdb/window.h>

struct tsdb_late_sample {
    int64_t t_ms;
    uint64_t bits;   /* of a float */
    uint32_t number; /* of a histogram's first chunklet (shard.h); NONE: a float */
};

/* Sorted by time, no moment twice. All-zero has none. */
struct tsdb_late {
    struct tsdb_late_sample *samples; /* own; twice `capacity`: the second half is for sorting */
    size_t capacity;
    size_t count;
};

/*
 * Collects what is late in a chain.
 *
 * `late`: the caller's; what it held is gone, its memory is used again. `chain`: NULL has none.
 * `memory`: of `late`, always the same.
 * Errors: QUARRY_NO_MEMORY: `late` is empty.
 * Threads: within the epoch in which the shard was seen open, or by who seals it.
 * Cost: O(n log n), and one cache line for every seven.
 */
enum quarry_status tsdb_late_collect(struct tsdb_late *late, const struct tsdb_memory *memory,
                                     const struct tsdb_open_shard *shard,
                                     const struct tsdb_chain *chain);

/* Gives its memory back. */
void tsdb_late_fini(struct tsdb_late *late, const struct tsdb_memory *memory);

#endif
