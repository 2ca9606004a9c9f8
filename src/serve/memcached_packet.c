/*
 * The binary protocol, for clients that have not left it, and for SASL.
 *
 *      0        1        2        3        4        5        6        7
 *     ┌────────┬────────┬─────────────────┬────────┬────────┬─────────────────┐
 *     │ 0x80   │ opcode │ key length      │ extras │ 0      │ reserved, status│
 *     ├────────┴────────┴─────────────────┼────────┴────────┴─────────────────┤
 *     │ length of extras, key and value   │ opaque, given back as it came     │
 *     ├───────────────────────────────────┴───────────────────────────────────┤
 *     │ cas                                                                   │
 *     └───────────────────────────────────────────────────────────────────────┘
 *       extras, key, value. All numbers big-endian. An answer begins with 0x81.
 *
 * Invariants:
 *  1. Lengths are checked against each other and against the opcode's before any of them is used.
 *  2. A packet that makes no sense is answered with an error and ends the connection: where the
 * next one begins cannot be trusted then.
 *  3. Quiet opcodes hide what is as expected, as q does in the text protocol.
 *
 * Not batched: clients that speak it and pipeline are few, and each has its text.
 *
 * Source: memcached's protocol_binary.h and doc/protocol-binary.xml; behaviour of memcached 1.6.18,
 * observed.
 */
#include <serve/memcached_packet.h>

#include <serve/memcached_login.h>
#include <serve/memcached_request.h>
#include <serve/memcached_stats.h>
#include <serve/memcached_store.h>

#define HEADER_BYTES 24u
#define ANSWER_MAGIC 0x81u
/* The longest value of a login: two NULs, an identity to act for, a user, a password. */
#define LOGIN_BYTES_MAX 1024u

enum status {
    STATUS_OK = 0,
    STATUS_NOT_FOUND = 1,
    STATUS_EXISTS = 2,
    STATUS_TOO_LARGE = 3,
    STATUS_INVALID = 4,
    STATUS_NOT_STORED = 5,
    STATUS_NOT_NUMBER = 6,
    STATUS_LOGIN = 0x20,
    STATUS_NOT_PERMITTED = 0x24,
    STATUS_UNKNOWN = 0x81,
    STATUS_NO_MEMORY = 0x82,
    STATUS_BUSY = 0x85,
};

/* What an opcode does. */
enum operation {
    OPERATION_NONE = 0,
    OPERATION_GET,
    OPERATION_STORE,
    OPERATION_DELETE,
    OPERATION_COUNT,
    OPERATION_QUIT,
    OPERATION_FLUSH,
    OPERATION_NOOP,
    OPERATION_VERSION,
    OPERATION_STATS,
    OPERATION_VERBOSITY,
    OPERATION_TOUCH,
    OPERATION_LOGIN_LIST,
    OPERATION_LOGIN,
};

enum {
    FLAG_QUIET = 1,
    FLAG_KEY = 2,       /* the answer has the key */
    FLAG_TOUCH = 4,     /* of a get */
    FLAG_DECREMENT = 8, /* of a count */
};

/* What each opcode's packet must look like. */
struct opcode {
    uint8_t operation; /* enum operation */
    uint8_t flags;
    uint8_t mode; /* enum quarry_cache_mode, of a store */
    uint8_t extras_bytes;
    bool has_key; /* it must have one; else it must not, where `may_have_key` is not set */
    bool may_have_key;
    bool has_value;
    uint8_t right; /* enum serve_right; 0: none is needed */
};

#define GET(...)                                                                                   \
    {                                                                                              \
        .operation = OPERATION_GET, .has_key = true, .right = SERVE_READ, __VA_ARGS__              \
    }
#define STORE(...)                                                                                 \
    {                                                                                              \
        .operation = OPERATION_STORE, .has_key = true, .has_value = true, .right = SERVE_WRITE,    \
        __VA_ARGS__                                                                                \
    }
#define COUNT(...)                                                                                 \
    {                                                                                              \
        .operation = OPERATION_COUNT, .has_key = true, .extras_bytes = 20, .right = SERVE_WRITE,   \
        __VA_ARGS__                                                                                \
    }

