/*
 * What os/ waits by, in a program compiled with QUARRY_INTERLEAVE: calls of the checker. Included
 * at the end of os/mutex.h, whose inline functions stay behind the macros of the same names: a
 * scenario about the mutex itself undefines those and meets the real one.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_OS_H
#define QUARRY_TESTS_INTERLEAVE_OS_H

#include <interleave_hooks.h>

void interleave_mutex_lock(const struct interleave_site *site, struct os_mutex *mutex)
    Q_ACQUIRE(mutex);
bool interleave_mutex_try_lock(const struct interleave_site *site, struct os_mutex *mutex)
    Q_TRY_ACQUIRE(true, mutex);
void interleave_mutex_unlock(const struct interleave_site *site, struct os_mutex *mutex)
    Q_RELEASE(mutex);
void interleave_futex_wait(const struct interleave_site *site, _Atomic uint32_t *word,
                           uint32_t expected, uint64_t timeout_ns);
void interleave_futex_wake(const struct interleave_site *site, _Atomic uint32_t *word,
                           uint32_t waiter_count);
/* Yielding and sleeping: others go first. */
void interleave_yield(const struct interleave_site *site);
bool interleave_process_barrier(const struct interleave_site *site);

#define os_mutex_lock(mutex) interleave_mutex_lock(INTERLEAVE_SITE(LOCK, ACQUIRE, #mutex), (mutex))
#define os_mutex_try_lock(mutex)                                                                   \
    interleave_mutex_try_lock(INTERLEAVE_SITE(TRY_LOCK, ACQUIRE, #mutex), (mutex))
#define os_mutex_unlock(mutex)                                                                     \
    interleave_mutex_unlock(INTERLEAVE_SITE(UNLOCK, RELEASE, #mutex), (mutex))
#define os_futex_wait(word, expected, timeout_ns)                                                  \
    interleave_futex_wait(INTERLEAVE_SITE(WAIT, RELAXED, #word), (word), (expected), (timeout_ns))
#define os_futex_wake(word, count)                                                                 \
    interleave_futex_wake(INTERLEAVE_SITE(WAKE, RELAXED, #word), (word), (count))
#define os_yield()      interleave_yield(INTERLEAVE_SITE(YIELD, RELAXED, ""))
#define os_sleep_ns(ns) ((void)(ns), interleave_yield(INTERLEAVE_SITE(YIELD, RELAXED, #ns)))
#define os_process_barrier()                                                                       \
    interleave_process_barrier(INTERLEAVE_SITE(PROCESS_BARRIER, SEQ_CST, ""))

#endif
