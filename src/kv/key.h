/*
 * Keys as files and memtables have them, and their order.
 *
 *     internal key   user key … │ trailer, 8 bytes little-endian:  sequence << 8 | type
 *
 * In memory the trailer stands apart from the user key wherever it can, so that keys are compared
 * without unpacking. Order: user keys rising by the comparator, then trailers falling, so that of
 * one user key the newest comes first.
 */
#ifndef QUARRY_KV_KEY_H
#define QUARRY_KV_KEY_H

#include <string.h>

#include <quarry/kv.h>

#include <base/base.h>

/* What an entry is. Numbers are those of LevelDB's and RocksDB's files. */
enum kv_type {
    KV_TYPE_DELETE = 0x0,
    KV_TYPE_PUT = 0x1,
    KV_TYPE_MERGE = 0x2,
    KV_TYPE_SINGLE_DELETE = 0x7,
    KV_TYPE_RANGE_DELETE = 0xf,
    /* Of other engines' features, which are refused. */
    KV_TYPE_BLOB_INDEX = 0x11,
    KV_TYPE_DELETE_WITH_TIMESTAMP = 0x14,
    KV_TYPE_WIDE_COLUMNS = 0x16,
    /* The highest there is: what a key is sought with, to come before all entries of its sequence.
     */
    KV_TYPE_SEEK = 0xff,
};

#define KV_SEQUENCE_MAX  ((UINT64_C(1) << 56) - 1)
#define KV_TRAILER_BYTES 8u

static inline uint64_t kv_trailer(uint64_t sequence, enum kv_type type)
{
    return sequence << 8 | (uint64_t)type;
}
static inline uint64_t kv_trailer_sequence(uint64_t trailer)
{
    return trailer >> 8;
}
static inline enum kv_type kv_trailer_type(uint64_t trailer)
{
    return (enum kv_type)(trailer & 0xff);
}
/* The trailer with which a key is sought as of a sequence: before all that is visible then. */
static inline uint64_t kv_trailer_seek(uint64_t sequence)
{
    return kv_trailer(sequence, KV_TYPE_SEEK);
}

/* A stretch of bytes; of a key, the user's. */
struct kv_slice {
    const char *bytes;
    size_t count;
};
static inline struct kv_slice kv_slice(const void *bytes, size_t count)
{
    return (struct kv_slice){bytes, count};
}

/* An internal key, apart. */
struct kv_key {
    struct kv_slice user;
    uint64_t trailer;
};

/* memcmp without a call: for what is short and in cache. */
static inline int kv_compare_words(const char *a, const char *b, size_t count)
{
    if (Q_UNLIKELY(count < sizeof(uint64_t))) {
        return count == 0 ? 0 : memcmp(a, b, count);
    }
    for (size_t at = 0; at < count; at += sizeof(uint64_t)) {
        /* The last word may reach back into what has been compared. */
        size_t from = size_min(at, count - sizeof(uint64_t));
        uint64_t x = endian_load_be_u64(a + from), y = endian_load_be_u64(b + from);
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return 0;
}

/* Of memcmp, with the shorter of two that are equal so far first. */
static inline int kv_compare_bytes(struct kv_slice a, struct kv_slice b)
{
    size_t count = a.count < b.count ? a.count : b.count;
    int order = count == 0 ? 0 : memcmp(a.bytes, b.bytes, count);

    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

/* `comparator`: one whose `compare` is NULL orders as memcmp: inline, with no call. */
static inline int kv_compare(const struct quarry_kv_comparator *comparator, struct kv_slice a,
                             struct kv_slice b)
{
    if (Q_LIKELY(comparator->compare == NULL)) {
        return kv_compare_bytes(a, b);
    }
    return comparator->compare(comparator->argument, a.bytes, a.count, b.bytes, b.count);
}

static inline int kv_compare_keys(const struct quarry_kv_comparator *comparator, struct kv_key a,
                                  struct kv_key b)
{
    int order = kv_compare(comparator, a.user, b.user);

    return order != 0 ? order : (a.trailer < b.trailer) - (a.trailer > b.trailer);
}

/*
 * The first eight bytes of a key as a number, shorter ones filled with zeros: in memcmp's order
 * where they differ; where they are equal the keys must be compared. Of no use with another
 * comparator.
 */
static inline uint64_t kv_prefix8(struct kv_slice key)
{
    uint64_t prefix = 0;

    if (Q_LIKELY(key.count >= sizeof(prefix))) {
        return endian_load_be_u64(key.bytes);
    }
    for (size_t i = 0; i < key.count; i++) {
        prefix |= (uint64_t)(unsigned char)key.bytes[i] << (56 - 8 * i);
    }
    return prefix;
}

/* The comparator that stands for memcmp: LevelDB's and RocksDB's own. */
extern const struct quarry_kv_comparator kv_bytewise;

/*
 * Takes an internal key apart. False: it is too short, or of a type that no file may have.
 */
bool kv_key_parse(struct kv_slice internal, struct kv_key *ret_key);

/*
 * The shortest user key k with a <= k < b (or any k >= a): as the comparator shortens, written to
 * `room` of a.count bytes. Returns: its bytes; a itself, copied, where it cannot be shortened.
 */
size_t kv_key_separate(const struct quarry_kv_comparator *comparator, struct kv_slice a,
                       struct kv_slice b, char *room);
size_t kv_key_succeed(const struct quarry_kv_comparator *comparator, struct kv_slice a, char *room);

#endif
