/*
 * Threads that are made anew again and again, and objects that outlive them.
 *
 *   step n     threads T…  each: allocate 20,000 objects of mixed sizes, keep some, free some;
 *                │  ▲      one in four changes places with whatever lies in the exchange
 *                ▼  │
 *              exchange    1000 objects that survive the threads that made them
 *                │
 *   every 5th step half of the exchange is freed, by the main thread
 *
 * Sizes: three in four 16 to 271 bytes, most others to 4 KiB, one in 64 to 32 KiB, one in 2048 to
 * 256 KiB. Each object carries a mark made of its address, which is looked at when it is freed: a
 * subject that gives out memory twice ends the run.
 */
#include <bench/malloc/rows.h>

#define EXCHANGE_COUNT 1000u
#define KEPT_COUNT     2048u
#define ALLOCATIONS    20000u
#define CLEAR_EVERY    5u
#define MARK           UINT64_C(0xa5c3e1970f1d2b49)

/* Objects between threads. Whoever exchanges one for another owns what was there. */
static _Atomic(void *) exchange[EXCHANGE_COUNT];

static size_t random_bytes(struct bench_worker *worker)
{
    uint64_t random = bench_random(&worker->random);
    uint32_t kind = (uint32_t)(random & 2047);
    uint32_t span = kind == 0 ? Q_KIB(256) : kind < 32 ? Q_KIB(32) : kind < 512 ? Q_KIB(4) : 256;

    return 16 + bench_random_below(&worker->random, span);
}

static uint64_t *make(struct bench_worker *worker)
{
    uint64_t *object = bench_worker_malloc(worker, random_bytes(worker));

    *object = (uintptr_t)object ^ MARK;
    return object;
}

static void unmake(struct bench_worker *worker, uint64_t *object)
{
    if (object != NULL) {
        if (*object != ((uintptr_t)object ^ MARK)) {
            bench_worker_die("an object has lost its mark: its memory was given out twice");
        }
        *object = 0;
        bench_worker_free(worker, object);
    }
}

static void thread_run(struct bench_worker *worker, void *context)
{
    uint64_t *kept[KEPT_COUNT] = {NULL};

    (void)context;
    for (uint32_t i = 0; i < ALLOCATIONS; i++) {
        uint64_t random = bench_random(&worker->random);
        uint64_t **place = &kept[random % KEPT_COUNT];
        uint64_t *object = make(worker);
        if (random >> 32 & 1) {
            unmake(worker, *place);
            *place = object;
        } else if (random >> 33 & 1) {
            unmake(worker, object);
        } else {
            /* Acquire and release: what its maker wrote into the object; pairs with itself. */
            object =
                atomic_exchange_acq_rel_ptr(&exchange[(random >> 40) % EXCHANGE_COUNT], object);
            unmake(worker, object);
        }
    }
    for (uint32_t i = 0; i < KEPT_COUNT; i++) {
        unmake(worker, kept[i]);
    }
}

/* Frees every n-th object of the exchange. */
static void clear(struct bench_worker *worker, uint32_t n)
{
    for (uint32_t i = 0; i < EXCHANGE_COUNT; i += n) {
        /* No thread runs; acquire and release as above. */
        unmake(worker, atomic_exchange_acq_rel_ptr(&exchange[i], NULL));
    }
}

void bench_mstress(const struct bench_job *job)
{
    for (uint64_t step = 1; step <= job->step_count; step++) {
        bench_job_run_threads(job, thread_run, NULL);
        if (step % CLEAR_EVERY == 0) {
            clear(&job->worker[0], 2);
        }
    }
    clear(&job->worker[0], 1);
}
