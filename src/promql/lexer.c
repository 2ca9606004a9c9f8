/*
 * The lexer: what the token at hand is, by where it stands.
 *
 * Three places have their own tokens (scan.re): expressions, braces, brackets. In brackets there
 * are two, as Prometheus has it: until the first number only what begins a duration may come;
 * behind it any token of expressions but words. What may come matters for the texts of errors
 * alone: the grammar refuses the rest.
 *
 * Words are keywords whatever their case; which are, depends on the version. `fill` and its like
 * are keywords only before a parenthesis, so that they stay names of series.
 *
 * An error of the lexer is the query's, and the text ends there for the grammar.
 */
#include <promql/parser.h>

#include "grammar.h"

#include <promql/text.h>

#include <stdio.h>
#include <string.h>

enum keyword_class {
    CLASS_OPERATOR,
    CLASS_AGGREGATION,
    CLASS_KEYWORD,
    CLASS_FUNCTION, /* they are functions as well */
    CLASS_NUMBER,
};

struct keyword {
    const char *name;
    int kind;
    enum keyword_class class;
    bool is_new; /* not in 2.42 */
};

static const struct keyword keywords[] = {
    {"and", T_AND, CLASS_OPERATOR, false},
    {"or", T_OR, CLASS_OPERATOR, false},
    {"unless", T_UNLESS, CLASS_OPERATOR, false},
    {"atan2", T_ATAN2, CLASS_OPERATOR, false},
    {"sum", T_SUM, CLASS_AGGREGATION, false},
    {"avg", T_AVG, CLASS_AGGREGATION, false},
    {"count", T_COUNT, CLASS_AGGREGATION, false},
    {"min", T_MIN, CLASS_AGGREGATION, false},
    {"max", T_MAX, CLASS_AGGREGATION, false},
    {"group", T_GROUP, CLASS_AGGREGATION, false},
    {"stddev", T_STDDEV, CLASS_AGGREGATION, false},
    {"stdvar", T_STDVAR, CLASS_AGGREGATION, false},
    {"topk", T_TOPK, CLASS_AGGREGATION, false},
    {"bottomk", T_BOTTOMK, CLASS_AGGREGATION, false},
    {"count_values", T_COUNT_VALUES, CLASS_AGGREGATION, false},
    {"quantile", T_QUANTILE, CLASS_AGGREGATION, false},
    {"limitk", T_LIMITK, CLASS_AGGREGATION, true},
    {"limit_ratio", T_LIMIT_RATIO, CLASS_AGGREGATION, true},
    {"offset", T_OFFSET, CLASS_KEYWORD, false},
    {"anchored", T_ANCHORED, CLASS_KEYWORD, true},
    {"smoothed", T_SMOOTHED, CLASS_KEYWORD, true},
    {"by", T_BY, CLASS_KEYWORD, false},
    {"without", T_WITHOUT, CLASS_KEYWORD, false},
    {"on", T_ON, CLASS_KEYWORD, false},
    {"ignoring", T_IGNORING, CLASS_KEYWORD, false},
    {"group_left", T_GROUP_LEFT, CLASS_KEYWORD, false},
    {"group_right", T_GROUP_RIGHT, CLASS_KEYWORD, false},
    {"fill", T_FILL, CLASS_KEYWORD, true},
    {"fill_left", T_FILL_LEFT, CLASS_KEYWORD, true},
    {"fill_right", T_FILL_RIGHT, CLASS_KEYWORD, true},
    {"bool", T_BOOL, CLASS_KEYWORD, false},
    {"start", T_START, CLASS_FUNCTION, false},
    {"end", T_END, CLASS_FUNCTION, false},
    {"step", T_STEP, CLASS_FUNCTION, true},
    {"range", T_RANGE, CLASS_FUNCTION, true},
    {"min_of", T_MIN_OF, CLASS_FUNCTION, true},
    {"max_of", T_MAX_OF, CLASS_FUNCTION, true},
    {"inf", T_NUMBER, CLASS_NUMBER, false},
    {"nan", T_NUMBER, CLASS_NUMBER, false},
};

static const struct keyword *find_keyword(const char *word, size_t count, bool compat_2_42)
{
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
        if (strlen(keywords[i].name) == count && strncasecmp(keywords[i].name, word, count) == 0) {
            return keywords[i].is_new && compat_2_42 ? NULL : &keywords[i];
        }
    }
    return NULL;
}

static bool is_one_of(char character, const char *set)
{
    return character != '\0' && strchr(set, character) != NULL;
}

/* ---- tokens --------------------------------------------------------------------------------- */

