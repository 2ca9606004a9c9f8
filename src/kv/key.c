/*
 * Keys: memcmp's order as a comparator, shortening keys, and taking internal keys apart.
 *
 * Shortening makes the keys of index blocks: any k with a <= k < b does between two blocks whose
 * last and first keys are a and b. Of bytes, it is the common prefix, and the first byte that
 * differs plus one, where that is still below b's:
 *
 *     a  = "the quick fox"        k = "the r"
 *     b  = "the slow dog"
 *
 * Invariants:
 *   1. a <= k < b, and k is not longer than a.
 *   2. A comparator without functions of its own is memcmp's: kv_compare calls nothing for it.
 *
 * Cost: O(bytes). Locking: none. Source: LevelDB's comparator, byte for byte.
 */
#include <kv/key.h>

static size_t bytes_separate(const unsigned char *a, size_t a_bytes, const unsigned char *b,
                             size_t b_bytes, unsigned char *room)
{
    size_t least = a_bytes < b_bytes ? a_bytes : b_bytes;
    size_t at = 0;

    while (at < least && a[at] == b[at]) {
        at++;
    }
    /* At `least`, a is a prefix of b: nothing shorter lies between. */
    if (at == least || a[at] == UINT8_MAX || a[at] + 1 >= b[at]) {
        return 0;
    }
    if (at != 0) {
        memcpy(room, a, at);
    }
    room[at] = (unsigned char)(a[at] + 1);
    return at + 1;
}

static size_t bytes_succeed(const unsigned char *a, size_t a_bytes, unsigned char *room)
{
    for (size_t at = 0; at < a_bytes; at++) {
        if (a[at] != UINT8_MAX) {
            if (at != 0) {
                memcpy(room, a, at);
            }
            room[at] = (unsigned char)(a[at] + 1);
            return at + 1;
        }
    }
    return 0; /* all 0xff: only longer ones are above */
}

const struct quarry_kv_comparator kv_bytewise = {.name = "leveldb.BytewiseComparator"};

static bool is_type_of_files(uint64_t type)
{
    switch (type) {
    case KV_TYPE_DELETE:
    case KV_TYPE_PUT:
    case KV_TYPE_MERGE:
    case KV_TYPE_SINGLE_DELETE:
    case KV_TYPE_RANGE_DELETE:
    case KV_TYPE_BLOB_INDEX:
    case KV_TYPE_DELETE_WITH_TIMESTAMP:
    case KV_TYPE_WIDE_COLUMNS:
        return true;
    default:
        return false;
    }
}

bool kv_key_parse(struct kv_slice internal, struct kv_key *ret_key)
{
    if (internal.count < KV_TRAILER_BYTES) {
        return false;
    }
    size_t user_bytes = internal.count - KV_TRAILER_BYTES;
    uint64_t trailer = endian_load_le_u64(internal.bytes + user_bytes);
    if (!is_type_of_files(trailer & 0xff)) {
        return false;
    }
    *ret_key = (struct kv_key){kv_slice(internal.bytes, user_bytes), trailer};
    return true;
}

/* What a comparator gave, or all of a. Invariant 1 is a comparator's promise: its length is
 * checked, for it is where we would write too far. */
static size_t shortened(struct kv_slice a, size_t byte_count, char *room)
{
    if (byte_count != 0 && byte_count <= a.count) {
        return byte_count;
    }
    if (a.count != 0) {
        memcpy(room, a.bytes, a.count);
    }
    return a.count;
}

size_t kv_key_separate(const struct quarry_kv_comparator *comparator, struct kv_slice a,
                       struct kv_slice b, char *room)
{
    size_t byte_count = 0;

    Q_DCHECK(kv_compare(comparator, a, b) < 0);
    if (comparator->compare == NULL) {
        byte_count = bytes_separate((const unsigned char *)a.bytes, a.count,
                                    (const unsigned char *)b.bytes, b.count, (unsigned char *)room);
    } else if (comparator->separate != NULL) {
        byte_count =
            comparator->separate(comparator->argument, a.bytes, a.count, b.bytes, b.count, room);
    }
    return shortened(a, byte_count, room);
}

size_t kv_key_succeed(const struct quarry_kv_comparator *comparator, struct kv_slice a, char *room)
{
    size_t byte_count = 0;

    if (comparator->compare == NULL) {
        byte_count = bytes_succeed((const unsigned char *)a.bytes, a.count, (unsigned char *)room);
    } else if (comparator->succeed != NULL) {
        byte_count = comparator->succeed(comparator->argument, a.bytes, a.count, room);
    }
    return shortened(a, byte_count, room);
}
