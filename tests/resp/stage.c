/*
 * `stage COMMAND...`: runs a command that can have the power of a file system cut.
 *
 *     stage ---- descriptor 3, both ways ---- COMMAND, which starts the servers
 *       |                                        |
 *     power_cut                               $STAGE: where the file system is mounted
 *
 * The command writes a letter and reads it back when it is done: `c` cuts the power, `r` mounts the
 * file system again, of which nothing may be open then. Exit status: the command's; 77 where a test
 * may not mount a file system, having said why.
 *
 * `stage lie COMMAND...`: runs a command on a disk that lies. In it and its children fdatasync says
 * that it is done and does nothing: the kernel answers so by itself.
 *
 * A program apart from the campaign, because the mount must be of the servers' namespace and
 * because the rig is tests/power's, in C. Rejected: losing what the page cache has by the
 * campaign's own ioctls, which would be that rig again.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <base/assert.h>

#include "power/power_cut.h"

#define DISK_BYTES   (UINT64_C(128) << 20)
#define COMMAND_FD   3
#define EXIT_SKIPPED 77
#define EXIT_NOT_RUN 127

static int run_on_a_lying_disk(char **command)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof steps / sizeof steps[0], .filter = steps};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) {
        (void)execvp(command[0], command);
    }
    (void)fprintf(stderr, "stage: %s: %s\n", command[0], strerror(errno));
    return EXIT_NOT_RUN;
}

/* `command_fd`: becomes its descriptor 3. */
static pid_t start(char **command, const struct power_cut *cut, int command_fd)
{
    pid_t child = fork();

    Q_ASSERT(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setenv("STAGE", cut->mount, 1) == 0 && dup2(command_fd, COMMAND_FD) == COMMAND_FD) {
            (void)execvp(command[0], command);
        }
        (void)fprintf(stderr, "stage: %s: %s\n", command[0], strerror(errno));
        _exit(EXIT_NOT_RUN);
    }
    return child;
}

/* Does what is asked for, until nobody is left to ask. */
static void serve(struct power_cut *cut, int fd)
{
    char letter;

    while (read(fd, &letter, 1) == 1) {
        if (letter == 'c') {
            power_cut_now(cut);
        } else if (letter == 'r') {
            power_cut_restore(cut);
        }
        Q_ASSERT(write(fd, &letter, 1) == 1);
    }
}

int main(int argc, char **argv)
{
    struct power_cut cut;
    int pair[2];
    int status = 0;

    if (argc > 2 && strcmp(argv[1], "lie") == 0) {
        return run_on_a_lying_disk(argv + 2);
    }
    if (argc < 2) {
        (void)fprintf(stderr, "usage: stage [lie] COMMAND...\n");
        return EXIT_NOT_RUN;
    }
    if (!power_cut_begin(&cut, DISK_BYTES)) {
        (void)printf("skipped: power cannot be cut here, see above\n");
        return EXIT_SKIPPED;
    }
    Q_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pid_t child = start(argv + 1, &cut, pair[1]);
    (void)close(pair[1]);
    serve(&cut, pair[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    power_cut_end(&cut);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
