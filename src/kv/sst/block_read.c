/*
 * Reading blocks: parsing, and finding a key.
 *
 *     payload  | entry | entry | … | restarts | buckets, u8 … | bucket count, u16 | footer, u32 |
 *     extra    | head | prefix8 | prefix8 | … |
 *
 * The footer is the count of restarts; its highest bit says that there are buckets before it.
 *
 * A block is parsed once, when it is read from its file. What the bytes claim is checked there,
 * entry by entry, and never again:
 *
 *   1. Entries follow each other without a gap to the restarts, each with a key of at least a
 *      trailer, no longer than keys may be, sharing no more than the one before has.
 *   2. Restarts are offsets of entries that share nothing, rising from 0.
 *   3. All user keys begin with `common_bytes` bytes, which are those at `common_offset`.
 *
 * A parsed block whose keys are out of order gives wrong answers, but no wrong reads.
 *
 * Finding. With memcmp's order the key is compared with the common bytes once, and its next eight
 * bytes with the prefixes of restarts, numbers in one or two lines of memory; keys of the block are
 * looked at only where prefixes are equal. From the restart on entries are passed without putting
 * their keys together: `matched` says how many bytes the sought key has in common with the entry
 * before, which is smaller. An entry that shares more than that with its predecessor is smaller as
 * well, whatever else is in it; only one that shares no more is compared, from there on. An entry
 * that shares bytes of its predecessor's trailer where it would matter (versions of one user key)
 * is left to a cursor, which puts keys together.
 *
 * Cost: of a block of 4 KiB with 100-byte values: 3 restarts, two steps; some 8 entries at 10
 * instructions.
 *
 * Rejected: prefixes of all entries instead of restarts (12 bytes an entry, 8 % of the cache, for
 * 60 instructions of a get's 700); Eytzinger's order for prefixes (restarts are too few).
 */
#include <kv/sst/block_read.h>

#include <string.h>

#include <kv/sst/block_build.h>
#include <kv/sst/hash32.h>
#include <kv/sst/search.h>

#define HASH_FLAG    (UINT32_C(1) << 31)
#define BUCKET_EMPTY 255u
#define BUCKET_MANY  254u
/* RocksDB's hash of keys in blocks. */
#define BUCKET_HASH_SEED 397u

/* ---- entries, checked ----------------------------------------------------------------------- */

const char *sst_entry_parse(const char *at, const char *end, bool has_value_length,
                            struct sst_entry *ret_entry)
{
    const uint8_t *byte = (const uint8_t *)at, *limit = (const uint8_t *)end;
    size_t used = varint_get_u32(byte, limit, &ret_entry->shared);

    byte += used;
    if (used == 0 || (used = varint_get_u32(byte, limit, &ret_entry->rest)) == 0) {
        return NULL;
    }
    byte += used;
    if (has_value_length) {
        used = varint_get_u32(byte, limit, &ret_entry->value_bytes);
        byte += used;
        if (used == 0) {
            return NULL;
        }
    }
    size_t left = (size_t)(limit - byte);
    if (ret_entry->rest > left) {
        return NULL;
    }
    left -= ret_entry->rest;
    if (!has_value_length) {
        ret_entry->value_bytes = (uint32_t)left;
    }
    ret_entry->key = (const char *)byte;
    return ret_entry->value_bytes > left ? NULL : ret_entry->key + ret_entry->rest;
}

static bool buckets_parse(const char *bytes, size_t byte_count, struct sst_restarts *restarts)
{
    if (byte_count < 6) {
        return false;
    }
    restarts->bucket_count = endian_load_le_u16(bytes + byte_count - 6);
    if (restarts->bucket_count == 0 || byte_count - 6 < restarts->bucket_count) {
        return false;
    }
    restarts->buckets_offset = (uint32_t)(byte_count - 6 - restarts->bucket_count);
    return true;
}

bool sst_restarts_parse(const char *bytes, size_t byte_count, struct sst_restarts *ret_restarts)
{
    struct sst_restarts restarts = {0};

    if (byte_count < 4 || byte_count > UINT32_MAX / 2) {
        return false;
    }
    uint32_t footer = endian_load_le_u32(bytes + byte_count - 4);
    size_t end = byte_count - 4;
    if ((footer & HASH_FLAG) != 0) {
        if (!buckets_parse(bytes, byte_count, &restarts)) {
            return false;
        }
        end = restarts.buckets_offset;
    }
    restarts.count = footer & ~HASH_FLAG;
    if (restarts.count == 0 || restarts.count > end / sizeof(uint32_t)) {
        return false;
    }
    restarts.entries_bytes = (uint32_t)(end - restarts.count * sizeof(uint32_t));
    *ret_restarts = restarts;
    return true;
}

