/*
 * What a header says of the connection: how long the body is, and what happens behind it.
 */
#ifndef QUARRY_SERVE_HTTP_FRAMING_H
#define QUARRY_SERVE_HTTP_FRAMING_H

#include <serve/http/head.h>

/* A name or an address, with a port. */
struct http_authority {
    struct http_slice host; /* an IPv6 address without its brackets */
    struct http_slice port; /* empty: none is named */
    bool is_ipv6;
};

struct http_framing {
    bool has_length, is_chunked; /* at most one; none: there is no body */
    uint64_t content_bytes;      /* of has_length; UINT64_MAX: more than a number holds */
    bool keeps_alive;
    bool expects_continue;
    struct http_slice place;         /* the target's path and query; "*" */
    struct http_authority authority; /* of the target, or of Host; host empty: none */
};

/*
 * Reads it. `bytes`: what `head` was parsed from; borrowed as long as *ret_framing is.
 * Returns: HTTP_WHOLE; 400, 417, 501: to be refused, and the connection closed, for where the next
 * request begins is not known.
 */
int http_framing_read(const char *bytes, const struct http_head *head,
                      struct http_framing *ret_framing);
/* "name:port", "1.2.3.4", "[::1]:80", "". False: it is none of them. */
bool http_authority_read(struct http_slice text, struct http_authority *ret_authority);

#endif
