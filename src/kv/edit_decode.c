/*
 * Reading version edits.
 *
 *     record   tag varint │ fields …   tag │ fields …   …
 *     fields   varints; or a length and bytes; docs/formats/manifest.md lists them
 *
 * A reader takes what it knows, and passes over what it does not and may: tags from 8192 on but the
 * four that have no length, and of a file's own tags those below 64. Anything else is refused, for
 * what it does to the files is not known.
 *
 * A reader is at an offset and has a status: after an error every further read fails, so that a
 * row of reads is looked at once (invariant: status is not OK only if the text is set).
 *
 * What is refused by name: values apart from keys (blobs), keys with timestamps, files on other
 * paths. Logs that RocksDB tracks (tags 8196, 8197, 8199, 8200) are read and passed over: which
 * logs there should be is found out from the files.
 *
 * Locking: none. Cost: O(bytes); an array grows by doubling.
 */
#include <kv/edit.h>

#include <inttypes.h>

#include <kv/edit_tags.h>

struct reader {
    const uint8_t *begin, *at, *end;
    enum quarry_status status;
    struct quarry_error *error;
};

/* ---- leaves --------------------------------------------------------------------------------- */

static void fail(struct reader *reader, enum quarry_status status, const char *what)
{
    if (reader->status == QUARRY_OK) {
        reader->status =
            error_set(reader->error, status, "version edit: %s at byte %zu of %zu", what,
                      (size_t)(reader->at - reader->begin), (size_t)(reader->end - reader->begin));
    }
}

static uint64_t read_u64(struct reader *reader)
{
    uint64_t value = 0;
    size_t length =
        reader->status == QUARRY_OK ? varint_get_u64(reader->at, reader->end, &value) : 0;

    if (length == 0) {
        fail(reader, QUARRY_CORRUPT, "a bad number");
        return 0;
    }
    reader->at += length;
    return value;
}

static uint32_t read_u32(struct reader *reader)
{
    uint32_t value = 0;
    size_t length =
        reader->status == QUARRY_OK ? varint_get_u32(reader->at, reader->end, &value) : 0;

    if (length == 0) {
        fail(reader, QUARRY_CORRUPT, "a bad number of 32 bits");
        return 0;
    }
    reader->at += length;
    return value;
}

static struct kv_slice read_slice(struct reader *reader)
{
    uint32_t count = read_u32(reader);

    if (reader->status != QUARRY_OK || count > (size_t)(reader->end - reader->at)) {
        fail(reader, QUARRY_CORRUPT, "bytes that end too early");
        return (struct kv_slice){"", 0};
    }
    struct kv_slice slice = kv_slice(reader->at, count);
    reader->at += count;
    return slice;
}

static struct kv_key read_key(struct reader *reader)
{
    struct kv_slice slice = read_slice(reader);
    struct kv_key key = {{"", 0}, 0};

    if (reader->status == QUARRY_OK && slice.count < KV_TRAILER_BYTES) {
        fail(reader, QUARRY_CORRUPT, "a key without its trailer");
    }
    if (reader->status == QUARRY_OK) {
        key.user = kv_slice(slice.bytes, slice.count - KV_TRAILER_BYTES);
        key.trailer = endian_load_le_u64(slice.bytes + key.user.count);
    }
    return key;
}

static uint32_t read_level(struct reader *reader)
{
    uint32_t level = read_u32(reader);

    if (level >= QUARRY_KV_LEVELS) {
        fail(reader, QUARRY_UNSUPPORTED, "a level above the sixth");
    }
    return level;
}

/* A reader of a field that has a length: all of it is to be read. */
static struct reader sub_reader(struct reader *reader, struct kv_slice field)
{
    const uint8_t *bytes = (const uint8_t *)field.bytes;

    return (struct reader){bytes, bytes, bytes + field.count, QUARRY_OK, reader->error};
}

static uint64_t field_u64(struct reader *reader, struct kv_slice field)
{
    struct reader inner = sub_reader(reader, field);
    uint64_t value = read_u64(&inner);

    if (inner.status != QUARRY_OK || inner.at != inner.end) {
        fail(reader, QUARRY_CORRUPT, "a file's field that is no number");
    }
    return value;
}

static uint8_t field_u8(struct reader *reader, struct kv_slice field)
{
    if (field.count != 1) {
        fail(reader, QUARRY_CORRUPT, "a file's field that is no byte");
        return 0;
    }
    return (uint8_t)field.bytes[0];
}

/* ---- files ---------------------------------------------------------------------------------- */

static void read_counts(struct reader *reader, struct kv_slice field, struct kv_edit_file *file)
{
    struct reader inner = sub_reader(reader, field);

    file->entry_count = read_u64(&inner);
    file->deletion_count = read_u64(&inner);
    file->range_deletion_count = read_u64(&inner);
    /* More may follow one day. */
    file->has_counts = inner.status == QUARRY_OK;
    if (!file->has_counts) {
        fail(reader, QUARRY_CORRUPT, "a file's counts");
    }
}

