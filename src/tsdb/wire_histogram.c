/*
 * Histograms: fields into one struct and two arrays.
 *
 *     room->spans    | positive … | negative … |
 *     room->values   | positive … | negative … | custom bounds … |
 *
 * Fields may come in any order, so that the arrays are filled by a pass for each of them, after one
 * that reads what is single. A histogram has both integer and float fields for counts; which one it
 * is, is told by the one of count_int and count_float that comes last, as of any oneof.
 *
 * What is checked is what Prometheus checks before it stores one, in its order, so that the same
 * histograms are refused.
 */
#include <tsdb/wire_histogram.h>

#include <math.h>

#include <tsdb/protobuf.h>

/* Fields of the message. */
enum {
    COUNT_INT = 1,
    COUNT_FLOAT = 2,
    SUM = 3,
    SCHEMA = 4,
    ZERO_THRESHOLD = 5,
    ZERO_COUNT_INT = 6,
    ZERO_COUNT_FLOAT = 7,
    NEGATIVE_SPANS = 8,
    NEGATIVE_DELTAS = 9,
    NEGATIVE_COUNTS = 10,
    POSITIVE_SPANS = 11,
    POSITIVE_DELTAS = 12,
    POSITIVE_COUNTS = 13,
    RESET_HINT = 14,
    TIMESTAMP = 15,
    CUSTOM_VALUES = 16,
    START_TIMESTAMP = 17,
};
enum {
    SPAN_OFFSET = 1,
    SPAN_LENGTH = 2,
};

#define SCHEMA_MIN (-4)
#define SCHEMA_MAX 8

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The type that a field must have; of those that a later pass reads, any. */
static bool has_type(const struct protobuf_field *field)
{
    switch (field->number) {
    case COUNT_INT:
    case SCHEMA:
    case ZERO_COUNT_INT:
    case RESET_HINT:
    case TIMESTAMP:
    case START_TIMESTAMP:
        return field->type == PROTOBUF_VARINT;
    case COUNT_FLOAT:
    case SUM:
    case ZERO_THRESHOLD:
    case ZERO_COUNT_FLOAT:
        return field->type == PROTOBUF_FIXED64;
    default:
        return true;
    }
}

static void take_single(const struct protobuf_field *field, struct tsdb_wire_histogram *histogram)
{
    switch (field->number) {
    case COUNT_INT:
    case COUNT_FLOAT:
        histogram->is_float = field->number == COUNT_FLOAT;
        histogram->count = field->value;
        break;
    case ZERO_COUNT_INT:
    case ZERO_COUNT_FLOAT:
        histogram->zero_count = field->value;
        break;
    case SUM:
        histogram->sum_bits = field->value;
        break;
    case SCHEMA:
        histogram->schema = (int32_t)varint_unzigzag((uint32_t)field->value);
        break;
    case ZERO_THRESHOLD:
        histogram->zero_threshold_bits = field->value;
        break;
    case RESET_HINT:
        histogram->reset_hint = field->value <= TSDB_RESET_GAUGE
                                    ? (enum tsdb_reset_hint)field->value
                                    : TSDB_RESET_UNKNOWN;
        break;
    case TIMESTAMP:
        histogram->t_ms = (int64_t)field->value;
        break;
    case START_TIMESTAMP:
        histogram->start_ms = (int64_t)field->value;
        break;
    default:
        break;
    }
}

static bool read_single(struct tsdb_slice message, struct tsdb_wire_histogram *histogram)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (!has_type(&field)) {
            return false;
        }
        take_single(&field, histogram);
    }
    return read == PROTOBUF_END;
}

static bool read_span(struct tsdb_slice message, struct tsdb_wire_span *ret_span)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;
    enum protobuf_read read;

    *ret_span = (struct tsdb_wire_span){0};
    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number <= SPAN_LENGTH && field.type != PROTOBUF_VARINT) {
            return false;
        }
        if (field.number == SPAN_OFFSET) {
            ret_span->offset = (int32_t)varint_unzigzag((uint32_t)field.value);
        } else if (field.number == SPAN_LENGTH) {
            ret_span->length = (uint32_t)field.value;
        }
    }
    return read == PROTOBUF_END;
}

/* Where the next array begins, and how much of it there may be. */
struct space {
    struct tsdb_wire_span *spans;
    uint64_t *values;
    uint32_t spans_left, values_left;
};

static enum quarry_status read_spans(struct tsdb_slice message, uint32_t number,
                                     struct space *space, struct tsdb_wire_buckets *buckets)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;

    buckets->spans = space->spans;
    while (protobuf_find(&cursor, number, &field) == PROTOBUF_FIELD) {
        if (field.type != PROTOBUF_BYTES) {
            return QUARRY_BAD_INPUT;
        }
        if (space->spans_left == 0) {
            return QUARRY_TOO_LARGE;
        }
        if (!read_span(field.bytes, space->spans)) {
            return QUARRY_BAD_INPUT;
        }
        space->spans++;
        space->spans_left--;
        buckets->span_count++;
    }
    return QUARRY_OK;
}

