/*
 * `quarry bench resp`: the sitting.
 *
 *   quarry bench resp ── for each round, row, server ──▶ quarry-bench-child resp …
 *                                                          ├─ starts the server, on one CPU
 *                                                          ├─ is its client, on another
 *                                                          └─ prints numbers, ends the server
 *
 * Servers, clients and figures are bench/cache's; what is added is that servers keep what they are
 * told on a disk. Durability process stands beside appendfsync everysec, which promises about as
 * much (redis syncs each second too; Quarry's log outlives the process alone), and power beside
 * always. The schedules of open loops go by redis' most operations per second in the same sitting.
 */
#include <bench/resp/resp.h>

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/ask.h>
#include <bench/cache/directory.h>
#include <bench/cache/figures.h>
#include <bench/child.h>
#include <bench/command_line.h>
#include <bench/resp/rows.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>

enum { COLUMN_QUARRY, COLUMN_REDIS, COLUMN_COUNT };

static const struct bench_column columns[COLUMN_COUNT] = {
    {.name = "quarry"},
    {.name = "redis", .package = "redis-tools"},
};
static const enum bench_server_kind kinds[COLUMN_COUNT] = {BENCH_SERVER_QUARRY, BENCH_SERVER_REDIS};

/* Fewer are lost in what a server has anyway; more than these do not fit in 32 bits. */
#define KEYS_MIN 1000u
#define KEYS_MAX 4000000000u

/* Where stores are made; the sitting's own. */
static const char *parent;
static uint64_t key_count; /* of memory_10m; 0: as many as usual */

static struct bench_load_question question_of(const struct bench_sheet *sheet,
                                              const struct bench_load_row *row, size_t column)
{
    return (struct bench_load_question){.bench = "resp",
                                        .row = row,
                                        .kind = kinds[column],
                                        .is_quick = sheet->is_quick,
                                        .parent = parent};
}

/* redis' operations per second of the mix; 0: it has none. Asked once. */
static uint64_t redis_maximum(const struct bench_sheet *sheet)
{
    static uint64_t maximum;
    struct bench_load_question question =
        question_of(sheet, bench_resp_row_find(BENCH_RESP_MAXIMUM_ROW), COLUMN_REDIS);

    if (maximum == 0 && sheet->absent_reason[COLUMN_REDIS] == NULL) {
        maximum = bench_load_ask_maximum(&question);
    }
    return maximum;
}

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                    size_t column, double *ret_figures)
{
    const struct bench_load_row *row = sheet_row->context;
    struct bench_load_question question = question_of(sheet, row, column);
    uint64_t numbers[BENCH_LOAD_NUMBERS];
    double n[BENCH_LOAD_NUMBERS];

    question.given = row->kind == BENCH_LOAD_RESIDENT ? key_count : 0;
    if (row->needs_maximum) {
        question.given = redis_maximum(sheet);
    }
    if ((row->needs_maximum && question.given == 0) || !bench_load_ask(&question, numbers)) {
        return false;
    }
    for (size_t i = 0; i < BENCH_LOAD_NUMBERS; i++) {
        n[i] = (double)numbers[i];
    }
    bench_load_figures(row, n, (double)question.given * row->percent / 100, ret_figures);
    return true;
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static bool has_tool(void)
{
    const char *argv[] = {"redis-benchmark", "--version", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, NULL, true, output) == 0;
}

/* Returns: why nobody can measure the row; NULL: somebody can. */
static const char *obstacle(const struct bench_sheet *sheet, const struct bench_load_row *row)
{
    bool counts_calls = row->kind == BENCH_LOAD_CALLS || row->kind == BENCH_LOAD_SYNCS;

    if (counts_calls && !bench_load_has_strace()) {
        return "strace is absent: nothing is counted";
    }
    if (row->kind == BENCH_LOAD_TOOL && !has_tool()) {
        return "redis-benchmark is not installed";
    }
    if (row->needs_maximum && sheet->absent_reason[COLUMN_REDIS] != NULL) {
        return "redis, which sets its terms, is not installed";
    }
    return NULL;
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
        .columns = BENCH_COLUMN(COLUMN_QUARRY) | BENCH_COLUMN(COLUMN_REDIS),
        .is_exact = load->kind == BENCH_LOAD_CALLS || load->kind == BENCH_LOAD_SYNCS ||
                    load->kind == BENCH_LOAD_RESIDENT,
        .measure = measure,
        .context = load,
    };
    const char *reason = obstacle(sheet, load);

    if (reason != NULL) {
        bench_sheet_note(sheet, load->name, reason);
        return;
    }
    bench_sheet_run(sheet, &row);
}

