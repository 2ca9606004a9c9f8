/*
 * A connection without a socket.
 *
 * As strict as the contract: room that was not asked for cannot be written, input lies in memory of
 * just its size, so that a sanitizer sees a read beyond it, and moves with every call; what is held
 * is released once; a door that asks to be called again must have left a byte.
 */
#include "unit/serve/fake_connection.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_BYTES_MAX  4096u
#define STATE_BYTES_MAX 4096u

struct text {
    char *bytes;
    size_t byte_count;
    size_t capacity;
};

/* A stretch of an answer that has not been taken. */
struct stretch {
    struct stretch *next;
    struct serve_borrowed borrowed; /* bytes: the door's, or `copy` */
    char *copy;
    bool is_borrowed;
    bool is_held;
    size_t taken_bytes;
};

struct serve_worker {
    uint32_t index;
};

struct serve_connection {
    struct fake_options options;
    struct serve_identity identity;
    struct serve_worker worker;
    uint64_t id;
    _Alignas(64) char state[STATE_BYTES_MAX];
    struct text input;
    struct text answer;
    const char *last_input; /* the last call's, where that was large; only compared */
    struct stretch *first;
    struct stretch **last;
    size_t waiting_bytes;
    char *room; /* that serve_out_room gave */
    size_t room_bytes;
    char *wanted;
    size_t wanted_bytes;
    enum serve_step step;
    bool is_closed;
    bool is_withheld; /* answers wait for the door's word */
    size_t withheld_from;
    bool expects;
    serve_posted_function *posted;
    void *posted_argument;
    struct fake_counts counts;
    struct serve_connection *next_open;
};

/* Of open_connections, and what was posted: by any thread. */
static pthread_mutex_t posts = PTHREAD_MUTEX_INITIALIZER;
static struct serve_connection *open_connections;
static uint64_t last_id;
static uint64_t failing_posts;

/* ---- large texts ----------------------------------------------------------------------------- */

/*
 * Conversations with large values are had a thousand times, split here and there: memory for them
 * is kept. Fresh memory costs more than all that is done with it, and a sanitizer takes no other.
 * What is spare is poisoned, as if it were freed.
 */
#define LARGE_BYTES 65536u
#define SPARES      6u

static struct text spares[SPARES]; /* guarded by posts */

/* An empty text of at least so many bytes. */
static struct text take_large(size_t byte_count)
{
    struct text taken = {0};
    struct text *best = NULL;

    (void)pthread_mutex_lock(&posts);
    for (struct text *spare = spares; spare < spares + SPARES; spare++) {
        if (spare->capacity >= byte_count && (best == NULL || spare->capacity < best->capacity)) {
            best = spare;
        }
    }
    if (best != NULL) {
        taken = *best;
        *best = (struct text){0};
    }
    (void)pthread_mutex_unlock(&posts);
    if (taken.bytes == NULL) {
        taken = (struct text){.bytes = malloc(byte_count), .capacity = byte_count};
        Q_ASSERT(taken.bytes != NULL);
    }
    ASAN_UNPOISON_MEMORY_REGION(taken.bytes, taken.capacity);
    return taken;
}

/* Gives a text back; a small one is freed, as is the smallest where there are enough. */
static void give_text(struct text given)
{
    if (given.capacity >= LARGE_BYTES) {
        given.byte_count = 0;
        ASAN_POISON_MEMORY_REGION(given.bytes, given.capacity);
        (void)pthread_mutex_lock(&posts);
        for (struct text *spare = spares; spare < spares + SPARES; spare++) {
            if (spare->capacity < given.capacity) {
                struct text smaller = *spare;
                *spare = given;
                given = smaller;
            }
        }
        (void)pthread_mutex_unlock(&posts);
        ASAN_UNPOISON_MEMORY_REGION(given.bytes, given.capacity);
    }
    free(given.bytes);
}

