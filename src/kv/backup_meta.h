/*
 * What a directory of backups says of each: its meta file. docs/formats/backup.md has the bytes.
 */
#ifndef QUARRY_KV_BACKUP_META_H
#define QUARRY_KV_BACKUP_META_H

#include <kv/copy.h>

#define KV_BACKUP_META    "meta"
#define KV_BACKUP_PRIVATE "private"
#define KV_BACKUP_SHARED  "shared_checksum"

/* The longest line with its newline: a path of two names, " crc32 ", ten digits. */
#define KV_BACKUP_LINE_BYTES (QUARRY_VFS_NAME_BYTES_MAX + 64u)

/* A file of a backup. */
struct kv_backup_file {
    char path[KV_BACKUP_LINE_BYTES]; /* below the directory of backups */
    char name[KV_FILE_NAME_BYTES];   /* in the store */
    struct kv_file_name kind;
    uint32_t crc; /* CRC-32C of all of it */
};

/* "meta/7" below `path`, with `after` behind it; "private/7". */
enum quarry_status kv_backup_meta_path(const char *path, uint32_t id, const char *after,
                                       struct kv_path *ret_path, struct quarry_error *error);
enum quarry_status kv_backup_private_path(const char *path, uint32_t id, struct kv_path *ret_path,
                                          struct quarry_error *error);

/* Which backups there are. */
struct kv_backup_ids {
    uint32_t count, lowest, highest; /* all 0: none */
};
/* Of names in `meta`, or in `private`. Errors: those of quarry_vfs_list. */
enum quarry_status kv_backup_ids_read(struct quarry_vfs *vfs, const char *path, const char *below,
                                      struct kv_backup_ids *ret_ids, struct quarry_error *error);

/* ---- reading -------------------------------------------------------------------------------- */

struct kv_backup_reader {
    struct quarry_vfs_file *file;
    struct kv_path path; /* of the meta file */
    uint32_t id, line;
    uint64_t taken_s, sequence, file_count; /* as the file says */
    uint64_t file_index;
    uint64_t offset; /* in the file, of the window */
    size_t at, count;
    char window[2 * KV_BACKUP_LINE_BYTES];
};

/*
 * Errors: QUARRY_NOT_FOUND (no such backup), QUARRY_CORRUPT, QUARRY_UNSUPPORTED (a later schema).
 * End it with kv_backup_reader_fini.
 */
enum quarry_status kv_backup_reader_init(struct kv_backup_reader *reader, struct quarry_vfs *vfs,
                                         const char *path, uint32_t id, struct quarry_error *error);
/* The next file. Errors: QUARRY_NOT_FOUND: that was the last; QUARRY_CORRUPT, QUARRY_IO. */
enum quarry_status kv_backup_reader_next(struct kv_backup_reader *reader,
                                         struct kv_backup_file *ret_file,
                                         struct quarry_error *error);
void kv_backup_reader_fini(struct kv_backup_reader *reader);

#endif
