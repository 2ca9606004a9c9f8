/*
 * Bringing a file into the store's directory, and looking through it.
 *
 *     source ──link, or copy──> 000031.sst ──open──> verified, every entry seen
 *                                   │ version 1: rewritten as version 2
 *                                   └──────────> 000032.sst
 *
 * What is looked through is what will be read later, not the source, which somebody may still be
 * writing to. A link is the same file, and no better than its maker; `keeps` copies.
 *
 * The file comes from outside, so nothing in it is believed: all blocks are checked, in order and
 * against their properties, and no entry may have a sequence of its own: they all get one, by what
 * the manifest says (docs/formats/sst.md). RocksDB's first version of such files had no room for
 * that, and RocksDB would read those as older than everything; they are rewritten.
 *
 * Cost: two readings of the file, the second from the page cache; copying it where it is not
 * linked.
 */
#include <kv/ingest_file.h>

#include <inttypes.h>
#include <stdio.h>

#include <kv/background_parts.h>
#include <kv/copy.h>
#include <kv/file_writer.h>

/* Of those that RocksDB's SstFileWriter makes. */
#define EXTERNAL_VERSION_OLD 1u
#define EXTERNAL_VERSION     2u

void kv_ingest_file_init(struct kv_ingest_file *file, struct quarry_kv *kv, const char *source)
{
    struct kv_memory *memory = &kv->small[KV_PART_COMPACTION];

    memset(file, 0, sizeof(*file));
    file->kv = kv;
    file->source = source;
    kv_buffer_init(&file->smallest, memory, QUARRY_KV_KEY_BYTES_MAX);
    kv_buffer_init(&file->largest, memory, QUARRY_KV_KEY_BYTES_MAX);
}

void kv_ingest_file_fini(struct kv_ingest_file *file, bool removes)
{
    Q_ASSERT(!file->is_picked);
    if (file->is_there && removes) {
        kv_files_discard(file->kv, file->number);
    }
    kv_buffer_fini(&file->smallest);
    kv_buffer_fini(&file->largest);
}

struct kv_key_range kv_ingest_file_range(const struct kv_ingest_file *file)
{
    return (struct kv_key_range){.begin = kv_buffer_slice(&file->smallest),
                                 .end = kv_buffer_slice(&file->largest),
                                 .is_end_open = file->is_end_open};
}

struct kv_edit_file kv_ingest_file_describe(const struct kv_ingest_file *file, uint64_t sequence)
{
    uint64_t end = file->is_end_open ? KV_SEQUENCE_MAX : sequence;
    uint64_t now_s = quarry_vfs_wall_ns(file->kv->vfs) / 1000000000u;

    return (struct kv_edit_file){
        .level = file->level,
        .number = file->number,
        .byte_count = file->byte_count,
        .smallest = {kv_buffer_slice(&file->smallest),
                     kv_trailer(sequence, (enum kv_type)file->smallest_type)},
        .largest = {kv_buffer_slice(&file->largest),
                    kv_trailer(end, (enum kv_type)file->largest_type)},
        .smallest_sequence = sequence,
        .largest_sequence = sequence,
        .oldest_ancestor_s = now_s,
        .created_s = now_s,
        .entry_count = file->entry_count,
        .deletion_count = file->delete_count,
        .range_deletion_count = file->range_count,
        .has_counts = true,
        .has_sequences = true,
    };
}

/* ---- keys ----------------------------------------------------------------------------------- */

static enum quarry_status keep(struct quarry_kv_buffer *buffer, struct kv_slice key)
{
    kv_buffer_clear(buffer);
    return quarry_kv_buffer_append(buffer, key.bytes, key.count);
}

static enum quarry_status widen_down(struct kv_ingest_file *file, struct kv_slice key, uint8_t type)
{
    bool is_first = file->entry_count + file->range_count == 0;

    if (!is_first && kv_compare(file->kv->comparator, kv_buffer_slice(&file->smallest), key) <= 0) {
        return QUARRY_OK;
    }
    file->smallest_type = type;
    return keep(&file->smallest, key);
}

