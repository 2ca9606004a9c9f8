/*
 * What happens around fork().
 *
 *   hooks   | rank 24, slab | rank 32, budget | rank 36, ref | … | rank 50, page |
 *
 *   prepare ────────────────────────────────────────────────────>   locks are taken
 *   parent, child <──────────────────────────────────────────────   and given back
 *
 * Layers are first used in any order, and register then. They name the lowest rank of the locks
 * that they take, and the table is sorted by it; so around a fork all locks of the process are
 * taken in rising rank, as everywhere, and the child's layers come to life from the bottom up.
 *
 * libc knows of one registration, made with the first. Its own order (the last registered prepares
 * first) then places all of Quarry's locks after what programs do in hooks of theirs that are
 * registered later, which may still allocate.
 *
 * os itself registers nothing: what it keeps per process (the number of a thread, whether
 * membarrier works) is right in the child as it stands, and barrier.c registers again when asked.
 *
 * Invariants:
 *   1. hook[0, hook_count) is sorted by rank, and no `prepare` is in it twice.
 *   2. Who prepared gives back: nothing is added between the two, for the mutex is held.
 *
 * Locking: hooks_mutex, of no rank, held from prepare to parent and child. Whoever registers holds
 * no lock that a registered hook takes.
 *
 * Cost: the C library keeps the first 48 registrations of a process without malloc.
 */
#include <pthread.h>

#include <os/os.h>

struct fork_hook {
    enum os_rank rank;
    void (*prepare)(void);
    void (*parent)(void);
    void (*child)(void);
};

static struct os_mutex hooks_mutex; /* of no rank */
/* guarded by hooks_mutex */
static struct fork_hook hook[OS_FORK_HOOKS_MAX];
static uint32_t hook_count;
static bool is_known; /* to libc */

/* The lock outlives the function, which the analysis cannot follow. */
static void run_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&hooks_mutex);
    for (uint32_t i = 0; i < hook_count; i++)
        hook[i].prepare();
}

static void run_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (uint32_t i = hook_count; i > 0; i--)
        hook[i - 1].parent();
    os_mutex_unlock(&hooks_mutex);
}

static void run_child(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (uint32_t i = hook_count; i > 0; i--)
        hook[i - 1].child();
    os_mutex_reset_after_fork(&hooks_mutex);
}

static bool is_registered(void (*prepare)(void)) Q_REQUIRES(&hooks_mutex)
{
    uint32_t i = 0;

    while (i < hook_count && hook[i].prepare != prepare)
        i++;
    return i < hook_count;
}

/* Invariant 1. */
static void hook_insert(const struct fork_hook *added) Q_REQUIRES(&hooks_mutex)
{
    uint32_t at = hook_count++;

    for (; at > 0 && hook[at - 1].rank > added->rank; at--)
        hook[at] = hook[at - 1];
    hook[at] = *added;
}

static enum quarry_status hook_add(const struct fork_hook *added) Q_REQUIRES(&hooks_mutex)
{
    if (is_registered(added->prepare))
        return QUARRY_OK;
    if (hook_count == OS_FORK_HOOKS_MAX)
        return QUARRY_TOO_MANY;
    if (!is_known && pthread_atfork(run_prepare, run_parent, run_child) != 0)
        return QUARRY_NO_MEMORY;
    is_known = true;
    hook_insert(added);
    return QUARRY_OK;
}

enum quarry_status os_fork_hooks(enum os_rank rank, void (*prepare)(void), void (*parent)(void),
                                 void (*child)(void))
{
    os_mutex_lock(&hooks_mutex);
    enum quarry_status status = hook_add(&(struct fork_hook){rank, prepare, parent, child});
    os_mutex_unlock(&hooks_mutex);
    return status;
}
