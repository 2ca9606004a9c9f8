/*
 * Moving: emptying a page while others use it.
 *
 *   1. The page is withdrawn: it is in no list, so no cell is taken from it, and who gives or
 *      retires one of its cells finds that and puts it straight back into the page.
 *   2. Threads are stopped for a moment, and give up what they had of the page. One that was past
 *      the test in 1 when the page was withdrawn has left its gate by then. From here on every cell
 *      whose generation is odd is live, and their number only falls.
 *   3. For each live cell one is taken elsewhere, and the owner's callback asked to move it. If it
 *      did, the old one is retired: readers that found it go on reading what it was. If not, it is
 *      left, and looked at again in the next round: its owner may have let go of it by then.
 *   4. Without live cells the page goes, when the last cell of its limbo is past.
 *
 * The callback runs inside the epoch, so that what it reads of an old cell stays, even when the
 * owner has retired it between our look and the callback's. When the owner has given it, it is free
 * in a page from which nothing is taken: it stays as well. Who checks that the index still says the
 * old ref, before moving, never takes another's cell for it: that would have another generation.
 *
 * No lock is held over more than a batch of cells, and none in the callback. One mover at a time,
 * by a flag: a second is turned away, not kept waiting.
 */
#include <slab/move.h>

#include <slab/limbo.h>
#include <slab/page.h>
#include <slab/table.h>
#include <slab/thread.h>

/* How often a page is gone over while the owner declines some. */
#define MOVE_ROUNDS     8u
#define MOVE_ROUNDS_FEW 3u
/* Cells that are not live and cost as much as one that is moved. */
#define SKIPPED_PER_CELL 64u
/* For how many calls a page is left alone that could not be emptied, at most, as a power of two. */
#define VAIN_LOG2_MAX 12u

/* ---- one cell ------------------------------------------------------------------------------- */

static uint32_t mover_fetch(struct slab_mover *mover)
{
    slab_lock(mover->class->slab, &mover->class->mutex);
    mover->entry_count = slab_cells_take_locked(mover->class, mover->entry, SLAB_MOVE_BATCH);
    slab_unlock(mover->class->slab, &mover->class->mutex);
    return mover->entry_count;
}

/* Threads give up what they have of a class, or of one page of it. */
static void threads_strip(struct slab_class *class, struct slab_page *page)
{
    struct slab_gone gone = {.first = NULL};

    if (page != NULL) {
        slab_threads_strip_page(class->slab, page, &gone);
    } else {
        slab_threads_strip_class(class->slab, class->id, &gone);
    }
    (void)slab_pages_free(class->slab, &gone);
}

/* Has a cell to move to. */
static enum quarry_status mover_supply(struct slab_mover *mover)
{
    enum quarry_status status;

