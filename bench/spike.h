/*
 * The spike: much memory used and freed, and how it goes back while the process is idle.
 */
#ifndef QUARRY_BENCH_SPIKE_H
#define QUARRY_BENCH_SPIKE_H

#include <stddef.h>
#include <stdint.h>

#include <bench/subject.h>

/* The process at one instant. Counted from when the last run was freed. */
struct bench_spike_point {
    uint64_t at_seconds;
    uint64_t rss_bytes;
    uint64_t wall_ns;
    uint64_t cpu_ns; /* user and system, of the whole process */
    /* of Quarry's budget; 0 for the peers, which have none */
    uint64_t committed_bytes;
    uint64_t peak_bytes;
    uint64_t limit_bytes;
};
#define BENCH_SPIKE_POINT_NUMBERS 7u

/* Points: at 0, 1, 2, 5, 10 and 30 s. */
#define BENCH_SPIKE_POINTS_MAX 6u

struct bench_spike {
    uint64_t full_rss_bytes; /* with everything in use */
    uint64_t fill_ns;        /* wall, until it was so */
    uint64_t free_ns;        /* wall, for freeing it all */
    size_t point_count;
    struct bench_spike_point point[BENCH_SPIKE_POINTS_MAX];
};
#define BENCH_SPIKE_HEAD_NUMBERS 3u

/* How many of the points lie within `seconds`: at least the one at 0. */
size_t bench_spike_point_count(uint64_t seconds);

/*
 * Does it in this process by the means of `subject` (not mmap), and sleeps between the points.
 * `bytes`: how much is in use at once, in runs of a page. Ends the process when memory is short.
 */
void bench_spike_measure(const struct bench_subject *subject, uint64_t bytes, uint64_t seconds,
                         struct bench_spike *ret_spike);

#endif
