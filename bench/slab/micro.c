/*
 * Pairs, batches and replacements: loops that are written once and compiled for each place, so that
 * no call through a pointer is in anybody's figures but what the library itself has.
 *
 *   pair      take, write a byte, give; again
 *   batch     100 × (take, write a byte), then 100 × give in the same order
 *   replace   a table of 4000 pieces of 16 to 1015 bytes for each thread; a random one is given
 *             and another taken in its place. After each generation the tables go round, so that
 *             what a thread gives was taken by another one.
 */
#include <bench/slab/rows.h>

#include <pthread.h>

#define WARM_STEPS     1000u
#define BATCH_PIECES   100u
#define TABLE_PIECES   4000u
#define SIZE_MIN_BYTES 16u
#define SIZE_SPAN      1000u
/* Replacements of a thread before the tables go round. */
#define GENERATION 50000u

/* ---- pairs ---------------------------------------------------------------------------------- */

static Q_ALWAYS_INLINE void pairs(const struct bench_slab_job *job, bench_take *take,
                                  bench_give *give)
{
    struct bench_place place = *job->place; /* for the loop to keep in registers */
    size_t bytes = job->row->bytes;
    void *data = NULL;

    for (uint64_t i = 0; i < job->step_count; i++) {
        uint64_t piece = take(&place, bytes, &data);
        bench_touch(data);
        give(&place, piece);
    }
}

static void pairs_thread(struct bench_worker *worker, void *context)
{
    const struct bench_slab_job *job = context;

    (void)worker;
    if (job->place->kind == BENCH_PLACE_SLAB) {
        pairs(job, bench_take_slab, bench_give_slab);
    } else {
        pairs(job, bench_take_malloc, bench_give_malloc);
    }
}

/* Runs a loop twice: a short one to warm up, and the one that counts. */
static void run_warm(const struct bench_slab_job *job, bench_thread_run *run,
                     struct bench_slab_sample *sample)
{
    struct bench_slab_job job_now = *job;
    struct bench_team_time ignored = {0};

    job_now.step_count = size_min_u64(job->step_count, WARM_STEPS);
    bench_team_run(job->row->thread_count, run, &job_now, &ignored);
    job_now.step_count = job->step_count;
    bench_team_run(job->row->thread_count, run, &job_now, &sample->time);
}

void bench_slab_pairs(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    run_warm(job, pairs_thread, sample);
    sample->operation_count = job->step_count * job->row->thread_count;
}

/* ---- batches -------------------------------------------------------------------------------- */

static Q_ALWAYS_INLINE void batches(const struct bench_slab_job *job, bench_take *take,
                                    bench_give *give)
{
    struct bench_place place = *job->place;
    uint64_t piece[BATCH_PIECES];
    size_t bytes = job->row->bytes;
    void *data = NULL;

    for (uint64_t step = 0; step < job->step_count; step++) {
        for (uint32_t i = 0; i < BATCH_PIECES; i++) {
            piece[i] = take(&place, bytes, &data);
            bench_touch(data);
        }
        for (uint32_t i = 0; i < BATCH_PIECES; i++) {
            give(&place, piece[i]);
        }
    }
}

static void batches_thread(struct bench_worker *worker, void *context)
{
    const struct bench_slab_job *job = context;

    (void)worker;
    if (job->place->kind == BENCH_PLACE_SLAB) {
        batches(job, bench_take_slab, bench_give_slab);
    } else {
        batches(job, bench_take_malloc, bench_give_malloc);
    }
}

void bench_slab_batches(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    run_warm(job, batches_thread, sample);
    sample->operation_count = BATCH_PIECES * job->step_count * job->row->thread_count;
}

/* ---- replacements --------------------------------------------------------------------------- */

/* The tables of all threads, and the barrier after which they go round. */
struct tables {
    const struct bench_slab_job *job;
    pthread_barrier_t barrier;
    uint64_t piece[BENCH_WORKERS_MAX][TABLE_PIECES];
};
static struct tables tables;

static Q_ALWAYS_INLINE uint64_t take_random(const struct bench_place *place,
                                            struct bench_worker *worker, bench_take *take)
{
    void *data = NULL;
    uint64_t piece =
        take(place, SIZE_MIN_BYTES + bench_random_below(&worker->random, SIZE_SPAN), &data);

    bench_touch(data);
    return piece;
}

static Q_ALWAYS_INLINE void replace(struct bench_worker *worker, bench_take *take, bench_give *give)
{
    struct bench_place place = *tables.job->place;
    uint32_t thread_count = tables.job->row->thread_count;
    uint64_t *piece = tables.piece[worker->index];

    for (uint32_t i = 0; i < TABLE_PIECES; i++) {
        piece[i] = take_random(&place, worker, take);
    }
    for (uint64_t step = 0; step < tables.job->step_count; step++) {
        (void)pthread_barrier_wait(&tables.barrier);
        piece = tables.piece[(worker->index + step) % thread_count];
        for (uint32_t i = 0; i < GENERATION; i++) {
            uint32_t n = bench_random_below(&worker->random, TABLE_PIECES);
            give(&place, piece[n]);
            piece[n] = take_random(&place, worker, take);
        }
    }
    (void)pthread_barrier_wait(&tables.barrier);
    for (uint32_t i = 0; i < TABLE_PIECES; i++) {
        give(&place, tables.piece[worker->index][i]);
    }
}

static void replace_thread(struct bench_worker *worker, void *context)
{
    (void)context;
    if (tables.job->place->kind == BENCH_PLACE_SLAB) {
        replace(worker, bench_take_slab, bench_give_slab);
    } else {
        replace(worker, bench_take_malloc, bench_give_malloc);
    }
}

void bench_slab_replace(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    tables.job = job;
    if (pthread_barrier_init(&tables.barrier, NULL, job->row->thread_count) != 0) {
        bench_worker_die("no barrier");
    }
    bench_team_run(job->row->thread_count, replace_thread, NULL, &sample->time);
    (void)pthread_barrier_destroy(&tables.barrier);
    sample->operation_count = GENERATION * job->step_count * job->row->thread_count;
}
