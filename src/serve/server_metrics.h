/*
 * /metrics: every family in one list of writers. docs/metrics.md repeats them for people; a test
 * compares the two.
 */
#ifndef QUARRY_SERVE_SERVER_METRICS_H
#define QUARRY_SERVE_SERVER_METRICS_H

#include <serve/http/http.h>
#include <serve/metrics.h>

struct server;

/* Answers with all of them. `call->argument`: the server. */
enum http_outcome server_answer_metrics(struct http_call *call);

/* server_metrics_stores.c */
void server_metrics_cache(struct serve_metrics *metrics, struct server *server);
void server_metrics_kv(struct serve_metrics *metrics, struct server *server);

#endif
