/*
 * Merging sorted iterators: a tree of losers.
 *
 *     winner ── 0
 *               1            inner nodes 1 … k-1: who lost there
 *             /   \
 *            2     3
 *           / \   / \
 *          4   5 6   7       leaves k … 2k-1: the children, k of them; any k will do
 *
 * Each match is played between two children, and the loser stays at the node. After the winner has
 * moved, it plays again on its way up, against the loser of each node: one compare a level, where a
 * heap takes two.
 *
 * What is compared first is a *rank*: the first sixteen bytes of the user key as two numbers, so
 * that most matches touch neither key. Backwards its bits are turned over, and an exhausted child
 * has the highest rank of all: one order for both directions. Where ranks are equal the keys
 * decide, then trailers, then the children's places.
 *
 * Invariants:
 *   1. Forward each child is at its first entry that has not been passed, or exhausted; backward at
 *      its last one. Entries are passed in the order (internal key, child), and back in the same.
 *   2. losers[n] lost to whoever came up to n from the other side; the winner lost nowhere.
 *   3. base shows what the winner is at. After an error of any child it is not valid, and each
 * child is to be placed anew.
 *
 *   4. Frugal: between moves the winner is awake, and all others rest that can. While children are
 *      placed, one is awake.
 *
 * Turning round: every other child is placed at the key that the merge is at; those whose equal
 * entry is on the wrong side of it by invariant 1 take a step. Then the winner moves.
 *
 * Locking: none. Cost: a step of the child, a compare for each of log2(k) levels, and a copy of
 * five words. Rejected: a heap (twice the compares); keeping runner-ups (k is below ten).
 *
 * Source: Knuth, volume 3, 5.4.1.
 */
#include <kv/merge_iterator.h>

struct rank {
    uint64_t high, low;
};
static const struct rank rank_last = {UINT64_MAX, UINT64_MAX};

struct child {
    struct rank rank;
    struct kv_iterator *over;
};

struct kv_merge_iterator {
    struct kv_iterator base;
    struct kv_memory *memory; /* NULL: its user's */
    const struct quarry_kv_comparator *comparator;
    uint32_t child_count;
    uint32_t winner;
    bool is_backward;
    bool is_frugal;
    uint32_t *losers;  /* by node, from 1 */
    uint32_t *winners; /* by node: while the tree is made */
    struct child children[];
};

static struct kv_merge_iterator *of(struct kv_iterator *base)
{
    return (struct kv_merge_iterator *)(void *)base;
}

/* ---- matches -------------------------------------------------------------------------------- */

static struct rank rank_of(const struct kv_merge_iterator *merge, const struct kv_iterator *over)
{
    struct rank rank = {0, 0};

    if (!over->is_valid) {
        return rank_last;
    }
    if (Q_LIKELY(merge->comparator->compare == NULL)) {
        struct kv_slice key = over->key.user;
        rank.high = kv_prefix8(key);
        rank.low = key.count > 8 ? kv_prefix8(kv_slice(key.bytes + 8, key.count - 8)) : 0;
        if (merge->is_backward) {
            rank = (struct rank){~rank.high, ~rank.low};
        }
    }
    return rank;
}

/* Of equal ranks. */
static bool beats_slow(const struct kv_merge_iterator *merge, uint32_t a, uint32_t b)
{
    const struct kv_iterator *one = merge->children[a].over, *other = merge->children[b].over;

    if (!one->is_valid || !other->is_valid) {
        return one->is_valid == other->is_valid ? a < b : one->is_valid;
    }
    int order = kv_compare_keys(merge->comparator, one->key, other->key);
    if (order == 0) {
        return (a < b) != merge->is_backward;
    }
    return (order < 0) != merge->is_backward;
}

static inline bool beats(const struct kv_merge_iterator *merge, uint32_t a, uint32_t b)
{
    const struct rank one = merge->children[a].rank, other = merge->children[b].rank;

    if (one.high != other.high) {
        return one.high < other.high;
    }
    if (one.low != other.low) {
        return one.low < other.low;
    }
    return beats_slow(merge, a, b);
}

/* Plays all matches, from the leaves up. */
static void play_all(struct kv_merge_iterator *merge)
{
    uint32_t count = merge->child_count;

    for (uint32_t i = 0; i < count; i++) {
        merge->children[i].rank = rank_of(merge, merge->children[i].over);
        merge->winners[count + i] = i;
    }
    for (uint32_t node = count; node-- > 1;) {
        uint32_t a = merge->winners[2 * node], b = merge->winners[2 * node + 1];
        bool is_first = beats(merge, a, b);
        merge->winners[node] = is_first ? a : b;
        merge->losers[node] = is_first ? b : a;
    }
    merge->winner = count == 1 ? 0 : merge->winners[1];
}

/* The winner has moved: it plays its way up again. */
static inline void play_again(struct kv_merge_iterator *merge)
{
    uint32_t winner = merge->winner;

    merge->children[winner].rank = rank_of(merge, merge->children[winner].over);
    for (uint32_t node = (merge->child_count + winner) / 2; node >= 1; node /= 2) {
        uint32_t loser = merge->losers[node];
        if (beats(merge, loser, winner)) {
            merge->losers[node] = winner;
            winner = loser;
        }
    }
    merge->winner = winner;
}

