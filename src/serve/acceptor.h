/*
 * The thread that accepts connections and hands them to workers.
 */
#ifndef QUARRY_SERVE_ACCEPTOR_H
#define QUARRY_SERVE_ACCEPTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <os/os.h>

#include <serve/listener.h>

#define SERVE_LISTENERS_MAX 48u

struct serve_acceptor {
    struct serve_net *net;
    /* before the thread runs, and after; the thread's own meanwhile */
    struct serve_listener *listeners[SERVE_LISTENERS_MAX];
    uint32_t listener_count;
    struct event_base *base;
    struct event wake_event;
    struct event pause_event;
    int wake_fd;
    int spare_fd; /* to be closed when there is no other descriptor */
    uint32_t next_worker;
    uint64_t handed_count[SERVE_WORKERS_MAX]; /* connections, to each worker */
    bool is_paused;
    struct serve_limits limits;
    uint32_t limits_version;
    void *stack;
    struct os_thread thread;
    _Atomic bool has_ended; /* nothing listens any more */
};

enum quarry_status serve_acceptor_init(struct serve_acceptor *acceptor, struct serve_net *net);
enum quarry_status serve_acceptor_start(struct serve_acceptor *acceptor);
/* Has it look whether the net drains or stops. */
void serve_acceptor_wake(struct serve_acceptor *acceptor);
void serve_acceptor_join(struct serve_acceptor *acceptor);
void serve_acceptor_fini(struct serve_acceptor *acceptor);

#endif
