/*
 * Answers with values: get and its like, and what sends a value of any size.
 *
 *     up to 1 KiB     VALUE k f n\r\n value \r\n END\r\n   one stretch of the answer's own memory
 *     up to 1 MiB     VALUE k f n\r\n │ value │ \r\n …     header copied, value pointed to
 *     above           the same, the value sent in stretches as the reader takes them
 *
 * A value that is sent in stretches is pinned. Where the tenant has as much pinned as it may, the
 * key, the cas and how much has gone are kept instead, and the item is looked up again for each
 * stretch: a reader costs no more than a stretch. If it has been changed or has gone meanwhile the
 * connection is closed, since half an answer cannot be taken back.
 *
 * A get of many keys is a phase of its own, MEMCACHED_KEYS, whose cursor moves from key to key in
 * the line: so that it can stop where the answers are enough and go on when they have been taken,
 * and so that a line may be of any length while no more than a part of it is held.
 *
 * Invariants:
 *  1. What is pointed to stays until the turn ends: a turn is inside the cache's epoch.
 *  2. While there is more to send of a request, a byte of it is left unconsumed, so that the worker
 *     comes back.
 *  3. All stretches of an answer are of one version: of one pin, or of one cas and length. Who
 * stores other bytes of the same length under the same cas, by E, has said that they are the same.
 *  4. In the first MEMCACHED_LINE_BYTES_MAX bytes of a line no key is too long, or nothing of it is
 *     answered but the error. A long one beyond them ends the answers where it stands.
 *
 * Cost: a hit of up to 1 KiB: one copy, no division but for the numbers of the header.
 *
 * Rejected: a copy of what cannot be pinned: 100 MiB for each reader of such a value, in the memory
 * of the net.
 */
#include <serve/memcached_request.h>

/* "VALUE ", a key, flags, a length, a cas, their spaces, two line ends, END. */
#define HEADER_BYTES_MAX                                                                           \
    (6 + QUARRY_CACHE_KEY_BYTES_MAX + 3 * (1 + MEMCACHED_NUMBER_BYTES) + 2 + 2 + 5)

static enum memcached_step wrote(struct memcached_turn *turn, char *room, const char *end)
{
    serve_out_advance(turn->connection, (size_t)(end - room));
    return MEMCACHED_ON;
}

static inline char *put(char *out, const void *bytes, size_t byte_count)
{
    memcpy(out, bytes, byte_count);
    return out + byte_count;
}

static char *write_header(char *out, const struct quarry_cache_key *key,
                          const struct quarry_cache_hit *hit, bool has_cas)
{
    out = put(out, "VALUE ", 6);
    out = put(out, key->bytes, key->byte_count);
    *out++ = ' ';
    out = memcached_write_short(out, hit->client_flags);
    *out++ = ' ';
    out = memcached_write_short(out, hit->value_bytes);
    if (has_cas) {
        *out++ = ' ';
        out = memcached_write_u64(out, hit->cas);
    }
    return put(out, "\r\n", 2);
}

/* Whether a value is answered by copying it. */
static inline bool is_copied(const struct quarry_cache_hit *hit)
{
    return hit->value_bytes <= MEMCACHED_COPIED_BYTES && hit->piece.byte_count == hit->value_bytes;
}

/* How a key is asked for with more than its value. */
static enum quarry_cache_outcome look_up_whole(struct memcached_turn *turn,
                                               const struct quarry_cache_key *key, bool touches,
                                               uint32_t expiry, struct quarry_cache_hit *ret_hit)
{
    const struct quarry_cache_get_options options = {.touches = touches, .expiry = expiry};

    if (touches) {
        memcached_count(&turn->counters->touch_requests);
    }
    return quarry_cache_get(turn->tenant, key, &options, ret_hit);
}

/* How a key is asked for. A hit's cas is told where the request wants it. */
static inline enum quarry_cache_outcome look_up(struct memcached_turn *turn,
                                                const struct quarry_cache_key *key, bool has_cas,
                                                bool touches, uint32_t expiry,
                                                struct quarry_cache_hit *ret_hit)
{
    if (Q_UNLIKELY(has_cas || touches)) {
        return look_up_whole(turn, key, touches, expiry, ret_hit);
    }
    enum quarry_cache_outcome outcome = quarry_cache_get_value(turn->tenant, key, ret_hit);

    if (Q_UNLIKELY(outcome == QUARRY_CACHE_HIT &&
                   ret_hit->value_bytes > MEMCACHED_STREAMED_BYTES)) {
        return look_up_whole(turn, key, false, 0, ret_hit); /* by its cas it is found again */
    }
    turn->hit_count += outcome == QUARRY_CACHE_HIT;
    return outcome;
}

