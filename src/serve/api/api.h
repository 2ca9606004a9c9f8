/*
 * Prometheus' HTTP API: what is asked of series, and answered in JSON.
 *
 * One handler for all of its routes, for the executor: `api_answer` finds what to do by the path.
 */
#ifndef QUARRY_SERVE_API_H
#define QUARRY_SERVE_API_H

#include <serve/http/http.h>
#include <serve/tsdb_store.h>

struct scrape;
struct scrape_targets;

/* Whom a request is about. Copied for the time of its answer; what it points to is borrowed until
 * the answer has ended, or, where it says so, for the call. */
struct api_context {
    struct serve_tsdb *store;
    uint16_t tenant;       /* whose series */
    const char *version;   /* of the program */
    int64_t start_ms;      /* of the server, by the wall clock */
    uint32_t worker_count; /* of the net */
    uint64_t memory_bytes; /* limit of all */
    int64_t retention_ms;  /* how long samples are kept at most */
    bool is_admin_allowed; /* /api/v1/admin/tsdb */
    const char *data_path; /* NULL: nothing is kept */
    const char *confined;  /* what keeps the server from what it has no use for, for people */

    /* What is in force, for the call. NULL: there was no memory to write it down. */
    const char *configuration; /* YAML */
    const char *flags;         /* lines NAME=VALUE, by name */
    int64_t configured_ms;     /* since when */
    bool has_reload_failed;    /* what was read last was not taken */

    struct scrape *scrape; /* NULL: nothing is scraped */
    enum quarry_status (*read_targets)(struct scrape *scrape, struct scrape_targets **ret_targets);
    void (*destroy_targets)(struct scrape_targets *targets); /* NULL does nothing */
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
