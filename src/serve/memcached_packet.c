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
 *     memcached_packet.c          reading: what each opcode must look like, who may
 *     memcached_packet_answer.c   writing
 *     memcached_packet_item.c     get, touch, store, delete, count
 *     memcached_packet_server.c   flush, statistics, logins
 *
 * Not batched: clients that speak it and pipeline are few, and each has its text.
 *
 * Source: memcached's protocol_binary.h and doc/protocol-binary.xml; behaviour of memcached 1.6.18,
 * observed.
 */
#include <serve/memcached_packet_parts.h>
#include <serve/memcached_request.h>

#define GET(...)                                                                                   \
    {                                                                                              \
        .operation = MEMCACHED_OPERATION_GET, .has_key = true, .right = SERVE_READ, __VA_ARGS__    \
    }
#define STORE(...)                                                                                 \
    {                                                                                              \
        .operation = MEMCACHED_OPERATION_STORE, .has_key = true, .has_value = true,                \
        .right = SERVE_WRITE, __VA_ARGS__                                                          \
    }
#define COUNT(...)                                                                                 \
    {                                                                                              \
        .operation = MEMCACHED_OPERATION_COUNT, .has_key = true, .extras_bytes = 20,               \
        .right = SERVE_WRITE, __VA_ARGS__                                                          \
    }

static const struct memcached_opcode opcodes[] = {
    [0x00] = GET(.flags = 0),
    [0x01] = STORE(.mode = QUARRY_CACHE_SET, .extras_bytes = 8),
    [0x02] = STORE(.mode = QUARRY_CACHE_ADD, .extras_bytes = 8),
    [0x03] = STORE(.mode = QUARRY_CACHE_REPLACE, .extras_bytes = 8),
    [0x04] = {.operation = MEMCACHED_OPERATION_DELETE, .has_key = true, .right = SERVE_WRITE},
    [0x05] = COUNT(.flags = 0),
    [0x06] = COUNT(.flags = MEMCACHED_PACKET_DECREMENT),
    [0x07] = {.operation = MEMCACHED_OPERATION_QUIT},
    [0x08] = {.operation = MEMCACHED_OPERATION_FLUSH, .right = SERVE_FLUSH},
    [0x09] = GET(.flags = MEMCACHED_PACKET_QUIET),
    [0x0a] = {.operation = MEMCACHED_OPERATION_NOOP},
    [0x0b] = {.operation = MEMCACHED_OPERATION_VERSION},
    [0x0c] = GET(.flags = MEMCACHED_PACKET_KEY),
    [0x0d] = GET(.flags = MEMCACHED_PACKET_KEY | MEMCACHED_PACKET_QUIET),
    [0x0e] = STORE(.mode = QUARRY_CACHE_APPEND),
    [0x0f] = STORE(.mode = QUARRY_CACHE_PREPEND),
    [0x10] = {.operation = MEMCACHED_OPERATION_STATS, .may_have_key = true, .right = SERVE_READ},
    [0x11] = STORE(.mode = QUARRY_CACHE_SET, .extras_bytes = 8, .flags = MEMCACHED_PACKET_QUIET),
    [0x12] = STORE(.mode = QUARRY_CACHE_ADD, .extras_bytes = 8, .flags = MEMCACHED_PACKET_QUIET),
    [0x13] =
        STORE(.mode = QUARRY_CACHE_REPLACE, .extras_bytes = 8, .flags = MEMCACHED_PACKET_QUIET),
    [0x14] = {.operation = MEMCACHED_OPERATION_DELETE,
              .has_key = true,
              .flags = MEMCACHED_PACKET_QUIET,
              .right = SERVE_WRITE},
    [0x15] = COUNT(.flags = MEMCACHED_PACKET_QUIET),
    [0x16] = COUNT(.flags = MEMCACHED_PACKET_QUIET | MEMCACHED_PACKET_DECREMENT),
    [0x17] = {.operation = MEMCACHED_OPERATION_QUIT, .flags = MEMCACHED_PACKET_QUIET},
    [0x18] = {.operation = MEMCACHED_OPERATION_FLUSH,
              .flags = MEMCACHED_PACKET_QUIET,
              .right = SERVE_FLUSH},
    [0x19] = STORE(.mode = QUARRY_CACHE_APPEND, .flags = MEMCACHED_PACKET_QUIET),
    [0x1a] = STORE(.mode = QUARRY_CACHE_PREPEND, .flags = MEMCACHED_PACKET_QUIET),
    [0x1b] = {.operation = MEMCACHED_OPERATION_VERBOSITY, .extras_bytes = 4, .right = SERVE_ADMIN},
    [0x1c] = {.operation = MEMCACHED_OPERATION_TOUCH,
              .has_key = true,
              .extras_bytes = 4,
              .right = SERVE_WRITE},
    [0x1d] = GET(.flags = MEMCACHED_PACKET_TOUCH, .extras_bytes = 4),
    [0x1e] = GET(.flags = MEMCACHED_PACKET_TOUCH | MEMCACHED_PACKET_QUIET, .extras_bytes = 4),
    [0x20] = {.operation = MEMCACHED_OPERATION_LOGIN_LIST},
    [0x21] = {.operation = MEMCACHED_OPERATION_LOGIN, .has_key = true, .has_value = true},
    [0x22] = {.operation = MEMCACHED_OPERATION_LOGIN, .has_key = true, .has_value = true},
    [0x23] = GET(.flags = MEMCACHED_PACKET_TOUCH | MEMCACHED_PACKET_KEY, .extras_bytes = 4),
    [0x24] = GET(.flags = MEMCACHED_PACKET_TOUCH | MEMCACHED_PACKET_KEY | MEMCACHED_PACKET_QUIET,
                 .extras_bytes = 4),
};
/* ---- packets -------------------------------------------------------------------------------- */

