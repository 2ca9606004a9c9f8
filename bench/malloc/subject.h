/*
 * Subjects of `quarry bench malloc`: libraries that hold a malloc.
 */
#ifndef QUARRY_BENCH_MALLOC_SUBJECT_H
#define QUARRY_BENCH_MALLOC_SUBJECT_H

#include <bench/subject.h>

/* The first, BENCH_QUARRY, is Quarry; the others are its peers. */
#define BENCH_MALLOC_SUBJECTS 6u

/* `index` is below BENCH_MALLOC_SUBJECTS. Returns: static storage. */
const struct bench_subject *bench_malloc_subject_at(size_t index);
/* Returns: the subject of that name, or NULL. */
const struct bench_subject *bench_malloc_subject_find(const char *name);
/* Whether a sitting has it when no list is given. */
bool bench_malloc_subject_is_usual(size_t index);
/*
 * What to put into LD_PRELOAD for it: a library's name, or a path in the tree of this program.
 * Returns: NULL for the C library's own malloc; static storage.
 */
const char *bench_malloc_subject_preload(const struct bench_subject *subject);

#endif