enum quarry_status sst_block_visit(const struct sst_heap *heap, const char *bytes,
                                   size_t byte_count, sst_visit_function *visit, void *argument)
{
    struct sst_restarts restarts;
    struct sst_buffer key = {0};
    enum quarry_status status = QUARRY_OK;

    if (!sst_restarts_parse(bytes, byte_count, &restarts)) {
        return QUARRY_CORRUPT;
    }
    const char *at = bytes, *end = bytes + restarts.entries_bytes;
    while (status == QUARRY_OK && at < end) {
        struct sst_entry entry;
        const char *value = sst_entry_parse(at, end, true, &entry);
        if (value == NULL || entry.shared > key.count) {
            status = QUARRY_CORRUPT;
            break;
        }
        key.count = entry.shared;
        status = sst_buffer_append(heap, &key, entry.key, entry.rest);
        if (status == QUARRY_OK) {
            status =
                visit(argument, kv_slice(key.bytes, key.count), kv_slice(value, entry.value_bytes));
        }
        at = value + entry.value_bytes;
    }
    sst_buffer_fini(heap, &key);
    return status;
}

/* ---- parsing -------------------------------------------------------------------------------- */

bool sst_block_extra_bytes(const char *bytes, size_t byte_count, size_t *ret_extra_bytes)
{
    struct sst_restarts restarts;

    if (!sst_restarts_parse(bytes, byte_count, &restarts)) {
        return false;
    }
    *ret_extra_bytes = sizeof(struct sst_block_head) + sizeof(uint64_t) * (size_t)restarts.count;
    return true;
}

/* The walk through a block that is parsed. */
struct parse {
    const char *bytes;
    struct sst_block_head *head;
    uint32_t key_bytes;    /* of the entry before */
    uint32_t next_restart; /* index of the one that comes next */
    const char *first_key;
    uint32_t common;
};

/* Invariant 3: no more than this key has, too. */
static void narrow(struct parse *parse, const struct sst_entry *entry, uint32_t user_bytes)
{
    if (parse->first_key == NULL) {
        parse->first_key = entry->key;
        parse->common = user_bytes;
        return;
    }
    uint32_t common = parse->common < user_bytes ? parse->common : user_bytes;
    if (entry->shared < common) {
        common = entry->shared + (uint32_t)sst_common_bytes(parse->first_key + entry->shared,
                                                            entry->key, common - entry->shared);
    }
    parse->common = common;
}

static const char *parse_entry(struct parse *parse, const char **at, const char *end)
{
    struct sst_entry entry;
    const struct sst_restarts *restarts = &parse->head->restarts;
    const char *value = sst_entry_parse(*at, end, true, &entry);

    if (value == NULL) {
        return "an entry ends after its block";
    }
    uint64_t key_bytes = (uint64_t)entry.shared + entry.rest;
    if (entry.shared > parse->key_bytes) {
        return "a key shares more than the one before it has";
    }
    if (key_bytes < KV_TRAILER_BYTES || key_bytes > QUARRY_KV_KEY_BYTES_MAX + KV_TRAILER_BYTES) {
        return "a key is too short or too long";
    }
    if (parse->next_restart < restarts->count &&
        endian_load_le_u32(parse->bytes + restarts->entries_bytes +
                           4 * (size_t)parse->next_restart) == (uint32_t)(*at - parse->bytes)) {
        if (entry.shared != 0) {
            return "a restart shares bytes with the entry before it";
        }
        parse->next_restart++;
    }
    narrow(parse, &entry, (uint32_t)(key_bytes - KV_TRAILER_BYTES));
    parse->key_bytes = (uint32_t)key_bytes;
    parse->head->entry_count++;
    *at = value + entry.value_bytes;
    return NULL;
}

static void fill_prefixes(const char *bytes, struct sst_block_head *head)
{
    const struct sst_block block = {bytes, head};

    for (uint32_t i = 0; i < head->restarts.count; i++) {
        uint32_t shared, rest, value_bytes;
        const char *key = sst_entry_read(bytes + sst_block_restart_offset(&block, i), &shared,
                                         &rest, &value_bytes);
        head->prefixes[i] = kv_prefix8(
            kv_slice(key + head->common_bytes, rest - KV_TRAILER_BYTES - head->common_bytes));
    }
}

