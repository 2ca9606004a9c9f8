/*
 * The progress line: written over itself, wiped before anything else is printed.
 */
#include <bench/progress.h>

#include <stdio.h>
#include <unistd.h>

void bench_progress_show(const char *row, const char *subject)
{
    if (isatty(STDERR_FILENO)) {
        (void)fprintf(stderr, "\r\033[K%s %s\r", row, subject);
    }
}

void bench_progress_end(void)
{
    if (isatty(STDERR_FILENO)) {
        (void)fputs("\r\033[K", stderr);
    }
}
