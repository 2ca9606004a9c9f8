/*
 * The public iterator: moving it.
 *
 *     batch? ─┐
 *     layers ─┤
 *     runs   ─┴─> merge ──> what is visible, forward or backward ──> key, value
 *
 * It holds a counted view, so files and memtables stay as long as it does; and of blocks one for
 * each run, within the store's quota. Where there is but one source there is no merge.
 *
 * Bounds leave out the runs and files that lie outside; keys are compared with them only in the
 * direction in which they can be met. With a prefix, the bounds of the runs are those of the prefix
 * for as long as it holds, and files whose filters do not know it are passed by.
 *
 * Turning round. The merge is at what is shown, or behind it, or before it (kv_walk_place); each
 * move begins by going to where its direction is searched from.
 *
 * No memory. A move that is refused memory is done again with the reserve given back, frugally
 * (walk_sources.c): from the key that was saved last, behind it if that had been passed.
 *
 * After a flush a walk goes over to the store's current view with its next move (walk_sources.c),
 * but within a prefix, where it waits for the next seek.
 *
 * While memory is short (the quota of pinned bytes is less than whole) all walks are frugal, and
 * let go of the last run as well when a move is done: blocks of indexes, which nobody counts, were
 * 20 MiB of 64 with 200 walks.
 *
 * Invariants:
 *   1. is_valid: key and value are what is shown, borrowed from where `place` says.
 *   2. Not valid: the place is NOWHERE, and status says why.
 *
 * Locking: none; one thread's at a time.
 */
#include <kv/walk.h>

/* Moves that a walk is frugal for, before it tries to hold all that it wants. Doubling it halves
 * what those that are refused again pay for the try, and doubles how long others are slow in vain.
 */
#define FRUGAL_MOVES 256u

/* ---- what moves share ----------------------------------------------------------------------- */

bool kv_walk_end(struct quarry_kv_iterator *walk, enum quarry_status status)
{
    walk->is_valid = false;
    walk->place = KV_WALK_NOWHERE;
    walk->status = status;
    return false;
}

/* Without memory the key that was saved before stays. */
static inline enum quarry_status try_save_key(struct quarry_kv_iterator *walk)
{
    struct quarry_kv_buffer *saved = &walk->saved_key;
    const struct kv_slice key = walk->top->key.user;

    if (Q_UNLIKELY(key.count > saved->capacity)) {
        enum quarry_status status = kv_buffer_reserve(saved, key.count - saved->byte_count);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (key.count != 0) {
        memcpy(saved->bytes, key.bytes, key.count);
    }
    saved->byte_count = key.count;
    return QUARRY_OK;
}

bool kv_walk_save_key(struct quarry_kv_iterator *walk)
{
    enum quarry_status status = try_save_key(walk);

    return Q_LIKELY(status == QUARRY_OK) || kv_walk_end(walk, status);
}

bool kv_walk_count_skipped(struct quarry_kv_iterator *walk)
{
    walk->skipped_count++;
    if (walk->options.skipped_max == 0 || walk->skipped_count < walk->options.skipped_max) {
        return true;
    }
    (void)error_set(&walk->error, QUARRY_CANCELLED, "iterator: %llu deleted keys in one step",
                    (unsigned long long)walk->skipped_count);
    return kv_walk_end(walk, QUARRY_CANCELLED);
}

/* ---- prefixes ----------------------------------------------------------- */

/* Gives the runs their bounds and prefix, where they differ from what they have. */
static void limit_runs(struct quarry_kv_iterator *walk, struct kv_slice lower,
                       struct kv_slice upper, struct kv_slice prefix)
{
    for (uint32_t i = 0; i < walk->source_count; i++) {
        if (walk->sources[i].run != NULL) {
            kv_run_iterator_set_bounds(walk->sources[i].run, lower, upper);
            kv_run_iterator_set_prefix(walk->sources[i].run, prefix);
        }
    }
}

static void leave_prefix(struct quarry_kv_iterator *walk)
{
    if (Q_UNLIKELY(walk->in_prefix)) {
        walk->in_prefix = false;
        limit_runs(walk, walk->lower, walk->upper, (struct kv_slice){0});
    }
}

/*
 * The prefix of a key, and the first key behind all that begin with it; none where that is the end.
 * Errors: QUARRY_NO_MEMORY.
 */
static enum quarry_status save_prefix(struct quarry_kv_iterator *walk, const char *key,
                                      size_t byte_count, struct kv_slice *ret_end)
{
    enum quarry_status status = kv_buffer_reserve(&walk->prefix, 2 * byte_count);
    size_t end_bytes = byte_count;

    if (status != QUARRY_OK) {
        return status;
    }
    char *end = walk->prefix.bytes + byte_count;
    memmove(walk->prefix.bytes, key, byte_count);
    memcpy(end, walk->prefix.bytes, byte_count);
    while (end_bytes > 0 && (unsigned char)end[end_bytes - 1] == 0xff) {
        end_bytes--;
    }
    *ret_end = (struct kv_slice){0};
    if (end_bytes > 0) {
        end[end_bytes - 1] = (char)((unsigned char)end[end_bytes - 1] + 1);
        *ret_end = kv_slice(end, end_bytes);
    }
    return QUARRY_OK;
}

/* Only keys with the prefix of one that is sought. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status enter_prefix(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    size_t byte_count = walk->kv->options.prefix_bytes;
    struct kv_slice lower = walk->lower, upper = walk->upper, end;

    if (!walk->options.is_prefix_only || byte_count == 0 || key.count < byte_count) {
        leave_prefix(walk);
        return QUARRY_OK;
    }
    kv_buffer_clear(&walk->prefix);
    enum quarry_status status = save_prefix(walk, key.bytes, byte_count, &end);
    if (status != QUARRY_OK) {
        return status;
    }
    walk->in_prefix = true;
    struct kv_slice prefix = kv_slice(walk->prefix.bytes, byte_count);
    if (walk->comparator->compare == NULL) {
        if (lower.bytes == NULL || kv_compare_bytes(lower, prefix) < 0) {
            lower = prefix;
        }
        if (end.bytes != NULL && (upper.bytes == NULL || kv_compare_bytes(end, upper) < 0)) {
            upper = end;
        }
    }
    /* In another order keys with the prefix may be in any file. */
    limit_runs(walk, lower, upper,
               walk->comparator->compare == NULL ? prefix : (struct kv_slice){0});
    return QUARRY_OK;
}

