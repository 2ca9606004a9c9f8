/*
 * Decoding of paths and parameters.
 *
 * What is decoded is never longer than what it comes from, so it lies in the same place.
 *
 * A path is compared with those of routes once it is decoded, so nothing may hide in it: an escaped
 * slash would be a slash for us and none for a proxy that guards "/api/v1/admin", and bytes that
 * are UTF-8 only for a decoder that is not careful ("%c0%af") were that slash elsewhere. Both are
 * refused, as is NUL, in parameters too. A value of a parameter may be any other bytes: whoever
 * wants UTF-8 says so.
 *
 * Locking: none. Cost: O(bytes).
 */
#include <serve/http/target.h>

#include <string.h>

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    if (byte >= 'a' && byte <= 'f') {
        return byte - 'a' + 10;
    }
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* The byte of "%2f" at `at`; -1: it is none. */
static int escaped_byte(const char *at, const char *end)
{
    if (end - at < 3) {
        return -1;
    }
    int high = hex_value(at[1]), low = hex_value(at[2]);

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* ---- paths ---------------------------------------------------------------------------------- */

/* How many bytes the character at `at` has; 0: it is none in its shortest form. */
static size_t utf8_bytes(const unsigned char *at, const unsigned char *end)
{
    size_t count = at[0] < 0x80                     ? 1
                   : at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                   : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                   : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                    : 0;

    if (count == 0 || (size_t)(end - at) < count) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool is_surrogate = at[0] == 0xed && at[1] > 0x9f;
    bool is_beyond = at[0] == 0xf4 && at[1] > 0x8f;

    return is_overlong || is_surrogate || is_beyond ? 0 : count;
}

static bool is_utf8(struct http_slice text)
{
    const unsigned char *at = (const unsigned char *)text.bytes, *end = at + text.count;

    while (at < end) {
        size_t count = utf8_bytes(at, end);
        if (count == 0) {
            return false;
        }
        at += count;
    }
    return true;
}

bool http_path_decode(struct http_slice path, char *room, struct http_slice *ret_decoded)
{
    const char *at = path.bytes, *end = at + path.count;
    char *out = room;

    while (at < end) {
        int byte = *at == '%' ? escaped_byte(at, end) : (unsigned char)*at;

        if (byte < ' ' || byte == 127 || (*at == '%' && (byte == '/' || byte == '\\'))) {
            return false;
        }
        at += *at == '%' ? 3 : 1;
        *out++ = (char)byte;
    }
    *ret_decoded = (struct http_slice){room, (size_t)(out - room)};
    return is_utf8(*ret_decoded);
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* Decodes where it lies. */
static bool decode_word(char *begin, const char *end, struct http_slice *ret_word)
{
    const char *at = begin;
    char *out = begin;

    while (at < end) {
        int byte = *at == '%' ? escaped_byte(at, end) : *at == '+' ? ' ' : (unsigned char)*at;

        if (byte <= 0) {
            return false;
        }
        at += *at == '%' ? 3 : 1;
        *out++ = (char)byte;
    }
    *ret_word = (struct http_slice){begin, (size_t)(out - begin)};
    return true;
}

static bool decode_pair(char *begin, char *end, struct http_param *ret_param)
{
    char *equals = memchr(begin, '=', (size_t)(end - begin));
    char *name_end = equals == NULL ? end : equals;
    char *value = equals == NULL ? end : equals + 1;

    return decode_word(begin, name_end, &ret_param->name) &&
           decode_word(value, end, &ret_param->value);
}

bool http_params_decode(char *text, size_t text_bytes, struct http_param *params, size_t *count)
{
    char *at = text, *end = text + text_bytes;

    while (at < end) {
        char *ampersand = memchr(at, '&', (size_t)(end - at));
        char *pair_end = ampersand == NULL ? end : ampersand;

        if (pair_end > at) {
            if (*count == HTTP_PARAMS_MAX || !decode_pair(at, pair_end, &params[*count])) {
                return false;
            }
            ++*count;
        }
        at = pair_end + (ampersand == NULL ? 0 : 1);
    }
    return true;
}
