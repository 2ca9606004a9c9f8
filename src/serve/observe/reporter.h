/*
 * The process that runs the program for reports, since the server itself may run nothing. Begun
 * before the server confines itself; one in a process.
 */
#ifndef QUARRY_SERVE_OBSERVE_REPORTER_H
#define QUARRY_SERVE_OBSERVE_REPORTER_H

#include <sys/types.h>

#include <base/base.h>

/* Of all words of an order, with their NULs. */
#define REPORTER_ORDER_BYTES 1024u

/* Begins it. Errors: those of socketpair and fork, NO_MEMORY, IO. Threads: the first, with no
 * other. Cost: a process, with next to no memory of its own. */
enum quarry_status reporter_start(struct quarry_error *error);
/* Ends it and waits for that. Does nothing where there is none. Threads: the first. */
void reporter_stop(void);

/*
 * Has it run `quarry WORDS…`. All ends are borrowed for the call. `output`, `errors`: what the
 * child writes to. `input`: what it reads from; -1: nothing. Returns: 0; or an errno, ECHILD where
 * there is no such process any more. Threads: one at a time, from here to reporter_wait's return.
 */
int reporter_run(const char *const *words, int input, int output, int errors);
/* Waits for the child's end; `is_cut`: kills it first. Returns: its status as of waitpid, -1:
 * nobody knows. */
int reporter_wait(bool is_cut);

#endif
