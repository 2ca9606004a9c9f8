/*
 * Opening tables.
 *
 *     footer ──→ metaindex ──→ properties, range deletions, dictionary, filter's handle
 *        └─────→ index's handle
 *
 * The last bytes of the file are read at once, since metaindex and properties stand there. What a
 * table says of itself is taken with caution: properties may be absent (old files, LevelDB's), and
 * then the index has internal keys and full values. What cannot be read rightly is refused by name:
 * another comparator, a later format.
 *
 * An ingested file's entries have sequence 0; the manifest, or the file itself, says which one they
 * are to have. Where RocksDB has written it into the file afterwards, the properties' checksum is
 * still that from before: it is compared again with the number taken out.
 *
 * Range deletions are few and wanted whole: they are copied, sorted, and kept with the table.
 *
 * Memory: some 2 KiB, the range deletions and the dictionary, charged to the store's account; with
 * `is_pinned` also index and filter, which are blocks of the cache.
 *
 * Locking: none; an open table does not change.
 */
#include <kv/sst/table.h>

#include <string.h>

#include <kv/sst/filter_policy.h>

/* What is read of the end of the file at first: footer, metaindex and properties, mostly. */
#define TAIL_BYTES 4096u

/* ---- the footer ----------------------------------------------------------------------------- */

/* An opening under way. */
struct opening {
    struct kv_table *table;
    struct sst_codec *codec;
    struct sst_readahead tail;
    struct sst_reading reading;
    struct sst_handle properties, ranges, dictionary;
};

static enum quarry_status find_size(struct opening *opening, uint64_t wanted_bytes)
{
    struct kv_table *table = opening->table;
    enum quarry_status status =
        quarry_vfs_size(table->file, &table->file_bytes, opening->reading.error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (wanted_bytes != 0 && table->file_bytes != wanted_bytes) {
        return sst_table_fail(table, opening->reading.error, QUARRY_CORRUPT, table->file_bytes,
                              "the file has another size than the manifest says");
    }
    return QUARRY_OK;
}

static enum quarry_status read_tail(struct opening *opening)
{
    struct kv_table *table = opening->table;
    struct sst_readahead *tail = &opening->tail;
    size_t wanted = table->file_bytes < TAIL_BYTES ? (size_t)table->file_bytes : TAIL_BYTES;
    size_t count = 0;

    if (wanted < SST_FOOTER_OLD_BYTES) {
        return sst_table_fail(table, opening->reading.error, QUARRY_CORRUPT, wanted,
                              "the file is too short for a table");
    }
    enum quarry_status status = sst_buffer_reserve(&table->tables->heap, &tail->bytes, wanted);
    if (status != QUARRY_OK) {
        return sst_table_fail(table, opening->reading.error, status, 0, "no memory to open it");
    }
    tail->offset = table->file_bytes - wanted;
    status = quarry_vfs_read(table->file, tail->offset, tail->bytes.bytes, wanted, &count,
                             opening->reading.error);
    tail->bytes.count = count;
    if (status == QUARRY_OK && count != wanted) {
        status = sst_table_fail(table, opening->reading.error, QUARRY_CORRUPT, tail->offset,
                                "the file is shorter than it was a moment ago");
    }
    return status;
}

static enum quarry_status read_footer(struct opening *opening)
{
    struct kv_table *table = opening->table;
    const struct sst_buffer *tail = &opening->tail.bytes;
    size_t count = tail->count < SST_FOOTER_BYTES ? tail->count : SST_FOOTER_BYTES;
    const char *fault = NULL;
    enum quarry_status status =
        sst_footer_get(tail->bytes + tail->count - count, count, &table->footer, &fault);

    if (status != QUARRY_OK) {
        return sst_table_fail(table, opening->reading.error, status, table->file_bytes, fault);
    }
    if (!sst_handle_is_within(table->footer.metaindex, table->file_bytes) ||
        !sst_handle_is_within(table->footer.index, table->file_bytes)) {
        return sst_table_fail(table, opening->reading.error, QUARRY_CORRUPT, table->file_bytes,
                              "the footer's handles lead out of the file");
    }
    return QUARRY_OK;
}

/* ---- the metaindex -------------------------------------------------------------------------- */

static bool is_named(struct kv_slice key, const char *name)
{
    return key.count == strlen(name) && memcmp(key.bytes, name, key.count) == 0;
}

/* The name of the filter for stretches of the file that this store asks. */
static bool is_stretches(const struct kv_tables *tables, struct kv_slice key)
{
    char room[SST_POLICY_NAME_BYTES];

    return is_named(key, tables->filter_policy == NULL
                             ? SST_META_LEVELDB_FILTER
                             : sst_policy_name(tables->filter_policy, room));
}

static enum quarry_status visit_meta(void *argument, struct kv_slice key, struct kv_slice value)
{
    struct opening *opening = argument;
    struct kv_table *table = opening->table;
    struct sst_handle handle;

