/*
 * The end of a table: what comes behind the data blocks.
 *
 *     whole          | filter | index | ranges | properties | metaindex | footer |
 *     partitioned    | filter | filter | … | filters' top | index | index | … | top | …
 *
 * Tops are indexes of the pieces: the separator of a piece's last block, and where the piece is.
 * The filters' top has the same keys as the index', and the same form.
 *
 * LevelDB's filters are for stretches of 2 KiB of the file: a block's keys are in that of the
 * offset at which it begins. They are made from the hashes at the end like all others, since the
 * list of blocks says how many there were before each; those of a policy were made on the way
 * (filter_policy.c).
 */
#include <kv/sst/table_writer.h>

#include <string.h>

/* ---- keys ----------------------------------------------------------------------------------- */

enum quarry_status sst_writer_keep_key(struct kv_table_writer *writer, struct sst_buffer *room,
                                       struct kv_key key)
{
    char trailer[KV_TRAILER_BYTES];

    room->count = 0;
    endian_store_le_u64(trailer, key.trailer);
    enum quarry_status status =
        sst_buffer_reserve(writer->heap, room, key.user.count + KV_TRAILER_BYTES);
    if (status == QUARRY_OK) {
        (void)sst_buffer_append(writer->heap, room, key.user.bytes, key.user.count);
        (void)sst_buffer_append(writer->heap, room, trailer, sizeof(trailer));
    }
    return status;
}

enum quarry_status sst_writer_widen(struct kv_table_writer *writer, struct kv_key begin,
                                    struct kv_slice end)
{
    const struct quarry_kv_comparator *comparator = writer->tables->comparator;
    const struct kv_key end_key = {end, kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_RANGE_DELETE)};
    enum quarry_status status = QUARRY_OK;

    if (writer->range_smallest.count == 0) { /* they come in order */
        status = sst_writer_keep_key(writer, &writer->range_smallest, begin);
    }
    if (status == QUARRY_OK &&
        (writer->range_largest.count == 0 ||
         kv_compare(comparator, sst_writer_key_of(&writer->range_largest).user, end) < 0)) {
        status = sst_writer_keep_key(writer, &writer->range_largest, end_key);
    }
    return status;
}

/* ---- the list of blocks --------------------------------------------------------------------- */

static struct sst_index_note note_at(const struct kv_table_writer *writer, size_t at,
                                     struct kv_key *ret_separator, size_t *ret_next)
{
    struct sst_index_note note;

    memcpy(&note, writer->index.bytes + at, sizeof(note));
    *ret_separator = (struct kv_key){
        kv_slice(writer->index.bytes + at + sizeof(note), note.user_bytes), note.trailer};
    *ret_next = at + sizeof(note) + note.user_bytes;
    return note;
}

static struct sst_partition partition_at(const struct kv_table_writer *writer, size_t i)
{
    struct sst_partition partition;

    memcpy(&partition, writer->partitions.bytes + i * sizeof(partition), sizeof(partition));
    return partition;
}

static size_t partition_count(const struct kv_table_writer *writer)
{
    return writer->partitions.count / sizeof(struct sst_partition);
}

static struct sst_block_build index_build(const struct kv_table_writer *writer)
{
    return (struct sst_block_build){.restart_interval = 1,
                                    .has_trailers = !writer->has_user_keys,
                                    .has_value_lengths = writer->is_leveldb};
}

static enum quarry_status add_handle(const struct kv_table_writer *writer,
                                     struct sst_block_build *build, struct kv_key separator,
                                     struct sst_handle handle)
{
    uint8_t room[SST_HANDLE_BYTES_MAX];
    size_t count = sst_handle_put(room, handle);

    return sst_block_build_add(writer->heap, build, separator, kv_slice(room, count));
}

/* Adds the notes in [begin, end) to an index. `ret_last`: the last separator. */
static enum quarry_status add_notes(const struct kv_table_writer *writer,
                                    struct sst_block_build *build, size_t begin, size_t end,
                                    struct kv_key *ret_last)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t at = begin; at < end && status == QUARRY_OK;) {
        const struct sst_index_note note = note_at(writer, at, ret_last, &at);
        status = add_handle(writer, build, *ret_last, note.handle);
    }
    return status;
}

