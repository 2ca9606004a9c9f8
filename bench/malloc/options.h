/*
 * The command line of `quarry bench malloc`.
 */
#ifndef QUARRY_BENCH_MALLOC_OPTIONS_H
#define QUARRY_BENCH_MALLOC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <quarry/status.h>

#include <bench/malloc/subject.h>
#include <bench/options.h>

struct bench_malloc_options {
    bool is_json;
    bool is_help;
    bool is_quick;
    bool has_instructions; /* count instructions instead of measuring time */
    bool has_story;        /* the restart story instead of the rows */
    bool has_programs;     /* real programs instead of the rows */
    bool is_wanted[BENCH_MALLOC_SUBJECTS];
    size_t round_count;
    uint64_t idle_seconds;   /* how long spikes are watched */
    const char *row_pattern; /* for fnmatch; borrowed from argv */
};

/*
 * Reads the options after "malloc". `ret_options` is written only on success.
 * Errors: BAD_INPUT, with what is wrong in `error`.
 */
enum quarry_status bench_malloc_options_parse(int argc, char **argv,
                                              struct bench_malloc_options *ret_options,
                                              struct quarry_error *error);

/* Prints the manual of `quarry bench malloc`. */
void bench_malloc_options_help(FILE *file);

#endif
