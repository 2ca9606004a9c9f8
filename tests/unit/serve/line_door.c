#include "unit/serve/line_door.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#include <serve/net.h>

_Atomic int64_t line_pause_count;
_Atomic int64_t line_open_count, line_held_count, line_turn_depth, line_gone_count;
_Atomic bool line_can_hold = true;
_Atomic bool line_is_staying;

static char pattern[LINE_PATTERN_BYTES];
static _Atomic int64_t waiting_threads;
static _Atomic bool may_go;

struct line_state {
    uint64_t big_bytes; /* of the answer under way */
    uint64_t big_at;
    uint64_t put_bytes; /* of the body awaited */
    uint64_t put_left;
    uint64_t put_hash;
    char *room;
    bool is_in_turn;
};

char line_pattern_byte(uint64_t at)
{
    at %= LINE_PATTERN_BYTES;
    return (char)('a' + (at * 7 + at / 251) % 26);
}

__attribute__((constructor)) static void pattern_fill(void)
{
    for (uint64_t i = 0; i < LINE_PATTERN_BYTES; i++) {
        pattern[i] = line_pattern_byte(i);
    }
}

uint64_t line_hash(uint64_t hash, const char *bytes, size_t byte_count)
{
    for (size_t i = 0; i < byte_count; i++) {
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static void say(struct serve_connection *connection, const char *text)
{
    size_t bytes = strlen(text);
    char *room = serve_out_room(connection, bytes + 1);

    if (room != NULL) {
        memcpy(room, text, bytes);
        room[bytes] = '\n';
        serve_out_advance(connection, bytes + 1);
    }
}

/* ---- a posted answer ------------------------------------------------------------------------ */

struct later {
    struct serve_worker *worker;
    uint64_t id;
    char text[64];
    bool keeps, drops; /* what was withheld */
};

static void later_answer(struct serve_connection *connection, void *argument)
{
    struct later *later = argument;
    char text[80];

    if (connection == NULL) {
        (void)atomic_add_relaxed_i64(&line_gone_count, 1);
    } else {
        if (later->keeps || later->drops) {
            serve_connection_release(connection, later->keeps);
        }
        (void)snprintf(text, sizeof(text), "later %s", later->text);
        say(connection, text);
        serve_connection_flush(connection);
    }
    free(later);
}

static void *later_run(void *argument)
{
    struct later *later = argument;

    os_sleep_ns(2 * Q_MS_NS);
    if (!serve_post(later->worker, later->id, later_answer, later)) {
        later_answer(NULL, later);
    }
    (void)atomic_sub_seq_cst_i64(&waiting_threads, 1);
    return NULL;
}

void line_door_join(void)
{
    while (atomic_load_seq_cst_i64(&waiting_threads) != 0) {
        os_sleep_ns(Q_MS_NS);
    }
}

static void line_post(struct serve_connection *connection, const char *text, const char *how)
{
    struct later *later = calloc(1, sizeof(*later));

    later->keeps = strncmp(how, "keep", 4) == 0;
    later->drops = strncmp(how, "drop", 4) == 0;
    pthread_t thread;

    later->worker = serve_connection_worker(connection);
    later->id = serve_connection_id(connection);
    (void)snprintf(later->text, sizeof(later->text), "%.40s", text);
    (void)atomic_add_seq_cst_i64(&waiting_threads, 1);
    if (pthread_create(&thread, NULL, later_run, later) != 0) {
        abort();
    }
    (void)pthread_detach(thread);
}

/* ---- requests ------------------------------------------------------------------------------- */

static enum serve_step line_big(struct serve_connection *connection, struct line_state *state)
{
    while (state->big_at < state->big_bytes) {
        if (serve_out_waiting(connection) >= SERVE_OUT_WAITING_MAX) {
            return SERVE_YIELD;
        }
        uint64_t in_pattern = state->big_at % LINE_PATTERN_BYTES;
        struct serve_borrowed piece = {.bytes = pattern + in_pattern,
                                       .byte_count = size_min(LINE_PATTERN_BYTES - in_pattern,
                                                              state->big_bytes - state->big_at),
                                       .token = {1, 2, 3, state->big_at}};
        if (!serve_out_borrow(connection, &piece)) {
            return SERVE_CLOSE;
        }
        state->big_at += piece.byte_count;
    }
    state->big_bytes = 0;
    return SERVE_MORE;
}

static enum serve_step line_filled(struct serve_connection *connection, size_t byte_count)
{
    struct line_state *state = serve_connection_state(connection);
    char text[80];

    if (!state->is_in_turn) {
        abort();
    }
    state->put_hash = line_hash(state->put_hash, state->room, byte_count);
    state->put_left -= byte_count;
    if (state->put_left > 0) {
        serve_connection_want(connection, state->room,
                              size_min(state->put_left, LINE_PATTERN_BYTES));
        return SERVE_MORE;
    }
    (void)snprintf(text, sizeof(text), "stored %" PRIu64 " %016" PRIx64, state->put_bytes,
                   state->put_hash);
    say(connection, text);
    free(state->room);
    state->room = NULL;
    return SERVE_MORE;
}

static enum serve_step line_put(struct serve_connection *connection, struct line_state *state,
                                uint64_t bytes)
{
    if (bytes == 0) {
        say(connection, "stored nothing");
        return SERVE_MORE;
    }
    state->put_bytes = state->put_left = bytes;
    state->put_hash = 0;
    state->room = malloc(LINE_PATTERN_BYTES);
    serve_connection_want(connection, state->room, size_min(bytes, LINE_PATTERN_BYTES));
    return SERVE_MORE;
}

static void line_who(struct serve_connection *connection)
{
    struct serve_identity *identity = serve_connection_identity(connection);
    char text[400];

    (void)snprintf(text, sizeof(text), "name=%s rights=%u login=%d tls=%d peer=%s local=%s",
                   identity->name, identity->rights, serve_connection_needs_login(connection),
                   serve_connection_is_encrypted(connection), serve_connection_peer(connection),
                   serve_connection_local(connection));
    say(connection, text);
}

static void line_login(struct serve_connection *connection, const char *name)
{
    struct serve_identity *identity = serve_connection_identity(connection);
    char text[100];

    (void)snprintf(identity->name, sizeof(identity->name), "%.40s", name);
    identity->rights = SERVE_ALL;
    (void)snprintf(text, sizeof(text), "welcome %s", identity->name);
    say(connection, text);
}

void line_door_go(void)
{
    atomic_store_release_bool(&may_go, true);
}

/* Keeps the worker until the test has done what is to come meanwhile. */
static void line_stay(void)
{
    atomic_store_release_bool(&line_is_staying, true);
    while (!atomic_load_acquire_bool(&may_go)) {
        os_sleep_ns(Q_MS_NS);
    }
    atomic_store_release_bool(&may_go, false);
    atomic_store_release_bool(&line_is_staying, false);
}

/* The number of this turn of the worker. */
static void line_turn(struct serve_connection *connection)
{
    struct serve_counters counters;
    char text[40];

    serve_worker_read_counters(serve_connection_worker(connection), &counters);
    (void)snprintf(text, sizeof(text), "%" PRIu64, counters.turn_count);
    say(connection, text);
}

/* The line is asked again when it had to wait: it is not consumed then. */
static enum serve_step line_calm(struct serve_connection *connection)
{
    if (serve_out_waiting(connection) > 0) {
        serve_connection_flush(connection);
    }
    if (serve_out_waiting(connection) > 0) {
        (void)atomic_add_relaxed_i64(&line_pause_count, 1);
        return SERVE_PAUSE;
    }
    say(connection, "calm");
    return SERVE_MORE;
}

static enum serve_step line_execute(struct serve_connection *connection, const char *line)
{
    struct line_state *state = serve_connection_state(connection);

    if (strncmp(line, "echo ", 5) == 0) {
        say(connection, line + 5);
    } else if (strncmp(line, "big ", 4) == 0) {
        state->big_bytes = strtoull(line + 4, NULL, 10);
        state->big_at = 0;
        return line_big(connection, state);
    } else if (strncmp(line, "put ", 4) == 0) {
        return line_put(connection, state, strtoull(line + 4, NULL, 10));
    } else if (strncmp(line, "wait ", 5) == 0) {
        line_post(connection, line + 5, line);
        return SERVE_WAIT;
    } else if (strncmp(line, "keep ", 5) == 0 || strncmp(line, "drop ", 5) == 0) {
        serve_connection_flush(connection); /* what is before it is sent, or waits */
        serve_connection_withhold(connection);
        line_post(connection, line + 5, line);
        (void)serve_out_copy(connection, "kept ", 5);
        say(connection, line + 5);
        return SERVE_WAIT;
    } else if (strncmp(line, "await ", 6) == 0) {
        serve_connection_expect(connection, strtoull(line + 6, NULL, 10));
        return SERVE_WAIT;
    } else if (strcmp(line, "calm") == 0) {
        return line_calm(connection);
    } else if (strncmp(line, "post ", 5) == 0) {
        line_post(connection, line + 5, line);
    } else if (strcmp(line, "turn") == 0) {
        line_turn(connection);
    } else if (strcmp(line, "stay") == 0) {
        line_stay();
        line_turn(connection);
    } else if (strcmp(line, "who") == 0) {
        line_who(connection);
    } else if (strncmp(line, "login ", 6) == 0) {
        line_login(connection, line + 6);
    } else if (strcmp(line, "quit") == 0) {
        return SERVE_CLOSE;
    } else {
        say(connection, "what?");
    }
    return SERVE_MORE;
}

/* Answers with what was asked, from where it lies. */
static enum serve_step line_lend(struct serve_connection *connection, const char *bytes,
                                 size_t byte_count)
{
    struct serve_borrowed piece = {.bytes = bytes, .byte_count = byte_count};

    return serve_out_borrow(connection, &piece) ? SERVE_MORE : SERVE_CLOSE;
}

static enum serve_step line_input(struct serve_connection *connection, const char *bytes,
                                  size_t byte_count, size_t *ret_consumed)
{
    struct line_state *state = serve_connection_state(connection);
    char line[2000];
    size_t consumed = 0;
    enum serve_step step = state->big_bytes > 0 ? line_big(connection, state) : SERVE_MORE;

    for (unsigned share = 0; step == SERVE_MORE && state->room == NULL; share++) {
        const char *end = memchr(bytes + consumed, '\n', byte_count - consumed);
        if (end == NULL) {
            break;
        }
        if (share == LINE_SHARE) {
            step = SERVE_YIELD;
            break;
        }
        size_t length = (size_t)(end - (bytes + consumed));
        size_t kept = size_min(length, sizeof(line) - 1);
        memcpy(line, bytes + consumed, kept);
        line[kept] = '\0';
        consumed += length + 1;
        step = strncmp(line, "lend ", 5) == 0
                   ? line_lend(connection, end - (length - 5), length - 4)
                   : line_execute(connection, line);
        consumed -= step == SERVE_PAUSE ? length + 1 : 0;
    }
    *ret_consumed = consumed;
    return step;
}

/* ---- the rest of a door --------------------------------------------------------------------- */

static void line_open(struct serve_connection *connection)
{
    static const struct line_state zero;

    if (memcmp(serve_connection_state(connection), &zero, sizeof(zero)) != 0) {
        abort();
    }
    (void)atomic_add_relaxed_i64(&line_open_count, 1);
}

static void line_close(struct serve_connection *connection)
{
    struct line_state *state = serve_connection_state(connection);

    free(state->room);
    state->room = NULL;
    (void)atomic_sub_relaxed_i64(&line_open_count, 1);
}

static void line_begin(struct serve_connection *connection)
{
    struct line_state *state = serve_connection_state(connection);

    state->is_in_turn = true;
    (void)atomic_add_relaxed_i64(&line_turn_depth, 1);
}

static void line_end(struct serve_connection *connection)
{
    struct line_state *state = serve_connection_state(connection);

    state->is_in_turn = false;
    (void)atomic_sub_relaxed_i64(&line_turn_depth, 1);
}

static bool line_hold(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    if (!atomic_load_relaxed_bool(&line_can_hold) || borrowed->token[1] != 2) {
        return false;
    }
    (void)atomic_add_relaxed_i64(&line_held_count, 1);
    return true;
}

static void line_release(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    (void)connection;
    if (borrowed->token[2] != 3) {
        abort();
    }
    (void)atomic_sub_relaxed_i64(&line_held_count, 1);
}

const struct serve_door line_door = {
    .name = "line",
    .state_bytes = sizeof(struct line_state),
    .open = line_open,
    .close = line_close,
    .begin = line_begin,
    .end = line_end,
    .input = line_input,
    .filled = line_filled,
    .hold = line_hold,
    .release = line_release,
};
