/*
 * Symbols of an index, by number.
 *
 *     +--------+-------+-------------------------------------+--------+
 *     | length | count | varint length, bytes | ... sorted   | crc32c |
 *     | u32    | u32   |                                     | u32    |
 *     +--------+-------+-------------------------------------+--------+
 *
 * In memory: where every 32nd begins, and some pages of the file, each in the one place that its
 * number leads to. The symbols of a block of a million series may be 100 MiB; a walk over the
 * series asks for names, which are few, and for values, of which neighbours share most.
 *
 * Invariant: a page is only copied from, so that symbols may lie across pages.
 *
 * Rejected: all symbols in memory, as Prometheus has them by mapping the file: what is mapped is in
 * no budget. Locking: none.
 */
#include <tsdb/block_symbols.h>

#include <string.h>

/* Symbols for each offset in memory. As Prometheus: 4 bytes for 32 are nothing, 16 steps few. */
#define STRIDE 32u
/* The longest varint of a length of 32 bits. */
#define LENGTH_BYTES_MAX VARINT_U32_BYTES_MAX

static enum quarry_status find_page(struct block_symbols *symbols, uint64_t page,
                                    const uint8_t **ret_bytes, struct quarry_error *error)
{
    size_t place = (size_t)(page % BLOCK_SYMBOLS_PAGES), got = 0;
    uint8_t *bytes = symbols->pages + place * BLOCK_SYMBOLS_PAGE_BYTES;

    if (symbols->page_tags[place] != page + 1) {
        symbols->page_tags[place] = 0;
        enum quarry_status status =
            quarry_vfs_read(symbols->in.file, page * BLOCK_SYMBOLS_PAGE_BYTES, bytes,
                            BLOCK_SYMBOLS_PAGE_BYTES, &got, error);
        if (status != QUARRY_OK) {
            return status;
        }
        memset(bytes + got, 0, BLOCK_SYMBOLS_PAGE_BYTES - got);
        symbols->page_tags[place] = page + 1;
    }
    *ret_bytes = bytes;
    return QUARRY_OK;
}

static enum quarry_status copy_bytes(struct block_symbols *symbols, uint64_t offset, uint8_t *to,
                                     size_t count, struct quarry_error *error)
{
    while (count != 0) {
        size_t in_page = (size_t)(offset % BLOCK_SYMBOLS_PAGE_BYTES);
        size_t take = BLOCK_SYMBOLS_PAGE_BYTES - in_page;
        const uint8_t *page = NULL;
        enum quarry_status status =
            find_page(symbols, offset / BLOCK_SYMBOLS_PAGE_BYTES, &page, error);

        if (status != QUARRY_OK) {
            return status;
        }
        take = take < count ? take : count;
        memcpy(to, page + in_page, take);
        to += take;
        offset += take;
        count -= take;
    }
    return QUARRY_OK;
}

/* The length of the symbol at `*offset`, which moves to its bytes. */
static enum quarry_status read_length(struct block_symbols *symbols, uint64_t *offset,
                                      uint32_t *ret_length, struct quarry_error *error)
{
    uint8_t bytes[LENGTH_BYTES_MAX];
    uint64_t left = sat_sub_u64(symbols->end, *offset);
    size_t count = left < sizeof bytes ? (size_t)left : sizeof bytes;
    enum quarry_status status = copy_bytes(symbols, *offset, bytes, count, error);

    if (status != QUARRY_OK) {
        return status;
    }
    size_t taken = varint_get_u32(bytes, bytes + count, ret_length);
    if (taken == 0 || *ret_length > left - taken) {
        return block_in_corrupt(&symbols->in, *offset, "a symbol is not one", error);
    }
    *offset += taken;
    return QUARRY_OK;
}

enum quarry_status block_symbols_append(struct block_symbols *symbols, uint32_t number,
                                        struct block_array *bytes, struct quarry_error *error)
{
    const uint32_t *offsets = symbols->offsets.members;
    uint32_t length = 0;

