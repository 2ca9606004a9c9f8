/*
 * The text formats of metrics, read: Prometheus' text 0.0.4 and OpenMetrics 1.0, both with names in
 * UTF-8 where they are quoted.
 *
 *     struct tsdb_exposition reader = tsdb_exposition_of(TSDB_TEXT, body);
 *     struct tsdb_exposition_line line;
 *
 *     while ((status = tsdb_exposition_next(&reader, &line, error)) == QUARRY_OK) {
 *         if (line.kind == TSDB_LINE_SAMPLE) {
 *             id = memo_find(line.series);                   // the bytes as they stand
 *             …tsdb_exposition_labels(&line, &set, &text)…   // where they are new
 *         } else if (tsdb_exposition_family(&line, &text, &family)) {
 *             …
 *         }
 *     }
 *     // QUARRY_NOT_FOUND: it was whole
 *
 * Two lines with the same bytes in `series` have the same labels. What is accepted is what
 * Prometheus 2.42 accepts, and from later ones quoted names, blanks before a name, and exemplars of
 * any sample.
 *
 * Nothing allocates. Threads: a reader is one thread's.
 */
#ifndef QUARRY_TSDB_EXPOSITION_H
#define QUARRY_TSDB_EXPOSITION_H

#include <tsdb/wire_parts.h>

enum tsdb_exposition_format {
    TSDB_TEXT,        /* text/plain; version=0.0.4 */
    TSDB_OPENMETRICS, /* application/openmetrics-text; version=1.0.0 */
};

/* Where a reader is in a body, which is borrowed while it is used. */
struct tsdb_exposition {
    enum tsdb_exposition_format format;
    const char *begin, *at, *end;
};

enum tsdb_line_kind {
    TSDB_LINE_SAMPLE,
    TSDB_LINE_TYPE,
    TSDB_LINE_HELP,
    TSDB_LINE_UNIT,
};

/* A name as it stands, without its quotes; `has_escapes`: with backslashes to be resolved. */
struct tsdb_line_name {
    struct tsdb_slice text;
    bool has_escapes;
};

/* The exemplar of a sample; `braces` is what lies between them. */
struct tsdb_line_exemplar {
    struct tsdb_slice braces;
    uint64_t bits;
    int64_t t_ms;
    bool has_time;
};

/* One line that says something. All slices are borrowed from the body, escapes as they stand. */
struct tsdb_exposition_line {
    enum tsdb_line_kind kind;
    enum tsdb_exposition_format format;
    struct tsdb_line_name name; /* of the metric, or of the family */
    /* of a sample */
    struct tsdb_slice series; /* name and labels: the memo's key */
    struct tsdb_slice braces; /* what lies between them */
    struct tsdb_sample sample;
    bool has_time; /* else `sample.t_ms` is 0 */
    bool has_exemplar;
    struct tsdb_line_exemplar exemplar;
    /* of a family */
    enum tsdb_metric_type type;
    struct tsdb_slice text; /* of help or unit */
};

/* Room for what has no escapes any more. `bytes`: borrowed; used from `used` on. */
struct tsdb_text_room {
    char *bytes;
    size_t used, capacity;
};

/* A reader at the beginning of a body. */
static inline struct tsdb_exposition tsdb_exposition_of(enum tsdb_exposition_format format,
                                                        struct tsdb_slice body)
{
    return (struct tsdb_exposition){
        .format = format, .begin = body.bytes, .at = body.bytes, .end = body.bytes + body.count};
}

/*
 * Reads the next line that says something; comments are left out.
 *
 * Errors: QUARRY_NOT_FOUND: that was the last one, of OpenMetrics behind its "# EOF"; BAD_INPUT: a
 * line is wrong, and `error` tells its number, the column (of bytes, from 1) and what was wanted;
 * the reader stays there. Cost: some 8 instructions a byte.
 */
enum quarry_status tsdb_exposition_next(struct tsdb_exposition *reader,
                                        struct tsdb_exposition_line *ret_line,
                                        struct quarry_error *error);

/*
 * The labels of a sample, its name among them, or of its exemplar.
 *
 * `set`: of no labels yet; a fault is its own. Its slices are borrowed from the body and from
 * `text`. Returns: false: `text` has no room for what had escapes; room for as many bytes as the
 * line has is always enough.
 */
bool tsdb_exposition_labels(const struct tsdb_exposition_line *line, struct tsdb_label_set *set,
                            struct tsdb_text_room *text);
/*
 * Whether a sample's braces name a label, be it without a value: `job=""` says that there is to be
 * none. The name is compared with what stands there.
 */
bool tsdb_exposition_names(const struct tsdb_exposition_line *line, struct tsdb_slice name);
bool tsdb_exposition_exemplar_labels(const struct tsdb_exposition_line *line,
                                     struct tsdb_label_set *set, struct tsdb_text_room *text);
/* Bytes that tsdb_exposition_exemplar needs for the exemplar of a line. */
size_t tsdb_exposition_exemplar_bytes(const struct tsdb_exposition_line *line);
/*
 * The exemplar of a line, as the store takes it; without a time of its own it has `t_ms`.
 *
 * `room`: for as many bytes, aligned to 8; its labels lie there and in the body.
 * Returns: false: its labels have a fault, or are more than any exemplar has.
 */
bool tsdb_exposition_exemplar(const struct tsdb_exposition_line *line, int64_t t_ms, void *room,
                              struct quarry_tsdb_exemplar *ret_exemplar);
/*
 * What a line says of a family: only the name, and what it is a line of.
 *
 * `line`: not a sample's. `ret_family`: borrowed from the body and from `text`.
 * Returns: false: as tsdb_exposition_labels.
 */
bool tsdb_exposition_family(const struct tsdb_exposition_line *line, struct tsdb_text_room *text,
                            struct tsdb_family *ret_family);

#endif
