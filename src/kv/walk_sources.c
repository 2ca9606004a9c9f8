/*
 * What an iterator walks over: making it, and ending it.
 *
 *     room  │ sources │ children │ merge │ child │ child │ …      one piece of memory
 *
 * Sources are the batch, if one is read through, then layers, sublevels and levels, the newest
 * first. Runs without a file in bounds are left out. The piece of memory stays with the iterator,
 * and the iterator itself is kept as the spare of the store: a new one allocates nothing, mostly.
 *
 * *Frugal walks.* A walk holds for each run an open table and a block, which in a budget that is
 * used up are not all to be had, however large a reserve is: level 0 may have any number of files.
 * So a move that was refused memory is done again frugally, with the reserve of reads (read.h):
 *
 *     source     batch   layer   run     run     run     run
 *     held       —       —       key     key     table,  key         key: a copy
 *                                                block               the merge is at that one
 *
 * All runs but the one that the merge is at rest (run_iterator.c): they have a copy of their key
 * and hold nothing. When the merge goes over to another run, the first is laid to rest, and the
 * other opens its table, finds its key, and has its value again. Tables are opened for range
 * deletions one at a time, and closed. So a walk needs, for each run, its share of the room and a
 * key; and once, whatever the number of runs, what a get needs: a table with its index, and a
 * block. What a run is refused even so it tries again when idle tables and blocks have gone.
 *
 * When the move is done the reserve is taken again. Where it does not become whole, because the
 * walk holds on to a part of it, key and value are copied and the last run is laid to rest as well:
 * open walks that stand still cost their keys and one value. Walks that need the reserve at once
 * take turns, and wait for others to end when all of it is with those (kv_reserve_wait). A walk is
 * frugal until it is placed anew, or for FRUGAL_MOVES moves: then it tries to hold all it wants.
 *
 * What stays is: a block, a merged value, or a key of each run, that is larger than the reserve and
 * all that could be evicted. It is refused when nothing that is waited for has helped.
 *
 * *Leaving a view.* A view holds its memtables long after they have been flushed: iterators that
 * stay open would keep as many as there were views when they were made, and more, the more of them
 * are made at different times. So after each flush a walk makes its sources anew with its next
 * move, of the current view, with the sequence that it has. It sees the same there: from its making
 * on the sequence is in the store's list of snapshots, so no flush and no compaction has dropped
 * what is visible at it. It costs a seek for each memtable that is filled. Files that compactions
 * have replaced are let go of as well. One that does not move holds what it has, and so does one
 * that must not read from the disk.
 *
 * Rejected: a larger reserve, for it would have to grow with level 0. Keeping blocks by the quota
 * of pinned bytes and copying values for the rest (table_iterator.c): values are as large as
 * blocks.
 *
 * Rejected: exchanging a layer for the one file that it became, in a view of the walk's own. It
 * needs no snapshot, but a file that the layer counts, stripes for iterators in flushes all the
 * same, and all that the old version has stays.
 *
 * Invariants:
 *   1. source_count sources are made, each with its child; none while it has no view, or is bare.
 *   2. sources[i].over is the merge's child i; or, alone, top.
 *   3. is_frugal: between moves one run at most is awake, and no table is open for range deletions.
 *   4. It has a view: its sequence is in the list of snapshots; it was what was visible when it was
 *      made, or is another snapshot's.
 *
 * Locking: none; one thread's at a time.
 */
#include <kv/walk.h>

#define ROOM_ALIGN 16u

static size_t aligned(size_t byte_count)
{
    return (byte_count + ROOM_ALIGN - 1) & ~(size_t)(ROOM_ALIGN - 1);
}

/* ---- an iterator over nothing --------------------------------------------------------------- */

static void nothing_move(struct kv_iterator *iterator)
{
    iterator->is_valid = false;
}
static void nothing_seek(struct kv_iterator *iterator, struct kv_key key)
{
    (void)key;
    iterator->is_valid = false;
}
static const struct kv_iterator_ops nothing_ops = {
    .first = nothing_move,
    .last = nothing_move,
    .seek = nothing_seek,
    .seek_before = nothing_seek,
    .next = nothing_move,
    .previous = nothing_move,
    .fini = nothing_move,
};

/* ---- sources -------------------------------------------------------------------------------- */

