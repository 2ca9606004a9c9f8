/*
 * The words of the text formats: names, strings, labels in braces, numbers; and where one is wrong.
 */
#ifndef QUARRY_TSDB_EXPOSITION_LEX_H
#define QUARRY_TSDB_EXPOSITION_LEX_H

#include <tsdb/exposition.h>

/* A line being read. A function that returns false has set `wanted`, and `at` is where. */
struct lex {
    const char *at, *end;
    enum tsdb_exposition_format format;
    const char *wanted; /* what is not there: a static text */
};

/* Sets what was wanted. Returns: false, for the caller to return. */
static inline bool lex_fail(struct lex *lex, const char *wanted)
{
    lex->wanted = wanted;
    return false;
}
/* The byte at hand; at the end NUL, which no grammar has. */
static inline char lex_peek(const struct lex *lex)
{
    return lex->at < lex->end ? *lex->at : '\0';
}
/* Takes a byte if it is `c`. */
static inline bool lex_take(struct lex *lex, char c)
{
    if (lex->at == lex->end || *lex->at != c) {
        return false;
    }
    lex->at++;
    return true;
}
/* Takes blanks and tabs, in the text format, where they are free. */
static inline void lex_skip_blanks(struct lex *lex)
{
    while (lex->format == TSDB_TEXT && lex->at < lex->end &&
           (*lex->at == ' ' || *lex->at == '\t')) {
        lex->at++;
    }
}

/* Takes a word that is there. Returns: false, with nothing set: it is not. */
bool lex_take_word(struct lex *lex, const char *word);

/* A name that needs no quotes; `has_colons`: of a metric. Returns: false: there is none. */
bool lex_name(struct lex *lex, bool has_colons, struct tsdb_slice *ret_name);
/* A string with its quotes, of UTF-8; `ret_string` is without them. */
bool lex_string(struct lex *lex, struct tsdb_line_name *ret_string);
/* A name with or without quotes, of a metric or family. */
bool lex_metric_name(struct lex *lex, struct tsdb_line_name *ret_name);

/*
 * One part of what lies in braces.
 */
struct lex_label {
    struct tsdb_line_name name, value;
    bool is_metric_name; /* a quoted string alone: `name` is the metric's */
};
enum lex_read {
    LEX_END,   /* the brace that closes; it is taken */
    LEX_LABEL, /* a label, and its comma */
    LEX_WRONG,
};
/* Reads the next one. `is_first`: nothing was read in these braces yet. */
enum lex_read lex_next_label(struct lex *lex, bool is_first, struct lex_label *ret_label);

/*
 * All of the labels behind an open brace, and the brace that closes.
 * `ret_name`: where the braces have the metric's name; NULL: they must not. Unwritten if they have
 * none. `ret_has_name`: beside it.
 */
bool lex_braces(struct lex *lex, struct tsdb_slice *ret_braces, struct tsdb_line_name *ret_name,
                bool *ret_has_name);

/* A number up to a blank or the line's end. */
bool lex_number(struct lex *lex, const char *wanted, uint64_t *ret_bits);
/* All up to the line's end, which is UTF-8 without NUL; the end is taken. */
bool lex_rest(struct lex *lex, struct tsdb_slice *ret_text);

/* The next line of each format. `lex->at` is its beginning. */
enum quarry_status exposition_text_next(struct lex *lex, struct tsdb_exposition_line *ret_line);
enum quarry_status exposition_openmetrics_next(struct lex *lex,
                                               struct tsdb_exposition_line *ret_line);

#endif
