/*
 * Objects that share cache lines without sharing anything else.
 *
 *   main thread   allocates an object of 8 bytes for each thread, one after the other: in one line
 *   each thread   frees its own, then again and again: allocates one of 8 bytes, writes it 1000
 *                 times, frees it
 *
 * A subject that gives the freed neighbours of one line to different threads makes every write wait
 * for the line; one that does not runs as if there were one thread. What is measured is the
 * placement, hardly the calls.
 */
#include <bench/malloc/rows.h>

#define OBJECT_BYTES 8u
#define WRITES       1000u

struct scratch {
    uint64_t step_count;
    void *given[BENCH_WORKERS_MAX];
};

static void thread_run(struct bench_worker *worker, void *context)
{
    struct scratch *scratch = context;

    bench_worker_free(worker, scratch->given[worker->index]);
    for (uint64_t step = 0; step < scratch->step_count; step++) {
        volatile char *object = bench_worker_malloc(worker, OBJECT_BYTES);
        object[0] = 0;
        for (uint32_t i = 0; i < WRITES; i++) {
            object[i % OBJECT_BYTES] = (char)(object[i % OBJECT_BYTES] + 1);
        }
        /* Volatile was for the loop; free does not care. */
        union {
            volatile char *written;
            void *base;
        } done = {.written = object};
        bench_worker_free(worker, done.base);
    }
}

void bench_scratch(const struct bench_job *job)
{
    struct scratch scratch = {.step_count = job->step_count};

    for (uint32_t i = 0; i < job->thread_count; i++) {
        scratch.given[i] = bench_worker_malloc(&job->worker[0], OBJECT_BYTES);
        bench_touch(scratch.given[i]);
    }
    bench_job_run_threads(job, thread_run, &scratch);
}
