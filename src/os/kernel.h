/*
 * System calls that leave `errno` alone and are no cancellation points.
 *
 * `os_kernel(SYS_x, arguments...)` makes one call through syscall(2) and returns its result, or the
 * negative errno. libc's own wrappers are avoided for three reasons: a preloaded library may stand
 * in front of them and allocate; several are cancellation points, and a thread cancelled inside
 * malloc would keep its locks; and free() has to leave errno as it found it.
 */
#ifndef QUARRY_OS_KERNEL_H
#define QUARRY_OS_KERNEL_H

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/base.h>

/* Up to six arguments, each converted to long as the kernel's calling convention has it. */
#define os_kernel(...) OS_KERNEL_PAD(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define OS_KERNEL_PAD(n, a, b, c, d, e, f, ...)                                                    \
    os_kernel_call((long)(n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long os_kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
    int errno_before = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result == -1) {
        result = -(long)errno;
    }
    errno = errno_before;
    return result;
}

/* The same, again and again while a signal interrupts it. */
#define os_kernel_retry(...)                                                                       \
    __extension__({                                                                                \
        long os_kernel_result_;                                                                    \
        do {                                                                                       \
            os_kernel_result_ = os_kernel(__VA_ARGS__);                                            \
        } while (os_kernel_result_ == -EINTR);                                                     \
        os_kernel_result_;                                                                         \
    })

/*
 * Room for a file, as fallocate(2). On tmpfs (Linux before 6.13) a signal undoes all that the call
 * has done: a profiler's, which come every 10 ms of CPU time, would have it begin anew for ever. So
 * they are kept out from the second time on.
 */
static inline long os_kernel_allocate(int fd, int mode, uint64_t offset, uint64_t bytes)
{
    const uint64_t all = UINT64_MAX;
    uint64_t before = 0;
    long result = os_kernel(SYS_fallocate, fd, mode, offset, bytes);

    if (result != -EINTR) {
        return result;
    }
    (void)os_kernel(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
    result = os_kernel_retry(SYS_fallocate, fd, mode, offset, bytes);
    (void)os_kernel(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    return result;
}

#endif
