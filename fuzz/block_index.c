/*
 * Any bytes as the index of a block, as they are and with their checksums put right: opened and
 * walked to an end, or refused with the file's name. What is given out is in order.
 */
#include <string.h>

#include <tsdb/block_index.h>

#include "block_rig.h"

#define FILE_BYTES_MAX Q_KIB(64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const uint8_t *data, size_t size)
{
    static const char *const directories[] = {"/block"};
    struct quarry_vfs *vfs = block_fuzz_disk(directories, 1, "/block/index", data, size);
    struct block_index_reader *reader = NULL;
    struct quarry_error error = {0};
    struct block_series series;
    uint32_t count = 0, ref = 0;
    enum quarry_status status =
        block_index_open(block_fuzz_memory(), vfs, "/block", &reader, &error);

    if (status == QUARRY_OK) {
        while ((status = block_index_next(reader, &series, &error)) == QUARRY_OK) {
            Q_ASSERT(series.ref > ref);
            ref = series.ref;
            count++;
            for (size_t i = 0; i < series.labels.count; i++) {
                Q_ASSERT(series.labels.labels[i].name.count != 0);
                Q_ASSERT(series.labels.labels[i].value.count != 0);
            }
            for (size_t i = 0; i < series.chunk_count; i++) {
                Q_ASSERT(series.chunks[i].min_t_ms <= series.chunks[i].max_t_ms);
            }
        }
        Q_ASSERT(status != QUARRY_NOT_FOUND || count == block_index_series_count(reader));
        block_index_close(reader);
    }
    Q_ASSERT(status == QUARRY_NOT_FOUND || strstr(error.text, "/block/index") != NULL);
    quarry_vfs_memory_destroy(vfs);
}

/* Puts the checksum of a part right that begins with its length. */
static void mend_part(uint8_t *bytes, size_t size, uint64_t offset)
{
    if (offset <= size && size - offset >= 8) {
        uint32_t length = endian_load_be_u32(bytes + offset);
        if (length <= size - offset - 8) {
            endian_store_be_u32(bytes + offset + 4 + length,
                                crc32c_value(bytes + offset + 4, length));
        }
    }
}

static void mend_series(uint8_t *bytes, size_t size, uint64_t offset, uint64_t end)
{
    while (offset < end && offset < size) {
        uint32_t length = 0;
        size_t taken = varint_get_u32(bytes + offset, bytes + size, &length);

        if (taken == 0 || length == 0 || length > size - offset ||
            taken + length + 4 > size - offset) {
            return;
        }
        endian_store_be_u32(bytes + offset + taken + length,
                            crc32c_value(bytes + offset + taken, length));
        offset += taken + length + 4;
        offset = (offset + 15) / 16 * 16;
    }
}

static void mend(uint8_t *bytes, size_t size)
{
    uint8_t *toc = bytes + size - BLOCK_INDEX_TOC_BYTES;
    uint64_t postings = endian_load_be_u64(toc + 32);

    endian_store_be_u32(toc + 48, crc32c_value(toc, 48));
    mend_part(bytes, size, endian_load_be_u64(toc));
    mend_series(bytes, size, endian_load_be_u64(toc + 8), postings);
    mend_part(bytes, size, postings);
    mend_part(bytes, size, endian_load_be_u64(toc + 40));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[FILE_BYTES_MAX];

    if (size <= sizeof copy) {
        walk(data, size);
        if (size >= BLOCK_INDEX_TOC_BYTES) {
            memcpy(copy, data, size);
            mend(copy, size);
            walk(copy, size);
        }
    }
    return 0;
}
