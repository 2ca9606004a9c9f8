/*
 * Where a request ends, and whom it is for.
 *
 *     Content-Length   Transfer-Encoding   body
 *     —                —                   none
 *     once, digits     —                   so many bytes
 *     —                once, "chunked"     chunks; HTTP/1.1 only
 *     anything else                        refused
 *
 * Two lengths are refused even where they are the same, and a length beside chunks always: the
 * standard lets a server choose, and each choice was the other half of a smuggled request
 * somewhere.
 *
 * Whom it is for stands in Host, which has to be there once; a target in absolute form holds more
 * than Host does, and Host has to be well formed all the same.
 *
 * Locking: none. Cost: a walk over the fields for each of five names.
 *
 * Source: RFC 9112, sections 3.2, 6 and 9.3.
 */
#include <serve/http/framing.h>

#include <string.h>
#include <strings.h>

#include <serve/http/fields.h>

/* ---- the body ------------------------------------------------------------------------------- */

static bool parse_length(struct http_slice text, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < text.count; i++) {
        if (!http_is_digit(text.bytes[i])) {
            return false;
        }
        uint64_t digit = (uint64_t)(text.bytes[i] - '0');
        bytes = bytes > (UINT64_MAX - digit) / 10 ? UINT64_MAX : bytes * 10 + digit;
    }
    *ret_bytes = bytes;
    return text.count > 0;
}

static int read_body(const char *bytes, const struct http_head *head, struct http_framing *framing)
{
    struct http_slice length = {"", 0}, coding = {"", 0};
    uint32_t lengths = http_field_find(bytes, head, "content-length", &length);
    uint32_t codings = http_field_find(bytes, head, "transfer-encoding", &coding);

    framing->has_length = lengths > 0;
    framing->is_chunked = codings > 0;
    if (lengths + codings > 1 || (codings > 0 && head->minor == 0)) {
        return 400;
    }
    if (lengths > 0 && !parse_length(length, &framing->content_bytes)) {
        return 400;
    }
    return codings == 0 || http_slice_is(coding, "chunked") ? HTTP_WHOLE : 501;
}

/* ---- for whom ------------------------------------------------------------------------------- */

static bool is_host_byte(char byte, bool is_ipv6)
{
    if (is_ipv6) {
        return byte == ':' || byte == '.' || http_is_digit(byte) || (byte >= 'a' && byte <= 'f') ||
               (byte >= 'A' && byte <= 'F');
    }
    return byte == '.' || byte == '-' || byte == '_' || http_is_digit(byte) ||
           (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

bool http_authority_read(struct http_slice text, struct http_authority *ret_authority)
{
    bool is_ipv6 = text.count > 0 && text.bytes[0] == '[';
    const char *at = text.bytes + (is_ipv6 ? 1 : 0), *end = text.bytes + text.count;
    const char *host = at;

    while (at < end && is_host_byte(*at, is_ipv6)) {
        at++;
    }
    ret_authority->host = (struct http_slice){host, (size_t)(at - host)};
    ret_authority->port = (struct http_slice){at, 0};
    ret_authority->is_ipv6 = is_ipv6;
    if (is_ipv6 && (at == end || *at++ != ']' || ret_authority->host.count == 0)) {
        return false;
    }
    if (at == end) {
        return true;
    }
    const char *port = at + 1;

    if (*at != ':' || ret_authority->host.count == 0 || end - port > 5) {
        return false;
    }
    for (at = port; at < end; at++) {
        if (!http_is_digit(*at)) {
            return false;
        }
    }
    ret_authority->port = (struct http_slice){port, (size_t)(end - port)};
    return true;
}

static int read_host(const char *bytes, const struct http_head *head, struct http_framing *framing)
{
    struct http_slice host = {"", 0};
    uint32_t count = http_field_find(bytes, head, "host", &host);

    if (count > 1 || (count == 0 && head->minor > 0)) {
        return 400;
    }
    return http_authority_read(host, &framing->authority) ? HTTP_WHOLE : 400;
}

/* "http://name/path" of a target; the path may be missing. */
static int read_absolute(struct http_slice target, struct http_framing *framing)
{
    size_t scheme = target.count > 7 && strncasecmp(target.bytes, "http://", 7) == 0    ? 7
                    : target.count > 8 && strncasecmp(target.bytes, "https://", 8) == 0 ? 8
                                                                                        : 0;
    const char *name = target.bytes + scheme, *end = target.bytes + target.count;
    const char *path = name;

    if (scheme == 0) {
        return 400;
    }
    while (path < end && *path != '/' && *path != '?') {
        path++;
    }
    struct http_slice authority = {name, (size_t)(path - name)};

    if (authority.count == 0 || !http_authority_read(authority, &framing->authority) ||
        (path < end && *path == '?')) {
        return 400;
    }
    framing->place =
        path == end ? HTTP_SLICE("/") : (struct http_slice){path, (size_t)(end - path)};
    return HTTP_WHOLE;
}

static int read_target(const char *bytes, const struct http_head *head,
                       struct http_framing *framing)
{
    struct http_slice target = http_span_slice(bytes, head->target);

    if (target.bytes[0] == '/' ||
        (head->method == HTTP_OPTIONS && http_slice_equals(target, "*"))) {
        framing->place = target;
        return HTTP_WHOLE;
    }
    return head->method == 0 ? 501 : read_absolute(target, framing);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int read_expectation(const char *bytes, const struct http_head *head,
                            struct http_framing *framing)
{
    struct http_slice expected = {"", 0};
    uint32_t count = http_field_find(bytes, head, "expect", &expected);

    if (count == 0 || head->minor == 0) {
        return HTTP_WHOLE;
    }
    framing->expects_continue = true;
    return count == 1 && http_slice_is(expected, "100-continue") ? HTTP_WHOLE : 417;
}

int http_framing_read(const char *bytes, const struct http_head *head,
                      struct http_framing *ret_framing)
{
    static int (*const readers[])(const char *, const struct http_head *, struct http_framing *) = {
        read_body, read_host, read_target, read_expectation};
    int status = HTTP_WHOLE;

    *ret_framing = (struct http_framing){.place = {"", 0}, .authority.host = {"", 0}};
    for (size_t i = 0; status == HTTP_WHOLE && i < sizeof readers / sizeof readers[0]; i++) {
        status = readers[i](bytes, head, ret_framing);
    }
    ret_framing->keeps_alive =
        !http_field_has_word(bytes, head, "connection", "close") &&
        (head->minor > 0 || http_field_has_word(bytes, head, "connection", "keep-alive"));
    return status;
}
