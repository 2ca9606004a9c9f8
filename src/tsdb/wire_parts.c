/*
 * Parts of remote write's messages.
 *
 *     Sample   | 09 value, 8 bytes | 10 milliseconds, varint | [18 start, varint] |
 *
 * A value of 0 and a time of 0 are left out by those who write protobuf's third version.
 */
#include <tsdb/wire_parts.h>

enum {
    SAMPLE_VALUE = 1,
    SAMPLE_TIME = 2,
    SAMPLE_START = 3,
};
enum {
    EXEMPLAR_VALUE = 2,
    EXEMPLAR_TIME = 3,
};

const char *tsdb_metric_type_name(enum tsdb_metric_type type)
{
    static const char *const names[TSDB_METRIC_TYPE_COUNT] = {
        "unknown",        "counter", "gauge", "histogram",
        "gaugehistogram", "summary", "info",  "stateset"};

    Q_ASSERT(type < TSDB_METRIC_TYPE_COUNT);
    return names[type];
}

bool wire_read_sample(struct tsdb_slice message, struct wire_point *ret_point)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;
    enum protobuf_read read;

    *ret_point = (struct wire_point){0};
    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number > SAMPLE_START) {
            continue;
        }
        if (field.type != (field.number == SAMPLE_VALUE ? PROTOBUF_FIXED64 : PROTOBUF_VARINT)) {
            return false;
        }
        if (field.number == SAMPLE_VALUE) {
            ret_point->sample.bits = field.value;
        } else if (field.number == SAMPLE_TIME) {
            ret_point->sample.t_ms = (int64_t)field.value;
            ret_point->has_time = true;
        } else {
            ret_point->start_ms = (int64_t)field.value;
        }
    }
    return read == PROTOBUF_END;
}

enum protobuf_read wire_next_message(struct protobuf_cursor *cursor, uint32_t number,
                                     struct tsdb_slice *ret_message)
{
    struct protobuf_field field;
    const enum protobuf_read read = protobuf_find(cursor, number, &field);

    if (read == PROTOBUF_FIELD && field.type != PROTOBUF_BYTES) {
        return PROTOBUF_WRONG;
    }
    if (read == PROTOBUF_FIELD) {
        *ret_message = field.bytes;
    }
    return read;
}

enum quarry_status wire_wrong(struct quarry_error *error, const void *begin, const void *at,
                              const char *what)
{
    return error_set(error, QUARRY_BAD_INPUT, "write request: byte %zu: %s",
                     (size_t)((const char *)at - (const char *)begin), what);
}

enum quarry_status wire_next_item(const uint8_t *begin, struct tsdb_write_items *items,
                                  uint32_t number, struct tsdb_slice *ret_message,
                                  struct quarry_error *error)
{
    const enum protobuf_read read = wire_next_message(&items->cursor, number, ret_message);

    if (read == PROTOBUF_WRONG) {
        return wire_wrong(error, begin, items->cursor.at, "a field of a series is wrong");
    }
    return read == PROTOBUF_END ? QUARRY_NOT_FOUND : QUARRY_OK;
}

enum quarry_status wire_next_point(const uint8_t *begin, struct tsdb_write_items *items,
                                   uint32_t number, struct wire_point *ret_point,
                                   struct quarry_error *error)
{
    struct tsdb_slice message;
    const enum quarry_status status = wire_next_item(begin, items, number, &message, error);

    if (status == QUARRY_OK && !wire_read_sample(message, ret_point)) {
        return wire_wrong(error, begin, message.bytes, "no sample");
    }
    return status;
}

bool wire_read_exemplar(struct tsdb_slice message, struct tsdb_exemplar *exemplar)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number != EXEMPLAR_VALUE && field.number != EXEMPLAR_TIME) {
            continue;
        }
        if (field.type != (field.number == EXEMPLAR_VALUE ? PROTOBUF_FIXED64 : PROTOBUF_VARINT)) {
            return false;
        }
        if (field.number == EXEMPLAR_VALUE) {
            exemplar->bits = field.value;
        } else {
            exemplar->t_ms = (int64_t)field.value;
            exemplar->has_time = true;
        }
    }
    return read == PROTOBUF_END;
}
