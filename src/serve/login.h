/*
 * Logging in on a connection: for doors.
 *
 *     // in the door's state: struct serve_login login;
 *     switch (serve_login(connection, users, &state->login, name, 3, password, 6, answered)) {
 *     case SERVE_LOGIN_GRANTED: …           // the connection's identity has been written
 *     case SERVE_LOGIN_REFUSED: …
 *     case SERVE_LOGIN_BUSY: …              // "try again"
 *     case SERVE_LOGIN_PENDING: return SERVE_WAIT;  // `answered` comes, and then input goes on
 *     }
 *
 * When `login.is_over`, the door answers what it has to and returns SERVE_CLOSE.
 */
#ifndef QUARRY_SERVE_LOGIN_H
#define QUARRY_SERVE_LOGIN_H

#include <serve/users.h>

/* A connection's logins so far. Zeroed is none. */
struct serve_login {
    uint32_t failure_count;
    bool is_over; /* too many: the connection is to be closed */
};

/*
 * How a pending login ended, by the connection's worker: the door answers, and flushes. The
 * connection's identity has been written when granted. Not called when the connection has closed.
 */
typedef void serve_login_answered_function(struct serve_connection *connection,
                                           enum serve_login_outcome outcome);

/*
 * Logs in. `login`: in the connection's state. Else as serve_users_login.
 */
enum serve_login_outcome serve_login(struct serve_connection *connection, struct serve_users *users,
                                     struct serve_login *login, const char *name, size_t name_bytes,
                                     const char *password, size_t password_bytes,
                                     serve_login_answered_function *answered);

#endif
