/*
 * Taking, giving and retiring cells.
 *
 * Fast: the class by a bit scan and a table, the thread's struct by a load, into its gate, the
 * newest cell of the magazine for the class, out. Giving looks the page up as readers do, moves the
 * generation on, and puts the cell on top of the magazine. No lock, no atomic instruction, and
 * nothing is written that other threads write.
 *
 *     take   33 instructions          give   42 instructions       (gcc 12, callgrind)
 *
 * The slow halves: the magazine is empty or full (half of it goes to or comes from pages under the
 * class' lock), there is none yet, the page is being emptied, or the generation is the last.
 *
 * Order of refs. A thread that gives a cell writes its next generation before anybody can have the
 * ref with it; readers compare generations with acquire. So a reader that finds its ref's
 * generation in place reads what was written in that life, or what follows once the ref has been
 * given back, which the caller (quarry_slab_give) or the epoch (quarry_slab_retire) has excluded.
 *
 * Tried and left: marking cells live at take. It makes iterating exact without stopping threads,
 * and costs six instructions for each pair of take and give.
 */
#include <slab/take.h>

#include <slab/class.h>
#include <slab/limbo.h>
#include <slab/thread.h>

/* How often a take feeds its class before it gives up: others may take what it brought. */
#define TAKE_TRIES 64u

/* ---- taking --------------------------------------------------------------------------------- */

/* What the leak ledger keeps of a cell. */
static void cell_note(struct quarry_slab *slab, quarry_ref ref)
{
    if (Q_UNLIKELY(slab->leaks != NULL)) {
        struct slab_page *page = slab_page_held_by_ref(slab, ref);
        /* Relaxed: by who holds the cell; a mover only copies it. */
        atomic_store_relaxed_u32(&page->token[QUARRY_REF_CELL(ref)],
                                 ref_leak_note(slab->leaks, "cell", ref));
    }
}

static void cell_forget(struct quarry_slab *slab, quarry_ref ref)
{
    if (Q_UNLIKELY(slab->leaks != NULL)) {
        struct slab_page *page = slab_page_held_by_ref(slab, ref);
        _Atomic uint32_t *token = &page->token[QUARRY_REF_CELL(ref)];
        ref_leak_forget(slab->leaks, atomic_load_relaxed_u32(token));
        atomic_store_relaxed_u32(token, 0);
    }
}

/* From half of the magazine to all of it, at random: see class.c on what is counted. */
static uint32_t refill_count(struct slab_class *class, const struct slab_magazine *magazine)
    Q_REQUIRES(&class->mutex)
{
    uint32_t half = slab_magazine_capacity(magazine) / 2;

    class->random = class->random * 1664525u + 1013904223u;
    return (uint32_t)size_max_u64(1, half + (class->random >> 16) % (half + 1));
}

/* Puts the first of some cells on top: they are taken in order of their addresses. */
static void entries_reverse(struct slab_entry *entries, uint32_t count)
{
    for (uint32_t low = 0; low < count / 2; low++) {
        struct slab_entry entry = entries[low];
        entries[low] = entries[count - 1 - low];
        entries[count - 1 - low] = entry;
    }
}

/* Takes one of the thread's cells, fetching some if it has none. Inside the gate. */
static bool take_cached(struct slab_class *class, struct slab_magazine *magazine, size_t bytes,
                        struct quarry_cell *ret_cell)
{
    if (magazine->top == magazine->entry) {
        slab_lock(class->slab, &class->mutex);
        uint32_t count =
            slab_cells_take_locked(class, magazine->entry + 1, refill_count(class, magazine));
        slab_class_asked_locked(class, bytes, count);
        slab_unlock(class->slab, &class->mutex);
        entries_reverse(magazine->entry + 1, count);
        magazine->top += count;
        magazine->has_put_back = 0;
    }
    if (magazine->top == magazine->entry) {
        return false;
    }
    *ret_cell = (struct quarry_cell){magazine->top->data, magazine->top->ref};
    magazine->top--;
    return true;
}