static const struct opcode opcodes[] = {
    [0x00] = GET(.flags = 0),
    [0x01] = STORE(.mode = QUARRY_CACHE_SET, .extras_bytes = 8),
    [0x02] = STORE(.mode = QUARRY_CACHE_ADD, .extras_bytes = 8),
    [0x03] = STORE(.mode = QUARRY_CACHE_REPLACE, .extras_bytes = 8),
    [0x04] = {.operation = OPERATION_DELETE, .has_key = true, .right = SERVE_WRITE},
    [0x05] = COUNT(.flags = 0),
    [0x06] = COUNT(.flags = FLAG_DECREMENT),
    [0x07] = {.operation = OPERATION_QUIT},
    [0x08] = {.operation = OPERATION_FLUSH, .right = SERVE_FLUSH},
    [0x09] = GET(.flags = FLAG_QUIET),
    [0x0a] = {.operation = OPERATION_NOOP},
    [0x0b] = {.operation = OPERATION_VERSION},
    [0x0c] = GET(.flags = FLAG_KEY),
    [0x0d] = GET(.flags = FLAG_KEY | FLAG_QUIET),
    [0x0e] = STORE(.mode = QUARRY_CACHE_APPEND),
    [0x0f] = STORE(.mode = QUARRY_CACHE_PREPEND),
    [0x10] = {.operation = OPERATION_STATS, .may_have_key = true, .right = SERVE_READ},
    [0x11] = STORE(.mode = QUARRY_CACHE_SET, .extras_bytes = 8, .flags = FLAG_QUIET),
    [0x12] = STORE(.mode = QUARRY_CACHE_ADD, .extras_bytes = 8, .flags = FLAG_QUIET),
    [0x13] = STORE(.mode = QUARRY_CACHE_REPLACE, .extras_bytes = 8, .flags = FLAG_QUIET),
    [0x14] = {.operation = OPERATION_DELETE,
              .has_key = true,
              .flags = FLAG_QUIET,
              .right = SERVE_WRITE},
    [0x15] = COUNT(.flags = FLAG_QUIET),
    [0x16] = COUNT(.flags = FLAG_QUIET | FLAG_DECREMENT),
    [0x17] = {.operation = OPERATION_QUIT, .flags = FLAG_QUIET},
    [0x18] = {.operation = OPERATION_FLUSH, .flags = FLAG_QUIET, .right = SERVE_FLUSH},
    [0x19] = STORE(.mode = QUARRY_CACHE_APPEND, .flags = FLAG_QUIET),
    [0x1a] = STORE(.mode = QUARRY_CACHE_PREPEND, .flags = FLAG_QUIET),
    [0x1b] = {.operation = OPERATION_VERBOSITY, .extras_bytes = 4, .right = SERVE_ADMIN},
    [0x1c] = {.operation = OPERATION_TOUCH,
              .has_key = true,
              .extras_bytes = 4,
              .right = SERVE_WRITE},
    [0x1d] = GET(.flags = FLAG_TOUCH, .extras_bytes = 4),
    [0x1e] = GET(.flags = FLAG_TOUCH | FLAG_QUIET, .extras_bytes = 4),
    [0x20] = {.operation = OPERATION_LOGIN_LIST},
    [0x21] = {.operation = OPERATION_LOGIN, .has_key = true, .has_value = true},
    [0x22] = {.operation = OPERATION_LOGIN, .has_key = true, .has_value = true},
    [0x23] = GET(.flags = FLAG_TOUCH | FLAG_KEY, .extras_bytes = 4),
    [0x24] = GET(.flags = FLAG_TOUCH | FLAG_KEY | FLAG_QUIET, .extras_bytes = 4),
};

/* A packet's header, read, and where its parts are. */
struct packet {
    const struct opcode *code;
    uint8_t opcode;
    uint8_t extras_bytes;
    uint16_t key_bytes;
    uint32_t body_bytes;
    uint32_t opaque; /* as it came */
    uint64_t cas;
    const char *extras;
    struct memcached_word key;
};

static uint32_t value_bytes_of(const struct packet *packet)
{
    return packet->body_bytes - packet->extras_bytes - packet->key_bytes;
}

static bool has_flag(const struct packet *packet, uint8_t flag)
{
    return (packet->code->flags & flag) != 0;
}

/* ---- answers -------------------------------------------------------------------------------- */

/* What an answer is made of. */
struct answer {
    uint8_t opcode;
    enum status status;
    uint32_t opaque;
    uint64_t cas;
    const void *extras;
    uint8_t extras_bytes;
    struct memcached_word key;
    const void *value; /* NULL: it is sent apart */
    uint64_t value_bytes;
};

