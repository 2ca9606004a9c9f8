/*
 * The memcached door: what the worker calls, and the table of phases.
 *
 *     door.input ── the phase of the connection, again and again, until it says stop
 *
 *                        ┌────────── KEYS (a get) ⇄ SENDING (a large value)
 *      REQUEST ──────────┼── QUEUED? VALUE ─ VALUE_END (a store)
 *      (text, packets,   ├────────── SWALLOW, SWALLOW_LINE
 *       or a login)      ├────────── DUMP      all of them come back to REQUEST
 *                        ├────────── LOGIN     (being verified)
 *                        └────────── WATCHING  (for good)
 *
 * Invariants:
 *  1. What is consumed is never needed again, and what is not consumed comes again with the next
 *     call: a phase that wants to be called again although nothing more may come leaves a byte.
 *  2. A turn is inside the cache's epoch from begin to end, so that what was found can be pointed
 *     to; between turns values are held by pins, one for each stretch that waits.
 *  3. The protocol is decided by the first byte, once: 0x80 is no beginning of a line.
 *  4. Nothing that a client sends makes an assertion fail.
 *
 * Locking: none of its own but for watchers (memcached_watch.c). The door's settings that can
 * change are atomic words, read relaxed: a change is seen by all workers within moments.
 *
 * Memory: the state of a connection, under 1 KiB; nothing else, and nothing on any way.
 */
#include <serve/door_memcached.h>

#include <serve/memcached_login.h>
#include <serve/memcached_packet.h>
#include <serve/memcached_request.h>
#include <serve/memcached_store.h>
#include <serve/memcached_unfinished.h>
#include <serve/memcached_watch.h>

#include <stdlib.h>

Q_STATIC_ASSERT(sizeof(struct memcached_state) <= 1024,
                "an idle connection costs under 1 KiB here");

struct memcached memcached;

#define DEFAULT_VERSION "1.6.45-quarry"

/* ---- opening -------------------------------------------------------------------------------- */

/* What `stats settings` shows, and `lru` and its like change. */
static void set_defaults(void)
{
    atomic_store_relaxed_u32(&memcached.verbosity, 0);
    atomic_store_relaxed_u32(&memcached.crawler_sleep_us, 100);
    atomic_store_relaxed_u32(&memcached.crawler_to_crawl, 0);
    atomic_store_relaxed_u32(&memcached.automove, 1);
    atomic_store_relaxed_u32(&memcached.temporary_ttl, 61);
    atomic_store_relaxed_u32(&memcached.hot_percent, 20);
    atomic_store_relaxed_u32(&memcached.warm_percent, 40);
    atomic_store_relaxed_bool(&memcached.has_crawler, true);
    atomic_store_relaxed_bool(&memcached.has_temporary_lru, false);
    atomic_store_relaxed_bool(&memcached.is_flat_lru, false);
    atomic_store_relaxed_bool(&memcached.counts_prefixes, false);
    atomic_store_relaxed_bool(&memcached.is_noting, false);
}

enum quarry_status memcached_open(const struct memcached_settings *settings,
                                  struct quarry_error *error)
{
    Q_ASSERT(settings != NULL && settings->cache != NULL);
    if (memcached.is_open) {
        return error_set(error, QUARRY_EXISTS, "the memcached door is open already");
    }
    if (settings->worker_count == 0 || settings->worker_count > MEMCACHED_WORKERS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "memcached door: %u workers, limit %u",
                         settings->worker_count, MEMCACHED_WORKERS_MAX);
    }
    memset(memcached.workers, 0, sizeof memcached.workers[0] * settings->worker_count);
    memcached.settings = *settings;
    if (settings->version == NULL) {
        memcached.settings.version = DEFAULT_VERSION;
    }
    memcached.start_seconds = quarry_cache_now(settings->cache);
    memcached_set_allowed(!settings->refuses_flush, !settings->refuses_dump,
                          !settings->refuses_watch, settings->allows_shutdown);
    set_defaults();
    memcached_watch_open();
    memcached_unfinished_open();
    memcached.is_open = true;
    return QUARRY_OK;
}

