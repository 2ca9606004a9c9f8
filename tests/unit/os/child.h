/*
 * Running a piece of a test in a forked child: what aborts, faults, lowers a limit or gives up
 * system calls must not do so in the test itself.
 */
#ifndef QUARRY_TESTS_UNIT_OS_CHILD_H
#define QUARRY_TESTS_UNIT_OS_CHILD_H

#include <stdint.h>

/* In a child: ends it as failed, saying where. cmocka's assertions belong to the parent. */
#define CHILD_CHECK(condition) child_check((condition), #condition, __FILE__, __LINE__)
void child_check(int holds, const char *condition, const char *file, int line);

/* Runs body(argument) in a child; fails the test unless it returns. */
void child_assert_succeeds(void (*body)(void *), void *argument);
/* ... unless it is ended by SIGABRT with `message` among what it wrote to stderr. */
void child_assert_aborts(void (*body)(void *), void *argument, const char *message);
/* ... unless it is ended by SIGSEGV. */
void child_assert_faults(void (*body)(void *), void *argument);

/* In a child: from here on the system call answers `error`; for good. */
void child_deny(long number, int error);
/* The same for calls whose argument `index` has the value. */
void child_deny_argument(long number, unsigned index, uint32_t value, int error);

#endif
