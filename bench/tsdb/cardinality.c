/*
 * New series without end.
 *
 *   fill with old series │ old ones asked for │ flood: batches of new series at a rate, after each
 * of │  p99 before        │  them an old one asked for; old ones go on │ p99 after
 *
 * Quarry has a budget and must stay in it: it refuses what it has no room for by 429, and goes on
 * taking samples of series that it knows, and answering. The peers have none. So that they do not
 * take the machine's memory they are left alone once they have twice the budget: what they took by
 * then stands in the row.
 *
 * An answer is wrong when an old series has another value than was told; a batch counts as refused
 * otherwise when its status is neither 2xx nor 429 or 503.
 */
#include <bench/tsdb/rows.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/histogram.h>
#include <bench/malloc/worker.h>
#include <bench/tsdb/look.h>

#define HOURS         12u
#define BUDGET_BYTES  Q_GIB(1)
#define FLOOD_BATCH   10000u
#define FLOOD_RATE    (10000000u / 60) /* series a second */
#define FLOOD_SECONDS 60u
#define QUICK_BATCHES 4u
#define FIRST_NEW     UINT64_C(1000000000) /* host */
#define QUERIES       500u
#define QUERIES_QUICK 20u
#define OLD_EVERY     200u /* batches of new series between steps of old ones */

struct flood {
    const struct bench_series_job *job;
    struct bench_server server;
    struct bench_fleet old, new;
    struct bench_schedule schedule;
    struct bench_writer old_writer, new_writer;
    struct bench_http http; /* of queries */
    uint64_t steps;         /* of old series, so far */
    uint64_t random;
    uint64_t wrong_count;
};

/* Asks for the figures of an old host, as they are after the last step. */
static void ask(struct flood *flood, struct bench_histogram *latency)
{
    char query[96];
    uint32_t host_count = flood->old.series_count / flood->old.host_series;
    uint32_t host = bench_random_below(&flood->random, host_count);
    double wanted = 0;
    double value = -1;

    for (uint32_t i = 0; i < flood->old.host_series; i++) {
        wanted += flood->old.series[host * flood->old.host_series + i].value;
    }
    (void)snprintf(query, sizeof query, "sum({hostname=\"host_%" PRIu32 "\"})", host);
    uint64_t begin_ns = bench_load_now_ns();
    bool has_value = bench_look_value(
        &flood->http, query, bench_schedule_at(&flood->schedule, flood->steps - 1), &value);
    bench_histogram_add(latency, bench_load_now_ns() - begin_ns);
    if (!has_value || value != wanted) {
        flood->wrong_count++;
    }
}

/* Returns: p99 of so many, one after the other. */
static uint64_t ask_often(struct flood *flood)
{
    static struct bench_histogram latency;
    uint32_t count = flood->job->is_quick ? QUERIES_QUICK : QUERIES;

    memset(&latency, 0, sizeof latency);
    for (uint32_t i = 0; i < count; i++) {
        ask(flood, &latency);
    }
    return bench_histogram_quantile(&latency, 9900);
}

/* Whether the flood goes on after so many batches. */
static bool goes_on(const struct flood *flood, uint64_t batches, uint64_t begin_ns)
{
    if (bench_server_rss_bytes(&flood->server) > 2 * BUDGET_BYTES) {
        return false;
    }
    return flood->job->is_quick ? batches < QUICK_BATCHES
                                : bench_load_now_ns() - begin_ns < FLOOD_SECONDS * Q_SECOND_NS;
}

/* Waits until a batch is due. */
static void pace(uint64_t batches, uint64_t begin_ns)
{
    uint64_t due_ns = begin_ns + batches * FLOOD_BATCH * Q_SECOND_NS / FLOOD_RATE;
    uint64_t now_ns = bench_load_now_ns();

    if (now_ns < due_ns) {
        (void)usleep((useconds_t)((due_ns - now_ns) / Q_US_NS));
    }
}

static void write_flood(struct flood *flood, uint64_t *ret_numbers)
{
    static struct bench_histogram latency;
    uint64_t begin_ns = bench_load_now_ns();
    uint64_t batches = 0;

    for (; goes_on(flood, batches, begin_ns); batches++) {
        pace(batches, begin_ns);
        bench_writer_run(&flood->new_writer, batches, batches + 1);
        ask(flood, &latency);
        if (batches % OLD_EVERY == OLD_EVERY - 1) {
            bench_writer_run(&flood->old_writer, flood->steps, flood->steps + 1);
            if (flood->job->kind == BENCH_SERVER_VICTORIA) {
                (void)usleep(2000000); /* it shows what it took a second later */
            }
            flood->steps++;
        }
    }
    ret_numbers[CARDINALITY_NS] = bench_load_now_ns() - begin_ns;
    ret_numbers[CARDINALITY_OFFERED] = batches * FLOOD_BATCH;
    ret_numbers[CARDINALITY_P99_DURING] = bench_histogram_quantile(&latency, 9900);
}

static bool begin(struct flood *flood)
{
    const struct bench_series_row *row = flood->job->row;
    struct bench_server_options options = bench_series_options(flood->job, BUDGET_BYTES);

    bench_server_pin_client();
    if (!bench_server_start(&options, &flood->server)) {
        return false;
    }
    flood->steps = row->steps;
    flood->random = FIRST_NEW;
    flood->schedule = bench_series_schedule(row, HOURS);
    bench_fleet_init(&flood->old, row->shape, bench_series_count(flood->job), 0);
    bench_writer_init(&flood->old_writer, &flood->server, &flood->old, flood->schedule, row->batch,
                      1);
    bench_writer_run(&flood->old_writer, 0, flood->steps);
    struct bench_schedule at = {bench_schedule_at(&flood->schedule, flood->steps - 1), 0};
    bench_fleet_init(&flood->new, row->shape, FLOOD_BATCH, 1); /* others at each step */
    flood->new.first_host = FIRST_NEW;
    bench_writer_init(&flood->new_writer, &flood->server, &flood->new, at, FLOOD_BATCH, 1);
    return bench_http_open(&flood->http, &flood->server) &&
           bench_look_is_whole(&flood->server, &flood->old,
                               bench_look_span_of(&flood->schedule, flood->steps));
}

static void end(struct flood *flood)
{
    bench_http_close(&flood->http);
    bench_writer_fini(&flood->old_writer);
    bench_writer_fini(&flood->new_writer);
    bench_fleet_fini(&flood->old);
    bench_fleet_fini(&flood->new);
    bench_server_stop(&flood->server);
}

bool bench_series_cardinality(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    static struct flood flood;

    flood.job = job;
    if (!begin(&flood)) {
        return false;
    }
    bench_server_settle(&flood.server);
    ret_numbers[CARDINALITY_P99_BEFORE] = ask_often(&flood);
    write_flood(&flood, ret_numbers);
    bench_server_settle(&flood.server);
    ret_numbers[CARDINALITY_P99_AFTER] = ask_often(&flood);
    ret_numbers[CARDINALITY_RSS_PEAK] = bench_server_peak_bytes(&flood.server);
    ret_numbers[CARDINALITY_LIMIT] = BUDGET_BYTES;
    ret_numbers[CARDINALITY_TAKEN] = flood.new_writer.answers.taken_samples;
    ret_numbers[CARDINALITY_BUSY] = flood.new_writer.answers.busy;
    ret_numbers[CARDINALITY_OTHER] = flood.new_writer.answers.refused + flood.wrong_count;
    bool is_right = bench_writer_is_right(&flood.old_writer);
    end(&flood);
    return is_right;
}
