/*
 * Fuzzes the text formats: what is read lies within the body, labels of a line that was given can
 * be had, and what they are written as is read as the same.
 *
 * The first byte tells the format.
 */
#include <tsdb/exposition.h>
#include <tsdb/exposition_write.h>

#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64u
#define TEXT_MAX   ((size_t)1 << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tsdb_label_limits limits = {
    .label_count_max = LABELS_MAX, .name_bytes_max = 1u << 16, .value_bytes_max = 1u << 16};
static struct tsdb_label labels_room[LABELS_MAX], again_room[LABELS_MAX];
static char text_bytes[TEXT_MAX], again_bytes[TEXT_MAX], written[4 * TEXT_MAX];
static size_t written_count;

static enum quarry_status take(void *argument, const char *bytes, size_t byte_count)
{
    (void)argument;
    Q_ASSERT(byte_count <= sizeof written - written_count);
    memcpy(written + written_count, bytes, byte_count);
    written_count += byte_count;
    return QUARRY_OK;
}

/* Reads labels. Returns: whether they have no fault. */
static bool read_labels(const struct tsdb_exposition_line *line, struct tsdb_label *labels,
                        char *text, struct tsdb_labels *ret_labels)
{
    struct tsdb_text_room room = {.bytes = text, .capacity = TEXT_MAX};
    struct tsdb_label_set set;
    struct quarry_error error;

    tsdb_label_set_init(&set, &limits, labels);
    Q_ASSERT(tsdb_exposition_labels(line, &set, &room));
    if (tsdb_label_set_finish(&set, ret_labels) == TSDB_LABELS_GOOD) {
        return true;
    }
    tsdb_label_set_tell(&set, &error);
    return false;
}

static void check_again(const struct tsdb_exposition_line *line, struct tsdb_labels labels)
{
    const struct tsdb_sink sink = {.write = take};
    const struct tsdb_exposition_sample sample = {.labels = labels,
                                                  .bits = line->sample.bits,
                                                  .t_ms = line->sample.t_ms,
                                                  .has_time = line->has_time};
    static struct tsdb_exposition_writer writer;
    struct tsdb_exposition_line again;
    struct tsdb_labels others;

    written_count = 0;
    tsdb_exposition_begin(&writer, line->format, &sink);
    tsdb_exposition_put_sample(&writer, &sample);
    Q_ASSERT(tsdb_exposition_end(&writer) == QUARRY_OK);
    struct tsdb_exposition reader =
        tsdb_exposition_of(line->format, (struct tsdb_slice){written, written_count});
    Q_ASSERT(tsdb_exposition_next(&reader, &again, NULL) == QUARRY_OK);
    Q_ASSERT(read_labels(&again, again_room, again_bytes, &others));
    Q_ASSERT(labels.count == others.count && again.sample.bits == line->sample.bits);
    for (size_t i = 0; i < labels.count; i++) {
        Q_ASSERT(tsdb_slice_equal(labels.labels[i].name, others.labels[i].name));
        Q_ASSERT(tsdb_slice_equal(labels.labels[i].value, others.labels[i].value));
    }
}

static void read_sample(const struct tsdb_exposition_line *line)
{
    struct tsdb_labels labels;

    if (read_labels(line, labels_room, text_bytes, &labels)) {
        check_again(line, labels);
    }
    if (line->has_exemplar) {
        struct tsdb_text_room room = {.bytes = text_bytes, .capacity = TEXT_MAX};
        struct tsdb_label_set set;
        tsdb_label_set_init(&set, &limits, labels_room);
        Q_ASSERT(tsdb_exposition_exemplar_labels(line, &set, &room));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > TEXT_MAX) {
        return 0;
    }
    char *exact = malloc(size > 1 ? size - 1 : 1); /* of just its size, for sanitizers */
    Q_ASSERT(exact != NULL);
    memcpy(exact, data + 1, size - 1);
    struct tsdb_exposition reader = tsdb_exposition_of(
        data[0] % 2 == 0 ? TSDB_TEXT : TSDB_OPENMETRICS, (struct tsdb_slice){exact, size - 1});
    struct tsdb_exposition_line line;
    struct quarry_error error;

    while (tsdb_exposition_next(&reader, &line, &error) == QUARRY_OK) {
        struct tsdb_text_room room = {.bytes = text_bytes, .capacity = TEXT_MAX};
        struct tsdb_family family;
        if (line.kind == TSDB_LINE_SAMPLE) {
            read_sample(&line);
        } else {
            Q_ASSERT(tsdb_exposition_family(&line, &room, &family));
        }
    }
    free(exact);
    return 0;
}
