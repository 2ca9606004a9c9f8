/*
 * What memtables do: many small pieces that go all at once.
 *
 *   a life:   32 bytes, over and over, by all threads, a byte of each written     ── the clock runs
 *             all of them go: the arena whole, or each by free                    ── stopped
 *
 * The first life warms up. From then on an arena comes from a keeper with the memory that the last
 * one had, and malloc has the memory that was freed: neither pays for fresh pages, and what is
 * measured is taking.
 */
#include <bench/slab/rows.h>

#define PIECE_BYTES    32u
#define LIFE_PIECES    1000000u /* of each thread */
#define CAPACITY_BYTES Q_MIB(64)
#define THREADS_MAX    2u

Q_STATIC_ASSERT((uint64_t)THREADS_MAX *LIFE_PIECES *PIECE_BYTES < CAPACITY_BYTES,
                "all threads' pieces fit an arena");

/* One life, and where its pieces are. */
struct life {
    const struct bench_slab_job *job;
    struct quarry_arena *arena; /* NULL: malloc */
    void *piece[THREADS_MAX][LIFE_PIECES];
};
static struct life life;

static void arena_thread(struct bench_worker *worker, void *context)
{
    struct quarry_arena *arena = life.arena;

    (void)worker;
    (void)context;
    for (uint32_t i = 0; i < LIFE_PIECES; i++) {
        uint32_t offset = 0;
        if (Q_UNLIKELY(quarry_arena_alloc(arena, PIECE_BYTES, 8, &offset) != QUARRY_OK)) {
            bench_worker_die("the arena is full");
        }
        bench_touch(quarry_arena_at(arena, offset));
    }
}

static void malloc_thread(struct bench_worker *worker, void *context)
{
    void **piece = life.piece[worker->index];

    (void)context;
    for (uint32_t i = 0; i < LIFE_PIECES; i++) {
        (void)bench_take_malloc(life.job->place, PIECE_BYTES, &piece[i]);
        bench_touch(piece[i]);
    }
}

static void live_in_arena(struct bench_team_time *time)
{
    struct quarry_error error = {0};

    bench_place_must(
        quarry_arena_keeper_take(life.job->place->keeper, CAPACITY_BYTES, &life.arena, &error),
        "arena", &error);
    bench_team_run(life.job->row->thread_count, arena_thread, NULL, time);
    quarry_arena_destroy(life.arena);
}

static void live_in_malloc(struct bench_team_time *time)
{
    bench_team_run(life.job->row->thread_count, malloc_thread, NULL, time);
    for (uint32_t thread = 0; thread < life.job->row->thread_count; thread++) {
        for (uint32_t i = 0; i < LIFE_PIECES; i++) {
            free(life.piece[thread][i]);
        }
    }
}

void bench_slab_arena(const struct bench_slab_job *job, struct bench_slab_sample *sample)
{
    Q_ASSERT(job->row->thread_count <= THREADS_MAX);
    life.job = job;
    for (uint64_t step = 0; step <= job->step_count; step++) {
        struct bench_team_time ignored = {0};
        struct bench_team_time *time = step == 0 ? &ignored : &sample->time;
        if (job->place->kind == BENCH_PLACE_ARENA) {
            live_in_arena(time);
        } else {
            live_in_malloc(time);
        }
    }
    sample->operation_count = LIFE_PIECES * job->step_count * job->row->thread_count;
}
