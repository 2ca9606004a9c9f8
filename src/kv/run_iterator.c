/*
 * Iterators over a run: files one after another, one open at a time.
 *
 *     files of the run   │ f0 │ f1 │ f2 │ f3 │ f4 │
 *     in bounds               [from          to)
 *     at                            file ──→ open table ──→ table iterator ──→ base
 *
 * Bounds and prefix leave files out, and nothing else: of the files at the edges all entries are
 * shown, and who walks looks at keys itself. A file that is passed by is not opened; one whose
 * filter does not know the prefix is opened and passed by.
 *
 * Resting, it has its file closed and a copy of its key, nothing else: where many runs are merged
 * in little memory, all but one rest. To wake is to seek that key in the file that it was in.
 *
 * Frugal, it takes no for an answer only when room has been made: its own file, and all tables and
 * blocks that nobody uses, are let go of, and the move is done again. For a step that means to seek
 * the key that it started from, so that is copied before.
 *
 * Invariants:
 *   1. `open` is counted, and is of files[file]; or NULL, and then `over` is not made.
 *   2. base shows what `over` is at; or, is_resting, its key is in `kept`; or it is past an end.
 *   3. from <= to <= file_count.
 *
 * Locking: none; an iterator is one thread's. The version is its maker's to hold.
 * Cost: a step is that of the table and a copy; a change of files is an acquire of an open table.
 */
#include <kv/merge_iterator.h>
#include <kv/read.h>

#include <inttypes.h>

#include <quarry/epoch.h>

struct kv_run_iterator {
    struct kv_iterator base;
    struct kv_memory *memory; /* NULL: its user's */
    struct kv_run_iterator_options options;
    struct kv_slice prefix;
    uint32_t from, to; /* files in bounds */
    uint32_t file;
    bool is_frugal;
    bool is_resting;
    struct quarry_kv_buffer kept; /* a user key */
    struct kv_open_table *open;
    struct kv_table_iterator over;
};

static struct kv_run_iterator *of(struct kv_iterator *base)
{
    return (struct kv_run_iterator *)(void *)base;
}