/* ---- moving --------------------------------------------------------------------------------- */

/* Before the first key that may be shown at or after one; bytes NULL: the first of all. */
static bool search_from(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    struct kv_iterator *top = walk->top;

    if (walk->lower.bytes != NULL &&
        (key.bytes == NULL || kv_compare(walk->comparator, key, walk->lower) < 0)) {
        key = walk->lower;
    }
    walk->is_skipping = false;
    if (key.bytes == NULL) {
        top->ops->first(top);
    } else {
        top->ops->seek(top, (struct kv_key){key, UINT64_MAX});
    }
    return kv_walk_find_forward(walk);
}

/* The last key that may be shown at or before one; bytes NULL: of all. */
static bool search_back_from(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    struct kv_iterator *top = walk->top;

    if (walk->upper.bytes != NULL &&
        (key.bytes == NULL || kv_compare(walk->comparator, key, walk->upper) >= 0)) {
        top->ops->seek_before(top, (struct kv_key){walk->upper, UINT64_MAX});
    } else if (key.bytes == NULL) {
        top->ops->last(top);
    } else {
        /* A delete of sequence 0 comes behind this, and hides nothing. */
        top->ops->seek_before(top, (struct kv_key){key, 0});
    }
    return kv_walk_find_backward(walk);
}

static bool do_seek(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    enum quarry_status status = enter_prefix(walk, key);

    return status == QUARRY_OK ? search_from(walk, key) : kv_walk_end(walk, status);
}

static bool do_seek_for_prev(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    enum quarry_status status = enter_prefix(walk, key);

    return status == QUARRY_OK ? search_back_from(walk, key) : kv_walk_end(walk, status);
}

static bool do_first(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    leave_prefix(walk);
    return search_from(walk, key);
}

static bool do_last(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    leave_prefix(walk);
    return search_back_from(walk, key);
}

/* Goes on behind the saved key, or from it, wherever the top is. */
static bool resume_forward(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    (void)key;
    walk->is_skipping = walk->is_taken;
    walk->top->ops->seek(walk->top,
                         (struct kv_key){kv_walk_saved_key(walk), walk->is_taken ? 0 : UINT64_MAX});
    return kv_walk_find_forward(walk);
}

