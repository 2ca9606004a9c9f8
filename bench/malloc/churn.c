/*
 * Threads that live for a moment: a thread for each request, as some servers still have them.
 *
 *   each    allocates 32 objects of 16 to 1039 bytes, frees 31 of them, leaves one
 *   main    starts as many at once as the job has threads, joins them, frees what they left
 *
 * What is measured is the making and unmaking of a thread's heap, and whether its memory is found
 * again by the next. 20,000 threads in a full run; a worker serves one of them after the other.
 */
#include <bench/malloc/rows.h>

#define OBJECTS   32u
#define SIZE_MIN  16u
#define SIZE_SPAN 1024u

struct churn {
    void *left[BENCH_WORKERS_MAX];
};

static void thread_run(struct bench_worker *worker, void *context)
{
    struct churn *churn = context;
    void *object[OBJECTS];

    for (uint32_t i = 0; i < OBJECTS; i++) {
        object[i] =
            bench_worker_malloc(worker, SIZE_MIN + bench_random_below(&worker->random, SIZE_SPAN));
        bench_touch(object[i]);
    }
    for (uint32_t i = 1; i < OBJECTS; i++) {
        bench_worker_free(worker, object[i]);
    }
    churn->left[worker->index] = object[0];
}

void bench_churn(const struct bench_job *job)
{
    struct churn churn;

    for (uint64_t made = 0; made < job->step_count; made += job->thread_count) {
        bench_job_run_threads(job, thread_run, &churn);
        for (uint32_t i = 0; i < job->thread_count; i++) {
            bench_worker_free(&job->worker[0], churn.left[i]);
        }
    }
}
