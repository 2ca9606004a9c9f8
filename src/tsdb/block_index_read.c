/*
 * Reading an index, series after series.
 *
 * The list of all series, which is that of the empty name and value, says in which order and where
 * they are. It is read through a window of its own, as are the series; symbols are looked up where
 * they are (block_symbols). So an index of any size takes 4 bytes for 32 symbols and some 1.5 MiB.
 *
 * What is checked when it is opened: the header, the table of contents, the symbols, the table of
 * postings and the list of all series. With each series: its own checksum, that labels are sorted,
 * unique and not empty, that it is behind the series before, that chunks are in order. Postings of
 * single labels are not read: a walk over everything does not need them.
 *
 * Invariants:
 * 1. Symbols of the series before are looked up again only where their numbers differ: a label at
 *    the same place is most often the same.
 * 2. A series that could not be read stays the next one.
 */
#include <tsdb/block_index.h>

#include <string.h>

#include <tsdb/block_symbols.h>

#define INDEX_NAME "index"
/* What is read at once of series, and of the list of all of them. */
#define WINDOW_BYTES Q_KIB(64)
/* The longest record of a series: its labels' numbers and its chunks' places. A million chunks. */
#define SERIES_BYTES_MAX Q_MIB(32)

/* A string of the series before, by the place of its label: names even, values odd. */
struct held {
    uint32_t number;
    size_t start; /* in `strings` */
    size_t count;
};

struct block_index_reader {
    struct tsdb_memory *memory;
    struct block_in series_in; /* the index; series */
    struct block_in list_in;   /* the index again; the list of all series */
    struct block_symbols symbols;
    uint64_t series_start, series_end; /* where series may be */
    uint64_t list_start;               /* of the numbers */
    uint32_t series_count;
    uint32_t index;      /* of the next series */
    uint32_t ref_before; /* of the one before */
    /* of the series that was read last, and under way */
    struct block_array strings[2]; /* bytes; in turns */
    struct block_array held[2];    /* struct held; in turns */
    struct block_array labels;     /* struct tsdb_label: of `strings[turn]` */
    struct block_array chunks;     /* struct block_chunk */
    uint32_t turn;
};

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status check_header(struct block_in *in, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(in, 0, BLOCK_INDEX_HEADER_BYTES, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (endian_load_be_u32(bytes) != BLOCK_INDEX_MAGIC) {
        return block_in_corrupt(in, 0, "not an index of a block", error);
    }
    if (bytes[4] == 1) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "%.120s: offset 4: index version 1, of Prometheus before 2.1; rewrite it "
                         "with a newer one",
                         in->path);
    }
    if (bytes[4] != BLOCK_INDEX_VERSION) {
        return error_set(error, QUARRY_UNSUPPORTED, "%.120s: offset 4: index version %u, not 2",
                         in->path, bytes[4]);
    }
    return QUARRY_OK;
}

struct places {
    uint64_t symbols, series, label_indices, label_table, postings, postings_table;
};

