/*
 * `quarry bench tsdb`: the sitting.
 *
 *   quarry bench tsdb ── for each round, row, server ──▶ quarry-bench-child tsdb …
 *                                                          ├─ starts the server, on one CPU
 *                                                          ├─ writes to it, on another
 *                                                          └─ prints numbers, ends the server
 *
 * Servers are bench/cache's: one CPU each, Prometheus and VictoriaMetrics with as many threads as
 * they make of it. All three keep what they take as they do by default: outliving the process, not
 * a power cut (VictoriaMetrics not even the process, for seconds).
 */
#include <bench/tsdb/tsdb.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/ask.h>
#include <bench/cache/directory.h>
#include <bench/child.h>
#include <bench/command_line.h>
#include <bench/json.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>
#include <bench/tsdb/command.h>
#include <bench/tsdb/figures.h>
#include <bench/tsdb/rows.h>

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

/* Where stores are made; the sitting's own. */
static const char *parent;

/* Runs a child. `output`: BENCH_CHILD_OUTPUT_BYTES of what it prints. */
static bool ask(const struct bench_sheet *sheet, const struct bench_series_row *row, size_t column,
                char *output)
{
    const char *argv[] = {bench_child_program(),
                          "tsdb",
                          bench_server_name(kinds[column]),
                          bench_load_quarry(),
                          row->name,
                          sheet->is_quick ? "1" : "0",
                          parent,
                          NULL};

    return bench_child_run(argv, NULL, false, output) == 0;
}

/* Passes on the line of an hour: its number, resident bytes, pages of windows, what lives in them.
 */
