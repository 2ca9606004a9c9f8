/*
 * What can be read of a damaged table, into a new one.
 *
 *     index  ──> block │ block │ ▒▒▒▒▒ │ block │      a block whose checksum or format is wrong
 *                  └───────┴── passed over ┴──> new table, at the same level
 *
 * One bad block of a table of thousands costs its own entries, not all of them. Where one of these
 * was a deletion, what it hid is seen again: that is in the nature of it.
 *
 * The index leads; where it cannot be read any further, that is the end. Entries that do not rise,
 * or are outside of what the manifest says of the table, are passed over: in their level they would
 * contradict other files. The damaged file itself is put away whole.
 */
#include <kv/repair_parts.h>

#include <kv/buffer.h>
#include <kv/sst/table.h>

struct salvage {
    struct kv_repair *repair;
    struct kv_table *table;
    const struct kv_file *file; /* as the manifest has it; NULL: there is none */
    struct kv_table_writer *writer;
    struct quarry_kv_buffer last; /* user key */
    uint64_t last_trailer;
    bool has_last;
};

/* Whether an entry may follow what was taken. */
static bool fits(const struct salvage *salvage, struct kv_key key)
{
    const struct quarry_kv_comparator *comparator = salvage->repair->comparator;
    const struct kv_key last = {kv_buffer_slice(&salvage->last), salvage->last_trailer};

    if (!sst_type_is_known(key.trailer) ||
        (salvage->has_last && kv_compare_keys(comparator, last, key) >= 0)) {
        return false;
    }
    return salvage->file == NULL ||
           (kv_compare_keys(comparator, salvage->file->smallest, key) <= 0 &&
            kv_compare_keys(comparator, key, salvage->file->largest) <= 0);
}

static enum quarry_status take_entry(struct salvage *salvage, struct kv_key key,
                                     struct kv_slice value)
{
    uint64_t global = salvage->table->global_sequence;

    if (global != SST_NO_SEQUENCE) {
        key.trailer = kv_trailer(global, kv_trailer_type(key.trailer));
    }
    if (!fits(salvage, key)) {
        return QUARRY_OK;
    }
    salvage->has_last = true;
    salvage->last_trailer = key.trailer;
    kv_buffer_clear(&salvage->last);
    enum quarry_status status =
        quarry_kv_buffer_append(&salvage->last, key.user.bytes, key.user.count);
    return status != QUARRY_OK
               ? status
               : kv_table_writer_add(salvage->writer, key, value, salvage->repair->error);
}

static enum quarry_status take_entries(struct salvage *salvage, const struct sst_block *block)
{
    const struct sst_heap *heap = &salvage->table->tables->heap;
    struct sst_cursor cursor;

    sst_cursor_init(&cursor);
    sst_cursor_set(&cursor, block);
    enum quarry_status status = sst_cursor_first(&cursor, heap);
    while (status == QUARRY_OK && cursor.is_valid) {
        status = take_entry(salvage, cursor.key, cursor.value);
        if (status == QUARRY_OK) {
            status = sst_cursor_next(&cursor, heap);
        }
    }
    sst_cursor_fini(&cursor, heap);
    return status;
}

/* One that cannot be read is passed over. */
static enum quarry_status take_block(struct salvage *salvage, struct sst_handle handle)
{
    const struct sst_reading reading = {.is_background = true};
    struct quarry_block block = {0};
    enum quarry_status status =
        sst_table_block(salvage->table, &reading, QUARRY_BLOCK_DATA, handle, NULL, &block);

    if (status != QUARRY_OK) {
        return status == QUARRY_NO_MEMORY ? status : QUARRY_OK;
    }
    const struct sst_block parsed = sst_block_of(&block);
    status = take_entries(salvage, &parsed);
    quarry_block_release(salvage->table->tables->cache, &block);
    return status;
}

static enum quarry_status take_blocks(struct salvage *salvage)
{
    const struct sst_reading reading = {.is_background = true};
    struct sst_index_position position = {0};
    enum quarry_status status = QUARRY_OK;
    enum quarry_status moved = sst_position_first(salvage->table, &position, &reading);

    while (moved == QUARRY_OK && status == QUARRY_OK && sst_position_is_valid(&position)) {
        status = take_block(salvage, sst_position_handle(&position));
        moved = sst_position_next(salvage->table, &position, &reading);
    }
    sst_position_fini(salvage->table, &position);
    return moved == QUARRY_NO_MEMORY ? moved : status;
}

static enum quarry_status take_ranges(struct salvage *salvage)
{
    size_t count;
    const struct kv_table_range *ranges = kv_table_ranges(salvage->table, &count);
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        status = kv_table_writer_add_range_delete(salvage->writer, ranges[i].begin, ranges[i].end,
                                                  ranges[i].sequence, salvage->repair->error);
    }
    return status;
}

enum quarry_status kv_repair_salvage(struct kv_repair *repair, struct kv_table *table,
                                     const struct kv_file *file, uint32_t level)
{
    struct salvage salvage = {.repair = repair, .table = table, .file = file};
    struct kv_repair_output output;
    enum quarry_status status = kv_repair_output_begin(repair, &output);

    if (status != QUARRY_OK) {
        return status;
    }
    kv_buffer_init(&salvage.last, &repair->small, QUARRY_KV_KEY_BYTES_MAX);
    salvage.writer = output.writer;
    status = take_blocks(&salvage);
    if (status == QUARRY_OK) {
        status = take_ranges(&salvage);
    }
    if (status == QUARRY_OK && kv_table_writer_count(output.writer) != 0) {
        status = kv_repair_output_end(repair, &output, level);
    } else {
        kv_repair_output_abort(repair, &output);
    }
    kv_buffer_fini(&salvage.last);
    return status;
}
