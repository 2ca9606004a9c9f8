/*
 * Fuzzes remote write 1.0 from the body on: what is read lies within it, a key that was confirmed
 * is a row of labels, and keys that were met before stand for the same labels when they come by a
 * guess.
 *
 * The input is a snappy block, or, if its first byte is odd, what one would hold.
 */
#include <tsdb/remote_write.h>
#include <tsdb/snappy_block.h>

#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX ((size_t)1 << 20)
#define LABELS_MAX     64u
#define SPANS_MAX      32u
#define VALUES_MAX     64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tsdb_label_limits limits = {
    .label_count_max = LABELS_MAX, .name_bytes_max = 256, .value_bytes_max = 1024};
static struct tsdb_label labels_room[LABELS_MAX];
static struct tsdb_wire_span spans[SPANS_MAX];
static uint64_t values[VALUES_MAX];
static const struct tsdb_wire_histogram_room room = {
    .spans = spans, .values = values, .span_count_max = SPANS_MAX, .value_count_max = VALUES_MAX};

static void check_inside(struct tsdb_slice body, struct tsdb_slice part)
{
    if (part.count > 0) {
        Q_ASSERT(part.bytes >= body.bytes);
        Q_ASSERT(part.count <= body.count - (size_t)(part.bytes - body.bytes));
    }
}

static struct tsdb_label_set new_set(void)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &limits, labels_room);
    return set;
}

static void check_labels(struct tsdb_slice body, struct tsdb_label_set *set)
{
    struct tsdb_labels labels;

    if (tsdb_label_set_finish(set, &labels) != TSDB_LABELS_GOOD) {
        struct quarry_error error;
        tsdb_label_set_tell(set, &error);
        return;
    }
    for (size_t i = 0; i < labels.count; i++) {
        check_inside(body, labels.labels[i].name);
        check_inside(body, labels.labels[i].value);
        Q_ASSERT(labels.labels[i].name.count > 0 && labels.labels[i].value.count > 0);
        Q_ASSERT(i == 0 ||
                 tsdb_slice_compare(labels.labels[i - 1].name, labels.labels[i].name) < 0);
    }
}

/* A key is fields of labels and nothing else. */
static void check_key(struct tsdb_slice key)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(key);
    struct protobuf_field field;
    enum protobuf_read read;

    while ((read = protobuf_next(&cursor, &field)) == PROTOBUF_FIELD) {
        Q_ASSERT(field.number == 1 && field.type == PROTOBUF_BYTES);
    }
    Q_ASSERT(read == PROTOBUF_END);
}

static void read_items(struct tsdb_slice body, const struct tsdb_write_reader *reader,
                       const struct tsdb_write_series *series)
{
    struct tsdb_write_items items = tsdb_write_items_of(series);
    struct tsdb_wire_histogram histogram;
    struct tsdb_exemplar exemplar;
    struct tsdb_sample sample;
    enum quarry_status status;
    uint32_t count = 0;

    while ((status = tsdb_write_next_sample(reader, &items, &sample, NULL)) == QUARRY_OK) {
        Q_ASSERT(count > 0 || memcmp(&sample, &series->sample, sizeof sample) == 0);
        count++;
    }
    Q_ASSERT(status == QUARRY_BAD_INPUT || count == series->counts.samples);
    items = tsdb_write_items_of(series);
    while ((status = tsdb_write_next_histogram(reader, &items, &room, &histogram, NULL)) ==
               QUARRY_OK ||
           status == QUARRY_TOO_LARGE) {
        struct quarry_error error;
        if (status == QUARRY_OK) {
            (void)tsdb_wire_histogram_check(&histogram, &error);
        }
    }
    items = tsdb_write_items_of(series);
    do {
        struct tsdb_label_set set = new_set();
        status = tsdb_write_next_exemplar(reader, &items, &set, &exemplar, NULL);
        if (status == QUARRY_OK) {
            check_labels(body, &set);
        }
    } while (status == QUARRY_OK);
}

/* What was guessed, if it is right, is what reading by fields says. */
static void read_series(struct tsdb_slice body, const struct tsdb_write_reader *reader,
                        struct tsdb_write_series *series)
{
    const struct tsdb_write_series guessed = *series;
    struct tsdb_label_set set = new_set();

    check_inside(body, series->message);
    check_inside(body, series->labels);
    if (tsdb_write_labels(reader, series, &set, NULL) != QUARRY_OK) {
        return;
    }
    Q_ASSERT(!series->is_guess);
    check_key(series->labels);
    /* As many bytes elsewhere are another key: the guess was wrong. */
    if (guessed.labels.count == series->labels.count &&
        guessed.labels.bytes == series->labels.bytes) {
        Q_ASSERT(guessed.sample.bits == series->sample.bits &&
                 guessed.sample.t_ms == series->sample.t_ms);
    }
    check_labels(body, &set);
    read_items(body, reader, series);
}

static void read_body(struct tsdb_slice body)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(body);
    struct tsdb_write_series series;
    struct tsdb_family family;
    struct quarry_error error;

    while (tsdb_write_next_series(&reader, &series, &error) == QUARRY_OK) {
        read_series(body, &reader, &series);
    }
    reader = tsdb_write_reader_of(body);
    while (tsdb_write_next_family(&reader, &family, &error) == QUARRY_OK) {
        check_inside(body, family.name);
        check_inside(body, family.help);
        check_inside(body, family.unit);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quarry_error error;
    size_t byte_count = 0;

    if (size == 0) {
        return 0;
    }
    const struct tsdb_slice block = {(const char *)data + 1, size - 1};
    if (data[0] % 2 == 1) {
        read_body(block);
        return 0;
    }
    if (tsdb_snappy_length(block, BODY_BYTES_MAX, &byte_count, &error) != QUARRY_OK) {
        return 0;
    }
    Q_ASSERT(byte_count <= BODY_BYTES_MAX);
    char *bytes = malloc(byte_count > 0 ? byte_count : 1);
    Q_ASSERT(bytes != NULL);
    if (tsdb_snappy_read(block, bytes, byte_count, &error) == QUARRY_OK) {
        read_body((struct tsdb_slice){bytes, byte_count});
    }
    free(bytes);
    return 0;
}
