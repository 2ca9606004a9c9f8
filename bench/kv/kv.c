/*
 * `quarry bench kv`: the sitting.
 *
 *   quarry bench kv ── for each round, row, store ──▶ quarry-bench-kv            Quarry
 *                                                     quarry-bench-kv-rocksdb    RocksDB, in C
 *                                                     quarry-bench-kv-leveldb    LevelDB, in C
 *
 * The three are one program with another table of calls. The parent makes the directory in which
 * they work, and turns their numbers into figures.
 */
#include <bench/kv/kv.h>

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/directory.h>
#include <bench/callgrind.h>
#include <bench/child.h>
#include <bench/json.h>
#include <bench/kv/figures.h>
#include <bench/kv/options.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>

enum column { QUARRY, ROCKSDB, LEVELDB, COLUMN_COUNT };

static const struct bench_column columns[COLUMN_COUNT] = {
    {.name = "quarry"},
    {.name = "rocksdb", .package = "librocksdb7.8"},
    {.name = "leveldb", .package = "libleveldb1d"},
};
static const char *const programs[COLUMN_COUNT] = {
    "libexec/quarry/quarry-bench-kv",
    "libexec/quarry/quarry-bench-kv-rocksdb",
    "libexec/quarry/quarry-bench-kv-leveldb",
};
static const char *const absences[COLUMN_COUNT] = {
    "its program is not here",
    "built without librocksdb-dev",
    "built without libleveldb-dev",
};
static const struct bench_form count_forms[] = {
    {"instructions_per_operation", "instr/op", 1, true},
};
#define ALL (BENCH_COLUMN(QUARRY) | BENCH_COLUMN(ROCKSDB) | BENCH_COLUMN(LEVELDB))

/* What all rows of a sitting share. */
struct sitting {
    struct bench_kv_options options;
    const char *directory; /* in which stores are */
    bool has_instructions;
};
static struct sitting sitting;

/* ---- one measurement ------------------------------------------------------------------------ */

/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u
/* Words of a child's line before the sizes. */
#define FIXED_WORDS 3u

/* The command line of a child. */
struct line {
    char program[BENCH_CHILD_PATH_BYTES];
    char text[BENCH_KV_SIZES][NUMBER_BYTES];
    const char *argv[FIXED_WORDS + BENCH_KV_SIZES + 1];
};

static void fill_line(struct line *line, const struct bench_kv_row *row, size_t column)
{
    uint64_t sizes[BENCH_KV_SIZES];

    bench_child_beside(programs[column], line->program);
    memset(line->argv, 0, sizeof line->argv);
    line->argv[0] = line->program;
    line->argv[1] = row->name;
    line->argv[2] = sitting.directory;
    memcpy(sizes, &sitting.options.sizes, sizeof sizes);
    for (size_t i = 0; i < BENCH_KV_SIZES; i++) {
        (void)snprintf(line->text[i], NUMBER_BYTES, "%" PRIu64, sizes[i]);
        line->argv[FIXED_WORDS + i] = line->text[i];
    }
}

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                    size_t column, double *ret_figures)
{
    const struct bench_kv_row *row = sheet_row->context;
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t numbers[BENCH_KV_NUMBERS];
    struct line line;

    (void)sheet;
    fill_line(&line, row, column);
    if (bench_child_run(line.argv, NULL, false, output) != 0 ||
        !bench_child_numbers(output, numbers, BENCH_KV_NUMBERS)) {
        return false;
    }
    bench_kv_figures(row->kind, numbers, ret_figures);
    return true;
}

static bool count(const struct bench_sheet *sheet, const struct bench_sheet_row *sheet_row,
                  size_t column, double *ret_figures)
{
    const struct bench_kv_row *row = sheet_row->context;
    size_t step_word = FIXED_WORDS + offsetof(struct bench_kv_sizes, step_count) / sizeof(uint64_t);
    struct line line;

    (void)sheet;
    fill_line(&line, row, column);
    return bench_child_callgrind_steps(line.argv, step_word, NULL, row->step_count,
                                       &ret_figures[0]);
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void find_absent(struct bench_sheet *sheet)
{
    char path[BENCH_CHILD_PATH_BYTES];

    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        bench_child_beside(programs[i], path);
        if (access(path, X_OK) != 0) {
            sheet->absent_reason[i] = absences[i];
        }
    }
    if (sitting.options.sizes.compression == BENCH_KV_LZ4) {
        sheet->absent_reason[LEVELDB] = "it has no LZ4";
    }
}

/* What figures have to be read with. */
static void print_terms(const struct bench_sheet *sheet)
{
    static const char text[] =
        "Debian's librocksdb and libleveldb are built with assertions, which cost them some CPU";

    if (sheet->is_json) {
        struct bench_json json = bench_json_begin(sheet->file, "kv", "note", "rocksdb");
        bench_json_text(&json, "text", text);
        bench_json_end(&json);
        return;
    }
    (void)fprintf(sheet->file, "%s.\n%" PRIu64 " keys of %u bytes, values of %" PRIu64 "\n", text,
                  sitting.options.sizes.key_count, BENCH_KV_KEY_BYTES,
                  sitting.options.sizes.value_bytes);
}