static enum memcached_step execute(struct memcached_turn *turn,
                                   const struct memcached_packet *packet)
{
    switch ((enum memcached_operation)packet->code->operation) {
    case MEMCACHED_OPERATION_GET:
        return memcached_packet_get(turn, packet);
    case MEMCACHED_OPERATION_STORE:
        return memcached_packet_store(turn, packet);
    case MEMCACHED_OPERATION_DELETE:
        return memcached_packet_delete(turn, packet);
    case MEMCACHED_OPERATION_COUNT:
        return memcached_packet_count(turn, packet);
    case MEMCACHED_OPERATION_FLUSH:
        return memcached_packet_flush(turn, packet);
    case MEMCACHED_OPERATION_NOOP:
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_OK);
    case MEMCACHED_OPERATION_VERSION:
        return memcached_packet_say(turn, packet->opcode, packet->opaque, MEMCACHED_STATUS_OK,
                                    memcached.settings.version);
    case MEMCACHED_OPERATION_STATS:
        return memcached_packet_stats(turn, packet);
    case MEMCACHED_OPERATION_VERBOSITY:
        return memcached_packet_set_verbosity(turn, packet);
    case MEMCACHED_OPERATION_TOUCH:
        return memcached_packet_touch(turn, packet);
    case MEMCACHED_OPERATION_LOGIN_LIST:
        return memcached_packet_list_logins(turn, packet);
    case MEMCACHED_OPERATION_LOGIN:
        return memcached_packet_login(turn, packet);
    case MEMCACHED_OPERATION_QUIT:
        (void)memcached_packet_say_done(turn, packet);
        return MEMCACHED_CLOSE;
    case MEMCACHED_OPERATION_NONE:
        break;
    }
    Q_UNREACHABLE();
}

/* Whether the lengths are those of its opcode. */
static bool is_well_formed(const struct memcached_packet *packet)
{
    const struct memcached_opcode *code = packet->code;
    bool is_key_good = code->has_key        ? packet->key_bytes > 0
                       : code->may_have_key ? true
                                            : packet->key_bytes == 0;
    bool is_extras_good =
        packet->extras_bytes == code->extras_bytes ||
        (code->operation == MEMCACHED_OPERATION_FLUSH && packet->extras_bytes == 4);

    return is_key_good && is_extras_good && packet->key_bytes <= QUARRY_CACHE_KEY_BYTES_MAX &&
           (code->has_value || memcached_packet_value_bytes(packet) == 0) &&
           memcached_packet_value_bytes(packet) <= INT32_MAX &&
           (code->operation != MEMCACHED_OPERATION_LOGIN ||
            memcached_packet_value_bytes(packet) <= MEMCACHED_PACKET_LOGIN_BYTES_MAX);
}

/* How many bytes of a packet must be there before it is looked at: not those of a value. */
static size_t needed_bytes(const struct memcached_packet *packet)
{
    uint32_t body = packet->code->operation == MEMCACHED_OPERATION_STORE
                        ? (uint32_t)packet->extras_bytes + packet->key_bytes
                        : packet->body_bytes;

    return MEMCACHED_PACKET_BYTES + body;
}

