/*
 * Reading the command line, and the manual. The rules are those of bench/command_line.c.
 */
#include <bench/malloc/options.h>

#include <getopt.h>
#include <string.h>

#include <base/base.h>

#include <bench/command_line.h>
#include <bench/malloc/programs.h>
#include <bench/malloc/rows.h>
#include <bench/malloc/spike.h>

#define ROUNDS_DEFAULT     5u
#define ROUNDS_QUICK       3u
#define ROUNDS_PROGRAMS    3u
#define IDLE_SECONDS       30u
#define IDLE_QUICK_SECONDS 2u

enum option_key {
    KEY_JSON = 256,
    KEY_QUICK,
    KEY_AGAINST,
    KEY_INSTRUCTIONS,
    KEY_ROUNDS,
    KEY_ROW,
    KEY_STORY,
    KEY_PROGRAMS,
};

static const struct option long_options[] = {
    {"json", no_argument, NULL, KEY_JSON},
    {"quick", no_argument, NULL, KEY_QUICK},
    {"against", required_argument, NULL, KEY_AGAINST},
    {"instructions", no_argument, NULL, KEY_INSTRUCTIONS},
    {"rounds", required_argument, NULL, KEY_ROUNDS},
    {"row", required_argument, NULL, KEY_ROW},
    {"rows", required_argument, NULL, KEY_ROW},
    {"story", required_argument, NULL, KEY_STORY},
    {"programs", no_argument, NULL, KEY_PROGRAMS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static struct bench_malloc_options defaults(bool is_quick)
{
    struct bench_malloc_options options = {
        .is_quick = is_quick,
        .idle_seconds = is_quick ? IDLE_QUICK_SECONDS : IDLE_SECONDS,
        .row_pattern = "*",
    };

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        options.is_wanted[i] = bench_malloc_subject_is_usual(i);
    }
    return options;
}

static const char *subject_name(size_t index)
{
    return bench_malloc_subject_at(index)->name;
}

static enum quarry_status parse_rounds(const char *text, struct bench_malloc_options *options,
                                       struct quarry_error *error)
{
    uint64_t number = 0;
    enum quarry_status status =
        bench_command_line_number("rounds", text, 1, BENCH_ROUNDS_MAX, &number, error);

    options->round_count = status == QUARRY_OK ? (size_t)number : options->round_count;
    return status;
}

static enum quarry_status apply(void *context, int key, const char *value,
                                struct quarry_error *error)
{
    struct bench_malloc_options *options = context;

    switch (key) {
    case KEY_JSON:
        options->is_json = true;
        break;
    case KEY_INSTRUCTIONS:
        options->has_instructions = true;
        break;
    case KEY_PROGRAMS:
        options->has_programs = true;
        break;
    case 'h':
        options->is_help = true;
        break;
    case KEY_ROW:
        options->row_pattern = value;
        break;
    case KEY_AGAINST:
        return bench_command_line_against(value, subject_name, BENCH_MALLOC_SUBJECTS,
                                          options->is_wanted, error);
    case KEY_ROUNDS:
        return parse_rounds(value, options, error);
    case KEY_STORY:
        options->has_story = true;
        if (strcmp(value, "restart") != 0) {
            return error_set(error, QUARRY_BAD_INPUT, "--story %s: there is restart", value);
        }
        break;
    default:
        break;
    }
    return QUARRY_OK;
}

/* As many rounds as are usual for the kind of sitting. */
static size_t usual_rounds(const struct bench_malloc_options *options)
{
    if (options->has_programs) {
        return options->is_quick ? 1 : ROUNDS_PROGRAMS;
    }
    return options->is_quick ? ROUNDS_QUICK : ROUNDS_DEFAULT;
}

/* One kind of sitting at a time. */
static enum quarry_status check_kinds(const struct bench_malloc_options *options,
                                      struct quarry_error *error)
{
    if (options->has_instructions + options->has_story + options->has_programs > 1) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "--instructions, --story and --programs are apart");
    }
    return QUARRY_OK;
}