/* Takes one cell without keeping any. */
static bool take_direct(struct slab_class *class, size_t bytes, struct quarry_cell *ret_cell)
{
    struct slab_entry entry;

    slab_lock(class->slab, &class->mutex);
    uint32_t count = slab_cells_take_locked(class, &entry, 1);
    slab_class_asked_locked(class, bytes, count);
    slab_unlock(class->slab, &class->mutex);
    if (count != 0) {
        *ret_cell = (struct quarry_cell){entry.data, entry.ref};
    }
    return count != 0;
}

static bool take_try(struct slab_class *class, size_t bytes, struct quarry_cell *ret_cell)
{
    struct slab_thread *thread = slab_thread_find(class->slab);
    struct slab_magazine *magazine = slab_magazine_find(thread, class);

    if (magazine->has_put_back) {
        slab_magazine_grow(thread, class);
        magazine = thread->magazine[class->id];
    }
    if (magazine == &slab_magazine_none || !slab_thread_enter(thread)) {
        return take_direct(class, bytes, ret_cell);
    }
    bool is_taken = take_cached(class, magazine, bytes, ret_cell);
    os_gate_leave(&thread->gate);
    return is_taken;
}

static bool class_has_free(struct slab_class *class)
{
    slab_lock(class->slab, &class->mutex);
    bool has_free = class->free_count != 0;
    slab_unlock(class->slab, &class->mutex);
    return has_free;
}

static bool class_has_limbo(struct slab_class *class)
{
    slab_lock(class->slab, &class->mutex);
    bool has_limbo = class->limbo_count != 0;
    slab_unlock(class->slab, &class->mutex);
    return has_limbo;
}

/* Other threads give up what they keep of the class. */
static bool class_strip(struct slab_class *class)
{
    struct slab_gone gone = {.first = NULL};

    slab_threads_strip_class(class->slab, class->id, &gone);
    (void)slab_pages_free(class->slab, &gone);
    return class_has_free(class);
}

/* Whether the thread has retired a cell of the class, and may have it again soon. Inside the gate.
 */
static bool limbo_has(const struct slab_limbo *limbo, const struct slab_class *class)
{
    for (uint32_t i = 0; i < limbo->count; i++) {
        const struct slab_retired *retired = &limbo->retired[(limbo->head + i) % SLAB_LIMBO_CELLS];
        if (QUARRY_REF_CLASS(retired->ref) == class->id) {
            return true;
        }
    }
    return false;
}

static bool has_retired(const struct slab_class *class)
{
    struct slab_thread *thread = slab_thread_find(class->slab);

    if (!slab_thread_enter(thread)) {
        return false;
    }
    bool has = limbo_has(&thread->limbo, class);
    os_gate_leave(&thread->gate);
    return has;
}

/*
 * The thread has cells again that it had retired itself, those that are past. Returns: whether it
 * has one of the class.
 */
static bool limbo_reap_own(const struct slab_class *class)
{
    struct slab_gone gone = {.first = NULL};
    struct slab_thread *thread = slab_thread_find(class->slab);

    if (!slab_thread_enter(thread)) {
        return false;
    }
    slab_limbo_reap(thread, SLAB_LIMBO_CELLS, &gone);
    const struct slab_magazine *magazine = thread->magazine[class->id];
    bool has = magazine != &slab_magazine_none && slab_magazine_count(magazine) != 0;
    os_gate_leave(&thread->gate);
    (void)slab_pages_free(class->slab, &gone);
    return has;
}

/* Retired cells that are past are free. Returns: whether one of the class is. */
static bool class_settle(struct slab_class *class)
{
    bool has_own = has_retired(class);

    if (!has_own && !class_has_limbo(class)) {
        return false;
    }
    slab_limbo_advance(class->slab);
    has_own = has_own && limbo_reap_own(class);
    (void)slab_limbo_settle(class);
    return has_own || class_has_free(class);
}

