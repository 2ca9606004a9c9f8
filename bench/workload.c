/*
 * The rows of `quarry bench pages`, and the loops that are timed.
 *
 * Every subject runs the same loop, compiled once for each of them with its two calls in it: the
 * loop is a template (`repeat`, always inlined) and the calls are its constant arguments, so nobody
 * pays for a call through a pointer that another does not. What the loop costs by itself, with the
 * arguments of the two calls about ten instructions a pair, is in everybody's figure.
 *
 *   subject   row's source   allocate                free
 *   quarry    cache          page_alloc              page_free
 *   quarry    tree           page_lane_alloc         page_lane_free
 *   peers     both           malloc(pages · 8 KiB)   free
 *   mmap      both           mmap                    munmap
 *
 * Invariants:
 *   1. Before the clock starts, the same work has been done for a while: the heap has grown, the
 *      caches are full, the code is in the processor's.
 *   2. The clock does not run while threads start: all meet at a barrier first.
 *   3. Quarry runs as it does in production: assertions on, scavenger on.
 *
 * The budget of the heap is 4 GiB, more than any row takes and mostly never touched, so that no row
 * measures reclaiming. Peers have no budget to keep.
 *
 * With two threads the wall time is per pair of one thread: a subject that scales keeps the figure
 * of one thread. CPU time is per pair of all threads.
 *
 * Rejected: reading the clock round each pair (60 ns of clock to measure 10 ns of work); random
 * sizes (a row would say nothing about any of them).
 */
#include <bench/workload.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

#include <bench/perf_counter.h>

#define HEAP_LIMIT_BYTES Q_GIB(4)
/* Pairs done before the clock starts, when the number of pairs is given. */
#define WARM_PAIRS 64u
/* Calibration is done with runs of at least this part of the target: a few times the latency of the
 * barrier's wake-up, even with --quick. */
#define CALIBRATE_PART 4

/* .name, .title, .is_tree, .has_own_lanes, .is_touched, .thread_count, .batch, .pages */
static const struct bench_row rows[] = {
    {"pair_cache_1", "a page, from the thread's cache", false, false, false, 1, 1, 1},
    {"pair_cache_2", "2 pages, cache", false, false, false, 1, 1, 2},
    {"pair_cache_16", "16 pages, cache", false, false, false, 1, 1, 16},
    {"pair_cache_512", "512 pages, cache", false, false, false, 1, 1, 512},
    {"pair_tree_1", "a page, from the lane's tree", true, false, false, 1, 1, 1},
    {"pair_tree_2", "2 pages, tree", true, false, false, 1, 1, 2},
    {"pair_tree_16", "16 pages, tree", true, false, false, 1, 1, 16},
    {"pair_tree_512", "512 pages, tree", true, false, false, 1, 1, 512},
    {"pair_cache_1_2t", "a page, cache, 2 threads, one lane", false, false, false, 2, 1, 1},
    {"pair_cache_2_2t", "2 pages, cache, 2 threads, one lane", false, false, false, 2, 1, 2},
    {"pair_cache_16_2t", "16 pages, cache, 2 threads, one lane", false, false, false, 2, 1, 16},
    {"pair_cache_512_2t", "512 pages, cache, 2 threads, one lane", false, false, false, 2, 1, 512},
    {"pair_tree_1_2t", "a page, tree, 2 threads, one lane", true, false, false, 2, 1, 1},
    {"pair_tree_2_2t", "2 pages, tree, 2 threads, one lane", true, false, false, 2, 1, 2},
    {"pair_tree_16_2t", "16 pages, tree, 2 threads, one lane", true, false, false, 2, 1, 16},
    {"pair_tree_512_2t", "512 pages, tree, 2 threads, one lane", true, false, false, 2, 1, 512},
    {"pair_tree_1_2t_lanes", "a page, tree, 2 threads, a lane each", true, true, false, 2, 1, 1},
    {"pair_tree_2_2t_lanes", "2 pages, tree, 2 threads, a lane each", true, true, false, 2, 1, 2},
    {"pair_tree_16_2t_lanes", "16 pages, tree, 2 threads, a lane each", true, true, false, 2, 1,
     16},
    {"pair_tree_512_2t_lanes", "512 pages, tree, 2 threads, a lane each", true, true, false, 2, 1,
     512},
    {"batch_64x1", "64 runs of a page, then all freed", false, false, false, 1, 64, 1},
    {"batch_64x2", "64 runs of 2 pages, then all freed", false, false, false, 1, 64, 2},
    {"batch_64x16", "64 runs of 16 pages, then all freed", false, false, false, 1, 64, 16},
    {"batch_8x512", "8 runs of 512 pages, then all freed", false, false, false, 1, 8, 512},
    {"contiguous_1gib", "1 GiB in one run, not touched", true, false, false, 1, 1, 131072},
    {"touch_16mib", "16 MiB in runs of a page, touched", false, false, true, 1, 2048, 1},
};

