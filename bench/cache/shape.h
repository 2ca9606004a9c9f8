/*
 * Shapes of traces, after clusters of Twitter's caches, and the requests they give.
 */
#ifndef QUARRY_BENCH_CACHE_SHAPE_H
#define QUARRY_BENCH_CACHE_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/cache/wire.h>
#include <bench/cache/zipf.h>

#define BENCH_SHAPE_TTLS 6u

/* So many of a thousand items live for so long. */
struct bench_shape_ttl {
    uint32_t permille;
    double hours; /* 0: for ever */
};

struct bench_shape {
    const char *name;
    const char *title; /* for people */
    /* published */
    double zipf_alpha;
    uint32_t key_bytes;
    uint32_t value_bytes;      /* mean */
    uint32_t set_permille;     /* requests that write, whatever is there */
    double compulsory_percent; /* of requests: keys that had never been asked for */
    double once_percent;       /* of keys: asked for once */
    struct bench_shape_ttl ttl[BENCH_SHAPE_TTLS];
    /* ours */
    uint32_t key_count;       /* ranks of the law */
    uint32_t once_per_myriad; /* requests for a key that never comes again, in ten thousand */
    uint32_t
        renewed_percent; /* how often a rank is given a new key in the course of the trace, × 100 */
    uint32_t request_count;
    uint32_t hours; /* that the trace stands for */
    uint32_t memory_mib;
};

const struct bench_shape *bench_shapes(size_t *ret_count);
/* Returns: the shape of that name, or NULL. */
const struct bench_shape *bench_shape_find(const char *name);

/* A request. */
struct bench_request {
    struct bench_item item; /* its TTL in seconds of the replay */
    bool is_set;
};

/* A trace that is being made. The same shape gives the same requests. */
struct bench_trace_maker {
    const struct bench_shape *shape;
    struct bench_zipf zipf;
    uint64_t random;
    uint32_t request_count; /* in all */
    uint32_t made_count;
    uint32_t once_count;
    double seconds_per_hour; /* of the replay */
};

/* `request_count`: in all; `seconds`: that the replay takes. */
void bench_trace_begin(struct bench_trace_maker *maker, const struct bench_shape *shape,
                       uint32_t request_count, double seconds);
/* Returns: false at the trace's end. Cost: some 100 ns. */
bool bench_trace_next(struct bench_trace_maker *maker, struct bench_request *ret_request);

#endif
