/*
 * A child process, run to its end.
 *
 *   fork ── child: execvp, or its errno through a pipe that execution closes
 *     │
 *   poll(signalfd, 10 ms) ── SIGCHLD: wait4, the end
 *     │                  └── another signal: passed on to the child
 *     └── nothing for 10 ms: look at /proc/PID/statm, call the tick
 *
 * Signals that a terminal sends reach the child by themselves, being sent to the whole group; they
 * come from the kernel. Those that somebody sent to us alone come from a process, and are passed
 * on. SIGTSTP and SIGCONT stop and continue us as any program.
 *
 * All of it is one loop in one thread: signals are blocked and read from a file descriptor, so no
 * handler runs at all.
 */
#include <cli/run_child.h>

#include <os/os.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS    10
#define PATH_BYTES 64

struct child {
    const struct run_options *options;
    pid_t pid;
    int signal_fd;
    int statm_fd; /* -1: not watched */
    uint64_t start_ns;
    uint64_t last_look_ns;
    struct run_outcome outcome;
};

static const int passed_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};

static uint64_t now_ns(void)
{
    return os_monotonic_ns(os_real());
}

/* ---- starting ------------------------------------------------------------------------------- */

/* In the child: becomes the program, or says why not. */
Q_COLD static void become_program(char **arguments, const sigset_t *mask, int failure_fd)
{
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)execvp(arguments[0], arguments);
    int number = errno;
    (void)!write(failure_fd, &number, sizeof(number));
    _exit(RUN_NOT_FOUND);
}

static enum quarry_status exec_failure(const char *program, int number, struct quarry_error *error)
{
    enum quarry_status status = number == ENOENT   ? QUARRY_NOT_FOUND
                                : number == EACCES ? QUARRY_PERMISSION
                                                   : QUARRY_IO;

    return error_set_os(error, status, number, "%s", program);
}

/* Waits until the program runs. Returns: 0, or the errno with which it could not. */
static int read_failure(int fd)
{
    int number = 0;
    ssize_t count;

    do {
        count = read(fd, &number, sizeof(number));
    } while (count < 0 && errno == EINTR);
    return count == (ssize_t)sizeof(number) ? number : 0;
}

static enum quarry_status start(struct child *child, const sigset_t *mask,
                                struct quarry_error *error)
{
    const char *program = child->options->arguments[0];
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return error_set_os(error, QUARRY_IO, errno, "%s", program);
    }
    child->start_ns = child->last_look_ns = now_ns();
    child->pid = fork();
    if (child->pid == 0) {
        become_program(child->options->arguments, mask, ends[1]);
    }
    int number = child->pid < 0 ? errno : 0;
    (void)close(ends[1]);
    if (child->pid > 0) {
        number = read_failure(ends[0]);
    }
    (void)close(ends[0]);
    if (number == 0) {
        return QUARRY_OK;
    }
    if (child->pid < 0) {
        return error_set_os(error, QUARRY_NO_MEMORY, number, "no process for %s", program);
    }
    (void)waitpid(child->pid, NULL, 0);
    return exec_failure(program, number, error);
}

/* ---- watching ------------------------------------------------------------------------------- */

static void open_statm(struct child *child)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)child->pid);
    child->statm_fd = open(path, O_RDONLY | O_CLOEXEC);
}

/* Adds the resident memory since the last look. A process that has ended has none. */
static void look_at_rss(struct child *child)
{
    char text[128], *end;
    ssize_t length = pread(child->statm_fd, text, sizeof(text) - 1, 0);

    if (length <= 0) {
        return;
    }
    text[length] = '\0';
    (void)strtoull(text, &end, 10); /* the first number is the size of all */
    uint64_t pages = strtoull(end, NULL, 10);
    if (pages == 0) {
        return;
    }
    uint64_t now = now_ns(), bytes = pages * os_real()->page_bytes;
    child->outcome.rss_byte_seconds +=
        (double)bytes * (double)(now - child->last_look_ns) / (double)Q_SECOND_NS;
    child->outcome.rss_last_bytes = bytes;
    child->outcome.rss_peak_bytes = size_max_u64(child->outcome.rss_peak_bytes, bytes);
    child->outcome.rss_look_count++;
    child->last_look_ns = now;
}

static void look(struct child *child)
{
    if (child->statm_fd >= 0) {
        look_at_rss(child);
    }
    if (child->options->tick != NULL) {
        child->options->tick(child->options->argument, (uint32_t)child->pid);
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Returns: whether the child has ended; the outcome is written then. */
static bool take_end(struct child *child)
{
    struct run_outcome *outcome = &child->outcome;
    struct rusage usage;
    int status;

    if (wait4(child->pid, &status, WNOHANG, &usage) != child->pid) {
        return false;
    }
    outcome->duration_ns = now_ns() - child->start_ns;
    /* The kernel sees peaks between our looks; its count lags behind by some pages. */
    outcome->rss_peak_bytes =
        size_max_u64(outcome->rss_peak_bytes, Q_KIB((uint64_t)usage.ru_maxrss));
    outcome->signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcome->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}

static void take_signal(struct child *child)
{
    struct signalfd_siginfo info;

    if (read(child->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    bool is_ours_alone = info.ssi_code <= 0; /* sent by a process, not by the kernel */
    if (info.ssi_signo != SIGCHLD && is_ours_alone) {
        (void)kill(child->pid, (int)info.ssi_signo);
    }
}

static void watch(struct child *child)
{
    struct pollfd poll_fd = {.fd = child->signal_fd, .events = POLLIN};
    bool is_watched = child->options->tick != NULL;

    if (is_watched) {
        open_statm(child);
    }
    while (!take_end(child)) {
        if (is_watched) {
            look(child);
        }
        if (poll(&poll_fd, 1, is_watched ? LOOK_MS : -1) > 0) {
            take_signal(child);
        }
    }
    if (child->statm_fd >= 0) {
        (void)close(child->statm_fd);
    }
}

static void signals_to_block(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGCHLD);
    for (size_t i = 0; i < sizeof(passed_signals) / sizeof(passed_signals[0]); i++) {
        (void)sigaddset(ret_set, passed_signals[i]);
    }
}

enum quarry_status run_child(const struct run_options *options, uint32_t *ret_pid,
                             struct run_outcome *ret_outcome, struct quarry_error *error)
{
    struct child child = {.options = options, .statm_fd = -1};
    sigset_t blocked, before;

    Q_ASSERT(options->arguments[0] != NULL);
    signals_to_block(&blocked);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    (void)signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, ends would go unseen */
    child.signal_fd = signalfd(-1, &blocked, SFD_CLOEXEC);
    enum quarry_status status =
        child.signal_fd < 0 ? error_set_os(error, QUARRY_IO, errno, "signals cannot be read")
                            : start(&child, &before, error);
    if (status == QUARRY_OK) {
        watch(&child);
        *ret_pid = (uint32_t)child.pid;
        *ret_outcome = child.outcome;
    }
    if (child.signal_fd >= 0) {
        (void)close(child.signal_fd);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}
