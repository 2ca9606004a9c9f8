/*
 * Asking filters.
 *
 *     FAST      | line, 64 | line | … | ff | 00 | probes, 1 | 00 00 |
 *     LEGACY    | line, 64 | line | … | probes, 1 | line count, u32 |
 *     LevelDB   | bits … probes | bits … probes | … | offset, u32 … | offsets at, u32 | 0b |
 *
 * All bits of a key are in one line, so that asking costs one miss. FAST chooses the line by the
 * lower half of the key's hash and the bits by the upper half, multiplied by the golden ratio for
 * each; LEGACY both by a hash of 32 bits. LevelDB's has a plain Bloom filter for each 2 KiB of the
 * file's offsets at which a block begins.
 *
 * RocksDB's later filters say by their first trailer byte what they are: ff, and then 00 for FAST;
 * fe is Ribbon, which is not read, and lets everything pass. So does whatever makes no sense: a
 * filter is never the reason that a key is not found, as far as its checksum holds.
 */
#include <kv/sst/filter.h>

#define METADATA_BYTES 5u
#define MARK_NEW       0xff
/* LevelDB: more probes are of a later form, which lets everything pass. */
#define LEVELDB_PROBES_MAX 30u

/* ---- what they are -------------------------------------------------------------------------- */

static struct sst_filter parse_new(const uint8_t *end, size_t line_bytes)
{
    struct sst_filter filter = {.kind = SST_FILTER_ALWAYS};

    /* 00: FAST; the three highest bits next to it: lines of 64 bytes. */
    if (end[-4] != 0 || (end[-3] >> 5) != 0 || line_bytes % SST_FILTER_LINE_BYTES != 0) {
        return filter;
    }
    filter.probes = end[-3] & 31;
    if (filter.probes == 0) {
        return filter;
    }
    filter.kind = SST_FILTER_FAST;
    filter.line_bits = 9;
    filter.line_count = (uint32_t)(line_bytes / SST_FILTER_LINE_BYTES);
    return filter;
}

static struct sst_filter parse_legacy(const uint8_t *end, size_t line_bytes)
{
    struct sst_filter filter = {.kind = SST_FILTER_ALWAYS, .probes = end[-5]};
    uint32_t line_count = endian_load_le_u32(end - 4);

    if (line_count == 0 || line_bytes % line_count != 0 ||
        !bits_is_power_of_two_u64(line_bytes / line_count)) {
        return filter;
    }
    uint32_t bits = bits_log2_floor_u64(line_bytes / line_count) + 3;
    if (bits > 31) {
        return filter;
    }
    filter.kind = SST_FILTER_LEGACY;
    filter.line_bits = (uint8_t)bits;
    filter.line_count = line_count;
    return filter;
}

static struct sst_filter parse_leveldb(const char *bytes, size_t byte_count)
{
    struct sst_filter filter = {.kind = SST_FILTER_ALWAYS};

    if (byte_count < METADATA_BYTES || byte_count > UINT32_MAX) {
        return filter;
    }
    uint32_t offsets = endian_load_le_u32(bytes + byte_count - 5);
    if (offsets > byte_count - METADATA_BYTES || (uint8_t)bytes[byte_count - 1] > 31) {
        return filter;
    }
    filter.kind = SST_FILTER_LEVELDB;
    filter.base_bits = (uint8_t)bytes[byte_count - 1];
    filter.offsets = offsets;
    filter.line_count = (uint32_t)((byte_count - METADATA_BYTES - offsets) / 4);
    filter.byte_count = (uint32_t)byte_count;
    return filter;
}

