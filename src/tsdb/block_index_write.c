/*
 * Writing an index in one walk over the series, in bounded memory.
 *
 * What stands in an index first is known last: the symbols, which series refer to by their place in
 * the order of all of them. So series are kept in a file until all have come:
 *
 *     add      labels -> local numbers (block_dictionary), with their chunks -> series.tmp
 *     finish   generations of symbols, merged          -> symbols
 *              series.tmp, numbers looked up           -> series, and (name, value, series)
 *              those, sorted and merged                -> postings, and their places -> table.tmp
 *              table.tmp                               -> posting offsets, then the TOC
 *
 *     series.tmp   [varint labels, (varint name, varint value)..., varint bytes, chunks as in the
 *                  index]
 *
 * Invariants:
 * 1. A series' labels are all of one generation, so that one is in memory at a time.
 * 2. The symbol 0 is the empty string: the list of all series, under no name and no value, is the
 *    first of the postings, as in Prometheus' own.
 * 3. Series are in the order of labels and so are their offsets: postings that are sorted by
 *    offset are sorted by labels.
 *
 * Label indices, which no reader has used since 2.0, are left out: their table is there and empty.
 *
 * Cost: for a million series of 8 labels some 500 MB through files of the operating system's cache,
 * and sort_bytes of memory, first for symbols and then for postings, beside 3 MiB of buffers.
 */
#include <tsdb/block_index_parts.h>

#define SERIES_NAME "series.tmp"

enum quarry_status block_index_create(const struct block_index_options *options,
                                      struct block_index_writer **ret_writer,
                                      struct quarry_error *error)
{
    struct tsdb_memory *memory = options->memory;
    struct block_index_writer *writer = tsdb_memory_take_zero(memory, sizeof(*writer));

    if (writer == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to write an index");
    }
    writer->memory = memory;
    writer->vfs = options->vfs;
    writer->directory = options->directory;
    writer->sort_bytes = options->sort_bytes;
    enum quarry_status status = block_dictionary_init(
        &writer->dictionary, memory, options->vfs, options->directory, options->sort_bytes, error);
    if (status == QUARRY_OK) {
        status = block_out_create(&writer->series_out, memory, options->vfs,
                                  block_path_join(memory, options->directory, SERIES_NAME),
                                  BLOCK_INDEX_BUFFER_BYTES, error);
    }
    if (status != QUARRY_OK) {
        block_index_destroy(writer);
        return status;
    }
    (void)block_dictionary_intern(&writer->dictionary, tsdb_slice_of("")); /* invariant 2 */
    *ret_writer = writer;
    return QUARRY_OK;
}

void block_index_destroy(struct block_index_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    block_dictionary_fini(&writer->dictionary);
    block_postings_fini(&writer->postings);
    block_symbols_fini(&writer->symbols);
    block_out_fini(&writer->series_out);
    block_out_fini(&writer->out);
    block_out_fini(&writer->table_out);
    block_array_fini(writer->memory, &writer->ends);
    block_array_fini(writer->memory, &writer->scratch);
    block_array_fini(writer->memory, &writer->name);
    block_array_fini(writer->memory, &writer->value);
    tsdb_memory_give(writer->memory, writer);
}

/* ---- adding --------------------------------------------------------------------------------- */

static enum quarry_status end_generation(struct block_index_writer *writer,
                                         struct quarry_error *error)
{
    struct block_array *ends = &writer->ends;
    enum quarry_status status =
        block_array_reserve(writer->memory, ends, ends->count + 1, sizeof(uint64_t));

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for generation %zu of symbols", ends->count);
    }
    ((uint64_t *)ends->members)[ends->count++] = block_out_offset(&writer->series_out);
    return block_dictionary_spill(&writer->dictionary, error);
}

static enum quarry_status make_room(struct block_index_writer *writer,
                                    const struct tsdb_labels *labels, struct quarry_error *error)
{
    size_t byte_count = 0;

    for (size_t i = 0; i < labels->count; i++) {
        byte_count += labels->labels[i].name.count + labels->labels[i].value.count;
    }
    if (block_dictionary_has_room(&writer->dictionary, 2 * labels->count, byte_count)) {
        return QUARRY_OK;
    }
    if (!block_dictionary_could_hold(&writer->dictionary, 2 * labels->count, byte_count)) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "a series of %zu labels in %zu bytes, more than %zu bytes to sort in hold",
                         labels->count, byte_count, writer->sort_bytes);
    }
    return end_generation(writer, error);
}

/* Appends a number to the scratch bytes, which have room. */
static void append_varint(struct block_array *bytes, uint64_t value)
{
    bytes->count += varint_put_u64((uint8_t *)bytes->members + bytes->count, value);
}

