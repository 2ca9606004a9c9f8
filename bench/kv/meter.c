/*
 * What a row costs.
 *
 * CPU time is the whole process's, and goes on until the store is at rest again: what a write
 * leaves to threads in the background is part of what it costs, and a store that puts it off is not
 * cheaper for it. No store tells in the same words that it is at rest, so that all are asked by the
 * same sign: less than 1 % of a CPU over ten looks, 20 ms apart.
 *
 * Bytes written are those that the kernel charges to the process when a page of a file becomes
 * dirty: of files that are mapped as well as of those that are written to, in whole pages. A page
 * that is written back between two appends is counted twice, as it is written twice.
 */
#include <bench/kv/meter.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/kv/rows.h>
#include <bench/malloc/clock.h>

#define LOOK_US    20000u
#define LOOKS      10u
#define LOOKS_MAX  3000u
#define REST_SHARE 100u

uint64_t bench_kv_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t bench_kv_written_bytes(void)
{
    FILE *file = fopen("/proc/self/io", "re");
    char line[128];
    uint64_t bytes = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long long number = 0;
        if (sscanf(line, "write_bytes: %llu", &number) == 1) {
            bytes = number;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return bytes;
}

void bench_kv_wait_for_rest(void)
{
    uint32_t quiet_count = 0;

    for (uint32_t i = 0; i < LOOKS_MAX && quiet_count < LOOKS; i++) {
        uint64_t cpu_ns = bench_clock_cpu_ns();
        (void)usleep(LOOK_US);
        uint64_t used_ns = bench_clock_cpu_ns() - cpu_ns;
        quiet_count = used_ns * REST_SHARE < LOOK_US * Q_US_NS ? quiet_count + 1 : 0;
    }
}

void bench_kv_meter_begin(struct bench_kv_meter *meter)
{
    memset(meter, 0, sizeof *meter);
    bench_kv_wait_for_rest();
    meter->began_written_bytes = bench_kv_written_bytes();
    meter->began_cpu_ns = bench_clock_cpu_ns();
    meter->began_ns = bench_kv_now_ns();
    meter->last_ns = meter->began_ns;
}

void bench_kv_meter_lap(struct bench_kv_meter *meter)
{
    uint64_t now_ns = bench_kv_now_ns();

    bench_histogram_add(&meter->latency, now_ns - meter->last_ns);
    meter->last_ns = now_ns;
}

void bench_kv_meter_skip(struct bench_kv_meter *meter)
{
    meter->last_ns = bench_kv_now_ns();
}

void bench_kv_meter_end(struct bench_kv_meter *meter, uint64_t *numbers)
{
    numbers[WORK_WALL_NS] = bench_kv_now_ns() - meter->began_ns;
    bench_kv_wait_for_rest();
    numbers[WORK_CPU_NS] = bench_clock_cpu_ns() - meter->began_cpu_ns;
    numbers[WORK_WRITTEN_BYTES] = bench_kv_written_bytes() - meter->began_written_bytes;
    numbers[WORK_P99] = bench_histogram_quantile(&meter->latency, 9900);
    numbers[WORK_P9999] = bench_histogram_quantile(&meter->latency, 9999);
    numbers[WORK_WORST] = meter->latency.max;
    numbers[WORK_RSS_BYTES] = bench_clock_peak_bytes();
}
