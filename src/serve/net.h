/*
 * The server's network: worker threads, listeners, connections, limits, and an orderly end.
 *
 *     struct serve_net *net;
 *     struct serve_net_options options = {.memory = memory, .worker_count = 4};
 *     struct serve_listener_options door = {.address = "127.0.0.1:11211", .door = &memcached};
 *
 *     serve_net_create(&options, &net, &error);
 *     serve_net_listen(net, &door, NULL, &error);
 *     serve_net_start(net, &error);
 *     ...
 *     serve_net_begin_drain(net);
 *     serve_net_wait_drained(net, UINT64_MAX);
 *     serve_net_stop(net);
 *     serve_net_destroy(net);
 *
 * All memory is of the account `net`, in a lane of that name; OpenSSL and libevent call malloc.
 * Doors are described in door.h.
 */
#ifndef QUARRY_SERVE_NET_H
#define QUARRY_SERVE_NET_H

#include <sys/types.h>

#include <base/base.h>

#include <serve/door.h>
#include <serve/limits.h>
#include <serve/peer.h>
#include <serve/tls.h>

struct quarry_memory;
struct serve_net;
struct serve_listener;

/* Workers of a net: their number is in each connection's id. */
#define SERVE_WORKERS_MAX 256u

/* What the net has to tell, for the log; each kind is to be limited in rate by who writes it. */
enum serve_news {
    SERVE_NEWS_NO_DESCRIPTORS, /* accepting stops for a moment */
    SERVE_NEWS_TOO_MANY,       /* connections: one was turned away */
    SERVE_NEWS_ACCEPT_FAILED,
    SERVE_NEWS_TLS_FAILED,  /* a handshake */
    SERVE_NEWS_SLOW_READER, /* was cut */
    SERVE_NEWS_SLOW_WRITER,
    SERVE_NEWS_TOO_LONG, /* a request */
    SERVE_NEWS_NO_MEMORY,
};

/* Asked and told by workers, and by the accepting thread: any thread at once. Each may be NULL. */
struct serve_hooks {
    void *argument;
    /*
     * A connection begins. `identity`: the listener's; may be changed by who the peer is. False: it
     * is turned away with the reply `refused`; `left` is not called then.
     */
    bool (*admit)(void *argument, const struct serve_peer *peer, struct serve_identity *identity);
    /* A client's certificate was verified; may change who it is. False: closed. */
    bool (*certified)(void *argument, const char *common_name, struct serve_identity *identity);
    /* A connection that was admitted ends; `identity`: as its door left it. */
    void (*left)(void *argument, const struct serve_identity *identity);
    /* `peer`: an address, or ""; `text`: words. Both borrowed for the call. */
    void (*tell)(void *argument, enum serve_news news, const char *peer, const char *text);
};

struct serve_net_options {
    struct quarry_memory *memory; /* borrowed until the net is destroyed */
    uint32_t worker_count;        /* 0: one a CPU */
    struct serve_limits limits;
    struct serve_hooks hooks;
};

struct serve_listener_options {
    const char *address; /* as in peer.h; port 0: one that is free. Borrowed for the call */
    const struct serve_door *door;       /* borrowed until the net is destroyed */
    const struct serve_replies *replies; /* likewise; NULL: memcached's */
    struct serve_tls *tls;               /* likewise; NULL: not encrypted */
    struct serve_identity identity;      /* of its connections from the start */
    bool needs_login;
    mode_t unix_mode; /* of a unix socket; 0: 0600 */
    uint32_t backlog; /* 0: 1,024 */
};

/*
 * Creates a net that does nothing yet.
 *
 * `ret_net`: own; end it with serve_net_destroy. Errors: QUARRY_BAD_INPUT, QUARRY_NO_MEMORY,
 * QUARRY_EXISTS (a second one in the memory), QUARRY_TOO_MANY (file descriptors; lanes).
 */
enum quarry_status serve_net_create(const struct serve_net_options *options,
                                    struct serve_net **ret_net, struct quarry_error *error);

/*
 * Binds and listens; connections wait in the kernel until the net is started. Before
 * serve_net_start only.
 *
 * `ret_listener`: borrowed until the net is destroyed; may be NULL.
 * Errors: QUARRY_BAD_INPUT (address), QUARRY_BUSY (the address is taken), QUARRY_EXISTS (a file
 * that is no socket), QUARRY_PERMISSION, QUARRY_NOT_FOUND (no such address or folder here),
 * QUARRY_TOO_MANY (48 listeners; file descriptors), QUARRY_NO_MEMORY, QUARRY_IO.
 */
