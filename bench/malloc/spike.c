/*
 * A spike of 256 MiB by malloc.
 *
 *   RSS  │   ┌──┐
 *        │  ╱    ╲        what is watched: from the last free on, the process asleep
 *        │ ╱      ╲______
 *        └────────┴────── time
 *         fill  free
 *
 * Objects are written (one byte in each OS page) and freed in the order they were allocated. With
 * survivors, one in a hundred, chosen by a fixed sequence of random numbers, is never freed: it
 * pins whatever its allocator manages memory in. That is settled before the object is allocated, so
 * that a row may take survivors from elsewhere (`alloc_survivor`): spike_256b_lifetimes takes them
 * from a lifetime of their own, which is what a program does that knows who will stay.
 *
 * The table of objects is mapped, not allocated, and unmapped before anything is watched. It is
 * resident while the spike is full, in everybody's figure alike.
 */
#include <bench/malloc/spike.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/malloc/clock.h>
#include <bench/malloc/lifetimes.h>
#include <bench/malloc/worker.h>

#define PERMILLE 1000u

static void *alloc_in_lifetime(size_t bytes)
{
    static struct bench_lifetime survivors;

    if (survivors.pool == NULL) {
        bench_lifetimes_find();
        survivors = bench_lifetime_begin("survivors");
    }
    return bench_lifetime_realloc(&survivors, NULL, bytes);
}

static const struct bench_malloc_spike_row rows[] = {
    {"spike_256b", "256 MiB in objects of 256 bytes, all freed", 256, 0, malloc, NULL},
    {"spike_256b_survivors", "likewise, 1 % not freed", 256, 10, malloc, NULL},
    {"spike_256b_lifetimes", "likewise, survivors in a lifetime of their own (quarry alone)", 256,
     10, alloc_in_lifetime, "spike_256b_survivors"},
    {"spike_64kib", "256 MiB in objects of 64 KiB, all freed", 65536, 0, malloc, NULL},
    {"spike_64kib_survivors", "likewise, 1 % not freed", 65536, 10, malloc, NULL},
};

const struct bench_malloc_spike_row *bench_malloc_spike_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_malloc_spike_row *bench_malloc_spike_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static char *make(const struct bench_malloc_spike_row *row, bool is_survivor)
{
    char *object = is_survivor ? row->alloc_survivor(row->bytes) : malloc(row->bytes);

    if (object == NULL) {
        bench_worker_die("no memory");
    }
    for (size_t i = 0; i < row->bytes; i += 4096) {
        bench_touch(object + i);
    }
    return object;
}

/* Survivors are left out of the table: nobody looks at them again. */
static void fill(const struct bench_malloc_spike_row *row, char **object,
                 struct bench_malloc_spike *spike)
{
    uint64_t random = 1;

    for (uint64_t i = 0; i < spike->object_count; i++) {
        bool is_survivor = bench_random_below(&random, PERMILLE) < row->survivor_permille;
        char *made = make(row, is_survivor);
        object[i] = is_survivor ? NULL : made;
        spike->survivor_count += is_survivor ? 1 : 0;
    }
}

void bench_malloc_spike_run(const struct bench_malloc_spike_row *row, uint64_t idle_ns,
                            void (*freed)(void), struct bench_malloc_spike *ret_spike)
{
    struct bench_malloc_spike spike = {.object_count = BENCH_MALLOC_SPIKE_BYTES / row->bytes};
    size_t table_bytes = spike.object_count * sizeof(char *);
    char **object = mmap(NULL, table_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (object == MAP_FAILED) {
        bench_worker_die("no memory");
    }
    uint64_t began_ns = os_monotonic_ns(os_real());
    fill(row, object, &spike);
    spike.fill_ns = os_monotonic_ns(os_real()) - began_ns;
    spike.full_rss_bytes = os_resident_bytes();
    began_ns = os_monotonic_ns(os_real());
    for (uint64_t i = 0; i < spike.object_count; i++) {
        free(object[i]);
    }
    spike.free_ns = os_monotonic_ns(os_real()) - began_ns;
    (void)munmap(object, table_bytes);
    uint64_t cpu_ns = bench_clock_cpu_ns();
    freed();
    uint64_t end_ns = os_monotonic_ns(os_real()) + idle_ns;
    for (uint64_t now_ns = end_ns - idle_ns; now_ns < end_ns; now_ns = os_monotonic_ns(os_real())) {
        os_sleep_ns(end_ns - now_ns);
    }
    spike.idle_cpu_ns = bench_clock_cpu_ns() - cpu_ns;
    *ret_spike = spike;
}
