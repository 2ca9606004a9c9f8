/*
 * A copy of a store that is open: files of windows by second names, the log byte by byte, the
 * registry anew.
 *
 * Files of windows never change, and are replaced whole, so that two directories may have the same
 * one. While the copy is
 * made no file work is done (durable.c): no window is written, and none of the log dropped, so that
 * each sample is in what is copied, in a file or in the log. A store is opened on the copy as on
 * its own directory after a loss of power.
 *
 * Locking: the file work's mutex, throughout; appending goes on.
 */
#include <tsdb/durable.h>

#include <string.h>

static enum quarry_status window_copy(struct tsdb_durable *durable, int32_t number,
                                      const char *directory, struct quarry_error *error)
{
    const struct tsdb_file_name name = {.kind = TSDB_FILE_WINDOW, .window = number};
    struct tsdb_path from, to;
    enum quarry_status status = tsdb_file_path(durable->directory, &name, &from, error);

    if (status == QUARRY_OK) {
        status = tsdb_file_path(directory, &name, &to, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_link(durable->vfs, from.text, to.text, error);
    }
    return status == QUARRY_UNSUPPORTED ? tsdb_file_copy(durable->vfs, durable->memory, from.text,
                                                         to.text, UINT64_MAX, error)
                                        : status;
}

static enum quarry_status copy_locked(struct tsdb_durable *durable, const char *directory,
                                      struct quarry_error *error) Q_REQUIRES(&durable->mutex)
{
    enum quarry_status status = quarry_vfs_make_directory(durable->vfs, directory, error);

    for (uint32_t i = 0; i < durable->file_count && status == QUARRY_OK; i++) {
        status = window_copy(durable, durable->files[i].number, directory, error);
    }
    if (status == QUARRY_OK) {
        status = tsdb_log_copy(durable->log, directory, error);
    }
    if (status == QUARRY_OK) {
        status = tsdb_tombstones_copy(durable, directory, error);
    }
    if (status == QUARRY_OK) {
        status = tsdb_registry_save(durable, directory, NULL, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(durable->vfs, directory, error);
    }
    return status == QUARRY_OK ? tsdb_durable_sync_parent(durable, directory, error) : status;
}

enum quarry_status quarry_tsdb_snapshot(struct quarry_tsdb *tsdb, const char *directory,
                                        struct quarry_error *error)
{
    struct tsdb_durable *durable = tsdb->durable;

    if (durable == NULL) {
        return error_set(error, QUARRY_UNSUPPORTED, "%s: it has no directory", tsdb->name);
    }
    if (!tsdb_durable_is_ready(durable)) {
        return error_set(error, QUARRY_BUSY, "%s: it is still being read", tsdb->name);
    }
    if (strlen(directory) >= QUARRY_VFS_PATH_BYTES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "%s: a path of %zu bytes", tsdb->name,
                         strlen(directory));
    }
    os_mutex_lock(&durable->mutex);
    enum quarry_status status = copy_locked(durable, directory, error);
    os_mutex_unlock(&durable->mutex);
    return status;
}