/* The chunks of a series as the index has them, in `scratch`. */
static enum quarry_status encode_chunks(struct block_index_writer *writer,
                                        const struct block_chunk *chunks, size_t count,
                                        struct quarry_error *error)
{
    struct block_array *bytes = &writer->scratch;
    enum quarry_status status = block_array_reserve(
        writer->memory, bytes, (3 * count + 1) * (size_t)VARINT_U64_BYTES_MAX, 1);

    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for the places of %zu chunks", count);
    }
    bytes->count = 0;
    append_varint(bytes, count);
    for (size_t i = 0; i < count; i++) {
        const struct block_chunk *chunk = &chunks[i];

        if (i == 0) {
            append_varint(bytes, varint_zigzag(chunk->min_t_ms));
        } else {
            append_varint(bytes, (uint64_t)chunk->min_t_ms - (uint64_t)chunks[i - 1].max_t_ms);
        }
        append_varint(bytes, (uint64_t)chunk->max_t_ms - (uint64_t)chunk->min_t_ms);
        append_varint(bytes, i == 0 ? chunk->ref
                                    : varint_zigzag((int64_t)(chunk->ref - chunks[i - 1].ref)));
    }
    return QUARRY_OK;
}

enum quarry_status block_index_add(struct block_index_writer *writer,
                                   const struct tsdb_labels *labels,
                                   const struct block_chunk *chunks, size_t count,
                                   struct quarry_error *error)
{
    struct block_out *out = &writer->series_out;
    enum quarry_status status = make_room(writer, labels, error);

    if (status == QUARRY_OK) {
        status = encode_chunks(writer, chunks, count, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_put_varint(out, labels->count);
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];

        Q_DCHECK(label->name.count != 0 && label->value.count != 0);
        block_out_put_varint(out, block_dictionary_intern(&writer->dictionary, label->name));
        block_out_put_varint(out, block_dictionary_intern(&writer->dictionary, label->value));
    }
    block_out_put_varint(out, writer->scratch.count);
    block_out_put(out, writer->scratch.members, writer->scratch.count);
    return block_out_check(out, error);
}

/* ---- series --------------------------------------------------------------------------------- */

/*
 * Reads a number of series.tmp, and moves behind it. What is there is what was written: only a
 * disk that lost it can be the reason for anything else.
 */
static enum quarry_status next_number(struct block_in *in, uint64_t *offset, uint64_t *ret_value,
                                      struct quarry_error *error)
{
    size_t count = block_in_left(in, *offset, VARINT_U64_BYTES_MAX);
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(in, *offset, count, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    size_t taken = varint_get_u64(bytes, bytes + count, ret_value);
    *offset += taken;
    return taken == 0 ? block_in_corrupt(in, *offset, "not what was written", error) : QUARRY_OK;
}

static enum quarry_status next_symbol(struct block_index_writer *writer, struct block_in *in,
                                      uint64_t *offset, uint32_t *ret_number,
                                      struct quarry_error *error)
{
    const struct block_array *map = &writer->dictionary.map;
    uint64_t local = 0;
    enum quarry_status status = next_number(in, offset, &local, error);

    if (status == QUARRY_OK && local >= map->count) {
        return block_in_corrupt(in, *offset, "not what was written", error);
    }
    if (status == QUARRY_OK) {
        *ret_number = ((const uint32_t *)map->members)[local];
        append_varint(&writer->scratch, *ret_number);
    }
    return status;
}

/* Labels as the index has them, in `scratch`; their postings. */
static enum quarry_status convert_labels(struct block_index_writer *writer, struct block_in *in,
                                         uint64_t *offset, uint32_t series,
                                         struct quarry_error *error)
{
    uint64_t label_count = 0;
    enum quarry_status status = next_number(in, offset, &label_count, error);

