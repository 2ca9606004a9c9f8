/*
 * Values on their way in.
 *
 *     the value and its line end are in the buffer    quarry_cache_store, one call
 *     a part of it is                                 a place for it, perhaps waited for; begin;
 *                                                     what is there is copied to its cell;
 *                                                     the rest is read from the socket straight
 *                                                     into the cell (serve_connection_want)
 *     it is refused                                   answered at once; its bytes are swallowed
 *
 * Invariants:
 *  1. The answer does not depend on where the bytes were split: both ways ask the cache the same
 *     questions in the same order.
 *  2. A set that fails for its size or for memory deletes what was there: a reader must not find
 *     what its writer believes to be replaced.
 *  3. A request stays in step: its value's bytes and its line end are consumed whatever comes of
 * it.
 *  4. While a value is awaited there is a write in the state, or it waits for its place, or its
 *     bytes are swallowed; closing the connection aborts it.
 *
 * Memory: a value's memory is taken when its length is known; a large one's as its bytes come. All
 * of it is taken outside the cache's epoch, in which the rest of the turn is: who is inside keeps
 * from being used what is evicted for him, and of a client that pipelines large values one in fifty
 * was refused.
 *
 * Rejected: reading the rest of small values straight into their cells: it takes a second read for
 * what stands behind them, which costs more than a copy of up to 8 KiB.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_store.h>

#include <serve/memcached_meta.h>
#include <serve/memcached_packet.h>
#include <serve/memcached_request.h>
#include <serve/memcached_unfinished.h>

/* ---- answers -------------------------------------------------------------------------------- */

static enum memcached_step say_unless_quiet(struct memcached_turn *turn, bool is_quiet,
                                            const char *text)
{
    return is_quiet ? MEMCACHED_ON : memcached_say(turn, text);
}

static const char *text_of(enum quarry_cache_outcome outcome)
{
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return "STORED";
    case QUARRY_CACHE_MISS:
        return "NOT_FOUND";
    case QUARRY_CACHE_NOT_STORED:
        return "NOT_STORED";
    case QUARRY_CACHE_EXISTS:
        return "EXISTS";
    case QUARRY_CACHE_TOO_LARGE:
        return "SERVER_ERROR object too large for cache";
    case QUARRY_CACHE_NO_MEMORY:
        return "SERVER_ERROR out of memory storing object";
    case QUARRY_CACHE_NOT_NUMBER:
        break;
    }
    Q_UNREACHABLE();
}

enum memcached_step memcached_stored(struct memcached_turn *turn,
                                     const struct memcached_storing *storing,
                                     enum quarry_cache_outcome outcome,
                                     const struct quarry_cache_stored *stored)
{
    switch ((enum memcached_form)storing->form) {
    case MEMCACHED_META:
        return memcached_meta_stored(turn, outcome, storing->is_quiet, storing->echo,
                                     storing->echo_bytes, stored);
    case MEMCACHED_PACKET:
        return memcached_packet_stored(turn, storing, outcome, stored);
    case MEMCACHED_CLASSIC:
        break;
    }
    return say_unless_quiet(turn, storing->is_quiet, text_of(outcome));
}

/* A value whose line end is none. A meta request is told so even where it is quiet. */
static enum memcached_step say_bad_chunk(struct memcached_turn *turn,
                                         const struct memcached_storing *storing)
{
    bool is_quiet = storing->is_quiet && storing->form == MEMCACHED_CLASSIC;

    return say_unless_quiet(turn, is_quiet, "CLIENT_ERROR bad data chunk");
}

/* ---- outcomes ------------------------------------------------------------------------------- */

/* How many bytes stand behind a value. */
static uint64_t line_end_of(const struct memcached_storing *storing)
{
    return storing->form == MEMCACHED_PACKET ? 0 : 2;
}

static void count_failure(struct memcached_turn *turn, enum quarry_cache_outcome outcome)
{
    memcached_count(outcome == QUARRY_CACHE_TOO_LARGE ? &turn->counters->store_too_large
                                                      : &turn->counters->store_no_memory);
}

