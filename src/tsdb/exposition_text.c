/*
 * Lines of the text format 0.0.4, as Prometheus' parser takes them.
 *
 *     line     = [ sample | "#" comment ] end
 *     comment  = ( "HELP" | "TYPE" ) name any text  |  anything
 *     sample   = name [ braces ] value [ time ]     |  braces-with-name value [ time ]
 *
 * Its freedoms, which are not in the format's description, and which senders have come to use:
 * blanks wherever they separate nothing; a value right behind the name (`up-1` is up with -1); the
 * one byte between a family's name and its text is whatever it is; help without text; a comment
 * that begins like HELP or TYPE and is neither. Its strictness: a type has no blanks around it; a
 * time is digits only.
 */
#include <tsdb/exposition_lex.h>

#include <tsdb/number.h>

static enum quarry_status status_of(bool is_right)
{
    return is_right ? QUARRY_OK : QUARRY_BAD_INPUT;
}

/* Takes the line's end, or that of all. */
static bool take_end(struct lex *lex)
{
    return lex->at == lex->end || lex_take(lex, '\n') || lex_fail(lex, "the line's end is wanted");
}

/* ---- comments ------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool read_type(struct lex *lex, struct tsdb_slice text, struct tsdb_exposition_line *line)
{
    static const enum tsdb_metric_type types[] = {TSDB_METRIC_COUNTER, TSDB_METRIC_GAUGE,
                                                  TSDB_METRIC_HISTOGRAM, TSDB_METRIC_SUMMARY};

    line->type = TSDB_METRIC_UNKNOWN;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (tsdb_slice_equal(text, tsdb_slice_of(tsdb_metric_type_name(types[i])))) {
            line->type = types[i];
        }
    }
    if (line->type == TSDB_METRIC_UNKNOWN && !tsdb_slice_equal(text, tsdb_slice_of("untyped"))) {
        lex->at = text.bytes;
        return lex_fail(lex, "counter, gauge, histogram, summary or untyped is wanted");
    }
    return true;
}

/* Reads "name text" and the line's end. */
static bool read_family(struct lex *lex, struct tsdb_exposition_line *line)
{
    struct tsdb_slice text;

    lex_skip_blanks(lex);
    if (!lex_metric_name(lex, &line->name) || !lex_rest(lex, &text)) {
        return false;
    }
    if (text.count > 0 && (text.bytes[0] & 0x80) != 0) {
        lex->at = text.bytes;
        return lex_fail(lex, "a blank is wanted behind the name");
    }
    text.bytes += text.count > 0;
    text.count -= text.count > 0;
    line->text = text;
    return line->kind == TSDB_LINE_HELP || read_type(lex, text, line);
}

/* Reads a comment behind its '#'. `ret_is_family`: it says something. */
static bool read_comment(struct lex *lex, struct tsdb_exposition_line *line, bool *ret_is_family)
{
    struct lex words = *lex;

    *ret_is_family = false;
    lex_skip_blanks(&words);
    if (words.at > lex->at) {
        line->kind = lex_take_word(&words, "HELP") ? TSDB_LINE_HELP : TSDB_LINE_TYPE;
        if ((line->kind == TSDB_LINE_HELP || lex_take_word(&words, "TYPE")) &&
            is_blank(lex_peek(&words))) {
            *ret_is_family = true;
            lex->at = words.at;
            return read_family(lex, line);
        }
    }
    const char *line_end = memchr(lex->at, '\n', (size_t)(lex->end - lex->at));
    lex->at = line_end == NULL ? lex->end : line_end + 1;
    return true;
}

/* ---- samples -------------------------------------------------------------------------------- */

/* Digits, as many as an int64_t holds. */
static bool read_time(struct lex *lex, struct tsdb_exposition_line *line)
{
    int64_t t_ms = 0;
    const char *begin = lex->at;

    for (; lex_peek(lex) >= '0' && lex_peek(lex) <= '9'; lex->at++) {
        if (!checked_mul_i64(t_ms, 10, &t_ms) || !checked_add_i64(t_ms, *lex->at - '0', &t_ms)) {
            lex->at = begin;
            return lex_fail(lex, "a time of 64 bits is wanted");
        }
    }
    if (lex->at == begin) {
        return lex_fail(lex, "a time in milliseconds or the line's end is wanted");
    }
    line->sample.t_ms = t_ms;
    line->has_time = true;
    return true;
}

/* Reads name and labels. */
static bool read_series(struct lex *lex, struct tsdb_exposition_line *line)
{
    const char *begin = lex->at;
    bool has_name = lex_peek(lex) != '{';

    line->braces = (struct tsdb_slice){"", 0};
    line->name.has_escapes = false;
    if (has_name && !lex_name(lex, true, &line->name.text)) {
        return lex_fail(lex, "a metric's name, a comment or a line's end is wanted");
    }
    const char *name_end = lex->at;
    lex_skip_blanks(lex);
    if (!lex_take(lex, '{')) {
        line->series = (struct tsdb_slice){begin, (size_t)(name_end - begin)};
        return true;
    }
    if (!lex_braces(lex, &line->braces, &line->name, &has_name)) {
        return false;
    }
    line->series = (struct tsdb_slice){begin, (size_t)(lex->at - begin)};
    return has_name || lex_fail(lex, "the braces want a metric's name in quotes");
}

static bool read_sample(struct lex *lex, struct tsdb_exposition_line *line)
{
    line->kind = TSDB_LINE_SAMPLE;
    line->has_time = false;
    line->has_exemplar = false;
    line->sample.t_ms = 0;
    if (!read_series(lex, line)) {
        return false;
    }
    lex_skip_blanks(lex);
    if (!lex_number(lex, "a value is wanted", &line->sample.bits)) {
        return false;
    }
    lex_skip_blanks(lex);
    if (lex->at < lex->end && *lex->at != '\n' && !read_time(lex, line)) {
        return false;
    }
    lex_skip_blanks(lex);
    return take_end(lex);
}

enum quarry_status exposition_text_next(struct lex *lex, struct tsdb_exposition_line *ret_line)
{
    for (;;) {
        bool is_family = false;
        lex_skip_blanks(lex);
        if (lex->at == lex->end) {
            return QUARRY_NOT_FOUND;
        }
        if (lex_take(lex, '\n')) {
            continue;
        }
        if (!lex_take(lex, '#')) {
            return status_of(read_sample(lex, ret_line));
        }
        const bool is_right = read_comment(lex, ret_line, &is_family);
        if (is_family || !is_right) {
            return status_of(is_right);
        }
    }
}