    if (status == QUARRY_OK && label_count > in->byte_count) {
        return block_in_corrupt(in, *offset, "not what was written", error);
    }
    if (status == QUARRY_OK) {
        status = block_array_reserve(writer->memory, &writer->scratch,
                                     (2 * (size_t)label_count + 1) * VARINT_U64_BYTES_MAX, 1);
        writer->scratch.count = 0;
    }
    if (status == QUARRY_OK) {
        append_varint(&writer->scratch, label_count);
        status = block_postings_add(&writer->postings, 0, 0, series, error);
    }
    for (uint64_t i = 0; status == QUARRY_OK && i < label_count; i++) {
        uint32_t name = 0, value = 0;

        status = next_symbol(writer, in, offset, &name, error);
        if (status == QUARRY_OK) {
            status = next_symbol(writer, in, offset, &value, error);
        }
        if (status == QUARRY_OK) {
            status = block_postings_add(&writer->postings, name, value, series, error);
        }
    }
    return status;
}

static enum quarry_status write_series(struct block_index_writer *writer, struct block_in *in,
                                       uint64_t *offset, struct quarry_error *error)
{
    struct block_out *out = &writer->out;
    uint64_t chunk_bytes = 0;
    const uint8_t *chunks = NULL;

    block_out_align(out, BLOCK_INDEX_SERIES_ALIGN);
    uint64_t series = block_out_offset(out) / BLOCK_INDEX_SERIES_ALIGN;
    if (series > UINT32_MAX || writer->series_count == BLOCK_INDEX_SERIES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "series of more than 64 GiB, or more than %u, in an index",
                         BLOCK_INDEX_SERIES_MAX);
    }
    writer->series_count++;
    enum quarry_status status = convert_labels(writer, in, offset, (uint32_t)series, error);
    if (status == QUARRY_OK) {
        status = next_number(in, offset, &chunk_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = block_in_view(in, *offset, (size_t)chunk_bytes, &chunks, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    *offset += chunk_bytes;
    block_out_put_varint(out, writer->scratch.count + chunk_bytes);
    block_out_begin_crc(out);
    block_out_put(out, writer->scratch.members, writer->scratch.count);
    block_out_put(out, chunks, (size_t)chunk_bytes);
    block_out_put_u32(out, out->crc);
    return block_out_check(out, error);
}

static enum quarry_status write_all_series(struct block_index_writer *writer, struct block_in *in,
                                           struct quarry_error *error)
{
    const uint64_t *ends = writer->ends.members;
    uint64_t offset = 0;

    block_out_align(&writer->out, BLOCK_INDEX_SERIES_ALIGN);
    writer->toc.series = block_out_offset(&writer->out);
    for (size_t i = 0; i < writer->ends.count; i++) {
        enum quarry_status status = block_dictionary_load(&writer->dictionary, i, error);

        while (status == QUARRY_OK && offset < ends[i]) {
            status = write_series(writer, in, &offset, error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

static enum quarry_status convert_series(struct block_index_writer *writer,
                                         struct quarry_error *error)
{
    struct block_in in = {0};
    enum quarry_status status = block_postings_init(&writer->postings, writer->memory, writer->vfs,
                                                    writer->directory, writer->sort_bytes, error);

    if (status == QUARRY_OK) {
        status = block_in_open(&in, writer->memory, writer->vfs,
                               block_path_join(writer->memory, writer->directory, SERIES_NAME),
                               BLOCK_INDEX_WINDOW_BYTES, error);
    }
    if (status == QUARRY_OK) {
        status = write_all_series(writer, &in, error);
    }
    block_in_fini(&in);
    block_dictionary_fini(&writer->dictionary);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum quarry_status put_symbols(struct block_index_writer *writer, struct quarry_error *error)
{
    struct tsdb_memory *memory = writer->memory;
    enum quarry_status status = end_generation(writer, error);

    if (status == QUARRY_OK) {
        status = block_out_flush(&writer->series_out, error);
    }
    if (status == QUARRY_OK) {
        status = block_out_create(&writer->out, memory, writer->vfs,
                                  block_path_join(memory, writer->directory, BLOCK_INDEX_NAME),
                                  BLOCK_INDEX_BUFFER_BYTES, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_put_u32(&writer->out, BLOCK_INDEX_MAGIC);
    block_out_put_u8(&writer->out, BLOCK_INDEX_VERSION);
    writer->toc.symbols = block_out_offset(&writer->out);
    return block_dictionary_merge(&writer->dictionary, &writer->out, error);
}

static enum quarry_status remove_temporary(struct block_index_writer *writer,
                                           struct quarry_error *error)
{
    static const char *const names[] = {"symbols.tmp", "numbers.tmp", SERIES_NAME, "postings.tmp",
                                        BLOCK_INDEX_TABLE_NAME};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = block_path_join(writer->memory, writer->directory, names[i]);
        enum quarry_status status =
            path == NULL ? error_set(error, QUARRY_NO_MEMORY, "no memory to remove %s", names[i])
                         : quarry_vfs_remove(writer->vfs, path, error);

        tsdb_memory_give(writer->memory, path);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

enum quarry_status block_index_finish(struct block_index_writer *writer, struct quarry_error *error)
{
    enum quarry_status status = put_symbols(writer, error);

    if (status == QUARRY_OK) {
        status = convert_series(writer, error);
    }
    if (status == QUARRY_OK) {
        status = block_index_write_postings(writer, error);
    }
    if (status == QUARRY_OK) {
        status = block_index_write_tables(writer, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    block_out_fini(&writer->series_out);
    block_out_fini(&writer->table_out);
    return remove_temporary(writer, error);
}
