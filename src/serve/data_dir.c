/*
 * The data folder.
 *
 *   quarry-data/        mode 0700
 *     lock              held by flock; says the process, for messages
 *     cache/            where cache.file = data
 *   /dev/shm/quarry-UID-HASH.cache    where cache.file = shm; HASH is of the folder's real path
 *
 * The lock is flock's: the kernel gives it back when the process ends, however it ends. The file
 * stays, as a lock that is unlinked could be held twice.
 *
 * Locking: see above. Cost: some system calls, once.
 */
#include <serve/data_dir.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <serve/log.h>

#define LOCK_NAME "lock"
#define SHM_DIR   "/dev/shm"

static enum quarry_status fail(const char *what, const char *path, struct quarry_error *error)
{
    int os_errno = errno;
    enum quarry_status status = QUARRY_IO;

    if (os_errno == ENOENT || os_errno == ENOTDIR) {
        status = QUARRY_NOT_FOUND;
    } else if (os_errno == EACCES || os_errno == EPERM || os_errno == EROFS) {
        status = QUARRY_PERMISSION;
    } else if (os_errno == ENOSPC || os_errno == EDQUOT) {
        status = QUARRY_NO_SPACE;
    }
    return error_set_os(error, status, os_errno, "server.data: %s '%.160s'", what, path);
}

static enum quarry_status make_folder(struct serve_data_dir *data_dir, const char *path,
                                      struct quarry_error *error)
{
    struct stat facts;
    char real[PATH_MAX];

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail("cannot make", path, error);
    }
    if (realpath(path, real) == NULL || stat(real, &facts) != 0) {
        return fail("cannot open", path, error);
    }
    if (!S_ISDIR(facts.st_mode)) {
        errno = ENOTDIR;
        return fail("cannot open", path, error);
    }
    if ((facts.st_mode & 077) != 0) {
        serve_log(SERVE_LOG_WARNING,
                  "the data folder is open to other users of the machine: chmod 700 it",
                  serve_log_text("path", real));
    }
    Q_STATIC_ASSERT(sizeof data_dir->path >= PATH_MAX, "real paths fit");
    memcpy(data_dir->path, real, strlen(real) + 1);
    return QUARRY_OK;
}

/* Who has the lock, as it says in the file. */
static enum quarry_status say_busy(const struct serve_data_dir *data_dir, int fd,
                                   struct quarry_error *error)
{
    char pid[24] = {0};
    ssize_t bytes = pread(fd, pid, sizeof pid - 1, 0);

    pid[bytes > 0 ? strspn(pid, "0123456789") : 0] = '\0';
    return error_set(error, QUARRY_BUSY,
                     "server.data: another server (process %s) has '%.120s'; end it, or choose "
                     "another folder with --data",
                     pid[0] != '\0' ? pid : "unknown", data_dir->path);
}

static enum quarry_status take_lock(struct serve_data_dir *data_dir, struct quarry_error *error)
{
    char path[SERVE_PATH_BYTES + sizeof LOCK_NAME + 1], pid[24];

    snprintf(path, sizeof path, "%s/" LOCK_NAME, data_dir->path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fail("cannot open", path, error);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum quarry_status status =
            errno == EWOULDBLOCK ? say_busy(data_dir, fd, error) : fail("cannot lock", path, error);
        (void)close(fd);
        return status;
    }
    int length = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    /* The lock holds without it: a disk that is full keeps nobody from serving what is there. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)length, 0) != length) {
        struct quarry_error why;
        (void)fail("cannot write", path, &why);
        serve_log(SERVE_LOG_WARNING, "the lock does not say whose it is",
                  serve_log_text("why", why.text));
    }
    data_dir->lock_fd = fd;
    return QUARRY_OK;
}

enum quarry_status serve_data_dir_open(struct serve_data_dir *data_dir, const char *path,
                                       struct quarry_error *error)
{
    Q_ASSERT(data_dir != NULL && path != NULL);
    data_dir->lock_fd = -1;
    enum quarry_status status = make_folder(data_dir, path, error);
    return status == QUARRY_OK ? take_lock(data_dir, error) : status;
}

void serve_data_dir_close(struct serve_data_dir *data_dir)
{
    if (data_dir->lock_fd >= 0) {
        (void)close(data_dir->lock_fd);
        data_dir->lock_fd = -1;
    }
}

void serve_data_dir_shm_path(const struct serve_data_dir *data_dir, const char *name,
                             char *ret_path, size_t capacity)
{
    uint64_t hash = hash_xxh3_u64(data_dir->path, strlen(data_dir->path), 0);

    (void)snprintf(ret_path, capacity, SHM_DIR "/quarry-%u-%016" PRIx64 ".%s", (unsigned)geteuid(),
                   hash, name);
}