static bool resume_backward(struct quarry_kv_iterator *walk, struct kv_slice key)
{
    (void)key;
    walk->top->ops->seek_before(
        walk->top, (struct kv_key){kv_walk_saved_key(walk), walk->is_taken ? UINT64_MAX : 0});
    return kv_walk_find_backward(walk);
}

typedef bool move_function(struct quarry_kv_iterator *walk, struct kv_slice key);

/* Once more, with the reserve; and as often as there is something to wait for. */
Q_COLD static bool move_again(struct quarry_kv_iterator *walk, move_function *move,
                              struct kv_slice key)
{
    uint32_t try_count = 0;
    bool is_found;

    if (walk->status != QUARRY_NO_MEMORY || walk->is_lost || !kv_reserve_enter(walk->kv)) {
        return false;
    }
    do {
        walk->status = kv_walk_dress(walk);
        if (walk->status != QUARRY_OK) {
            is_found = false;
            continue;
        }
        kv_walk_set_frugal(walk, true);
        is_found = move(walk, key);
    } while (walk->status == QUARRY_NO_MEMORY && kv_reserve_wait(walk->kv, 1, &try_count));
    if (!kv_reserve_restore(walk->kv)) {
        kv_walk_let_go(walk);
    }
    kv_reserve_leave(walk->kv);
    return is_found;
}

/* Whether it is to hold next to nothing between moves. */
static inline bool is_short(const struct quarry_kv_iterator *walk)
{
    return Q_UNLIKELY(kv_pins_are_short(&walk->kv->pins));
}

/* The end of a move. */
static inline void stand(struct quarry_kv_iterator *walk)
{
    if (Q_UNLIKELY(walk->is_frugal) && is_short(walk)) {
        kv_walk_let_go(walk);
    }
}

static inline void count_step(struct quarry_kv_iterator *walk)
{
    walk->step_count++;
    walk->step_bytes += walk->key.count + walk->value.count;
}

/* Before a move that does not depend on where it was: sources that it may have, and how it is to
 * walk. */
Q_COLD static bool place_anew(struct quarry_kv_iterator *walk, move_function *move,
                              struct kv_slice key)
{
    enum quarry_status status = kv_walk_is_stale(walk) ? kv_walk_renew(walk) : kv_walk_dress(walk);

    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    if (walk->is_frugal != is_short(walk)) {
        kv_walk_set_frugal(walk, is_short(walk));
    }
    return move(walk, key);
}

static bool lies_in(const void *bytes, struct kv_slice slice)
{
    return slice.bytes != NULL && (uintptr_t)bytes - (uintptr_t)slice.bytes < slice.count;
}

/* Whether a key that is sought lies in what is shown, which a move lets go of. */
static inline bool is_of_shown(const struct quarry_kv_iterator *walk, struct kv_slice key)
{
    return walk->is_valid && (lies_in(key.bytes, walk->key) || lies_in(key.bytes, walk->value));
}

/* A copy of it, with the reserve if need be. */
Q_COLD static enum quarry_status copy_sought(struct quarry_kv_iterator *walk, struct kv_slice *key)
{
    uint32_t try_count = 0;

    kv_buffer_clear(&walk->sought);
    enum quarry_status status = kv_buffer_reserve(&walk->sought, key->count);
    if (status == QUARRY_NO_MEMORY && kv_reserve_enter(walk->kv)) {
        do {
            status = kv_buffer_reserve(&walk->sought, key->count);
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(walk->kv, 1, &try_count));
        kv_reserve_leave(walk->kv);
    }
    if (status == QUARRY_OK) {
        memcpy(walk->sought.bytes, key->bytes, key->count);
        walk->sought.byte_count = key->count;
        *key = kv_buffer_slice(&walk->sought);
    }
    return status;
}

