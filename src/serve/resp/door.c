/*
 * The RESP door: what the worker calls.
 *
 *     door.input ─┬─ an answer from memory goes out, a share at a time
 *                 ├─ a request that comes in pieces is gathered (gather.c), or
 *                 └─ whole requests are read where they lie (parse.c)
 *                          └─ dispatch ─┬─ here
 *                                       ├─ executor: waits ── posted: the answer, and on
 *                                       └─ a login: likewise
 *     end of it   ── has it written, for durability `power`? waits ── posted: answers go out
 *
 * Invariants:
 *   1. A connection waits for one job or one login at most, and for one sync: requests are executed
 *      one after the other, so answers have their order.
 *   2. What is consumed is never needed again: a request is consumed when it was executed, copied,
 *      or gathered.
 *   3. Values that answers point to are held by the turn's list until it ends, or by the
 * connection.
 *   4. Nothing that a client sends makes an assertion fail.
 *
 * Locking: none of its own. Memory: the state of a connection, under 1 KiB; a worker's words and
 * line, 90 KiB; what a request in pieces, a MULTI, an answer in memory and a job need, of the
 * account `resp`.
 *
 * Rejected: reading 16 requests ahead, as the memcached door does: what a command touches is known
 * when its keys are, and the store looks for one at a time; its misses are not ours to overlap.
 */
#include <serve/resp/snapshots.h>
#include <serve/resp/state.h>

#include <stdio.h>
#include <string.h>

Q_STATIC_ASSERT(sizeof(struct resp_state) <= 1024, "an idle connection costs under 1 KiB here");

struct resp_door_state resp_the_door;

const struct serve_replies serve_replies_resp = {
    .too_many = "-ERR max number of clients reached\r\n",
    .refused = "-ERR max number of clients reached\r\n",
    .too_long = "-ERR Protocol error: too big inline request\r\n",
};

/* What an answer from memory gives the connection at a time. */
#define SENT_BYTES_MAX Q_KIB(256)
/* Where so many bytes have come, there may be two requests that read keys. */
#define LOOKED_AHEAD_MIN 40

/* ---- opening -------------------------------------------------------------------------------- */

const struct serve_memory *resp_pages(void)
{
    return resp_the_door.is_open ? &resp_the_door.pages : NULL;
}

size_t resp_reply_bytes_max(void)
{
    return resp_the_door.is_open ? resp_the_door.settings.reply_bytes_max
                                 : RESP_REPLY_BYTES_DEFAULT;
}

static void set_defaults(struct resp_door_settings *settings)
{
    settings->databases = settings->databases == 0 ? 16 : settings->databases;
    settings->slow_thread_count =
        settings->slow_thread_count == 0 ? 2 : settings->slow_thread_count;
    settings->bulk_bytes_max = settings->bulk_bytes_max == 0 ? Q_MIB(32) : settings->bulk_bytes_max;
    if (settings->request_bytes_max == 0) {
        settings->request_bytes_max = 2 * settings->bulk_bytes_max;
    }
    settings->queue_bytes_max =
        settings->queue_bytes_max == 0 ? Q_MIB(1) : settings->queue_bytes_max;
    if (settings->reply_bytes_max == 0) {
        settings->reply_bytes_max = RESP_REPLY_BYTES_DEFAULT;
    }
}

static enum quarry_status open_pages(struct quarry_memory *memory, struct serve_memory *ret_pages,
                                     struct quarry_error *error)
{
    const struct quarry_account_options account = {.name = "resp", .is_all_pages = true};
    const struct quarry_lane_options lane = {.name = "resp"};

