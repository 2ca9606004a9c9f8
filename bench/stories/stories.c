/*
 * `quarry bench stories`: the sitting.
 *
 *   for each story that is asked for       in their order
 *     measured                             by children (quarry-bench-child stories …)
 *     table and notes                      stdout, or JSON
 *     FOLDER/NAME.svg, FOLDER/NAME.md      with --folder: the plot, and the page's figures
 *
 * A story is more than a row of a sheet: figures that only mean something over time, with the plot
 * they make. The prose of a page is its writers'; what stands between its marks is this program's.
 */
#include <bench/stories/stories.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/command_line.h>
#include <bench/progress.h>
#include <bench/stories/story.h>

#define PATH_BYTES  4096u
#define SECONDS_MAX 86400u
#define PERCENT_MAX 1000u

struct story {
    const char *name;
    const char *summary;
    stories_tell *tell;
};

static const struct story stories[] = {
    {"pauses", "latency of 1.6 GB of live items beside memcached and redis", stories_pauses},
    {"spikes", "resident memory through bursts, beside every malloc", stories_spikes},
    {"scaling", "1 KiB allocations by threads, with page caches and without", stories_scaling},
    {"restart", "36 simulated hours after a restart: what is held beyond what lives",
     stories_restart},
    {"blocks", "a cache of blocks under churn: memory against budget, leaks", stories_blocks},
};
#define STORY_COUNT (sizeof stories / sizeof stories[0])

struct line {
    struct stories_options options;
    bool is_help;
    bool is_wanted[STORY_COUNT];
};

/* ---- the command line ----------------------------------------------------------------------- */

static const char help_head[] =
    "NAME\n"
    "    quarry bench stories - five claims, each with a program, a table and a plot\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench stories [NAME...] [--json] [--quick] [--seconds N] [--scale PERCENT]\n"
    "                         [--folder FOLDER]\n"
    "\n"
    "STORIES\n";

static const char help_tail[] =
    "    Without a name all are told.\n"
    "\n"
    "OPTIONS\n"
    "    --json              one object a line instead of tables\n"
    "    --quick             some seconds each; figures mean little\n"
    "    --seconds N         pauses: how long each server is measured (60); blocks: each cache\n"
    "                        (60, of the hour that they stand for); spikes: time from\n"
    "                        burst to burst (12 for the four minutes that they stand for; 240 is\n"
    "                        the real time)\n"
    "    --scale PERCENT     size of what is measured (100), up to 1000\n"
    "    --folder FOLDER     also draw FOLDER/NAME.svg, and put figures into FOLDER/NAME.md,\n"
    "                        between its marks; docs/stories is the tree's\n"
    "    --help              this\n"
    "\n"
    "OUTPUT\n"
    "    Tables in Markdown, every row, losses included; what peers do better is said below them.\n"
    "    JSON: bench \"stories\", row the story's name, subject, and the table's columns; a "
    "subject\n"
    "    that is missing has \"absent\": true and \"reason\".\n"
    "\n"
    "EXIT CODE\n"
    "    0 told; 1 a measurement failed; 2 a wrong command line\n"
    "\n"
    "EXAMPLES\n"
    "    quarry bench stories spikes --quick\n"
    "    quarry bench stories --folder docs/stories\n";

static void print_help(void)
{
    (void)fputs(help_head, stdout);
    for (size_t i = 0; i < STORY_COUNT; i++) {
        (void)printf("    %-10s  %s\n", stories[i].name, stories[i].summary);
    }
    (void)fputs(help_tail, stdout);
}

static enum quarry_status apply(void *context, int key, const char *value,
                                struct quarry_error *error)
{
    struct line *line = context;

    switch (key) {
    case 'j':
        line->options.is_json = true;
        return QUARRY_OK;
    case 'q':
        line->options.is_quick = true;
        return QUARRY_OK;
    case 's':
        return bench_command_line_number("seconds", value, 1, SECONDS_MAX, &line->options.seconds,
                                         error);
    case 'p':
        return bench_command_line_number("scale", value, 1, PERCENT_MAX, &line->options.percent,
                                         error);
    case 'f':
        line->options.folder = value;
        return QUARRY_OK;
    default:
        line->is_help = true;
        return QUARRY_OK;
    }
}

