/*
 * Making files to be ingested.
 *
 * A table with RocksDB's two properties of an external file, all sequences 0, so that
 * `ldb ingest_extern_sst` takes it as well. Keys rise, and each is there once: an entry more of the
 * same key would be a second version at the same sequence, of which a reader could see either.
 *
 * The file is made under its own name and must not be there before. It is durable, and so is its
 * name, when finishing returns.
 *
 * Locking: none; a writer is one thread's. Memory: the table writer's, and a key.
 */
#include <kv/file_writer.h>

#include <string.h>

#include <kv/copy.h>

struct quarry_kv_file_writer {
    struct quarry_kv *kv; /* borrowed */
    struct quarry_vfs_file *file;
    struct kv_table_writer *table;
    struct quarry_kv_buffer last_key;
    uint64_t key_count;
    struct kv_path path;
};

static void destroy(struct quarry_kv_file_writer *writer)
{
    kv_table_writer_destroy(writer->table);
    quarry_vfs_close(writer->file);
    kv_buffer_fini(&writer->last_key);
    kv_memory_give(&writer->kv->small[KV_PART_COMPACTION], writer);
}

void kv_file_writer_options(struct quarry_kv *kv, struct kv_table_write_options *ret_options)
{
    kv_table_write_options_of(kv, QUARRY_KV_LEVELS - 1, 0, ret_options);
    ret_options->is_ingestible = true;
    ret_options->syncs = true;
}

static enum quarry_status open_table(struct quarry_kv_file_writer *writer,
                                     struct quarry_error *error)
{
    struct quarry_kv *kv = writer->kv;
    struct kv_table_write_options options;
    enum quarry_status status = quarry_vfs_open(
        kv->vfs, writer->path.text, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE,
        &writer->file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    kv_file_writer_options(kv, &options);
    status = kv_table_writer_create(&kv->tables, writer->file, &options, &writer->table, error);
    if (status != QUARRY_OK) {
        (void)quarry_vfs_remove(kv->vfs, writer->path.text, NULL);
    }
    return status;
}

enum quarry_status quarry_kv_file_writer_create(struct quarry_kv *kv, const char *path,
                                                struct quarry_kv_file_writer **ret_writer,
                                                struct quarry_error *error)
{
    struct kv_memory *memory = &kv->small[KV_PART_COMPACTION];
    size_t path_length = strlen(path);

    if (kv->form == KV_EDIT_LEVELDB) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "'%.64s': files in LevelDB's format cannot be ingested", path);
    }
    if (path_length >= QUARRY_VFS_PATH_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "path of %zu bytes, at most %u", path_length,
                         QUARRY_VFS_PATH_BYTES_MAX - 1);
    }
    struct quarry_kv_file_writer *writer = kv_memory_take(memory, sizeof(*writer));
    if (writer == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "'%.64s': no memory to write it", path);
    }
    writer->kv = kv;
    memcpy(writer->path.text, path, path_length + 1);
    kv_buffer_init(&writer->last_key, memory, kv->options.key_bytes_max);
    enum quarry_status status = open_table(writer, error);
    if (status != QUARRY_OK) {
        destroy(writer);
        return status;
    }
    *ret_writer = writer;
    return QUARRY_OK;
}

static enum quarry_status check(const struct quarry_kv_file_writer *writer, struct kv_slice key,
                                size_t value_bytes, struct quarry_error *error)
{
    const struct quarry_kv *kv = writer->kv;

    if (key.count > kv->options.key_bytes_max) {
        return error_set(error, QUARRY_TOO_LARGE, "key of %zu bytes, at most %llu", key.count,
                         (unsigned long long)kv->options.key_bytes_max);
    }
    if (value_bytes > kv->options.value_bytes_max) {
        return error_set(error, QUARRY_TOO_LARGE, "value of %zu bytes, at most %llu", value_bytes,
                         (unsigned long long)kv->options.value_bytes_max);
    }
    if (writer->key_count != 0 &&
        kv_compare(kv->comparator, kv_buffer_slice(&writer->last_key), key) >= 0) {
        return error_set(error, QUARRY_BAD_INPUT, "%.100s: key %llu is not after the one before it",
                         writer->path.text, (unsigned long long)writer->key_count);
    }
    return QUARRY_OK;
}

static enum quarry_status add(struct quarry_kv_file_writer *writer, struct kv_slice key,
                              enum kv_type type, struct kv_slice value, struct quarry_error *error)
{
    const struct kv_key internal = {key, kv_trailer(0, type)};
    enum quarry_status status = check(writer, key, value.count, error);

    if (status != QUARRY_OK) {
        return status;
    }
    kv_buffer_clear(&writer->last_key);
    status = quarry_kv_buffer_append(&writer->last_key, key.bytes, key.count);
    if (status != QUARRY_OK) {
        return error_set(error, status, "%.100s: no memory for a key of %zu bytes",
                         writer->path.text, key.count);
    }
    status = kv_table_writer_add(writer->table, internal, value, error);
    if (status == QUARRY_OK) {
        writer->key_count++;
    }
    return status;
}

enum quarry_status quarry_kv_file_writer_put(struct quarry_kv_file_writer *writer, const void *key,
                                             size_t key_bytes, const void *value,
                                             size_t value_bytes, struct quarry_error *error)
{
    return add(writer, kv_slice(key, key_bytes), KV_TYPE_PUT, kv_slice(value, value_bytes), error);
}

enum quarry_status quarry_kv_file_writer_delete(struct quarry_kv_file_writer *writer,
                                                const void *key, size_t key_bytes,
                                                struct quarry_error *error)
{
    return add(writer, kv_slice(key, key_bytes), KV_TYPE_DELETE, kv_slice("", 0), error);
}

enum quarry_status quarry_kv_file_writer_finish(struct quarry_kv_file_writer *writer,
                                                struct quarry_error *error)
{
    struct kv_table_result result;
    enum quarry_status status = kv_table_writer_finish(writer->table, &result, error);

    if (status == QUARRY_OK) {
        status = kv_directory_sync_parent(writer->kv->vfs, writer->path.text, error);
    }
    if (status != QUARRY_OK) {
        quarry_kv_file_writer_abort(writer);
        return status;
    }
    destroy(writer);
    return QUARRY_OK;
}

void quarry_kv_file_writer_abort(struct quarry_kv_file_writer *writer)
{
    (void)quarry_vfs_remove(writer->kv->vfs, writer->path.text, NULL);
    destroy(writer);
}
