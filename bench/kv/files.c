/*
 * Directories of stores.
 */
#include <bench/kv/files.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/kv/job.h>
#include <bench/kv/ops.h>

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

void bench_kv_files_remove(const char *path)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        bench_kv_die(path, strerror(errno));
    }
}

/* Calls `each` for every plain file. A file may be gone before it is looked at. */
static void walk(const char *path,
                 void (*each)(const char *path, const struct stat *status, void *context),
                 void *context)
{
    DIR *directory = opendir(path);
    char name[2 * BENCH_KV_PATH_BYTES];
    struct stat status;

    if (directory == NULL) {
        bench_kv_die(path, strerror(errno));
    }
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &status) == 0 && S_ISREG(status.st_mode)) {
            each(name, &status, context);
        }
    }
    (void)closedir(directory);
}

static void copy_bytes(int from, int to, const char *path)
{
    for (;;) {
        ssize_t count = copy_file_range(from, NULL, to, NULL, Q_MIB(64), 0);
        if (count == 0) {
            return;
        }
        if (count < 0) {
            bench_kv_die(path, strerror(errno));
        }
    }
}

static void copy_file(const char *path, const struct stat *status, void *context)
{
    char name[2 * BENCH_KV_PATH_BYTES];
    int from = open(path, O_RDONLY | O_CLOEXEC);

    (void)snprintf(name, sizeof name, "%s%s", (const char *)context, strrchr(path, '/'));
    int to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, status->st_mode & 0777);
    if (from < 0 || to < 0) {
        bench_kv_die(path, strerror(errno));
    }
    copy_bytes(from, to, path);
    (void)fdatasync(to); /* so that it is not written back while something is measured */
    (void)close(from);
    (void)close(to);
}

void bench_kv_files_copy(const char *from, const char *to)
{
    char root[BENCH_KV_PATH_BYTES];

    if (mkdir(to, 0700) != 0) {
        bench_kv_die(to, strerror(errno));
    }
    (void)snprintf(root, sizeof root, "%s", to);
    walk(from, copy_file, root);
}

struct sum {
    uint64_t bytes, count;
};

static void add_file(const char *path, const struct stat *status, void *context)
{
    struct sum *sum = context;

    (void)path;
    sum->bytes += (uint64_t)status->st_blocks * 512;
    sum->count++;
}

uint64_t bench_kv_files_bytes(const char *path, uint64_t *ret_count)
{
    struct sum sum = {0};

    walk(path, add_file, &sum);
    *ret_count = sum.count;
    return sum.bytes;
}

static void drop_file(const char *path, const struct stat *status, void *context)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    (void)status;
    (void)context;
    if (fd >= 0) {
        (void)fdatasync(fd);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        (void)close(fd);
    }
}

void bench_kv_files_drop(const char *path)
{
    walk(path, drop_file, NULL);
}