void memcached_close(void)
{
    Q_ASSERT(memcached.is_open);
    memcached_unfinished_close();
    memcached.is_open = false;
}

void memcached_set_allowed(bool flush, bool dump, bool watch, bool shutdown)
{
    /* Relaxed: each stands alone. */
    atomic_store_relaxed_bool(&memcached.refuses_flush, !flush);
    atomic_store_relaxed_bool(&memcached.refuses_dump, !dump);
    atomic_store_relaxed_bool(&memcached.refuses_watch, !watch);
    atomic_store_relaxed_bool(&memcached.allows_shutdown, shutdown);
}

void memcached_set_verbosity(uint32_t level)
{
    atomic_store_relaxed_u32(&memcached.verbosity, level); /* relaxed: as above */
}

uint32_t memcached_expiry(int32_t exptime)
{
    if (exptime == 0) {
        return 0;
    }
    if (exptime < 0) {
        return QUARRY_CACHE_EXPIRED;
    }
    if (exptime <= MEMCACHED_RELATIVE_SECONDS_MAX) {
        return quarry_cache_now(memcached.settings.cache) + (uint32_t)exptime;
    }
    return (uint32_t)exptime <= memcached.start_seconds ? QUARRY_CACHE_EXPIRED : (uint32_t)exptime;
}

/* ---- answers -------------------------------------------------------------------------------- */

enum memcached_step memcached_say_bytes(struct memcached_turn *turn, const char *text,
                                        size_t length)
{
    return serve_out_copy(turn->connection, text, length) ? MEMCACHED_ON : MEMCACHED_CLOSE;
}

enum memcached_step memcached_say(struct memcached_turn *turn, const char *text)
{
    size_t length = strlen(text);
    char *room = serve_out_room(turn->connection, length + 2);

    if (Q_UNLIKELY(room == NULL)) {
        return MEMCACHED_CLOSE;
    }
    memcpy(room, text, length);
    memcpy(room + length, "\r\n", 2);
    serve_out_advance(turn->connection, length + 2);
    return MEMCACHED_ON;
}

/* ---- phases --------------------------------------------------------------------------------- */

/* Whoever begins as no packet does where only packets are spoken is closed by what reads them. */
static uint8_t protocol_of(uint8_t first)
{
    switch (memcached.settings.speech) {
    case MEMCACHED_SPEAKS_TEXT:
        return MEMCACHED_TEXT;
    case MEMCACHED_SPEAKS_BINARY:
        return MEMCACHED_BINARY;
    case MEMCACHED_SPEAKS_BOTH:
        break;
    }
    return first == 0x80 ? MEMCACHED_BINARY : MEMCACHED_TEXT;
}

static enum memcached_step request_phase(struct memcached_turn *turn)
{
    struct memcached_state *state = turn->state;

    if (Q_UNLIKELY(state->failed_logins >= MEMCACHED_LOGINS_MAX)) {
        return MEMCACHED_CLOSE;
    }
    if (memcached_left(turn) == 0) {
        return MEMCACHED_MORE;
    }
    if (Q_UNLIKELY(state->protocol == MEMCACHED_UNDECIDED)) {
        state->protocol = protocol_of((uint8_t)*turn->at);
    }
    if (state->protocol == MEMCACHED_BINARY) {
        return memcached_packet_phase(turn);
    }
    return Q_LIKELY(turn->identity->rights != 0) ? memcached_text_phase(turn)
                                                 : memcached_login_text_phase(turn);
}

static enum memcached_step swallow_phase(struct memcached_turn *turn)
{
    uint64_t left = memcached_left(turn);
    uint64_t taken = left < turn->state->swallow_bytes ? left : turn->state->swallow_bytes;

    turn->at += taken;
    turn->state->swallow_bytes -= taken;
    if (turn->state->swallow_bytes > 0) {
        return MEMCACHED_MORE;
    }
    turn->state->phase = MEMCACHED_REQUEST;
    return MEMCACHED_ON;
}

