/*
 * The parent's side of a measurement: each function runs children and reads what they found.
 */
#ifndef QUARRY_BENCH_MALLOC_RUN_H
#define QUARRY_BENCH_MALLOC_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <bench/malloc/measure.h>
#include <bench/malloc/rows.h>
#include <bench/malloc/spike.h>
#include <bench/malloc/story.h>
#include <bench/malloc/subject.h>
#include <bench/malloc/watch.h>
#include <bench/subject.h>

/* One round of a row. */
struct bench_malloc_round {
    struct bench_malloc_sample sample;
    double rss_byte_ns; /* resident memory over time, between the beginning and the end */
};

/* A spike, from inside and from outside. */
struct bench_malloc_idle {
    struct bench_malloc_spike spike;
    size_t point_count;
    uint64_t point_bytes[BENCH_WATCH_POINTS];
    double rss_byte_ns; /* while idle */
};

/* Whether a child that is started as `subject` is really it. */
bool bench_malloc_run_probe(const struct bench_subject *subject);
/* Returns: false when the child failed, which it has said on stderr; likewise below. */
bool bench_malloc_run_row(const struct bench_subject *subject, const struct bench_malloc_row *row,
                          uint64_t step_count, uint32_t thread_count,
                          struct bench_malloc_round *ret_round);
/* Instructions for each operation, by two runs under callgrind of which one is longer. */
bool bench_malloc_run_count(const struct bench_subject *subject, const struct bench_malloc_row *row,
                            double *ret_instructions);

/* A spike to be run, and what came of it. */
struct bench_malloc_idler {
    const struct bench_subject *subject;
    const struct bench_malloc_spike_row *row;
    bool has_failed;
    struct bench_malloc_idle idle;
};
/*
 * Runs spikes that are idle together: each is begun when the one before it has freed its memory.
 * `count`: at most 48.
 */
void bench_malloc_run_spikes(struct bench_malloc_idler *idler, size_t count, uint64_t seconds);

/* A phase of the story to be run, and what came of it. */
struct bench_malloc_teller {
    const struct bench_subject *subject;
    struct bench_story_options options;
    bool has_failed;
    struct bench_story_hour hour[BENCH_STORY_HOURS + 1];
};
/* Runs them all at the same time: they sleep more than they work. `count`: at most 48. */
void bench_malloc_run_stories(struct bench_malloc_teller *teller, size_t count);

/* The phases of a store, before and after the restart. */
#define BENCH_STORY_PHASES 2u

/* All that is told: plain malloc in each subject's store, and Quarry's lifetimes in one more. */
struct bench_malloc_story {
    struct bench_malloc_teller teller[BENCH_MALLOC_SUBJECTS][BENCH_STORY_PHASES];
    const char *absent_reason[BENCH_MALLOC_SUBJECTS]; /* NULL: measured */
    struct bench_malloc_teller lifetimes[BENCH_STORY_PHASES];
    const char *lifetimes_reason; /* likewise */
};

#endif
