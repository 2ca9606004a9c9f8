/*
 * The command line of the benchmarks that are sheets (sheet.h): they all take the same options.
 */
#ifndef QUARRY_BENCH_SHEET_OPTIONS_H
#define QUARRY_BENCH_SHEET_OPTIONS_H

#include <quarry/status.h>

#include <bench/command_line.h>
#include <bench/sheet.h>

/* What --json prints of every sheet: the beginning of that part of the manual. */
#define BENCH_SHEET_HELP_JSON                                                                      \
    "JSON\n"                                                                                       \
    "    Every line has bench, row and subject; the first line has row \"machine\". ranked: the\n" \
    "    figures of which less is better, the main one first, which is_best, ratio and "           \
    "best_peer\n"                                                                                  \
    "    are about. Of the first figure also _min and _spread_percent, but where a row is\n"       \
    "    measured once. A subject that does other work has \"is_reference\": true and is in no\n"  \
    "    ratio; one that is missing has \"absent\": true and \"reason\".\n"

struct bench_sheet_options {
    bool is_json;
    bool is_help;
    bool is_quick;
    bool has_instructions; /* count instructions instead of measuring time */
    size_t round_count;
    const char *row_pattern; /* for fnmatch; borrowed from argv */
    bool is_wanted[BENCH_COLUMNS_MAX];
};

/*
 * Reads the options after the benchmark's name. `column`: `column_count` of them, borrowed.
 * `ret_options` is written only on success.
 * Errors: BAD_INPUT, with what is wrong in `error`.
 */
enum quarry_status bench_sheet_options_parse(int argc, char **argv,
                                             const struct bench_column *column, size_t column_count,
                                             struct bench_sheet_options *ret_options,
                                             struct quarry_error *error);

/* A sheet on stdout for those options, in which nobody is absent so far. */
struct bench_sheet bench_sheet_of(const char *bench, const struct bench_column *column,
                                  size_t column_count, const struct bench_sheet_options *options);

/* A benchmark that is a sheet: what bench_sheet_main() leaves to it. */
struct bench_sheet_program {
    const char *name; /* "slab" */
    const struct bench_column *column;
    size_t column_count;
    bool has_instructions; /* it knows --instructions */
    /* Takes options of its own out of the words. NULL: it has none. Errors: BAD_INPUT. */
    enum quarry_status (*take)(int *argc, char **argv, struct quarry_error *error);
    void (*print_help)(FILE *file);
    /* Measures. Returns: the exit code, 0 or 1. */
    int (*sit)(struct bench_sheet *sheet, const struct bench_sheet_options *options);
};

/*
 * Reads the command line of a benchmark and does what it says: tells what is wrong with it, prints
 * the manual, or sits. Returns: the exit code; 2: a wrong command line.
 */
int bench_sheet_main(const struct bench_sheet_program *program, int argc, char **argv);

/* The part of a manual that is about them: OPTIONS, as the shell's users read it. */
void bench_sheet_options_help(FILE *file, bool has_instructions);

#endif
