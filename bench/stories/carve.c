/*
 * Allocations of 1 KiB carved out of pages, in a process of its own:
 *
 *   quarry-bench-child stories carve cache|tree|bare THREADS STEPS     → wall_ns tree_allocs
 *   quarry-bench-child stories carve handover 2 STEPS                  → wall_ns 0
 *
 *   ring of a thread   ┌──────┬──────┬──────┬┄
 *                      │ page │ page │ page │    a step frees the oldest page, takes another one
 *                      └──────┴──────┴──────┴┄   and writes to each of its 8 cells of 1 KiB
 *
 * `cache` takes pages by the thread's page cache, `tree` from the lane's tree under its lock, as if
 * there were no caches, `bare` uses one page again and again: what a step costs beside its page.
 * All threads share one lane. `handover` passes one line between two threads: what it costs that a
 * lock was another processor's.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <page/page.h>

#include <bench/child.h>
#include <bench/team.h>

#define LIMIT_BYTES Q_MIB(512)
#define RING_PAGES  64u
#define CELL_BYTES  1024u
#define CELLS       (PAGE_BYTES / CELL_BYTES)
#define STEPS_MAX   UINT64_C(1000000000)
#define WARM_STEPS  4096u
#define SPIN_MAX    1000u /* looks at a line before its thread lets others run */

enum carve_mode { CARVE_CACHE, CARVE_TREE, CARVE_BARE, CARVE_HANDOVER, CARVE_MODES };

static const char *const mode_names[CARVE_MODES] = {"cache", "tree", "bare", "handover"};

struct carve {
    enum carve_mode mode;
    uint64_t step_count; /* of each thread */
    struct page_heap *heap;
    struct page_lane *lane;
    uint32_t owner;
    _Atomic(uint64_t) turn Q_ALIGNED(2 * Q_CACHE_LINE_BYTES); /* atomic; handed over */
};

static Q_ALWAYS_INLINE void write_cells(char *page)
{
    for (size_t i = 0; i < CELLS; i++) {
        bench_touch(page + i * CELL_BYTES);
    }
}

static Q_ALWAYS_INLINE char *take_page(struct carve *carve, bool is_tree)
{
    struct page_run run = is_tree ? page_lane_alloc(carve->lane, carve->owner, 1, 1)
                                  : page_alloc(carve->lane, carve->owner, 1);

    if (run.base == NULL) {
        bench_worker_die("no page");
    }
    return run.base;
}

static Q_ALWAYS_INLINE void give_page(struct carve *carve, char *page, bool is_tree)
{
    if (is_tree) {
        page_lane_free(carve->lane, page);
    } else {
        page_free(carve->lane, page);
    }
}

static Q_ALWAYS_INLINE void carve_pages(struct carve *carve, bool is_tree)
{
    char *ring[RING_PAGES];

    for (uint32_t i = 0; i < RING_PAGES; i++) {
        ring[i] = take_page(carve, is_tree);
    }
    for (uint64_t step = 0; step < carve->step_count; step++) {
        char **oldest = &ring[step % RING_PAGES];
        give_page(carve, *oldest, is_tree);
        *oldest = take_page(carve, is_tree);
        write_cells(*oldest);
    }
    for (uint32_t i = 0; i < RING_PAGES; i++) {
        give_page(carve, ring[i], is_tree);
    }
}

static void carve_bare(struct carve *carve)
{
    char page[PAGE_BYTES];

    for (uint64_t step = 0; step < carve->step_count; step++) {
        write_cells(page);
    }
}

/* Waits for its turn and passes it on. */
static void hand_over(struct carve *carve, uint32_t index)
{
    for (uint64_t step = 0; step < carve->step_count; step++) {
        uint64_t wanted = 2 * step + index;
        /* pairs with the store below, of the other thread */
        for (uint32_t n = 0; atomic_load_acquire_u64(&carve->turn) != wanted;) {
            if (++n == SPIN_MAX) {
                (void)sched_yield();
                n = 0;
            }
        }
        atomic_store_release_u64(&carve->turn, wanted + 1); /* pairs with the load above */
    }
}

static void member_run(struct bench_worker *worker, void *context)
{
    struct carve *carve = context;

    switch (carve->mode) {
    case CARVE_CACHE:
        carve_pages(carve, false);
        break;
    case CARVE_TREE:
        carve_pages(carve, true);
        break;
    case CARVE_HANDOVER:
        hand_over(carve, worker->index);
        break;
    case CARVE_BARE:
    case CARVE_MODES:
    default:
        carve_bare(carve);
        break;
    }
}

static void must(enum quarry_status status, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        (void)fprintf(stderr, "quarry-bench-child: page heap: %s\n", error->text);
        exit(1);
    }
}

static void make_heap(struct carve *carve)
{
    struct page_heap_options options = {.limit_bytes = LIMIT_BYTES};
    struct page_lane_options lane = {.name = "carve"};
    struct quarry_error error = {0};

    must(page_heap_create(&options, &carve->heap, &error), &error);
    must(page_ledger_register(&carve->heap->ledger, "carve", &carve->owner), &error);
    must(page_lane_create(carve->heap, &lane, &carve->lane, &error), &error);
}

static uint64_t tree_allocs(const struct carve *carve)
{
    struct page_heap_counts counts;

    page_heap_read_counts(carve->heap, &counts);
    return counts.tree_alloc_count;
}

/* Runs the steps. Returns: wall time. */
static uint64_t time_steps(struct carve *carve, uint32_t thread_count, uint64_t step_count)
{
    struct bench_team_time time = {0};

    carve->step_count = step_count;
    atomic_store_relaxed_u64(&carve->turn, 0); /* no thread has begun */
    bench_team_run(thread_count, member_run, carve, &time);
    return time.wall_ns;
}

int stories_child_carve(int argc, char **argv)
{
    static struct carve carve;
    uint64_t thread_count = 0;
    uint64_t step_count = 0;
    size_t mode = 0;

    while (mode < CARVE_MODES && (argc != 3 || strcmp(argv[0], mode_names[mode]) != 0)) {
        mode++;
    }
    if (mode == CARVE_MODES || !bench_child_numbers(argv[1], &thread_count, 1) ||
        !bench_child_numbers(argv[2], &step_count, 1) || thread_count < 1 ||
        thread_count > BENCH_WORKERS_MAX || step_count < 1 || step_count > STEPS_MAX ||
        (mode == CARVE_HANDOVER && thread_count != 2)) {
        return 2;
    }
    carve.mode = (enum carve_mode)mode;
    make_heap(&carve);
    (void)time_steps(&carve, (uint32_t)thread_count, size_min_u64(step_count, WARM_STEPS));
    uint64_t before = tree_allocs(&carve);
    uint64_t wall_ns = time_steps(&carve, (uint32_t)thread_count, step_count);
    (void)printf("%" PRIu64 " %" PRIu64 "\n", wall_ns, tree_allocs(&carve) - before);
    page_heap_destroy(carve.heap);
    return 0;
}
