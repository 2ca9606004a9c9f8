/*
 * Text that grows, in pages of an account.
 *
 *     bytes                     count                 capacity         bytes_max
 *      |  what was written       |  room               |  not taken yet  |
 *
 * A text that fails stays so: who writes many pieces looks once, at the end. Doubling means that a
 * text never holds more than twice what came, so that a length which is only declared costs
 * nothing.
 *
 * Locking: none; one thread at a time. Cost: a copy of what is there for each doubling.
 */
#include <serve/http/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Most formatted pieces are shorter. */
#define FORMAT_BYTES 256u

void http_text_init(struct http_text *text, const struct serve_memory *memory, size_t bytes_max)
{
    Q_ASSERT(text != NULL && memory != NULL);
    *text = (struct http_text){.memory = memory, .bytes_max = bytes_max};
}

void http_text_fini(struct http_text *text)
{
    serve_buffer_give(text->memory, text->bytes);
    *text = (struct http_text){.memory = text->memory, .bytes_max = text->bytes_max};
}

void http_text_empty(struct http_text *text)
{
    text->count = 0;
    text->is_failed = false;
}

/* To a capacity of at least `bytes`. */
static bool text_enlarge(struct http_text *text, size_t bytes)
{
    size_t capacity = size_max(bytes, size_min(text->capacity * 2, text->bytes_max));
    char *larger = serve_buffer_take(text->memory, capacity);

    if (larger == NULL) {
        return false;
    }
    if (text->count > 0) {
        memcpy(larger, text->bytes, text->count);
    }
    serve_buffer_give(text->memory, text->bytes);
    text->bytes = larger;
    text->capacity = serve_buffer_bytes(capacity);
    return true;
}

char *http_text_room(struct http_text *text, size_t more)
{
    Q_DCHECK(text->count <= text->capacity);
    if (text->is_failed || more > text->bytes_max - text->count) {
        text->is_failed = true;
        return NULL;
    }
    size_t wanted = size_max(text->count + more, 1);
    if (wanted > text->capacity && !text_enlarge(text, wanted)) {
        text->is_failed = true;
        return NULL;
    }
    return text->bytes + text->count;
}

void http_text_add(struct http_text *text, const void *bytes, size_t count)
{
    char *room = count == 0 ? NULL : http_text_room(text, count);

    if (room != NULL) {
        memcpy(room, bytes, count);
        text->count += count;
    }
}

void http_text_say(struct http_text *text, const char *words)
{
    http_text_add(text, words, strlen(words));
}

void http_text_format(struct http_text *text, const char *format, ...)
{
    char piece[FORMAT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int bytes = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    Q_ASSERT(bytes >= 0);
    if ((size_t)bytes < sizeof piece) {
        http_text_add(text, piece, (size_t)bytes);
        return;
    }
    char *room = http_text_room(text, (size_t)bytes + 1);
    if (room != NULL) {
        va_start(arguments, format);
        (void)vsnprintf(room, (size_t)bytes + 1, format, arguments);
        va_end(arguments);
        text->count += (size_t)bytes;
    }
}
