/*
 * Patterns of keys.
 *
 * A pattern is a row of *elements*, each of which takes one byte of the text, but for `*`, which
 * takes any number. So a match that fails behind a `*` need only be tried again with one byte more
 * for the last `*` that was passed: what an earlier one took is as good as any, for the elements
 * between the two have been matched as far left as they can be. One place to go back to is enough,
 * and each going back moves it on by a byte of the text.
 *
 *     pattern  a * b c * d        text  a x b c y y d
 *                      │ mark.pattern         │ mark.text: what the last * has taken so far
 *
 * Oddities that are Redis' and are kept, for scripts know them: a class without an end ends with
 * the pattern; the bounds of a range may stand in either order, and bytes from 0x80 on come before
 * 0; `]` ends a class even as its first member, so that `[]` takes nothing and `[^]` anything; `\`
 * as the last byte is itself; a text of no bytes is matched by a pattern of none and by `*`, but
 * not by `**`.
 *
 * Cost: O(pattern × text). Rejected: going back to every `*`, which is exponential in them.
 */
#include <serve/resp/glob.h>

/* What is left of the pattern or of the text. */
struct rest {
    const uint8_t *at, *end;
};

/* Bytes from 0x80 on come before 0 here: they are what a signed char is. */
static bool is_between(int8_t byte, int8_t one, int8_t other)
{
    return one <= other ? byte >= one && byte <= other : byte >= other && byte <= one;
}

/*
 * Whether a member of a class takes `byte`; moves `pattern` behind it. It is at a byte that is not
 * the class' end.
 */
static bool member_takes(struct rest *pattern, uint8_t byte)
{
    size_t left = (size_t)(pattern->end - pattern->at);

    Q_DCHECK(left > 0);
    if (pattern->at[0] == '\\' && left >= 2) {
        pattern->at += 2;
        return pattern->at[-1] == byte;
    }
    if (left >= 3 && pattern->at[1] == '-') {
        pattern->at += 3;
        return is_between((int8_t)byte, (int8_t)pattern->at[-3], (int8_t)pattern->at[-1]);
    }
    pattern->at++;
    return pattern->at[-1] == byte;
}

/* Whether a class takes `byte`; moves `pattern`, which is behind `[`, behind its end. */
static bool class_takes(struct rest *pattern, uint8_t byte)
{
    bool is_negated = pattern->at < pattern->end && pattern->at[0] == '^', takes = false;

    pattern->at += is_negated;
    while (pattern->at < pattern->end && pattern->at[0] != ']') {
        takes |= member_takes(pattern, byte);
    }
    pattern->at += pattern->at < pattern->end;
    return takes != is_negated;
}

/* Whether the next element takes `byte`; moves `pattern` behind it. It is not a `*`. */
static bool element_takes(struct rest *pattern, uint8_t byte)
{
    Q_DCHECK(pattern->at < pattern->end && pattern->at[0] != '*');
    uint8_t first = *pattern->at++;
    if (first == '?') {
        return true;
    }
    if (first == '[') {
        return class_takes(pattern, byte);
    }
    if (first == '\\' && pattern->at < pattern->end) {
        first = *pattern->at++;
    }
    return first == byte;
}

bool resp_glob_matches(struct quarry_kv_slice pattern_slice, struct quarry_kv_slice text_slice)
{
    struct rest pattern = {.at = pattern_slice.bytes};
    const uint8_t *text = text_slice.bytes, *text_end = text + text_slice.byte_count;
    struct {
        const uint8_t *pattern, *text; /* NULL: no `*` was passed */
    } mark = {0};

    pattern.end = pattern.at + pattern_slice.byte_count;
    if (text == text_end) {
        return pattern.at == pattern.end || (pattern_slice.byte_count == 1 && pattern.at[0] == '*');
    }
    while (text < text_end) {
        if (pattern.at < pattern.end && pattern.at[0] == '*') {
            pattern.at++;
            mark.pattern = pattern.at;
            mark.text = text;
            if (pattern.at == pattern.end) {
                return true;
            }
        } else if (pattern.at < pattern.end && element_takes(&pattern, *text)) {
            text++;
        } else if (mark.pattern != NULL) {
            pattern.at = mark.pattern;
            text = ++mark.text;
        } else {
            return false;
        }
    }
    while (pattern.at < pattern.end && pattern.at[0] == '*') {
        pattern.at++;
    }
    return pattern.at == pattern.end;
}

size_t resp_glob_literal_bytes(struct quarry_kv_slice pattern)
{
    const uint8_t *bytes = pattern.bytes;
    size_t count = 0;

    while (count < pattern.byte_count && bytes[count] != '*' && bytes[count] != '?' &&
           bytes[count] != '[' && bytes[count] != '\\') {
        count++;
    }
    return count;
}
