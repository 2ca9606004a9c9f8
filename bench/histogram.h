/*
 * How long requests and operations take: every time that is told counted, to 1 %.
 */
#ifndef QUARRY_BENCH_HISTOGRAM_H
#define QUARRY_BENCH_HISTOGRAM_H

#include <stdint.h>

/* Buckets in each doubling: a quantile is at most 1/128 above the truth. Doubling it doubles the
 * histogram. */
#define BENCH_HISTOGRAM_SPLIT   128u
#define BENCH_HISTOGRAM_BUCKETS (58u * BENCH_HISTOGRAM_SPLIT)

struct bench_histogram {
    uint64_t count;
    uint64_t max; /* exact */
    uint64_t bucket[BENCH_HISTOGRAM_BUCKETS];
};

/* Threads: the owner's. Cost: an increment in an array of 58 KiB, of which few lines are used. */
void bench_histogram_add(struct bench_histogram *histogram, uint64_t value);
/* Adds what `from` holds to `into`. Both must be at rest. */
void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from);

/*
 * The value below or at which a share of the values lies.
 * `permyriad`: the share, from 1 to 10,000: 9,990 for p99.9. Whole, so that one value in a thousand
 * is one in a thousand.
 * Returns: the upper end of a bucket, at most the largest value; 0 of no values.
 */
uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, uint32_t permyriad);

/*
 * The value at a rank, for shares that no permyriad tells: `rank` 1 is the smallest value, `count`
 * the largest. Returns: as bench_histogram_quantile; 0 for rank 0 and for one above
 * `count`.
 */
uint64_t bench_histogram_at_rank(const struct bench_histogram *histogram, uint64_t rank);

#endif
