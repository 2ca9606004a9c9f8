/*
 * The loops that caches are measured by. Each sees only its driver's calls, so every subject does
 * the same work in the same order: keys come from generators that are seeded by the thread's index.
 *
 *   mix      the loop of RocksDB's cache_bench, written anew from what it does: a key is the least
 *            of 6 draws, so that low keys are wanted most; of 100 operations 87 look a key up and
 *            insert it when it is not there, 2 insert, 10 look up, 1 erases. What an operation
 *            holds it holds until the next one. The cache is full before the clock starts.
 *   hit      look a random one of the keys up that are there, read its first word, release it.
 *            The cache is filled to 80 % so that no shard is full.
 *   insert   a new key each time: allocate, write a word, insert, release; something is evicted
 *   storm    all threads ask for the same new key at once; one of them loads it
 *
 * A value's words follow from its key, 4 KiB of multiplications and adds. Where payloads are read
 * (the rows that are not lean) the sum of all words is compared with what it must be; a wrong one
 * fails the row: a benchmark of a cache that returns other bytes than were put in is worth nothing.
 */
#include <bench/blocks/cache_rows.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/worker.h>

#define VALUE_WORDS   (BENCH_CACHE_VALUE_BYTES / sizeof(uint64_t))
#define WORD_STEP     UINT64_C(0x9e3779b97f4a7c15)
#define ALARM_SECONDS 600u
#define THREADS_MAX   BENCH_WORKERS_MAX
/* Misses that fill the cache before the clock starts, as a multiple of what fits. */
#define FILL_TIMES 2u
/* Of the capacity, in hundredths: what the rows about hits put in. */
#define HIT_FILL_PERCENT 80u
/* A load of the storm takes so long: 20 µs, a fast disk. */
#define LOAD_NS 20000u

static bench_cache_run run_mix;
static bench_cache_run run_hits;
static bench_cache_run run_inserts;
static bench_cache_run run_storm;

#define MIX(text, threads, lean)                                                                   \
    {                                                                                              \
        .name = "cache_bench_" text, .run = run_mix, .capacity_bytes = Q_GIB(1),                   \
        .quick_bytes = Q_MIB(32), .full_steps = 1000000, .quick_steps = 20000,                     \
        .thread_count = threads, .shard_bits = BENCH_MIX_SHARD_BITS, .is_lean = lean,              \
        .is_reference = true, .title = "cache_bench's mix, 4 KiB in 1 GiB, " #threads " threads"   \
    }
#define HIT(text, what, size, quick, count)                                                        \
    {                                                                                              \
        .name = "hit_" text, .title = "get and release, " what, .run = run_hits,                   \
        .capacity_bytes = size, .quick_bytes = quick, .full_steps = 4000000,                       \
        .quick_steps = 100000, .count_steps = count, .thread_count = 1, .shard_bits = -1,          \
        .is_lean = true                                                                            \
    }

static const struct bench_cache_row rows[] = {
    MIX("1t", 1, false),
    MIX("2t", 2, false),
    MIX("lean_1t", 1, true),
    MIX("lean_2t", 2, true),
    HIT("512kib", "4 KiB blocks in 512 KiB: a core's own cache", Q_KIB(512), Q_KIB(512), 20000),
    HIT("64mib", "in 64 MiB", Q_MIB(64), Q_MIB(16), 0),
    HIT("1gib", "in 1 GiB", Q_GIB(1), Q_MIB(64), 0),
    {.name = "insert_evict",
     .title = "a new 4 KiB block, and one evicted, in 64 MiB",
     .run = run_inserts,
     .capacity_bytes = Q_MIB(64),
     .quick_bytes = Q_MIB(16),
     .full_steps = 1000000,
     .quick_steps = 20000,
     .count_steps = 10000,
     .thread_count = 1,
     .shard_bits = -1,
     .is_lean = true},
    {.name = "single_flight",
     .title = "8 threads ask for the same new block, which takes 20 us to load",
     .run = run_storm,
     .capacity_bytes = Q_MIB(64),
     .quick_bytes = Q_MIB(16),
     .full_steps = 5000,
     .quick_steps = 200,
     .thread_count = 8,
     .shard_bits = -1,
     .is_lean = true,
     .is_loaded = true},
};

