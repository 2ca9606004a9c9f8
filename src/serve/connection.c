/*
 * Connections: how they begin, what they do next, how they end.
 *
 *     arrival ── admitted ── open ──────────────────────────── closing ── lingering ── gone
 *                   |         |  reads, has turns, writes         |           |
 *                refused      +-- failed: at once ----------------+-----------+
 *
 * The loop's callback only notes what can be done and puts the connection into the worker's list;
 * the worker runs each in its order, and a run does little: one write of what waits, or one read,
 * and one turn. Then it *settles*: from what is known now it is decided anew what the loop watches
 * for, whether there is more to do in the next pass, which deadline holds, and whether it is over.
 *
 * Invariants:
 *   1. A connection is destroyed only outside of its own turn; inside, it is marked as failed.
 *   2. Its door is closed once, after all that it held was released.
 *   3. What waits and is over SERVE_OUT_WAITING_MAX pauses it: it is not read from until its reader
 *      has taken three quarters; all of it, where its door asked for that.
 *   4. A connection with nothing left of its input, and whose answers were taken, holds no memory
 *      but its slot.
 *
 * An end that we choose (a door's SERVE_CLOSE, a request that is too long) is in order: answers,
 * the end of our stream, and then a second for the client's, with what it sends thrown away; a
 * socket closed with bytes unread makes the kernel reset the connection, and the last answer may be
 * lost. Who is cut for taking nothing is reset on purpose: the kernel keeps megabytes for it
 * otherwise.
 *
 * Cost of a request that comes in one piece and whose answer is taken: epoll_wait, recv, sendmsg.
 */
#include <serve/connection.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <serve/listener.h>
#include <serve/net.h>
#include <serve/outbox.h>
#include <serve/state.h>
#include <serve/transport.h>
#include <serve/worker.h>

Q_STATIC_ASSERT(sizeof(struct serve_connection) <= 640, "an idle connection is to cost < 1 KiB");

/* Reads of what a client still sends after our end, in one run. */
#define LINGER_READS_MAX 4u

/* ---- the loop ------------------------------------------------------------------------------- */

static void on_event(evutil_socket_t fd, short events, void *argument)
{
    struct serve_connection *connection = argument;

    (void)fd;
    connection->can_read |=
        (events & EV_READ) != 0 || ((events & EV_WRITE) != 0 && connection->tls_waits_to_write);
    connection->can_write |= (events & EV_WRITE) != 0;
    serve_worker_make_ready(connection->worker, connection);
}

