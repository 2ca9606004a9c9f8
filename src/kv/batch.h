/*
 * Batches of changes, in RocksDB's form, which is also what the log holds.
 *
 *     0              8          12
 *     | sequence     | count    | record | record | …
 *       of the first   changes    tag, [column family], lengths and bytes
 *
 * A *record* is a change, or one of two things that are none: bytes for the log alone, and nothing.
 * Changes have the sequences `sequence`, `sequence` + 1, … in order. docs/formats/wal.md has the
 * bytes.
 */
#ifndef QUARRY_KV_BATCH_H
#define QUARRY_KV_BATCH_H

#include <kv/buffer.h>
#include <kv/key.h>
#include <kv/memory.h>

#define KV_BATCH_HEADER_BYTES 12u
/* Offsets into a batch have 32 bits. */
#define KV_BATCH_BYTES_MAX ((size_t)UINT32_MAX)
/* Marks that quarry_kv_batch_mark can nest. */
#define KV_BATCH_MARKS_MAX 16u

/* ---- reading one ---------------------------------------------------------------------------- */

/* One record. */
struct kv_batch_record {
    bool is_change;        /* false: bytes for the log, in `value`, or nothing */
    enum kv_type type;     /* of a change: PUT, DELETE, SINGLE_DELETE, MERGE or RANGE_DELETE */
    struct kv_slice key;   /* of a range: where it begins */
    struct kv_slice value; /* of a merge: the operand; of a range: where it ends */
    /*
     * Key and value with the shortest length before each, as they lie in the batch; bytes NULL: it
     * is not known that they do.
     */
    struct kv_slice pair;
};

/* Where a reader of a batch is. `at` is at a record's tag. */
struct kv_batch_cursor {
    const char *begin; /* of the batch, header included */
    const char *at;
    const char *end;
};

static inline uint64_t kv_batch_sequence(struct kv_slice data)
{
    return endian_load_le_u64(data.bytes);
}
static inline uint32_t kv_batch_count(struct kv_slice data)
{
    return endian_load_le_u32(data.bytes + 8);
}

/*
 * Places a cursor at the first record. `data`: borrowed while the cursor is used.
 * Errors: QUARRY_CORRUPT: shorter than a header.
 */
enum quarry_status kv_batch_cursor_init(struct kv_batch_cursor *cursor, struct kv_slice data,
                                        struct quarry_error *error);
/*
 * Reads a record and moves behind it.
 *
 * `ret_record`: its slices are borrowed from the batch.
 * Errors: QUARRY_NOT_FOUND: the end; QUARRY_CORRUPT; QUARRY_UNSUPPORTED: of another column family,
 * two-phase commit, a blob, wide columns or timestamps, which the text names.
 * Cost: some 70 instructions.
 */
enum quarry_status kv_batch_next(struct kv_batch_cursor *cursor, struct kv_batch_record *ret_record,
                                 struct quarry_error *error);
/*
 * Reads a put of a key below 128 bytes and a value below 16 KiB, which most records are.
 * Returns: false: it is something else, and kv_batch_next's. Cost: some 25 instructions.
 */
static inline bool kv_batch_next_short(struct kv_batch_cursor *cursor,
                                       struct kv_batch_record *ret_record)
{
    const uint8_t *at = (const uint8_t *)cursor->at;
    size_t left = (size_t)(cursor->end - cursor->at);

    if (left < 3 || at[0] != KV_TYPE_PUT || at[1] >= 0x80 || left < at[1] + 3u) {
        return false;
    }
    size_t key_bytes = at[1], value_at = key_bytes + 3, value_bytes = at[key_bytes + 2];
    if (value_bytes >= 0x80) {
        /* A second byte of 0 would be no shortest length. */
        if (left == value_at || at[value_at] >= 0x80 || at[value_at] == 0) {
            return false;
        }
        value_bytes = (value_bytes & 0x7f) | (size_t)at[value_at] << 7;
        value_at++;
    }
    if (value_bytes > left - value_at) {
        return false;
    }
    *ret_record = (struct kv_batch_record){.is_change = true,
                                           .type = KV_TYPE_PUT,
                                           .key = {cursor->at + 2, key_bytes},
                                           .value = {cursor->at + value_at, value_bytes},
                                           .pair = {cursor->at + 1, value_at + value_bytes - 1}};
    cursor->at += value_at + value_bytes;
    return true;
}