    if (sst_handle_get(value.bytes, value.bytes + value.count, &handle) == 0 ||
        !sst_handle_is_within(handle, table->file_bytes)) {
        return QUARRY_CORRUPT;
    }
    if (is_named(key, SST_META_PROPERTIES) || is_named(key, SST_META_PROPERTIES_OLD)) {
        opening->properties = handle;
    } else if (is_named(key, SST_META_RANGE_DELETES)) {
        opening->ranges = handle;
    } else if (is_named(key, SST_META_DICTIONARY)) {
        opening->dictionary = handle;
    } else if (is_named(key, SST_META_FULL_FILTER)) {
        table->filter_place = SST_FILTER_WHOLE;
        table->filter_handle = handle;
    } else if (is_named(key, SST_META_PARTITIONED_FILTER)) {
        table->filter_place = SST_FILTER_PARTS;
        table->filter_handle = handle;
    } else if (is_stretches(table->tables, key)) {
        table->filter_place = SST_FILTER_STRETCHES;
        table->filter_handle = handle;
    }
    return QUARRY_OK;
}

static enum quarry_status read_metaindex(struct opening *opening)
{
    struct kv_table *table = opening->table;
    const char *bytes = NULL;
    size_t count = 0;
    enum quarry_status status = sst_table_read_plain(table, opening->codec, &opening->reading,
                                                     table->footer.metaindex, &bytes, &count);

    if (status != QUARRY_OK) {
        return status;
    }
    status = sst_block_visit(&table->tables->heap, bytes, count, visit_meta, opening);
    return status == QUARRY_OK
               ? QUARRY_OK
               : sst_table_fail(table, opening->reading.error, status,
                                table->footer.metaindex.offset, "the metaindex makes no sense");
}

/* ---- properties ----------------------------------------------------------------------------- */

static enum quarry_status visit_sequence(void *argument, struct kv_slice key, struct kv_slice value)
{
    if (is_named(key, "rocksdb.external_sst_file.global_seqno") && value.count == 8) {
        *(struct kv_slice *)argument = value;
    }
    return QUARRY_OK;
}

/* Whether the checksum holds with the sequence that was written into it later taken out. */
static bool holds_without_sequence(struct opening *opening, char *raw)
{
    struct kv_table *table = opening->table;
    struct kv_slice value = {0};
    char sequence[8];

    if (raw[opening->properties.byte_count] != QUARRY_KV_COMPRESSION_NONE ||
        sst_block_visit(&table->tables->heap, raw, opening->properties.byte_count, visit_sequence,
                        &value) != QUARRY_OK ||
        value.bytes == NULL) {
        return false;
    }
    char *place = raw + (value.bytes - raw);
    memcpy(sequence, place, sizeof(sequence));
    memset(place, 0, sizeof(sequence));
    bool holds = sst_table_checksum_holds(table, raw, opening->properties);
    memcpy(place, sequence, sizeof(sequence));
    return holds;
}

static enum quarry_status check_properties(struct opening *opening)
{
    struct kv_table *table = opening->table;
    const struct kv_table_properties *properties = &table->properties;
    const char *wanted = table->tables->comparator->name;

    if (properties->comparator[0] != '\0' &&
        strncmp(properties->comparator, wanted, SST_NAME_BYTES_MAX - 1) != 0) {
        return error_set(opening->reading.error, QUARRY_BAD_INPUT,
                         "table %06llu: its comparator is '%.60s', not '%.60s'",
                         (unsigned long long)table->file_number, properties->comparator, wanted);
    }
    if (properties->index_type > SST_INDEX_FIRST_KEY) {
        return sst_table_fail(table, opening->reading.error, QUARRY_UNSUPPORTED,
                              opening->properties.offset, "an index of a type that is not known");
    }
    return QUARRY_OK;
}

static enum quarry_status read_properties(struct opening *opening)
{
    struct kv_table *table = opening->table;
    struct sst_handle handle = opening->properties;
    const char *raw = NULL, *bytes = NULL;
    size_t count = 0;

