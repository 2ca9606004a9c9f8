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
/* How it is to be run in a terminal. */
struct run_terminal {
    unsigned short width, height;
    unsigned short resize_width; /* that it is changed to, once it has drawn; 0: none */
    const char *const
        *awaited; /* what it draws before it is to end, closed by NULL; NULL: anything */
    int victim;   /* a process that is killed then, which ends it; 0: q is pressed */
};

/* Runs it in a terminal, waits until it has drawn, ends it, and returns what the terminal was sent.
 */
struct run run_in_terminal(const struct run_terminal *how, const char *const *arguments);

#define AWAITED(...)                                                                               \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

#define RUN(...) run_quarry(&(struct run_options){0}, (const char *const[]){__VA_ARGS__, NULL})

#endif