static enum quarry_status put_built(struct kv_table_writer *writer, struct sst_block_build *build,
                                    struct sst_handle *ret_handle)
{
    enum quarry_status status = sst_block_build_finish(writer->heap, build);

    if (status == QUARRY_OK) {
        status = sst_writer_put_block(writer, &build->bytes, true, ret_handle);
    }
    return status;
}

/* ---- the index ------------------------------------------------------------------------------ */

static enum quarry_status put_partitions(struct kv_table_writer *writer,
                                         struct sst_block_build *part, struct sst_block_build *top,
                                         struct sst_handle *ret_handle)
{
    enum quarry_status status = QUARRY_OK;
    uint64_t begin = 0, offset = writer->offset;

    for (size_t i = 0; i < partition_count(writer) && status == QUARRY_OK; i++) {
        const struct sst_partition partition = partition_at(writer, i);
        struct kv_key last = {0};
        struct sst_handle handle;
        sst_block_build_clear(part);
        status = add_notes(writer, part, begin, partition.index_end, &last);
        if (status == QUARRY_OK) {
            status = put_built(writer, part, &handle);
        }
        if (status == QUARRY_OK) {
            status = add_handle(writer, top, last, handle);
        }
        begin = partition.index_end;
    }
    if (status == QUARRY_OK) {
        uint64_t top_offset = writer->offset;
        status = put_built(writer, top, ret_handle);
        writer->properties.index_partition_count = partition_count(writer);
        writer->properties.top_level_index_bytes = writer->offset - top_offset;
        writer->properties.index_bytes = writer->offset - offset;
    }
    return status;
}

enum quarry_status sst_writer_put_index(struct kv_table_writer *writer,
                                        struct sst_handle *ret_handle)
{
    struct sst_block_build build = index_build(writer), top = build;
    struct kv_key last;
    uint64_t offset = writer->offset;
    enum quarry_status status;

    if (writer->options.is_partitioned) {
        status = put_partitions(writer, &build, &top, ret_handle);
    } else {
        status = add_notes(writer, &build, 0, writer->index.count, &last);
        if (status == QUARRY_OK) {
            status = put_built(writer, &build, ret_handle);
        }
        writer->properties.index_bytes = writer->offset - offset;
    }
    writer->properties.index_has_user_keys = writer->has_user_keys;
    sst_block_build_fini(writer->heap, &build);
    sst_block_build_fini(writer->heap, &top);
    return status;
}

/* ---- the filter ----------------------------------------------------------------------------- */

static enum quarry_status put_whole_filter(struct kv_table_writer *writer, struct sst_buffer *bytes,
                                           struct sst_handle *ret_handle)
{
    struct sst_hash_place place = {.piece = writer->hashes.first};
    enum quarry_status status = sst_filter_append(writer->heap, bytes, &place, writer->hashes.count,
                                                  writer->options.bloom_millibits);

    return status != QUARRY_OK ? status : sst_writer_put_block(writer, bytes, false, ret_handle);
}

/* The last separator of a piece. */
static struct kv_key last_separator(const struct kv_table_writer *writer, size_t begin, size_t end)
{
    struct kv_key last = {0};

    for (size_t at = begin; at < end;) {
        (void)note_at(writer, at, &last, &at);
    }
    return last;
}

