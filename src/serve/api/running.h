/*
 * Queries under way, by whom and for how long; and the slowest of those that have ended of late.
 *
 *     api_running_begin(running, &query->running, call, text, steps);
 *     options.progress = &query->running.progress;
 *     (void)promql_query_range_text(&options, text, steps, &result);
 *     api_running_end(running, &query->running, &result);
 *
 * Threads: any, at any time.
 */
#ifndef QUARRY_SERVE_API_RUNNING_H
#define QUARRY_SERVE_API_RUNNING_H

#include <promql/promql.h>
#include <serve/http/http.h>
#include <tsdb/tsdb.h>

/* Of an expression that are kept. */
#define API_RUNNING_TEXT_BYTES 512u
/* As many as run at a time: http.threads is 64 at most. */
#define API_RUNNING_MAX 64u
/* Of the slowest, and how long they are kept. */
#define API_SLOWEST_MAX 20u
#define API_SLOWEST_S   600u

/* What is told of a query. */
struct api_query_facts {
    uint64_t id;               /* never used again */
    int64_t begin_ms;          /* by the wall clock */
    uint64_t begin_ns;         /* monotonic */
    uint64_t duration_ns;      /* of one that has ended */
    struct promql_steps steps; /* step_ms 0: at one time */
    uint64_t samples, bytes;   /* of one that has ended: in all, and at most */
    const char *outcome;       /* "success", or an errorType; static storage */
    char peer[SERVE_PEER_TEXT_BYTES], user[sizeof((struct serve_identity *)0)->name];
    uint32_t text_bytes;
    char text[API_RUNNING_TEXT_BYTES]; /* its beginning */
};

/* A query that is listed: the caller's storage, from begin to end. */
struct api_running_query {
    struct promql_progress progress;
    struct api_query_facts facts;            /* const while it is listed */
    struct api_running_query *next, **place; /* guarded by the list's mutex */
};

struct api_running;

/* Returns: own; NULL: no memory. `memory`: borrowed for the call. */
struct api_running *api_running_create(const struct tsdb_memory *memory);
/* `running`: given; nothing is listed; NULL does nothing. */
void api_running_destroy(const struct tsdb_memory *memory, struct api_running *running);

/* Lists a query. `running`: NULL: nobody watches. `call`, `text`: borrowed for the call. */
void api_running_begin(struct api_running *running, struct api_running_query *query,
                       const struct http_call *call, struct quarry_tsdb_slice text,
                       struct promql_steps steps);
/* It has ended, with `result`. */
void api_running_end(struct api_running *running, struct api_running_query *query,
                     const struct promql_result *result);
/*
 * Has a query end soon, as if who asked had gone. `id`: as the list has it.
 * Errors: QUARRY_BAD_INPUT: no id; QUARRY_NOT_FOUND: none such is under way.
 */
enum quarry_status api_running_cancel(struct api_running *running, const char *id,
                                      struct quarry_error *error);

/* Answers with those under way, the oldest first; and with the slowest, the slowest first. Cost:
 * some 50 KB for the time of the call, of `memory`. */
void api_say_active_queries(struct http_call *call, const struct tsdb_memory *memory,
                            struct api_running *running);
void api_say_top_queries(struct http_call *call, const struct tsdb_memory *memory,
                         struct api_running *running);

#endif
