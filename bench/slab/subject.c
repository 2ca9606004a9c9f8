/*
 * Who is measured: the slab, and the mallocs, of which Quarry's own is one more peer.
 */
#include <bench/slab/subject.h>

#include <string.h>

#include <base/base.h>

#define OWN_MALLOC_NAME "quarry_malloc"

const struct bench_column *bench_slab_columns(void)
{
    static struct bench_column columns[BENCH_SLAB_COLUMNS] = {{.name = "quarry"}};

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        const struct bench_subject *subject = bench_malloc_subject_at(i);
        columns[1 + i] = (struct bench_column){
            .name = i == BENCH_QUARRY ? OWN_MALLOC_NAME : subject->name,
            .package = subject->package,
            .is_unusual = !bench_malloc_subject_is_usual(i),
        };
    }
    return columns;
}

size_t bench_slab_column_find(const char *name)
{
    const struct bench_column *columns = bench_slab_columns();
    size_t column = 0;

    while (column < BENCH_SLAB_COLUMNS && strcmp(columns[column].name, name) != 0) {
        column++;
    }
    return column;
}

const struct bench_subject *bench_slab_column_subject(size_t column)
{
    Q_ASSERT(column < BENCH_SLAB_COLUMNS);
    return column == 0 ? NULL : bench_malloc_subject_at(column - 1);
}
