/*
 * Runs a history on a lane and on the model, side by side.
 *
 *     op ──> legal form of it ──> model: what should be read
 *                             └─> lane:  what is read            the same, or the end
 *
 * Every read is compared at once; the whole store whenever an operation says so, and at the end.
 * Snapshots and iterators hold the model's states of their moment.
 */
#include "kv/lane.h"

#include <stdlib.h>
#include <string.h>

#include <base/assert.h>

#define BATCH_MAX 400u

/* Where an iterator should be. */
struct cursor {
    struct model_state *state; /* NULL: there is none */
    struct lane_range range;
    char lower[64], upper[64], prefix[64]; /* `prefix`: of the key last sought */
    bool is_valid;
    uint32_t index;
};

struct run {
    const struct lane_ops *ops;
    struct lane *lane;
    struct keys keys;
    struct model_state *state;
    struct model_state *snapshots[LANE_SNAPSHOTS];
    struct cursor cursors[LANE_ITERATORS];
    uint32_t prefix_bytes;     /* of the options */
    uint8_t touched[KEYS_MAX]; /* how often a key was changed, up to 2 */
    struct change changes[BATCH_MAX];
    char values[BATCH_MAX][1500];
    char value[VALUE_BYTES_MAX];
};

static struct quarry_kv_slice some_key(const struct run *run, uint64_t *random)
{
    return run->keys.key[rig_below(random, run->keys.count)];
}

/* ---- changes ---- */

static uint32_t number_of(const struct run *run, struct quarry_kv_slice key)
{
    return (uint32_t)(((const char *)key.bytes - run->keys.bytes[0]) /
                      (ptrdiff_t)sizeof run->keys.bytes[0]);
}

/*
 * Whether a key may be deleted as one that was put once. A put hides an older deletion from a
 * compaction, which drops it: so RocksDB wants a key that was put once and never deleted.
 */
static bool may_single_delete(const struct run *run, struct quarry_kv_slice key,
                              const struct model_entry *entry)
{
    return run->ops->has_ranges && entry != NULL && entry->put_count == 1 &&
           (!run->ops->single_is_single || run->touched[number_of(run, key)] == 1);
}

static void touch(struct run *run, const struct change *change)
{
    uint32_t number = number_of(run, change->key);

    for (uint32_t i = 0; i < run->keys.count; i++) {
        if (i == number || change->kind == CHANGE_RANGE) {
            run->touched[i] = (uint8_t)(run->touched[i] == 0 ? 1 : 2);
        }
    }
}

/* What may be done where a single delete, a merge or a range is wanted and cannot be. */
static void make_legal(const struct run *run, const struct model_state *state,
                       struct change *change)
{
    uint32_t index = model_find(state, change->key);
    const struct model_entry *entry = index == UINT32_MAX ? NULL : state->entries[index];

    if (change->kind == CHANGE_SINGLE && !may_single_delete(run, change->key, entry)) {
        change->kind = CHANGE_DELETE;
    }
    if (change->kind == CHANGE_MERGE &&
        (!run->ops->has_merges || (entry != NULL && entry->value.byte_count > 4000))) {
        change->kind = CHANGE_PUT;
    }
    if (change->kind == CHANGE_RANGE && !run->ops->has_ranges) {
        change->kind = CHANGE_DELETE;
    }
}

static void draw_range(const struct run *run, uint64_t *random, struct quarry_kv_slice *ret_begin,
                       struct quarry_kv_slice *ret_end)
{
    struct quarry_kv_slice a = some_key(run, random), b = some_key(run, random);
    bool is_ordered = slice_compare(a, b, run->state->is_reverse) <= 0;

    *ret_begin = is_ordered ? a : b;
    *ret_end = is_ordered ? b : a;
}

/* Draws a change of a kind, with a value in `room`, and makes it in `*state`. */
static void draw_change(struct run *run, uint64_t *random, enum change_kind kind, char *room,
                        struct model_state **state, struct change *ret_change)
{
    struct change change = {.kind = kind, .key = some_key(run, random)};

    if (kind == CHANGE_RANGE) {
        draw_range(run, random, &change.key, &change.value);
    } else if (kind == CHANGE_PUT || kind == CHANGE_MERGE) {
        change.value = value_draw(random, run->value);
        if (room != run->value) {
            change.value.byte_count %= sizeof run->values[0];
            memcpy(room, change.value.bytes, change.value.byte_count);
            change.value.bytes = room;
        }
    }
    make_legal(run, *state, &change);
    if (change.kind != CHANGE_RANGE && change.kind != CHANGE_PUT && change.kind != CHANGE_MERGE) {
        change.value = slice_of(NULL, 0);
    }
    touch(run, &change);
    model_apply(state, &change);
    *ret_change = change;
}