/* ---- one key -------------------------------------------------------------------------------- */

/* Answers with a value that is not copied, and END behind it. */
static enum memcached_step send_one_large(struct memcached_turn *turn,
                                          const struct memcached_request *request,
                                          const struct quarry_cache_hit *hit)
{
    char *room = serve_out_room(turn->connection, HEADER_BYTES_MAX);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    wrote(turn, room, write_header(room, &request->key, hit, request->has_cas));
    if (hit->value_bytes > MEMCACHED_STREAMED_BYTES) {
        /* The line's end is not consumed before the value has gone: KEYS finds it, and says END. */
        turn->at -= 1;
        return memcached_send_value(turn, hit, 2, MEMCACHED_KEYS, 0);
    }
    if (memcached_send_pieces(turn, hit) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    return memcached_say_bytes(turn, "\r\nEND\r\n", 7);
}

enum memcached_step memcached_get_one(struct memcached_turn *turn,
                                      const struct memcached_request *request)
{
    struct quarry_cache_hit hit;
    enum quarry_cache_outcome outcome =
        look_up(turn, &request->key, request->has_cas, request->touches, request->expiry, &hit);

    memcached_note(turn, MEMCACHED_EVENT_GET, &request->key,
                   outcome == QUARRY_CACHE_HIT ? "found" : "not_found",
                   outcome == QUARRY_CACHE_HIT ? hit.value_bytes : 0, NULL);
    if (outcome != QUARRY_CACHE_HIT) {
        return MEMCACHED_SAY(turn, "END");
    }
    if (!is_copied(&hit)) {
        return send_one_large(turn, request, &hit);
    }
    char *room = serve_out_room(turn->connection, HEADER_BYTES_MAX + hit.value_bytes);

    if (Q_UNLIKELY(room == NULL)) {
        return MEMCACHED_CLOSE;
    }
    char *out = write_header(room, &request->key, &hit, request->has_cas);

    out = put(out, hit.piece.bytes, hit.piece.byte_count);
    return wrote(turn, room, put(out, "\r\nEND\r\n", 7));
}

/* ---- many keys ------------------------------------------------------------------------------ */

enum memcached_step memcached_get_keys(struct memcached_turn *turn,
                                       const struct memcached_request *request)
{
    struct memcached_state *state = turn->state;

    state->get_has_cas = request->has_cas;
    state->get_touches = request->touches;
    state->get_expiry = request->expiry;
    state->phase = MEMCACHED_KEYS;
    turn->at = request->keys.text;
    return MEMCACHED_ON;
}

/* Keys of a line that are looked up together. */
struct keys {
    struct quarry_cache_key at[MEMCACHED_BATCH];
    uint32_t count;
    const char *behind; /* the first byte that is of none of them */
    bool is_last;       /* that byte ends the line: `behind` is past its newline */
    bool is_too_long;   /* what stands there is no key */
};

/* The next word of the line. Returns: false: it is not whole yet, or there is none. */
static bool next_key(const struct memcached_turn *turn, struct keys *keys,
                     struct memcached_word *ret_word)
{
    const char *at = keys->behind;

    while (at < turn->end && *at == ' ') {
        at++;
    }
    keys->behind = at;
    const char *stop = at;

    while (stop < turn->end && *stop != ' ' && *stop != '\n') {
        stop++;
    }
    size_t length = (size_t)(stop - at);

    if (stop < turn->end && *stop == '\n') {
        keys->is_last = true;
        keys->behind = stop + 1;
        length -= length > 0 && stop[-1] == '\r' ? 1 : 0;
    } else if (stop < turn->end) {
        keys->behind = stop;
    } else {
        /* A carriage return may be of the line's end. */
        keys->is_too_long = length > QUARRY_CACHE_KEY_BYTES_MAX + 1;
        return false;
    }
    *ret_word = (struct memcached_word){at, length};
    keys->is_too_long = length > QUARRY_CACHE_KEY_BYTES_MAX;
    return length > 0 && !keys->is_too_long;
}

static void read_keys(const struct memcached_turn *turn, struct keys *keys)
{
    struct memcached_word word;

    *keys = (struct keys){.behind = turn->at};
    while (keys->count < MEMCACHED_BATCH && !keys->is_last && next_key(turn, keys, &word)) {
        struct quarry_cache_key *key = &keys->at[keys->count++];

        *key = quarry_cache_key_make(turn->tenant, word.text, word.length);
        quarry_cache_prefetch(turn->tenant, key);
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        quarry_cache_prefetch_item(turn->tenant, &keys->at[i]);
    }
}

/* Answers one key of many. Returns: ON with the phase as it was, where the next key may come. */
static enum memcached_step send_key(struct memcached_turn *turn, const struct quarry_cache_key *key)
{
    struct memcached_state *state = turn->state;
    struct quarry_cache_hit hit;
    enum quarry_cache_outcome outcome =
        look_up(turn, key, state->get_has_cas, state->get_touches, state->get_expiry, &hit);

    memcached_note(turn, MEMCACHED_EVENT_GET, key,
                   outcome == QUARRY_CACHE_HIT ? "found" : "not_found",
                   outcome == QUARRY_CACHE_HIT ? hit.value_bytes : 0, NULL);
    if (outcome != QUARRY_CACHE_HIT) {
        return MEMCACHED_ON;
    }
    bool copies = is_copied(&hit);
    char *room =
        serve_out_room(turn->connection, HEADER_BYTES_MAX + (copies ? hit.value_bytes : 0));

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    char *out = write_header(room, key, &hit, state->get_has_cas);

    if (!copies) {
        wrote(turn, room, out);
        return memcached_send_value(turn, &hit, 2, MEMCACHED_KEYS, 0);
    }
    out = put(out, hit.piece.bytes, hit.piece.byte_count);
    return wrote(turn, room, put(out, "\r\n", 2));
}

/* All keys that were read are answered: the line may be, too. */
static enum memcached_step end_keys(struct memcached_turn *turn, const struct keys *keys)
{
    struct memcached_state *state = turn->state;

    if (keys->is_too_long) {
        /* The line's end is found again, if it was there. */
        turn->at = keys->is_last ? keys->behind - 1 : keys->behind;
        state->phase = MEMCACHED_SWALLOW_LINE;
        return MEMCACHED_SAY(turn, "CLIENT_ERROR bad command line format");
    }
    turn->at = keys->behind;
    if (!keys->is_last) {
        return keys->count < MEMCACHED_BATCH ? MEMCACHED_MORE : MEMCACHED_ON;
    }
    state->phase = MEMCACHED_REQUEST;
    return MEMCACHED_SAY(turn, "END");
}

enum memcached_step memcached_keys_phase(struct memcached_turn *turn)
{
    struct keys keys;

    read_keys(turn, &keys);
    turn->state->turn_requests += keys.count;
    uint32_t sample = memcached_next_sample(turn, keys.count);
    uint8_t notes = turn->notes;

    for (uint32_t i = 0; i < keys.count; i++) {
        const struct quarry_cache_key *key = &keys.at[i];

        if (memcached_is_full(turn)) {
            return MEMCACHED_YIELD;
        }
        /* Behind the key, and before the line's end, until all of it is answered. */
        turn->at = (const char *)key->bytes + key->byte_count;
        turn->notes = i == sample ? notes | MEMCACHED_NOTES_SAMPLE : notes;
        enum memcached_step step = send_key(turn, key);

        turn->notes = notes;
        if (step != MEMCACHED_ON || turn->state->phase != MEMCACHED_KEYS) {
            return step;
        }
    }
    return end_keys(turn, &keys);
}

/* ---- values of any size --------------------------------------------------------------------- */

/* How many stretches of a value are asked for at once: of 64 KiB each in a large one. */
#define PIECES 16u

/* Points to a stretch of a value, so that the worker can ask to keep it: see the door's hold. */
static bool borrow_piece(struct memcached_turn *turn, const struct quarry_cache_hit *hit,
                         const struct quarry_cache_piece *piece)
{
    const struct serve_borrowed borrowed = {
        .bytes = piece->bytes,
        .byte_count = piece->byte_count,
        .token = {(uintptr_t)turn->tenant, hit->ref, (uintptr_t)hit->key, hit->key_bytes},
    };

    turn->state->is_borrowing = true;
    return serve_out_borrow(turn->connection, &borrowed);
}

/* Points to the value from *offset on, until it is sent whole or `enough` bytes wait. */
static bool borrow_value(struct memcached_turn *turn, const struct quarry_cache_hit *hit,
                         uint64_t *offset, size_t enough)
{
    struct quarry_cache_piece pieces[PIECES];

    while (*offset < hit->value_bytes && serve_out_waiting(turn->connection) < enough) {
        size_t count = quarry_cache_pieces(memcached.settings.cache, hit, *offset, pieces, PIECES);

        Q_ASSERT(count > 0);
        for (size_t i = 0; i < count && serve_out_waiting(turn->connection) < enough; i++) {
            if (!borrow_piece(turn, hit, &pieces[i])) {
                return false;
            }
            *offset += pieces[i].byte_count;
        }
    }
    return true;
}

enum memcached_step memcached_send_pieces(struct memcached_turn *turn,
                                          const struct quarry_cache_hit *hit)
{
    uint64_t offset = 0;

    if (is_copied(hit)) {
        return serve_out_copy(turn->connection, hit->piece.bytes, hit->piece.byte_count)
                   ? MEMCACHED_ON
                   : MEMCACHED_CLOSE;
    }
    return borrow_value(turn, hit, &offset, SIZE_MAX) ? MEMCACHED_ON : MEMCACHED_CLOSE;
}

/* The value has gone; its line end, and on with what was the phase before. */
static enum memcached_step end_value(struct memcached_turn *turn, uint8_t line_end_bytes,
                                     enum memcached_phase then, uint8_t kept_bytes)
{
    Q_ASSERT(kept_bytes <= memcached_left(turn));
    turn->state->phase = (uint8_t)then;
    turn->at += kept_bytes;
    return serve_out_copy(turn->connection, "\r\n", line_end_bytes) ? MEMCACHED_ON
                                                                    : MEMCACHED_CLOSE;
}

enum memcached_step memcached_send_value(struct memcached_turn *turn,
                                         const struct quarry_cache_hit *hit, uint8_t line_end_bytes,
                                         enum memcached_phase then, uint8_t kept_bytes)
{
    struct memcached_sending *sending = &turn->state->sending;

    if (hit->value_bytes <= MEMCACHED_STREAMED_BYTES) {
        enum memcached_step step = memcached_send_pieces(turn, hit);

        return step == MEMCACHED_ON ? end_value(turn, line_end_bytes, then, kept_bytes) : step;
    }
    Q_ASSERT(hit->key_bytes <= sizeof sending->key);
    turn->state->phase = MEMCACHED_SENDING;
    sending->hit = *hit;
    sending->offset = 0;
    sending->is_pinned = quarry_cache_pin(turn->tenant, hit);
    sending->then = (uint8_t)then;
    sending->line_end_bytes = line_end_bytes;
    sending->kept_bytes = kept_bytes;
    sending->key_bytes = (uint8_t)hit->key_bytes;
    memcpy(sending->key, hit->key, hit->key_bytes);
    return MEMCACHED_ON;
}

/* Finds the value in this turn, or by its pin. Returns: false: it is another by now, or none. */
static bool find_again(const struct memcached_turn *turn, struct memcached_sending *sending)
{
    const struct quarry_cache_get_options options = {.leaves_no_trace = true};
    struct quarry_cache_hit hit;

    if (sending->is_pinned) {
        return true;
    }
    struct quarry_cache_key key =
        quarry_cache_key_make(turn->tenant, sending->key, sending->key_bytes);

    if (quarry_cache_get(turn->tenant, &key, &options, &hit) != QUARRY_CACHE_HIT ||
        hit.cas != sending->hit.cas || hit.value_bytes != sending->hit.value_bytes) {
        return false;
    }
    sending->hit = hit;
    sending->is_pinned = quarry_cache_pin(turn->tenant, &hit); /* others may have let go */
    return true;
}

/* Half a value has gone, and the other half is no more. */
static enum memcached_step cut_value(const struct memcached_turn *turn)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;

    memcached_count(&turn->counters->values_cut);
    if (hooks->value_cut != NULL) {
        hooks->value_cut(hooks->argument, turn->connection);
    }
    return MEMCACHED_CLOSE;
}

enum memcached_step memcached_sending_phase(struct memcached_turn *turn)
{
    struct memcached_sending *sending = &turn->state->sending;

    if (!find_again(turn, sending)) {
        return cut_value(turn);
    }
    if (!borrow_value(turn, &sending->hit, &sending->offset, SERVE_OUT_WAITING_MAX)) {
        return MEMCACHED_CLOSE; /* the door's close unpins */
    }
    if (sending->offset < sending->hit.value_bytes) {
        return MEMCACHED_YIELD;
    }
    /* What has been pointed to in this turn stays until its end, pinned or not. */
    if (sending->is_pinned) {
        quarry_cache_unpin(turn->tenant, sending->hit.ref);
    }
    return end_value(turn, sending->line_end_bytes, (enum memcached_phase)sending->then,
                     sending->kept_bytes);
}