    *ret_pages = (struct serve_memory){.memory = memory};
    enum quarry_status status = quarry_account_create(memory, &account, &ret_pages->account, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_lane_create(memory, &lane, &ret_pages->lane, error);
    if (status != QUARRY_OK) {
        quarry_account_destroy(ret_pages->account);
    }
    return status;
}

static void give_workers(void)
{
    for (uint32_t i = 0; i < resp_the_door.settings.worker_count; i++) {
        serve_buffer_give(&resp_the_door.pages, resp_the_door.workers[i]);
        resp_the_door.workers[i] = NULL;
    }
}

static enum quarry_status take_workers(struct quarry_error *error)
{
    for (uint32_t i = 0; i < resp_the_door.settings.worker_count; i++) {
        resp_the_door.workers[i] =
            serve_buffer_take_zeroed(&resp_the_door.pages, sizeof(struct resp_worker));
        if (resp_the_door.workers[i] == NULL) {
            give_workers();
            return error_set(error, QUARRY_NO_MEMORY, "no memory for %u workers of the RESP door",
                             resp_the_door.settings.worker_count);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status start_threads(struct quarry_error *error)
{
    enum quarry_status status = resp_executor_open(resp_the_door.settings.slow_thread_count, error);

    if (status == QUARRY_OK && resp_the_door.settings.syncs) {
        status = resp_sync_open(error);
        if (status != QUARRY_OK) {
            resp_executor_stop();
        }
    }
    return status;
}

/* What commands share. */
static enum quarry_status open_common(struct quarry_error *error)
{
    const struct resp_door_settings *settings = &resp_the_door.settings;

    resp_the_door.common = (struct resp_common){.memory = &resp_the_door.pages,
                                                .database_count = settings->databases,
                                                .bulk_bytes_max = settings->bulk_bytes_max,
                                                .answer_bytes_max = settings->reply_bytes_max};
    if (resp_snapshots_create(&resp_the_door.pages, settings->keyspace,
                              &resp_the_door.common.snapshots) != QUARRY_OK) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the RESP door's snapshots");
    }
    return QUARRY_OK;
}

static enum quarry_status check(const struct resp_door_settings *settings,
                                struct quarry_error *error)
{
    if (resp_the_door.is_open) {
        return error_set(error, QUARRY_EXISTS, "the RESP door is open already");
    }
    if (settings->worker_count == 0 || settings->worker_count > RESP_WORKERS_MAX ||
        settings->databases > KEYSPACE_DATABASES_MAX ||
        settings->slow_thread_count > RESP_SLOW_THREADS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "RESP door: %u workers, %u databases, %u slow threads; limits %u, %u, %u",
                         settings->worker_count, settings->databases, settings->slow_thread_count,
                         RESP_WORKERS_MAX, KEYSPACE_DATABASES_MAX, RESP_SLOW_THREADS_MAX);
    }
    return QUARRY_OK;
}

enum quarry_status resp_open(const struct resp_door_settings *settings, struct quarry_error *error)
{
    Q_ASSERT(settings != NULL && settings->memory != NULL && settings->keyspace != NULL);
    enum quarry_status status = check(settings, error);
    if (status != QUARRY_OK) {
        return status;
    }
    struct serve_memory pages;
    status = open_pages(settings->memory, &pages, error);
    if (status != QUARRY_OK) {
        return status;
    }
    resp_the_door = (struct resp_door_state){.settings = *settings, .pages = pages};
    set_defaults(&resp_the_door.settings);
    status = take_workers(error);
    if (status == QUARRY_OK) {
        status = open_common(error);
    }
    if (status == QUARRY_OK) {
        resp_the_door.is_open = true;
        status = start_threads(error);
    }
    if (status != QUARRY_OK) {
        resp_the_door.is_stopped = true;
        resp_the_door.is_open = true;
        resp_close();
    }
    return status;
}

void resp_stop(void)
{
    if (!resp_the_door.is_stopped) {
        resp_the_door.is_stopped = true;
        resp_executor_stop();
        resp_sync_stop();
    }
}

void resp_close(void)
{
    Q_ASSERT(resp_the_door.is_open);
    resp_stop();
    resp_snapshots_destroy(resp_the_door.common.snapshots);
    give_workers();
    quarry_lane_destroy(resp_the_door.pages.lane);
    quarry_account_destroy(resp_the_door.pages.account);
    resp_the_door = (struct resp_door_state){.is_open = false};
}

/* ---- connections ---------------------------------------------------------------------------- */

static void open_connection(struct serve_connection *connection)
{
    struct resp_state *state = resp_state_of(connection);
    const struct serve_identity *identity = serve_connection_identity(connection);
    struct keyspace *keyspace = resp_the_door.settings.keyspace;

    Q_ASSERT(resp_the_door.is_open);
    resp_worker_of(connection)->worker = serve_connection_worker(connection);
    state->session = (struct resp_session){
        .connection = connection,
        /* Relaxed: numbers need no order. */
        .id = atomic_add_relaxed_u64(&resp_the_door.last_id, 1) + 1,
        .protocol = 2,
        .created_ms = keyspace_now_ms(keyspace),
    };
    (void)snprintf(state->session.user, sizeof state->session.user, "default");
    if (identity->rights != 0 && !resp_session_identify(&state->session, identity, NULL)) {
        state->closes = true; /* its tenant's keys cannot be told */
    }
}

static void close_connection(struct serve_connection *connection)
{
    struct resp_state *state = resp_state_of(connection);

    if (state->job != NULL) {
        resp_executor_forget(state->job);
    }
    if (state->is_syncing) {
        resp_sync_forget(state);
    }
    resp_session_forget(&state->session, resp_the_door.settings.keyspace);
    resp_snapshots_end_session(resp_the_door.common.snapshots, state->session.id);
    resp_gather_end(&state->gather);
    resp_bytes_give(&state->sending);
}

static void begin_turn(struct serve_connection *connection)
{
    struct resp_worker *worker = resp_worker_of(connection);

    Q_DCHECK(worker->lent.count == 0);
    worker->turn_requests = 0;
    worker->mark_ns = os_monotonic_ns(os_real());
    worker->now_ms = keyspace_now_ms(resp_the_door.settings.keyspace);
    resp_snapshots_tick(resp_the_door.common.snapshots, worker->now_ms);
}

static void end_turn(struct serve_connection *connection)
{
    resp_lent_release(&resp_worker_of(connection)->lent); /* invariant 3 */
}

static bool hold(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    return resp_lent_hold(&resp_worker_of(connection)->lent, borrowed);
}

static void release(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    resp_lent_drop(borrowed);
}

/* ---- reading requests ----------------------------------------------------------------------- */

static struct resp_parse_limits limits_of(const struct resp_turn *turn)
{
    return (struct resp_parse_limits){resp_the_door.settings.bulk_bytes_max,
                                      !turn->state->session.is_logged_in};
}

Q_COLD static enum resp_next protocol_error(struct resp_turn *turn,
                                            const struct resp_parse_error *error)
{
    struct resp_reply reply;

    resp_reply_here(turn, &reply);
    resp_say_error(&reply, "ERR %s", error->text);
    (void)resp_reply_done(turn, &reply);
    return RESP_ENDS;
}

/* A request that was gathered is whole. */
static enum resp_next execute_gathered(struct resp_turn *turn)
{
    struct resp_gather *gather = &turn->state->gather;
    struct resp_reply reply;
    size_t count = 0;
    const struct quarry_kv_slice *words = resp_gather_words(gather, &count);
    enum resp_next next;

