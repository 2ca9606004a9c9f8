/*
 * Metrics as text, in pieces of a few KiB.
 *
 *     put ──> | buffer, 4 KiB | ──full──> sink
 *
 * The memory of an answer is the buffer and whatever the sink does: a page of a million series is
 * never in one place. Lines are split between pieces anywhere.
 *
 *     text          name{label="value"} 1 1700000000123
 *     OpenMetrics   name{label="value"} 1.0 1700000000.123 # {trace_id="x"} 0.5 1700000000.1
 *     both          {"a.name",label="value"} 1
 *
 * What holds:
 *  1. `used` never passes the buffer; what is longer than the buffer goes through in pieces.
 *  2. After the sink's first refusal it is not called again.
 *  3. Whatever bytes labels hold, the text has no line end and no quote that is not its own, so
 * that the reader of exposition.h gives the same labels back.
 */
#include <tsdb/exposition_write.h>

#include <tsdb/number.h>

/* The longest int64_t, as digits, with a sign. */
#define INTEGER_BYTES_MAX 20

/* ---- bytes ---------------------------------------------------------------------------------- */

static void flush(struct tsdb_exposition_writer *writer)
{
    if (writer->status == QUARRY_OK && writer->used > 0) {
        writer->status = writer->sink.write(writer->sink.argument, writer->buffer, writer->used);
    }
    writer->used = 0;
}

static void put(struct tsdb_exposition_writer *writer, const char *bytes, size_t count)
{
    while (count > 0) {
        if (writer->used == sizeof writer->buffer) {
            flush(writer);
        }
        const size_t piece = size_min(count, sizeof writer->buffer - writer->used);
        memcpy(writer->buffer + writer->used, bytes, piece);
        writer->used += piece;
        bytes += piece;
        count -= piece;
    }
}

static void put_slice(struct tsdb_exposition_writer *writer, struct tsdb_slice text)
{
    put(writer, text.bytes, text.count);
}

