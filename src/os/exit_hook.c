/*
 * A call at the end of each thread that asked for one.
 *
 * It rides on a pthread key: libc calls the key's destructor in an exiting thread for every value
 * that is not NULL, before it takes the thread's storage away. C has no other way that also works
 * for threads which a stranger started.
 *
 * Invariants:
 *   1. The key exists before anybody can arm: arming without a hook does nothing.
 *   2. libc sets the value to NULL before the call, so a thread that arms again inside the hook, or
 *      in another destructor after it, is called again (glibc: four rounds at most).
 *
 * The first 32 keys of a process have their place inside libc's thread structure; for later ones
 * pthread_setspecific takes memory from malloc. A malloc registers its hook early and so has an
 * early key; it must still stand a call of itself while it arms.
 *
 * The main thread's end by exit() is the process' end: no hook. Cost: a store for arming.
 */
#include <pthread.h>

#include <os/os.h>

static pthread_key_t exit_key;      /* const once hook_state is HOOK_SET */
static void (*exit_hook)(void);     /* const once hook_state is HOOK_SET */
static _Atomic uint32_t hook_state; /* atomic */
enum { HOOK_NONE, HOOK_BEING_SET, HOOK_SET };

static void run_hook(void *armed);

enum quarry_status os_thread_exit_hook(void (*hook)(void))
{
    uint32_t expected = HOOK_NONE;
    /* Acquire: after a failed attempt of another thread this one sees all that it undid. */
    bool is_first = atomic_cas_acquire_u32(&hook_state, &expected, HOOK_BEING_SET);
    Q_ASSERT_MSG(is_first, "one hook per process");
    exit_hook = hook;
    if (pthread_key_create(&exit_key, run_hook) != 0) {
        atomic_store_release_u32(&hook_state, HOOK_NONE); /* pairs with the acquire above */
        return QUARRY_TOO_MANY;
    }
    /* Pairs with the acquire in os_thread_exit_arm: the key and the hook are there (invariant 1).
     */
    atomic_store_release_u32(&hook_state, HOOK_SET);
    return QUARRY_OK;
}

enum quarry_status os_thread_exit_arm(void)
{
    /* Pairs with the release in os_thread_exit_hook. */
    if (atomic_load_acquire_u32(&hook_state) != HOOK_SET)
        return QUARRY_OK;
    return pthread_setspecific(exit_key, &exit_key) == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

static void run_hook(void *armed)
{
    Q_ASSERT(armed == &exit_key);
    exit_hook();
}