    if (mover->entry_count != 0 || mover_fetch(mover) != 0) {
        return QUARRY_OK;
    }
    threads_strip(mover->class, NULL);
    while (mover_fetch(mover) == 0) {
        status = mover->may_grow ? slab_page_add(mover->class) : QUARRY_NO_MEMORY;
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return QUARRY_OK;
}

/* What was taken and not used goes back. */
static void mover_return(struct slab_mover *mover)
{
    struct slab_class *class = mover->class;
    struct slab_gone gone = {.first = NULL};

    slab_lock(class->slab, &class->mutex);
    while (mover->entry_count != 0) {
        slab_cell_return_locked(class, mover->entry[--mover->entry_count].ref, &gone);
    }
    slab_unlock(class->slab, &class->mutex);
    (void)slab_pages_free(class->slab, &gone);
}

/*
 * What the leak ledger has of a cell goes to the new one before the owner is asked: once he has
 * moved it, another thread may find the new one and give it back. If he does not, it is taken away
 * again; until then both have it, and whoever gives the old one back forgets it as ever.
 */
static void mover_copy_token(const struct slab_mover *mover, uint32_t cell, quarry_ref new_ref)
{
    if (mover->page->token != NULL && new_ref != QUARRY_REF_NIL) {
        struct slab_page *new_page = slab_page_held_by_ref(mover->class->slab, new_ref);
        atomic_store_relaxed_u32(&new_page->token[QUARRY_REF_CELL(new_ref)],
                                 atomic_load_relaxed_u32(&mover->page->token[cell]));
    }
}

static void mover_clear_token(struct slab_page *page, uint32_t cell)
{
    if (page->token != NULL) {
        atomic_store_relaxed_u32(&page->token[cell], 0);
    }
}

/* The owner has moved a cell: the old one is ours, and nobody finds it any more. */
static void mover_retire(struct slab_mover *mover, quarry_ref ref)
{
    struct slab_class *class = mover->class;
    struct slab_gone gone = {.first = NULL};

    mover_clear_token(mover->page, QUARRY_REF_CELL(ref));
    slab_lock(class->slab, &class->mutex);
    if (class->slab->epoch != NULL) {
        slab_cell_retire_locked(class, ref);
    } else {
        slab_cell_give_locked(class, ref, &gone);
    }
    slab_unlock(class->slab, &class->mutex);
    Q_ASSERT(gone.first == NULL); /* a page that is being moved does not go */
}

static void epoch_enter(struct quarry_slab *slab)
{
    if (slab->epoch != NULL) {
        quarry_epoch_enter(slab->epoch);
    }
}

static void epoch_leave(struct quarry_slab *slab)
{
    if (slab->epoch != NULL) {
        quarry_epoch_leave(slab->epoch);
    }
}

/* Asks the owner, with a look at the cell as it is while we are inside the epoch. */
static bool mover_ask(struct slab_mover *mover, uint32_t cell, struct slab_entry to,
                      quarry_ref *ret_ref)
{
    struct slab_page *page = mover->page;
    struct quarry_slab *slab = mover->class->slab;
    bool is_moved = false;

    epoch_enter(slab);
    /* Acquire: pairs with the release in slab_generation_set. */
    uint32_t generation = atomic_load_acquire_u16(&page->generation[cell]);
    if (generation % 2 != 0) {
        *ret_ref = slab_ref_make(generation, page->class_id, page->index, cell);
        mover_copy_token(mover, cell, to.ref);
        is_moved = mover->move(mover->argument, *ret_ref, slab_page_cell(page, cell), to.ref,
                               to.data, page->cell_bytes);
        Q_ASSERT(!is_moved || to.ref != QUARRY_REF_NIL);
        if (!is_moved) {
            mover->declined_count++;
        }
        if (!is_moved && to.ref != QUARRY_REF_NIL) {
            mover_clear_token(slab_page_held_by_ref(slab, to.ref), QUARRY_REF_CELL(to.ref));
        }
    }
    epoch_leave(slab);
    return is_moved;
}

static void mover_move(struct slab_mover *mover, uint32_t cell)
{
    struct slab_entry to = {.data = NULL, .ref = QUARRY_REF_NIL};
    quarry_ref ref;

    if (mover->entry_count != 0) {
        to = mover->entry[mover->entry_count - 1];
    }
    if (mover_ask(mover, cell, to, &ref)) {
        mover->entry_count--;
        mover->moved_count++;
        mover_retire(mover, ref);
    }
}

/* ---- one page ------------------------------------------------------------------------------- */

static void mover_count(const struct slab_mover *mover, uint32_t moved, uint32_t declined)
{
    struct quarry_slab *slab = mover->class->slab;

    (void)atomic_add_relaxed_u64(&slab->moved_count, moved);
    (void)atomic_add_relaxed_u64(&slab->moved_bytes, (uint64_t)moved * mover->page->cell_bytes);
    (void)atomic_add_relaxed_u64(&slab->declined_count, declined);
}

/* Whether there is a cell to move to; if not, whether the owner is asked all the same. */
static bool mover_may_ask(struct slab_mover *mover)
{
    if (!mover->is_dry) {
        mover->status = mover_supply(mover);
        mover->is_dry = mover->status != QUARRY_OK && mover->asks_without_cell;
    }
    if (mover->is_dry) {
        mover->status = QUARRY_OK;
    }
    return mover->status == QUARRY_OK;
}

/* A cell, if it is live. Returns: whether it was. */
static bool mover_visit(struct slab_mover *mover, uint32_t cell)
{
    if (slab_generation(mover->page, cell) % 2 == 0) {
        return false;
    }
    if (mover_may_ask(mover)) {
        mover_move(mover, cell);
    }
    return true;
}

/* Whether the page will not be emptied, so that moving the others would be for nothing. */
static bool mover_is_vain(const struct slab_mover *mover)
{
    return mover->is_brief && mover->declined_count != 0;
}

/* Goes on with the round for up to `budget` cells; one that is not live costs little. */
static void mover_round(struct slab_mover *mover, uint32_t budget)
{
    uint32_t moved = mover->moved_count, declined = mover->declined_count, skipped = 0;

    while (mover->cell < mover->page->cell_count && budget > 0 && mover->status == QUARRY_OK &&
           !mover_is_vain(mover)) {
        if (mover_visit(mover, mover->cell++) || ++skipped % SKIPPED_PER_CELL == 0) {
            budget--;
        }
    }
    mover_count(mover, mover->moved_count - moved, mover->declined_count - declined);
}

/* Somebody who may not mind that a page stays is not kept waiting for who holds a cell of it. */
static uint32_t mover_rounds(const struct slab_mover *mover)
{
    return mover->asks_without_cell ? MOVE_ROUNDS_FEW : MOVE_ROUNDS;
}

bool slab_mover_step(struct slab_mover *mover, uint32_t cell_count)
{
    mover->is_dry = false;
    if (mover->cell == mover->page->cell_count && mover->round + 1 < mover_rounds(mover)) {
        os_yield(); /* whoever holds the cells that were declined */
        mover->round++;
        mover->cell = mover->declined_count = 0;
    }
    mover_round(mover, cell_count);
    mover_return(mover); /* nobody knows when the next step comes */
    return mover->status == QUARRY_OK && !mover_is_vain(mover) &&
           (mover->cell < mover->page->cell_count ||
            (mover->declined_count != 0 && mover->round + 1 < mover_rounds(mover)));
}

/* Whoever compacts passes over the page: for one call, and twice as many each time. */
static void page_mark_vain_locked(const struct slab_class *class, struct slab_page *page)
    Q_REQUIRES(&class->mutex)
{
    /* Relaxed: a count of calls. */
    uint32_t now = atomic_load_relaxed_u32(&class->slab->compact_count);

    page->vain_until = (now + (UINT32_C(1) << page->vain_log2)) & SLAB_VAIN_UNTIL_MASK;
    page->vain_log2 = (uint32_t)size_min(page->vain_log2 + 1, VAIN_LOG2_MAX) & 15u;
}

/* The page leaves if it has no live cell; else it is restored. */
static bool page_try_leave(struct slab_class *class, struct slab_page *page)
{
    struct slab_gone gone = {.first = NULL};

    slab_lock(class->slab, &class->mutex);
    bool is_empty = slab_page_out_count(page) == 0;
    if (is_empty) {
        slab_page_leave_locked(class, page, &gone);
    } else {
        page_mark_vain_locked(class, page);
        slab_page_restore_locked(class, page, &gone);
    }
    slab_unlock(class->slab, &class->mutex);
    (void)slab_pages_free(class->slab, &gone);
    return is_empty;
}

/* Withdraws a page. Errors: NOT_FOUND: there is none of the number, or it is leaving already. */
static enum quarry_status page_withdraw(struct slab_class *class, uint32_t index,
                                        struct slab_page **ret_page)
{
    slab_lock(class->slab, &class->mutex);
    struct slab_page *page = slab_table_page(class, index);
    bool is_active = page != NULL && atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_ACTIVE;
    if (is_active) {
        slab_page_withdraw_locked(class, page);
        *ret_page = page;
    }
    slab_unlock(class->slab, &class->mutex);
    return is_active ? QUARRY_OK : QUARRY_NOT_FOUND;
}

bool slab_moving_claim(struct quarry_slab *slab)
{
    uint32_t expected = 0;

    /* Pairs with the release in slab_moving_release. */
    return atomic_cas_acquire_u32(&slab->is_moving, &expected, 1);
}

void slab_moving_release(struct quarry_slab *slab)
{
    atomic_store_release_u32(&slab->is_moving, 0);
}

/* Withdraws the page; the claim to move is the caller's. */
static enum quarry_status mover_withdraw(struct slab_mover *mover, uint32_t index)
{
    enum quarry_status status = page_withdraw(mover->class, index, &mover->page);

