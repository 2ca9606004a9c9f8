/*
 * The rows of `quarry bench malloc` that measure work. Spikes and stories have tables of their own.
 */
#ifndef QUARRY_BENCH_MALLOC_ROWS_H
#define QUARRY_BENCH_MALLOC_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/malloc/worker.h>

/*
 * Does a row's work in this process. Everything it allocates it frees, by the functions of
 * worker.h; its tables are static and not allocated. Ends the process when memory is short.
 */
typedef void bench_job_run(const struct bench_job *job);

enum bench_group {
    BENCH_MICRO,    /* one size, over and over */
    BENCH_WORKLOAD, /* the pattern of a kind of program */
    BENCH_SPIKES,   /* memory used, freed and watched: spike.h */
    BENCH_PROGRAMS, /* real programs: programs.h */
    BENCH_GROUP_COUNT,
};

struct bench_malloc_row {
    const char *name;
    const char *title; /* for people */
    enum bench_group group;
    bench_job_run *run;
    size_t bytes;          /* micro rows: the size */
    bool is_threaded;      /* runs in all threads of the job; else in one */
    uint32_t sample_every; /* operations, of which one is timed */
    uint64_t full_steps;
    uint64_t quick_steps;
    uint64_t count_steps; /* for counting instructions: the shorter of two runs; 0: not counted */
};

/* All rows in the order of the report. `*ret_count` receives how many. Returns: static storage. */
const struct bench_malloc_row *bench_malloc_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_malloc_row *bench_malloc_row_find(const char *name);

/* "micro", "workloads", "spikes", "programs". Returns: static storage. */
const char *bench_group_name(enum bench_group group);

/* ---- what the rows run, each in a file of its name ------------------------------------------ */

bench_job_run bench_micro_pairs;
bench_job_run bench_micro_batches;
bench_job_run bench_bignum;
bench_job_run bench_bitset;
bench_job_run bench_larson;
bench_job_run bench_larson_sized;
bench_job_run bench_mstress;
bench_job_run bench_xmalloc;
bench_job_run bench_sh8;
bench_job_run bench_rptest;
bench_job_run bench_scratch;
bench_job_run bench_large;
bench_job_run bench_churn;

/* Steps of the micro rows: so many pairs, of which the last is timed. */
#define BENCH_MICRO_PAIRS 64u
/* Objects of a batch, and those between two timed ones. */
#define BENCH_BATCH_OBJECTS 2000u
#define BENCH_BATCH_BLOCK   50u

#endif
