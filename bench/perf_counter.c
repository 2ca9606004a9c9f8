/*
 * Counting instructions by perf_event_open.
 *
 * User mode only: that needs no right beyond perf_event_paranoid = 2, and what the kernel does
 * shows in the CPU time. The counter is inherited by threads, so it counts a row's workers too; the
 * scavenger's thread as well, which is part of the price.
 */
#include <bench/perf_counter.h>

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bench_perf_counter bench_perf_counter_open(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof attributes,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .disabled = 1,
        .inherit = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    long fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

    return (struct bench_perf_counter){.fd = (int)fd};
}

void bench_perf_counter_start(struct bench_perf_counter *counter)
{
    if (counter->fd >= 0) {
        (void)ioctl(counter->fd, PERF_EVENT_IOC_ENABLE, 0);
    }
}

uint64_t bench_perf_counter_close(struct bench_perf_counter *counter)
{
    uint64_t count = 0;

    if (counter->fd < 0) {
        return 0;
    }
    if (ioctl(counter->fd, PERF_EVENT_IOC_DISABLE, 0) != 0 ||
        read(counter->fd, &count, sizeof count) != (ssize_t)sizeof count) {
        count = 0;
    }
    (void)close(counter->fd);
    counter->fd = -1;
    return count;
}
