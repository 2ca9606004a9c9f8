/*
 * What a benchmark ran on: the figures mean nothing without it.
 */
#ifndef QUARRY_BENCH_MACHINE_H
#define QUARRY_BENCH_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include <bench/subject.h>

struct bench_machine {
    char cpu_model[96];
    char kernel[96]; /* "Linux 6.1.0-18-amd64" */
    uint32_t cpu_count;
    uint64_t ram_bytes; /* RAM, or the cgroup's limit when that is less */
};

struct bench_machine bench_machine_read(void);

/*
 * The version of a subject's Debian package, by dpkg-query; "unknown" where that cannot be asked.
 * `text`: receives it, cut to `text_bytes`. Cost: a process.
 */
void bench_machine_version(const struct bench_subject *subject, char *text, size_t text_bytes);

#endif
