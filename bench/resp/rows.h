/*
 * Rows of `quarry bench resp`: bench/cache's kinds and a few of their own.
 */
#ifndef QUARRY_BENCH_RESP_ROWS_H
#define QUARRY_BENCH_RESP_ROWS_H

#include <stddef.h>

#include <bench/cache/rows.h>

/* The row by whose operations per second of redis the schedules of open loops go. */
#define BENCH_RESP_MAXIMUM_ROW "mix_p1_tcp"

/* All rows. `*ret_count` receives how many. Returns: static storage. */
const struct bench_load_row *bench_resp_rows(size_t *ret_count);
/* Returns: the row of that name, or NULL. */
const struct bench_load_row *bench_resp_row_find(const char *name);

/* The one word of a request of a `tool_` row that redis-benchmark knows: "set". */
const char *bench_resp_tool_verb(const struct bench_load_row *row);

#endif
