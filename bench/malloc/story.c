/*
 * The store of the restart story.
 *
 *   window      0    1    2    3    4    5    6    7    8    9 …       of 4 hours each
 *               └──────────── eight sealed ───────────┘   └ open
 *   series 0   [──] [───] [─]  …                          [──128─128─▶   one chunk a window
 *   series 1   [─]  [──] [──]  …
 *
 * A chunk grows by realloc in steps of 128 bytes, as samples come in; every series gets some every
 * 5 minutes, in the same order. When a window is opened the one 9 before it is purged: all of its
 * chunks are freed, in the order of series. How fast a chunk grows is a hash of series and window:
 * 4 to 43 bytes in 5 minutes, one series in 16 four times as much.
 *
 * The phase before the restart fills nine windows from nothing. The restart reads them back from a
 * snapshot: each chunk as it was, in random order, in an allocation of exactly its size. Then the
 * store goes on for as long as it takes to purge everything that was read, and each purge frees
 * chunks that lie scattered among those of other windows: what they leave free is usable only for
 * what is of their size and of no other.
 *
 * With lifetimes, a window is a lifetime of Quarry's: begun when it is opened, ended, chunks and
 * all, when it is purged. The snapshot is read in the same random order, each chunk into its
 * window. What their pages hold beyond what was asked for is read from Quarry's ledger.
 *
 * Waste is resident memory beyond what was asked of malloc and not freed: the store's own rounding
 * to 128 is not the allocator's. The tables are mapped and written before the first allocation and
 * are in neither figure. Both phases are processes of their own, as before and after a restart.
 *
 * An hour takes milliseconds, then the process sleeps a little, and what an allocator does in the
 * background or by the clock has that time; it is less than it would have.
 */
#include <bench/malloc/story.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/malloc/lifetimes.h>
#include <bench/malloc/worker.h>

#define WINDOW_HOURS   4u
#define WINDOW_COUNT   9u
#define STEPS_PER_HOUR 12u
#define GROWTH_BYTES   128u
/* What the names of the windows' lifetimes begin with. */
#define WINDOW_PREFIX "window "

struct chunk {
    char *base; /* NULL: nothing yet */
    uint32_t used_bytes;
    uint32_t capacity_bytes;
};

struct store {
    uint64_t series_count;
    struct chunk *chunk; /* WINDOW_COUNT × series_count */
    uint32_t *order;     /* of the snapshot: indexes of chunks */
    uint64_t live_bytes;
    uint64_t base_rss_bytes;
    bool has_lifetimes;
    struct bench_lifetime lifetime[WINDOW_COUNT]; /* of the windows; all zero: not open */
};

static void *map_table(uint64_t bytes)
{
    void *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (table == MAP_FAILED) {
        bench_worker_die("no memory");
    }
    return table;
}

static struct chunk *chunk_of(const struct store *store, uint64_t window, uint64_t series)
{
    return &store->chunk[window % WINDOW_COUNT * store->series_count + series];
}