/* Writes an answer, but for a value that is sent apart. */
static enum memcached_step send(struct memcached_turn *turn, const struct answer *answer)
{
    size_t value_bytes = answer->value == NULL ? 0 : (size_t)answer->value_bytes;
    size_t byte_count = HEADER_BYTES + answer->extras_bytes + answer->key.length + value_bytes;
    char *room = serve_out_room(turn->connection, byte_count);

    if (room == NULL) {
        return MEMCACHED_CLOSE;
    }
    room[0] = (char)ANSWER_MAGIC;
    room[1] = (char)answer->opcode;
    endian_store_be_u16(room + 2, (uint16_t)answer->key.length);
    room[4] = (char)answer->extras_bytes;
    room[5] = 0;
    endian_store_be_u16(room + 6, (uint16_t)answer->status);
    endian_store_be_u32(
        room + 8, (uint32_t)(answer->extras_bytes + answer->key.length + answer->value_bytes));
    memcpy(room + 12, &answer->opaque, 4);
    endian_store_be_u64(room + 16, answer->cas);
    char *out = room + HEADER_BYTES;

    if (answer->extras_bytes > 0) {
        memcpy(out, answer->extras, answer->extras_bytes);
    }
    out += answer->extras_bytes;
    if (answer->key.length > 0) {
        memcpy(out, answer->key.text, answer->key.length);
    }
    out += answer->key.length;
    if (value_bytes > 0) {
        memcpy(out, answer->value, value_bytes);
    }
    serve_out_advance(turn->connection, byte_count);
    return MEMCACHED_ON;
}

static const char *text_of(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return "";
    case STATUS_NOT_FOUND:
        return "Not found";
    case STATUS_EXISTS:
        return "Data exists for key.";
    case STATUS_TOO_LARGE:
        return "Too large.";
    case STATUS_INVALID:
        return "Invalid arguments";
    case STATUS_NOT_STORED:
        return "Not stored.";
    case STATUS_NOT_NUMBER:
        return "Non-numeric server-side value for incr or decr";
    case STATUS_LOGIN:
        return "Auth failure.";
    case STATUS_NOT_PERMITTED:
        return "Not permitted";
    case STATUS_UNKNOWN:
        return "Unknown command";
    case STATUS_NO_MEMORY:
        return "Out of memory";
    case STATUS_BUSY:
        return "Too many requests";
    }
    Q_UNREACHABLE();
}

static enum memcached_step say(struct memcached_turn *turn, uint8_t opcode, uint32_t opaque,
                               enum status status, const char *text)
{
    return send(turn, &(struct answer){.opcode = opcode,
                                       .status = status,
                                       .opaque = opaque,
                                       .value = text,
                                       .value_bytes = strlen(text)});
}

/* Answers with a status, and its text if it is an error. */
static enum memcached_step say_status(struct memcached_turn *turn, const struct packet *packet,
                                      enum status status)
{
    return say(turn, packet->opcode, packet->opaque, status, text_of(status));
}

/* Answers a success, which a quiet packet does not want to hear of. */
static enum memcached_step say_done(struct memcached_turn *turn, const struct packet *packet)
{
    return has_flag(packet, FLAG_QUIET) ? MEMCACHED_ON : say_status(turn, packet, STATUS_OK);
}

static enum status status_of(enum quarry_cache_outcome outcome)
{
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return STATUS_OK;
    case QUARRY_CACHE_MISS:
        return STATUS_NOT_FOUND;
    case QUARRY_CACHE_NOT_STORED:
        return STATUS_NOT_STORED;
    case QUARRY_CACHE_EXISTS:
        return STATUS_EXISTS;
    case QUARRY_CACHE_NOT_NUMBER:
        return STATUS_NOT_NUMBER;
    case QUARRY_CACHE_NO_MEMORY:
        return STATUS_NO_MEMORY;
    case QUARRY_CACHE_TOO_LARGE:
        return STATUS_TOO_LARGE;
    }
    Q_UNREACHABLE();
}

/* ---- get ------------------------------------------------------------------------------------ */

static struct quarry_cache_key key_of(const struct memcached_turn *turn,
                                      const struct packet *packet)
{
    return quarry_cache_key_make(turn->tenant, packet->key.text, packet->key.length);
}

