/*
 * Reading the meta files of backups.
 *
 *     1795315971                                        when, in seconds since 1970
 *     42                                                the sequence
 *     3                                                 how many files follow
 *     shared_checksum/000012_732049038_1026.sst crc32 732049038
 *     private/7/MANIFEST-000016 crc32 1920687664
 *     private/7/CURRENT crc32 4132812863
 *
 * Lines pass through a window in the reader, and no memory is taken. A path is believed only where
 * it is below one of the three directories and its last part, without what the shared directory
 * puts into it, is a name that a store's file has: a restored file goes nowhere else.
 *
 * Locking: none. Cost: O(bytes).
 */
#include <kv/backup_meta.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- paths and numbers ---------------------------------------------------------------------- */

enum quarry_status kv_backup_meta_path(const char *path, uint32_t id, const char *after,
                                       struct kv_path *ret_path, struct quarry_error *error)
{
    char name[48];

    (void)snprintf(name, sizeof(name), KV_BACKUP_META "/%u%.8s", id, after);
    return kv_path_join(path, name, ret_path, error);
}

enum quarry_status kv_backup_private_path(const char *path, uint32_t id, struct kv_path *ret_path,
                                          struct quarry_error *error)
{
    char name[48];

    (void)snprintf(name, sizeof(name), KV_BACKUP_PRIVATE "/%u", id);
    return kv_path_join(path, name, ret_path, error);
}

/* Digits and nothing else. */
static bool parse_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (!checked_mul_u64(number, 10, &number) ||
            !checked_add_u64(number, (uint64_t)(*at - '0'), &number)) {
            return false;
        }
    }
    *ret_number = number;
    return at != text && *at == '\0';
}

static bool note_id(void *argument, const char *name)
{
    struct kv_backup_ids *ids = argument;
    uint64_t id;

    if (!parse_number(name, &id) || id == 0 || id > UINT32_MAX) {
        return true;
    }
    ids->lowest = ids->count == 0 || id < ids->lowest ? (uint32_t)id : ids->lowest;
    ids->highest = id > ids->highest ? (uint32_t)id : ids->highest;
    ids->count++;
    return true;
}

enum quarry_status kv_backup_ids_read(struct quarry_vfs *vfs, const char *path, const char *below,
                                      struct kv_backup_ids *ret_ids, struct quarry_error *error)
{
    struct kv_path directory;
    struct kv_backup_ids ids = {0};
    enum quarry_status status = kv_path_join(path, below, &directory, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_list(vfs, directory.text, note_id, &ids, error);
    }
    if (status == QUARRY_OK) {
        *ret_ids = ids;
    }
    return status;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static enum quarry_status complain(const struct kv_backup_reader *reader,
                                   struct quarry_error *error, const char *what)
{
    return error_set(error, QUARRY_CORRUPT, "%s: line %u: %s", reader->path.text, reader->line,
                     what);
}

/* The next line, as text in the window. `ret_line`: borrowed until the next call. */
static enum quarry_status next_line(struct kv_backup_reader *reader, char **ret_line,
                                    struct quarry_error *error)
{
    char *begin = reader->window + reader->at;
    char *end = memchr(begin, '\n', reader->count - reader->at);
    size_t more = 0;

    reader->line++;
    if (end == NULL) {
        reader->offset += reader->at;
        reader->count -= reader->at;
        memmove(reader->window, begin, reader->count);
        reader->at = 0;
        enum quarry_status status = quarry_vfs_read(
            reader->file, reader->offset + reader->count, reader->window + reader->count,
            sizeof(reader->window) - reader->count, &more, error);
        if (status != QUARRY_OK) {
            return status;
        }
        reader->count += more;
        begin = reader->window;
        end = memchr(begin, '\n', reader->count);
    }
    if (end == NULL || (size_t)(end - begin) >= KV_BACKUP_LINE_BYTES ||
        memchr(begin, '\0', (size_t)(end - begin)) != NULL) {
        return complain(reader, error, end == NULL ? "the file ends in it" : "it makes no sense");
    }
    *end = '\0';
    reader->at = (size_t)(end + 1 - reader->window);
    *ret_line = begin;
    return QUARRY_OK;
}

static enum quarry_status read_number(struct kv_backup_reader *reader, uint64_t *ret_number,
                                      struct quarry_error *error)
{
    char *line;
    enum quarry_status status = next_line(reader, &line, error);

