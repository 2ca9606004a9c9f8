/*
 * Traces: sequences of keys in the shapes that caches meet, made anew in each process, the same in
 * all of them.
 */
#ifndef QUARRY_BENCH_BLOCKS_TRACE_H
#define QUARRY_BENCH_BLOCKS_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* Where a request's key comes from, in thousandths, and how those sources look. */
struct bench_trace_shape {
    const char *name;
    const char *title; /* for people */
    double zipf_skew;
    double size_sigma; /* of the logarithm of sizes */
    uint32_t request_count;
    uint32_t zipf_permille;  /* from a set whose k-th key is asked for 1/k^zipf_skew as often */
    uint32_t loop_permille;  /* from one key after the other of a range, over and over */
    uint32_t zipf_key_count; /* the rest of the requests is for keys that never come again */
    uint32_t drift_requests; /* after so many the most wanted key is a new one; 0: never */
    uint32_t loop_key_count;
    uint32_t phase_requests; /* after so many other keys are asked for; 0: never */
    uint32_t phase_count;    /* sets of keys that phases go round */
    uint32_t median_bytes;   /* sizes are log-normal round it */
    uint32_t size_step;      /* sizes are multiples of this */
};

/* All shapes. `*ret_count` receives how many. Returns: static storage. */
const struct bench_trace_shape *bench_trace_shapes(size_t *ret_count);
/* Returns: the shape of that name, or NULL. */
const struct bench_trace_shape *bench_trace_shape_find(const char *name);

struct bench_trace {
    uint32_t request_count;
    uint32_t key_count;    /* different ones: 0 … key_count − 1, in the order of first use */
    uint32_t *key;         /* of each request; owned */
    uint32_t *bytes;       /* of each key; owned */
    uint64_t unique_bytes; /* of all keys */
};

/*
 * Makes the first `request_count` requests of a shape; 0: all of its own.
 * Ends the process when memory is short. Cost: some 200 ns a request.
 */
void bench_trace_init(struct bench_trace *trace, const struct bench_trace_shape *shape,
                      uint32_t request_count);
void bench_trace_fini(struct bench_trace *trace);

#endif
