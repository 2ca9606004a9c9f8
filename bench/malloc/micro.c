/*
 * Pairs and batches of one size.
 *
 *   pair    malloc, write a byte, free; again
 *   batch   2000 × (malloc, write a byte), then 2000 × free in the order of allocation
 *
 * The loops do blocks of plain calls, with nothing else in them than the write and a counter, and
 * one timed call at a block's end: no countdown is in the figure, and some 6 instructions a pair
 * are the loop's own. The size is a variable, so that no compiler can choose a class in advance.
 */
#include <bench/malloc/rows.h>

static Q_ALWAYS_INLINE void *plain_malloc(size_t bytes)
{
    void *base = malloc(bytes);

    if (Q_UNLIKELY(base == NULL)) {
        bench_worker_die("no memory");
    }
    bench_use(base);
    bench_touch(base);
    return base;
}

void bench_micro_pairs(const struct bench_job *job)
{
    struct bench_worker *worker = &job->worker[0];
    size_t bytes = job->row->bytes;

    Q_ASSERT(job->row->sample_every == BENCH_MICRO_PAIRS);
    for (uint64_t step = 0; step < job->step_count; step++) {
        for (uint32_t i = 0; i < BENCH_MICRO_PAIRS - 1; i++) {
            free(plain_malloc(bytes));
        }
        void *base = bench_worker_malloc_timed(worker, bytes);
        bench_touch(base);
        bench_worker_free_timed(worker, base);
    }
}

void bench_micro_batches(const struct bench_job *job)
{
    static void *object[BENCH_BATCH_OBJECTS];
    struct bench_worker *worker = &job->worker[0];
    size_t bytes = job->row->bytes;

    Q_ASSERT(job->row->sample_every == BENCH_BATCH_BLOCK);
    for (uint64_t step = 0; step < job->step_count; step++) {
        for (uint32_t i = 0; i < BENCH_BATCH_OBJECTS;) {
            for (uint32_t end = i + BENCH_BATCH_BLOCK - 1; i < end; i++) {
                object[i] = plain_malloc(bytes);
            }
            object[i] = bench_worker_malloc_timed(worker, bytes);
            bench_touch(object[i++]);
        }
        for (uint32_t i = 0; i < BENCH_BATCH_OBJECTS;) {
            for (uint32_t end = i + BENCH_BATCH_BLOCK - 1; i < end; i++) {
                free(object[i]);
            }
            bench_worker_free_timed(worker, object[i++]);
        }
    }
}

Q_STATIC_ASSERT(BENCH_BATCH_OBJECTS % BENCH_BATCH_BLOCK == 0, "a batch is whole blocks");
