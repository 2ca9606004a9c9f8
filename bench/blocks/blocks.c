/*
 * `quarry bench blocks`: the sitting.
 *
 *   miss_TRACE_PERCENT[_bytes]    policies alone, on traces made here: what a cache misses that has
 *                                 room for 1, 5, 10 or 25 % of the different keys, or of their
 *                                 bytes. Deterministic, so one round.
 *   all other rows                caches at work (cache_rows.c), in interleaved rounds
 *
 * Who is measured where:
 *
 *   column          policies   caches   what it is
 *   quarry             ×          ×     Clock-Pro as Quarry has it; the block cache with it
 *   lru … s3_fifo      ×                policies written here, without a cache round them
 *   rocksdb_lru                   ×     LRUCache         ┐ in quarry-bench-rocksdb, which does the
 *   rocksdb_hcc                   ×     HyperClockCache  ┘ same loop; built with librocksdb-dev
 *   cb_lru, cb_hcc                ×     cache_bench of rocksdb-tools: its own loop, for reference
 *
 * cache_bench reads its clock round each operation and makes its values from a slower generator; it
 * is there to show that our loop treats RocksDB no worse than RocksDB's own.
 */
#include <bench/blocks/blocks.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/blocks/cache_rows.h>
#include <bench/blocks/policy.h>
#include <bench/blocks/trace.h>
#include <bench/callgrind.h>
#include <bench/child.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>

enum column {
    QUARRY,
    LRU,
    CLOCK,
    TWO_QUEUE,
    S3_FIFO,
    ROCKSDB_LRU,
    ROCKSDB_HCC,
    CB_LRU,
    CB_HCC,
    COLUMN_COUNT,
};

static const struct bench_column columns[COLUMN_COUNT] = {
    {.name = "quarry"},
    {.name = "lru"},
    {.name = "clock"},
    {.name = "two_queue"},
    {.name = "s3_fifo"},
    {.name = "rocksdb_lru", .package = "librocksdb7.8"},
    {.name = "rocksdb_hcc", .package = "librocksdb7.8"},
    {.name = "cb_lru", .package = "rocksdb-tools"},
    {.name = "cb_hcc", .package = "rocksdb-tools"},
};

#define POLICY_COLUMNS                                                                             \
    (BENCH_COLUMN(QUARRY) | BENCH_COLUMN(LRU) | BENCH_COLUMN(CLOCK) | BENCH_COLUMN(TWO_QUEUE) |    \
     BENCH_COLUMN(S3_FIFO))
#define CACHE_COLUMNS     (BENCH_COLUMN(QUARRY) | BENCH_COLUMN(ROCKSDB_LRU) | BENCH_COLUMN(ROCKSDB_HCC))
#define REFERENCE_COLUMNS (BENCH_COLUMN(CB_LRU) | BENCH_COLUMN(CB_HCC))

/* Requests of a trace with --quick: an eighth. */
#define QUICK_PART 8u

static const uint32_t percents[] = {1, 5, 10, 25};
#define PERCENT_COUNT (sizeof percents / sizeof percents[0])

static const struct bench_form miss_forms[] = {
    {"miss_ratio", "miss ratio", 1, true},
    {"byte_miss_ratio", NULL, 1, false},
};
static const struct bench_form cache_forms[] = {
    {"wall_ns_per_operation", "wall ns/op", 1, true},
    {"cpu_ns_per_operation", "cpu ns/op", 1, false},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"hit_percent", "hit %", 1, false},
    {"peak_rss_bytes", "peak MiB", 1048576, false},
};
static const struct bench_form storm_forms[] = {
    {"wall_ns_per_operation", "wall us/storm", 1000, false},
    {"cpu_ns_per_operation", "cpu us/storm", 1000, false},
    {"loads_per_operation", "loads/storm", 1, false},
};
static const struct bench_form count_forms[] = {
    {"instructions_per_operation", "instr/op", 1, true},
};
#define FORMS(forms) .form = (forms), .form_count = sizeof(forms) / sizeof(forms)[0]

/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u

static const char *number_text(uint64_t number, char text[NUMBER_BYTES])
{
    (void)snprintf(text, NUMBER_BYTES, "%" PRIu64, number);
    return text;
}

/* ---- policies ------------------------------------------------------------------------------- */

/* What a row about policies is. */
struct miss_row {
    const struct bench_trace_shape *shape;
    uint32_t percent;
    bool is_sized;
};

