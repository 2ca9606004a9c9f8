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
 */
#include <bench/cache/cache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/ask.h>
#include <bench/cache/figures.h>
#include <bench/cache/rows.h>
#include <bench/command_line.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>

#define LONG_MINUTES       10u
#define LONG_MINUTES_MAX   1440u
#define MAXIMUM_ROW        "mix_p1_tcp"
#define SECONDS_PER_MINUTE 60u

#define COLUMN_COUNT ((size_t)BENCH_SERVER_REDIS + 1)

static const struct bench_column columns[COLUMN_COUNT] = {
    {.name = "quarry"},
    {.name = "memcached", .package = "memcached"},
    {.name = "redis", .package = "redis-tools"},
};
#define ALL                                                                                        \
    (BENCH_COLUMN(BENCH_SERVER_QUARRY) | BENCH_COLUMN(BENCH_SERVER_MEMCACHED) |                    \
     BENCH_COLUMN(BENCH_SERVER_REDIS))
#define BOTH (BENCH_COLUMN(BENCH_SERVER_QUARRY) | BENCH_COLUMN(BENCH_SERVER_MEMCACHED))

/* The sitting's own, for rows that cannot know it. */
static uint64_t long_minutes = LONG_MINUTES;

/* ---- one measurement ------------------------------------------------------------------------ */

static bool run_child(const struct bench_sheet *sheet, const struct bench_load_row *row,
                      size_t column, uint64_t given, uint64_t *ret_numbers)
{
    bool is_in_minutes = row->is_long && !sheet->is_quick;
    struct bench_load_question question = {
        .bench = "cache",
        .row = row,
        .kind = (enum bench_server_kind)column,
        .is_quick = sheet->is_quick,
        .seconds = is_in_minutes ? long_minutes * SECONDS_PER_MINUTE : 0,
        .given = given,
    };

    return bench_load_ask(&question, ret_numbers);
}

/* memcached's operations per second of the mix, the best of three; 0: it has none. Asked once. */
static uint64_t memcached_maximum(const struct bench_sheet *sheet)
{
    static uint64_t maximum;
    struct bench_load_question question = {
        .bench = "cache",
        .row = bench_load_row_find(MAXIMUM_ROW),
        .kind = BENCH_SERVER_MEMCACHED,
        .is_quick = sheet->is_quick,
    };

    if (maximum == 0 && sheet->absent_reason[BENCH_SERVER_MEMCACHED] == NULL) {
        maximum = bench_load_ask_maximum(&question);
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
        !run_child(sheet, row, BENCH_SERVER_MEMCACHED, 0, kept)) {
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
    return run_child(sheet, row, column, given, ret_numbers);
}

/* The rate is that of the schedule, which every server has been held to. */
static double open_rate(const struct bench_sheet *sheet, const struct bench_load_row *row)
{
    return (double)memcached_maximum(sheet) * row->percent / 100;
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
    bench_load_figures(row, n, row->needs_maximum ? open_rate(sheet, row) : 0, ret_figures);
    return true;
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void find_absent(struct bench_sheet *sheet)
{
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        sheet->absent_reason[i] =
            bench_server_absence((enum bench_server_kind)i, bench_load_quarry());
    }
}

/* Who has what the row is about. */
static uint32_t columns_of(enum bench_load_kind kind)
{
    switch (kind) {
    case BENCH_LOAD_TENANTS:
        return BENCH_COLUMN(BENCH_SERVER_QUARRY);
    case BENCH_LOAD_KILL:
    case BENCH_LOAD_IDLE:
    case BENCH_LOAD_SLOW:
        return BOTH;
    case BENCH_LOAD_CLOSED:
    case BENCH_LOAD_CALLS:
    case BENCH_LOAD_OPEN:
    case BENCH_LOAD_FILL:
    case BENCH_LOAD_REPLAY:
    case BENCH_LOAD_SHIFT:
    case BENCH_LOAD_SYNCS:
    case BENCH_LOAD_RESIDENT:
    case BENCH_LOAD_TOOL:
    case BENCH_LOAD_KIND_COUNT:
    default:
        return ALL;
    }
}

static void run_row(struct bench_sheet *sheet, const struct bench_load_row *load)
{
    size_t form_count = 0;
    const struct bench_form *forms = bench_load_forms(load, &form_count);
    struct bench_sheet_row row = {
        .name = load->name,
        .title = load->title,
        .form = forms,
        .form_count = form_count,
        .columns = columns_of(load->kind),
        .is_exact =
            load->is_long || (load->kind != BENCH_LOAD_CLOSED && load->kind != BENCH_LOAD_OPEN),
        .measure = measure,
        .context = load,
    };

    if (load->kind == BENCH_LOAD_CALLS && !bench_load_has_strace()) {
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
        if (bench_load_row_is_asked_for(&rows[i], pattern)) {
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
    "    Between filling a server and measuring it, it is waited for until it uses less than 1 % "
    "of\n"
    "    a CPU for 200 ms, 20 s at most: memcached 1.6.18 grows its table of items after a fill, "
    "in\n"
    "    a thread of its own, and would pay for it in the measurement.\n"
    "\n"
    "    Latencies are from the moment at which a request was to be sent. Every answer is\n"
    "    checked. Where the client is busier than the server its CPU time still tells what an\n"
    "    operation costs, and operations per second are the client's.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    Figures, by kind of row: server_cpu_us_per_operation, operations_per_second,\n"
    "    hit_percent, server_busy_percent, client_busy_percent; system_calls_per_operation;\n"
    "    p50_us to p9999_us, worst_us; bytes_per_item, overhead_bytes_per_item,\n"
    "    resident_bytes_per_item, items; miss_ratio, resident_bytes, limit_bytes, late_ms,\n"
    "    runs.\n"
    "    shift: worst_us, p99_us, p999_us, hit_below_ms (the longest time with hits below 90 % of\n"
    "    those alone), hit_alone_percent, hit_least_percent (of 50 ms), errors, stored_bytes.\n"
    "    tenants: p99_alone_us, p99_beside_us, worst_beside_us, hit_alone_percent,\n"
    "    hit_beside_percent, overshoot_bytes, flood_sets_per_second.\n"
    "    idle: bytes_per_idle_connection, peak_of_limit_percent, resident_peak_bytes, p99_us,\n"
    "    p999_us, worst_us, idle_connections.\n"
    "    slow: p99_beside_us, p99_alone_us, worst_beside_us, writers_cut, writers_cut_ms (when "
    "the\n"
    "    last was), readers_cut, readers_cut_ms, resident_peak_bytes.\n"
    "    kill: ready_ms, ready_worst_ms, hit_before_percent, hit_after_percent (the least),\n"
    "    checked_values, kills.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
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
    const char *text = bench_command_line_take(argc, argv, "minutes");

    return text == NULL ? QUARRY_OK
                        : bench_command_line_number("minutes", text, 1, LONG_MINUTES_MAX,
                                                    &long_minutes, error);
}

static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    find_absent(sheet);
    if (!bench_sheet_begin(sheet)) {
        return 1;
    }
    run_rows(sheet, options->row_pattern);
    return bench_sheet_end(sheet);
}

int bench_cache_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "cache",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .take = take_minutes,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
