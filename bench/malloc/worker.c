/*
 * Workers: the calls that every workload makes, and the threads that make them.
 *
 * Every n-th operation of a worker is timed; n is a row's own, so that each run has some ten
 * thousand samples and the clock takes no visible share of the whole. It is prime in most rows: it
 * must not keep step with the workload's own period. The price, a decrement and a jump that is
 * never taken, is in everybody's figures.
 *
 *   until_sample  n … 3 2 1 → the timed call, 20 ns of clock → n …
 *
 * The countdown is also the count of operations, so counting costs nothing.
 *
 * Rejected: reading the clock round every call (60 ns to measure 5); a sampling thread or signal
 * (measures where time goes, not how long the longest call takes).
 */
#include <bench/malloc/worker.h>

#include <pthread.h>
#include <stdio.h>

#include <bench/malloc/clock.h>

/* A thread of a job. */
struct starter {
    struct bench_worker *worker;
    bench_thread_run *run;
    void *context;
};

void bench_worker_init(struct bench_worker *worker, uint32_t index, uint32_t sample_every)
{
    Q_ASSERT(sample_every > 0);
    *worker = (struct bench_worker){
        .until_sample = sample_every,
        .sample_every = sample_every,
        .index = index,
        .random = UINT64_C(0x9e3779b97f4a7c15) * (index + 1),
    };
}

uint64_t bench_worker_operations(const struct bench_worker *worker)
{
    return worker->operation_count + (worker->sample_every - worker->until_sample);
}

Q_NORETURN Q_COLD void bench_worker_die(const char *what)
{
    (void)fprintf(stderr, "quarry-bench-child: %s\n", what);
    exit(1);
}

static void note_sample(struct bench_worker *worker, uint64_t ticks)
{
    bench_histogram_add(&worker->latency, ticks);
    worker->operation_count += worker->sample_every;
    worker->until_sample = worker->sample_every;
}

Q_NOINLINE void *bench_worker_malloc_timed(struct bench_worker *worker, size_t bytes)
{
    uint64_t began = bench_ticks();
    void *base = malloc(bytes);
    uint64_t ended = bench_ticks();

    if (base == NULL) {
        bench_worker_die("no memory");
    }
    bench_use(base);
    note_sample(worker, ended - began);
    return base;
}

Q_NOINLINE void *bench_worker_realloc_timed(struct bench_worker *worker, void *base, size_t bytes)
{
    uint64_t began = bench_ticks();
    void *moved = realloc(base, bytes);
    uint64_t ended = bench_ticks();

    if (moved == NULL) {
        bench_worker_die("no memory");
    }
    note_sample(worker, ended - began);
    return moved;
}

Q_NOINLINE void bench_worker_free_timed(struct bench_worker *worker, void *base)
{
    uint64_t began = bench_ticks();
    free(base);
    uint64_t ended = bench_ticks();

    note_sample(worker, ended - began);
}

Q_NOINLINE void bench_worker_sized_timed(struct bench_worker *worker,
                                         void (*release)(void *, size_t), void *base, size_t bytes)
{
    uint64_t began = bench_ticks();
    release(base, bytes);
    uint64_t ended = bench_ticks();

    note_sample(worker, ended - began);
}

static void *starter_run(void *argument)
{
    const struct starter *starter = argument;

    starter->run(starter->worker, starter->context);
    return NULL;
}

void bench_job_run_threads(const struct bench_job *job, bench_thread_run *run, void *context)
{
    pthread_t thread[BENCH_WORKERS_MAX];
    struct starter starter[BENCH_WORKERS_MAX];

    Q_ASSERT(job->thread_count >= 1 && job->thread_count <= BENCH_WORKERS_MAX);
    for (uint32_t i = 0; i < job->thread_count; i++) {
        starter[i] = (struct starter){&job->worker[i], run, context};
        if (pthread_create(&thread[i], NULL, starter_run, &starter[i]) != 0) {
            bench_worker_die("cannot start a thread");
        }
    }
    for (uint32_t i = 0; i < job->thread_count; i++) {
        if (pthread_join(thread[i], NULL) != 0) {
            bench_worker_die("cannot join a thread");
        }
    }
}
