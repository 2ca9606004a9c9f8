/*
 * One half of the threads allocates, the other half frees.
 *
 *   producers ── batches of 120 objects ──▶ queue of at most 64 batches ──▶ consumers
 *   malloc only                             a mutex, two conditions         free only
 *
 * A batch is itself an object. No thread ever frees what it allocated, and a consumer never
 * allocates: memory must find its way back to the producers, and what waits at the consumers is
 * waste.
 */
#include <bench/malloc/rows.h>

#include <pthread.h>

#define BATCH_OBJECTS 120u
#define QUEUE_BATCHES 64u

struct batch {
    void *object[BATCH_OBJECTS];
};

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t has_room;
    pthread_cond_t has_batch;
    /* guarded by mutex */
    struct batch *batch[QUEUE_BATCHES];
    uint64_t put_count;
    uint64_t taken_count;
    /* const after init */
    uint64_t producer_batches;
    uint64_t total_batches;
};

/* Two of each doubling, small ones more often. */
static const uint16_t sizes[16] = {16,  24,  32,  32,  48,  64,  64,   96,
                                   128, 192, 256, 384, 512, 768, 1024, 2048};

static void put(struct queue *queue, struct batch *batch)
{
    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->put_count - queue->taken_count == QUEUE_BATCHES) {
        (void)pthread_cond_wait(&queue->has_room, &queue->mutex);
    }
    queue->batch[queue->put_count++ % QUEUE_BATCHES] = batch;
    (void)pthread_cond_signal(&queue->has_batch);
    (void)pthread_mutex_unlock(&queue->mutex);
}

/* Returns: the oldest batch; NULL when all have been taken. */
static struct batch *take(struct queue *queue)
{
    struct batch *batch = NULL;

    (void)pthread_mutex_lock(&queue->mutex);
    while (queue->put_count == queue->taken_count && queue->taken_count < queue->total_batches) {
        (void)pthread_cond_wait(&queue->has_batch, &queue->mutex);
    }
    if (queue->taken_count < queue->total_batches) {
        batch = queue->batch[queue->taken_count++ % QUEUE_BATCHES];
        (void)pthread_cond_signal(&queue->has_room);
    }
    if (queue->taken_count == queue->total_batches) {
        (void)pthread_cond_broadcast(&queue->has_batch);
    }
    (void)pthread_mutex_unlock(&queue->mutex);
    return batch;
}

static void produce(struct bench_worker *worker, struct queue *queue)
{
    for (uint64_t n = 0; n < queue->producer_batches; n++) {
        struct batch *batch = bench_worker_malloc(worker, sizeof *batch);
        for (uint32_t i = 0; i < BATCH_OBJECTS; i++) {
            batch->object[i] =
                bench_worker_malloc(worker, sizes[bench_random_below(&worker->random, 16)]);
            bench_touch(batch->object[i]);
        }
        put(queue, batch);
    }
}

static void consume(struct bench_worker *worker, struct queue *queue)
{
    for (struct batch *batch = take(queue); batch != NULL; batch = take(queue)) {
        for (uint32_t i = 0; i < BATCH_OBJECTS; i++) {
            bench_worker_free(worker, batch->object[i]);
        }
        bench_worker_free(worker, batch);
    }
}

static void thread_run(struct bench_worker *worker, void *context)
{
    if (worker->index % 2 == 0) {
        produce(worker, context);
    } else {
        consume(worker, context);
    }
}

void bench_xmalloc(const struct bench_job *job)
{
    uint64_t producer_count = job->thread_count - job->thread_count / 2;
    struct queue queue = {
        .mutex = PTHREAD_MUTEX_INITIALIZER,
        .has_room = PTHREAD_COND_INITIALIZER,
        .has_batch = PTHREAD_COND_INITIALIZER,
        .producer_batches = job->step_count,
        .total_batches = job->step_count * producer_count,
    };

    Q_ASSERT(job->thread_count >= 2);
    bench_job_run_threads(job, thread_run, &queue);
    Q_ASSERT(queue.taken_count == queue.total_batches);
}
