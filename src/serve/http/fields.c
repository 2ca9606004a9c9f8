/*
 * Fields of a header, by name.
 *
 * Names are compared without regard to case, values of lists neither. A header has at most a
 * hundred fields and a request asks for about ten: a walk is all that takes.
 *
 * Locking: none. Cost: O(fields).
 */
#include <serve/http/fields.h>

#include <string.h>
#include <strings.h>

bool http_slice_equals(struct http_slice slice, const char *text)
{
    return slice.count == strlen(text) && memcmp(slice.bytes, text, slice.count) == 0;
}

bool http_slice_is(struct http_slice slice, const char *text)
{
    return slice.count == strlen(text) && strncasecmp(slice.bytes, text, slice.count) == 0;
}

uint32_t http_field_find(const char *bytes, const struct http_head *head, const char *name,
                         struct http_slice *ret_value)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_head_field *field = &head->fields[i];
        if (http_slice_is(http_span_slice(bytes, field->name), name) && found++ == 0) {
            *ret_value = http_span_slice(bytes, field->value);
        }
    }
    return found;
}

static struct http_slice trimmed(struct http_slice slice)
{
    while (slice.count > 0 && (slice.bytes[0] == ' ' || slice.bytes[0] == '\t')) {
        slice = (struct http_slice){slice.bytes + 1, slice.count - 1};
    }
    while (slice.count > 0 &&
           (slice.bytes[slice.count - 1] == ' ' || slice.bytes[slice.count - 1] == '\t')) {
        slice.count--;
    }
    return slice;
}

/* What stands before a byte, trimmed; `rest` begins behind it. */
static struct http_slice cut_at(struct http_slice *rest, char byte)
{
    const char *at = rest->count == 0 ? NULL : memchr(rest->bytes, byte, rest->count);
    size_t count = at == NULL ? rest->count : (size_t)(at - rest->bytes);
    struct http_slice piece = {rest->bytes, count};
    size_t skipped = at == NULL ? count : count + 1;

    *rest = (struct http_slice){rest->bytes + skipped, rest->count - skipped};
    return trimmed(piece);
}

bool http_list_next(struct http_slice *rest, struct http_slice *ret_element)
{
    while (rest->count > 0) {
        *ret_element = cut_at(rest, ',');
        if (ret_element->count > 0) {
            return true;
        }
    }
    return false;
}

bool http_field_has_word(const char *bytes, const struct http_head *head, const char *name,
                         const char *word)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_slice rest = http_span_slice(bytes, head->fields[i].value), element;

        if (!http_slice_is(http_span_slice(bytes, head->fields[i].name), name)) {
            continue;
        }
        while (http_list_next(&rest, &element)) {
            if (http_slice_is(element, word)) {
                return true;
            }
        }
    }
    return false;
}

/* "q=0", "q=0.000": not at all. Anything else is some weight. */
static bool is_refusal(struct http_slice parameters)
{
    while (parameters.count > 0) {
        struct http_slice parameter = cut_at(&parameters, ';');
        struct http_slice name = cut_at(&parameter, '=');

        if (http_slice_is(name, "q")) {
            return parameter.count > 0 &&
                   strspn(parameter.bytes, "0.") >= parameter.count; /* a line ends behind it */
        }
    }
    return false;
}

bool http_accepts_gzip(const char *bytes, const struct http_head *head)
{
    bool accepts_any = false;

    for (uint32_t i = 0; i < head->field_count; i++) {
        struct http_slice rest = http_span_slice(bytes, head->fields[i].value), element;

        if (!http_slice_is(http_span_slice(bytes, head->fields[i].name), "accept-encoding")) {
            continue;
        }
        while (http_list_next(&rest, &element)) {
            struct http_slice coding = cut_at(&element, ';');
            if (http_slice_is(coding, "gzip") || http_slice_is(coding, "x-gzip")) {
                return !is_refusal(element);
            }
            accepts_any |= http_slice_is(coding, "*") && !is_refusal(element);
        }
    }
    return accepts_any;
}

struct http_slice http_media_type(struct http_slice value)
{
    return cut_at(&value, ';');
}
