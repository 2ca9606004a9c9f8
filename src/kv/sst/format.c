/*
 * The frame of a table.
 *
 *     | data blocks | filter | index | properties | metaindex | footer |
 *     block         | payload | compression, 1 | checksum, 4 |
 *
 *     footer, 53    | checksum type, 1 | metaindex, index: varints, to 41 | version, 4 | magic, 8 |
 *     footer, 48    | metaindex, index: varints, to 40 | magic, 8 |    LevelDB, version 0
 *
 * Both end in a magic number, and are told apart by it.
 */
#include <kv/sst/format.h>

#include <string.h>

#include <kv/sst/compress.h>

#define MAGIC     UINT64_C(0x88e241b785f4cff7)
#define MAGIC_OLD UINT64_C(0xdb4775248b80fb57)
/* Two handles and what fills them up. */
#define HANDLES_BYTES 40u

size_t sst_handle_put(uint8_t *room, struct sst_handle handle)
{
    size_t count = varint_put_u64(room, handle.offset);

    return count + varint_put_u64(room + count, handle.byte_count);
}

size_t sst_handle_get(const char *at, const char *end, struct sst_handle *ret_handle)
{
    const uint8_t *byte = (const uint8_t *)at, *limit = (const uint8_t *)end;
    struct sst_handle handle;
    size_t first = varint_get_u64(byte, limit, &handle.offset);
    size_t second = first == 0 ? 0 : varint_get_u64(byte + first, limit, &handle.byte_count);

    if (second == 0) {
        return 0;
    }
    *ret_handle = handle;
    return first + second;
}

bool sst_handle_is_within(struct sst_handle handle, uint64_t limit)
{
    uint64_t end;

    return handle.byte_count <= SST_BLOCK_BYTES_MAX &&
           checked_add_u64(handle.offset, handle.byte_count + SST_TRAILER_BYTES, &end) &&
           end <= limit;
}

size_t sst_footer_put(char *room, const struct sst_footer *footer)
{
    size_t begin = footer->is_leveldb ? 0 : 1;
    uint8_t *handles = (uint8_t *)room + begin;
    char *end = room + begin + HANDLES_BYTES;

    memset(room, 0, begin + HANDLES_BYTES);
    handles += sst_handle_put(handles, footer->metaindex);
    (void)sst_handle_put(handles, footer->index);
    if (footer->is_leveldb) {
        endian_store_le_u64(end, MAGIC_OLD);
        return SST_FOOTER_OLD_BYTES;
    }
    room[0] = (char)footer->checksum_type;
    endian_store_le_u32(end, footer->format_version);
    endian_store_le_u64(end + 4, MAGIC);
    return SST_FOOTER_BYTES;
}

static enum quarry_status handles_get(const char *at, struct sst_footer *footer,
                                      const char **ret_fault)
{
    const char *end = at + HANDLES_BYTES;
    size_t used = sst_handle_get(at, end, &footer->metaindex);

    if (used == 0 || sst_handle_get(at + used, end, &footer->index) == 0) {
        *ret_fault = "the footer has no handles";
        return QUARRY_CORRUPT;
    }
    return QUARRY_OK;
}

enum quarry_status sst_footer_get(const char *bytes, size_t byte_count,
                                  struct sst_footer *ret_footer, const char **ret_fault)
{
    *ret_fault = "no footer of a table ends it";
    if (byte_count < SST_FOOTER_OLD_BYTES) {
        return QUARRY_CORRUPT;
    }
    const char *end = bytes + byte_count;
    uint64_t magic = endian_load_le_u64(end - 8);
    struct sst_footer footer = {.checksum_type = SST_CHECKSUM_CRC32C};
    if (magic == MAGIC_OLD) {
        footer.is_leveldb = true;
        footer.byte_count = SST_FOOTER_OLD_BYTES;
        *ret_footer = footer;
        return handles_get(end - SST_FOOTER_OLD_BYTES, ret_footer, ret_fault);
    }
    if (magic != MAGIC || byte_count < SST_FOOTER_BYTES) {
        return QUARRY_CORRUPT;
    }
    footer.byte_count = SST_FOOTER_BYTES;
    footer.checksum_type = (uint8_t)end[-(ptrdiff_t)SST_FOOTER_BYTES];
    footer.format_version = endian_load_le_u32(end - 12);
    *ret_footer = footer;
    if (footer.format_version > SST_FORMAT_VERSION_MAX) {
        *ret_fault = "its format version is above 5";
        return QUARRY_UNSUPPORTED;
    }
    if (!sst_checksum_is_known(footer.checksum_type)) {
        *ret_fault = "its type of checksums is not known";
        return QUARRY_UNSUPPORTED;
    }
    return handles_get(end - SST_FOOTER_BYTES + 1, ret_footer, ret_fault);
}
