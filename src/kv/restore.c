/*
 * Restoring backups, and removing old ones. The layout is backup.c's, or that of RocksDB's backup
 * engine, which is the same.
 *
 * *Restoring* copies each file to its name in the store, and compares checksums on the way. CURRENT
 * comes last, when all else is synced: a restoration that was cut off is no store. Nothing is put
 * over a store that is there.
 *
 * *Pruning* removes a backup's meta file first, and syncs that: from then on it does not exist.
 * Then its private files; and in the end all shared files that no meta file names: a table of the
 * next 32 names of the directory is marked by going through all meta files, and those without a
 * mark are removed. Meta files are read (shared files / 32) times, and no memory is taken.
 *
 * Locking: the directory's own lock. What is on the stack: below 32 KiB.
 */
#include <quarry/kv.h>

#include <string.h>

#include <kv/backup_meta.h>

/* ---- restoring ------------------------------------------------------------------------------ */

static enum quarry_status restore_file(struct quarry_vfs *vfs, const char *backup_path,
                                       const struct kv_backup_file *file, const char *path,
                                       struct quarry_error *error)
{
    struct kv_path from, to;
    struct kv_file_sum sum = {0};
    enum quarry_status status = kv_path_join(backup_path, file->path, &from, error);

    if (status == QUARRY_OK) {
        status = kv_path_join(path, file->name, &to, error);
    }
    if (status == QUARRY_OK) {
        status = kv_file_copy(vfs, from.text, to.text, &sum, error);
    }
    if (status == QUARRY_OK && sum.crc != file->crc) {
        return error_set(error, QUARRY_CORRUPT, "%s: its checksum is %u, not %u", from.text,
                         sum.crc, file->crc);
    }
    return status;
}

/* All files of a backup but CURRENT, or CURRENT alone. */
static enum quarry_status restore_files(struct quarry_vfs *vfs, const char *backup_path,
                                        uint32_t id, const char *path, bool wants_current,
                                        struct quarry_error *error)
{
    struct kv_backup_reader reader;
    struct kv_backup_file file;
    bool has_current = false;
    enum quarry_status status = kv_backup_reader_init(&reader, vfs, backup_path, id, error);

    if (status != QUARRY_OK) {
        return status;
    }
    while ((status = kv_backup_reader_next(&reader, &file, error)) == QUARRY_OK) {
        bool is_current = file.kind.kind == KV_FILE_CURRENT;
        has_current = has_current || is_current;
        if (is_current == wants_current) {
            status = restore_file(vfs, backup_path, &file, path, error);
        }
        if (status != QUARRY_OK) {
            break;
        }
    }
    if (status == QUARRY_NOT_FOUND && reader.file_index == reader.file_count) {
        status = has_current ? QUARRY_OK
                             : error_set(error, QUARRY_CORRUPT, "%s: it names no CURRENT",
                                         reader.path.text);
    }
    kv_backup_reader_fini(&reader);
    return status;
}

