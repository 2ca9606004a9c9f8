/*
 * Days, an hour at a time.
 *
 *   hours 0 … 35: the windows fill │ 36 … 71: each four hours one is begun and one is purged
 *                                  │        54: ended, started, asked until the answer is right
 *   at the end of each hour: rest, resident bytes; of Quarry pages of windows and what lives there
 *
 * What a store holds does not grow after hour 36, and resident bytes should not either. Peak is the
 * most that was resident at any moment since, by the kernel's account, which begins anew with the
 * process; steady is the median of the hours' ends. Waste is that of the worst hour.
 *
 * Pages that came back: Quarry names a lane for each window, and its metrics say what each has in
 * use. The most that a lane of a sealed window ever had, summed up over those whose windows are
 * purged, beside what these have at the end of the process.
 */
#include <bench/tsdb/rows.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>
#include <bench/statistics.h>
#include <bench/tsdb/look.h>

#define HOURS           72u
#define FILL_HOURS      36u
#define RESTART_HOUR    54u
#define BEFORE_NOW      80u /* hours, that the first one begins */
#define QUICK_STEPS     4u  /* an hour */
#define LANES_MAX       64u
#define RETENTION_HOURS 36u
#define LOOKS_MAX       100
#define LOOK_MS         50
#define LANE            "lane=\"tsdb-sealed-"

/* What a lane of a sealed window has and had at most. */
struct lane {
    uint64_t now_bytes, most_bytes;
};

struct days {
    const struct bench_series_job *job;
    struct bench_server server;
    struct bench_fleet fleet;
    struct bench_schedule schedule;
    struct bench_writer writer;
    uint64_t hour_steps;
    struct lane lane[LANES_MAX];
    uint64_t purged_count;               /* windows, of this process */
    double resident[HOURS - FILL_HOURS]; /* at the ends of hours */
    uint64_t peak_bytes;
    uint64_t cpu_ns; /* of a process that has been ended */
    uint64_t *numbers;
};

/* ---- Quarry's own account -------------------------------------------------------------------- */

static void forget_lanes(struct days *days)
{
    for (size_t i = 0; i < LANES_MAX; i++) {
        days->lane[i].now_bytes = 0;
    }
}

/* Adds what one line says, if it is of a sealed window's lane. Lanes have rising numbers. */
static void add_lane(struct days *days, const char *line, const char *end)
{
    const char *found = memmem(line, (size_t)(end - line), LANE, strlen(LANE));
    const char *value = memrchr(line, ' ', (size_t)(end - line));

    if (found == NULL || value == NULL) {
        return;
    }
    unsigned long number = strtoul(found + strlen(LANE), NULL, 10);
    struct lane *lane = &days->lane[number % LANES_MAX];
    lane->now_bytes += strtoull(value, NULL, 10);
    lane->most_bytes = size_max_u64(lane->most_bytes, lane->now_bytes);
}

static void read_lanes(struct days *days, struct bench_http *http)
{
    const char *line = NULL;
    size_t bytes = 0;

    if (bench_http_get(http, "/metrics", &line, &bytes) != 200) {
        bench_worker_die("the server does not tell its metrics");
    }
    forget_lanes(days);
    for (const char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
        add_lane(days, line, end);
        line = end + 1;
    }
}

/* Reads what Quarry says of its windows. `ret_bytes`: their pages, and what lives in them. */
static void read_account(struct days *days, double ret_bytes[2])
{
    struct bench_http http;

    if (!bench_http_open(&http, &days->server)) {
        bench_worker_die("the server refuses a connection");
    }
    /* First: a window that goes before the lanes are read has given its pages back by then. */
    days->purged_count = (uint64_t)bench_look_metric(&http, "quarry_tsdb_purged_windows_total");
    read_lanes(days, &http);
    ret_bytes[0] = bench_look_metric(&http, "quarry_tsdb_bytes{part=\"open\"}") +
                   bench_look_metric(&http, "quarry_tsdb_bytes{part=\"sealed\"}");
    ret_bytes[1] = bench_look_metric(&http, "quarry_tsdb_used_bytes{");
    bench_http_close(&http);
}

