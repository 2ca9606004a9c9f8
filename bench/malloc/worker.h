/*
 * What a workload allocates by: malloc, free and realloc of this process, now and then timed.
 */
#ifndef QUARRY_BENCH_MALLOC_WORKER_H
#define QUARRY_BENCH_MALLOC_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <base/base.h>

#include <bench/histogram.h>

/* More threads than this are not started, whatever the machine has. */
#define BENCH_WORKERS_MAX 8u

/* One thread's hands. Its thread alone uses it while a workload runs. */
struct bench_worker {
    uint32_t until_sample;    /* operations before one is timed; counts down */
    uint32_t sample_every;    /* const after init */
    uint32_t index;           /* const after init; below the job's thread_count */
    uint64_t operation_count; /* of those before the last sample */
    uint64_t random;
    struct bench_histogram latency;
} Q_ALIGNED(2 * Q_CACHE_LINE_BYTES);

struct bench_malloc_row;

/* A row at work in this process. */
struct bench_job {
    const struct bench_malloc_row *row;
    uint64_t step_count;
    uint32_t thread_count;
    struct bench_worker *worker; /* thread_count of them; borrowed */
};

typedef void bench_thread_run(struct bench_worker *worker, void *context);

/* `random` is the same for the same `index`: every subject sees the same sizes in the same order.
 */
void bench_worker_init(struct bench_worker *worker, uint32_t index, uint32_t sample_every);
/* Allocations, frees and reallocations so far. */
uint64_t bench_worker_operations(const struct bench_worker *worker);
/*
 * Runs `run` in thread_count new threads, the n-th with the n-th worker, and waits for them. What
 * the threads leave in the workers and in `context` is visible afterwards.
 */
void bench_job_run_threads(const struct bench_job *job, bench_thread_run *run, void *context);
/* Ends the process: a workload cannot go on. */
Q_NORETURN Q_COLD void bench_worker_die(const char *what);

/* The same with the clock read before and after. For the functions below, and for loops that do
 * `sample_every` operations themselves, of which this is one. */
void *bench_worker_malloc_timed(struct bench_worker *worker, size_t bytes);
void *bench_worker_realloc_timed(struct bench_worker *worker, void *base, size_t bytes);
void bench_worker_free_timed(struct bench_worker *worker, void *base);
/* Frees by another call than free. */
void bench_worker_sized_timed(struct bench_worker *worker, void (*release)(void *, size_t),
                              void *base, size_t bytes);

/* Makes the compiler believe that `base` is used, so that it cannot drop a malloc with its free. */
static Q_ALWAYS_INLINE void bench_use(void *base)
{
    __asm__ volatile("" : : "r"(base) : "memory");
}

/* Writes one byte, as whoever asked for the object would. */
static Q_ALWAYS_INLINE void bench_touch(void *base)
{
    *(volatile char *)base = 1;
}

/* Never NULL: the process ends when there is no memory. Not touched. */
static Q_ALWAYS_INLINE void *bench_worker_malloc(struct bench_worker *worker, size_t bytes)
{
    if (Q_UNLIKELY(--worker->until_sample == 0)) {
        return bench_worker_malloc_timed(worker, bytes);
    }
    void *base = malloc(bytes);
    if (Q_UNLIKELY(base == NULL)) {
        bench_worker_die("no memory");
    }
    bench_use(base);
    return base;
}

static Q_ALWAYS_INLINE void *bench_worker_realloc(struct bench_worker *worker, void *base,
                                                  size_t bytes)
{
    if (Q_UNLIKELY(--worker->until_sample == 0)) {
        return bench_worker_realloc_timed(worker, base, bytes);
    }
    void *moved = realloc(base, bytes);
    if (Q_UNLIKELY(moved == NULL)) {
        bench_worker_die("no memory");
    }
    return moved;
}

static Q_ALWAYS_INLINE void bench_worker_free(struct bench_worker *worker, void *base)
{
    if (Q_UNLIKELY(--worker->until_sample == 0)) {
        bench_worker_free_timed(worker, base);
        return;
    }
    free(base);
}

/* xorshift64*: three shifts and a multiplication, a period of 2^64 − 1. */
static Q_ALWAYS_INLINE uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* From 0 to `bound` − 1. `bound`: from 1 to 2^32 − 1. */
static Q_ALWAYS_INLINE uint32_t bench_random_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)(((bench_random(state) >> 32) * bound) >> 32);
}

#endif
