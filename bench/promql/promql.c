/*
 * `quarry bench promql`: the sitting.
 *
 *   all servers are started and filled, once │ each row: rounds over the servers │ all are ended
 *
 *   a measurement   an answer that is kept and compared │ peak reset │ asked again and again
 *
 * The servers share a CPU and are asked in turn, one query at a time, so that only one works; each
 * was waited for until it rested. The client is this process, on another CPU.
 *
 * A measurement fails when its answer is not that of Prometheus: nobody is fast with a wrong one.
 * Which of two is wrong is not known here, so that the later one to be measured has failed.
 */
#include <bench/promql/promql.h>

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/ask.h>
#include <bench/cache/directory.h>
#include <bench/cache/population.h>
#include <bench/command_line.h>
#include <bench/histogram.h>
#include <bench/progress.h>
#include <bench/promql/answers.h>
#include <bench/promql/library.h>
#include <bench/promql/queries.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>
#include <bench/tsdb/command.h>

enum { COLUMN_QUARRY, COLUMN_PROMETHEUS, COLUMN_VICTORIA, COLUMN_COUNT };

static const struct bench_column columns[COLUMN_COUNT] = {
    {.name = "quarry"},
    {.name = "prometheus", .version = bench_series_prometheus_version},
    {.name = "victoria-metrics", .version = bench_series_victoria_version},
};
static const enum bench_server_kind kinds[COLUMN_COUNT] = {
    BENCH_SERVER_QUARRY, BENCH_SERVER_PROMETHEUS, BENCH_SERVER_VICTORIA};
#define ALL                                                                                        \
    (BENCH_COLUMN(COLUMN_QUARRY) | BENCH_COLUMN(COLUMN_PROMETHEUS) | BENCH_COLUMN(COLUMN_VICTORIA))

#define TIMES_MAX    100u /* of a row's queries in a measurement */
#define TIMES_MIN    5u
#define TIMES_QUICK  2u
#define PATIENCE_NS  (10 * Q_SECOND_NS) /* after which no more than TIMES_MIN are asked */
#define HOSTS        100u
#define HOURS        36u
#define HOURS_QUICK  1u
#define HOSTS_QUICK  80u
#define WIDE_DEFAULT 1000000u
#define WIDE_QUICK   10000u
#define WIDE_MAX     10000000u

static const struct bench_form forms[] = {
    {"p50_ms", "p50, ms", 1, true},
    {"p99_ms", "p99, ms", 1, true},
    {"server_cpu_ms_per_query", "server CPU, ms", 1, true},
    {"peak_bytes", "memory for it, MiB", 1048576, true},
    {"answer_points", NULL, 1, false},
    {"answer_bytes", NULL, 1, false},
};
#define FORM_COUNT (sizeof forms / sizeof forms[0])

/* The sitting's own. */
static const char *parent;
static uint64_t wide_series; /* 0: as many as usual */
static int64_t end_ms;       /* of the newest samples */
static struct bench_library library[COLUMN_COUNT];
/* What was answered to the panels of the row that is being measured. */
static struct bench_answer_set answers[COLUMN_COUNT][BENCH_PANELS_MAX];
static const struct bench_query_row *answered_row;

/* ---- answers -------------------------------------------------------------------------------- */

static void forget_answers(const struct bench_query_row *row)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        for (size_t p = 0; p < BENCH_PANELS_MAX; p++) {
            bench_answers_fini(&answers[i][p]);
        }
    }
    answered_row = row;
}

/* Whether two servers' answers to a row are to be the same. */
static bool must_agree(const struct bench_query_row *row, size_t a, size_t b)
{
    return a != b && (row->is_victorias || (a != COLUMN_VICTORIA && b != COLUMN_VICTORIA));
}

/* Compares what a server answered to a panel with what others did. */
static bool agrees(const struct bench_query_row *row, size_t column, size_t panel)
{
    char why[320];

    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        if (answers[i][panel].series != NULL && must_agree(row, i, column) &&
            !bench_answers_are_equal(&answers[i][panel], &answers[column][panel], why,
                                     sizeof why)) {
            (void)fprintf(stderr, "%s: %s and %s differ: %s\n", row->panel[panel], columns[i].name,
                          columns[column].name, why);
            return false;
        }
    }
    return true;
}

