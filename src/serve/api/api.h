/*
 * Prometheus' HTTP API: what is asked of series, and answered in JSON.
 *
 * One handler for all of its routes, for the executor: `api_answer` finds what to do by the path.
 */
#ifndef QUARRY_SERVE_API_H
#define QUARRY_SERVE_API_H

#include <serve/http/http.h>
#include <serve/tsdb_store.h>

/* Whom a request is about. Borrowed until the answer has ended, and copied for its time. */
struct api_context {
    struct serve_tsdb *store;
    uint16_t tenant;       /* whose series */
    const char *version;   /* of the program */
    int64_t start_ms;      /* of the server, by the wall clock */
    uint32_t worker_count; /* of the net */
};

/*
 * Answers a request to /api/v1/….
 *
 * `call`: its route's path is one of the API's. Answers, errors, codes and texts are those of
 * Prometheus. Threads: the executor's. Cost: O(what is answered); memory of the account
 * `prometheus`, and a piece of the answer at a time.
 */
enum http_outcome api_answer(struct http_call *call, const struct api_context *context);

#endif
