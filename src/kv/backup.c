/*
 * Making backups, in the layout of RocksDB's backup engine, whose tools list and restore them.
 *
 *     backups/shared_checksum/000012_732049038_1026.sst   a table: number, CRC-32C, bytes
 *     backups/private/7/MANIFEST-000016 …                 what is of one backup alone
 *     backups/meta/7                                      which files backup 7 consists of
 *
 * What is backed up is a capture (checkpoint.h). Each table is read once for its checksum; where a
 * file of that number, checksum and length is there already, from an earlier backup, that is all.
 * Numbers alone would not do: two stores that were restored from the same backup give the same
 * numbers to different files.
 *
 * The meta file is written last, under another name, synced and renamed. Until then the backup does
 * not exist; what was copied for it is found by the next one, or removed by pruning. The number is
 * claimed by making its private directory, which can be made once.
 *
 * The directory has a lock of its own, so that pruning does not take away what is being copied.
 *
 * Cost: a flush; reading all tables; copying the new ones.
 */
#include <kv/backup_meta.h>
#include <kv/checkpoint.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A backup that is being made. */
struct backup {
    struct quarry_kv *kv;
    const char *path; /* of all backups */
    uint32_t id;
    struct kv_capture capture;
    struct kv_path directory; /* its private one */
    struct kv_path meta;      /* while it is written to */
    struct quarry_vfs_file *file;
    uint64_t offset; /* in the meta file */
    struct quarry_error *error;
};

/* ---- the meta file -------------------------------------------------------------------------- */

static enum quarry_status put_line(struct backup *backup, const char *line)
{
    size_t count = strlen(line);
    enum quarry_status status =
        quarry_vfs_write(backup->file, backup->offset, line, count, backup->error);

    backup->offset += count;
    return status;
}

static enum quarry_status put_file(struct backup *backup, const char *path, uint32_t crc)
{
    char line[KV_BACKUP_LINE_BYTES];

    int length = snprintf(line, sizeof(line), "%s crc32 %u\n", path, crc);
    Q_ASSERT(length > 0 && (size_t)length < sizeof(line));
    return put_line(backup, line);
}

static enum quarry_status put_head(struct backup *backup)
{
    const struct kv_version *version = backup->capture.version;
    uint64_t file_count = 3; /* manifest, options, CURRENT */
    char lines[80];

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        file_count += version->levels[level].file_count;
    }
    (void)snprintf(lines, sizeof(lines), "%" PRIu64 "\n%" PRIu64 "\n%" PRIu64 "\n",
                   quarry_vfs_wall_ns(backup->kv->vfs) / 1000000000u,
                   backup->capture.state.last_sequence, file_count);
    return put_line(backup, lines);
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Copies by way of another name, so that what is there under its own name is whole. */
static enum quarry_status copy_whole(struct backup *backup, const char *from, const char *to,
                                     const struct kv_file_sum *sum)
{
    struct quarry_vfs *vfs = backup->kv->vfs;
    struct kv_path temporary;
    struct kv_file_sum copied;

    (void)snprintf(temporary.text, sizeof(temporary.text), "%.4000s.tmp", to);
    (void)quarry_vfs_remove(vfs, temporary.text, NULL);
    enum quarry_status status = kv_file_copy(vfs, from, temporary.text, &copied, backup->error);
    if (status == QUARRY_OK && (copied.crc != sum->crc || copied.byte_count != sum->byte_count)) {
        (void)quarry_vfs_remove(vfs, temporary.text, NULL);
        return error_set(backup->error, QUARRY_IO, "%s: read twice, and not the same", from);
    }
    return status != QUARRY_OK ? status : quarry_vfs_rename(vfs, temporary.text, to, backup->error);
}

static enum quarry_status add_table(struct backup *backup, const struct kv_file *file)
{
    struct quarry_vfs *vfs = backup->kv->vfs;
    struct kv_path from, to;
    struct kv_file_sum sum;
    char name[QUARRY_VFS_NAME_BYTES_MAX];
    enum quarry_status status = kv_table_path(backup->kv, file, &from, backup->error);