static enum quarry_status read_toc(struct block_in *in, struct places *ret_places,
                                   struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    uint64_t offset = sat_sub_u64(in->byte_count, BLOCK_INDEX_TOC_BYTES);
    enum quarry_status status =
        block_in_verify(in, offset, BLOCK_INDEX_TOC_BYTES - 4, "the table of contents", error);

    if (status == QUARRY_OK) {
        status = block_in_view(in, offset, BLOCK_INDEX_TOC_BYTES, &bytes, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    *ret_places = (struct places){
        .symbols = endian_load_be_u64(bytes),
        .series = endian_load_be_u64(bytes + 8),
        .label_indices = endian_load_be_u64(bytes + 16),
        .label_table = endian_load_be_u64(bytes + 24),
        .postings = endian_load_be_u64(bytes + 32),
        .postings_table = endian_load_be_u64(bytes + 40),
    };
    if (ret_places->symbols < BLOCK_INDEX_HEADER_BYTES ||
        ret_places->series < ret_places->symbols || ret_places->postings < ret_places->series ||
        ret_places->postings_table < ret_places->postings || ret_places->postings_table > offset) {
        return block_in_corrupt(in, offset, "a table of contents that is not in order", error);
    }
    return QUARRY_OK;
}

/* A part that begins with its length: checked. `ret_length`: of what is behind it. */
static enum quarry_status check_part(struct block_in *in, uint64_t offset, const char *what,
                                     uint32_t *ret_length, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(in, offset, 4, &bytes, error);

    if (status == QUARRY_OK) {
        *ret_length = endian_load_be_u32(bytes);
        status = block_in_verify(in, offset + 4, *ret_length, what, error);
    }
    return status;
}

/* The first entry of the table of postings says where the list of all series is. */
static enum quarry_status find_list(struct block_in *in, const struct places *places,
                                    uint64_t *ret_offset, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    uint32_t length = 0;
    enum quarry_status status =
        check_part(in, places->postings_table, "the table of postings", &length, error);

    if (status != QUARRY_OK) {
        return status;
    }
    size_t count = length < 32 ? length : 32;
    status = block_in_view(in, places->postings_table + 4, count, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    struct block_bytes left = block_bytes_of(bytes, count);
    uint32_t entry_count = block_bytes_u32(&left);
    uint8_t part_count = block_bytes_u8(&left);
    uint64_t name_count = block_bytes_varint(&left), value_count = block_bytes_varint(&left);
    *ret_offset = block_bytes_varint(&left);
    if (left.is_short || entry_count == 0 || part_count != 2 || name_count != 0 ||
        value_count != 0 || *ret_offset < places->postings ||
        *ret_offset >= places->postings_table) {
        return block_in_corrupt(in, places->postings_table, "no list of all series", error);
    }
    return QUARRY_OK;
}

static enum quarry_status open_list(struct block_index_reader *reader, const struct places *places,
                                    struct quarry_error *error)
{
    struct block_in *in = &reader->list_in;
    const uint8_t *bytes = NULL;
    uint64_t offset = 0;
    uint32_t length = 0;
    enum quarry_status status = find_list(in, places, &offset, error);

    if (status == QUARRY_OK) {
        status = check_part(in, offset, "the list of all series", &length, error);
    }
    if (status == QUARRY_OK) {
        status = block_in_view(in, offset + 4, 4, &bytes, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    reader->series_count = endian_load_be_u32(bytes);
    reader->list_start = offset + 8;
    if (length < 4 || reader->series_count != (length - 4) / 4) {
        return block_in_corrupt(in, offset, "a list of series that is not one", error);
    }
    return QUARRY_OK;
}

static enum quarry_status open_parts(struct block_index_reader *reader, struct quarry_vfs *vfs,
                                     const char *directory, struct quarry_error *error)
{
    struct tsdb_memory *memory = reader->memory;
    struct places places;
    enum quarry_status status =
        block_in_open(&reader->series_in, memory, vfs,
                      block_path_join(memory, directory, INDEX_NAME), WINDOW_BYTES, error);

    if (status == QUARRY_OK) {
        status = block_in_open(&reader->list_in, memory, vfs,
                               block_path_join(memory, directory, INDEX_NAME), WINDOW_BYTES, error);
    }
    if (status == QUARRY_OK) {
        status = check_header(&reader->series_in, error);
    }
    if (status == QUARRY_OK) {
        status = read_toc(&reader->series_in, &places, error);
    }
    if (status == QUARRY_OK) {
        reader->series_start = places.series;
        reader->series_end = places.postings;
        status = open_list(reader, &places, error);
    }
    if (status == QUARRY_OK) {
        status = block_symbols_open(&reader->symbols, memory, vfs,
                                    block_path_join(memory, directory, INDEX_NAME), places.symbols,
                                    error);
    }
    return status;
}

enum quarry_status block_index_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, struct block_index_reader **ret_reader,
                                    struct quarry_error *error)
{
    struct block_index_reader *reader = tsdb_memory_take_zero(memory, sizeof(*reader));

    if (reader == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to read an index");
    }
    reader->memory = memory;
    enum quarry_status status = open_parts(reader, vfs, directory, error);
    if (status != QUARRY_OK) {
        block_index_close(reader);
        return status;
    }
    *ret_reader = reader;
    return QUARRY_OK;
}

void block_index_close(struct block_index_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    block_in_fini(&reader->series_in);
    block_in_fini(&reader->list_in);
    block_symbols_fini(&reader->symbols);
    for (size_t i = 0; i < 2; i++) {
        block_array_fini(reader->memory, &reader->strings[i]);
        block_array_fini(reader->memory, &reader->held[i]);
    }
    block_array_fini(reader->memory, &reader->labels);
    block_array_fini(reader->memory, &reader->chunks);
    tsdb_memory_give(reader->memory, reader);
}

uint32_t block_index_series_count(const struct block_index_reader *reader)
{
    return reader->series_count;
}

/* ---- labels --------------------------------------------------------------------------------- */

static enum quarry_status no_memory(const struct block_index_reader *reader, uint64_t offset,
                                    struct quarry_error *error)
{
    return error_set(error, QUARRY_NO_MEMORY, "%.120s: offset %llu: no memory for a series",
                     reader->series_in.path, (unsigned long long)offset);
}

/* Appends the symbol `number` to the strings of the series under way, from the one before if it
 * has it at the same place. */
static enum quarry_status hold_symbol(struct block_index_reader *reader, uint32_t number,
                                      size_t place, struct quarry_error *error)
{
    uint32_t now = reader->turn ^ 1;
    struct block_array *strings = &reader->strings[now];
    const struct block_array *before = &reader->held[reader->turn];
    const struct held *old =
        place < before->count ? (const struct held *)before->members + place : NULL;
    struct held *held = (struct held *)reader->held[now].members + place;
    enum quarry_status status;

    *held = (struct held){.number = number, .start = strings->count};
    if (old != NULL && old->number == number) { /* invariant 1 */
        status = block_array_append(
            reader->memory, strings,
            (const char *)reader->strings[reader->turn].members + old->start, old->count);
        if (status != QUARRY_OK) {
            return error_set(error, status, "%.120s: no memory for labels", reader->series_in.path);
        }
    } else {
        status = block_symbols_append(&reader->symbols, number, strings, error);
    }
    held->count = strings->count - held->start;
    return status;
}

static enum quarry_status read_symbols(struct block_index_reader *reader, struct block_bytes *bytes,
                                       uint64_t count, uint64_t offset, struct quarry_error *error)
{
    uint32_t now = reader->turn ^ 1;

    if (block_array_reserve(reader->memory, &reader->held[now], (size_t)count,
                            sizeof(struct held)) != QUARRY_OK ||
        block_array_reserve(reader->memory, &reader->labels, (size_t)count / 2,
                            sizeof(struct tsdb_label)) != QUARRY_OK ||
        block_array_reserve(reader->memory, &reader->strings[now], 1, 1) != QUARRY_OK) {
        return no_memory(reader, offset, error);
    }
    reader->held[now].count = 0;
    reader->strings[now].count = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t number = block_bytes_varint(bytes);

        if (bytes->is_short || number > UINT32_MAX) {
            return block_in_corrupt(&reader->series_in, offset, "labels that end too early", error);
        }
        enum quarry_status status = hold_symbol(reader, (uint32_t)number, i, error);
        if (status != QUARRY_OK) {
            return status;
        }
        reader->held[now].count++;
    }
    return QUARRY_OK;
}

/* Points labels at the strings of the series under way, and checks them. */
static bool make_labels(struct block_index_reader *reader)
{
    uint32_t now = reader->turn ^ 1;
    const struct held *held = reader->held[now].members;
    const char *strings = reader->strings[now].members;
    struct tsdb_label *labels = reader->labels.members;

    reader->labels.count = reader->held[now].count / 2;
    for (size_t i = 0; i < reader->labels.count; i++, held += 2) {
        labels[i].name = (struct tsdb_slice){strings + held[0].start, held[0].count};
        labels[i].value = (struct tsdb_slice){strings + held[1].start, held[1].count};
        if (held[0].count == 0 || held[1].count == 0 ||
            (i > 0 && tsdb_slice_compare(labels[i - 1].name, labels[i].name) >= 0)) {
            return false;
        }
    }
    return true;
}

/* Whether the series under way is behind the one before: compared as label after label. */
static bool is_behind(const struct block_index_reader *reader)
{
    const struct block_array *before = &reader->held[reader->turn];
    const struct block_array *now = &reader->held[reader->turn ^ 1];
    const char *before_strings = reader->strings[reader->turn].members;
    const char *now_strings = reader->strings[reader->turn ^ 1].members;
    size_t common = before->count < now->count ? before->count : now->count;

    for (size_t i = 0; i < common; i++) {
        const struct held *a = (const struct held *)before->members + i;
        const struct held *b = (const struct held *)now->members + i;
        struct tsdb_slice a_string = {before_strings + a->start, a->count};
        struct tsdb_slice b_string = {now_strings + b->start, b->count};
        int order = a->number == b->number ? 0 : tsdb_slice_compare(a_string, b_string);

        if (order != 0) {
            return order < 0;
        }
    }
    return before->count < now->count;
}

static enum quarry_status read_labels(struct block_index_reader *reader, struct block_bytes *bytes,
                                      uint64_t offset, struct quarry_error *error)
{
    uint64_t count = block_bytes_varint(bytes);

    if (bytes->is_short || count > block_bytes_left(bytes) / 2) {
        return block_in_corrupt(&reader->series_in, offset, "labels that end too early", error);
    }
    enum quarry_status status = read_symbols(reader, bytes, 2 * count, offset, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (!make_labels(reader)) {
        return block_in_corrupt(&reader->series_in, offset, "labels that are not in order", error);
    }
    if (reader->index != 0 && !is_behind(reader)) {
        return block_in_corrupt(&reader->series_in, offset, "a series that is not in order", error);
    }
    return QUARRY_OK;
}

/* ---- chunks --------------------------------------------------------------------------------- */

static enum quarry_status read_chunks(struct block_index_reader *reader, struct block_bytes *bytes,
                                      uint64_t offset, struct quarry_error *error)
{
    uint64_t count = block_bytes_varint(bytes);
    struct block_chunk last = {0};

    if (bytes->is_short || count > block_bytes_left(bytes) / 3) {
        return block_in_corrupt(&reader->series_in, offset, "chunks that end too early", error);
    }
    if (block_array_reserve(reader->memory, &reader->chunks, (size_t)count,
                            sizeof(struct block_chunk)) != QUARRY_OK) {
        return no_memory(reader, offset, error);
    }
    struct block_chunk *chunks = reader->chunks.members;
    reader->chunks.count = (size_t)count;
    for (size_t i = 0; i < count; i++) {
        uint64_t min = i == 0 ? (uint64_t)block_bytes_zigzag(bytes)
                              : (uint64_t)last.max_t_ms + block_bytes_varint(bytes);
        uint64_t max = min + block_bytes_varint(bytes);
        uint64_t ref =
            i == 0 ? block_bytes_varint(bytes) : last.ref + (uint64_t)block_bytes_zigzag(bytes);

        chunks[i] = (struct block_chunk){(int64_t)min, (int64_t)max, ref};
        if (bytes->is_short || chunks[i].max_t_ms < chunks[i].min_t_ms ||
            (i > 0 && chunks[i].min_t_ms <= last.max_t_ms)) {
            return block_in_corrupt(&reader->series_in, offset, "chunks that are not in order",
                                    error);
        }
        last = chunks[i];
    }
    return block_bytes_left(bytes) == 0
               ? QUARRY_OK
               : block_in_corrupt(&reader->series_in, offset, "more than a series", error);
}

/* ---- the next ------------------------------------------------------------------------------- */

static enum quarry_status next_ref(struct block_index_reader *reader, uint32_t *ret_ref,
                                   struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    uint64_t offset = reader->list_start + (uint64_t)reader->index * 4;
    enum quarry_status status = block_in_view(&reader->list_in, offset, 4, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t ref = endian_load_be_u32(bytes);
    uint64_t place = (uint64_t)ref * BLOCK_INDEX_SERIES_ALIGN;
    if (place < reader->series_start || place >= reader->series_end ||
        (reader->index != 0 && ref <= reader->ref_before)) {
        return block_in_corrupt(&reader->list_in, offset, "a list of series that is not in order",
                                error);
    }
    *ret_ref = ref;
    return QUARRY_OK;
}

/* The bytes of the series at `offset`, whose checksum matches. */
static enum quarry_status view_series(struct block_index_reader *reader, uint64_t offset,
                                      struct block_bytes *ret_bytes, struct quarry_error *error)
{
    struct block_in *in = &reader->series_in;
    size_t head = block_in_left(in, offset, VARINT_U32_BYTES_MAX);
    const uint8_t *bytes = NULL;
    uint32_t length = 0;
    enum quarry_status status = block_in_view(in, offset, head, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    size_t taken = varint_get_u32(bytes, bytes + head, &length);
    if (taken == 0 || length > SERIES_BYTES_MAX) {
        return block_in_corrupt(in, offset, "not the length of a series", error);
    }
    status = block_in_view(in, offset, taken + length + 4, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (endian_load_be_u32(bytes + taken + length) != crc32c_value(bytes + taken, length)) {
        return block_in_corrupt(in, offset, "checksum of a series does not match", error);
    }
    *ret_bytes = block_bytes_of(bytes + taken, length);
    return QUARRY_OK;
}

enum quarry_status block_index_next(struct block_index_reader *reader,
                                    struct block_series *ret_series, struct quarry_error *error)
{
    struct block_bytes bytes;
    uint32_t ref = 0;

    if (reader->index == reader->series_count) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status = next_ref(reader, &ref, error);
    uint64_t offset = (uint64_t)ref * BLOCK_INDEX_SERIES_ALIGN;
    if (status == QUARRY_OK) {
        status = view_series(reader, offset, &bytes, error);
    }
    if (status == QUARRY_OK) {
        status = read_labels(reader, &bytes, offset, error);
    }
    if (status == QUARRY_OK) {
        status = read_chunks(reader, &bytes, offset, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    reader->turn ^= 1;
    reader->index++;
    reader->ref_before = ref;
    *ret_series = (struct block_series){
        .labels = {.labels = reader->labels.members, .count = reader->labels.count},
        .chunks = reader->chunks.members,
        .chunk_count = reader->chunks.count,
        .ref = ref,
    };
    return QUARRY_OK;
}
