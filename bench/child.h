/*
 * Children: the processes in which subjects are measured.
 */
#ifndef QUARRY_BENCH_CHILD_H
#define QUARRY_BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/resource.h>
#include <sys/types.h>

/* Bytes of output a child may write; more is a failure. */
#define BENCH_CHILD_OUTPUT_BYTES 8192u

/* The exit code of a child in whose process its subject's library is not in force. */
#define BENCH_CHILD_ABSENT 3

/*
 * Runs a program and waits for it.
 *
 * `argv`: ends with NULL; argv[0] is looked up in PATH. Borrowed.
 * `preload`: becomes LD_PRELOAD; NULL: there is none, whatever this process was started with.
 * `is_quiet`: what it writes to stderr is dropped.
 * `output`: BENCH_CHILD_OUTPUT_BYTES of room for what it writes to stdout; always ends in a NUL.
 * Returns: its exit code, or -1 when it could not be started, was killed or wrote too much.
 * Threads: any that does not wait for other children. Cost: a process.
 */
int bench_child_run(const char *const *argv, const char *preload, bool is_quiet, char *output);

/* A process that has been started. */
struct bench_child {
    pid_t pid;
    int fd; /* what it writes to stdout */
};

/*
 * Starts a program with the arguments of bench_child_run and goes on.
 * Returns: false when it could not be started; else bench_child_wait must follow.
 */
bool bench_child_start(const char *const *argv, const char *preload, bool is_quiet,
                       struct bench_child *ret_child);
/*
 * Stops reading and waits for its end. `ret_usage`: what it and those it waited for have used.
 * Returns: its exit code, or -1 when it was killed.
 */
int bench_child_wait(struct bench_child *child, struct rusage *ret_usage);

/*
 * Reads `count` numbers in decimal, apart by white space, from `text`.
 * Returns: whether there were exactly as many; `ret_numbers` is written to in any case.
 */
bool bench_child_numbers(const char *text, uint64_t *ret_numbers, size_t count);

/* Room for the path of a file beside this program. */
#define BENCH_CHILD_PATH_BYTES 8192u

/*
 * Where `file` ("lib/libquarry-malloc.so") lies in the tree that this program was built or
 * installed in: beside the folder of /proc/self/exe. Whether it is there is not asked.
 */
void bench_child_beside(const char *file, char path[BENCH_CHILD_PATH_BYTES]);

/*
 * The program that measures, libexec/quarry/quarry-bench-child in the same tree: it holds no
 * malloc, so that the one preloaded is in force. Returns: static storage, never NULL.
 */
const char *bench_child_program(void);

#endif
