/*
 * Remote write 1.0, for requests of many series with one sample each.
 *
 * A request of Prometheus or of an agent looks like this, and hardly any looks otherwise:
 *
 *     | 0a len | 0a len label | 0a len label | … | 12 10 | 09 value | 10 time, 6 bytes |
 *       series   ^ key                         ^           18 bytes, 9 where the value is 0 ^
 *
 * A time in milliseconds takes six bytes from 1971 to 2109, and is that of the series before nearly
 * always. So a series' message is recognised by its end, in a load and a comparison or two, and
 * what lies before the sample is the key that the series is known by. The labels in it are not
 * visited: 8 of them would be some 80 instructions.
 *
 * WHY A GUESS IS SAFE. The end of a message may look like a sample and be something else: the end
 * of a label's value. Let K be what was taken for the key.
 *
 *  1. A key gets into a memo only after tsdb_write_labels has read all of K as fields of labels.
 *     Where that fails, the message is read from the front, and gets the key that it deserves.
 *  2. Protobuf is read from the front, and where a field ends depends on nothing behind it. So if K
 *     is a row of whole labels, a message that begins with K has these labels, and goes on at K's
 *     end; there the 18 bytes are a sample because they are one of exactly that form.
 *  3. So a message whose key is in the memo needs no look at its labels, and a wrong guess is not
 * in the memo, up to a collision of the memo's hash.
 *
 * Everything else (several samples, histograms, exemplars, unknown fields, other orders) is read
 * field by field; so is a message where another sample seems to lie before the last, and a very
 * short one. There the key is the stretch from the first label to the last, if nothing lies between
 * them, which is a row of labels by construction.
 *
 * What holds:
 *  4. A slice that is given lies within the body, and lengths were compared before they were used.
 *  5. A reader that met something wrong stays there and says the same again.
 *
 * Cost: see test_remote_write, which counts instructions: a series of 8 labels and one sample.
 */
#include <tsdb/remote_write.h>

enum {
    REQUEST_SERIES = 1,
    REQUEST_METADATA = 3,
};
enum {
    SERIES_LABEL = 1,
    SERIES_SAMPLE = 2,
    SERIES_EXEMPLAR = 3,
    SERIES_HISTOGRAM = 4,
};
enum {
    LABEL_NAME = 1,
    LABEL_VALUE = 2,
};
enum {
    EXEMPLAR_LABEL = 1,
};
enum {
    FAMILY_TYPE = 1,
    FAMILY_NAME = 2,
    FAMILY_NONE = 3,
    FAMILY_HELP = 4,
    FAMILY_UNIT = 5,
};

/*
 * The head of a series in a request: the tag of field 1, of bytes, then a length of two bytes or of
 * one, which their top bits tell. Lengths of three bytes are read by the slow half.
 */
#define HEAD_TWO_MASK 0x8080ffu
#define HEAD_TWO      0x00800au
#define HEAD_ONE_MASK 0x0080ffu
#define HEAD_ONE      0x00000au
#define HEAD_BYTES    3u

/* A sample with a time of six bytes: with a value, and with a value of 0, which is left out. */
#define TAIL_BYTES      18u
#define TAIL_ZERO_BYTES 9u
/* What it begins with: tag of the sample, its length, and in the first case the value's tag. */
#define TAIL_HEAD_MASK 0xffffffu
#define TAIL_HEAD      0x091012u
#define TAIL_ZERO_HEAD 0x0712u
/* How both end: the time's tag and its varint, of which all bytes but the last have the top bit. */
#define TIME_BYTES  7u
#define TIME_TAG    0x10u
#define TIME_MASK   UINT64_C(0x808080808080ff)
#define TIME_WANTED UINT64_C(0x00808080808010)
/* Labels shorter than this before a sample are read by the slow half: there are none such. */
#define KEY_BYTES_MIN TIME_BYTES
#define SERIES_MIN    (KEY_BYTES_MIN + TAIL_BYTES)

/* ---- series by their end -------------------------------------------------------------------- */

/*
 * Decodes a time that is not the last one's. Neighbours are joined, first bytes, then pairs.
 * `end`: of a message. Returns: false: it ends in no time of six bytes.
 */