    turn->worker->turn_requests++;
    if (words != NULL) {
        next = resp_dispatch(turn, words, count);
    } else {
        turn->state->session.is_multi_broken |= turn->state->session.is_in_multi;
        resp_reply_here(turn, &reply);
        if (turn->state->session.is_logged_in) {
            resp_say_status(&reply, QUARRY_NO_MEMORY, NULL);
        } else {
            resp_say_error(&reply, "NOAUTH Authentication required.");
        }
        next = resp_reply_done(turn, &reply);
    }
    resp_gather_end(gather);
    return next;
}

static enum resp_next gather_more(struct resp_turn *turn)
{
    const struct resp_parse_limits limits = limits_of(turn);
    struct resp_parse_error error;
    struct resp_gather *gather = &turn->state->gather;
    enum resp_parsed parsed = resp_gather_input(gather, &turn->at, turn->end, &limits, &error);

    if (parsed == RESP_PARSED_ALL) {
        return execute_gathered(turn);
    }
    if (parsed == RESP_PARSED_WRONG) {
        return protocol_error(turn, &error);
    }
    char *room = NULL;
    size_t wanted = turn->at == turn->end ? resp_gather_wants(gather, &room) : 0;
    if (wanted > 0) {
        serve_connection_want(turn->connection, room, wanted);
    }
    return RESP_MORE;
}

/* A request is not whole: what is read again is little, or it is gathered. */
static enum resp_next keep_part(struct resp_turn *turn, const struct resp_cursor *cursor,
                                uint32_t count, size_t taken)
{
    size_t left = (size_t)(turn->end - turn->at);
    bool is_long = left > RESP_LEFT_BYTES_MAX || cursor->bulk_bytes >= RESP_WANTED_BYTES_MIN;

    if (cursor->words_left == 0 || !is_long) {
        return RESP_MORE;
    }
    resp_gather_begin(&turn->state->gather, cursor, turn->worker->words, count,
                      turn->state->session.is_logged_in);
    turn->at += taken;
    return gather_more(turn);
}

static enum resp_next read_array(struct resp_turn *turn)
{
    const struct resp_parse_limits limits = limits_of(turn);
    struct resp_parse_error error;
    struct resp_cursor cursor = {.words_left = 0};
    struct resp_worker *worker = turn->worker;
    uint32_t count = 0;
    size_t taken = 0;

