/*
 * Reading the command line, and the manual.
 */
#include <bench/options.h>

#include <getopt.h>
#include <string.h>

#include <base/base.h>

#include <bench/command_line.h>
#include <bench/workload.h>

#define ROUNDS_DEFAULT      7u
#define TARGET_NS           (60 * Q_MS_NS)
#define TARGET_QUICK_NS     (10 * Q_MS_NS)
#define SPIKE_SMALL_BYTES   Q_MIB(256)
#define SPIKE_LARGE_BYTES   Q_GIB(2)
#define SPIKE_SECONDS       30u
#define SPIKE_QUICK_SECONDS 10u
#define SPIKE_BYTES_MAX     Q_GIB(64)
#define PAIRS_MAX           UINT64_C(1000000000)

enum option_key {
    KEY_JSON = 256,
    KEY_QUICK,
    KEY_AGAINST,
    KEY_INSTRUCTIONS,
    KEY_ROUNDS,
    KEY_ITERATIONS,
    KEY_ROWS,
    KEY_SPIKE_BYTES,
    KEY_SPIKE_SECONDS,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, KEY_JSON},
    {"quick", no_argument, NULL, KEY_QUICK},
    {"against", required_argument, NULL, KEY_AGAINST},
    {"instructions", no_argument, NULL, KEY_INSTRUCTIONS},
    {"rounds", required_argument, NULL, KEY_ROUNDS},
    {"iterations", required_argument, NULL, KEY_ITERATIONS},
    {"rows", required_argument, NULL, KEY_ROWS},
    {"spike-bytes", required_argument, NULL, KEY_SPIKE_BYTES},
    {"spike-seconds", required_argument, NULL, KEY_SPIKE_SECONDS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static struct bench_options defaults(void)
{
    struct bench_options options = {
        .round_count = ROUNDS_DEFAULT,
        .target_ns = TARGET_NS,
        .spike_bytes = {SPIKE_SMALL_BYTES, SPIKE_LARGE_BYTES},
        .spike_seconds = SPIKE_SECONDS,
        .row_pattern = "*",
    };

    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        options.is_wanted[i] = true;
    }
    return options;
}

static void make_quick(struct bench_options *options)
{
    options->target_ns = TARGET_QUICK_NS;
    options->spike_bytes[1] = 0;
    options->spike_seconds = SPIKE_QUICK_SECONDS;
}

static const char *subject_name(size_t index)
{
    return bench_subject_at(index)->name;
}

static enum quarry_status parse_spike_bytes(const char *text, struct bench_options *options,
                                            struct quarry_error *error)
{
    uint64_t bytes = 0;

    if (size_parse(text, &bytes) != QUARRY_OK || bytes < Q_MIB(1) || bytes > SPIKE_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "--spike-bytes %s: wants a size from 1m to 64g",
                         text);
    }
    options->spike_bytes[0] = bytes;
    options->spike_bytes[1] = 0;
    return QUARRY_OK;
}

static enum quarry_status apply(void *context, int key, const char *value,
                                struct quarry_error *error)
{
    struct bench_options *options = context;
    enum quarry_status status = QUARRY_OK;
    uint64_t number = 0;

    switch (key) {
    case KEY_JSON:
        options->is_json = true;
        break;
    case KEY_INSTRUCTIONS:
        options->has_instructions = true;
        break;
    case 'h':
        options->is_help = true;
        break;
    case KEY_ROWS:
        options->row_pattern = value;
        break;
    case KEY_AGAINST:
        return bench_command_line_against(value, subject_name, BENCH_SUBJECT_COUNT,
                                          options->is_wanted, error);
    case KEY_SPIKE_BYTES:
        return parse_spike_bytes(value, options, error);
    case KEY_SPIKE_SECONDS:
        return bench_command_line_number("spike-seconds", value, 0, SPIKE_SECONDS,
                                         &options->spike_seconds, error);
    case KEY_ITERATIONS:
        return bench_command_line_number("iterations", value, 1, PAIRS_MAX, &options->pair_count,
                                         error);
    case KEY_ROUNDS:
        status = bench_command_line_number("rounds", value, 1, BENCH_ROUNDS_MAX, &number, error);
        options->round_count = status == QUARRY_OK ? (size_t)number : options->round_count;
        break;
    default:
        break;
    }
    return status;
}

enum quarry_status bench_options_parse(int argc, char **argv, struct bench_options *ret_options,
                                       struct quarry_error *error)
{
    struct bench_options options = defaults();

