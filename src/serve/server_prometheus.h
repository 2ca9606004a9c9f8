/*
 * Handlers of the routes to the time-series store; the route's argument is the server.
 */
#ifndef QUARRY_SERVE_SERVER_PROMETHEUS_H
#define QUARRY_SERVE_SERVER_PROMETHEUS_H

#include <serve/http/http.h>

enum http_outcome server_answer_write(struct http_call *call);
enum http_outcome server_answer_read(struct http_call *call);
enum http_outcome server_answer_federate(struct http_call *call);
enum http_outcome server_answer_import(struct http_call *call);
/* Every route of the HTTP API. */
enum http_outcome server_answer_api(struct http_call *call);
/* Queries under way, and the slowest of late. They wait for nothing: a worker's. */
enum http_outcome server_answer_active_queries(struct http_call *call);
enum http_outcome server_answer_top_queries(struct http_call *call);

#endif
