/*
 * The head of a request: its line and its header, as HTTP/1.1 and 1.0 have them.
 *
 *     int status = http_head_scan(bytes, count, &line_at, bytes_max, &head_bytes);
 *     if (status == HTTP_WHOLE) { status = http_head_parse(bytes, head_bytes, &head); }
 *
 * Statuses are those of HTTP: one from 400 on is what to refuse the request with. Nothing here
 * allocates, and nothing is taken that two readers could understand in two ways: what a proxy in
 * front lets pass as one request shall not be two of them here.
 */
#ifndef QUARRY_SERVE_HTTP_HEAD_H
#define QUARRY_SERVE_HTTP_HEAD_H

#include <serve/http/http.h>

/* Of a header. Peers take 100 to 1,000; browsers send 15. Each costs 8 bytes of a request. */
#define HTTP_FIELDS_MAX 100u
/* What a head may have, whatever the settings say: places in it are 16 bits. */
#define HTTP_HEAD_BYTES_MAX     Q_KIB(48)
#define HTTP_HEAD_BYTES_DEFAULT Q_KIB(32)

enum { HTTP_MORE = 0, HTTP_WHOLE = 200 };

/* A stretch of the head. */
struct http_span {
    uint16_t at, count;
};

struct http_head {
    enum http_method method; /* 0: none that is known here */
    uint32_t minor;          /* of the version: 0 or 1 */
    struct http_span target;
    uint32_t field_count;
    struct http_head_field {
        struct http_span name, value;
    } fields[HTTP_FIELDS_MAX];
};

/*
 * Looks for the end of a head.
 *
 * `line_at`: where the line begins that is looked at; 0 for a new head, and kept between calls with
 * more bytes of the same. `bytes_max`: up to HTTP_HEAD_BYTES_MAX.
 * Returns: HTTP_MORE; HTTP_WHOLE, and *ret_head_bytes with the empty line; 400, 414, 431.
 * Cost: O(new bytes), and the line that they end.
 */
int http_head_scan(const char *bytes, size_t count, size_t *line_at, size_t bytes_max,
                   size_t *ret_head_bytes);
/*
 * Takes a whole head apart. `ret_head`: written always; without fields that were not looked at.
 * Returns: HTTP_WHOLE; 400, 431 (too many fields), 505.
 */
int http_head_parse(const char *bytes, size_t head_bytes, struct http_head *ret_head);

static inline struct http_slice http_span_slice(const char *bytes, struct http_span span)
{
    return (struct http_slice){bytes + span.at, span.count};
}

static inline bool http_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Whether a byte may be in a name of a field or of a method. */
bool http_is_token_byte(unsigned char byte);

#endif
