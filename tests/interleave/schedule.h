/*
 * One schedule at a time: threads that take turns on one real thread, and who is next.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_SCHEDULE_H
#define QUARRY_TESTS_INTERLEAVE_SCHEDULE_H

#include "interleave/interleave.h"

struct memory_location;

/* Whether the calling code is in a scenario's thread and its operations are to be explored. */
static inline bool schedule_is_on(void);
uint32_t schedule_thread(void);
/* While quiet, the thread's operations act on memory as it is, unseen. */
void schedule_quiet(bool is_quiet);

/* Before an operation: if it is on something shared, another thread may come first. */
void schedule_point(bool is_shared);
/* The thread cannot go on before others have: it waits for a mutex, or to be woken. */
void schedule_wait_mutex(const struct memory_location *location);
void schedule_wait_futex(const struct memory_location *location, bool has_timeout);
void schedule_wake_futex(const struct memory_location *location, uint32_t waiter_count);
void schedule_yield(void);
/* Somebody who looked in vain may look again. */
void schedule_note_store(void);

/* After an operation: counts it and checks the invariant. */
void schedule_end_step(void);

/* The next choice of `count`, the first of them unless this schedule is to take another. */
uint32_t schedule_choose(uint32_t count);
/* The same, unless this schedule has had its oddities: then 0. */
uint32_t schedule_choose_odd(uint32_t count);

/* Checks a plain access of the running thread for races; `code` made it. */
void schedule_check_plain(uintptr_t address, size_t bytes, bool is_write, const void *code);

/* Runs all schedules of a scenario: in the child, to the end or the first finding. */
void schedule_explore(const struct interleave_scenario *scenario,
                      struct interleave_result *ret_result);
/* The scenario has to begin anew: something turns out to be shared. */
void schedule_restart(void);
bool schedule_has_barrier(void);
/* Whether code in a file is trusted: no place to switch. */
bool schedule_trusts(const char *file);

/* Tells of a finding with the schedule that led to it, and ends the child. */
Q_NORETURN void schedule_finding(enum interleave_verdict verdict, const char *format, ...)
    Q_PRINTF(2, 3);

/* Written by schedule.c alone. */
extern bool schedule_is_on_now;
static inline bool schedule_is_on(void)
{
    return schedule_is_on_now;
}

#endif
