/*
 * Reading the kernel's text files without memory of our own.
 *
 *   bytes:  | line given out \0 | text that waits ........ | free |
 *           0                   used                       filled  OS_LINE_BYTES
 *
 * The waiting text moves to the front before more is read, so a line is always in one piece.
 *
 * Invariants:
 *   1. used <= filled <= OS_LINE_BYTES.
 *   2. A line is either whole or not given out: half a path would be another path.
 *
 * The bytes come from outside: nothing here asserts about them, and what makes no sense is left
 * out. Cost: one read for each 2 KiB. mmap was no option (these files have no size), nor was one
 * large buffer: the list of mounts on a container host passes a hundred KiB.
 */
#include <fcntl.h>
#include <string.h>

#include <os/kernel.h>
#include <os/read_file.h>

static bool fill(struct os_lines *lines);
static char *take_line(struct os_lines *lines, char *end);

bool os_lines_open(struct os_lines *lines, const char *path)
{
    long fd = os_kernel_retry(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    lines->fd = fd < 0 ? -1 : (int)fd;
    lines->used = 0;
    lines->filled = 0;
    lines->skipping = false;
    return fd >= 0;
}

char *os_lines_next(struct os_lines *lines)
{
    for (;;) {
        Q_ASSERT(lines->used <= lines->filled && lines->filled <= OS_LINE_BYTES); /* invariant 1 */
        char *start = lines->bytes + lines->used;
        char *end = memchr(start, '\n', lines->filled - lines->used);
        if (end == NULL && fill(lines))
            continue;
        bool is_last = end == NULL; /* a file may end without a newline */
        if (is_last && lines->used == lines->filled)
            return NULL;
        bool skip = lines->skipping;
        lines->skipping = false;
        char *line = take_line(lines, end);
        if (!skip)
            return line;
    }
}

void os_lines_close(struct os_lines *lines)
{
    if (lines->fd >= 0)
        (void)os_kernel(SYS_close, lines->fd);
    lines->fd = -1;
}

/* Reads on behind the waiting text. Returns: false when there is no more. */
static bool fill(struct os_lines *lines)
{
    if (lines->fd < 0)
        return false;
    size_t waiting = lines->filled - lines->used;
    if (waiting >= OS_LINE_BYTES - 1) { /* one byte is kept for a last line's NUL */
        lines->skipping = true;         /* invariant 2 */
        waiting = 0;
    }
    memmove(lines->bytes, lines->bytes + lines->used, waiting);
    lines->used = 0;
    lines->filled = waiting;
    long result =
        os_kernel_retry(SYS_read, lines->fd, lines->bytes + waiting, OS_LINE_BYTES - 1 - waiting);
    if (result <= 0) {
        os_lines_close(lines);
        return false;
    }
    lines->filled += (size_t)result;
    return true;
}

/* Gives out the text up to `end`, or all of it where `end` is NULL. */
static char *take_line(struct os_lines *lines, char *end)
{
    char *line = lines->bytes + lines->used;
    if (end == NULL) {
        Q_ASSERT(lines->filled < OS_LINE_BYTES);
        lines->bytes[lines->filled] = '\0';
        lines->used = lines->filled;
        return line;
    }
    *end = '\0';
    lines->used = (size_t)(end + 1 - lines->bytes);
    return line;
}

bool os_read_line(const char *path, char *ret_text, size_t text_bytes)
{
    Q_ASSERT(text_bytes > 0);
    long fd = os_kernel_retry(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    /* The kernel writes such a file in one piece, so one read gets the line or it is too long. */
    long result = os_kernel_retry(SYS_read, fd, ret_text, text_bytes);
    (void)os_kernel(SYS_close, fd);
    if (result < 0)
        return false;
    char *end = memchr(ret_text, '\n', (size_t)result);
    if (end == NULL && (size_t)result == text_bytes)
        return false;
    *(end != NULL ? end : ret_text + result) = '\0';
    return true;
}

bool os_read_u64(const char *path, uint64_t *ret_value)
{
    char text[32];
    const char *at = text;
    return os_read_line(path, text, sizeof text) && os_parse_u64(&at, ret_value);
}

bool os_parse_u64(const char **at, uint64_t *ret_value)
{
    const char *digit = *at;
    uint64_t value = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        if (!checked_mul_u64(value, 10, &value) ||
            !checked_add_u64(value, (uint64_t)(*digit - '0'), &value))
            return false;
    }
    if (digit == *at)
        return false;
    *at = digit;
    *ret_value = value;
    return true;
}
