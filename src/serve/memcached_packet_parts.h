/*
 * What the files of the binary protocol share: a packet that has been read, and its answers.
 */
#ifndef QUARRY_SERVE_MEMCACHED_PACKET_PARTS_H
#define QUARRY_SERVE_MEMCACHED_PACKET_PARTS_H

#include <serve/memcached.h>

/* Of a request's header, and of an answer's. */
#define MEMCACHED_PACKET_BYTES 24u
/* The longest value of a login: two NULs, an identity to act for, a user, a password. */
#define MEMCACHED_PACKET_LOGIN_BYTES_MAX 1024u

enum memcached_packet_status {
    MEMCACHED_STATUS_OK = 0,
    MEMCACHED_STATUS_NOT_FOUND = 1,
    MEMCACHED_STATUS_EXISTS = 2,
    MEMCACHED_STATUS_TOO_LARGE = 3,
    MEMCACHED_STATUS_INVALID = 4,
    MEMCACHED_STATUS_NOT_STORED = 5,
    MEMCACHED_STATUS_NOT_NUMBER = 6,
    MEMCACHED_STATUS_LOGIN = 0x20,
    MEMCACHED_STATUS_NOT_PERMITTED = 0x24,
    MEMCACHED_STATUS_UNKNOWN = 0x81,
    MEMCACHED_STATUS_NO_MEMORY = 0x82,
    MEMCACHED_STATUS_BUSY = 0x85,
};

/* What an opcode does. */
enum memcached_operation {
    MEMCACHED_OPERATION_NONE = 0,
    MEMCACHED_OPERATION_GET,
    MEMCACHED_OPERATION_STORE,
    MEMCACHED_OPERATION_DELETE,
    MEMCACHED_OPERATION_COUNT,
    MEMCACHED_OPERATION_QUIT,
    MEMCACHED_OPERATION_FLUSH,
    MEMCACHED_OPERATION_NOOP,
    MEMCACHED_OPERATION_VERSION,
    MEMCACHED_OPERATION_STATS,
    MEMCACHED_OPERATION_VERBOSITY,
    MEMCACHED_OPERATION_TOUCH,
    MEMCACHED_OPERATION_LOGIN_LIST,
    MEMCACHED_OPERATION_LOGIN,
};

enum {
    MEMCACHED_PACKET_QUIET = 1,
    MEMCACHED_PACKET_KEY = 2,       /* the answer has the key */
    MEMCACHED_PACKET_TOUCH = 4,     /* of a get */
    MEMCACHED_PACKET_DECREMENT = 8, /* of a count */
};

/* What each opcode's packet must look like. */
struct memcached_opcode {
    uint8_t operation; /* enum memcached_operation */
    uint8_t flags;
    uint8_t mode; /* enum quarry_cache_mode, of a store */
    uint8_t extras_bytes;
    bool has_key; /* it must have one; else it must not, where `may_have_key` is not set */
    bool may_have_key;
    bool has_value;
    uint8_t right; /* enum serve_right; 0: none is needed */
};

/* A packet's header, read, and where its parts are. */
struct memcached_packet {
    const struct memcached_opcode *code;
    uint8_t opcode;
    uint8_t extras_bytes;
    uint16_t key_bytes;
    uint32_t body_bytes;
    uint32_t opaque; /* as it came */
    uint64_t cas;
    const char *extras;
    struct memcached_word key;
};

static inline uint32_t memcached_packet_value_bytes(const struct memcached_packet *packet)
{
    return packet->body_bytes - packet->extras_bytes - packet->key_bytes;
}

static inline bool memcached_packet_is(const struct memcached_packet *packet, uint8_t flag)
{
    return (packet->code->flags & flag) != 0;
}
/* ---- answers: memcached_packet_answer.c ------------------------------------------------------ */

/* What an answer is made of. */
struct memcached_packet_answer {
    uint8_t opcode;
    enum memcached_packet_status status;
    uint32_t opaque;
    uint64_t cas;
    const void *extras;
    uint8_t extras_bytes;
    struct memcached_word key;
    const void *value; /* NULL: it is sent apart */
    uint64_t value_bytes;
};

/* Each returns ON, or CLOSE when there is no memory for the answer. */

/* Writes an answer, but for a value that is sent apart. */
enum memcached_step memcached_packet_send(struct memcached_turn *turn,
                                          const struct memcached_packet_answer *answer);
/* Answers with a text. */
enum memcached_step memcached_packet_say(struct memcached_turn *turn, uint8_t opcode,
                                         uint32_t opaque, enum memcached_packet_status status,
                                         const char *text);
/* Answers with a status, and its text if it is an error. */
enum memcached_step memcached_packet_say_status(struct memcached_turn *turn,
                                                const struct memcached_packet *packet,
                                                enum memcached_packet_status status);
/* Answers a success, which a quiet packet does not want to hear of. */
enum memcached_step memcached_packet_say_done(struct memcached_turn *turn,
                                              const struct memcached_packet *packet);
const char *memcached_packet_text_of(enum memcached_packet_status status);

/* ---- what a packet asks for: each answers it, the cursor being behind its key -----------------
 */

/* Items: memcached_packet_item.c. */
enum memcached_step memcached_packet_get(struct memcached_turn *turn,
                                         const struct memcached_packet *packet);
enum memcached_step memcached_packet_touch(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
enum memcached_step memcached_packet_store(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
enum memcached_step memcached_packet_delete(struct memcached_turn *turn,
                                            const struct memcached_packet *packet);
enum memcached_step memcached_packet_count(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
/* All else: memcached_packet_server.c. */
enum memcached_step memcached_packet_flush(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
enum memcached_step memcached_packet_stats(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
enum memcached_step memcached_packet_set_verbosity(struct memcached_turn *turn,
                                                   const struct memcached_packet *packet);
enum memcached_step memcached_packet_login(struct memcached_turn *turn,
                                           const struct memcached_packet *packet);
enum memcached_step memcached_packet_list_logins(struct memcached_turn *turn,
                                                 const struct memcached_packet *packet);

#endif
