/*
 * What the command lines of all benchmarks have in common.
 */
#ifndef QUARRY_BENCH_COMMAND_LINE_H
#define QUARRY_BENCH_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/status.h>

struct option; /* of <getopt.h> */

/* Of every benchmark's manual. */
#define BENCH_HELP_EXIT                                                                            \
    "EXIT CODE\n"                                                                                  \
    "    0 measured, losses or not; 1 a measurement failed; 2 a wrong command line\n"              \
    "\n"

/* Stores one option in `options`. `key` is the option's, `value` its argument, borrowed from argv.
 */
typedef enum quarry_status bench_option_apply(void *options, int key, const char *value,
                                              struct quarry_error *error);

/*
 * Walks over the options after a benchmark's name (argv[0]) and calls `apply` for each.
 * `long_options`: ends with zeros; "h" is also known as a letter. Borrowed.
 * Errors: BAD_INPUT: an unknown option, one without its value, a word that is none; and what
 * `apply` returns.
 */
enum quarry_status bench_command_line_walk(int argc, char **argv, const struct option *long_options,
                                           bench_option_apply *apply, void *options,
                                           struct quarry_error *error);

/* Whether --quick stands anywhere: it goes first, so that others may set again what it sets. */
bool bench_command_line_has_quick(int argc, char **argv);

/*
 * Takes `--name VALUE` out of the words after argv[0], for options that not all benchmarks of a
 * kind have. Returns: the value, borrowed from argv; NULL: it is not there.
 */
const char *bench_command_line_take(int *argc, char **argv, const char *name);

/*
 * Reads the number of an option.
 * Errors: BAD_INPUT: it is none, or not from `min` to `max`.
 */
enum quarry_status bench_command_line_number(const char *option, const char *text, uint64_t min,
                                             uint64_t max, uint64_t *ret_number,
                                             struct quarry_error *error);

/* The name of the subject at `index`, from 0; static storage. */
typedef const char *bench_subject_name(size_t index);

/*
 * Reads a comma list of peers. `ret_is_wanted`: `count` of them; the first, Quarry's, is always
 * set. Written only on success. Errors: BAD_INPUT: there is no such peer.
 */
enum quarry_status bench_command_line_against(const char *list, bench_subject_name *name,
                                              size_t count, bool *ret_is_wanted,
                                              struct quarry_error *error);

#endif
