/*
 * The client's connections: one thread, one epoll, sockets that never block.
 *
 *   next ─▶ out buffer ─ send ─▶ server ─ recv ─▶ in buffer ─▶ take ─▶ answered
 *              └ awaited: number n at n % 1024 ─────────────────────────┘
 *
 * Answers come in the order of requests, so that the n-th answer of a link is that of its n-th
 * request; what is kept of a request is the item it was about, which is enough to check the answer.
 * Each answer is checked: a hit has the value of its key, a set is stored. A client that measures
 * without looking would be fastest against a server that answers rubbish.
 *
 * Rejected: threads in the client, since it has one CPU; one connection after the other without
 * epoll, whose order would be that of the client and not that of the server.
 */
#include <bench/cache/link.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define BUFFER_BYTES_FIRST 65536u
#define SILENCE_MS         30000

/* Makes room for `bytes` behind what the buffer holds. */
static char *room_in(struct bench_buffer *buffer, size_t bytes)
{
    if (buffer->begin == buffer->end) {
        buffer->begin = 0;
        buffer->end = 0;
    } else if (buffer->end + bytes > buffer->capacity && buffer->begin > 0) {
        memmove(buffer->bytes, buffer->bytes + buffer->begin, buffer->end - buffer->begin);
        buffer->end -= buffer->begin;
        buffer->begin = 0;
    }
    if (buffer->end + bytes > buffer->capacity) {
        buffer->capacity = size_max(buffer->end + bytes, 2 * buffer->capacity);
        buffer->bytes = realloc(buffer->bytes, buffer->capacity);
        if (buffer->bytes == NULL) {
            bench_worker_die("no memory for a connection's buffer");
        }
    }
    return buffer->bytes + buffer->end;
}

/* ---- sending -------------------------------------------------------------------------------- */

static void await(struct bench_link *link, const struct bench_item *item, uint64_t due_ns,
                  enum bench_reply wanted)
{
    struct bench_awaited *awaited = &link->awaited[link->sent_count++ % BENCH_LINK_AWAITED_MAX];

    Q_ASSERT(bench_link_awaited_count(link) <= BENCH_LINK_AWAITED_MAX);
    *awaited = (struct bench_awaited){*item, due_ns, wanted == BENCH_REPLY_STORED, wanted};
}

void bench_link_get(struct bench_link *link, const struct bench_item *item, uint64_t due_ns)
{
    char *at = room_in(&link->out, BENCH_WIRE_ROOM_BYTES);

    await(link, item, due_ns, BENCH_REPLY_HIT);
    link->out.end += (size_t)(link->wire->put_get(at, item) - at);
}

void bench_link_set(struct bench_link *link, const struct bench_item *item, uint64_t due_ns)
{
    char *at = room_in(&link->out, BENCH_WIRE_ROOM_BYTES + bench_item_bytes(item));

    await(link, item, due_ns, BENCH_REPLY_STORED);
    link->out.end += (size_t)(link->wire->put_set(at, item) - at);
}

void bench_link_incr(struct bench_link *link, const struct bench_item *item, uint64_t due_ns)
{
    char *at = room_in(&link->out, BENCH_WIRE_ROOM_BYTES);

    await(link, item, due_ns, BENCH_REPLY_NUMBER);
    link->out.end += (size_t)(link->wire->put_incr(at, item) - at);
}

void bench_link_mset(struct bench_link *link, const struct bench_item *item, uint32_t count,
                     uint64_t due_ns)
{
    size_t room = 0;

    for (uint32_t i = 0; i < count; i++) {
        room += BENCH_WIRE_ROOM_BYTES + bench_item_bytes(&item[i]);
    }
    char *at = room_in(&link->out, room);
    await(link, item, due_ns, BENCH_REPLY_STORED);
    link->out.end += (size_t)(link->wire->put_mset(at, item, count) - at);
}

bool bench_links_are_busy(const struct bench_links *links)
{
    for (uint32_t i = 0; i < links->count; i++) {
        if (bench_link_awaited_count(&links->link[i]) > 0) {
            return true;
        }
    }
    return false;
}