static void keep_waste(uint64_t *numbers, const double bytes[2])
{
    uint64_t waste = bytes[0] > bytes[1] ? (uint64_t)(bytes[0] - bytes[1]) : 0;

    if (waste >= numbers[HOURS_WASTE_BYTES]) {
        numbers[HOURS_WASTE_BYTES] = waste;
        numbers[HOURS_LIVE_BYTES] = (uint64_t)bytes[1];
    }
}

static int by_bytes(const void *a, const void *b)
{
    uint64_t left = ((const struct lane *)a)->now_bytes;
    uint64_t right = ((const struct lane *)b)->now_bytes;

    return (left > right) - (left < right);
}

/* Of what was purged: what it had at most, and has now. */
struct purged {
    uint64_t bytes, kept_bytes;
};

/* Of lanes of windows that had something, as many as there were purged that have least. */
static struct purged read_purged(struct days *days)
{
    struct purged purged = {0};
    double bytes[2];

    read_account(days, bytes);
    uint64_t left = days->purged_count;
    struct lane lanes[LANES_MAX];
    memcpy(lanes, days->lane, sizeof lanes);
    qsort(lanes, LANES_MAX, sizeof *lanes, by_bytes);
    for (size_t i = 0; i < LANES_MAX && left > 0; i++) {
        purged.bytes += lanes[i].most_bytes;
        purged.kept_bytes += lanes[i].now_bytes;
        left -= lanes[i].most_bytes > 0;
    }
    return purged;
}

/* Adds windows that were purged. One that a request still looks at gives its pages back when that
 * has ended: it is looked for again, a while long. Lanes' numbers begin anew with the process. */
static void keep_purged(struct days *days)
{
    if (days->job->kind != BENCH_SERVER_QUARRY) {
        return;
    }
    struct purged purged = read_purged(days);
    for (int i = 0; i < LOOKS_MAX && purged.kept_bytes != 0; i++) {
        (void)usleep(LOOK_MS * 1000);
        purged = read_purged(days);
    }
    days->numbers[HOURS_PURGED_BYTES] += purged.bytes;
    days->numbers[HOURS_KEPT_BYTES] += purged.kept_bytes;
    days->numbers[HOURS_PURGED_WINDOWS] += days->purged_count;
    memset(days->lane, 0, sizeof days->lane);
}

/* ---- hours ----------------------------------------------------------------------------------- */

/* Looks at the server at the end of an hour, and prints it. */
static void look(struct days *days, uint32_t hour)
{
    double bytes[2] = {0, 0};

    if (!days->job->is_quick) {
        bench_server_settle(&days->server);
    }
    uint64_t resident = bench_server_rss_bytes(&days->server);
    if (days->job->kind == BENCH_SERVER_QUARRY) {
        read_account(days, bytes);
    }
    if (hour >= FILL_HOURS) {
        days->resident[hour - FILL_HOURS] = (double)resident;
        keep_waste(days->numbers, bytes);
    }
    (void)printf("hour %" PRIu32 " %" PRIu64 " %.0f %.0f\n", hour, resident, bytes[0], bytes[1]);
}

static void keep_peak(struct days *days)
{
    days->peak_bytes = size_max_u64(days->peak_bytes, bench_server_peak_bytes(&days->server));
}

/* Asks until the last sum is right. Churn leaves series of hosts that are gone within the lookback,
 * so that it is asked for hosts that are not. */
