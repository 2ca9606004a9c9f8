/*
 * One thread accepts for all listeners and hands each connection to the worker that has the fewest.
 *
 * Why one: clients of a cache open few connections and keep them for days, and with SO_REUSEPORT
 * the kernel places them by a hash, so that four connections on four workers leave, on average,
 * more than one worker idle. Counting is exact. It also keeps a flood of connections, who are
 * turned away here, from the threads that serve; and the end has one place where listening stops.
 * The price is a wake of the worker by its mailbox, once in a connection's life.
 *
 *   load of a worker = handed to it - (accepted by it - of those, still there)
 *
 * No descriptors left: a spare one is given up to take the first connection in line and tell it,
 * and then nothing is accepted for 100 ms; the others wait in the kernel. So there is no busy loop,
 * and the line moves ten times a second even if descriptors never come back.
 *
 * At the end (drain) what the kernel has accepted already is taken in, then the listeners close.
 *
 * Locking: none; counters are atomic, the rest is the thread's own.
 */
#include <serve/acceptor.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <serve/mailbox.h>
#include <serve/state.h>
#include <serve/worker.h>

/* Connections taken from one listener before others have their turn. */
#define ACCEPTS_PER_EVENT 64u

static void acceptor_run(void *argument);

enum accepted { ACCEPTED, ACCEPTED_NONE, ACCEPTED_NO_DESCRIPTOR };

/* ---- making and ending ---------------------------------------------------------------------- */