enum quarry_status bench_malloc_options_parse(int argc, char **argv,
                                              struct bench_malloc_options *ret_options,
                                              struct quarry_error *error)
{
    struct bench_malloc_options options = defaults(bench_command_line_has_quick(argc, argv));
    enum quarry_status status =
        bench_command_line_walk(argc, argv, long_options, apply, &options, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (options.round_count == 0) {
        options.round_count = usual_rounds(&options);
    }
    status = check_kinds(&options, error);
    if (status == QUARRY_OK) {
        *ret_options = options;
    }
    return status;
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench malloc - measure malloc in Quarry and in other libraries\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench malloc [--json] [--quick] [--against LIST] [--row PATTERN] [--rounds N]\n"
    "                        [--instructions | --story restart | --programs]\n"
    "\n"
    "DESCRIPTION\n"
    "    Runs the patterns that allocators are known to be good or bad at, for Quarry's library "
    "and\n"
    "    for its peers, each put in by LD_PRELOAD and then looked for in /proc/self/maps; a "
    "library\n"
    "    that is not there is reported as absent.\n"
    "\n"
    "    Each measurement is a process of its own and does the same work for every subject. Each\n"
    "    round goes over all subjects, beginning with another one each time; what is printed is "
    "the\n"
    "    median over the rounds. A pair is two operations: a malloc and its free, as a rule.\n"
    "\n"
    "    wall ns/pair   elapsed time, divided by the pairs of all threads together\n"
    "    cpu ns/pair    user and system time of all threads\n"
    "    p99.9 ns       of one operation, 20 ns of clock in it; one of 50 to 100 is timed\n"
    "    peak MiB       the most that was resident, code and libraries in it\n"
    "    MiB s          resident memory over time, looked at from outside every 5 ms\n"
    "\n"
    "    A ratio is Quarry's figure divided by the best peer's: below 1 Quarry is ahead, above 1 "
    "the\n"
    "    row is marked LOSS. At the end stand the geometric means of time and of resident memory\n"
    "    over time: of Quarry against each peer, and of each subject against the best of each "
    "row.\n"
    "\n"
    "    Spikes are filled one after the other and then watched together while they sleep.\n"
    "\n"
    "OPTIONS\n"
    "    --json              one JSON object a line instead of tables\n"
    "    --quick             an eighth of the work, 3 rounds, spikes watched for 2 s: under a "
    "minute\n"
    "    --against LIST      peers, apart by commas: glibc,jemalloc,mimalloc,tcmalloc (these), "
    "and\n"
    "                        tbbmalloc\n"
    "    --row PATTERN       rows whose name matches, as the shell matches file names: 'pair_*'\n"
    "    --rounds N          rounds (5; 3 with --quick; programs 3 and 1)\n"
    "    --instructions      instructions per pair instead of times, for rows of one thread: two "
    "runs\n"
    "                        of different length under valgrind --tool=callgrind, their "
    "difference\n"
    "                        divided. User mode only\n"
    "    --story restart     waste hour by hour in a store of time series, 36 hours before and 36\n"
    "                        after a restart from a snapshot; of Quarry once more with a lifetime\n"
    "                        for each window, also by what its ledger says of their pages\n"
    "    --programs          time and peak memory of installed programs under each library\n"
    "\n"
    "ROWS\n";

static const char help_tail[] =
    "\n"
    "JSON\n"
    "    Every line has bench, row and subject. The first line has row \"machine\". Others have, "
    "by\n"
    "    kind of row: wall_ns_per_pair, wall_min_ns_per_pair, wall_spread_percent, "
    "cpu_ns_per_pair,\n"
    "    p999_ns, peak_rss_bytes, rss_byte_seconds, faults, instructions_per_pair; at_seconds,\n"
    "    rss_bytes; hour, live_bytes, resident_bytes, waste_bytes; wall_seconds, cpu_seconds.\n"
    "    The story's lines with a lifetime per window have page_bytes, page_waste_bytes and\n"
    "    page_waste_per_live too.\n"
    "    \"ranked\": the figures that are compared, the main one first.\n"
    "    \"ratio\" and \"rss_ratio\" are Quarry's figures divided by this peer's, and in Quarry's "
    "own\n"
    "    lines by those of \"best_peer\" and \"rss_best_peer\". The last lines have row\n"
    "    \"geometric_mean\". A subject that is missing has \"absent\": true and \"reason\".\n"
    "\n" BENCH_HELP_EXIT "ENVIRONMENT\n"
    "    What peers read (MALLOC_ARENA_MAX, MALLOC_CONF, MIMALLOC_…, TCMALLOC_…) is passed on to\n"
    "    them. LD_PRELOAD is not.\n"
    "\n"
    "EXAMPLES\n"
    "    quarry bench malloc --quick\n"
    "    quarry bench malloc --json > malloc.json; bench/plot_malloc malloc.json docs/bench\n"
    "    quarry bench malloc --row 'batch_*' --against mimalloc --instructions\n";

static void print_name(FILE *file, const char *name, const char *title)
{
    (void)fprintf(file, "    %-22s  %s\n", name, title);
}

void bench_malloc_options_help(FILE *file)
{
    size_t count = 0;
    const struct bench_malloc_row *rows = bench_malloc_rows(&count);

    (void)fputs(help_head, file);
    for (size_t i = 0; i < count; i++) {
        print_name(file, rows[i].name, rows[i].title);
    }
    const struct bench_malloc_spike_row *spikes = bench_malloc_spike_rows(&count);
    for (size_t i = 0; i < count; i++) {
        print_name(file, spikes[i].name, spikes[i].title);
    }
    (void)fputs("\nROWS OF --programs\n", file);
    const struct bench_program *programs = bench_programs(&count);
    for (size_t i = 0; i < count; i++) {
        print_name(file, programs[i].name, programs[i].title);
    }
    (void)fputs(help_tail, file);
}
