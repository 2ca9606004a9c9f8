/*
 * A tenant's series in a store, as a source of expressions.
 *
 *     struct promql_tsdb_source store = {.tsdb = tsdb, .account = account, .pool = pool};
 *     struct promql_source source = promql_tsdb_source(&store);
 */
#ifndef QUARRY_PROMQL_TSDB_SOURCE_H
#define QUARRY_PROMQL_TSDB_SOURCE_H

#include <quarry/lifetime.h>
#include <quarry/tsdb.h>

#include <promql/source.h>

struct promql_tsdb_source {
    struct quarry_tsdb *tsdb; /* borrowed as long as the source is used */
    uint16_t tenant;
    /* What histograms are made of; borrowed likewise. */
    struct quarry_account *account;
    struct quarry_pool *pool; /* of the account's owner */
};

/* `store`: borrowed as long as the source is used. Threads: any. Cost: none. */
struct promql_source promql_tsdb_source(struct promql_tsdb_source *store);

#endif