/*
 * Gets a class free cells: from limbo, by another page, or from other threads. Or splits it, or has
 * it served by another, and the request may be another class'.
 */
static enum quarry_status class_feed(struct slab_class *class)
{
    if (class_settle(class)) {
        return QUARRY_OK;
    }
    if (slab_class_recall(class) || slab_class_adapt(class) || slab_class_borrow(class)) {
        return QUARRY_OK;
    }
    enum quarry_status status = slab_page_add(class);
    return status == QUARRY_OK || class_strip(class) ? QUARRY_OK : status;
}

enum quarry_status slab_take_slow(struct quarry_slab *slab, size_t bytes,
                                  struct quarry_cell *ret_cell)
{
    struct slab_class *class;
    enum quarry_status status = QUARRY_OK;

    if (bytes == 0 || bytes > QUARRY_SLAB_CELL_BYTES_MAX) {
        return bytes == 0 ? QUARRY_BAD_INPUT : QUARRY_TOO_LARGE;
    }
    for (uint32_t i = 0; i < TAKE_TRIES && status == QUARRY_OK; i++) {
        status = slab_class_for(slab, bytes, &class);
        if (status == QUARRY_OK && take_try(class, bytes, ret_cell)) {
            cell_note(slab, ret_cell->ref);
            if (Q_UNLIKELY(slab_class_is_due(class))) {
                (void)slab_class_adapt(class);
            }
            return QUARRY_OK;
        }
        status = status == QUARRY_OK ? class_feed(class) : status;
    }
    return status == QUARRY_OK ? QUARRY_NO_MEMORY : status;
}

enum quarry_status quarry_slab_take(struct quarry_slab *slab, size_t bytes,
                                    struct quarry_cell *ret_cell)
{
    return slab_take(slab, bytes, ret_cell);
}

/* ---- giving --------------------------------------------------------------------------------- */

