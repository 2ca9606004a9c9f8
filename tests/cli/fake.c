/*
 * Processes with a planted heap: fork, exec, a pipe that holds them, and a pipe that says "ready".
 */
#include "fake.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 240u

#define ARGUMENTS_MAX 16

/* In the child: becomes the program, with these as stdin and stdout. */
static void become_program(const char *const *arguments, int stdin_fd, int stdout_fd)
{
    char *copies[ARGUMENTS_MAX + 1] = {NULL};

    for (int i = 0; i < ARGUMENTS_MAX && arguments[i] != NULL; i++) {
        copies[i] = strdup(arguments[i]);
    }
    (void)dup2(stdin_fd, 0);
    (void)dup2(stdout_fd, 1);
    alarm(PATIENCE_S);
    (void)execv(copies[0], copies);
    _exit(127);
}

static void wait_until_ready(int fd)
{
    char said[8] = "";

    for (size_t length = 0; strchr(said, '\n') == NULL;) {
        ssize_t count = read(fd, said + length, sizeof(said) - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
    assert_string_equal(said, "ready\n");
}

struct fake fake_start_program(const char *const *arguments)
{
    struct fake fake = {0};
    int in[2], out[2];

    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    fake.pid = fork();
    assert_true(fake.pid >= 0);
    if (fake.pid == 0) {
        become_program(arguments, in[0], out[1]);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    wait_until_ready(out[0]);
    (void)close(out[0]);
    fake.stdin_fd = in[1];
    (void)snprintf(fake.pid_text, sizeof(fake.pid_text), "%d", (int)fake.pid);
    return fake;
}

struct fake fake_start(const char *scene)
{
    return fake_start_program((const char *const[]){FAKE_PROGRAM_PATH, scene, NULL});
}

void fake_stop(struct fake *fake)
{
    int status = 0;

    (void)close(fake->stdin_fd);
    assert_int_equal(waitpid(fake->pid, &status, 0), fake->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
