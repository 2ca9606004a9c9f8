/*
 * The rows of `quarry bench blocks` that measure caches, and their loops.
 */
#ifndef QUARRY_BENCH_BLOCKS_CACHE_ROWS_H
#define QUARRY_BENCH_BLOCKS_CACHE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/blocks/driver.h>
#include <bench/team.h>

#define BENCH_CACHE_VALUE_BYTES 4096u
/* Keys are spread over files of so many blocks. */
#define BENCH_CACHE_FILE_BLOCKS 16384u

struct bench_cache_row;

/* A row at work in this process. */
struct bench_cache_job {
    const struct bench_cache_row *row;
    const struct bench_cache_driver *driver;
    void *cache;
    uint64_t capacity_bytes;
    uint64_t step_count; /* of each thread */
};

/* What a row's process tells. */
struct bench_cache_sample {
    uint64_t operation_count; /* of all threads */
    struct bench_team_time time;
    uint64_t lookup_count;
    uint64_t hit_count;
    uint64_t load_count; /* of blocks that were asked for by several threads at once */
    uint64_t
        wrong_count; /* payloads that were not what had been put in: 0, or the row has failed */
    uint64_t peak_rss_bytes;
};
#define BENCH_CACHE_SAMPLE_NUMBERS 8u

typedef void bench_cache_run(const struct bench_cache_job *job, struct bench_cache_sample *sample);

struct bench_cache_row {
    const char *name;
    const char *title; /* for people */
    bench_cache_run *run;
    uint64_t capacity_bytes;
    uint64_t quick_bytes; /* with --quick */
    uint64_t full_steps;  /* of each thread */
    uint64_t quick_steps;
    uint64_t count_steps; /* for counting instructions: the shorter of two runs; 0: not counted */
    uint32_t thread_count;
    int shard_bits;    /* where they can be chosen */
    bool is_lean;      /* payloads are not read on a hit */
    bool is_loaded;    /* measured where there is get_or_load */
    bool is_reference; /* cache_bench has such a row too */
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_cache_row *bench_cache_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_cache_row *bench_cache_row_find(const char *name);

/* The mix that RocksDB's benchmark of caches has as its default. */
#define BENCH_MIX_LOOKUP_INSERT 87u
#define BENCH_MIX_INSERT        2u
#define BENCH_MIX_LOOKUP        10u
#define BENCH_MIX_ERASE         1u
#define BENCH_MIX_SKEW          5u
/* Keys for each value that fits the cache: the inverse of the resident ratio 0.25. */
#define BENCH_MIX_KEYS_PER_VALUE 4u
#define BENCH_MIX_SHARD_BITS     6

#endif
