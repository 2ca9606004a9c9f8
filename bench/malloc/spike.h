/*
 * Spike and idle: much memory in use, freed but for some survivors, and watched while nothing
 * happens.
 */
#ifndef QUARRY_BENCH_MALLOC_SPIKE_H
#define QUARRY_BENCH_MALLOC_SPIKE_H

#include <stddef.h>
#include <stdint.h>

/* What is in use at once. */
#define BENCH_MALLOC_SPIKE_BYTES (UINT64_C(256) << 20)

struct bench_malloc_spike_row {
    const char *name;
    const char *title;
    size_t bytes;               /* of each object */
    uint32_t survivor_permille; /* chosen at random; never freed */
    /* Where those that will survive come from; malloc, unless a row is about something else. */
    void *(*alloc_survivor)(size_t bytes);
    /* NULL, or: what only Quarry can do; its peers are those of the row of this name. */
    const char *peers_row;
};

/* What the process in which it happened knows. Resident memory is watched from outside. */
struct bench_malloc_spike {
    uint64_t object_count;
    uint64_t survivor_count;
    uint64_t full_rss_bytes; /* with everything in use */
    uint64_t fill_ns;
    uint64_t free_ns;
    uint64_t idle_cpu_ns; /* user and system, all threads, from the last free to the end */
};
#define BENCH_MALLOC_SPIKE_NUMBERS 6u

const struct bench_malloc_spike_row *bench_malloc_spike_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_malloc_spike_row *bench_malloc_spike_find(const char *name);

/*
 * Does it in this process. `freed` is called after the last free; then the process sleeps for
 * `idle_ns` without a call of malloc or free.
 */
void bench_malloc_spike_run(const struct bench_malloc_spike_row *row, uint64_t idle_ns,
                            void (*freed)(void), struct bench_malloc_spike *ret_spike);

#endif
