/*
 * The mutex: 12 bytes, its uncontended halves inline. Part of the door; include <os/os.h>.
 *
 *   state   0 free
 *           1 taken
 *           2 taken, and somebody may be asleep on it
 *
 * mutex.c has the essay and the cold halves.
 */
#ifndef QUARRY_OS_MUTEX_H
#define QUARRY_OS_MUTEX_H

#include <os/os.h>

struct Q_CAPABILITY("mutex") os_mutex {
    _Atomic uint32_t state;
    uint32_t rank;  /* const after init: an os_rank */
    uint32_t order; /* const after init: among mutexes of the same rank */
#ifdef QUARRY_DEBUG_CHECKS
    _Atomic uint32_t owner; /* os_thread_id of the thread that has it, or 0 */
#endif
};
Q_STATIC_ASSERT(sizeof(struct os_mutex) <= 16, "a lock fits beside what it guards");

/* Aborts when the calling thread may not wait for the mutex now. */
void os_mutex_check_order(const struct os_mutex *mutex);
/* Remembers that the calling thread has the mutex, and forgets it. */
void os_mutex_note_taken(struct os_mutex *mutex);
void os_mutex_note_given(struct os_mutex *mutex);
void os_mutex_check_held(const struct os_mutex *mutex);

/* The checks cost nothing where they are off: the condition is a constant. */
#ifdef QUARRY_DEBUG_CHECKS
#define OS_MUTEX_CHECKED true
#else
#define OS_MUTEX_CHECKED false
#endif

Q_COLD void os_mutex_lock_slow(struct os_mutex *mutex);
Q_COLD void os_mutex_unlock_slow(struct os_mutex *mutex);

/* The analysis cannot see that a word with the value 1 is a lock held: hence no analysis within. */
static inline void os_mutex_lock(struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    uint32_t expected = 0;
    if (OS_MUTEX_CHECKED) {
        os_mutex_check_order(mutex);
    }
    /* Pairs with the release in os_mutex_unlock: what the last owner wrote is visible. */
    if (Q_UNLIKELY(!atomic_cas_acquire_u32(&mutex->state, &expected, 1))) {
        os_mutex_lock_slow(mutex);
    }
    if (OS_MUTEX_CHECKED) {
        os_mutex_note_taken(mutex);
    }
}

static inline bool os_mutex_try_lock(struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    uint32_t expected = 0;
    /* Pairs with the release in os_mutex_unlock. */
    if (!atomic_cas_acquire_u32(&mutex->state, &expected, 1)) {
        return false;
    }
    if (OS_MUTEX_CHECKED) {
        os_mutex_note_taken(mutex);
    }
    return true;
}

static inline void os_mutex_unlock(struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    uint32_t expected = 1;
    if (OS_MUTEX_CHECKED) {
        os_mutex_note_given(mutex);
    }
    /* Pairs with the acquire in os_mutex_lock and its slow half. */
    if (Q_UNLIKELY(!atomic_cas_release_u32(&mutex->state, &expected, 0))) {
        os_mutex_unlock_slow(mutex);
    }
}

static inline void os_mutex_assert_held(const struct os_mutex *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    (void)mutex;
    if (OS_MUTEX_CHECKED) {
        os_mutex_check_held(mutex);
    }
}

/* Locks and waits as calls of the model checker: for the programs of tests/interleave alone. */
#ifdef QUARRY_INTERLEAVE
#include <interleave_os.h>
#endif

#endif
