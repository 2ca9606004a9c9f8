/*
 * Watching a function die: runs it in a forked child and keeps what it wrote to stderr.
 */
#ifndef QUARRY_TESTS_UNIT_BASE_DEATH_H
#define QUARRY_TESTS_UNIT_BASE_DEATH_H

#include <stddef.h>

struct death {
    int signal;         /* that ended the child; 0 when the function returned */
    size_t write_count; /* how many writes to stderr were seen, each whole */
    size_t byte_count;  /* of `text`, without its closing NUL */
    char text[4096];
};

/* Runs `body` in a child, which exits with 0 if it returns. Core files are off in the child. */
void death_watch(void (*body)(void), struct death *ret_death);

#endif