    if (status == QUARRY_OK) {
        status = kv_file_sum_of(vfs, from.text, &sum, backup->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (sum.byte_count != file->byte_count) {
        return error_set(backup->error, QUARRY_CORRUPT, "%s: %" PRIu64 " bytes, not %" PRIu64,
                         from.text, sum.byte_count, file->byte_count);
    }
    (void)snprintf(name, sizeof(name), KV_BACKUP_SHARED "/%06" PRIu64 "_%u_%" PRIu64 "%s",
                   file->number, sum.crc, sum.byte_count, strrchr(from.text, '.'));
    status = kv_path_join(backup->path, name, &to, backup->error);
    if (status == QUARRY_OK && !kv_path_exists(vfs, to.text)) {
        status = copy_whole(backup, from.text, to.text, &sum);
    }
    return status != QUARRY_OK ? status : put_file(backup, name, sum.crc);
}

static enum quarry_status add_tables(struct backup *backup)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &backup->capture.version->levels[level];
        for (uint32_t i = 0; i < run->file_count && status == QUARRY_OK; i++) {
            status = add_table(backup, run->files[i]);
        }
    }
    return status;
}

static enum quarry_status add_private(struct backup *backup, enum kv_file_kind kind,
                                      uint64_t number)
{
    char name[KV_FILE_NAME_BYTES], line[KV_FILE_NAME_BYTES + 32];
    struct kv_path path;
    struct kv_file_sum sum = {0};
    enum quarry_status status = kv_path_join(
        backup->directory.text, kv_file_name_make(kind, number, name), &path, backup->error);

    if (status == QUARRY_OK) {
        status = kv_file_sum_of(backup->kv->vfs, path.text, &sum, backup->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    (void)snprintf(line, sizeof(line), KV_BACKUP_PRIVATE "/%u/%s", backup->id, name);
    return put_file(backup, line, sum.crc);
}

/* CURRENT is the last one, as it is when they are restored. */
static enum quarry_status add_privates(struct backup *backup)
{
    uint64_t manifest_number, options_number;
    enum quarry_status status =
        kv_capture_write(backup->kv, &backup->capture, backup->directory.text, &manifest_number,
                         &options_number, backup->error);

    if (status == QUARRY_OK) {
        status = add_private(backup, KV_FILE_MANIFEST, manifest_number);
    }
    if (status == QUARRY_OK) {
        status = add_private(backup, KV_FILE_OPTIONS, options_number);
    }
    return status != QUARRY_OK ? status : add_private(backup, KV_FILE_CURRENT, 0);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum quarry_status sync_below(struct backup *backup, const char *below)
{
    struct kv_path path;
    enum quarry_status status = kv_path_join(backup->path, below, &path, backup->error);

    return status != QUARRY_OK
               ? status
               : quarry_vfs_sync_directory(backup->kv->vfs, path.text, backup->error);
}

/* All that the meta file names is there; it takes its name. */
static enum quarry_status conclude(struct backup *backup)
{
    struct kv_path meta;
    enum quarry_status status =
        kv_backup_meta_path(backup->path, backup->id, "", &meta, backup->error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(backup->file, backup->error);
    }
    if (status == QUARRY_OK) {
        status = sync_below(backup, KV_BACKUP_SHARED);
    }
    if (status == QUARRY_OK) {
        status = sync_below(backup, KV_BACKUP_PRIVATE);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(backup->kv->vfs, backup->meta.text, meta.text, backup->error);
    }
    return status != QUARRY_OK ? status : sync_below(backup, KV_BACKUP_META);
}

static enum quarry_status fill(struct backup *backup)
{
    enum quarry_status status =
        kv_backup_meta_path(backup->path, backup->id, ".tmp", &backup->meta, backup->error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(backup->kv->vfs, backup->meta.text,
                                 QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                 &backup->file, backup->error);
    }
    if (status == QUARRY_OK) {
        status = put_head(backup);
    }
    if (status == QUARRY_OK) {
        status = add_tables(backup);
    }
    if (status == QUARRY_OK) {
        status = add_privates(backup);
    }
    if (status == QUARRY_OK) {
        status = conclude(backup);
    }
    quarry_vfs_close(backup->file);
    return status;
}

/* What there is of it. Its meta file first: while that is there, nothing that it names may go. */
static void remove_all(struct backup *backup)
{
    struct quarry_vfs *vfs = backup->kv->vfs;
    struct kv_path meta;

    (void)quarry_vfs_remove(vfs, backup->meta.text, NULL);
    if (kv_backup_meta_path(backup->path, backup->id, "", &meta, NULL) != QUARRY_OK) {
        return;
    }
    (void)quarry_vfs_remove(vfs, meta.text, NULL);
    if (!kv_path_exists(vfs, meta.text)) {
        kv_directory_remove(vfs, backup->directory.text);
    }
}

static enum quarry_status make_directories(struct quarry_vfs *vfs, const char *path,
                                           struct quarry_error *error)
{
    static const char *const below[] = {KV_BACKUP_META, KV_BACKUP_PRIVATE, KV_BACKUP_SHARED};
    struct kv_path directory;
    enum quarry_status status = kv_directory_make(vfs, path, error);

    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]) && status == QUARRY_OK; i++) {
        status = kv_path_join(path, below[i], &directory, error);
        if (status == QUARRY_OK) {
            status = kv_directory_make(vfs, directory.text, error);
        }
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(vfs, path, error);
    }
    return status != QUARRY_OK ? status : kv_directory_sync_parent(vfs, path, error);
}

