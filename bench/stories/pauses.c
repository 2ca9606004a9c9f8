/*
 * The story of pauses: the whole curve of latencies of servers that hold 1.6 GB of live items.
 *
 *   quarry-bench-child stories pauses SERVER QUARRY QUICK SECONDS RATE
 *        → requests, resident KiB, late ones; then for each share of the curve, nanoseconds
 *
 * Items, mix and loop are those of the row `long` of `quarry bench cache` (bench/cache/open.c):
 * requests on a schedule, each counted from when it was due. All servers have the same rate, low
 * enough for the slowest; what differs is what they do beside answering. The curve is read off at
 * one request in 1, 2, 5, 10 … that is slower.
 *
 * A collector of garbage stops for 100 ms at such a size, which is what this is the answer to;
 * requests that took 10 ms and more are counted.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <base/base.h>

#include <bench/cache/ask.h>
#include <bench/cache/rows.h>
#include <bench/cache/server.h>
#include <bench/child.h>
#include <bench/histogram.h>

#define ROW           "long"
#define RATE          UINT64_C(20000)
#define SECONDS       60u
#define SECONDS_QUICK 1u
#define SERVERS       3u
#define LATE_NS       (10 * Q_MS_NS)
#define SHARES_MAX    20u /* down to one in 2 million */
#define NUMBER_BYTES  21u

static const struct stories_column columns[] = {
    {"p50_us", "p50, µs", 0, true},          {"p99_us", "p99, µs", 0, true},
    {"p999_us", "p99.9, µs", 0, true},       {"worst_us", "worst, µs", 0, true},
    {"late_count", "above 10 ms", 0, false}, {"resident_mib", "resident, MiB", 0, true},
};

/* One in 1, 2, 5, 10, 20 … */
static uint64_t share_at(size_t index)
{
    static const uint64_t parts[] = {1, 2, 5};
    uint64_t share = parts[index % 3];

    for (size_t i = 0; i < index / 3; i++) {
        share *= 10;
    }
    return share;
}

/* How long the fastest of the slowest 1 in `share` requests took. */
static uint64_t slower_than(const struct bench_histogram *curve, uint64_t share)
{
    return bench_histogram_at_rank(curve, size_max_u64(curve->count - curve->count / share, 1));
}

/* ---- the child ------------------------------------------------------------------------------ */

/* How many took LATE_NS and more, to the width of a bucket. */
static uint64_t count_late(const struct bench_histogram *curve)
{
    uint64_t low = 0;
    uint64_t high = curve->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (bench_histogram_at_rank(curve, middle + 1) >= LATE_NS) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return curve->count - low;
}

int stories_child_pauses(int argc, char **argv)
{
    uint64_t n[3];
    uint64_t numbers[BENCH_LOAD_NUMBERS] = {0};
    struct bench_load_job job = {.row = bench_load_row_find(ROW)};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* and the server with this process */
    for (int i = 0; i < 3; i++) {
        if (argc != 5 || !bench_child_numbers(argv[2 + i], &n[i], 1)) {
            return 2;
        }
    }
    job.kind = bench_server_find(argv[0]);
    job.quarry = argv[1];
    job.is_quick = n[0] != 0;
    job.seconds = n[1];
    job.given = n[2] * 100 / job.row->percent; /* of which the row takes its percentage */
    if (job.kind >= SERVERS || job.given == 0 || job.seconds == 0) {
        return 2;
    }
    const struct bench_histogram *curve = bench_load_open_curve(&job, numbers);
    if (curve == NULL || curve->count == 0) {
        return 1;
    }
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, curve->count,
                 numbers[OPEN_RSS] / 1024, count_late(curve), curve->max);
    for (size_t i = 0; i < SHARES_MAX; i++) {
        (void)printf(" %" PRIu64, slower_than(curve, share_at(i)));
    }
    (void)putchar('\n');
    return 0;
}

/* ---- the parent ----------------------------------------------------------------------------- */