/* Where the room is being filled. */
struct filling {
    struct quarry_kv_iterator *walk;
    char *at;
};

static void *take_room(struct filling *filling, size_t byte_count)
{
    void *room = filling->at;

    filling->at += aligned(byte_count);
    Q_ASSERT(filling->at <= (char *)filling->walk->room + filling->walk->room_bytes);
    return room;
}

static bool run_is_wanted(const struct quarry_kv_iterator *walk, const struct kv_run *run)
{
    const struct kv_key_range range = {walk->lower, walk->upper, .is_end_open = true};
    uint32_t from, to;

    return run->file_count != 0 && kv_run_overlap(run, walk->comparator, &range, &from, &to);
}

/* Calls `add` for each run of the view that is in bounds, the newest first. */
static void visit_runs(const struct quarry_kv_iterator *walk,
                       void (*add)(void *argument, const struct kv_run *run, uint32_t level),
                       void *argument)
{
    const struct kv_version *version = walk->view->version;

    for (uint32_t i = 0; i < version->sublevel_count; i++) {
        if (run_is_wanted(walk, &version->sublevels[i])) {
            add(argument, &version->sublevels[i], 0);
        }
    }
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        if (run_is_wanted(walk, &version->levels[level])) {
            add(argument, &version->levels[level], level);
        }
    }
}

static void count_run(void *argument, const struct kv_run *run, uint32_t level)
{
    uint32_t *count = argument;

    (void)run;
    (void)level;
    (*count)++;
}

static void add_run(void *argument, const struct kv_run *run, uint32_t level)
{
    struct filling *filling = argument;
    struct quarry_kv_iterator *walk = filling->walk;
    const struct kv_run_iterator_options options = {
        .kv = walk->kv,
        .memory = &walk->kv->small[KV_PART_READ],
        .version = walk->view->version,
        .run = run,
        .level = level,
        .table = {.pins = &walk->kv->pins,
                  .is_background = walk->options.leaves_no_trace,
                  .only_cached = walk->options.only_cached},
        .lower = walk->lower,
        .upper = walk->upper,
    };
    struct kv_run_iterator *over =
        kv_run_iterator_init(take_room(filling, kv_run_iterator_bytes()), &options, &walk->error);

    walk->sources[walk->source_count++] = (struct kv_source){
        .over = kv_run_iterator_base(over),
        .run = over,
        .has_ranges = run->may_have_ranges,
        .files = run,
        .sequence = walk->sequence,
    };
    walk->has_ranges |= run->may_have_ranges;
}

static enum quarry_status add_layer(struct filling *filling, struct kv_layer *layer)
{
    struct quarry_kv_iterator *walk = filling->walk;
    struct kv_source *source = &walk->sources[walk->source_count];
    struct kv_layer_iterator *over;
    struct kv_fragments *fragments = NULL;
    enum quarry_status status = kv_layer_fragments(layer, &fragments);

    if (status != QUARRY_OK) {
        return status;
    }
    over = take_room(filling, sizeof(*over));
    kv_layer_iterator_init(over, layer);
    *source = (struct kv_source){
        .over = &over->over.base,
        .has_ranges = fragments != NULL,
        .fragments = fragments,
        .sequence = walk->sequence,
    };
    walk->source_count++;
    walk->has_ranges |= source->has_ranges;
    return QUARRY_OK;
}

static enum quarry_status add_batch(struct filling *filling)
{
    struct quarry_kv_iterator *walk = filling->walk;
    struct kv_batch_iterator *over;
    struct kv_fragments *fragments = NULL;
    enum quarry_status status =
        kv_batch_index_fragments(walk->batch->index, KV_BATCH_BASE_SEQUENCE, &fragments);

    if (status != QUARRY_OK) {
        return status;
    }
    over = take_room(filling, sizeof(*over));
    kv_batch_iterator_init(over, walk->batch->index, KV_BATCH_BASE_SEQUENCE);
    walk->sources[walk->source_count++] = (struct kv_source){
        .over = &over->base,
        .has_ranges = fragments != NULL,
        .fragments = fragments,
        .sequence = KV_SEQUENCE_MAX,
    };
    walk->has_ranges |= fragments != NULL;
    return QUARRY_OK;
}

