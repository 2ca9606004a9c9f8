/*
 * Answers of the binary protocol: a header, extras, a key, a value; see memcached_packet.c.
 *
 * All of an answer but a large value is written in one stretch of the turn's room, 4 KiB at most:
 * 24 bytes, up to 8 of extras, a key, a number or a text.
 *
 * Cost: a copy.
 */
#include <serve/memcached_packet_parts.h>

#define ANSWER_MAGIC 0x81u

enum memcached_step memcached_packet_send(struct memcached_turn *turn,
                                          const struct memcached_packet_answer *answer)
{
    size_t value_bytes = answer->value == NULL ? 0 : (size_t)answer->value_bytes;
    size_t byte_count =
        MEMCACHED_PACKET_BYTES + answer->extras_bytes + answer->key.length + value_bytes;
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
    char *out = room + MEMCACHED_PACKET_BYTES;

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

const char *memcached_packet_text_of(enum memcached_packet_status status)
{
    switch (status) {
    case MEMCACHED_STATUS_OK:
        return "";
    case MEMCACHED_STATUS_NOT_FOUND:
        return "Not found";
    case MEMCACHED_STATUS_EXISTS:
        return "Data exists for key.";
    case MEMCACHED_STATUS_TOO_LARGE:
        return "Too large.";
    case MEMCACHED_STATUS_INVALID:
        return "Invalid arguments";
    case MEMCACHED_STATUS_NOT_STORED:
        return "Not stored.";
    case MEMCACHED_STATUS_NOT_NUMBER:
        return "Non-numeric server-side value for incr or decr";
    case MEMCACHED_STATUS_LOGIN:
        return "Auth failure.";
    case MEMCACHED_STATUS_NOT_PERMITTED:
        return "Not permitted";
    case MEMCACHED_STATUS_UNKNOWN:
        return "Unknown command";
    case MEMCACHED_STATUS_NO_MEMORY:
        return "Out of memory";
    case MEMCACHED_STATUS_BUSY:
        return "Too many requests";
    }
    Q_UNREACHABLE();
}

enum memcached_step memcached_packet_say(struct memcached_turn *turn, uint8_t opcode,
                                         uint32_t opaque, enum memcached_packet_status status,
                                         const char *text)
{
    return memcached_packet_send(turn,
                                 &(struct memcached_packet_answer){.opcode = opcode,
                                                                   .status = status,
                                                                   .opaque = opaque,
                                                                   .value = text,
                                                                   .value_bytes = strlen(text)});
}

enum memcached_step memcached_packet_say_status(struct memcached_turn *turn,
                                                const struct memcached_packet *packet,
                                                enum memcached_packet_status status)
{
    return memcached_packet_say(turn, packet->opcode, packet->opaque, status,
                                memcached_packet_text_of(status));
}

enum memcached_step memcached_packet_say_done(struct memcached_turn *turn,
                                              const struct memcached_packet *packet)
{
    return memcached_packet_is(packet, MEMCACHED_PACKET_QUIET)
               ? MEMCACHED_ON
               : memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_OK);
}
