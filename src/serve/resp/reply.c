/*
 * Replies: the forms of RESP2 and RESP3, to a connection or into memory.
 *
 *     connection   serve_out_room ── text, and values that are small
 *                  serve_out_borrow ─ large values: ┌ lent: held until the turn ends ┐
 *                                                   └ hold: until the reader took it ┘
 *     memory       base | used ……………… | capacity      doubled, up to bytes_max
 *
 * A value that the store has pinned is pointed to where it lies. The turn's list has what keeps it,
 * and gives it up to the connection when that has to wait for its reader.
 *
 * Invariants:
 *   1. A reply that failed says nothing any more, and is not sent: who made it closes, or says an
 *      error in its place.
 *   2. A value that was lent is in the turn's list until it is held or the turn ends, once each.
 *   3. What is said is one thing after the other: nothing here knows of nesting.
 *
 * Locking: none. Cost of a value of 100 bytes: its copy, and two dozen instructions.
 *
 * Source: redis-server 7.0, whose forms for RESP2 clients of what RESP3 has anew are kept.
 */
#include <serve/resp/reply.h>

#include <serve/resp/admin.h>

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A sign, 20 digits, CR and LF. */
#define NUMBER_BYTES_MAX 24u
/* What serve_out_room gives at a time. */
#define ROOM_BYTES_MAX Q_KIB(4)
/* An answer from memory that is longer is not copied at once. */
#define COPIED_BYTES_MAX Q_KIB(64)
/* What is taken at first, and what an error may have. */
#define FIRST_BYTES     QUARRY_PAGE_BYTES
#define ERROR_BYTES_MAX 512u

/* ---- making --------------------------------------------------------------------------------- */

void resp_reply_init(struct resp_reply *reply, struct serve_connection *connection,
                     struct resp_lent *lent, uint8_t protocol)
{
    Q_DCHECK(connection != NULL && lent != NULL);
    *reply = (struct resp_reply){.connection = connection, .lent = lent, .protocol = protocol};
}

void resp_reply_init_memory(struct resp_reply *reply, const struct serve_memory *pages,
                            size_t bytes_max, uint8_t protocol)
{
    *reply = (struct resp_reply){.pages = pages, .bytes_max = bytes_max, .protocol = protocol};
}

void resp_bytes_give(struct resp_bytes *bytes)
{
    if (bytes->pages != NULL) {
        serve_buffer_give(bytes->pages, bytes->base);
    } else {
        free(bytes->base);
    }
    *bytes = (struct resp_bytes){.base = NULL};
}

static void give_base(struct resp_reply *reply)
{
    struct resp_bytes bytes = {reply->base, reply->used, reply->pages};

    resp_bytes_give(&bytes);
}

void resp_reply_fini(struct resp_reply *reply)
{
    Q_DCHECK(reply->rest.base == NULL);
    give_base(reply);
    *reply = (struct resp_reply){.has_failed = true};
}

struct resp_reply *resp_reply_create(struct quarry_memory *memory, uint8_t protocol)
{
    const struct serve_memory *pages = resp_pages();
    struct resp_reply *reply = malloc(sizeof *reply);

    if (reply != NULL) {
        bool is_of_door = pages != NULL && pages->memory == memory;
        resp_reply_init_memory(reply, is_of_door ? pages : NULL, resp_reply_bytes_max(), protocol);
    }
    return reply;
}

void resp_reply_destroy(struct resp_reply *reply)
{
    if (reply != NULL) {
        resp_reply_fini(reply);
        free(reply);
    }
}

void resp_reply_set_protocol(struct resp_reply *reply, uint8_t protocol)
{
    Q_ASSERT(protocol == 2 || protocol == 3);
    reply->protocol = protocol;
}

void resp_reply_rewind(struct resp_reply *reply, size_t bytes)
{
    Q_ASSERT(reply->connection == NULL && bytes <= reply->used);
    reply->used = bytes;
    reply->has_failed = false;
    reply->is_refused = false;
}

void resp_reply_keep_refusal(struct resp_reply *reply)
{
    Q_ASSERT(reply->connection == NULL);
    if (reply->is_refused && !reply->has_failed) {
        reply->used = reply->refused_end - reply->refused_at;
        memmove(reply->base, reply->base + reply->refused_at, reply->used);
        reply->has_error = true;
    }
}

struct quarry_kv_slice resp_reply_bytes(const struct resp_reply *reply)
{
    Q_ASSERT(reply->connection == NULL);
    return (struct quarry_kv_slice){reply->used == 0 ? "" : reply->base, reply->used};
}