/* Asks each panel once, keeps the answers and compares them. `f`: figures about answers. */
static bool ask_once(const struct bench_query_row *row, size_t column, double *f)
{
    f[4] = 0;
    f[5] = 0;
    for (size_t p = 0; row->panel[p] != NULL; p++) {
        const char *body = NULL;
        size_t bytes = 0;
        if (!bench_library_ask(&library[column], row, row->panel[p], &body, &bytes)) {
            (void)fprintf(stderr, "%s: %s answers: %.200s\n", row->panel[p], columns[column].name,
                          body == NULL ? "nothing" : body);
            return false;
        }
        bench_answers_fini(&answers[column][p]);
        if (!bench_answers_read(body, bytes, &answers[column][p]) ||
            answers[column][p].count == 0) {
            (void)fprintf(stderr, "%s: %s has no answer: %.200s\n", row->panel[p],
                          columns[column].name, body);
            return false;
        }
        f[4] += (double)bench_answers_point_count(&answers[column][p]);
        f[5] += (double)bytes;
        if (!agrees(row, column, p)) {
            return false;
        }
    }
    return true;
}

/* ---- measuring ------------------------------------------------------------------------------ */

/* Returns: false when an answer failed. */
static bool ask_all(const struct bench_query_row *row, size_t column)
{
    bool is_right = true;

    for (size_t p = 0; row->panel[p] != NULL && is_right; p++) {
        const char *body = NULL;
        size_t bytes = 0;
        is_right = bench_library_ask(&library[column], row, row->panel[p], &body, &bytes);
    }
    return is_right;
}

