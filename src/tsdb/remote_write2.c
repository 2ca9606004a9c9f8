/*
 * Remote write 2.0: the texts of a request once, at its beginning, and numbers in place of them.
 *
 *     | 22 "" | 22 __name__ | 22 up | 22 job | 22 node | …      symbols 0, 1, 2, …
 *     | 2a series | 0a refs: 1 2 3 4 | 12 sample | …            {__name__="up", job="node"}
 *
 * Protobuf lets fields come in any order, so the symbols are gathered by a pass over the whole
 * body, which skips series by their lengths; the caller gives the room that an earlier pass has
 * counted. Symbols are slices of the body: none is copied.
 *
 * What holds:
 *  1. A ref is compared with the number of symbols before it is followed.
 *  2. What a stranger counts makes no room: a symbol takes two bytes of the body at least, so that
 *     the room is at most eight times the body, which the caller has bounded.
 *  3. A series with a fault leaves the reader behind it: the others are read all the same.
 *
 * The key of 1.0 and symbols: a memo by refs would hold for one request only, since the numbers are
 * the request's. So labels are put together and encoded as 1.0 has them, which costs some 20
 * instructions a label and makes series known across both protocols.
 */
#include <tsdb/remote_write2.h>

enum {
    REQUEST_SYMBOL = 4,
    REQUEST_SERIES = 5,
};
enum {
    SERIES_REFS = 1,
    SERIES_SAMPLE = 2,
    SERIES_HISTOGRAM = 3,
    SERIES_EXEMPLAR = 4,
    SERIES_METADATA = 5,
};
enum {
    EXEMPLAR_REFS = 1,
};
enum {
    METADATA_TYPE = 1,
    METADATA_HELP = 3,
    METADATA_UNIT = 4,
};

/* ---- the request ---------------------------------------------------------------------------- */

/*
 * Goes over a body. `symbols`: NULL, or room for as many as `counts` says that there are.
 * `ret_counts`: what was met.
 */
static enum quarry_status scan(struct tsdb_slice body, struct tsdb_slice *symbols,
                               struct tsdb_write2_counts *ret_counts, struct quarry_error *error)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(body);
    const uint8_t *begin = cursor.at, *at = begin;
    uint64_t symbol_count = 0, series_count = 0;
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        const bool is_ours = field.number == REQUEST_SYMBOL || field.number == REQUEST_SERIES;
        if (is_ours && field.type != PROTOBUF_BYTES) {
            return wire_wrong(error, begin, at, "no symbol and no series");
        }
        if (field.number == REQUEST_SYMBOL && symbols != NULL) {
            symbols[symbol_count] = field.bytes;
        }
        symbol_count += field.number == REQUEST_SYMBOL;
        series_count += field.number == REQUEST_SERIES;
        at = cursor.at;
    }
    if (read == PROTOBUF_WRONG) {
        return wire_wrong(error, begin, at, "a field is cut short or wrong");
    }
    if (symbol_count > UINT32_MAX || series_count > UINT32_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "write request: %llu symbols, %llu series",
                         (unsigned long long)symbol_count, (unsigned long long)series_count);
    }
    *ret_counts = (struct tsdb_write2_counts){.symbol_count = (uint32_t)symbol_count,
                                              .series_count = (uint32_t)series_count};
    return QUARRY_OK;
}

enum quarry_status tsdb_write2_count(struct tsdb_slice body, struct tsdb_write2_counts *ret_counts,
                                     struct quarry_error *error)
{
    return scan(body, NULL, ret_counts, error);
}

enum quarry_status tsdb_write2_open(struct tsdb_slice body, struct tsdb_slice *symbols,
                                    const struct tsdb_write2_counts *counts,
                                    struct tsdb_write2_reader *ret_reader,
                                    struct quarry_error *error)
{
    struct tsdb_write2_counts met;
    const enum quarry_status status = scan(body, symbols, &met, error);

