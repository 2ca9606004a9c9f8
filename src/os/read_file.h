/*
 * Small text files of the kernel (/proc, /sys), read into the caller's stack.
 *
 * Nothing here allocates or uses stdio. Threads: any, each with its own objects.
 */
#ifndef QUARRY_OS_READ_FILE_H
#define QUARRY_OS_READ_FILE_H

#include <base/base.h>

/* What a line may take: longer ones are overlay mounts with many layers, which nobody asks about.
 * Doubling it costs 2 KiB of stack. */
#define OS_LINE_BYTES 2048

struct os_lines {
    int fd;        /* -1: nothing more to read */
    size_t used;   /* bytes of `bytes` that the line before this one took */
    size_t filled; /* bytes of `bytes` that hold text */
    bool skipping; /* inside a line that was too long */
    char bytes[OS_LINE_BYTES];
};

/*
 * Opens a file to be read line by line. Returns: false when it cannot be opened; then no close.
 */
bool os_lines_open(struct os_lines *lines, const char *path);
/*
 * The next line without its end, NUL-terminated, borrowed until the next call; it may be written
 * to. Lines that do not fit are left out. Returns: NULL at the end or an error.
 */
char *os_lines_next(struct os_lines *lines);
void os_lines_close(struct os_lines *lines);

/* Reads a file's first line; false if it cannot, or the line has text_bytes bytes or more. */
bool os_read_line(const char *path, char *ret_text, size_t text_bytes);
/* Reads the number that a file begins with. Returns: false if there is none that fits. */
bool os_read_u64(const char *path, uint64_t *ret_value);

/*
 * Reads decimal digits at `*at` and moves it behind them.
 * Returns: false for no digit or more than UINT64_MAX; `*at` and `*ret_value` are untouched.
 */
bool os_parse_u64(const char **at, uint64_t *ret_value);

#endif
