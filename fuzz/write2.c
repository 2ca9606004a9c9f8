/*
 * Fuzzes remote write 2.0: no ref is followed out of the symbols, what is read lies within the
 * body, and the labels of a series encode to the key that 1.0 reads them from.
 */
#include <tsdb/remote_write.h>
#include <tsdb/remote_write2.h>

#include <stdlib.h>

#define LABELS_MAX 64u
#define SPANS_MAX  32u
#define VALUES_MAX 64u
/* Room for any set of labels within the limits below, encoded. */
#define KEY_BYTES_MAX (LABELS_MAX * (256 + 1024 + 16))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tsdb_label_limits limits = {
    .label_count_max = LABELS_MAX, .name_bytes_max = 256, .value_bytes_max = 1024};
static struct tsdb_label labels_room[LABELS_MAX], again_room[LABELS_MAX];
static struct tsdb_wire_span spans[SPANS_MAX];
static uint64_t values[VALUES_MAX];
static char key[KEY_BYTES_MAX];
static const struct tsdb_wire_histogram_room room = {
    .spans = spans, .values = values, .span_count_max = SPANS_MAX, .value_count_max = VALUES_MAX};

static struct tsdb_label_set new_set(struct tsdb_label *labels)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &limits, labels);
    return set;
}

/* Labels that are encoded and read as 1.0 are the same ones. */
static void check_key(struct tsdb_labels labels)
{
    const size_t count = tsdb_labels_encode(labels, key, sizeof key);
    const struct tsdb_slice message = {key, count};
    const struct tsdb_write_reader reader = tsdb_write_reader_of(message);
    struct tsdb_write_series series = {.message = message, .labels = message, .is_guess = true};
    struct tsdb_label_set set = new_set(again_room);
    struct tsdb_labels again;

    Q_ASSERT(tsdb_write_labels(&reader, &series, &set, NULL) == QUARRY_OK);
    Q_ASSERT(tsdb_label_set_finish(&set, &again) == TSDB_LABELS_GOOD);
    Q_ASSERT(again.count == labels.count && series.labels.count == count);
    for (size_t i = 0; i < labels.count; i++) {
        Q_ASSERT(tsdb_slice_equal(labels.labels[i].name, again.labels[i].name));
        Q_ASSERT(tsdb_slice_equal(labels.labels[i].value, again.labels[i].value));
    }
}

static void read_items(const struct tsdb_write2_reader *reader,
                       const struct tsdb_write2_series *series)
{
    struct tsdb_write_items items = tsdb_write2_items_of(series);
    struct tsdb_wire_histogram histogram;
    struct tsdb_exemplar exemplar;
    struct tsdb_sample sample;
    enum quarry_status status;
    int64_t start_ms;

    while (tsdb_write2_next_sample(reader, &items, &sample, &start_ms, NULL) == QUARRY_OK) {
    }
    items = tsdb_write2_items_of(series);
    while ((status = tsdb_write2_next_histogram(reader, &items, &room, &histogram, NULL)) ==
               QUARRY_OK ||
           status == QUARRY_TOO_LARGE) {
        if (status == QUARRY_OK) {
            (void)tsdb_wire_histogram_check(&histogram, NULL);
        }
    }
    items = tsdb_write2_items_of(series);
    do {
        struct tsdb_label_set set = new_set(labels_room);
        status = tsdb_write2_next_exemplar(reader, &items, &set, &exemplar, NULL);
    } while (status == QUARRY_OK);
}

static void read_series(const struct tsdb_write2_reader *reader,
                        const struct tsdb_write2_series *series)
{
    struct tsdb_label_set set = new_set(labels_room);
    struct tsdb_labels labels;
    struct tsdb_family family;
    struct quarry_error error;

    if (tsdb_write2_labels(reader, series, &set, &error) != QUARRY_OK) {
        return;
    }
    if (tsdb_label_set_finish(&set, &labels) == TSDB_LABELS_GOOD) {
        check_key(labels);
    } else {
        tsdb_label_set_tell(&set, &error);
    }
    (void)tsdb_write2_family(reader, series, &family, &error);
    read_items(reader, series);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tsdb_slice body = {(const char *)data, size};
    struct tsdb_write2_counts counts;
    struct tsdb_write2_reader reader;
    struct tsdb_write2_series series;
    struct quarry_error error;

    if (data == NULL || tsdb_write2_count(body, &counts, &error) != QUARRY_OK) {
        return 0;
    }
    Q_ASSERT(counts.symbol_count <= size / 2 && counts.series_count <= size / 2);
    struct tsdb_slice *symbols = calloc(counts.symbol_count + 1, sizeof *symbols);
    Q_ASSERT(symbols != NULL);
    if (tsdb_write2_open(body, symbols, &counts, &reader, &error) == QUARRY_OK) {
        while (tsdb_write2_next_series(&reader, &series, &error) == QUARRY_OK) {
            read_series(&reader, &series);
        }
    }
    free(symbols);
    return 0;
}
