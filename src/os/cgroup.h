/* What control groups allow this process; machine.c puts it beside the rest. */
#ifndef QUARRY_OS_CGROUP_H
#define QUARRY_OS_CGROUP_H

#include <base/base.h>

struct os_cgroup {
    uint64_t memory_limit_bytes; /* 0: none */
    uint64_t memory_used_bytes;  /* of the group that has this limit; 0 without one */
    uint32_t cpu_quota_milli;    /* in 1/1000 CPU; 0: none */
};

/*
 * Reads the tightest limits between this process' groups and the roots of their hierarchies.
 *
 * `root`: put in front of every path ("" for the real ones), borrowed.
 * Errors: none; what cannot be read is no limit. Threads: any.
 * Cost: two files, and up to four for each level of nesting of each hierarchy; the stack holds
 * five texts and two buffers of lines (read_file.h, text.h).
 */
void os_cgroup_read(const char *root, struct os_cgroup *ret_cgroup);

#endif
