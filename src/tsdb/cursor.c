/*
 * Cursors: one series after another, window after window, in blocks.
 *
 *     set's view   | w4 sealed | w5 sealed | w6 half sealed | w7 open |
 *                    columns     columns     either           chain and late samples
 *                    └───────────── one rising sequence of samples ─────────────┘
 *
 * A window says for each shard whether it is to be read sealed. That may change from open to sealed
 * between two blocks: the cursor looks anew inside the epoch for each block of an open shard, and
 * goes on in the columns behind the last sample it gave. So an epoch lasts for a block, some
 * microseconds, and sealing waits for no query.
 *
 * Invariant: times rise within a window, and windows follow each other, so what a cursor gives
 * rises. Samples at or before the last one given are left out, which is what makes going on in
 * another form of the same window right.
 */
#include <tsdb/open_read.h>
#include <tsdb/sealed.h>
#include <tsdb/set.h>

/* What is being read of the window. */
enum source {
    SOURCE_NONE, /* it has not begun */
    SOURCE_OPEN,
    SOURCE_SEALED,
};

struct quarry_tsdb_cursor {
    struct quarry_tsdb_set *set;
    uint32_t id;
    uint32_t window_at; /* in the set's view */
    enum source source;
    int64_t from_ms; /* samples before are left out */
    bool is_at_end;
    struct tsdb_deleted deleted; /* of the series, when it was begun */
    struct tsdb_open_read open;
    struct tsdb_sealed_read sealed;
    int64_t t_ms[QUARRY_TSDB_BLOCK_SAMPLES];
    uint64_t bits[QUARRY_TSDB_BLOCK_SAMPLES];
    struct tsdb_histogram_batch batch; /* of the block, if it has histograms */
};

static const struct tsdb_memory *memory_of(const struct quarry_tsdb_set *set)
{
    return &set->tsdb->small[TSDB_PART_QUERY];
}

enum quarry_status quarry_tsdb_cursor_create(struct quarry_tsdb_set *set,
                                             struct quarry_tsdb_cursor **ret_cursor)
{
    struct quarry_tsdb_cursor *cursor = tsdb_memory_take_zero(memory_of(set), sizeof(*cursor));

    if (cursor == NULL) {
        return QUARRY_NO_MEMORY;
    }
    cursor->set = set;
    cursor->batch.memory = memory_of(set);
    cursor->is_at_end = true;
    (void)atomic_add_relaxed_u32(&set->cursor_count, 1);
    *ret_cursor = cursor;
    return QUARRY_OK;
}

void quarry_tsdb_cursor_destroy(struct quarry_tsdb_cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    struct quarry_tsdb_set *set = cursor->set;
    tsdb_open_read_fini(&cursor->open, memory_of(set));
    tsdb_histogram_batch_fini(&cursor->batch);
    tsdb_memory_give(memory_of(set), cursor);
    (void)atomic_sub_relaxed_u32(&set->cursor_count, 1);
}

void quarry_tsdb_cursor_series(struct quarry_tsdb_cursor *cursor, size_t index)
{
    Q_ASSERT(index < cursor->set->ids.count);
    cursor->id = cursor->set->ids.ids[index];
    cursor->window_at = 0;
    cursor->source = SOURCE_NONE;
    quarry_epoch_enter(cursor->set->tsdb->epoch); /* for the table of series */
    int64_t kept_ms = tsdb_metric_min_ms(cursor->set->tsdb, cursor->id);
    quarry_epoch_leave(cursor->set->tsdb->epoch);
    cursor->from_ms = kept_ms > cursor->set->min_ms ? kept_ms : cursor->set->min_ms;
    cursor->is_at_end = false;
    tsdb_tombstones_of(cursor->set->tsdb, cursor->id, &cursor->deleted);
}

/* ---- windows -------------------------------------------------------------------------------- */

static void sealed_begin(struct quarry_tsdb_cursor *cursor, const struct tsdb_window *window)
{
    tsdb_sealed_read_begin(&cursor->sealed, window, tsdb_shard_of(cursor->id),
                           tsdb_local_of(cursor->id), cursor->from_ms);
    cursor->source = SOURCE_SEALED;
}

static enum quarry_status open_begin(struct quarry_tsdb_cursor *cursor,
                                     const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);
    const struct tsdb_memory *memory = memory_of(cursor->set);
    enum quarry_status status =
        tsdb_open_base(open) != NULL
            ? tsdb_open_read_begin_filling(&cursor->open, memory, open, cursor->id, cursor->from_ms)
            : tsdb_open_read_begin(&cursor->open, memory, &open->shard[tsdb_shard_of(cursor->id)],
                                   tsdb_open_chain(open, cursor->id));

    cursor->source = status == QUARRY_OK ? SOURCE_OPEN : SOURCE_NONE;
    return status;
}

