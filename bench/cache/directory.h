/*
 * Directories that are gone when their process is.
 */
#ifndef QUARRY_BENCH_CACHE_DIRECTORY_H
#define QUARRY_BENCH_CACHE_DIRECTORY_H

#include <stdbool.h>

#include <sys/types.h>

#define BENCH_DIRECTORY_PATH_BYTES 96u

struct bench_directory {
    char path[BENCH_DIRECTORY_PATH_BYTES];
    pid_t keeper; /* who removes it */
    int fd;       /* which the keeper waits for the end of */
};

/* Makes a directory on /dev/shm, or in /tmp where that cannot be written to. Ends the process when
 * neither can. Cost: a process that waits. */
void bench_directory_make(struct bench_directory *directory);
/* Makes one in `parent`. Returns: false when it cannot, or its path is too long. */
bool bench_directory_make_below(struct bench_directory *directory, const char *parent);
/* Removes it with all that is in it. */
void bench_directory_remove(struct bench_directory *directory);

#endif