/* Where a thread allocates. */
struct place {
    struct page_lane *lane; /* NULL but for Quarry */
    uint32_t owner;
};

typedef void *alloc_function(const struct place *place, uint64_t pages);
typedef void free_function(const struct place *place, void *base, uint64_t pages);
typedef void repeat_function(const struct place *place, const struct bench_row *row,
                             uint64_t step_count);

/* A row at work in this process. */
struct work {
    const struct bench_row *row;
    repeat_function *repeat;
    struct page_heap *heap; /* NULL but for Quarry */
    struct place place[BENCH_THREADS_MAX];
};

/* A thread beside the main one. */
struct worker {
    const struct work *work;
    const struct place *place;
    uint64_t step_count;
    pthread_barrier_t *barrier;
};

static void work_init(struct work *work, const struct bench_row *row,
                      const struct bench_subject *subject);
static void work_fini(struct work *work);
static struct bench_sample work_measure(const struct work *work, uint64_t step_count);
static uint64_t work_calibrate(const struct work *work, uint64_t target_ns);

const struct bench_row *bench_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_row *bench_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

struct bench_sample bench_row_measure(const struct bench_row *row,
                                      const struct bench_subject *subject,
                                      struct bench_amount amount)
{
    Q_ASSERT(row->batch <= BENCH_BATCH_MAX && row->thread_count <= BENCH_THREADS_MAX);
    struct work work;
    uint64_t step_count = size_ceil_div_u64(amount.pair_count, row->batch);

    work_init(&work, row, subject);
    if (step_count == 0) {
        step_count = work_calibrate(&work, amount.target_ns);
    } else {
        (void)work_measure(&work, size_ceil_div_u64(WARM_PAIRS, row->batch));
    }
    struct bench_sample sample = work_measure(&work, step_count);
    while (sample.wall_ns < amount.target_ns / 2) {
        step_count *= 2;
        sample = work_measure(&work, step_count);
    }
    work_fini(&work);
    return sample;
}

/* ---- the clock ------------------------------------------------------------------------------ */

