/*
 * Bursts, in the process of a subject:
 *
 *   resident   ╱╲___        ╱╲___        each burst fills, then frees in another order; one object
 *            _╱      ╲_____╱     ╲____   in 50 survives until the next burst is full
 *             burst   idle
 *
 *   quarry-bench-child stories bursts SUBJECT BURSTS PERIOD_MS BYTES DELAY_MS
 *        → pairs cpu_ns, then for each look: ms since the first burst, KiB resident
 *
 * What survives lies scattered over all that was filled, as the results of a burst do; so what can
 * be given back depends on how a malloc has packed it. What looks and what remembers is not of the
 * subject's memory: pointers are in pages of the kernel's, and nothing is printed before the end.
 *
 * The processor's time is that of the process: also of threads that give memory back while the
 * others sleep.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/subject.h>
#include <bench/malloc/worker.h>
#include <bench/stories/looks.h>

#define OBJECT_BYTES_MIN   16u
#define OBJECT_BYTES_SPAN  1024u
#define OBJECT_BYTES_MEAN  528u
#define SURVIVOR_EVERY     50u
#define LOOKS_A_BURST      40u
#define BURSTS_MAX         10u
#define BYTES_MAX          Q_GIB(16)
#define STRIDE             UINT64_C(7919) /* a prime: steps through all objects once */
#define OPERATIONS_TO_LOOK 1024u
#define SEED               UINT64_C(0x51c0ffee12345678)

struct bursts {
    uint64_t burst_count, period_ns, object_count;
    void **object;   /* those of this burst */
    void **survivor; /* those of the last */
    uint64_t random;
    uint64_t pair_count;
    struct stories_looker looker;
};

static void *map_pointers(uint64_t count)
{
    void *base = mmap(NULL, count * sizeof(void *), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED) {
        bench_worker_die("no memory for pointers");
    }
    return base;
}

/* Looks, when it is time, on the way. */
static void look_now_and_then(struct bursts *bursts, uint64_t operation)
{
    if (operation % OPERATIONS_TO_LOOK == 0) {
        stories_look_in_time(&bursts->looker);
    }
}

static void fill(struct bursts *bursts)
{
    for (uint64_t i = 0; i < bursts->object_count; i++) {
        size_t bytes = OBJECT_BYTES_MIN + bench_random_below(&bursts->random, OBJECT_BYTES_SPAN);
        bursts->object[i] = malloc(bytes);
        if (bursts->object[i] == NULL) {
            bench_worker_die("no memory");
        }
        bench_touch(bursts->object[i]);
        look_now_and_then(bursts, i);
    }
}

static void free_survivors(struct bursts *bursts)
{
    for (uint64_t i = 0; i < bursts->object_count; i += SURVIVOR_EVERY) {
        bursts->pair_count += bursts->survivor[i] != NULL ? 1 : 0;
        free(bursts->survivor[i]);
    }
}

/* All but one in SURVIVOR_EVERY, in an order that is not the one they came in. */
static void empty(struct bursts *bursts)
{
    uint64_t at = 0;

    for (uint64_t i = 0; i < bursts->object_count; i++) {
        at = (at + STRIDE) % bursts->object_count;
        if (at % SURVIVOR_EVERY == 0) {
            bursts->survivor[at] = bursts->object[at];
        } else {
            free(bursts->object[at]);
            bursts->pair_count++;
        }
        look_now_and_then(bursts, i);
    }
}

static void idle_until(struct bursts *bursts, uint64_t end_ns)
{
    for (uint64_t now_ns = os_monotonic_ns(os_real()); now_ns < end_ns;
         now_ns = os_monotonic_ns(os_real())) {
        uint64_t wake_ns =
            size_min_u64(size_max_u64(bursts->looker.next_ns, now_ns + Q_MS_NS), end_ns);
        (void)usleep((useconds_t)((wake_ns - now_ns) / 1000 + 1));
        stories_look(&bursts->looker);
    }
}

static void run(struct bursts *bursts)
{
    stories_looker_begin(&bursts->looker, bursts->period_ns / LOOKS_A_BURST);
    for (uint64_t burst = 0; burst < bursts->burst_count; burst++) {
        fill(bursts);
        stories_look(&bursts->looker);
        free_survivors(bursts);
        empty(bursts);
        stories_look(&bursts->looker);
        idle_until(bursts, bursts->looker.begin_ns + (burst + 1) * bursts->period_ns);
    }
}

int stories_child_bursts(int argc, char **argv)
{
    static struct bursts bursts;
    const struct bench_subject *subject = argc == 5 ? bench_malloc_subject_find(argv[0]) : NULL;
    uint64_t n[4];
    char path[4096];

    for (int i = 0; i < 4; i++) {
        if (subject == NULL || !bench_child_numbers(argv[1 + i], &n[i], 1)) {
            return 2;
        }
    }
    if (n[0] < 1 || n[0] > BURSTS_MAX || n[1] < 1 || n[2] < OBJECT_BYTES_MEAN * STRIDE ||
        n[2] > BYTES_MAX) {
        return 2;
    }
    if (!bench_subject_is_in_force(subject, path, sizeof path)) {
        return BENCH_CHILD_ABSENT;
    }
    /* One more than a multiple of the stride is coprime to it. */
    bursts = (struct bursts){.burst_count = n[0],
                             .period_ns = n[1] * Q_MS_NS,
                             .object_count = n[2] / OBJECT_BYTES_MEAN / STRIDE * STRIDE + 1,
                             .random = SEED};
    bursts.object = map_pointers(bursts.object_count);
    bursts.survivor = map_pointers(bursts.object_count);
    (void)usleep((useconds_t)n[3] * 1000);
    uint64_t cpu_ns = bench_clock_cpu_ns();
    run(&bursts);
    cpu_ns = bench_clock_cpu_ns() - cpu_ns;
    (void)printf("%" PRIu64 " %" PRIu64 "\n", bursts.pair_count, cpu_ns);
    stories_looker_print(&bursts.looker);
    return 0;
}