/* Puts a live cell into the thread's magazine. Inside the gate; false: it cannot stay there. */
static bool give_cached(struct slab_class *class, struct slab_magazine *magazine, quarry_ref ref,
                        struct slab_gone *gone)
{
    struct slab_page *page = slab_page_held_by_ref(class->slab, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    if (!slab_page_is_active(page) || slab_ref_generation(ref) == SLAB_GENERATION_LAST) {
        return false;
    }
    if (magazine->top == magazine->limit) {
        slab_magazine_flush(class, magazine, (slab_magazine_capacity(magazine) + 1) / 2, gone);
        magazine->has_put_back = 1;
    }
    slab_generation_set(page, cell, slab_ref_generation(ref) + 2);
    *++magazine->top =
        (struct slab_entry){slab_page_cell(page, cell), ref + 2 * SLAB_REF_GENERATION_ONE};
    return true;
}

static void give_direct(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
{
    slab_lock(class->slab, &class->mutex);
    slab_cell_give_locked(class, ref, gone);
    slab_unlock(class->slab, &class->mutex);
}

void slab_give_slow(struct quarry_slab *slab, quarry_ref ref)
{
    struct slab_gone gone = {.first = NULL};
    bool is_given = false;

    if (ref == QUARRY_REF_NIL) {
        return;
    }
    Q_ASSERT_MSG(slab_data(slab, ref) != NULL, "the ref is stale, or was never handed out");
    cell_forget(slab, ref);
    struct slab_class *class = slab_class_of(slab, QUARRY_REF_CLASS(ref));
    struct slab_thread *thread = slab_thread_find(slab);
    struct slab_magazine *magazine = slab_magazine_find(thread, class);
    if (magazine != &slab_magazine_none && slab_thread_enter(thread)) {
        is_given = give_cached(class, magazine, ref, &gone);
        os_gate_leave(&thread->gate);
    }
    if (!is_given) {
        give_direct(class, ref, &gone);
    }
    (void)slab_pages_free(slab, &gone);
}

void quarry_slab_give(struct quarry_slab *slab, quarry_ref ref)
{
    slab_give(slab, ref);
}

/* ---- retiring ------------------------------------------------------------------------------- */

static void retire_direct(struct slab_class *class, quarry_ref ref)
{
    slab_lock(class->slab, &class->mutex);
    slab_cell_retire_locked(class, ref);
    slab_unlock(class->slab, &class->mutex);
}

/* Makes room in the ring: by what is past, else by leaving half of it to the pages. Inside. */
static void limbo_make_room(struct slab_thread *thread, size_t cell_bytes, struct slab_gone *gone)
{
    slab_limbo_reap(thread, SLAB_LIMBO_CELLS, gone);
    while (slab_limbo_is_full(&thread->limbo, cell_bytes)) {
        slab_limbo_spill(thread, (thread->limbo.count + 1) / 2);
    }
}

/* Into the thread's ring, with room made there. False: the cell cannot be kept there. */
static bool retire_into_ring(struct slab_class *class, struct slab_page *page, quarry_ref ref,
                             struct slab_gone *gone)
{
    struct slab_thread *thread = slab_thread_find(class->slab);
    bool is_retired = false;

    ref_epoch_advance(class->slab->epoch); /* a thread without a ring has no slab either */
    if (slab_magazine_find(thread, class) != &slab_magazine_none && slab_thread_enter(thread)) {
        limbo_make_room(thread, page->cell_bytes, gone);
        is_retired = slab_page_is_active(page);
        if (is_retired) {
            slab_retire_cached(thread, page, ref);
        }
        os_gate_leave(&thread->gate);
    }
    return is_retired;
}

Q_NOINLINE void slab_retire_slow(struct quarry_slab *slab, quarry_ref ref)
{
    struct slab_gone gone = {.first = NULL};

    if (slab->epoch == NULL || ref == QUARRY_REF_NIL) {
        quarry_slab_give(slab, ref);
        return;
    }
    Q_ASSERT_MSG(slab_data(slab, ref) != NULL, "the ref is stale, or was never handed out");
    cell_forget(slab, ref);
    struct slab_class *class = slab_class_of(slab, QUARRY_REF_CLASS(ref));
    struct slab_page *page = slab_page_held_by_ref(slab, ref);
    /* Those of a page that is being emptied are many at a time, and go back to it in any case: the
     * epoch, a process barrier, is moved on once they have all gone. */
    if (!slab_page_is_active(page) || !retire_into_ring(class, page, ref, &gone)) {
        retire_direct(class, ref);
    }
    (void)slab_pages_free(slab, &gone);
}

void quarry_slab_retire(struct quarry_slab *slab, quarry_ref ref)
{
    struct slab_thread *thread = *slab_thread_slot(slab);

    if (Q_UNLIKELY(slab->epoch == NULL || ref == QUARRY_REF_NIL)) {
        slab_retire_slow(slab, ref);
        return;
    }
    /* A thread whose magazines cannot be found has no ring either. */
    if (Q_UNLIKELY(slab_thread_try_enter(thread) == slab_magazines_none)) {
        os_gate_leave(&thread->gate);
        slab_retire_slow(slab, ref);
        return;
    }
    struct slab_page *page = slab_page_active(slab, ref);
    /* Once in half a ring the slow part moves the epoch on, and reaps. */
    if (Q_LIKELY(slab_generation(page, QUARRY_REF_CELL(ref)) == slab_ref_generation(ref) &&
                 slab_limbo_takes(&thread->limbo, page->cell_bytes))) {
        slab_retire_cached(thread, page, ref);
        os_gate_leave(&thread->gate);
        return;
    }
    os_gate_leave(&thread->gate);
    slab_retire_slow(slab, ref);
}