/* Takes a block of an open shard, inside the epoch. `*ret_is_sealed`: it is none any more. */
static enum quarry_status open_take(struct quarry_tsdb_cursor *cursor,
                                    const struct tsdb_window *window, uint32_t *ret_count,
                                    bool *ret_is_sealed)
{
    enum quarry_status status = QUARRY_OK;

    /* Within the epoch: what was open at this look stays readable until it is left. */
    *ret_is_sealed = tsdb_window_is_sealed(window, tsdb_shard_of(cursor->id));
    if (*ret_is_sealed) {
        return QUARRY_OK;
    }
    if (cursor->source == SOURCE_NONE) {
        status = open_begin(cursor, window);
    }
    if (status == QUARRY_OK) {
        *ret_count = tsdb_open_read_take(&cursor->open, QUARRY_TSDB_BLOCK_SAMPLES, cursor->t_ms,
                                         cursor->bits, &cursor->batch);
        status = tsdb_open_read_status(&cursor->open);
    }
    return status;
}

/* Takes the next block of the window; `*ret_count`: 0 at its end. */
static enum quarry_status window_take(struct quarry_tsdb_cursor *cursor,
                                      const struct tsdb_window *window, uint32_t *ret_count)
{
    struct quarry_tsdb *tsdb = cursor->set->tsdb;
    enum quarry_status status = QUARRY_OK;
    bool is_sealed = cursor->source == SOURCE_SEALED;

    *ret_count = 0;
    if (!is_sealed) {
        quarry_epoch_enter(tsdb->epoch);
        status = open_take(cursor, window, ret_count, &is_sealed);
        quarry_epoch_leave(tsdb->epoch);
        if (status != QUARRY_OK || !is_sealed) {
            return status;
        }
        sealed_begin(cursor, window);
    }
    return tsdb_sealed_read_take(&cursor->sealed, cursor->t_ms, cursor->bits, &cursor->batch,
                                 ret_count);
}

/* The window to be read; NULL: there is none left. */
static const struct tsdb_window *window_next(struct quarry_tsdb_cursor *cursor)
{
    const struct tsdb_view *view = cursor->set->view;

    while (cursor->window_at < view->window_count) {
        const struct tsdb_window *window = view->windows[cursor->window_at];
        if (window->start_ms > cursor->set->max_ms) {
            return NULL;
        }
        if (window->end_ms > cursor->from_ms) {
            return window;
        }
        cursor->window_at++;
        cursor->source = SOURCE_NONE;
    }
    return NULL;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* What of a block is within the span. */
static struct quarry_tsdb_block block_cut(struct quarry_tsdb_cursor *cursor, uint32_t count)
{
    uint32_t from = 0, to = count;

    while (from < count && cursor->t_ms[from] < cursor->from_ms) {
        from++;
    }
    while (to > from && cursor->t_ms[to - 1] > cursor->set->max_ms) {
        to--;
    }
    cursor->is_at_end = to < count;
    return (struct quarry_tsdb_block){
        .t_ms = cursor->t_ms + from,
        .bits = cursor->bits + from,
        .histograms = cursor->batch.count == 0 ? NULL : cursor->batch.items + from,
        .count = to - from,
    };
}

/* The samples of a block up to the first that was deleted, behind those that were. What follows is
 * read anew, from behind the last sample that was looked at: spans are few. */
static struct quarry_tsdb_block deleted_cut(struct quarry_tsdb_cursor *cursor,
                                            struct quarry_tsdb_block block)
{
    uint32_t from = 0, to;

    if (Q_LIKELY(cursor->deleted.count == 0) || block.count == 0) {
        return block;
    }
    while (from < block.count && tsdb_deleted_has(&cursor->deleted, block.t_ms[from])) {
        from++;
    }
    for (to = from; to < block.count && !tsdb_deleted_has(&cursor->deleted, block.t_ms[to]);) {
        to++;
    }
    cursor->from_ms = block.t_ms[to - 1] + 1;
    if (to < block.count) {
        cursor->source = SOURCE_NONE;
        cursor->is_at_end = false;
    }
    block.t_ms += from;
    block.bits += from;
    block.histograms = block.histograms == NULL ? NULL : block.histograms + from;
    block.count = to - from;
    return block;
}

enum quarry_status quarry_tsdb_cursor_next(struct quarry_tsdb_cursor *cursor,
                                           struct quarry_tsdb_block *ret_block)
{
    const struct tsdb_window *window;

    while (!cursor->is_at_end && (window = window_next(cursor)) != NULL) {
        uint32_t count;
        enum quarry_status status = window_take(cursor, window, &count);
        if (status != QUARRY_OK) {
            return status;
        }
        if (count == 0) {
            cursor->window_at++;
            cursor->source = SOURCE_NONE;
            continue;
        }
        struct quarry_tsdb_block block = deleted_cut(cursor, block_cut(cursor, count));
        if (block.count != 0) {
            /* Cannot wrap: a window's end is beyond each of its samples. */
            cursor->from_ms = block.t_ms[block.count - 1] + 1;
            *ret_block = block;
            return QUARRY_OK;
        }
    }
    cursor->is_at_end = true;
    return QUARRY_NOT_FOUND;
}
