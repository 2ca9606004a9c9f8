/*
 * The heap of the server, for those who administer it. `call->argument`: the server.
 */
#ifndef QUARRY_SERVE_SERVER_OBSERVE_H
#define QUARRY_SERVE_SERVER_OBSERVE_H

#include <serve/http/http.h>

enum http_outcome server_answer_heap(struct http_call *call);
enum http_outcome server_answer_check_memory(struct http_call *call);
enum http_outcome server_answer_pprof(struct http_call *call);
enum http_outcome server_answer_stream(struct http_call *call);
/* server_doctor.c */
enum http_outcome server_answer_doctor(struct http_call *call);

struct server;
/* Before the HTTP door. */
void server_open_stream(struct server *server);

#endif