static const struct quarry_kv_comparator *comparator_of(const struct kv_run_iterator *run)
{
    return run->options.kv->comparator;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void close_file(struct kv_run_iterator *run)
{
    if (run->open != NULL) {
        run->over.base.ops->fini(&run->over.base);
        kv_open_table_release(run->open);
        run->open = NULL;
    }
}

/* Whether a file's table is open: without reading. */
static bool is_file_open(const struct kv_run_iterator *run, struct kv_file *file)
{
    quarry_epoch_enter(run->options.kv->epoch);
    bool is_open = kv_open_table_peek(file) != NULL;
    quarry_epoch_leave(run->options.kv->epoch);
    return is_open;
}

/* Opens a file, unless it is the one that is open. Errors: as kv_open_table_acquire. */
static enum quarry_status open_file(struct kv_run_iterator *run, uint32_t index)
{
    struct kv_file *file = run->options.run->files[index];

    Q_DCHECK(index >= run->from && index < run->to);
    if (run->open != NULL && run->file == index) {
        return QUARRY_OK;
    }
    close_file(run);
    if (run->options.table.only_cached && !is_file_open(run, file)) {
        return error_set(run->base.error, QUARRY_BUSY, "table %" PRIu64 " is not open",
                         file->number);
    }
    enum quarry_status status =
        kv_open_table_acquire(run->options.kv->table_cache, file, &run->open, run->base.error);
    if (status == QUARRY_OK) {
        run->file = index;
        kv_table_iterator_init(&run->over, run->open->table, &run->options.table, run->base.error);
    }
    return status;
}

static bool may_have_prefix(const struct kv_run_iterator *run)
{
    return Q_LIKELY(run->prefix.bytes == NULL) ||
           kv_table_may_have_prefix(run->open->table, run->prefix);
}

/* Lets go of all that can be opened again, here and elsewhere. */
Q_COLD static void make_room(struct kv_run_iterator *run)
{
    close_file(run);
    kv_reads_make_room(run->options.kv);
}

/* ---- telling where it is -------------------------------------------------------------------- */

static void end(struct kv_run_iterator *run, enum quarry_status status)
{
    run->base.is_valid = false;
    run->base.status = status;
    run->is_resting = false;
}

/* Shows what `over` is at, or that it has failed. Returns: whether it is past an end of the file.
 */
static inline bool show(struct kv_run_iterator *run)
{
    const struct kv_iterator *over = &run->over.base;

    run->base.is_valid = over->is_valid;
    run->base.status = over->status;
    if (Q_UNLIKELY(!over->is_valid)) {
        return over->status == QUARRY_OK;
    }
    run->base.key = over->key;
    run->base.value = over->value;
    return false;
}

/* To the first entry of the files from an index on. */
static void go_forward(struct kv_run_iterator *run, uint32_t index)
{
    for (; index < run->to; index++) {
        enum quarry_status status = open_file(run, index);
        if (status != QUARRY_OK) {
            end(run, status);
            return;
        }
        if (!may_have_prefix(run)) {
            continue;
        }
        run->over.base.ops->first(&run->over.base);
        if (!show(run)) {
            return;
        }
    }
    end(run, QUARRY_OK);
}

/* To the last entry of the files before an index. */
static void go_backward(struct kv_run_iterator *run, uint32_t index)
{
    while (index > run->from) {
        enum quarry_status status = open_file(run, --index);
        if (status != QUARRY_OK) {
            end(run, status);
            return;
        }
        if (!may_have_prefix(run)) {
            continue;
        }
        run->over.base.ops->last(&run->over.base);
        if (!show(run)) {
            return;
        }
    }
    end(run, QUARRY_OK);
}

/* ---- moving --------------------------------------------------------------------------------- */

static void go_first(struct kv_run_iterator *run, struct kv_key key)
{
    (void)key;
    go_forward(run, run->from);
}

static void go_last(struct kv_run_iterator *run, struct kv_key key)
{
    (void)key;
    go_backward(run, run->to);
}

static uint32_t find_file(const struct kv_run_iterator *run, struct kv_key key)
{
    uint32_t index =
        kv_run_find_key(run->options.run, comparator_of(run), key, kv_prefix8(key.user));

    return index < run->from ? run->from : index;
}

static void go_to(struct kv_run_iterator *run, struct kv_key key)
{
    uint32_t index = find_file(run, key);

    if (index >= run->to) {
        end(run, QUARRY_OK);
        return;
    }
    enum quarry_status status = open_file(run, index);
    if (status != QUARRY_OK) {
        end(run, status);
        return;
    }
    if (may_have_prefix(run)) {
        run->over.base.ops->seek(&run->over.base, key);
        if (!show(run)) {
            return;
        }
    }
    go_forward(run, index + 1);
}

static void go_before(struct kv_run_iterator *run, struct kv_key key)
{
    uint32_t index = find_file(run, key);

    if (index >= run->to) {
        go_backward(run, run->to);
        return;
    }
    enum quarry_status status = open_file(run, index);
    if (status != QUARRY_OK) {
        end(run, status);
        return;
    }
    if (may_have_prefix(run)) {
        run->over.base.ops->seek_before(&run->over.base, key);
        if (!show(run)) {
            return;
        }
    }
    go_backward(run, index);
}

static void step_forward(struct kv_run_iterator *run)
{
    run->over.base.ops->next(&run->over.base);
    if (Q_UNLIKELY(show(run))) {
        go_forward(run, run->file + 1);
    }
}

static void step_backward(struct kv_run_iterator *run)
{
    run->over.base.ops->previous(&run->over.base);
    if (Q_UNLIKELY(show(run))) {
        go_backward(run, run->file);
    }
}

/* A move that does not depend on where it is. */
static inline void place(struct kv_run_iterator *run,
                         void (*go)(struct kv_run_iterator *run, struct kv_key key),
                         struct kv_key key)
{
    run->is_resting = false;
    go(run, key);
    if (Q_UNLIKELY(run->base.status == QUARRY_NO_MEMORY && run->is_frugal)) {
        make_room(run);
        go(run, key);
    }
}

static void first(struct kv_iterator *base)
{
    place(of(base), go_first, (struct kv_key){{NULL, 0}, 0});
}

static void last(struct kv_iterator *base)
{
    place(of(base), go_last, (struct kv_key){{NULL, 0}, 0});
}

static void seek(struct kv_iterator *base, struct kv_key key)
{
    place(of(base), go_to, key);
}

static void seek_before(struct kv_iterator *base, struct kv_key key)
{
    place(of(base), go_before, key);
}

/* ---- resting -------------------------------------------------------------------------------- */

/* Copies the key that it is at. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status keep_key(struct kv_run_iterator *run)
{
    const struct kv_slice key = run->base.key.user;

    kv_buffer_clear(&run->kept);
    /* One byte more, so that an empty key has an address. */
    enum quarry_status status = kv_buffer_reserve(&run->kept, key.count + 1);
    if (status == QUARRY_NO_MEMORY && run->is_frugal) {
        kv_reads_make_room(run->options.kv);
        status = kv_buffer_reserve(&run->kept, key.count + 1);
    }
    return status != QUARRY_OK ? status : quarry_kv_buffer_append(&run->kept, key.bytes, key.count);
}

static enum quarry_status rest(struct kv_iterator *base)
{
    struct kv_run_iterator *run = of(base);

    if (base->is_valid && !run->is_resting) {
        enum quarry_status status = keep_key(run);
        if (status != QUARRY_OK) {
            return status;
        }
        base->key.user = kv_buffer_slice(&run->kept);
        base->value = (struct kv_slice){0};
        run->is_resting = true;
    }
    close_file(run);
    return QUARRY_OK;
}