enum memcached_step memcached_swallow(struct memcached_turn *turn, uint64_t byte_count)
{
    turn->state->swallow_bytes = byte_count;
    turn->state->phase = MEMCACHED_SWALLOW;
    return swallow_phase(turn);
}

static enum memcached_step swallow_line_phase(struct memcached_turn *turn)
{
    const char *newline = memchr(turn->at, '\n', memcached_left(turn));

    if (newline == NULL) {
        turn->at = turn->end;
        return MEMCACHED_MORE;
    }
    turn->at = newline + 1;
    turn->state->phase = MEMCACHED_REQUEST;
    return MEMCACHED_ON;
}

/* For what was asked of others, whose answer is posted. */
static enum memcached_step waiting_phase(struct memcached_turn *turn)
{
    (void)turn;
    return MEMCACHED_WAIT;
}

static enum memcached_step (*const phases[MEMCACHED_PHASE_COUNT])(struct memcached_turn *turn) = {
    [MEMCACHED_REQUEST] = request_phase,
    [MEMCACHED_KEYS] = memcached_keys_phase,
    [MEMCACHED_QUEUED] = memcached_queued_phase,
    [MEMCACHED_VALUE] = memcached_value_phase,
    [MEMCACHED_VALUE_END] = memcached_value_end_phase,
    [MEMCACHED_SWALLOW] = swallow_phase,
    [MEMCACHED_SWALLOW_LINE] = swallow_line_phase,
    [MEMCACHED_SENDING] = memcached_sending_phase,
    [MEMCACHED_DUMP] = memcached_dump_phase,
    [MEMCACHED_WATCHING] = memcached_watching_phase,
    [MEMCACHED_LOGIN] = waiting_phase,
    [MEMCACHED_ASKING] = waiting_phase,
    [MEMCACHED_CONNECTIONS] = memcached_connections_phase,
};

/* ---- what the worker calls ------------------------------------------------------------------- */

static void open_connection(struct serve_connection *connection)
{
    Q_ASSERT(memcached.is_open);
    memcached_watch_connection(connection, true);
}

static void close_connection(struct serve_connection *connection)
{
    struct memcached_state *state = serve_connection_state(connection);

    switch ((enum memcached_phase)state->phase) {
    case MEMCACHED_QUEUED:
        memcached_unfinished_forget(&state->storing);
        break;
    case MEMCACHED_VALUE:
    case MEMCACHED_VALUE_END:
        memcached_store_abort(state);
        break;
    case MEMCACHED_SENDING:
        if (state->sending.is_pinned) {
            quarry_cache_unpin(serve_connection_identity(connection)->tenant,
                               state->sending.hit.ref);
        }
        break;
    case MEMCACHED_WATCHING:
        memcached_watch_end(state);
        break;
    case MEMCACHED_CONNECTIONS:
        free(state->listing.figures);
        break;
    case MEMCACHED_REQUEST:
    case MEMCACHED_KEYS:
    case MEMCACHED_SWALLOW:
    case MEMCACHED_SWALLOW_LINE:
    case MEMCACHED_DUMP:
    case MEMCACHED_LOGIN:
    case MEMCACHED_ASKING:
    case MEMCACHED_PHASE_COUNT:
        break;
    }
    state->phase = MEMCACHED_REQUEST;
    memcached_watch_connection(connection, false);
}

static void begin_turn(struct serve_connection *connection)
{
    struct memcached_state *state = serve_connection_state(connection);

    quarry_cache_enter(memcached.settings.cache);
    state->turn_requests = 0;
    state->is_borrowing = false;
}

static void end_turn(struct serve_connection *connection)
{
    (void)connection;
    quarry_cache_leave(memcached.settings.cache);
}

void memcached_step_out(struct memcached_turn *turn)
{
    if (Q_UNLIKELY(turn->state->is_borrowing)) {
        serve_connection_flush(turn->connection);
        turn->state->is_borrowing = false;
    }
    quarry_cache_leave(memcached.settings.cache);
}