static void grow(struct text *text, size_t capacity)
{
    if (capacity < LARGE_BYTES) {
        text->bytes = realloc(text->bytes, capacity);
        text->capacity = capacity;
        Q_ASSERT(text->bytes != NULL);
        return;
    }
    struct text larger = take_large(capacity);

    if (text->byte_count > 0) {
        memcpy(larger.bytes, text->bytes, text->byte_count);
    }
    larger.byte_count = text->byte_count;
    give_text(*text);
    *text = larger;
}

static void append(struct text *text, const void *bytes, size_t byte_count)
{
    if (text->byte_count + byte_count > text->capacity) {
        grow(text, (text->byte_count + byte_count) * 2 + 64);
    }
    if (byte_count > 0) {
        memcpy(text->bytes + text->byte_count, bytes, byte_count);
    }
    text->byte_count += byte_count;
}

/* ---- opening -------------------------------------------------------------------------------- */

struct serve_connection *fake_open(const struct fake_options *options)
{
    struct serve_connection *connection = aligned_alloc(64, sizeof *connection);

    Q_ASSERT(connection != NULL && options->door->state_bytes <= STATE_BYTES_MAX);
    memset(connection, 0, sizeof *connection);
    connection->options = *options;
    connection->identity = options->identity;
    connection->worker.index = options->worker_index;
    connection->id = ++last_id;
    connection->last = &connection->first;
    (void)pthread_mutex_lock(&posts);
    connection->next_open = open_connections;
    open_connections = connection;
    (void)pthread_mutex_unlock(&posts);
    options->door->open(connection);
    return connection;
}

static void drop_first(struct serve_connection *connection)
{
    struct stretch *stretch = connection->first;

    connection->first = stretch->next;
    if (connection->first == NULL) {
        connection->last = &connection->first;
    }
    if (stretch->is_held) {
        connection->options.door->release(connection, &stretch->borrowed);
    }
    connection->waiting_bytes -= stretch->borrowed.byte_count - stretch->taken_bytes;
    free(stretch->copy);
    free(stretch);
}

void fake_close(struct serve_connection *connection)
{
    while (connection->first != NULL) {
        drop_first(connection);
    }
    connection->options.door->close(connection);
    (void)pthread_mutex_lock(&posts);
    for (struct serve_connection **link = &open_connections; *link != NULL;
         link = &(*link)->next_open) {
        if (*link == connection) {
            *link = connection->next_open;
            break;
        }
    }
    (void)pthread_mutex_unlock(&posts);
    if (connection->posted != NULL) {
        connection->posted(NULL, connection->posted_argument);
    }
    give_text(connection->input);
    give_text(connection->answer);
    free(connection->room);
    free(connection);
}

/* ---- what a door asks ------------------------------------------------------------------------ */

void *serve_connection_state(struct serve_connection *connection)
{
    return connection->state;
}

struct serve_worker *serve_connection_worker(struct serve_connection *connection)
{
    return &connection->worker;
}

uint32_t serve_worker_index(const struct serve_worker *worker)
{
    return worker->index;
}

uint64_t serve_connection_id(const struct serve_connection *connection)
{
    return connection->id;
}

const char *serve_connection_peer(const struct serve_connection *connection)
{
    (void)connection;
    return "127.0.0.1:40000";
}

const char *serve_connection_local(const struct serve_connection *connection)
{
    (void)connection;
    return "127.0.0.1:11211";
}

struct serve_identity *serve_connection_identity(struct serve_connection *connection)
{
    return &connection->identity;
}

bool serve_connection_needs_login(const struct serve_connection *connection)
{
    return connection->options.needs_login;
}

bool serve_connection_is_encrypted(const struct serve_connection *connection)
{
    (void)connection;
    return false;
}

static struct stretch *add_stretch(struct serve_connection *connection)
{
    struct stretch *stretch = calloc(1, sizeof *stretch);

    Q_ASSERT(stretch != NULL);
    *connection->last = stretch;
    connection->last = &stretch->next;
    return stretch;
}

