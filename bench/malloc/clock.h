/*
 * Ticks, and what a process has used of the machine so far.
 */
#ifndef QUARRY_BENCH_MALLOC_CLOCK_H
#define QUARRY_BENCH_MALLOC_CLOCK_H

#include <stdint.h>
#include <time.h>

#include <base/base.h>

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

/* User and system time of this process, all its threads, in nanoseconds. */
uint64_t bench_clock_cpu_ns(void);
/* Page faults of this process that needed no disk. */
uint64_t bench_clock_faults(void);
/* The most memory that was resident at once since the program began; 0: the kernel does not say. */
uint64_t bench_clock_peak_bytes(void);

#endif