static bool remember_time(struct tsdb_write_reader *reader, const uint8_t *end)
{
    const uint64_t time = endian_load_le_u64(end - sizeof time) >> 8;

    if ((time & TIME_MASK) != TIME_WANTED) {
        return false;
    }
    const uint64_t bytes = time >> 8 & UINT64_C(0x7f7f7f7f7f7f);
    const uint64_t pairs =
        (bytes & UINT64_C(0x007f007f007f)) | (bytes & UINT64_C(0x7f007f007f00)) >> 1;
    reader->time = time;
    reader->t_ms = (int64_t)((pairs & 0x3fff) | (pairs >> 16 & 0x3fff) << 14 | pairs >> 32 << 28);
    return true;
}

/* What the end of a message was found to be. */
enum tail {
    TAIL_SAMPLE,
    TAIL_OTHER,    /* nothing is known of the message */
    TAIL_NEW_TIME, /* likewise, and perhaps because its time is not the last one's */
};

/* Recognises a message of at least SERIES_MIN bytes that ends in a sample's usual form. */
static inline enum tail read_by_tail(const struct tsdb_write_reader *reader, const uint8_t *begin,
                                     size_t count, struct tsdb_write_series *ret_series)
{
    const uint8_t *end = begin + count;
    const uint8_t *tail = end - TAIL_BYTES;
    uint64_t bits = 0;

    if (endian_load_le_u64(end - 8) >> 8 != reader->time) {
        return TAIL_NEW_TIME;
    }
    if (Q_LIKELY((endian_load_le_u32(tail) & TAIL_HEAD_MASK) == TAIL_HEAD)) {
        bits = endian_load_le_u64(tail + 3);
    } else if (endian_load_le_u16(end - TAIL_ZERO_BYTES) == TAIL_ZERO_HEAD) {
        tail = end - TAIL_ZERO_BYTES;
    } else {
        return TAIL_OTHER;
    }
    /* Something like a time before it: the message may be of several samples. */
    if (*(tail - TIME_BYTES) == TIME_TAG) {
        return TAIL_OTHER;
    }
    *ret_series = (struct tsdb_write_series){
        .message = {(const char *)begin, count},
        .labels = {(const char *)begin, (size_t)(tail - begin)},
        .sample = {.t_ms = reader->t_ms, .bits = bits},
        .counts = {.samples = 1},
        .is_guess = true,
    };
    return TAIL_SAMPLE;
}

/* ---- series by their fields ----------------------------------------------------------------- */

/* The labels of a series so far. */
struct label_stretch {
    const uint8_t *begin; /* NULL: there was none */
    const uint8_t *end;
    bool is_broken; /* something lay between two of them */
};

static void note_label(struct label_stretch *stretch, const uint8_t *begin, const uint8_t *end)
{
    if (stretch->begin == NULL) {
        stretch->begin = begin;
    } else if (stretch->end != begin) {
        stretch->is_broken = true;
    }
    stretch->end = end;
}

/* Reads the first sample, counts the others. Returns: false: it is none. */
static bool note_sample(struct tsdb_write_series *series, struct tsdb_slice message)
{
    struct wire_point point;

    if (series->counts.samples++ > 0) {
        return true;
    }
    const bool is_one = wire_read_sample(message, &point);
    series->sample = point.sample;
    return is_one;
}

/* Takes one field of a series. Returns: false: it is not what its number says. */
static bool note_field(struct tsdb_write_series *series, struct label_stretch *stretch,
                       const struct protobuf_field *field, const uint8_t *begin, const uint8_t *end)
{
    if (field->number > SERIES_HISTOGRAM) {
        return true;
    }
    if (field->type != PROTOBUF_BYTES) {
        return false;
    }
    switch (field->number) {
    case SERIES_LABEL:
        note_label(stretch, begin, end);
        return true;
    case SERIES_SAMPLE:
        return note_sample(series, field->bytes);
    case SERIES_EXEMPLAR:
        series->counts.exemplars++;
        return true;
    default:
        series->counts.histograms++;
        return true;
    }
}

/* Reads a message from its front. Returns: NULL, or where it is wrong. */
static const uint8_t *read_by_fields(struct tsdb_slice message, struct tsdb_write_series *series)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct label_stretch stretch = {0};
    struct protobuf_field field;
    enum protobuf_read read;
    const uint8_t *at = cursor.at;

    *series = (struct tsdb_write_series){.message = message, .labels = {"", 0}};
    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (!note_field(series, &stretch, &field, at, cursor.at)) {
            return at;
        }
        at = cursor.at;
    }
    if (stretch.begin != NULL && !stretch.is_broken) {
        series->labels =
            (struct tsdb_slice){(const char *)stretch.begin, (size_t)(stretch.end - stretch.begin)};
    }
    return read == PROTOBUF_END ? NULL : at;
}

