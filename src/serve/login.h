/*
 * Logging in on a connection: for doors.
 *
 *     switch (serve_login(connection, users, &request, answered, &identity)) {
 *     case SERVE_LOGIN_GRANTED: …           // identity has been written
 *     case SERVE_LOGIN_REFUSED:
 *     case SERVE_LOGIN_BUSY: …
 *     case SERVE_LOGIN_PENDING: return SERVE_WAIT;  // `answered` is called, and then input goes on
 *     }
 */
#ifndef QUARRY_SERVE_LOGIN_H
#define QUARRY_SERVE_LOGIN_H

#include <serve/users.h>

/*
 * How a pending login ended, by the connection's worker: the door answers, and flushes. Not called
 * when the connection has closed. `identity`: who it is; NULL: refused.
 */
typedef void serve_login_answered_function(struct serve_connection *connection,
                                           const struct serve_identity *identity);

/* Logs in. `answered`: called once when the outcome is SERVE_LOGIN_PENDING. As serve_users_login.
 */
enum serve_login_outcome serve_login(struct serve_connection *connection, struct serve_users *users,
                                     const struct serve_login_request *request,
                                     serve_login_answered_function *answered,
                                     struct serve_identity *ret_identity);

#endif
