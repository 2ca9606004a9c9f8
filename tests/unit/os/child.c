#include "child.h"

#include <errno.h>
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

#include "cmocka_all.h"

/* Where a child hangs, the test shall fail and not wait. */
#define CHILD_SECONDS_MAX 240

struct outcome {
    int status; /* of waitpid */
    char errors[8192];
};

void child_check(int holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    fprintf(stderr, "%s:%d: in a child: %s does not hold\n", file, line, condition);
    _exit(1);
}

static void run_in_child(int write_end, void (*body)(void *), void *argument)
{
    dup2(write_end, STDERR_FILENO);
    close(write_end);
    /* The handlers of cmocka and of sanitizers would report, and stay alive. */
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        signal(signals[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* many are meant to die */
    alarm(CHILD_SECONDS_MAX);
    body(argument);
    _exit(0);
}

static struct outcome run(void (*body)(void *), void *argument)
{
    struct outcome outcome = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        run_in_child(ends[1], body, argument);
    }
    close(ends[1]);
    size_t length = 0;
    for (;;) {
        ssize_t got = read(ends[0], outcome.errors + length, sizeof outcome.errors - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    close(ends[0]);
    assert_int_equal(waitpid(child, &outcome.status, 0), child);
    return outcome;
}

void child_assert_succeeds(void (*body)(void *), void *argument)
{
    struct outcome outcome = run(body, argument);
    if (!WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0)
        fail_msg("child ended with status 0x%x: %s", (unsigned)outcome.status, outcome.errors);
}

void child_assert_aborts(void (*body)(void *), void *argument, const char *message)
{
    struct outcome outcome = run(body, argument);
    if (!WIFSIGNALED(outcome.status) || WTERMSIG(outcome.status) != SIGABRT)
        fail_msg("child ended with status 0x%x: %s", (unsigned)outcome.status, outcome.errors);
    if (strstr(outcome.errors, message) == NULL)
        fail_msg("no '%s' in: %s", message, outcome.errors);
}

void child_assert_faults(void (*body)(void *), void *argument)
{
    struct outcome outcome = run(body, argument);
    if (!WIFSIGNALED(outcome.status) || WTERMSIG(outcome.status) != SIGSEGV)
        fail_msg("child ended with status 0x%x: %s", (unsigned)outcome.status, outcome.errors);
}

static void install(struct sock_filter *filter, unsigned short count)
{
    struct sock_fprog program = {.len = count, .filter = filter};
    CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

void child_deny(long number, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    install(filter, 4);
}

void child_deny_argument(long number, unsigned index, uint32_t value, int error)
{
    /* The low half of a 64-bit argument comes first on the machines Quarry is for. */
    uint32_t argument = (uint32_t)offsetof(struct seccomp_data, args) + 8 * index;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    install(filter, 6);
}
