/*
 * The command line of `quarry bench pages`.
 */
#ifndef QUARRY_BENCH_OPTIONS_H
#define QUARRY_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <quarry/status.h>

#include <bench/subject.h>

#define BENCH_ROUNDS_MAX 101u

struct bench_options {
    bool is_json;
    bool is_help;
    bool has_instructions; /* count instructions instead of measuring time */
    bool is_wanted[BENCH_SUBJECT_COUNT];
    size_t round_count;
    uint64_t pair_count; /* 0: as many as take target_ns */
    uint64_t target_ns;
    uint64_t spike_bytes[2]; /* 0: none */
    uint64_t spike_seconds;
    const char *row_pattern; /* for fnmatch; borrowed from argv */
};

/*
 * Reads the options after "pages". `ret_options` is written only on success.
 * Errors: BAD_INPUT, with what is wrong in `error`.
 */
enum quarry_status bench_options_parse(int argc, char **argv, struct bench_options *ret_options,
                                       struct quarry_error *error);

/* Prints the manual of `quarry bench pages`. */
void bench_options_help(FILE *file);

#endif
