/*
 * Runs `quarry bench` as its users do, for tests. The functions fail the test that calls them when
 * the program cannot be run or its output makes no sense.
 */
#ifndef QUARRY_TESTS_BENCH_RUN_BENCH_H
#define QUARRY_TESTS_BENCH_RUN_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/flat_json.h"

#define BENCH_RUN_LINES 640u

/* What a run printed, line by line. */
struct bench_run {
    int exit_code;
    size_t line_count;
    struct flat_json line[BENCH_RUN_LINES];
};

/* Runs `quarry bench ARGUMENTS` and parses every line it prints, on stderr too. */
void bench_json(const char *arguments, struct bench_run *ret_run);
/* Runs it and keeps the beginning of what it prints. Returns: its exit code. */
int bench_text(const char *arguments, char *text, size_t text_bytes);
/* Likewise, in an environment in which no other program is found. */
int bench_text_without_path(const char *arguments, char *text, size_t text_bytes);
/* Likewise, of quarry-bench-child. */
int child_text(const char *arguments, char *text, size_t text_bytes);

/* A command line that is wrong, and what is said of it. */
struct bench_wrong {
    const char *arguments;
    const char *words;
};
/* Fails the test unless `quarry bench` ends with 2 for each, and says so. */
void assert_wrong_lines(const struct bench_wrong *wrong, size_t count);
/* Fails the test unless the child ends with 2 for each of `arguments`, and says `words`. */
void assert_child_refuses(const char *const *arguments, size_t count, const char *words);
/* Fails the test unless `quarry bench NAME --help` has a line for each row. */
void assert_help_names(const char *name, const char *const *rows, size_t count);

/* The n-th line of a row and subject, or NULL. */
const struct flat_json *find_line(const struct bench_run *run, const char *row, const char *subject,
                                  size_t n);
/* Whether a line says that its subject was not measured; then it must say why. */
bool is_absent(const struct flat_json *line);
/* A number that the line must have. */
double figure(const struct flat_json *line, const char *key);

#endif