    table->properties.filters_whole_keys = true;
    if (handle.byte_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        sst_table_read_raw(table, opening->codec, &opening->reading, handle, &raw);
    if (status != QUARRY_OK) {
        return status;
    }
    if (!sst_table_checksum_holds(table, raw, handle) &&
        !holds_without_sequence(opening, (char *)(uintptr_t)raw)) {
        return sst_table_fail(table, opening->reading.error, QUARRY_CORRUPT, handle.offset,
                              "the properties' checksum does not match");
    }
    status =
        sst_table_uncompress(table, opening->codec, &opening->reading, handle, raw, &bytes, &count);
    if (status != QUARRY_OK) {
        return status;
    }
    status = sst_properties_get(&table->tables->heap, bytes, count, &table->properties);
    if (status != QUARRY_OK) {
        return sst_table_fail(table, opening->reading.error, status, handle.offset,
                              "the properties make no sense");
    }
    return check_properties(opening);
}

static void apply_properties(struct kv_table *table, uint64_t largest_sequence)
{
    const struct kv_table_properties *properties = &table->properties;
    uint32_t prefix_bytes = table->tables->prefix_bytes;
    char extractor[SST_NAME_BYTES_MAX];

    table->top_form = (struct sst_index_form){
        .has_user_keys = properties->index_has_user_keys,
        .is_delta_encoded = properties->index_is_delta_encoded,
        .is_bytewise = table->tables->comparator->compare == NULL,
        .limit = table->file_bytes,
    };
    table->index_form = table->top_form;
    table->index_form.has_first_keys = properties->index_type == SST_INDEX_FIRST_KEY;
    table->is_two_level = properties->index_type == SST_INDEX_TWO_LEVEL;
    table->filters_keys = properties->filters_whole_keys;
    if (prefix_bytes != 0) {
        sst_prefix_extractor_name(prefix_bytes, extractor);
        table->filters_prefixes =
            properties->filters_prefixes && strcmp(extractor, properties->prefix_extractor) == 0;
    }
    table->global_sequence = SST_NO_SEQUENCE;
    if (properties->external_version != 0) {
        table->global_sequence = largest_sequence <= KV_SEQUENCE_MAX ? largest_sequence
                                 : properties->global_sequence != 0  ? properties->global_sequence
                                                                     : SST_NO_SEQUENCE;
    }
}

/* ---- range deletions ------------------------------------------------------------------------ */

/* Where they go: entries are counted, then copied, in two walks. */
struct range_copy {
    struct kv_table *table;
    struct sst_buffer *bytes; /* NULL: counting */
    size_t count, key_bytes;
};

static enum quarry_status visit_range(void *argument, struct kv_slice key, struct kv_slice value)
{
    struct range_copy *copy = argument;
    struct kv_table *table = copy->table;

    if (key.count < KV_TRAILER_BYTES) {
        return QUARRY_CORRUPT;
    }
    size_t user = key.count - KV_TRAILER_BYTES;
    uint64_t trailer = endian_load_le_u64(key.bytes + user);
    if (kv_trailer_type(trailer) != KV_TYPE_RANGE_DELETE) {
        return QUARRY_CORRUPT;
    }
    if (copy->bytes != NULL) {
        char *at = copy->bytes->bytes + copy->bytes->count;
        memcpy(at, key.bytes, user);
        memcpy(at + user, value.bytes, value.count);
        copy->bytes->count += user + value.count;
        table->ranges[copy->count] = (struct kv_table_range){
            .begin = kv_slice(at, user),
            .end = kv_slice(at + user, value.count),
            .sequence = table->global_sequence == SST_NO_SEQUENCE ? kv_trailer_sequence(trailer)
                                                                  : table->global_sequence,
        };
    }
    copy->count++;
    copy->key_bytes += user + value.count;
    return QUARRY_OK;
}

static int compare_ranges(const struct kv_table *table, const struct kv_table_range *a,
                          const struct kv_table_range *b)
{
    int order = kv_compare(table->tables->comparator, a->begin, b->begin);

    return order != 0 ? order : (a->sequence < b->sequence) - (a->sequence > b->sequence);
}

static void sift_down(const struct kv_table *table, size_t parent, size_t count)
{
    struct kv_table_range *ranges = table->ranges, moved = ranges[parent];

    for (size_t child; (child = 2 * parent + 1) < count; parent = child) {
        if (child + 1 < count && compare_ranges(table, &ranges[child], &ranges[child + 1]) < 0) {
            child++;
        }
        if (compare_ranges(table, &moved, &ranges[child]) >= 0) {
            break;
        }
        ranges[parent] = ranges[child];
    }
    ranges[parent] = moved;
}

/* A heap sort: they are in order nearly always, which is seen first; nothing is allocated. */
static void sort_ranges(const struct kv_table *table)
{
    size_t count = table->range_count, i = 1;

    while (i < count && compare_ranges(table, &table->ranges[i - 1], &table->ranges[i]) <= 0) {
        i++;
    }
    if (i >= count) {
        return;
    }
    for (size_t parent = count / 2; parent-- > 0;) {
        sift_down(table, parent, count);
    }
    for (size_t end = count; end-- > 1;) {
        struct kv_table_range last = table->ranges[end];
        table->ranges[end] = table->ranges[0];
        table->ranges[0] = last;
        sift_down(table, 0, end);
    }
}

/* Of sorted ones: whether those that overlap have the same keys. */
static bool are_fragments(const struct kv_table *table)
{
    const struct quarry_kv_comparator *comparator = table->tables->comparator;

    for (size_t i = 1; i < table->range_count; i++) {
        const struct kv_table_range *before = &table->ranges[i - 1], *range = &table->ranges[i];
        bool is_same = kv_compare(comparator, before->begin, range->begin) == 0 &&
                       kv_compare(comparator, before->end, range->end) == 0;
        if (!is_same && kv_compare(comparator, before->end, range->begin) > 0) {
            return false;
        }
    }
    return true;
}

static enum quarry_status copy_ranges(struct opening *opening, const char *bytes, size_t byte_count)
{
    struct kv_table *table = opening->table;
    const struct sst_heap *heap = &table->tables->heap;
    struct range_copy copy = {.table = table};
    enum quarry_status status = sst_block_visit(heap, bytes, byte_count, visit_range, &copy);
    size_t array_bytes = copy.count * sizeof(struct kv_table_range);

