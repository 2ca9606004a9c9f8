/*
 * Histories: threads do random operations on few keys, every call and return is written down, and
 * the checker goes through them.
 */
#ifndef QUARRY_TESTS_LINEAR_HISTORY_H
#define QUARRY_TESTS_LINEAR_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "linear/checker.h"
#include "linear/driver.h"

struct linear_options {
    const struct linear_driver *driver;
    const void *argument; /* of driver->open */
    uint32_t thread_count;
    uint32_t key_count; /* few, so that threads meet; a third each for values, numbers and tokens */
    uint64_t operation_count; /* in all; rounded up to stretches */
    uint64_t seconds;         /* instead, when not 0 */
    uint64_t seed;
};

struct linear_result {
    enum linear_verdict verdict;
    uint64_t operation_count; /* checked */
    uint64_t failed_count;    /* for want of memory */
    uint64_t overlap_count;   /* operations that another of their key was at once with */
    uint64_t states_most;     /* states of a key at once */
};

/* Runs a history to its end or its first fault, which is then printed on stderr. */
struct linear_result linear_run(const struct linear_options *options);

#endif