/* As `watch` puts it. */
static const char *status_of(enum quarry_cache_outcome outcome)
{
    return outcome == QUARRY_CACHE_HIT         ? "stored"
           : outcome == QUARRY_CACHE_EXISTS    ? "exists"
           : outcome == QUARRY_CACHE_MISS      ? "not_found"
           : outcome == QUARRY_CACHE_NO_MEMORY ? "no_memory"
           : outcome == QUARRY_CACHE_TOO_LARGE ? "too_large"
                                               : "not_stored";
}

/*
 * A value is not stored: says so, removes what a set was to replace, and passes over what is left
 * of it, `left_bytes`.
 */
static enum memcached_step refuse_value(struct memcached_turn *turn,
                                        const struct memcached_storing *storing,
                                        const struct quarry_cache_key *key, uint64_t left_bytes,
                                        enum quarry_cache_outcome outcome)
{
    count_failure(turn, outcome);
    memcached_note(turn, MEMCACHED_EVENT_SET, key, status_of(outcome), left_bytes,
                   &storing->options);
    if (storing->options.mode == QUARRY_CACHE_SET && !storing->options.has_cas) {
        (void)quarry_cache_delete(turn->tenant, key, NULL);
    }
    if (memcached_stored(turn, storing, outcome, NULL) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    return memcached_swallow(turn, left_bytes + line_end_of(storing));
}

/* What an append whose result would be too large is told. */
static enum quarry_cache_outcome outcome_of_commit(enum quarry_cache_outcome outcome)
{
    return outcome == QUARRY_CACHE_TOO_LARGE ? QUARRY_CACHE_NOT_STORED : outcome;
}

/* ---- all of it in the buffer ---------------------------------------------------------------- */

/* Fills a write with as many of the bytes as it takes. Returns: how many; fewer: no memory. */
static uint64_t fill(struct quarry_cache_write *write, const char *bytes, uint64_t byte_count)
{
    uint64_t done = 0;

    while (done < byte_count) {
        size_t room_bytes;
        char *room = quarry_cache_write_room(write, &room_bytes);

        if (room == NULL) {
            break;
        }
        size_t taken = (size_t)(byte_count - done < room_bytes ? byte_count - done : room_bytes);

        memcpy(room, bytes + done, taken);
        quarry_cache_write_filled(write, taken);
        done += taken;
    }
    return done;
}

static enum memcached_step store_now(struct memcached_turn *turn,
                                     const struct memcached_storing *storing,
                                     const struct quarry_cache_key *key, uint64_t value_bytes)
{
    const char *value = turn->at;
    struct quarry_cache_stored stored = {0};
    enum quarry_cache_outcome outcome =
        quarry_cache_store(turn->tenant, key, value, value_bytes, &storing->options, &stored);

    if (Q_UNLIKELY(outcome == QUARRY_CACHE_TOO_LARGE || outcome == QUARRY_CACHE_NO_MEMORY)) {
        return refuse_value(turn, storing, key, value_bytes, outcome);
    }
    turn->at += value_bytes + line_end_of(storing);
    memcached_note(turn, MEMCACHED_EVENT_SET, key, status_of(outcome), value_bytes,
                   &storing->options);
    return memcached_stored(turn, storing, outcome, &stored);
}

/* ---- bytes that come ------------------------------------------------------------------------- */

/* The key of a value that is coming. */
static struct quarry_cache_key key_of(const struct memcached_turn *turn,
                                      const struct memcached_storing *storing)
{
    return quarry_cache_key_make(turn->tenant, storing->key, storing->key_bytes);
}

static void abort_write(struct memcached_storing *storing)
{
    quarry_cache_write_abort(&storing->write);
    memcached_unfinished_end(storing); /* behind it: who is told finds the memory free */
}

/*
 * There is no memory for the rest of a value. It has a place, and so do the others that come: what
 * else is in the cache was evicted for it, or is held for readers, who may take as long as they
 * like. So this does not wait.
 */
static enum memcached_step give_up(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;
    uint64_t left = storing->write.value_bytes - storing->write.filled_bytes;

    serve_connection_want(turn->connection, NULL, 0);
    abort_write(storing);
    turn->state->phase = MEMCACHED_REQUEST; /* before anything else: the write is gone */
    struct quarry_cache_key key = key_of(turn, storing);

    return refuse_value(turn, storing, &key, left, QUARRY_CACHE_NO_MEMORY);
}

/* Has what comes next read straight to where it belongs, if it is enough to be worth a read. */
static enum memcached_step want_rest(struct memcached_turn *turn)
{
    struct quarry_cache_write *write = &turn->state->storing.write;
    size_t room_bytes;

