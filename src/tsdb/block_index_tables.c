/*
 * The second half of an index: lists of series for each label, and the tables that lead to them.
 *
 *     +--------+-------+----------+--------+      for each name and value, aligned to 4 bytes
 *     | length | count | series   | crc32c |
 *     | u32    | u32   | u32 each | u32    |
 *     +--------+-------+----------+--------+
 *     | length | count | 2, name, value, offset: varints | ... | crc32c |     the table of them
 *     +--------+-------+----------------------------------------+--------+
 *
 * Lists come sorted by name, value and series (block_postings_write.c) and are written as they
 * come; how long one is, is known at its end and patched into its head. The entries of the table
 * wait in table.tmp until the last list is written. Names and values are looked up in the index'
 * own symbols, which are in the file by now; they come in order, so that neighbours are on one
 * page.
 */
#include <tsdb/block_index_parts.h>

#define POSTINGS_ALIGN 4u

/* ---- postings ------------------------------------------------------------------------------- */

/* Writes where a list is into the table: "2 parts", name, value, offset. */
static enum quarry_status put_table_entry(struct block_index_writer *writer, uint64_t key,
                                          uint64_t before, struct quarry_error *error)
{
    struct block_out *table = &writer->table_out;
    uint32_t name = (uint32_t)(key >> 32), value = (uint32_t)key;
    enum quarry_status status = QUARRY_OK;

    if (writer->table_count == 0 || name != (uint32_t)(before >> 32)) {
        writer->name.count = 0;
        status = block_symbols_append(&writer->symbols, name, &writer->name, error);
    }
    writer->value.count = 0;
    if (status == QUARRY_OK) {
        status = block_symbols_append(&writer->symbols, value, &writer->value, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_put_varint(table, 2);
    block_out_put_varint(table, writer->name.count);
    block_out_put(table, writer->name.members, writer->name.count);
    block_out_put_varint(table, writer->value.count);
    block_out_put(table, writer->value.members, writer->value.count);
    block_out_put_varint(table, block_out_offset(&writer->out));
    writer->table_count++;
    return block_out_check(table, error);
}

/* Fills in the head of a list that began at `start`, and puts its checksum behind it. */
static void end_list(struct block_out *out, uint64_t start)
{
    uint64_t byte_count = block_out_offset(out) - start - 8;
    uint8_t count_bytes[4];

    Q_ASSERT(byte_count + 4 <= UINT32_MAX); /* BLOCK_INDEX_SERIES_MAX */
    endian_store_be_u32(count_bytes, (uint32_t)(byte_count / 4));
    block_out_patch_u32(out, start, (uint32_t)byte_count + 4);
    block_out_patch_u32(out, start + 4, (uint32_t)(byte_count / 4));
    block_out_put_u32(out, crc32c_combine(crc32c_value(count_bytes, sizeof count_bytes), out->crc,
                                          crc32c_shift_of((size_t)byte_count)));
}

static enum quarry_status write_lists(struct block_index_writer *writer, struct quarry_error *error)
{
    struct block_out *out = &writer->out;
    struct block_record record = {0};
    uint64_t key = 0, start = 0;
    bool is_open = false;
    enum quarry_status status;

    while ((status = block_postings_next(&writer->postings, &record, error)) == QUARRY_OK) {
        if (!is_open || record.key != key) {
            if (is_open) {
                end_list(out, start);
            }
            block_out_align(out, POSTINGS_ALIGN);
            status = put_table_entry(writer, record.key, key, error);
            if (status != QUARRY_OK) {
                return status;
            }
            key = record.key;
            start = block_out_offset(out);
            is_open = true;
            block_out_put_u64(out, 0);
            block_out_begin_crc(out);
        }
        block_out_put_u32(out, (uint32_t)record.payload);
    }
    if (is_open) {
        end_list(out, start);
    }
    return status == QUARRY_NOT_FOUND ? block_out_check(out, error) : status;
}

enum quarry_status block_index_write_postings(struct block_index_writer *writer,
                                              struct quarry_error *error)
{
    struct tsdb_memory *memory = writer->memory;
    enum quarry_status status = block_postings_finish(&writer->postings, error);

    if (status == QUARRY_OK) {
        status = block_out_flush(&writer->out, error);
    }
    if (status == QUARRY_OK) {
        status = block_symbols_open(&writer->symbols, memory, writer->vfs,
                                    block_path_join(memory, writer->directory, BLOCK_INDEX_NAME),
                                    writer->toc.symbols, error);
    }
    if (status == QUARRY_OK) {
        status =
            block_out_create(&writer->table_out, memory, writer->vfs,
                             block_path_join(memory, writer->directory, BLOCK_INDEX_TABLE_NAME),
                             BLOCK_INDEX_BUFFER_BYTES, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_align(&writer->out, POSTINGS_ALIGN);
    writer->toc.label_indices = block_out_offset(&writer->out);
    writer->toc.postings = block_out_offset(&writer->out);
    status = write_lists(writer, error);
    block_postings_fini(&writer->postings);
    return status;
}

/* ---- tables --------------------------------------------------------------------------------- */

static void put_label_table(struct block_index_writer *writer)
{
    struct block_out *out = &writer->out;

    block_out_align(out, POSTINGS_ALIGN);
    writer->toc.label_table = block_out_offset(out);
    block_out_put_u32(out, 4);
    block_out_begin_crc(out);
    block_out_put_u32(out, 0);
    block_out_put_u32(out, out->crc);
}

static enum quarry_status copy_table(struct block_index_writer *writer, struct block_in *in,
                                     struct quarry_error *error)
{
    const uint8_t *bytes = NULL;

    for (uint64_t offset = 0; offset < in->byte_count;) {
        size_t count = block_in_left(in, offset, BLOCK_INDEX_WINDOW_BYTES);
        enum quarry_status status = block_in_view(in, offset, count, &bytes, error);

        if (status != QUARRY_OK) {
            return status;
        }
        block_out_put(&writer->out, bytes, count);
        offset += count;
    }
    return block_out_check(&writer->out, error);
}

static enum quarry_status put_postings_table(struct block_index_writer *writer,
                                             struct quarry_error *error)
{
    struct block_out *out = &writer->out;
    uint64_t byte_count = block_out_offset(&writer->table_out);
    struct block_in in = {0};
    enum quarry_status status = block_out_flush(&writer->table_out, error);

    if (status == QUARRY_OK && byte_count + 4 > UINT32_MAX) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "a table of %llu bytes of postings, an index holds at most 4 GiB",
                         (unsigned long long)byte_count);
    }
    if (status == QUARRY_OK) {
        status = block_in_open(
            &in, writer->memory, writer->vfs,
            block_path_join(writer->memory, writer->directory, BLOCK_INDEX_TABLE_NAME),
            BLOCK_INDEX_WINDOW_BYTES, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    writer->toc.postings_table = block_out_offset(out);
    block_out_put_u32(out, (uint32_t)byte_count + 4);
    block_out_begin_crc(out);
    block_out_put_u32(out, writer->table_count);
    status = copy_table(writer, &in, error);
    block_out_put_u32(out, out->crc);
    block_in_fini(&in);
    return status;
}

static enum quarry_status put_toc(struct block_index_writer *writer, struct quarry_error *error)
{
    struct block_out *out = &writer->out;
    const struct block_index_toc *toc = &writer->toc;

    block_out_begin_crc(out);
    block_out_put_u64(out, toc->symbols);
    block_out_put_u64(out, toc->series);
    block_out_put_u64(out, toc->label_indices);
    block_out_put_u64(out, toc->label_table);
    block_out_put_u64(out, toc->postings);
    block_out_put_u64(out, toc->postings_table);
    block_out_put_u32(out, out->crc);
    return block_out_sync(out, error);
}

enum quarry_status block_index_write_tables(struct block_index_writer *writer,
                                            struct quarry_error *error)
{
    put_label_table(writer);
    enum quarry_status status = put_postings_table(writer, error);
    return status == QUARRY_OK ? put_toc(writer, error) : status;
}
