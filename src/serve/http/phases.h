/*
 * A conversation with a client: see phases.c. Between that and the door.
 */
#ifndef QUARRY_SERVE_HTTP_PHASES_H
#define QUARRY_SERVE_HTTP_PHASES_H

#include <serve/http/state.h>

/* Goes on with what came as far as it gets; `turn->step` says what is to happen then. */
void http_go_on(struct http_turn *turn);
/* A request's head is known, and who asks; its body has come: each goes on from there. Returns:
 * whether the turn goes on. */
bool http_route_request(struct http_turn *turn);
bool http_authorize(struct http_turn *turn);
bool http_execute(struct http_turn *turn);
/* Notes who it is whom a login was granted. */
void http_note_login(struct serve_connection *connection, const struct serve_identity *identity);

/* door.c: counts, and tells the log. */
void http_note_answered(struct serve_connection *connection, const struct http_request *request);
void http_note_refused(struct serve_connection *connection, uint32_t status);

#endif
