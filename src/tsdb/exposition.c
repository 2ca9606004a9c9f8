/*
 * The text formats: lines, their labels, their places.
 *
 *     next     ──> exposition_text, exposition_openmetrics ──> exposition_lex
 *     labels   ──> exposition_lex again, over what lies in the braces ──> label_set
 *
 * A scrape is the same text again and again, a few values aside. So `next` checks a line and finds
 * where its parts are, and gives name and braces as they stand: whoever knows these bytes need not
 * ask for labels, which are read again, without escapes, only when they are new.
 *
 * What holds:
 *  1. A line that was given is right in full, so that reading its braces again cannot fail.
 *  2. A text without its escapes is not longer than with them.
 *  3. A reader that met something wrong stays at the line's beginning.
 *  4. Places are counted when they are told: a body that is right is never searched for its line
 * ends.
 *
 * OpenMetrics' end is a line, "# EOF": a body without it was cut short, and is wrong.
 */
#include <tsdb/exemplars.h>
#include <tsdb/exposition.h>

#include <tsdb/exposition_lex.h>

/* ---- lines ---------------------------------------------------------------------------------- */

/* Says what is wanted and where. */
static enum quarry_status wrong(const struct tsdb_exposition *reader, const struct lex *lex,
                                struct quarry_error *error)
{
    size_t line = 1;
    const char *line_begin = reader->begin;

    for (const char *at = reader->begin; (at = memchr(at, '\n', (size_t)(lex->at - at))) != NULL;) {
        line_begin = ++at;
        line++;
    }
    return error_set(error, QUARRY_BAD_INPUT, "metrics: line %zu, column %zu: %s", line,
                     (size_t)(lex->at - line_begin) + 1, lex->wanted);
}

enum quarry_status tsdb_exposition_next(struct tsdb_exposition *reader,
                                        struct tsdb_exposition_line *ret_line,
                                        struct quarry_error *error)
{
    struct lex lex = {.at = reader->at, .end = reader->end, .format = reader->format};
    struct tsdb_exposition_line line;

    line.format = reader->format;
    const enum quarry_status status = reader->format == TSDB_TEXT
                                          ? exposition_text_next(&lex, &line)
                                          : exposition_openmetrics_next(&lex, &line);
    Q_ASSERT(lex.at <= reader->end);
    if (status == QUARRY_BAD_INPUT) {
        return wrong(reader, &lex, error);
    }
    if (status == QUARRY_OK) {
        reader->at = lex.at; /* at the end it stays before "# EOF", to say the same again */
        *ret_line = line;
    }
    return status;
}

/* ---- texts without escapes ------------------------------------------------------------------ */

/* What a backslash and `c` stand for; NUL: themselves. */
static char unescaped(char c, bool has_quotes)
{
    if (c == 'n') {
        return '\n';
    }
    return c == '\\' || (c == '"' && has_quotes) ? c : '\0';
}

/*
 * A text without its escapes. `has_quotes`: a quote may have a backslash.
 * Returns: false: no room.
 */
static bool resolve(struct tsdb_slice text, bool has_quotes, struct tsdb_text_room *room,
                    struct tsdb_slice *ret_text)
{
    if (text.count > room->capacity - room->used) {
        return false;
    }
    char *begin = room->bytes + room->used, *to = begin;
    for (size_t i = 0; i < text.count; i++) {
        const char c = text.bytes[i];
        const char escaped =
            c == '\\' && i + 1 < text.count ? unescaped(text.bytes[i + 1], has_quotes) : '\0';
        *to++ = escaped != '\0' ? escaped : c;
        i += escaped != '\0';
    }
    *ret_text = (struct tsdb_slice){begin, (size_t)(to - begin)};
    room->used += ret_text->count;
    Q_ASSERT(room->used <= room->capacity);
    return true;
}

static bool resolve_name(const struct tsdb_line_name *name, struct tsdb_text_room *room,
                         struct tsdb_slice *ret_text)
{
    *ret_text = name->text;
    return !name->has_escapes || resolve(name->text, true, room, ret_text);
}

/* ---- labels --------------------------------------------------------------------------------- */

/* Adds what lies in braces, that was found right, to a set. */
static bool add_braces(struct tsdb_slice braces, enum tsdb_exposition_format format,
                       struct tsdb_label_set *set, struct tsdb_text_room *room)
{
    struct lex lex = {.at = braces.bytes, .end = braces.bytes + braces.count, .format = format};
    struct lex_label label;
    enum lex_read read = braces.count == 0 ? LEX_END : LEX_LABEL;