/* A number of seconds in a packet's extras. */
static uint32_t expiry_at(const char *extras)
{
    return memcached_expiry((int32_t)endian_load_be_u32(extras));
}

static enum memcached_step say_miss(struct memcached_turn *turn, const struct packet *packet)
{
    if (has_flag(packet, FLAG_QUIET)) {
        return MEMCACHED_ON;
    }
    if (!has_flag(packet, FLAG_KEY)) {
        return say_status(turn, packet, STATUS_NOT_FOUND);
    }
    return send(turn, &(struct answer){.opcode = packet->opcode,
                                       .status = STATUS_NOT_FOUND,
                                       .opaque = packet->opaque,
                                       .key = packet->key});
}

static enum memcached_step get(struct memcached_turn *turn, const struct packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_get_options touching = {
        .touches = has_flag(packet, FLAG_TOUCH),
        .expiry = has_flag(packet, FLAG_TOUCH) ? expiry_at(packet->extras) : 0};
    struct quarry_cache_hit hit;
    enum quarry_cache_outcome outcome =
        quarry_cache_get(turn->tenant, &key, touching.touches ? &touching : NULL, &hit);
    char client_flags[4];

    memcached_note(turn, MEMCACHED_EVENT_GET, &key,
                   outcome == QUARRY_CACHE_HIT ? "found" : "not_found",
                   outcome == QUARRY_CACHE_HIT ? hit.value_bytes : 0, NULL);
    if (outcome != QUARRY_CACHE_HIT) {
        return say_miss(turn, packet);
    }
    endian_store_be_u32(client_flags, hit.client_flags);
    struct answer answer = {
        .opcode = packet->opcode,
        .opaque = packet->opaque,
        .cas = hit.cas,
        .extras = client_flags,
        .extras_bytes = sizeof client_flags,
        .key = has_flag(packet, FLAG_KEY) ? packet->key : (struct memcached_word){NULL, 0},
        .value_bytes = hit.value_bytes,
    };

    if (send(turn, &answer) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    turn->at -= 1; /* of the packet: until the value has gone */
    return memcached_send_value(turn, &hit, 0, MEMCACHED_REQUEST, 1);
}

static enum memcached_step touch(struct memcached_turn *turn, const struct packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_get_options options = {.touches = true,
                                                     .expiry = expiry_at(packet->extras)};
    struct quarry_cache_hit hit;
    char client_flags[4];

    memcached_count(&turn->counters->touch_requests);
    if (quarry_cache_get(turn->tenant, &key, &options, &hit) != QUARRY_CACHE_HIT) {
        return say_status(turn, packet, STATUS_NOT_FOUND);
    }
    endian_store_be_u32(client_flags, hit.client_flags);
    return send(turn, &(struct answer){.opcode = packet->opcode,
                                       .opaque = packet->opaque,
                                       .cas = hit.cas,
                                       .extras = client_flags,
                                       .extras_bytes = sizeof client_flags});
}

/* ---- store ---------------------------------------------------------------------------------- */

enum memcached_step memcached_packet_stored(struct memcached_turn *turn,
                                            const struct memcached_storing *storing,
                                            enum quarry_cache_outcome outcome,
                                            const struct quarry_cache_stored *stored)
{
    enum status status = status_of(outcome);

    /* An add that finds an item, and a replace that finds none, have statuses of their own. */
    if (outcome == QUARRY_CACHE_NOT_STORED && storing->options.mode == QUARRY_CACHE_ADD) {
        status = STATUS_EXISTS;
    } else if (outcome == QUARRY_CACHE_NOT_STORED &&
               storing->options.mode == QUARRY_CACHE_REPLACE) {
        status = STATUS_NOT_FOUND;
    }
    if (status != STATUS_OK) {
        return say(turn, storing->opcode, storing->opaque, status, text_of(status));
    }
    if (storing->is_quiet) {
        return MEMCACHED_ON;
    }
    return send(
        turn,
        &(struct answer){.opcode = storing->opcode, .opaque = storing->opaque, .cas = stored->cas});
}

static enum memcached_step store(struct memcached_turn *turn, const struct packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    struct memcached_storing storing;
    bool has_extras = packet->extras_bytes == 8;

    storing.form = MEMCACHED_PACKET;
    storing.is_quiet = has_flag(packet, FLAG_QUIET);
    storing.opcode = packet->opcode;
    storing.opaque = packet->opaque;
    storing.echo_bytes = 0;
    storing.options = (struct quarry_cache_store_options){
        .mode = (enum quarry_cache_mode)packet->code->mode,
        .client_flags = has_extras ? endian_load_be_u32(packet->extras) : 0,
        .expiry = has_extras ? expiry_at(packet->extras + 4) : 0,
        .has_cas = packet->cas != 0,
        .cas = packet->cas,
    };
    return memcached_store_value(turn, &storing, &key, value_bytes_of(packet));
}

/* ---- changes -------------------------------------------------------------------------------- */

static enum memcached_step delete (struct memcached_turn *turn, const struct packet *packet) {
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_delete_options options = {.has_cas = packet->cas != 0,
                                                        .cas = packet->cas};
    enum quarry_cache_outcome outcome = quarry_cache_delete(turn->tenant, &key, &options);

    memcached_note(turn, MEMCACHED_EVENT_DELETE, &key,
                   outcome == QUARRY_CACHE_HIT ? "deleted" : "not_found", 0, NULL);
    return outcome == QUARRY_CACHE_HIT ? say_done(turn, packet)
                                       : say_status(turn, packet, status_of(outcome));
}

static enum memcached_step count(struct memcached_turn *turn, const struct packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    uint32_t exptime = endian_load_be_u32(packet->extras + 16);
    const struct quarry_cache_count_options options = {
        .delta = endian_load_be_u64(packet->extras),
        .decrements = has_flag(packet, FLAG_DECREMENT),
        .has_cas = packet->cas != 0,
        .cas = packet->cas,
        .vivifies = exptime != UINT32_MAX,
        .initial = endian_load_be_u64(packet->extras + 8),
        .vivify_expiry = exptime != UINT32_MAX ? memcached_expiry((int32_t)exptime) : 0,
    };
    struct quarry_cache_counted counted;
    memcached_step_out(turn);
    enum quarry_cache_outcome outcome = quarry_cache_count(turn->tenant, &key, &options, &counted);
    memcached_step_in(turn);
    char number[8];

    if (outcome != QUARRY_CACHE_HIT) {
        return say_status(turn, packet, status_of(outcome));
    }
    if (has_flag(packet, FLAG_QUIET)) {
        return MEMCACHED_ON;
    }
    endian_store_be_u64(number, counted.number);
    return send(turn, &(struct answer){.opcode = packet->opcode,
                                       .opaque = packet->opaque,
                                       .cas = counted.cas,
                                       .value = number,
                                       .value_bytes = sizeof number});
}

/* ---- the rest ------------------------------------------------------------------------------- */

static enum memcached_step flush(struct memcached_turn *turn, const struct packet *packet)
{
    int32_t exptime = packet->extras_bytes == 4 ? (int32_t)endian_load_be_u32(packet->extras) : 0;

    memcached_count(&turn->counters->flush_requests);
    if (atomic_load_relaxed_bool(&memcached.refuses_flush)) { /* relaxed: a setting */
        return say_status(turn, packet, STATUS_LOGIN);
    }
    quarry_cache_flush(turn->tenant, exptime > 0 ? memcached_expiry(exptime) : 0);
    return say_done(turn, packet);
}

/* Which packet asked for the figures that are told: its opaque is in each of them. */
static enum memcached_step tell_packet(struct memcached_turn *turn, const char *name,
                                       const char *value)
{
    return send(turn, &(struct answer){.opcode = 0x10,
                                       .opaque = turn->state->login_opaque,
                                       .key = {name, strlen(name)},
                                       .value = value,
                                       .value_bytes = strlen(value)});
}

static enum memcached_step stats(struct memcached_turn *turn, const struct packet *packet)
{
    enum memcached_step step = MEMCACHED_ON;

    turn->state->login_opaque = packet->opaque;
    if (MEMCACHED_WORD_IS(packet->key, "reset")) {
        memcached_reset_stats(turn);
    } else if (!memcached_tell_stats(turn, packet->key, tell_packet, &step)) {
        return say_status(turn, packet, STATUS_NOT_FOUND);
    }
    return step == MEMCACHED_ON ? tell_packet(turn, "", "") : step;
}

static enum memcached_step set_verbosity(struct memcached_turn *turn, const struct packet *packet)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint32_t level = endian_load_be_u32(packet->extras);

    level = level > 2 ? 2 : level;
    atomic_store_relaxed_u32(&memcached.verbosity, level); /* relaxed: a setting */
    if (hooks->set_verbosity != NULL) {
        hooks->set_verbosity(hooks->argument, level);
    }
    return say_done(turn, packet);
}