/* A move that does not depend on where it was. */
static bool place(struct quarry_kv_iterator *walk, move_function *move, struct kv_slice key)
{
    if (Q_UNLIKELY(is_of_shown(walk, key))) {
        enum quarry_status status = copy_sought(walk, &key);
        if (status != QUARRY_OK) {
            return kv_walk_end(walk, status);
        }
    }
    walk->status = QUARRY_OK;
    walk->is_lost = false;
    walk->skipped_count = 0;
    kv_walk_count_steps(walk);
    kv_count(walk->kv, KV_COUNT_SEEKS, 1);
    bool is_anew = walk->is_bare || walk->is_frugal || is_short(walk) || kv_walk_is_stale(walk);
    bool is_found = Q_UNLIKELY(is_anew) ? place_anew(walk, move, key) : move(walk, key);
    if (Q_UNLIKELY(!is_found && walk->status != QUARRY_OK)) {
        is_found = move_again(walk, move, key);
    }
    if (is_found) {
        count_step(walk);
        stand(walk);
    }
    return is_found;
}

bool quarry_kv_iterator_first(struct quarry_kv_iterator *iterator)
{
    return place(iterator, do_first, (struct kv_slice){0});
}

bool quarry_kv_iterator_last(struct quarry_kv_iterator *iterator)
{
    return place(iterator, do_last, (struct kv_slice){0});
}

bool quarry_kv_iterator_seek(struct quarry_kv_iterator *iterator, const void *key, size_t key_bytes)
{
    return place(iterator, do_seek, kv_slice(key_bytes == 0 ? "" : key, key_bytes));
}

bool quarry_kv_iterator_seek_for_prev(struct quarry_kv_iterator *iterator, const void *key,
                                      size_t key_bytes)
{
    return place(iterator, do_seek_for_prev, kv_slice(key_bytes == 0 ? "" : key, key_bytes));
}

/*
 * From before the saved key to behind it. Not by steps: sources that have passed a stretch under a
 * range deletion are further down than the merge is, and would come up with what they left out.
 */
static void turn_forward(struct quarry_kv_iterator *walk)
{
    walk->top->ops->seek(walk->top, (struct kv_key){kv_walk_saved_key(walk), 0});
}

/* Saves the key that is shown, with the reserve if need be: from it a move may be done again. */
static bool save_shown_key(struct quarry_kv_iterator *walk)
{
    enum quarry_status status = try_save_key(walk);

    uint32_t try_count = 0;

    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && kv_reserve_enter(walk->kv)) {
        do {
            status = try_save_key(walk);
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(walk->kv, 1, &try_count));
        kv_reserve_leave(walk->kv);
    }
    if (Q_LIKELY(status == QUARRY_OK)) {
        return true;
    }
    walk->is_lost = true;
    return kv_walk_end(walk, status);
}

/* A step after which it is not frugal any more. */
Q_COLD static bool next_at_ease(struct quarry_kv_iterator *walk)
{
    if (walk->place == KV_WALK_AT && !save_shown_key(walk)) {
        return false;
    }
    walk->is_taken = true;
    kv_walk_set_frugal(walk, false);
    return resume_forward(walk, (struct kv_slice){0});
}

/* Whether a step is to be one from other sources, or begins to be frugal. */
static inline bool is_to_change(const struct quarry_kv_iterator *walk)
{
    return (kv_walk_is_stale(walk) && !walk->in_prefix) || (!walk->is_frugal && is_short(walk));
}

/* That, from the key that is shown. */
Q_COLD static bool step_anew(struct quarry_kv_iterator *walk, move_function *resume)
{
    enum quarry_status status = QUARRY_OK;

    if (walk->place == KV_WALK_AT && !save_shown_key(walk)) {
        return false;
    }
    walk->is_taken = true;
    if (kv_walk_is_stale(walk) && !walk->in_prefix) {
        status = kv_walk_renew(walk);
    }
    if (status != QUARRY_OK) {
        return kv_walk_end(walk, status);
    }
    kv_walk_set_frugal(walk, is_short(walk));
    return resume(walk, (struct kv_slice){0});
}

static bool next(struct quarry_kv_iterator *walk)
{
    struct kv_iterator *top = walk->top;

    if (is_to_change(walk)) {
        return step_anew(walk, resume_forward);
    }
    if (Q_UNLIKELY(walk->is_frugal) && ++walk->frugal_count > FRUGAL_MOVES && !is_short(walk)) {
        return next_at_ease(walk);
    }
    switch (walk->place) {
    case KV_WALK_AT:
        if (Q_UNLIKELY(!save_shown_key(walk))) {
            return false;
        }
        top->ops->next(top);
        break;
    case KV_WALK_BEFORE:
        turn_forward(walk);
        break;
    case KV_WALK_BEHIND:
        if (Q_UNLIKELY(walk->is_frugal)) {
            kv_walk_wake(walk);
        }
        break;
    case KV_WALK_NOWHERE:
        Q_ASSERT_MSG(false, "the iterator is at no key");
    }
    walk->is_skipping = walk->is_taken = true;
    return kv_walk_find_forward(walk);
}

