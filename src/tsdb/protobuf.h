/*
 * Protobuf, read in place: one field after another, each checked before it is given.
 *
 *     | tag: number << 3 | type, varint | value |
 *
 *     type  0 varint · 1 eight bytes · 2 a length, varint, and so many bytes · 5 four bytes
 *
 * Types 3 and 4, groups, which no message of Prometheus has, are refused. Messages in messages are
 * read by a cursor over the outer field's bytes: nothing here nests, so nothing is too deep.
 */
#ifndef QUARRY_TSDB_PROTOBUF_H
#define QUARRY_TSDB_PROTOBUF_H

#include <tsdb/types.h>

#include <base/base.h>

enum protobuf_type {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_FIXED32 = 5,
};

/* Where a reader is: [at, end) is what it has not read. Borrowed bytes. */
struct protobuf_cursor {
    const uint8_t *at, *end;
};

/* One field. */
struct protobuf_field {
    uint32_t number; /* from 1 */
    enum protobuf_type type;
    uint64_t value;          /* of the numeric types; of BYTES 0 */
    struct tsdb_slice bytes; /* of BYTES, borrowed; else of no bytes */
};

enum protobuf_read {
    PROTOBUF_END,   /* there was nothing left */
    PROTOBUF_FIELD, /* one was read, and the cursor is behind it */
    PROTOBUF_WRONG, /* these bytes are no field, and the cursor is still at them */
};

/* A cursor over a message. */
static inline struct protobuf_cursor protobuf_cursor_of(struct tsdb_slice message)
{
    const uint8_t *begin = (const uint8_t *)message.bytes;
    return (struct protobuf_cursor){.at = begin, .end = begin + message.count};
}

/*
 * Reads a field and moves behind it.
 * Errors: PROTOBUF_WRONG: it ends behind the message, its number is 0, or its type is none.
 * Threads: any. Cost: some 25 instructions.
 */
enum protobuf_read protobuf_next(struct protobuf_cursor *cursor, struct protobuf_field *ret_field);

/*
 * Reads fields until one has a number; those with others are checked and left out.
 * Errors: as protobuf_next.
 */
enum protobuf_read protobuf_find(struct protobuf_cursor *cursor, uint32_t number,
                                 struct protobuf_field *ret_field);

/* A number from a packed field's bytes, or from one that is not packed. */
struct protobuf_numbers {
    struct protobuf_cursor packed; /* what is left of a packed field */
    struct protobuf_cursor fields; /* what is left of the message */
    uint32_t number;
    enum protobuf_type type; /* of one value: VARINT or FIXED64 */
};

/*
 * The values of a repeated number, packed or not, in order.
 * `message`: borrowed while the numbers are read.
 */
struct protobuf_numbers protobuf_numbers_of(struct tsdb_slice message, uint32_t number,
                                            enum protobuf_type type);
/* Reads one. Errors: as protobuf_next; PROTOBUF_WRONG also where a field is no such number. */
enum protobuf_read protobuf_next_number(struct protobuf_numbers *numbers, uint64_t *ret_value);

#endif