/* `is_end`: the key itself is not in the file. */
static enum quarry_status widen_up(struct kv_ingest_file *file, struct kv_slice key, uint8_t type,
                                   bool is_end)
{
    bool is_first = file->entry_count + file->range_count == 0;
    int order =
        is_first ? -1 : kv_compare(file->kv->comparator, kv_buffer_slice(&file->largest), key);

    if (order > 0 || (order == 0 && (is_end || !file->is_end_open))) {
        return QUARRY_OK;
    }
    file->largest_type = type;
    file->is_end_open = is_end;
    return keep(&file->largest, key);
}

static enum quarry_status refuse(const struct kv_ingest_file *file, struct quarry_error *error,
                                 enum quarry_status status, const char *what)
{
    return error_set(error, status, "%.128s: %s", file->source, what);
}

/* ---- looking through ------------------------------------------------------------------------ */

/*
 * Goes over the entries. `writer`: takes them too; NULL: none.
 */
static enum quarry_status see_entries(struct kv_ingest_file *file, struct kv_table *table,
                                      struct kv_table_writer *writer, struct quarry_error *error)
{
    const struct kv_table_iterator_options options = {.is_background = true,
                                                      .readahead_bytes = 256u << 10};
    struct kv_table_iterator iterator;
    struct kv_iterator *base = &iterator.base;
    enum quarry_status status = QUARRY_OK;

    kv_table_iterator_init(&iterator, table, &options, error);
    for (base->ops->first(base); base->is_valid && status == QUARRY_OK; base->ops->next(base)) {
        uint8_t type = (uint8_t)kv_trailer_type(base->key.trailer);
        if (kv_trailer_sequence(base->key.trailer) != 0) {
            status = refuse(file, error, QUARRY_BAD_INPUT, "a key has a sequence of its own");
        } else if (file->entry_count != 0 &&
                   kv_compare(file->kv->comparator, kv_buffer_slice(&file->largest),
                              base->key.user) == 0) {
            status = refuse(file, error, QUARRY_BAD_INPUT, "a key is there twice");
        } else if (writer != NULL) {
            status = kv_table_writer_add(writer, base->key, base->value, error);
        }
        if (status == QUARRY_OK) {
            status = widen_down(file, base->key.user, type);
        }
        if (status == QUARRY_OK) {
            status = widen_up(file, base->key.user, type, false);
        }
        file->delete_count += type == KV_TYPE_DELETE || type == KV_TYPE_SINGLE_DELETE;
        file->entry_count++;
    }
    status = status != QUARRY_OK ? status : base->status;
    base->ops->fini(base);
    return status;
}

static enum quarry_status see_ranges(struct kv_ingest_file *file, const struct kv_table *table,
                                     struct kv_table_writer *writer, struct quarry_error *error)
{
    size_t count;
    const struct kv_table_range *ranges = kv_table_ranges(table, &count);
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        const struct kv_table_range *range = &ranges[i];
        if (range->sequence != 0) {
            return refuse(file, error, QUARRY_BAD_INPUT, "a deletion has a sequence of its own");
        }
        if (kv_compare(file->kv->comparator, range->begin, range->end) >= 0) {
            continue;
        }
        if (writer != NULL) {
            status = kv_table_writer_add_range_delete(writer, range->begin, range->end, 0, error);
        }
        if (status == QUARRY_OK) {
            status = widen_down(file, range->begin, KV_TYPE_RANGE_DELETE);
        }
        if (status == QUARRY_OK) {
            status = widen_up(file, range->end, KV_TYPE_RANGE_DELETE, true);
        }
        file->range_count++;
    }
    return status;
}

static enum quarry_status see_all(struct kv_ingest_file *file, struct kv_table *table,
                                  struct kv_table_writer *writer, struct quarry_error *error)
{
    const struct kv_table_properties *properties = kv_table_properties(table);

    if (properties->merge_count != 0 && file->kv->merge_operator == NULL) {
        return refuse(file, error, QUARRY_UNSUPPORTED,
                      "it has merges, and the store has no merge operator");
    }
    enum quarry_status status = kv_table_verify(table, error);
    if (status == QUARRY_OK) {
        status = see_entries(file, table, writer, error);
    }
    if (status == QUARRY_OK) {
        status = see_ranges(file, table, writer, error);
    }
    if (status == QUARRY_OK && file->entry_count + file->range_count == 0) {
        return refuse(file, error, QUARRY_BAD_INPUT, "it has no entry");
    }
    return status;
}

/* ---- the first version ---------------------------------------------------------------------- */

