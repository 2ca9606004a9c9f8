/*
 * Walking backward: from where the merge is to the next key, downwards, that is shown.
 *
 *     entries   c@8 put   c@3 put   d@7 merge   d@6 put   e@5 put
 *                                                  <──────── the merge
 *     shown     e@5, then d: d@6 + d@7, then c@8
 *
 * Of each key the oldest entry comes first; which is the newest visible one is known when all of
 * them have been passed. So values are copied on the way, the newer over the older, and operands
 * collected, in the order in which they are merged. A long value is not copied: the key is sought
 * again, forwards, and the merge is then at its entry.
 */
#include <kv/walk.h>

#define COVERED_STEPS_MAX 4u

/* What has been met of a key. */
enum met {
    MET_NOTHING,
    MET_VALUE, /* in saved_value */
    MET_LONG,  /* a value that was not copied */
};

/* Takes a visible entry of the saved key, newer than those before. */
static enum quarry_status take(struct quarry_kv_iterator *walk, bool is_covered, enum met *met)
{
    const struct kv_iterator *top = walk->top;
    enum kv_type type = kv_trailer_type(top->key.trailer);

    if (!is_covered && type == KV_TYPE_MERGE) {
        return kv_operands_add(&walk->operands, top->value);
    }
    kv_operands_clear(&walk->operands);
    *met = MET_NOTHING;
    if (is_covered || type != KV_TYPE_PUT) {
        return QUARRY_OK;
    }
    kv_buffer_clear(&walk->saved_value);
    *met = MET_LONG;
    if (top->value.count > KV_WALK_COPY_MAX ||
        quarry_kv_buffer_append(&walk->saved_value, top->value.bytes, top->value.count) !=
            QUARRY_OK) {
        return QUARRY_OK;
    }
    *met = MET_VALUE;
    return QUARRY_OK;
}

/* Whether a range deletion covers the entry that the top is at. `ret_by`: of which source. */
static inline bool is_covered(struct quarry_kv_iterator *walk, uint32_t *ret_by)
{
    return Q_UNLIKELY(walk->has_ranges) &&
           kv_walk_cover(walk, ret_by) > kv_trailer_sequence(walk->top->key.trailer);
}

/* Passes all entries of the saved key. */
static enum quarry_status collect(struct quarry_kv_iterator *walk, enum met *met)
{
    struct kv_iterator *top = walk->top;
    uint32_t passed_count = 0, by = 0;

    *met = MET_NOTHING;
    kv_operands_clear(&walk->operands);
    for (; kv_walk_is_at_saved(walk); passed_count++) {
        if (kv_walk_is_visible(walk, top->key.trailer)) {
            bool covered = is_covered(walk, &by);
            enum quarry_status status = walk->status;
            if (status == QUARRY_OK) {
                status = take(walk, covered, met);
            }
            if (status != QUARRY_OK) {
                return status;
            }
        } else if (passed_count >= KV_WALK_STEPS_MAX && walk->batch == NULL) {
            /* What is newer is not seen either. */
            top->ops->seek_before(top, (struct kv_key){kv_walk_saved_key(walk), UINT64_MAX});
            break;
        }
        top->ops->previous(top);
    }
    return top->is_valid ? QUARRY_OK : top->status;
}

/* ---- showing -------------------------------------------------------------------------------- */

static bool show(struct quarry_kv_iterator *walk)
{
    walk->key = kv_walk_saved_key(walk);
    walk->value = kv_buffer_slice(&walk->saved_value);
    walk->place = KV_WALK_BEFORE;
    walk->is_valid = walk->is_taken = true;
    return true;
}

Q_COLD static bool show_merged(struct quarry_kv_iterator *walk, enum met met)
{
    struct kv_slice base = kv_buffer_slice(&walk->saved_value);
    const struct kv_resolution resolution = {
        .merge_operator = walk->kv->merge_operator,
        .key = kv_walk_saved_key(walk),
        .base = met == MET_VALUE ? &base : NULL,
    };

    /* `sought` is free: the base lies in saved_value. */
    enum quarry_status status =
        kv_operands_resolve(&walk->operands, &resolution, &walk->sought, &walk->error);
    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    struct quarry_kv_buffer merged = walk->sought;
    walk->sought = walk->saved_value;
    walk->saved_value = merged;
    return show(walk);
}

/* The value was not copied: finds it again, forwards. */
Q_COLD static bool show_long(struct quarry_kv_iterator *walk)
{
    walk->is_skipping = false;
    walk->top->ops->seek(walk->top, (struct kv_key){kv_walk_saved_key(walk), UINT64_MAX});
    bool is_found = kv_walk_find_forward(walk);
    Q_DCHECK(!is_found || kv_compare(walk->comparator, walk->key, kv_walk_saved_key(walk)) == 0);
    return is_found;
}

/* ---- finding -------------------------------------------------------------------------------- */

static inline bool is_past_begin(const struct quarry_kv_iterator *walk, struct kv_slice key)
{
    if (walk->lower.bytes != NULL && kv_compare(walk->comparator, key, walk->lower) < 0) {
        return true;
    }
    return Q_UNLIKELY(walk->in_prefix) && !kv_walk_has_prefix(walk, key);
}

/* Passes what a newer source's range deletion covers, in the source that the merge is at. */
static bool try_pass_covered(struct quarry_kv_iterator *walk)
{
    uint32_t by = 0;

    if (walk->merge == NULL || !is_covered(walk, &by)) {
        return false;
    }
    const struct kv_source *source = &walk->sources[by];
    if (!source->is_known || source->begin.bytes == NULL ||
        by >= kv_merge_iterator_source(walk->merge)) {
        return false;
    }
    kv_merge_iterator_skip(walk->merge, (struct kv_key){source->begin, UINT64_MAX});
    return true;
}

bool kv_walk_find_backward(struct quarry_kv_iterator *walk)
{
    struct kv_iterator *top = walk->top;
    uint32_t nothing_count = 0;
    enum met met;

    while (top->is_valid) {
        if (is_past_begin(walk, top->key.user)) {
            return kv_walk_end(walk, QUARRY_OK);
        }
        if (nothing_count > COVERED_STEPS_MAX && walk->has_ranges && try_pass_covered(walk)) {
            nothing_count = 0;
            continue;
        }
        if (walk->status != QUARRY_OK || !kv_walk_save_key(walk)) {
            return kv_walk_end(walk, walk->status);
        }
        walk->is_taken = false;
        enum quarry_status status = collect(walk, &met);
        if (status != QUARRY_OK) {
            return kv_walk_end(walk, status);
        }
        if (met == MET_LONG) {
            return show_long(walk);
        }
        if (walk->operands.count != 0) {
            return show_merged(walk, met);
        }
        if (met == MET_VALUE) {
            return show(walk);
        }
        walk->is_taken = true;
        nothing_count++;
        if (!kv_walk_count_skipped(walk)) {
            return false;
        }
    }
    return kv_walk_end(walk, top->status);
}
