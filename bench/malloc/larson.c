/*
 * A server whose threads come and go and leave their objects to their successors.
 *
 *   generation 0        generation 1        generation 2
 *   thread A ─ table 0  thread C ─ table 1  …        each thread replaces random objects of a table
 *   thread B ─ table 1  thread D ─ table 0           that a thread which is gone has filled
 *
 * A table has 4000 objects of 16 to 1015 bytes. What a thread frees was mostly allocated by another
 * one, at first by a dead one: memory "bleeds" from thread to thread, and a heap that leaves freed
 * objects with their dead owner grows.
 *
 * The sized variant frees by a call that is told the size: the C library's free_sized, or the
 * subject's own where it has one (sdallocx, tc_free_sized, mi_free_size); by free where there is
 * none. It is looked up once, and called through a pointer by everybody.
 */
#include <bench/malloc/rows.h>

#include <dlfcn.h>

#define TABLE_OBJECTS 4000u
#define SIZE_MIN      16u
#define SIZE_SPAN     1000u
/* Replacements of a thread in a generation. */
#define REPLACEMENTS 50000u

struct object {
    void *base; /* NULL: not yet allocated */
    size_t bytes;
};

typedef void sized_free(void *base, size_t bytes);

struct larson {
    struct object (*table)[TABLE_OBJECTS];
    uint32_t table_count;
    uint64_t generation;
    sized_free *release; /* NULL: free */
};

/* sdallocx takes flags too; the calling convention lets them be passed without knowing it. */
typedef void sdallocx_call(void *base, size_t bytes, int flags);
static sdallocx_call *found_sdallocx;

static void free_by_sdallocx(void *base, size_t bytes)
{
    found_sdallocx(base, bytes, 0);
}

static void free_unsized(void *base, size_t bytes)
{
    (void)bytes;
    free(base);
}

/* dlsym gives a data pointer for what may be a function. */
union symbol {
    void *data;
    sized_free *sized;
    sdallocx_call *sdallocx;
};

static sized_free *find_sized_free(void)
{
    static const char *const names[] = {"free_sized", "tc_free_sized", "mi_free_size"};
    union symbol symbol;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        symbol.data = dlsym(RTLD_DEFAULT, names[i]);
        if (symbol.data != NULL) {
            return symbol.sized;
        }
    }
    symbol.data = dlsym(RTLD_DEFAULT, "sdallocx");
    found_sdallocx = symbol.sdallocx;
    return found_sdallocx != NULL ? free_by_sdallocx : free_unsized;
}

static void release(struct bench_worker *worker, const struct larson *larson,
                    const struct object *object)
{
    if (larson->release == NULL) {
        bench_worker_free(worker, object->base);
    } else if (Q_UNLIKELY(--worker->until_sample == 0)) {
        bench_worker_sized_timed(worker, larson->release, object->base, object->bytes);
    } else {
        larson->release(object->base, object->bytes);
    }
}

static void replace(struct bench_worker *worker, const struct larson *larson, struct object *object)
{
    if (object->base != NULL) {
        release(worker, larson, object);
    }
    object->bytes = SIZE_MIN + bench_random_below(&worker->random, SIZE_SPAN);
    object->base = bench_worker_malloc(worker, object->bytes);
    bench_touch(object->base);
}

static void thread_run(struct bench_worker *worker, void *context)
{
    const struct larson *larson = context;
    struct object *table =
        larson->table[(worker->index + larson->generation) % larson->table_count];

    for (uint32_t i = 0; larson->generation == 0 && i < TABLE_OBJECTS; i++) {
        replace(worker, larson, &table[i]);
    }
    for (uint32_t i = 0; i < REPLACEMENTS; i++) {
        replace(worker, larson, &table[bench_random_below(&worker->random, TABLE_OBJECTS)]);
    }
}

static void run(const struct bench_job *job, sized_free *sized)
{
    static struct object table[BENCH_WORKERS_MAX][TABLE_OBJECTS];
    struct larson larson = {.table = table, .table_count = job->thread_count, .release = sized};

    for (; larson.generation < job->step_count; larson.generation++) {
        bench_job_run_threads(job, thread_run, &larson);
    }
    for (uint32_t i = 0; i < job->thread_count * TABLE_OBJECTS; i++) {
        struct object *object = &table[i / TABLE_OBJECTS][i % TABLE_OBJECTS];
        release(&job->worker[0], &larson, object);
        object->base = NULL;
    }
}

void bench_larson(const struct bench_job *job)
{
    run(job, NULL);
}

void bench_larson_sized(const struct bench_job *job)
{
    run(job, find_sized_free());
}