/* Has room for so many sources. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status reserve_room(struct quarry_kv_iterator *walk, uint32_t layer_count,
                                       uint32_t run_count)
{
    struct kv_memory *memory = &walk->kv->small[KV_PART_READ];
    size_t count = layer_count + run_count;
    size_t layer_bytes =
        size_max(sizeof(struct kv_layer_iterator), sizeof(struct kv_batch_iterator));
    size_t byte_count =
        aligned(count * sizeof(struct kv_source)) + aligned(count * sizeof(struct kv_iterator *)) +
        aligned(kv_merge_iterator_bytes(count)) + layer_count * aligned(layer_bytes) +
        run_count * aligned(kv_run_iterator_bytes());

    if (byte_count <= walk->room_bytes) {
        return QUARRY_OK;
    }
    kv_memory_give(memory, walk->room);
    walk->room_bytes = 0;
    walk->room = kv_memory_take(memory, byte_count);
    if (walk->room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    walk->room_bytes = byte_count;
    return QUARRY_OK;
}

/* Ends what the room has. */
static void drop_sources(struct quarry_kv_iterator *walk)
{
    for (uint32_t i = 0; i < walk->source_count; i++) {
        walk->sources[i].over->ops->fini(walk->sources[i].over);
        kv_source_forget_ranges(&walk->sources[i]);
    }
    walk->source_count = 0;
    walk->has_ranges = false;
    walk->is_frugal = false;
    walk->merge = NULL;
    walk->nothing = (struct kv_iterator){.ops = &nothing_ops};
    walk->top = &walk->nothing;
}

static void join_sources(struct filling *filling)
{
    struct quarry_kv_iterator *walk = filling->walk;
    uint32_t count = walk->source_count;

    if (count == 1) {
        walk->top = walk->sources[0].over;
    } else if (count > 1) {
        struct kv_iterator **children = take_room(filling, count * sizeof(*children));
        for (uint32_t i = 0; i < count; i++) {
            children[i] = walk->sources[i].over;
        }
        walk->merge = kv_merge_iterator_init(take_room(filling, kv_merge_iterator_bytes(count)),
                                             walk->comparator, children, count);
        walk->top = kv_merge_iterator_base(walk->merge);
    }
}

/* Makes sources of the view and the batch. Errors: QUARRY_NO_MEMORY: it has none, and is bare. */
static enum quarry_status make_sources(struct quarry_kv_iterator *walk)
{
    const struct kv_view *view = walk->view;
    uint32_t layer_count = view->layer_count + (walk->batch != NULL ? 1 : 0), run_count = 0;
    struct filling filling = {.walk = walk};

    drop_sources(walk);
    walk->is_bare = true;
    visit_runs(walk, count_run, &run_count);
    enum quarry_status status = reserve_room(walk, layer_count, run_count);
    if (status != QUARRY_OK) {
        return status;
    }
    filling.at = walk->room;
    walk->sources = take_room(&filling, (layer_count + run_count) * sizeof(*walk->sources));
    if (walk->batch != NULL) {
        status = add_batch(&filling);
    }
    for (uint32_t i = 0; i < view->layer_count && status == QUARRY_OK; i++) {
        status = add_layer(&filling, view->layers[i]);
    }
    if (status != QUARRY_OK) {
        drop_sources(walk);
        return status;
    }
    visit_runs(walk, add_run, &filling);
    join_sources(&filling);
    walk->is_bare = false;
    return QUARRY_OK;
}

enum quarry_status kv_walk_dress(struct quarry_kv_iterator *walk)
{
    return Q_LIKELY(!walk->is_bare) ? QUARRY_OK : make_sources(walk);
}

/* ---- little memory -------------------------------------------------------------------------- */

void kv_walk_set_frugal(struct quarry_kv_iterator *walk, bool is_frugal)
{
    walk->is_frugal = is_frugal;
    walk->frugal_count = 0;
    for (uint32_t i = 0; i < walk->source_count; i++) {
        if (walk->sources[i].run != NULL) {
            kv_run_iterator_set_frugal(walk->sources[i].run, is_frugal);
            kv_source_close_table(&walk->sources[i]);
        }
    }
    if (walk->merge != NULL) {
        kv_merge_iterator_set_frugal(walk->merge, is_frugal);
    }
}

