/*
 * Labels against those before them.
 *
 *     count │ name, value │ name, value │ …          a varint, then for each label
 *
 *     name   0                  that of the label in the same place of the set before
 *            1 + length, bytes  another
 *     value  shared, length, bytes: so many bytes of the value in the same place, and the rest
 *
 * The series of a target come one after the other and differ in two labels of eight: 25 to 40 bytes
 * for what is 200. The set before is in the same record, so that a record needs no other.
 *
 * Invariants
 *   1. What is read has at most TSDB_LOG_LABELS_MAX labels of TSDB_LOG_LABEL_BYTES_MAX bytes.
 *   2. Slices are made when all bytes are there, for a buffer that grows moves.
 *
 * Locking: none; one thread's. Cost: a comparison and a copy of each byte.
 *
 * Rejected: a table of strings for each segment. It would be as large as the labels are, for the
 * writer too, and a string that is damaged would take all series with it that have it.
 */
#include <tsdb/log_labels.h>

/* Around the bytes of a label: three varints. */
#define LABEL_EXTRA_BYTES (3 * VARINT_U32_BYTES_MAX)

void log_labels_fini(struct log_labels *labels)
{
    tsdb_buffer_fini(&labels->bytes);
    labels->count = 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static const struct tsdb_label *label_before(const struct log_labels *before, size_t index)
{
    return before != NULL && index < before->count ? &before->labels[index] : NULL;
}

static size_t shared_bytes(struct tsdb_slice a, struct tsdb_slice b)
{
    size_t count = size_min(a.count, b.count), i = 0;

    while (i < count && a.bytes[i] == b.bytes[i]) {
        i++;
    }
    return i;
}

static uint8_t *put_bytes(uint8_t *to, const char *bytes, size_t byte_count)
{
    if (byte_count != 0) {
        memcpy(to, bytes, byte_count);
    }
    return to + byte_count;
}

static uint8_t *put_label(uint8_t *to, const struct tsdb_label *before,
                          const struct tsdb_label *label)
{
    size_t shared = before == NULL ? 0 : shared_bytes(before->value, label->value);

    if (before != NULL && tsdb_slice_equal(before->name, label->name)) {
        *to++ = 0;
    } else {
        to += varint_put_u64(to, label->name.count + 1);
        to = put_bytes(to, label->name.bytes, label->name.count);
    }
    to += varint_put_u64(to, shared);
    to += varint_put_u64(to, label->value.count - shared);
    return put_bytes(to, label->value.bytes + shared, label->value.count - shared);
}

static size_t byte_count_of(struct tsdb_labels labels)
{
    size_t byte_count = 0;

    for (size_t i = 0; i < labels.count; i++) {
        byte_count += labels.labels[i].name.count + labels.labels[i].value.count;
    }
    return byte_count;
}

static struct tsdb_slice take_copy(struct tsdb_buffer *bytes, struct tsdb_slice slice)
{
    struct tsdb_slice copy = {(char *)bytes->bytes + bytes->byte_count, slice.count};

    if (slice.count == 0) {
        return (struct tsdb_slice){"", 0};
    }
    memcpy(bytes->bytes + bytes->byte_count, slice.bytes, slice.count);
    bytes->byte_count += slice.count;
    return copy;
}

/* There is room. */
static void copy_labels(struct log_labels *to, struct tsdb_labels labels)
{
    to->bytes.byte_count = 0;
    to->count = labels.count;
    for (size_t i = 0; i < labels.count; i++) {
        to->labels[i].name = take_copy(&to->bytes, labels.labels[i].name);
        to->labels[i].value = take_copy(&to->bytes, labels.labels[i].value);
    }
}

/* Room for as many bytes in all. */
static enum quarry_status reserve_all(struct tsdb_buffer *bytes, size_t byte_count)
{
    return byte_count <= bytes->byte_count
               ? QUARRY_OK
               : tsdb_buffer_reserve(bytes, byte_count - bytes->byte_count);
}

enum quarry_status log_labels_put(struct tsdb_buffer *to, struct log_labels *before,
                                  struct tsdb_labels labels)
{
    enum quarry_status status = QUARRY_OK;
    uint8_t *at;

    if (labels.count > TSDB_LOG_LABELS_MAX || byte_count_of(labels) > TSDB_LOG_LABEL_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    size_t byte_count = byte_count_of(labels);
    status = tsdb_buffer_reserve(to, byte_count + VARINT_U32_BYTES_MAX +
                                         labels.count * LABEL_EXTRA_BYTES);
    if (status != QUARRY_OK) {
        return status;
    }
    at = to->bytes + to->byte_count;
    at += varint_put_u64(at, labels.count);
    for (size_t i = 0; i < labels.count; i++) {
        at = put_label(at, label_before(before, i), &labels.labels[i]);
    }
    if (before != NULL) {
        /* Only now, for what was borrowed from it moves. */
        status = reserve_all(&before->bytes, byte_count);
        if (status != QUARRY_OK) {
            return status;
        }
        copy_labels(before, labels);
    }
    to->byte_count = (size_t)(at - to->bytes);
    return QUARRY_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct source {
    const uint8_t *at, *end;
};

/* Returns: false: there is none. */
static bool get_number(struct source *from, uint32_t *ret_number)
{
    size_t byte_count = varint_get_u32(from->at, from->end, ret_number);

    from->at += byte_count;
    return byte_count != 0;
}

/* Appends so many bytes of a slice, and of what is read. There is room. Returns: false: the bytes
 * end before. */
static bool join(struct source *from, struct tsdb_buffer *to, struct tsdb_slice shared,
                 size_t byte_count, struct tsdb_slice *ret_slice)
{
    uint8_t *place = to->bytes + to->byte_count;

    if (byte_count > (size_t)(from->end - from->at)) {
        return false;
    }
    Q_ASSERT(shared.count + byte_count <= to->capacity - to->byte_count);
    (void)put_bytes(put_bytes(place, shared.bytes, shared.count), (const char *)from->at,
                    byte_count);
    from->at += byte_count;
    to->byte_count += shared.count + byte_count;
    *ret_slice = (struct tsdb_slice){(const char *)place, shared.count + byte_count};
    return true;
}

static bool get_name(struct source *from, const struct tsdb_label *before, struct tsdb_buffer *to,
                     struct tsdb_slice *ret_name)
{
    const struct tsdb_slice none = {"", 0};
    uint32_t length;

    if (!get_number(from, &length) || (length == 0 && before == NULL)) {
        return false;
    }
    return length == 0 ? join(from, to, before->name, 0, ret_name)
                       : join(from, to, none, length - 1, ret_name);
}

static bool get_value(struct source *from, const struct tsdb_label *before, struct tsdb_buffer *to,
                      struct tsdb_slice *ret_value)
{
    struct tsdb_slice shared = before == NULL ? (struct tsdb_slice){"", 0} : before->value;
    uint32_t shared_count, length;

    if (!get_number(from, &shared_count) || !get_number(from, &length) ||
        shared_count > shared.count) {
        return false;
    }
    shared.count = shared_count;
    return join(from, to, shared, length, ret_value);
}

static bool get_labels(struct source *from, const struct log_labels *before,
                       struct log_labels *ret_labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct tsdb_label *label = label_before(before, i);
        if (!get_name(from, label, &ret_labels->bytes, &ret_labels->labels[i].name) ||
            !get_value(from, label, &ret_labels->bytes, &ret_labels->labels[i].value)) {
            return false;
        }
    }
    ret_labels->count = count;
    return ret_labels->bytes.byte_count <= TSDB_LOG_LABEL_BYTES_MAX;
}

enum quarry_status log_labels_get(const uint8_t **at, const uint8_t *end,
                                  const struct log_labels *before, struct log_labels *ret_labels)
{
    struct source from = {*at, end};
    uint32_t count;

    if (!get_number(&from, &count) || count > TSDB_LOG_LABELS_MAX) {
        return QUARRY_CORRUPT;
    }
    /* What is there, and what may be shared: nothing is shared twice. */
    size_t byte_count =
        (size_t)(from.end - from.at) + (before == NULL ? 0 : before->bytes.byte_count) + 1;
    ret_labels->bytes.byte_count = 0;
    enum quarry_status status = tsdb_buffer_reserve(&ret_labels->bytes, byte_count);
    if (status != QUARRY_OK) {
        return status;
    }
    if (!get_labels(&from, before, ret_labels, count)) {
        return QUARRY_CORRUPT;
    }
    *at = from.at;
    return QUARRY_OK;
}
