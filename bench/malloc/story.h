/*
 * The restart story: a time-series store that runs for 36 hours, is started anew from a snapshot,
 * and runs for 36 hours more; how much memory it holds beyond what it asked for, hour by hour.
 */
#ifndef QUARRY_BENCH_MALLOC_STORY_H
#define QUARRY_BENCH_MALLOC_STORY_H

#include <stdbool.h>
#include <stdint.h>

/* Hours of each phase: the time after which a window is purged. */
#define BENCH_STORY_HOURS 36u

struct bench_story_options {
    bool is_after;      /* begins with a snapshot of what the phase before it ends with */
    bool has_lifetimes; /* each window's chunks are in a lifetime of their own: Quarry alone */
    uint64_t series_count;
    uint64_t pause_ns; /* real time that passes after each hour, asleep */
};

struct bench_story_hour {
    uint64_t live_bytes;     /* asked for and not freed */
    uint64_t resident_bytes; /* grown since before the first allocation */
    uint64_t page_bytes;     /* pages in use in the windows' lifetimes; 0 without them */
};

/*
 * Runs one phase in this process, which must not have allocated much before.
 * `ret_hour`: BENCH_STORY_HOURS + 1 of them: the first is the beginning, with nothing in it or with
 * the snapshot read.
 */
void bench_story_run(const struct bench_story_options *options, struct bench_story_hour *ret_hour);

#endif