    if (write->value_bytes - write->filled_bytes < MEMCACHED_WANTED_BYTES) {
        serve_connection_want(turn->connection, NULL, 0);
        return MEMCACHED_MORE;
    }
    char *room = quarry_cache_write_room(write, &room_bytes);

    if (room == NULL) {
        return give_up(turn);
    }
    serve_connection_want(turn->connection, room, room_bytes);
    return MEMCACHED_MORE;
}

/* The value is whole, and what stands behind it is as it must be. */
static enum memcached_step commit(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;
    struct quarry_cache_stored stored = {0};
    uint64_t value_bytes = storing->write.value_bytes;
    struct quarry_cache_key key = key_of(turn, storing);

    turn->state->phase = MEMCACHED_REQUEST;
    enum quarry_cache_outcome outcome =
        outcome_of_commit(quarry_cache_write_commit(&storing->write, &storing->options, &stored));

    memcached_unfinished_end(storing);
    memcached_note(turn, MEMCACHED_EVENT_SET, &key, status_of(outcome), value_bytes,
                   &storing->options);
    return memcached_stored(turn, storing, outcome, &stored);
}

static enum memcached_step value_phase(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;
    struct quarry_cache_write *write = &storing->write;
    uint64_t left = write->value_bytes - write->filled_bytes;
    uint64_t there = memcached_left(turn) < left ? memcached_left(turn) : left;
    uint64_t filled = fill(write, turn->at, there);

    turn->at += filled;
    if (filled < there) {
        return give_up(turn);
    }
    if (filled < left) {
        return want_rest(turn);
    }
    serve_connection_want(turn->connection, NULL, 0);
    if (line_end_of(storing) == 0) {
        return commit(turn);
    }
    turn->state->phase = MEMCACHED_VALUE_END;
    return MEMCACHED_ON;
}

enum memcached_step memcached_value_phase(struct memcached_turn *turn)
{
    memcached_step_out(turn);
    enum memcached_step step = value_phase(turn);
    memcached_step_in(turn);
    return step;
}

static enum memcached_step value_end_phase(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;

    if (memcached_left(turn) < 2) {
        return MEMCACHED_MORE;
    }
    bool is_good = turn->at[0] == '\r' && turn->at[1] == '\n';

    turn->at += 2;
    if (is_good) {
        return commit(turn);
    }
    abort_write(storing);
    turn->state->phase = MEMCACHED_REQUEST;
    return say_bad_chunk(turn, storing);
}

enum memcached_step memcached_value_end_phase(struct memcached_turn *turn)
{
    memcached_step_out(turn);
    enum memcached_step step = value_end_phase(turn);
    memcached_step_in(turn);
    return step;
}

void memcached_store_abort(struct memcached_state *state)
{
    Q_ASSERT(state->phase == MEMCACHED_VALUE || state->phase == MEMCACHED_VALUE_END);
    abort_write(&state->storing);
}

/* ---- beginnings ----------------------------------------------------------------------------- */

/* It has its place: takes memory for it. */
static enum memcached_step begin_write(struct memcached_turn *turn,
                                       const struct quarry_cache_key *key)
{
    struct memcached_storing *storing = &turn->state->storing;
    enum quarry_cache_outcome outcome = quarry_cache_write_begin(
        turn->tenant, key, storing->value_bytes, &storing->options, &storing->write);

    if (outcome != QUARRY_CACHE_HIT) {
        memcached_unfinished_end(storing);
        turn->state->phase = MEMCACHED_REQUEST;
        return refuse_value(turn, storing, key, storing->value_bytes, outcome);
    }
    turn->state->phase = MEMCACHED_VALUE;
    return MEMCACHED_ON;
}

/* By parts; `is_whole`: all of it has come, so that it needs no place. */
static enum memcached_step begin(struct memcached_turn *turn,
                                 const struct memcached_storing *storing,
                                 const struct quarry_cache_key *key, uint64_t value_bytes,
                                 bool is_whole)
{
    struct memcached_state *state = turn->state;

    if (storing != &state->storing) {
        memcpy(&state->storing, storing,
               offsetof(struct memcached_storing, echo) + storing->echo_bytes);
    }
    memcpy(state->storing.key, key->bytes, key->byte_count);
    state->storing.key_bytes = (uint8_t)key->byte_count;
    state->storing.value_bytes = value_bytes;
    state->storing.place_bytes = 0;
    if (is_whole) {
        return begin_write(turn, key);
    }
    state->storing.waiter = (struct memcached_waiter){.is_waiting = false};
    state->phase = MEMCACHED_QUEUED;
    return MEMCACHED_ON;
}

/*
 * Its answers are taken before it asks for a place: else a client could have a place and not use
 * it, as long as it takes its answers one byte at a time.
 */
static bool has_answers_waiting(struct memcached_turn *turn)
{
    if (serve_out_waiting(turn->connection) > 0) {
        serve_connection_flush(turn->connection);
    }
    return serve_out_waiting(turn->connection) > 0;
}

static enum memcached_step queued_phase(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;

    if (!storing->waiter.has_asked && has_answers_waiting(turn)) {
        return MEMCACHED_PAUSE;
    }
    if (!memcached_unfinished_may_begin(turn)) {
        return MEMCACHED_WAIT;
    }
    struct quarry_cache_key key = key_of(turn, storing);

    return begin_write(turn, &key);
}

enum memcached_step memcached_queued_phase(struct memcached_turn *turn)
{
    memcached_step_out(turn);
    enum memcached_step step = queued_phase(turn);
    memcached_step_in(turn);
    return step;
}

enum memcached_step memcached_store_value(struct memcached_turn *turn,
                                          const struct memcached_storing *storing,
                                          const struct quarry_cache_key *key, uint64_t value_bytes)
{
    uint64_t line_end = line_end_of(storing);
    bool is_whole = memcached_left(turn) >= value_bytes + line_end;
    bool is_plain = storing->options.mode <= QUARRY_CACHE_REPLACE;

    bool is_now =
        is_whole && is_plain && (line_end == 0 || memcmp(turn->at + value_bytes, "\r\n", 2) == 0);

    memcached_step_out(turn);
    enum memcached_step step = is_now ? store_now(turn, storing, key, value_bytes)
                                      : begin(turn, storing, key, value_bytes, is_whole);
    memcached_step_in(turn);
    return step;
}

/* How a request of the text protocol says to store. */
enum memcached_step memcached_store(struct memcached_turn *turn,
                                    const struct memcached_request *request)
{
    struct memcached_storing storing;

    storing.is_quiet = request->is_quiet;
    storing.echo_bytes = 0;
    if (request->kind == MEMCACHED_META_STORE) {
        storing.form = MEMCACHED_META;
        memcached_count(&turn->counters->meta_requests);
        memcached_meta_store_options(request, &storing.options);
        size_t echo_bytes = memcached_meta_echo(storing.echo, request, true);

        Q_ASSERT(echo_bytes <= sizeof storing.echo); /* reading has looked at its opaque */
        storing.echo_bytes = (uint16_t)echo_bytes;
    } else {
        storing.form = MEMCACHED_CLASSIC;
        storing.options = (struct quarry_cache_store_options){
            .mode = (enum quarry_cache_mode)request->mode,
            .client_flags = request->client_flags,
            .expiry = request->expiry,
            .has_cas = request->has_cas,
            .cas = request->number,
        };
    }
    return memcached_store_value(turn, &storing, &request->key, request->value_bytes);
}