    if (turn->at >= turn->ahead && turn->end - turn->at > LOOKED_AHEAD_MIN &&
        turn->state->session.is_logged_in) {
        resp_look_ahead(turn);
    }
    switch (resp_parse_request(&cursor, turn->at, (size_t)(turn->end - turn->at), &limits,
                               worker->words, RESP_WORDS_HERE, &count, &taken, &error)) {
    case RESP_PARSED_ALL:
        turn->at += taken;
        worker->turn_requests++;
        return resp_dispatch(turn, worker->words, count);
    case RESP_PARSED_MORE:
        return keep_part(turn, &cursor, count, taken);
    case RESP_PARSED_NONE:
        turn->at += taken;
        return RESP_ON;
    case RESP_PARSED_WRONG:
        break;
    }
    return protocol_error(turn, &error);
}

static enum resp_next read_line(struct resp_turn *turn)
{
    struct resp_parse_error error;
    struct resp_worker *worker = turn->worker;
    uint32_t count = 0;
    size_t taken = 0;

    switch (resp_parse_line(turn->at, (size_t)(turn->end - turn->at), worker->line, worker->words,
                            RESP_WORDS_HERE, &count, &taken, &error)) {
    case RESP_PARSED_ALL:
        turn->at += taken;
        worker->turn_requests++;
        return resp_dispatch(turn, worker->words, count);
    case RESP_PARSED_MORE:
        if (turn->state->session.is_logged_in ||
            (size_t)(turn->end - turn->at) <= RESP_LEFT_BYTES_MAX) {
            return RESP_MORE;
        }
        (void)snprintf(error.text, sizeof error.text, "Protocol error: too big inline request");
        break;
    case RESP_PARSED_NONE:
        turn->at += taken;
        return RESP_ON;
    case RESP_PARSED_WRONG:
        break;
    }
    return protocol_error(turn, &error);
}

static enum resp_next read_request(struct resp_turn *turn)
{
    if (Q_UNLIKELY(turn->state->gather.is_active)) {
        return gather_more(turn);
    }
    if (turn->at == turn->end) {
        return RESP_MORE;
    }
    return Q_LIKELY(*turn->at == '*') ? read_array(turn) : read_line(turn);
}

/* ---- turns ---------------------------------------------------------------------------------- */

/* Sends a share of an answer that was made in memory. */
static enum resp_next send_share(struct resp_turn *turn)
{
    struct resp_state *state = turn->state;
    size_t count = size_min(state->sending.used - state->sent_bytes, SENT_BYTES_MAX);