/* Ends the process unless `result`, of a call of the C library, is 0. */
static void must(int result, const char *what)
{
    if (result != 0) {
        (void)fprintf(stderr, "quarry bench: cannot %s\n", what);
        exit(1);
    }
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec now;

    must(clock_gettime(id, &now), "read the clock");
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

static void *worker_run(void *argument)
{
    const struct worker *worker = argument;
    const struct work *work = worker->work;

    (void)pthread_barrier_wait(worker->barrier);
    work->repeat(worker->place, work->row, worker->step_count);
    (void)pthread_barrier_wait(worker->barrier);
    return NULL;
}

static struct bench_sample work_measure(const struct work *work, uint64_t step_count)
{
    pthread_t thread[BENCH_THREADS_MAX];
    struct worker worker[BENCH_THREADS_MAX];
    pthread_barrier_t barrier;
    uint32_t thread_count = work->row->thread_count;
    struct bench_perf_counter counter = bench_perf_counter_open();

    must(pthread_barrier_init(&barrier, NULL, thread_count), "make a barrier");
    for (uint32_t i = 1; i < thread_count; i++) {
        worker[i] = (struct worker){work, &work->place[i], step_count, &barrier};
        must(pthread_create(&thread[i], NULL, worker_run, &worker[i]), "start a thread");
    }
    (void)pthread_barrier_wait(&barrier);
    uint64_t cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    bench_perf_counter_start(&counter);
    uint64_t wall_ns = clock_ns(CLOCK_MONOTONIC);
    work->repeat(&work->place[0], work->row, step_count);
    (void)pthread_barrier_wait(&barrier);
    wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_ns;
    uint64_t instruction_count = bench_perf_counter_close(&counter);
    cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;

    for (uint32_t i = 1; i < thread_count; i++) {
        must(pthread_join(thread[i], NULL), "join a thread");
    }
    (void)pthread_barrier_destroy(&barrier);
    return (struct bench_sample){
        .pair_count = step_count * work->row->batch,
        .wall_ns = wall_ns,
        .cpu_ns = cpu_ns,
        .instruction_count = instruction_count,
    };
}

/*
 * How many steps take about `target_ns`; having done them is the warming up. The shorter of two
 * runs counts: one that was interrupted would make the measurement too short to mean anything.
 */
static uint64_t work_calibrate(const struct work *work, uint64_t target_ns)
{
    uint64_t step_count = 1;
    uint64_t wall_ns = 0;

    Q_ASSERT(target_ns > 0);
    for (;;) {
        wall_ns = work_measure(work, step_count).wall_ns;
        if (wall_ns >= target_ns / CALIBRATE_PART) {
            wall_ns = size_min_u64(wall_ns, work_measure(work, step_count).wall_ns);
        }
        if (wall_ns >= target_ns / CALIBRATE_PART) {
            break;
        }
        step_count *= 2;
    }
    double scale = (double)target_ns / (double)wall_ns;
    return size_max_u64((uint64_t)((double)step_count * scale), 1);
}

/* ---- the loops ------------------------------------------------------------------------------ */

static Q_NORETURN Q_COLD void die_of_memory(void)
{
    (void)fputs("quarry bench: no memory for the workload\n", stderr);
    exit(1);
}

/* Makes the compiler believe that `base` is used, so that it cannot drop a malloc with its free. */
static Q_ALWAYS_INLINE void use(void *base)
{
    __asm__ volatile("" : : "r"(base) : "memory");
}

static void touch(char *base, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += 4096) {
        *(volatile char *)(base + i) = 1;
    }
}

static Q_ALWAYS_INLINE void *checked_alloc(const struct place *place, uint64_t pages,
                                           alloc_function *alloc)
{
    void *base = alloc(place, pages);

    if (Q_UNLIKELY(base == NULL)) {
        die_of_memory();
    }
    use(base);
    return base;
}

static Q_ALWAYS_INLINE void repeat_pairs(const struct place *place, uint64_t pages,
                                         uint64_t pair_count, alloc_function *alloc,
                                         free_function *release)
{
    for (uint64_t i = 0; i < pair_count; i++) {
        release(place, checked_alloc(place, pages, alloc), pages);
    }
}

static Q_ALWAYS_INLINE void repeat_batches(const struct place *place, const struct bench_row *row,
                                           uint64_t step_count, alloc_function *alloc,
                                           free_function *release)
{
    void *base[BENCH_BATCH_MAX];

    for (uint64_t step = 0; step < step_count; step++) {
        for (uint32_t i = 0; i < row->batch; i++) {
            base[i] = checked_alloc(place, row->pages, alloc);
            if (row->is_touched) {
                touch(base[i], row->pages * PAGE_BYTES);
            }
        }
        for (uint32_t i = 0; i < row->batch; i++) {
            release(place, base[i], row->pages);
        }
    }
}

static Q_ALWAYS_INLINE void repeat(const struct place *place, const struct bench_row *row,
                                   uint64_t step_count, alloc_function *alloc,
                                   free_function *release)
{
    struct place local = *place; /* for the loops to keep in registers */

    if (row->batch == 1) {
        repeat_pairs(&local, row->pages, step_count, alloc, release);
    } else {
        repeat_batches(&local, row, step_count, alloc, release);
    }
}

