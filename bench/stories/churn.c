/*
 * Churn:
 *
 *   phase     0        1         2       3         4       5        ten minutes of an hour each
 *   blocks    4 KiB    16 KiB    1 KiB   64 KiB    8 KiB   2 KiB    on average; half to one and a
 * half keys      others in each phase, so that all that is in the cache goes
 *
 * Keys are wanted as the lesser of two random numbers, more keys than fit. A block that is missed
 * is filled, put in, and released. One step in PLANT_EVERY forgets to release: a leak, planted by a
 * function of its own, whose blocks cannot be evicted. In the end the cache is asked who has not
 * released what; then what was planted is released after all.
 *
 * A release build of Quarry records one acquisition in 1,024; here it is one in RECORD_EVERY,
 * so that a sitting of seconds sees some of few leaks. What that costs is in the figures.
 */
#include <bench/stories/churn.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>
#include <os/os.h>
#include <ref/ref.h>

#include <bench/child.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/worker.h>
#include <bench/stories/looks.h>

#define PHASES        6u
#define LOOKS         240u
#define KEYS_PART     2u  /* keys' bytes ÷ the capacity */
#define MEMORY_PART   16u /* of the capacity, which all memory has beside it; peers: no limit */
#define PLANT_EVERY   997u
#define PLANTED_MAX   512u
#define RECORD_EVERY  32u
#define STEPS_TO_LOOK 64u
#define SECONDS_MAX   86400u
#define CAPACITY_MAX  Q_GIB(64)
#define SEED          UINT64_C(0x3c6ef372fe94f82b)

static const uint32_t phase_bytes[PHASES] = {4096, 16384, 1024, 65536, 8192, 2048};

struct churn {
    const struct bench_cache_driver *driver;
    void *cache;
    uint64_t capacity_bytes, duration_ns;
    uint64_t random;
    uint64_t step_count, hit_count;
    struct stories_looker looker;
    size_t planted_count;
    struct bench_cache_hold planted[PLANTED_MAX];
};

/* A leak: what the report is to name. */
static Q_NOINLINE void forget_to_release(struct churn *churn, struct bench_cache_hold held)
{
    churn->planted[churn->planted_count++] = held;
}

static struct bench_cache_hold bring(struct churn *churn, struct bench_cache_key key, size_t bytes)
{
    struct bench_cache_hold value = churn->driver->alloc(churn->cache, bytes);

    memset(value.base, (int)(key.offset & 0xff), bytes);
    return churn->driver->insert(churn->cache, key, value, bytes);
}

static void step(struct churn *churn, uint32_t phase)
{
    uint32_t mean = phase_bytes[phase];
    uint32_t key_count = (uint32_t)(KEYS_PART * churn->capacity_bytes / mean);
    uint32_t one = bench_random_below(&churn->random, key_count);
    uint32_t other = bench_random_below(&churn->random, key_count);
    uint32_t number = one < other ? one : other;
    struct bench_cache_key key = {.file = phase + 1, .offset = number};
    size_t bytes = mean / 2 + number * UINT64_C(2654435761) % mean;
    struct bench_cache_hold held = churn->driver->lookup(churn->cache, key);

    churn->step_count++;
    if (held.base != NULL) {
        churn->hit_count++;
    } else {
        held = bring(churn, key, bytes);
    }
    if (churn->step_count % PLANT_EVERY == 0 && churn->planted_count < PLANTED_MAX) {
        forget_to_release(churn, held);
    } else {
        churn->driver->release(churn->cache, held);
    }
}

static void run(struct churn *churn)
{
    uint64_t elapsed_ns = 0;

    stories_looker_begin(&churn->looker, churn->duration_ns / LOOKS);
    while (elapsed_ns < churn->duration_ns) {
        uint32_t phase = (uint32_t)(elapsed_ns * PHASES / churn->duration_ns);
        for (uint32_t i = 0; i < STEPS_TO_LOOK; i++) {
            step(churn, phase);
        }
        stories_look_in_time(&churn->looker);
        elapsed_ns = os_monotonic_ns(os_real()) - churn->looker.begin_ns;
    }
    stories_look(&churn->looker);
}

static void print(const struct churn *churn, uint64_t cpu_ns, uint64_t found_count)
{
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %" PRIu64 "\n", churn->step_count,
                 churn->hit_count, cpu_ns, churn->planted_count, found_count);
    stories_looker_print(&churn->looker);
}

int stories_churn_child(const struct bench_cache_driver *driver, int argc, char **argv)
{
    static struct churn churn;
    uint64_t seconds = 0;
    uint64_t capacity_bytes = 0;

    if (argc != 2 || !bench_child_numbers(argv[0], &seconds, 1) || seconds < 1 ||
        seconds > SECONDS_MAX || !bench_child_numbers(argv[1], &capacity_bytes, 1) ||
        capacity_bytes < Q_MIB(1) || capacity_bytes > CAPACITY_MAX) {
        return 2;
    }
    struct bench_cache_options options = {.capacity_bytes = capacity_bytes,
                                          .value_bytes = phase_bytes[0],
                                          .shard_bits = -1,
                                          .memory_bytes = capacity_bytes +
                                                          capacity_bytes / MEMORY_PART + Q_MIB(4)};
    ref_leak_set_every(RECORD_EVERY);
    churn = (struct churn){.driver = driver,
                           .cache = driver->create(&options),
                           .capacity_bytes = capacity_bytes,
                           .duration_ns = seconds * Q_SECOND_NS,
                           .random = SEED};
    uint64_t cpu_ns = bench_clock_cpu_ns();
    run(&churn);
    cpu_ns = bench_clock_cpu_ns() - cpu_ns;
    uint64_t found_count =
        churn.planted_count > 0 && driver->tell_leaks != NULL ? driver->tell_leaks(churn.cache) : 0;
    for (size_t i = 0; i < churn.planted_count; i++) {
        driver->release(churn.cache, churn.planted[i]);
    }
    driver->destroy(churn.cache);
    print(&churn, cpu_ns, found_count);
    return 0;
}
