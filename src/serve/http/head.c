/*
 * Heads of requests, strictly.
 *
 *     GET /api/v1/query?query=up HTTP/1.1 CR LF
 *     Host: localhost:9090 CR LF
 *     CR LF
 *
 * A head is found first, line by line, and then taken apart at once: so what is answered cannot
 * depend on how its bytes came. Its end is an empty line; a line ends with CR LF and nothing else.
 *
 * Refused, though some servers take them, for each is a way to have a proxy in front see another
 * request than we do: LF without CR, CR without LF, lines that go on in the next one, blanks before
 * a colon, names with bytes that are no token's, control bytes and NUL in values, several blanks in
 * the first line, targets with bytes that are not printable ASCII, versions in small letters.
 *
 * Invariants:
 *   1. A head that is whole has at most bytes_max bytes, so all places fit into 16 bits.
 *   2. Statuses depend on the bytes alone, not on the calls in which they came: a line that ends
 *      within the limit is looked at before the limit is.
 *
 * Locking: none. Cost: one memchr a line, and one look at each byte.
 *
 * Source: RFC 9112, sections 2 to 6, with all that it lets a server refuse.
 */
#include <serve/http/head.h>

#include <string.h>

/* ---- bytes ---------------------------------------------------------------------------------- */

#define TOKEN 1u /* of names and methods */
#define VALUE 2u /* of values: printable, blank, tab, and beyond ASCII */
#define PLACE 4u /* of targets: printable ASCII but '#' */

static const unsigned char kinds[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | PLACE,
    ['"'] = VALUE | PLACE,
    ['#'] = TOKEN | VALUE,
    ['$' ... '\''] = TOKEN | VALUE | PLACE,
    ['(' ... ')'] = VALUE | PLACE,
    ['*' ... '+'] = TOKEN | VALUE | PLACE,
    [','] = VALUE | PLACE,
    ['-' ... '.'] = TOKEN | VALUE | PLACE,
    ['/'] = VALUE | PLACE,
    ['0' ... '9'] = TOKEN | VALUE | PLACE,
    [':' ... '@'] = VALUE | PLACE,
    ['A' ... 'Z'] = TOKEN | VALUE | PLACE,
    ['[' ... ']'] = VALUE | PLACE,
    ['^' ... 'z'] = TOKEN | VALUE | PLACE,
    ['{'] = VALUE | PLACE,
    ['|'] = TOKEN | VALUE | PLACE,
    ['}'] = VALUE | PLACE,
    ['~'] = TOKEN | VALUE | PLACE,
    [128 ... 255] = VALUE,
};

static bool are_all(struct http_slice slice, unsigned char kind)
{
    for (size_t i = 0; i < slice.count; i++) {
        if ((kinds[(unsigned char)slice.bytes[i]] & kind) == 0) {
            return false;
        }
    }
    return true;
}

bool http_is_token_byte(unsigned char byte)
{
    return (kinds[byte] & TOKEN) != 0;
}

/* ---- finding the end ------------------------------------------------------------------------ */

static int too_long(size_t line_at)
{
    return line_at == 0 ? 414 : 431;
}

int http_head_scan(const char *bytes, size_t count, size_t *line_at, size_t bytes_max,
                   size_t *ret_head_bytes)
{
    Q_ASSERT(bytes_max <= HTTP_HEAD_BYTES_MAX && *line_at <= count);
    if (count > 0 && !http_is_token_byte((unsigned char)bytes[0])) {
        return 400; /* TLS, most likely */
    }
    for (;;) {
        const char *line = bytes + *line_at;
        const char *end = memchr(line, '\n', count - *line_at);
        size_t next = end == NULL ? 0 : (size_t)(end - bytes) + 1;

        if (end == NULL && count < bytes_max) {
            return HTTP_MORE;
        }
        if (end == NULL || next > bytes_max) { /* invariant 2 */
            return too_long(*line_at);
        }
        if (end == line || end[-1] != '\r') {
            return 400;
        }
        *line_at = next;
        if (end - line == 1) {
            *ret_head_bytes = next;
            return HTTP_WHOLE;
        }
    }
}