/* A token from `start` to the position. */
static int emit(struct promql_lexer *lexer, int kind, uint32_t start)
{
    lexer->token = (struct promql_token){.kind = kind, .at = {start, lexer->position}};
    return kind;
}

/* What is there is no token: the error is said to be from `start` to the end. */
static int refuse(struct promql_parser *parser, uint32_t start, const char *format,
                  const char *argument)
{
    struct promql_lexer *lexer = &parser->lexer;
    const struct promql_range at = {start, lexer->count};

    if (argument == NULL) {
        promql_fail(parser, at, "%s", format);
    } else {
        promql_fail(parser, at, "%s%s", format, argument);
    }
    lexer->position = lexer->count;
    lexer->token = (struct promql_token){.kind = T_ERROR, .at = at};
    return 0;
}

static int refuse_rune(struct promql_parser *parser, uint32_t start, const char *what,
                       const char *rest)
{
    const struct promql_lexer *lexer = &parser->lexer;
    struct promql_quoted room, text;
    uint32_t rune = UINT32_MAX; /* behind the end */

    if (start < lexer->count) {
        promql_rune(lexer->text + start, lexer->count - start, &rune);
    }
    snprintf(text.text, sizeof(text.text), "%.20s%s", promql_quote_rune(&room, rune), rest);
    return refuse(parser, parser->lexer.token.at.start, what, text.text);
}

/* As refuse_rune, of the character at which the token begins. */
static int refuse_first(struct promql_parser *parser, uint32_t start, const char *what,
                        const char *rest)
{
    parser->lexer.token.at.start = start;
    return refuse_rune(parser, start, what, rest);
}

static int lex_number(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    struct promql_token token = promql_scan_number(lexer->text, lexer->count, start);
    struct promql_quoted room;

    if (lexer->bracket != PROMQL_BRACKET_NONE) {
        lexer->bracket = PROMQL_BRACKET_NUMBER;
        lexer->has_duration = true;
    }
    lexer->position = token.at.end;
    if (token.kind != 0) {
        return emit(lexer, token.kind, start);
    }
    promql_quote(&room, (struct quarry_tsdb_slice){.bytes = lexer->text + start,
                                                   .count = token.at.end - start});
    return refuse(parser, start, "bad number or duration syntax: ", room.text);
}

static int lex_string(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    char room[96];
    const char *why =
        promql_scan_string(lexer->text, lexer->count, start + 1, &lexer->position, room);

    return why != NULL ? refuse(parser, start, "", why) : emit(lexer, T_STRING, start);
}

static bool is_before_paren(const struct promql_lexer *lexer)
{
    uint32_t i = lexer->position;

    while (is_one_of(lexer->text[i], " \t\n\r")) {
        i++;
    }
    return lexer->text[i] == '(';
}

static int lex_word(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    const char *word = lexer->text + start;
    const size_t count = lexer->position - start;
    const struct keyword *keyword = find_keyword(word, count, parser->options->compat_2_42);

    if (keyword != NULL) {
        bool is_fill = keyword->kind == T_FILL || keyword->kind == T_FILL_LEFT ||
                       keyword->kind == T_FILL_RIGHT;
        return emit(lexer, is_fill && !is_before_paren(lexer) ? T_IDENTIFIER : keyword->kind,
                    start);
    }
    return emit(lexer, memchr(word, ':', count) == NULL ? T_IDENTIFIER : T_METRIC_IDENTIFIER,
                start);
}

/* A word in brackets: one that durations know, or none. Returns: 0: none. */
static int lex_duration_word(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    const unsigned char *cursor = (const unsigned char *)lexer->text + start;
    uint32_t end;

    if (promql_scan_brackets(&cursor) != PROMQL_SCAN_WORD) {
        return 0;
    }
    end = (uint32_t)(cursor - (const unsigned char *)lexer->text);
    const struct keyword *keyword =
        find_keyword(lexer->text + start, end - start, parser->options->compat_2_42);
    if (keyword == NULL || keyword->class != CLASS_FUNCTION || keyword->kind == T_START ||
        keyword->kind == T_END) {
        return 0;
    }
    lexer->position = end;
    return emit(lexer, keyword->kind, start);
}

static int lex_colon(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    lexer->position = start + 1;
    if (lexer->bracket == PROMQL_BRACKET_NUMBER && lexer->has_colon) {
        return refuse_first(parser, start, "unexpected colon ", "");
    }
    if (lexer->bracket == PROMQL_BRACKET_BEGUN && !lexer->has_duration) {
        return refuse(parser, start + 1, "unexpected colon before duration in duration expression",
                      NULL);
    }
    if (lexer->bracket == PROMQL_BRACKET_BEGUN && lexer->has_colon) {
        return refuse(parser, start + 1, "unexpected repeated colon in duration expression", NULL);
    }
    lexer->has_colon = true;
    return emit(lexer, T_COLON, start);
}