    if (status == QUARRY_OK) {
        status = sst_buffer_reserve(heap, &table->range_bytes, array_bytes + copy.key_bytes + 1);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    table->ranges = (struct kv_table_range *)table->range_bytes.bytes;
    table->range_bytes.count = array_bytes;
    copy = (struct range_copy){.table = table, .bytes = &table->range_bytes};
    status = sst_block_visit(heap, bytes, byte_count, visit_range, &copy);
    table->range_count = status == QUARRY_OK ? copy.count : 0;
    return status;
}

static enum quarry_status read_ranges(struct opening *opening)
{
    struct kv_table *table = opening->table;
    const char *bytes = NULL;
    size_t count = 0;

    if (opening->ranges.byte_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status = sst_table_read_plain(table, opening->codec, &opening->reading,
                                                     opening->ranges, &bytes, &count);
    if (status != QUARRY_OK) {
        return status;
    }
    status = copy_ranges(opening, bytes, count);
    if (status != QUARRY_OK) {
        return sst_table_fail(table, opening->reading.error, status, opening->ranges.offset,
                              "the range deletions make no sense, or there is no memory");
    }
    sort_ranges(table);
    table->ranges_are_fragments = are_fragments(table);
    return QUARRY_OK;
}

static enum quarry_status read_dictionary(struct opening *opening)
{
    struct kv_table *table = opening->table;
    const char *bytes = NULL;
    size_t count = 0;

    if (opening->dictionary.byte_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status = sst_table_read_plain(table, opening->codec, &opening->reading,
                                                     opening->dictionary, &bytes, &count);
    if (status != QUARRY_OK) {
        return status;
    }
    status = sst_buffer_append(&table->tables->heap, &table->dictionary, bytes, count);
    return status == QUARRY_OK
               ? QUARRY_OK
               : sst_table_fail(table, opening->reading.error, status, opening->dictionary.offset,
                                "no memory for its dictionary");
}

/* ---- pinning -------------------------------------------------------------------------------- */

static enum quarry_status pin_filter(struct kv_table *table, const struct sst_reading *reading)
{
    bool has_parts = table->filter_place == SST_FILTER_PARTS;

    if (table->filter_place == SST_FILTER_NONE) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        sst_table_block(table, reading, has_parts ? QUARRY_BLOCK_INDEX : QUARRY_BLOCK_FILTER,
                        table->filter_handle, &table->top_form, &table->filter_block);
    if (status != QUARRY_OK) {
        return status;
    }
    const char *bytes = quarry_block_data(&table->filter_block);
    if (has_parts) {
        table->filter_top = (const struct sst_index *)bytes;
    } else {
        const struct sst_extra *extra = quarry_block_extra(&table->filter_block);
        table->filter = extra->filter;
        table->filter_bytes = bytes;
        table->is_asked_at_once = table->filters_keys && table->range_count == 0 &&
                                  table->filter_place == SST_FILTER_WHOLE &&
                                  table->filter.kind == SST_FILTER_FAST;
    }
    return QUARRY_OK;
}

static enum quarry_status pin(struct kv_table *table, struct quarry_error *error)
{
    const struct sst_reading reading = {.error = error};
    enum quarry_status status = sst_table_block(
        table, &reading, QUARRY_BLOCK_INDEX, table->footer.index,
        table->is_two_level ? &table->top_form : &table->index_form, &table->index_block);