const struct bench_cache_row *bench_cache_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_cache_row *bench_cache_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* ---- keys and values ------------------------------------------------------------------------ */

static struct bench_cache_key key_of(uint64_t number)
{
    return (struct bench_cache_key){
        .file = number / BENCH_CACHE_FILE_BLOCKS + 1,
        .offset = number % BENCH_CACHE_FILE_BLOCKS * BENCH_CACHE_VALUE_BYTES,
    };
}

/* The number that a mixed operation is about: the least of 6 draws, scaled to the keys. */
static uint64_t draw_number(uint64_t *random, uint64_t key_count)
{
    uint64_t least = bench_random(random);

    for (uint32_t i = 0; i < BENCH_MIX_SKEW; i++) {
        least = size_min_u64(least, bench_random(random));
    }
    return (uint64_t)(((unsigned __int128)least * key_count) >> 64);
}

static uint64_t first_word(uint64_t number)
{
    return (number + 1) * WORD_STEP;
}

static void fill_value(void *base, uint64_t number)
{
    uint64_t *word = base;
    uint64_t value = first_word(number);

    for (size_t i = 0; i < VALUE_WORDS; i++) {
        word[i] = value;
        value += WORD_STEP;
    }
}

/* Whether all words sum up to what fill_value has put in. */
static bool is_value_right(const void *base, uint64_t number)
{
    const uint64_t *word = base;
    uint64_t sum = 0;

    for (size_t i = 0; i < VALUE_WORDS; i++) {
        sum += word[i];
    }
    return sum ==
           VALUE_WORDS * first_word(number) + WORD_STEP * (VALUE_WORDS * (VALUE_WORDS - 1) / 2);
}

/* ---- one thread's operations ---------------------------------------------------------------- */

/* A thread at work. */
struct hand {
    const struct bench_cache_job *job;
    uint64_t random;
    struct bench_cache_hold held;
    uint64_t lookup_count;
    uint64_t hit_count;
    uint64_t wrong_count;
} Q_ALIGNED(2 * Q_CACHE_LINE_BYTES);

static void let_go(struct hand *hand)
{
    if (hand->held.base != NULL) {
        hand->job->driver->release(hand->job->cache, hand->held);
        hand->held.base = NULL;
    }
}

/* Looks a number up and, unless the row is lean, reads what it finds. Returns: a hit. */
static bool look_up(struct hand *hand, uint64_t number)
{
    const struct bench_cache_job *job = hand->job;

    hand->held = job->driver->lookup(job->cache, key_of(number));
    hand->lookup_count++;
    if (hand->held.base == NULL) {
        return false;
    }
    hand->hit_count++;
    if (!job->row->is_lean && !is_value_right(hand->held.base, number)) {
        hand->wrong_count++;
    }
    return true;
}

static void insert(struct hand *hand, uint64_t number)
{
    const struct bench_cache_job *job = hand->job;
    struct bench_cache_hold value = job->driver->alloc(job->cache, BENCH_CACHE_VALUE_BYTES);

    fill_value(value.base, number);
    hand->held = job->driver->insert(job->cache, key_of(number), value, BENCH_CACHE_VALUE_BYTES);
}

static void look_up_or_insert(struct hand *hand, uint64_t number)
{
    if (!look_up(hand, number)) {
        insert(hand, number);
    }
}

static void mix(struct hand *hand, uint64_t key_count)
{
    uint64_t number = draw_number(&hand->random, key_count);
    uint32_t draw = bench_random_below(&hand->random, 100);

    if (draw < BENCH_MIX_LOOKUP_INSERT) {
        let_go(hand);
        look_up_or_insert(hand, number);
    } else if (draw < BENCH_MIX_LOOKUP_INSERT + BENCH_MIX_INSERT) {
        let_go(hand);
        insert(hand, number);
    } else if (draw < BENCH_MIX_LOOKUP_INSERT + BENCH_MIX_INSERT + BENCH_MIX_LOOKUP) {
        let_go(hand);
        (void)look_up(hand, number);
    } else {
        hand->job->driver->erase(hand->job->cache, key_of(number));
    }
}

