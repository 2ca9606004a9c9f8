/*
 * The three clocks. clock_gettime is libc's, because it is the one that reads the time without
 * entering the kernel; it neither allocates nor is a cancellation point. CPU time does enter it.
 *
 * CLOCK_MONOTONIC and not CLOCK_BOOTTIME: a machine that slept has not done any work meanwhile, and
 * pacing and time-outs measure work. Cost: no system call but for CPU time.
 */
#include <time.h>

#include <os/real.h>

static uint64_t read_clock_ns(clockid_t clock);

uint64_t os_linux_monotonic_ns(struct os *os)
{
    (void)os;
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t os_linux_wall_ns(struct os *os)
{
    (void)os;
    return read_clock_ns(CLOCK_REALTIME);
}

uint64_t os_linux_thread_cpu_ns(struct os *os)
{
    (void)os;
    return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t read_clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    int failed = clock_gettime(clock, &now);
    Q_ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}