    if (!serve_out_copy(turn->connection, state->sending.base + state->sent_bytes, count)) {
        return RESP_ENDS;
    }
    state->sent_bytes += count;
    if (state->sent_bytes < state->sending.used) {
        return RESP_YIELDS;
    }
    resp_bytes_give(&state->sending);
    return RESP_ON;
}

/* A stranger is answered once what was answered before is read, for a line of two bytes has an
 * answer of sixty. */
static bool has_had_its_share(const struct resp_turn *turn)
{
    size_t waiting_max = turn->state->session.is_logged_in ? SERVE_OUT_WAITING_MAX : 1;

    return turn->worker->turn_requests >= RESP_TURN_REQUESTS ||
           serve_out_waiting(turn->connection) >= waiting_max;
}

static enum resp_next advance(struct resp_turn *turn)
{
    struct resp_state *state = turn->state;
    enum resp_next next;

    do {
        if (Q_UNLIKELY(state->job != NULL || state->is_syncing || state->is_logging_in)) {
            return RESP_WAITS;
        }
        if (Q_UNLIKELY(state->sending.base != NULL)) {
            next = send_share(turn);
            continue;
        }
        if (Q_UNLIKELY(state->closes)) {
            return RESP_ENDS;
        }
        if (Q_UNLIKELY(has_had_its_share(turn)) && turn->at < turn->end) {
            return RESP_YIELDS;
        }
        next = read_request(turn);
    } while (next == RESP_ON);
    return next;
}

/* What a turn's end means; answers to writes may have to wait. */
static enum serve_step step_of(struct resp_turn *turn, enum resp_next next)
{
    struct resp_state *state = turn->state;

    serve_connection_expect(turn->connection, resp_gather_expected(&state->gather));
    if (Q_UNLIKELY(state->session.has_written) && !state->is_syncing) {
        state->closes |= next == RESP_ENDS;
        resp_sync_wait(state);
        serve_connection_want(turn->connection, NULL, 0);
        return SERVE_WAIT;
    }
    switch (next) {
    case RESP_MORE:
        return SERVE_MORE;
    case RESP_YIELDS:
        return state->session.is_logged_in ? SERVE_YIELD : SERVE_PAUSE;
    case RESP_WAITS:
        return SERVE_WAIT;
    case RESP_ENDS:
        return SERVE_CLOSE;
    case RESP_ON:
        break;
    }
    Q_UNREACHABLE();
}

static struct resp_turn turn_of(struct serve_connection *connection, const char *bytes,
                                size_t byte_count)
{
    return (struct resp_turn){
        .connection = connection,
        .state = resp_state_of(connection),
        .worker = resp_worker_of(connection),
        .at = bytes,
        .end = bytes + byte_count,
    };
}

static enum serve_step input(struct serve_connection *connection, const char *bytes,
                             size_t byte_count, size_t *ret_consumed)
{
    struct resp_turn turn = turn_of(connection, bytes, byte_count);
    enum resp_next next = advance(&turn);

    Q_ASSERT(turn.at >= bytes && turn.at <= turn.end);
    *ret_consumed = (size_t)(turn.at - bytes);
    return step_of(&turn, next);
}

/* Bytes of a word have come to where it is gathered; 0: the place is asked for anew. */
static enum serve_step filled(struct serve_connection *connection, size_t byte_count)
{
    struct resp_turn turn = turn_of(connection, "", 0);

    Q_ASSERT(turn.state->gather.is_active);
    if (byte_count > 0) {
        resp_gather_filled(&turn.state->gather, byte_count);
    }
    return step_of(&turn, advance(&turn));
}

const struct serve_door resp_door = {
    .name = "resp",
    .state_bytes = sizeof(struct resp_state),
    .open = open_connection,
    .close = close_connection,
    .begin = begin_turn,
    .end = end_turn,
    .input = input,
    .filled = filled,
    .hold = hold,
    .release = release,
};
