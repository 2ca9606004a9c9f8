/*
 * Rows of `quarry bench kv`: what is measured in them, for the sitting and for its children.
 */
#ifndef QUARRY_BENCH_KV_ROWS_H
#define QUARRY_BENCH_KV_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_kv_kind {
    BENCH_KV_WORK,    /* operations, and what they cost */
    BENCH_KV_BUDGET,  /* much at once in little memory */
    BENCH_KV_RECOVER, /* opening what was not closed */
    BENCH_KV_FILES,   /* opening many files */
    BENCH_KV_KIND_COUNT,
};

/* Numbers that a child prints, by kind; the constants below name them. Times in nanoseconds. */
#define BENCH_KV_NUMBERS 12u

/* BENCH_KV_WORK */
enum {
    WORK_OPERATIONS,
    WORK_WALL_NS,
    WORK_CPU_NS, /* until the store is at rest again */
    WORK_P99,
    WORK_P9999,
    WORK_WORST,
    WORK_WRITTEN_BYTES, /* of pages of files, made dirty */
    WORK_USER_BYTES,    /* of keys and values, written by the row; 0: none */
    WORK_DISK_BYTES,    /* of all files at the end */
    WORK_LIVE_BYTES,    /* of keys and values there at the end; 0: not known */
    WORK_RSS_BYTES
};
/* BENCH_KV_BUDGET */
enum {
    BUDGET_BUDGET_BYTES,
    BUDGET_ALLOWED_BYTES,
    BUDGET_RSS_BYTES,
    BUDGET_READS,
    BUDGET_REFUSED_READS,
    BUDGET_WRITES,
    BUDGET_REFUSED_WRITES,
    BUDGET_WALL_NS,
    BUDGET_CPU_NS,
    BUDGET_P9999, /* of reads */
    BUDGET_WORST  /* of writes */
};
/* BENCH_KV_RECOVER, BENCH_KV_FILES */
enum {
    OPEN_WALL_NS,
    OPEN_CPU_NS,
    OPEN_RSS_BYTES,
    OPEN_DISK_BYTES, /* of all files, before */
    OPEN_FILES,      /* in the directory */
    OPEN_LOST,       /* of keys that were looked for */
    OPEN_FIRST_NS    /* the worst of the first reads */
};

/* What a row begins with. */
enum bench_kv_start {
    BENCH_KV_EMPTY,  /* nothing */
    BENCH_KV_FILLED, /* all keys, put in random order and compacted; shared by rows that only read
                      */
    BENCH_KV_COPY,   /* a copy of that */
};

/* Shares in percent; they add up to 100. */
struct bench_kv_mix {
    uint32_t read, update, insert, scan, modify;
    bool is_latest; /* what was inserted last is wanted most */
};

struct bench_kv_job;

struct bench_kv_row {
    const char *name;
    const char *title; /* for people */
    enum bench_kv_kind kind;
    enum bench_kv_start start;
    uint32_t key_part;   /* operations: the keys, divided by it */
    uint32_t step_count; /* in the shorter run of counting instructions; 0: they are not counted */
    bool needs_many;     /* a call that LevelDB lacks */
    bool is_long;        /* measured only when --rows asks for it */
    uint64_t budget_bytes;
    const struct bench_kv_mix *mix;
    /* Measures it. `numbers` are zero. */
    void (*run)(struct bench_kv_job *job, uint64_t *numbers);
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_kv_row *bench_kv_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_kv_row *bench_kv_row_find(const char *name);

#endif