static bool measure_misses(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                           size_t column, double *ret_figures)
{
    const struct miss_row *miss = row->context;
    char requests[NUMBER_BYTES];
    char percent[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t n[4];
    uint32_t request_count = miss->shape->request_count / (sheet->is_quick ? QUICK_PART : 1);
    const char *argv[] = {bench_child_program(),
                          "blocks",
                          "policy",
                          columns[column].name,
                          miss->shape->name,
                          number_text(request_count, requests),
                          number_text(miss->percent, percent),
                          miss->is_sized ? "bytes" : "unit",
                          NULL};

    if (bench_child_run(argv, NULL, false, output) != 0 || !bench_child_numbers(output, n, 4)) {
        return false;
    }
    ret_figures[0] = (double)n[1] / (double)n[0];
    ret_figures[1] = miss->is_sized ? (double)n[3] / (double)n[2] : NAN;
    return true;
}

static void run_miss_row(struct bench_sheet *sheet, const char *pattern,
                         const struct miss_row *miss)
{
    char family[BENCH_ROW_NAME_BYTES];
    char name[BENCH_ROW_NAME_BYTES];
    struct bench_sheet_row row = {
        .name = name,
        FORMS(miss_forms),
        .columns = POLICY_COLUMNS,
        .is_exact = true,
        .measure = measure_misses,
        .context = miss,
    };

    (void)snprintf(family, sizeof family, "miss_%s", miss->shape->name); /* as the manual has it */
    (void)snprintf(name, sizeof name, "miss_%s_%" PRIu32 "%s", miss->shape->name, miss->percent,
                   miss->is_sized ? "_bytes" : "");
    if (fnmatch(pattern, name, 0) == 0 || fnmatch(pattern, family, 0) == 0) {
        bench_sheet_run(sheet, &row);
    }
}

static void run_miss_rows(struct bench_sheet *sheet, const char *pattern)
{
    size_t shape_count = 0;
    const struct bench_trace_shape *shapes = bench_trace_shapes(&shape_count);

    for (size_t n = 0; n < shape_count * PERCENT_COUNT * 2; n++) {
        struct miss_row miss = {
            .shape = &shapes[n / PERCENT_COUNT % shape_count],
            .percent = percents[n % PERCENT_COUNT],
            .is_sized = n >= shape_count * PERCENT_COUNT,
        };
        run_miss_row(sheet, pattern, &miss);
    }
}

/* ---- caches --------------------------------------------------------------------------------- */

static const char *rocksdb_program(void)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    if (path[0] == '\0') {
        bench_child_beside("libexec/quarry/quarry-bench-rocksdb", path);
    }
    return path;
}

/* The words before ROW of a line that measures a cache; NULL at the end. */
#define HEAD_WORDS 3u
static size_t head_words(size_t column, const char **words)
{
    if (column == QUARRY) {
        words[0] = bench_child_program();
        words[1] = "blocks";
        words[2] = "cache";
        return 3;
    }
    words[0] = rocksdb_program();
    words[1] = column == ROCKSDB_LRU ? "lru" : "hyperclock";
    return 2;
}