static enum quarry_status put_filter_parts(struct kv_table_writer *writer, struct sst_buffer *bytes,
                                           struct sst_handle *ret_handle)
{
    struct sst_hash_place place = {.piece = writer->hashes.first};
    struct sst_block_build top = index_build(writer);
    uint64_t hash_begin = 0, index_begin = 0;
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < partition_count(writer) && status == QUARRY_OK; i++) {
        const struct sst_partition partition = partition_at(writer, i);
        struct sst_handle handle;
        bytes->count = 0;
        status = sst_filter_append(writer->heap, bytes, &place, partition.hash_end - hash_begin,
                                   writer->options.bloom_millibits);
        if (status == QUARRY_OK) {
            status = sst_writer_put_block(writer, bytes, false, &handle);
        }
        if (status == QUARRY_OK) {
            status = add_handle(writer, &top,
                                last_separator(writer, index_begin, partition.index_end), handle);
        }
        hash_begin = partition.hash_end;
        index_begin = partition.index_end;
    }
    if (status == QUARRY_OK) {
        status = sst_block_build_finish(writer->heap, &top);
    }
    if (status == QUARRY_OK) {
        status = sst_writer_put_block(writer, &top.bytes, false, ret_handle);
    }
    sst_block_build_fini(writer->heap, &top);
    return status;
}

static enum quarry_status put_u32(const struct kv_table_writer *writer, struct sst_buffer *bytes,
                                  size_t number)
{
    char room[sizeof(uint32_t)];

    endian_store_le_u32(room, (uint32_t)number);
    return sst_buffer_append(writer->heap, bytes, room, sizeof(room));
}

/* LevelDB's filters: appends to `bytes` and `offsets` up to the stretch of a block's offset. */
static enum quarry_status end_stretches(struct kv_table_writer *writer, struct sst_buffer *bytes,
                                        struct sst_buffer *offsets, struct sst_hash_place *place,
                                        uint64_t *hash_count, uint64_t stretch)
{
    enum quarry_status status = QUARRY_OK;

    while (status == QUARRY_OK && offsets->count / sizeof(uint32_t) < stretch) {
        status = put_u32(writer, offsets, bytes->count);
        if (status == QUARRY_OK && *hash_count != 0) {
            status = sst_filter_append_leveldb(writer->heap, bytes, place, *hash_count,
                                               writer->options.bloom_millibits);
        }
        *hash_count = 0;
    }
    return status;
}

static enum quarry_status put_leveldb_filter(struct kv_table_writer *writer,
                                             struct sst_buffer *bytes, struct sst_buffer *offsets,
                                             struct sst_handle *ret_handle)
{
    struct sst_hash_place place = {.piece = writer->hashes.first};
    uint64_t hash_count = 0, hash_end = 0;
    enum quarry_status status = QUARRY_OK;
    const char base = SST_STRETCH_BITS;

    for (size_t at = 0; at < writer->index.count && status == QUARRY_OK;) {
        struct kv_key separator;
        const struct sst_index_note note = note_at(writer, at, &separator, &at);
        status = end_stretches(writer, bytes, offsets, &place, &hash_count,
                               note.handle.offset >> SST_STRETCH_BITS);
        hash_count += note.hash_end - hash_end;
        hash_end = note.hash_end;
    }
    if (status == QUARRY_OK && hash_count != 0) {
        status = end_stretches(writer, bytes, offsets, &place, &hash_count,
                               offsets->count / sizeof(uint32_t) + 1);
    }
    size_t array = bytes->count;
    if (status == QUARRY_OK) {
        status = sst_buffer_append(writer->heap, bytes, offsets->bytes, offsets->count);
    }
    if (status == QUARRY_OK) {
        status = put_u32(writer, bytes, array);
    }
    if (status == QUARRY_OK) {
        status = sst_buffer_append(writer->heap, bytes, &base, 1);
    }
    return status != QUARRY_OK ? status : sst_writer_put_block(writer, bytes, false, ret_handle);
}

static enum quarry_status put_policy_filter(struct kv_table_writer *writer,
                                            struct sst_buffer *bytes, struct sst_handle *ret_handle)
{
    struct kv_slice filters = {0};
    enum quarry_status status = sst_policy_build_finish(writer->heap, &writer->policy, &filters);

    if (status == QUARRY_OK) { /* with room for a trailer, as blocks are */
        status = sst_buffer_append(writer->heap, bytes, filters.bytes, filters.count);
    }
    return status != QUARRY_OK ? status : sst_writer_put_block(writer, bytes, false, ret_handle);
}

