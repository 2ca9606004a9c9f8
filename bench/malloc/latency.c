/*
 * A histogram with buckets of equal relative width.
 *
 *   ticks      0 … 15     16 … 31    32 … 63        64 … 127
 *   buckets    0 … 15     16 … 31    32 … 47        48 … 63       …
 *   width      1          1          2              4
 *
 * Times below 16 have a bucket each; above, the four bits below the highest one choose a bucket of
 * their doubling. Adding is a count of leading zeros, a shift and an increment.
 *
 * Rejected: keeping every sample and sorting (memory that grows inside the measured process);
 * a mean with its deviation (p99.9 is the question, and times of malloc are not normal).
 */
#include <bench/malloc/latency.h>

#define SPLIT_BITS 4u
Q_STATIC_ASSERT(1u << SPLIT_BITS == BENCH_LATENCY_SPLIT, "buckets are cut from bits");

static uint32_t bucket_of(uint64_t ticks)
{
    if (ticks < BENCH_LATENCY_SPLIT) {
        return (uint32_t)ticks;
    }
    uint32_t top = 63u - (uint32_t)__builtin_clzll(ticks);
    uint32_t part = (uint32_t)(ticks >> (top - SPLIT_BITS)) & (BENCH_LATENCY_SPLIT - 1);
    return (top - SPLIT_BITS + 1) * BENCH_LATENCY_SPLIT + part;
}

/* The largest time of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < BENCH_LATENCY_SPLIT) {
        return bucket;
    }
    uint32_t shift = bucket / BENCH_LATENCY_SPLIT - 1;
    uint64_t first = BENCH_LATENCY_SPLIT + bucket % BENCH_LATENCY_SPLIT;
    return ((first + 1) << shift) - 1;
}

void bench_latency_add(struct bench_latency *latency, uint64_t ticks)
{
    latency->bucket[bucket_of(ticks)]++;
    latency->sample_count++;
}

void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from)
{
    for (uint32_t i = 0; i < BENCH_LATENCY_BUCKETS; i++) {
        into->bucket[i] += from->bucket[i];
    }
    into->sample_count += from->sample_count;
}

uint64_t bench_latency_quantile(const struct bench_latency *latency, uint32_t permyriad)
{
    Q_ASSERT(permyriad >= 1 && permyriad <= 10000);
    uint64_t wanted = size_ceil_div_u64(latency->sample_count * permyriad, 10000);
    uint64_t seen = 0;

    for (uint32_t i = 0; wanted > 0 && i < BENCH_LATENCY_BUCKETS; i++) {
        seen += latency->bucket[i];
        if (seen >= wanted) {
            return bucket_end(i);
        }
    }
    return 0;
}