/* ---- threads and clocks --------------------------------------------------------------------- */

static struct hand hands[THREADS_MAX];

static void init_hands(const struct bench_cache_job *job)
{
    for (uint32_t i = 0; i < job->row->thread_count; i++) {
        hands[i] = (struct hand){.job = job, .random = WORD_STEP * (i + 1)};
    }
}

/* Runs `run` in all threads of the row, with the clock running, and sums up what they did. */
static void run_hands(const struct bench_cache_job *job, bench_thread_run *run,
                      struct bench_cache_sample *sample)
{
    uint32_t thread_count = job->row->thread_count;

    init_hands(job);
    bench_team_run(thread_count, run, NULL, &sample->time);
    sample->operation_count = job->step_count * thread_count;
    for (uint32_t i = 0; i < thread_count; i++) {
        sample->lookup_count += hands[i].lookup_count;
        sample->hit_count += hands[i].hit_count;
        sample->wrong_count += hands[i].wrong_count;
    }
}

/* ---- the mix -------------------------------------------------------------------------------- */

static uint64_t mix_key_count(const struct bench_cache_job *job)
{
    return job->capacity_bytes / BENCH_CACHE_VALUE_BYTES * BENCH_MIX_KEYS_PER_VALUE;
}

static void mix_thread(struct bench_worker *worker, void *context)
{
    struct hand *hand = &hands[worker->index];
    uint64_t key_count = mix_key_count(hand->job);

    (void)context;
    for (uint64_t i = 0; i < hand->job->step_count; i++) {
        mix(hand, key_count);
    }
    let_go(hand);
}

/* Fills the cache with what the mix will ask for. */
static void populate(const struct bench_cache_job *job)
{
    struct hand hand = {.job = job, .random = ~WORD_STEP};
    uint64_t wanted = FILL_TIMES * job->capacity_bytes / BENCH_CACHE_VALUE_BYTES;
    uint64_t key_count = mix_key_count(job);

    while (hand.lookup_count - hand.hit_count < wanted) {
        look_up_or_insert(&hand, draw_number(&hand.random, key_count));
        let_go(&hand);
    }
}

static void run_mix(const struct bench_cache_job *job, struct bench_cache_sample *sample)
{
    populate(job);
    run_hands(job, mix_thread, sample);
}

/* ---- hits and inserts ----------------------------------------------------------------------- */

static uint64_t hit_key_count(const struct bench_cache_job *job)
{
    return job->capacity_bytes * HIT_FILL_PERCENT / 100 / BENCH_CACHE_VALUE_BYTES;
}

static void hit_thread(struct bench_worker *worker, void *context)
{
    struct hand *hand = &hands[worker->index];
    uint32_t key_count = (uint32_t)hit_key_count(hand->job);

    (void)context;
    for (uint64_t i = 0; i < hand->job->step_count; i++) {
        uint64_t number = bench_random_below(&hand->random, key_count);
        if (look_up(hand, number)) {
            hand->wrong_count += *(const uint64_t *)hand->held.base != first_word(number);
        }
        let_go(hand);
    }
}

static void run_hits(const struct bench_cache_job *job, struct bench_cache_sample *sample)
{
    struct hand hand = {.job = job};

    for (uint64_t number = 0; number < hit_key_count(job); number++) {
        insert(&hand, number);
        let_go(&hand);
    }
    run_hands(job, hit_thread, sample);
}

/* Inserts new keys, whose values have one word that anybody wrote. */
static void insert_new(struct hand *hand, uint64_t first, uint64_t count)
{
    const struct bench_cache_job *job = hand->job;

    for (uint64_t number = first; number < first + count; number++) {
        struct bench_cache_hold value = job->driver->alloc(job->cache, BENCH_CACHE_VALUE_BYTES);
        *(uint64_t *)value.base = first_word(number);
        hand->held =
            job->driver->insert(job->cache, key_of(number), value, BENCH_CACHE_VALUE_BYTES);
        let_go(hand);
    }
}

