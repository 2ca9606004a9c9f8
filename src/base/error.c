/*
 * Error messages in storage of a fixed size.
 *
 *     struct quarry_error.text    |lane 'window': 3 pages wanted, 1634...|0|
 *                                  <----- QUARRY_ERROR_TEXT_BYTES ------->
 *
 * Invariants:
 *   1. The text is always terminated, and is valid UTF-8 when what went in was.
 *   2. It ends in "..." exactly when something was cut (or when the writer put that there).
 *   3. The errno of the caller's thread is left as it was: callers test it after reporting.
 *
 * Locking: none. Cost: one or two passes of vsnprintf over at most 248 bytes.
 *
 * Rejected: allocating the message (LevelDB's C API does, so a failure for want of memory cannot
 * say so); strerror, which translates and may allocate.
 */
#include <base/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <base/assert.h>

static bool fill(struct quarry_error *error, enum quarry_status status, int os_errno,
                 const char *format, va_list arguments) Q_PRINTF(4, 0);
static void append_os_meaning(struct quarry_error *error);
static bool append(struct quarry_error *error, const char *format, ...) Q_PRINTF(2, 3);
static bool append_va(struct quarry_error *error, const char *format, va_list arguments)
    Q_PRINTF(2, 0);
static void cut(char text[QUARRY_ERROR_TEXT_BYTES]);

enum quarry_status error_set(struct quarry_error *error, enum quarry_status status,
                             const char *format, ...)
{
    Q_ASSERT(status != QUARRY_OK);
    if (error == NULL)
        return status;
    va_list arguments;
    va_start(arguments, format);
    (void)fill(error, status, 0, format, arguments);
    va_end(arguments);
    return status;
}

enum quarry_status error_set_os(struct quarry_error *error, enum quarry_status status, int os_errno,
                                const char *format, ...)
{
    Q_ASSERT(status != QUARRY_OK);
    Q_ASSERT(os_errno > 0);
    if (error == NULL)
        return status;
    va_list arguments;
    va_start(arguments, format);
    if (fill(error, status, os_errno, format, arguments))
        append_os_meaning(error);
    va_end(arguments);
    return status;
}

/* Returns whether the whole text fits, so that more may be put after it. */
static bool fill(struct quarry_error *error, enum quarry_status status, int os_errno,
                 const char *format, va_list arguments)
{
    error->status = status;
    error->os_errno = os_errno;
    error->text[0] = '\0';
    return append_va(error, format, arguments);
}

static void append_os_meaning(struct quarry_error *error)
{
    const char *meaning = strerrordesc_np(error->os_errno); /* a constant, never translated */
    if (meaning != NULL)
        (void)append(error, ": %s", meaning);
    else
        (void)append(error, ": errno %d", error->os_errno);
}

static bool append(struct quarry_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool fits = append_va(error, format, arguments);
    va_end(arguments);
    return fits;
}

/* A text that the C library cannot format (an invalid wide character, say) gives way to what the
 * status means in general. */
static bool append_va(struct quarry_error *error, const char *format, va_list arguments)
{
    int caller_errno = errno;
    size_t length = strlen(error->text);
    size_t room = QUARRY_ERROR_TEXT_BYTES - length;
    int wanted = vsnprintf(error->text + length, room, format, arguments);
    errno = caller_errno; /* invariant 3 */
    if (wanted < 0) {
        error->text[length] = '\0';
        return append(error, "%s", quarry_status_text(error->status));
    }
    if ((size_t)wanted < room)
        return true;
    cut(error->text);
    return false;
}

/* Puts the ellipsis over the end of a full text, before the character of UTF-8 that it would split.
 * Such a character has at most three bytes after its first (invariant 1). */
static void cut(char text[QUARRY_ERROR_TEXT_BYTES])
{
    static const char ellipsis[] = "...";
    size_t at = QUARRY_ERROR_TEXT_BYTES - sizeof ellipsis;
    for (int i = 0; i < 3 && ((unsigned char)text[at] & 0xc0) == 0x80; i++)
        at--;
    memcpy(text + at, ellipsis, sizeof ellipsis);
}
