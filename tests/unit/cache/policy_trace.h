/*
 * Traces of requests with the shapes that caches meet, made from a seed: what policies are
 * compared by. Keys are numbers below `key_count`; each has one size for good.
 */
#ifndef QUARRY_TESTS_CACHE_POLICY_TRACE_H
#define QUARRY_TESTS_CACHE_POLICY_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct policy_trace {
    const char *name;
    uint32_t *keys;  /* one a request */
    uint32_t *bytes; /* by key */
    uint32_t request_count;
    uint32_t key_count;
    uint64_t unique_bytes; /* of all keys that are asked for */
};

/* What a trace is made of; shares are of requests, in thousandths. */
struct policy_trace_shape {
    const char *name;
    uint32_t popular_count; /* keys with a rank */
    double skew;            /* the exponent of Zipf's law among them */
    uint32_t churn;         /* how often a rank gets a new key, per thousand requests */
    uint32_t once;          /* requests for keys that nobody asks for again */
    uint32_t recent;        /* requests for one of the last few hundred keys once more */
    uint32_t scan;          /* requests that go on with a scan */
    uint32_t scan_count;    /* keys of the scan, which then begins anew */
    double size_spread;     /* sigma of the log-normal sizes; 0: all the same */
    bool twice;             /* those asked for once are asked for once more, soon */
};

#define POLICY_SHAPES 9u
extern const struct policy_trace_shape policy_shapes[POLICY_SHAPES];

/* `ret_trace`: own; end it with policy_trace_fini. */
void policy_trace_init(struct policy_trace *ret_trace, const struct policy_trace_shape *shape,
                       uint32_t request_count, uint64_t seed);
void policy_trace_fini(struct policy_trace *trace);

#endif
