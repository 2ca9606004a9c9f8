/*
 * Base64 with padding (RFC 4648), without lines.
 */
#include <cli/base64.h>

#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t byte_count, char *out)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < byte_count; i += 3) {
        size_t left = byte_count - i;
        uint32_t group = (uint32_t)at[i] << 16;
        group |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        group |= left > 2 ? at[i + 2] : 0;
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
    *out = '\0';
}

/* Four characters, of which the last `padding` are '='. False: they are no digits. */
static bool decode_group(const char *at, size_t padding, uint32_t *ret_group)
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        const char *digit = i < 4 - padding ? memchr(digits, at[i], sizeof digits - 1) : digits;
        if (digit == NULL) {
            return false;
        }
        group = group << 6 | (uint32_t)(digit - digits);
    }
    *ret_group = group;
    return true;
}

bool base64_decode(const char *text, size_t length, void *out, size_t *ret_byte_count)
{
    uint8_t *to = out;
    size_t padding = 0, written = 0;
    uint32_t group = 0;

    if (length % 4 != 0) {
        return false;
    }
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') {
        padding++;
    }
    for (size_t i = 0; i < length; i += 4) {
        size_t missing = i + 4 == length ? padding : 0;
        if (!decode_group(text + i, missing, &group)) {
            return false;
        }
        for (size_t byte = 0; byte < 3 - missing; byte++) {
            to[written++] = (uint8_t)(group >> (16 - 8 * byte));
        }
    }
    *ret_byte_count = written;
    return true;
}