static int spare_open(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum quarry_status serve_acceptor_init(struct serve_acceptor *acceptor, struct serve_net *net)
{
    acceptor->net = net;
    acceptor->limits_version = UINT32_MAX;
    acceptor->spare_fd = spare_open();
    acceptor->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (acceptor->spare_fd < 0 || acceptor->wake_fd < 0) {
        return QUARRY_TOO_MANY;
    }
    acceptor->stack = serve_buffer_take(&net->memory, OS_THREAD_STACK_BYTES);
    acceptor->base = event_base_new();
    return acceptor->stack == NULL || acceptor->base == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

static void descriptor_close(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}

void serve_acceptor_fini(struct serve_acceptor *acceptor)
{
    for (uint32_t i = 0; i < acceptor->listener_count; i++) {
        serve_listener_destroy(acceptor->listeners[i]);
    }
    if (acceptor->base != NULL) {
        event_base_free(acceptor->base);
    }
    serve_buffer_give(&acceptor->net->memory, acceptor->stack);
    descriptor_close(acceptor->spare_fd);
    descriptor_close(acceptor->wake_fd);
}

void serve_acceptor_wake(struct serve_acceptor *acceptor)
{
    uint64_t one = 1;
    ssize_t bytes = write(acceptor->wake_fd, &one, sizeof(one));

    Q_ASSERT(bytes == (ssize_t)sizeof(one) || errno == EAGAIN);
}

void serve_acceptor_join(struct serve_acceptor *acceptor)
{
    if (acceptor->thread.is_started) {
        serve_acceptor_wake(acceptor);
        os_thread_join(&acceptor->thread);
    }
}

/* ---- one connection ------------------------------------------------------------------------- */

static void acceptor_tell(const struct serve_acceptor *acceptor, enum serve_news news,
                          const char *peer, const char *text)
{
    const struct serve_hooks *hooks = &acceptor->net->hooks;

    if (hooks->tell != NULL) {
        hooks->tell(hooks->argument, news, peer, text);
    }
}

/* Says why and closes. What the client has sent is taken first, or the word might be lost. */
static void turn_away(const struct serve_listener *listener, int fd)
{
    const char *reply = listener->replies->too_many;
    char sent[1024];

    (void)atomic_add_relaxed_u64(&listener->net->turned_away_count, 1);
    if (listener->tls == NULL && reply[0] != '\0') {
        (void)send(fd, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)recv(fd, sent, sizeof(sent), MSG_DONTWAIT);
    }
    (void)close(fd);
}

static uint64_t worker_load(const struct serve_acceptor *acceptor, uint32_t index)
{
    const struct serve_counting *counters = &acceptor->net->workers[index]->counters;

    /* Relaxed: figures; one that is a moment old costs nothing but evenness. */
    return acceptor->handed_count[index] - atomic_load_relaxed_u64(&counters->accepted_count) +
           atomic_load_relaxed_u64(&counters->current_count);
}

/* The worker with the fewest; of equals, the next in turn. */
static uint32_t worker_choose(struct serve_acceptor *acceptor)
{
    uint32_t count = acceptor->net->worker_count;
    uint32_t best = acceptor->next_worker % count;

    for (uint32_t i = 1; i < count; i++) {
        uint32_t index = (acceptor->next_worker + i) % count;
        if (worker_load(acceptor, index) < worker_load(acceptor, best)) {
            best = index;
        }
    }
    acceptor->next_worker = best + 1;
    return best;
}

static void hand_over(struct serve_acceptor *acceptor, const struct serve_message *arrival)
{
    uint32_t index = worker_choose(acceptor);

    acceptor->handed_count[index]++;
    if (!serve_mailbox_post(&acceptor->net->workers[index]->mailbox, arrival)) {
        acceptor->handed_count[index]--;
        (void)close(arrival->fd);
        serve_net_note_end(acceptor->net);
    }
}

/* Counts it in, unless there are too many. */
static bool count_in(struct serve_acceptor *acceptor)
{
    struct serve_net *net = acceptor->net;

    serve_net_copy_limits(net, &acceptor->limits, &acceptor->limits_version);
    /* Only this thread counts up, so what is read here is not less than what there is then. */
    if (atomic_load_relaxed_u64(&net->connection_count) >= acceptor->limits.connections_max) {
        return false;
    }
    (void)atomic_add_seq_cst_u64(&net->connection_count, 1);
    return true;
}

static void connection_accepted(struct serve_acceptor *acceptor, struct serve_listener *listener,
                                int fd, const struct serve_address *address)
{
    struct serve_message arrival = {.listener = listener, .fd = fd};

    if (!count_in(acceptor)) {
        acceptor_tell(acceptor, SERVE_NEWS_TOO_MANY, listener->name, "too many connections");
        turn_away(listener, fd);
        return;
    }
    arrival.peer.address.any.sa_family = listener->address.any.sa_family;
    if (serve_address_is_unix(&listener->address)) {
        serve_peer_read_credentials(&arrival.peer, fd);
    } else {
        memcpy(&arrival.peer.address, &address->in6, sizeof(arrival.peer.address));
    }
    hand_over(acceptor, &arrival);
}

static enum accepted accept_one(struct serve_acceptor *acceptor, struct serve_listener *listener)
{
    struct serve_address address = {.bytes = sizeof(struct sockaddr_un)};
    int fd = accept4(listener->fd, &address.any, &address.bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        connection_accepted(acceptor, listener, fd, &address);
        return ACCEPTED;
    }
    switch (errno) {
    case EAGAIN:
        return ACCEPTED_NONE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return ACCEPTED_NO_DESCRIPTOR;
    default: /* one that is gone already, or its network is: the next one */
        return ACCEPTED;
    }
}

/* ---- no descriptors ------------------------------------------------------------------------- */

/* Takes the first in line by giving up the spare descriptor, and tells it. */
static void shed_one(struct serve_acceptor *acceptor, struct serve_listener *listener)
{
    descriptor_close(acceptor->spare_fd);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        turn_away(listener, fd);
    }
    acceptor->spare_fd = spare_open();
}

static void acceptor_watch(struct serve_acceptor *acceptor, bool wanted)
{
    for (uint32_t i = 0; i < acceptor->listener_count; i++) {
        struct event *event = &acceptor->listeners[i]->event;
        int result = wanted ? event_add(event, NULL) : event_del(event);
        Q_ASSERT(result == 0); /* they were added once, so nothing is allocated */
    }
}

static void acceptor_pause(struct serve_acceptor *acceptor, struct serve_listener *listener)
{
    serve_net_copy_limits(acceptor->net, &acceptor->limits, &acceptor->limits_version);
    uint64_t pause_us = acceptor->limits.accept_pause_ns / Q_US_NS;
    struct timeval interval = {.tv_sec = (time_t)(pause_us / 1000000),
                               .tv_usec = (suseconds_t)(pause_us % 1000000)};

    (void)atomic_add_relaxed_u64(&acceptor->net->no_descriptor_count, 1);
    shed_one(acceptor, listener);
    acceptor_tell(acceptor, SERVE_NEWS_NO_DESCRIPTORS, listener->name,
                  "no file descriptors are left: accepting pauses");
    if (!acceptor->is_paused && event_add(&acceptor->pause_event, &interval) == 0) {
        acceptor->is_paused = true;
        acceptor_watch(acceptor, false);
    }
}

static void on_pause_over(evutil_socket_t fd, short events, void *argument)
{
    struct serve_acceptor *acceptor = argument;

    (void)fd, (void)events;
    acceptor->is_paused = false;
    acceptor_watch(acceptor, true);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static enum accepted accept_some(struct serve_acceptor *acceptor, struct serve_listener *listener,
                                 uint32_t count)
{
    enum accepted result = ACCEPTED;

    for (uint32_t i = 0; i < count && result == ACCEPTED; i++) {
        result = accept_one(acceptor, listener);
    }
    return result;
}

static void on_accept(evutil_socket_t fd, short events, void *argument)
{
    struct serve_listener *listener = argument;
    struct serve_acceptor *acceptor = &listener->net->acceptor;

    (void)fd, (void)events;
    if (accept_some(acceptor, listener, ACCEPTS_PER_EVENT) == ACCEPTED_NO_DESCRIPTOR) {
        acceptor_pause(acceptor, listener);
    }
}

static bool net_is_ending(struct serve_net *net)
{
    /* Acquire: pairs with the releases in net.c. */
    return atomic_load_acquire_bool(&net->is_draining) ||
           atomic_load_acquire_bool(&net->is_stopping);
}

static void on_wake(evutil_socket_t fd, short events, void *argument)
{
    struct serve_acceptor *acceptor = argument;
    uint64_t count;
    ssize_t bytes = read(fd, &count, sizeof(count));

    (void)events;
    Q_ASSERT(bytes == (ssize_t)sizeof(count) || errno == EAGAIN);
    if (net_is_ending(acceptor->net)) {
        (void)event_base_loopbreak(acceptor->base);
    }
}

enum quarry_status serve_acceptor_start(struct serve_acceptor *acceptor)
{
    bool is_added = true;

    (void)event_assign(&acceptor->pause_event, acceptor->base, -1, 0, on_pause_over, acceptor);
    (void)event_assign(&acceptor->wake_event, acceptor->base, acceptor->wake_fd,
                       EV_READ | EV_PERSIST, on_wake, acceptor);
    is_added = event_add(&acceptor->wake_event, NULL) == 0;
    for (uint32_t i = 0; i < acceptor->listener_count; i++) {
        struct serve_listener *listener = acceptor->listeners[i];
        (void)event_assign(&listener->event, acceptor->base, listener->fd, EV_READ | EV_PERSIST,
                           on_accept, listener);
        is_added = is_added && event_add(&listener->event, NULL) == 0;
    }
    return is_added ? os_thread_start(&acceptor->thread, "quarry-accept", acceptor->stack,
                                      OS_THREAD_STACK_BYTES, acceptor_run, acceptor)
                    : QUARRY_NO_MEMORY;
}

/* Takes in what the kernel has accepted, then listens no more. */
static void acceptor_end(struct serve_acceptor *acceptor)
{
    if (acceptor->is_paused) {
        (void)event_del(&acceptor->pause_event);
    } else {
        acceptor_watch(acceptor, false);
    }
    for (uint32_t i = 0; i < acceptor->listener_count; i++) {
        (void)accept_some(acceptor, acceptor->listeners[i], UINT32_MAX);
        serve_listener_close(acceptor->listeners[i]);
    }
    (void)event_del(&acceptor->wake_event);
}

static void acceptor_run(void *argument)
{
    struct serve_acceptor *acceptor = argument;

    while (!net_is_ending(acceptor->net)) {
        (void)event_base_loop(acceptor->base, EVLOOP_ONCE);
    }
    acceptor_end(acceptor);
    /* Sequentially consistent, as the counter of connections: whoever comes last of the two sees
     * the other, and tells that the net is drained. */
    atomic_store_seq_cst_bool(&acceptor->has_ended, true);
    serve_net_note_drained(acceptor->net);
}