static enum change_kind draw_kind(uint64_t *random)
{
    static const enum change_kind all[] = {CHANGE_PUT,   CHANGE_PUT,    CHANGE_PUT,
                                           CHANGE_PUT,   CHANGE_DELETE, CHANGE_SINGLE,
                                           CHANGE_MERGE, CHANGE_MERGE};

    return rig_once_in(random, 30) ? CHANGE_RANGE : all[rig_below(random, 8)];
}

static void do_change(struct run *run, const struct op *op)
{
    static const enum change_kind change_of[] = {[OP_PUT] = CHANGE_PUT,
                                                 [OP_DELETE] = CHANGE_DELETE,
                                                 [OP_SINGLE_DELETE] = CHANGE_SINGLE,
                                                 [OP_DELETE_RANGE] = CHANGE_RANGE,
                                                 [OP_MERGE] = CHANGE_MERGE};
    uint64_t random = op->seed;

    draw_change(run, &random, change_of[op->kind], run->value, &run->state, &run->changes[0]);
    run->ops->write(run->lane, run->changes, 1, false, random);
}

static void do_batch(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    uint32_t count = op->kind == OP_LARGE_BATCH ? 100 + rig_below(&random, BATCH_MAX - 100)
                                                : rig_below(&random, 20);

    for (uint32_t i = 0; i < count; i++) {
        draw_change(run, &random, draw_kind(&random), run->values[i], &run->state,
                    &run->changes[i]);
    }
    run->ops->write(run->lane, run->changes, count, true, random);
}

/* ---- reads of a key ---- */

static void expect_read(const struct model_state *state, struct quarry_kv_slice key,
                        struct lane_read read, bool has_value, const char *what)
{
    uint32_t index = model_find(state, key);

    if (read.is_found != (index != UINT32_MAX)) {
        rig_fail("%s: %.*s is %s", what, (int)key.byte_count, (const char *)key.bytes,
                 read.is_found ? "there, and should not be" : "not found");
    }
    if (read.is_found && has_value && !slices_are_same(read.value, state->entries[index]->value)) {
        rig_fail("%s: %.*s has %zu other bytes than the %zu that it should", what,
                 (int)key.byte_count, (const char *)key.bytes, read.value.byte_count,
                 state->entries[index]->value.byte_count);
    }
}

static void do_get(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    bool is_snapshot = op->kind == OP_SNAPSHOT_GET;
    uint32_t slot = is_snapshot ? rig_below(&random, LANE_SNAPSHOTS) : LANE_NOW;
    struct quarry_kv_slice key = some_key(run, &random);

    if (is_snapshot && run->snapshots[slot] == NULL) {
        return;
    }
    struct lane_read read = run->ops->get(run->lane, slot, key, is_snapshot ? OP_GET : op->kind);
    expect_read(is_snapshot ? run->snapshots[slot] : run->state, key, read, op->kind != OP_EXISTS,
                op_name(op->kind));
}

/* ---- snapshots ---- */

static void cursor_end(struct run *run, uint32_t slot)
{
    struct cursor *cursor = &run->cursors[slot];

    if (cursor->state != NULL) {
        run->ops->iterator_end(run->lane, slot);
        model_drop(cursor->state);
        *cursor = (struct cursor){.state = NULL};
    }
}

static void snapshot_release(struct run *run, uint32_t slot)
{
    if (run->snapshots[slot] != NULL) {
        for (uint32_t i = 0; i < LANE_ITERATORS && run->ops->snapshots_stay; i++) {
            if (run->cursors[i].range.snapshot == slot) {
                cursor_end(run, i);
            }
        }
        run->ops->snapshot_release(run->lane, slot);
        model_drop(run->snapshots[slot]);
        run->snapshots[slot] = NULL;
    }
}

static void do_snapshot(struct run *run, const struct op *op)
{
    uint32_t slot = (uint32_t)(op->seed % LANE_SNAPSHOTS);

    snapshot_release(run, slot);
    if (op->kind == OP_SNAPSHOT_TAKE) {
        run->ops->snapshot_take(run->lane, slot);
        run->snapshots[slot] = model_share(run->state);
    }
}

/* ---- iterators ---- */

static struct quarry_kv_slice keep_bound(char *room, struct quarry_kv_slice key)
{
    Q_ASSERT(key.byte_count <= 64);
    memcpy(room, key.bytes, key.byte_count);
    return slice_of(room, key.byte_count);
}

