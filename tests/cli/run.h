/*
 * Runs the `quarry` program as a user does, and keeps what it said.
 */
#ifndef QUARRY_TESTS_CLI_RUN_H
#define QUARRY_TESTS_CLI_RUN_H

#include <stdbool.h>
#include <stddef.h>

#define RUN_TEXT_BYTES ((size_t)1 << 20)

struct run {
    int exit_code; /* -1: ended by a signal */
    char *out;     /* own; closed by a NUL */
    char *err;     /* own */
};

/* How it is to be run. Zero means: nothing on stdin, UTF-8, output into files. */
struct run_options {
    const char *stdin_path;
    const char *stdout_path; /* instead of keeping it */
    const char *locale;      /* LC_ALL */
};

/* `arguments`: what follows the program's name, closed by NULL. */
struct run run_quarry(const struct run_options *options, const char *const *arguments);
void run_free(struct run *run);

/* Copies a program, for its user to run. */
void run_copy_program(const char *from, const char *to);

/* Whether this machine has pseudo-terminals: a bare chroot has none. Says so when not. */
bool run_has_terminals(void);
/*
 * Runs it in a terminal of that size, presses q after `wait_ms`, and returns what the terminal was
 * sent. `resize_width`: the width it is changed to half way, 0 for none.
 */
struct run run_in_terminal(unsigned short width, unsigned short height, unsigned short resize_width,
                           unsigned wait_ms, const char *const *arguments);

#define RUN(...) run_quarry(&(struct run_options){0}, (const char *const[]){__VA_ARGS__, NULL})

#endif
