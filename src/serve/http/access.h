/*
 * Who asks, and whether a browser may have been made to ask.
 */
#ifndef QUARRY_SERVE_HTTP_ACCESS_H
#define QUARRY_SERVE_HTTP_ACCESS_H

#include <serve/http/framing.h>

/* The longest name with its password, and the colon between. */
#define HTTP_CREDENTIALS_BYTES_MAX 320u

struct http_credentials {
    char bytes[HTTP_CREDENTIALS_BYTES_MAX];
    struct http_slice name, password; /* in `bytes` */
};

enum http_authorization {
    HTTP_AUTHORIZED_BY_NOTHING = 0, /* there is no such field */
    HTTP_AUTHORIZED_BY_PASSWORD,    /* *ret_credentials is written */
    HTTP_AUTHORIZED_BADLY,          /* of a kind that is not known, or not well formed */
};

/* Reads Authorization: "Basic" or "Bearer", and the base64 of NAME:PASSWORD. */
enum http_authorization http_authorization_read(const char *bytes, const struct http_head *head,
                                                struct http_credentials *ret_credentials);
/*
 * Whether a request that changes something may be answered. `hosts`: names with commas between
 * that the server is known by; "*": any.
 * Returns: NULL: it may; else why not, for people.
 */
const char *http_change_refused(const char *bytes, const struct http_head *head,
                                const struct http_framing *framing, const char *hosts);

#endif
