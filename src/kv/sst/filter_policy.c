/*
 * Filters of a policy's, in LevelDB's tables.
 *
 *     | filter | filter | … | begin, u32 | begin | … | where these are, u32 | 0b |
 *
 * There is a filter for each 2 KiB of offsets of the file; keys of a block are in that of the
 * offset at which the block begins. A stretch in which none begins has a filter of no bytes.
 *
 * The policy wants the keys themselves, so those of one stretch are kept, which are those of a
 * block or a few: Bloom filters, of which a hash a key is enough, are made at the table's end
 * (filter_build.c).
 *
 *   1. `keys` and `lengths` are of blocks that begin in the stretch under way.
 *   2. `ends` has a number for each stretch that is behind.
 *
 * Locking: none; a table's writer is one thread's. Cost: a copy of each key, and what the policy
 * does.
 *
 * Source: LevelDB's doc/table_format.md.
 */
#include <kv/sst/filter_policy.h>

#include <stdio.h>

#include <kv/options.h>
#include <kv/sst/format.h>

Q_STATIC_ASSERT(SST_POLICY_NAME_BYTES >= sizeof(SST_META_POLICY_FILTER) + KV_FILTER_NAME_BYTES_MAX,
                "room for the longest name");

/* Keys that are handed over at once without being allocated for: those of a block, mostly. */
#define KEYS_AT_HAND 128u

void sst_policy_build_init(struct sst_policy_build *build, const struct sst_heap *heap,
                           const struct quarry_kv_filter_policy *policy)
{
    *build = (struct sst_policy_build){.policy = policy,
                                       .memory = {.account = heap->account, .pool = heap->pool}};
    kv_buffer_init(&build->filters, &build->memory, UINT32_MAX);
}

void sst_policy_build_fini(const struct sst_heap *heap, struct sst_policy_build *build)
{
    kv_buffer_fini(&build->filters);
    sst_buffer_fini(heap, &build->ends);
    sst_buffer_fini(heap, &build->keys);
    sst_buffer_fini(heap, &build->lengths);
}

enum quarry_status sst_policy_build_add(const struct sst_heap *heap, struct sst_policy_build *build,
                                        struct kv_slice key)
{
    enum quarry_status status = sst_buffer_append(heap, &build->keys, key.bytes, key.count);

    Q_DCHECK(build->policy != NULL);
    return status != QUARRY_OK
               ? status
               : sst_buffer_append(heap, &build->lengths, &key.count, sizeof(key.count));
}

/* ---- building ------------------------------------------------------------------------------- */

static void fill_in(const struct sst_policy_build *build, struct quarry_kv_slice *keys,
                    size_t key_count)
{
    const char *at = build->keys.bytes;

    for (size_t i = 0; i < key_count; i++) {
        size_t length;
        memcpy(&length, build->lengths.bytes + i * sizeof(length), sizeof(length));
        /* A table of one empty key has no bytes of keys; a policy may look at the address. */
        keys[i] = (struct quarry_kv_slice){at == NULL ? "" : at, length};
        at = at == NULL ? NULL : at + length;
    }
}

/* Has the policy make a filter of the keys that are there. */
static enum quarry_status create_filter(const struct sst_heap *heap, struct sst_policy_build *build)
{
    size_t key_count = build->lengths.count / sizeof(size_t);
    struct quarry_kv_slice at_hand[KEYS_AT_HAND], *keys = at_hand;
    void *object = NULL;
    enum quarry_status status = QUARRY_OK;

    if (key_count > KEYS_AT_HAND) {
        status = sst_heap_alloc(heap, key_count * sizeof(*keys), &object);
        keys = object;
    }
    if (status == QUARRY_OK) {
        fill_in(build, keys, key_count);
        status = build->policy->create(build->policy->argument, keys, key_count, &build->filters);
    }
    sst_heap_free(heap, object, key_count * sizeof(*keys));
    build->keys.count = build->lengths.count = 0; /* 1 */
    return status;
}

/* Ends the stretch under way. */
static enum quarry_status end_stretch(const struct sst_heap *heap, struct sst_policy_build *build)
{
    char begin[sizeof(uint32_t)];

    endian_store_le_u32(begin, (uint32_t)build->filters.byte_count);
    enum quarry_status status = sst_buffer_append(heap, &build->ends, begin, sizeof(begin)); /* 2 */
    if (status == QUARRY_OK && build->lengths.count != 0) {
        status = create_filter(heap, build);
    }
    return status;
}

enum quarry_status sst_policy_build_begin(const struct sst_heap *heap,
                                          struct sst_policy_build *build, uint64_t offset)
{
    enum quarry_status status = QUARRY_OK;
    uint64_t stretch = offset >> SST_STRETCH_BITS;

    while (status == QUARRY_OK && build->ends.count / sizeof(uint32_t) < stretch) {
        status = end_stretch(heap, build);
    }
    return status;
}

enum quarry_status sst_policy_build_finish(const struct sst_heap *heap,
                                           struct sst_policy_build *build,
                                           struct kv_slice *ret_bytes)
{
    char array[sizeof(uint32_t)];
    const char bits = SST_STRETCH_BITS;
    enum quarry_status status = QUARRY_OK;

    if (build->lengths.count != 0) {
        status = end_stretch(heap, build);
    }
    endian_store_le_u32(array, (uint32_t)build->filters.byte_count);
    if (status == QUARRY_OK) {
        status = quarry_kv_buffer_append(&build->filters, build->ends.bytes, build->ends.count);
    }
    if (status == QUARRY_OK) {
        status = quarry_kv_buffer_append(&build->filters, array, sizeof(array));
    }
    if (status == QUARRY_OK) {
        status = quarry_kv_buffer_append(&build->filters, &bits, sizeof(bits));
    }
    *ret_bytes = kv_buffer_slice(&build->filters);
    return status;
}

/* ---- asking --------------------------------------------------------------------------------- */

const char *sst_policy_name(const struct quarry_kv_filter_policy *policy, char *room)
{
    int count = snprintf(room, SST_POLICY_NAME_BYTES, "%s%s", SST_META_POLICY_FILTER, policy->name);

    Q_ASSERT(count > 0 && (size_t)count < SST_POLICY_NAME_BYTES);
    return room;
}

bool sst_policy_passes(const struct quarry_kv_filter_policy *policy,
                       const struct sst_filter *filter, const char *bytes, struct kv_slice key,
                       uint64_t block_offset)
{
    struct kv_slice stretch;

    if (!sst_filter_stretch(filter, bytes, block_offset, &stretch)) {
        return true;
    }
    const struct quarry_kv_slice asked = {key.bytes, key.count};
    const struct quarry_kv_slice what = {stretch.bytes, stretch.count};
    /* Without bytes there is no key in the stretch. */
    return stretch.count != 0 && policy->may_match(policy->argument, asked, what);
}