/* ---- room ----------------------------------------------------------------------------------- */

Q_COLD static bool enlarge(struct resp_reply *reply, size_t wanted)
{
    size_t capacity = size_max(size_max(reply->capacity * 2, reply->used + wanted), FIRST_BYTES);

    if (reply->used + wanted > reply->bytes_max) {
        return false;
    }
    capacity = serve_buffer_bytes(size_min(capacity, reply->bytes_max));
    char *base =
        reply->pages != NULL ? serve_buffer_take(reply->pages, capacity) : malloc(capacity);
    if (base == NULL) {
        return false;
    }
    if (reply->used > 0) {
        memcpy(base, reply->base, reply->used);
    }
    give_base(reply);
    reply->base = base;
    reply->capacity = capacity;
    return true;
}

/* Room for up to ROOM_BYTES_MAX bytes; in memory, for as many as wanted. NULL: it has failed. */
static char *take_room(struct resp_reply *reply, size_t byte_count)
{
    char *room = NULL;

    if (Q_UNLIKELY(reply->has_failed)) { /* invariant 1 */
        return NULL;
    }
    if (reply->connection != NULL) {
        room = serve_out_room(reply->connection, byte_count);
    } else if (byte_count <= reply->capacity - reply->used || enlarge(reply, byte_count)) {
        room = reply->base + reply->used;
    }
    reply->has_failed = room == NULL;
    return room;
}

static void put_room(struct resp_reply *reply, size_t byte_count)
{
    if (reply->connection != NULL) {
        serve_out_advance(reply->connection, byte_count);
    } else {
        reply->used += byte_count;
    }
}

void resp_say_raw(struct resp_reply *reply, const void *bytes, size_t byte_count)
{
    if (Q_LIKELY(byte_count <= ROOM_BYTES_MAX || reply->connection == NULL)) {
        char *room = byte_count == 0 ? NULL : take_room(reply, byte_count);
        if (room != NULL) {
            memcpy(room, bytes, byte_count);
            put_room(reply, byte_count);
        }
    } else if (!reply->has_failed) {
        reply->has_failed = !serve_out_copy(reply->connection, bytes, byte_count);
    }
}

/* A long one is left to who sends the reply: it goes out as its reader takes it. */
void resp_say_reply(struct resp_reply *reply, struct resp_reply *from)
{
    Q_ASSERT(from->connection == NULL && reply->rest.base == NULL);
    if (from->has_failed) { /* invariant 1 */
        resp_say_status(reply, QUARRY_NO_MEMORY, NULL);
        return;
    }
    reply->has_error |= from->has_error;
    if (reply->connection == NULL || from->used <= COPIED_BYTES_MAX) {
        resp_say_raw(reply, from->base, from->used);
        return;
    }
    reply->rest = (struct resp_bytes){from->base, from->used, from->pages};
    from->base = NULL;
    from->used = from->capacity = 0;
}

/* ---- numbers -------------------------------------------------------------------------------- */

/* Likewise, of a number below 1000: lengths nearly always are. */
static inline size_t print_short_head(char *room, char sign, uint32_t number)
{
    char *at = room;

    *at++ = sign;
    if (number >= 100) {
        *at++ = (char)('0' + number / 100);
    }
    if (number >= 10) {
        *at++ = (char)('0' + number / 10 % 10);
    }
    *at++ = (char)('0' + number % 10);
    *at++ = '\r';
    *at++ = '\n';
    return (size_t)(at - room);
}

/* Writes a sign of a form, a number and a line's end. Returns: how many bytes. */
static inline size_t print_head(char *room, char sign, uint64_t number, bool is_negative)
{
    if (Q_LIKELY(number < 1000 && !is_negative)) {
        return print_short_head(room, sign, (uint32_t)number);
    }
    char digits[NUMBER_BYTES_MAX];
    size_t at = sizeof digits, count = 0;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    room[count++] = sign;
    if (is_negative) {
        room[count++] = '-';
    }
    memcpy(room + count, digits + at, sizeof digits - at);
    count += sizeof digits - at;
    room[count++] = '\r';
    room[count++] = '\n';
    return count;
}

static void say_head(struct resp_reply *reply, char sign, uint64_t number, bool is_negative)
{
    char *room = take_room(reply, NUMBER_BYTES_MAX);

    if (Q_LIKELY(room != NULL)) {
        put_room(reply, print_head(room, sign, number, is_negative));
    }
}