/* Takes the names of stories out of the words. Returns: how many there were. */
static size_t take_names(int *argc, char **argv, struct line *line)
{
    size_t taken = 0;

    for (int i = 1; i < *argc;) {
        size_t n = 0;
        while (n < STORY_COUNT && strcmp(argv[i], stories[n].name) != 0) {
            n++;
        }
        if (n == STORY_COUNT) {
            i++;
            continue;
        }
        line->is_wanted[n] = true;
        taken++;
        memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof *argv);
        (*argc)--;
    }
    return taken;
}

static enum quarry_status parse(int argc, char **argv, struct line *line,
                                struct quarry_error *error)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'},
        {"quick", no_argument, NULL, 'q'},
        {"seconds", required_argument, NULL, 's'},
        {"scale", required_argument, NULL, 'p'},
        {"folder", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };

    *line = (struct line){.options = {.percent = 100}};
    if (take_names(&argc, argv, line) == 0) {
        memset(line->is_wanted, true, sizeof line->is_wanted);
    }
    return bench_command_line_walk(argc, argv, long_options, apply, line, error);
}

/* ---- what comes of it ----------------------------------------------------------------------- */

static bool write_plot(const struct story *story, const struct stories_result *result,
                       const char *folder)
{
    char path[PATH_BYTES];
    int bytes = snprintf(path, sizeof path, "%s/%s.svg", folder, story->name);
    FILE *file = bytes < (int)sizeof path ? fopen(path, "we") : NULL;

    if (file == NULL) {
        return false;
    }
    stories_plot_write(&result->plot, file);
    bool is_written = ferror(file) == 0;
    return fclose(file) == 0 && is_written;
}

/* The size, the day and the machine: without them figures mean nothing. */
static void write_circumstances(const struct stories_options *options, FILE *file)
{
    struct bench_machine machine = bench_machine_read();
    time_t now = time(NULL);
    struct tm day = {0};
    char date[16];
    double load = 0;

    (void)gmtime_r(&now, &day);
    (void)strftime(date, sizeof date, "%Y-%m-%d", &day);
    (void)fprintf(file, "%s, %u × %s, %s; size %u %%%s", date, (unsigned)machine.cpu_count,
                  machine.cpu_model, machine.kernel, (unsigned)options->percent,
                  options->is_quick ? ", quick: figures mean little" : "");
    if (getloadavg(&load, 1) == 1 && load > machine.cpu_count) {
        (void)fprintf(file, "; a busy machine (load %.1f)", load);
    }
    (void)fputs(".\n\n", file);
}

static bool write_page(const struct story *story, const struct stories_options *options,
                       const struct stories_result *result)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);

    if (file == NULL) {
        return false;
    }
    write_circumstances(options, file);
    stories_write_table(result, file);
    (void)fprintf(file, "\n![%s](%s.svg)\n", story->name, story->name);
    bool is_put = fclose(file) == 0 && stories_page_put(options->folder, story->name, text);
    free(text);
    return is_put;
}

/* Returns: whether it could be measured and written. */
static bool tell(const struct story *story, const struct stories_options *options)
{
    static struct stories_result result;

    result = (struct stories_result){0};
    bench_progress_show(story->name, "");
    bool is_told = story->tell(options, &result);
    bench_progress_end();
    if (options->is_json) {
        stories_write_json(&result, story->name, stdout);
    } else {
        (void)printf("\n## %s\n\n", story->name);
        write_circumstances(options, stdout);
        stories_write_table(&result, stdout);
    }
    if (!is_told || options->folder == NULL) {
        return is_told;
    }
    if (!write_plot(story, &result, options->folder) || !write_page(story, options, &result)) {
        (void)fprintf(stderr, "quarry bench stories: %s: nothing can be written there\n",
                      options->folder);
        return false;
    }
    return true;
}

int bench_stories_main(int argc, char **argv)
{
    struct line line;
    struct quarry_error error = {0};
    int code = 0;

    if (parse(argc, argv, &line, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench stories: %s; see --help\n", error.text);
        return 2;
    }
    if (line.is_help) {
        print_help();
        return 0;
    }
    if (access(bench_child_program(), X_OK) != 0) {
        (void)fprintf(stderr, "quarry bench stories: %s is missing, which measures\n",
                      bench_child_program());
        return 1;
    }
    for (size_t i = 0; i < STORY_COUNT; i++) {
        if (line.is_wanted[i] && !tell(&stories[i], &line.options)) {
            code = 1;
        }
    }
    return fflush(stdout) != 0 ? 1 : code;
}
