/*
 * `quarry bench cache`: the sitting.
 *
 *   quarry bench cache ── for each round, row, server ──▶ quarry-bench-child cache …
 *                                                           ├─ starts the server, on one CPU
 *                                                           ├─ is its client, on another
 *                                                           └─ prints numbers, ends the server
 *
 * The parent turns numbers into figures. What a measurement is told from outside comes from
 * memcached as well, in the same sitting: its most operations per second, of which the open loops
 * run a share, and the memory in which it replays a trace, which is what the others may be.
 *
 * Figures are per operation of the server and in its CPU time, since its throughput on one CPU is
 * the same figure turned round, and also holds where the client is the slower one.
 */
#include <bench/cache/cache.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/rows.h>
#include <bench/child.h>
#include <bench/command_line.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>

#define LONG_MINUTES       10u
#define LONG_MINUTES_MAX   1440u
#define MAXIMUM_ROW        "mix_p1_tcp"
#define MAXIMUM_TIMES      3u
#define SECONDS_PER_MINUTE 60u

static const struct bench_column columns[BENCH_SERVER_KIND_COUNT] = {
    {.name = "quarry"},
    {.name = "memcached", .package = "memcached"},
    {.name = "redis", .package = "redis-tools"},
};
#define ALL                                                                                        \
    (BENCH_COLUMN(BENCH_SERVER_QUARRY) | BENCH_COLUMN(BENCH_SERVER_MEMCACHED) |                    \
     BENCH_COLUMN(BENCH_SERVER_REDIS))
#define WARM_ONES (BENCH_COLUMN(BENCH_SERVER_QUARRY) | BENCH_COLUMN(BENCH_SERVER_MEMCACHED))

static const struct bench_form closed_forms[] = {
    {"server_cpu_us_per_operation", "server us/op", 1, true},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"hit_percent", "hit %", 1, false},
    {"server_busy_percent", "server busy %", 1, false},
    {"client_busy_percent", "client busy %", 1, false},
};
static const struct bench_form calls_forms[] = {
    {"system_calls_per_operation", "calls/op", 1, true},
};
static const struct bench_form open_forms[] = {
    {"p999_us", "p99.9 us", 1, true},
    {"p50_us", "p50 us", 1, false},
    {"p99_us", "p99 us", 1, false},
    {"p9999_us", "p99.99 us", 1, false},
    {"worst_us", "worst us", 1, false},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"server_cpu_us_per_operation", "server us/op", 1, false},
};
static const struct bench_form long_forms[] = {
    {"p9999_us", "p99.99 us", 1, true},
    {"worst_us", "worst us", 1, true},
    {"p50_us", "p50 us", 1, false},
    {"p99_us", "p99 us", 1, false},
    {"p999_us", "p99.9 us", 1, false},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"server_cpu_us_per_operation", "server us/op", 1, false},
    {"resident_bytes", "resident MiB", 1048576, false},
};
static const struct bench_form fill_forms[] = {
    {"bytes_per_item", "limit/item", 1, true},
    {"overhead_bytes_per_item", "beside data", 1, false},
    {"resident_bytes_per_item", "resident/item", 1, true},
    {"items", "items", 1, false},
};
static const struct bench_form replay_forms[] = {
    {"miss_ratio", "miss ratio", 1, true},
    {"resident_bytes", "resident MiB", 1048576, false},
    {"limit_bytes", "limit MiB", 1048576, false},
    {"late_ms", "late ms", 1, false},
    {"runs", "runs", 1, false},
};
static const struct bench_form restart_forms[] = {
    {"ready_ms", "ready ms", 1, true},
    {"ready_worst_ms", "worst ms", 1, false},
    {"kept_percent", "kept %", 1, false},
    {"restarts", "restarts", 1, false},
};

struct form_list {
    const struct bench_form *form;
    size_t count;
};
#define FORMS(forms)                                                                               \
    {                                                                                              \
        (forms), sizeof(forms) / sizeof(forms)[0]                                                  \
    }

static const struct form_list forms_of_kind[BENCH_LOAD_KIND_COUNT] = {
    [BENCH_LOAD_CLOSED] = FORMS(closed_forms), [BENCH_LOAD_CALLS] = FORMS(calls_forms),
    [BENCH_LOAD_OPEN] = FORMS(open_forms),     [BENCH_LOAD_FILL] = FORMS(fill_forms),
    [BENCH_LOAD_REPLAY] = FORMS(replay_forms), [BENCH_LOAD_RESTART] = FORMS(restart_forms),
};
static const struct form_list forms_of_long = FORMS(long_forms);

