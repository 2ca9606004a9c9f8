/*
 * Connections of the client: requests go out in batches, answers come back in their order.
 */
#ifndef QUARRY_BENCH_CACHE_LINK_H
#define QUARRY_BENCH_CACHE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/cache/server.h>
#include <bench/cache/wire.h>

/* Requests on a link whose answers are awaited. */
#define BENCH_LINK_AWAITED_MAX 1024u
#define BENCH_LINKS_MAX        1024u

/* A request that was sent. */
struct bench_awaited {
    struct bench_item item;
    uint64_t due_ns; /* when it was to be sent; 0 where nobody asks */
    bool is_set;
    enum bench_reply wanted; /* what is right; for HIT a MISS is, too */
};

struct bench_buffer {
    char *bytes; /* owned */
    size_t begin, end, capacity;
};

struct bench_link {
    const struct bench_wire *wire; /* borrowed */
    int fd;
    bool waits_to_write;
    struct bench_buffer out, in;
    uint64_t sent_count, answered_count;
    struct bench_awaited awaited[BENCH_LINK_AWAITED_MAX]; /* by number, modulo its length */
};

/* Told of each answer, in order. */
typedef void bench_answered(void *context, struct bench_link *link,
                            const struct bench_awaited *awaited, const struct bench_answer *answer);

/* All connections of a client. */
struct bench_links {
    struct bench_link *link; /* owned */
    uint32_t count;
    int epoll_fd;
    uint64_t wrong_count; /* answers that are not what was asked for */
    uint64_t refused_count;
};

/* Opens `count` connections. Ends the process when one is refused. */
void bench_links_open(struct bench_links *links, const struct bench_server *server, uint32_t count);
void bench_links_close(struct bench_links *links);

/* Puts a request into the link's buffer; `due_ns` is kept for its answer. */
void bench_link_get(struct bench_link *link, const struct bench_item *item, uint64_t due_ns);
void bench_link_set(struct bench_link *link, const struct bench_item *item, uint64_t due_ns);
/* As redis' wire has them, whose INCR and MSET they are. */
void bench_link_incr(struct bench_link *link, const struct bench_item *item, uint64_t due_ns);
void bench_link_mset(struct bench_link *link, const struct bench_item *item, uint32_t count,
                     uint64_t due_ns);
/* How many answers are awaited. */
static inline uint64_t bench_link_awaited_count(const struct bench_link *link)
{
    return link->sent_count - link->answered_count;
}
/* Whether any of them awaits an answer. */
bool bench_links_are_busy(const struct bench_links *links);
/* Sends what is in the buffer, as much as the socket takes; the rest goes out when it takes more.
 */
void bench_link_flush(struct bench_links *links, struct bench_link *link);

/* Called after a link's answers have been told, when none is awaited any more. May be NULL. */
typedef void bench_idle(void *context, struct bench_link *link);

/*
 * Waits for sockets, up to `timeout_ms` (0: not at all), and tells what came. Ends the process when
 * the server closes a connection. Returns: whether a socket was ready.
 */
bool bench_links_wait(struct bench_links *links, int timeout_ms, bench_answered *answered,
                      bench_idle *idle, void *context);

/*
 * Puts the next request on a link. Returns: false: there is none, and the link is left alone as
 * soon as its answers have come.
 */
typedef bool bench_next(void *context, struct bench_link *link);

/* A closed loop: each link sends `pipeline` requests, and as many again when all are answered. */
struct bench_loop {
    uint32_t pipeline;
    bench_next *next;
    bench_answered *answered; /* may be NULL */
    void *context;
};
/* Runs until no link has a next request and all answers have come; ends the process when none comes
 * for 30 s. */
void bench_links_run(struct bench_links *links, const struct bench_loop *loop);

#endif
