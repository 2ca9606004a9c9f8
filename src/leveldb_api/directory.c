/*
 * Directories: what is looked at before a database is opened, destroying, repairing.
 *
 * Opening goes as LevelDB's does, in the same order, so that of two things that are wrong the same
 * one is told: the directory is made; LOG is begun; the lock is tried; CURRENT is there or not, and
 * wanted or not; it is a line, and what it names is there. The lock is let go again, and the store
 * takes it: who comes in between gets LevelDB's error from there.
 *
 * Locking: none. Cost: some system calls for each opening.
 */
#include <leveldb_api/shim.h>

#include <stdlib.h>
#include <string.h>

/* CURRENT is read so far; what it should be is some 20 bytes. */
#define CURRENT_BYTES 1024u

static struct quarry_vfs *vfs(void)
{
    return quarry_vfs_posix();
}

/* ---- before opening ------------------------------------------------------------------------- */

/* Whether a file of the directory is there. `errptr`: set where that cannot be told. */
static bool is_there(const char *name)
{
    uint64_t byte_count;
    bool is_directory;

    return quarry_vfs_stat(vfs(), name, &byte_count, &is_directory, NULL) == QUARRY_OK;
}

static bool check_lock(const char *path, const char *name, char **errptr)
{
    struct quarry_error error = {0};
    struct quarry_vfs_lock *lock = NULL;
    enum quarry_status status = quarry_vfs_take_lock(vfs(), name, &lock, &error);

    if (status == QUARRY_OK) {
        quarry_vfs_unlock(lock);
        return true;
    }
    if (status == QUARRY_BUSY) {
        shim_fail_store(errptr, path, &error);
    } else {
        shim_fail_file(errptr, name, &error);
    }
    return false;
}

/* Reads all of CURRENT that matters, and closes it. */
static enum quarry_status read_current(const char *name, char *room, size_t *ret_count,
                                       struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(vfs(), name, QUARRY_VFS_READ, &file, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_read(file, 0, room, CURRENT_BYTES, ret_count, error);
        quarry_vfs_close(file);
    }
    return status;
}

/* CURRENT is a line, and names a file that is there. */
static bool check_current(const char *path, const char *name, char **errptr)
{
    char room[CURRENT_BYTES + 1];
    struct quarry_error error = {0};
    size_t count = 0;

    if (read_current(name, room, &count, &error) != QUARRY_OK) {
        shim_fail_file(errptr, name, &error);
        return false;
    }
    if (count == 0 || room[count - 1] != '\n') {
        shim_fail(errptr, "Corruption", "CURRENT file does not end with newline");
        return false;
    }
    room[count - 1] = '\0';
    char *manifest = shim_format("%s/%s", path, room);
    bool is_whole = manifest == NULL || is_there(manifest);
    if (!is_whole) {
        shim_fail(errptr, "Corruption",
                  "CURRENT points to a non-existent file: NotFound: %s: No such file or directory",
                  manifest);
    }
    free(manifest);
    return is_whole;
}

static bool check_existence(const struct leveldb_options_t *options, const char *path,
                            const char *current, char **errptr)
{
    bool exists = is_there(current);

    if (!exists && !options->create_if_missing) {
        shim_fail(errptr, "Invalid argument", "%s: does not exist (create_if_missing is false)",
                  path);
        return false;
    }
    if (exists && options->error_if_exists) {
        shim_fail(errptr, "Invalid argument", "%s: exists (error_if_exists is true)", path);
        return false;
    }
    return !exists || check_current(path, current, errptr);
}

bool shim_check_directory(const struct leveldb_options_t *options, const char *path, char **errptr)
{
    char *lock = shim_format("%s/LOCK", path), *current = shim_format("%s/CURRENT", path);
    bool is_right = false;

    if (lock == NULL || current == NULL) {
        shim_fail(errptr, "IO error", "%s: no memory", path);
    } else {
        is_right =
            check_lock(path, lock, errptr) && check_existence(options, path, current, errptr);
    }
    free(lock);
    free(current);
    return is_right;
}

/* ---- destroying ----------------------------------------------------------------------------- */

void leveldb_destroy_db(const struct leveldb_options_t *options, const char *name, char **errptr)
{
    struct quarry_error error = {0};

    (void)options;
    /* What is not there is destroyed. */
    if (is_there(name) && quarry_kv_destroy(vfs(), name, &error) != QUARRY_OK) {
        shim_fail_store(errptr, name, &error);
    }
}

/* ---- repairing ------------------------------------------------------------------------------ */

/* An empty database, where nothing of one was found: LevelDB's repair leaves that too. */
static enum quarry_status make_empty(struct quarry_memory *memory, const char *path,
                                     struct quarry_kv_options *options, struct quarry_error *error)
{
    struct quarry_kv *kv = NULL;

    options->create_if_missing = true;
    options->error_if_exists = false;
    enum quarry_status status = quarry_kv_open(memory, path, options, &kv, error);
    return status == QUARRY_OK ? quarry_kv_close(kv, error) : status;
}

static enum quarry_status repair(const struct leveldb_options_t *options, const char *path,
                                 struct shim_log *log, struct quarry_error *error)
{
    struct quarry_memory *memory = shim_memory(error);
    struct shim_functions functions;
    struct quarry_kv_options wanted;
    char room[SHIM_NAME_BYTES];
    uint32_t name = 0;

    if (memory == NULL) {
        return error->status;
    }
    enum quarry_status status = shim_name_take(&name, error);
    if (status != QUARRY_OK) {
        return status;
    }
    shim_options_of(options, &functions, &wanted);
    wanted.name = shim_name_text(name, room);
    status = quarry_kv_repair(memory, path, &wanted, error);
    if (status == QUARRY_NOT_FOUND) {
        status = make_empty(memory, path, &wanted, error);
    }
    shim_log_write(log, "repaired: %s", status == QUARRY_OK ? "it can be opened" : error->text);
    shim_functions_fini(&functions);
    shim_name_give(name);
    return status;
}

void leveldb_repair_db(const struct leveldb_options_t *options, const char *name, char **errptr)
{
    struct quarry_error error = {0};
    uint64_t byte_count;
    bool is_directory;

    (void)quarry_vfs_make_directory(vfs(), name, NULL);
    if (quarry_vfs_stat(vfs(), name, &byte_count, &is_directory, &error) != QUARRY_OK) {
        shim_fail_file(errptr, name, &error);
        return;
    }
    struct shim_log *log = options->has_logger ? NULL : shim_log_open(name);
    if (repair(options, name, log, &error) != QUARRY_OK) {
        shim_fail_store(errptr, name, &error);
    }
    shim_log_close(log);
}