static void tell_hour(const struct bench_sheet *sheet, const char *row, size_t column,
                      const char *line)
{
    uint64_t n[4];

    if (!sheet->is_json || sscanf(line, "hour %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &n[0],
                                  &n[1], &n[2], &n[3]) != 4) {
        return;
    }
    char name[64];
    (void)snprintf(name, sizeof name, "%s_hour", row);
    struct bench_json json =
        bench_json_begin(sheet->file, sheet->bench, name, sheet->column[column].name);
    bench_json_integer(&json, "hour", n[0]);
    bench_json_integer(&json, "resident_bytes", n[1]);
    if (n[2] > 0) {
        bench_json_integer(&json, "page_bytes", n[2]);
        bench_json_integer(&json, "live_bytes", n[3]);
    }
    bench_json_end(&json);
}

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                    size_t column, double *ret_figures)
{
    static char output[BENCH_CHILD_OUTPUT_BYTES];
    const struct bench_series_row *row = sheet_row->context;
    uint64_t numbers[BENCH_SERIES_NUMBERS];
    double n[BENCH_SERIES_NUMBERS];
    char *line = output;

    if (!ask(sheet, row, column, output)) {
        return false;
    }
    while (strncmp(line, "hour ", 5) == 0) {
        char *end = line + strcspn(line, "\n");
        *end = '\0';
        tell_hour(sheet, row->name, column, line);
        line = end + 1;
    }
    if (!bench_child_numbers(line, numbers, BENCH_SERIES_NUMBERS)) {
        return false;
    }
    for (size_t i = 0; i < BENCH_SERIES_NUMBERS; i++) {
        n[i] = (double)numbers[i];
    }
    bench_series_figures(row, n, ret_figures);
    return true;
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void run_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t count = 0;
    const struct bench_series_row *rows = bench_series_rows(&count);

    for (size_t i = 0; i < count; i++) {
        struct bench_sheet_row row = {
            .name = rows[i].name,
            .title = rows[i].title,
            .columns = ALL,
            .is_exact = rows[i].kind != BENCH_SERIES_INGEST || rows[i].series_count >= 1000000,
            .measure = measure,
            .context = &rows[i],
        };
        row.form = bench_series_forms(&rows[i], &row.form_count);
        if (bench_series_row_is_asked_for(&rows[i], pattern)) {
            bench_sheet_run(sheet, &row);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench tsdb - the time-series store beside Prometheus and VictoriaMetrics\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench tsdb [--json] [--quick] [--against prometheus,victoria-metrics]\n"
    "                      [--rows PATTERN] [--rounds N] [--directory PATH]\n"
    "\n"
    "DESCRIPTION\n"
    "    Starts each server on a CPU of its own, writes to it from another one by remote write "
    "1.0\n"
    "    with snappy, and ends it again. Peers are looked for in PATH, then unpacked in "
    "build/peers\n"
    "    beside the build, or in the directory that QUARRY_BENCH_PEERS names. They need not run,\n"
    "    and are left alone if they do.\n"
    "\n"
    "    Shapes: tsbs is TSBS' devops, ten whole-numbered figures of a CPU for each host, of "
    "eight\n"
    "    labels. node is a seeded model of node_exporter, 1,000 series for each host, half of "
    "which\n"
    "    never change; it is no recording. Samples are backdated, and in order.\n"
    "\n"
    "    CPU time is that of all threads until the server rests: it is waited for until it uses\n"
    "    less than 1 % of a CPU for 200 ms, 20 s at most. Resident bytes are read when they "
    "hardly\n"
    "    change, after 30 s at most. Every server is asked for what it was told, and one that has\n"
    "    lost samples has no figures. Quarry does not scrape itself; Prometheus takes snapshots "
    "of\n"
    "    its head at its end; VictoriaMetrics caches no answers.\n"
    "\n"
    "    cardinality_1g: Quarry has --memory 1g. The peers have no such limit, and are stopped "
    "when\n"
    "    twice as much is resident. hours_36 takes many minutes, and is measured when --rows asks\n"
    "    for it; its first 36 hours fill the windows, and its figures are those of the other 36.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    The second line has row \"directory\". Figures, by kind of row:\n"
    "    server_cpu_ns_per_sample, samples_per_cpu_second, samples_per_second,\n"
    "    client_busy_percent, server_cpu_ns_per_new_series, resident_bytes,\n"
    "    resident_bytes_per_series, body_bytes_per_sample.\n"
    "    memory_series_1m: resident_bytes_per_series, resident_bytes, peak_bytes, series.\n"
    "    memory_samples_node: sealed_resident_bytes_per_sample, open_resident_bytes_per_sample,\n"
    "    resident_bytes, peak_bytes; of Quarry sealed_ and open_store_bytes_per_sample.\n"
    "    restart: first_right_answer_ms, first_right_answer_worst_ms (of three), end_ms.\n"
    "    cardinality_1g: peak_percent_of_budget, p99_before_ms, p99_during_ms, p99_after_ms (of\n"
    "    queries for old series), new_series_taken, new_series_offered_per_minute, answers_429,\n"
    "    answers_wrong.\n"
    "    hours_36: peak_bytes, steady_bytes, peak_by_steady, server_cpu_ns_per_sample, "
    "restart_ms;\n"
    "    of Quarry waste_percent, purged_pages_kept_percent, purged_windows. Before it, row\n"
    "    hours_36_hour: hour, resident_bytes; of Quarry page_bytes, live_bytes.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
    "    quarry bench tsdb --quick\n"
    "    quarry bench tsdb --rows 'node_100k_*' --against victoria-metrics\n"
    "    quarry bench tsdb --json --rows hours_36 >hours.json; bench/plot_tsdb hours.json\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_series_row *rows = bench_series_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, false);
    (void)fputs("    --directory PATH    in which stores are made ($TMPDIR, or /var/tmp): on the "
                "disk\n"
                "                        that is to be measured, with room for 4 GB\n"
                "\n"
                "ROWS\n",
                file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-20s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

/* Says where the stores lie. */
static void tell_directory(struct bench_sheet *sheet)
{
    char text[256];

    (void)snprintf(text, sizeof text, "stores are made in %.160s", parent);
    bench_sheet_note(sheet, "directory", text);
}

static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    struct bench_directory directory;

    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        sheet->absent_reason[i] = bench_server_absence(kinds[i], bench_load_quarry());
    }
    if (!bench_directory_make_below(&directory, parent)) {
        (void)fprintf(stderr, "quarry bench tsdb: no directory can be made in %s: %s\n", parent,
                      strerror(errno));
        return 1;
    }
    parent = directory.path;
    int code = 1;
    if (bench_sheet_begin(sheet)) {
        tell_directory(sheet);
        run_rows(sheet, options->row_pattern);
        code = bench_sheet_end(sheet);
    }
    bench_directory_remove(&directory);
    return code;
}

static enum quarry_status take_parent(int *argc, char **argv, struct quarry_error *error)
{
    (void)error;
    const char *told = bench_command_line_take(argc, argv, "directory");
    const char *temporary = getenv("TMPDIR");

    parent = temporary != NULL ? temporary : "/var/tmp";
    parent = told != NULL ? told : parent;
    return QUARRY_OK;
}

int bench_tsdb_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "tsdb",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .take = take_parent,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