    for (bool is_first = true; read == LEX_LABEL; is_first = false) {
        read = lex_next_label(&lex, is_first, &label);
        Q_ASSERT(read != LEX_WRONG);
        if (read == LEX_END || label.is_metric_name) {
            continue;
        }
        struct tsdb_slice name, value;
        if (!resolve_name(&label.name, room, &name) || !resolve_name(&label.value, room, &value)) {
            return false;
        }
        tsdb_label_set_add(set, name, value);
    }
    return true;
}

bool tsdb_exposition_labels(const struct tsdb_exposition_line *line, struct tsdb_label_set *set,
                            struct tsdb_text_room *text)
{
    struct tsdb_slice name;

    Q_ASSERT(line->kind == TSDB_LINE_SAMPLE && set->count == 0);
    if (!resolve_name(&line->name, text, &name)) {
        return false;
    }
    tsdb_label_set_add(set, tsdb_slice_of(TSDB_METRIC_NAME), name);
    return add_braces(line->braces, line->format, set, text);
}

bool tsdb_exposition_names(const struct tsdb_exposition_line *line, struct tsdb_slice name)
{
    struct lex lex = {.at = line->braces.bytes,
                      .end = line->braces.bytes + line->braces.count,
                      .format = line->format};
    struct lex_label label;

    Q_ASSERT(line->kind == TSDB_LINE_SAMPLE);
    for (bool is_first = true; line->braces.count != 0; is_first = false) {
        if (lex_next_label(&lex, is_first, &label) != LEX_LABEL) {
            return false;
        }
        if (!label.is_metric_name && tsdb_slice_equal(label.name.text, name)) {
            return true;
        }
    }
    return false;
}

bool tsdb_exposition_exemplar_labels(const struct tsdb_exposition_line *line,
                                     struct tsdb_label_set *set, struct tsdb_text_room *text)
{
    Q_ASSERT(line->kind == TSDB_LINE_SAMPLE && line->has_exemplar && set->count == 0);
    return add_braces(line->exemplar.braces, line->format, set, text);
}

/* A label has three bytes between the braces at least; more than any exemplar has are not read. */
static uint32_t exemplar_labels_most(const struct tsdb_exposition_line *line)
{
    return (uint32_t)size_min(line->exemplar.braces.count / 3 + 1, TSDB_EXEMPLAR_CHARACTERS_MAX);
}

size_t tsdb_exposition_exemplar_bytes(const struct tsdb_exposition_line *line)
{
    return exemplar_labels_most(line) * sizeof(struct tsdb_label) +
           size_align_up_u64(line->exemplar.braces.count, 8);
}

bool tsdb_exposition_exemplar(const struct tsdb_exposition_line *line, int64_t t_ms, void *room,
                              struct quarry_tsdb_exemplar *ret_exemplar)
{
    const struct tsdb_label_limits limits = {.label_count_max = exemplar_labels_most(line),
                                             .name_bytes_max = UINT32_MAX,
                                             .value_bytes_max = UINT32_MAX};
    struct tsdb_label *labels = room;
    struct tsdb_text_room text = {.bytes = (char *)(labels + limits.label_count_max),
                                  .capacity = line->exemplar.braces.count};
    struct tsdb_label_set set;

    *ret_exemplar = (struct quarry_tsdb_exemplar){
        .t_ms = line->exemplar.has_time ? line->exemplar.t_ms : t_ms, .bits = line->exemplar.bits};
    tsdb_label_set_init(&set, &limits, labels);
    return tsdb_exposition_exemplar_labels(line, &set, &text) &&
           tsdb_label_set_finish(&set, &ret_exemplar->labels) == TSDB_LABELS_GOOD;
}

bool tsdb_exposition_family(const struct tsdb_exposition_line *line, struct tsdb_text_room *text,
                            struct tsdb_family *ret_family)
{
    struct tsdb_family family = {.help = {"", 0}, .unit = {"", 0}};

    Q_ASSERT(line->kind != TSDB_LINE_SAMPLE);
    if (!resolve_name(&line->name, text, &family.name)) {
        return false;
    }
    if (line->kind == TSDB_LINE_TYPE) {
        family.type = line->type;
    } else if (line->kind == TSDB_LINE_UNIT) {
        family.unit = line->text;
    } else if (!resolve(line->text, line->format == TSDB_OPENMETRICS, text, &family.help)) {
        return false;
    }
    *ret_family = family;
    return true;
}