static uint64_t values_that_fill(const struct bench_cache_job *job)
{
    return FILL_TIMES * job->capacity_bytes / BENCH_CACHE_VALUE_BYTES;
}

static void insert_thread(struct bench_worker *worker, void *context)
{
    struct hand *hand = &hands[worker->index];

    (void)context;
    insert_new(hand, values_that_fill(hand->job), hand->job->step_count);
}

static void run_inserts(const struct bench_cache_job *job, struct bench_cache_sample *sample)
{
    struct hand hand = {.job = job};

    insert_new(&hand, 0, values_that_fill(job));
    run_hands(job, insert_thread, sample);
}

/* ---- the storm ------------------------------------------------------------------------------ */

struct storm {
    pthread_barrier_t barrier;
    _Atomic uint64_t load_count;
};
static struct storm storm;

/* What the loader is told. */
struct load {
    uint64_t number;
};

static void load_slowly(void *context, void *base)
{
    const struct load *load = context;
    uint64_t until = os_monotonic_ns(os_real()) + LOAD_NS;

    (void)atomic_fetch_add(&storm.load_count, 1);
    fill_value(base, load->number);
    while (os_monotonic_ns(os_real()) < until) {
    }
}

static void storm_thread(struct bench_worker *worker, void *context)
{
    struct hand *hand = &hands[worker->index];
    const struct bench_cache_job *job = hand->job;

    (void)context;
    for (uint64_t number = 0; number < job->step_count; number++) {
        struct load load = {number};
        (void)pthread_barrier_wait(&storm.barrier);
        hand->held = job->driver->get_or_load(job->cache, key_of(number), BENCH_CACHE_VALUE_BYTES,
                                              load_slowly, &load);
        hand->wrong_count += !is_value_right(hand->held.base, number);
        let_go(hand);
    }
}

static void run_storm(const struct bench_cache_job *job, struct bench_cache_sample *sample)
{
    if (pthread_barrier_init(&storm.barrier, NULL, job->row->thread_count) != 0) {
        bench_worker_die("no barrier");
    }
    run_hands(job, storm_thread, sample);
    (void)pthread_barrier_destroy(&storm.barrier);
    sample->load_count = atomic_load(&storm.load_count);
    sample->operation_count = job->step_count; /* storms, whatever the threads */
}

/* ---- the process ---------------------------------------------------------------------------- */

static int wrong_line(void)
{
    (void)fputs("quarry-bench-child: caches are measured by `quarry bench blocks`\n", stderr);
    return 2;
}

int bench_cache_child(const struct bench_cache_driver *driver, int argc, char **argv)
{
    const struct bench_cache_row *row = argc == 3 ? bench_cache_row_find(argv[0]) : NULL;
    struct bench_cache_job job = {.row = row, .driver = driver};
    struct bench_cache_sample sample = {0};
    uint64_t is_quick = 0;

    if (row == NULL || !bench_child_numbers(argv[1], &job.step_count, 1) || job.step_count == 0 ||
        !bench_child_numbers(argv[2], &is_quick, 1) ||
        (row->is_loaded && driver->get_or_load == NULL)) {
        return wrong_line();
    }
    (void)alarm(ALARM_SECONDS);
    job.capacity_bytes = is_quick != 0 ? row->quick_bytes : row->capacity_bytes;
    struct bench_cache_options options = {job.capacity_bytes, BENCH_CACHE_VALUE_BYTES,
                                          row->shard_bits, 0};
    job.cache = driver->create(&options);
    row->run(&job, &sample);
    driver->destroy(job.cache);
    sample.peak_rss_bytes = bench_clock_peak_bytes();
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                 " %" PRIu64 "\n",
                 sample.operation_count, sample.time.wall_ns, sample.time.cpu_ns,
                 sample.lookup_count, sample.hit_count, sample.load_count, sample.wrong_count,
                 sample.peak_rss_bytes);
    if (sample.wrong_count != 0) {
        (void)fprintf(stderr, "%s: %" PRIu64 " payloads were not what had been put in\n",
                      driver->name, sample.wrong_count);
        return 1;
    }
    return 0;
}
