/*
 * How long single operations take: a histogram of sampled times.
 */
#ifndef QUARRY_BENCH_MALLOC_LATENCY_H
#define QUARRY_BENCH_MALLOC_LATENCY_H

#include <stdint.h>
#include <time.h>

#include <base/base.h>

/* Buckets in each doubling of the time: a quantile is at most 1/16 above the truth. Doubling it
 * doubles the histogram, of which a workload's caches see the few buckets that are hit. */
#define BENCH_LATENCY_SPLIT   16u
#define BENCH_LATENCY_BUCKETS (64u * BENCH_LATENCY_SPLIT)

struct bench_latency {
    uint64_t sample_count;
    uint32_t bucket[BENCH_LATENCY_BUCKETS];
};

/*
 * Now, in ticks of the finest clock that can be read without the kernel. The fence keeps the
 * operation before it from being measured with the one after it.
 * Cost: some 20 ns, which are in every sample of every subject.
 */
static Q_ALWAYS_INLINE uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
#else
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
#endif
}

/* Threads: the owner's. Cost: one increment in an array of 4 KiB. */
void bench_latency_add(struct bench_latency *latency, uint64_t ticks);
/* Adds what `from` holds to `into`. Both must be at rest. */
void bench_latency_merge(struct bench_latency *into, const struct bench_latency *from);

/*
 * The time below or at which a share of the samples lies.
 * `permyriad`: the share, from 1 to 10,000: 9,990 for p99.9.
 * Returns: ticks, the upper end of a bucket; 0 when nothing was sampled.
 */
uint64_t bench_latency_quantile(const struct bench_latency *latency, uint32_t permyriad);

#endif
