/*
 * What the console's buttons do. `call->argument`: the server.
 */
#ifndef QUARRY_SERVE_SERVER_ACTIONS_H
#define QUARRY_SERVE_SERVER_ACTIONS_H

#include <serve/http/http.h>

/* Makes the token of this process. False: the kernel has no random bytes; then all is refused. */
bool server_open_actions(void);
/* GET: the token and what may be done, to pages of this origin. */
enum http_outcome server_answer_actions(struct http_call *call);
/* POST: ends a query; waits for nothing. */
enum http_outcome server_answer_cancel(struct http_call *call);
/* POST: does one of them. */
enum http_outcome server_answer_action(struct http_call *call);

#endif