void resp_say_integer(struct resp_reply *reply, int64_t number)
{
    say_head(reply, ':', number < 0 ? -(uint64_t)number : (uint64_t)number, number < 0);
}

void resp_say_double(struct resp_reply *reply, double number)
{
    char text[40];
    int length = isinf(number) ? snprintf(text, sizeof text, number > 0 ? "inf" : "-inf")
                               : snprintf(text, sizeof text, "%.17g", number);

    if (reply->protocol >= 3) {
        char *room = take_room(reply, sizeof text + 3);
        if (room != NULL) {
            put_room(reply, (size_t)snprintf(room, sizeof text + 3, ",%s\r\n", text));
        }
    } else {
        resp_say_bulk(reply, text, (size_t)length);
    }
}

/* ---- lines ---------------------------------------------------------------------------------- */

void resp_say_ok(struct resp_reply *reply)
{
    resp_say_raw(reply, "+OK\r\n", 5);
}

void resp_say_simple(struct resp_reply *reply, const char *text)
{
    size_t length = strlen(text);
    char *room = take_room(reply, length + 3);

    if (room != NULL) {
        room[0] = '+';
        memcpy(room + 1, text, length);
        memcpy(room + 1 + length, "\r\n", 2);
        put_room(reply, length + 3);
    }
}

