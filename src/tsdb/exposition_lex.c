/*
 * Words of the text formats, taken from the front of what is left.
 *
 *     name{label="value\n",…} 1.5 1700000000000
 *     {"name.in.utf-8", "label.too"="value"} 1.5
 *
 * Both formats share these; where they differ it is by `format`: in the text format blanks are free
 * everywhere, a comma may be left out or stand behind the last label, and a string may have line
 * ends in it. OpenMetrics has none of that.
 *
 * What holds:
 *  1. at <= end; no byte is looked at that is not before `end`.
 *  2. Strings that are given are UTF-8, have no NUL, and their backslashes are followed by a byte.
 *  3. What is read twice, once to find its end and once for its labels, is read by the same
 *     function, lex_next_label.
 */
#include <tsdb/exposition_lex.h>

#include <tsdb/number.h>
#include <tsdb/utf8.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool lex_take_word(struct lex *lex, const char *word)
{
    const size_t count = strlen(word);

    if ((size_t)(lex->end - lex->at) < count || memcmp(lex->at, word, count) != 0) {
        return false;
    }
    lex->at += count;
    return true;
}

bool lex_name(struct lex *lex, bool has_colons, struct tsdb_slice *ret_name)
{
    const char *begin = lex->at;

    while (lex->at < lex->end && (is_letter(*lex->at) || (has_colons && *lex->at == ':') ||
                                  (lex->at > begin && is_digit(*lex->at)))) {
        lex->at++;
    }
    *ret_name = (struct tsdb_slice){begin, (size_t)(lex->at - begin)};
    return ret_name->count > 0;
}

/* Moves behind the quote that closes a string. */
static bool find_quote(struct lex *lex, bool *ret_has_escapes)
{
    *ret_has_escapes = false;
    for (; lex->at < lex->end && *lex->at != '"'; lex->at++) {
        if (*lex->at == '\\') {
            *ret_has_escapes = true;
            lex->at++;
            if (lex_peek(lex) == '\0' || *lex->at == '\n') {
                return lex_fail(lex, "a backslash wants a character behind it");
            }
        } else if (*lex->at == '\0' || (*lex->at == '\n' && lex->format == TSDB_OPENMETRICS)) {
            return lex_fail(lex, "a string has no such character");
        }
    }
    return lex_take(lex, '"') || lex_fail(lex, "a string wants a closing quote");
}

bool lex_string(struct lex *lex, struct tsdb_line_name *ret_string)
{
    const char *begin = lex->at + 1;

    if (!lex_take(lex, '"')) {
        return lex_fail(lex, "a string in quotes is wanted");
    }
    if (!find_quote(lex, &ret_string->has_escapes)) {
        return false;
    }
    ret_string->text = (struct tsdb_slice){begin, (size_t)(lex->at - 1 - begin)};
    if (!tsdb_utf8_is_valid(ret_string->text)) {
        lex->at = begin;
        return lex_fail(lex, "a string wants to be UTF-8");
    }
    return true;
}

bool lex_metric_name(struct lex *lex, struct tsdb_line_name *ret_name)
{
    if (lex_peek(lex) == '"') {
        return lex_string(lex, ret_name);
    }
    ret_name->has_escapes = false;
    return lex_name(lex, true, &ret_name->text) || lex_fail(lex, "a metric's name is wanted");
}

/* ---- labels --------------------------------------------------------------------------------- */

/* Takes what stands between a label and the next: in OpenMetrics a comma, unless all is over. */
static bool take_separator(struct lex *lex)
{
    lex_skip_blanks(lex);
    if (lex_take(lex, ',')) {
        lex_skip_blanks(lex);
        if (lex->format == TSDB_OPENMETRICS && lex_peek(lex) == '}') {
            return lex_fail(lex, "a label is wanted behind the comma");
        }
        return true;
    }
    if (lex->format == TSDB_OPENMETRICS && lex_peek(lex) != '}') {
        return lex_fail(lex, "a comma or a closing brace is wanted");
    }
    return true;
}

static bool read_label(struct lex *lex, struct lex_label *label)
{
    const bool is_quoted = lex_peek(lex) == '"';

    label->is_metric_name = false;
    label->name.has_escapes = false;
    if (is_quoted ? !lex_string(lex, &label->name) : !lex_name(lex, false, &label->name.text)) {
        return is_quoted ? false : lex_fail(lex, "a label's name or a closing brace is wanted");
    }
    lex_skip_blanks(lex);
    if (is_quoted && (lex_peek(lex) == ',' || lex_peek(lex) == '}')) {
        label->is_metric_name = true;
        return true;
    }
    if (!lex_take(lex, '=')) {
        return lex_fail(lex, "an equals sign is wanted");
    }
    lex_skip_blanks(lex);
    return lex_string(lex, &label->value);
}

enum lex_read lex_next_label(struct lex *lex, bool is_first, struct lex_label *ret_label)
{
    if (is_first) {
        lex_skip_blanks(lex);
    }
    if (lex_take(lex, '}')) {
        return LEX_END;
    }
    return read_label(lex, ret_label) && take_separator(lex) ? LEX_LABEL : LEX_WRONG;
}

bool lex_braces(struct lex *lex, struct tsdb_slice *ret_braces, struct tsdb_line_name *ret_name,
                bool *ret_has_name)
{
    const char *begin = lex->at, *label_at = lex->at;
    struct lex_label label;
    enum lex_read read;

    for (bool is_first = true; (read = lex_next_label(lex, is_first, &label)) == LEX_LABEL;
         is_first = false) {
        if (label.is_metric_name) {
            if (ret_name == NULL || *ret_has_name) {
                lex->at = label_at;
                return lex_fail(lex, "a label is wanted, and no metric's name");
            }
            *ret_name = label.name;
            *ret_has_name = true;
        }
        label_at = lex->at;
    }
    *ret_braces = (struct tsdb_slice){begin, (size_t)(lex->at - begin)};
    return read == LEX_END;
}

/* ---- numbers and texts ---------------------------------------------------------------------- */

bool lex_number(struct lex *lex, const char *wanted, uint64_t *ret_bits)
{
    const char *begin = lex->at, *at = begin;

    while (at < lex->end && *at != ' ' && *at != '\n' &&
           (lex->format == TSDB_OPENMETRICS || (*at != '\t' && *at != '{'))) {
        at++;
    }
    if (!tsdb_number_read((struct tsdb_slice){begin, (size_t)(at - begin)}, ret_bits)) {
        return lex_fail(lex, wanted);
    }
    lex->at = at;
    return true;
}

bool lex_rest(struct lex *lex, struct tsdb_slice *ret_text)
{
    const char *begin = lex->at;
    const char *line_end = memchr(begin, '\n', (size_t)(lex->end - begin));
    const char *end = line_end == NULL ? lex->end : line_end;
    const struct tsdb_slice text = {begin, (size_t)(end - begin)};

    if (!tsdb_utf8_is_valid(text) || memchr(begin, '\0', text.count) != NULL) {
        return lex_fail(lex, "a text wants to be UTF-8 without NUL");
    }
    lex->at = line_end == NULL ? end : end + 1;
    *ret_text = text;
    return true;
}
