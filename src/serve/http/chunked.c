/*
 * Chunks, byte by byte but for their data.
 *
 *     size line      1 to 8 hexadecimal digits CR LF
 *     data           so many bytes CR LF             again, until a size is 0
 *     trailer        fields, as in a header; then an empty line
 *
 * Extensions of a size line are refused: nobody sends them but who hopes that somebody reads them
 * otherwise. So are blanks, signs and LF alone. Fields of the trailer are looked at only as far as
 * is needed to find its end with the strictness of a head.
 *
 * Invariant: a state depends on the bytes that came, not on their pieces: all but data is taken one
 * byte at a time.
 *
 * Locking: none. Cost: some instructions for each byte that is no data; a chunk of a client has
 * kilobytes.
 *
 * Source: RFC 9112, section 7.1.
 */
#include <serve/http/chunked.h>

enum {
    SIZE = 0,    /* digits */
    SIZE_END,    /* LF */
    DATA,        /* left_bytes of them */
    DATA_CR,     /* behind them */
    DATA_LF,     /* likewise */
    TRAILER,     /* the beginning of a line */
    NAME,        /* of a field */
    VALUE,       /* of a field */
    VALUE_END,   /* LF */
    TRAILER_END, /* LF of the empty line */
    END,
    BAD,
};

static int hex_value(unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    if (byte >= 'a' && byte <= 'f') {
        return byte - 'a' + 10;
    }
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

static uint8_t next_of_size(struct http_chunked *chunked, unsigned char byte)
{
    int value = hex_value(byte);

    if (byte == '\r') {
        return chunked->digits > 0 ? SIZE_END : BAD;
    }
    if (value < 0 || chunked->digits == 8) {
        return BAD;
    }
    chunked->digits++;
    chunked->left_bytes = chunked->left_bytes * 16 + (uint64_t)value;
    return SIZE;
}

static uint8_t next_of_trailer(struct http_chunked *chunked, unsigned char byte)
{
    if (++chunked->trailer_bytes > HTTP_TRAILER_BYTES_MAX) {
        return BAD;
    }
    switch (chunked->state) {
    case TRAILER:
        return byte == '\r' ? TRAILER_END : http_is_token_byte(byte) ? NAME : BAD;
    case NAME:
        return byte == ':' ? VALUE : http_is_token_byte(byte) ? NAME : BAD;
    case VALUE:
        return byte == '\r'                                   ? VALUE_END
               : byte == '\t' || (byte >= ' ' && byte != 127) ? VALUE
                                                              : BAD;
    case VALUE_END:
        return byte == '\n' ? TRAILER : BAD;
    default:
        return byte == '\n' ? END : BAD;
    }
}

static uint8_t next_state(struct http_chunked *chunked, unsigned char byte)
{
    switch (chunked->state) {
    case SIZE:
        return next_of_size(chunked, byte);
    case SIZE_END:
        return byte != '\n' ? BAD : chunked->left_bytes > 0 ? DATA : TRAILER;
    case DATA_CR:
        return byte == '\r' ? DATA_LF : BAD;
    case DATA_LF:
        chunked->digits = 0;
        return byte == '\n' ? SIZE : BAD;
    default:
        return next_of_trailer(chunked, byte);
    }
}

enum http_chunk http_chunked_next(struct http_chunked *chunked, const char *bytes, size_t count,
                                  size_t *ret_used, size_t *ret_data)
{
    size_t at = 0;

    *ret_data = 0;
    while (chunked->state < END && chunked->state != DATA && at < count) {
        chunked->state = next_state(chunked, (unsigned char)bytes[at++]);
    }
    *ret_used = at;
    if (chunked->state == DATA && at < count) {
        *ret_data = size_min_u64(chunked->left_bytes, count - at);
        chunked->left_bytes -= *ret_data;
        chunked->state = chunked->left_bytes == 0 ? DATA_CR : DATA;
        return HTTP_CHUNK_DATA;
    }
    return chunked->state == END   ? HTTP_CHUNK_END
           : chunked->state == BAD ? HTTP_CHUNK_BAD
                                   : HTTP_CHUNK_MORE;
}
