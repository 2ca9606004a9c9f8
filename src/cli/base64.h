/*
 * Bytes as base64, and back: what JSON and lines of text cannot hold otherwise.
 */
#ifndef QUARRY_CLI_BASE64_H
#define QUARRY_CLI_BASE64_H

#include <base/base.h>

/* Room for `byte_count` bytes as base64, the closing NUL included. */
#define BASE64_BYTES(byte_count) (((byte_count) + 2) / 3 * 4 + 1)

/* `out`: room of BASE64_BYTES(byte_count). */
void base64_encode(const void *bytes, size_t byte_count, char *out);
/*
 * `out`: room of 3 bytes for each 4 characters; may be `text` itself. False: it is no base64, of
 * which nothing may be missing.
 */
bool base64_decode(const char *text, size_t length, void *out, size_t *ret_byte_count);

#endif