static bool goes_on(const struct bench_sheet *sheet, uint32_t times, uint64_t begin_ns)
{
    if (sheet->is_quick) {
        return times < TIMES_QUICK;
    }
    return times < TIMES_MIN || (times < TIMES_MAX && bench_load_now_ns() - begin_ns < PATIENCE_NS);
}

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                    size_t column, double *f)
{
    static struct bench_histogram latency;
    const struct bench_query_row *row = sheet_row->context;
    const struct bench_server *server = &library[column].server;
    uint32_t times = 0;

    if (answered_row != row) {
        forget_answers(row);
    }
    if (!library[column].is_open || !ask_once(row, column, f)) {
        return false;
    }
    memset(&latency, 0, sizeof latency);
    bench_server_settle(server);
    uint64_t rss_bytes = bench_server_rss_bytes(server);
    bench_server_forget_peak(server);
    uint64_t cpu_ns = bench_server_cpu_ns(server);
    for (uint64_t begin_ns = bench_load_now_ns(); goes_on(sheet, times, begin_ns); times++) {
        uint64_t query_ns = bench_load_now_ns();
        if (!ask_all(row, column)) {
            return false;
        }
        bench_histogram_add(&latency, bench_load_now_ns() - query_ns);
    }
    uint64_t peak_bytes = bench_server_peak_bytes(server);
    f[0] = (double)bench_histogram_quantile(&latency, 5000) / 1e6;
    f[1] = (double)bench_histogram_quantile(&latency, 9900) / 1e6;
    f[2] = (double)(bench_server_cpu_ns(server) - cpu_ns) / times / 1e6;
    f[3] = peak_bytes > rss_bytes ? (double)(peak_bytes - rss_bytes) : 0;
    return true;
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void open_library(struct bench_sheet *sheet, size_t column)
{
    uint64_t usual = sheet->is_quick ? WIDE_QUICK : WIDE_DEFAULT;
    struct bench_library_options options = {
        .kind = kinds[column],
        .quarry = bench_load_quarry(),
        .parent = parent,
        .end_ms = end_ms,
        .host_count = sheet->is_quick ? HOSTS_QUICK : HOSTS,
        .hours = sheet->is_quick ? HOURS_QUICK : HOURS,
        .wide_series = (uint32_t)(wide_series > 0 ? wide_series : usual),
    };

    if (sheet->is_wanted[column] && sheet->absent_reason[column] == NULL) {
        bench_progress_show("(filling)", columns[column].name);
        (void)bench_library_open(&library[column], &options); /* its rows fail */
        bench_progress_end();
    }
}

static void run_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t count = 0;
    const struct bench_query_row *rows = bench_query_rows(&count);

    for (size_t i = 0; i < count; i++) {
        struct bench_sheet_row row = {
            .name = rows[i].name,
            .title = rows[i].title,
            .form = forms,
            .form_count = FORM_COUNT,
            .columns = ALL,
            .measure = measure,
            .context = &rows[i],
        };
        if (fnmatch(pattern, rows[i].name, 0) == 0) {
            bench_sheet_run(sheet, &row);
        }
    }
    forget_answers(NULL);
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench promql - queries, beside Prometheus and VictoriaMetrics\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench promql [--json] [--quick] [--against prometheus,victoria-metrics]\n"
    "                        [--rows PATTERN] [--rounds N] [--series N] [--directory PATH]\n"
    "\n"
    "DESCRIPTION\n"
    "    Starts all servers on one CPU, fills them, and asks them in turn from another one, one\n"
    "    query at a time, up to 100 times for 10 s, five times at least. Where peers come from, "
    "and\n"
    "    what they are told, is as for `quarry bench tsdb`.\n"
    "\n"
    "    1,000 series of TSBS' devops and 240 of histograms have a sample each minute for 38 "
    "hours,\n"
    "    a million of node_exporter's for three minutes. The times of queries lie beside those of\n"
    "    samples, so that it does not matter on which side windows are open.\n"
    "\n"
    "    Answers are compared: the same series, the same times, values within 1e-9 of each other,\n"
    "    with those of Prometheus, and of VictoriaMetrics where it means the same. A server whose\n"
    "    answer differs has no figures. VictoriaMetrics has no caches of answers; what it keeps "
    "of\n"
    "    blocks stays, as the other two keep theirs in memory.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    Figures: p50_ms, p99_ms (from the request to the answer's last byte; of the\n"
    "    dashboard all panels together), server_cpu_ms_per_query, peak_bytes (the most that\n"
    "    was resident, less what was before), answer_points, answer_bytes.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
    "    quarry bench promql --quick\n"
    "    quarry bench promql --rows 'regex_*' --series 100000 --against prometheus\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_query_row *rows = bench_query_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, false);
    (void)fputs(
        "    --series N          of node_exporter, from 10000 (1000000; 10000 with --quick)\n"
        "    --directory PATH    in which stores are made ($TMPDIR, or /var/tmp)\n"
        "\n"
        "ROWS\n",
        file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-22s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    struct bench_directory directory;

    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        sheet->absent_reason[i] = bench_server_absence(kinds[i], bench_load_quarry());
    }
    if (!bench_directory_make_below(&directory, parent)) {
        (void)fprintf(stderr, "quarry bench promql: no directory can be made in %s: %s\n", parent,
                      strerror(errno));
        return 1;
    }
    parent = directory.path;
    int code = 1;
    if (bench_sheet_begin(sheet)) {
        bench_server_pin_client();
        end_ms = bench_library_end_ms();
        for (size_t i = 0; i < COLUMN_COUNT; i++) {
            open_library(sheet, i);
        }
        run_rows(sheet, options->row_pattern);
        code = bench_sheet_end(sheet);
    }
    /* The last one first: who keeps a directory also holds what the keepers before it wait for. */
    for (size_t i = COLUMN_COUNT; i > 0; i--) {
        bench_library_close(&library[i - 1]);
    }
    bench_directory_remove(&directory);
    return code;
}

static enum quarry_status take_own(int *argc, char **argv, struct quarry_error *error)
{
    const char *told = bench_command_line_take(argc, argv, "directory");
    const char *series = bench_command_line_take(argc, argv, "series");
    const char *temporary = getenv("TMPDIR");

    parent = temporary != NULL ? temporary : "/var/tmp";
    parent = told != NULL ? told : parent;
    return series == NULL ? QUARRY_OK
                          : bench_command_line_number("series", series, WIDE_QUICK, WIDE_MAX,
                                                      &wide_series, error);
}

int bench_promql_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "promql",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .take = take_own,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
