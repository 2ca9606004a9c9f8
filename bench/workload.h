/*
 * Workloads: what a row of `quarry bench pages` does, and how long it takes in this process.
 */
#ifndef QUARRY_BENCH_WORKLOAD_H
#define QUARRY_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <bench/subject.h>

#define BENCH_BATCH_MAX   2048u
#define BENCH_THREADS_MAX 2u

/*
 * One row. Its step is: allocate `batch` runs of `pages` pages each, touch every OS page of them if
 * asked to, free them all in the same order. A pair is one allocation with its free.
 */
struct bench_row {
    const char *name;
    const char *title;  /* for people */
    bool is_tree;       /* Quarry: page_lane_alloc, past the thread's cache; not page_alloc */
    bool has_own_lanes; /* Quarry: a lane for each thread */
    bool is_touched;
    uint32_t thread_count;
    uint32_t batch;
    uint64_t pages;
};

/* What was measured. The clock runs once for all threads. */
struct bench_sample {
    uint64_t pair_count; /* of each thread */
    uint64_t wall_ns;
    uint64_t cpu_ns;            /* user and system, all threads of the process */
    uint64_t instruction_count; /* user mode, by the processor's counter; 0: it has none for us */
};

/* How much to measure. */
struct bench_amount {
    uint64_t pair_count; /* of each thread; 0: as many as take `target_ns` */
    uint64_t target_ns;
};

/* All rows in the order of the report. `*ret_count` receives how many. Returns: static storage. */
const struct bench_row *bench_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_row *bench_row_find(const char *name);

/*
 * Does the row's work in this process by the means of `subject`: warms up, then measures.
 * Ends the process with a message when memory cannot be had.
 * Threads: the main thread, alone; starts others and joins them.
 */
struct bench_sample bench_row_measure(const struct bench_row *row,
                                      const struct bench_subject *subject,
                                      struct bench_amount amount);

#endif
