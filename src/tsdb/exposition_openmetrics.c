/*
 * Lines of OpenMetrics 1.0, as Prometheus' parser takes them.
 *
 *     line     = comment | sample
 *     comment  = "# HELP " name " " text  |  "# TYPE " name " " type  |  "# UNIT " name " " unit
 *     sample   = name [ braces ] " " value [ " " time ] [ " # " exemplar ] end
 *     exemplar = braces " " value [ " " time ]
 *
 * and behind all of them "# EOF", with nothing after its line's end. One blank separates, no more
 * and no tab; there are no empty lines and no other comments. Times are seconds with a fraction.
 *
 * A time is cut to milliseconds, as Prometheus does, but not where it only seems to have a
 * fraction, which costs Prometheus a millisecond now and then.
 *
 * What the standard says about families (that a counter's samples end in _total, that samples of
 * one family lie together) is not looked at, by Prometheus as well: a sample is a sample.
 */
#include <tsdb/exposition_lex.h>

#include <math.h>

/*
 * What is so near to a whole millisecond was meant to be one: seconds since 1970 in a double are
 * right to 0.00012 ms, and the product to twice that. 1700000000.001 s would be cut to 000
 * otherwise.
 */
#define TIME_MS_SLACK 0x1p-10
/* Times that fit, in milliseconds. */
#define TIME_MS_LIMIT 0x1p63

static enum quarry_status status_of(bool is_right)
{
    return is_right ? QUARRY_OK : QUARRY_BAD_INPUT;
}

/* ---- comments ------------------------------------------------------------------------------- */

static bool read_type(struct lex *lex, struct tsdb_exposition_line *line)
{
    for (uint32_t type = 0; type < TSDB_METRIC_TYPE_COUNT; type++) {
        if (tsdb_slice_equal(line->text, tsdb_slice_of(tsdb_metric_type_name(type)))) {
            line->type = (enum tsdb_metric_type)type;
            return true;
        }
    }
    lex->at = line->text.bytes;
    return lex_fail(lex, "a type of OpenMetrics is wanted");
}

/* A unit is the end of its family's name, behind an underscore. */
static bool check_unit(struct lex *lex, const struct tsdb_exposition_line *line)
{
    const struct tsdb_slice name = line->name.text, unit = line->text;

    if (unit.count == 0) {
        return true;
    }
    if (name.count <= unit.count || name.bytes[name.count - unit.count - 1] != '_' ||
        memcmp(name.bytes + name.count - unit.count, unit.bytes, unit.count) != 0) {
        lex->at = unit.bytes;
        return lex_fail(lex, "a unit that the family's name ends in is wanted");
    }
    return true;
}

/* Reads "name text" behind "# HELP " and its like. */
static bool read_family(struct lex *lex, enum tsdb_line_kind kind,
                        struct tsdb_exposition_line *line)
{
    line->kind = kind;
    if (!lex_metric_name(lex, &line->name)) {
        return false;
    }
    if (!lex_take(lex, ' ')) {
        return lex_fail(lex, "a blank is wanted");
    }
    if (!lex_rest(lex, &line->text)) {
        return false;
    }
    if (lex->at[-1] != '\n') {
        return lex_fail(lex, "the line's end is wanted");
    }
    if (kind == TSDB_LINE_TYPE) {
        return read_type(lex, line);
    }
    return kind == TSDB_LINE_HELP || check_unit(lex, line);
}

static enum quarry_status read_comment(struct lex *lex, struct tsdb_exposition_line *line)
{
    if (lex_take_word(lex, "# EOF")) {
        (void)lex_take(lex, '\n');
        if (lex->at != lex->end) {
            (void)lex_fail(lex, "the end of all is wanted behind # EOF");
            return QUARRY_BAD_INPUT;
        }
        lex->at = lex->end;
        return QUARRY_NOT_FOUND;
    }
    if (lex_take_word(lex, "# HELP ")) {
        return status_of(read_family(lex, TSDB_LINE_HELP, line));
    }
    if (lex_take_word(lex, "# TYPE ")) {
        return status_of(read_family(lex, TSDB_LINE_TYPE, line));
    }
    if (lex_take_word(lex, "# UNIT ")) {
        return status_of(read_family(lex, TSDB_LINE_UNIT, line));
    }
    return status_of(lex_fail(lex, "# HELP, # TYPE, # UNIT or # EOF is wanted"));
}

