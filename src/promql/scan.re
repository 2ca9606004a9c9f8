/*
 * Tokens as regular expressions; re2c makes automata of them.
 *
 * What a token is depends on where it stands: among expressions, inside braces, inside brackets.
 * There is one function for each. They find where a token ends and what it is; lexer.c knows where
 * they stand, and does by hand what ends in errors of many kinds: numbers and strings.
 */
#include <promql/lexer.h>

#include "grammar.h"

/*!re2c
    re2c:define:YYCTYPE = "unsigned char";
    re2c:define:YYCURSOR = cursor;
    re2c:define:YYMARKER = marker;
    re2c:yyfill:enable = 0;

    space   = [ \t\n\r]+;
    comment = "#" [^\n\r\x00]*;
    letter  = [A-Za-z_];
    word    = letter (letter | [0-9])*;
    name    = (letter | ":") (letter | [0-9] | ":")*;
    number  = "."? [0-9];
*/

int promql_scan(const unsigned char **at)
{
    const unsigned char *cursor = *at, *marker;

#define FOUND(kind)                                                                                \
    {                                                                                              \
        *at = cursor;                                                                              \
        return kind;                                                                               \
    }
    /*!re2c
        "\x00"    { FOUND(PROMQL_SCAN_ZERO) }
        space     { FOUND(PROMQL_SCAN_SPACE) }
        comment   { FOUND(PROMQL_SCAN_SPACE) }
        name      { FOUND(PROMQL_SCAN_WORD) }
        number    { FOUND(PROMQL_SCAN_NUMBER) }
        ["'`]     { FOUND(PROMQL_SCAN_QUOTE) }
        "("       { FOUND(T_LEFT_PAREN) }
        ")"       { FOUND(T_RIGHT_PAREN) }
        "{"       { FOUND(T_LEFT_BRACE) }
        "["       { FOUND(T_LEFT_BRACKET) }
        "]"       { FOUND(T_RIGHT_BRACKET) }
        ","       { FOUND(T_COMMA) }
        "+"       { FOUND(T_ADD) }
        "-"       { FOUND(T_SUB) }
        "*"       { FOUND(T_MUL) }
        "/"       { FOUND(T_DIV) }
        "%"       { FOUND(T_MOD) }
        "^"       { FOUND(T_POW) }
        "="       { FOUND(T_EQL) }
        "=="      { FOUND(T_EQLC) }
        "!="      { FOUND(T_NEQ) }
        "<"       { FOUND(T_LSS) }
        "<="      { FOUND(T_LTE) }
        ">"       { FOUND(T_GTR) }
        ">="      { FOUND(T_GTE) }
        "</"      { FOUND(T_TRIM_UPPER) }
        ">/"      { FOUND(T_TRIM_LOWER) }
        "@"       { FOUND(T_AT) }
        *         { FOUND(PROMQL_SCAN_OTHER) }
    */
}

int promql_scan_braces(const unsigned char **at)
{
    const unsigned char *cursor = *at;

    /*!re2c
        "\x00"    { FOUND(PROMQL_SCAN_ZERO) }
        space     { FOUND(PROMQL_SCAN_SPACE) }
        comment   { FOUND(PROMQL_SCAN_SPACE) }
        word      { FOUND(T_IDENTIFIER) }
        ["'`]     { FOUND(PROMQL_SCAN_QUOTE) }
        ","       { FOUND(T_COMMA) }
        "="       { FOUND(T_EQL) }
        "!="      { FOUND(T_NEQ) }
        "=~"      { FOUND(T_EQL_REGEX) }
        "!~"      { FOUND(T_NEQ_REGEX) }
        "}"       { FOUND(T_RIGHT_BRACE) }
        *         { FOUND(PROMQL_SCAN_OTHER) }
    */
}

int promql_scan_brackets(const unsigned char **at)
{
    const unsigned char *cursor = *at, *marker;

    /*!re2c
        "\x00"    { FOUND(PROMQL_SCAN_ZERO) }
        space     { FOUND(PROMQL_SCAN_SPACE) }
        word      { FOUND(PROMQL_SCAN_WORD) }
        number    { FOUND(PROMQL_SCAN_NUMBER) }
        ":"       { FOUND(T_COLON) }
        "("       { FOUND(T_LEFT_PAREN) }
        ")"       { FOUND(T_RIGHT_PAREN) }
        "]"       { FOUND(T_RIGHT_BRACKET) }
        ","       { FOUND(T_COMMA) }
        "+"       { FOUND(T_ADD) }
        "-"       { FOUND(T_SUB) }
        "*"       { FOUND(T_MUL) }
        "/"       { FOUND(T_DIV) }
        "%"       { FOUND(T_MOD) }
        "^"       { FOUND(T_POW) }
        *         { FOUND(PROMQL_SCAN_OTHER) }
    */
}