static int lex_close_paren(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    if (lexer->paren_depth == 0) {
        return refuse(parser, start + 1, "unexpected right parenthesis ", "')'");
    }
    lexer->paren_depth--;
    return emit(lexer, T_RIGHT_PAREN, start);
}

static int lex_end(struct promql_parser *parser, uint32_t start, const char *unclosed)
{
    struct promql_lexer *lexer = &parser->lexer;

    if (start < lexer->count) { /* a NUL in the text */
        return refuse_first(parser, start,
                            lexer->is_in_braces ? "unexpected character inside braces: "
                                                : "unexpected character: ",
                            "");
    }
    lexer->position = lexer->count;
    return unclosed != NULL ? refuse(parser, start, unclosed, NULL) : emit(lexer, T_EOF, start);
}

static int lex_in_braces(struct promql_parser *parser, int found, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    if (found == PROMQL_SCAN_ZERO) {
        return lex_end(parser, start, "unexpected end of input inside braces");
    }
    if (found == PROMQL_SCAN_QUOTE) {
        return lex_string(parser, start);
    }
    if (found == PROMQL_SCAN_OTHER) {
        lexer->token.at.start = start;
        return lexer->text[start] == '{' ? refuse(parser, start, "unexpected left brace ", "'{'")
               : lexer->text[start] == '!'
                   ? refuse_rune(parser, start + 1,
                                 "unexpected character after '!' inside braces: ", "")
                   : refuse_rune(parser, start, "unexpected character inside braces: ", "");
    }
    lexer->is_in_braces = found != T_RIGHT_BRACE;
    return emit(lexer, found, start);
}

static int lex_in_brackets(struct promql_parser *parser, int found, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    int word;

    switch (found) {
    case PROMQL_SCAN_ZERO:
        return lex_end(parser, start, "unexpected end of input in duration expression");
    case PROMQL_SCAN_NUMBER:
        return lex_number(parser, start);
    case PROMQL_SCAN_WORD:
        word = lex_duration_word(parser, start);
        if (word != 0) {
            return word;
        }
        break;
    case T_COLON:
        return lex_colon(parser, start);
    case T_LEFT_PAREN:
        lexer->paren_depth++;
        return emit(lexer, found, start);
    case T_RIGHT_PAREN:
        return lex_close_paren(parser, start);
    case T_RIGHT_BRACKET:
        lexer->bracket = PROMQL_BRACKET_NONE;
        return emit(lexer, found, start);
    default:
        if (found > 0) {
            return emit(lexer, found, start);
        }
    }
    return refuse_first(parser, start, "unexpected character in duration expression: ", "");
}

/* A word of an expression, or what stands in its place in brackets. */
static int lex_any_word(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    if (lexer->bracket == PROMQL_BRACKET_NONE) {
        return lex_word(parser, start);
    }
    if (lexer->text[start] == ':') {
        return lex_colon(parser, start);
    }
    int word = lex_duration_word(parser, start);
    return word != 0 ? word
                     : refuse_first(parser, start, "unexpected character: ", ", expected ':'");
}

static int lex_bracket(struct promql_parser *parser, int found, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;
    const bool is_open = lexer->bracket != PROMQL_BRACKET_NONE;

    if (found == T_LEFT_BRACKET && is_open) {
        return refuse(parser, start, "unexpected left bracket ", "'['");
    }
    if (found == T_RIGHT_BRACKET && !is_open) {
        return refuse(parser, start, "unexpected right bracket ", "']'");
    }
    lexer->bracket = is_open ? PROMQL_BRACKET_NONE : PROMQL_BRACKET_BEGUN;
    lexer->has_colon = false;
    return emit(lexer, found, start);
}

static int lex_other(struct promql_parser *parser, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    lexer->token.at.start = start;
    return lexer->text[start] == '!'
               ? refuse_rune(parser, start + 1, "unexpected character after '!': ", "")
               : refuse_rune(parser, start, "unexpected character: ", "");
}