    if (status != QUARRY_OK) {
        return status;
    }
    Q_ASSERT(met.symbol_count == counts->symbol_count);
    if (met.symbol_count > 0 && symbols[0].count != 0) {
        return wire_wrong(error, body.bytes, symbols[0].bytes, "the first symbol is not empty");
    }
    *ret_reader = (struct tsdb_write2_reader){.begin = (const uint8_t *)body.bytes,
                                              .cursor = protobuf_cursor_of(body),
                                              .symbols = symbols,
                                              .symbol_count = met.symbol_count};
    return QUARRY_OK;
}

/* ---- series --------------------------------------------------------------------------------- */

/* Takes one field of a series but its refs. Returns: false: it is not what its number says. */
static bool note_field(struct tsdb_write2_series *series, const struct protobuf_field *field)
{
    struct wire_point point;

    if (field->number == SERIES_REFS || field->number > SERIES_METADATA) {
        return true;
    }
    if (field->type != PROTOBUF_BYTES) {
        return false;
    }
    switch (field->number) {
    case SERIES_SAMPLE:
        if (series->sample_count++ > 0) {
            return true;
        }
        if (!wire_read_sample(field->bytes, &point)) {
            return false;
        }
        series->sample = point.sample;
        series->start_ms = point.start_ms;
        return true;
    case SERIES_HISTOGRAM:
        series->histogram_count++;
        return true;
    case SERIES_EXEMPLAR:
        series->exemplar_count++;
        return true;
    default:
        series->family = field->bytes;
        return true;
    }
}

/* Reads a series' message. Returns: NULL, or where it is wrong. */
static const uint8_t *read_series(struct tsdb_slice message, struct tsdb_write2_series *series)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    const uint8_t *at = cursor.at;
    struct protobuf_field field;
    enum protobuf_read read;

    *series = (struct tsdb_write2_series){.message = message, .family = {"", 0}};
    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (!note_field(series, &field)) {
            return at;
        }
        at = cursor.at;
    }
    return read == PROTOBUF_END ? NULL : at;
}

enum quarry_status tsdb_write2_next_series(struct tsdb_write2_reader *reader,
                                           struct tsdb_write2_series *ret_series,
                                           struct quarry_error *error)
{
    struct protobuf_cursor cursor = reader->cursor;
    struct tsdb_slice message;
    const enum protobuf_read read = wire_next_message(&cursor, REQUEST_SERIES, &message);

    if (read == PROTOBUF_WRONG) {
        return wire_wrong(error, reader->begin, cursor.at, "a field is cut short or no series");
    }
    const uint8_t *wrong_at = read == PROTOBUF_FIELD ? read_series(message, ret_series) : NULL;
    if (wrong_at != NULL) {
        return wire_wrong(error, reader->begin, wrong_at, "a field of a series is wrong");
    }
    reader->cursor = cursor;
    return read == PROTOBUF_END ? QUARRY_NOT_FOUND : QUARRY_OK;
}

/* ---- labels --------------------------------------------------------------------------------- */

static bool symbol_of(const struct tsdb_write2_reader *reader, uint64_t ref,
                      struct tsdb_slice *ret_symbol)
{
    if (ref >= reader->symbol_count) {
        return false;
    }
    *ret_symbol = reader->symbols[ref];
    return true;
}

/* Reads pairs of refs into a set. Returns: false: they are no numbers. */
static bool read_refs(const struct tsdb_write2_reader *reader, struct tsdb_slice message,
                      uint32_t number, struct tsdb_label_set *set)
{
    const struct tsdb_slice none = {"", 0};
    struct protobuf_numbers refs = protobuf_numbers_of(message, number, PROTOBUF_VARINT);
    struct tsdb_slice name = none, value = none;
    enum protobuf_read read;
    uint64_t ref;

    while ((read = protobuf_next_number(&refs, &ref)) == PROTOBUF_FIELD) {
        uint64_t value_ref;
        read = protobuf_next_number(&refs, &value_ref);
        if (read == PROTOBUF_WRONG) {
            break;
        }
        if (read == PROTOBUF_END) {
            tsdb_label_set_fail(set, TSDB_LABELS_ODD_REFS, none);
            break;
        }
        if (!symbol_of(reader, ref, &name) || !symbol_of(reader, value_ref, &value)) {
            tsdb_label_set_fail(set, TSDB_LABELS_BAD_REF, none);
            continue;
        }
        tsdb_label_set_add(set, name, value);
    }
    return read != PROTOBUF_WRONG;
}