    if (number >= symbols->count) {
        return error_set(error, QUARRY_CORRUPT, "%.120s: symbol %u of %u", symbols->in.path, number,
                         symbols->count);
    }
    uint64_t offset = symbols->start + offsets[number / STRIDE];
    for (uint32_t i = 0; i <= number % STRIDE; i++) {
        offset += length;
        enum quarry_status status = read_length(symbols, &offset, &length, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    enum quarry_status status =
        block_array_reserve(symbols->in.memory, bytes, bytes->count + length, 1);
    if (status != QUARRY_OK) {
        return error_set(error, status, "%.120s: no memory for a symbol of %u bytes",
                         symbols->in.path, length);
    }
    status = copy_bytes(symbols, offset, (uint8_t *)bytes->members + bytes->count, length, error);
    bytes->count += status == QUARRY_OK ? length : 0;
    return status;
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status read_offsets(struct block_symbols *symbols, struct quarry_error *error)
{
    struct block_in *in = &symbols->in;
    uint64_t offset = symbols->start;

    for (uint32_t i = 0; i < symbols->count; i++) {
        const uint8_t *bytes = NULL;
        uint32_t length = 0;

        if (i % STRIDE == 0) {
            ((uint32_t *)symbols->offsets.members)[symbols->offsets.count++] =
                (uint32_t)(offset - symbols->start);
        }
        uint64_t left = symbols->end - offset;
        size_t count = left < LENGTH_BYTES_MAX ? (size_t)left : LENGTH_BYTES_MAX;
        enum quarry_status status = block_in_view(in, offset, count, &bytes, error);
        if (status != QUARRY_OK) {
            return status;
        }
        size_t taken = varint_get_u32(bytes, bytes + count, &length);
        if (taken == 0 || length > left - taken) {
            return block_in_corrupt(in, offset, "a symbol is not one", error);
        }
        offset += taken + length;
    }
    return offset == symbols->end ? QUARRY_OK
                                  : block_in_corrupt(in, offset, "more than the symbols", error);
}

static enum quarry_status read_section(struct block_symbols *symbols, uint64_t offset,
                                       struct quarry_error *error)
{
    struct block_in *in = &symbols->in;
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(in, offset, 8, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t length = endian_load_be_u32(bytes);
    symbols->count = endian_load_be_u32(bytes + 4);
    if (length < 4 || symbols->count > length - 4) {
        return block_in_corrupt(in, offset, "a table of symbols is not one", error);
    }
    symbols->start = offset + 8;
    symbols->end = offset + 4 + length;
    status = block_in_verify(in, offset + 4, length, "the symbols", error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = block_array_reserve(in->memory, &symbols->offsets, (size_t)symbols->count / STRIDE + 1,
                                 sizeof(uint32_t));
    if (status != QUARRY_OK) {
        return error_set(error, status, "%.120s: no memory for %u symbols", in->path,
                         symbols->count);
    }
    return read_offsets(symbols, error);
}

enum quarry_status block_symbols_open(struct block_symbols *ret_symbols, struct tsdb_memory *memory,
                                      struct quarry_vfs *vfs, char *path, uint64_t offset,
                                      struct quarry_error *error)
{
    struct block_symbols symbols = {0};
    enum quarry_status status = block_in_open(&symbols.in, memory, vfs, path, Q_KIB(64), error);

    if (status != QUARRY_OK) {
        return status;
    }
    symbols.pages =
        tsdb_memory_take_zero(memory, (size_t)BLOCK_SYMBOLS_PAGES * BLOCK_SYMBOLS_PAGE_BYTES);
    symbols.page_tags = tsdb_memory_take_zero(memory, BLOCK_SYMBOLS_PAGES * sizeof(uint64_t));
    if (symbols.pages == NULL || symbols.page_tags == NULL) {
        status = error_set(error, QUARRY_NO_MEMORY, "%.120s: no memory for its symbols",
                           symbols.in.path);
    } else {
        status = read_section(&symbols, offset, error);
    }
    if (status != QUARRY_OK) {
        block_symbols_fini(&symbols);
        return status;
    }
    *ret_symbols = symbols;
    return QUARRY_OK;
}

void block_symbols_fini(struct block_symbols *symbols)
{
    struct tsdb_memory *memory = symbols->in.memory;

    if (memory != NULL) {
        block_array_fini(memory, &symbols->offsets);
        tsdb_memory_give(memory, symbols->pages);
        tsdb_memory_give(memory, symbols->page_tags);
        block_in_fini(&symbols->in);
    }
}