/* ---- whose calls they are ------------------------------------------------------------------- */

static Q_ALWAYS_INLINE void *cache_alloc(const struct place *place, uint64_t pages)
{
    return page_alloc(place->lane, place->owner, pages).base;
}
static Q_ALWAYS_INLINE void cache_free(const struct place *place, void *base, uint64_t pages)
{
    (void)pages;
    page_free(place->lane, base);
}

static Q_ALWAYS_INLINE void *tree_alloc(const struct place *place, uint64_t pages)
{
    return page_lane_alloc(place->lane, place->owner, pages, 1).base;
}
static Q_ALWAYS_INLINE void tree_free(const struct place *place, void *base, uint64_t pages)
{
    (void)pages;
    page_lane_free(place->lane, base);
}

static Q_ALWAYS_INLINE void *malloc_alloc(const struct place *place, uint64_t pages)
{
    (void)place;
    return malloc(pages * PAGE_BYTES);
}
static Q_ALWAYS_INLINE void malloc_free(const struct place *place, void *base, uint64_t pages)
{
    (void)place;
    (void)pages;
    free(base);
}

static Q_ALWAYS_INLINE void *mmap_alloc(const struct place *place, uint64_t pages)
{
    (void)place;
    void *base =
        mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}
static Q_ALWAYS_INLINE void mmap_free(const struct place *place, void *base, uint64_t pages)
{
    (void)place;
    (void)munmap(base, pages * PAGE_BYTES);
}

static void cache_repeat(const struct place *place, const struct bench_row *row,
                         uint64_t step_count)
{
    repeat(place, row, step_count, cache_alloc, cache_free);
}
static void tree_repeat(const struct place *place, const struct bench_row *row, uint64_t step_count)
{
    repeat(place, row, step_count, tree_alloc, tree_free);
}
static void malloc_repeat(const struct place *place, const struct bench_row *row,
                          uint64_t step_count)
{
    repeat(place, row, step_count, malloc_alloc, malloc_free);
}
static void mmap_repeat(const struct place *place, const struct bench_row *row, uint64_t step_count)
{
    repeat(place, row, step_count, mmap_alloc, mmap_free);
}

/* ---- the heap ------------------------------------------------------------------------------- */

static void check(enum quarry_status status, const char *what, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench: %s: %s (%s)\n", what, quarry_status_name(status),
                      error->text);
        exit(1);
    }
}

static void work_init_pages(struct work *work)
{
    static const char *const names[BENCH_THREADS_MAX] = {"bench-1", "bench-2"};
    struct page_heap_options options = {.limit_bytes = HEAP_LIMIT_BYTES};
    struct quarry_error error = {0};
    uint32_t lane_count = work->row->has_own_lanes ? work->row->thread_count : 1;
    uint32_t owner = 0;

    check(page_heap_create(&options, &work->heap, &error), "page heap", &error);
    check(page_ledger_register(&work->heap->ledger, "bench", &owner), "owner", &error);
    for (uint32_t i = 0; i < BENCH_THREADS_MAX; i++) {
        struct page_lane_options lane = {.name = names[i]};
        work->place[i] = (struct place){.lane = work->place[0].lane, .owner = owner};
        if (i < lane_count) {
            check(page_lane_create(work->heap, &lane, &work->place[i].lane, &error), "lane",
                  &error);
        }
    }
    work->repeat = work->row->is_tree ? tree_repeat : cache_repeat;
}

static void work_init(struct work *work, const struct bench_row *row,
                      const struct bench_subject *subject)
{
    *work = (struct work){.row = row};
    switch (subject->kind) {
    case BENCH_PAGES:
        work_init_pages(work);
        break;
    case BENCH_MALLOC:
        work->repeat = malloc_repeat;
        break;
    case BENCH_MMAP:
        work->repeat = mmap_repeat;
        break;
    }
    Q_ASSERT(work->repeat != NULL);
}

static void work_fini(struct work *work)
{
    if (work->heap != NULL) {
        page_heap_destroy(work->heap);
    }
}
