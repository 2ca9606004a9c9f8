/*
 * Series of many kinds, for tests of codecs: what is measured in practice, and what is not.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_SERIES_H
#define QUARRY_TESTS_UNIT_TSDB_SERIES_H

#include <stdint.h>

enum series_kind {
    SERIES_CONSTANT,
    SERIES_WALK,       /* integers from 0 to 100, up and down by one: TSBS' cpu-only */
    SERIES_DOUBLES,    /* any doubles of [0, 1) */
    SERIES_COUNTER,    /* growing by about 1000 */
    SERIES_SLOW,       /* growing by one now and then */
    SERIES_SECONDS,    /* a counter of hundredths */
    SERIES_DURATIONS,  /* nanoseconds as seconds, about 1 ms */
    SERIES_RESETS,     /* a counter that begins again */
    SERIES_STATES,     /* one of five values far apart */
    SERIES_STALE,      /* a gauge that goes away now and then */
    SERIES_NANS,       /* NaNs of all payloads, infinities, zeros of both signs */
    SERIES_BITS,       /* any 64 bits */
    SERIES_SMALL_BITS, /* integers as they are, not as doubles: buckets of histograms */
    SERIES_PRODUCTS,   /* thousandths by multiplying: nearly decimals */
    SERIES_RATIOS,     /* a walk of quotients */
    SERIES_EDGES,      /* around what doubles and decimals can hold */
    SERIES_MIXED,      /* pieces of the others */
    SERIES_KIND_COUNT,
};

/* A name, for what is printed. */
const char *series_name(enum series_kind kind);

/* Fills `ret_bits` with `count` values; the same for the same seed. */
void series_fill(enum series_kind kind, uint64_t seed, uint32_t count, uint64_t *ret_bits);

enum series_times {
    TIMES_REGULAR, /* each 15 s */
    TIMES_MISSED,  /* each 15 s, one in 50 is not there */
    TIMES_JITTER,  /* some milliseconds to and fro */
    TIMES_ANY,     /* rising by anything */
    TIMES_WILD,    /* any 64 bits */
    TIMES_KIND_COUNT,
};

/* Fills `ret_t_ms` with `count` times. */
void series_fill_times(enum series_times kind, uint64_t seed, uint32_t count, int64_t *ret_t_ms);

#endif
