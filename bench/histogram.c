/*
 * A histogram with buckets of equal relative width: tails of servers are compared by it, where 0.7
 * and 0.75 are two answers, and single operations of malloc.
 *
 *   value      0 … 127     128 … 255     256 … 511    …
 *   buckets    128 of 1    128 of 1      128 of 2     …
 *
 * Values below 128 have a bucket each; above, the seven bits below the highest one choose a bucket
 * of their doubling. Adding is a count of leading zeros, a shift and an increment. The maximum is
 * kept apart, exactly.
 *
 * Rejected: keeping every value and sorting (memory that grows inside the measured process); a mean
 * with its deviation (p99.9 is the question, and times are not normal); a coarser one of 4 KiB
 * beside it for times of malloc: samples touch a line each in either. Source: the idea of
 * HdrHistogram.
 */
#include <bench/histogram.h>

#include <base/base.h>

#define SPLIT_BITS 7u
Q_STATIC_ASSERT(1u << SPLIT_BITS == BENCH_HISTOGRAM_SPLIT, "buckets are cut from bits");
Q_STATIC_ASSERT((64u - SPLIT_BITS + 1) * BENCH_HISTOGRAM_SPLIT == BENCH_HISTOGRAM_BUCKETS,
                "every value has a bucket");

static uint32_t bucket_of(uint64_t value)
{
    if (value < BENCH_HISTOGRAM_SPLIT) {
        return (uint32_t)value;
    }
    uint32_t top = 63u - (uint32_t)__builtin_clzll(value);
    uint32_t part = (uint32_t)(value >> (top - SPLIT_BITS)) & (BENCH_HISTOGRAM_SPLIT - 1);
    return (top - SPLIT_BITS + 1) * BENCH_HISTOGRAM_SPLIT + part;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < BENCH_HISTOGRAM_SPLIT) {
        return bucket;
    }
    uint32_t shift = bucket / BENCH_HISTOGRAM_SPLIT - 1;
    uint64_t first = BENCH_HISTOGRAM_SPLIT + bucket % BENCH_HISTOGRAM_SPLIT;
    return ((first + 1) << shift) - 1;
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t value)
{
    histogram->bucket[bucket_of(value)]++;
    histogram->count++;
    histogram->max = size_max_u64(histogram->max, value);
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
    for (uint32_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
    into->count += from->count;
    into->max = size_max_u64(into->max, from->max);
}

uint64_t bench_histogram_quantile(const struct bench_histogram *histogram, uint32_t permyriad)
{
    Q_ASSERT(permyriad >= 1 && permyriad <= 10000);

    return bench_histogram_at_rank(histogram,
                                   size_ceil_div_u64(histogram->count * permyriad, 10000));
}

uint64_t bench_histogram_at_rank(const struct bench_histogram *histogram, uint64_t rank)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; rank > 0 && i < BENCH_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen >= rank) {
            return size_min_u64(bucket_end(i), histogram->max);
        }
    }
    return 0;
}
