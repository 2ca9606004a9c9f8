/*
 * What the server tells of its configuration: the text of what is in force.
 */
#ifndef QUARRY_SERVE_SERVER_TOLD_H
#define QUARRY_SERVE_SERVER_TOLD_H

#include <base/base.h>

struct server;

/* Const but for its holders. */
struct server_told {
    uint32_t holders;      /* guarded by the server's asked_mutex */
    char *yaml;            /* own; Prometheus' form, the settings behind it as comments */
    char *flags;           /* own; lines NAME=VALUE, by name */
    int64_t configured_ms; /* since when, since 1970 */
    uint64_t memory_bytes; /* limit of all memory */
};

/* Writes down what is in force, by the main thread. Where there is no memory for that, nothing is
 * told until the next reload. */
void server_tell_config(struct server *server);
/* What was written last; NULL: nothing. Shared: server_told_release. Threads: any. */
struct server_told *server_told_acquire(struct server *server);
/* `told`: given; NULL does nothing. */
void server_told_release(struct server *server, struct server_told *told);

#endif