static bool run_cache(const struct bench_cache_row *row, size_t column, bool is_quick,
                      struct bench_cache_sample *ret_sample)
{
    const char *argv[HEAD_WORDS + 4] = {NULL};
    char steps[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t n[BENCH_CACHE_SAMPLE_NUMBERS];
    size_t used = head_words(column, argv);

    argv[used++] = row->name;
    argv[used++] = number_text(is_quick ? row->quick_steps : row->full_steps, steps);
    argv[used] = is_quick ? "1" : "0";
    if (bench_child_run(argv, NULL, false, output) != 0 ||
        !bench_child_numbers(output, n, BENCH_CACHE_SAMPLE_NUMBERS) || n[0] == 0 || n[1] == 0) {
        return false;
    }
    *ret_sample = (struct bench_cache_sample){n[0], {n[1], n[2]}, n[3], n[4], n[5], n[6], n[7]};
    return true;
}

/* The number after the text in cache_bench's output that gives operations of all threads. */
static bool read_cache_bench(const char *output, double *ret_operations_per_second)
{
    static const char key[] = "Rough parallel ops/sec = ";
    const char *found = strstr(output, key);

    *ret_operations_per_second = found == NULL ? 0 : strtod(found + strlen(key), NULL);
    return *ret_operations_per_second > 0;
}

static bool measure_cache_bench(const struct bench_cache_row *row, size_t column, bool is_quick,
                                double *ret_figures)
{
    char threads[32];
    char size[48];
    char operations[48];
    char value[32];
    char shards[32];
    char ratio[32];
    char skew[32];
    const char *argv[] = {"cache_bench",
                          column == CB_LRU ? "-cache_type=lru_cache"
                                           : "-cache_type=hyper_clock_cache",
                          row->is_lean ? "-lean=true" : "-lean=false",
                          "-populate_cache=true",
                          threads,
                          size,
                          operations,
                          value,
                          shards,
                          ratio,
                          skew,
                          NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];
    double per_second = 0;

    (void)snprintf(threads, sizeof threads, "-threads=%" PRIu32, row->thread_count);
    (void)snprintf(size, sizeof size, "-cache_size=%" PRIu64,
                   is_quick ? row->quick_bytes : row->capacity_bytes);
    (void)snprintf(operations, sizeof operations, "-ops_per_thread=%" PRIu64,
                   is_quick ? row->quick_steps : row->full_steps);
    (void)snprintf(value, sizeof value, "-value_bytes=%u", BENCH_CACHE_VALUE_BYTES);
    (void)snprintf(shards, sizeof shards, "-num_shard_bits=%d", BENCH_MIX_SHARD_BITS);
    (void)snprintf(ratio, sizeof ratio, "-resident_ratio=%g", 1.0 / BENCH_MIX_KEYS_PER_VALUE);
    (void)snprintf(skew, sizeof skew, "-skew=%u", BENCH_MIX_SKEW);
    if (bench_child_run(argv, NULL, true, output) != 0 || !read_cache_bench(output, &per_second)) {
        return false;
    }
    ret_figures[0] = (double)Q_SECOND_NS / per_second;
    ret_figures[2] = per_second;
    return true;
}

static bool measure_cache(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                          size_t column, double *ret_figures)
{
    const struct bench_cache_row *cache = row->context;
    struct bench_cache_sample sample;

    if (column == CB_LRU || column == CB_HCC) {
        return measure_cache_bench(cache, column, sheet->is_quick, ret_figures);
    }
    if (!run_cache(cache, column, sheet->is_quick, &sample)) {
        return false;
    }
    double operations = (double)sample.operation_count;
    ret_figures[0] = (double)sample.time.wall_ns / operations;
    ret_figures[1] = (double)sample.time.cpu_ns / operations;
    if (cache->is_loaded) {
        ret_figures[2] = (double)sample.load_count / operations;
        return true;
    }
    ret_figures[2] = operations * (double)Q_SECOND_NS / (double)sample.time.wall_ns;
    ret_figures[3] = sample.lookup_count == 0
                         ? NAN
                         : 100 * (double)sample.hit_count / (double)sample.lookup_count;
    ret_figures[4] = sample.peak_rss_bytes == 0 ? NAN : (double)sample.peak_rss_bytes;
    return true;
}

static void run_cache_row(struct bench_sheet *sheet, const struct bench_cache_row *cache)
{
    struct bench_sheet_row row = {
        .name = cache->name,
        .title = cache->title,
        FORMS(cache_forms),
        .columns = CACHE_COLUMNS,
        .measure = measure_cache,
        .context = cache,
    };

    if (cache->is_reference) {
        row.columns |= REFERENCE_COLUMNS;
        row.reference = REFERENCE_COLUMNS;
    }
    if (cache->is_loaded) {
        row.form = storm_forms;
        row.form_count = sizeof storm_forms / sizeof storm_forms[0];
        row.columns = BENCH_COLUMN(QUARRY);
    }
    bench_sheet_run(sheet, &row);
}

/* Instructions: two runs of different length, with the caches of --quick. */
static bool measure_count(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                          size_t column, double *ret_figures)
{
    const struct bench_cache_row *cache = row->context;
    const char *argv[HEAD_WORDS + 4] = {NULL};
    size_t used = head_words(column, argv);

    (void)sheet;
    argv[used] = cache->name;
    argv[used + 2] = "1";
    return bench_child_callgrind_steps(argv, used + 1, NULL, cache->count_steps, &ret_figures[0]);
}

static void run_count_row(struct bench_sheet *sheet, const struct bench_cache_row *cache,
                          const char *name)
{
    struct bench_sheet_row row = {
        .name = name,
        FORMS(count_forms),
        .columns = CACHE_COLUMNS,
        .is_exact = true,
        .measure = measure_count,
        .context = cache,
    };

    bench_sheet_run(sheet, &row);
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void find_absent(struct bench_sheet *sheet)
{
    const char *argv[] = {"cache_bench", "--version", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    if (access(rocksdb_program(), X_OK) != 0) {
        sheet->absent_reason[ROCKSDB_LRU] = "built without librocksdb-dev";
        sheet->absent_reason[ROCKSDB_HCC] = "built without librocksdb-dev";
    }
    if (bench_child_run(argv, NULL, true, output) != 0) {
        sheet->absent_reason[CB_LRU] = "rocksdb-tools is not installed";
        sheet->absent_reason[CB_HCC] = "rocksdb-tools is not installed";
    }
}

static void measure_rows(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    size_t count = 0;
    const struct bench_cache_row *rows = bench_cache_rows(&count);

    run_miss_rows(sheet, options->row_pattern);
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(options->row_pattern, rows[i].name, 0) == 0) {
            run_cache_row(sheet, &rows[i]);
        }
    }
}

static void count_rows(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    size_t count = 0;
    const struct bench_cache_row *rows = bench_cache_rows(&count);

    if (!bench_child_has_valgrind()) {
        bench_sheet_note(sheet, "instructions", "valgrind is absent: nothing is counted");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char name[BENCH_ROW_NAME_BYTES];
        (void)snprintf(name, sizeof name, "instr_%s", rows[i].name);
        if (rows[i].count_steps > 0 && (fnmatch(options->row_pattern, rows[i].name, 0) == 0 ||
                                        fnmatch(options->row_pattern, name, 0) == 0)) {
            run_count_row(sheet, &rows[i], name);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench blocks - measure what caches of blocks keep, and how fast they are\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench blocks [--json] [--quick] [--against LIST] [--rows PATTERN] [--rounds N]\n"
    "                        [--instructions]\n"
    "\n"
    "DESCRIPTION\n"
    "    Rows miss_TRACE_PERCENT set replacement policies side by side on traces that are made\n"
    "    here, the same each time: the part of all requests that a cache misses with room for 1, "
    "5,\n"
    "    10 or 25 % of the different keys, or (rows that end in _bytes) of their bytes. The first\n"
    "    request for a key is a miss for everybody.\n"
    "\n"
    "    The other rows are caches at work on blocks of 4 KiB. cache_bench_ rows do what "
    "RocksDB's\n"
    "    benchmark of caches does: 87 % look up and insert what is missing, 2 % insert, 10 % look\n"
    "    up, 1 % erase; keys so that a quarter fits, skewed by the least of 6 draws; the cache is\n"
    "    full before the clock starts. Each cache allocates values in its own way (RocksDB: new\n"
    "    char[], of the C library's malloc), and the same function fills them. A hit reads all of\n"
    "    the block and compares its sum, but in lean rows. Every block is checked: a wrong one\n"
    "    fails the row. Operations per second are of all threads together.\n"
    "\n"
    "    The best figure of a row has a star. A ratio is Quarry's figure divided by the best of\n"
    "    the others: below 1 Quarry is ahead, above 1 the row is marked LOSS.\n"
    "\n"
    "SUBJECTS\n"
    "    quarry                       Clock-Pro, and the block cache that has it\n"
    "    lru clock two_queue s3_fifo  policies, in miss_ rows\n"
    "    rocksdb_lru rocksdb_hcc      RocksDB's LRUCache and HyperClockCache in the same loop as\n"
    "                                 ours. Debian builds that library with assertions on\n"
    "    cb_lru cb_hcc                the same two in RocksDB's own cache_bench, whose loop reads "
    "a\n"
    "                                 clock round each operation: for reference, in no ratio\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    Figures, by kind of row: miss_ratio, byte_miss_ratio; wall_ns_per_operation,\n"
    "    cpu_ns_per_operation, operations_per_second, hit_percent, peak_rss_bytes,\n"
    "    loads_per_operation; instructions_per_operation.\n"
    "\n" BENCH_HELP_EXIT "EXAMPLES\n"
    "    quarry bench blocks --quick\n"
    "    quarry bench blocks --json > blocks.json; bench/plot_blocks blocks.json docs/bench\n"
    "    quarry bench blocks --rows 'cache_bench_*' --against rocksdb_lru,rocksdb_hcc\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_trace_shape *shapes = bench_trace_shapes(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, true);
    (void)fputs("ROWS\n", file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    miss_%-17s  %s\n", shapes[i].name, shapes[i].title);
    }
    const struct bench_cache_row *rows = bench_cache_rows(&count);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-22s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    find_absent(sheet);
    if (!bench_sheet_begin(sheet)) {
        return 1;
    }
    if (options->has_instructions) {
        count_rows(sheet, options);
    } else {
        measure_rows(sheet, options);
    }
    return bench_sheet_end(sheet);
}

int bench_blocks_main(int argc, char **argv)
{
    static const struct bench_sheet_program program = {
        .name = "blocks",
        .column = columns,
        .column_count = COLUMN_COUNT,
        .has_instructions = true,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