/* ---- logins --------------------------------------------------------------------------------- */

enum memcached_step memcached_packet_login_done(struct memcached_turn *turn, bool is_granted)
{
    const struct memcached_state *state = turn->state;

    return is_granted
               ? say(turn, state->login_opcode, state->login_opaque, STATUS_OK, "Authenticated")
               : say(turn, state->login_opcode, state->login_opaque, STATUS_LOGIN,
                     text_of(STATUS_LOGIN));
}

/* PLAIN: whom to act for (nobody else), a NUL, the user, a NUL, the password. */
static enum memcached_step login_plain(struct memcached_turn *turn, struct memcached_word value)
{
    const char *end = value.text + value.length;
    const char *user = memchr(value.text, '\0', value.length);
    const char *password = user == NULL ? NULL : memchr(user + 1, '\0', (size_t)(end - user - 1));

    if (password == NULL) {
        return memcached_login_answer(turn, NULL);
    }
    user++;
    password++;
    return memcached_login(turn,
                           &(struct memcached_credentials){user, (size_t)(password - 1 - user),
                                                           password, (size_t)(end - password)});
}

static enum memcached_step login(struct memcached_turn *turn, const struct packet *packet)
{
    struct memcached_word value = {turn->at, value_bytes_of(packet)};

    if (!serve_connection_needs_login(turn->connection)) {
        turn->at += value.length;
        return say_status(turn, packet, STATUS_UNKNOWN);
    }
    turn->at += value.length;
    turn->state->login_opcode = packet->opcode;
    turn->state->login_opaque = packet->opaque;
    if (packet->opcode != 0x21 || !MEMCACHED_WORD_IS(packet->key, "PLAIN")) {
        return memcached_login_answer(turn, NULL);
    }
    return login_plain(turn, value);
}

