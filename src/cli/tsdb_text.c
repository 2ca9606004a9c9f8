/*
 * Series of answers as text for people.
 *
 * Locking: none.
 */
#include <cli/tsdb_text.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct text {
    char *bytes;
    size_t count, capacity;
    bool has_failed;
};

static void add(struct text *text, const char *bytes, size_t count)
{
    if (text->capacity - text->count <= count) {
        const size_t capacity = 2 * text->capacity + count + 64;
        char *larger = text->has_failed ? NULL : realloc(text->bytes, capacity);
        if (larger == NULL) {
            text->has_failed = true;
            return;
        }
        text->bytes = larger;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->count, bytes, count);
    text->count += count;
    text->bytes[text->count] = '\0';
}

static void add_quoted(struct text *text, const char *bytes, size_t count)
{
    add(text, "\"", 1);
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\') {
            add(text, "\\", 1);
        }
        add(text, bytes[i] == '\n' ? "\\n" : &bytes[i], bytes[i] == '\n' ? 2 : 1);
    }
    add(text, "\"", 1);
}

char *tsdb_text_labels(const struct json_value *metric)
{
    struct text text = {0};
    const char *name = NULL;
    const struct json_value *value;
    void *iterator = NULL;
    size_t length = 0, label_count = 0;

    const char *metric_name = json_read_text(json_read_member(metric, "__name__"), &length);
    add(&text, metric_name == NULL ? "" : metric_name, length);
    while ((value = json_read_next(metric, &iterator, &name)) != NULL) {
        if (strcmp(name, "__name__") == 0) {
            continue;
        }
        const char *bytes = json_read_text(value, &length);
        add(&text, label_count == 0 ? "{" : ", ", label_count == 0 ? 1 : 2);
        label_count++;
        add(&text, name, strlen(name));
        add(&text, "=", 1);
        add_quoted(&text, bytes == NULL ? "" : bytes, bytes == NULL ? 0 : length);
    }
    if (label_count > 0) {
        add(&text, "}", 1);
    } else if (metric_name == NULL) {
        add(&text, "{}", 2);
    }
    if (text.has_failed) {
        free(text.bytes);
        return NULL;
    }
    return text.bytes;
}

size_t tsdb_text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void tsdb_text_put(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
        if (byte < ' ' || byte == 0x7f) {
            fputc('?', file);
        } else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) { /* a control of 8 bits */
            fputc('?', file);
            text++;
        } else {
            fputc(byte, file);
        }
    }
}

void tsdb_text_put_padded(FILE *file, const char *text, size_t width)
{
    tsdb_text_put(file, text);
    for (size_t at = tsdb_text_width(text); at < width; at++) {
        fputc(' ', file);
    }
}

const char *tsdb_text_number(double value, char room[TSDB_NUMBER_BYTES])
{
    static const struct {
        double from;
        const char *unit;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}};
    const double size = fabs(value);

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const double unit = units[i].from == 1e4 ? 1e3 : units[i].from;
        if (size >= units[i].from && size < 1e15) {
            (void)snprintf(room, TSDB_NUMBER_BYTES, "%.4g%s", value / unit, units[i].unit);
            return room;
        }
    }
    (void)snprintf(room, TSDB_NUMBER_BYTES, "%.4g", value);
    return room;
}