/* ---- telling where it is -------------------------------------------------------------------- */

static inline void publish(struct kv_merge_iterator *merge)
{
    const struct kv_iterator *over = merge->children[merge->winner].over;

    merge->base.key = over->key;
    merge->base.value = over->value;
    merge->base.is_valid = over->is_valid;
    merge->base.status = QUARRY_OK;
}

/* Invariant 3. Returns: whether a child has failed. */
static bool has_failed(struct kv_merge_iterator *merge, const struct kv_iterator *over)
{
    if (Q_LIKELY(over->is_valid || over->status == QUARRY_OK)) {
        return false;
    }
    merge->base.is_valid = false;
    merge->base.status = over->status;
    return true;
}

/* Without memory for its key it stays awake: then the others may not find theirs, and say so. */
static void rest_child(struct kv_iterator *over)
{
    if (over->ops->rest != NULL) {
        (void)over->ops->rest(over);
    }
}

/* Children are about to be placed, one after the other. */
static inline void begin_placing(const struct kv_merge_iterator *merge)
{
    if (Q_UNLIKELY(merge->is_frugal)) {
        rest_child(merge->children[merge->winner].over);
    }
}

/* A child has been placed, and others will be. */
static inline void child_is_placed(const struct kv_merge_iterator *merge, uint32_t index)
{
    if (Q_UNLIKELY(merge->is_frugal)) {
        rest_child(merge->children[index].over);
    }
}

/* Invariant 4, where the winner may be another. Returns: whether it has failed. */
Q_COLD static bool change_watch(struct kv_merge_iterator *merge)
{
    struct kv_iterator *winner = merge->children[merge->winner].over;

    for (uint32_t i = 0; i < merge->child_count; i++) {
        if (i != merge->winner) {
            rest_child(merge->children[i].over);
        }
    }
    if (winner->ops->wake != NULL) {
        winner->ops->wake(winner);
    }
    return has_failed(merge, winner);
}

/* All children have been placed. */
static void settle(struct kv_merge_iterator *merge)
{
    for (uint32_t i = 0; i < merge->child_count; i++) {
        if (has_failed(merge, merge->children[i].over)) {
            return;
        }
    }
    play_all(merge);
    if (Q_UNLIKELY(merge->is_frugal) && change_watch(merge)) {
        return;
    }
    publish(merge);
}

/* The winner alone has moved. */
static inline void settle_winner(struct kv_merge_iterator *merge)
{
    const struct kv_iterator *over = merge->children[merge->winner].over;

    if (Q_UNLIKELY(!over->is_valid && has_failed(merge, over))) {
        return;
    }
    uint32_t before = merge->winner;
    play_again(merge);
    if (Q_UNLIKELY(merge->is_frugal) && merge->winner != before && change_watch(merge)) {
        return;
    }
    publish(merge);
}

/* ---- moving --------------------------------------------------------------------------------- */

static void first(struct kv_iterator *base)
{
    struct kv_merge_iterator *merge = of(base);

    merge->is_backward = false;
    begin_placing(merge);
    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].over->ops->first(merge->children[i].over);
        child_is_placed(merge, i);
    }
    settle(merge);
}

static void last(struct kv_iterator *base)
{
    struct kv_merge_iterator *merge = of(base);

    merge->is_backward = true;
    begin_placing(merge);
    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].over->ops->last(merge->children[i].over);
        child_is_placed(merge, i);
    }
    settle(merge);
}

static void seek(struct kv_iterator *base, struct kv_key key)
{
    struct kv_merge_iterator *merge = of(base);

    merge->is_backward = false;
    begin_placing(merge);
    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].over->ops->seek(merge->children[i].over, key);
        child_is_placed(merge, i);
    }
    settle(merge);
}

static void seek_before(struct kv_iterator *base, struct kv_key key)
{
    struct kv_merge_iterator *merge = of(base);

    merge->is_backward = true;
    begin_placing(merge);
    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].over->ops->seek_before(merge->children[i].over, key);
        child_is_placed(merge, i);
    }
    settle(merge);
}

/* Places one of the other children for the other direction (invariant 1). */
static void turn_child(const struct kv_merge_iterator *merge, uint32_t index, struct kv_key key)
{
    struct kv_iterator *over = merge->children[index].over;

    over->ops->seek(over, key);
    bool is_equal = over->is_valid && kv_compare_keys(merge->comparator, over->key, key) == 0;
    bool is_before = is_equal && index < merge->winner;
    if (merge->is_backward) {
        if (is_before) {
            return;
        }
        if (over->is_valid) {
            over->ops->previous(over);
        } else if (over->status == QUARRY_OK) {
            over->ops->last(over);
        }
    } else if (is_before) {
        over->ops->next(over);
    }
}

