/*
 * Short texts put together on the stack: paths and messages, without stdio and without memory.
 *
 * Adding more than fits cuts the text and sets `cut`; the bytes are NUL-terminated throughout.
 * Threads: one at a time. Cost: O(bytes added).
 */
#ifndef QUARRY_OS_TEXT_H
#define QUARRY_OS_TEXT_H

#include <string.h>

#include <base/base.h>

/* Control groups nest deeper than ordinary paths; a path that is cut counts as absent. */
#define OS_TEXT_BYTES 1024

struct os_text {
    size_t length; /* at most OS_TEXT_BYTES - 1 */
    bool cut;
    char bytes[OS_TEXT_BYTES];
};

static inline void os_text_init(struct os_text *text)
{
    text->length = 0;
    text->cut = false;
    text->bytes[0] = '\0';
}

static inline void os_text_add(struct os_text *text, const char *more)
{
    size_t room = OS_TEXT_BYTES - 1 - text->length;
    size_t length = strlen(more);
    text->cut = text->cut || length > room;
    length = size_min(length, room);
    memcpy(text->bytes + text->length, more, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

static inline void os_text_add_number(struct os_text *text, uint64_t number)
{
    char digits[21]; /* twenty digits of UINT64_MAX and the NUL */
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    os_text_add(text, digits + at);
}

/* Shortens the text to its first `length` bytes, which did fit. */
static inline void os_text_shorten(struct os_text *text, size_t length)
{
    Q_ASSERT(length <= text->length);
    text->length = length;
    text->cut = false;
    text->bytes[length] = '\0';
}

#endif