enum quarry_status sst_writer_put_filter(struct kv_table_writer *writer,
                                         struct sst_handle *ret_handle)
{
    struct sst_buffer bytes = {0}, offsets = {0};
    uint64_t offset = writer->offset;
    enum quarry_status status;

    if (writer->policy.policy != NULL) {
        status = put_policy_filter(writer, &bytes, ret_handle);
    } else if (writer->is_leveldb) {
        status = put_leveldb_filter(writer, &bytes, &offsets, ret_handle);
    } else if (writer->options.is_partitioned) {
        status = put_filter_parts(writer, &bytes, ret_handle);
    } else {
        status = put_whole_filter(writer, &bytes, ret_handle);
    }
    writer->properties.filter_bytes = writer->offset - offset;
    writer->properties.filter_entry_count = writer->hashes.count;
    sst_buffer_fini(writer->heap, &bytes);
    sst_buffer_fini(writer->heap, &offsets);
    return status;
}

/* ---- the metaindex, and what it leads to ---------------------------------------------------- */

static struct kv_key plain_key(const char *name)
{
    return (struct kv_key){.user = kv_slice(name, strlen(name))};
}

static enum quarry_status put_ranges(struct kv_table_writer *writer, struct sst_handle *ret_handle)
{
    enum quarry_status status = sst_block_build_finish(writer->heap, &writer->ranges);

    return status != QUARRY_OK
               ? status
               : sst_writer_put_block(writer, &writer->ranges.bytes, false, ret_handle);
}

static enum quarry_status put_properties(struct kv_table_writer *writer,
                                         struct sst_handle *ret_handle)
{
    struct sst_block_build build = {.restart_interval = SST_ONE_RESTART, .has_value_lengths = true};
    enum quarry_status status = sst_properties_put(writer->heap, &build, &writer->properties);

    if (status == QUARRY_OK) {
        status = sst_block_build_finish(writer->heap, &build);
    }
    if (status == QUARRY_OK) {
        status = sst_writer_put_block(writer, &build.bytes, false, ret_handle);
    }
    sst_block_build_fini(writer->heap, &build);
    return status;
}

/* Handles of what there is; a block of no bytes is none. */
struct parts {
    struct sst_handle filter, index, ranges, properties, metaindex;
};

/* `room`: SST_POLICY_NAME_BYTES, for a name that is not fixed. */
static const char *filter_name(const struct kv_table_writer *writer, char *room)
{
    if (writer->policy.policy != NULL) {
        return sst_policy_name(writer->policy.policy, room);
    }
    if (writer->is_leveldb) {
        return SST_META_LEVELDB_FILTER;
    }
    return writer->options.is_partitioned ? SST_META_PARTITIONED_FILTER : SST_META_FULL_FILTER;
}

static enum quarry_status put_metaindex(struct kv_table_writer *writer, struct parts *parts)
{
    struct sst_block_build build = {.restart_interval = 1, .has_value_lengths = true};
    char room[SST_POLICY_NAME_BYTES];
    const struct {
        const char *name;
        struct sst_handle handle;
    } entries[] = {
        {filter_name(writer, room), parts->filter},
        {SST_META_PROPERTIES, parts->properties},
        {SST_META_RANGE_DELETES, parts->ranges},
    };
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]) && status == QUARRY_OK; i++) {
        if (entries[i].handle.byte_count != 0) {
            status = add_handle(writer, &build, plain_key(entries[i].name), entries[i].handle);
        }
    }
    if (status == QUARRY_OK) {
        status = sst_block_build_finish(writer->heap, &build);
    }
    if (status == QUARRY_OK) {
        status = sst_writer_put_block(writer, &build.bytes, false, &parts->metaindex);
    }
    sst_block_build_fini(writer->heap, &build);
    return status;
}

static enum quarry_status put_footer(struct kv_table_writer *writer, const struct parts *parts)
{
    char room[SST_FOOTER_BYTES];
    const struct sst_footer footer = {
        .metaindex = parts->metaindex,
        .index = parts->index,
        .format_version = SST_FORMAT_VERSION_MAX,
        .checksum_type = (uint8_t)writer->options.checksum,
        .is_leveldb = writer->is_leveldb,
    };