const char *sst_block_parse(const char *bytes, size_t byte_count, struct sst_block_head *head)
{
    struct parse parse = {.bytes = bytes, .head = head};

    memset(head, 0, sizeof(*head));
    head->mark = SST_MARK_DATA;
    if (!sst_restarts_parse(bytes, byte_count, &head->restarts)) {
        return "its restarts do not fit";
    }
    const char *at = bytes, *end = bytes + head->restarts.entries_bytes;
    while (at < end) {
        const char *fault = parse_entry(&parse, &at, end);
        if (fault != NULL) {
            return fault;
        }
    }
    if (head->entry_count == 0) {
        return "it has no entries";
    }
    if (parse.next_restart != head->restarts.count) {
        return "a restart is not where an entry begins";
    }
    head->common_bytes = parse.common;
    head->common_offset = (uint32_t)(parse.first_key - bytes);
    fill_prefixes(bytes, head);
    return NULL;
}

/* ---- finding the restart -------------------------------------------------------------------- */

static struct kv_key restart_key(const struct sst_block *block, uint32_t restart)
{
    uint32_t shared, rest, value_bytes;
    const char *key = sst_entry_read(block->bytes + sst_block_restart_offset(block, restart),
                                     &shared, &rest, &value_bytes);

    return (struct kv_key){kv_slice(key, rest - KV_TRAILER_BYTES),
                           endian_load_le_u64(key + rest - KV_TRAILER_BYTES)};
}

