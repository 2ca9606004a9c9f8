/*
 * A child process, run to its end: signals are passed on, its resident memory is watched.
 */
#ifndef QUARRY_CLI_RUN_CHILD_H
#define QUARRY_CLI_RUN_CHILD_H

#include <base/base.h>

/* How a child ended, and what it took. */
struct run_outcome {
    int exit_code;     /* its own, or 128 and the number of the signal that ended it */
    int signal_number; /* 0: none */
    uint64_t duration_ns;
    uint64_t rss_peak_bytes; /* by the kernel, or the most that was seen */
    uint64_t rss_last_bytes; /* the last that was seen */
    double rss_byte_seconds; /* summed up over time */
    uint64_t rss_look_count;
};

/* Called about every 10 ms while the child runs. */
typedef void run_tick_function(void *argument, uint32_t pid);

struct run_options {
    char **arguments;        /* of the child, its program first; closed by NULL; borrowed */
    run_tick_function *tick; /* NULL: it is not watched, only waited for */
    void *argument;
};

/* Exit codes as shells have them for programs that cannot be run. */
#define RUN_NOT_EXECUTABLE 126
#define RUN_NOT_FOUND      127

/*
 * Runs a program, which is looked for in PATH, with our environment.
 *
 * Errors: NOT_FOUND, PERMISSION, IO (no such program, or it cannot be executed), NO_MEMORY (no
 * process); the text names it.
 * Threads: one at a time; signals are blocked meanwhile. Cost: two system calls each 10 ms when
 * watched.
 */
enum quarry_status run_child(const struct run_options *options, uint32_t *ret_pid,
                             struct run_outcome *ret_outcome, struct quarry_error *error);

#endif
