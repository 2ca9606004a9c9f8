/*
 * Threads on stacks that the caller accounts for, with a name and without signals.
 *
 *   stack                                        stack + stack_bytes
 *     |  frames grow down  <------------ | thread storage (TLS) |
 *
 * pthread_create does the work rather than clone(2): libc's thread storage has to exist, or no libc
 * function could be called on the thread. glibc takes memory from malloc for it; that
 * is why os_thread_start must be called with no lock held that malloc may want.
 *
 * Invariants:
 *   1. All signals are blocked from the thread's first instruction: it inherits the mask of its
 *      creator, which blocks everything around the creation. A program's handlers never run on our
 *      threads. The one signal that may be let in is that of a program which is ours.
 *   2. A thread's number is never 0 and never changes, not by fork either. Numbers count up and
 *      come back after 2^32 - 1 threads; nobody has so many alive, but one that lives through
 *      all of them may meet its own number again.
 *
 * The kernel's thread id was rejected as the number: after fork the child's only thread has a new
 * one, and what it had noted under the old one would be a stranger's.
 *
 * Locking: none; start and join of one thread are the caller's to order.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include <os/kernel.h>
#include <os/os.h>

/* Five steps of 1.25 each: a third of the weight. Ten would be a tenth, with which flushing would
 * fall behind writers that use all CPUs. */
#define STEP_BACK_NICE 5

_Thread_local uint32_t os_thread_number;
static _Atomic uint32_t last_thread_number;
static _Atomic uint32_t admitted_signal; /* 0: none; relaxed: set before there are threads */

static enum quarry_status create(struct os_thread *thread, const pthread_attr_t *attributes);
static void *thread_main(void *argument);

enum quarry_status os_thread_start(struct os_thread *thread, const char *name, void *stack,
                                   size_t stack_bytes, void (*run)(void *), void *argument)
{
    Q_ASSERT(stack_bytes >= (size_t)PTHREAD_STACK_MIN);
    *thread = (struct os_thread){.run = run, .argument = argument};
    memcpy(thread->name, name, strnlen(name, OS_THREAD_NAME_BYTES - 1));

    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return QUARRY_NO_MEMORY;
    int refused = pthread_attr_setstack(&attributes, stack, stack_bytes);
    Q_ASSERT(refused == 0);
    enum quarry_status status = create(thread, &attributes);
    (void)pthread_attr_destroy(&attributes);
    return status;
}

void os_thread_join(struct os_thread *thread)
{
    Q_ASSERT(thread->is_started);
    int failed = pthread_join(thread->handle, NULL);
    Q_ASSERT(failed == 0);
    thread->is_started = false;
}

void os_thread_step_back(void)
{
    const struct sched_param none = {.sched_priority = 0};

    if (os_kernel(SYS_sched_getscheduler, 0) != SCHED_OTHER)
        return;
    int before = getpriority(PRIO_PROCESS, 0); /* of the thread alone, on Linux */
    (void)os_kernel(SYS_sched_setscheduler, 0, SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, 0, before + STEP_BACK_NICE);
}

void os_thread_forget(struct os_thread *thread)
{
    thread->is_started = false;
}

uint32_t os_thread_id_slow(void)
{
    uint32_t number;
    do { /* Relaxed: numbers need only differ. */
        number = atomic_add_relaxed_u32(&last_thread_number, 1) + 1;
    } while (number == 0); /* invariant 2 */
    os_thread_number = number;
    return number;
}

bool os_thread_is_first(void)
{
    return os_kernel(SYS_gettid) == os_kernel(SYS_getpid);
}

/* Entries of a folder that a buffer of getdents64 holds, "." and ".." included. */
static uint32_t count_entries(const char *buffer, long bytes)
{
    uint32_t count = 0;
    for (long at = 0; at < bytes; count++) {
        uint16_t length; /* d_reclen, behind d_ino and d_off */
        memcpy(&length, buffer + at + 16, sizeof length);
        at += length;
    }
    return count;
}

bool os_thread_is_last(void)
{
    char buffer[1024];
    uint32_t count = 0;
    long bytes;
    long fd = os_kernel(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    while ((bytes = os_kernel_retry(SYS_getdents64, fd, buffer, sizeof buffer)) > 0)
        count += count_entries(buffer, bytes);
    (void)os_kernel(SYS_close, fd);
    /* ".", "..", this one, and the first, which stays in the list until all are gone. */
    return bytes == 0 && count <= 4;
}

void os_threads_admit(int signal)
{
    Q_ASSERT(signal > 0);
    atomic_store_relaxed_u32(&admitted_signal, (uint32_t)signal);
}

/* Invariant 1. */
static enum quarry_status create(struct os_thread *thread, const pthread_attr_t *attributes)
{
    sigset_t all;
    sigset_t before;
    uint32_t admitted = atomic_load_relaxed_u32(&admitted_signal);
    (void)sigfillset(&all);
    if (admitted != 0)
        (void)sigdelset(&all, (int)admitted);
    int failed = pthread_sigmask(SIG_SETMASK, &all, &before);
    Q_ASSERT(failed == 0);
    int error = pthread_create(&thread->handle, attributes, thread_main, thread);
    failed = pthread_sigmask(SIG_SETMASK, &before, NULL);
    Q_ASSERT(failed == 0);
    thread->is_started = error == 0;
    if (error == ENOMEM || error == EINVAL) /* EINVAL: the thread storage does not fit the stack */
        return QUARRY_NO_MEMORY;
    return error == 0 ? QUARRY_OK : QUARRY_TOO_MANY;
}

static void *thread_main(void *argument)
{
    struct os_thread *thread = argument;
    (void)os_kernel(SYS_prctl, PR_SET_NAME, thread->name); /* a name is a convenience */
    thread->run(thread->argument);
    return NULL;
}