/* Whether what the top is at holds a block. */
static bool is_at_run(const struct quarry_kv_iterator *walk)
{
    if (!walk->top->is_valid) {
        return false;
    }
    uint32_t at = walk->merge == NULL ? 0 : kv_merge_iterator_source(walk->merge);
    return walk->sources[at].run != NULL;
}

void kv_walk_rest(struct quarry_kv_iterator *walk)
{
    Q_ASSERT(walk->is_frugal);
    if (!is_at_run(walk)) {
        return;
    }
    /* Without memory for the key it is as it was. */
    if (walk->merge != NULL) {
        (void)kv_merge_iterator_rest(walk->merge);
    } else {
        (void)walk->top->ops->rest(walk->top);
    }
}

void kv_walk_wake(struct quarry_kv_iterator *walk)
{
    Q_ASSERT(walk->is_frugal);
    if (!is_at_run(walk)) {
        return;
    }
    if (walk->merge != NULL) {
        kv_merge_iterator_wake(walk->merge);
    } else {
        walk->top->ops->wake(walk->top);
    }
}

/* Copies the value that is shown. Returns: whether it is short, and there was memory. */
static bool save_shown_value(struct quarry_kv_iterator *walk)
{
    kv_buffer_clear(&walk->saved_value);
    return walk->value.count <= KV_WALK_COPY_MAX &&
           quarry_kv_buffer_append(&walk->saved_value, walk->value.bytes, walk->value.count) ==
               QUARRY_OK;
}

void kv_walk_let_go(struct quarry_kv_iterator *walk)
{
    bool lies_there = walk->place == KV_WALK_AT;

    if (!is_at_run(walk) || (lies_there && !save_shown_value(walk))) {
        return;
    }
    kv_walk_rest(walk);
    if (lies_there) {
        walk->key = walk->top->key.user;
        walk->value = kv_buffer_slice(&walk->saved_value);
    }
}

/* ---- making one ----------------------------------------------------------------------------- */

static void init_buffers(struct quarry_kv_iterator *walk)
{
    struct kv_memory *memory = &walk->kv->small[KV_PART_READ];

    kv_buffer_init(&walk->saved_key, memory, QUARRY_KV_VALUE_BYTES_MAX);
    kv_buffer_init(&walk->saved_value, memory, QUARRY_KV_VALUE_BYTES_MAX);
    kv_buffer_init(&walk->sought, memory, QUARRY_KV_VALUE_BYTES_MAX);
    kv_buffer_init(&walk->prefix, memory, QUARRY_KV_VALUE_BYTES_MAX);
    kv_buffer_init(&walk->bounds, memory, QUARRY_KV_VALUE_BYTES_MAX);
    kv_operands_init(&walk->operands, memory);
}

void kv_iterator_free(struct quarry_kv *kv, struct quarry_kv_iterator *iterator)
{
    if (iterator == NULL) {
        return;
    }
    kv_buffer_fini(&iterator->saved_key);
    kv_buffer_fini(&iterator->saved_value);
    kv_buffer_fini(&iterator->sought);
    kv_buffer_fini(&iterator->prefix);
    kv_buffer_fini(&iterator->bounds);
    kv_operands_fini(&iterator->operands);
    kv_memory_give(&kv->small[KV_PART_READ], iterator->room);
    kv_memory_give(&kv->small[KV_PART_READ], iterator);
}

/* What a spare may keep: of values and operands, which can be large, nothing. */
static void trim_buffers(struct quarry_kv_iterator *walk)
{
    if (walk->saved_value.capacity > KV_WALK_COPY_MAX) {
        kv_buffer_fini(&walk->saved_value);
    }
    if (walk->sought.capacity > KV_WALK_COPY_MAX) {
        kv_buffer_fini(&walk->sought);
    }
    kv_operands_fini(&walk->operands);
}

static struct kv_slice slice_of(struct quarry_kv_slice slice)
{
    return kv_slice(slice.bytes, slice.byte_count);
}

static void reset(struct quarry_kv_iterator *walk, const struct quarry_kv_read_options *options,
                  struct quarry_kv_batch *batch)
{
    walk->comparator = walk->kv->comparator;
    walk->options = options == NULL ? (struct quarry_kv_read_options){0} : *options;
    walk->lower = slice_of(walk->options.lower);
    walk->upper = slice_of(walk->options.upper);
    walk->batch = batch;
    walk->batch_base = batch == NULL ? UINT64_MAX : KV_BATCH_BASE_SEQUENCE;
    walk->in_prefix = false;
    walk->error = (struct quarry_error){0};
    walk->step_count = walk->step_bytes = 0;
    (void)kv_walk_end(walk, QUARRY_OK);
}

