/*
 * What a process has used of the machine so far.
 */
#ifndef QUARRY_BENCH_MALLOC_CLOCK_H
#define QUARRY_BENCH_MALLOC_CLOCK_H

#include <stdint.h>

/* User and system time of this process, all its threads, in nanoseconds. */
uint64_t bench_clock_cpu_ns(void);
/* Page faults of this process that needed no disk. */
uint64_t bench_clock_faults(void);
/* The most memory that was resident at once since the program began; 0: the kernel does not say. */
uint64_t bench_clock_peak_bytes(void);

#endif
