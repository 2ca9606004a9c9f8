/*
 * Turns: bytes come in, a door is fed with them, its answers go out.
 *
 *     worker's shared buffer   | what the door had left | what the socket gave            |
 *     connection's own buffer  | what the door had left |
 *     the door's room          | the next bytes of a body |    then the shared buffer
 *
 * A connection with nothing left reads into the worker's shared buffer, by one system call, and
 * most requests end there. What a door leaves is copied into a buffer of the connection's own; with
 * the next bytes it goes to the front of the shared buffer, so that they follow in one stretch, and
 * only what is new is copied back if the door still wants more. Above a quarter of the shared
 * buffer the bytes are read into the connection's own.
 *
 * A door that yields is fed again without a read. What it has left stays in the shared buffer until
 * somebody else needs that (the worker's `holder`), so that one client alone never pays for a copy.
 *
 * A body goes where the door wants it: `filled` with 0 asks for the place in each turn anew, for
 * what it lies in may have changed meanwhile; one readv fills it and the shared buffer behind it.
 *
 * Invariants:
 *   1. While a connection is the holder its own buffer is empty.
 *   2. want_room is set only during a turn; is_wanting says that the door is to be asked for it.
 *   3. begin and end are called in pairs, and the batch is empty outside of them.
 *   4. A door that was fed everything and wants no room is not called again before there is more.
 */
#include <string.h>

#include <serve/connection.h>
#include <serve/listener.h>
#include <serve/net.h>
#include <serve/outbox.h>
#include <serve/transport.h>
#include <serve/worker.h>

/* What is left goes to the front of the shared buffer up to here. */
#define LEFT_COPIED_MAX (SERVE_SHARED_BYTES / 4)
/* Of lines and small values, in one read: some 100 sets of 100 bytes, or 50 us. More of them in one
 * turn would save a system call of 1 us, and have others wait. */
#define LINE_READ_BYTES_MAX Q_KIB(16)
/* Bytes that came and that were answered in a turn, from which on it was a long one. */
#define HEAVY_BYTES Q_KIB(16)
/* Of a body, in one read. 256 KiB take some 25 us; a worker has others to serve. */
#define BODY_READ_BYTES_MAX Q_KIB(256)

/* What the door has yet to see. */
struct view {
    const char *bytes;
    size_t count;
};

/* ---- what is left --------------------------------------------------------------------------- */

static bool is_holder(const struct serve_connection *connection)
{
    return connection->worker->holder == connection;
}

size_t serve_turn_left_bytes(const struct serve_connection *connection)
{
    return is_holder(connection) ? connection->worker->held_bytes : connection->input.count;
}

static struct view view_left(const struct serve_connection *connection)
{
    const struct serve_worker *worker = connection->worker;

    if (is_holder(connection)) {
        return (struct view){worker->held, worker->held_bytes};
    }
    const struct serve_input *input = &connection->input;
    return (struct view){input->count == 0 ? "" : input->base + input->start, input->count};
}

static void connection_no_memory(struct serve_connection *connection)
{
    serve_worker_count(&connection->worker->counters.no_memory_count, 1);
    serve_worker_tell(connection, SERVE_NEWS_NO_MEMORY, "no memory for a request");
    connection->is_failed = true;
}

static bool view_is_shared(const struct serve_worker *worker, const struct view *view)
{
    return view->bytes >= worker->shared && view->bytes <= worker->shared + SERVE_SHARED_BYTES;
}

/* `kept`: how many of the first bytes are in the connection's own buffer already. */
static void left_copy(struct serve_connection *connection, const struct view *view, size_t kept)
{
    if (!serve_input_set(serve_worker_memory(connection->worker), &connection->input, view->bytes,
                         view->count, kept)) {
        connection_no_memory(connection);
    }
}

void serve_turn_spill(struct serve_worker *worker)
{
    struct serve_connection *holder = worker->holder;

    if (holder != NULL) {
        struct view view = view_left(holder);
        worker->holder = NULL;
        left_copy(holder, &view, 0);
        serve_output_count_input(holder);
    }
}

void serve_turn_forget(struct serve_connection *connection)
{
    if (is_holder(connection)) {
        connection->worker->holder = NULL;
    }
    serve_input_clear(serve_worker_memory(connection->worker), &connection->input);
}

/* Has the connection left with what the door did not consume. */
static void left_keep(struct serve_connection *connection, const struct view *view, bool may_hold)
{
    struct serve_worker *worker = connection->worker;
    struct serve_input *input = &connection->input;

    worker->holder = is_holder(connection) ? NULL : worker->holder;
    if (view->count == 0) {
        serve_input_clear(serve_worker_memory(worker), input);
    } else if (!view_is_shared(worker, view)) {
        input->start = (uint32_t)(view->bytes - input->base);
        input->count = (uint32_t)view->count;
    } else if (may_hold) { /* invariant 1 */
        Q_DCHECK(worker->holder == NULL);
        serve_input_clear(serve_worker_memory(worker), input);
        worker->holder = connection;
        worker->held = view->bytes;
        worker->held_bytes = view->count;
    } else {
        bool is_whole = view->bytes == worker->shared;
        left_copy(connection, view, is_whole ? size_min(input->count, view->count) : 0);
    }
}

