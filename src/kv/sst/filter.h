/*
 * Filters: whether a key may be in a table.
 */
#ifndef QUARRY_KV_SST_FILTER_H
#define QUARRY_KV_SST_FILTER_H

#include <kv/key.h>
#include <kv/sst/hash32.h>
#include <kv/sst/heap.h>

/* ---- asking --------------------------------------------------------------------------------- */

enum sst_filter_kind {
    SST_FILTER_ALWAYS,  /* lets everything pass: empty, or of a kind that is not read (Ribbon) */
    SST_FILTER_FAST,    /* RocksDB's since format version 5 */
    SST_FILTER_LEGACY,  /* RocksDB's before */
    SST_FILTER_NEVER,   /* of no keys: lets nothing pass */
    SST_FILTER_LEVELDB, /* one for each stretch of the file */
};

/* Of FAST and LEGACY: bytes in which all bits of a key are; of FAST: what one probe's bits are
 * multiplied by for the next. */
#define SST_FILTER_LINE_BYTES   64u
#define SST_FILTER_GOLDEN_RATIO UINT32_C(0x9e3779b9)

/* What the bytes of a filter are. Kept in the extra bytes of its block. */
struct sst_filter {
    uint8_t kind; /* enum sst_filter_kind */
    uint8_t probes;
    uint8_t line_bits;   /* log2 of a line's bits */
    uint8_t base_bits;   /* LevelDB's: log2 of a stretch's bytes */
    uint32_t line_count; /* LevelDB's: stretches */
    uint32_t offsets;    /* LevelDB's: where the array of offsets is */
    uint32_t byte_count;
};

/*
 * Says what the bytes of a filter block are. `is_leveldb`: it is LevelDB's.
 * Returns: never fails: what makes no sense lets everything pass.
 */
struct sst_filter sst_filter_parse(const char *bytes, size_t byte_count, bool is_leveldb);

/* The line of a FAST filter that a hash is looked for in: its number. */
static inline uint64_t sst_filter_fast_line(const struct sst_filter *filter, uint64_t hash)
{
    return ((uint64_t)filter->line_count * (uint32_t)hash) >> 32;
}

/* sst_filter_passes of a FAST filter. */
static inline bool sst_filter_passes_fast(const struct sst_filter *filter, const char *bytes,
                                          uint64_t hash)
{
    const uint8_t *line =
        (const uint8_t *)bytes + sst_filter_fast_line(filter, hash) * SST_FILTER_LINE_BYTES;
    uint32_t bits = (uint32_t)(hash >> 32);

    for (uint32_t i = 0; i < filter->probes; i++, bits *= SST_FILTER_GOLDEN_RATIO) {
        uint32_t bit = bits >> 23;
        if ((line[bit >> 3] >> (bit & 7) & 1) == 0) {
            return false;
        }
    }
    return true;
}

/*
 * Whether the key of a hash (kv_table_hash) may be there. `key` is looked at by legacy ones.
 * Cost: FAST: a line of memory, some 6 instructions for each probe up to the first that fails.
 */
bool sst_filter_passes(const struct sst_filter *filter, const char *bytes, uint64_t hash,
                       struct kv_slice key);
/* The same of LevelDB's, for a key in the block that begins at `block_offset`. */
bool sst_filter_passes_in(const struct sst_filter *filter, const char *bytes, struct kv_slice key,
                          uint64_t block_offset);
/*
 * The filter of the stretch that an offset is in; of no bytes: no key is there.
 * Returns: false: there is none that makes sense, and everything passes.
 */
bool sst_filter_stretch(const struct sst_filter *filter, const char *bytes, uint64_t block_offset,
                        struct kv_slice *ret_stretch);
/* The line that a hash is looked for in: for prefetching. Returns: borrowed. */
const char *sst_filter_line(const struct sst_filter *filter, const char *bytes, uint64_t hash);

/* ---- building ------------------------------------------------------------------------------- */

/* Hashes in a piece of memory: 32 KiB with its head. */
#define SST_HASHES_PER_PIECE 4094u

struct sst_hashes {
    struct sst_hashes *next;
    uint64_t count;
    uint64_t hash[SST_HASHES_PER_PIECE];
};

/* Hashes of keys, in the order in which keys came; a run of equal ones is one. Zero: none. */
struct sst_filter_build {
    struct sst_hashes *first, *last;
    uint64_t count;
    uint64_t last_key, last_prefix; /* hashes that came last */
    bool has_key, has_prefix;
};

/* Errors: QUARRY_NO_MEMORY: not added. */
enum quarry_status sst_filter_build_add(const struct sst_heap *heap, struct sst_filter_build *build,
                                        uint64_t hash);
enum quarry_status sst_filter_build_add_prefix(const struct sst_heap *heap,
                                               struct sst_filter_build *build, uint64_t hash);
void sst_filter_build_fini(const struct sst_heap *heap, struct sst_filter_build *build);

/* Where in the hashes one is: for filters of parts. */
struct sst_hash_place {
    const struct sst_hashes *piece;
    uint64_t index;
};

/*
 * Appends a filter of `count` hashes from a place on, and moves the place behind them.
 *
 * `millibits`: of a key, from 1. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE.
 * Cost: some 15 instructions a key.
 */
enum quarry_status sst_filter_append(const struct sst_heap *heap, struct sst_buffer *buffer,
                                     struct sst_hash_place *place, uint64_t count,
                                     uint32_t millibits);
/* As that, one of LevelDB's for a stretch; the hashes are of sst_hash32. */
enum quarry_status sst_filter_append_leveldb(const struct sst_heap *heap, struct sst_buffer *buffer,
                                             struct sst_hash_place *place, uint64_t count,
                                             uint32_t millibits);

#endif
