/*
 * The rows.
 *
 *   target_b2000_c1            20,000 series of TSBS, a sample each in batches of 2,000
 *   SHAPE_SERIES_bBATCH_cN     samples of a fleet's known series, N connections
 *   churn_100k_…               a tenth of the series is new in each step
 *   memory_series_1m           a million series of eight labels with a sample each
 *   memory_samples_node        ten hosts of node_exporter, a window of four hours each 15 s
 *   restart_clean, restart_kill   until the first right answer
 *   cardinality_1g             new series without end in a budget of 1 GiB
 *   hours_36                   36 hours to fill all windows, and 36 hours after them
 */
#include <bench/tsdb/rows.h>

#include <fnmatch.h>
#include <string.h>
#include <time.h>

#include <base/base.h>

#define INTERVAL_SECONDS 15u
#define WINDOW_SECONDS   (4u * 3600)
#define QUICK_SERIES     1000u

#define INGEST(name_, title_, shape_, series_, steps_, churn_, batch_, links_)                     \
    {                                                                                              \
        .name = (name_), .title = (title_), .kind = BENCH_SERIES_INGEST, .shape = (shape_),        \
        .series_count = (series_), .steps = (steps_), .churn_steps = (churn_),                     \
        .interval_seconds = INTERVAL_SECONDS, .batch = (batch_), .link_count = (links_)            \
    }
#define CONNECTIONS(shape, SHAPE, size, series, steps, batch)                                      \
    INGEST(#shape "_" #size "_b" #batch "_c1", #size " series, " #batch " samples a request",      \
           SHAPE, series, steps, 0, batch, 1),                                                     \
        INGEST(#shape "_" #size "_b" #batch "_c8",                                                 \
               #size " series, " #batch " samples a request, 8 connections", SHAPE, series, steps, \
               0, batch, 8)
#define BATCHES(shape, SHAPE, size, series, steps)                                                 \
    CONNECTIONS(shape, SHAPE, size, series, steps, 500),                                           \
        CONNECTIONS(shape, SHAPE, size, series, steps, 10000)
#define SIZES(shape, SHAPE)                                                                        \
    BATCHES(shape, SHAPE, 10k, 10000, 100), BATCHES(shape, SHAPE, 100k, 100000, 11),               \
        BATCHES(shape, SHAPE, 1m, 1000000, 3)
#define RESTART(name_, title_, is_killed_)                                                         \
    {                                                                                              \
        .name = (name_), .title = (title_), .kind = BENCH_SERIES_RESTART, .is_killed = is_killed_, \
        .shape = BENCH_FLEET_TSBS, .series_count = 100000, .steps = 30,                            \
        .interval_seconds = INTERVAL_SECONDS, .batch = 10000, .link_count = 1                      \
    }

static const struct bench_series_row rows[] = {
    INGEST("target_b2000_c1", "20k series of TSBS, 2000 samples a request", BENCH_FLEET_TSBS, 20000,
           60, 0, 2000, 1),
    SIZES(tsbs, BENCH_FLEET_TSBS),
    SIZES(node, BENCH_FLEET_NODE),
    INGEST("churn_100k_b10000_c8", "100k series, a tenth of them new in each step",
           BENCH_FLEET_TSBS, 100000, 21, 10, 10000, 8),
    {.name = "memory_series_1m",
     .title = "resident bytes of a series of eight labels with one sample",
     .kind = BENCH_SERIES_RESIDENT,
     .shape = BENCH_FLEET_TSBS,
     .series_count = 1000000,
     .steps = 1,
     .interval_seconds = INTERVAL_SECONDS,
     .batch = 10000,
     .link_count = 1},
    {.name = "memory_samples_node",
     .title = "resident bytes of a sample of node_exporter, 10k series, 4 h each 15 s",
     .kind = BENCH_SERIES_SAMPLES,
     .shape = BENCH_FLEET_NODE,
     .series_count = 10000,
     .steps = 960,
     .interval_seconds = INTERVAL_SECONDS,
     .batch = 10000,
     .link_count = 1},
    RESTART("restart_clean", "100k series with 30 samples: ended, started, asked", false),
    RESTART("restart_kill", "the same, killed", true),
    {.name = "cardinality_1g",
     .title = "10 M new series a minute in a budget of 1 GiB, for a minute",
     .kind = BENCH_SERIES_CARDINALITY,
     .shape = BENCH_FLEET_TSBS,
     .series_count = 100000,
     .steps = 4,
     .interval_seconds = INTERVAL_SECONDS,
     .batch = 10000,
     .link_count = 1},
    {.name = "hours_36",
     .title = "36 hours after the first 36, 8k series of node_exporter each 60 s, churn, a restart",
     .kind = BENCH_SERIES_HOURS,
     .shape = BENCH_FLEET_NODE,
     .is_long = true,
     .series_count = 8000,
     .steps = 72 * 60,
     .interval_seconds = 60,
     .churn_steps = 240,
     .batch = 10000,
     .link_count = 1},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

const struct bench_series_row *bench_series_rows(size_t *ret_count)
{
    *ret_count = ROW_COUNT;
    return rows;
}

const struct bench_series_row *bench_series_row_find(const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

bool bench_series_row_is_asked_for(const struct bench_series_row *row, const char *pattern)
{
    return (!row->is_long || strcmp(pattern, "*") != 0) && fnmatch(pattern, row->name, 0) == 0;
}

struct bench_server_options bench_series_options(const struct bench_series_job *job,
                                                 uint64_t memory_bytes)
{
    return (struct bench_server_options){
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = memory_bytes,
        .is_whole = true,
        .is_tcp = true,
        .store = BENCH_STORE_SERIES,
        .parent = job->parent,
    };
}

uint32_t bench_series_count(const struct bench_series_job *job)
{
    return job->is_quick ? QUICK_SERIES : job->row->series_count;
}

struct bench_schedule bench_series_schedule(const struct bench_series_row *row, uint32_t hours)
{
    int64_t now = (int64_t)time(NULL) - (int64_t)hours * 3600;

    return (struct bench_schedule){.begin_ms = now / WINDOW_SECONDS * WINDOW_SECONDS * 1000,
                                   .interval_ms = (int64_t)row->interval_seconds * 1000};
}
