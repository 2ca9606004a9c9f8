/*
 * What happens when an assertion fails.
 *
 * The process is broken and may be inside malloc, under any lock, or in a signal handler, so this
 * file relies on nothing: the line is put together on the stack by hand and handed to write(2).
 *
 *     page_lane.c:214: page_lane_free: assertion failed: run->owner != 0\n
 *     |<------------------- at most LINE_BYTES ------------------->|
 *
 * Invariants:
 *   1. The line ends in exactly one newline, also when it was cut.
 *   2. It goes out in one write, so lines of threads that fail together do not mix (POSIX promises
 *      that for pipes up to PIPE_BUF, 4096 on Linux; 512 at the least).
 *
 * Locking: none. This is the one place besides `os` that makes a system call: `os` asserts too, and
 * is built on this folder.
 *
 * Rejected: fprintf, which locks and may allocate; the C library's assert, which does both and
 * vanishes with NDEBUG; a hook for tests, when a forked child shows the same.
 */
#include <base/assert.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The smallest PIPE_BUF that POSIX allows; longer lines could be torn (invariant 2). */
#define LINE_BYTES 512

struct line {
    size_t length; /* at most LINE_BYTES - 1: the newline always has room (invariant 1) */
    char bytes[LINE_BYTES];
};

static void line_add_text(struct line *line, const char *text);
static void line_add_number(struct line *line, int number);

void base_assert_failed(const char *file, int line_number, const char *function,
                        const char *condition)
{
    struct line line;
    line.length = 0;
    line_add_text(&line, file);
    line_add_text(&line, ":");
    line_add_number(&line, line_number);
    line_add_text(&line, ": ");
    line_add_text(&line, function);
    line_add_text(&line, ": assertion failed: ");
    line_add_text(&line, condition);
    line.bytes[line.length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.bytes, line.length);
    (void)written; /* there is nobody left to tell */
    abort();
}

static void line_add_text(struct line *line, const char *text)
{
    size_t length = strlen(text);
    size_t room = LINE_BYTES - 1 - line->length;
    if (length > room)
        length = room;
    memcpy(line->bytes + line->length, text, length);
    line->length += length;
}

static void line_add_number(struct line *line, int number)
{
    char digits[12]; /* ten digits of a 32-bit number and the NUL */
    size_t at = sizeof digits - 1;
    unsigned rest = number < 0 ? 0 : (unsigned)number; /* __LINE__ is never negative */
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    line_add_text(line, digits + at);
}
