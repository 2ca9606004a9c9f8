/*
 * Calls at the end of each thread that asked for them.
 *
 * They ride on a pthread key: libc calls the key's destructor in an exiting thread for every value
 * that is not NULL, before it takes the thread's storage away. C has no other way that also works
 * for threads which a stranger started.
 *
 * Invariants:
 *   1. The key exists before anybody can arm: arming without a hook does nothing.
 *   2. libc sets the value to NULL before the call, so a thread that arms again inside a hook, or
 *      in another destructor after it, is called again (glibc: four rounds at most).
 *   3. Hooks are added and never removed; the last one is called first, so that a layer still has
 *      those below it.
 *
 * The first 32 keys of a process have their place inside libc's thread structure; for later ones
 * pthread_setspecific takes memory from malloc. A malloc registers its hook early and so has an
 * early key; it must still stand a call of itself while it arms.
 *
 * The main thread's end by exit() is the process' end: no hook. Cost: a store for arming.
 */
#include <pthread.h>

#include <os/os.h>

static pthread_key_t exit_key;                            /* const once hook_count is not 0 */
static void (*exit_hook[OS_THREAD_EXIT_HOOKS_MAX])(void); /* [0, hook_count) are const */
static _Atomic uint32_t hook_count;
static struct os_mutex hooks_mutex; /* guards adding; of no rank: start-up only */

static void run_hooks(void *armed);

enum quarry_status os_thread_exit_hook(void (*hook)(void))
{
    os_mutex_lock(&hooks_mutex);
    uint32_t count = atomic_load_relaxed_u32(&hook_count);
    bool is_added = count < OS_THREAD_EXIT_HOOKS_MAX &&
                    (count > 0 || pthread_key_create(&exit_key, run_hooks) == 0);
    if (is_added) {
        exit_hook[count] = hook;
        /* Pairs with the acquire in os_thread_exit_arm and run_hooks (invariant 1). */
        atomic_store_release_u32(&hook_count, count + 1);
    }
    os_mutex_unlock(&hooks_mutex);
    return is_added ? QUARRY_OK : QUARRY_TOO_MANY;
}

enum quarry_status os_thread_exit_arm(void)
{
    if (atomic_load_acquire_u32(&hook_count) == 0)
        return QUARRY_OK;
    return pthread_setspecific(exit_key, &exit_key) == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

static void run_hooks(void *armed)
{
    Q_ASSERT(armed == &exit_key);
    for (uint32_t i = atomic_load_acquire_u32(&hook_count); i > 0; i--)
        exit_hook[i - 1]();
}