/* The first restart in [low, high) whose key does not come before `key`; else `high`. */
static uint32_t lower_bound(const struct sst_block *block,
                            const struct quarry_kv_comparator *comparator, struct kv_key key,
                            uint32_t low, uint32_t high)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kv_compare_keys(comparator, restart_key(block, middle), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How the sought key stands to the bytes that all keys begin with. */
static int compare_common(const struct sst_block *block, struct kv_slice user)
{
    const struct sst_block_head *head = block->head;
    size_t count = user.count < head->common_bytes ? user.count : head->common_bytes;
    int order = count == 0 ? 0 : memcmp(user.bytes, block->bytes + head->common_offset, count);

    return order != 0 ? order : -(user.count < head->common_bytes);
}

static uint32_t bytewise_restart(const struct sst_block *block, struct kv_key key)
{
    static const struct quarry_kv_comparator bytewise = {.compare = NULL};
    const struct sst_block_head *head = block->head;
    uint32_t count = head->restarts.count;
    int order = compare_common(block, key.user);

    if (order != 0) {
        return order < 0 ? 0 : count - 1;
    }
    uint64_t prefix = kv_prefix8(
        kv_slice(key.user.bytes + head->common_bytes, key.user.count - head->common_bytes));
    uint32_t bound = sst_prefix_bound(head->prefixes, count, prefix);
    if (bound < count && head->prefixes[bound] == prefix) {
        uint32_t equal =
            prefix == UINT64_MAX ? count : sst_prefix_bound(head->prefixes, count, prefix + 1);
        bound = lower_bound(block, &bytewise, key, bound, equal);
    }
    return bound == 0 ? 0 : bound - 1;
}

uint32_t sst_block_restart(const struct sst_block *block,
                           const struct quarry_kv_comparator *comparator, struct kv_key key)
{
    if (Q_LIKELY(comparator->compare == NULL)) {
        return bytewise_restart(block, key);
    }
    uint32_t bound = lower_bound(block, comparator, key, 0, block->head->restarts.count);
    return bound == 0 ? 0 : bound - 1;
}

/* ---- finding the entry ---------------------------------------------------------------------- */

/* Entries are compared by a cursor, which puts their keys together. */
static enum quarry_status find_slow(const struct sst_block *block,
                                    const struct quarry_kv_comparator *comparator,
                                    const struct sst_heap *heap, struct kv_key key,
                                    enum sst_place *ret_place, struct sst_point *ret_point)
{
    struct sst_cursor cursor;

    sst_cursor_init(&cursor);
    sst_cursor_set(&cursor, block);
    enum quarry_status status = sst_cursor_seek(&cursor, heap, comparator, key);
    if (status == QUARRY_OK && !cursor.is_valid) {
        *ret_place = SST_PLACE_BEYOND;
    } else if (status == QUARRY_OK && kv_compare(comparator, cursor.key.user, key.user) == 0) {
        *ret_place = SST_PLACE_FOUND;
        *ret_point = (struct sst_point){cursor.key.trailer, cursor.value};
    } else if (status == QUARRY_OK) {
        *ret_place = SST_PLACE_ABSENT;
    }
    sst_cursor_fini(&cursor, heap);
    return status;
}

/* As enum sst_place, and one for what only a cursor can tell. */
#define PLACE_UNCLEAR 3u

/*
 * Passes entries from `at`, a restart, to `end`, in memcmp's order: see the essay. Returns: a
 * place; BEYOND at `end`.
 */
static inline uint32_t scan(const char *at, const char *end, struct kv_key key,
                            struct sst_point *ret_point)
{
    size_t matched = 0, before = 0; /* before: bytes of the user key of the entry before */

    while (at < end) {
        uint32_t shared, rest, value_bytes;
        const char *suffix = sst_entry_read(at, &shared, &rest, &value_bytes);
        at = suffix + rest + value_bytes;
        if (shared > matched) {
            if (Q_UNLIKELY(matched == before)) {
                return PLACE_UNCLEAR;
            }
            before = shared + rest - KV_TRAILER_BYTES;
            continue;
        }
        if (Q_UNLIKELY(rest < KV_TRAILER_BYTES)) {
            return PLACE_UNCLEAR;
        }
        size_t user = shared + rest - KV_TRAILER_BYTES;
        size_t count = user < key.user.count ? user : key.user.count;
        if (Q_LIKELY(shared < count && *suffix != key.user.bytes[shared])) {
            if ((uint8_t)*suffix > (uint8_t)key.user.bytes[shared]) {
                return SST_PLACE_ABSENT;
            }
            matched = shared;
            before = user;
            continue;
        }
        matched = shared + sst_common_bytes(suffix, key.user.bytes + shared, count - shared);
        before = user;
        if (matched < count) {
            if ((uint8_t)suffix[matched - shared] > (uint8_t)key.user.bytes[matched]) {
                return SST_PLACE_ABSENT;
            }
        } else if (user > matched) {
            return SST_PLACE_ABSENT;
        } else if (key.user.count == matched) {
            uint64_t trailer = endian_load_le_u64(suffix + (user - shared));
            if (trailer <= key.trailer) {
                *ret_point = (struct sst_point){trailer, kv_slice(at - value_bytes, value_bytes)};
                return SST_PLACE_FOUND;
            }
        }
    }
    return SST_PLACE_BEYOND;
}

/*
 * By the buckets of the block. Returns: FOUND; ABSENT: the hash index knows that it is not in this
 * block; UNCLEAR: it is to be searched.
 */
static uint32_t find_by_hash(const struct sst_block *block, struct kv_key key,
                             struct sst_point *ret_point)
{
    const struct sst_restarts *restarts = &block->head->restarts;
    uint32_t hash = sst_hash32_signed(key.user.bytes, key.user.count, BUCKET_HASH_SEED);
    uint8_t bucket =
        ((const uint8_t *)block->bytes)[restarts->buckets_offset + hash % restarts->bucket_count];

    if (bucket == BUCKET_EMPTY) {
        return SST_PLACE_ABSENT;
    }
    if (bucket == BUCKET_MANY || bucket >= restarts->count) {
        return PLACE_UNCLEAR;
    }
    uint32_t end = bucket + 1u < restarts->count ? sst_block_restart_offset(block, bucket + 1u)
                                                 : restarts->entries_bytes;
    uint32_t place = scan(block->bytes + sst_block_restart_offset(block, bucket),
                          block->bytes + end, key, ret_point);
    return place == SST_PLACE_BEYOND ? SST_PLACE_ABSENT : place;
}

enum quarry_status sst_block_find(const struct sst_block *block,
                                  const struct quarry_kv_comparator *comparator,
                                  const struct sst_heap *heap, struct kv_key key, bool is_final,
                                  enum sst_place *ret_place, struct sst_point *ret_point)
{
    uint32_t place = PLACE_UNCLEAR;

    if (Q_UNLIKELY(comparator->compare != NULL)) {
        return find_slow(block, comparator, heap, key, ret_place, ret_point);
    }
    if (block->head->restarts.bucket_count != 0) {
        place = find_by_hash(block, key, ret_point);
        if (place == SST_PLACE_ABSENT && !is_final) {
            place = PLACE_UNCLEAR;
        }
    }
    if (place == PLACE_UNCLEAR) {
        uint32_t restart = bytewise_restart(block, key);
        place = scan(block->bytes + sst_block_restart_offset(block, restart),
                     block->bytes + block->head->restarts.entries_bytes, key, ret_point);
    }
    if (Q_UNLIKELY(place == PLACE_UNCLEAR)) {
        return find_slow(block, comparator, heap, key, ret_place, ret_point);
    }
    *ret_place = (enum sst_place)place;
    return QUARRY_OK;
}
