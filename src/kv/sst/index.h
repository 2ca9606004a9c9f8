/*
 * Indexes: which block a key is in.
 *
 * On disk an index is a block of (separator, handle); in the cache it is arrays, which are searched
 * without taking entries apart. Tops of two-level indexes and of partitioned filters are the same.
 */
#ifndef QUARRY_KV_SST_INDEX_H
#define QUARRY_KV_SST_INDEX_H

#include <quarry/block.h>

#include <kv/key.h>
#include <kv/sst/format.h>
#include <kv/sst/heap.h>

/* How the entries of an index are written. */
struct sst_index_form {
    bool has_user_keys;    /* keys without trailers */
    bool is_delta_encoded; /* values have no length; those of keys that share bytes are deltas */
    bool has_first_keys;   /* behind each handle the first key of its block, which is not kept */
    bool is_bytewise;      /* keys are in memcmp's order */
    uint64_t limit;        /* blocks lie before this offset */
};

/*
 * An index in the cache, at the beginning of a block's payload:
 *
 *     | head | prefix8 … | offset … | trailer … | block bytes, u32 … | key end, u32 … | common |
 * keys |
 *
 * Trailers are there if keys are internal ones. A key is the common bytes and its own; the last of
 * several is its own alone.
 */
struct sst_index {
    uint32_t count;
    uint32_t common_bytes;
    bool has_trailers;
    bool is_bytewise;
    uint64_t words[];
};

/* What sst_index_parse will need. */
struct sst_index_measure {
    uint32_t count;
    uint32_t common_bytes;
    size_t decoded_bytes;
};

/*
 * Looks through an index block and says how much memory it takes decoded.
 *
 * `ret_fault`: what is wrong with it, static. Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY,
 * QUARRY_TOO_LARGE.
 */
enum quarry_status sst_index_measure(const struct sst_heap *heap, const char *bytes,
                                     size_t byte_count, const struct sst_index_form *form,
                                     struct sst_index_measure *ret_measure, const char **ret_fault);
/*
 * Decodes it. `room`: of `measure->decoded_bytes`, aligned to 8. Errors: as sst_index_measure.
 */
enum quarry_status sst_index_parse(const struct sst_heap *heap, const char *bytes,
                                   size_t byte_count, const struct sst_index_form *form,
                                   const struct sst_index_measure *measure, struct sst_index *room,
                                   const char **ret_fault);

static inline const uint64_t *sst_index_offsets(const struct sst_index *index)
{
    return index->words + index->count;
}
static inline const uint64_t *sst_index_trailers(const struct sst_index *index)
{
    return index->words + 2 * (size_t)index->count;
}
static inline const uint32_t *sst_index_bytes(const struct sst_index *index)
{
    return (const uint32_t *)(index->words + (index->has_trailers ? 3 : 2) * (size_t)index->count);
}
static inline const uint32_t *sst_index_key_ends(const struct sst_index *index)
{
    return sst_index_bytes(index) + index->count;
}
static inline const char *sst_index_common(const struct sst_index *index)
{
    return (const char *)(sst_index_key_ends(index) + index->count);
}
static inline struct sst_handle sst_index_handle(const struct sst_index *index, uint32_t entry)
{
    return (struct sst_handle){sst_index_offsets(index)[entry], sst_index_bytes(index)[entry]};
}
/*
 * How many of the common bytes a key has. The last separator of a table is mostly made as short as
 * it can be, and then has nothing in common with any key: it would leave the others none.
 */
static inline uint32_t sst_index_skipped(const struct sst_index *index, uint32_t entry)
{
    return entry + 1 == index->count && entry != 0 ? 0 : index->common_bytes;
}
/* What a key has after those. */
static inline struct kv_slice sst_index_rest(const struct sst_index *index, uint32_t entry)
{
    const uint32_t *ends = sst_index_key_ends(index);
    uint32_t begin = entry == 0 ? 0 : ends[entry - 1];

    return kv_slice(sst_index_common(index) + index->common_bytes + begin, ends[entry] - begin);
}

/*
 * The first entry whose key is not before `key`: its block is where the key is, if anywhere.
 * Returns: `count`: there is none. Cost: log2 of the entries, in one array; a few lines beside it.
 */
uint32_t sst_index_find(const struct sst_index *index,
                        const struct quarry_kv_comparator *comparator, struct kv_key key);

/* How an entry's key stands to another: below, equal, above 0. Equal user keys without trailers are
 * equal. */
int sst_index_compare(const struct sst_index *index, const struct quarry_kv_comparator *comparator,
                      uint32_t entry, struct kv_key key);

/*
 * A place in the index of a table, of one level or two. All-zero is nowhere, and holds nothing.
 */
struct sst_index_position {
    const struct sst_index *top, *leaf; /* the same where there is one level; NULL: nowhere */
    uint32_t top_entry, entry;
    struct quarry_block top_block, leaf_block; /* held, unless the table holds them itself */
};

#endif