static void watch(struct bench_links *links, struct bench_link *link, int operation)
{
    struct epoll_event event = {
        .events = EPOLLIN | (link->waits_to_write ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = link,
    };

    if (epoll_ctl(links->epoll_fd, operation, link->fd, &event) != 0) {
        bench_worker_die("epoll_ctl");
    }
}

void bench_link_flush(struct bench_links *links, struct bench_link *link)
{
    struct bench_buffer *out = &link->out;

    while (out->begin < out->end) {
        ssize_t sent = send(link->fd, out->bytes + out->begin, out->end - out->begin, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            bench_worker_die("the server takes no more requests");
        }
        if (sent < 0 && errno == EAGAIN) {
            break;
        }
        out->begin += sent > 0 ? (size_t)sent : 0;
    }
    bool waits = out->begin < out->end;
    if (waits != link->waits_to_write) {
        link->waits_to_write = waits;
        watch(links, link, EPOLL_CTL_MOD);
    }
}

/* ---- receiving ------------------------------------------------------------------------------ */

static bool is_right(const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    if (awaited->wanted == BENCH_REPLY_HIT && answer->reply == BENCH_REPLY_HIT) {
        return bench_wire_is_value_of(answer, &awaited->item);
    }
    return answer->reply == awaited->wanted ||
           (awaited->wanted == BENCH_REPLY_HIT && answer->reply == BENCH_REPLY_MISS);
}

static void check(struct bench_links *links, const struct bench_awaited *awaited,
                  const struct bench_answer *answer)
{
    if (answer->reply == BENCH_REPLY_REFUSED) {
        links->refused_count++;
    } else {
        links->wrong_count += !is_right(awaited, answer);
    }
}

/* Takes all answers apart that have come whole. */
static void tell(struct bench_links *links, struct bench_link *link, bench_answered *answered,
                 void *context)
{
    struct bench_buffer *in = &link->in;

    while (in->begin < in->end) {
        struct bench_answer answer;
        size_t bytes = link->wire->take(in->bytes + in->begin, in->end - in->begin, &answer);
        if (bytes == 0) {
            break;
        }
        in->begin += bytes;
        if (bench_link_awaited_count(link) == 0) {
            bench_worker_die("the server answers what was not asked");
        }
        const struct bench_awaited *awaited =
            &link->awaited[link->answered_count % BENCH_LINK_AWAITED_MAX];
        check(links, awaited, &answer);
        if (answered != NULL) {
            answered(context, link, awaited, &answer);
        }
        link->answered_count++;
    }
}

static void receive(struct bench_links *links, struct bench_link *link, bench_answered *answered,
                    bench_idle *idle, void *context)
{
    char *at = room_in(&link->in, BUFFER_BYTES_FIRST);
    ssize_t got = recv(link->fd, at, link->in.capacity - link->in.end, 0);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        bench_worker_die("the server has closed a connection");
    }
    link->in.end += got > 0 ? (size_t)got : 0;
    tell(links, link, answered, context);
    if (idle != NULL && bench_link_awaited_count(link) == 0) {
        idle(context, link);
    }
}

bool bench_links_wait(struct bench_links *links, int timeout_ms, bench_answered *answered,
                      bench_idle *idle, void *context)
{
    struct epoll_event event[BENCH_LINKS_MAX];
    int count = epoll_wait(links->epoll_fd, event, BENCH_LINKS_MAX, timeout_ms);

    for (int i = 0; i < count; i++) {
        struct bench_link *link = event[i].data.ptr;
        if ((event[i].events & EPOLLOUT) != 0) {
            bench_link_flush(links, link);
        }
        if ((event[i].events & ~(uint32_t)EPOLLOUT) != 0) {
            receive(links, link, answered, idle, context);
        }
    }
    return count > 0;
}

/* ---- closed loops --------------------------------------------------------------------------- */

struct running {
    struct bench_links *links;
    const struct bench_loop *loop;
    uint32_t busy_count; /* links that await answers */
};

static void refill(struct running *running, struct bench_link *link)
{
    const struct bench_loop *loop = running->loop;
    uint32_t count = 0;

    while (count < loop->pipeline && loop->next(loop->context, link)) {
        count++;
    }
    running->busy_count += count > 0;
    bench_link_flush(running->links, link);
}

static void refill_idle(void *context, struct bench_link *link)
{
    struct running *running = context;

    running->busy_count--;
    refill(running, link);
}

static void pass_on(void *context, struct bench_link *link, const struct bench_awaited *awaited,
                    const struct bench_answer *answer)
{
    const struct running *running = context;

    if (running->loop->answered != NULL) {
        running->loop->answered(running->loop->context, link, awaited, answer);
    }
}

void bench_links_run(struct bench_links *links, const struct bench_loop *loop)
{
    struct running running = {links, loop, 0};

    Q_ASSERT(loop->pipeline > 0 && loop->pipeline <= BENCH_LINK_AWAITED_MAX);
    for (uint32_t i = 0; i < links->count; i++) {
        refill(&running, &links->link[i]);
    }
    while (running.busy_count > 0) {
        if (!bench_links_wait(links, SILENCE_MS, pass_on, refill_idle, &running)) {
            bench_worker_die("the server does not answer any more");
        }
    }
}

/* ---- opening and closing -------------------------------------------------------------------- */

void bench_links_open(struct bench_links *links, const struct bench_server *server, uint32_t count)
{
    Q_ASSERT(count > 0 && count <= BENCH_LINKS_MAX);
    *links = (struct bench_links){
        .link = calloc(count, sizeof *links->link),
        .count = count,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
    };
    if (links->link == NULL || links->epoll_fd < 0) {
        bench_worker_die("no memory for connections");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct bench_link *link = &links->link[i];
        link->wire = server->wire;
        link->fd = bench_server_connect(server);
        if (link->fd < 0 || fcntl(link->fd, F_SETFL, O_NONBLOCK) != 0) {
            bench_worker_die("the server refuses a connection");
        }
        watch(links, link, EPOLL_CTL_ADD);
    }
}

void bench_links_close(struct bench_links *links)
{
    for (uint32_t i = 0; i < links->count; i++) {
        (void)close(links->link[i].fd);
        free(links->link[i].out.bytes);
        free(links->link[i].in.bytes);
    }
    (void)close(links->epoll_fd);
    free(links->link);
}
