/*
 * Writing version edits, so that RocksDB 7.8 reads them; or LevelDB 1.23, for a directory that is
 * to stay its own.
 *
 *     {comparator} {log} {previous log} {minimum log} {next file} {last sequence} {db id}
 *     {removed}* {file}*
 *
 * A file is written by tag 103 always: with the older ones RocksDB takes sequences for granted that
 * are not there. Of a file's own fields these are written: 5 and 6, the times, as RocksDB does, and
 * 49, Quarry's counts, which others pass over; 2 and 9 where they say something; and never 12,
 * which would have RocksDB compute the same number from the file's properties and compare.
 *
 * The size is computed by the same walk that writes: a writer with no room only counts
 * (invariant: both take the same branches, or the last line's assertion fails).
 *
 * Locking: none. Cost: O(bytes), twice.
 */
#include <kv/edit.h>

#include <kv/edit_tags.h>

/* Counts; and writes where there is room. */
struct writer {
    char *at; /* NULL: it only counts */
    size_t byte_count;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t count)
{
    if (writer->at != NULL && count != 0) {
        memcpy(writer->at + writer->byte_count, bytes, count);
    }
    writer->byte_count += count;
}

static void put_u64(struct writer *writer, uint64_t value)
{
    uint8_t bytes[VARINT_U64_BYTES_MAX];

    put_bytes(writer, bytes, varint_put_u64(bytes, value));
}

static void put_slice(struct writer *writer, struct kv_slice slice)
{
    put_u64(writer, slice.count);
    put_bytes(writer, slice.bytes, slice.count);
}

static void put_key(struct writer *writer, struct kv_key key)
{
    uint8_t trailer[KV_TRAILER_BYTES];

    endian_store_le_u64(trailer, key.trailer);
    put_u64(writer, key.user.count + KV_TRAILER_BYTES);
    put_bytes(writer, key.user.bytes, key.user.count);
    put_bytes(writer, trailer, sizeof(trailer));
}

static void put_tagged(struct writer *writer, const struct kv_edit *edit, enum kv_edit_field field,
                       enum edit_tag tag, uint64_t value)
{
    if ((edit->has & field) != 0) {
        put_u64(writer, tag);
        put_u64(writer, value);
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

static void put_field_u64(struct writer *writer, enum edit_file_tag tag, uint64_t value)
{
    put_u64(writer, tag);
    put_u64(writer, varint_length_u64(value));
    put_u64(writer, value);
}

static void put_field_u8(struct writer *writer, enum edit_file_tag tag, uint8_t value)
{
    put_u64(writer, tag);
    put_u64(writer, 1);
    put_bytes(writer, &value, 1);
}

static void put_counts(struct writer *writer, const struct kv_edit_file *file)
{
    put_u64(writer, FILE_TAG_QUARRY_COUNTS);
    put_u64(writer, varint_length_u64(file->entry_count) + varint_length_u64(file->deletion_count) +
                        varint_length_u64(file->range_deletion_count));
    put_u64(writer, file->entry_count);
    put_u64(writer, file->deletion_count);
    put_u64(writer, file->range_deletion_count);
}

static void put_file_fields(struct writer *writer, const struct kv_edit_file *file)
{
    if (file->wants_compaction) {
        put_field_u8(writer, FILE_TAG_WANTS_COMPACTION, 1);
    }
    put_field_u64(writer, FILE_TAG_OLDEST_ANCESTOR, file->oldest_ancestor_s);
    put_field_u64(writer, FILE_TAG_CREATED, file->created_s);
    if (file->temperature != 0) {
        put_field_u8(writer, FILE_TAG_TEMPERATURE, file->temperature);
    }
    if (file->has_counts) {
        put_counts(writer, file);
    }
    put_u64(writer, FILE_TAG_END);
}

static void put_file(struct writer *writer, const struct kv_edit_file *file, enum kv_edit_form form)
{
    bool is_rocksdb = form == KV_EDIT_ROCKSDB;

    put_u64(writer, is_rocksdb ? TAG_FILE4 : TAG_FILE);
    put_u64(writer, file->level);
    put_u64(writer, file->number);
    put_u64(writer, file->byte_count);
    put_key(writer, file->smallest);
    put_key(writer, file->largest);
    if (is_rocksdb) {
        put_u64(writer, file->smallest_sequence);
        put_u64(writer, file->largest_sequence);
        put_file_fields(writer, file);
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void put_edit(struct writer *writer, const struct kv_edit *edit, enum kv_edit_form form)
{
    if ((edit->has & KV_EDIT_COMPARATOR) != 0) {
        put_u64(writer, TAG_COMPARATOR);
        put_slice(writer, edit->comparator);
    }
    put_tagged(writer, edit, KV_EDIT_LOG_NUMBER, TAG_LOG_NUMBER, edit->log_number);
    put_tagged(writer, edit, KV_EDIT_PREVIOUS_LOG, TAG_PREVIOUS_LOG, edit->previous_log);
    put_tagged(writer, edit, KV_EDIT_NEXT_FILE, TAG_NEXT_FILE, edit->next_file);
    put_tagged(writer, edit, KV_EDIT_LAST_SEQUENCE, TAG_LAST_SEQUENCE, edit->last_sequence);
    if (form == KV_EDIT_ROCKSDB) {
        put_tagged(writer, edit, KV_EDIT_MINIMUM_LOG, TAG_MINIMUM_LOG, edit->minimum_log);
        if ((edit->has & KV_EDIT_DB_ID) != 0) {
            put_u64(writer, TAG_DB_ID);
            put_slice(writer, edit->db_id);
        }
    }
    for (size_t i = 0; i < edit->removed_count; i++) {
        put_u64(writer, TAG_REMOVED);
        put_u64(writer, edit->removed[i].level);
        put_u64(writer, edit->removed[i].number);
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        put_file(writer, &edit->added[i], form);
    }
}

size_t kv_edit_encoded_bytes(const struct kv_edit *edit, enum kv_edit_form form)
{
    struct writer writer = {NULL, 0};

    put_edit(&writer, edit, form);
    return writer.byte_count;
}

size_t kv_edit_encode(const struct kv_edit *edit, enum kv_edit_form form, char *room)
{
    struct writer writer = {room, 0};

    Q_ASSERT(edit->column_family == 0 && (edit->has & KV_EDIT_GROUP) == 0);
    put_edit(&writer, edit, form);
    Q_DCHECK(writer.byte_count == kv_edit_encoded_bytes(edit, form));
    return writer.byte_count;
}
