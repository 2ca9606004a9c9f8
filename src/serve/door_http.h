/*
 * The HTTP door: what the server gives it, and what it gives the server.
 *
 * One door a process. http_open, then serve connections through `http_door`; when the net has been
 * stopped http_stop, and when it is destroyed http_close. What is answered is in a table of routes
 * (http/http.h).
 *
 *     struct http_door_settings settings = {.memory = memory, .routes = routes, …};
 *     http_open(&settings, &error);
 *     listener.door = &http_door;
 *     listener.replies = &serve_replies_http;
 */
#ifndef QUARRY_SERVE_DOOR_HTTP_H
#define QUARRY_SERVE_DOOR_HTTP_H

#include <serve/door.h>
#include <serve/http/http.h>
#include <serve/limits.h>

/* How many workers a server may have: each has counters of its own. */
#define HTTP_WORKERS_MAX 256u
/* Threads of the executor. */
#define HTTP_THREADS_MAX 64u

/* What came of a login. */
enum http_login {
    HTTP_GRANTED = 0,
    HTTP_REFUSED,
    /* Being verified elsewhere; http_login_done is called for the connection later. */
    HTTP_VERIFYING,
};

/* A request that was answered, for a log. All borrowed for the call. */
struct http_access {
    const char *peer, *user;
    const char *method, *path; /* the path decoded and cut, without parameters */
    uint32_t status;
    uint64_t answer_bytes; /* of the body */
    uint64_t duration_ns;  /* from the end of its head to that of its answer */
};

/* What the door asks of the server. Each may be NULL: then it is not there. */
struct http_door_hooks {
    void *argument; /* of all of them; borrowed until http_close */
    /* As the memcached door's (door_memcached.h). */
    enum http_login (*login)(void *argument, struct serve_connection *connection,
                             struct http_slice user, struct http_slice password,
                             struct serve_identity *ret_identity);
    /* Whether an identity may make so many requests more now. NULL: always. */
    bool (*admit)(void *argument, const struct serve_identity *identity, uint32_t request_count);
    /* A request has been answered; by its worker, where http_log_access says so. */
    void (*log)(void *argument, const struct http_access *access);
};

/* What the door is to be. Zero means the default of each. */
struct http_door_settings {
    struct quarry_memory *memory;    /* borrowed until http_close */
    const struct http_route *routes; /* likewise */
    size_t route_count;              /* up to HTTP_ROUTES_MAX */
    const char *hosts;         /* likewise: names of this server besides addresses; NULL: none */
    void *argument;            /* of the handlers */
    uint32_t worker_count;     /* 1 to HTTP_WORKERS_MAX */
    uint32_t thread_count;     /* of the executor; 2 */
    uint64_t head_bytes_max;   /* up to HTTP_HEAD_BYTES_MAX; 32 KiB */
    uint64_t answer_bytes_max; /* of an answer, or a piece of one, in memory; 64 MiB */
    uint64_t memory_bytes_max; /* of all requests and answers; 0: the memory's limit */
    struct http_door_hooks hooks;
};

/* What the server calls, and what clients are told that it does not take. */
extern const struct serve_door http_door;
extern const struct serve_replies serve_replies_http;

/*
 * Makes the door ready, and starts its threads, `quarry-http-0` and so on.
 *
 * `settings`: copied. Errors: QUARRY_BAD_INPUT, QUARRY_EXISTS (it is open), QUARRY_NO_MEMORY,
 * QUARRY_TOO_MANY. Threads: one at a time, before there are connections.
 */
enum quarry_status http_open(const struct http_door_settings *settings, struct quarry_error *error);
/* Ends its threads, whose posts may be refused by now. Threads: when no connection is left. */
void http_stop(void);
/* Ends the door; stops it if need be. Nothing that was posted is outstanding any more. */
void http_close(void);

/*
 * Says how a login that was being verified has ended, by the connection's worker, from a posted
 * function. `identity`: who it is now; NULL: refused.
 */
void http_login_done(struct serve_connection *connection, const struct serve_identity *identity);

/* Whether the hook `log` is told of each request; not at first. Threads: any. */
void http_log_access(bool is_on);

/* What was asked, and answered with what: by route, and by the hundreds of its status. */
#define HTTP_CLASSES 5u
struct http_route_counts {
    const char *path;               /* NULL: no route's: refused before, or nobody's path */
    uint64_t answers[HTTP_CLASSES]; /* [1] is 200 to 299 */
    uint64_t duration_ns;           /* of all of them together */
};
/* Reads them: a row for each route in the order of the table, then one for no route's.
 * Returns: how many; up to `capacity` are written. Threads: any. */
size_t http_read_counts(struct http_route_counts *rows, size_t capacity);

#endif