    if (status == QUARRY_OK) {
        threads_strip(mover->class, mover->page);
    }
    return status;
}

/* The claim to move stays. */
static enum quarry_status mover_finish(struct slab_mover *mover)
{
    bool is_empty = page_try_leave(mover->class, mover->page);

    if (is_empty && mover->class->slab->epoch != NULL) {
        slab_limbo_advance(mover->class->slab);
        (void)slab_limbo_settle(mover->class);
    }
    if (is_empty) {
        return QUARRY_OK;
    }
    return mover->status != QUARRY_OK ? mover->status : QUARRY_BUSY;
}

enum quarry_status slab_mover_begin(struct slab_mover *ret_mover, struct quarry_slab *slab,
                                    uint32_t class_id, uint32_t page,
                                    quarry_slab_move_function *move, void *argument, bool may_grow)
{
    *ret_mover = (struct slab_mover){.move = move, .argument = argument, .may_grow = may_grow};
    ret_mover->class = class_id < SLAB_CLASSES_MAX ? slab_class_of(slab, class_id) : NULL;
    if (ret_mover->class == NULL) {
        return QUARRY_NOT_FOUND;
    }
    if (!slab_moving_claim(slab)) {
        return QUARRY_BUSY;
    }
    enum quarry_status status = mover_withdraw(ret_mover, page);
    if (status != QUARRY_OK) {
        slab_moving_release(slab);
    }
    return status;
}

enum quarry_status slab_mover_end(struct slab_mover *mover)
{
    enum quarry_status status = mover_finish(mover);