static void read_header(const char *at, struct memcached_packet *packet)
{
    static const struct memcached_opcode unknown = {0};

    packet->opcode = (uint8_t)at[1];
    packet->code =
        packet->opcode < sizeof opcodes / sizeof opcodes[0] ? &opcodes[packet->opcode] : &unknown;
    packet->key_bytes = endian_load_be_u16(at + 2);
    packet->extras_bytes = (uint8_t)at[4];
    packet->body_bytes = endian_load_be_u32(at + 8);
    memcpy(&packet->opaque, at + 12, 4);
    packet->cas = endian_load_be_u64(at + 16);
    packet->extras = at + MEMCACHED_PACKET_BYTES;
    packet->key = (struct memcached_word){packet->extras + packet->extras_bytes, packet->key_bytes};
}

/* Answers with an error, behind which nothing is believed. */
static enum memcached_step end_with(struct memcached_turn *turn,
                                    const struct memcached_packet *packet,
                                    enum memcached_packet_status status)
{
    turn->at += MEMCACHED_PACKET_BYTES;
    (void)memcached_packet_say_status(turn, packet, status);
    return MEMCACHED_CLOSE;
}

/* What keeps a packet from being executed; MEMCACHED_STATUS_OK: nothing does. */
static enum memcached_packet_status refusal(const struct memcached_turn *turn,
                                            const struct memcached_packet *packet)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint8_t right = packet->code->right;

    if (right == 0) {
        return MEMCACHED_STATUS_OK;
    }
    if ((turn->identity->rights & right) == 0) {
        return MEMCACHED_STATUS_NOT_PERMITTED;
    }
    return hooks->admit == NULL || hooks->admit(hooks->argument, turn->identity, 1)
               ? MEMCACHED_STATUS_OK
               : MEMCACHED_STATUS_BUSY;
}

/* Whether an opcode is for those who have yet to log in. */
static bool is_for_strangers(const struct memcached_packet *packet)
{
    enum memcached_operation operation = (enum memcached_operation)packet->code->operation;

    return operation == MEMCACHED_OPERATION_VERSION || operation == MEMCACHED_OPERATION_LOGIN ||
           operation == MEMCACHED_OPERATION_LOGIN_LIST || operation == MEMCACHED_OPERATION_QUIT;
}

enum memcached_step memcached_packet_phase(struct memcached_turn *turn)
{
    struct memcached_packet packet;

    if ((uint8_t)*turn->at != 0x80) {
        return MEMCACHED_CLOSE;
    }
    if (memcached_left(turn) < MEMCACHED_PACKET_BYTES) {
        return MEMCACHED_MORE;
    }
    read_header(turn->at, &packet);
    if ((uint64_t)packet.extras_bytes + packet.key_bytes > packet.body_bytes) {
        return end_with(turn, &packet, MEMCACHED_STATUS_UNKNOWN);
    }
    if (turn->identity->rights == 0 && !is_for_strangers(&packet)) {
        return end_with(turn, &packet, MEMCACHED_STATUS_LOGIN);
    }
    if (packet.code->operation == MEMCACHED_OPERATION_NONE) {
        turn->at += MEMCACHED_PACKET_BYTES;
        return memcached_packet_say_status(turn, &packet, MEMCACHED_STATUS_UNKNOWN) == MEMCACHED_ON
                   ? memcached_swallow(turn, packet.body_bytes)
                   : MEMCACHED_CLOSE;
    }
    if (!is_well_formed(&packet)) {
        return end_with(turn, &packet, MEMCACHED_STATUS_INVALID);
    }
    if (memcached_left(turn) < needed_bytes(&packet)) {
        return MEMCACHED_MORE;
    }
    turn->at += MEMCACHED_PACKET_BYTES + packet.extras_bytes + packet.key_bytes;
    turn->state->turn_requests++;
    memcached_count(&turn->counters->requests);
    enum memcached_packet_status status = refusal(turn, &packet);

    if (status != MEMCACHED_STATUS_OK) {
        return memcached_packet_say_status(turn, &packet, status) == MEMCACHED_ON
                   ? memcached_swallow(turn, memcached_packet_value_bytes(&packet))
                   : MEMCACHED_CLOSE;
    }
    uint8_t notes = turn->notes;

    turn->notes = memcached_next_sample(turn, 1) == 0 ? notes | MEMCACHED_NOTES_SAMPLE : notes;
    enum memcached_step step = execute(turn, &packet);

    turn->notes = notes;
    return step;
}
