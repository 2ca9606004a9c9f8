/*
 * Rows of `quarry bench cache`: what is measured in them, for the sitting and for its children.
 */
#ifndef QUARRY_BENCH_CACHE_ROWS_H
#define QUARRY_BENCH_CACHE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/cache/server.h>

enum bench_load_kind {
    BENCH_LOAD_CLOSED,  /* as fast as it goes: what a request costs */
    BENCH_LOAD_CALLS,   /* system calls of the server */
    BENCH_LOAD_OPEN,    /* on a schedule: latency */
    BENCH_LOAD_FILL,    /* bytes per item */
    BENCH_LOAD_REPLAY,  /* misses of a trace */
    BENCH_LOAD_KILL,    /* killed under load, started, asked */
    BENCH_LOAD_SHIFT,   /* sizes change under somebody's load */
    BENCH_LOAD_TENANTS, /* one floods, another goes on */
    BENCH_LOAD_IDLE,    /* many connections */
    BENCH_LOAD_SLOW,    /* connections that hold things up */
    /* of stores alone */
    BENCH_LOAD_SYNCS,    /* calls that wait for the disk */
    BENCH_LOAD_RESIDENT, /* memory for more keys than there is memory for */
    BENCH_LOAD_TOOL,     /* redis-benchmark's own figures */
    BENCH_LOAD_KIND_COUNT,
};

/* Numbers that a child prints, by kind; the constants below name them. */
#define BENCH_LOAD_NUMBERS 8u

/* BENCH_LOAD_CLOSED */
enum {
    CLOSED_OPERATIONS,
    CLOSED_CPU_NS,
    CLOSED_WALL_NS,
    CLOSED_HITS,
    CLOSED_GETS,
    CLOSED_CLIENT_NS
};
/* BENCH_LOAD_CALLS */
enum { CALLS_OPERATIONS, CALLS_CALLS };
/* BENCH_LOAD_OPEN; times in nanoseconds */
enum {
    OPEN_P50,
    OPEN_P99,
    OPEN_P999,
    OPEN_P9999,
    OPEN_WORST,
    OPEN_OPERATIONS,
    OPEN_CPU_NS,
    OPEN_RSS
};
/* BENCH_LOAD_FILL */
enum { FILL_ITEMS, FILL_DATA_BYTES, FILL_LIMIT_BYTES, FILL_RSS_BYTES, FILL_EVICTIONS };
/* BENCH_LOAD_REPLAY */
enum {
    REPLAY_GETS,
    REPLAY_MISSES,
    REPLAY_RSS_BYTES,
    REPLAY_MEMORY_BYTES,
    REPLAY_LATE_NS,
    REPLAY_RUNS
};
/* BENCH_LOAD_KILL; times in nanoseconds, hits in millionths */
enum {
    KILL_READY_MEDIAN,
    KILL_READY_WORST,
    KILL_HIT_BEFORE_PPM,
    KILL_HIT_AFTER_PPM, /* the least of all restarts */
    KILL_CHECKED,       /* values that were looked at, all through */
    KILL_COUNT
};
/* BENCH_LOAD_SHIFT; likewise */
enum {
    SHIFT_WORST,
    SHIFT_P99,
    SHIFT_P999,
    SHIFT_BELOW_NS,
    SHIFT_HIT_ALONE_PPM,
    SHIFT_HIT_LEAST_PPM,
    SHIFT_ERRORS,
    SHIFT_STORED_BYTES
};
/* BENCH_LOAD_TENANTS; likewise */
enum {
    TENANTS_P99_ALONE,
    TENANTS_P99_BESIDE,
    TENANTS_WORST_BESIDE,
    TENANTS_HIT_ALONE_PPM,
    TENANTS_HIT_BESIDE_PPM,
    TENANTS_OVERSHOOT_BYTES,
    TENANTS_FLOOD_RATE /* sets in a second */
};
/* BENCH_LOAD_IDLE; times in nanoseconds */
#define BENCH_LOAD_IDLE_COUNT 10000u
enum {
    IDLE_BYTES_BEFORE, /* resident */
    IDLE_BYTES_AFTER,
    IDLE_BYTES_PEAK,
    IDLE_LIMIT_BYTES,
    IDLE_COUNT,
    IDLE_P99,
    IDLE_P999,
    IDLE_WORST
};
/* BENCH_LOAD_SLOW; times in nanoseconds */
enum {
    SLOW_P99_ALONE,
    SLOW_P99_BESIDE,
    SLOW_WORST_BESIDE,
    SLOW_WRITERS_CUT,
    SLOW_READERS_CUT,
    SLOW_WRITERS_NS, /* when the last of them was cut; 0: none was */
    SLOW_READERS_NS,
    SLOW_BYTES_PEAK /* resident */
};