static void put_text(struct tsdb_exposition_writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

/* Puts a text with a backslash before what would end it. `has_quotes`: it stands in quotes. */
static void put_escaped(struct tsdb_exposition_writer *writer, struct tsdb_slice text,
                        bool has_quotes)
{
    size_t begin = 0;

    for (size_t i = 0; i < text.count; i++) {
        const char c = text.bytes[i];
        if (c == '\\' || c == '\n' || (c == '"' && has_quotes)) {
            put(writer, text.bytes + begin, i - begin);
            put(writer, c == '\n' ? "\\n" : c == '\\' ? "\\\\" : "\\\"", 2);
            begin = i + 1;
        }
    }
    put(writer, text.bytes + begin, text.count - begin);
}

static void put_quoted(struct tsdb_exposition_writer *writer, struct tsdb_slice text)
{
    put_text(writer, "\"");
    put_escaped(writer, text, true);
    put_text(writer, "\"");
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void put_number(struct tsdb_exposition_writer *writer, uint64_t bits)
{
    char room[TSDB_NUMBER_BYTES_MAX];
    const size_t count = writer->format == TSDB_TEXT ? tsdb_number_write(bits, room)
                                                     : tsdb_number_write_openmetrics(bits, room);
    put(writer, room, count);
}

/* Digits of a magnitude, at least `digits_min` of them. */
static void put_digits(struct tsdb_exposition_writer *writer, uint64_t value, size_t digits_min)
{
    char room[INTEGER_BYTES_MAX];
    size_t count = 0;

    while (value > 0 || count < digits_min) {
        room[sizeof room - ++count] = (char)('0' + value % 10);
        value /= 10;
    }
    put(writer, room + sizeof room - count, count);
}

/* A time: milliseconds, or seconds with up to three digits behind the point. */
static void put_time(struct tsdb_exposition_writer *writer, int64_t t_ms)
{
    uint64_t magnitude = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;

    if (t_ms < 0) {
        put_text(writer, "-");
    }
    if (writer->format == TSDB_TEXT) {
        put_digits(writer, magnitude, 1);
        return;
    }
    put_digits(writer, magnitude / 1000, 1);
    uint64_t fraction = magnitude % 1000;
    size_t digits = 3;
    while (fraction != 0 && fraction % 10 == 0) {
        fraction /= 10;
        digits--;
    }
    if (fraction != 0) {
        put_text(writer, ".");
        put_digits(writer, fraction, digits);
    }
}

/* ---- names and labels ----------------------------------------------------------------------- */

/* Whether a name needs no quotes. `has_colons`: it is a metric's. */
static bool is_plain(struct tsdb_slice name, bool has_colons)
{
    for (size_t i = 0; i < name.count; i++) {
        const char c = name.bytes[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                               (c == ':' && has_colons);
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return name.count > 0;
}

static bool is_metric_name(struct tsdb_slice name)
{
    return tsdb_slice_equal(name, tsdb_slice_of(TSDB_METRIC_NAME));
}

/* Puts labels but the metric's name. `has_some`: something is in the braces already. */
static void put_labels(struct tsdb_exposition_writer *writer, struct tsdb_labels labels,
                       bool has_some)
{
    for (size_t i = 0; i < labels.count; i++) {
        const struct tsdb_label *label = &labels.labels[i];
        if (is_metric_name(label->name)) {
            continue;
        }
        if (has_some) {
            put_text(writer, ",");
        }
        has_some = true;
        if (is_plain(label->name, false)) {
            put_slice(writer, label->name);
        } else {
            put_quoted(writer, label->name);
        }
        put_text(writer, "=");
        put_quoted(writer, label->value);
    }
}

static void put_series(struct tsdb_exposition_writer *writer, struct tsdb_labels labels)
{
    const struct tsdb_slice name = tsdb_labels_metric_name(labels);
    const bool is_outside = is_plain(name, true);

    if (is_outside) {
        put_slice(writer, name);
        if (labels.count <= 1) {
            return;
        }
    }
    put_text(writer, "{");
    if (!is_outside) {
        put_quoted(writer, name);
    }
    put_labels(writer, labels, !is_outside);
    put_text(writer, "}");
}

static void put_name(struct tsdb_exposition_writer *writer, struct tsdb_slice name)
{
    if (is_plain(name, true)) {
        put_slice(writer, name);
    } else {
        put_quoted(writer, name);
    }
}

/* ---- the calls ------------------------------------------------------------------------------ */

const char *tsdb_exposition_content_type(enum tsdb_exposition_format format)
{
    return format == TSDB_TEXT ? "text/plain; version=0.0.4; charset=utf-8"
                               : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

void tsdb_exposition_begin(struct tsdb_exposition_writer *writer,
                           enum tsdb_exposition_format format, const struct tsdb_sink *sink)
{
    Q_ASSERT(sink->write != NULL);
    writer->format = format;
    writer->sink = *sink;
    writer->status = QUARRY_OK;
    writer->used = 0;
}

/* Whether a text ends in another, with something before it. */
static bool ends_in(struct tsdb_slice text, struct tsdb_slice end)
{
    return text.count > end.count &&
           memcmp(text.bytes + text.count - end.count, end.bytes, end.count) == 0;
}

static const char *text_type(enum tsdb_metric_type type)
{
    switch (type) {
    case TSDB_METRIC_UNKNOWN:
        return "untyped";
    case TSDB_METRIC_GAUGE_HISTOGRAM:
        return "histogram";
    case TSDB_METRIC_INFO:
    case TSDB_METRIC_STATESET:
        return "gauge";
    case TSDB_METRIC_COUNTER:
    case TSDB_METRIC_GAUGE:
    case TSDB_METRIC_HISTOGRAM:
    case TSDB_METRIC_SUMMARY:
        break;
    }
    return tsdb_metric_type_name(type);
}

/* Writes "# WORD name text". */
static void put_comment(struct tsdb_exposition_writer *writer, const char *word,
                        struct tsdb_slice name, struct tsdb_slice text, bool has_quotes)
{
    put_text(writer, word);
    put_name(writer, name);
    put_text(writer, " ");
    put_escaped(writer, text, has_quotes);
    put_text(writer, "\n");
}

void tsdb_exposition_put_family(struct tsdb_exposition_writer *writer,
                                const struct tsdb_family *family)
{
    const bool is_text = writer->format == TSDB_TEXT;
    const struct tsdb_slice total = tsdb_slice_of("_total");
    struct tsdb_slice name = family->name, unit = family->unit;
    const char *type = is_text ? text_type(family->type) : tsdb_metric_type_name(family->type);

    if (!is_text && family->type == TSDB_METRIC_COUNTER) {
        if (ends_in(name, total)) {
            name.count -= total.count;
        } else {
            type = tsdb_metric_type_name(TSDB_METRIC_UNKNOWN);
        }
    }
    if (family->help.count > 0) {
        put_comment(writer, "# HELP ", name, family->help, !is_text);
    }
    put_comment(writer, "# TYPE ", name, tsdb_slice_of(type), false);
    if (!is_text && unit.count > 0 && ends_in(name, unit) &&
        name.bytes[name.count - unit.count - 1] == '_') {
        put_comment(writer, "# UNIT ", name, unit, false);
    }
}

void tsdb_exposition_put_sample(struct tsdb_exposition_writer *writer,
                                const struct tsdb_exposition_sample *sample)
{
    put_series(writer, sample->labels);
    put_text(writer, " ");
    put_number(writer, sample->bits);
    if (sample->has_time) {
        put_text(writer, " ");
        put_time(writer, sample->t_ms);
    }
    if (sample->exemplar != NULL && writer->format == TSDB_OPENMETRICS) {
        put_text(writer, " # {");
        put_labels(writer, sample->exemplar->labels, false);
        put_text(writer, "} ");
        put_number(writer, sample->exemplar->bits);
        if (sample->exemplar->has_time) {
            put_text(writer, " ");
            put_time(writer, sample->exemplar->t_ms);
        }
    }
    put_text(writer, "\n");
}

enum quarry_status tsdb_exposition_end(struct tsdb_exposition_writer *writer)
{
    if (writer->format == TSDB_OPENMETRICS) {
        put_text(writer, "# EOF\n");
    }
    flush(writer);
    return writer->status;
}