char *serve_out_room(struct serve_connection *connection, size_t byte_count)
{
    Q_ASSERT(byte_count > 0 && byte_count <= ROOM_BYTES_MAX);
    free(connection->room);
    connection->room = malloc(byte_count);
    connection->room_bytes = byte_count;
    Q_ASSERT(connection->room != NULL);
    return connection->room;
}

void serve_out_advance(struct serve_connection *connection, size_t byte_count)
{
    Q_ASSERT(connection->room != NULL && byte_count <= connection->room_bytes);
    (void)serve_out_copy(connection, connection->room, byte_count);
    free(connection->room);
    connection->room = NULL;
}

bool serve_out_copy(struct serve_connection *connection, const void *bytes, size_t byte_count)
{
    if (byte_count == 0) {
        return true;
    }
    struct stretch *stretch = add_stretch(connection);

    stretch->copy = malloc(byte_count);
    Q_ASSERT(stretch->copy != NULL);
    memcpy(stretch->copy, bytes, byte_count);
    stretch->borrowed.bytes = stretch->copy;
    stretch->borrowed.byte_count = byte_count;
    connection->waiting_bytes += byte_count;
    return true;
}

bool serve_out_borrow(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    struct stretch *stretch = add_stretch(connection);

    stretch->borrowed = *borrowed;
    stretch->is_borrowed = true;
    connection->waiting_bytes += borrowed->byte_count;
    connection->counts.borrowed_bytes += borrowed->byte_count;
    return true;
}

size_t serve_out_waiting(const struct serve_connection *connection)
{
    return connection->waiting_bytes;
}

void serve_connection_want(struct serve_connection *connection, void *room, size_t byte_count)
{
    Q_ASSERT((room == NULL) == (byte_count == 0));
    connection->wanted = room;
    connection->wanted_bytes = byte_count;
}

void serve_connection_expect(struct serve_connection *connection, uint64_t byte_count)
{
    connection->expects = byte_count > 0;
}

bool serve_post(struct serve_worker *worker, uint64_t connection_id,
                serve_posted_function *function, void *argument)
{
    (void)worker;
    if (failing_posts > 0) {
        failing_posts--;
        return false;
    }
    (void)pthread_mutex_lock(&posts);
    struct serve_connection *connection = open_connections;
    while (connection != NULL && connection->id != connection_id) {
        connection = connection->next_open;
    }
    if (connection != NULL) {
        Q_ASSERT(connection->posted == NULL);
        connection->posted = function;
        connection->posted_argument = argument;
    }
    (void)pthread_mutex_unlock(&posts);
    if (connection == NULL) {
        function(NULL, argument);
    }
    return true;
}

void serve_worker_run(struct serve_worker *worker, uint64_t connection_id,
                      serve_posted_function *function, void *argument)
{
    (void)serve_post(worker, connection_id, function, argument);
}

void serve_connection_withhold(struct serve_connection *connection)
{
    if (!connection->is_withheld) {
        connection->is_withheld = true;
        connection->withheld_from = connection->waiting_bytes;
    }
}

/* Stretches begin anew where withholding does, so that the kept-back ones are whole. */
void serve_connection_release(struct serve_connection *connection, bool is_good)
{
    size_t sent_bytes = is_good ? SIZE_MAX : connection->withheld_from;
    struct stretch *first = NULL, **last = &first;

    if (!connection->is_withheld) {
        return;
    }
    connection->is_withheld = false;
    while (connection->first != NULL && sent_bytes > 0 && !is_good) {
        struct stretch *stretch = connection->first;

        sent_bytes -= stretch->borrowed.byte_count - stretch->taken_bytes;
        connection->first = stretch->next;
        stretch->next = NULL;
        *last = stretch;
        last = &stretch->next;
    }
    while (connection->first != NULL && !is_good) {
        drop_first(connection);
    }
    if (!is_good) {
        connection->first = first;
        connection->last = first == NULL ? &connection->first : last;
    }
}

static void keep(struct serve_connection *connection);

