/*
 * Starting a child, and reading what it says.
 *
 * A measurement is a process of its own: a peer's library can only be put in at the start of one,
 * no subject inherits the heap or the idle threads another left behind, and where the loader puts
 * things differs from round to round and so ends up in the median instead of deciding it.
 *
 *   quarry bench pages ──┬─ LD_PRELOAD=libjemalloc.so.2  quarry-bench-child pages jemalloc row …
 *                        └─ stdout ◄── numbers in decimal
 *
 * What measures is a program of its own beside `quarry`: a program that holds a malloc calls that
 * one, whatever is preloaded, and would measure it under every peer's name.
 *
 * The environment is passed on, so that MALLOC_CONF and its like tune a peer as they do elsewhere;
 * LD_PRELOAD alone is ours.
 */
#include <bench/child.h>

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/base.h>

/* Variables of the environment that are passed on; the rest of a longer one is left out. */
#define VARIABLES_MAX 1022u
#define PRELOAD       "LD_PRELOAD="

/* This environment with LD_PRELOAD replaced by `preload_line` ("LD_PRELOAD=…"), or without it. */
static void fill_environment(char **ret_variables, char *preload_line)
{
    size_t count = 0;

    for (char **variable = environ; *variable != NULL && count < VARIABLES_MAX; variable++) {
        if (strncmp(*variable, PRELOAD, strlen(PRELOAD)) != 0) {
            ret_variables[count++] = *variable;
        }
    }
    if (preload_line != NULL) {
        ret_variables[count++] = preload_line;
    }
    ret_variables[count] = NULL;
}

/* Reads to the end of `fd`. Returns: whether it fitted. */
static bool read_all(int fd, char *output)
{
    size_t used = 0;

    for (;;) {
        ssize_t got = read(fd, output + used, BENCH_CHILD_OUTPUT_BYTES - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        if (used == BENCH_CHILD_OUTPUT_BYTES) {
            break;
        }
    }
    bool is_whole = used < BENCH_CHILD_OUTPUT_BYTES;
    output[is_whole ? used : used - 1] = '\0';
    return is_whole;
}

int bench_child_wait(struct bench_child *child, struct rusage *ret_usage)
{
    int status = 0;

    (void)close(child->fd);
    while (wait4(child->pid, &status, 0, ret_usage) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Starts the child with its stdout going to `fd`. Returns: its id, or -1. */
static pid_t spawn(const char *const *argv, const char *preload, bool is_quiet, int fd)
{
    char *variables[VARIABLES_MAX + 2];
    char preload_line[sizeof PRELOAD + BENCH_CHILD_PATH_BYTES];
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;

    (void)snprintf(preload_line, sizeof preload_line, PRELOAD "%s", preload == NULL ? "" : preload);
    fill_environment(variables, preload == NULL ? NULL : preload_line);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return -1;
    }
    bool is_ready = posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO) == 0 &&
                    (!is_quiet || posix_spawn_file_actions_addopen(&actions, STDERR_FILENO,
                                                                   "/dev/null", O_WRONLY, 0) == 0);
    /* posix_spawn takes its strings as not const and leaves them alone. */
    union {
        const char *const *borrowed;
        char *const *taken;
    } arguments = {.borrowed = argv};
    if (!is_ready || posix_spawnp(&pid, argv[0], &actions, NULL, arguments.taken, variables) != 0) {
        pid = -1;
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return pid;
}

bool bench_child_start(const char *const *argv, const char *preload, bool is_quiet,
                       struct bench_child *ret_child)
{
    int ends[2];

    Q_ASSERT(argv[0] != NULL);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    pid_t pid = spawn(argv, preload, is_quiet, ends[1]);
    (void)close(ends[1]);
    if (pid <= 0) {
        (void)close(ends[0]);
        return false;
    }
    *ret_child = (struct bench_child){pid, ends[0]};
    return true;
}

int bench_child_run(const char *const *argv, const char *preload, bool is_quiet, char *output)
{
    struct bench_child child;
    struct rusage usage;

    output[0] = '\0';
    if (!bench_child_start(argv, preload, is_quiet, &child)) {
        return -1;
    }
    bool is_whole = read_all(child.fd, output);
    int code = bench_child_wait(&child, &usage);
    return is_whole ? code : -1;
}

bool bench_child_numbers(const char *text, uint64_t *ret_numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *end = NULL;
        errno = 0;
        ret_numbers[i] = strtoull(text, &end, 10);
        if (end == text || errno != 0) {
            return false;
        }
        text = end;
    }
    return text[strspn(text, " \n")] == '\0';
}

/* Cuts the last part of a path off, with its slash. */
static void cut_last_part(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash != NULL) {
        *slash = '\0';
    }
}

void bench_child_beside(const char *file, char path[BENCH_CHILD_PATH_BYTES])
{
    char own[BENCH_CHILD_PATH_BYTES / 2] = "";

    if (readlink("/proc/self/exe", own, sizeof own - 1) < 0) {
        own[0] = '\0';
    }
    cut_last_part(own);
    cut_last_part(own);
    (void)snprintf(path, BENCH_CHILD_PATH_BYTES, "%s/%s", own, file);
}

const char *bench_child_program(void)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    if (path[0] == '\0') {
        bench_child_beside("libexec/quarry/quarry-bench-child", path);
    }
    return path;
}