void memcached_step_in(struct memcached_turn *turn)
{
    (void)turn;
    quarry_cache_enter(memcached.settings.cache);
}

static enum memcached_step advance(struct memcached_turn *turn)
{
    enum memcached_step step;

    do {
        bool had_its_share =
            turn->state->turn_requests >= MEMCACHED_TURN_REQUESTS || memcached_is_full(turn);

        if (had_its_share && memcached_left(turn) > 0) {
            memcached_count(&turn->counters->yields);
            return MEMCACHED_YIELD;
        }
        turn->tenant = turn->identity->tenant; /* a login changes it */
        /* Relaxed: who begins to watch sees what comes a little later. */
        turn->notes = atomic_load_relaxed_bool(&memcached.is_noting) ? MEMCACHED_NOTES_ALL : 0;
        step = phases[turn->state->phase](turn);
        memcached_tell_hits(turn);
    } while (step == MEMCACHED_ON);
    return step;
}

static enum serve_step serve_step_of(enum memcached_step step)
{
    switch (step) {
    case MEMCACHED_MORE:
        return SERVE_MORE;
    case MEMCACHED_YIELD:
        return SERVE_YIELD;
    case MEMCACHED_CLOSE:
        return SERVE_CLOSE;
    case MEMCACHED_PAUSE:
        return SERVE_PAUSE;
    case MEMCACHED_WAIT:
        return SERVE_WAIT;
    case MEMCACHED_ON:
        break;
    }
    Q_UNREACHABLE();
}

static struct memcached_turn turn_of(struct serve_connection *connection, const char *bytes,
                                     size_t byte_count)
{
    uint32_t worker = serve_worker_index(serve_connection_worker(connection));

    Q_ASSERT(worker < memcached.settings.worker_count);
    return (struct memcached_turn){
        .connection = connection,
        .state = serve_connection_state(connection),
        .counters = &memcached.workers[worker],
        .identity = serve_connection_identity(connection),
        .tenant = serve_connection_identity(connection)->tenant,
        .at = bytes,
        .end = bytes + byte_count,
    };
}

/* Of a request that has been consumed in part, how much is to come at least. */
static uint64_t expected_bytes(const struct memcached_state *state)
{
    const struct memcached_storing *storing = &state->storing;

    switch ((enum memcached_phase)state->phase) {
    case MEMCACHED_QUEUED:
        return storing->value_bytes + (storing->form == MEMCACHED_PACKET ? 0 : 2);
    case MEMCACHED_SWALLOW:
        return state->swallow_bytes;
    case MEMCACHED_KEYS:
    case MEMCACHED_VALUE:
    case MEMCACHED_VALUE_END:
    case MEMCACHED_SWALLOW_LINE:
        return 1;
    case MEMCACHED_REQUEST:
    case MEMCACHED_SENDING:
    case MEMCACHED_DUMP:
    case MEMCACHED_WATCHING:
    case MEMCACHED_LOGIN:
    case MEMCACHED_ASKING:
    case MEMCACHED_CONNECTIONS:
    case MEMCACHED_PHASE_COUNT:
        break;
    }
    return 0;
}

static enum serve_step input(struct serve_connection *connection, const char *bytes,
                             size_t byte_count, size_t *ret_consumed)
{
    struct memcached_turn turn = turn_of(connection, bytes, byte_count);
    enum memcached_step step = advance(&turn);

    Q_ASSERT(turn.at >= bytes && turn.at <= turn.end);
    *ret_consumed = (size_t)(turn.at - bytes);
    serve_connection_expect(connection, expected_bytes(turn.state));
    return serve_step_of(step);
}

static enum serve_step filled(struct serve_connection *connection, size_t byte_count)
{
    struct memcached_turn turn = turn_of(connection, "", 0);
    struct memcached_state *state = turn.state;

    Q_ASSERT(state->phase == MEMCACHED_VALUE);
    if (byte_count > 0) {
        quarry_cache_write_filled(&state->storing.write, byte_count);
    }
    enum memcached_step step = advance(&turn);

