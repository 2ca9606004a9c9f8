/*
 * Numbers, durations and strings: where one ends, and what is wrong with what is none.
 *
 * By hand, since errors are told with as much of the text as upstream's scanner has read when it
 * gives up. All of these read no further than the NUL behind the text.
 */
#include <promql/lexer.h>

#include "grammar.h"

#include <promql/text.h>

#include <stdio.h>
#include <string.h>

static bool is_one_of(char character, const char *set)
{
    return character != '\0' && strchr(set, character) != NULL;
}

static bool is_alphanumeric(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '_';
}

/*
 * Goes over digits, one point, one exponent and underscores between them. Returns: false: *at is
 * behind what is wrong. `text` has a NUL at its end, which is none of them.
 */
static bool skip_number(const char *text, uint32_t *at)
{
    const char *digits = "0123456789";
    uint32_t i = *at;
    bool has_point = false, has_exponent = false, is_hexadecimal = false;

    if (text[i] == '0' && is_one_of(text[i + 1], "xX")) {
        i += 2;
        is_hexadecimal = true;
        digits = "0123456789abcdefABCDEF";
        i += text[i] == '_';
    }
    while (true) {
        *at = i + 1;
        if (is_one_of(text[i], digits)) {
            i++;
        } else if (text[i] == '.') {
            if (has_point || is_hexadecimal) {
                return false;
            }
            has_point = true;
            if (is_one_of(text[++i], "_.")) {
                *at = i + 1;
                return false;
            }
        } else if (is_one_of(text[i], "eE")) {
            if (has_exponent) {
                return false;
            }
            has_exponent = true;
            i += is_one_of(text[i + 1], "+-") ? 2 : 1;
            if (text[i] == '\0' || is_one_of(text[i], "._eE")) {
                *at = i + (text[i] != '\0');
                return false;
            }
        } else if (text[i] == '_') {
            if (is_one_of(text[++i], "._eE") || text[i] == '\0') {
                *at = i + (text[i] != '\0');
                return false;
            }
        } else {
            break;
        }
    }
    *at = i;
    return !is_alphanumeric(text[i]);
}

/* The rest of a duration, from its first unit on. */
static bool skip_duration(const char *text, uint32_t *at)
{
    const char *unit = "smhdwy";
    uint32_t i = *at;
    bool is_good = true;

    while (is_good) {
        if (!is_one_of(text[i], unit)) {
            *at = i;
            return false;
        }
        i += text[i + 1] == 's' ? 2 : 1;
        unit = "smhdw"; /* years come first */
        is_good = is_one_of(text[i], "0123456789");
        while (is_one_of(text[i], "0123456789")) {
            i++;
        }
    }
    *at = i + (text[i] != '\0'); /* one character further, where it is wrong */
    if (is_alphanumeric(text[i])) {
        return false;
    }
    *at = i;
    return true;
}

struct promql_token promql_scan_number(const char *text, uint32_t count, uint32_t at)
{
    uint32_t end = at;
    int kind = T_NUMBER;

    if (!skip_number(text, &end) && !skip_duration(text, &end)) {
        kind = 0;
    } else if (end > at && is_one_of(text[end - 1], "smhdwy") &&
               !(text[at] == '0' && is_one_of(text[at + 1], "xX"))) {
        kind = T_DURATION;
    }
    return (struct promql_token){.kind = kind, .at = {at, end < count ? end : count}};
}

/* Looks at an escape, behind its backslash. Returns: NULL, or what is wrong with it. */
static const char *check_escape(const char *text, uint32_t *at, char quote, char room[96])
{
    uint32_t i = *at, base = 16, most = 255, value = 0;
    int left = text[i] == 'x' ? 2 : text[i] == 'u' ? 4 : text[i] == 'U' ? 8 : 0;

    if (text[i] == '\0') {
        return "escape sequence not terminated";
    }
    if (is_one_of(text[i], "abfnrtv\\") || text[i] == quote) {
        *at = i + 1;
        return NULL;
    }
    if (is_one_of(text[i], "01234567")) {
        left = 3;
        base = 8;
    } else if (left == 0) {
        return "unknown escape sequence";
    } else {
        most = left > 2 ? 0x10ffff : 255;
        i++;
    }
    for (; left > 0; left--, i++) {
        const char *hexadecimal = "0123456789abcdefABCDEF";
        const char *found = text[i] == '\0' ? NULL : strchr(hexadecimal, text[i]);
        uint32_t digit = found == NULL ? 16 : (uint32_t)(found - hexadecimal);

        digit = digit > 15 && found != NULL ? digit - 6 : digit;
        if (digit >= base) {
            *at = i;
            return text[i] == '\0' ? "escape sequence not terminated" : "illegal character";
        }
        value = value * base + digit;
    }
    *at = i;
    (void)room;
    return value > most || (value >= 0xd800 && value < 0xe000)
               ? "escape sequence is an invalid Unicode code point"
               : NULL;
}

/* "U+0071 'q'", as Go names a character. */
static const char *name_escape(const char *why, const char *at, size_t count, char room[96])
{
    struct promql_quoted quoted;
    uint32_t rune;

    if (strcmp(why, "unknown escape sequence") != 0 && strcmp(why, "illegal character") != 0) {
        return why;
    }
    promql_rune(at, count, &rune);
    rune = rune == UINT32_MAX ? 0xfffd : rune;
    promql_quote_rune(&quoted, rune);
    snprintf(room, 96, "%s U+%04X %.16s%s", why, rune, quoted.text,
             why[0] == 'i' ? " in escape sequence" : "");
    return room;
}

const char *promql_scan_string(const char *text, uint32_t count, uint32_t at, uint32_t *ret_end,
                               char room[96])
{
    const char quote = text[at - 1];
    uint32_t i = at;

    while (i < count && text[i] != quote) {
        uint32_t rune;

        if (text[i] == '\\' && quote != '`') {
            i++;
            const char *why = check_escape(text, &i, quote, room);
            if (why != NULL) {
                return name_escape(why, text + i, count > i ? count - i : 1, room);
            }
            continue;
        }
        if (text[i] == '\n' && quote != '`') {
            return "unterminated quoted string";
        }
        i += (uint32_t)promql_rune(text + i, count - i, &rune);
        if (rune == UINT32_MAX || rune == 0xfffd) {
            return "invalid UTF-8 rune";
        }
    }
    if (i >= count) {
        return quote == '`' ? "unterminated raw string" : "unterminated quoted string";
    }
    *ret_end = i + 1;
    return NULL;
}
