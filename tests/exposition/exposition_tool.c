/*
 * Our reader and writer of the text formats, for scripts.
 *
 *     exposition_tool say text|openmetrics                     what a body on stdin says
 *     exposition_tool rewrite text|openmetrics text|openmetrics   the same in the other format
 *
 * `say` writes a line for each thing: "S labels value time", labels as name=value joined by commas
 * and time "-" for none; "T name type", "H name help", "U name unit"; "E error". Names, values and
 * texts are in hexadecimal, so that nothing needs quotes. A series whose labels have a fault is an
 * error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/exposition.h>
#include <tsdb/exposition_write.h>
#include <tsdb/number.h>

#define LABELS_MAX 64u
#define BODY_MAX   ((size_t)1 << 20)

static const struct tsdb_label_limits limits = {
    .label_count_max = LABELS_MAX, .name_bytes_max = 1024, .value_bytes_max = 4096};
static struct tsdb_label labels_room[LABELS_MAX];
static char body[BODY_MAX], text_bytes[BODY_MAX];

static void say_hexadecimal(struct tsdb_slice slice)
{
    for (size_t i = 0; i < slice.count; i++) {
        printf("%02x", (unsigned char)slice.bytes[i]);
    }
}

/* Reads labels. Returns: false: they have a fault, which is told. */
static bool read_labels(const struct tsdb_exposition_line *line, struct tsdb_labels *ret_labels,
                        struct quarry_error *error)
{
    struct tsdb_text_room room = {.bytes = text_bytes, .capacity = sizeof text_bytes};
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &limits, labels_room);
    if (!tsdb_exposition_labels(line, &set, &room)) {
        return false;
    }
    if (tsdb_label_set_finish_series(&set, ret_labels) != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, error);
        return false;
    }
    return true;
}

static void say_sample(const struct tsdb_exposition_line *line, struct tsdb_labels labels)
{
    char room[TSDB_NUMBER_BYTES_MAX];
    const size_t count = tsdb_number_write(line->sample.bits, room);

    printf("S ");
    for (size_t i = 0; i < labels.count; i++) {
        fputs(i == 0 ? "" : ",", stdout);
        say_hexadecimal(labels.labels[i].name);
        putchar('=');
        say_hexadecimal(labels.labels[i].value);
    }
    printf(" %.*s ", (int)count, room);
    if (line->has_time) {
        printf("%lld\n", (long long)line->sample.t_ms);
    } else {
        puts("-");
    }
}

static bool read_family(const struct tsdb_exposition_line *line, struct tsdb_family *ret_family)
{
    struct tsdb_text_room room = {.bytes = text_bytes, .capacity = sizeof text_bytes};

    return tsdb_exposition_family(line, &room, ret_family);
}

static void say_family(const struct tsdb_exposition_line *line, const struct tsdb_family *family)
{
    static const char kinds[] = {'S', 'T', 'H', 'U'};

    printf("%c ", kinds[line->kind]);
    say_hexadecimal(family->name);
    putchar(' ');
    if (line->kind == TSDB_LINE_TYPE) {
        say_hexadecimal(tsdb_slice_of(tsdb_metric_type_name(family->type)));
    }
    say_hexadecimal(family->help);
    say_hexadecimal(family->unit);
    putchar('\n');
}

static int say(struct tsdb_exposition *reader)
{
    struct tsdb_exposition_line line;
    struct quarry_error error = {0};
    enum quarry_status status;

    while ((status = tsdb_exposition_next(reader, &line, &error)) == QUARRY_OK) {
        struct tsdb_labels labels;
        struct tsdb_family family;
        if (line.kind != TSDB_LINE_SAMPLE) {
            if (read_family(&line, &family)) {
                say_family(&line, &family);
            }
        } else if (read_labels(&line, &labels, &error)) {
            say_sample(&line, labels);
        } else {
            printf("E %s\n", error.text);
            return 0;
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        printf("E %s\n", error.text);
    }
    return 0;
}

static enum quarry_status write_out(void *argument, const char *bytes, size_t byte_count)
{
    (void)argument;
    return fwrite(bytes, 1, byte_count, stdout) == byte_count ? QUARRY_OK : QUARRY_IO;
}

static int rewrite(struct tsdb_exposition *reader, enum tsdb_exposition_format to)
{
    static struct tsdb_exposition_writer writer;
    const struct tsdb_sink sink = {.write = write_out};
    struct tsdb_exposition_line line;
    struct quarry_error error = {0};

    tsdb_exposition_begin(&writer, to, &sink);
    while (tsdb_exposition_next(reader, &line, &error) == QUARRY_OK) {
        struct tsdb_exposition_sample sample = {.has_time = false};
        struct tsdb_family family;
        if (line.kind == TSDB_LINE_TYPE) {
            if (read_family(&line, &family)) {
                tsdb_exposition_put_family(&writer, &family);
            }
        } else if (line.kind == TSDB_LINE_SAMPLE && read_labels(&line, &sample.labels, &error)) {
            sample.bits = line.sample.bits;
            sample.t_ms = line.sample.t_ms;
            sample.has_time = line.has_time;
            tsdb_exposition_put_sample(&writer, &sample);
        }
    }
    return tsdb_exposition_end(&writer) == QUARRY_OK ? 0 : 1;
}

static enum tsdb_exposition_format format_of(const char *name)
{
    return strcmp(name, "text") == 0 ? TSDB_TEXT : TSDB_OPENMETRICS;
}

int main(int argument_count, char **arguments)
{
    if (argument_count < 3) {
        return 2;
    }
    const size_t count = fread(body, 1, sizeof body, stdin);
    struct tsdb_exposition reader =
        tsdb_exposition_of(format_of(arguments[2]), (struct tsdb_slice){body, count});
    return argument_count == 4 ? rewrite(&reader, format_of(arguments[3])) : say(&reader);
}
