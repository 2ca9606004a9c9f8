/*
 * The folder of exported windows, before the first window.
 *
 * A window that cannot be written is lost for who wanted it, and the first one goes hours after the
 * start. So the folder is tried at once, with a file: modes say nothing of file systems that are
 * read-only, nor of what a service manager forbids.
 *
 * A block is made under a name with ".tmp-for-creation" behind its own and renamed when it is
 * whole, so that a process that is killed leaves such a folder. They are looked for in the folder
 * and in those of its tenants, and nowhere else; links are not followed.
 *
 * Locking: none.
 */
#include <serve/tsdb_export.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <serve/data_dir.h>
#include <serve/log.h>

#define PROBE       ".quarry-can-write"
#define HALF_SUFFIX ".tmp-for-creation"
#define ULID_BYTES  26u
#define TENANT      "tenant-"
/* Descriptors that a walk through one half takes. */
#define WALK_FILES 8

static enum quarry_status fail(const char *what, const char *path, struct quarry_error *error)
{
    const int why = errno;
    enum quarry_status status = QUARRY_IO;

    if (why == ENOENT || why == ENOTDIR) {
        status = QUARRY_NOT_FOUND;
    } else if (why == EACCES || why == EPERM || why == EROFS) {
        status = QUARRY_PERMISSION;
    } else if (why == ENOSPC || why == EDQUOT) {
        status = QUARRY_NO_SPACE;
    }
    return error_set_os(
        error, status, why, "tsdb.export_on_purge: %s '%.120s'%s", what, path,
        status == QUARRY_PERMISSION ? " (a unit of systemd has to name it: ReadWritePaths=)" : "");
}

static enum quarry_status try_file(const char *folder, struct quarry_error *error)
{
    char path[SERVE_PATH_BYTES];

    (void)snprintf(path, sizeof path, "%s/" PROBE, folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return fail("no file can be made in", folder, error);
    }
    bool is_written = write(fd, "1", 1) == 1;
    enum quarry_status status =
        is_written ? QUARRY_OK : fail("nothing can be written in", folder, error);
    (void)close(fd);
    (void)unlink(path);
    return status;
}

/* ---- halves -----------------------------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts;
    (void)where;
    return kind == FTW_DP ? rmdir(path) : unlink(path);
}

static bool is_half(const char *name)
{
    static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    return strspn(name, letters) == ULID_BYTES && strcmp(name + ULID_BYTES, HALF_SUFFIX) == 0;
}

/* Returns: how many went. */
static uint64_t remove_halves(const char *folder, bool has_tenants)
{
    uint64_t count = 0;
    DIR *entries = opendir(folder);
    const struct dirent *entry;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char path[SERVE_PATH_BYTES];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof path) {
            continue;
        }
        if (is_half(entry->d_name)) {
            count += nftw(path, remove_one, WALK_FILES, FTW_DEPTH | FTW_PHYS) == 0;
        } else if (has_tenants && strncmp(entry->d_name, TENANT, sizeof TENANT - 1) == 0) {
            count += remove_halves(path, false);
        }
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    return count;
}

enum quarry_status serve_tsdb_export_prepare(const char *path, struct quarry_error *error)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
        return fail("cannot make", path, error);
    }
    enum quarry_status status = try_file(path, error);
    const uint64_t count = status == QUARRY_OK ? remove_halves(path, true) : 0;
    if (count > 0) {
        serve_log(SERVE_LOG_INFO, "halves of blocks were removed", serve_log_count("count", count));
    }
    return status;
}
