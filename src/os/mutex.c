/*
 * A mutex of one futex word, and the ranks that keep threads from waiting for each other in a ring.
 *
 *            lock (uncontended)                  lock (contended)
 *      .-------------------------.        .---------------------------.
 *      |                         v        |                           v
 *     [0 free] <--- unlock --- [1 taken] -'                  [2 taken, sleepers]
 *      ^                                                               |
 *      '------------------- unlock, and wake one ----------------------'
 *
 * A thread that had to sleep takes the mutex as 2, not 1: it cannot know whether others sleep as
 * well. That costs at most one wake too many and never misses one.
 *
 * Invariants:
 *   1. Whoever sleeps has seen the word at 2 in the kernel, so the next unlock wakes somebody.
 *   2. (debug) A thread waits only for a mutex that lies above every ranked one it holds: a higher
 *      rank, or the same rank and a higher order. try_lock cannot wait and is free to break the
 *      order, but what it took counts for the waits after it.
 *   3. (debug) The owner, and nobody else, unlocks.
 *
 * Rank 0 (OS_RANK_NONE) is neither checked nor counted in 2; owners are checked all the same.
 *
 * A thread spins before it sleeps, because the sections under these locks are tens of instructions
 * long, far less than a sleep and a wake take. SPIN_COUNT bounds what is wasted where the owner has
 * been preempted in the middle; the number is a choice, not a measurement.
 *
 * Rejected: pthread_mutex_t (40 bytes, and interposable); a ticket lock (fair, but a preempted
 * waiter stops everyone behind it); handing the mutex over on unlock (the same, and slower).
 * Source: the three-state futex mutex is the one of U. Drepper's paper "Futexes Are Tricky".
 */
#include <os/kernel.h>
#include <os/os.h>
#include <os/text.h>

/* Pauses before a waiter sleeps. */
#define SPIN_COUNT 100

static bool spin_for(struct os_mutex *mutex);
static void forget_if_held(const struct os_mutex *mutex);

void os_mutex_init(struct os_mutex *mutex, enum os_rank rank, uint32_t order)
{
    *mutex = (struct os_mutex){.rank = (uint32_t)rank, .order = order};
}

void os_mutex_lock_slow(struct os_mutex *mutex)
{
    if (spin_for(mutex))
        return;
    /* Acquire: pairs with the release of the last unlock. Invariant 1: 2 is stored before the
     * sleep, and the kernel compares again. */
    while (atomic_exchange_acquire_u32(&mutex->state, 2) != 0)
        os_futex_wait(&mutex->state, 2, UINT64_MAX);
}

void os_mutex_unlock_slow(struct os_mutex *mutex)
{
    /* Acq_rel for its release half: pairs with the acquire of the next lock. */
    uint32_t before = atomic_exchange_acq_rel_u32(&mutex->state, 0);
    Q_ASSERT(before == 2);
    os_futex_wake(&mutex->state, 1);
}

void os_mutex_reset_after_fork(struct os_mutex *mutex)
{
    forget_if_held(mutex);
    os_mutex_init(mutex, (enum os_rank)mutex->rank, mutex->order);
}

/* Tries for as long as the owner runs well and nobody sleeps. Returns: whether it got the mutex. */
static bool spin_for(struct os_mutex *mutex)
{
    for (int spin = 0; spin < SPIN_COUNT; spin++) {
        /* Relaxed: only a hint whether the exchange below is worth its cost. */
        uint32_t state = atomic_load_relaxed_u32(&mutex->state);
        if (state == 2)
            return false;
        uint32_t expected = 0;
        /* Acquire: pairs with the release in os_mutex_unlock. */
        if (state == 0 && atomic_cas_acquire_u32(&mutex->state, &expected, 1))
            return true;
        pause_cpu();
    }
    return false;
}

#ifdef QUARRY_DEBUG_CHECKS

/*
 * More than a thread ever holds at once, but for forks: those take one for each class of each slab,
 * two for each lane, one for each ledger. What is beyond is not remembered, nor is it compared.
 */
#define HELD_MAX 160

struct held_mutexes {
    uint32_t count;
    const struct os_mutex *mutexes[HELD_MAX]; /* in the order they were taken */
};

static _Thread_local struct held_mutexes held; /* owner thread */

static bool lies_above(const struct os_mutex *mutex, const struct os_mutex *other);
Q_COLD Q_NORETURN static void fail(const char *what, const struct os_mutex *mutex,
                                   const struct os_mutex *other);

void os_mutex_check_order(const struct os_mutex *mutex)
{
    for (uint32_t i = 0; i < held.count; i++) {
        const struct os_mutex *other = held.mutexes[i];
        if (other == mutex)
            fail("a thread waits for the mutex it holds", mutex, other);
        if (!lies_above(mutex, other)) /* invariant 2 */
            fail("locks out of order", mutex, other);
    }
}

void os_mutex_note_taken(struct os_mutex *mutex)
{
    if (held.count < HELD_MAX)
        held.mutexes[held.count++] = mutex;
    /* Relaxed: only ever compared with the reader's own id, which only the reader stores. */
    atomic_store_relaxed_u32(&mutex->owner, os_thread_id());
}

void os_mutex_note_given(struct os_mutex *mutex)
{
    os_mutex_check_held(mutex); /* invariant 3 */
    forget_if_held(mutex);
    atomic_store_relaxed_u32(&mutex->owner, 0); /* as in os_mutex_note_taken */
}

void os_mutex_check_held(const struct os_mutex *mutex)
{
    /* Relaxed: see os_mutex_note_taken. */
    if (atomic_load_relaxed_u32(&mutex->owner) != os_thread_id())
        fail("a mutex is not held by this thread", mutex, NULL);
}

static void forget_if_held(const struct os_mutex *mutex)
{
    for (uint32_t i = held.count; i-- > 0;) {
        if (held.mutexes[i] != mutex)
            continue;
        for (held.count--; i < held.count; i++)
            held.mutexes[i] = held.mutexes[i + 1];
        return;
    }
}

static bool lies_above(const struct os_mutex *mutex, const struct os_mutex *other)
{
    if (mutex->rank == OS_RANK_NONE || other->rank == OS_RANK_NONE)
        return true;
    if (mutex->rank != other->rank)
        return mutex->rank > other->rank;
    return mutex->order > other->order;
}

static void add_mutex(struct os_text *text, const char *before, const struct os_mutex *mutex)
{
    os_text_add(text, before);
    os_text_add(text, "rank ");
    os_text_add_number(text, mutex->rank);
    os_text_add(text, " order ");
    os_text_add_number(text, mutex->order);
}

static void fail(const char *what, const struct os_mutex *mutex, const struct os_mutex *other)
{
    struct os_text text;
    os_text_init(&text);
    os_text_add(&text, what);
    add_mutex(&text, ": ", mutex);
    if (other != NULL)
        add_mutex(&text, " while holding ", other);
    Q_ASSERT_FAILED(text.bytes);
}

#else

static void forget_if_held(const struct os_mutex *mutex)
{
    (void)mutex; /* nobody remembers */
}

#endif
