/*
 * Watching children: their resident memory while they measure, and what they say.
 */
#ifndef QUARRY_BENCH_MALLOC_WATCH_H
#define QUARRY_BENCH_MALLOC_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/child.h>

/* Points at which a watched process is looked at: 0, 1, 2, 5, 10 and 30 s after its first mark. */
#define BENCH_WATCH_POINTS 6u

/* Time between two looks at a process. Twice as long would see half of what a row of 50 ms does. */
#define BENCH_WATCH_MS 5

struct bench_watch {
    struct bench_child child;
    int statm_fd; /* /proc/PID/statm; -1: none */
    bool has_begun;
    bool has_ended;
    bool is_closed; /* it has closed its stdout, or said too much */
    uint64_t begin_ns;
    uint64_t last_ns;    /* of the last look */
    uint64_t last_bytes; /* resident then */
    double byte_ns;      /* resident bytes × time, between the marks */
    size_t point_count;
    uint64_t point_bytes[BENCH_WATCH_POINTS];
    size_t used; /* of output */
    char output[BENCH_CHILD_OUTPUT_BYTES];
};

/* Seconds after the first mark. `index` is below BENCH_WATCH_POINTS. */
uint64_t bench_watch_point_seconds(size_t index);
/* How many points lie within `seconds`: at least the one at 0. */
size_t bench_watch_point_count(uint64_t seconds);

/* Starts a child. Returns: false when it could not be; else bench_watch_finish must follow. */
bool bench_watch_start(struct bench_watch *watch, const char *const *argv, const char *preload);
/*
 * Waits for at most BENCH_WATCH_MS, reads what the children say and looks at those that measure.
 * Returns: whether any has not yet closed its stdout.
 */
bool bench_watch_step(struct bench_watch *watch, size_t count);
/* Waits for its end; `output` is a text then. Returns: its exit code, or -1. */
int bench_watch_finish(struct bench_watch *watch);

#endif
