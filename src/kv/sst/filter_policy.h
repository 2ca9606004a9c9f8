/*
 * Filters of LevelDB's tables that a policy makes and is asked about: <quarry/kv.h>.
 */
#ifndef QUARRY_KV_SST_FILTER_POLICY_H
#define QUARRY_KV_SST_FILTER_POLICY_H

#include <kv/buffer.h>
#include <kv/sst/filter.h>

/* Room for the name of a policy's filter in a metaindex: KV_FILTER_NAME_BYTES_MAX and "filter.". */
#define SST_POLICY_NAME_BYTES 208u

/* Bytes of a file for which there is one filter, as a power of two. */
#define SST_STRETCH_BITS 11u

/* Filters of the stretches that are behind, and keys of the one under way. Not to be moved. */
struct sst_policy_build {
    const struct quarry_kv_filter_policy *policy; /* NULL: there is none, and nothing is built */
    struct kv_memory memory;
    struct quarry_kv_buffer filters;
    struct sst_buffer ends;    /* u32 little-endian each: where a stretch's filter begins */
    struct sst_buffer keys;    /* one behind the other */
    struct sst_buffer lengths; /* size_t of each */
};

/* `policy`: borrowed until the build ends. Cost: nothing is allocated. */
void sst_policy_build_init(struct sst_policy_build *build, const struct sst_heap *heap,
                           const struct quarry_kv_filter_policy *policy);
void sst_policy_build_fini(const struct sst_heap *heap, struct sst_policy_build *build);

/* Adds a key of the block under way. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
enum quarry_status sst_policy_build_add(const struct sst_heap *heap, struct sst_policy_build *build,
                                        struct kv_slice key);
/*
 * A block ends, and the next one begins at `offset`. Errors: those of the policy, QUARRY_NO_MEMORY,
 * QUARRY_TOO_LARGE (all filters together above 4 GiB).
 */
enum quarry_status sst_policy_build_begin(const struct sst_heap *heap,
                                          struct sst_policy_build *build, uint64_t offset);
/*
 * Ends it: filters, where they begin, and how long a stretch is.
 * `ret_bytes`: borrowed until the build ends. Errors: as sst_policy_build_begin.
 */
enum quarry_status sst_policy_build_finish(const struct sst_heap *heap,
                                           struct sst_policy_build *build,
                                           struct kv_slice *ret_bytes);

/* What a policy's filter is called in a metaindex. `room`: SST_POLICY_NAME_BYTES. Returns: room. */
const char *sst_policy_name(const struct quarry_kv_filter_policy *policy, char *room);

/* Whether a key may be in the block that begins at `block_offset`. What makes no sense lets it
 * pass. */
bool sst_policy_passes(const struct quarry_kv_filter_policy *policy,
                       const struct sst_filter *filter, const char *bytes, struct kv_slice key,
                       uint64_t block_offset);

#endif
