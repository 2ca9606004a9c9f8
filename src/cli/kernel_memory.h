/*
 * What the kernel says of a process' memory: resident bytes by what they are mapped from.
 */
#ifndef QUARRY_CLI_KERNEL_MEMORY_H
#define QUARRY_CLI_KERNEL_MEMORY_H

#include <base/base.h>

#include <stdio.h>

enum kernel_kind {
    KERNEL_PRIVATE,   /* anonymous: the heap's, stacks of threads, what others have mapped */
    KERNEL_SHARED,    /* files and segments that are written: the cache's file, the statistics */
    KERNEL_PROGRAM,   /* the program, libraries, their data; the kernel's own code */
    KERNEL_FILES,     /* files that are shared and only read */
    KERNEL_LIBC_HEAP, /* the C library's heap behind the program's data */
    KERNEL_STACK,     /* the first thread's */
    KERNEL_KINDS,
};

/* Of a kind, as a JSON field and for people. */
extern const char *const kernel_kind_fields[KERNEL_KINDS];
extern const char *const kernel_kind_names[KERNEL_KINDS];

struct kernel_memory {
    uint64_t bytes[KERNEL_KINDS]; /* resident */
    uint64_t resident_bytes;      /* their sum */
    uint64_t page_table_bytes;    /* not resident in that sense, and in no mapping */
};

/*
 * Sums up a text in the form of /proc/PID/smaps; page tables stay 0.
 * Returns: false: it is none, or cannot be read to its end. Cost: O(mappings).
 */
bool kernel_memory_read_maps(FILE *file, struct kernel_memory *ret_memory);

/* What the kernel says of a process, opened: it can be read when nothing can be opened any more. */
struct kernel_memory_files {
    FILE *maps;
    FILE *status; /* NULL: it cannot be read */
};

/*
 * Opens it, reads it once, closes it. Errors: NOT_FOUND (no such process), PERMISSION, IO.
 */
Q_NODISCARD enum quarry_status kernel_memory_open(uint32_t pid,
                                                  struct kernel_memory_files *ret_files);
Q_NODISCARD enum quarry_status kernel_memory_read(struct kernel_memory_files *files,
                                                  struct kernel_memory *ret_memory);
void kernel_memory_close(struct kernel_memory_files *files);

/*
 * Looks at a process, all three in one. Errors: NOT_FOUND (no such process), PERMISSION, IO.
 * Cost: the kernel walks the tables of all that is resident, some ms for a GiB.
 */
Q_NODISCARD enum quarry_status kernel_memory_look(uint32_t pid, struct kernel_memory *ret_memory);

#endif
