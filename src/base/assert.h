/*
 * Assertions: what must hold unless Quarry itself has a bug.
 *
 * Never for bytes from a disk, a network or a user: those get a status. A failed assertion writes
 * one line to stderr and aborts; it takes no lock and no memory, so it works inside malloc and in
 * signal handlers.
 */
#ifndef QUARRY_BASE_ASSERT_H
#define QUARRY_BASE_ASSERT_H

#include <base/annotate.h>

/*
 * Writes "file:line: function: assertion failed: condition" and a newline to stderr in one write,
 * then aborts.
 *
 * `file`, `function`, `condition`: borrowed; a text too long for the line's 512 bytes is cut.
 * Returns: never. Threads: any, and signal handlers. Cost: one system call, then the process.
 */
Q_COLD Q_NORETURN void base_assert_failed(const char *file, int line, const char *function,
                                          const char *condition);

/* The file's name without its folders, so that binaries do not depend on where they were built. */
#define Q_ASSERT_FAILED(text) base_assert_failed(__FILE_NAME__, __LINE__, __func__, text)

/* Checked in every build. Keep the condition cheap and free of side effects. */
#define Q_ASSERT(condition) (Q_LIKELY(condition) ? (void)0 : Q_ASSERT_FAILED(#condition))

/* As Q_ASSERT; `text`, a string literal, follows the condition in the message. */
#define Q_ASSERT_MSG(condition, text)                                                              \
    (Q_LIKELY(condition) ? (void)0 : Q_ASSERT_FAILED(#condition ": " text))

/*
 * Checked where QUARRY_DEBUG_CHECKS is set; elsewhere compiled but never evaluated, so that it
 * cannot rot and what it names does not become unused.
 */
#ifdef QUARRY_DEBUG_CHECKS
/* Not by way of Q_ASSERT, which would print the condition with its macros expanded. */
#define Q_DCHECK(condition) (Q_LIKELY(condition) ? (void)0 : Q_ASSERT_FAILED(#condition))
#else
#define Q_DCHECK(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

/* Checked by the compiler. Followed by a semicolon, at file or block scope. */
#define Q_STATIC_ASSERT(condition, text) _Static_assert(condition, text)

/* Tells the compiler what it cannot see; debug builds check it. */
#ifdef QUARRY_DEBUG_CHECKS
#define Q_ASSUME(condition) Q_ASSERT(condition)
#else
#define Q_ASSUME(condition) ((condition) ? (void)0 : __builtin_unreachable())
#endif

/* Says that control never comes here; aborts in every build if it does. */
#define Q_UNREACHABLE() Q_ASSERT_FAILED("unreachable")

#endif
