/*
 * What samples cost: time, and memory.
 *
 *   start │ settled RSS │ step 0: every series is new │ steps 1 …: known │ rest │ settled RSS │
 * asked └──────── CPU ÷ series ───────┴──── CPU ÷ samples ─┘
 *
 * CPU time is counted until the server rests, so that what it puts off (memory that becomes parts
 * on the disk, collections of garbage) is in it; wall time until the last answer. Then it is asked
 * for what it took: who dropped samples has no figure.
 */
#include <bench/tsdb/rows.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/worker.h>
#include <bench/tsdb/look.h>

#define HOURS       12u /* before now */
#define QUICK_STEPS 3u
#define CHURN_QUICK 2u

/* A server that is written to. */
struct feed {
    struct bench_server server;
    struct bench_fleet fleet;
    struct bench_schedule schedule;
    struct bench_writer writer;
    uint64_t rss_before;
};

static bool feed_init(struct feed *feed, const struct bench_series_job *job)
{
    const struct bench_series_row *row = job->row;
    struct bench_server_options options = bench_series_options(job, BENCH_SERIES_MEMORY_BYTES);

    bench_server_pin_client();
    if (!bench_server_start(&options, &feed->server)) {
        return false;
    }
    feed->rss_before = bench_look_settled_bytes(&feed->server, job->is_quick);
    feed->schedule = bench_series_schedule(row, HOURS);
    bench_fleet_init(&feed->fleet, row->shape, bench_series_count(job), row->churn_steps);
    bench_writer_init(&feed->writer, &feed->server, &feed->fleet, feed->schedule, row->batch,
                      row->link_count);
    return true;
}

/* Ends the server. Returns: whether it had taken everything. */
static bool feed_fini(struct feed *feed, struct bench_look_span span)
{
    bool is_right = bench_writer_is_right(&feed->writer) &&
                    bench_look_is_whole(&feed->server, &feed->fleet, span);

    bench_writer_fini(&feed->writer);
    bench_fleet_fini(&feed->fleet);
    bench_server_stop(&feed->server);
    return is_right;
}

/* Writes steps and lets the server rest. Returns: its CPU time for it. */
static uint64_t write_steps(struct feed *feed, uint64_t first, uint64_t end, uint64_t *ret_wall_ns)
{
    uint64_t cpu_ns = bench_server_cpu_ns(&feed->server);
    uint64_t begin_ns = bench_load_now_ns();

    bench_writer_run(&feed->writer, first, end);
    *ret_wall_ns = bench_load_now_ns() - begin_ns;
    bench_server_settle(&feed->server);
    return bench_server_cpu_ns(&feed->server) - cpu_ns;
}

bool bench_series_ingest(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    uint64_t steps = job->is_quick ? QUICK_STEPS : job->row->steps;
    struct feed feed;
    uint64_t wall_ns = 0;

    if (!feed_init(&feed, job)) {
        return false;
    }
    ret_numbers[INGEST_RSS_BEFORE] = feed.rss_before;
    ret_numbers[INGEST_NEW_CPU_NS] = write_steps(&feed, 0, 1, &wall_ns);
    ret_numbers[INGEST_SERIES] = feed.fleet.series_count;
    uint64_t client_ns = bench_clock_cpu_ns();
    uint64_t body_bytes = feed.writer.sent_bytes;
    ret_numbers[INGEST_CPU_NS] = write_steps(&feed, 1, steps, &wall_ns);
    ret_numbers[INGEST_WALL_NS] = wall_ns;
    ret_numbers[INGEST_CLIENT_NS] = bench_clock_cpu_ns() - client_ns;
    ret_numbers[INGEST_SAMPLES] = (steps - 1) * feed.fleet.series_count;
    ret_numbers[INGEST_BODY_BYTES] = feed.writer.sent_bytes - body_bytes;
    ret_numbers[INGEST_RSS_AFTER] = bench_look_settled_bytes(&feed.server, job->is_quick);
    return feed_fini(&feed, bench_look_span_of(&feed.schedule, steps));
}

bool bench_series_resident(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    struct feed feed;
    uint64_t wall_ns = 0;

    if (!feed_init(&feed, job)) {
        return false;
    }
    (void)write_steps(&feed, 0, 1, &wall_ns);
    ret_numbers[RESIDENT_SERIES] = feed.fleet.series_count;
    ret_numbers[RESIDENT_RSS_BEFORE] = feed.rss_before;
    ret_numbers[RESIDENT_RSS_AFTER] = bench_look_settled_bytes(&feed.server, job->is_quick);
    ret_numbers[RESIDENT_RSS_PEAK] = bench_server_peak_bytes(&feed.server);
    return feed_fini(&feed, bench_look_span_of(&feed.schedule, 1));
}

/* ---- samples -------------------------------------------------------------------------------- */

/* So long after a window of four hours there is one more sample of each series: then no rule lets
 * any in that is older, and Quarry has sealed it. */
#define AFTER_MS    (70 * 60 * INT64_C(1000))
#define QUICK_EVERY 8u /* quick: one step in so many, likewise far apart */

/* Bytes of Quarry's windows in a state, by its own account; 0 of others. */
static uint64_t store_bytes(const struct feed *feed, const char *part)
{
    struct bench_http http;

    if (feed->server.options.kind != BENCH_SERVER_QUARRY) {
        return 0;
    }
    if (!bench_http_open(&http, &feed->server)) {
        bench_worker_die("the server refuses a connection");
    }
    double bytes = bench_look_metric(&http, part);
    bench_http_close(&http);
    return (uint64_t)bytes;
}

/* One more sample of each series, long after the others. Returns: the time of all. */
static struct bench_look_span write_after(struct feed *feed, uint64_t steps)
{
    struct bench_look_span span = bench_look_span_of(&feed->writer.schedule, steps + 1);
    uint64_t wall_ns = 0;

    feed->writer.schedule.begin_ms += AFTER_MS;
    span.last_ms += AFTER_MS;
    (void)write_steps(feed, steps, steps + 1, &wall_ns);
    return span;
}

bool bench_series_samples(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    uint64_t part = job->is_quick ? QUICK_EVERY : 1;
    uint64_t steps = job->row->steps / part;
    struct feed feed;
    uint64_t wall_ns = 0;

    if (!feed_init(&feed, job)) {
        return false;
    }
    feed.writer.schedule.interval_ms *= (int64_t)part;
    (void)write_steps(&feed, 0, 1, &wall_ns);
    ret_numbers[SAMPLES_RSS_FIRST] = bench_look_settled_bytes(&feed.server, job->is_quick);
    (void)write_steps(&feed, 1, steps, &wall_ns);
    ret_numbers[SAMPLES_OPEN] = (steps - 1) * feed.fleet.series_count;
    ret_numbers[SAMPLES_RSS_OPEN] = bench_look_settled_bytes(&feed.server, job->is_quick);
    ret_numbers[SAMPLES_STORE_OPEN] = store_bytes(&feed, "quarry_tsdb_bytes{part=\"open\"}");
    struct bench_look_span span = write_after(&feed, steps);
    ret_numbers[SAMPLES_SEALED] = steps * feed.fleet.series_count;
    ret_numbers[SAMPLES_RSS_SEALED] = bench_look_settled_bytes(&feed.server, job->is_quick);
    ret_numbers[SAMPLES_STORE_SEALED] = store_bytes(&feed, "quarry_tsdb_bytes{part=\"sealed\"}");
    ret_numbers[SAMPLES_RSS_PEAK] = bench_server_peak_bytes(&feed.server);
    return feed_fini(&feed, span);
}
