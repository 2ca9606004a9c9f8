/*
 * Indexes.
 *
 * On disk:
 *
 *     | shared | rest | key | offset, size |               value delta encoding, shared = 0
 *     | shared | rest | key | size − size before |         the same, shared ≠ 0; zigzag
 *     | shared | rest | value bytes | key | offset, size | otherwise
 *
 * A separator is not before the last key of its block, and before the first one of the next. It is
 * a user key where no two neighbouring blocks split the versions of one; in old files and LevelDB's
 * it has a trailer.
 *
 * In memory it is arrays (index.h): the search runs over the eight bytes of each key behind what
 * all but the last have in common, as numbers. Only where two are equal are keys compared, and the
 * last one, where it may be the answer. With the last in it nothing is in common, and where keys
 * begin alike every number is the same: a get among 10^6 "key:000000123456" compared 15 keys and
 * passed 15,000 equal numbers. Arrays cost 24 bytes an entry (32 with trailers) beside keys that
 * are a few bytes long without the common ones; on disk an entry has about 25.
 *
 * Invariants of a decoded index, for any bytes on disk:
 *   1. key_end does not fall, and the last one is the end of the keys.
 *   2. Every handle lies within the file's limit.
 *   3. count may be 0: of a table of range deletions alone.
 *
 * The block is walked twice: once to count, once to fill.
 *
 * Rejected: Eytzinger's order for the prefixes. It saves a third of the misses of a cold search,
 * but indexes that are searched are in the cache of the CPU to their upper half, and iterators want
 * rank order; large indexes are cut into parts of 4 KiB anyway.
 */
#include <kv/sst/index.h>

#include <string.h>

#include <kv/sst/block_build.h>
#include <kv/sst/block_read.h>
#include <kv/sst/search.h>

/* ---- walking the block ---------------------------------------------------------------------- */

/* A walk; the entry that it is at, whole. */
struct walk {
    const struct sst_heap *heap;
    const struct sst_index_form *form;
    const char *at, *end;
    struct sst_buffer key; /* with its trailer, if it has one */
    uint32_t shared;
    struct sst_handle handle;
    const char *fault;
};

static enum quarry_status corrupt(struct walk *walk, const char *fault)
{
    walk->fault = fault;
    return QUARRY_CORRUPT;
}

static enum quarry_status walk_begin(struct walk *walk, const struct sst_heap *heap,
                                     const char *bytes, size_t byte_count,
                                     const struct sst_index_form *form)
{
    struct sst_restarts restarts;

    *walk = (struct walk){.heap = heap, .form = form, .fault = "memory is short"};
    if (!sst_restarts_parse(bytes, byte_count, &restarts)) {
        return corrupt(walk, "an index's restarts do not fit");
    }
    walk->at = bytes;
    walk->end = bytes + restarts.entries_bytes;
    return sst_buffer_reserve(heap, &walk->key, 1); /* an empty key has an address, too */
}

/* Reads the handle at `at`, in full or as a difference. Returns: where it ends; NULL: nowhere. */
static const char *take_handle(struct walk *walk, const char *at, bool is_delta)
{
    uint64_t delta;
    struct sst_handle handle;

    if (!is_delta) {
        size_t used = sst_handle_get(at, walk->end, &handle);
        walk->handle = handle;
        return used == 0 ? NULL : at + used;
    }
    size_t used = varint_get_u64((const uint8_t *)at, (const uint8_t *)walk->end, &delta);
    /* Wrapping: a sum that makes no sense is found out by the limit. */
    walk->handle.offset += walk->handle.byte_count + SST_TRAILER_BYTES;
    walk->handle.byte_count += (uint64_t)varint_unzigzag(delta);
    return used == 0 ? NULL : at + used;
}

static const char *skip_first_key(const char *at, const char *end)
{
    uint32_t count;
    size_t used = varint_get_u32((const uint8_t *)at, (const uint8_t *)end, &count);

    return used == 0 || count > (size_t)(end - at) - used ? NULL : at + used + count;
}

static enum quarry_status walk_next(struct walk *walk)
{
    struct sst_entry entry;
    bool has_length = !walk->form->is_delta_encoded;
    const char *value = sst_entry_parse(walk->at, walk->end, has_length, &entry);