static void run_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t count = 0;
    const struct bench_load_row *rows = bench_resp_rows(&count);

    for (size_t i = 0; i < count; i++) {
        if (fnmatch(pattern, rows[i].name, 0) == 0) {
            run_row(sheet, &rows[i]);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench resp - the ordered store behind RESP beside Redis\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench resp [--json] [--quick] [--against redis] [--rows PATTERN] [--rounds N]\n"
    "                      [--keys N] [--directory PATH]\n"
    "\n"
    "DESCRIPTION\n"
    "    Starts each server with one worker thread on a CPU of its own, is its client on another\n"
    "    one, and ends it again. redis-server need not run, and is left alone if it does.\n"
    "\n"
    "    Both keep what they are told. Quarry has durability process and redis appendfsync\n"
    "    everysec; rows named power have durability power and appendfsync always. redis does not\n"
    "    rewrite its log meanwhile, and has no limit of memory; Quarry has 1 GiB for everything,\n"
    "    in memory_10m 256 MiB. CPU time is that of all threads: Quarry's compactions are in it.\n"
    "\n"
    "    After the fill every key is touched once, so that both have all of it in memory.\n"
    "    After filling a server it is waited for until it uses less than 1 % of a CPU for 200 ms,\n"
    "    20 s at most. Latencies are from the moment at which a request was to be sent. Every\n"
    "    answer is checked, but for redis-benchmark's, whose rows have its own figures and the\n"
    "    server's CPU time beside them.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    The second line has row \"directory\". Figures, by kind of row:\n"
    "    server_cpu_us_per_operation, operations_per_second, hit_percent,\n"
    "    server_busy_percent, client_busy_percent; system_calls_per_operation.\n"
    "    set_power_50: wall_us_per_operation (of all connections together),\n"
    "    operations_per_second, server_cpu_us_per_operation, server_busy_percent.\n"
    "    syncs_power_50: syncs_per_operation (under strace, which slows both down).\n"
    "    open: p50_us to p9999_us, worst_us, operations_per_second,\n"
    "    server_cpu_us_per_operation.\n"
    "    memory_10m: resident_bytes, peak_bytes, limit_bytes, disk_bytes, server_cpu_us_per_set,\n"
    "    server_cpu_us_per_get, items.\n"
    "    tool: server_cpu_us_per_operation, operations_per_second, p50_us, p99_us, worst_us.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
    "    quarry bench resp --quick\n"
    "    quarry bench resp --rows '[gs]et_p16_*' --against redis\n"
    "    quarry bench resp --rows memory_10m --directory /srv/scratch\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_load_row *rows = bench_resp_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, false);
    (void)fputs("    --keys N            of memory_10m, from 1000 (10000000; 100000 with --quick)\n"
                "    --directory PATH    in which stores are made ($TMPDIR, or /var/tmp): on the "
                "disk\n"
                "                        that is to be measured, with room for 4 GB\n"
                "\n"
                "ROWS\n",
                file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-16s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

/* Says where the stores lie, and on what. */
static void tell_directory(struct bench_sheet *sheet)
{
    const char *argv[] = {"stat", "--file-system", "--format=%T", parent, NULL};
    char kind[BENCH_CHILD_OUTPUT_BYTES];
    char text[256];

    if (bench_child_run(argv, NULL, true, kind) != 0) {
        (void)snprintf(kind, sizeof kind, "nobody knows what");
    }
    kind[strcspn(kind, "\n")] = '\0';
    (void)snprintf(text, sizeof text, "stores are made in %.100s, which is on %.32s", parent, kind);
    bench_sheet_note(sheet, "directory", text);
}

/* Runs all rows in a directory that is gone afterwards. Returns: the exit code. */
static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    struct bench_directory directory;

    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        sheet->absent_reason[i] = bench_server_absence(kinds[i], bench_load_quarry());
    }
    if (!bench_directory_make_below(&directory, parent)) {
        (void)fprintf(stderr, "quarry bench resp: no directory can be made in %s: %s\n", parent,
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

static enum quarry_status take_own(int *argc, char **argv, struct quarry_error *error)
{
    const char *keys = bench_command_line_take(argc, argv, "keys");
    const char *told = bench_command_line_take(argc, argv, "directory");
    const char *temporary = getenv("TMPDIR");

    parent = temporary != NULL ? temporary : "/var/tmp";
    parent = told != NULL ? told : parent;
    return keys == NULL
               ? QUARRY_OK
               : bench_command_line_number("keys", keys, KEYS_MIN, KEYS_MAX, &key_count, error);
}

int bench_resp_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "resp",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .take = take_own,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