void resp_say_error(struct resp_reply *reply, const char *format, ...)
{
    char text[ERROR_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    int wanted = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = size_min((size_t)(wanted < 0 ? 0 : wanted), sizeof text - 1);

    for (size_t i = 0; i < length; i++) {
        text[i] = text[i] == '\r' || text[i] == '\n' ? ' ' : text[i];
    }
    reply->has_error = true;
    text[length] = '\0';
    if (resp_pages() != NULL) { /* the door is open, and counts */
        resp_admin_note_error(text);
    }
    char *room = take_room(reply, length + 3);
    if (room != NULL) {
        room[0] = '-';
        memcpy(room + 1, text, length);
        memcpy(room + 1 + length, "\r\n", 2);
        put_room(reply, length + 3);
    }
}

void resp_say_null(struct resp_reply *reply)
{
    if (reply->protocol >= 3) {
        resp_say_raw(reply, "_\r\n", 3);
    } else {
        resp_say_raw(reply, "$-1\r\n", 5);
    }
}

void resp_say_null_array(struct resp_reply *reply)
{
    if (reply->protocol >= 3) {
        resp_say_raw(reply, "_\r\n", 3);
    } else {
        resp_say_raw(reply, "*-1\r\n", 5);
    }
}

void resp_say_bool(struct resp_reply *reply, bool is_true)
{
    if (reply->protocol >= 3) {
        resp_say_raw(reply, is_true ? "#t\r\n" : "#f\r\n", 4);
    } else {
        resp_say_raw(reply, is_true ? ":1\r\n" : ":0\r\n", 4);
    }
}

/* ---- many things ---------------------------------------------------------------------------- */

void resp_say_array(struct resp_reply *reply, size_t count)
{
    say_head(reply, '*', count, false);
}

void resp_say_map(struct resp_reply *reply, size_t pair_count)
{
    bool is_map = reply->protocol >= 3;

    say_head(reply, is_map ? '%' : '*', is_map ? pair_count : 2 * pair_count, false);
}

void resp_say_set(struct resp_reply *reply, size_t count)
{
    say_head(reply, reply->protocol >= 3 ? '~' : '*', count, false);
}

/* ---- strings -------------------------------------------------------------------------------- */

void resp_say_bulk(struct resp_reply *reply, const void *bytes, size_t byte_count)
{
    if (Q_UNLIKELY(byte_count > ROOM_BYTES_MAX - NUMBER_BYTES_MAX - 2)) {
        say_head(reply, '$', byte_count, false);
        resp_say_raw(reply, bytes, byte_count);
        resp_say_raw(reply, "\r\n", 2);
        return;
    }
    char *room = take_room(reply, NUMBER_BYTES_MAX + byte_count + 2);
    if (Q_LIKELY(room != NULL)) {
        size_t head = print_head(room, '$', byte_count, false);
        if (byte_count > 0) {
            memcpy(room + head, bytes, byte_count);
        }
        memcpy(room + head + byte_count, "\r\n", 2);
        put_room(reply, head + byte_count + 2);
    }
}

void resp_say_text(struct resp_reply *reply, const char *text)
{
    resp_say_bulk(reply, text, strlen(text));
}

void resp_say_verbatim(struct resp_reply *reply, const char *bytes, size_t byte_count)
{
    if (reply->protocol < 3) {
        resp_say_bulk(reply, bytes, byte_count);
        return;
    }
    say_head(reply, '=', byte_count + 4, false);
    resp_say_raw(reply, "txt:", 4);
    resp_say_raw(reply, bytes, byte_count);
    resp_say_raw(reply, "\r\n", 2);
}

/* ---- values that are pointed to ------------------------------------------------------------- */

void resp_lent_release(struct resp_lent *lent)
{
    for (uint32_t i = 0; i < lent->count; i++) {
        quarry_kv_value_release(&lent->values[i]);
    }
    lent->count = 0;
}

/* Which value of the list a stretch is of: the one that is kept by the same words. */
bool resp_lent_hold(struct resp_lent *lent, const struct serve_borrowed *borrowed)
{
    for (uint32_t i = 0; i < lent->count; i++) {
        struct quarry_kv_value *value = &lent->values[i];
        if (memcmp(value->held, borrowed->token, sizeof value->held) == 0 &&
            value->byte_count == borrowed->token[4]) {
            *value = lent->values[--lent->count]; /* invariant 2 */
            return true;
        }
    }
    return false;
}

void resp_lent_drop(const struct serve_borrowed *borrowed)
{
    struct quarry_kv_value value = {.byte_count = borrowed->token[4]};

    memcpy(value.held, borrowed->token, sizeof value.held);
    quarry_kv_value_release(&value);
}

/* Gives a value to the turn, which sends first if it has as many as it may. */
static void lend(struct resp_reply *reply, struct keyspace_value *value, size_t offset,
                 size_t byte_count)
{
    struct resp_lent *lent = reply->lent;
    struct serve_borrowed borrowed = {(const char *)value->bytes + offset, byte_count, {0}};

    Q_STATIC_ASSERT(sizeof borrowed.token >= sizeof value->held.held + sizeof(uint64_t),
                    "what keeps a value fits a token");
    memcpy(borrowed.token, value->held.held, sizeof value->held.held);
    borrowed.token[4] = value->held.byte_count;
    if (lent->count == RESP_LENT_MAX) {
        serve_connection_flush(reply->connection);
        resp_lent_release(lent);
    }
    say_head(reply, '$', byte_count, false);
    lent->values[lent->count++] = value->held;
    *value = (struct keyspace_value){0};
    if (!reply->has_failed) {
        reply->has_failed = !serve_out_borrow(reply->connection, &borrowed);
    }
    resp_say_raw(reply, "\r\n", 2);
}

void resp_say_value(struct resp_reply *reply, struct keyspace_value *value, size_t offset,
                    size_t byte_count)
{
    Q_DCHECK(offset <= value->byte_count && byte_count <= value->byte_count - offset);
    if (reply->connection != NULL && byte_count >= RESP_LENT_BYTES_MIN &&
        value->held.held[0] != 0) {
        lend(reply, value, offset, byte_count);
        return;
    }
    resp_say_bulk(reply, (const char *)value->bytes + offset, byte_count);
    keyspace_value_release(value);
}

/* ---- errors that many have ------------------------------------------------------------------ */

void resp_say_status(struct resp_reply *reply, enum quarry_status status,
                     const struct quarry_error *error)
{
    const char *why = error != NULL ? error->text : "";
    /* The store is read-only, or its files cannot be written. */
    bool is_store = status == QUARRY_PERMISSION || status == QUARRY_NO_SPACE || status == QUARRY_IO;
    size_t begin = reply->used;

    if (status == QUARRY_NO_MEMORY) {
        resp_say_error(reply, "OOM command not allowed when used memory > 'maxmemory'.");
    } else {
        resp_say_error(reply, "%s%s%s", is_store ? "MISCONF " : quarry_status_resp(status),
                       is_store || why[0] == '\0' ? "" : ": ",
                       is_store && why[0] == '\0' ? quarry_status_text(status) : why);
    }
    if (!reply->is_refused) {
        reply->is_refused = true;
        reply->refused_at = begin;
        reply->refused_end = reply->used;
    }
}

void resp_say_syntax_error(struct resp_reply *reply)
{
    resp_say_error(reply, "ERR syntax error");
}

void resp_say_not_an_integer(struct resp_reply *reply)
{
    resp_say_error(reply, "ERR value is not an integer or out of range");
}

void resp_say_wrong_arity(struct resp_reply *reply, const struct resp_command *command)
{
    resp_say_error(reply, "ERR wrong number of arguments for '%s' command", command->name);
}