/* What a batch consists of. */
struct kv_batch_counts {
    uint32_t change_count; /* all of them */
    uint32_t delete_count; /* single ones included */
    uint32_t merge_count;
    uint32_t range_count;
    uint64_t key_bytes, value_bytes; /* of changes */
    size_t key_bytes_longest, value_bytes_longest;
};
/*
 * Reads all of a batch: every record is whole and supported, the count is right, and sequences do
 * not pass KV_SEQUENCE_MAX.
 * Errors: as kv_batch_next.
 */
enum quarry_status kv_batch_check(struct kv_slice data, struct kv_batch_counts *ret_counts,
                                  struct quarry_error *error);

/* The halves of kv_batch_check, for who goes over the records anyway: each change; the header. */
static inline void kv_batch_count_change(struct kv_batch_counts *counts,
                                         const struct kv_batch_record *record)
{
    counts->change_count++;
    if (Q_UNLIKELY(record->type != KV_TYPE_PUT)) {
        counts->delete_count +=
            record->type == KV_TYPE_DELETE || record->type == KV_TYPE_SINGLE_DELETE;
        counts->merge_count += record->type == KV_TYPE_MERGE;
        counts->range_count += record->type == KV_TYPE_RANGE_DELETE;
    }
    counts->key_bytes += record->key.count;
    counts->value_bytes += record->value.count;
    counts->key_bytes_longest = size_max(counts->key_bytes_longest, record->key.count);
    counts->value_bytes_longest = size_max(counts->value_bytes_longest, record->value.count);
}
enum quarry_status kv_batch_check_header(struct kv_slice data, const struct kv_batch_counts *counts,
                                         struct quarry_error *error);

/* ---- making one ----------------------------------------------------------------------------- */

/* A batch of so many bytes and changes is what memory is wanted for. */
struct kv_batch_want {
    size_t byte_count;
    uint32_t change_count;
    bool never_waits;
};

/* What a batch must know of its store. */
struct kv_batch_options {
    struct kv_memory *memory;                      /* borrowed until it is destroyed */
    const struct quarry_kv_comparator *comparator; /* likewise */
    uint64_t key_bytes_max;
    uint64_t value_bytes_max;
    /* Where the budget refuses a batch: has memory come back. Returns: QUARRY_OK: try again. NULL:
     * none does. */
    enum quarry_status (*find_memory)(void *argument, const struct kv_batch_want *want,
                                      struct kv_memory_wait *wait);
    void *argument;
    bool never_waits; /* nor does it, unless it is told later */
};

struct kv_batch_index;

struct kv_batch_mark {
    size_t byte_count;
    uint32_t change_count;
};

struct quarry_kv_batch {
    struct kv_batch_options options; /* const */
    struct quarry_kv_buffer bytes;   /* header included; its count is kept */
    uint32_t change_count;
    struct kv_batch_index *index; /* NULL: it is not indexed */
    bool never_waits;
    uint32_t mark_count;
    struct kv_batch_mark marks[KV_BATCH_MARKS_MAX];
};

/* quarry_kv_batch_create and _try_create with what they need of a store. `options`: copied. */
enum quarry_status kv_batch_create(const struct kv_batch_options *options, bool is_indexed,
                                   struct quarry_kv_batch **ret_batch);

static inline struct kv_slice kv_batch_slice(const struct quarry_kv_batch *batch)
{
    return kv_buffer_slice(&batch->bytes);
}

#endif