static enum quarry_status write_anew(struct kv_ingest_file *file, struct kv_table *table,
                                     struct quarry_vfs_file *to, struct quarry_error *error)
{
    struct kv_table_write_options options;
    struct kv_table_writer *writer;
    struct kv_table_result result;

    kv_file_writer_options(file->kv, &options);
    options.file_number = file->number;
    enum quarry_status status =
        kv_table_writer_create(&file->kv->tables, to, &options, &writer, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = see_all(file, table, writer, error);
    if (status == QUARRY_OK) {
        status = kv_table_writer_finish(writer, &result, error);
    }
    if (status == QUARRY_OK) {
        file->byte_count = result.file_bytes;
    }
    kv_table_writer_destroy(writer);
    return status;
}

/* Under another number; what was brought goes. */
static enum quarry_status rewrite(struct kv_ingest_file *file, struct kv_table *table,
                                  struct quarry_error *error)
{
    struct quarry_vfs *vfs = file->kv->vfs;
    struct quarry_vfs_file *to = NULL;
    struct kv_path before = file->path;

    file->number = kv_new_file_number(file->kv);
    enum quarry_status status =
        kv_file_path(file->kv->path, KV_FILE_TABLE, file->number, &file->path, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(vfs, file->path.text,
                                 QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE, &to,
                                 error);
    }
    if (status != QUARRY_OK) {
        file->path = before;
        return status;
    }
    (void)quarry_vfs_remove(vfs, before.text, NULL);
    status = write_anew(file, table, to, error);
    quarry_vfs_close(to);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum quarry_status look_through(struct kv_ingest_file *file, struct quarry_error *error)
{
    const struct kv_table_options options = {.file_number = file->number,
                                             .largest_sequence = UINT64_MAX};
    struct quarry_vfs_file *opened = NULL;
    struct kv_table *table;
    enum quarry_status status =
        quarry_vfs_open(file->kv->vfs, file->path.text, QUARRY_VFS_READ, &opened, error);

    if (status == QUARRY_OK) {
        status = kv_table_open(&file->kv->tables, &opened, &options, &table, error);
    }
    if (status != QUARRY_OK) {
        quarry_vfs_close(opened);
        return status;
    }
    const struct kv_table_properties *properties = kv_table_properties(table);
    file->byte_count = kv_table_file_bytes(table);
    if (properties->external_version == EXTERNAL_VERSION && properties->global_sequence == 0) {
        status = see_all(file, table, NULL, error);
    } else if (properties->external_version == EXTERNAL_VERSION_OLD) {
        status = rewrite(file, table, error);
    } else {
        status = refuse(file, error, QUARRY_BAD_INPUT,
                        properties->external_version == EXTERNAL_VERSION
                            ? "it has been ingested before, into another store"
                            : "it was not made to be ingested");
    }
    kv_table_evict(table);
    kv_table_close(table);
    return status;
}

static enum quarry_status bring_in(struct kv_ingest_file *file, bool keeps,
                                   struct quarry_error *error)
{
    struct quarry_kv *kv = file->kv;

    file->number = kv_new_file_number(kv);
    enum quarry_status status =
        kv_file_path(kv->path, KV_FILE_TABLE, file->number, &file->path, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = keeps ? kv_file_copy(kv->vfs, file->source, file->path.text, NULL, error)
                   : kv_file_share(kv->vfs, file->source, file->path.text, error);
    file->is_there = status == QUARRY_OK;
    if (status == QUARRY_OK && !keeps) {
        status = kv_file_sync(kv->vfs, file->path.text, error);
    }
    return status;
}

enum quarry_status kv_ingest_file_bring(struct kv_ingest_file *file, bool keeps,
                                        struct quarry_error *error)
{
    struct quarry_error found = {0};
    enum quarry_status status = bring_in(file, keeps, &found);

    if (status == QUARRY_OK) {
        status = look_through(file, &found);
    }
    if (status == QUARRY_NO_MEMORY && found.text[0] == '\0') {
        return error_set(error, status, "%.128s: no memory to ingest it", file->source);
    }
    if (status != QUARRY_OK && strstr(found.text, file->source) == NULL) {
        return error_set(error, status, "%.100s: %.140s", file->source, found.text);
    }
    if (status != QUARRY_OK && error != NULL) {
        *error = found;
    }
    return status;
}