/* Two system calls where it changes something, which is when a reader is slow. */
static void connection_watch(struct serve_connection *connection, short events)
{
    if (Q_LIKELY(connection->watched == (uint8_t)events)) {
        return;
    }
    if (connection->watched != 0) {
        (void)event_del(&connection->event);
    }
    connection->watched = 0;
    if (events != 0) {
        (void)event_assign(&connection->event, connection->worker->base, connection->fd,
                           (short)(events | EV_PERSIST), on_event, connection);
        if (event_add(&connection->event, NULL) != 0) {
            connection->is_failed = true;
            return;
        }
        connection->watched = (uint8_t)events;
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Lets the door go, and what was kept for it. Once: invariant 2. */
static void connection_close_door(struct serve_connection *connection)
{
    const struct serve_hooks *hooks = &connection->worker->net->hooks;

    serve_output_clear(connection);
    serve_turn_forget(connection);
    if (connection->has_open_door) {
        connection->has_open_door = false;
        if (connection->door->close != NULL) {
            connection->door->close(connection);
        }
    }
    if (connection->was_admitted) {
        connection->was_admitted = false;
        if (hooks->left != NULL) {
            hooks->left(hooks->argument, &connection->identity);
        }
    }
}

/* So that the kernel drops what it has of the answers, and tells the client by a reset. */
static void socket_reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void serve_connection_destroy(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;

    Q_ASSERT(worker->current != connection); /* invariant 1 */
    connection_close_door(connection);
    connection_watch(connection, 0);
    serve_deadline_begin(&worker->deadlines, &connection->deadline, SERVE_DEADLINE_NONE, 0, 0);
    serve_worker_forget_ready(worker, connection);
    serve_outbox_forget(connection);
    if (connection->tls != NULL) {
        SSL_free(connection->tls);
        serve_tls_set_release(connection->tls_set);
    }
    if (connection->is_cut) {
        socket_reset(connection->fd);
    }
    (void)close(connection->fd);
    serve_slots_give(&worker->slots, connection->id);
    serve_worker_count(&worker->counters.current_count, (uint64_t)-1);
    serve_net_note_end(worker->net);
}

void serve_connection_cut(struct serve_connection *connection)
{
    connection->is_cut = true;
    serve_connection_destroy(connection);
}

/* Our end; then the client's is waited for. */
static void connection_linger(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;

    connection_close_door(connection);
    serve_transport_finish(connection);
    if (connection->is_ended) {
        serve_connection_destroy(connection);
        return;
    }
    connection->is_lingering = true;
    serve_deadline_begin(&worker->deadlines, &connection->deadline, SERVE_DEADLINE_LINGER,
                         worker->now_ns, 0);
    serve_worker_tick(worker);
    connection_watch(connection, EV_READ);
    if (connection->is_failed) {
        serve_connection_destroy(connection);
    }
}

static void connection_run_lingering(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    ssize_t bytes = 1;

    connection->can_read = false;
    for (uint32_t i = 0; i < LINGER_READS_MAX && bytes > 0; i++) {
        bytes = recv(connection->fd, worker->record, SERVE_RECORD_BYTES, MSG_DONTWAIT);
    }
    if (bytes == 0) {
        serve_connection_destroy(connection);
    }
}

/* ---- the beginning -------------------------------------------------------------------------- */

/* Turns it away with a word, if it would understand it. */
static void arrival_refuse(const struct serve_message *arrival, const char *reply)
{
    if (reply[0] != '\0' && arrival->listener->tls == NULL) {
        (void)send(arrival->fd, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    (void)close(arrival->fd);
}

static bool connection_admit(struct serve_connection *connection, const struct serve_peer *peer)
{
    const struct serve_hooks *hooks = &connection->worker->net->hooks;

    connection->was_admitted =
        hooks->admit == NULL || hooks->admit(hooks->argument, peer, &connection->identity);
    return connection->was_admitted;
}

static void connection_fill(struct serve_connection *connection, struct serve_worker *worker,
                            const struct serve_message *arrival)
{
    const struct serve_listener *listener = arrival->listener;

    connection->worker = worker;
    connection->listener = listener;
    connection->door = listener->door;
    connection->fd = arrival->fd;
    connection->identity = listener->identity;
    connection->last_turn_ns = worker->now_ns;
    if (!serve_address_is_unix(&listener->address)) {
        serve_peer_print(&arrival->peer, listener->name, connection->peer,
                         sizeof(connection->peer));
    }
}

/* Everything between its slot and its door. False: it is failed. */
static bool connection_open(struct serve_connection *connection)
{
    struct serve_tls *tls = connection->listener->tls;

    if (tls != NULL) {
        connection->tls = serve_tls_begin(tls, connection->fd, &connection->tls_set);
        if (connection->tls == NULL) {
            return false;
        }
    }
    connection->has_open_door = true;
    if (connection->door->open != NULL) {
        connection->door->open(connection);
    }
    return true;
}

void serve_connection_begin(struct serve_worker *worker, const struct serve_message *arrival)
{
    uint64_t id = 0;
    struct serve_connection *connection = serve_slots_take(&worker->slots, &id);

    serve_worker_count(&worker->counters.accepted_count, 1);
    if (connection == NULL) {
        serve_worker_count(&worker->counters.no_memory_count, 1);
        (void)close(arrival->fd);
        serve_net_note_end(worker->net);
        return;
    }
    connection->id = id;
    connection_fill(connection, worker, arrival);
    if (!connection_admit(connection, &arrival->peer)) {
        serve_worker_count(&worker->counters.refused_count, 1);
        arrival_refuse(arrival, arrival->listener->replies->refused);
        serve_slots_give(&worker->slots, id);
        serve_net_note_end(worker->net);
        return;
    }
    serve_worker_count(&worker->counters.current_count, 1);
    connection->is_failed = !connection_open(connection);
    connection->can_read = worker->is_draining; /* it may have sent something, at the last moment */
    serve_connection_settle(connection);
}

/* ---- what is next --------------------------------------------------------------------------- */

/* Whether nothing of it is under way: it may end without anybody missing anything. */
static bool connection_is_idle(const struct serve_connection *connection)
{
    return connection->output.waiting_bytes == 0 && !connection->is_yielded &&
           !connection->is_waiting && !connection->is_wanting && connection->expected_bytes == 0 &&
           !connection->can_read && serve_turn_left_bytes(connection) == 0;
}

static enum serve_deadline_kind connection_deadline_kind(const struct serve_connection *connection)
{
    if (connection->output.waiting_bytes > 0 && !connection->output.is_withheld) {
        return SERVE_DEADLINE_OUTPUT;
    }
    if (connection->is_waiting && connection->expected_bytes > 0) {
        return SERVE_DEADLINE_WAIT;
    }
    if (connection->is_waiting || connection->is_yielded) {
        return SERVE_DEADLINE_NONE;
    }
    if (connection->is_wanting || connection->expected_bytes > 0) {
        return SERVE_DEADLINE_BODY;
    }
    if (serve_turn_left_bytes(connection) > 0 ||
        (connection->tls != NULL && !connection->is_secured)) {
        return SERVE_DEADLINE_LINE;
    }
    return connection->worker->limits.idle_timeout_ns == SERVE_NO_LIMIT ? SERVE_DEADLINE_NONE
                                                                        : SERVE_DEADLINE_IDLE;
}

/* Whether what happened in this run begins the deadline anew. */
static bool connection_has_progress(const struct serve_connection *connection,
                                    enum serve_deadline_kind kind)
{
    return (kind == SERVE_DEADLINE_OUTPUT && connection->was_taken) ||
           (kind == SERVE_DEADLINE_LINE && connection->was_fed) ||
           (kind == SERVE_DEADLINE_IDLE && connection->had_turn);
}

/* What progress will be measured against. */
static uint64_t connection_mark(const struct serve_connection *connection,
                                enum serve_deadline_kind kind)
{
    return kind == SERVE_DEADLINE_OUTPUT ? serve_transport_kept_bytes(connection)
                                         : connection->received_bytes;
}

static void connection_set_deadline(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    enum serve_deadline_kind kind = connection_deadline_kind(connection);

    if (kind != connection->deadline.kind || connection_has_progress(connection, kind)) {
        serve_deadline_begin(&worker->deadlines, &connection->deadline, kind, worker->now_ns,
                             connection_mark(connection, kind));
        serve_worker_tick(worker);
    }
}

static void connection_set_pause(struct serve_connection *connection)
{
    size_t waiting_bytes = connection->output.waiting_bytes;

    connection->is_emptying = connection->is_emptying && waiting_bytes > 0;
    connection->is_paused =
        connection->is_emptying || waiting_bytes >= SERVE_OUT_WAITING_MAX ||
        (connection->is_paused && waiting_bytes > SERVE_OUT_WAITING_MAX / 4); /* invariant 3 */
    serve_output_count_input(connection);
}

static bool connection_may_read(const struct serve_connection *connection)
{
    return !connection->is_closing && !connection->is_paused && !connection->is_waiting &&
           !connection->is_ended;
}

static void connection_set_watch(struct serve_connection *connection)
{
    bool reads = connection_may_read(connection);
    bool writes = (connection->output.waiting_bytes > 0 && !connection->output.is_withheld) ||
                  connection->tls_waits_to_write;

    connection_watch(connection, (short)((reads ? EV_READ : 0) | (writes ? EV_WRITE : 0)));
}

/* Whether it can go on without waiting for the loop to tell of anything. */
static bool connection_has_more(const struct serve_connection *connection)
{
    if (connection->is_closing || connection->is_paused || connection->is_waiting) {
        return false;
    }
    return connection->is_yielded || (connection->can_read && !connection->is_ended);
}

/* Whether it is to end now. A door that has yet to answer, or answers that wait, put that off. */
static bool connection_is_over(struct serve_connection *connection)
{
    if (connection->is_ended && !connection->is_yielded && !connection->is_waiting) {
        connection->is_closing = true;
    }
    if (connection->worker->is_draining && connection_is_idle(connection)) {
        connection->is_closing = true;
    }
    return connection->is_closing && connection->output.waiting_bytes == 0;
}

/* Nobody misses the end of a connection that drains and has said nothing. */
static void connection_finish(struct serve_connection *connection)
{
    if (connection->worker->is_draining && !connection->had_turn) {
        serve_connection_destroy(connection);
    } else {
        connection_linger(connection);
    }
}

void serve_connection_settle(struct serve_connection *connection)
{
    if (Q_UNLIKELY(!connection->is_failed && connection_is_over(connection))) {
        connection_finish(connection);
        return;
    }
    connection_set_pause(connection);
    if (!connection->is_failed) {
        connection_set_watch(connection);
    }
    if (Q_UNLIKELY(connection->is_failed)) {
        serve_connection_destroy(connection);
        return;
    }
    connection_set_deadline(connection);
    if (connection_has_more(connection)) {
        serve_worker_make_ready(connection->worker, connection);
    }
}

void serve_connection_run(struct serve_connection *connection)
{
    if (Q_UNLIKELY(connection->is_lingering)) {
        connection_run_lingering(connection);
        return;
    }
    connection->had_turn = connection->was_fed = connection->was_taken = false;
    if (connection->can_write) {
        connection->can_write = false;
        serve_output_resume(connection);
        connection_set_pause(connection);
    }
    if (!connection->is_failed && !connection->is_closing && !connection->is_paused &&
        !connection->is_waiting) {
        if (connection->is_yielded) {
            serve_turn_resume(connection);
        } else if (connection->can_read && !connection->is_ended) {
            serve_turn_read(connection);
        }
    }
    serve_connection_settle(connection);
}

void serve_connection_run_posted(struct serve_connection *connection,
                                 serve_posted_function *function, void *argument)
{
    if (connection == NULL || connection->is_closing || connection->is_failed ||
        connection->is_lingering) {
        function(NULL, argument);
        return;
    }
    connection->had_turn = connection->was_fed = connection->was_taken = false;
    serve_turn_posted(connection, function, argument);
    connection->is_waiting = false;
    connection->is_yielded = true; /* the door may have waited for this with bytes left */
    serve_connection_settle(connection);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

/* Whether the client has brought what it had to since the deadline began. */
static bool connection_brought_enough(const struct serve_connection *connection)
{
    const struct serve_limits *limits = &connection->worker->limits;
    uint64_t duration_ns = serve_deadline_duration_ns(limits, connection->deadline.kind);
    uint64_t wanted_bytes =
        (uint64_t)((double)limits->body_bytes_per_second * ((double)duration_ns / 1e9));

    return connection->received_bytes - connection->deadline.mark >= size_max_u64(wanted_bytes, 1);
}

static void expire_writer(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;

    if (connection_brought_enough(connection)) {
        serve_deadline_begin(&worker->deadlines, &connection->deadline, connection->deadline.kind,
                             worker->now_ns, connection->received_bytes);
        return;
    }
    serve_worker_count(&worker->counters.slow_writer_count, 1);
    serve_worker_tell(connection, SERVE_NEWS_SLOW_WRITER, "a request did not come");
    serve_connection_destroy(connection);
}

/* Who takes little by little is seen in what the kernel has: it tells of room only by thirds. */
static void expire_reader(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    size_t kept_bytes = serve_transport_kept_bytes(connection);

    if (kept_bytes < connection->deadline.mark) {
        serve_deadline_begin(&worker->deadlines, &connection->deadline, SERVE_DEADLINE_OUTPUT,
                             worker->now_ns, kept_bytes);
        return;
    }
    serve_worker_count(&worker->counters.slow_reader_count, 1);
    serve_worker_tell(connection, SERVE_NEWS_SLOW_READER, "answers were not taken");
    serve_connection_cut(connection);
}

/* It is not read from, so nothing else tells of a client that has gone. All of his request may be
 * here: then he may have ended, and it is executed. */
static void expire_waiting(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    uint64_t wanted_bytes =
        sat_sub_u64(connection->expected_bytes, serve_turn_left_bytes(connection));

    if (serve_transport_is_gone(connection, wanted_bytes)) {
        serve_connection_destroy(connection);
        return;
    }
    serve_deadline_begin(&worker->deadlines, &connection->deadline, SERVE_DEADLINE_WAIT,
                         worker->now_ns, 0);
}

void serve_connection_expire(struct serve_connection *connection)
{
    switch (connection->deadline.kind) {
    case SERVE_DEADLINE_LINE:
    case SERVE_DEADLINE_BODY:
        expire_writer(connection);
        break;
    case SERVE_DEADLINE_OUTPUT:
        expire_reader(connection);
        break;
    case SERVE_DEADLINE_WAIT:
        expire_waiting(connection);
        break;
    case SERVE_DEADLINE_IDLE:
        serve_worker_count(&connection->worker->counters.idle_count, 1);
        serve_connection_destroy(connection);
        break;
    case SERVE_DEADLINE_LINGER:
        serve_connection_destroy(connection);
        break;
    case SERVE_DEADLINE_NONE:
    case SERVE_DEADLINE_KINDS:
        Q_UNREACHABLE();
    }
}

/* ---- what doors ask ------------------------------------------------------------------------- */

void serve_connection_end(struct serve_connection *connection)
{
    connection->is_failed = true;
}

void *serve_connection_state(struct serve_connection *connection)
{
    return connection->door_state;
}

struct serve_worker *serve_connection_worker(struct serve_connection *connection)
{
    return connection->worker;
}

uint64_t serve_connection_id(const struct serve_connection *connection)
{
    return connection->id;
}

const struct serve_door *serve_connection_door(const struct serve_connection *connection)
{
    return connection->has_open_door ? connection->door : NULL;
}

bool serve_connection_is_busy(const struct serve_connection *connection)
{
    return !connection_is_idle(connection);
}

uint64_t serve_connection_idle_ns(const struct serve_connection *connection)
{
    return sat_sub_u64(connection->worker->now_ns, connection->last_turn_ns);
}

const char *serve_connection_peer(const struct serve_connection *connection)
{
    return connection->peer[0] == '\0' ? connection->listener->name : connection->peer;
}

const char *serve_connection_local(const struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    struct serve_address address = {.bytes = sizeof(struct sockaddr_un)};

    if (!serve_address_is_any(&connection->listener->address) ||
        getsockname(connection->fd, &address.any, &address.bytes) != 0) {
        return connection->listener->name;
    }
    serve_address_print(&address, worker->local_text, sizeof(worker->local_text));
    return worker->local_text;
}

struct serve_identity *serve_connection_identity(struct serve_connection *connection)
{
    return &connection->identity;
}

void serve_connection_expect(struct serve_connection *connection, uint64_t byte_count)
{
    connection->expected_bytes = byte_count;
}

bool serve_connection_needs_login(const struct serve_connection *connection)
{
    return connection->listener->needs_login;
}

bool serve_connection_is_encrypted(const struct serve_connection *connection)
{
    return connection->tls != NULL;
}
