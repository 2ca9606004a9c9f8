/*
 * Reading the files of a store one by one.
 *
 *     memory ── account ── pool ── small memory
 *                   └───── block cache ── tables
 *
 * A small bench of what the readers want, as a repair has, without locks and without writing. The
 * readers are those of the store: what they say of a file is what the store would find.
 *
 * Cost: a table's blocks go through the cache, and are dropped from it when the table is closed,
 * for the next file may have the same number.
 */
#include <kv/inspect.h>

#include <string.h>

#include <kv/sst/table.h>

/* Of blocks that iterators hold, and of indexes and filters. */
#define CACHE_BYTES Q_MIB(8)
/* Longer records are not believed. */
#define RECORD_BYTES_MAX Q_GIB(1)
/* Of CURRENT: a name and a newline. */
#define CURRENT_BYTES_MAX 64u

struct kv_inspector {
    struct quarry_vfs *vfs;
    const struct quarry_kv_comparator *comparator;
    struct quarry_account *account;
    struct quarry_lifetime *lifetime;
    struct kv_memory small;
    struct quarry_block_cache *cache;
    struct kv_tables tables;
    bool has_tables;
};

/* ---- the bench ------------------------------------------------------------------------------ */

static enum quarry_status begin_memory(struct kv_inspector *inspector, struct quarry_memory *memory,
                                       struct quarry_pool **ret_pool, struct quarry_error *error)
{
    const struct quarry_account_options account = {.name = "kv-inspect"};
    enum quarry_status status = quarry_account_create(memory, &account, &inspector->account, error);

    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory, "kv inspect", &inspector->lifetime, error);
    }
    return status != QUARRY_OK
               ? status
               : quarry_pool_create(inspector->lifetime, quarry_account_owner(inspector->account),
                                    ret_pool);
}

static enum quarry_status begin_tables(struct kv_inspector *inspector, struct quarry_memory *memory,
                                       struct quarry_error *error)
{
    const struct quarry_block_cache_options cache = {.name = "kv-inspect-block",
                                                     .capacity_bytes = CACHE_BYTES};
    enum quarry_status status = quarry_block_cache_create(memory, &cache, &inspector->cache, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct kv_tables_options tables = {.pool = inspector->small.pool,
                                             .account = inspector->account,
                                             .cache = inspector->cache,
                                             .comparator = inspector->comparator};
    status = kv_tables_init(&inspector->tables, &tables, error);
    inspector->has_tables = status == QUARRY_OK;
    return status;
}

enum quarry_status kv_inspector_create(struct quarry_memory *memory, struct quarry_vfs *vfs,
                                       const struct quarry_kv_comparator *comparator,
                                       struct kv_inspector **ret_inspector,
                                       struct quarry_error *error)
{
    struct kv_inspector begun = {.vfs = vfs == NULL ? quarry_vfs_posix() : vfs,
                                 .comparator = comparator == NULL ? &kv_bytewise : comparator};
    struct kv_inspector *inspector = NULL;
    struct quarry_pool *pool = NULL;
    enum quarry_status status = begin_memory(&begun, memory, &pool, error);

    if (status == QUARRY_OK) {
        begun.small = (struct kv_memory){.account = begun.account, .pool = pool};
        inspector = kv_memory_take(&begun.small, sizeof(*inspector));
        status = inspector != NULL
                     ? QUARRY_OK
                     : error_set(error, QUARRY_NO_MEMORY, "no memory to read files with");
    }
    if (status != QUARRY_OK) {
        if (begun.lifetime != NULL) {
            quarry_lifetime_end(begun.lifetime);
        }
        quarry_account_destroy(begun.account);
        return status;
    }
    *inspector = begun;
    status = begin_tables(inspector, memory, error);
    if (status != QUARRY_OK) {
        kv_inspector_destroy(inspector);
        return status;
    }
    *ret_inspector = inspector;
    return QUARRY_OK;
}

void kv_inspector_destroy(struct kv_inspector *inspector)
{
    if (inspector == NULL) {
        return;
    }
    struct quarry_account *account = inspector->account;
    struct quarry_lifetime *lifetime = inspector->lifetime;
    struct kv_memory small = inspector->small;

    if (inspector->has_tables) {
        kv_tables_fini(&inspector->tables);
    }
    enum quarry_status status = quarry_block_cache_close(inspector->cache);
    Q_ASSERT(status == QUARRY_OK); /* every table and iterator has ended */
    kv_memory_give(&small, inspector);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* The number in a file's name; 0: it has none. */
static uint64_t number_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct kv_file_name name;

    return kv_file_name_parse(slash != NULL ? slash + 1 : path, &name) ? name.number : 0;
}

enum quarry_status kv_inspect_table(struct kv_inspector *inspector, const char *path,
                                    struct kv_table **ret_table, struct quarry_error *error)
{
    const struct kv_table_options options = {.file_number = number_of(path),
                                             .largest_sequence = UINT64_MAX};
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status =
        quarry_vfs_open(inspector->vfs, path, QUARRY_VFS_READ, &file, error);