static enum memcached_step list_logins(struct memcached_turn *turn, const struct packet *packet)
{
    return serve_connection_needs_login(turn->connection)
               ? say(turn, packet->opcode, packet->opaque, STATUS_OK, "PLAIN")
               : say_status(turn, packet, STATUS_UNKNOWN);
}

/* ---- packets -------------------------------------------------------------------------------- */

static enum memcached_step execute(struct memcached_turn *turn, const struct packet *packet)
{
    switch ((enum operation)packet->code->operation) {
    case OPERATION_GET:
        return get(turn, packet);
    case OPERATION_STORE:
        return store(turn, packet);
    case OPERATION_DELETE:
        return delete (turn, packet);
    case OPERATION_COUNT:
        return count(turn, packet);
    case OPERATION_FLUSH:
        return flush(turn, packet);
    case OPERATION_NOOP:
        return say_status(turn, packet, STATUS_OK);
    case OPERATION_VERSION:
        return say(turn, packet->opcode, packet->opaque, STATUS_OK, memcached.settings.version);
    case OPERATION_STATS:
        return stats(turn, packet);
    case OPERATION_VERBOSITY:
        return set_verbosity(turn, packet);
    case OPERATION_TOUCH:
        return touch(turn, packet);
    case OPERATION_LOGIN_LIST:
        return list_logins(turn, packet);
    case OPERATION_LOGIN:
        return login(turn, packet);
    case OPERATION_QUIT:
        (void)say_done(turn, packet);
        return MEMCACHED_CLOSE;
    case OPERATION_NONE:
        break;
    }
    Q_UNREACHABLE();
}

/* Whether the lengths are those of its opcode. */
static bool is_well_formed(const struct packet *packet)
{
    const struct opcode *code = packet->code;
    bool is_key_good = code->has_key        ? packet->key_bytes > 0
                       : code->may_have_key ? true
                                            : packet->key_bytes == 0;
    bool is_extras_good = packet->extras_bytes == code->extras_bytes ||
                          (code->operation == OPERATION_FLUSH && packet->extras_bytes == 4);

    return is_key_good && is_extras_good && packet->key_bytes <= QUARRY_CACHE_KEY_BYTES_MAX &&
           (code->has_value || value_bytes_of(packet) == 0) &&
           value_bytes_of(packet) <= INT32_MAX &&
           (code->operation != OPERATION_LOGIN || value_bytes_of(packet) <= LOGIN_BYTES_MAX);
}

