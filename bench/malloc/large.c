/*
 * Large objects: 5 to 25 MiB each, 8 of them alive, a random one replaced at each step.
 *
 * Every OS page of an object is written, as whoever asks for so much does sooner or later. So a
 * subject that gives memory back at once pays for it with page faults, and one that keeps it pays
 * in the figure of resident memory over time; both are in the row.
 */
#include <bench/malloc/rows.h>

#define LIVE_COUNT 8u
#define MIB_MIN    5u
#define MIB_SPAN   21u

static char *make(struct bench_worker *worker)
{
    size_t bytes = Q_MIB(MIB_MIN + bench_random_below(&worker->random, MIB_SPAN));
    char *object = bench_worker_malloc(worker, bytes);

    for (size_t i = 0; i < bytes; i += 4096) {
        bench_touch(object + i);
    }
    return object;
}

void bench_large(const struct bench_job *job)
{
    char *live[LIVE_COUNT];
    struct bench_worker *worker = &job->worker[0];

    for (uint32_t i = 0; i < LIVE_COUNT; i++) {
        live[i] = make(worker);
    }
    for (uint64_t step = 0; step < job->step_count; step++) {
        char **object = &live[bench_random_below(&worker->random, LIVE_COUNT)];
        bench_worker_free(worker, *object);
        *object = make(worker);
    }
    for (uint32_t i = 0; i < LIVE_COUNT; i++) {
        bench_worker_free(worker, live[i]);
    }
}
