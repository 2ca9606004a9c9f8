/*
 * Running the program under test: fork, exec, and files or a pseudo-terminal for what it prints.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16
/* A program that goes on longer than this hangs; sanitizers make it slow. */
#define PATIENCE_S 240u

static char *keep(FILE *file)
{
    char *text = calloc(RUN_TEXT_BYTES, 1);

    assert_non_null(text);
    rewind(file);
    size_t count = fread(text, 1, RUN_TEXT_BYTES - 1, file);
    assert_true(count < RUN_TEXT_BYTES - 1);
    fclose(file);
    return text;
}

/* In the child: becomes the program. */
static void become_quarry(const char *const *arguments)
{
    char *copies[ARGUMENTS_MAX + 2] = {strdup(QUARRY_CLI_PATH)};

    for (int i = 0; i < ARGUMENTS_MAX && arguments[i] != NULL; i++) {
        copies[i + 1] = strdup(arguments[i]);
    }
    alarm(PATIENCE_S);
    (void)execv(QUARRY_CLI_PATH, copies);
    fprintf(stderr, "cannot run %s: %s\n", QUARRY_CLI_PATH, strerror(errno));
    _exit(127);
}

static int wait_for(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void redirect(const char *path, int flags, int to)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0 || dup2(fd, to) < 0) {
        _exit(126);
    }
}

struct run run_quarry(const struct run_options *options, const char *const *arguments)
{
    FILE *out = tmpfile(), *err = tmpfile();

    assert_non_null(out);
    assert_non_null(err);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("LC_ALL", options->locale != NULL ? options->locale : "C.UTF-8", 1);
        redirect(options->stdin_path != NULL ? options->stdin_path : "/dev/null", O_RDONLY, 0);
        (void)dup2(fileno(out), 1);
        (void)dup2(fileno(err), 2);
        if (options->stdout_path != NULL) {
            redirect(options->stdout_path, O_WRONLY, 1);
        }
        become_quarry(arguments);
    }
    struct run run = {.exit_code = wait_for(child)};
    run.out = keep(out);
    run.err = keep(err);
    return run;
}

void run_free(struct run *run)
{
    free(run->out);
    free(run->err);
    *run = (struct run){0};
}

void run_copy_program(const char *from, const char *to)
{
    static char bytes[1 << 16];
    FILE *in = fopen(from, "rbe"), *out = fopen(to, "wbe");
    size_t count;

    assert_non_null(in);
    assert_non_null(out);
    while ((count = fread(bytes, 1, sizeof(bytes), in)) > 0) {
        assert_int_equal(fwrite(bytes, 1, count, out), count);
    }
    (void)fclose(in);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(to, 0700), 0);
}

/* ---- in a terminal -------------------------------------------------------------------------- */

static void set_size(int fd, unsigned short width, unsigned short height)
{
    const struct winsize size = {.ws_row = height, .ws_col = width};

    assert_int_equal(ioctl(fd, TIOCSWINSZ, &size), 0);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether all of them are there; NULL: nothing is enough. */
static bool has_all(const char *text, const char *const *awaited)
{
    bool has = awaited != NULL;

    for (; has && *awaited != NULL; awaited++) {
        has = strstr(text, *awaited) != NULL;
    }
    return has;
}

/* Reads what the terminal is sent until all that is awaited has come behind `from`, or until the
 * program closes it. Returns: how long the text is. */
static size_t listen_to(int fd, char *text, size_t from, const char *const *awaited)
{
    uint64_t until_ms = now_ms() + PATIENCE_S * 1000;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    size_t length = strlen(text);

    for (uint64_t now = now_ms(); now < until_ms; now = now_ms()) {
        if (length > from && has_all(text + from, awaited)) {
            break;
        }
        if (poll(&poll_fd, 1, (int)(until_ms - now)) <= 0) {
            continue;
        }
        assert_true(length < RUN_TEXT_BYTES - 1);
        ssize_t count = read(fd, text + length, RUN_TEXT_BYTES - 1 - length);
        if (count <= 0) {
            break;
        }
        length += (size_t)count; /* the rest of the text is zero */
    }
    return length;
}

static pid_t start_in_terminal(int terminal, const char *const *arguments)
{
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)setsid(); /* so that the next terminal opened controls it */
        const char *name = ptsname(terminal);
        for (int fd = 0; fd < 3; fd++) {
            redirect(name, O_RDWR, fd);
        }
        (void)ioctl(0, TIOCSCTTY, 0);
        (void)setenv("LC_ALL", "C.UTF-8", 1);
        (void)setenv("TERM", "xterm", 1);
        (void)unsetenv("LINES");
        (void)unsetenv("COLUMNS");
        become_quarry(arguments);
    }
    return child;
}

bool run_has_terminals(void)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (terminal < 0) {
        print_message("no pseudo-terminals here: %s\n", strerror(errno));
        return false;
    }
    (void)close(terminal);
    return true;
}

struct run run_in_terminal(const struct run_terminal *how, const char *const *arguments)
{
    const char *const anything[] = {NULL};
    const char *const *awaited = how->awaited != NULL ? how->awaited : anything;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct run run = {.out = calloc(RUN_TEXT_BYTES, 1), .err = calloc(1, 1)};

    assert_true(terminal >= 0);
    assert_non_null(run.out);
    assert_int_equal(grantpt(terminal), 0);
    assert_int_equal(unlockpt(terminal), 0);
    set_size(terminal, how->width, how->height);
    pid_t child = start_in_terminal(terminal, arguments);
    size_t length = listen_to(terminal, run.out, 0, awaited);
    if (how->resize_width > 0) {
        set_size(terminal, how->resize_width, how->height);
        (void)listen_to(terminal, run.out, length, anything);
    }
    if (how->victim > 0) {
        assert_int_equal(kill(how->victim, SIGKILL), 0);
    } else {
        assert_int_equal(write(terminal, "q", 1), 1);
    }
    (void)listen_to(terminal, run.out, 0, NULL);
    run.exit_code = wait_for(child);
    (void)close(terminal);
    return run;
}