static bool answers_right(struct days *days, uint64_t steps)
{
    char query[128];
    struct bench_http http;
    struct bench_fleet_part probe = bench_fleet_probe(days->fleet.shape);
    double wanted = 0;
    double value = -1;

    for (uint32_t i = 0; i < probe.count; i++) {
        wanted += days->fleet.series[probe.first + i].value;
    }
    (void)snprintf(query, sizeof query,
                   "sum(node_netstat_slow_total{instance=\"10.0.0.1:9%" PRIu64 "\"})",
                   bench_fleet_host(&days->fleet, 0, steps - 1));
    if (!bench_http_open(&http, &days->server)) {
        return false;
    }
    for (uint32_t i = 0; i < 60000 && value != wanted; i++) {
        if (!bench_look_value(&http, query, bench_schedule_at(&days->schedule, steps - 1),
                              &value) ||
            value != wanted) {
            (void)usleep(1000);
        }
    }
    bench_http_close(&http);
    if (value != wanted) {
        (void)fprintf(stderr, "%s is %.17g instead of %.17g\n", query, value, wanted);
    }
    return value == wanted;
}

static void open_writer(struct days *days)
{
    bench_writer_init(&days->writer, &days->server, &days->fleet, days->schedule,
                      days->job->row->batch, days->job->row->link_count);
}

static bool restart(struct days *days, uint64_t steps)
{
    bool is_right = bench_writer_is_right(&days->writer);

    bench_writer_fini(&days->writer);
    keep_purged(days);
    keep_peak(days);
    days->cpu_ns += bench_server_cpu_ns(&days->server);
    bench_server_end(&days->server, SIGTERM);
    uint64_t begin_ns = bench_load_now_ns();
    is_right = is_right && bench_server_begin(&days->server) && answers_right(days, steps);
    days->numbers[HOURS_RESTART_NS] = bench_load_now_ns() - begin_ns;
    if (is_right) {
        open_writer(days);
    }
    return is_right;
}

/* Returns: false when the server did not come up again, or with wrong answers. */
static bool pass_hours(struct days *days)
{
    for (uint32_t hour = 0; hour < HOURS; hour++) {
        if (hour == FILL_HOURS) {
            bench_server_forget_peak(&days->server);
        }
        if (hour == RESTART_HOUR && !restart(days, hour * days->hour_steps)) {
            return false;
        }
        bench_writer_run(&days->writer, hour * days->hour_steps, (hour + 1) * days->hour_steps);
        look(days, hour);
    }
    bench_server_settle(&days->server);
    keep_purged(days);
    keep_peak(days);
    days->cpu_ns += bench_server_cpu_ns(&days->server);
    return true;
}

static void sum_up(struct days *days)
{
    uint64_t *numbers = days->numbers;

    numbers[HOURS_PEAK] = days->peak_bytes;
    numbers[HOURS_STEADY] = (uint64_t)bench_summarize(days->resident, HOURS - FILL_HOURS).median;
    numbers[HOURS_SAMPLES] = HOURS * days->hour_steps * days->fleet.series_count;
    numbers[HOURS_CPU_NS] = days->cpu_ns;
}

bool bench_series_hours(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    static struct days days;
    struct bench_server_options options = bench_series_options(job, BENCH_SERIES_MEMORY_BYTES);
    bool is_right = false;

    options.retention_hours = RETENTION_HOURS;
    days.job = job;
    days.numbers = ret_numbers;
    bench_server_pin_client();
    if (!bench_server_start(&options, &days.server)) {
        return false;
    }
    days.schedule = bench_series_schedule(job->row, BEFORE_NOW);
    days.hour_steps = job->is_quick ? QUICK_STEPS : 3600 / job->row->interval_seconds;
    days.schedule.interval_ms = 3600000 / (int64_t)days.hour_steps;
    bench_fleet_init(&days.fleet, job->row->shape, bench_series_count(job),
                     (uint32_t)(4 * days.hour_steps));
    open_writer(&days);
    if (pass_hours(&days)) {
        is_right =
            bench_writer_is_right(&days.writer) && answers_right(&days, HOURS * days.hour_steps);
        bench_writer_fini(&days.writer);
        sum_up(&days);
    }
    bench_fleet_fini(&days.fleet);
    bench_server_stop(&days.server);
    return is_right;
}