struct sst_filter sst_filter_parse(const char *bytes, size_t byte_count, bool is_leveldb)
{
    if (is_leveldb) {
        return parse_leveldb(bytes, byte_count);
    }
    if (byte_count <= METADATA_BYTES) {
        return (struct sst_filter){.kind = byte_count == 0 ? SST_FILTER_ALWAYS : SST_FILTER_NEVER};
    }
    const uint8_t *end = (const uint8_t *)bytes + byte_count;
    if (byte_count > UINT32_MAX || end[-5] == 0) {
        return (struct sst_filter){.kind = SST_FILTER_ALWAYS};
    }
    size_t line_bytes = byte_count - METADATA_BYTES;
    if (end[-5] == MARK_NEW) {
        return parse_new(end, line_bytes);
    }
    return end[-5] < 128 ? parse_legacy(end, line_bytes)
                         : (struct sst_filter){.kind = SST_FILTER_ALWAYS};
}

/* ---- asking --------------------------------------------------------------------------------- */

static bool passes_legacy(const struct sst_filter *filter, const char *bytes, struct kv_slice key)
{
    uint32_t hash = sst_hash32_signed(key.bytes, key.count, SST_HASH32_BLOOM_SEED);
    uint32_t delta = bits_rotate_left_u32(hash, 15);
    uint32_t mask = bits_mask_u32(0, filter->line_bits);
    const uint8_t *line =
        (const uint8_t *)bytes + ((uint64_t)(hash % filter->line_count) << (filter->line_bits - 3));

    for (uint32_t i = 0; i < filter->probes; i++, hash += delta) {
        uint32_t bit = hash & mask;
        if ((line[bit >> 3] >> (bit & 7) & 1) == 0) {
            return false;
        }
    }
    return true;
}

bool sst_filter_passes(const struct sst_filter *filter, const char *bytes, uint64_t hash,
                       struct kv_slice key)
{
    if (Q_LIKELY(filter->kind == SST_FILTER_FAST)) {
        return sst_filter_passes_fast(filter, bytes, hash);
    }
    if (filter->kind == SST_FILTER_LEGACY) {
        return passes_legacy(filter, bytes, key);
    }
    return filter->kind != SST_FILTER_NEVER;
}

const char *sst_filter_line(const struct sst_filter *filter, const char *bytes, uint64_t hash)
{
    return filter->kind == SST_FILTER_FAST
               ? bytes + sst_filter_fast_line(filter, hash) * SST_FILTER_LINE_BYTES
               : bytes;
}

static bool passes_plain(const uint8_t *bits, size_t byte_count, struct kv_slice key)
{
    if (byte_count < 2) {
        return false;
    }
    uint8_t probes = bits[byte_count - 1];
    uint32_t bit_count = (uint32_t)(byte_count - 1) * 8;
    uint32_t hash = sst_hash32(key.bytes, key.count, SST_HASH32_BLOOM_SEED);
    uint32_t delta = bits_rotate_left_u32(hash, 15);

    if (probes > LEVELDB_PROBES_MAX) {
        return true;
    }
    for (uint32_t i = 0; i < probes; i++, hash += delta) {
        uint32_t bit = hash % bit_count;
        if ((bits[bit >> 3] >> (bit & 7) & 1) == 0) {
            return false;
        }
    }
    return true;
}

bool sst_filter_stretch(const struct sst_filter *filter, const char *bytes, uint64_t block_offset,
                        struct kv_slice *ret_stretch)
{
    uint64_t stretch = block_offset >> filter->base_bits;

    if (filter->kind != SST_FILTER_LEVELDB || stretch >= filter->line_count) {
        return false;
    }
    const char *place = bytes + filter->offsets + 4 * stretch;
    uint32_t begin = endian_load_le_u32(place), end = endian_load_le_u32(place + 4);
    if (begin > end || end > filter->offsets) {
        return false;
    }
    *ret_stretch = kv_slice(bytes + begin, end - begin);
    return true;
}

bool sst_filter_passes_in(const struct sst_filter *filter, const char *bytes, struct kv_slice key,
                          uint64_t block_offset)
{
    struct kv_slice stretch;

    if (!sst_filter_stretch(filter, bytes, block_offset, &stretch)) {
        return true;
    }
    /* Without bytes there is no key in the stretch. */
    return stretch.count != 0 && passes_plain((const uint8_t *)stretch.bytes, stretch.count, key);
}
