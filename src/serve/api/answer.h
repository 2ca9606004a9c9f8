/*
 * Answers of the API: what stands around data and errors; and a request's memory.
 */
#ifndef QUARRY_SERVE_API_ANSWER_H
#define QUARRY_SERVE_API_ANSWER_H

#include <promql/promql.h>
#include <serve/api/api.h>
#include <serve/api/json.h>

/* Prometheus' kinds of errors, each with a code. */
enum api_error {
    API_BAD_DATA = 0, /* 400 */
    API_EXECUTION,    /* 422 */
    API_CANCELED,     /* 499 */
    API_TIMEOUT,      /* 503 */
    API_INTERNAL,     /* 500 */
    API_UNAVAILABLE,  /* 500 */
    API_NOT_FOUND,    /* 404 */
};

/* What a request works with while it is answered: `call->state`, gone with the answer. */
struct api_request {
    struct api_context context;
    struct promql_memory memory;
    void *answer; /* what the handler's pieces are made of; in the memory */
    void *own;    /* what `end` ends; likewise */
    void (*end)(struct api_request *request); /* NULL: the memory is all there is to give back */
};

typedef enum http_outcome api_function(struct http_call *call, struct api_request *request);

/* Begins a request. NULL: there is no memory, which was answered. */
struct api_request *api_begin_request(struct http_call *call, const struct api_context *context);

/* {"status":"success","data": and what goes behind the data. */
void api_begin_data(struct http_call *call);
void api_end_data(struct http_call *call);
/* The same with one warning. */
void api_end_data_with(struct http_call *call, const char *warning);

/* {"status":"error","errorType":"bad_data","error":"…"}; what was written before is forgotten. */
enum http_outcome api_fail(struct http_call *call, enum api_error error, const char *format, ...)
    Q_PRINTF(3, 4);
/* By a store's status. */
enum http_outcome api_fail_status(struct http_call *call, enum quarry_status status,
                                  const struct quarry_error *error);

/* That a parameter is no time, or no duration. `what`: put before that. */
void api_fail_time(struct http_call *call, const char *name, const char *what,
                   struct http_slice value);
void api_fail_duration(struct http_call *call, const char *name, struct http_slice value);

/* A time of a request: `fallback_ms` when it is not said. Returns: false: it was answered that it
 * is none. */
bool api_time_param(struct http_call *call, const char *name, int64_t fallback_ms, int64_t *ret_ms);
/* The most of an answer's members: 0: all. Likewise. */
bool api_limit_param(struct http_call *call, uint64_t *ret_limit);

#endif
