/*
 * Walking forward: from where the merge is to the next key that is shown.
 *
 *     entries   b@9 delete   b@4 put   c@8 put   c@3 put   d@7 merge   d@6 put   e@5 put
 *     shown                            c@8                 d: d@6 + d@7          e@5
 *
 * Of each key the newest visible entry comes first, and decides. What follows of the same key is
 * passed, by comparing with the key that was saved; many of them by seeking.
 *
 * A stretch that a range deletion of a newer source covers is passed by seeking in the source that
 * the merge is at: all that it has there is older. Within one source that is not so, and its
 * entries are stepped over.
 */
#include <kv/walk.h>

/* Entries under a range deletion that are stepped over, before the source seeks to its end. */
#define COVERED_STEPS_MAX 4u

/* Passes the rest of the saved key. */
static void seek_behind_saved(struct quarry_kv_iterator *walk)
{
    walk->top->ops->seek(walk->top, (struct kv_key){kv_walk_saved_key(walk), 0});
}

/* Passes entries that are too new to be seen, of the key that the top is at. */
static bool seek_visible(struct quarry_kv_iterator *walk)
{
    struct kv_slice key = walk->top->key.user;

    kv_buffer_clear(&walk->sought);
    enum quarry_status status = quarry_kv_buffer_append(&walk->sought, key.bytes, key.count);
    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    walk->top->ops->seek(walk->top, (struct kv_key){kv_buffer_slice(&walk->sought),
                                                    kv_trailer_seek(walk->sequence)});
    return true;
}

/* The top is at an entry that a range deletion covers. */
static void pass_covered(struct quarry_kv_iterator *walk, uint32_t by, uint32_t step_count)
{
    const struct kv_source *source = &walk->sources[by];

    if (step_count > COVERED_STEPS_MAX && walk->merge != NULL && source->is_known &&
        source->end.bytes != NULL && by < kv_merge_iterator_source(walk->merge) &&
        kv_compare(walk->comparator, walk->top->key.user, source->end) < 0) {
        kv_merge_iterator_skip(walk->merge, (struct kv_key){source->end, UINT64_MAX});
    } else {
        walk->top->ops->next(walk->top);
    }
}

static bool show(struct quarry_kv_iterator *walk)
{
    walk->key = walk->top->key.user;
    walk->value = walk->top->value;
    walk->place = KV_WALK_AT;
    walk->is_valid = true;
    return true;
}

/* ---- merges --------------------------------------------------------------------------------- */

/* Collects the operands of the saved key. `ret_has_base`: the top is at a put, below them all. */
static enum quarry_status collect(struct quarry_kv_iterator *walk, bool *ret_has_base)
{
    struct kv_iterator *top = walk->top;
    uint32_t by = 0;

    *ret_has_base = false;
    while (kv_walk_is_at_saved(walk)) {
        uint64_t trailer = top->key.trailer;
        if (walk->has_ranges && kv_walk_cover(walk, &by) > kv_trailer_sequence(trailer)) {
            break;
        }
        if (walk->status != QUARRY_OK) {
            return walk->status;
        }
        if (kv_trailer_type(trailer) != KV_TYPE_MERGE) {
            *ret_has_base = kv_trailer_type(trailer) == KV_TYPE_PUT;
            break;
        }
        enum quarry_status status = kv_operands_add(&walk->operands, top->value);
        if (status != QUARRY_OK) {
            return status;
        }
        top->ops->next(top);
    }
    return top->is_valid ? QUARRY_OK : top->status;
}

/* The top is at a key's newest visible entry, an operand. */
Q_COLD static bool show_merged(struct quarry_kv_iterator *walk)
{
    bool has_base;

    if (!kv_walk_save_key(walk)) {
        return false;
    }
    walk->is_taken = false;
    kv_operands_clear(&walk->operands);
    enum quarry_status status = collect(walk, &has_base);
    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    const struct kv_resolution resolution = {
        .merge_operator = walk->kv->merge_operator,
        .key = kv_walk_saved_key(walk),
        .base = has_base ? &walk->top->value : NULL,
        .is_newest_first = true,
    };
    status = kv_operands_resolve(&walk->operands, &resolution, &walk->saved_value, &walk->error);
    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    walk->key = kv_walk_saved_key(walk);
    walk->value = kv_buffer_slice(&walk->saved_value);
    walk->place = KV_WALK_BEHIND;
    walk->is_valid = walk->is_taken = true;
    return true;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* Whether the top has passed all that may be shown. */
static inline bool is_past_end(const struct quarry_kv_iterator *walk, struct kv_slice key)
{
    if (walk->upper.bytes != NULL && kv_compare(walk->comparator, key, walk->upper) >= 0) {
        return true;
    }
    return Q_UNLIKELY(walk->in_prefix) && !kv_walk_has_prefix(walk, key);
}

/* The key that the top is at is deleted: saves it, to be passed. */
static bool begin_skipping(struct quarry_kv_iterator *walk)
{
    if (!kv_walk_save_key(walk)) {
        return false;
    }
    walk->is_skipping = walk->is_taken = true;
    return kv_walk_count_skipped(walk);
}

/* What becomes of an entry. */
enum verdict {
    VERDICT_SHOW,
    VERDICT_MERGE,
    VERDICT_DELETED,
    VERDICT_COVERED,
};

static inline enum verdict judge(struct quarry_kv_iterator *walk, uint64_t trailer,
                                 uint32_t *ret_by)
{
    enum kv_type type = kv_trailer_type(trailer);

    if (type != KV_TYPE_PUT && type != KV_TYPE_MERGE) {
        return VERDICT_DELETED;
    }
    if (Q_UNLIKELY(walk->has_ranges) &&
        kv_walk_cover(walk, ret_by) > kv_trailer_sequence(trailer)) {
        return VERDICT_COVERED;
    }
    return type == KV_TYPE_PUT ? VERDICT_SHOW : VERDICT_MERGE;
}

bool kv_walk_find_forward(struct quarry_kv_iterator *walk)
{
    struct kv_iterator *top = walk->top;
    uint32_t passed_count = 0, covered_count = 0, by = 0;

    for (; top->is_valid; passed_count++) {
        if (is_past_end(walk, top->key.user)) {
            return kv_walk_end(walk, QUARRY_OK);
        }
        if (Q_UNLIKELY(!kv_walk_is_visible(walk, top->key.trailer))) {
            if (passed_count < KV_WALK_STEPS_MAX || walk->batch != NULL) {
                top->ops->next(top);
            } else if (!seek_visible(walk)) {
                return false;
            }
            continue;
        }
        if (walk->is_skipping && kv_walk_is_at_saved(walk)) {
            if (passed_count != KV_WALK_STEPS_MAX) {
                top->ops->next(top);
            } else {
                seek_behind_saved(walk);
            }
            continue;
        }
        enum verdict verdict = judge(walk, top->key.trailer, &by);
        if (Q_UNLIKELY(walk->status != QUARRY_OK)) {
            return kv_walk_end(walk, walk->status);
        }
        if (Q_LIKELY(verdict == VERDICT_SHOW)) {
            return show(walk);
        }
        if (verdict == VERDICT_MERGE) {
            return show_merged(walk);
        }
        if (!begin_skipping(walk)) {
            return false;
        }
        passed_count = 0;
        if (verdict == VERDICT_COVERED) {
            pass_covered(walk, by, covered_count++);
        } else {
            top->ops->next(top);
        }
    }
    return kv_walk_end(walk, top->status);
}