static void take_view(struct quarry_kv_iterator *walk)
{
    /* Acquire: pairs with the release in install.c. Before the view: which may be newer. */
    uint64_t flush_count = atomic_load_acquire_u64(&walk->kv->flush_count);
    walk->flush_seen = walk->options.only_cached ? UINT64_MAX : flush_count;
    walk->view = kv_view_acquire(walk->kv);
}

/* Of the view, and of the list of snapshots. */
static void leave_view(struct quarry_kv_iterator *walk)
{
    drop_sources(walk);
    walk->is_bare = false;
    if (walk->view != NULL) {
        kv_view_release(walk->kv, walk->view);
        walk->view = NULL;
    }
    if (walk->is_listed) {
        kv_snapshot_unlink(walk->kv, &walk->own);
        walk->is_listed = false;
    }
}

/* The store as it is now, or as the snapshot has it. Errors: QUARRY_NO_MEMORY: it has no view. */
static enum quarry_status look(struct quarry_kv_iterator *walk)
{
    const struct quarry_kv_snapshot *snapshot = walk->options.snapshot;

    /* The sequence first: the view has all of it, as the next one will; and what is listed is kept.
     */
    walk->own = (struct quarry_kv_snapshot){.sequence = 0};
    kv_snapshot_link(walk->kv, &walk->own, snapshot == NULL ? NULL : &snapshot->sequence);
    walk->is_listed = true;
    walk->sequence = walk->own.sequence;
    take_view(walk);
    enum quarry_status status = make_sources(walk);
    if (status != QUARRY_OK) {
        leave_view(walk);
    }
    return status;
}

enum quarry_status kv_walk_renew(struct quarry_kv_iterator *walk)
{
    struct kv_view *before = walk->view;

    if (before == NULL) {
        return QUARRY_OK;
    }
    Q_ASSERT(walk->is_listed); /* invariant 4 */
    take_view(walk);
    if (walk->view == before) {
        kv_view_release(walk->kv, before);
        return kv_walk_dress(walk);
    }
    drop_sources(walk);
    kv_view_release(walk->kv, before);
    walk->in_prefix = false;
    return make_sources(walk);
}

static struct quarry_kv_iterator *take_walk(struct quarry_kv *kv)
{
    struct quarry_kv_iterator *walk = kv_spare_take(kv);

    if (walk == NULL) {
        walk = kv_memory_take(&kv->small[KV_PART_READ], sizeof(*walk));
        if (walk == NULL) {
            return NULL;
        }
        walk->kv = kv;
        init_buffers(walk);
    }
    return walk;
}

static enum quarry_status create(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                                 struct quarry_kv_batch *batch,
                                 struct quarry_kv_iterator **ret_iterator)
{
    struct quarry_kv_iterator *walk = take_walk(kv);

    if (walk == NULL) {
        return QUARRY_NO_MEMORY;
    }
    reset(walk, options, batch);
    enum quarry_status status = look(walk);
    if (status != QUARRY_OK) {
        kv_iterator_free(kv, kv_spare_give(kv, walk));
        return status;
    }
    /* Relaxed: closing comes after all iterators. */
    (void)atomic_add_relaxed_u32(&kv->iterator_count, 1);
    *ret_iterator = walk;
    return QUARRY_OK;
}

static enum quarry_status create_at_all_costs(struct quarry_kv *kv,
                                              const struct quarry_kv_read_options *options,
                                              struct quarry_kv_batch *batch,
                                              struct quarry_kv_iterator **ret_iterator,
                                              struct quarry_error *error)
{
    enum quarry_status status = create(kv, options, batch, ret_iterator);
    uint32_t try_count = 0;

    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && kv_reserve_enter(kv)) {
        do {
            status = create(kv, options, batch, ret_iterator);
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(kv, 0, &try_count));
        kv_reserve_leave(kv);
    }
    return status == QUARRY_OK ? status : error_set(error, status, "no memory for an iterator");
}

enum quarry_status quarry_kv_iterate(struct quarry_kv *kv,
                                     const struct quarry_kv_read_options *options,
                                     struct quarry_kv_iterator **ret_iterator,
                                     struct quarry_error *error)
{
    return create_at_all_costs(kv, options, NULL, ret_iterator, error);
}