/* How many bytes of a packet must be there before it is looked at: not those of a value. */
static size_t needed_bytes(const struct packet *packet)
{
    uint32_t body = packet->code->operation == OPERATION_STORE
                        ? (uint32_t)packet->extras_bytes + packet->key_bytes
                        : packet->body_bytes;

    return HEADER_BYTES + body;
}

static void read_header(const char *at, struct packet *packet)
{
    static const struct opcode unknown = {0};

    packet->opcode = (uint8_t)at[1];
    packet->code =
        packet->opcode < sizeof opcodes / sizeof opcodes[0] ? &opcodes[packet->opcode] : &unknown;
    packet->key_bytes = endian_load_be_u16(at + 2);
    packet->extras_bytes = (uint8_t)at[4];
    packet->body_bytes = endian_load_be_u32(at + 8);
    memcpy(&packet->opaque, at + 12, 4);
    packet->cas = endian_load_be_u64(at + 16);
    packet->extras = at + HEADER_BYTES;
    packet->key = (struct memcached_word){packet->extras + packet->extras_bytes, packet->key_bytes};
}

/* Answers with an error, behind which nothing is believed. */
static enum memcached_step end_with(struct memcached_turn *turn, const struct packet *packet,
                                    enum status status)
{
    turn->at += HEADER_BYTES;
    (void)say_status(turn, packet, status);
    return MEMCACHED_CLOSE;
}

/* What keeps a packet from being executed; STATUS_OK: nothing does. */
static enum status refusal(const struct memcached_turn *turn, const struct packet *packet)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint8_t right = packet->code->right;

    if (right == 0) {
        return STATUS_OK;
    }
    if ((turn->identity->rights & right) == 0) {
        return STATUS_NOT_PERMITTED;
    }
    return hooks->admit == NULL || hooks->admit(hooks->argument, turn->identity, 1) ? STATUS_OK
                                                                                    : STATUS_BUSY;
}

/* Whether an opcode is for those who have yet to log in. */
static bool is_for_strangers(const struct packet *packet)
{
    enum operation operation = (enum operation)packet->code->operation;

    return operation == OPERATION_VERSION || operation == OPERATION_LOGIN ||
           operation == OPERATION_LOGIN_LIST || operation == OPERATION_QUIT;
}

enum memcached_step memcached_packet_phase(struct memcached_turn *turn)
{
    struct packet packet;

    if ((uint8_t)*turn->at != 0x80) {
        return MEMCACHED_CLOSE;
    }
    if (memcached_left(turn) < HEADER_BYTES) {
        return MEMCACHED_MORE;
    }
    read_header(turn->at, &packet);
    if ((uint64_t)packet.extras_bytes + packet.key_bytes > packet.body_bytes) {
        return end_with(turn, &packet, STATUS_UNKNOWN);
    }
    if (turn->identity->rights == 0 && !is_for_strangers(&packet)) {
        return end_with(turn, &packet, STATUS_LOGIN);
    }
    if (packet.code->operation == OPERATION_NONE) {
        turn->at += HEADER_BYTES;
        return say_status(turn, &packet, STATUS_UNKNOWN) == MEMCACHED_ON
                   ? memcached_swallow(turn, packet.body_bytes)
                   : MEMCACHED_CLOSE;
    }
    if (!is_well_formed(&packet)) {
        return end_with(turn, &packet, STATUS_INVALID);
    }
    if (memcached_left(turn) < needed_bytes(&packet)) {
        return MEMCACHED_MORE;
    }
    turn->at += HEADER_BYTES + packet.extras_bytes + packet.key_bytes;
    turn->state->turn_requests++;
    memcached_count(&turn->counters->requests);
    enum status status = refusal(turn, &packet);

    if (status != STATUS_OK) {
        return say_status(turn, &packet, status) == MEMCACHED_ON
                   ? memcached_swallow(turn, value_bytes_of(&packet))
                   : MEMCACHED_CLOSE;
    }
    uint8_t notes = turn->notes;

    turn->notes = memcached_next_sample(turn, 1) == 0 ? notes | MEMCACHED_NOTES_SAMPLE : notes;
    enum memcached_step step = execute(turn, &packet);

    turn->notes = notes;
    return step;
}
