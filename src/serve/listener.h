/*
 * Listening sockets: bound and closed.
 */
#ifndef QUARRY_SERVE_LISTENER_H
#define QUARRY_SERVE_LISTENER_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <serve/net.h>

struct serve_listener {
    /* const after it listens */
    struct serve_net *net;
    const struct serve_door *door;
    const struct serve_replies *replies;
    struct serve_tls *tls;
    struct serve_identity identity;
    bool needs_login;
    struct serve_address address;
    char name[sizeof(struct sockaddr_un) + 8];
    int fd; /* -1: closed */
    /* of a unix socket's file, so that another's is not removed */
    uint64_t device;
    uint64_t inode;
    struct event event; /* the acceptor's */
};

/* Errors: as serve_net_listen. `ret_listener`: own; end it with serve_listener_destroy. */
enum quarry_status serve_listener_create(struct serve_net *net,
                                         const struct serve_listener_options *options,
                                         struct serve_listener **ret_listener,
                                         struct quarry_error *error);
/* Listens no more; the file of a unix socket goes. */
void serve_listener_close(struct serve_listener *listener);
void serve_listener_destroy(struct serve_listener *listener);

#endif