/* Reads a repeated number into the room. Differences are zigzagged, and come out as int64_t. */
static enum quarry_status read_values(struct tsdb_slice message, uint32_t number,
                                      enum protobuf_type type, struct space *space,
                                      uint32_t *ret_count)
{
    struct protobuf_numbers numbers = protobuf_numbers_of(message, number, type);
    enum protobuf_read read;
    uint64_t value;

    *ret_count = 0;
    while ((read = protobuf_next_number(&numbers, &value)) == PROTOBUF_FIELD) {
        if (space->values_left == 0) {
            return QUARRY_TOO_LARGE;
        }
        *space->values++ = type == PROTOBUF_VARINT ? (uint64_t)varint_unzigzag(value) : value;
        space->values_left--;
        ++*ret_count;
    }
    return read == PROTOBUF_END ? QUARRY_OK : QUARRY_BAD_INPUT;
}

static enum quarry_status read_side(struct tsdb_slice message, bool is_positive,
                                    struct space *space, struct tsdb_wire_histogram *histogram)
{
    struct tsdb_wire_buckets *buckets = is_positive ? &histogram->positive : &histogram->negative;
    const uint32_t deltas = is_positive ? POSITIVE_DELTAS : NEGATIVE_DELTAS;
    const uint32_t counts = is_positive ? POSITIVE_COUNTS : NEGATIVE_COUNTS;
    const enum quarry_status status =
        read_spans(message, is_positive ? POSITIVE_SPANS : NEGATIVE_SPANS, space, buckets);

    buckets->values = space->values;
    if (status != QUARRY_OK) {
        return status;
    }
    return histogram->is_float
               ? read_values(message, counts, PROTOBUF_FIXED64, space, &buckets->value_count)
               : read_values(message, deltas, PROTOBUF_VARINT, space, &buckets->value_count);
}

static enum quarry_status read_arrays(struct tsdb_slice message,
                                      const struct tsdb_wire_histogram_room *room,
                                      struct tsdb_wire_histogram *histogram)
{
    struct space space = {.spans = room->spans,
                          .values = room->values,
                          .spans_left = room->span_count_max,
                          .values_left = room->value_count_max};
    enum quarry_status status = read_side(message, true, &space, histogram);

    if (status == QUARRY_OK) {
        status = read_side(message, false, &space, histogram);
    }
    if (status == QUARRY_OK) {
        histogram->custom_bits = space.values;
        status =
            read_values(message, CUSTOM_VALUES, PROTOBUF_FIXED64, &space, &histogram->custom_count);
    }
    return status;
}

enum quarry_status tsdb_wire_histogram_read(struct tsdb_slice message,
                                            const struct tsdb_wire_histogram_room *room,
                                            struct tsdb_wire_histogram *ret_histogram,
                                            struct quarry_error *error)
{
    struct tsdb_wire_histogram histogram = {0};

    enum quarry_status status = read_single(message, &histogram)
                                    ? read_arrays(message, room, &histogram)
                                    : QUARRY_BAD_INPUT;
    if (status == QUARRY_TOO_LARGE) {
        return error_set(error, status, "histogram: more than %u spans or %u buckets",
                         room->span_count_max, room->value_count_max);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "histogram: a field of its %zu bytes is cut short or wrong",
                         message.count);
    }
    *ret_histogram = histogram;
    return QUARRY_OK;
}

/* ---- rules ---------------------------------------------------------------------------------- */

static enum quarry_status wrong(struct quarry_error *error, const char *side, const char *why)
{
    return error_set(error, QUARRY_BAD_INPUT, "histogram: %s%s", side, why);
}

static enum quarry_status check_spans(const struct tsdb_wire_buckets *buckets, const char *side,
                                      struct quarry_error *error)
{
    uint64_t named = 0;

    for (uint32_t i = 0; i < buckets->span_count; i++) {
        if (i > 0 && buckets->spans[i].offset < 0) {
            return wrong(error, side, "a span after the first lies before the one before it");
        }
        named += buckets->spans[i].length;
    }
    if (named != buckets->value_count) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "histogram: %sspans name %llu buckets, and there are %u", side,
                         (unsigned long long)named, buckets->value_count);
    }
    return QUARRY_OK;
}

/* Adds up differences. Returns: a bucket's count is below 0, or does not fit. */
static enum quarry_status add_deltas(const struct tsdb_wire_buckets *buckets, const char *side,
                                     uint64_t *total, struct quarry_error *error)
{
    int64_t count = 0;

    for (uint32_t i = 0; i < buckets->value_count; i++) {
        if (!checked_add_i64(count, (int64_t)buckets->values[i], &count) || count < 0) {
            return wrong(error, side, "a bucket has a negative count");
        }
        *total = sat_add_u64(*total, (uint64_t)count);
    }
    return QUARRY_OK;
}

static enum quarry_status check_counts(const struct tsdb_wire_buckets *buckets, const char *side,
                                       struct quarry_error *error)
{
    for (uint32_t i = 0; i < buckets->value_count; i++) {
        if (double_of(buckets->values[i]) < 0) {
            return wrong(error, side, "a bucket has a negative count");
        }
    }
    return QUARRY_OK;
}