    if (status != QUARRY_OK) {
        return status;
    }
    table->index = quarry_block_data(&table->index_block);
    return pin_filter(table, &reading);
}

/* ---- opening and closing -------------------------------------------------------------------- */

static enum quarry_status open_parts(struct opening *opening,
                                     const struct kv_table_options *options)
{
    struct kv_table *table = opening->table;
    enum quarry_status status = find_size(opening, options->file_bytes);

    if (status == QUARRY_OK) {
        status = read_tail(opening);
    }
    if (status == QUARRY_OK) {
        status = read_footer(opening);
    }
    if (status == QUARRY_OK) {
        status = read_metaindex(opening);
    }
    if (status == QUARRY_OK) {
        status = read_properties(opening);
    }
    if (status == QUARRY_OK) {
        apply_properties(table, options->largest_sequence);
        status = read_ranges(opening);
    }
    if (status == QUARRY_OK) {
        status = read_dictionary(opening);
    }
    if (status == QUARRY_OK && options->is_pinned) {
        status = pin(table, opening->reading.error);
    }
    return status;
}

/* What is held but the file. */
static void release_parts(struct kv_table *table)
{
    const struct sst_heap *heap = &table->tables->heap;

    quarry_block_release(table->tables->cache, &table->index_block);
    quarry_block_release(table->tables->cache, &table->filter_block);
    sst_buffer_fini(heap, &table->dictionary);
    sst_buffer_fini(heap, &table->range_bytes);
    sst_heap_free(heap, table, sizeof(*table));
}

enum quarry_status kv_table_open(struct kv_tables *tables, struct quarry_vfs_file **file,
                                 const struct kv_table_options *options,
                                 struct kv_table **ret_table, struct quarry_error *error)
{
    struct opening opening = {.tail = {.chunk_bytes = TAIL_BYTES}, .reading = {.error = error}};
    void *object;

    Q_ASSERT(*file != NULL && options->level < QUARRY_BLOCK_LEVELS);
    enum quarry_status status = sst_heap_alloc(&tables->heap, sizeof(struct kv_table), &object);
    if (status == QUARRY_OK) {
        status = sst_codec_take(&tables->codecs, &opening.codec);
        if (status != QUARRY_OK) {
            sst_heap_free(&tables->heap, object, sizeof(struct kv_table));
        }
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "table %06llu: no memory to open it",
                         (unsigned long long)options->file_number);
    }
    opening.table = object;
    opening.reading.readahead = &opening.tail;
    *opening.table = (struct kv_table){.tables = tables,
                                       .file = *file,
                                       .file_number = options->file_number,
                                       .level = (uint8_t)options->level};
    status = open_parts(&opening, options);
    sst_buffer_fini(&tables->heap, &opening.tail.bytes);
    sst_codec_give(&tables->codecs, opening.codec);
    if (status != QUARRY_OK) {
        release_parts(opening.table);
        return status;
    }
    *file = NULL;
    *ret_table = opening.table;
    return QUARRY_OK;
}

void kv_table_close(struct kv_table *table)
{
    if (table != NULL) {
        quarry_vfs_close(table->file);
        release_parts(table);
    }
}

void kv_table_evict(struct kv_table *table)
{
    (void)quarry_block_cache_evict_file(table->tables->cache, table->tables->cache_handle,
                                        table->file_number);
}

const struct kv_table_properties *kv_table_properties(const struct kv_table *table)
{
    return &table->properties;
}

uint64_t kv_table_file_number(const struct kv_table *table)
{
    return table->file_number;
}

uint64_t kv_table_file_bytes(const struct kv_table *table)
{
    return table->file_bytes;
}

uint64_t kv_table_memory_bytes(const struct kv_table *table)
{
    return sizeof(*table) + table->dictionary.capacity + table->range_bytes.capacity;
}

const struct kv_table_range *kv_table_ranges(const struct kv_table *table, size_t *ret_count)
{
    *ret_count = table->range_count;
    return table->ranges;
}
