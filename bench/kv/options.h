/*
 * The command line of `quarry bench kv`: that of a sheet, and sizes.
 */
#ifndef QUARRY_BENCH_KV_OPTIONS_H
#define QUARRY_BENCH_KV_OPTIONS_H

#include <stdio.h>

#include <quarry/status.h>

#include <bench/kv/job.h>

struct bench_kv_options {
    struct bench_kv_sizes sizes;
    const char *directory; /* in which one is made for stores; borrowed from argv */
};

/*
 * Takes its own options out of the words; what is left is a sheet's.
 * Errors: BAD_INPUT, with what is wrong in `error`.
 */
enum quarry_status bench_kv_options_take(int *argc, char **argv,
                                         struct bench_kv_options *ret_options,
                                         struct quarry_error *error);
/* Sizes with which instructions are counted: those of --quick. */
void bench_kv_options_shorten(struct bench_kv_options *options);
/* The part of a manual that is about them. */
void bench_kv_options_help(FILE *file);

#endif