enum quarry_status serve_net_listen(struct serve_net *net,
                                    const struct serve_listener_options *options,
                                    struct serve_listener **ret_listener,
                                    struct quarry_error *error);
/* Its address, with the port that it has got. */
const char *serve_listener_name(const struct serve_listener *listener);
bool serve_listener_is_loopback(const struct serve_listener *listener);
/* Of the internet's; 0 for a unix socket. */
uint16_t serve_listener_port(const struct serve_listener *listener);

/* Starts the threads: `quarry-net-0` and so on, and `quarry-accept`. Errors: QUARRY_NO_MEMORY,
 * QUARRY_TOO_MANY: then none runs. */
enum quarry_status serve_net_start(struct serve_net *net, struct quarry_error *error);
uint32_t serve_net_worker_count(const struct serve_net *net);
struct serve_worker *serve_net_worker(struct serve_net *net, uint32_t index);

/* Changes limits for what happens from here on; zero: its default. Threads: any. */
void serve_net_set_limits(struct serve_net *net, const struct serve_limits *limits);

/*
 * Stops listening; connections end as soon as nothing of theirs is in flight, after
 * limits.drain_ns whatever they do. Returns at once. Threads: any.
 */
void serve_net_begin_drain(struct serve_net *net);
/* Waits for that; false: not all have ended after so long. */
bool serve_net_wait_drained(struct serve_net *net, uint64_t timeout_ns);
/*
 * Ends all connections at once, and the threads. Posted functions that were not called are, with
 * NULL; serve_post is refused from here on, and may be called until serve_net_destroy: helper
 * threads of doors end in between.
 */
void serve_net_stop(struct serve_net *net);
/* Stops the net if it runs, and ends it. NULL does nothing. */
void serve_net_destroy(struct serve_net *net);

/* What a worker has counted. Each figure is exact; together they are of about one instant. */
struct serve_counters {
    uint64_t accepted_count;
    uint64_t current_count;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t turn_count;
    uint64_t yield_count;
    uint64_t pass_count;    /* rounds of the loop, each with one epoll_wait */
    uint64_t receive_count; /* system calls that read, and that wrote */
    uint64_t send_count;
    uint64_t posted_count;
    uint64_t refused_count;     /* by the hook */
    uint64_t slow_reader_count; /* cut: took nothing, or were the worst when output was full */
    uint64_t slow_writer_count; /* cut: a line or a body that did not come */
    uint64_t idle_count;        /* cut: the idle timeout */
    uint64_t too_long_count;
    uint64_t no_memory_count; /* connections that ended for it */
    uint64_t tls_failed_count;
    uint64_t waiting_bytes;     /* memory behind answers that wait */
    uint64_t lag_max_ns;        /* the longest round: how late an event may have been seen */
    uint64_t turned_away_count; /* by the accepting thread: too many; in the net's totals alone */
    uint64_t no_descriptor_count;
};

void serve_worker_read_counters(const struct serve_worker *worker,
                                struct serve_counters *ret_counters);
/* Of all workers; maxima are the largest. */
void serve_net_read_counters(const struct serve_net *net, struct serve_counters *ret_counters);
/*
 * For a door's own reports: the net of a worker, and its connections one by one. `visit` only
 * looks; it neither answers nor ends them. Threads: serve_worker_each: the worker's own, so from a
 * turn or from a function posted to it (with the id 0, which is nobody's).
 */
struct serve_net *serve_worker_net(struct serve_worker *worker);
void serve_worker_each(struct serve_worker *worker,
                       void (*visit)(struct serve_connection *connection, void *argument),
                       void *argument);
/*
 * A stretch of the same: those in the `slot_count` slots from `first` on. Returns: where the next
 * stretch begins; 0: there is none.
 */
uint32_t serve_worker_some(struct serve_worker *worker, uint32_t first, uint32_t slot_count,
                           void (*visit)(struct serve_connection *connection, void *argument),
                           void *argument);
/* Its door; NULL: that is closed, and its end is waited for. */
const struct serve_door *serve_connection_door(const struct serve_connection *connection);
/* Whether it is in the middle of a request, or of an answer. Threads: its worker's. */
bool serve_connection_is_busy(const struct serve_connection *connection);
/* How long ago its last turn was, or its beginning. */
uint64_t serve_connection_idle_ns(const struct serve_connection *connection);
/* Connections now, those on their way to a worker included. */
uint64_t serve_net_connection_count(const struct serve_net *net);

#endif
