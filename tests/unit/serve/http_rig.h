/*
 * The HTTP door with routes for tests, over connections without sockets.
 *
 *     /hello           GET; "hello\n", by the worker
 *     /slow            GET; the same, by the executor
 *     /echo            POST, PUT; the body, up to 64 KiB, gzip decoded; by the worker
 *     /echo-slow       POST; likewise by the executor
 *     /raw             POST; the body as it came; Content-Encoding is the handler's
 *     /params          GET, POST (a form); "name=value\n" of each parameter
 *     /item/<x>/of/<y>   GET; "x y\n"
 *     /big?n=N         GET; N bytes of a pattern, whole
 *     /pieces?n=N&size=S   GET; N pieces of S bytes, by the worker; /pieces-slow by the executor,
 *                      with &pause_ms=M after each
 *     /break           GET; two pieces, then a failure
 *     /change          POST; needs all rights, is_change; "changed\n"
 *     /who             GET; needs SERVE_READ; the name of who asks
 *     /fail            GET; HTTP_FAILED at once
 */
#ifndef QUARRY_TESTS_UNIT_SERVE_HTTP_RIG_H
#define QUARRY_TESTS_UNIT_SERVE_HTTP_RIG_H

#include <quarry/memory.h>

#include <serve/door_http.h>

#include "unit/serve/fake_connection.h"

/* What the door is charged for may have this limit; 0: 256 MiB. */
void http_rig_open(uint64_t limit_bytes);
/* Closes it, and asserts that nothing is left behind. */
void http_rig_close(void);

/* The memory of the rig, and what its hooks do. */
extern struct quarry_memory *http_rig_memory;
/* Logins are answered at once, or when http_rig_answer_login is called. */
extern bool http_rig_verifies_later;
void http_rig_answer_login(struct serve_connection *connection);
/* What numbers in parameters are at most: of answers that are asked for by strangers. */
extern size_t http_rig_number_max;
extern uint32_t http_rig_admitted_max; /* requests; beyond they are refused */
/* What the log was told last. */
extern char http_rig_logged[256];
/* Calls of handlers, and of end_state. */
extern _Atomic uint32_t http_rig_calls, http_rig_ends;

struct http_rig_options {
    bool needs_login;
    size_t taken_a_turn;
};
struct serve_connection *http_rig_connect(const struct http_rig_options *options);
/*
 * Sends text in pieces of so many bytes (0: at once), and waits for all answers. Returns: what was
 * answered, without the lines that are the same everywhere (Date, guards); own, by free.
 */
char *http_rig_say(struct serve_connection *connection, const char *bytes, size_t byte_count,
                   size_t piece_bytes);
/* The same over a connection of its own. `ret_closed`: whether the door closed it. */
char *http_rig_ask(const char *bytes, size_t byte_count, size_t piece_bytes, bool *ret_closed);

#endif
