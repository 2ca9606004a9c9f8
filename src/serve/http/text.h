/*
 * Text that grows: what an answer is written into, and what a body is collected in.
 *
 *     struct http_text text;
 *     http_text_init(&text, &pages, Q_MIB(64));
 *     http_text_format(&text, "quarry_up %d\n", 1);
 *     if (text.is_failed) …                           // said once, at the end
 *     http_text_fini(&text);
 *
 * Its memory is pages of an account, doubled as it grows; up to a page's worth none is copied
 * twice. What does not fit fails the text: later calls do nothing.
 */
#ifndef QUARRY_SERVE_HTTP_TEXT_H
#define QUARRY_SERVE_HTTP_TEXT_H

#include <base/base.h>

#include <serve/buffers.h>

struct http_text {
    const struct serve_memory *memory; /* borrowed */
    char *bytes;                       /* NULL: none were taken yet */
    size_t count;
    size_t capacity;
    size_t bytes_max;
    bool is_failed; /* no memory, or beyond bytes_max */
};

void http_text_init(struct http_text *text, const struct serve_memory *memory, size_t bytes_max);
/* Gives its memory back; it can be used again. */
void http_text_fini(struct http_text *text);
/* Forgets what is in it, and keeps the memory. */
void http_text_empty(struct http_text *text);

/*
 * Room for `more` bytes behind what is there; then `count` is raised by who wrote them.
 * Returns: NULL: the text has failed. Cost: amortised O(more).
 */
char *http_text_room(struct http_text *text, size_t more);
void http_text_add(struct http_text *text, const void *bytes, size_t count);
void http_text_say(struct http_text *text, const char *words);
void http_text_format(struct http_text *text, const char *format, ...) Q_PRINTF(2, 3);

#endif