static void draw_bounds(const struct run *run, uint64_t *random, struct cursor *cursor)
{
    struct quarry_kv_slice lower, upper;

    draw_range(run, random, &lower, &upper);
    cursor->range.lower = cursor->range.upper = slice_of(NULL, 0);
    if (rig_once_in(random, 3)) {
        cursor->range.lower = keep_bound(cursor->lower, lower);
    }
    if (rig_once_in(random, 3)) {
        cursor->range.upper = keep_bound(cursor->upper, upper);
    }
}

static void do_iterate(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    uint32_t slot = rig_below(&random, LANE_ITERATORS);
    uint32_t snapshot = rig_below(&random, 2 * LANE_SNAPSHOTS);
    struct cursor *cursor = &run->cursors[slot];

    if (op->kind == OP_ITERATE_PREFIX && (run->prefix_bytes == 0 || !run->ops->has_prefixes)) {
        return;
    }
    cursor_end(run, slot);
    bool is_now = snapshot >= LANE_SNAPSHOTS || run->snapshots[snapshot] == NULL;
    cursor->state = model_share(is_now ? run->state : run->snapshots[snapshot]);
    cursor->range.snapshot = is_now ? LANE_NOW : snapshot;
    cursor->range.prefix_bytes = op->kind == OP_ITERATE_PREFIX ? run->prefix_bytes : 0;
    draw_bounds(run, &random, cursor);
    run->ops->iterate(run->lane, slot, &cursor->range);
}

/* Whether an index of its state is inside bounds and prefix. */
static bool is_inside(const struct cursor *cursor, uint32_t index)
{
    const struct model_state *state = cursor->state;

    if (index >= state->count) {
        return false;
    }
    struct quarry_kv_slice key = state->entries[index]->key;
    const struct lane_range *range = &cursor->range;
    return (range->lower.bytes == NULL ||
            slice_compare(key, range->lower, state->is_reverse) >= 0) &&
           (range->upper.bytes == NULL ||
            slice_compare(key, range->upper, state->is_reverse) < 0) &&
           (range->prefix_bytes == 0 ||
            (key.byte_count >= range->prefix_bytes &&
             memcmp(key.bytes, cursor->prefix, range->prefix_bytes) == 0));
}

/* The first key at or after one, and not below the lower bound. */
static uint32_t index_from(const struct cursor *cursor, struct quarry_kv_slice key)
{
    const struct lane_range *range = &cursor->range;
    bool is_below = range->lower.bytes != NULL &&
                    slice_compare(key, range->lower, cursor->state->is_reverse) < 0;

    return model_lower_bound(cursor->state, is_below ? range->lower : key);
}

/* The last key before one's place, and below the upper bound; UINT32_MAX: none. */
static uint32_t index_before(const struct cursor *cursor, uint32_t limit)
{
    const struct lane_range *range = &cursor->range;

    if (range->upper.bytes != NULL) {
        uint32_t end = model_lower_bound(cursor->state, range->upper);
        limit = limit < end ? limit : end;
    }
    return limit - 1;
}

static uint32_t target_of(struct cursor *cursor, enum lane_move move, struct quarry_kv_slice key)
{
    const struct model_state *state = cursor->state;
    uint32_t found;

    switch (move) {
    case LANE_FIRST:
        return cursor->range.lower.bytes == NULL ? 0
                                                 : model_lower_bound(state, cursor->range.lower);
    case LANE_LAST:
        return index_before(cursor, state->count);
    case LANE_SEEK:
        return index_from(cursor, key);
    case LANE_SEEK_FOR_PREV:
        found = model_lower_bound(state, key);
        if (found < state->count && slices_are_same(state->entries[found]->key, key)) {
            found++;
        }
        return index_before(cursor, found);
    case LANE_NEXT:
        return cursor->index + 1;
    case LANE_PREVIOUS:
        break;
    }
    return cursor->index - 1;
}

static void move_cursor(struct run *run, uint32_t slot, enum lane_move move,
                        struct quarry_kv_slice key, const char *what)
{
    struct cursor *cursor = &run->cursors[slot];
    struct lane_read read = run->ops->move(run->lane, slot, move, key);