static void read_minimum_log(struct reader *reader, struct kv_slice field, struct kv_edit *edit)
{
    if (field.count != sizeof(uint64_t)) {
        fail(reader, QUARRY_CORRUPT, "a file's field that is no number of 8 bytes");
        return;
    }
    edit->minimum_log = endian_load_le_u64(field.bytes);
    edit->has |= KV_EDIT_MINIMUM_LOG;
}

static void read_file_field(struct reader *reader, struct kv_edit *edit, struct kv_edit_file *file,
                            uint32_t tag, struct kv_slice field)
{
    switch (tag) {
    case FILE_TAG_WANTS_COMPACTION:
        file->wants_compaction = field_u8(reader, field) == 1;
        break;
    case FILE_TAG_MINIMUM_LOG:
        read_minimum_log(reader, field, edit);
        break;
    case FILE_TAG_OLDEST_BLOB:
        if (field_u64(reader, field) != 0) {
            fail(reader, QUARRY_UNSUPPORTED, "blob files");
        }
        break;
    case FILE_TAG_OLDEST_ANCESTOR:
        file->oldest_ancestor_s = field_u64(reader, field);
        break;
    case FILE_TAG_CREATED:
        file->created_s = field_u64(reader, field);
        break;
    case FILE_TAG_TEMPERATURE:
        file->temperature = field_u8(reader, field);
        break;
    case FILE_TAG_TIMESTAMP_MIN:
    case FILE_TAG_TIMESTAMP_MAX:
        fail(reader, QUARRY_UNSUPPORTED, "keys with timestamps");
        break;
    case FILE_TAG_PATH:
        if (field_u8(reader, field) != 0) {
            fail(reader, QUARRY_UNSUPPORTED, "files on several paths");
        }
        break;
    case FILE_TAG_QUARRY_COUNTS:
        read_counts(reader, field, file);
        break;
    default: /* checksums of whole files and unique ids too, which nobody asks for */
        if ((tag & FILE_TAG_MUST) != 0) {
            fail(reader, QUARRY_UNSUPPORTED, "a file's field that must be understood");
        }
        break;
    }
}

static void read_file_fields(struct reader *reader, struct kv_edit *edit, struct kv_edit_file *file)
{
    for (;;) {
        uint32_t tag = read_u32(reader);
        if (tag == FILE_TAG_END || reader->status != QUARRY_OK) {
            return;
        }
        struct kv_slice field = read_slice(reader);
        if (reader->status == QUARRY_OK) {
            read_file_field(reader, edit, file, tag, field);
        }
    }
}

/* Sequences of LevelDB's files are not told: the largest key's own is no bound, so any are. */
static void guess_sequences(struct kv_edit_file *file)
{
    file->smallest_sequence = 0;
    file->largest_sequence = KV_SEQUENCE_MAX;
}

