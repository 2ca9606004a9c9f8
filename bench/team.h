/*
 * Threads that begin together, under the clock.
 */
#ifndef QUARRY_BENCH_TEAM_H
#define QUARRY_BENCH_TEAM_H

#include <stdint.h>

#include <bench/malloc/worker.h>

struct bench_team_time {
    uint64_t wall_ns; /* from when all threads were there until the last one had ended */
    uint64_t cpu_ns;  /* of the process, the starts of threads in it */
};

/*
 * Runs `run` in so many new threads and adds the time they took. The n-th thread's worker has the
 * same random numbers in every process. Ends the process when a thread cannot be started.
 */
void bench_team_run(uint32_t thread_count, bench_thread_run *run, void *context,
                    struct bench_team_time *time);

#endif
