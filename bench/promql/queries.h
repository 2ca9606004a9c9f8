/*
 * Rows of `quarry bench promql`: queries, and who must agree about them.
 */
#ifndef QUARRY_BENCH_PROMQL_QUERIES_H
#define QUARRY_BENCH_PROMQL_QUERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_PANELS_MAX 20u

struct bench_query_row {
    const char *name;
    const char *title;      /* for people */
    uint32_t range_minutes; /* back from the newest sample; 0: at one moment */
    uint32_t step_seconds;
    bool is_victorias; /* VictoriaMetrics means the same by it, and must agree as well */
    const char *panel[BENCH_PANELS_MAX + 1]; /* asked one after the other; NULL ends them */
};

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_query_row *bench_query_rows(size_t *ret_count);

#endif