/* The lowest number above all that there are. */
static enum quarry_status claim_id(struct backup *backup)
{
    struct quarry_vfs *vfs = backup->kv->vfs;
    struct kv_backup_ids metas, privates;
    enum quarry_status status =
        kv_backup_ids_read(vfs, backup->path, KV_BACKUP_META, &metas, backup->error);

    if (status == QUARRY_OK) {
        status = kv_backup_ids_read(vfs, backup->path, KV_BACKUP_PRIVATE, &privates, backup->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t highest = metas.highest > privates.highest ? metas.highest : privates.highest;
    if (highest == UINT32_MAX) {
        return error_set(backup->error, QUARRY_TOO_MANY, "%s: there is a backup of number %u",
                         backup->path, highest);
    }
    backup->id = highest + 1;
    status = kv_backup_private_path(backup->path, backup->id, &backup->directory, backup->error);
    return status != QUARRY_OK
               ? status
               : quarry_vfs_make_directory(vfs, backup->directory.text, backup->error);
}

static enum quarry_status make_backup(struct backup *backup)
{
    enum quarry_status status = claim_id(backup);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_capture_take(backup->kv, &backup->capture, backup->error);
    if (status == QUARRY_OK) {
        status = fill(backup);
        kv_capture_release(&backup->capture);
    }
    if (status != QUARRY_OK) {
        remove_all(backup);
    }
    return status;
}

enum quarry_status quarry_kv_backup(struct quarry_kv *kv, const char *path, uint32_t *ret_id,
                                    struct quarry_error *error)
{
    struct backup backup = {.kv = kv, .path = path, .error = error};
    struct quarry_vfs_lock *lock = NULL;
    struct kv_path lock_path;
    enum quarry_status status = make_directories(kv->vfs, path, error);

    if (status == QUARRY_OK) {
        status = kv_file_path(path, KV_FILE_LOCK, 0, &lock_path, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_take_lock(kv->vfs, lock_path.text, &lock, error);
    }
    if (status == QUARRY_OK) {
        status = make_backup(&backup);
    }
    quarry_vfs_unlock(lock);
    if (status == QUARRY_OK && ret_id != NULL) {
        *ret_id = backup.id;
    }
    return status;
}
