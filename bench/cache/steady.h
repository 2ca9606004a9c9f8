/*
 * A load at a constant rate on keys that have room: what somebody notices of what others do.
 */
#ifndef QUARRY_BENCH_CACHE_STEADY_H
#define QUARRY_BENCH_CACHE_STEADY_H

#include <stdbool.h>
#include <stdint.h>

#include <base/base.h>

#include <bench/cache/link.h>
#include <bench/cache/rows.h>
#include <bench/cache/zipf.h>
#include <bench/histogram.h>

/* Hits are counted by stretches of so long; a stretch of time that is longer than all of them is
 * counted into the last. */
#define BENCH_STEADY_WINDOW_NS (50 * Q_MS_NS)
#define BENCH_STEADY_WINDOWS   4096u

/* A stretch of time and what was noticed in it. */
struct bench_span {
    struct bench_histogram latency;
    uint64_t get_count, hit_count;
    uint32_t window_gets[BENCH_STEADY_WINDOWS];
    uint32_t window_hits[BENCH_STEADY_WINDOWS];
};

struct bench_steady_options {
    uint32_t link_count;
    uint32_t key_bytes, value_bytes;
    uint32_t set_permille;
    uint64_t key_count;
    double skew; /* of Zipf's law, by which keys are wanted; 0: all alike */
    double rate; /* requests per second */
};

struct bench_steady {
    struct bench_steady_options options;
    struct bench_links links;
    struct bench_zipf zipf;
    uint64_t random;
    struct bench_span *span; /* borrowed; NULL: nothing is counted */
    uint64_t begin_ns;       /* of the schedule */
    uint64_t sent_count, answered_count;
    uint64_t now_ns;
};

/* Opens connections to a server and stores all keys. The load stays where it is. */
void bench_steady_init(struct bench_steady *steady, const struct bench_server *server,
                       const struct bench_steady_options *options);
void bench_steady_fini(struct bench_steady *steady);

/* Begins a schedule, and to count into `span`, which is emptied; NULL: counts nothing. */
void bench_steady_begin(struct bench_steady *steady, struct bench_span *span);
/* Sends what is due, and looks once at what has come. Never waits. */
void bench_steady_step(struct bench_steady *steady);
/* Looks once at what has come, and sends nothing. */
void bench_steady_look(struct bench_steady *steady);
/* Sends nothing more and waits for all answers. */
void bench_steady_rest(struct bench_steady *steady);
/* The load alone for `ns`, from its begin to its rest. */
void bench_steady_alone(struct bench_steady *steady, struct bench_span *span, uint64_t ns);
/* Nanoseconds since its begin. */
uint64_t bench_steady_elapsed_ns(const struct bench_steady *steady);
/* Answers that were wrong, and refusals. */
uint64_t bench_steady_errors(const struct bench_steady *steady);

/* Hits of gets, in millionths; of no gets, 0. */
uint64_t bench_span_hit_ppm(const struct bench_span *span);
/* The longest time in which hits were fewer than that; a window without gets is as the one before.
 */
uint64_t bench_span_below_ns(const struct bench_span *span, uint64_t hit_ppm);
/* The fewest hits of a window that has gets. */
uint64_t bench_span_least_ppm(const struct bench_span *span);

#endif
