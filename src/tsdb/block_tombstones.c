/*
 * Tombstones.
 *
 *     +-------+---------+----------------------------------------------+--------+
 *     | magic | version | varint series, zigzag first, zigzag last ... | crc32c |
 *     | u32   | u8: 1   |                                              | u32    |
 *     +-------+---------+----------------------------------------------+--------+
 *
 * The checksum is of the entries alone. They come in any order; here they are sorted by series, and
 * ranges of one series are looked at one by one: there are few, for Prometheus joins them.
 */
#include <tsdb/block_tombstones.h>

#define FILE_NAME    "tombstones"
#define MAGIC        UINT32_C(0x0130ba30)
#define VERSION      1u
#define HEADER_BYTES 5u
#define CRC_BYTES    4u
#define WINDOW_BYTES Q_KIB(16)

enum quarry_status block_tombstones_write(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                          const char *directory, struct quarry_error *error)
{
    struct block_out out = {0};
    enum quarry_status status = block_out_create(
        &out, memory, vfs, block_path_join(memory, directory, FILE_NAME), 64, error);

    if (status == QUARRY_OK) {
        block_out_put_u32(&out, MAGIC);
        block_out_put_u8(&out, VERSION);
        block_out_put_u32(&out, 0); /* the checksum of nothing */
        status = block_out_sync(&out, error);
    }
    block_out_fini(&out);
    return status;
}

static enum quarry_status check_file(struct block_in *in, struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(in, 0, HEADER_BYTES, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (endian_load_be_u32(bytes) != MAGIC) {
        return block_in_corrupt(in, 0, "not a file of tombstones", error);
    }
    if (bytes[4] != VERSION) {
        return error_set(error, QUARRY_UNSUPPORTED, "%.120s: offset 4: version %u of tombstones",
                         in->path, bytes[4]);
    }
    if (in->byte_count < HEADER_BYTES + CRC_BYTES) {
        return block_in_corrupt(in, in->byte_count, "the file ends", error);
    }
    return block_in_verify(in, HEADER_BYTES, in->byte_count - HEADER_BYTES - CRC_BYTES,
                           "the tombstones", error);
}

static enum quarry_status keep(struct block_tombstones *tombstones, uint64_t series,
                               struct block_range range)
{
    size_t count = tombstones->ranges.count;
    enum quarry_status status =
        block_array_reserve(tombstones->memory, &tombstones->ranges, count + 1, sizeof(range));

    if (status == QUARRY_OK) {
        status = block_array_reserve(tombstones->memory, &tombstones->order, count + 1,
                                     sizeof(struct block_record));
    }
    if (status == QUARRY_OK) {
        ((struct block_range *)tombstones->ranges.members)[count] = range;
        ((struct block_record *)tombstones->order.members)[count] =
            (struct block_record){.key = series, .payload = count};
        tombstones->ranges.count = tombstones->order.count = count + 1;
    }
    return status;
}

static enum quarry_status read_entries(struct block_tombstones *tombstones, struct block_in *in,
                                       struct quarry_error *error)
{
    uint64_t end = in->byte_count - CRC_BYTES;

    for (uint64_t offset = HEADER_BYTES; offset < end;) {
        uint64_t left = end - offset;
        size_t most = left < 3 * VARINT_U64_BYTES_MAX ? (size_t)left : 3 * VARINT_U64_BYTES_MAX;
        const uint8_t *bytes = NULL;
        enum quarry_status status = block_in_view(in, offset, most, &bytes, error);

        if (status != QUARRY_OK) {
            return status;
        }
        struct block_bytes entry = block_bytes_of(bytes, most);
        uint64_t series = block_bytes_varint(&entry);
        int64_t min = block_bytes_zigzag(&entry), max = block_bytes_zigzag(&entry);
        if (entry.is_short) {
            return block_in_corrupt(in, offset, "not a tombstone", error);
        }
        status = keep(tombstones, series, (struct block_range){min, max});
        if (status != QUARRY_OK) {
            return error_set(error, status, "%.120s: no memory for %zu tombstones", in->path,
                             tombstones->ranges.count);
        }
        offset += (uint64_t)(entry.at - bytes);
    }
    return QUARRY_OK;
}

enum quarry_status block_tombstones_read(struct block_tombstones *tombstones,
                                         struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, struct quarry_error *error)
{
    struct block_in in = {0};
    enum quarry_status status = block_in_open(
        &in, memory, vfs, block_path_join(memory, directory, FILE_NAME), WINDOW_BYTES, error);

    *tombstones = (struct block_tombstones){.memory = memory};
    if (status == QUARRY_NOT_FOUND) {
        return QUARRY_OK;
    }
    if (status == QUARRY_OK) {
        status = check_file(&in, error);
    }
    if (status == QUARRY_OK) {
        status = read_entries(tombstones, &in, error);
    }
    block_in_fini(&in);
    if (status != QUARRY_OK) {
        block_tombstones_fini(tombstones);
        return status;
    }
    if (tombstones->order.count != 0) {
        block_sort(tombstones->order.members, tombstones->order.count, block_tie_number, NULL);
    }
    return QUARRY_OK;
}

void block_tombstones_fini(struct block_tombstones *tombstones)
{
    if (tombstones->memory != NULL) {
        block_array_fini(tombstones->memory, &tombstones->ranges);
        block_array_fini(tombstones->memory, &tombstones->order);
    }
}

struct block_deleted block_tombstones_of(const struct block_tombstones *tombstones, uint64_t series)
{
    const struct block_record *order = tombstones->order.members;
    struct block_deleted deleted = {.order = order, .ranges = tombstones->ranges.members};
    size_t low = 0, high = tombstones->order.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (order[middle].key < series) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < tombstones->order.count) {
        deleted.order = order + low;
    }
    while (low + deleted.count < tombstones->order.count &&
           order[low + deleted.count].key == series) {
        deleted.count++;
    }
    return deleted;
}

bool block_deleted_has(const struct block_deleted *deleted, int64_t t_ms)
{
    for (size_t i = 0; i < deleted->count; i++) {
        const struct block_range *range = &deleted->ranges[deleted->order[i].payload];
        if (t_ms >= range->min_t_ms && t_ms <= range->max_t_ms) {
            return true;
        }
    }
    return false;
}
