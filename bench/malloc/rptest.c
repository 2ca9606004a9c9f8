/*
 * Random sizes up to 16,000 bytes, replaced at random.
 *
 *   each thread   a table of 1000 objects; a step replaces 1000 random ones
 *   between them  256 places; every 16th object changes places with the one that lies there,
 *                 and what it got is freed by the thread that got it
 *
 * Sizes are spread evenly over doublings from 16 to 16,000, so that small ones are many and large
 * ones hold most of the memory. Each object is written at both ends.
 */
#include <bench/malloc/rows.h>

#define TABLE_OBJECTS  1000u
#define SHARED_COUNT   256u
#define SIZE_MAX_BYTES 16000u
/* Doublings from 16 bytes on: 16 … 31 is the first, 8192 … 16383 the last. */
#define DOUBLINGS 10u

static void *table[BENCH_WORKERS_MAX][TABLE_OBJECTS];
/* Whoever exchanges an object owns what was there. */
static _Atomic(void *) shared[SHARED_COUNT];

static void *make(struct bench_worker *worker)
{
    size_t first = (size_t)16 << bench_random_below(&worker->random, DOUBLINGS);
    size_t bytes = first + bench_random_below(&worker->random, (uint32_t)first);

    bytes = bytes > SIZE_MAX_BYTES ? SIZE_MAX_BYTES : bytes;
    char *object = bench_worker_malloc(worker, bytes);
    bench_touch(object);
    bench_touch(object + bytes - 1);
    return object;
}

static void replace(struct bench_worker *worker, void **place)
{
    if (*place != NULL) {
        bench_worker_free(worker, *place);
    }
    *place = make(worker);
}

static void exchange_one(struct bench_worker *worker, void **place)
{
    /* Acquire and release: nothing but the object itself; pairs with itself. */
    *place = atomic_exchange_acq_rel_ptr(&shared[bench_random_below(&worker->random, SHARED_COUNT)],
                                         *place);
}

static void thread_run(struct bench_worker *worker, void *context)
{
    const uint64_t *step_count = context;

    for (uint64_t i = 0; i < *step_count * TABLE_OBJECTS; i++) {
        void **place = &table[worker->index][bench_random_below(&worker->random, TABLE_OBJECTS)];
        replace(worker, place);
        if (i % 16 == 0) {
            exchange_one(worker, place);
        }
    }
}

static void clear(struct bench_worker *worker, void **objects, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (objects[i] != NULL) {
            bench_worker_free(worker, objects[i]);
            objects[i] = NULL;
        }
    }
}

void bench_rptest(const struct bench_job *job)
{
    uint64_t step_count = job->step_count;

    bench_job_run_threads(job, thread_run, &step_count);
    for (uint32_t i = 0; i < job->thread_count; i++) {
        clear(&job->worker[i], table[i], TABLE_OBJECTS);
    }
    for (uint32_t i = 0; i < SHARED_COUNT; i++) {
        /* No thread runs any more; acquire and release as above. */
        void *object = atomic_exchange_acq_rel_ptr(&shared[i], NULL);
        clear(&job->worker[0], &object, 1);
    }
}
