/*
 * The processor's own count of instructions, where the kernel lets us have it.
 */
#ifndef QUARRY_BENCH_PERF_COUNTER_H
#define QUARRY_BENCH_PERF_COUNTER_H

#include <stdint.h>

struct bench_perf_counter {
    int fd; /* -1: there is none */
};

/*
 * Opens a stopped counter of the user-mode instructions of this thread and of those it starts from
 * here on. Virtual machines and strict kernels have none; then the other calls do nothing.
 */
struct bench_perf_counter bench_perf_counter_open(void);
void bench_perf_counter_start(struct bench_perf_counter *counter);
/* Stops and closes it. Returns: instructions counted; 0 when there was no counter. */
uint64_t bench_perf_counter_close(struct bench_perf_counter *counter);

#endif