/* ---- feeding -------------------------------------------------------------------------------- */

static void view_consume(struct serve_connection *connection, struct view *view, size_t bytes)
{
    Q_ASSERT_MSG(bytes <= view->count, "a door consumed what it was not given");
    view->bytes += bytes;
    view->count -= bytes;
    connection->was_fed |= bytes > 0;
}

static enum serve_step feed_room(struct serve_connection *connection, struct view *view)
{
    size_t bytes = size_min(view->count, connection->want_bytes);

    memcpy(connection->want_room, view->bytes, bytes);
    connection->want_room = NULL;
    view_consume(connection, view, bytes);
    return connection->door->filled(connection, bytes);
}

static enum serve_step feed_input(struct serve_connection *connection, struct view *view)
{
    size_t consumed = 0;
    enum serve_step step = connection->door->input(connection, view->bytes, view->count, &consumed);

    view_consume(connection, view, consumed);
    return step;
}

/* Feeds until the door wants more than there is, or has had its share. */
static enum serve_step feed(struct serve_connection *connection, struct view *view)
{
    for (;;) {
        bool is_to_room = connection->want_room != NULL;
        enum serve_step step =
            is_to_room ? feed_room(connection, view) : feed_input(connection, view);
        if (step != SERVE_MORE || view->count == 0 ||
            (!is_to_room && connection->want_room == NULL)) {
            return step; /* invariant 4 */
        }
    }
}

