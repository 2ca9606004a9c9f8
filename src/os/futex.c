/*
 * Sleeping: on a word, for a while, or for one turn of the scheduler.
 *
 * The futexes are process-private: the kernel finds them by address alone, without looking up what
 * backs it. A woken sleeper looks at its word again, so the calls may wake early for any reason
 * (signal, another use of the same address) and report nothing.
 *
 * Cost: one system call each. A wait on a word that has changed already returns at once.
 */
#include <limits.h>
#include <time.h>

#include <linux/futex.h>

#include <os/kernel.h>
#include <os/os.h>

static struct timespec timespec_of_ns(uint64_t ns);

void os_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = timespec_of_ns(timeout_ns);
    const struct timespec *limit = timeout_ns == UINT64_MAX ? NULL : &timeout;
    long result = os_kernel(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, limit);
    Q_ASSERT(result == 0 || result == -EAGAIN || result == -EINTR || result == -ETIMEDOUT);
}

void os_futex_wake(_Atomic uint32_t *word, uint32_t waiter_count)
{
    uint32_t count = waiter_count > INT_MAX ? INT_MAX : waiter_count;
    long result = os_kernel(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
    /* The word's memory may be gone: an unlocker wakes after the mutex is free for its owner to
     * destroy. The kernel then finds nobody, or no such address. */
    Q_ASSERT(result >= 0 || result == -EFAULT);
}

void os_sleep_ns(uint64_t duration_ns)
{
    uint64_t now_ns = os_monotonic_ns(os_real());
    struct timespec deadline = timespec_of_ns(sat_add_u64(now_ns, duration_ns));
    long result =
        os_kernel_retry(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline, NULL);
    Q_ASSERT(result == 0);
}

void os_yield(void)
{
    (void)os_kernel(SYS_sched_yield);
}

static struct timespec timespec_of_ns(uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / Q_SECOND_NS),
                            .tv_nsec = (long)(ns % Q_SECOND_NS)};
    return time;
}