/* BENCH_LOAD_SYNCS: as BENCH_LOAD_CALLS */
/* BENCH_LOAD_RESIDENT */
enum {
    RESIDENT_ITEMS,
    RESIDENT_BYTES,
    RESIDENT_PEAK_BYTES,
    RESIDENT_LIMIT_BYTES, /* 0: it has none */
    RESIDENT_DISK_BYTES,
    RESIDENT_SETS_CPU_NS, /* of all of them */
    RESIDENT_GETS,
    RESIDENT_GETS_CPU_NS
};
/* BENCH_LOAD_TOOL; times in nanoseconds */
enum { TOOL_OPERATIONS, TOOL_CPU_NS, TOOL_MILLI_RATE, TOOL_P50, TOOL_P99, TOOL_WORST };

/* Of Zipf's law by which keys are wanted, as in YCSB. */
#define BENCH_LOAD_SKEW 0.99

struct bench_shape;

/* What is asked for. */
enum bench_load_verb {
    BENCH_VERB_MIX, /* gets and sets, by the row's permille */
    BENCH_VERB_INCR,
    BENCH_VERB_MSET, /* of BENCH_LOAD_MSET_KEYS */
};
#define BENCH_LOAD_MSET_KEYS 10u /* as redis-benchmark has it */

struct bench_load_row {
    const char *name;
    const char *title; /* for people */
    enum bench_load_kind kind;
    bool is_tcp;
    bool is_long;       /* minutes: measured only when --rows asks for it */
    bool needs_maximum; /* a child is told a peer's operations per second */
    bool needs_rss;     /* a child is told memcached's resident bytes */
    uint32_t pipeline;
    uint32_t set_permille;
    uint32_t key_bytes;
    uint32_t value_bytes; /* 0: log-normal */
    uint32_t percent;     /* of the peer's maximum */
    uint64_t key_count;
    const struct bench_shape *shape; /* of a replay */
    enum bench_server_store store;
    enum bench_load_verb verb;
    uint32_t link_count; /* connections; 0: BENCH_POPULATION_LINKS */
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_load_row *bench_load_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_load_row *bench_load_row_find(const char *name);
/* Whether a sitting whose rows are those of a pattern has it: a long one is asked for by more than
 * "*". */
bool bench_load_row_is_asked_for(const struct bench_load_row *row, const char *pattern);

/* One measurement. */
struct bench_load_job {
    const struct bench_load_row *row;
    enum bench_server_kind kind;
    const char *quarry; /* path of Quarry's program; borrowed */
    bool is_quick;
    uint64_t seconds;   /* to measure for; 0: as long as the row takes */
    uint64_t given;     /* operations per second, or resident bytes; 0: nobody knows */
    const char *parent; /* where stores are made; NULL of caches; borrowed */
};

/* Each measures a kind of row: writes BENCH_LOAD_NUMBERS at most. Returns: false when it failed,
 * which has been said on stderr. */
typedef bool bench_load_run(const struct bench_load_job *job, uint64_t *ret_numbers);
bench_load_run bench_load_closed;
bench_load_run bench_load_calls;
bench_load_run bench_load_open;
bench_load_run bench_load_fill;
bench_load_run bench_load_replay;
bench_load_run bench_load_kill;
bench_load_run bench_load_shift;
bench_load_run bench_load_tenants;
bench_load_run bench_load_idle;
bench_load_run bench_load_slow;
bench_load_run bench_load_syncs;
bench_load_run bench_load_resident;
bench_load_run bench_load_tool;

/*
 * As bench_load_open. Returns: the latencies of all requests, in static storage until it is called
 * again; NULL when it failed.
 */
struct bench_histogram;
const struct bench_histogram *bench_load_open_curve(const struct bench_load_job *job,
                                                    uint64_t *ret_numbers);

#endif
