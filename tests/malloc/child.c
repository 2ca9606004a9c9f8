/*
 * Children of the tests: what must die, hang nowhere, or start anew with other settings does so in
 * a process of its own, and its stderr comes back through a pipe.
 *
 * The pipe is read to its end before waitpid, so a child may write more than a pipe holds, and a
 * test has ended only when all its descendants have. A child that hangs is killed: alarm() would
 * not do where its main thread has ended and the others take no signals. The signal's number in the
 * status says so.
 */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

/* Beyond all that a child does here, on a machine that does much else. */
#define CHILD_SECONDS_MAX 240

static void become_child(int errors)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};

    (void)dup2(errors, STDERR_FILENO);
    close(errors);
    for (size_t i = 0; i < COUNT_OF(signals); i++)
        signal(signals[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* many are meant to die */
}

/* Kills the child when nothing more came of it for too long. */
static void wait_for_errors(int from, pid_t pid)
{
    struct pollfd end = {.fd = from, .events = POLLIN};

    if (poll(&end, 1, CHILD_SECONDS_MAX * 1000) == 0)
        (void)kill(pid, SIGKILL);
}

static void read_errors(int from, pid_t pid, struct child *child)
{
    char scrap[512];
    size_t length = 0;

    for (;;) {
        wait_for_errors(from, pid);
        size_t room = sizeof child->errors - 1 - length;
        ssize_t got =
            room > 0 ? read(from, child->errors + length, room) : read(from, scrap, sizeof scrap);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += room > 0 ? (size_t)got : 0;
    }
    child->errors[length] = '\0';
}

void child_run(child_body *body, void *argument, struct child *ret_child)
{
    int ends[2];

    MUST(pipe(ends) == 0);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        become_child(ends[1]);
        body(argument);
        _exit(0);
    }
    close(ends[1]);
    read_errors(ends[0], pid, ret_child);
    close(ends[0]);
    while (waitpid(pid, &ret_child->status, 0) < 0)
        MUST(errno == EINTR);
}

struct anew {
    const char *mode;
    const char *const *settings;
};

static void run_anew(void *argument)
{
    const struct anew *anew = argument;
    char name[] = "/proc/self/exe", mode[64];

    for (size_t i = 0; anew->settings != NULL && anew->settings[i] != NULL; i++) {
        char setting[1024];
        MUST(strlen(anew->settings[i]) < sizeof setting);
        strcpy(setting, anew->settings[i]); // NOLINT(*insecureAPI.strcpy): measured above
        char *equals = strchr(setting, '=');
        if (equals == NULL) {
            MUST(unsetenv(setting) == 0);
            continue;
        }
        *equals = '\0';
        MUST(setenv(setting, equals + 1, 1) == 0);
    }
    snprintf(mode, sizeof mode, "%s", anew->mode);
    (void)execv(name, (char *[]){name, mode, NULL});
    _exit(127);
}

void child_run_anew(const char *mode, const char *const *settings, struct child *ret_child)
{
    struct anew anew = {.mode = mode, .settings = settings};

    child_run(run_anew, &anew, ret_child);
}

void child_succeeded(const struct child *child)
{
    if (!WIFEXITED(child->status) || WEXITSTATUS(child->status) != 0)
        fail_msg("the child ended with status 0x%x: %s", (unsigned)child->status, child->errors);
}

void child_must_succeed(child_body *body, void *argument)
{
    struct child child;

    child_run(body, argument, &child);
    child_succeeded(&child);
}

static bool line_has(const char *line, size_t length, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (memmem(line, length, *words, strlen(*words)) == NULL)
            return false;
    }
    return true;
}

void child_aborted(const struct child *child, const char *const *words)
{
    if (!WIFSIGNALED(child->status) || WTERMSIG(child->status) != SIGABRT)
        fail_msg("the child ended with status 0x%x: %s", (unsigned)child->status, child->errors);
    for (const char *line = child->errors; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (line_has(line, length, words))
            return;
        line += length + (line[length] == '\n');
    }
    fail_msg("no line with '%s' in: %s", words[0], child->errors);
}

unsigned child_lines(const struct child *child)
{
    unsigned count = 0;

    for (const char *byte = child->errors; *byte != '\0'; byte++)
        count += *byte == '\n';
    return count;
}

void system_call_deny(long number, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};

    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

void process_must_succeed(int pid)
{
    int status = 0;

    MUST(pid > 0);
    while (waitpid(pid, &status, 0) < 0)
        MUST(errno == EINTR);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
