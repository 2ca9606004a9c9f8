/*
 * Figures of the kernel about this process, read without a call of malloc: they are read between
 * the end of a workload and its report, and a subject may be counting.
 *
 * The peak is VmHWM and not getrusage's: that one begins with the peak of whoever started the
 * process.
 */
#include <bench/malloc/clock.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <base/base.h>

uint64_t bench_clock_cpu_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t bench_clock_faults(void)
{
    struct rusage usage = {0};

    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

uint64_t bench_clock_peak_bytes(void)
{
    static const char key[] = "VmHWM:";
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    ssize_t bytes = read(fd, text, sizeof text - 1);
    (void)close(fd);
    text[bytes < 0 ? 0 : bytes] = '\0';
    const char *line = strstr(text, key);
    return line == NULL ? 0 : Q_KIB(strtoull(line + strlen(key), NULL, 10));
}
