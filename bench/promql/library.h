/*
 * What is asked: three fleets, stored in a server that stays up for the sitting.
 */
#ifndef QUARRY_BENCH_PROMQL_LIBRARY_H
#define QUARRY_BENCH_PROMQL_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

#include <bench/promql/queries.h>
#include <bench/tsdb/http.h>

struct bench_library {
    struct bench_server server;
    struct bench_http http;
    bool is_open;
    int64_t end_ms; /* of the newest samples */
};

/* A time for the newest samples that is not ahead of anybody's clock. */
int64_t bench_library_end_ms(void);

struct bench_library_options {
    enum bench_server_kind kind;
    const char *quarry; /* path of Quarry's program; borrowed */
    const char *parent; /* where its store is made; borrowed */
    int64_t end_ms;     /* of the newest samples: the same for all who are compared */
    uint32_t host_count;
    uint32_t hours;       /* of samples */
    uint32_t wide_series; /* that have a few samples each */
};

/*
 * Starts a server and stores the fleets. The library stays where it is. Returns: false when it did
 * not come up or has not all that it was told, which has been said on stderr.
 */
bool bench_library_open(struct bench_library *library, const struct bench_library_options *options);
void bench_library_close(struct bench_library *library);

/*
 * Asks for one panel of a row. `ret_body`: the answer, borrowed until the next call.
 * Returns: whether the status was 200.
 */
bool bench_library_ask(struct bench_library *library, const struct bench_query_row *row,
                       const char *query, const char **ret_body, size_t *ret_bytes);

#endif
