/*
 * Frees in every order, and one third of them by a neighbour.
 *
 *   a step of a thread: 900 objects
 *     300   freed in the order of allocation
 *     300   freed in the reverse order
 *     300   handed to the next thread in a parcel, which that one frees in the reverse order;
 *           a parcel still lying there comes back and is freed by its sender
 *
 * Sizes are 1 to 1000 bytes, half of them below 64, in the same proportions in each third.
 */
#include <bench/malloc/rows.h>

#define THIRD 300u

struct parcel {
    void *object[THIRD];
};

/* For each thread: a parcel it has been sent, or NULL. Whoever exchanges it owns it. */
static _Atomic(void *) mailbox[BENCH_WORKERS_MAX];

struct ring {
    uint64_t step_count;
    uint32_t thread_count;
};

static void *make(struct bench_worker *worker)
{
    uint64_t random = bench_random(&worker->random);
    uint32_t span = random & 1 ? 64 : 1000;
    void *object = bench_worker_malloc(worker, 1 + (size_t)((random >> 32) * span >> 32));

    bench_touch(object);
    return object;
}

static void free_forwards(struct bench_worker *worker, void **object)
{
    for (uint32_t i = 0; i < THIRD; i++) {
        bench_worker_free(worker, object[i]);
    }
}

static void free_backwards(struct bench_worker *worker, void **object)
{
    for (uint32_t i = THIRD; i-- > 0;) {
        bench_worker_free(worker, object[i]);
    }
}

static void open_parcel(struct bench_worker *worker, struct parcel *parcel)
{
    if (parcel != NULL) {
        free_backwards(worker, parcel->object);
        bench_worker_free(worker, parcel);
    }
}

static void step(struct bench_worker *worker, _Atomic(void *) *next)
{
    void *first[THIRD];
    void *second[THIRD];
    struct parcel *parcel = bench_worker_malloc(worker, sizeof *parcel);

    for (uint32_t i = 0; i < THIRD; i++) {
        first[i] = make(worker);
        second[i] = make(worker);
        parcel->object[i] = make(worker);
    }
    free_forwards(worker, first);
    free_backwards(worker, second);
    /* Acquire and release: what is in the parcel; pairs with the other exchange of a mailbox. */
    open_parcel(worker, atomic_exchange_acq_rel_ptr(next, parcel));
    open_parcel(worker, atomic_exchange_acq_rel_ptr(&mailbox[worker->index], NULL));
}

static void thread_run(struct bench_worker *worker, void *context)
{
    const struct ring *ring = context;

    for (uint64_t i = 0; i < ring->step_count; i++) {
        step(worker, &mailbox[(worker->index + 1) % ring->thread_count]);
    }
}

void bench_sh8(const struct bench_job *job)
{
    struct ring ring = {job->step_count, job->thread_count};

    bench_job_run_threads(job, thread_run, &ring);
    for (uint32_t i = 0; i < job->thread_count; i++) {
        /* No thread runs any more; acquire and release as above. */
        open_parcel(&job->worker[i], atomic_exchange_acq_rel_ptr(&mailbox[i], NULL));
    }
}