bool quarry_kv_iterator_next(struct quarry_kv_iterator *iterator)
{
    Q_ASSERT(iterator->is_valid);
    iterator->skipped_count = 0;
    bool is_found = next(iterator);
    if (Q_UNLIKELY(!is_found && iterator->status != QUARRY_OK)) {
        is_found = move_again(iterator, resume_forward, (struct kv_slice){0});
    }
    if (Q_LIKELY(is_found)) {
        count_step(iterator);
        stand(iterator);
    }
    return is_found;
}

/* From an entry of the saved key, or behind, to the last one before the key. */
static void turn_backward(struct quarry_kv_iterator *walk)
{
    struct kv_iterator *top = walk->top;

    if (walk->place == KV_WALK_AT) {
        top->ops->previous(top);
        for (uint32_t i = 0; i < KV_WALK_STEPS_MAX && kv_walk_is_at_saved(walk); i++) {
            top->ops->previous(top);
        }
        if (!kv_walk_is_at_saved(walk)) {
            return;
        }
    }
    top->ops->seek_before(top, (struct kv_key){kv_walk_saved_key(walk), UINT64_MAX});
}

static bool previous(struct quarry_kv_iterator *walk)
{
    Q_ASSERT_MSG(walk->place != KV_WALK_NOWHERE, "the iterator is at no key");
    if (is_to_change(walk)) {
        return step_anew(walk, resume_backward);
    }
    if (walk->place == KV_WALK_AT && !save_shown_key(walk)) {
        return false;
    }
    walk->is_taken = true;
    if (Q_UNLIKELY(walk->is_frugal) && ++walk->frugal_count > FRUGAL_MOVES && !is_short(walk)) {
        kv_walk_set_frugal(walk, false);
        return resume_backward(walk, (struct kv_slice){0});
    }
    if (walk->place != KV_WALK_BEFORE) {
        turn_backward(walk);
    } else if (Q_UNLIKELY(walk->is_frugal)) {
        kv_walk_wake(walk);
    }
    return kv_walk_find_backward(walk);
}

bool quarry_kv_iterator_previous(struct quarry_kv_iterator *iterator)
{
    Q_ASSERT(iterator->is_valid);
    iterator->skipped_count = 0;
    bool is_found = previous(iterator);
    if (Q_UNLIKELY(!is_found && iterator->status != QUARRY_OK)) {
        is_found = move_again(iterator, resume_backward, (struct kv_slice){0});
    }
    if (Q_LIKELY(is_found)) {
        count_step(iterator);
        stand(iterator);
    }
    return is_found;
}

/* ---- looking -------------------------------------------------------------------------------- */

bool quarry_kv_iterator_is_valid(const struct quarry_kv_iterator *iterator)
{
    return iterator->is_valid;
}

struct quarry_kv_slice quarry_kv_iterator_key(const struct quarry_kv_iterator *iterator)
{
    Q_ASSERT(iterator->is_valid);
    return (struct quarry_kv_slice){iterator->key.count == 0 ? "" : iterator->key.bytes,
                                    iterator->key.count};
}

struct quarry_kv_slice quarry_kv_iterator_value(const struct quarry_kv_iterator *iterator)
{
    Q_ASSERT(iterator->is_valid);
    return (struct quarry_kv_slice){iterator->value.count == 0 ? "" : iterator->value.bytes,
                                    iterator->value.count};
}

enum quarry_status quarry_kv_iterator_status(const struct quarry_kv_iterator *iterator,
                                             struct quarry_error *error)
{
    if (iterator->status == QUARRY_OK) {
        return QUARRY_OK;
    }
    if (iterator->error.status == iterator->status && error != NULL) {
        *error = iterator->error;
        return iterator->status;
    }
    return error_set(error, iterator->status, "iterator: %s", quarry_status_name(iterator->status));
}