void serve_connection_flush(struct serve_connection *connection)
{
    keep(connection); /* the next turn sends */
}

/* ---- turns ---------------------------------------------------------------------------------- */

/* The reader takes what it can. */
static void take(struct serve_connection *connection)
{
    size_t left =
        connection->options.taken_a_turn == 0 ? SIZE_MAX : connection->options.taken_a_turn;

    while (connection->first != NULL && left > 0 && !connection->is_withheld) {
        struct stretch *stretch = connection->first;
        size_t taken = size_min(left, stretch->borrowed.byte_count - stretch->taken_bytes);

        append(&connection->answer, (const char *)stretch->borrowed.bytes + stretch->taken_bytes,
               taken);
        stretch->taken_bytes += taken;
        connection->waiting_bytes -= taken;
        left -= taken;
        if (stretch->taken_bytes == stretch->borrowed.byte_count) {
            drop_first(connection);
        }
    }
}

/* What was not taken is held, or copied. */
static void keep(struct serve_connection *connection)
{
    for (struct stretch *stretch = connection->first; stretch != NULL; stretch = stretch->next) {
        if (!stretch->is_borrowed || stretch->is_held || stretch->copy != NULL) {
            continue;
        }
        if (connection->options.door->hold(connection, &stretch->borrowed)) {
            stretch->is_held = true;
            connection->counts.held++;
        } else {
            stretch->copy = malloc(stretch->borrowed.byte_count);
            Q_ASSERT(stretch->copy != NULL);
            memcpy(stretch->copy, stretch->borrowed.bytes, stretch->borrowed.byte_count);
            stretch->borrowed.bytes = stretch->copy;
            connection->counts.copied++;
        }
    }
    if (connection->waiting_bytes > connection->counts.waiting_max) {
        connection->counts.waiting_max = connection->waiting_bytes;
    }
}

/* Memory of exactly so many bytes, the end of `ret_text`; other memory than at the call before. */
static char *exact_room(struct serve_connection *connection, size_t byte_count,
                        struct text *ret_text)
{
    size_t capacity = byte_count == 0 ? 1 : byte_count;

    if (capacity >= LARGE_BYTES) {
        *ret_text = take_large(capacity);
        if (ret_text->bytes == connection->last_input) {
            struct text same = *ret_text;
            *ret_text = take_large(capacity);
            give_text(same);
        }
        connection->last_input = ret_text->bytes;
    } else {
        *ret_text = (struct text){.bytes = malloc(capacity), .capacity = capacity};
    }
    Q_ASSERT(ret_text->bytes != NULL);
    ASAN_POISON_MEMORY_REGION(ret_text->bytes, ret_text->capacity - capacity);
    return ret_text->bytes + ret_text->capacity - capacity;
}

static void call_input(struct serve_connection *connection)
{
    size_t byte_count = connection->input.byte_count;
    struct text text;
    char *exact = exact_room(connection, byte_count, &text);
    size_t consumed = SIZE_MAX;

    if (byte_count > 0) {
        memcpy(exact, connection->input.bytes, byte_count);
    }
    connection->counts.inputs++;
    connection->step = connection->options.door->input(connection, exact, byte_count, &consumed);
    Q_ASSERT(consumed <= byte_count);
    Q_ASSERT(connection->step != SERVE_YIELD || consumed < byte_count ||
             connection->options.may_yield_empty);
    memset(exact, 0xee, byte_count);
    give_text(text);
    memmove(connection->input.bytes, connection->input.bytes + consumed, byte_count - consumed);
    connection->input.byte_count -= consumed;
}

static void call_posted(struct serve_connection *connection)
{
    (void)pthread_mutex_lock(&posts);
    serve_posted_function *posted = connection->posted;
    void *argument = connection->posted_argument;
    connection->posted = NULL;
    (void)pthread_mutex_unlock(&posts);
    if (posted != NULL) {
        if (connection->step == SERVE_WAIT) {
            connection->step = SERVE_YIELD;
        }
        posted(connection, argument);
    }
}

