/*
 * The process that runs the program for reports, since the server itself may run nothing. Begun
 * before the server confines itself; one in a process.
 */
#ifndef QUARRY_SERVE_OBSERVE_REPORTER_H
#define QUARRY_SERVE_OBSERVE_REPORTER_H

#include <sys/types.h>

#include <base/base.h>

#include <serve/confine.h>

/* Of all words of an order, with their NULs. */
#define REPORTER_ORDER_BYTES 1024u

struct reporter_options {
    enum confine_calls calls; /* what its children take from themselves: system calls, */
    bool has_files;           /* and files: serve/confine_report.h */
    uint32_t patience_ms;     /* how long it is waited for, where it has to answer; 0: 20 s */
};

/* Begins it. Errors: those of socketpair and fork, NO_MEMORY, IO. Threads: the first, with no
 * other, which lives as long as there are to be reports. Cost: a process, with next to no memory of
 * its own. */
enum quarry_status reporter_start(const struct reporter_options *options,
                                  struct quarry_error *error);
/* Ends it and waits for that; where it does not end in time, it does with this process. Does
 * nothing where there is none. Threads: the first. */
void reporter_stop(void);
/* Whether there is one that answers. One that has ended, or has not answered once, is none for ever
 * after, and a line of the log says so when that is seen. Threads: any. Cost: a system call. */
bool reporter_is_there(void);

/*
 * Has it run `quarry WORDS…`. All ends are borrowed for the call. `output`, `errors`: what the
 * child writes to. `input`: what it reads from; -1: nothing. Returns: 0; or an errno, ECHILD where
 * there is no such process any more, or it does not answer. Threads: one at a time, from here to
 * reporter_wait's return.
 */
int reporter_run(const char *const *words, int input, int output, int errors);
/* Waits for the child's end; `is_cut`: kills it first. Returns: its status as of waitpid, -1:
 * nobody knows. */
int reporter_wait(bool is_cut);

#endif