enum quarry_status quarry_kv_batch_iterate(struct quarry_kv *kv,
                                           const struct quarry_kv_read_options *options,
                                           struct quarry_kv_batch *batch,
                                           struct quarry_kv_iterator **ret_iterator,
                                           struct quarry_error *error)
{
    if (batch->index == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "the batch was created without an index");
    }
    return create_at_all_costs(kv, options, batch, ret_iterator, error);
}

void kv_walk_count_steps(struct quarry_kv_iterator *walk)
{
    if (walk->step_count != 0) {
        kv_count(walk->kv, KV_COUNT_STEPS, walk->step_count);
        kv_count(walk->kv, KV_COUNT_READ_BYTES, walk->step_bytes);
        walk->step_count = walk->step_bytes = 0;
    }
}

void quarry_kv_iterator_destroy(struct quarry_kv_iterator *iterator)
{
    if (iterator == NULL) {
        return;
    }
    struct quarry_kv *kv = iterator->kv;
    kv_walk_count_steps(iterator);
    leave_view(iterator);
    trim_buffers(iterator);
    kv_iterator_free(kv, kv_spare_give(kv, iterator));
    /* Release: what it held has been let go of before the store is closed. */
    (void)atomic_sub_release_u32(&kv->iterator_count, 1);
}

/* ---- bounds, refreshing -------------------------------------------------------------------- */

static enum quarry_status copy_bounds(struct quarry_kv_iterator *walk, struct kv_slice lower,
                                      struct kv_slice upper)
{
    /* Not where they are: the old ones may be given again. */
    struct quarry_kv_buffer bounds;
    kv_buffer_init(&bounds, &walk->kv->small[KV_PART_READ], 2 * QUARRY_KV_VALUE_BYTES_MAX);
    enum quarry_status status = kv_buffer_reserve(&bounds, lower.count + upper.count + 1);
    if (status != QUARRY_OK) {
        return status;
    }
    (void)quarry_kv_buffer_append(&bounds, lower.bytes, lower.count);
    (void)quarry_kv_buffer_append(&bounds, upper.bytes, upper.count);
    kv_buffer_fini(&walk->bounds);
    walk->bounds = bounds;
    walk->lower = lower.bytes == NULL ? lower : kv_slice(bounds.bytes, lower.count);
    walk->upper = upper.bytes == NULL ? upper : kv_slice(bounds.bytes + lower.count, upper.count);
    return QUARRY_OK;
}

static enum quarry_status try_set_bounds(struct quarry_kv_iterator *walk, struct kv_slice lower,
                                         struct kv_slice upper)
{
    enum quarry_status status = copy_bounds(walk, lower, upper);

    if (status == QUARRY_OK && walk->view != NULL) {
        walk->in_prefix = false;
        status = make_sources(walk);
    }
    return status;
}

enum quarry_status quarry_kv_iterator_set_bounds(struct quarry_kv_iterator *iterator,
                                                 struct quarry_kv_slice lower,
                                                 struct quarry_kv_slice upper)
{
    enum quarry_status status = try_set_bounds(iterator, slice_of(lower), slice_of(upper));
    uint32_t try_count = 0;

    (void)kv_walk_end(iterator, QUARRY_OK);
    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && kv_reserve_enter(iterator->kv)) {
        do {
            status = try_set_bounds(iterator, slice_of(lower), slice_of(upper));
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(iterator->kv, 1, &try_count));
        kv_reserve_leave(iterator->kv);
    }
    return status;
}

enum quarry_status quarry_kv_iterator_refresh(struct quarry_kv_iterator *iterator,
                                              struct quarry_error *error)
{
    leave_view(iterator);
    iterator->options.snapshot = NULL;
    iterator->in_prefix = false;
    (void)kv_walk_end(iterator, QUARRY_OK);
    enum quarry_status status = look(iterator);
    uint32_t try_count = 0;
    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && kv_reserve_enter(iterator->kv)) {
        do {
            status = look(iterator);
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(iterator->kv, 1, &try_count));
        kv_reserve_leave(iterator->kv);
    }
    return status == QUARRY_OK ? status : error_set(error, status, "no memory for an iterator");
}
