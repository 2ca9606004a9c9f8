/*
 * A tenant's series in a store, as a source of expressions.
 *
 *     struct promql_tsdb_source store = {.tsdb = tsdb, .tenant = 0};
 *     struct promql_source source = promql_tsdb_source(&store);
 */
#ifndef QUARRY_PROMQL_TSDB_SOURCE_H
#define QUARRY_PROMQL_TSDB_SOURCE_H

#include <quarry/tsdb.h>

#include <promql/source.h>

struct promql_tsdb_source {
    struct quarry_tsdb *tsdb; /* borrowed as long as the source is used */
    uint16_t tenant;
};

/* `store`: borrowed as long as the source is used. Samples are floats. Threads: any. Cost: none. */
struct promql_source promql_tsdb_source(struct promql_tsdb_source *store);

#endif
