/*
 * Lives of a process that appends to a store with a directory, ended from outside, and what must be
 * found afterwards. For the campaigns that kill it and that cut its power.
 *
 * Lives go on where the one before was told that it had come: step by step, a sample of each series
 * in one request; samples follow from their numbers, so that whatever is found can be checked.
 */
#ifndef QUARRY_TESTS_TSDB_LIFE_H
#define QUARRY_TESTS_TSDB_LIFE_H

#include <sys/types.h>

#include <base/base.h>
#include <quarry/tsdb.h>

/* Shared with the process that is ended. All atomic. */
struct life_told {
    _Atomic uint64_t sent;         /* steps that it has begun, in all lives */
    _Atomic uint64_t acknowledged; /* steps that it was told are taken, in all lives */
    _Atomic bool is_ready;         /* this life's store has read its directory */
    _Atomic bool is_cut;           /* answers no longer count */
};

struct life {
    struct life_told *told;
    const char *directory;
    enum quarry_tsdb_durability durability;
};

/* Makes a life's shared part. */
struct life_told *life_told_create(void);
/* Ends the process with a line to stderr. */
Q_NORETURN void life_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Starts a process that appends until it is ended. Returns: it. */
pid_t life_begin(const struct life *life);
/* Waits until this life has been told of a step or more; or, in one of four, does not. */
void life_wait(const struct life *life, pid_t child, uint64_t *random);
/* Opens the store, and compares. Returns: how many samples were found; fails where one is wrong or
 * was acknowledged and is not there. */
uint64_t life_check(const struct life *life);
/* The number behind a name on the command line. */
uint64_t life_argument(int argc, char **argv, const char *name, uint64_t otherwise);

#endif
