/*
 * Tokens of expressions.
 */
#ifndef QUARRY_PROMQL_LEXER_H
#define QUARRY_PROMQL_LEXER_H

#include <promql/ast.h>

struct promql_parser;

/* What scan.re finds beside whole tokens, whose kinds are the grammar's and above 0. */
enum promql_scanned {
    PROMQL_SCAN_ZERO = -1, /* a NUL: the end, or a character that has no place here */
    PROMQL_SCAN_SPACE = -2,
    PROMQL_SCAN_WORD = -3,
    PROMQL_SCAN_NUMBER = -4, /* how one begins */
    PROMQL_SCAN_QUOTE = -5,
    PROMQL_SCAN_OTHER = -6,
};

/* Each begins at **at, where a NUL ends the text, and leaves *at behind the token. */
int promql_scan(const unsigned char **at);
int promql_scan_braces(const unsigned char **at);
int promql_scan_brackets(const unsigned char **at);

struct promql_token {
    int kind; /* the grammar's */
    struct promql_range at;
};

/* Where the lexer stands in brackets. */
enum promql_bracket {
    PROMQL_BRACKET_NONE = 0,
    PROMQL_BRACKET_BEGUN, /* no number yet */
    PROMQL_BRACKET_NUMBER,
};

struct promql_lexer {
    const char *text; /* const; a NUL behind it */
    uint32_t count;   /* const */
    uint32_t position;
    uint32_t paren_depth;
    enum promql_bracket bracket;
    bool is_in_braces;
    bool has_colon;            /* in this bracket */
    bool has_duration;         /* in any bracket yet */
    struct promql_token token; /* the newest */
};

/* The next token. Returns: its kind; what is no token is the parser's error, and ends the text. */
int promql_lex(struct promql_parser *parser);

/* The newest token as errors name it: `identifier "foo"`, `<op:+>`, "end of input". */
struct promql_described {
    char text[600];
};
const char *promql_describe(const struct promql_parser *parser, struct promql_described *room);

/* Where a number or a duration ends that begins at `at`; kind 0: it is none, and the text up to
 * there is what is wrong with it. */
struct promql_token promql_scan_number(const char *text, uint32_t count, uint32_t at);
/* Where a quoted text ends that begins at `at`, behind its quote. Returns: NULL, or what is wrong.
 */
const char *promql_scan_string(const char *text, uint32_t count, uint32_t at, uint32_t *ret_end,
                               char room[96]);

#endif
