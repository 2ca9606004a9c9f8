/*
 * Rows of `quarry bench tsdb`: what is measured in them, for the sitting and for its children.
 */
#ifndef QUARRY_BENCH_TSDB_ROWS_H
#define QUARRY_BENCH_TSDB_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/cache/server.h>
#include <bench/tsdb/fleet.h>
#include <bench/tsdb/writer.h>

enum bench_series_kind {
    BENCH_SERIES_INGEST,   /* what a sample costs */
    BENCH_SERIES_RESIDENT, /* memory for a series with one sample */
    BENCH_SERIES_SAMPLES,  /* memory for a sample, in a window that is open and one that is not */
    BENCH_SERIES_RESTART,  /* until the first right answer */
    BENCH_SERIES_CARDINALITY, /* new series without end, within a budget */
    BENCH_SERIES_HOURS,       /* days of samples, one hour after the other */
    BENCH_SERIES_KIND_COUNT,
};

/* Numbers that a child prints, by kind; the constants below name them. */
#define BENCH_SERIES_NUMBERS 10u

/* BENCH_SERIES_INGEST */
enum {
    INGEST_SAMPLES, /* of known series */
    INGEST_CPU_NS,
    INGEST_WALL_NS,
    INGEST_CLIENT_NS,
    INGEST_SERIES, /* that were new in the first step */
    INGEST_NEW_CPU_NS,
    INGEST_RSS_BEFORE,
    INGEST_RSS_AFTER,
    INGEST_BODY_BYTES
};
/* BENCH_SERIES_RESIDENT */
enum { RESIDENT_SERIES, RESIDENT_RSS_BEFORE, RESIDENT_RSS_AFTER, RESIDENT_RSS_PEAK };
/* BENCH_SERIES_SAMPLES; RSS after the first sample of each series, and later */
enum {
    SAMPLES_OPEN,
    SAMPLES_SEALED, /* all, the window of the first being sealed */
    SAMPLES_RSS_FIRST,
    SAMPLES_RSS_OPEN,
    SAMPLES_RSS_SEALED,
    SAMPLES_RSS_PEAK,
    SAMPLES_STORE_OPEN, /* Quarry's own figure of its open windows, then of sealed ones */
    SAMPLES_STORE_SEALED
};
/* BENCH_SERIES_RESTART; times in nanoseconds */
enum { RESTART_MEDIAN, RESTART_WORST, RESTART_END_MEDIAN, RESTART_SERIES, RESTART_SAMPLES };
/* BENCH_SERIES_CARDINALITY; times in nanoseconds */
enum {
    CARDINALITY_P99_BEFORE,
    CARDINALITY_P99_DURING,
    CARDINALITY_P99_AFTER,
    CARDINALITY_RSS_PEAK,
    CARDINALITY_LIMIT,
    CARDINALITY_OFFERED, /* series */
    CARDINALITY_TAKEN,
    CARDINALITY_BUSY,  /* answers 429 and 503 */
    CARDINALITY_OTHER, /* other answers that refuse, or wrong values of old series */
    CARDINALITY_NS     /* that it lasted */
};
/* BENCH_SERIES_HOURS */
enum {
    HOURS_PEAK,   /* resident, once all windows were there */
    HOURS_STEADY, /* the median of the hours' ends */
    HOURS_SAMPLES,
    HOURS_CPU_NS,
    HOURS_LIVE_BYTES,  /* Quarry's, at the hour of the greatest waste */
    HOURS_WASTE_BYTES, /* pages beyond these */
    HOURS_PURGED_BYTES,
    HOURS_KEPT_BYTES, /* of them, that were not given back */
    HOURS_RESTART_NS,
    HOURS_PURGED_WINDOWS
};

struct bench_series_row {
    const char *name;
    const char *title; /* for people */
    enum bench_series_kind kind;
    enum bench_fleet_shape shape;
    bool is_long;   /* minutes: measured only when --rows asks for it by more than "*" */
    bool is_killed; /* of a restart: by SIGKILL; else by SIGTERM */
    uint32_t series_count;
    uint32_t steps;
    uint32_t interval_seconds;
    uint32_t churn_steps;
    uint32_t batch;
    uint32_t link_count;
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_series_row *bench_series_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_series_row *bench_series_row_find(const char *name);
/* Whether a sitting whose rows are those of a pattern has it. */
bool bench_series_row_is_asked_for(const struct bench_series_row *row, const char *pattern);

/* One measurement. All is borrowed. */
struct bench_series_job {
    const struct bench_series_row *row;
    enum bench_server_kind kind;
    const char *quarry; /* path of Quarry's program */
    const char *parent; /* where stores are made */
    bool is_quick;
};

/* Each measures a kind of row: writes BENCH_SERIES_NUMBERS at most. Returns: false when it failed,
 * which has been said on stderr. */
typedef bool bench_series_run(const struct bench_series_job *job, uint64_t *ret_numbers);
bench_series_run bench_series_ingest;
bench_series_run bench_series_resident;
bench_series_run bench_series_samples;
bench_series_run bench_series_restart;
bench_series_run bench_series_cardinality;
bench_series_run bench_series_hours;

/* What jobs begin with: the options of a server of `memory_bytes`. */
struct bench_server_options bench_series_options(const struct bench_series_job *job,
                                                 uint64_t memory_bytes);
/* The row's series: fewer when it is quick. */
uint32_t bench_series_count(const struct bench_series_job *job);
/* A schedule whose step 0 begins a window of four hours, `hours` or more before now. */
struct bench_schedule bench_series_schedule(const struct bench_series_row *row, uint32_t hours);
/* What Quarry has where no row is about it: as much as it wants. */
#define BENCH_SERIES_MEMORY_BYTES (UINT64_C(8) << 30)

#endif