/* ---- the request ---------------------------------------------------------------------------- */

/* Reads a series that is not recognised by its end, wherever in the request the next one is. */
Q_NOINLINE static enum quarry_status next_series_slow(struct tsdb_write_reader *reader,
                                                      struct tsdb_write_series *ret_series,
                                                      struct quarry_error *error)
{
    struct protobuf_cursor cursor = reader->cursor;
    struct tsdb_slice message;

    const enum protobuf_read read = wire_next_message(&cursor, REQUEST_SERIES, &message);
    if (read == PROTOBUF_END) {
        reader->cursor = cursor;
        return QUARRY_NOT_FOUND;
    }
    if (read == PROTOBUF_WRONG) {
        return wire_wrong(error, reader->begin, cursor.at, "a field is cut short or no series");
    }
    const uint8_t *wrong_at = read_by_fields(message, ret_series);
    if (wrong_at != NULL) {
        return wire_wrong(error, reader->begin, wrong_at, "a field of a series is wrong");
    }
    reader->cursor = cursor;
    return QUARRY_OK;
}

/*
 * Reads a series whose end holds another time than the last one's: again, if it is a time at all.
 * `end`: of the series.
 */
Q_NOINLINE static enum quarry_status next_series_new_time(struct tsdb_write_reader *reader,
                                                          struct tsdb_write_series *ret_series,
                                                          struct quarry_error *error,
                                                          const uint8_t *end)
{
    return remember_time(reader, end) ? tsdb_write_next_series(reader, ret_series, error)
                                      : next_series_slow(reader, ret_series, error);
}

enum quarry_status tsdb_write_next_series(struct tsdb_write_reader *reader,
                                          struct tsdb_write_series *ret_series,
                                          struct quarry_error *error)
{
    const uint8_t *at = reader->cursor.at;
    const size_t left = (size_t)(reader->cursor.end - at);

    if (left < HEAD_BYTES + SERIES_MIN) {
        return next_series_slow(reader, ret_series, error);
    }
    const uint32_t head = endian_load_le_u32(at);
    size_t count;
    if (Q_LIKELY((head & HEAD_TWO_MASK) == HEAD_TWO)) {
        count = (head >> 8 & 0x7f) | (head >> 9 & 0x3f80);
        at += 3;
    } else if ((head & HEAD_ONE_MASK) == HEAD_ONE) {
        count = head >> 8 & 0x7f;
        at += 2;
    } else {
        return next_series_slow(reader, ret_series, error);
    }
    /* One comparison for both bounds: what is too short has become very large. */
    if (count - SERIES_MIN > left - HEAD_BYTES - SERIES_MIN) {
        return next_series_slow(reader, ret_series, error);
    }
    const enum tail tail = read_by_tail(reader, at, count, ret_series);
    if (Q_LIKELY(tail == TAIL_SAMPLE)) {
        reader->cursor.at = at + count;
        return QUARRY_OK;
    }
    return tail == TAIL_NEW_TIME ? next_series_new_time(reader, ret_series, error, at + count)
                                 : next_series_slow(reader, ret_series, error);
}

/* ---- labels --------------------------------------------------------------------------------- */

/* Reads a label's message into a set. Returns: false: it is none. */
static bool read_label(struct tsdb_slice message, struct tsdb_label_set *set)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct tsdb_slice parts[LABEL_VALUE] = {{"", 0}, {"", 0}};
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number > LABEL_VALUE) {
            continue;
        }
        if (field.type != PROTOBUF_BYTES) {
            return false;
        }
        parts[field.number - LABEL_NAME] = field.bytes;
    }
    if (read == PROTOBUF_END) {
        tsdb_label_set_add(set, parts[0], parts[1]);
    }
    return read == PROTOBUF_END;
}

/* Reads the labels among a message's fields. Returns: NULL, or where it is wrong. */
static const uint8_t *read_labels(struct tsdb_slice message, uint32_t number,
                                  struct tsdb_label_set *set)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct tsdb_slice label;
    enum protobuf_read read;

    while ((read = wire_next_message(&cursor, number, &label)) == PROTOBUF_FIELD) {
        if (!read_label(label, set)) {
            return (const uint8_t *)label.bytes;
        }
    }
    return read == PROTOBUF_END ? NULL : cursor.at;
}

