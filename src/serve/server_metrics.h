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

/* Writes all of them; by any thread, several at once. */
void server_write_metrics(struct server *server, struct http_text *text);

/* server_metrics_stores.c */
void server_metrics_cache(struct serve_metrics *metrics, struct server *server);
void server_metrics_kv(struct serve_metrics *metrics, struct server *server);

/* server_metrics_heap.c */
void server_metrics_heap(struct serve_metrics *metrics, struct server *server);

/* server_metrics_tsdb.c */
void server_metrics_tsdb(struct serve_metrics *metrics, struct server *server);

#endif