enum quarry_status tsdb_write2_labels(const struct tsdb_write2_reader *reader,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_label_set *set, struct quarry_error *error)
{
    Q_ASSERT(set->count == 0);
    return read_refs(reader, series->message, SERIES_REFS, set)
               ? QUARRY_OK
               : wire_wrong(error, reader->begin, series->message.bytes, "no refs of labels");
}

/* ---- what else a series has ----------------------------------------------------------------- */

enum quarry_status tsdb_write2_next_sample(const struct tsdb_write2_reader *reader,
                                           struct tsdb_write_items *items,
                                           struct tsdb_sample *ret_sample, int64_t *ret_start_ms,
                                           struct quarry_error *error)
{
    struct wire_point point;
    const enum quarry_status status =
        wire_next_point(reader->begin, items, SERIES_SAMPLE, &point, error);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_sample = point.sample;
    *ret_start_ms = point.start_ms;
    return QUARRY_OK;
}

enum quarry_status tsdb_write2_next_histogram(const struct tsdb_write2_reader *reader,
                                              struct tsdb_write_items *items,
                                              const struct tsdb_wire_histogram_room *room,
                                              struct tsdb_wire_histogram *ret_histogram,
                                              struct quarry_error *error)
{
    struct tsdb_slice message;
    const enum quarry_status status =
        wire_next_item(reader->begin, items, SERIES_HISTOGRAM, &message, error);

    if (status != QUARRY_OK) {
        return status;
    }
    return tsdb_wire_histogram_read(message, room, ret_histogram, error);
}

enum quarry_status tsdb_write2_next_exemplar(const struct tsdb_write2_reader *reader,
                                             struct tsdb_write_items *items,
                                             struct tsdb_label_set *set,
                                             struct tsdb_exemplar *ret_exemplar,
                                             struct quarry_error *error)
{
    struct tsdb_exemplar exemplar = {0};
    struct tsdb_slice message;
    const enum quarry_status status =
        wire_next_item(reader->begin, items, SERIES_EXEMPLAR, &message, error);

    if (status != QUARRY_OK) {
        return status;
    }
    Q_ASSERT(set->count == 0);
    if (!wire_read_exemplar(message, &exemplar) ||
        !read_refs(reader, message, EXEMPLAR_REFS, set)) {
        return wire_wrong(error, reader->begin, message.bytes, "no exemplar");
    }
    exemplar.labels = (struct tsdb_labels){.labels = set->labels, .count = 0};
    (void)tsdb_label_set_finish(set, &exemplar.labels);
    *ret_exemplar = exemplar;
    return QUARRY_OK;
}

enum quarry_status tsdb_write2_family(const struct tsdb_write2_reader *reader,
                                      const struct tsdb_write2_series *series,
                                      struct tsdb_family *ret_family, struct quarry_error *error)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(series->family);
    uint64_t numbers[METADATA_UNIT + 1] = {0};
    struct protobuf_field field;
    enum protobuf_read read;

    if (series->family.count == 0) {
        return QUARRY_NOT_FOUND;
    }
    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number <= METADATA_UNIT && field.type == PROTOBUF_VARINT) {
            numbers[field.number] = field.value;
        } else if (field.number <= METADATA_UNIT) {
            read = PROTOBUF_WRONG;
            break;
        }
    }
    struct tsdb_family family = {.name = {"", 0},
                                 .type = tsdb_metric_type_of(numbers[METADATA_TYPE])};
    if (read == PROTOBUF_WRONG || !symbol_of(reader, numbers[METADATA_HELP], &family.help) ||
        !symbol_of(reader, numbers[METADATA_UNIT], &family.unit)) {
        return wire_wrong(error, reader->begin, series->family.bytes, "no metadata");
    }
    *ret_family = family;
    return QUARRY_OK;
}