/* Whether all of a key is fields of labels, nothing else. */
static bool is_row_of_labels(struct tsdb_slice key)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(key);
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number != SERIES_LABEL || field.type != PROTOBUF_BYTES) {
            return false;
        }
    }
    return read == PROTOBUF_END;
}

enum quarry_status tsdb_write_labels(const struct tsdb_write_reader *reader,
                                     struct tsdb_write_series *series, struct tsdb_label_set *set,
                                     struct quarry_error *error)
{
    const struct tsdb_slice message = series->message;

    Q_ASSERT(set->count == 0);
    if (series->is_guess && !is_row_of_labels(series->labels)) {
        const uint8_t *at = read_by_fields(message, series);
        if (at != NULL) {
            return wire_wrong(error, reader->begin, at, "a field of a series is wrong");
        }
    }
    series->is_guess = false;
    const uint8_t *wrong_at =
        read_labels(series->labels.count > 0 ? series->labels : message, SERIES_LABEL, set);
    return wrong_at == NULL ? QUARRY_OK : wire_wrong(error, reader->begin, wrong_at, "no label");
}

/* ---- what else a series has ----------------------------------------------------------------- */

enum quarry_status tsdb_write_next_sample(const struct tsdb_write_reader *reader,
                                          struct tsdb_write_items *items,
                                          struct tsdb_sample *ret_sample,
                                          struct quarry_error *error)
{
    struct wire_point point;
    const enum quarry_status status =
        wire_next_point(reader->begin, items, SERIES_SAMPLE, &point, error);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_sample = point.sample;
    return QUARRY_OK;
}

enum quarry_status tsdb_write_next_histogram(const struct tsdb_write_reader *reader,
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

enum quarry_status tsdb_write_next_exemplar(const struct tsdb_write_reader *reader,
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
        read_labels(message, EXEMPLAR_LABEL, set) != NULL) {
        return wire_wrong(error, reader->begin, message.bytes, "no exemplar");
    }
    exemplar.labels = (struct tsdb_labels){.labels = set->labels, .count = 0};
    (void)tsdb_label_set_finish(set, &exemplar.labels);
    *ret_exemplar = exemplar;
    return QUARRY_OK;
}

/* ---- metadata ------------------------------------------------------------------------------- */

/* Reads what is said of a family. Returns: false: it is nothing of that kind. */
static bool read_family(struct tsdb_slice message, struct tsdb_family *ret_family)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct tsdb_slice texts[FAMILY_UNIT + 1] = {
        [FAMILY_NAME] = {"", 0}, [FAMILY_HELP] = {"", 0}, [FAMILY_UNIT] = {"", 0}};
    struct protobuf_field field;
    enum protobuf_read read;
    uint64_t type = 0;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        if (field.number > FAMILY_UNIT || field.number == FAMILY_NONE) {
            continue;
        }
        if (field.type != (field.number == FAMILY_TYPE ? PROTOBUF_VARINT : PROTOBUF_BYTES)) {
            return false;
        }
        texts[field.number] = field.bytes;
        type = field.number == FAMILY_TYPE ? field.value : type;
    }
    *ret_family = (struct tsdb_family){.name = texts[FAMILY_NAME],
                                       .type = tsdb_metric_type_of(type),
                                       .help = texts[FAMILY_HELP],
                                       .unit = texts[FAMILY_UNIT]};
    return read == PROTOBUF_END;
}

enum quarry_status tsdb_write_next_family(struct tsdb_write_reader *reader,
                                          struct tsdb_family *ret_family,
                                          struct quarry_error *error)
{
    struct protobuf_cursor cursor = reader->cursor;
    struct tsdb_slice message;
    const enum protobuf_read read = wire_next_message(&cursor, REQUEST_METADATA, &message);

    if (read == PROTOBUF_WRONG) {
        return wire_wrong(error, reader->begin, cursor.at, "a field is cut short or wrong");
    }
    if (read == PROTOBUF_FIELD && !read_family(message, ret_family)) {
        return wire_wrong(error, reader->begin, message.bytes, "no metadata");
    }
    reader->cursor = cursor;
    return read == PROTOBUF_END ? QUARRY_NOT_FOUND : QUARRY_OK;
}