static enum quarry_status check_integers(const struct tsdb_wire_histogram *histogram,
                                         struct quarry_error *error)
{
    uint64_t total = histogram->zero_count;
    enum quarry_status status = add_deltas(&histogram->negative, "negative: ", &total, error);

    if (status == QUARRY_OK) {
        status = add_deltas(&histogram->positive, "positive: ", &total, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    /* Observations that are NaN are counted, and are in no bucket. */
    if (isnan(double_of(histogram->sum_bits)) ? total > histogram->count
                                              : total != histogram->count) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "histogram: a count of %llu, and buckets of %llu in all",
                         (unsigned long long)histogram->count, (unsigned long long)total);
    }
    return QUARRY_OK;
}

static enum quarry_status check_floats(const struct tsdb_wire_histogram *histogram,
                                       struct quarry_error *error)
{
    if (double_of(histogram->zero_count) < 0 || double_of(histogram->count) < 0) {
        return wrong(error, "", "a negative count");
    }
    const enum quarry_status status = check_counts(&histogram->negative, "negative: ", error);
    return status != QUARRY_OK ? status : check_counts(&histogram->positive, "positive: ", error);
}

static enum quarry_status check_custom(const struct tsdb_wire_histogram *histogram,
                                       struct quarry_error *error)
{
    if (histogram->zero_count != 0 || double_of(histogram->zero_threshold_bits) != 0 ||
        histogram->negative.span_count != 0 || histogram->negative.value_count != 0) {
        return wrong(error, "", "custom buckets have no zero bucket and no negative ones");
    }
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        const double bound = double_of(histogram->custom_bits[i]);
        if (isnan(bound) || isinf(bound) ||
            (i > 0 && !(double_of(histogram->custom_bits[i - 1]) < bound))) {
            return wrong(error, "", "custom bounds are finite and rise");
        }
    }
    uint64_t reached = 0;
    for (uint32_t i = 0; i < histogram->positive.span_count; i++) {
        const struct tsdb_wire_span *span = &histogram->positive.spans[i];
        if (span->offset < 0) {
            return wrong(error, "", "custom buckets begin at 0");
        }
        reached += (uint64_t)span->offset + span->length;
    }
    /* One more bucket than bounds: that above the last. */
    return reached <= (uint64_t)histogram->custom_count + 1
               ? QUARRY_OK
               : wrong(error, "", "there are more custom buckets than bounds for them");
}

static enum quarry_status check_schema(const struct tsdb_wire_histogram *histogram,
                                       struct quarry_error *error)
{
    if (histogram->schema == TSDB_SCHEMA_CUSTOM) {
        return check_custom(histogram, error);
    }
    if (histogram->schema < SCHEMA_MIN || histogram->schema > SCHEMA_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "histogram: schema %d, of which %d to %d, %d are",
                         histogram->schema, SCHEMA_MIN, SCHEMA_MAX, TSDB_SCHEMA_CUSTOM);
    }
    return histogram->custom_count == 0
               ? QUARRY_OK
               : wrong(error, "", "custom bounds with a schema that has its own");
}

enum quarry_status tsdb_wire_histogram_check(const struct tsdb_wire_histogram *histogram,
                                             struct quarry_error *error)
{
    enum quarry_status status = check_schema(histogram, error);

    if (status == QUARRY_OK) {
        status = check_spans(&histogram->negative, "negative: ", error);
    }
    if (status == QUARRY_OK) {
        status = check_spans(&histogram->positive, "positive: ", error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    return histogram->is_float ? check_floats(histogram, error) : check_integers(histogram, error);
}

/* ---- as the store takes it ------------------------------------------------------------------ */

static struct tsdb_buckets buckets_take(struct tsdb_wire_buckets *wire, bool is_float)
{
    if (!is_float) {
        uint64_t count = 0;
        for (uint32_t i = 0; i < wire->value_count; i++) {
            count += wire->values[i];
            wire->values[i] = count;
        }
    }
    return (struct tsdb_buckets){.spans = wire->spans,
                                 .buckets = wire->values,
                                 .span_count = wire->span_count,
                                 .bucket_count = wire->value_count};
}

void tsdb_wire_histogram_take(struct tsdb_wire_histogram *wire,
                              struct tsdb_histogram *ret_histogram)
{
    *ret_histogram = (struct tsdb_histogram){
        .t_ms = wire->t_ms,
        .schema = wire->schema,
        .is_float = wire->is_float,
        .reset_hint = wire->reset_hint,
        .zero_threshold_bits = wire->zero_threshold_bits,
        .zero_count = wire->zero_count,
        .count = wire->count,
        .sum_bits = wire->sum_bits,
        .positive = buckets_take(&wire->positive, wire->is_float),
        .negative = buckets_take(&wire->negative, wire->is_float),
        .custom_bits = wire->custom_bits,
        .custom_count = wire->custom_count,
    };
}