/* To the kept key in the file that it was in. */
static void go_back(struct kv_run_iterator *run, struct kv_key key)
{
    enum quarry_status status = open_file(run, run->file);

    if (status != QUARRY_OK) {
        end(run, status);
        return;
    }
    run->over.base.ops->seek(&run->over.base, key);
    bool is_past = show(run);
    if (is_past ||
        (run->base.is_valid && kv_compare_keys(comparator_of(run), run->base.key, key) != 0)) {
        end(run, error_set(run->base.error, QUARRY_CORRUPT,
                           "table %06" PRIu64 ": a key that was met is not found",
                           run->options.run->files[run->file]->number));
    }
}

static void wake(struct kv_iterator *base)
{
    struct kv_run_iterator *run = of(base);

    if (run->is_resting) {
        place(run, go_back, (struct kv_key){kv_buffer_slice(&run->kept), base->key.trailer});
    }
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* A step that is done again from the key, where it was refused memory. */
Q_COLD static void step_frugally(struct kv_run_iterator *run,
                                 void (*step)(struct kv_run_iterator *run))
{
    uint64_t trailer = run->base.key.trailer;

    wake(&run->base);
    if (!run->base.is_valid) {
        return;
    }
    enum quarry_status status = keep_key(run);
    if (status != QUARRY_OK) {
        end(run, status);
        return;
    }
    step(run);
    if (run->base.status != QUARRY_NO_MEMORY) {
        return;
    }
    make_room(run);
    go_to(run, (struct kv_key){kv_buffer_slice(&run->kept), trailer});
    if (run->base.is_valid) {
        step(run);
    }
}

static void next(struct kv_iterator *base)
{
    struct kv_run_iterator *run = of(base);

    Q_DCHECK(base->is_valid);
    if (Q_UNLIKELY(run->is_frugal)) {
        step_frugally(run, step_forward);
    } else {
        step_forward(run);
    }
}

static void previous(struct kv_iterator *base)
{
    struct kv_run_iterator *run = of(base);

    Q_DCHECK(base->is_valid);
    if (Q_UNLIKELY(run->is_frugal)) {
        step_frugally(run, step_backward);
    } else {
        step_backward(run);
    }
}

static void fini(struct kv_iterator *base)
{
    close_file(of(base));
    kv_buffer_fini(&of(base)->kept);
    base->is_valid = false;
}

/* ---- making one ----------------------------------------------------------------------------- */

void kv_run_iterator_set_bounds(struct kv_run_iterator *iterator, struct kv_slice lower,
                                struct kv_slice upper)
{
    const struct kv_key_range range = {lower, upper, .is_end_open = true};
    uint32_t from, to;

    if (!kv_run_overlap(iterator->options.run, comparator_of(iterator), &range, &from, &to)) {
        from = to = 0;
    }
    if (iterator->open != NULL && (iterator->file < from || iterator->file >= to)) {
        close_file(iterator);
    }
    iterator->from = from;
    iterator->to = to;
    end(iterator, QUARRY_OK);
}

void kv_run_iterator_set_frugal(struct kv_run_iterator *iterator, bool is_frugal)
{
    close_file(iterator);
    end(iterator, QUARRY_OK);
    iterator->is_frugal = is_frugal;
}

void kv_run_iterator_set_prefix(struct kv_run_iterator *iterator, struct kv_slice prefix)
{
    iterator->prefix = prefix;
    end(iterator, QUARRY_OK);
}

size_t kv_run_iterator_bytes(void)
{
    return sizeof(struct kv_run_iterator);
}

struct kv_run_iterator *kv_run_iterator_init(void *room,
                                             const struct kv_run_iterator_options *options,
                                             struct quarry_error *error)
{
    static const struct kv_iterator_ops ops = {
        .first = first,
        .last = last,
        .seek = seek,
        .seek_before = seek_before,
        .next = next,
        .previous = previous,
        .fini = fini,
        .rest = rest,
        .wake = wake,
    };
    struct kv_run_iterator *run = room;

    /* Not `over`, which is made when a file is opened. */
    run->base = (struct kv_iterator){.ops = &ops, .error = error};
    run->memory = NULL;
    run->options = *options;
    run->prefix = (struct kv_slice){0};
    run->file = 0;
    run->is_frugal = false;
    kv_buffer_init(&run->kept, options->memory, SIZE_MAX);
    run->open = NULL;
    kv_run_iterator_set_bounds(run, options->lower, options->upper);
    return run;
}

enum quarry_status kv_run_iterator_create(struct kv_memory *memory,
                                          const struct kv_run_iterator_options *options,
                                          struct quarry_error *error,
                                          struct kv_run_iterator **ret_iterator)
{
    void *room = kv_memory_take(memory, sizeof(**ret_iterator));

    if (room == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for an iterator over files");
    }
    *ret_iterator = kv_run_iterator_init(room, options, error);
    (*ret_iterator)->memory = memory;
    return QUARRY_OK;
}

void kv_run_iterator_destroy(struct kv_run_iterator *iterator)
{
    if (iterator == NULL) {
        return;
    }
    iterator->base.ops->fini(&iterator->base);
    kv_memory_give(iterator->memory, iterator);
}

struct kv_iterator *kv_run_iterator_base(struct kv_run_iterator *iterator)
{
    return &iterator->base;
}
