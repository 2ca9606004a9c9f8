/*
 * The maker of reports.
 *
 *     server ── order: words, ends of pipes ──────> reporter ── quarry heap PID ──> child
 *        │ <───────── 0 or an errno ─────────────────┘  │ <──── its end ───────────┘
 *        │ ────────── cut (may be) ──────────────────>  │
 *        └ <───────── its status ───────────────────────┘
 *
 * A server that is confined runs no program, and what it began would be confined with it: no
 * libraries could be loaded. So a process is made of it while it is still free and has one thread.
 * It holds nothing of the server's but its end of a pair of sockets, does nothing until it is
 * asked, and ends when the other end is closed, however the server ends; where it cannot, for
 * somebody has stopped it, the kernel ends it with the server.
 *
 * Nobody can begin another one: the server is confined by then. So one that has died, or does not
 * answer, is lost until the server is started again: it is not asked any more, and the log and a
 * metric say so.
 *
 * It believes the server nothing: who has the server would have its rights otherwise. It runs this
 * program alone, with words that have one of a few shapes, all of them reports about the server to
 * the pipe that came along. It cannot be traced (PR_SET_DUMPABLE), gains no rights by running
 * something, and its children neither. They read what the server says of itself, and take from
 * themselves all but that: serve/confine_report.h.
 *
 * Invariants:
 *   1. There is one child at most.
 *   2. After an order there is one answer; after a 0, one status.
 *   3. Who is lost is not asked: an answer that came late would be taken for that to the next
 * order.
 *
 * Locking: none; see reporter_run. The state alone is looked at by any thread.
 */
#include <serve/observe/reporter.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <serve/confine_report.h>
#include <serve/log.h>
#include <serve/observe/child.h>
#include <serve/server.h>

/* For a process that does nothing else. */
#define PATIENCE_MS 20000u
#define CUT         "cut"
/* What is kept open: the standard three, as nothing, and the pair's end. */
#define LINK_FD 3

#define ENVIRONMENT_MAX 1024u

enum state { NONE, THERE, LOST };

/* The server's side; const from start to stop. */
static int own_link = -1;
static pid_t reporter_pid;
static int patience_ms;
/* Of enum state; relaxed: nothing hangs on it. */
static _Atomic uint32_t state;

/* The reporter's side: the environment of its children. */
static char wish[] = SERVE_REPORT_VARIABLE "=00";
static char *environment[ENVIRONMENT_MAX];

/* What comes with an order: what the child writes to, and what it reads from if it does. */
enum { OUTPUT, ERRORS, INPUT, ENDS };

union rights {
    struct cmsghdr header;
    char room[CMSG_SPACE(ENDS * sizeof(int))];
};

/* ---- the reporter's side ----------------------------------------------------------------------
 */

/* One order; one that makes no sense has no words. Returns: bytes of words; 0: the server has
 * ended; -1: it is no order, but a cut that came after the end. */