    slab_moving_release(mover->class->slab);
    return status;
}

enum quarry_status slab_mover_empty(struct slab_mover *mover, uint32_t index)
{
    enum quarry_status status = mover_withdraw(mover, index);

    if (status != QUARRY_OK) {
        return status;
    }
    while (slab_mover_step(mover, UINT32_MAX)) {
    }
    return mover_finish(mover);
}

enum quarry_status quarry_slab_move_page(struct quarry_slab *slab, uint32_t class_id, uint32_t page,
                                         quarry_slab_move_function *move, void *argument)
{
    struct slab_mover mover;
    enum quarry_status status =
        slab_mover_begin(&mover, slab, class_id, page, move, argument, true);

    if (status != QUARRY_OK) {
        return status;
    }
    while (slab_mover_step(&mover, UINT32_MAX)) {
    }
    return slab_mover_end(&mover);
}

void slab_move_after_fork(struct quarry_slab *slab)
{
    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        struct slab_class *class = slab_class_of(slab, id);
        for (uint32_t index = 0; index < class->index_count; index++) {
            struct slab_page *page = slab_table_page(class, index);
            if (page != NULL && atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_MOVING) {
                (void)page_try_leave(class, page);
            }
        }
    }
    slab_moving_release(slab);
}

/* ---- looks for who chooses pages ------------------------------------------------------------ */

size_t slab_peek_refs(struct quarry_slab *slab, uint32_t class_id, uint32_t page, uint32_t cell,
                      quarry_ref *refs, size_t ref_capacity)
{
    const struct slab_page *record = slab_page_of(slab, slab_ref_make(0, class_id, page, 0));
    size_t count = 0;

    for (; cell < record->cell_count && count < ref_capacity; cell++) {
        uint32_t generation = slab_generation(record, cell);
        if (generation % 2 != 0) {
            refs[count++] = slab_ref_make(generation, class_id, page, cell);
        }
    }
    return count;
}

uint64_t slab_class_free_count(struct quarry_slab *slab, uint32_t class_id)
{
    struct slab_class *class = slab_class_of(slab, class_id);

    slab_lock(slab, &class->mutex);
    uint64_t count = class->free_count;
    slab_unlock(slab, &class->mutex);
    return count;
}

size_t slab_least_free_above(struct quarry_slab *slab, size_t bytes)
{
    size_t least = 0;

    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        size_t cell_bytes = slab_class_of(slab, id)->cell_bytes;
        if (cell_bytes > bytes && (least == 0 || cell_bytes < least) &&
            slab_class_free_count(slab, id) != 0) {
            least = cell_bytes;
        }
    }
    return least;
}
