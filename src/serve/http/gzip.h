/*
 * gzip, both ways.
 */
#ifndef QUARRY_SERVE_HTTP_GZIP_H
#define QUARRY_SERVE_HTTP_GZIP_H

#include <serve/http/text.h>

struct http_gzip;

/*
 * Decodes a whole body. `out`: its bytes_max is the limit.
 * Errors: QUARRY_BAD_INPUT (no gzip, or more behind it), QUARRY_TOO_LARGE, QUARRY_NO_MEMORY.
 */
enum quarry_status http_gzip_decode(const char *bytes, size_t count, struct http_text *out);

/* Begins a stream that encodes. Returns: own; NULL: no memory. Cost: 260 KiB, of malloc. */
struct http_gzip *http_gzip_begin(void);
/*
 * Adds what the bytes become to `out`, so that a reader can decode all of them: `is_last` ends the
 * stream. False: no memory.
 */
bool http_gzip_add(struct http_gzip *gzip, const char *bytes, size_t count, bool is_last,
                   struct http_text *out);
/* NULL does nothing. */
void http_gzip_end(struct http_gzip *gzip);

#endif