/* ---- samples -------------------------------------------------------------------------------- */

/* Reads " seconds". */
static bool read_time(struct lex *lex, int64_t *ret_t_ms)
{
    const char *begin = lex->at;
    uint64_t bits;
    double seconds;

    if (!lex_take(lex, ' ') || !lex_number(lex, "a time in seconds is wanted", &bits)) {
        return lex_fail(lex, "a time in seconds is wanted");
    }
    memcpy(&seconds, &bits, sizeof seconds);
    double t_ms = seconds * 1000;
    if (fabs(t_ms - nearbyint(t_ms)) < TIME_MS_SLACK) {
        t_ms = nearbyint(t_ms);
    }
    if (!(fabs(t_ms) < TIME_MS_LIMIT)) { /* nor is it NaN */
        lex->at = begin;
        return lex_fail(lex, "a time that fits 64 bits is wanted");
    }
    *ret_t_ms = (int64_t)t_ms;
    return true;
}

/* Reads " value [ time]". */
static bool read_point(struct lex *lex, uint64_t *ret_bits, int64_t *ret_t_ms, bool *ret_has_time)
{
    *ret_t_ms = 0;
    *ret_has_time = false;
    if (!lex_take(lex, ' ') || !lex_number(lex, "a blank and a value are wanted", ret_bits)) {
        return lex_fail(lex, "a blank and a value are wanted");
    }
    if (lex_peek(lex) != ' ' ||
        ((size_t)(lex->end - lex->at) >= 4 && memcmp(lex->at, " # {", 4) == 0)) {
        return true;
    }
    *ret_has_time = true;
    return read_time(lex, ret_t_ms);
}

static bool read_exemplar(struct lex *lex, struct tsdb_line_exemplar *exemplar)
{
    return lex_braces(lex, &exemplar->braces, NULL, NULL) &&
           read_point(lex, &exemplar->bits, &exemplar->t_ms, &exemplar->has_time);
}

/* Reads name and labels. */
static bool read_series(struct lex *lex, struct tsdb_exposition_line *line)
{
    const char *begin = lex->at;
    bool has_name = lex_peek(lex) != '{';

    line->braces = (struct tsdb_slice){"", 0};
    line->name.has_escapes = false;
    if (has_name && !lex_name(lex, true, &line->name.text)) {
        return lex_fail(lex, "a metric's name or a comment is wanted");
    }
    if (lex_take(lex, '{') && !lex_braces(lex, &line->braces, &line->name, &has_name)) {
        return false;
    }
    line->series = (struct tsdb_slice){begin, (size_t)(lex->at - begin)};
    return has_name || lex_fail(lex, "the braces want a metric's name in quotes");
}

static bool read_sample(struct lex *lex, struct tsdb_exposition_line *line)
{
    line->kind = TSDB_LINE_SAMPLE;
    if (!read_series(lex, line) ||
        !read_point(lex, &line->sample.bits, &line->sample.t_ms, &line->has_time)) {
        return false;
    }
    line->has_exemplar = lex_take_word(lex, " # {");
    if (line->has_exemplar && !read_exemplar(lex, &line->exemplar)) {
        return false;
    }
    return lex_take(lex, '\n') || lex_fail(lex, "the line's end is wanted");
}

enum quarry_status exposition_openmetrics_next(struct lex *lex,
                                               struct tsdb_exposition_line *ret_line)
{
    if (lex->at == lex->end) {
        return status_of(lex_fail(lex, "# EOF is wanted"));
    }
    return *lex->at == '#' ? read_comment(lex, ret_line) : status_of(read_sample(lex, ret_line));
}
