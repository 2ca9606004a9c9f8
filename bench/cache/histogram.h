/*
 * How long requests take: every one of them counted, to 1 % and up to p99.99.
 */
#ifndef QUARRY_BENCH_CACHE_HISTOGRAM_H
#define QUARRY_BENCH_CACHE_HISTOGRAM_H

#include <stdint.h>

/* Buckets in each doubling: a quantile is at most 1/128 above the truth. */
#define BENCH_HISTOGRAM_SPLIT   128u
#define BENCH_HISTOGRAM_BUCKETS (58u * BENCH_HISTOGRAM_SPLIT)

struct bench_histogram {
    uint64_t count;
    uint64_t max; /* exact */
    uint64_t bucket[BENCH_HISTOGRAM_BUCKETS];
};

/* Threads: the owner's. Cost: an increment in an array of 58 KiB, of which few lines are used. */
void bench_histogram_add(struct bench_histogram *histogram, uint64_t value);

/*
 * The value below or at which a share of the values lies.
 * `share`: above 0, to 1; 0.999 for p99.9. Returns: the upper end of a bucket; 0 of no values.
 */
uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, double share);

#endif