static void run_row(struct bench_sheet *sheet, const struct bench_kv_row *kv)
{
    bool is_counted = sitting.has_instructions;
    size_t form_count = 1;
    const struct bench_form *forms =
        is_counted ? count_forms : bench_kv_forms(kv->kind, &form_count);
    struct bench_sheet_row row = {
        .name = kv->name,
        .title = kv->title,
        .form = forms,
        .form_count = form_count,
        .columns = kv->needs_many ? ALL & ~BENCH_COLUMN(LEVELDB) : ALL,
        .is_exact = kv->is_long || is_counted,
        .measure = is_counted ? count : measure,
        .context = kv,
    };

    bench_sheet_run(sheet, &row);
}

static void run_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t count = 0;
    const struct bench_kv_row *rows = bench_kv_rows(&count);

    for (size_t i = 0; i < count; i++) {
        bool is_asked_for = sitting.has_instructions
                                ? rows[i].step_count > 0
                                : !rows[i].is_long || strcmp(pattern, "*") != 0;
        if (is_asked_for && fnmatch(pattern, rows[i].name, 0) == 0) {
            run_row(sheet, &rows[i]);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench kv - the ordered store beside RocksDB and LevelDB\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench kv [--json] [--quick] [--against LIST] [--rows PATTERN] [--rounds N]\n"
    "                    [--keys N] [--value-bytes N] [--compression NAME] [--database SIZE]\n"
    "                    [--log SIZE] [--files N] [--directory PATH] [--instructions]\n"
    "\n"
    "DESCRIPTION\n"
    "    Does the same with each store, in a process of its own, through its interface in C. All\n"
    "    have the same keys and values, compression, filters of 10 bits a key, cache, memtables,\n"
    "    files, two threads in the background, checksums checked on every read, and a log that\n"
    "    outlives the process. Every value that is read is looked at.\n"
    "\n"
    "    CPU time is the whole process's, until the store is at rest: what is put off to the\n"
    "    background is in it. Operations per second end with the last operation.\n"
    "\n"
    "    Rows about budgets, recover_wal and open_files are measured only when --rows names them,\n"
    "    and once. In a budget RocksDB has a cache with strict_capacity_limit, which holds "
    "indexes\n"
    "    and filters too, beside memtables of a quarter of it; LevelDB has the same sizes.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    The second line has row \"note\". Figures: cpu_us_per_operation,\n"
    "    operations_per_second, p99_us, p9999_us, worst_us (the longest pause),\n"
    "    write_amplification (bytes of file pages made dirty, of bytes of keys and values),\n"
    "    space_amplification, peak_rss_bytes.\n"
    "    budget_*: peak_of_allowed_percent (of the budget and 2 % of it or 32 MiB),\n"
    "    peak_rss_bytes, refused_reads_ppm, refused_writes_ppm, writes_per_second, read_p9999_us,\n"
    "    write_worst_us, cpu_seconds.\n"
    "    recover_wal, open_files: open_ms, cpu_ms, peak_rss_bytes, first_read_us (the worst of\n"
    "    64), disk_bytes, files, lost_keys.\n"
    "    With --instructions: instructions_per_operation, of all threads, what a row leaves to be\n"
    "    done included.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
    "    quarry bench kv --quick\n"
    "    quarry bench kv --rows 'ycsb_*' --against rocksdb --compression lz4\n"
    "    quarry bench kv --rows 'budget_*' --database 1g\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_kv_row *rows = bench_kv_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, true);
    bench_kv_options_help(file);
    (void)fputs("ROWS\n", file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-18s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

static enum quarry_status take_options(int *argc, char **argv, struct quarry_error *error)
{
    return bench_kv_options_take(argc, argv, &sitting.options, error);
}

/* Runs all rows in a directory that is gone afterwards. Returns: the exit code. */
static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    struct bench_directory directory;

    sitting.has_instructions = options->has_instructions;
    if (options->has_instructions) {
        bench_kv_options_shorten(&sitting.options);
    }
    find_absent(sheet);
    if (!bench_directory_make_below(&directory, sitting.options.directory)) {
        (void)fprintf(stderr, "quarry bench kv: no directory can be made in %s: %s\n",
                      sitting.options.directory, strerror(errno));
        return 1;
    }
    sitting.directory = directory.path;
    int code = 1;
    if (bench_sheet_begin(sheet)) {
        print_terms(sheet);
        if (sitting.has_instructions && !bench_child_has_valgrind()) {
            bench_sheet_note(sheet, "instructions", "valgrind is absent: nothing is counted");
        } else {
            run_rows(sheet, options->row_pattern);
        }
        code = bench_sheet_end(sheet);
    }
    bench_directory_remove(&directory);
    return code;
}

int bench_kv_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "kv",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .has_instructions = true,
        .take = take_options,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