    cursor->index = target_of(cursor, move, key);
    cursor->is_valid = is_inside(cursor, cursor->index);
    const struct model_entry *entry =
        cursor->is_valid ? cursor->state->entries[cursor->index] : NULL;
    if (read.is_found != cursor->is_valid) {
        rig_fail("%s(%.*s): iterator %u is at %.*s, should be at %.*s", what, (int)key.byte_count,
                 (const char *)key.bytes, slot, read.is_found ? (int)read.key.byte_count : 7,
                 read.is_found ? (const char *)read.key.bytes : "its end",
                 entry != NULL ? (int)entry->key.byte_count : 7,
                 entry != NULL ? (const char *)entry->key.bytes : "its end");
    }
    if (entry != NULL && !slices_are_same(read.key, entry->key)) {
        rig_fail("%s(%.*s): iterator %u is at %.*s, not %.*s", what, (int)key.byte_count,
                 (const char *)key.bytes, slot, (int)read.key.byte_count,
                 (const char *)read.key.bytes, (int)entry->key.byte_count,
                 (const char *)entry->key.bytes);
    }
    if (entry != NULL && !slices_are_same(read.value, entry->value)) {
        rig_fail("%s: iterator %u has another value (%zu bytes, not %zu) of %.*s", what, slot,
                 read.value.byte_count, entry->value.byte_count, (int)entry->key.byte_count,
                 (const char *)entry->key.bytes);
    }
}

static void seek(struct run *run, uint32_t slot, enum lane_move move, uint64_t *random,
                 const char *what)
{
    struct cursor *cursor = &run->cursors[slot];
    struct quarry_kv_slice key = some_key(run, random);
    size_t prefix = cursor->range.prefix_bytes;

    if (key.byte_count < prefix) {
        return;
    }
    memcpy(cursor->prefix, key.bytes, prefix);
    move_cursor(run, slot, move, key, what);
}

static void steps(struct run *run, uint32_t slot, uint64_t *random, enum op_kind kind)
{
    const struct cursor *cursor = &run->cursors[slot];
    uint32_t count = 1 + rig_below(random, 12);

    for (uint32_t i = 0; i < count && cursor->is_valid; i++) {
        bool is_back = kind == OP_PREVIOUS || (kind == OP_ZIGZAG && rig_once_in(random, 2));
        bool is_forward = cursor->range.prefix_bytes > 0 || !is_back;
        move_cursor(run, slot, is_forward ? LANE_NEXT : LANE_PREVIOUS, slice_of(NULL, 0),
                    op_name(kind));
    }
}

static void do_move(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    uint32_t slot = rig_below(&random, LANE_ITERATORS);
    struct cursor *cursor = &run->cursors[slot];
    bool is_prefix = cursor->range.prefix_bytes > 0;

    if (cursor->state == NULL) {
        return;
    }
    if (op->kind == OP_NEXT || op->kind == OP_PREVIOUS || op->kind == OP_ZIGZAG) {
        steps(run, slot, &random, op->kind);
    } else if (op->kind == OP_SEEK || is_prefix) {
        seek(run, slot, LANE_SEEK, &random, "seek");
    } else if (op->kind == OP_SEEK_FOR_PREV) {
        seek(run, slot, LANE_SEEK_FOR_PREV, &random, "seek_for_prev");
    } else {
        move_cursor(run, slot, op->kind == OP_FIRST ? LANE_FIRST : LANE_LAST, slice_of("", 0),
                    op_name(op->kind));
    }
}

static void do_set(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    uint32_t slot = rig_below(&random, LANE_ITERATORS);
    struct cursor *cursor = &run->cursors[slot];

    if (cursor->state == NULL || (op->kind == OP_SET_BOUNDS && run->ops->set_bounds == NULL)) {
        return;
    }
    cursor->is_valid = false;
    if (op->kind == OP_SET_BOUNDS) {
        draw_bounds(run, &random, cursor);
        run->ops->set_bounds(run->lane, slot, &cursor->range);
        return;
    }
    model_drop(cursor->state);
    cursor->state = model_share(run->state);
    cursor->range.snapshot = LANE_NOW;
    run->ops->refresh(run->lane, slot, &cursor->range);
}

/* ---- all of it ---- */

static void let_all_go(struct run *run)
{
    for (uint32_t slot = 0; slot < LANE_ITERATORS; slot++) {
        cursor_end(run, slot);
    }
    for (uint32_t slot = 0; slot < LANE_SNAPSHOTS; slot++) {
        snapshot_release(run, slot);
    }
}

/* Walks over all of a state, forward or backward. */
static void scan(struct run *run, uint32_t snapshot, struct model_state *state, bool is_backward)
{
    struct cursor *cursor = &run->cursors[0];

    cursor_end(run, 0);
    *cursor = (struct cursor){.state = model_share(state), .range.snapshot = snapshot};
    run->ops->iterate(run->lane, 0, &cursor->range);
    move_cursor(run, 0, is_backward ? LANE_LAST : LANE_FIRST, slice_of("", 0), "scan");
    while (cursor->is_valid) {
        move_cursor(run, 0, is_backward ? LANE_PREVIOUS : LANE_NEXT, slice_of("", 0), "scan");
    }
    cursor_end(run, 0);
}