void serve_connection_want(struct serve_connection *connection, void *room, size_t byte_count)
{
    Q_ASSERT(room == NULL || connection->door->filled != NULL);
    connection->want_room = byte_count == 0 ? NULL : room;
    connection->want_bytes = byte_count;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static void turn_begin(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;

    Q_ASSERT(worker->current == NULL && worker->batch.piece_count == 0); /* invariant 3 */
    worker->current = connection;
    connection->last_turn_ns = worker->now_ns;
    connection->is_yielded = false;
    connection->want_room = NULL;
    serve_worker_count(&worker->counters.turn_count, 1);
    if (connection->door->begin != NULL) {
        connection->door->begin(connection);
    }
}

static void turn_end(struct serve_connection *connection)
{
    Q_DCHECK(connection->worker->batch.piece_count == 0); /* invariant 3 */
    connection->want_room = NULL;                         /* invariant 2 */
    if (connection->door->end != NULL) {
        connection->door->end(connection);
    }
    connection->worker->current = NULL;
    connection->had_turn = true;
}

/* More than a client may have us keep: its door still wants more than that. */
static void refuse_too_long(struct serve_connection *connection)
{
    const char *reply = connection->listener->replies->too_long;

    serve_worker_count(&connection->worker->counters.too_long_count, 1);
    serve_worker_tell(connection, SERVE_NEWS_TOO_LONG, "a request is too long");
    (void)serve_out_copy(connection, reply, strlen(reply));
    connection->is_closing = true;
}

static void turn_apply(struct serve_connection *connection, enum serve_step step,
                       const struct view *view)
{
    switch (step) {
    case SERVE_MORE:
        if (!connection->is_wanting && view->count >= serve_worker_input_bytes_max(connection)) {
            refuse_too_long(connection);
        }
        break;
    case SERVE_YIELD:
        connection->is_yielded = true;
        serve_worker_count(&connection->worker->counters.yield_count, 1);
        break;
    case SERVE_PAUSE:
        connection->is_yielded = true;
        connection->is_emptying = true;
        break;
    case SERVE_CLOSE:
        connection->is_closing = true;
        break;
    case SERVE_WAIT:
        connection->is_waiting = true;
        break;
    }
}

/* `read_bytes`: that came in this turn. */
static void turn_finish(struct serve_connection *connection, enum serve_step step,
                        const struct view *view, size_t read_bytes)
{
    uint64_t answered_bytes = connection->worker->batch.byte_count;

    Q_DCHECK(!serve_link_is_listed(&connection->ready_link)); /* it decides on the list */
    connection->is_heavy = step == SERVE_YIELD || read_bytes + answered_bytes >= HEAVY_BYTES;
    connection->is_wanting = connection->want_room != NULL;
    turn_apply(connection, step, view);
    /* Before the input moves: answers may point into it. */
    if (!serve_outbox_take(connection)) {
        serve_output_send(connection);
    }
    if (connection->is_closing) {
        serve_turn_forget(connection);
    } else {
        left_keep(connection, view, step == SERVE_YIELD);
    }
    turn_end(connection);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What became of a read that brought nothing. */
static void read_nothing(struct serve_connection *connection, ssize_t result)
{
    if (result == SERVE_TRANSPORT_END) {
        connection->is_ended = true;
    } else if (result == SERVE_TRANSPORT_FAILED) {
        connection->is_failed = true;
    }
}

/* Reads behind what is left, to the shared buffer's front. */
static ssize_t read_shared(struct serve_connection *connection, struct view *ret_view)
{
    struct serve_worker *worker = connection->worker;
    struct view left = view_left(connection);

    size_t bytes_max = serve_worker_input_bytes_max(connection); /* little, of a stranger */
    size_t room_bytes = left.count < bytes_max ? bytes_max - left.count : 1;

    memcpy(worker->shared, left.bytes, left.count);
    struct iovec piece = {worker->shared + left.count, size_min(room_bytes, LINE_READ_BYTES_MAX)};
    ssize_t bytes = serve_transport_read(connection, &piece, 1);
    if (bytes > 0) {
        *ret_view = (struct view){worker->shared, left.count + (size_t)bytes};
    }
    return bytes;
}

/* Reads behind what is left, in the connection's own buffer. */
static ssize_t read_own(struct serve_connection *connection, struct view *ret_view)
{
    struct serve_input *input = &connection->input;

    if (!serve_input_reserve(serve_worker_memory(connection->worker), input, QUARRY_PAGE_BYTES)) {
        connection_no_memory(connection);
        return SERVE_TRANSPORT_AGAIN;
    }
    size_t end = (size_t)input->start + input->count;
    struct iovec piece = {input->base + end, input->capacity - end};
    ssize_t bytes = serve_transport_read(connection, &piece, 1);
    if (bytes > 0) {
        *ret_view = (struct view){input->base + input->start, input->count + (size_t)bytes};
    }
    return bytes;
}

static void turn_of_line(struct serve_connection *connection)
{
    struct view view = {NULL, 0};
    ssize_t bytes = connection->input.count <= LEFT_COPIED_MAX ? read_shared(connection, &view)
                                                               : read_own(connection, &view);

    if (bytes <= 0) {
        read_nothing(connection, bytes);
        return;
    }
    turn_begin(connection);
    enum serve_step step = feed(connection, &view);
    turn_finish(connection, step, &view, (size_t)bytes);
}

/* One read into the room and the shared buffer behind it. `ret_bytes`: that came. */
static enum serve_step read_body(struct serve_connection *connection, struct view *view,
                                 size_t *ret_bytes)
{
    struct serve_worker *worker = connection->worker;
    size_t room_bytes = size_min(connection->want_bytes, BODY_READ_BYTES_MAX);
    struct iovec pieces[2] = {{connection->want_room, room_bytes},
                              {worker->shared, SERVE_SHARED_BYTES}};
    ssize_t bytes =
        serve_transport_read(connection, pieces, room_bytes == connection->want_bytes ? 2 : 1);

    if (bytes <= 0) {
        read_nothing(connection, bytes);
        return SERVE_MORE;
    }
    *ret_bytes = (size_t)bytes;
    size_t filled_bytes = size_min((size_t)bytes, room_bytes);
    connection->want_room = NULL;
    connection->was_fed = true;
    *view = (struct view){worker->shared, (size_t)bytes - filled_bytes};
    enum serve_step step = connection->door->filled(connection, filled_bytes);
    return step == SERVE_MORE && view->count > 0 ? feed(connection, view) : step;
}

static void turn_of_body(struct serve_connection *connection)
{
    struct view view = {connection->worker->shared, 0};
    size_t bytes = 0;

    turn_begin(connection);
    enum serve_step step = connection->door->filled(connection, 0);
    if (step == SERVE_MORE && connection->want_room != NULL) {
        step = read_body(connection, &view, &bytes);
    } else if (step == SERVE_MORE) {
        connection->can_read = true; /* it wants a line after all: read in the next pass */
    }
    turn_finish(connection, step, &view, bytes);
}

void serve_turn_read(struct serve_connection *connection)
{
    connection->can_read = false;
    serve_turn_spill(connection->worker);
    if (connection->is_failed) { /* it was the holder, and there was no memory */
        return;
    }
    if (connection->is_wanting) {
        Q_ASSERT(connection->input.count == 0);
        turn_of_body(connection);
    } else {
        turn_of_line(connection);
    }
    connection->can_read |= connection->had_turn && serve_transport_has_more(connection);
}

void serve_turn_resume(struct serve_connection *connection)
{
    struct view view = view_left(connection);
    enum serve_step step = SERVE_MORE;

    turn_begin(connection);
    if (connection->is_wanting) {
        step = connection->door->filled(connection, 0);
    }
    if (step == SERVE_MORE && (connection->want_room == NULL || view.count > 0)) {
        step = feed(connection, &view);
    }
    turn_finish(connection, step, &view, 0);
}

void serve_turn_posted(struct serve_connection *connection, serve_posted_function *function,
                       void *argument)
{
    bool was_yielded = connection->is_yielded;

    turn_begin(connection);
    function(connection, argument);
    serve_output_send(connection);
    turn_end(connection);
    connection->is_yielded = was_yielded;
}
