/*
 * The child's stderr is a packet pipe (O_DIRECT): one read returns what one write wrote, so the
 * number of reads is the number of writes.
 */
#include "unit/base/death.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int holds)
{
    if (!holds)
        abort();
}

static void child(void (*body)(void), int stderr_fd)
{
    struct rlimit none = {0, 0};
    must(setrlimit(RLIMIT_CORE, &none) == 0);
    must(dup2(stderr_fd, STDERR_FILENO) == STDERR_FILENO);
    body();
    _exit(0);
}

void death_watch(void (*body)(void), struct death *ret_death)
{
    int ends[2];
    must(pipe2(ends, O_DIRECT | O_CLOEXEC) == 0);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0)
        child(body, ends[1]);
    must(close(ends[1]) == 0);

    struct death death = {0};
    ssize_t got;
    while ((got = read(ends[0], death.text + death.byte_count,
                       sizeof death.text - 1 - death.byte_count)) > 0) {
        death.byte_count += (size_t)got;
        death.write_count++;
    }
    must(got == 0 && death.byte_count < sizeof death.text - 1);
    must(close(ends[0]) == 0);
    int status;
    must(waitpid(pid, &status, 0) == pid);
    death.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    *ret_death = death;
}
