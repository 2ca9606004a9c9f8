/*
 * Subjects of `quarry bench slab`: Quarry's slab (or arena), and every malloc of `bench malloc`.
 */
#ifndef QUARRY_BENCH_SLAB_SUBJECT_H
#define QUARRY_BENCH_SLAB_SUBJECT_H

#include <bench/malloc/subject.h>
#include <bench/sheet.h>

#define BENCH_SLAB_COLUMNS (1u + BENCH_MALLOC_SUBJECTS)

/* BENCH_SLAB_COLUMNS of them. Returns: static storage. */
const struct bench_column *bench_slab_columns(void);
/* Returns: the column of that name, or BENCH_SLAB_COLUMNS. */
size_t bench_slab_column_find(const char *name);
/* The malloc of a column; NULL: Quarry's slab, the first. */
const struct bench_subject *bench_slab_column_subject(size_t column);

#endif
