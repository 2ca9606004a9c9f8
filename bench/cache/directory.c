/*
 * A directory and its keeper.
 *
 *   client ── holds one end of a pipe ──┐
 *   keeper ── reads the other; at its end, however the client came to it, removes the directory
 *
 * What lies on /dev/shm is memory: a gigabyte of it must not stay behind because somebody pressed
 * Ctrl-C or killed the client, and a handler of signals could neither see the one nor safely do the
 * work after the other. The keeper ignores what a terminal sends to all. A server that is being
 * ended at the same time may still write, so that the keeper tries again for two seconds.
 */
#include <bench/cache/directory.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define TRIES   20u
#define STEP_US 100000u

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

/* The keeper's whole life. */
Q_NORETURN static void keep(const char *path, int fd)
{
    char byte;

    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    while (read(fd, &byte, 1) > 0) {
    }
    for (uint32_t i = 0; i < TRIES && nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0;
         i++) {
        (void)usleep(STEP_US);
    }
    _exit(0);
}

static bool make_below(const char *parent, char path[BENCH_DIRECTORY_PATH_BYTES])
{
    int bytes = snprintf(path, BENCH_DIRECTORY_PATH_BYTES, "%s/quarry-bench-XXXXXX", parent);

    return bytes < (int)BENCH_DIRECTORY_PATH_BYTES && mkdtemp(path) != NULL;
}

/* Gives the directory that has just been made its keeper. */
static void give_keeper(struct bench_directory *directory)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)rmdir(directory->path);
        bench_worker_die("no pipe");
    }
    directory->keeper = fork();
    if (directory->keeper == 0) {
        (void)close(ends[1]);
        (void)close(STDOUT_FILENO); /* whose end somebody may wait for */
        keep(directory->path, ends[0]);
    }
    if (directory->keeper < 0) {
        (void)rmdir(directory->path);
        bench_worker_die("no process for a directory");
    }
    (void)close(ends[0]);
    directory->fd = ends[1];
}

void bench_directory_make(struct bench_directory *directory)
{
    if (!make_below("/dev/shm", directory->path) && !make_below("/tmp", directory->path)) {
        bench_worker_die("no directory for a server");
    }
    give_keeper(directory);
}

bool bench_directory_make_below(struct bench_directory *directory, const char *parent)
{
    if (!make_below(parent, directory->path)) {
        return false;
    }
    give_keeper(directory);
    return true;
}

void bench_directory_remove(struct bench_directory *directory)
{
    Q_ASSERT(directory->keeper > 0);
    (void)close(directory->fd);
    (void)waitpid(directory->keeper, NULL, 0);
    directory->keeper = 0;
}
