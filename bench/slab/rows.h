/*
 * The rows of `quarry bench slab`, and what they run.
 */
#ifndef QUARRY_BENCH_SLAB_ROWS_H
#define QUARRY_BENCH_SLAB_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/slab/place.h>
#include <bench/team.h>

struct bench_slab_row;

/* A row at work in this process. */
struct bench_slab_job {
    const struct bench_slab_row *row;
    const struct bench_place *place;
    uint64_t step_count; /* of each thread */
};

/* What a row's process tells; what a row has not stays 0. Percents are in millionths. */
struct bench_slab_sample {
    uint64_t operation_count; /* pairs, allocations or pages; of all threads */
    struct bench_team_time time;
    uint64_t cell_waste_ppm; /* of what was asked for */
    uint64_t resident_waste_ppm;
    uint64_t read_count; /* words that readers compared */
    uint64_t lock_ns;    /* the longest that a lock was held, in CPU time */
    uint64_t peak_rss_bytes;
};
#define BENCH_SLAB_SAMPLE_NUMBERS 8u

/* Fills in what it measures. Ends the process when memory is short or contents are wrong. */
typedef void bench_slab_run(const struct bench_slab_job *job, struct bench_slab_sample *sample);

enum bench_slab_kind {
    BENCH_SLAB_TIMES, /* wall and CPU time for an operation */
    BENCH_SLAB_WASTE,
    BENCH_SLAB_MOVES, /* Quarry's alone */
};

struct bench_slab_row {
    const char *name;
    const char *title; /* for people */
    enum bench_slab_kind kind;
    enum bench_place_kind place; /* Quarry's; of peers it is malloc */
    bench_slab_run *run;
    size_t bytes; /* of each; 0: the row's own */
    uint32_t thread_count;
    uint64_t full_steps; /* of each thread */
    uint64_t quick_steps;
    uint64_t count_steps; /* for counting instructions: the shorter of two runs; 0: not counted */
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_slab_row *bench_slab_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_slab_row *bench_slab_row_find(const char *name);

/* ---- what the rows run, each in a file of its name ------------------------------------------ */

bench_slab_run bench_slab_pairs;
bench_slab_run bench_slab_batches;
bench_slab_run bench_slab_replace;
bench_slab_run bench_slab_arena;
bench_slab_run bench_slab_waste;
bench_slab_run bench_slab_move;

#endif
