/*
 * Subjects: who is measured. Quarry, the peers, and the kernel's own mmap.
 */
#ifndef QUARRY_BENCH_SUBJECT_H
#define QUARRY_BENCH_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>

enum bench_subject_kind {
    BENCH_PAGES,  /* page_alloc and page_lane_alloc */
    BENCH_MALLOC, /* malloc and free, of whatever library has them in this process */
    BENCH_MMAP,   /* mmap and munmap for every run */
};

struct bench_subject {
    const char *name;
    enum bench_subject_kind kind;
    const char *preload;     /* library for LD_PRELOAD, or NULL */
    const char *package;     /* Debian's, which knows the version; or NULL */
    const char *malloc_stem; /* how the file begins that must hold malloc; NULL: any */
};

/* The first is Quarry, the others its peers. */
#define BENCH_SUBJECT_COUNT 6u
#define BENCH_QUARRY        0u

/* `index` is below BENCH_SUBJECT_COUNT. Returns: static storage. */
const struct bench_subject *bench_subject_at(size_t index);
/* Returns: the subject of that name, or NULL. */
const struct bench_subject *bench_subject_find(const char *name);

/*
 * Whether malloc, in this process, comes from the library the subject names: a preload that the
 * loader could not follow is only a line on stderr, and would measure glibc under a peer's name.
 * `path`: receives the file that holds malloc, or "" when /proc/self/maps does not tell.
 */
bool bench_subject_is_in_force(const struct bench_subject *subject, char *path, size_t path_bytes);

#endif