    serve_connection_expect(connection, expected_bytes(state));
    return serve_step_of(step);
}

/* ---- values that wait for their reader ------------------------------------------------------- */

/* A stretch's token: its tenant, the item's ref, where its key is and how long that is. */
static void *token_address(const struct serve_borrowed *borrowed, size_t index)
{
    uintptr_t address = (uintptr_t)borrowed->token[index];
    void *pointer;

    memcpy(&pointer, &address, sizeof pointer);
    return pointer;
}

static bool hold(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    const struct quarry_cache_hit hit = {
        .piece = {borrowed->bytes, borrowed->byte_count},
        .ref = borrowed->token[1],
        .key = token_address(borrowed, 2),
        .key_bytes = (uint32_t)borrowed->token[3],
    };

    (void)connection;
    return quarry_cache_pin(token_address(borrowed, 0), &hit);
}

static void release(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    quarry_cache_unpin(token_address(borrowed, 0), borrowed->token[1]);
}

/* ---- what it is at --------------------------------------------------------------------------- */

const char *memcached_at(struct serve_connection *connection)
{
    const struct memcached_state *state = serve_connection_state(connection);

    switch ((enum memcached_phase)state->phase) {
    case MEMCACHED_REQUEST:
        return serve_out_waiting(connection) > 0 ? "conn_mwrite" : "conn_read";
    case MEMCACHED_KEYS:
    case MEMCACHED_LOGIN:
    case MEMCACHED_ASKING:
    case MEMCACHED_CONNECTIONS:
        return "conn_parse_cmd";
    case MEMCACHED_QUEUED:
    case MEMCACHED_VALUE:
    case MEMCACHED_VALUE_END:
        return "conn_nread";
    case MEMCACHED_SWALLOW:
    case MEMCACHED_SWALLOW_LINE:
        return "conn_swallow";
    case MEMCACHED_SENDING:
    case MEMCACHED_DUMP:
        return "conn_mwrite";
    case MEMCACHED_WATCHING:
        return "conn_watch";
    case MEMCACHED_PHASE_COUNT:
        break;
    }
    Q_UNREACHABLE();
}

/* ---- what was asked of others ---------------------------------------------------------------- */

void memcached_login_done(struct serve_connection *connection,
                          const struct serve_identity *identity)
{
    struct memcached_turn turn = turn_of(connection, "", 0);

    Q_ASSERT(turn.state->phase == MEMCACHED_LOGIN);
    turn.state->phase = MEMCACHED_REQUEST;
    memcached_login_answer(&turn, identity);
    serve_connection_flush(connection);
}

void memcached_certificates_done(struct serve_connection *connection, const char *why)
{
    struct memcached_turn turn = turn_of(connection, "", 0);

    Q_ASSERT(turn.state->phase == MEMCACHED_ASKING);
    turn.state->phase = MEMCACHED_REQUEST;
    if (why != NULL || !turn.state->is_asking_quietly) {
        (void)memcached_say(&turn, why != NULL ? why : "OK"); /* no memory fails the connection */
    }
    serve_connection_flush(connection);
}

/* They are told when the connection goes on, with the byte that it has left. */
void memcached_connections_done(struct serve_connection *connection,
                                struct memcached_connection_figures **figures, size_t count)
{
    struct memcached_state *state = serve_connection_state(connection);

    Q_ASSERT(state->phase == MEMCACHED_ASKING);
    state->phase = MEMCACHED_CONNECTIONS;
    state->listing = (struct memcached_listing){.figures = *figures, .count = count};
    *figures = NULL;
}

void memcached_set_address(const struct memcached_address *address)
{
    memcached.address = *address;
}

const struct serve_door memcached_door = {
    .name = "memcached",
    .state_bytes = sizeof(struct memcached_state),
    .open = open_connection,
    .close = close_connection,
    .begin = begin_turn,
    .end = end_turn,
    .input = input,
    .filled = filled,
    .hold = hold,
    .release = release,
};