static void read_file(struct reader *reader, struct kv_edit *edit, enum edit_tag tag)
{
    struct kv_edit_file file = {.has_sequences = tag != TAG_FILE};

    file.level = read_level(reader);
    file.number = read_u64(reader);
    if (tag == TAG_FILE3 && read_u32(reader) != 0) {
        fail(reader, QUARRY_UNSUPPORTED, "files on several paths");
    }
    file.byte_count = read_u64(reader);
    file.smallest = read_key(reader);
    file.largest = read_key(reader);
    if (tag == TAG_FILE) {
        guess_sequences(&file);
    } else {
        file.smallest_sequence = read_u64(reader);
        file.largest_sequence = read_u64(reader);
    }
    if (tag == TAG_FILE4) {
        read_file_fields(reader, edit, &file);
    }
    if (reader->status == QUARRY_OK) {
        reader->status = kv_edit_add(edit, &file);
    }
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void read_removal(struct reader *reader, struct kv_edit *edit)
{
    uint32_t level = read_level(reader);
    uint64_t number = read_u64(reader);

    if (reader->status == QUARRY_OK) {
        reader->status = kv_edit_remove(edit, level, number);
    }
}

static void read_cursor(struct reader *reader, struct kv_edit *edit)
{
    struct kv_edit_cursor cursor = {.level = read_level(reader)};
    void *array = edit->cursors;

    cursor.key = read_key(reader);
    if (reader->status == QUARRY_OK) {
        reader->status = kv_memory_grow(edit->memory, &array, &edit->cursor_capacity,
                                        edit->cursor_count + 1, sizeof(*edit->cursors));
        edit->cursors = array;
    }
    if (reader->status == QUARRY_OK) {
        edit->cursors[edit->cursor_count++] = cursor;
    }
}

/* A log that was added: its number, then fields until one that ends them; 2 has its synced size. */
static void skip_log(struct reader *reader)
{
    (void)read_u64(reader);
    for (uint32_t tag = read_u32(reader); tag != 1 && reader->status == QUARRY_OK;
         tag = read_u32(reader)) {
        if (tag != 2) {
            fail(reader, QUARRY_CORRUPT, "an unknown field of a log");
        }
        (void)read_u64(reader);
    }
}

static void read_number(struct reader *reader, struct kv_edit *edit, uint64_t *ret_number,
                        enum kv_edit_field field)
{
    *ret_number = read_u64(reader);
    edit->has |= field;
}

static void read_name(struct reader *reader, struct kv_edit *edit, struct kv_slice *ret_name,
                      enum kv_edit_field field)
{
    *ret_name = read_slice(reader);
    edit->has |= field;
}

/* Tags from TAG_IGNORABLE on. */
static void read_ignorable(struct reader *reader, struct kv_edit *edit, uint32_t tag)
{
    switch (tag) {
    case TAG_DB_ID:
        read_name(reader, edit, &edit->db_id, KV_EDIT_DB_ID);
        break;
    case TAG_BLOB_OLD:
    case TAG_BLOB_GARBAGE_OLD:
        fail(reader, QUARRY_UNSUPPORTED, "blob files");
        break;
    case TAG_LOG_ADDED_OLD:
        skip_log(reader);
        break;
    case TAG_LOG_REMOVED_OLD:
        (void)read_u64(reader);
        break;
    case TAG_TIMESTAMP_LOW:
        fail(reader, QUARRY_UNSUPPORTED, "keys with timestamps");
        break;
    default: /* TAG_LOG_ADDED and TAG_LOG_REMOVED too */
        (void)read_slice(reader);
        break;
    }
}

static void read_column_tag(struct reader *reader, struct kv_edit *edit, uint32_t tag)
{
    switch (tag) {
    case TAG_COLUMN:
        edit->column_family = read_u32(reader);
        break;
    case TAG_COLUMN_ADD:
        read_name(reader, edit, &edit->column_name, KV_EDIT_COLUMN_ADD);
        break;
    case TAG_COLUMN_DROP:
        edit->has |= KV_EDIT_COLUMN_DROP;
        break;
    case TAG_COLUMN_MAX:
        edit->column_family_max = read_u32(reader);
        edit->has |= KV_EDIT_COLUMN_MAX;
        break;
    case TAG_GROUP:
        edit->group_rest = read_u32(reader);
        edit->has |= KV_EDIT_GROUP;
        break;
    case TAG_BLOB:
    case TAG_BLOB_GARBAGE:
        fail(reader, QUARRY_UNSUPPORTED, "blob files");
        break;
    default:
        fail(reader, QUARRY_CORRUPT, "an unknown tag");
        break;
    }
}

static void read_tag(struct reader *reader, struct kv_edit *edit, uint32_t tag)
{
    switch (tag) {
    case TAG_COMPARATOR:
        read_name(reader, edit, &edit->comparator, KV_EDIT_COMPARATOR);
        break;
    case TAG_LOG_NUMBER:
        read_number(reader, edit, &edit->log_number, KV_EDIT_LOG_NUMBER);
        break;
    case TAG_NEXT_FILE:
        read_number(reader, edit, &edit->next_file, KV_EDIT_NEXT_FILE);
        break;
    case TAG_LAST_SEQUENCE:
        read_number(reader, edit, &edit->last_sequence, KV_EDIT_LAST_SEQUENCE);
        break;
    case TAG_PREVIOUS_LOG:
        read_number(reader, edit, &edit->previous_log, KV_EDIT_PREVIOUS_LOG);
        break;
    case TAG_MINIMUM_LOG:
        read_number(reader, edit, &edit->minimum_log, KV_EDIT_MINIMUM_LOG);
        break;
    case TAG_CURSOR:
        read_cursor(reader, edit);
        break;
    case TAG_REMOVED:
        read_removal(reader, edit);
        break;
    case TAG_FILE:
    case TAG_FILE2:
    case TAG_FILE3:
    case TAG_FILE4:
        read_file(reader, edit, (enum edit_tag)tag);
        break;
    default:
        if (tag >= TAG_IGNORABLE && (tag & TAG_IGNORABLE) != 0) {
            read_ignorable(reader, edit, tag);
        } else {
            read_column_tag(reader, edit, tag);
        }
        break;
    }
}

enum quarry_status kv_edit_decode(struct kv_edit *edit, struct kv_slice record,
                                  struct quarry_error *error)
{
    const uint8_t *bytes = (const uint8_t *)record.bytes;
    struct reader reader = {bytes, bytes, bytes + record.count, QUARRY_OK, error};

    Q_ASSERT(edit->has == 0 && edit->added_count == 0 && edit->removed_count == 0);
    while (reader.status == QUARRY_OK && reader.at < reader.end) {
        uint32_t tag = read_u32(&reader);
        if (reader.status == QUARRY_OK) {
            edit->has |= tag > TAG_PREVIOUS_LOG ? (uint32_t)KV_EDIT_ROCKSDB_TAGS : 0;
            read_tag(&reader, edit, tag);
        }
    }
    if (reader.status == QUARRY_NO_MEMORY) {
        return error_set(error, QUARRY_NO_MEMORY, "version edit: no memory for %zu files",
                         edit->added_count + edit->removed_count + 1);
    }
    return reader.status;
}