    /* What a program adds for its own use stands in a line of its own, before the count. */
    if (status == QUARRY_OK && strncmp(line, "metadata ", 9) == 0) {
        status = next_line(reader, &line, error);
    }
    if (status == QUARRY_OK && strncmp(line, "schema_version ", 15) == 0) {
        return error_set(error, QUARRY_UNSUPPORTED, "%s: a backup of schema version %s",
                         reader->path.text, line + 15);
    }
    if (status == QUARRY_OK && !parse_number(line, ret_number)) {
        return complain(reader, error, "it is no number");
    }
    return status;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* "000012_732049038_1026.sst" is 000012.sst in the store. */
static bool strip_sum(const char *shared, char name[KV_FILE_NAME_BYTES])
{
    const char *sum = strchr(shared, '_'), *dot = strrchr(shared, '.');

    if (sum == NULL || dot == NULL || dot < sum) {
        return false;
    }
    int length = snprintf(name, KV_FILE_NAME_BYTES, "%.*s%s", (int)(sum - shared), shared, dot);
    return length > 0 && (size_t)length < KV_FILE_NAME_BYTES;
}

/* Where a path leads in the store. False: nowhere. */
static bool name_in_store(const struct kv_backup_reader *reader, struct kv_backup_file *file)
{
    char mine[32];
    const char *last = strrchr(file->path, '/');

    (void)snprintf(mine, sizeof(mine), KV_BACKUP_PRIVATE "/%u/", reader->id);
    if (last == NULL || strchr(last + 1, '/') != NULL) {
        return false;
    }
    size_t directory = (size_t)(last + 1 - file->path);
    if (directory == sizeof(KV_BACKUP_SHARED) &&
        memcmp(file->path, KV_BACKUP_SHARED "/", directory) == 0) {
        if (!strip_sum(last + 1, file->name)) {
            return false;
        }
    } else if ((directory == strlen(mine) && memcmp(file->path, mine, directory) == 0) ||
               (directory == 7 && memcmp(file->path, "shared/", directory) == 0)) {
        if (strlen(last + 1) >= sizeof(file->name)) {
            return false;
        }
        (void)snprintf(file->name, sizeof(file->name), "%.39s", last + 1);
    } else {
        return false;
    }
    return kv_file_name_parse(file->name, &file->kind) && file->kind.kind != KV_FILE_LOCK;
}

enum quarry_status kv_backup_reader_next(struct kv_backup_reader *reader,
                                         struct kv_backup_file *ret_file,
                                         struct quarry_error *error)
{
    char *line, *sum;
    uint64_t crc;

    if (reader->file_index == reader->file_count) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status = next_line(reader, &line, error);
    if (status != QUARRY_OK) {
        return status;
    }
    sum = strstr(line, " crc32 ");
    if (sum == NULL || !parse_number(sum + 7, &crc) || crc > UINT32_MAX) {
        return complain(reader, error, "it has no checksum");
    }
    *sum = '\0';
    (void)snprintf(ret_file->path, sizeof(ret_file->path), "%s", line);
    ret_file->crc = (uint32_t)crc;
    if (!name_in_store(reader, ret_file)) {
        return complain(reader, error, "it names no file of a store");
    }
    reader->file_index++;
    return QUARRY_OK;
}

enum quarry_status kv_backup_reader_init(struct kv_backup_reader *reader, struct quarry_vfs *vfs,
                                         const char *path, uint32_t id, struct quarry_error *error)
{
    memset(reader, 0, sizeof(*reader));
    reader->id = id;
    enum quarry_status status = kv_backup_meta_path(path, id, "", &reader->path, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(vfs, reader->path.text, QUARRY_VFS_READ, &reader->file, error);
    }
    if (status == QUARRY_OK) {
        status = read_number(reader, &reader->taken_s, error);
    }
    if (status == QUARRY_OK) {
        status = read_number(reader, &reader->sequence, error);
    }
    if (status == QUARRY_OK) {
        status = read_number(reader, &reader->file_count, error);
    }
    if (status != QUARRY_OK) {
        kv_backup_reader_fini(reader);
    }
    return status;
}

void kv_backup_reader_fini(struct kv_backup_reader *reader)
{
    quarry_vfs_close(reader->file);
    reader->file = NULL;
}
