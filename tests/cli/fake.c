/*
 * Processes with a planted heap: fork, exec, a pipe that holds them, and a pipe that says "ready".
 */
#include "fake.h"

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

#define PATIENCE_S 120u

struct fake fake_start(const char *scene)
{
    struct fake fake = {0};
    char said[8] = "";
    int in[2], out[2];

    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    fake.pid = fork();
    assert_true(fake.pid >= 0);
    if (fake.pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)close(in[1]);
        (void)close(out[0]);
        alarm(PATIENCE_S);
        (void)execl(FAKE_PROGRAM_PATH, "fake_program", scene, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    for (size_t length = 0; strchr(said, '\n') == NULL;) {
        ssize_t count = read(out[0], said + length, sizeof(said) - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
    assert_string_equal(said, "ready\n");
    (void)close(out[0]);
    fake.stdin_fd = in[1];
    (void)snprintf(fake.pid_text, sizeof(fake.pid_text), "%d", (int)fake.pid);
    return fake;
}

void fake_stop(struct fake *fake)
{
    int status = 0;

    (void)close(fake->stdin_fd);
    assert_int_equal(waitpid(fake->pid, &status, 0), fake->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