static ssize_t receive(int link, char *order, int ret_fds[ENDS])
{
    union rights rights = {.room = {0}};
    struct iovec part = {.iov_base = order, .iov_len = REPORTER_ORDER_BYTES};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.room,
                             .msg_controllen = sizeof rights.room};
    ssize_t count;

    ret_fds[OUTPUT] = ret_fds[ERRORS] = ret_fds[INPUT] = -1;
    do {
        count = recvmsg(link, &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        return 0;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    const size_t fd_count = header != NULL && header->cmsg_type == SCM_RIGHTS
                                ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                                : 0;
    int fds[sizeof rights.room / sizeof(int)];
    if (fd_count != 0) {
        memcpy(fds, CMSG_DATA(header), fd_count * sizeof(int));
    }
    if (fd_count != INPUT && fd_count != ENDS) {
        for (size_t i = 0; i < fd_count; i++) {
            (void)close(fds[i]);
        }
        return -1;
    }
    memcpy(ret_fds, fds, fd_count * sizeof(int));
    if ((message.msg_flags & MSG_TRUNC) != 0 || order[count - 1] != '\0') {
        order[0] = '\0';
        return 1;
    }
    return count;
}

/* Words of an order that are not always the same. */
#define ANY_PID       "the server's number"
#define ANY_NUMBER    "digits"
#define ANY_NAME      "small letters"
#define ANY_ADDRESSES "0x0,0x1"

/* All orders that there are. */
static const char *const shapes[][OBSERVE_WORDS_MAX] = {
    {"heap", ANY_PID, "--json", "--top", ANY_NUMBER},
    {"heap", ANY_PID, "--profile", ANY_NAME, "--top", ANY_NUMBER},
    {"heap", ANY_PID, "--profile", ANY_NAME, "--pprof", "-"},
    {"heap", ANY_PID, "--symbol", ANY_ADDRESSES},
    {"heap", ANY_PID, "--cpu", "-", "--pprof", "-"},
    {"doctor", ANY_PID, "--heap", "--json"},
    {"check", "memory", "--pid", ANY_PID, "--json"},
};

static bool consists_of(const char *word, const char *letters)
{
    return word[0] != '\0' && word[strspn(word, letters)] == '\0';
}

static bool word_fits(const char *word, const char *shape)
{
    char pid[16];

    if (strcmp(shape, ANY_PID) == 0) {
        (void)snprintf(pid, sizeof pid, "%d", (int)getppid());
        return strcmp(word, pid) == 0;
    }
    if (strcmp(shape, ANY_NUMBER) == 0) {
        return consists_of(word, "0123456789");
    }
    if (strcmp(shape, ANY_NAME) == 0) {
        return consists_of(word, "abcdefghijklmnopqrstuvwxyz");
    }
    if (strcmp(shape, ANY_ADDRESSES) == 0) {
        return consists_of(word, "0123456789abcdefABCDEFx,+");
    }
    return strcmp(word, shape) == 0;
}

/* `words`: closed by NULL, without the program's name. */
static bool is_allowed(char *const *words)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        size_t at = 0;
        while (words[at] != NULL && at < OBSERVE_WORDS_MAX && shapes[i][at] != NULL &&
               word_fits(words[at], shapes[i][at])) {
            at++;
        }
        if (words[at] == NULL && at < OBSERVE_WORDS_MAX && shapes[i][at] == NULL) {
            return true;
        }
    }
    return false;
}

/* Takes words apart. Returns: false: there are too many, or they are no order. */
static bool read_words(char *order, size_t bytes, char *arguments[OBSERVE_WORDS_MAX + 2])
{
    size_t count = 1;

    arguments[0] = "quarry";
    for (size_t at = 0; at < bytes; at += strlen(order + at) + 1) {
        if (count > OBSERVE_WORDS_MAX) {
            return false;
        }
        arguments[count++] = order + at;
    }
    arguments[count] = NULL;
    return is_allowed(arguments + 1);
}

/* What the child has open, and which signals reach it: all. */
static int spawn(char *const *arguments, const int fds[ENDS], pid_t *ret_pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t signals;

    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
    if (fds[INPUT] < 0) {
        (void)posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    } else {
        (void)posix_spawn_file_actions_adddup2(&files, fds[INPUT], 0);
    }
    (void)posix_spawn_file_actions_adddup2(&files, fds[OUTPUT], 1);
    (void)posix_spawn_file_actions_adddup2(&files, fds[ERRORS], 2);
    (void)posix_spawn_file_actions_addclosefrom_np(&files, 3);
    (void)sigemptyset(&signals);
    (void)posix_spawnattr_setsigmask(&attributes, &signals);
    (void)sigfillset(&signals);
    (void)posix_spawnattr_setsigdefault(&attributes, &signals);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int status =
        posix_spawn(ret_pid, "/proc/self/exe", &files, &attributes, arguments, environment);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&files);
    return status;
}

/* The kernel ends it before the server, where one of the two must go. */
static void volunteer(pid_t pid)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "1000", 4);
        (void)written; /* it has ended already: then it needs no memory either */
        (void)close(fd);
    }
}