    if (status == QUARRY_OK) {
        status = kv_table_open(&inspector->tables, &file, &options, ret_table, error);
    }
    if (status != QUARRY_OK) {
        quarry_vfs_close(file);
    }
    return status;
}

void kv_inspect_close(struct kv_table *table)
{
    kv_table_evict(table);
    kv_table_close(table);
}

uint32_t kv_inspect_format_version(const struct kv_table *table)
{
    return table->footer.format_version;
}

static enum quarry_status inspect_block(struct kv_table *table, struct sst_codec *codec,
                                        const struct sst_reading *reading, struct sst_handle handle,
                                        struct kv_inspect_block *ret_block)
{
    const char *raw = NULL, *plain = NULL;
    size_t plain_bytes = 0;
    enum quarry_status status = sst_table_read_raw(table, codec, reading, handle, &raw);

    if (status == QUARRY_OK && !sst_table_checksum_holds(table, raw, handle)) {
        status = sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset,
                                "checksum does not match");
    }
    uint8_t compression = status == QUARRY_OK ? (uint8_t)raw[handle.byte_count] : 0;
    if (status == QUARRY_OK) {
        status = sst_table_uncompress(table, codec, reading, handle, raw, &plain, &plain_bytes);
    }
    *ret_block = (struct kv_inspect_block){.offset = handle.offset,
                                           .stored_bytes = handle.byte_count,
                                           .plain_bytes = plain_bytes,
                                           .compression = compression};
    return status;
}

enum quarry_status kv_inspect_blocks(struct kv_table *table, kv_inspect_block_function *visit,
                                     void *argument, struct quarry_error *error)
{
    const struct sst_reading reading = {.is_background = true, .error = error};
    struct sst_index_position position = {0};
    struct kv_inspect_block block;
    struct sst_codec *codec = NULL;
    enum quarry_status status = sst_codec_take(&table->tables->codecs, &codec);

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory to uncompress blocks with");
    }
    status = sst_position_first(table, &position, &reading);
    while (status == QUARRY_OK && sst_position_is_valid(&position)) {
        status = inspect_block(table, codec, &reading, sst_position_handle(&position), &block);
        if (status != QUARRY_OK || !visit(argument, &block)) {
            break;
        }
        status = sst_position_next(table, &position, &reading);
    }
    sst_position_fini(table, &position);
    sst_codec_give(&table->tables->codecs, codec);
    return status;
}

/* ---- logs and manifests --------------------------------------------------------------------- */

static enum quarry_status visit_records(struct kv_log_reader *reader,
                                        kv_inspect_record_function *visit, void *argument,
                                        struct quarry_error *error)
{
    struct kv_slice record;
    enum quarry_status status;

