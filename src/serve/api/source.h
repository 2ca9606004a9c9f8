/*
 * The store's series as evaluation reads them, for a request.
 */
#ifndef QUARRY_SERVE_API_SOURCE_H
#define QUARRY_SERVE_API_SOURCE_H

#include <promql/promql.h>
#include <serve/http/http.h>

/* What a source is over. The caller's storage, as long as its source is used. */
struct api_source {
    struct promql_tsdb_source store;
    struct promql_source inner;   /* over it */
    const struct http_call *call; /* who has gone is looked at while samples are read */
    _Atomic(uint32_t) cancel;     /* relaxed: not 0 from then on: promql_options.cancel */
};

/* The source over it, whose store and call are set. Threads: any; one cursor is one thread's. */
struct promql_source api_source_of(struct api_source *source);

#endif