/* One turn: what is there goes to the door, and its answers to the reader. */
static void turn(struct serve_connection *connection, bool has_input)
{
    const struct serve_door *door = connection->options.door;

    connection->counts.turns++;
    door->begin(connection);
    call_posted(connection);
    bool is_paused = connection->step == SERVE_PAUSE && connection->waiting_bytes > 0;

    if (has_input && connection->step != SERVE_WAIT && !is_paused) {
        call_input(connection);
        connection->counts.yields += connection->step == SERVE_YIELD ? 1 : 0;
    }
    take(connection);
    keep(connection);
    door->end(connection);
    if (connection->step == SERVE_CLOSE) {
        connection->is_closed = true;
    }
}

static bool is_ready(const struct serve_connection *connection)
{
    size_t most = connection->step == SERVE_PAUSE ? 0 : SERVE_OUT_WAITING_MAX - 1;

    return (connection->step == SERVE_YIELD || connection->step == SERVE_PAUSE) &&
           !connection->is_closed && connection->waiting_bytes <= most;
}

static bool has_post(const struct serve_connection *connection)
{
    (void)pthread_mutex_lock(&posts);
    bool has = connection->posted != NULL;
    (void)pthread_mutex_unlock(&posts);
    return has;
}

void fake_settle(struct serve_connection *connection)
{
    while (connection->first != NULL || is_ready(connection) || has_post(connection)) {
        turn(connection, is_ready(connection));
    }
}

void fake_await(struct serve_connection *connection)
{
    fake_settle(connection);
    while (connection->step == SERVE_WAIT && !connection->is_closed) {
        (void)sched_yield();
        fake_settle(connection);
    }
}

/* Bytes that are wanted elsewhere go there, when the input buffer is empty. Returns: how many. */
static size_t fill_wanted(struct serve_connection *connection, const char *bytes, size_t byte_count)
{
    const struct serve_door *door = connection->options.door;
    size_t taken = size_min(byte_count, connection->wanted_bytes);

    if (connection->wanted == NULL || connection->input.byte_count > 0) {
        return 0;
    }
    connection->counts.turns++;
    connection->counts.wanted_bytes += taken;
    door->begin(connection);
    memcpy(connection->wanted, bytes, taken);
    connection->wanted = NULL;
    connection->wanted_bytes = 0;
    connection->step = door->filled(connection, taken);
    take(connection);
    keep(connection);
    door->end(connection);
    connection->is_closed = connection->step == SERVE_CLOSE;
    return taken;
}

void fake_send(struct serve_connection *connection, const void *bytes, size_t byte_count)
{
    const char *at = bytes;

    while (byte_count > 0 && !connection->is_closed) {
        size_t taken = fill_wanted(connection, at, byte_count);

        if (taken == 0) {
            taken = connection->wanted != NULL ? size_min(byte_count, 4096) : byte_count;
            append(&connection->input, at, taken);
            turn(connection, connection->waiting_bytes < SERVE_OUT_WAITING_MAX);
        }
        at += taken;
        byte_count -= taken;
        while (is_ready(connection)) {
            turn(connection, true);
        }
    }
}

void fake_fail_posts(uint64_t count)
{
    failing_posts = count;
}

const char *fake_answer(const struct serve_connection *connection, size_t *ret_bytes)
{
    *ret_bytes = connection->answer.byte_count;
    return connection->answer.bytes == NULL ? "" : connection->answer.bytes;
}

void fake_clear(struct serve_connection *connection)
{
    connection->answer.byte_count = 0;
}

bool fake_is_closed(const struct serve_connection *connection)
{
    return connection->is_closed;
}

bool fake_expects(const struct serve_connection *connection)
{
    return connection->expects;
}

bool fake_waits(const struct serve_connection *connection)
{
    return connection->step == SERVE_WAIT;
}

struct fake_counts fake_counts(const struct serve_connection *connection)
{
    return connection->counts;
}