/* What a child prints. */
struct pauses {
    uint64_t count, resident_kib, late_count, worst_ns;
    uint64_t share_ns[SHARES_MAX];
};
Q_STATIC_ASSERT(sizeof(struct pauses) == (4 + SHARES_MAX) * sizeof(uint64_t),
                "numbers are read into it");

static bool ask(enum bench_server_kind kind, const struct stories_options *options,
                struct pauses *ret_pauses)
{
    uint64_t usual_seconds = options->is_quick ? SECONDS_QUICK : SECONDS;
    uint64_t numbers[4 + SHARES_MAX];
    char seconds[NUMBER_BYTES];
    char rate[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    const char *argv[] = {bench_child_program(),
                          "stories",
                          "pauses",
                          bench_server_name(kind),
                          bench_load_quarry(),
                          options->is_quick ? "1" : "0",
                          seconds,
                          rate,
                          NULL};

    (void)snprintf(seconds, sizeof seconds, "%" PRIu64,
                   options->seconds != 0 ? options->seconds : usual_seconds);
    (void)snprintf(rate, sizeof rate, "%" PRIu64, size_max_u64(RATE * options->percent / 100, 1));
    if (bench_child_run(argv, NULL, false, output) != 0 ||
        !bench_child_numbers(output, numbers, 4 + SHARES_MAX)) {
        return false;
    }
    memcpy(ret_pauses, numbers, sizeof numbers);
    return true;
}

static double us(uint64_t ns)
{
    return (double)ns / 1000;
}

static void note_server(struct stories_result *result, struct stories_row *row,
                        enum bench_server_kind kind, const struct pauses *pauses)
{
    enum stories_ink ink =
        kind == BENCH_SERVER_QUARRY ? STORIES_QUARRY : STORIES_PEER + (unsigned)kind - 1;
    struct stories_line *line = stories_plot_line(&result->plot, row->name, ink);

    for (size_t i = 0; i < SHARES_MAX && share_at(i) <= pauses->count; i++) {
        stories_line_add(line, (double)share_at(i), us(pauses->share_ns[i]));
    }
    stories_line_add(line, (double)pauses->count, us(pauses->worst_ns));
    row->figure[0] = us(pauses->share_ns[1]);
    row->figure[1] = us(pauses->share_ns[6]);
    row->figure[2] = us(pauses->share_ns[9]);
    row->figure[3] = us(pauses->worst_ns);
    row->figure[4] = (double)pauses->late_count;
    row->figure[5] = (double)pauses->resident_kib / 1024;
}

bool stories_pauses(const struct stories_options *options, struct stories_result *result)
{
    bool is_told = true;

    result->column = columns;
    result->column_count = sizeof columns / sizeof columns[0];
    result->plot.title =
        "Latency of a cache full of live items, every request from when it was due";
    result->plot.x_title = "share of requests that were faster";
    result->plot.y_title = "latency, microseconds, logarithmic";
    result->plot.x_scale = STORIES_SHARES;
    result->plot.y_scale = STORIES_LOG;
    for (enum bench_server_kind kind = BENCH_SERVER_QUARRY; kind < SERVERS; kind++) {
        struct stories_row *row =
            stories_row_add(result, bench_server_name(kind), kind == BENCH_SERVER_QUARRY);
        struct pauses pauses;
        row->absent_reason = bench_server_absence(kind, bench_load_quarry());
        if (row->absent_reason == NULL && !ask(kind, options, &pauses)) {
            row->absent_reason = "its measurement failed";
            is_told = false;
        }
        if (row->absent_reason == NULL) {
            note_server(result, row, kind, &pauses);
        }
    }
    stories_note(result, "%s of live items, %" PRIu64 " requests a second, each server by itself.",
                 options->is_quick ? "A fiftieth of 1.6 GB" : "1.6 GB",
                 size_max_u64(RATE * options->percent / 100, 1));
    return is_told;
}