    return sst_writer_put(writer, room, sst_footer_put(room, &footer));
}

static enum quarry_status put_tail(struct kv_table_writer *writer)
{
    struct parts parts = {0};
    enum quarry_status status = QUARRY_OK;

    if (writer->hashes.count != 0 || writer->policy.policy != NULL) {
        status = sst_writer_put_filter(writer, &parts.filter);
    }
    if (status == QUARRY_OK) {
        status = sst_writer_put_index(writer, &parts.index);
    }
    if (status == QUARRY_OK && writer->ranges.entry_count != 0) {
        status = put_ranges(writer, &parts.ranges);
    }
    if (status == QUARRY_OK && !writer->is_leveldb) {
        status = put_properties(writer, &parts.properties);
    }
    if (status == QUARRY_OK) {
        status = put_metaindex(writer, &parts);
    }
    if (status == QUARRY_OK) {
        status = put_footer(writer, &parts);
    }
    return status;
}

/* ---- finishing ------------------------------------------------------------------------------ */

static void choose_bounds(const struct kv_table_writer *writer, struct kv_table_result *result)
{
    const struct quarry_kv_comparator *comparator = writer->tables->comparator;
    bool has_entries = writer->smallest.count != 0;

    if (has_entries) {
        result->smallest = sst_writer_key_of(&writer->smallest);
        result->largest = sst_writer_key_of(&writer->largest);
    }
    if (writer->range_smallest.count != 0) {
        struct kv_key smallest = sst_writer_key_of(&writer->range_smallest);
        struct kv_key largest = sst_writer_key_of(&writer->range_largest);
        if (!has_entries || kv_compare_keys(comparator, smallest, result->smallest) < 0) {
            result->smallest = smallest;
        }
        if (!has_entries || kv_compare_keys(comparator, largest, result->largest) > 0) {
            result->largest = largest;
        }
    }
}

static enum quarry_status end_entries(struct kv_table_writer *writer)
{
    enum quarry_status status = QUARRY_OK;

    if (writer->smallest.count == 0) { /* range deletions alone: there is nothing to cut */
        writer->options.is_partitioned = false;
        writer->properties.index_type = SST_INDEX_BINARY;
        return QUARRY_OK;
    }
    status = sst_writer_keep_key(writer, &writer->largest, sst_writer_last_key(writer));
    if (status == QUARRY_OK) {
        status = sst_writer_end_block(writer);
    }
    return status != QUARRY_OK ? status : sst_writer_note_block(writer, NULL);
}

enum quarry_status kv_table_writer_finish(struct kv_table_writer *writer,
                                          struct kv_table_result *ret_result,
                                          struct quarry_error *error)
{
    if (writer->failure != QUARRY_OK) {
        return sst_writer_fail(writer, writer->failure, "", error);
    }
    Q_ASSERT(!writer->is_finished);
    if (writer->properties.entry_count == 0) {
        return sst_writer_fail(writer, QUARRY_BAD_INPUT, "nothing was added", error);
    }
    enum quarry_status status = end_entries(writer);
    if (status == QUARRY_OK) {
        status = put_tail(writer);
    }
    if (status == QUARRY_OK) {
        status = sst_writer_flush(writer);
    }
    if (status == QUARRY_OK && writer->options.syncs) {
        status = writer->failure = quarry_vfs_sync(writer->file, &writer->failure_error);
    }
    if (status != QUARRY_OK) {
        return sst_writer_fail(writer, status, "the table could not be finished", error);
    }
    Q_ASSERT(writer->written == writer->offset);
    writer->is_finished = true;
    struct kv_table_result result = {.file_bytes = writer->offset,
                                     .smallest_sequence = writer->smallest_sequence,
                                     .largest_sequence = writer->largest_sequence,
                                     .entry_count = writer->properties.entry_count,
                                     .delete_count = writer->properties.delete_count,
                                     .range_delete_count = writer->properties.range_delete_count,
                                     .properties = writer->properties};
    choose_bounds(writer, &result);
    *ret_result = result;
    return QUARRY_OK;
}