static void answer(int link, int number)
{
    if (send(link, &number, sizeof number, MSG_NOSIGNAL) != sizeof number) {
        _exit(0); /* the server has ended */
    }
}

/* Waits until the child has ended, or the server wants it to. Returns: its status. */
static int watch(int link, int ended, pid_t pid)
{
    int status = 0;

    for (;;) {
        struct pollfd fds[] = {{.fd = link, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
        struct signalfd_siginfo facts;
        char word[sizeof CUT];

        (void)poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            ssize_t count = recv(link, word, sizeof word, 0);
            (void)kill(pid, SIGKILL);
            if (count <= 0) {
                _exit(0);
            }
        }
        if (fds[1].revents != 0) {
            ssize_t count = read(ended, &facts, sizeof facts);
            (void)count; /* what it is about is asked of the child */
        }
        const pid_t waited = waitpid(pid, &status, WNOHANG);
        if (waited != 0) {
            return waited == pid ? status : -1;
        }
    }
}

static void obey(int link, int ended, char *order, size_t bytes, const int fds[ENDS])
{
    char *arguments[OBSERVE_WORDS_MAX + 2];
    pid_t pid = -1;
    int status = EINVAL;

    if (read_words(order, bytes, arguments)) {
        status = spawn(arguments, fds, &pid);
    }
    for (size_t i = 0; i < ENDS && fds[i] >= 0; i++) {
        (void)close(fds[i]);
    }
    answer(link, status);
    if (status == 0) {
        volunteer(pid);
        answer(link, watch(link, ended, pid));
    }
}

/* Where the kernel has no call for it. */
static void close_from(int first)
{
    const long end = sysconf(_SC_OPEN_MAX);

    for (int fd = first; fd < end; fd++) {
        (void)close(fd);
    }
}

/* This one's, and the wish. What one of a thousand words says has no part in a report. */
static void make_environment(const struct reporter_options *options)
{
    const size_t length = sizeof wish - 1;
    size_t count = 0;

    wish[length - 2] = (char)('0' + (int)options->calls);
    wish[length - 1] = options->has_files ? '1' : '0';
    environment[count++] = wish;
    for (char **word = environ; *word != NULL && count < ENVIRONMENT_MAX - 1; word++) {
        if (strncmp(*word, SERVE_REPORT_VARIABLE "=", sizeof SERVE_REPORT_VARIABLE) != 0) {
            environment[count++] = *word;
        }
    }
    environment[count] = NULL;
}

/* Lets go of all that it was born with. */
static int strip(int born_link, pid_t server)
{
    sigset_t signals;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != server) {
        _exit(0);
    }

    /* It may be one of the standard three, where those were closed. */
    int link = fcntl(born_link, F_DUPFD_CLOEXEC, LINK_FD + 1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < LINK_FD; fd++) {
        (void)dup2(null, fd);
    }
    if (link < 0 || dup3(link, LINK_FD, O_CLOEXEC) != LINK_FD) {
        _exit(1);
    }
    if (syscall(SYS_close_range, LINK_FD + 1, ~0u, 0) != 0) {
        close_from(LINK_FD + 1);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, it would come to nobody */
    (void)prctl(PR_SET_NAME, SERVE_REPORTER_NAME, 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)sigfillset(&signals); /* its end comes with the server's */
    (void)sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGCHLD);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static Q_NORETURN void report(int link, pid_t server)
{
    char order[REPORTER_ORDER_BYTES];
    int fds[ENDS];
    int ended = strip(link, server);
    ssize_t bytes;

    while (ended >= 0 && (bytes = receive(LINK_FD, order, fds)) != 0) {
        if (bytes > 0) {
            obey(LINK_FD, ended, order, (size_t)bytes, fds);
        }
    }
    _exit(0);
}

/* ---- the server's side ------------------------------------------------------------------------
 */

enum quarry_status reporter_start(const struct reporter_options *options,
                                  struct quarry_error *error)
{
    const pid_t server = getpid();
    int ends[2];

    Q_ASSERT(own_link < 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set_os(error, QUARRY_IO, errno, "no sockets for the maker of reports");
    }
    reporter_pid = fork();
    if (reporter_pid == 0) {
        make_environment(options);
        report(ends[1], server);
    }
    const int why = errno;
    (void)close(ends[1]);
    if (reporter_pid < 0) {
        (void)close(ends[0]);
        return error_set_os(error, why == ENOMEM ? QUARRY_NO_MEMORY : QUARRY_IO, why,
                            "no process for reports");
    }
    own_link = ends[0];
    patience_ms = (int)(options->patience_ms == 0 ? PATIENCE_MS : options->patience_ms);
    atomic_store_relaxed_u32(&state, THERE);
    return QUARRY_OK;
}

/* Waits until the link tells something. Returns: what, as of poll; 0: nothing in time. */
static short wait_for_link(int patience)
{
    struct pollfd fd = {.fd = own_link, .events = POLLIN};
    int count;

    do {
        count = poll(&fd, 1, patience);
    } while (count < 0 && errno == EINTR);
    return count > 0 ? fd.revents : 0;
}

void reporter_stop(void)
{
    if (own_link < 0) {
        return;
    }
    const int patience = atomic_load_relaxed_u32(&state) == LOST ? 0 : patience_ms;
    (void)shutdown(own_link, SHUT_WR);
    short told = wait_for_link(patience);
    while ((told & POLLHUP) == 0 && (told & POLLIN) != 0) {
        int number;
        if (recv(own_link, &number, sizeof number, MSG_DONTWAIT) <= 0) {
            break;
        }
        told = wait_for_link(patience);
    }
    (void)close(own_link);
    own_link = -1;
    atomic_store_relaxed_u32(&state, NONE);
    while ((told & POLLHUP) != 0 && waitpid(reporter_pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* Invariant 3. */
static void lose(const char *why)
{
    uint32_t before = THERE;

    if (atomic_cas_relaxed_u32(&state, &before, LOST)) {
        (void)shutdown(own_link, SHUT_WR); /* it ends when it can */
        serve_log(SERVE_LOG_WARNING,
                  "the maker of reports is lost: there are none until the server is started again",
                  serve_log_text("why", why));
    }
}

bool reporter_is_there(void)
{
    if (atomic_load_relaxed_u32(&state) == THERE && (wait_for_link(0) & POLLHUP) != 0) {
        lose("it has ended");
    }
    return atomic_load_relaxed_u32(&state) == THERE;
}

/* Returns: what the reporter says; -1: nothing, and it is not asked any more (invariant 3). */
static int hear(void)
{
    int number = 0;

    if (wait_for_link(patience_ms) == 0) {
        lose("it does not answer");
        return -1;
    }
    if (recv(own_link, &number, sizeof number, MSG_DONTWAIT) != sizeof number) {
        lose("it has ended");
        return -1;
    }
    return number;
}

static bool send_order(const char *order, size_t bytes, const int *fds, size_t fd_count)
{
    union rights rights = {.room = {0}};
    struct iovec part = {.iov_base = (char *)(uintptr_t)order, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.room,
                             .msg_controllen = CMSG_SPACE(fd_count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    return sendmsg(own_link, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes;
}

int reporter_run(const char *const *words, int input, int output, int errors)
{
    const int fds[ENDS] = {[OUTPUT] = output, [ERRORS] = errors, [INPUT] = input};
    char order[REPORTER_ORDER_BYTES];
    size_t bytes = 0;

    for (; *words != NULL; words++) {
        const size_t length = strlen(*words) + 1;
        if (length > sizeof order - bytes) {
            return E2BIG;
        }
        memcpy(order + bytes, *words, length);
        bytes += length;
    }
    if (!reporter_is_there() || !send_order(order, bytes, fds, input < 0 ? INPUT : ENDS)) {
        return ECHILD;
    }
    const int answered = hear();
    return answered < 0 ? ECHILD : answered;
}

int reporter_wait(bool is_cut)
{
    if (!reporter_is_there()) {
        return -1;
    }
    if (is_cut) {
        (void)send(own_link, CUT, sizeof CUT, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    return hear();
}