    if (bench_command_line_has_quick(argc, argv)) {
        make_quick(&options);
    }
    enum quarry_status status =
        bench_command_line_walk(argc, argv, long_options, apply, &options, error);
    if (status == QUARRY_OK) {
        *ret_options = options;
    }
    return status;
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench pages - measure the page heap beside malloc libraries and mmap\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench pages [--json] [--quick] [--against LIST] [--instructions]\n"
    "                       [--rows PATTERN] [--rounds N] [--iterations N]\n"
    "                       [--spike-bytes SIZE] [--spike-seconds N]\n"
    "\n"
    "DESCRIPTION\n"
    "    Measures allocations with their frees in pages of 8 KiB, and how memory goes back after "
    "a\n"
    "    spike, for Quarry's page heap and for its peers: malloc and free of as many bytes in\n"
    "    glibc, jemalloc, mimalloc and tcmalloc (each put in by LD_PRELOAD and then looked for in\n"
    "    /proc/self/maps; a library that is not there is reported as absent), and mmap with "
    "munmap.\n"
    "\n"
    "    Each measurement is a process of its own. Each round goes over all subjects, beginning\n"
    "    with another one each time. What is printed is the median over the rounds, the smallest\n"
    "    round, the spread (largest less smallest, in percent of the median), and CPU time (user\n"
    "    and system, all threads). A ratio is Quarry's figure divided by the best peer's: below 1\n"
    "    Quarry is ahead, above 1 the row is marked LOSS.\n"
    "\n"
    "    With two threads, wall time is per pair of one thread: it stays what it was with one\n"
    "    thread where threads do not wait for each other. CPU time is per pair of both.\n"
    "\n"
    "OPTIONS\n"
    "    --json              one JSON object a line instead of tables\n"
    "    --quick             shorter rounds; the spike of 256 MiB only, watched for 10 s\n"
    "    --against LIST      peers, apart by commas: glibc,jemalloc,mimalloc,tcmalloc,mmap (all)\n"
    "    --instructions      instructions per pair instead of times: two runs of different length\n"
    "                        under valgrind --tool=callgrind, their difference divided, so that\n"
    "                        start-up is not in it; and the processor's own count where the "
    "kernel\n"
    "                        gives it. User mode only\n"
    "    --rows PATTERN      rows whose name matches, as the shell matches file names: 'pair_*'\n"
    "    --rounds N          rounds (7)\n"
    "    --iterations N      pairs in a round; else as many as take 60 ms, or 10 ms with --quick\n"
    "    --spike-bytes SIZE  one spike of this size instead of 256 MiB and 2 GiB\n"
    "    --spike-seconds N   how long to watch it: points at 0, 1, 2, 5, 10 and 30 s (30)\n"
    "\n"
    "ROWS\n";

static const char help_tail[] =
    "    spike_256mib            the same in runs of a page, touched and freed: RSS while idle\n"
    "    spike_2gib              likewise; left out where there is not twice as much memory\n"
    "    instr_*                 with --instructions: the pair_ rows of one thread\n"
    "\n"
    "JSON\n"
    "    Every line has bench, row and subject. The first line has row \"machine\". Others have, "
    "by\n"
    "    kind of row: wall_ns_per_pair, wall_min_ns_per_pair, wall_spread_percent, "
    "cpu_ns_per_pair;\n"
    "    instructions_per_pair, counted_by; at_seconds, rss_bytes, cpu_ns, cpu_percent_of_one,\n"
    "    cpu_percent_of_all, committed_bytes, committed_peak_bytes, limit_bytes.\n"
    "    \"ranked\": the figures that are compared, the main one first. \"ratio\" is\n"
    "    Quarry's figure divided by this peer's, and in Quarry's own lines by that of "
    "\"best_peer\".\n"
    "    A subject that is missing has \"absent\": true and \"reason\".\n"
    "\n" BENCH_HELP_EXIT "ENVIRONMENT\n"
    "    What peers read (MALLOC_ARENA_MAX, MALLOC_CONF, MIMALLOC_…, TCMALLOC_…) is passed on to\n"
    "    them. LD_PRELOAD is not.\n"
    "\n"
    "EXAMPLES\n"
    "    quarry bench pages --quick\n"
    "    quarry bench pages --json > pages.json; bench/plot_pages pages.json docs/bench\n"
    "    quarry bench pages --rows 'pair_cache_*' --against jemalloc,mimalloc --instructions\n";

void bench_options_help(FILE *file)
{
    size_t row_count = 0;
    const struct bench_row *rows = bench_rows(&row_count);

    (void)fputs(help_head, file);
    for (size_t i = 0; i < row_count; i++) {
        (void)fprintf(file, "    %-22s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}
