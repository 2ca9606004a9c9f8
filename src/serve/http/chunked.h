/*
 * Bodies in chunks, decoded as they come.
 *
 *     4 CR LF  W i k i CR LF  0 CR LF  CR LF
 */
#ifndef QUARRY_SERVE_HTTP_CHUNKED_H
#define QUARRY_SERVE_HTTP_CHUNKED_H

#include <serve/http/head.h>

/* What may stand behind the last chunk; it is thrown away. Doubling it doubles what is read for
 * nothing. */
#define HTTP_TRAILER_BYTES_MAX Q_KIB(8)

/* All zero is the beginning. */
struct http_chunked {
    uint64_t left_bytes; /* of the chunk under way */
    uint32_t trailer_bytes;
    uint8_t digits; /* of its size */
    uint8_t state;
};

enum http_chunk {
    HTTP_CHUNK_MORE = 0,
    HTTP_CHUNK_DATA, /* *ret_data bytes of the body are next: to be taken, then asked again */
    HTTP_CHUNK_END,  /* the body is whole */
    HTTP_CHUNK_BAD,
};

/*
 * Goes on with what came. `ret_used`: bytes that are done with, before any data.
 * `ret_data`: how many of the following are data; the caller takes all of them.
 */
enum http_chunk http_chunked_next(struct http_chunked *chunked, const char *bytes, size_t count,
                                  size_t *ret_used, size_t *ret_data);

#endif
