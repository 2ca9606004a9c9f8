/*
 * Starts and ends processes with a planted heap (fake_program.c).
 */
#ifndef QUARRY_TESTS_CLI_FAKE_H
#define QUARRY_TESTS_CLI_FAKE_H

#include <sys/types.h>

struct fake {
    pid_t pid;
    int stdin_fd; /* the process ends when this is closed */
    char pid_text[16];
};

/* Starts `fake_program SCENE` and waits until its heap is planted. */
struct fake fake_start(const char *scene);
/* Starts any program that says "ready" and ends with its stdin. `arguments`: closed by NULL. */
struct fake fake_start_program(const char *const *arguments);
/* Ends it and checks that it ended well. */
void fake_stop(struct fake *fake);

#endif