/* Bytes that a series' chunk of a window grows by in 5 minutes. */
static uint32_t growth_rate(uint64_t window, uint64_t series)
{
    uint64_t state = (window + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (series + 1) << 20;
    uint32_t rate = 4 + bench_random_below(&state, 40);

    return bench_random_below(&state, 16) == 0 ? 4 * rate : rate;
}

/* Makes a window's chunk larger, from nothing at first. */
static void chunk_grow(struct store *store, uint64_t window, struct chunk *chunk, uint32_t bytes)
{
    chunk->capacity_bytes += bytes;
    store->live_bytes += bytes;
    chunk->base = store->has_lifetimes
                      ? bench_lifetime_realloc(&store->lifetime[window % WINDOW_COUNT], chunk->base,
                                               chunk->capacity_bytes)
                      : realloc(chunk->base, chunk->capacity_bytes);
    if (chunk->base == NULL) {
        bench_worker_die("no memory");
    }
}

static void chunk_append(struct store *store, uint64_t window, uint64_t series, uint32_t bytes)
{
    struct chunk *chunk = chunk_of(store, window, series);

    while (chunk->used_bytes + bytes > chunk->capacity_bytes) {
        chunk_grow(store, window, chunk, GROWTH_BYTES);
    }
    memset(chunk->base + chunk->used_bytes, 1, bytes);
    chunk->used_bytes += bytes;
}

static void open_window(struct store *store, uint64_t window)
{
    char name[32];

    (void)snprintf(name, sizeof name, WINDOW_PREFIX "%" PRIu64, window);
    if (store->has_lifetimes) {
        store->lifetime[window % WINDOW_COUNT] = bench_lifetime_begin(name);
    }
}

/* Does nothing to a window that was never opened. */
static void purge(struct store *store, uint64_t window)
{
    for (uint64_t series = 0; series < store->series_count; series++) {
        struct chunk *chunk = chunk_of(store, window, series);
        store->live_bytes -= chunk->capacity_bytes;
        if (!store->has_lifetimes) {
            free(chunk->base);
        }
        *chunk = (struct chunk){NULL, 0, 0};
    }
    if (store->has_lifetimes) {
        bench_lifetime_end(&store->lifetime[window % WINDOW_COUNT]);
    }
}

/* `hour` counts from 0, through both phases. */
static void run_hour(struct store *store, uint64_t hour)
{
    uint64_t window = hour / WINDOW_HOURS;

    if (hour % WINDOW_HOURS == 0) {
        purge(store, window);
        open_window(store, window);
    }
    for (uint32_t step = 0; step < STEPS_PER_HOUR; step++) {
        for (uint64_t series = 0; series < store->series_count; series++) {
            chunk_append(store, window, series, growth_rate(window, series));
        }
    }
}

static void shuffle(uint32_t *order, uint64_t count)
{
    uint64_t random = 1;

    for (uint64_t i = count; i > 1; i--) {
        uint32_t other = bench_random_below(&random, (uint32_t)i);
        uint32_t index = order[i - 1];
        order[i - 1] = order[other];
        order[other] = index;
    }
}

/* Chunks as the phase before ended with them, in random order and of exact size. */
static void read_snapshot(struct store *store)
{
    uint64_t count = WINDOW_COUNT * store->series_count;

    shuffle(store->order, count);
    for (uint64_t window = 0; window < WINDOW_COUNT; window++) {
        open_window(store, window);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t index = store->order[i];
        uint64_t window = index / store->series_count;
        struct chunk *chunk = &store->chunk[index];
        uint32_t bytes =
            growth_rate(window, index % store->series_count) * STEPS_PER_HOUR * WINDOW_HOURS;
        chunk_grow(store, window, chunk, bytes);
        memset(chunk->base, 1, bytes);
        chunk->used_bytes = bytes;
    }
}

static struct store make_store(uint64_t series_count, bool has_lifetimes)
{
    uint64_t count = WINDOW_COUNT * series_count;
    struct store store = {
        .series_count = series_count,
        .chunk = map_table(count * sizeof(struct chunk)),
        .order = map_table(count * sizeof(uint32_t)),
        .has_lifetimes = has_lifetimes,
    };

    Q_ASSERT(count <= UINT32_MAX);
    for (uint32_t i = 0; i < count; i++) {
        store.order[i] = i;
    }
    if (has_lifetimes) {
        bench_lifetimes_find();
    }
    store.base_rss_bytes = os_resident_bytes();
    return store;
}

static void free_store(struct store *store)
{
    uint64_t count = WINDOW_COUNT * store->series_count;

    for (uint64_t window = 0; window < WINDOW_COUNT; window++) {
        purge(store, window);
    }
    Q_ASSERT(store->live_bytes == 0);
    (void)munmap(store->chunk, count * sizeof(struct chunk));
    (void)munmap(store->order, count * sizeof(uint32_t));
}

static struct bench_story_hour look(const struct store *store)
{
    uint64_t rss_bytes = os_resident_bytes();

    return (struct bench_story_hour){
        .live_bytes = store->live_bytes,
        .resident_bytes = rss_bytes > store->base_rss_bytes ? rss_bytes - store->base_rss_bytes : 0,
        .page_bytes = store->has_lifetimes ? bench_lifetimes_in_use_bytes(WINDOW_PREFIX) : 0,
    };
}

void bench_story_run(const struct bench_story_options *options, struct bench_story_hour *ret_hour)
{
    struct store store = make_store(options->series_count, options->has_lifetimes);
    uint64_t first_hour = options->is_after ? BENCH_STORY_HOURS : 0;

    if (options->is_after) {
        read_snapshot(&store);
    }
    ret_hour[0] = look(&store);
    for (uint64_t hour = 0; hour < BENCH_STORY_HOURS; hour++) {
        run_hour(&store, first_hour + hour);
        os_sleep_ns(options->pause_ns);
        ret_hour[hour + 1] = look(&store);
    }
    free_store(&store);
}

Q_STATIC_ASSERT(BENCH_STORY_HOURS == WINDOW_HOURS * WINDOW_COUNT,
                "a phase purges all that was there before it");
