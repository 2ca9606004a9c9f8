/*
 * Building blocks: entries whose keys share prefixes with the one before.
 */
#ifndef QUARRY_KV_SST_BLOCK_BUILD_H
#define QUARRY_KV_SST_BLOCK_BUILD_H

#include <kv/key.h>
#include <kv/sst/heap.h>

/* A restart interval that no block reaches: one restart, at the beginning. */
#define SST_ONE_RESTART UINT32_MAX

/*
 * A block being built. `restart_interval`, `has_trailers` and `has_value_lengths` are set before
 * the first entry and const; the rest is zero then.
 */
struct sst_block_build {
    uint32_t restart_interval;
    bool has_trailers;      /* keys are internal ones */
    bool has_value_lengths; /* false: values tell their own ends */
    uint32_t since_restart; /* entries */
    uint32_t entry_count;
    struct sst_buffer bytes;    /* the entries, and at the end the restarts */
    struct sst_buffer restarts; /* u32 each */
    struct sst_buffer last_key; /* as in the block, whole */
};

/*
 * Appends an entry. `key`: its trailer counts where the block has them.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: nothing was appended.
 */
enum quarry_status sst_block_build_add(const struct sst_heap *heap, struct sst_block_build *build,
                                       struct kv_key key, struct kv_slice value);

/* How many bytes it would have, were it finished now. */
static inline size_t sst_block_build_bytes(const struct sst_block_build *build)
{
    size_t restarts = build->restarts.count == 0 ? sizeof(uint32_t) : build->restarts.count;

    return build->bytes.count + restarts + sizeof(uint32_t);
}

/*
 * Appends restarts and their count. Returns: QUARRY_OK; the block is what `bytes` holds, until it
 * is cleared. Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status sst_block_build_finish(const struct sst_heap *heap,
                                          struct sst_block_build *build);
/* Makes it empty, for the next block; its memory is kept. */
void sst_block_build_clear(struct sst_block_build *build);
void sst_block_build_fini(const struct sst_heap *heap, struct sst_block_build *build);

/* How many bytes two stretches have in common from the first on, up to `count`. */
static inline size_t sst_common_bytes(const char *a, const char *b, size_t count)
{
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        uint64_t difference = endian_load_le_u64(a + i) ^ endian_load_le_u64(b + i);
        if (difference != 0) {
            return i + bits_trailing_zeros_u64(difference) / 8;
        }
    }
    while (i < count && a[i] == b[i]) {
        i++;
    }
    return i;
}

#endif
