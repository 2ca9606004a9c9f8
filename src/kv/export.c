/*
 * Writing what an iterator sees to a file that can be ingested: here, or by RocksDB.
 *
 * Deletions are not in it, for there is nothing that they would delete: ingested into a store that
 * has other keys in the range, the file adds to them.
 *
 * A range without keys makes no file, for a table without entries cannot be: QUARRY_NOT_FOUND.
 *
 * Locking: none. Cost: an iteration that leaves no trace in the block cache, and a table.
 */
#include <kv/store.h>

static enum quarry_status write_keys(struct quarry_kv_iterator *iterator,
                                     struct quarry_kv_file_writer *writer, uint64_t *ret_count,
                                     struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    bool is_valid = quarry_kv_iterator_first(iterator);

    *ret_count = 0;
    while (is_valid && status == QUARRY_OK) {
        struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
        struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);
        status = quarry_kv_file_writer_put(writer, key.bytes, key.byte_count, value.bytes,
                                           value.byte_count, error);
        (*ret_count)++;
        is_valid = quarry_kv_iterator_next(iterator);
    }
    return status != QUARRY_OK ? status : quarry_kv_iterator_status(iterator, error);
}

static enum quarry_status export_from(struct quarry_kv *kv, struct quarry_kv_iterator *iterator,
                                      const char *path, uint64_t *ret_count,
                                      struct quarry_error *error)
{
    struct quarry_kv_file_writer *writer;
    enum quarry_status status = quarry_kv_file_writer_create(kv, path, &writer, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = write_keys(iterator, writer, ret_count, error);
    if (status == QUARRY_OK && *ret_count == 0) {
        status = error_set(error, QUARRY_NOT_FOUND, "'%.100s': no key is in the range", path);
    }
    if (status != QUARRY_OK) {
        quarry_kv_file_writer_abort(writer);
        return status;
    }
    return quarry_kv_file_writer_finish(writer, error);
}

enum quarry_status quarry_kv_export(struct quarry_kv *kv,
                                    const struct quarry_kv_read_options *options, const char *path,
                                    uint64_t *ret_key_count, struct quarry_error *error)
{
    struct quarry_kv_read_options read = {0};
    struct quarry_kv_iterator *iterator;
    uint64_t count;

    if (options != NULL) {
        read = *options;
    }
    read.leaves_no_trace = true;
    enum quarry_status status = quarry_kv_iterate(kv, &read, &iterator, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = export_from(kv, iterator, path, &count, error);
    quarry_kv_iterator_destroy(iterator);
    if (status == QUARRY_OK && ret_key_count != NULL) {
        *ret_key_count = count;
    }
    return status;
}
