/*
 * Which entries survive a flush or a compaction. compact_entries.c has the rules.
 *
 *     kv_survivors_init(&survivors, &options, input, error);
 *     while ((status = kv_survivors_next(&survivors)) == QUARRY_OK) {
 *         … survivors.key, survivors.value …
 *     }
 *     // QUARRY_NOT_FOUND: the end
 *     kv_survivors_fini(&survivors);
 */
#ifndef QUARRY_KV_COMPACT_ENTRIES_H
#define QUARRY_KV_COMPACT_ENTRIES_H

#include <kv/buffer.h>
#include <kv/iterator.h>
#include <kv/range_del.h>

struct kv_survivors_options {
    struct kv_memory *memory; /* borrowed until fini, and so is all else */
    const struct quarry_kv_comparator *comparator;
    const struct quarry_kv_merge_operator *merge_operator; /* NULL: merges stay as they are */
    const struct quarry_kv_compaction_filter *filter;      /* NULL: none */
    const uint64_t *snapshots; /* rising; the last one: what was visible. NULL for 0 */
    uint32_t snapshot_count;
    const struct kv_fragments *fragments; /* of all inputs; NULL: none */
    /*
     * Whether nothing below has a user key, asked for rising keys; NULL: something may have.
     */
    bool (*is_bare)(void *argument, struct kv_slice key);
    void *argument;
    bool zeroes;             /* nothing below has any: sequences that nobody tells apart become 0 */
    bool has_single_deletes; /* the files may have them; false: they become deletions */
    size_t value_bytes_max;  /* of what merging makes, and of operands joined at a time */
    const _Atomic bool *is_cancelled; /* NULL: never */
};

/* An operand that waits to be merged. */
struct kv_operand {
    uint64_t trailer;
    size_t offset, byte_count; /* in `operand_bytes` */
};

struct kv_survivors {
    struct kv_key key; /* of the entry, until the next call */
    struct kv_slice value;
    struct kv_survivors_options options;
    struct kv_iterator *input;
    struct quarry_error *error;
    /* about the user key */
    struct quarry_kv_buffer user;
    bool has_user;
    bool is_bare_known, is_bare;
    uint32_t hidden_stripe; /* in it every older entry is hidden; UINT32_MAX: in none */
    /* what is to be done first by the next call */
    bool is_at_input; /* the entry is the input's own: move on */
    /* merging */
    struct quarry_kv_buffer operand_bytes, result, other_result;
    struct kv_operand *operands; /* the newest first */
    size_t operand_count, operand_capacity;
    size_t operand_at;              /* those before it have been given out */
    bool joins;                     /* what is given out is joined two by two */
    struct quarry_kv_slice *slices; /* the oldest first, for the operator */
    size_t slice_capacity;
    uint64_t dropped_count;
};

/* `input`: borrowed until fini; placed at its first entry already. `error`: where texts go. */
void kv_survivors_init(struct kv_survivors *survivors, const struct kv_survivors_options *options,
                       struct kv_iterator *input, struct quarry_error *error);
void kv_survivors_fini(struct kv_survivors *survivors);
/*
 * To the next one. Errors: QUARRY_NOT_FOUND (the end), QUARRY_CANCELLED, QUARRY_NO_MEMORY, those of
 * the input. Cost: a compare of user keys, a copy of each; with range deletions a search.
 */
enum quarry_status kv_survivors_next(struct kv_survivors *survivors);

#endif
