/*
 * Values on their way in.
 *
 *     the value and its line end are in the buffer    quarry_cache_store, one call
 *     a part of it is                                 begin; what is there is copied to its cell;
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
 *  4. While a value is awaited there is a write in the state, or its bytes are swallowed; closing
 *     the connection aborts it.
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

/* Counts what an unfinished value takes by now; `is_over`: nothing any more. */
static void count_unfinished(struct memcached_storing *storing, bool is_over)
{
    const struct quarry_cache_write *write = &storing->write;
    uint64_t bytes = is_over ? 0
                             : size_min_u64(write->value_bytes,
                                            write->filled_bytes + MEMCACHED_UNFINISHED_BYTES);

    /* Relaxed: a figure that a limit is compared with. */
    (void)atomic_add_relaxed_u64(&memcached.unfinished_bytes, bytes - storing->unfinished_bytes);
    storing->unfinished_bytes = bytes;
}

/* The cache's size may change; reading it costs microseconds, so that is done once a second. */
static uint64_t read_unfinished_max(void)
{
    uint32_t now = quarry_cache_now(memcached.settings.cache);
    struct quarry_cache_stats stats;

    /* Relaxed, all: who is a little late has the part of a second ago. */
    if (atomic_load_relaxed_u32(&memcached.unfinished_max_at) != now) {
        atomic_store_relaxed_u32(&memcached.unfinished_max_at, now);
        quarry_cache_read_stats(memcached.settings.cache, &stats);
        atomic_store_relaxed_u64(&memcached.unfinished_max,
                                 stats.size_bytes / MEMCACHED_UNFINISHED_PART);
    }
    return atomic_load_relaxed_u64(&memcached.unfinished_max);
}

static bool is_too_much_unfinished(void)
{
    /* Relaxed: as above. Less than a MiB is a small part of every cache. */
    uint64_t bytes = atomic_load_relaxed_u64(&memcached.unfinished_bytes);

    return Q_UNLIKELY(bytes > Q_MIB(1)) && bytes > read_unfinished_max();
}

/* The key of a value that is coming. */
static struct quarry_cache_key key_of(const struct memcached_turn *turn,
                                      const struct memcached_storing *storing)
{
    return quarry_cache_key_make(turn->tenant, storing->key, storing->key_bytes);
}

/* There is no memory for the rest of a value. */
static enum memcached_step give_up(struct memcached_turn *turn)
{
    struct memcached_storing *storing = &turn->state->storing;
    uint64_t left = storing->write.value_bytes - storing->write.filled_bytes;

    serve_connection_want(turn->connection, NULL, 0);
    count_unfinished(storing, true);
    quarry_cache_write_abort(&storing->write);
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
    count_unfinished(storing, true);
    enum quarry_cache_outcome outcome =
        outcome_of_commit(quarry_cache_write_commit(&storing->write, &storing->options, &stored));

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
        count_unfinished(storing, false);
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
    count_unfinished(storing, true);
    quarry_cache_write_abort(&storing->write);
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
    count_unfinished(&state->storing, true);
    quarry_cache_write_abort(&state->storing.write);
}

/* ---- beginnings ----------------------------------------------------------------------------- */

/* By parts, whether it has all come or not. */
static enum memcached_step begin(struct memcached_turn *turn,
                                 const struct memcached_storing *storing,
                                 const struct quarry_cache_key *key, uint64_t value_bytes)
{
    struct memcached_state *state = turn->state;

    if (storing != &state->storing) {
        memcpy(&state->storing, storing,
               offsetof(struct memcached_storing, echo) + storing->echo_bytes);
    }
    memcpy(state->storing.key, key->bytes, key->byte_count);
    state->storing.key_bytes = (uint8_t)key->byte_count;
    state->storing.unfinished_bytes = 0;
    enum quarry_cache_outcome outcome =
        is_too_much_unfinished()
            ? QUARRY_CACHE_NO_MEMORY
            : quarry_cache_write_begin(turn->tenant, key, value_bytes, &state->storing.options,
                                       &state->storing.write);

    if (outcome != QUARRY_CACHE_HIT) {
        return refuse_value(turn, &state->storing, key, value_bytes, outcome);
    }
    count_unfinished(&state->storing, false);
    state->phase = MEMCACHED_VALUE;
    return MEMCACHED_ON;
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
                                      : begin(turn, storing, key, value_bytes);
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
