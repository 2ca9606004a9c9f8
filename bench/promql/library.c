/*
 * A server with what is asked for in it.
 *
 *   100 hosts of TSBS, 20 histograms      36 hours and a bit, a sample each minute
 *   --series of node_exporter             the last three minutes of these
 *
 * Times of queries lie half a minute beside those of samples, so that no sample is on the edge of a
 * window: Prometheus 2.42 takes the older edge in, later ones do not.
 */
#include <bench/promql/library.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <base/base.h>

#include <bench/tsdb/look.h>
#include <bench/tsdb/rows.h>

#define INTERVAL_MS 60000
#define BESIDE_MS   30000
#define BATCH       10000u
#define WIDE_STEPS  3u
#define HISTOGRAMS  20u
#define BEFORE_NOW  (15 * 60) /* seconds, that the newest samples are */
#define MORE_HOURS  2u        /* than are asked for */
#define TOGETHER    30u       /* steps */

/* A fleet that is being stored. */
struct shelf {
    struct bench_fleet fleet;
    struct bench_writer writer;
};

static void shelf_init(struct shelf *shelf, const struct bench_server *server,
                       enum bench_fleet_shape shape, uint32_t series_count,
                       struct bench_schedule schedule)
{
    bench_fleet_init(&shelf->fleet, shape, series_count, 0);
    bench_writer_init(&shelf->writer, server, &shelf->fleet, schedule, BATCH, 1);
}

/* Returns: whether all of it is there. */
static bool shelf_fini(struct shelf *shelf, const struct bench_server *server, uint64_t steps)
{
    bool is_whole = bench_writer_is_right(&shelf->writer) &&
                    bench_look_is_whole(server, &shelf->fleet,
                                        bench_look_span_of(&shelf->writer.schedule, steps));

    bench_writer_fini(&shelf->writer);
    bench_fleet_fini(&shelf->fleet);
    return is_whole;
}

/* Those that have a sample each minute, some minutes of one and then of the other: nobody takes
 * samples that are an hour older than what he has. */
static bool store_long(const struct bench_server *server, uint32_t host_count,
                       struct bench_schedule schedule, uint64_t steps)
{
    static struct shelf hosts, histograms;

    shelf_init(&hosts, server, BENCH_FLEET_TSBS, host_count * BENCH_FLEET_TSBS_SERIES, schedule);
    shelf_init(&histograms, server, BENCH_FLEET_HISTOGRAM,
               HISTOGRAMS * BENCH_FLEET_HISTOGRAM_SERIES, schedule);
    for (uint64_t step = 0; step < steps; step += TOGETHER) {
        uint64_t end = size_min_u64(step + TOGETHER, steps);
        bench_writer_run(&hosts.writer, step, end);
        bench_writer_run(&histograms.writer, step, end);
    }
    bool has_hosts = shelf_fini(&hosts, server, steps);
    return shelf_fini(&histograms, server, steps) && has_hosts;
}

static bool store_wide(const struct bench_server *server, uint32_t series_count,
                       struct bench_schedule schedule)
{
    static struct shelf wide;

    shelf_init(&wide, server, BENCH_FLEET_NODE, series_count, schedule);
    bench_writer_run(&wide.writer, 0, WIDE_STEPS);
    return shelf_fini(&wide, server, WIDE_STEPS);
}

int64_t bench_library_end_ms(void)
{
    return ((int64_t)time(NULL) - BEFORE_NOW) * 1000 / INTERVAL_MS * INTERVAL_MS;
}

static bool store_all(struct bench_library *library, const struct bench_library_options *options)
{
    uint64_t steps = (options->hours + MORE_HOURS) * UINT64_C(60);
    int64_t end_ms = options->end_ms;
    struct bench_schedule all = {end_ms - (int64_t)(steps - 1) * INTERVAL_MS, INTERVAL_MS};
    struct bench_schedule last = {end_ms - (int64_t)(WIDE_STEPS - 1) * INTERVAL_MS, INTERVAL_MS};

    library->end_ms = end_ms;
    return store_long(&library->server, options->host_count, all, steps) &&
           store_wide(&library->server, options->wide_series, last);
}

bool bench_library_open(struct bench_library *library, const struct bench_library_options *options)
{
    static const char *const settings[] = {"tsdb.windows=12", NULL}; /* 48 hours */
    struct bench_server_options server = {
        .kind = options->kind,
        .quarry = options->quarry,
        .memory_bytes = BENCH_SERIES_MEMORY_BYTES,
        .is_whole = true,
        .is_tcp = true,
        .store = BENCH_STORE_SERIES,
        .parent = options->parent,
        .settings = settings,
    };

    *library = (struct bench_library){.is_open = false};
    if (!bench_server_start(&server, &library->server)) {
        return false;
    }
    library->is_open =
        store_all(library, options) && bench_http_open(&library->http, &library->server);
    if (!library->is_open) {
        bench_server_stop(&library->server);
        return false;
    }
    bench_server_settle(&library->server);
    return true;
}

void bench_library_close(struct bench_library *library)
{
    if (library->is_open) {
        bench_http_close(&library->http);
        bench_server_stop(&library->server);
        library->is_open = false;
    }
}

bool bench_library_ask(struct bench_library *library, const struct bench_query_row *row,
                       const char *query, const char **ret_body, size_t *ret_bytes)
{
    char target[BENCH_LOOK_TARGET_BYTES];
    double end = (double)(library->end_ms + BESIDE_MS) / 1000;
    bool is_range = row->range_minutes > 0;

    Q_ASSERT(3 * strlen(query) + 256 < sizeof target);
    (void)snprintf(target, sizeof target, "/api/v1/query%s?query=", is_range ? "_range" : "");
    char *at = bench_look_escape(target + strlen(target), query);
    size_t room = (size_t)(target + sizeof target - at);
    if (is_range) {
        (void)snprintf(at, room, "&start=%.3f&end=%.3f&step=%" PRIu32,
                       end - 60.0 * row->range_minutes, end, row->step_seconds);
    } else {
        (void)snprintf(at, room, "&time=%.3f", end);
    }
    if (library->server.options.kind == BENCH_SERVER_VICTORIA) { /* else it moves the range */
        (void)snprintf(at + strlen(at), room - strlen(at), "&nocache=1");
    }
    return bench_http_get(&library->http, target, ret_body, ret_bytes) == 200;
}