static int lex_in_expression(struct promql_parser *parser, int found, uint32_t start)
{
    struct promql_lexer *lexer = &parser->lexer;

    switch (found) {
    case PROMQL_SCAN_ZERO:
        return lex_end(parser, start,
                       lexer->paren_depth != 0                 ? "unclosed left parenthesis"
                       : lexer->bracket != PROMQL_BRACKET_NONE ? "unclosed left bracket"
                                                               : NULL);
    case PROMQL_SCAN_WORD:
        return lex_any_word(parser, start);
    case PROMQL_SCAN_NUMBER:
        return lex_number(parser, start);
    case PROMQL_SCAN_QUOTE:
        return lex_string(parser, start);
    case PROMQL_SCAN_OTHER:
        return lex_other(parser, start);
    case T_RIGHT_PAREN:
        return lex_close_paren(parser, start);
    case T_LEFT_BRACKET:
    case T_RIGHT_BRACKET:
        return lex_bracket(parser, found, start);
    case T_EQL:
        if (lexer->text[lexer->position] == '~') {
            lexer->token.at.start = start;
            return refuse_rune(parser, start + 1, "unexpected character after '=': ", "");
        }
        break;
    case T_TRIM_UPPER:
    case T_TRIM_LOWER:
        if (parser->options->compat_2_42) {
            lexer->position--;
            found = found == T_TRIM_UPPER ? T_LSS : T_GTR;
        }
        break;
    default:
        lexer->paren_depth += found == T_LEFT_PAREN;
        lexer->is_in_braces = found == T_LEFT_BRACE;
    }
    return emit(lexer, found, start);
}

int promql_lex(struct promql_parser *parser)
{
    struct promql_lexer *lexer = &parser->lexer;
    const bool is_begun = lexer->bracket == PROMQL_BRACKET_BEGUN;
    uint32_t start;
    int found;

    if (parser->has_failed) {
        return 0;
    }
    do {
        const unsigned char *cursor = (const unsigned char *)lexer->text + lexer->position;

        start = lexer->position;
        found = lexer->is_in_braces ? promql_scan_braces(&cursor)
                : is_begun          ? promql_scan_brackets(&cursor)
                                    : promql_scan(&cursor);
        lexer->position = (uint32_t)(cursor - (const unsigned char *)lexer->text);
    } while (found == PROMQL_SCAN_SPACE);
    return lexer->is_in_braces ? lex_in_braces(parser, found, start)
           : is_begun          ? lex_in_brackets(parser, found, start)
                               : lex_in_expression(parser, found, start);
}

/* ---- naming --------------------------------------------------------------------------------- */

static const char *class_format(const struct promql_parser *parser,
                                const struct promql_token *token)
{
    const struct keyword *keyword =
        find_keyword(parser->lexer.text + token->at.start, token->at.end - token->at.start, false);

    if (keyword == NULL || keyword->kind != token->kind) {
        return token->kind >= T_ADD && token->kind <= T_NEQ_REGEX ? "<op:%.*s>" : NULL;
    }
    return keyword->class == CLASS_OPERATOR      ? "<op:%.*s>"
           : keyword->class == CLASS_AGGREGATION ? "<aggr:%.*s>"
           : keyword->class == CLASS_KEYWORD     ? "<%.*s>"
                                                 : NULL;
}

/* What kinds of tokens that have many texts are called. */
static const char *kind_name(int kind)
{
    return kind == T_IDENTIFIER          ? "identifier "
           : kind == T_METRIC_IDENTIFIER ? "metric identifier "
           : kind == T_STRING            ? "string "
           : kind == T_NUMBER            ? "number "
           : kind == T_DURATION          ? "duration "
                                         : "";
}

const char *promql_describe(const struct promql_parser *parser, struct promql_described *room)
{
    const struct promql_token *token = &parser->lexer.token;
    const char *text = parser->lexer.text + token->at.start;
    size_t count = token->at.end - token->at.start, shown = 0;
    const char *format = class_format(parser, token);
    const bool is_name = token->kind == T_IDENTIFIER || token->kind == T_METRIC_IDENTIFIER;
    struct promql_quoted quoted;

    if (token->kind == T_EOF) {
        return "end of input";
    }
    if (format != NULL) {
        snprintf(room->text, sizeof(room->text),
                 format[1] == 'o'   ? "<op:%.*s>"
                 : format[1] == 'a' ? "<aggr:%.*s>"
                                    : "<%.*s>",
                 (int)(count < 500 ? count : 500), text);
        return room->text;
    }
    for (size_t runes = 0; runes < 10 && shown < count; runes++) {
        uint32_t rune;
        shown += promql_rune(text + shown, count - shown, &rune);
    }
    const bool is_cut = !is_name && count > 10;
    promql_quote(&quoted,
                 (struct quarry_tsdb_slice){.bytes = text, .count = is_cut ? shown : count});
    snprintf(room->text, sizeof(room->text), "%s%.540s%s", kind_name(token->kind), quoted.text,
             is_cut ? "..." : "");
    return room->text;
}