    while ((status = kv_log_read(reader, &record, error)) == QUARRY_OK) {
        status = visit(argument, record, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum quarry_status kv_inspect_records(struct kv_inspector *inspector, const char *path,
                                      kv_inspect_record_function *visit, void *argument,
                                      struct kv_log_end *ret_end, struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_log_reader *reader = NULL;
    enum quarry_status status =
        quarry_vfs_open(inspector->vfs, path, QUARRY_VFS_READ, &file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = path,
                                                  .memory = &inspector->small,
                                                  .number = number_of(path),
                                                  .record_bytes_max = RECORD_BYTES_MAX};
    status = kv_log_reader_create(&options, &reader, error);
    if (status == QUARRY_OK) {
        status = visit_records(reader, visit, argument, error);
    }
    if (status == QUARRY_OK) {
        kv_log_reader_end(reader, ret_end);
    }
    kv_log_reader_destroy(reader);
    quarry_vfs_close(file);
    return status;
}

enum quarry_status kv_inspect_manifest(struct kv_inspector *inspector, const char *path,
                                       struct kv_manifest_state *ret_state,
                                       struct kv_version **ret_version, struct quarry_error *error)
{
    return kv_manifest_read_file(inspector->vfs, path, &inspector->small, inspector->comparator,
                                 ret_state, ret_version, error);
}

void kv_inspect_edit(struct kv_inspector *inspector, struct kv_edit *edit)
{
    kv_edit_init(edit, &inspector->small);
}

enum quarry_status kv_inspect_current(struct quarry_vfs *vfs, const char *directory,
                                      struct kv_path *ret_path, struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_file_name name;
    struct kv_path path;
    char text[CURRENT_BYTES_MAX + 1] = "";
    size_t count = 0;
    enum quarry_status status = kv_file_path(directory, KV_FILE_CURRENT, 0, &path, error);

    vfs = vfs == NULL ? quarry_vfs_posix() : vfs;
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(vfs, path.text, QUARRY_VFS_READ, &file, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_read(file, 0, text, CURRENT_BYTES_MAX, &count, error);
        quarry_vfs_close(file);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    text[count] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!kv_file_name_parse(text, &name) || name.kind != KV_FILE_MANIFEST) {
        return error_set(error, QUARRY_CORRUPT, "%s: it does not name a manifest", path.text);
    }
    return kv_path_join(directory, text, ret_path, error);
}

/* ---- backups -------------------------------------------------------------------------------- */

static enum quarry_status inspect_file(struct quarry_vfs *vfs, const char *path,
                                       const struct kv_backup_file *file, bool verifies,
                                       uint64_t *byte_count, struct quarry_error *error)
{
    struct kv_file_sum sum = {0};
    struct kv_path full;
    bool is_directory = false;
    enum quarry_status status = kv_path_join(path, file->path, &full, error);

    if (status == QUARRY_OK) {
        status = verifies ? kv_file_sum_of(vfs, full.text, &sum, error)
                          : quarry_vfs_stat(vfs, full.text, &sum.byte_count, &is_directory, error);
    }
    if (status == QUARRY_NOT_FOUND) {
        return error_set(error, QUARRY_CORRUPT, "%s: the backup names it, and it is not there",
                         full.text);
    }
    if (status == QUARRY_OK && verifies && sum.crc != file->crc) {
        return error_set(error, QUARRY_CORRUPT, "%s: its checksum is %u, not %u", full.text,
                         sum.crc, file->crc);
    }
    *byte_count += sum.byte_count;
    return status;
}

enum quarry_status kv_inspect_backup(struct quarry_vfs *vfs, const char *path, uint32_t id,
                                     bool verifies, struct kv_inspect_backup *ret_backup,
                                     struct quarry_error *error)
{
    struct kv_backup_reader reader;
    struct kv_backup_file file;

    vfs = vfs == NULL ? quarry_vfs_posix() : vfs;
    enum quarry_status status = kv_backup_reader_init(&reader, vfs, path, id, error);
    if (status != QUARRY_OK) {
        return status;
    }
    *ret_backup = (struct kv_inspect_backup){.id = id,
                                             .taken_s = reader.taken_s,
                                             .sequence = reader.sequence,
                                             .file_count = reader.file_count};
    while ((status = kv_backup_reader_next(&reader, &file, error)) == QUARRY_OK) {
        status = inspect_file(vfs, path, &file, verifies, &ret_backup->byte_count, error);
        if (status != QUARRY_OK) {
            break;
        }
    }
    bool is_whole = status == QUARRY_NOT_FOUND && reader.file_index == reader.file_count;
    kv_backup_reader_fini(&reader);
    return is_whole ? QUARRY_OK : status;
}
