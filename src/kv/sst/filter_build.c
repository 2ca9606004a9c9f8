/*
 * Building filters.
 *
 * A filter's size depends on how many keys there are, which is known when the last one has come. So
 * what is kept is a hash of each key, 8 bytes, in pieces of 32 KiB that are not copied when there
 * are more. Keys come sorted: a key's versions, and the prefix of neighbours, follow each other,
 * and a hash that is the same as the last one is left out. (RocksDB compares with the last one of
 * any kind; here keys and prefixes are compared each with its own, which leaves out more.)
 *
 *     lines = keys × bits / 512, rounded up;     probes by a table that is RocksDB's, for their
 *                                                number is written, not computed by who reads
 *
 * Cost: hashing some 30 instructions a key, setting bits 6 for each probe.
 */
#include <kv/sst/filter.h>

#include <string.h>

#define LINES_MAX      ((uint64_t)16 << 20) /* a GiB */
#define METADATA_BYTES 5u

/* ---- hashes --------------------------------------------------------------------------------- */

static enum quarry_status append_hash(const struct sst_heap *heap, struct sst_filter_build *build,
                                      uint64_t hash)
{
    struct sst_hashes *last = build->last;

    if (last == NULL || last->count == SST_HASHES_PER_PIECE) {
        void *object;
        enum quarry_status status = sst_heap_alloc(heap, sizeof(struct sst_hashes), &object);
        if (status != QUARRY_OK) {
            return status;
        }
        struct sst_hashes *piece = object;
        piece->next = NULL;
        piece->count = 0;
        *(last == NULL ? &build->first : &last->next) = piece;
        build->last = last = piece;
    }
    last->hash[last->count++] = hash;
    build->count++;
    return QUARRY_OK;
}

enum quarry_status sst_filter_build_add(const struct sst_heap *heap, struct sst_filter_build *build,
                                        uint64_t hash)
{
    if (build->has_key && build->last_key == hash) {
        return QUARRY_OK;
    }
    build->has_key = true;
    build->last_key = hash;
    return append_hash(heap, build, hash);
}

enum quarry_status sst_filter_build_add_prefix(const struct sst_heap *heap,
                                               struct sst_filter_build *build, uint64_t hash)
{
    if (build->has_prefix && build->last_prefix == hash) {
        return QUARRY_OK;
    }
    build->has_prefix = true;
    build->last_prefix = hash;
    return append_hash(heap, build, hash);
}

void sst_filter_build_fini(const struct sst_heap *heap, struct sst_filter_build *build)
{
    struct sst_hashes *piece = build->first;

    while (piece != NULL) {
        struct sst_hashes *next = piece->next;
        sst_heap_free(heap, piece, sizeof(*piece));
        piece = next;
    }
    *build = (struct sst_filter_build){0};
}

static uint64_t take_hash(struct sst_hash_place *place)
{
    if (place->index == place->piece->count) {
        place->piece = place->piece->next;
        place->index = 0;
    }
    Q_DCHECK(place->piece != NULL);
    return place->piece->hash[place->index++];
}

/* ---- RocksDB's ------------------------------------------------------------------------------ */

static uint32_t probes_for(uint32_t millibits)
{
    static const uint32_t up_to[] = {2080,  3580,  5100,  6640,  8300,  10070,
                                     11720, 14001, 16050, 18300, 22001, 25501};
    uint32_t count = sizeof(up_to) / sizeof(up_to[0]);

    for (uint32_t i = 0; i < count; i++) {
        if (millibits <= up_to[i]) {
            return i + 1;
        }
    }
    return millibits > 50000 ? 24 : (millibits - 1) / 2000 - 1;
}

static void set_bits(char *lines, uint64_t line_count, uint64_t hash, uint32_t probes)
{
    uint8_t *line =
        (uint8_t *)lines + ((line_count * (uint32_t)hash) >> 32) * SST_FILTER_LINE_BYTES;
    uint32_t bits = (uint32_t)(hash >> 32);

    for (uint32_t i = 0; i < probes; i++, bits *= SST_FILTER_GOLDEN_RATIO) {
        uint32_t bit = bits >> 23;
        line[bit >> 3] = (uint8_t)(line[bit >> 3] | 1u << (bit & 7));
    }
}

enum quarry_status sst_filter_append(const struct sst_heap *heap, struct sst_buffer *buffer,
                                     struct sst_hash_place *place, uint64_t count,
                                     uint32_t millibits)
{
    uint32_t probes = probes_for(millibits);
    uint64_t bits;

    Q_ASSERT(millibits != 0);
    if (!checked_mul_u64(count, millibits, &bits) ||
        bits / (8000 * SST_FILTER_LINE_BYTES) >= LINES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    uint64_t bytes = (bits + 7999) / 8000,
             line_count = (bytes + SST_FILTER_LINE_BYTES - 1) / SST_FILTER_LINE_BYTES;
    enum quarry_status status =
        sst_buffer_reserve(heap, buffer, line_count * SST_FILTER_LINE_BYTES + METADATA_BYTES);
    if (status != QUARRY_OK) {
        return status;
    }
    char *lines = buffer->bytes + buffer->count, *end = lines + line_count * SST_FILTER_LINE_BYTES;
    memset(lines, 0, line_count * SST_FILTER_LINE_BYTES);
    for (uint64_t i = 0; i < count; i++) {
        set_bits(lines, line_count, take_hash(place), probes);
    }
    end[0] = (char)0xff;
    end[1] = 0;
    end[2] = (char)probes;
    end[3] = end[4] = 0;
    buffer->count += line_count * SST_FILTER_LINE_BYTES + METADATA_BYTES;
    return QUARRY_OK;
}

/* ---- LevelDB's ------------------------------------------------------------------------------ */

static uint32_t plain_probes(uint32_t millibits)
{
    uint32_t probes = (uint32_t)((uint64_t)millibits * 69 / 100000);

    return probes < 1 ? 1 : probes > 30 ? 30 : probes;
}

enum quarry_status sst_filter_append_leveldb(const struct sst_heap *heap, struct sst_buffer *buffer,
                                             struct sst_hash_place *place, uint64_t count,
                                             uint32_t millibits)
{
    uint32_t probes = plain_probes(millibits);
    uint64_t bits;

    Q_ASSERT(count != 0);
    if (!checked_mul_u64(count, millibits, &bits) || bits / 1000 > UINT32_MAX / 2) {
        return QUARRY_TOO_LARGE;
    }
    bits = bits / 1000 < 64 ? 64 : bits / 1000;
    uint32_t byte_count = (uint32_t)((bits + 7) / 8), bit_count = byte_count * 8;
    enum quarry_status status = sst_buffer_reserve(heap, buffer, byte_count + 1);
    if (status != QUARRY_OK) {
        return status;
    }
    uint8_t *filter = (uint8_t *)buffer->bytes + buffer->count;
    memset(filter, 0, byte_count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t hash = (uint32_t)take_hash(place), delta = bits_rotate_left_u32(hash, 15);
        for (uint32_t j = 0; j < probes; j++, hash += delta) {
            uint32_t bit = hash % bit_count;
            filter[bit >> 3] = (uint8_t)(filter[bit >> 3] | 1u << (bit & 7));
        }
    }
    filter[byte_count] = (uint8_t)probes;
    buffer->count += byte_count + 1;
    return QUARRY_OK;
}