/* Then the winner is to move, and settle to be called. */
Q_COLD static void turn(struct kv_merge_iterator *merge, bool is_backward)
{
    begin_placing(merge);
    struct kv_key key = merge->children[merge->winner].over->key;
    merge->is_backward = is_backward;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        if (i != merge->winner) {
            turn_child(merge, i, key);
            child_is_placed(merge, i);
        }
    }
}

static void next(struct kv_iterator *base)
{
    struct kv_merge_iterator *merge = of(base);
    struct kv_iterator *over = merge->children[merge->winner].over;

    Q_DCHECK(base->is_valid);
    if (Q_UNLIKELY(merge->is_backward)) {
        turn(merge, false);
        over->ops->next(over);
        settle(merge);
        return;
    }
    over->ops->next(over);
    settle_winner(merge);
}

static void previous(struct kv_iterator *base)
{
    struct kv_merge_iterator *merge = of(base);
    struct kv_iterator *over = merge->children[merge->winner].over;

    Q_DCHECK(base->is_valid);
    if (Q_UNLIKELY(!merge->is_backward)) {
        turn(merge, true);
        over->ops->previous(over);
        settle(merge);
        return;
    }
    over->ops->previous(over);
    settle_winner(merge);
}

void kv_merge_iterator_skip(struct kv_merge_iterator *iterator, struct kv_key key)
{
    struct kv_iterator *over = iterator->children[iterator->winner].over;

    Q_DCHECK(iterator->base.is_valid);
    if (iterator->is_backward) {
        over->ops->seek_before(over, key);
    } else {
        over->ops->seek(over, key);
    }
    settle_winner(iterator);
}

uint32_t kv_merge_iterator_source(const struct kv_merge_iterator *iterator)
{
    Q_DCHECK(iterator->base.is_valid);
    return iterator->winner;
}

void kv_merge_iterator_set_frugal(struct kv_merge_iterator *iterator, bool is_frugal)
{
    iterator->is_frugal = is_frugal;
    iterator->base.is_valid = false;
    iterator->base.status = QUARRY_OK;
}

enum quarry_status kv_merge_iterator_rest(struct kv_merge_iterator *iterator)
{
    struct kv_iterator *over = iterator->children[iterator->winner].over;
    enum quarry_status status = QUARRY_OK;

    Q_DCHECK(iterator->is_frugal);
    if (iterator->base.is_valid && over->ops->rest != NULL) {
        status = over->ops->rest(over);
        publish(iterator);
    }
    return status;
}

void kv_merge_iterator_wake(struct kv_merge_iterator *iterator)
{
    struct kv_iterator *over = iterator->children[iterator->winner].over;

    Q_DCHECK(iterator->is_frugal);
    if (iterator->base.is_valid && over->ops->wake != NULL) {
        over->ops->wake(over);
        if (!has_failed(iterator, over)) {
            publish(iterator);
        }
    }
}

static void fini(struct kv_iterator *base)
{
    struct kv_merge_iterator *merge = of(base);

    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].over->ops->fini(merge->children[i].over);
    }
    merge->child_count = 0;
    base->is_valid = false;
}

/* ---- making one ----------------------------------------------------------------------------- */

size_t kv_merge_iterator_bytes(size_t count)
{
    return sizeof(struct kv_merge_iterator) + count * (sizeof(struct child) + 3 * sizeof(uint32_t));
}

struct kv_merge_iterator *kv_merge_iterator_init(void *room,
                                                 const struct quarry_kv_comparator *comparator,
                                                 struct kv_iterator *const *children, size_t count)
{
    static const struct kv_iterator_ops ops = {
        .first = first,
        .last = last,
        .seek = seek,
        .seek_before = seek_before,
        .next = next,
        .previous = previous,
        .fini = fini,
    };
    struct kv_merge_iterator *merge = room;

    Q_ASSERT(count >= 1 && count < UINT32_MAX / 2);
    *merge = (struct kv_merge_iterator){
        .base = {.ops = &ops}, .comparator = comparator, .child_count = (uint32_t)count};
    merge->losers = (uint32_t *)(void *)(merge->children + count);
    merge->winners = merge->losers + count;
    for (size_t i = 0; i < count; i++) {
        merge->children[i] = (struct child){rank_last, children[i]};
    }
    return merge;
}

enum quarry_status kv_merge_iterator_create(struct kv_memory *memory,
                                            const struct quarry_kv_comparator *comparator,
                                            struct kv_iterator *const *children, size_t count,
                                            struct kv_merge_iterator **ret_iterator)
{
    void *room = kv_memory_take(memory, kv_merge_iterator_bytes(count));

    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *ret_iterator = kv_merge_iterator_init(room, comparator, children, count);
    (*ret_iterator)->memory = memory;
    return QUARRY_OK;
}

void kv_merge_iterator_destroy(struct kv_merge_iterator *iterator)
{
    if (iterator == NULL) {
        return;
    }
    iterator->base.ops->fini(&iterator->base);
    kv_memory_give(iterator->memory, iterator);
}

struct kv_iterator *kv_merge_iterator_base(struct kv_merge_iterator *iterator)
{
    return &iterator->base;
}
