/*
 * Reading protobuf without making anything of it.
 *
 * What comes from the network is read where it lies: a field's bytes are a slice of the message.
 * Whoever wants more reads the slice by another cursor.
 *
 *     message   | 0a 05 | 0a 01 61 12 … | 12 10 | 09 … |
 *     field 1 ----------^^^^^^^^^^^^^^^ bytes
 *
 * What holds:
 *  1. at <= end always; a field is given only when all of it lies before `end`.
 *  2. A length is compared with what is left before it is added to anything.
 *  3. A cursor that met something wrong stays at it, so that its offset can be told.
 *
 * Cost: a tag of one byte and a length of one byte take no loop.
 *
 * Rejected: protobuf-c for the path of a write. It makes an object and a pointer of every label and
 * sample, some 2,000 instructions for a series of eight labels, and there is nothing that they
 * would be needed for: a series that is known is found by the bytes of its labels. It is what the
 * tests compare this with.
 */
#include <tsdb/protobuf.h>

/* The largest number that a field may have. */
#define NUMBER_MAX ((1u << 29) - 1)

static enum protobuf_read read_fixed(struct protobuf_cursor *cursor, const uint8_t *at,
                                     struct protobuf_field *ret_field)
{
    const bool is_wide = ret_field->type == PROTOBUF_FIXED64;
    const size_t byte_count = is_wide ? 8 : 4;

    if ((size_t)(cursor->end - at) < byte_count) {
        return PROTOBUF_WRONG;
    }
    ret_field->value = is_wide ? endian_load_le_u64(at) : endian_load_le_u32(at);
    cursor->at = at + byte_count;
    return PROTOBUF_FIELD;
}

static enum protobuf_read read_varint(struct protobuf_cursor *cursor, const uint8_t *at,
                                      struct protobuf_field *ret_field)
{
    const size_t byte_count = varint_get_u64(at, cursor->end, &ret_field->value);

    cursor->at = byte_count == 0 ? cursor->at : at + byte_count;
    return byte_count == 0 ? PROTOBUF_WRONG : PROTOBUF_FIELD;
}

static enum protobuf_read read_bytes(struct protobuf_cursor *cursor, const uint8_t *at,
                                     struct protobuf_field *ret_field)
{
    uint64_t count;
    const size_t length_bytes = varint_get_u64(at, cursor->end, &count);

    if (length_bytes == 0 || count > (uint64_t)(cursor->end - at) - length_bytes) {
        return PROTOBUF_WRONG;
    }
    ret_field->bytes =
        (struct tsdb_slice){.bytes = (const char *)at + length_bytes, .count = count};
    cursor->at = at + length_bytes + count;
    return PROTOBUF_FIELD;
}

enum protobuf_read protobuf_next(struct protobuf_cursor *cursor, struct protobuf_field *ret_field)
{
    uint32_t tag;

    Q_DCHECK(cursor->at <= cursor->end);
    if (cursor->at == cursor->end) {
        return PROTOBUF_END;
    }
    const size_t tag_bytes = varint_get_u32(cursor->at, cursor->end, &tag);
    if (tag_bytes == 0 || tag >> 3 == 0 || tag >> 3 > NUMBER_MAX) {
        return PROTOBUF_WRONG;
    }
    const uint8_t *at = cursor->at + tag_bytes;
    *ret_field = (struct protobuf_field){
        .number = tag >> 3, .type = (enum protobuf_type)(tag & 7), .bytes = {"", 0}};
    switch (tag & 7) {
    case PROTOBUF_VARINT:
        return read_varint(cursor, at, ret_field);
    case PROTOBUF_BYTES:
        return read_bytes(cursor, at, ret_field);
    case PROTOBUF_FIXED64:
    case PROTOBUF_FIXED32:
        return read_fixed(cursor, at, ret_field);
    default:
        return PROTOBUF_WRONG;
    }
}

enum protobuf_read protobuf_find(struct protobuf_cursor *cursor, uint32_t number,
                                 struct protobuf_field *ret_field)
{
    enum protobuf_read read = protobuf_next(cursor, ret_field);

    while (read == PROTOBUF_FIELD && ret_field->number != number) {
        read = protobuf_next(cursor, ret_field);
    }
    return read;
}

struct protobuf_numbers protobuf_numbers_of(struct tsdb_slice message, uint32_t number,
                                            enum protobuf_type type)
{
    Q_ASSERT(type == PROTOBUF_VARINT || type == PROTOBUF_FIXED64);
    return (struct protobuf_numbers){
        .fields = protobuf_cursor_of(message), .number = number, .type = type};
}

static enum protobuf_read next_packed(struct protobuf_numbers *numbers, uint64_t *ret_value)
{
    struct protobuf_cursor *packed = &numbers->packed;
    struct protobuf_field field = {.type = numbers->type};
    const enum protobuf_read read = numbers->type == PROTOBUF_VARINT
                                        ? read_varint(packed, packed->at, &field)
                                        : read_fixed(packed, packed->at, &field);

    if (read == PROTOBUF_FIELD) {
        *ret_value = field.value;
    }
    return read;
}

enum protobuf_read protobuf_next_number(struct protobuf_numbers *numbers, uint64_t *ret_value)
{
    struct protobuf_field field;

    while (numbers->packed.at == numbers->packed.end) {
        const enum protobuf_read read = protobuf_find(&numbers->fields, numbers->number, &field);
        if (read != PROTOBUF_FIELD) {
            return read;
        }
        if (field.type == numbers->type) {
            *ret_value = field.value;
            return PROTOBUF_FIELD;
        }
        if (field.type != PROTOBUF_BYTES) {
            return PROTOBUF_WRONG;
        }
        numbers->packed = protobuf_cursor_of(field.bytes);
    }
    return next_packed(numbers, ret_value);
}
