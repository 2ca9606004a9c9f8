/*
 * A connection of HTTP/1.1 that stays open: requests with a body, answers of a length or in chunks.
 */
#ifndef QUARRY_BENCH_TSDB_HTTP_H
#define QUARRY_BENCH_TSDB_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include <bench/cache/server.h>

struct bench_http {
    const struct bench_server *server; /* borrowed */
    int fd;
    char *bytes; /* owned: what has come, then the answer's body */
    size_t count, capacity;
};

/* Connects to a server, which stays where it is. Returns: false when it is refused. */
bool bench_http_open(struct bench_http *http, const struct bench_server *server);
void bench_http_close(struct bench_http *http);

/* Sends a request, and waits where the server does not read. Connects anew when the server has
 * closed the connection while nothing was under way. Returns: false when it closed it meanwhile. */
bool bench_http_send(struct bench_http *http, const char *bytes, size_t count);
/*
 * Waits for an answer, ten minutes at most.
 * `ret_body`: its body, with a NUL behind it; borrowed until the next call. May be NULL.
 * Returns: its status, 204; 0 when there was none.
 */
unsigned bench_http_receive(struct bench_http *http, const char **ret_body, size_t *ret_bytes);
/* Asks for `target`, which is escaped already, and waits. Returns: as bench_http_receive. */
unsigned bench_http_get(struct bench_http *http, const char *target, const char **ret_body,
                        size_t *ret_bytes);

#endif