static enum quarry_status restore_into(struct quarry_vfs *vfs, const char *backup_path, uint32_t id,
                                       const char *path, struct quarry_error *error)
{
    enum quarry_status status = restore_files(vfs, backup_path, id, path, false, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(vfs, path, error);
    }
    if (status == QUARRY_OK) {
        status = restore_files(vfs, backup_path, id, path, true, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(vfs, path, error);
    }
    return status != QUARRY_OK ? status : kv_directory_sync_parent(vfs, path, error);
}

/* A directory that is there must be empty. */
static enum quarry_status make_target(struct quarry_vfs *vfs, const char *path,
                                      struct quarry_error *error)
{
    struct kv_names names;
    enum quarry_status status = kv_directory_make(vfs, path, error);

    if (status == QUARRY_OK) {
        status = kv_names_read(vfs, path, "", &names, error);
    }
    if (status == QUARRY_OK && names.count != 0) {
        return error_set(error, QUARRY_EXISTS, "%s: not empty: it has '%.64s'", path,
                         names.name[0]);
    }
    return status;
}

enum quarry_status quarry_kv_restore(struct quarry_vfs *vfs, const char *backup_path, uint32_t id,
                                     const char *path, struct quarry_error *error)
{
    struct kv_backup_ids ids;

    vfs = vfs == NULL ? quarry_vfs_posix() : vfs;
    enum quarry_status status = kv_backup_ids_read(vfs, backup_path, KV_BACKUP_META, &ids, error);
    if (status != QUARRY_OK) {
        return status;
    }
    id = id == 0 ? ids.highest : id;
    if (id == 0) {
        return error_set(error, QUARRY_NOT_FOUND, "%s: there is no backup", backup_path);
    }
    status = make_target(vfs, path, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = restore_into(vfs, backup_path, id, path, error);
    if (status != QUARRY_OK) {
        kv_directory_remove(vfs, path);
    }
    return status;
}

/* ---- pruning -------------------------------------------------------------------------------- */

static enum quarry_status remove_backup(struct quarry_vfs *vfs, const char *path, uint32_t id,
                                        struct quarry_error *error)
{
    struct kv_path meta, directory;
    enum quarry_status status = kv_backup_meta_path(path, id, "", &meta, error);

    if (status == QUARRY_OK) {
        status = kv_backup_private_path(path, id, &directory, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_remove(vfs, meta.text, error);
    }
    if (status == QUARRY_OK) {
        status = kv_directory_sync_parent(vfs, meta.text, error);
    }
    if (status == QUARRY_OK) {
        kv_directory_remove(vfs, directory.text);
    }
    return status;
}

/* Which of some names of shared files a backup has. */
static enum quarry_status mark_used(struct quarry_vfs *vfs, const char *path, uint32_t id,
                                    const struct kv_names *names, bool used[KV_NAMES_MAX],
                                    struct quarry_error *error)
{
    struct kv_backup_reader reader;
    struct kv_backup_file file;
    enum quarry_status status = kv_backup_reader_init(&reader, vfs, path, id, error);

    if (status != QUARRY_OK) {
        return status;
    }
    while ((status = kv_backup_reader_next(&reader, &file, error)) == QUARRY_OK) {
        const char *last = strrchr(file.path, '/') + 1;
        for (size_t i = 0; i < names->count; i++) {
            used[i] = used[i] || strcmp(names->name[i], last) == 0;
        }
    }
    kv_backup_reader_fini(&reader);
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* The same of all backups. Where one cannot be read, nothing may be removed. */
static enum quarry_status mark_all_used(struct quarry_vfs *vfs, const char *path,
                                        const struct kv_names *names, bool used[KV_NAMES_MAX],
                                        struct quarry_error *error)
{
    struct kv_backup_ids ids = {0};
    struct kv_path meta;
    enum quarry_status status = kv_backup_ids_read(vfs, path, KV_BACKUP_META, &ids, error);

    for (uint64_t id = ids.lowest; status == QUARRY_OK && id != 0 && id <= ids.highest; id++) {
        status = kv_backup_meta_path(path, (uint32_t)id, "", &meta, error);
        if (status == QUARRY_OK && kv_path_exists(vfs, meta.text)) {
            status = mark_used(vfs, path, (uint32_t)id, names, used, error);
        }
    }
    return status;
}

static enum quarry_status remove_unused(struct quarry_vfs *vfs, const char *path,
                                        struct quarry_error *error)
{
    char after[QUARRY_VFS_NAME_BYTES_MAX] = "";
    struct kv_path shared, file;
    struct kv_names names;
    enum quarry_status status = kv_path_join(path, KV_BACKUP_SHARED, &shared, error);

    while (status == QUARRY_OK) {
        bool used[KV_NAMES_MAX] = {false};
        status = kv_names_read(vfs, shared.text, after, &names, error);
        if (status != QUARRY_OK || names.count == 0) {
            break;
        }
        status = mark_all_used(vfs, path, &names, used, error);
        for (size_t i = 0; i < names.count && status == QUARRY_OK; i++) {
            status = used[i] ? QUARRY_OK : kv_path_join(shared.text, names.name[i], &file, error);
            if (status == QUARRY_OK && !used[i]) {
                status = quarry_vfs_remove(vfs, file.text, error);
            }
        }
        memcpy(after, names.name[names.count - 1], sizeof(after));
    }
    return status;
}

/* Private directories of backups that were never finished. */
static enum quarry_status remove_unfinished(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error)
{
    struct kv_backup_ids ids = {0};
    struct kv_path meta, directory;
    enum quarry_status status = kv_backup_ids_read(vfs, path, KV_BACKUP_PRIVATE, &ids, error);

    for (uint64_t id = ids.lowest; status == QUARRY_OK && id != 0 && id <= ids.highest; id++) {
        status = kv_backup_meta_path(path, (uint32_t)id, "", &meta, error);
        if (status == QUARRY_OK) {
            status = kv_backup_private_path(path, (uint32_t)id, &directory, error);
        }
        if (status == QUARRY_OK && !kv_path_exists(vfs, meta.text) &&
            kv_path_exists(vfs, directory.text)) {
            kv_directory_remove(vfs, directory.text);
        }
    }
    return status;
}

static enum quarry_status prune(struct quarry_vfs *vfs, const char *path, uint32_t keep_count,
                                struct quarry_error *error)
{
    struct kv_backup_ids ids;
    enum quarry_status status = kv_backup_ids_read(vfs, path, KV_BACKUP_META, &ids, error);

    while (status == QUARRY_OK && ids.count > keep_count) {
        status = remove_backup(vfs, path, ids.lowest, error);
        if (status == QUARRY_OK) {
            status = kv_backup_ids_read(vfs, path, KV_BACKUP_META, &ids, error);
        }
    }
    if (status == QUARRY_OK) {
        status = remove_unfinished(vfs, path, error);
    }
    return status != QUARRY_OK ? status : remove_unused(vfs, path, error);
}

enum quarry_status quarry_kv_backup_prune(struct quarry_vfs *vfs, const char *backup_path,
                                          uint32_t keep_count, struct quarry_error *error)
{
    struct quarry_vfs_lock *lock = NULL;
    struct kv_path lock_path;

    vfs = vfs == NULL ? quarry_vfs_posix() : vfs;
    enum quarry_status status = kv_file_path(backup_path, KV_FILE_LOCK, 0, &lock_path, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_take_lock(vfs, lock_path.text, &lock, error);
    }
    if (status == QUARRY_OK) {
        status = prune(vfs, backup_path, keep_count, error);
    }
    quarry_vfs_unlock(lock);
    return status;
}