    if (value == NULL || entry.shared > walk->key.count) {
        return corrupt(walk, "an entry of an index does not fit");
    }
    walk->key.count = entry.shared;
    walk->shared = entry.shared;
    enum quarry_status status = sst_buffer_append(walk->heap, &walk->key, entry.key, entry.rest);
    if (status != QUARRY_OK) {
        return status;
    }
    const char *end = take_handle(walk, value, walk->form->is_delta_encoded && entry.shared != 0);
    if (end != NULL && walk->form->has_first_keys) {
        end = skip_first_key(end, walk->end);
    }
    if (end == NULL || (has_length && end > value + entry.value_bytes)) {
        return corrupt(walk, "a handle in an index makes no sense");
    }
    if (!sst_handle_is_within(walk->handle, walk->form->limit)) {
        return corrupt(walk, "a handle in an index leads out of the file");
    }
    if (walk->key.count > QUARRY_KV_KEY_BYTES_MAX ||
        (!walk->form->has_user_keys && walk->key.count < KV_TRAILER_BYTES)) {
        return corrupt(walk, "a key in an index is too short or too long");
    }
    walk->at = has_length ? value + entry.value_bytes : end;
    return QUARRY_OK;
}

static size_t user_bytes(const struct walk *walk)
{
    return walk->key.count - (walk->form->has_user_keys ? 0 : KV_TRAILER_BYTES);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static size_t decoded_bytes(const struct sst_index_form *form, uint32_t count, size_t key_bytes)
{
    size_t words = form->has_user_keys ? 2 : 3;

    return sizeof(struct sst_index) + count * (8 * words + 8) + key_bytes;
}

enum quarry_status sst_index_measure(const struct sst_heap *heap, const char *bytes,
                                     size_t byte_count, const struct sst_index_form *form,
                                     struct sst_index_measure *ret_measure, const char **ret_fault)
{
    struct walk walk;
    struct sst_buffer first = {0};
    size_t key_bytes = 0, common = 0, common_before = 0; /* of all, and of all but the last */
    uint32_t count = 0;
    enum quarry_status status = walk_begin(&walk, heap, bytes, byte_count, form);

    while (status == QUARRY_OK && walk.at < walk.end && (status = walk_next(&walk)) == QUARRY_OK) {
        size_t user = user_bytes(&walk);
        if (count++ == 0) {
            common_before = common = form->is_bytewise ? user : 0;
            status = sst_buffer_append(heap, &first, walk.key.bytes, user);
        } else {
            common_before = common;
            common = common < user ? common : user;
            common = sst_common_bytes(first.bytes, walk.key.bytes, common);
        }
        key_bytes += user;
    }
    if (status == QUARRY_OK) {
        key_bytes -= count < 2 ? 0 : (count - 2) * common_before;
        *ret_measure = (struct sst_index_measure){count, (uint32_t)common_before,
                                                  decoded_bytes(form, count, key_bytes)};
        status = ret_measure->decoded_bytes > QUARRY_BLOCK_BYTES_MAX ? QUARRY_TOO_LARGE : QUARRY_OK;
    }
    *ret_fault = walk.fault;
    sst_buffer_fini(heap, &first);
    sst_buffer_fini(heap, &walk.key);
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------- */

/* Where the arrays of an index that is being filled are. */
struct arrays {
    uint64_t *prefixes, *offsets, *trailers;
    uint32_t *bytes, *key_ends;
    char *common, *keys;
};

static struct arrays arrays_of(struct sst_index *index)
{
    struct arrays arrays = {.prefixes = index->words, .offsets = index->words + index->count};

    arrays.trailers = arrays.offsets + index->count;
    arrays.bytes = (uint32_t *)(arrays.trailers + (index->has_trailers ? index->count : 0));
    arrays.key_ends = arrays.bytes + index->count;
    arrays.common = (char *)(arrays.key_ends + index->count);
    arrays.keys = arrays.common + index->common_bytes;
    return arrays;
}

static void put_entry(const struct sst_index *index, const struct arrays *arrays,
                      const struct walk *walk, uint32_t entry, uint32_t *end)
{
    size_t skipped = sst_index_skipped(index, entry);
    size_t user = user_bytes(walk), rest = user - skipped;
    const char *key = walk->key.bytes + skipped;

    if (entry == 0 && index->common_bytes != 0) {
        memcpy(arrays->common, walk->key.bytes, index->common_bytes);
    }
    if (rest != 0) {
        memcpy(arrays->keys + *end, key, rest);
    }
    *end += (uint32_t)rest;
    arrays->prefixes[entry] = rest == 0 ? 0 : kv_prefix8(kv_slice(key, rest));
    arrays->offsets[entry] = walk->handle.offset;
    arrays->bytes[entry] = (uint32_t)walk->handle.byte_count;
    arrays->key_ends[entry] = *end;
    if (index->has_trailers) {
        arrays->trailers[entry] = endian_load_le_u64(walk->key.bytes + user);
    }
}

enum quarry_status sst_index_parse(const struct sst_heap *heap, const char *bytes,
                                   size_t byte_count, const struct sst_index_form *form,
                                   const struct sst_index_measure *measure, struct sst_index *room,
                                   const char **ret_fault)
{
    struct walk walk;
    enum quarry_status status = walk_begin(&walk, heap, bytes, byte_count, form);
    uint32_t end = 0;

    *room = (struct sst_index){.count = measure->count,
                               .common_bytes = measure->common_bytes,
                               .has_trailers = !form->has_user_keys,
                               .is_bytewise = form->is_bytewise};
    const struct arrays arrays = arrays_of(room);
    for (uint32_t i = 0; status == QUARRY_OK && i < measure->count; i++) {
        status = walk_next(&walk);
        if (status == QUARRY_OK) {
            put_entry(room, &arrays, &walk, i, &end);
        }
    }
    *ret_fault = walk.fault;
    sst_buffer_fini(heap, &walk.key);
    return status;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* Keys with common bytes are in memcmp's order: others have none, and are whole in `rest`. */
int sst_index_compare(const struct sst_index *index, const struct quarry_kv_comparator *comparator,
                      uint32_t entry, struct kv_key key)
{
    size_t common = sst_index_skipped(index, entry);
    size_t count = key.user.count < common ? key.user.count : common;
    int order = count == 0 ? 0 : memcmp(sst_index_common(index), key.user.bytes, count);

    if (order == 0 && key.user.count < common) {
        return 1;
    }
    if (order == 0) {
        const struct kv_slice rest = kv_slice(key.user.bytes + common, key.user.count - common);
        order = kv_compare(comparator, sst_index_rest(index, entry), rest);
    }
    if (order != 0 || !index->has_trailers) {
        return order;
    }
    uint64_t trailer = sst_index_trailers(index)[entry];
    return (trailer < key.trailer) - (trailer > key.trailer);
}

static uint32_t find_in(const struct sst_index *index,
                        const struct quarry_kv_comparator *comparator, struct kv_key key,
                        uint32_t low, uint32_t high)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sst_index_compare(index, comparator, middle, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Among `count` entries, which have the common bytes. Keys are in memcmp's order. */
static uint32_t find_alike(const struct sst_index *index,
                           const struct quarry_kv_comparator *comparator, struct kv_key key,
                           uint32_t count)
{
    uint32_t common = index->common_bytes;

    if (common != 0) {
        size_t compared = key.user.count < common ? key.user.count : common;
        int order = compared == 0 ? 0 : memcmp(sst_index_common(index), key.user.bytes, compared);
        if (order != 0 || key.user.count < common) {
            return order < 0 ? count : 0;
        }
    }
    uint64_t prefix = key.user.count == common
                          ? 0
                          : kv_prefix8(kv_slice(key.user.bytes + common, key.user.count - common));
    uint32_t low = sst_prefix_bound(index->words, count, prefix);
    if (low == count || index->words[low] != prefix) {
        return low;
    }
    uint32_t high = low + 1;
    if (high < count && index->words[high] == prefix) {
        high = prefix == UINT64_MAX
                   ? count
                   : high + sst_prefix_bound(index->words + high, count - high, prefix + 1);
    }
    return find_in(index, comparator, key, low, high);
}

uint32_t sst_index_find(const struct sst_index *index,
                        const struct quarry_kv_comparator *comparator, struct kv_key key)
{
    if (Q_UNLIKELY(!index->is_bytewise)) {
        return find_in(index, comparator, key, 0, index->count);
    }
    uint32_t alike = index->count < 2 ? index->count : index->count - 1;
    uint32_t found = find_alike(index, comparator, key, alike);
    if (found == alike && alike != index->count) {
        found += sst_index_compare(index, comparator, alike, key) < 0;
    }
    return found;
}