/* The sitting's own, for rows that cannot know it. */
static uint64_t long_minutes = LONG_MINUTES;

static const char *quarry_program(void)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    if (path[0] == '\0') {
        bench_child_beside("bin/quarry", path);
    }
    return path;
}

/* ---- one measurement ------------------------------------------------------------------------ */

/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u

static bool run_child(const struct bench_load_row *row, size_t column, bool is_quick,
                      uint64_t given, uint64_t *ret_numbers)
{
    char seconds[NUMBER_BYTES];
    char given_text[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t long_seconds = row->is_long && !is_quick ? long_minutes * SECONDS_PER_MINUTE : 0;
    const char *argv[] = {bench_child_program(),
                          "cache",
                          columns[column].name,
                          quarry_program(),
                          row->name,
                          is_quick ? "1" : "0",
                          seconds,
                          given_text,
                          NULL};

    (void)snprintf(seconds, sizeof seconds, "%" PRIu64, long_seconds);
    (void)snprintf(given_text, sizeof given_text, "%" PRIu64, given);
    return bench_child_run(argv, NULL, false, output) == 0 &&
           bench_child_numbers(output, ret_numbers, BENCH_LOAD_NUMBERS);
}

/* memcached's operations per second of the mix, the best of three; 0: it has none. Asked once. */
static uint64_t memcached_maximum(const struct bench_sheet *sheet)
{
    static uint64_t maximum;
    const struct bench_load_row *row = bench_load_row_find(MAXIMUM_ROW);
    uint64_t times = sheet->is_quick ? 1 : MAXIMUM_TIMES;

    if (maximum > 0 || sheet->absent_reason[BENCH_SERVER_MEMCACHED] != NULL) {
        return maximum;
    }
    for (uint64_t n = 0; n < times; n++) {
        uint64_t numbers[BENCH_LOAD_NUMBERS];
        if (!run_child(row, BENCH_SERVER_MEMCACHED, sheet->is_quick, 0, numbers) ||
            numbers[CLOSED_WALL_NS] == 0) {
            return 0;
        }
        maximum = size_max_u64(maximum,
                               (uint64_t)((double)numbers[CLOSED_OPERATIONS] * (double)Q_SECOND_NS /
                                          (double)numbers[CLOSED_WALL_NS]));
    }
    return maximum;
}

/* memcached's numbers of a replay, which the others' need; those of the last row are kept. */
static const uint64_t *memcached_replay(const struct bench_sheet *sheet,
                                        const struct bench_load_row *row)
{
    static const struct bench_load_row *kept_row;
    static uint64_t kept[BENCH_LOAD_NUMBERS];

    if (kept_row == row) {
        return kept;
    }
    if (sheet->absent_reason[BENCH_SERVER_MEMCACHED] != NULL ||
        !run_child(row, BENCH_SERVER_MEMCACHED, sheet->is_quick, 0, kept)) {
        return NULL;
    }
    kept_row = row;
    return kept;
}

/* Runs a child with what it must be told. */
static bool measure_numbers(const struct bench_sheet *sheet, const struct bench_load_row *row,
                            size_t column, uint64_t *ret_numbers)
{
    uint64_t given = 0;

    if (row->needs_maximum) {
        given = memcached_maximum(sheet);
        if (given == 0) {
            return false;
        }
    }
    if (row->needs_rss) {
        const uint64_t *its = memcached_replay(sheet, row);
        if (its != NULL && column == BENCH_SERVER_MEMCACHED) {
            memcpy(ret_numbers, its, BENCH_LOAD_NUMBERS * sizeof *its);
            return true;
        }
        given = its == NULL ? 0 : its[REPLAY_RSS_BYTES];
    }
    return run_child(row, column, sheet->is_quick, given, ret_numbers);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void closed_figures(const double *n, double *figure)
{
    figure[0] = n[CLOSED_CPU_NS] / n[CLOSED_OPERATIONS] / 1000;
    figure[1] = n[CLOSED_OPERATIONS] * (double)Q_SECOND_NS / n[CLOSED_WALL_NS];
    figure[2] = n[CLOSED_GETS] > 0 ? 100 * n[CLOSED_HITS] / n[CLOSED_GETS] : NAN;
    figure[3] = 100 * n[CLOSED_CPU_NS] / n[CLOSED_WALL_NS];
    figure[4] = 100 * n[CLOSED_CLIENT_NS] / n[CLOSED_WALL_NS];
}

static void calls_figures(const double *n, double *figure)
{
    figure[0] = n[CALLS_CALLS] / n[CALLS_OPERATIONS];
}

/* The rate is that of the schedule, which every server has been held to. */
static double open_rate(const struct bench_sheet *sheet, const struct bench_load_row *row)
{
    return (double)memcached_maximum(sheet) * row->percent / 100;
}

static void open_figures(const double *n, double rate, double *figure)
{
    figure[0] = n[OPEN_P999] / 1000;
    figure[1] = n[OPEN_P50] / 1000;
    figure[2] = n[OPEN_P99] / 1000;
    figure[3] = n[OPEN_P9999] / 1000;
    figure[4] = n[OPEN_WORST] / 1000;
    figure[5] = rate;
    figure[6] = n[OPEN_CPU_NS] / n[OPEN_OPERATIONS] / 1000;
}

static void long_figures(const double *n, double rate, double *figure)
{
    figure[0] = n[OPEN_P9999] / 1000;
    figure[1] = n[OPEN_WORST] / 1000;
    figure[2] = n[OPEN_P50] / 1000;
    figure[3] = n[OPEN_P99] / 1000;
    figure[4] = n[OPEN_P999] / 1000;
    figure[5] = rate;
    figure[6] = n[OPEN_CPU_NS] / n[OPEN_OPERATIONS] / 1000;
    figure[7] = n[OPEN_RSS];
}

static void fill_figures(const double *n, double *figure)
{
    figure[0] = n[FILL_LIMIT_BYTES] / n[FILL_ITEMS];
    figure[1] = figure[0] - n[FILL_DATA_BYTES];
    figure[2] = n[FILL_RSS_BYTES] / n[FILL_ITEMS];
    figure[3] = n[FILL_ITEMS];
}

static void replay_figures(const double *n, double *figure)
{
    figure[0] = n[REPLAY_MISSES] / n[REPLAY_GETS];
    figure[1] = n[REPLAY_RSS_BYTES];
    figure[2] = n[REPLAY_MEMORY_BYTES];
    figure[3] = n[REPLAY_LATE_NS] / 1e6;
    figure[4] = n[REPLAY_RUNS];
}

static void restart_figures(const double *n, double *figure)
{
    figure[0] = n[RESTART_READY_MEDIAN] / 1e6;
    figure[1] = n[RESTART_READY_WORST] / 1e6;
    figure[2] = 100 * n[RESTART_KEPT] / n[RESTART_ASKED];
    figure[3] = n[RESTART_COUNT];
}

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                    size_t column, double *ret_figures)
{
    const struct bench_load_row *row = sheet_row->context;
    uint64_t numbers[BENCH_LOAD_NUMBERS];
    double n[BENCH_LOAD_NUMBERS];

    if (!measure_numbers(sheet, row, column, numbers)) {
        return false;
    }
    for (size_t i = 0; i < BENCH_LOAD_NUMBERS; i++) {
        n[i] = (double)numbers[i];
    }
    switch (row->kind) {
    case BENCH_LOAD_CLOSED:
        closed_figures(n, ret_figures);
        break;
    case BENCH_LOAD_CALLS:
        calls_figures(n, ret_figures);
        break;
    case BENCH_LOAD_OPEN:
        (row->is_long ? long_figures : open_figures)(n, open_rate(sheet, row), ret_figures);
        break;
    case BENCH_LOAD_FILL:
        fill_figures(n, ret_figures);
        break;
    case BENCH_LOAD_REPLAY:
        replay_figures(n, ret_figures);
        break;
    case BENCH_LOAD_RESTART:
        restart_figures(n, ret_figures);
        break;
    case BENCH_LOAD_KIND_COUNT:
    default:
        Q_UNREACHABLE();
    }
    return true;
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static bool has_strace(void)
{
    const char *argv[] = {"strace", "-V", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, NULL, true, output) == 0;
}

static void find_absent(struct bench_sheet *sheet)
{
    for (size_t i = 0; i < BENCH_SERVER_KIND_COUNT; i++) {
        sheet->absent_reason[i] = bench_server_absence((enum bench_server_kind)i, quarry_program());
    }
}

static void run_row(struct bench_sheet *sheet, const struct bench_load_row *load)
{
    const struct form_list *forms = load->is_long ? &forms_of_long : &forms_of_kind[load->kind];
    struct bench_sheet_row row = {
        .name = load->name,
        .title = load->title,
        .form = forms->form,
        .form_count = forms->count,
        .columns = load->kind == BENCH_LOAD_RESTART ? WARM_ONES : ALL,
        .is_exact =
            load->is_long || (load->kind != BENCH_LOAD_CLOSED && load->kind != BENCH_LOAD_OPEN),
        .measure = measure,
        .context = load,
    };

    if (load->kind == BENCH_LOAD_CALLS && !has_strace()) {
        bench_sheet_note(sheet, load->name, "strace is absent: nothing is counted");
        return;
    }
    if ((load->needs_maximum || load->needs_rss) &&
        sheet->absent_reason[BENCH_SERVER_MEMCACHED] != NULL) {
        bench_sheet_note(sheet, load->name, "memcached, which sets its terms, is not installed");
        return;
    }
    bench_sheet_run(sheet, &row);
}

static void run_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t count = 0;
    const struct bench_load_row *rows = bench_load_rows(&count);

    for (size_t i = 0; i < count; i++) {
        bool is_asked_for = !rows[i].is_long || strcmp(pattern, "*") != 0;
        if (is_asked_for && fnmatch(pattern, rows[i].name, 0) == 0) {
            run_row(sheet, &rows[i]);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench cache - the server beside memcached and Redis\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench cache [--json] [--quick] [--against LIST] [--rows PATTERN] [--rounds N]\n"
    "                       [--minutes N]\n"
    "\n"
    "DESCRIPTION\n"
    "    Starts each server with one worker thread on a CPU of its own, is its client on another\n"
    "    one, and ends it again. memcached and redis-server need not run, and are left alone if\n"
    "    they do: ports are free ones, data lie in directories that are removed.\n"
    "\n"
    "    Latencies are from the moment at which a request was to be sent. Every answer is\n"
    "    checked. Where the client is busier than the server its CPU time still tells what an\n"
    "    operation costs, and operations per second are the client's.\n"
    "\n";

static const char help_tail[] =
    "\n"
    "OUTPUT\n"
    "    Every line has bench, row and subject. The first line has row \"machine\". Others have, "
    "by\n"
    "    kind of row: server_cpu_us_per_operation, operations_per_second, hit_percent,\n"
    "    server_busy_percent, client_busy_percent; system_calls_per_operation; p50_us to "
    "p9999_us,\n"
    "    worst_us; bytes_per_item, overhead_bytes_per_item, resident_bytes_per_item, items;\n"
    "    miss_ratio, resident_bytes, limit_bytes, late_ms, runs; ready_ms, ready_worst_ms,\n"
    "    kept_percent, restarts. Of the first also _min and _spread_percent; is_best, ratio,\n"
    "    best_peer. A subject that is missing has \"absent\": true and \"reason\".\n"
    "\n"
    "EXIT CODE\n"
    "    0 measured, losses or not; 1 a measurement failed; 2 a wrong command line\n"
    "\n"
    "EXAMPLES\n"
    "    quarry bench cache --quick\n"
    "    quarry bench cache --rows '*_p16_tcp' --against memcached\n"
    "    quarry bench cache --rows long --minutes 10\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_load_row *rows = bench_load_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, false);
    (void)fputs(
        "    --minutes N         how long the row `long` lasts (10); it runs only when --rows\n"
        "                        asks for it\n"
        "\n"
        "ROWS\n",
        file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-22s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

/*
 * Takes `--minutes N` out of the words, which the other sheets do not have.
 * Errors: BAD_INPUT.
 */
static enum quarry_status take_minutes(int *argc, char **argv, struct quarry_error *error)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "--minutes") == 0) {
            enum quarry_status status = bench_command_line_number(
                "minutes", argv[i + 1], 1, LONG_MINUTES_MAX, &long_minutes, error);
            *argc -= 2;
            memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i + 1) * sizeof *argv);
            return status;
        }
    }
    return QUARRY_OK;
}

int bench_cache_main(int argc, char **argv)
{
    static struct bench_sheet sheet;
    struct bench_sheet_options options;
    struct quarry_error error = {0};

    if (take_minutes(&argc, argv, &error) != QUARRY_OK ||
        bench_sheet_options_parse(argc, argv, columns, BENCH_SERVER_KIND_COUNT, &options, &error) !=
            QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench cache: %s; see --help\n", error.text);
        return 2;
    }
    if (options.has_instructions) {
        (void)fputs("quarry bench cache: counts no instructions; see --help\n", stderr);
        return 2;
    }
    if (options.is_help) {
        print_help(stdout);
        return 0;
    }
    sheet = bench_sheet_of("cache", columns, BENCH_SERVER_KIND_COUNT, &options);
    find_absent(&sheet);
    if (!bench_sheet_begin(&sheet)) {
        return 1;
    }
    run_rows(&sheet, options.row_pattern);
    return bench_sheet_end(&sheet);
}
