/*
 * The spike curve of one subject.
 *
 *   RSS  │   ┌──┐
 *        │  ╱   │╲  points at 0, 1, 2, 5, 10, 30 s after the last free; the process sleeps between
 *        │ ╱    │  ╲__________
 *        └──────┴───────────── time
 *         fill   free
 *
 * Runs of one page, every OS page of them touched, freed in the order they were allocated. Nothing
 * else happens in the process, neither before nor after: what goes back at the points after 0 goes
 * back in the background, and the CPU time between them is what that costs.
 *
 * Quarry's limit is twice the spike, so that it is the retain goal that brings memory back and not
 * the limit. The list of what was allocated is mapped, not allocated, and unmapped before the first
 * point; it is in nobody's figures.
 */
#include <bench/spike.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

static const uint64_t point_seconds[BENCH_SPIKE_POINTS_MAX] = {0, 1, 2, 5, 10, 30};

/* Beyond twice the spike: the heap's own structures, for small spikes. */
#define LIMIT_EXTRA_BYTES Q_MIB(16)

struct spiker {
    struct page_heap *heap; /* NULL: malloc */
    struct page_lane *lane;
    uint32_t owner;
};

size_t bench_spike_point_count(uint64_t seconds)
{
    size_t count = 0;

    while (count < BENCH_SPIKE_POINTS_MAX && point_seconds[count] <= seconds) {
        count++;
    }
    return count;
}

static Q_NORETURN Q_COLD void die(const char *what)
{
    (void)fprintf(stderr, "quarry bench: spike: %s\n", what);
    exit(1);
}

static struct spiker spiker_create(const struct bench_subject *subject, uint64_t bytes)
{
    struct page_heap_options options = {.limit_bytes = 2 * bytes + LIMIT_EXTRA_BYTES};
    struct page_lane_options lane = {.name = "spike"};
    struct spiker spiker = {0};

    if (subject->kind != BENCH_PAGES) {
        return spiker;
    }
    if (page_heap_create(&options, &spiker.heap, NULL) != QUARRY_OK ||
        page_ledger_register(&spiker.heap->ledger, "bench", &spiker.owner) != QUARRY_OK ||
        page_lane_create(spiker.heap, &lane, &spiker.lane, NULL) != QUARRY_OK) {
        die("no page heap");
    }
    return spiker;
}

static char *spiker_alloc(const struct spiker *spiker)
{
    char *base =
        spiker->heap == NULL ? malloc(PAGE_BYTES) : page_alloc(spiker->lane, spiker->owner, 1).base;

    if (base == NULL) {
        die("no memory");
    }
    return base;
}

static void spiker_free(const struct spiker *spiker, char *base)
{
    if (spiker->heap == NULL) {
        free(base);
    } else {
        page_free(spiker->lane, base);
    }
}

static uint64_t cpu_now_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

static void sleep_until(struct os *os, uint64_t at_ns)
{
    uint64_t now_ns = os_monotonic_ns(os);

    while (now_ns < at_ns) {
        os_sleep_ns(at_ns - now_ns);
        now_ns = os_monotonic_ns(os);
    }
}

static struct bench_spike_point take_point(const struct spiker *spiker, uint64_t at_seconds)
{
    struct bench_spike_point point = {.at_seconds = at_seconds, .rss_bytes = os_resident_bytes()};

    if (spiker->heap != NULL) {
        struct page_commit_state state = page_commit_read(&spiker->heap->commit);
        point.committed_bytes = state.committed_bytes;
        point.limit_bytes = state.limit_bytes;
        /* Relaxed: a figure for a report, pairs with nothing. */
        point.peak_bytes = atomic_load_relaxed_u64(&spiker->heap->commit.peak_bytes);
    }
    return point;
}

/* Fills, frees, and notes how long that took. */
static void spike(const struct spiker *spiker, uint64_t bytes, struct bench_spike *ret_spike)
{
    size_t count = (size_t)size_max_u64(bytes / PAGE_BYTES, 1);
    char **base = mmap(NULL, count * sizeof *base, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (base == MAP_FAILED) {
        die("no memory");
    }
    uint64_t began_ns = os_monotonic_ns(os_real());
    for (size_t i = 0; i < count; i++) {
        base[i] = spiker_alloc(spiker);
        for (uint64_t byte = 0; byte < PAGE_BYTES; byte += 4096) {
            *(volatile char *)(base[i] + byte) = 1;
        }
    }
    uint64_t full_ns = os_monotonic_ns(os_real());
    ret_spike->full_rss_bytes = os_resident_bytes();
    uint64_t freeing_ns = os_monotonic_ns(os_real());
    for (size_t i = 0; i < count; i++) {
        spiker_free(spiker, base[i]);
    }
    ret_spike->fill_ns = full_ns - began_ns;
    ret_spike->free_ns = os_monotonic_ns(os_real()) - freeing_ns;
    (void)munmap(base, count * sizeof *base);
}

void bench_spike_measure(const struct bench_subject *subject, uint64_t bytes, uint64_t seconds,
                         struct bench_spike *ret_spike)
{
    struct spiker spiker = spiker_create(subject, bytes);

    Q_ASSERT(subject->kind != BENCH_MMAP);
    *ret_spike = (struct bench_spike){.point_count = bench_spike_point_count(seconds)};
    spike(&spiker, bytes, ret_spike);
    uint64_t freed_ns = os_monotonic_ns(os_real());
    uint64_t freed_cpu_ns = cpu_now_ns();
    for (size_t i = 0; i < ret_spike->point_count; i++) {
        sleep_until(os_real(), freed_ns + point_seconds[i] * Q_SECOND_NS);
        ret_spike->point[i] = take_point(&spiker, point_seconds[i]);
        ret_spike->point[i].wall_ns = os_monotonic_ns(os_real()) - freed_ns;
        ret_spike->point[i].cpu_ns = cpu_now_ns() - freed_cpu_ns;
    }
    if (spiker.heap != NULL) {
        page_heap_destroy(spiker.heap);
    }
}