/* ---- taking it apart ------------------------------------------------------------------------ */

struct line {
    const char *bytes;
    size_t count; /* without its end */
};

static struct http_span span_of(const char *head, const char *bytes, size_t count)
{
    return (struct http_span){(uint16_t)(bytes - head), (uint16_t)count};
}

static enum http_method method_of(struct http_slice name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } methods[] = {{"GET", HTTP_GET}, {"HEAD", HTTP_HEAD},     {"POST", HTTP_POST},
                   {"PUT", HTTP_PUT}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS}};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (http_slice_equals(name, methods[i].name)) {
            return methods[i].method;
        }
    }
    return 0;
}

/* "HTTP/1.1", and later ones of the same major version, which are to be read as that. */
static int parse_version(struct http_slice version, uint32_t *ret_minor)
{
    bool is_one = version.count == 8 && memcmp(version.bytes, "HTTP/", 5) == 0 &&
                  http_is_digit(version.bytes[5]) && version.bytes[6] == '.' &&
                  http_is_digit(version.bytes[7]);

    if (!is_one) {
        return 400;
    }
    *ret_minor = version.bytes[7] == '0' ? 0 : 1;
    return version.bytes[5] == '1' ? HTTP_WHOLE : 505;
}

/* METHOD SP target SP version */
static int parse_request_line(const char *head, struct line line, struct http_head *ret_head)
{
    const char *end = line.bytes + line.count;
    const char *space = memchr(line.bytes, ' ', line.count);
    const char *target = space == NULL ? NULL : space + 1;
    const char *second = target == NULL ? NULL : memchr(target, ' ', (size_t)(end - target));

    if (second == NULL || second == target) {
        return 400;
    }
    struct http_slice method = {line.bytes, (size_t)(space - line.bytes)};
    struct http_slice place = {target, (size_t)(second - target)};
    struct http_slice version = {second + 1, (size_t)(end - second - 1)};

    if (method.count == 0 || !are_all(method, TOKEN) || !are_all(place, PLACE)) {
        return 400;
    }
    ret_head->method = method_of(method);
    ret_head->target = span_of(head, target, place.count);
    return parse_version(version, &ret_head->minor);
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* Name, colon, value with blanks around it. */
static int parse_field(const char *head, struct line line, struct http_head *ret_head)
{
    const char *colon = memchr(line.bytes, ':', line.count);
    const char *end = line.bytes + line.count;

    if (colon == NULL || colon == line.bytes) {
        return 400;
    }
    if (ret_head->field_count == HTTP_FIELDS_MAX) {
        return 431;
    }
    const char *value = colon + 1;
    while (value < end && is_blank(*value)) {
        value++;
    }
    while (end > value && is_blank(end[-1])) {
        end--;
    }
    struct http_slice name_slice = {line.bytes, (size_t)(colon - line.bytes)};
    struct http_slice value_slice = {value, (size_t)(end - value)};

    if (!are_all(name_slice, TOKEN) || !are_all(value_slice, VALUE)) {
        return 400;
    }
    ret_head->fields[ret_head->field_count++] =
        (struct http_head_field){.name = span_of(head, line.bytes, name_slice.count),
                                 .value = span_of(head, value, value_slice.count)};
    return HTTP_WHOLE;
}

int http_head_parse(const char *bytes, size_t head_bytes, struct http_head *ret_head)
{
    const char *at = bytes, *end = bytes + head_bytes - 2; /* without the empty line */
    int status = HTTP_WHOLE;

    Q_ASSERT(head_bytes >= 4 && head_bytes <= HTTP_HEAD_BYTES_MAX); /* invariant 1 */
    ret_head->method = 0;
    ret_head->minor = 1;
    ret_head->target = (struct http_span){0};
    ret_head->field_count = 0;
    while (at < end && status == HTTP_WHOLE) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));

        Q_ASSERT(newline != NULL && newline > at && newline[-1] == '\r');
        struct line line = {at, (size_t)(newline - at) - 1};
        status = at == bytes ? parse_request_line(bytes, line, ret_head)
                             : parse_field(bytes, line, ret_head);
        at = newline + 1;
    }
    return status;
}
