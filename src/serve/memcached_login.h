/*
 * Logins, of all three forms.
 *
 *     text, memcached's -Y    set ANY 0 0 N\r\nUSER PASSWORD\r\n
 *     text, MemCachier's      set USER 0 0 N\r\nPASSWORD\r\n
 *     packets                 SASL PLAIN
 */
#ifndef QUARRY_SERVE_MEMCACHED_LOGIN_H
#define QUARRY_SERVE_MEMCACHED_LOGIN_H

#include <serve/memcached.h>

/* Failed logins, after which a connection is closed. */
#define MEMCACHED_LOGINS_MAX 3u

/*
 * Verifies credentials, and answers; or leaves the connection in MEMCACHED_LOGIN, to be answered
 * when they have been verified elsewhere.
 */
enum memcached_step memcached_login(struct memcached_turn *turn,
                                    const struct memcached_credentials *credentials);
/*
 * Answers a login. `identity`: who it is; NULL: nobody. Returns: CLOSE after too many that failed;
 * where nobody looks at it, the door closes the connection when it is asked next.
 */
enum memcached_step memcached_login_answer(struct memcached_turn *turn,
                                           const struct serve_identity *identity);

#endif