static void do_scan(struct run *run, const struct op *op)
{
    uint32_t slot = (uint32_t)(op->seed % LANE_SNAPSHOTS);

    if (op->kind == OP_SCAN) {
        scan(run, LANE_NOW, run->state, op->seed % 2 == 0);
    } else if (run->snapshots[slot] != NULL) {
        scan(run, slot, run->snapshots[slot], op->seed % 8 < 4);
    }
}

static void do_files(struct run *run, const struct op *op)
{
    uint64_t random = op->seed;
    struct quarry_kv_slice begin = {.bytes = NULL}, end = {.bytes = NULL};

    switch ((int)op->kind) {
    case OP_FLUSH:
        run->ops->flush(run->lane);
        break;
    case OP_COMPACT_RANGE:
        draw_range(run, &random, &begin, &end);
        run->ops->compact(run->lane, begin, end);
        break;
    case OP_COMPACT_ALL:
        run->ops->compact(run->lane, begin, end);
        break;
    default:
        let_all_go(run);
        run->ops->reopen(run->lane);
        scan(run, LANE_NOW, run->state, false);
        break;
    }
}

static void run_own(struct run *run, const struct op *op, struct meta_options *options)
{
    bool is_opening =
        op->kind == OP_REOPEN_OTHER || op->kind == OP_REOPEN_READ_ONLY || op->kind == OP_CRASH;

    if (run->ops->own == NULL) {
        return;
    }
    if (is_opening) {
        let_all_go(run);
    }
    if (op->kind == OP_REOPEN_OTHER) {
        meta_options_vary(options, op->seed);
        run->prefix_bytes = options->kv.prefix_bytes;
    }
    (void)run->ops->own(run->lane, op, &run->keys, &run->state, run->snapshots);
    if (is_opening) {
        scan(run, LANE_NOW, run->state, false);
    }
}

static void run_one(struct run *run, const struct op *op, struct meta_options *options)
{
    enum op_kind kind = op->kind;

    if (kind <= OP_MERGE) {
        do_change(run, op);
    } else if (kind == OP_BATCH || kind == OP_LARGE_BATCH) {
        do_batch(run, op);
    } else if (kind == OP_GET || kind == OP_READ || kind == OP_EXISTS || kind == OP_SNAPSHOT_GET) {
        do_get(run, op);
    } else if (kind == OP_SNAPSHOT_TAKE || kind == OP_SNAPSHOT_RELEASE) {
        do_snapshot(run, op);
    } else if (kind == OP_SCAN || kind == OP_SNAPSHOT_SCAN) {
        do_scan(run, op);
    } else if (kind == OP_ITERATE || kind == OP_ITERATE_PREFIX) {
        do_iterate(run, op);
    } else if (kind == OP_ITERATOR_END) {
        cursor_end(run, (uint32_t)(op->seed % LANE_ITERATORS));
    } else if (kind >= OP_FIRST && kind <= OP_ZIGZAG) {
        do_move(run, op);
    } else if (kind == OP_SET_BOUNDS || kind == OP_REFRESH) {
        do_set(run, op);
    } else if (kind == OP_FLUSH || kind == OP_COMPACT_RANGE || kind == OP_COMPACT_ALL ||
               kind == OP_REOPEN) {
        do_files(run, op);
    } else {
        run_own(run, op, options);
    }
}

void run_history(const struct lane_ops *ops, uint64_t seed, uint32_t operation_count,
                 const struct meta_options *given, const uint8_t *keep, const char *directory)
{
    struct meta_options options = *given;
    struct run *run = calloc(1, sizeof *run);
    struct lane_ops restricted = *ops;

    Q_ASSERT(run != NULL);
    restricted.has_merges &= !options.is_leveldb;
    restricted.has_ranges &= !options.is_leveldb;
    run->ops = &restricted;
    run->prefix_bytes = options.kv.prefix_bytes;
    run->state = model_create(options.is_reverse);
    keys_make(&run->keys, seed);
    run->lane = ops->create(&options, directory);
    for (uint32_t i = 0; i < operation_count; i++) {
        if (keep != NULL && !keep[i]) {
            continue;
        }
        const struct op op = op_make(seed, i);
        if (rig_report != NULL) {
            rig_report->operation = i;
        }
        run_one(run, &op, &options);
    }
    scan(run, LANE_NOW, run->state, false);
    scan(run, LANE_NOW, run->state, true);
    let_all_go(run);
    ops->destroy(run->lane);
    model_drop(run->state);
    free(run);
}
