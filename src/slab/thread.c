/*
 * Threads of a slab.
 *
 *   thread storage   | slab 0 | slab 1 | … slab 31 |        slab_thread_none where it has nothing
 *                        │
 *                        └─> slab_thread | gate | magazine by class | ring of retired cells |
 *                                                     │
 *                                                     └─> | top | limit | (none) | cell | cell | …
 *
 * A thread finds its struct by one load from its storage, enters its gate by a plain store, and has
 * the rest to itself. Who needs cells that it keeps (a page is being moved, memory is short, the
 * thread has ended) stops the gate (os/gate.h).
 *
 * Nothing has to be tested on the way but whether the magazine has a cell, or room for one:
 *   - a thread that has no struct finds slab_thread_none, which has no magazines;
 *   - a class without a magazine has slab_magazine_none, which is empty and full at once;
 *   - who stops a gate also sets `open`, by which the thread finds its magazines, to a table of
 *     such. To the handshake it is a second word of the stop flag, which the thread reads after it
 *     has said that it is inside, as it would the flag. Where gates are fenced it stays so, and
 *     every call goes the slow way, by os_gate_enter;
 *   - each slab has a slot of its own in all threads' storage, and clears it everywhere when it is
 *     destroyed, so that no serial number has to be compared.
 * These leave out a dozen instructions of 80 for taking and giving.
 *
 * Magazines begin small, so that a thread that uses many classes keeps little, and grow for a class
 * from which the thread takes again what it has just put back: at its second half-way refill a
 * thread that takes 100 cells and then gives 100 has all of them in its magazine. A pair of a take
 * and a give was 230 instructions then, with pages coming and going 9,300 at 4 KiB; it is 90, the
 * loop included, at all sizes. All of a thread's magazines grow by 1 MiB at most, and stay grown.
 * Considered and left: full magazines in a depot of each class (Bonwick, Adams). It would serve
 * threads of which one takes and another gives as well, but the cells in it look live: readers of
 * pages, moving and trimming would have to look through it, and it is memory that nobody owns.
 *
 * A slab that tracks its cells gives nobody a struct: each take and give is a slow path then. So it
 * is in a thread whose exit hook has run, where destructors that come later use a slab.
 *
 * Locking: the table of slabs, rank SLAB_MOVE, order 0; a slab's threads_mutex, the same rank,
 * order 1 + slot; then, inside a gate or with it stopped, a class' mutex.
 */
#include <slab/thread.h>

#include <string.h>

#include <slab/class.h>
#include <slab/fork.h>
#include <slab/limbo.h>
#include <slab/meta.h>

struct slab_magazine slab_magazine_none = {
    .top = slab_magazine_none.entry,
    .limit = slab_magazine_none.entry,
    .entry = {{.data = NULL}},
};

struct slab_magazine *slab_magazines_none[SLAB_CLASSES_MAX] = {
    [0 ... SLAB_CLASSES_MAX - 1] = &slab_magazine_none,
};

struct slab_thread slab_thread_none = {.open = slab_magazines_none};

_Thread_local struct slab_tls slab_tls = {
    .thread = {[0 ... SLAB_SLABS_MAX - 1] = &slab_thread_none},
};

/* The thread's exit hook has run: nobody would take a struct of it off again. */
static _Thread_local bool is_ending;

static struct {
    struct os_mutex mutex; /* rank SLAB_MOVE, order 0; init by the first slab */
    /* guarded by mutex */
    struct quarry_slab *slab[SLAB_SLABS_MAX];
    bool is_ready;                    /* the exit hook is registered */
    uint64_t watched[PAGE_HEAPS_MAX]; /* serial numbers of heaps whose end is watched, by slot */
} slabs = {.mutex = {.rank = OS_RANK_SLAB_MOVE}};

/* ---- magazines ------------------------------------------------------------------------------ */

static size_t magazine_bytes(uint32_t capacity)
{
    return sizeof(struct slab_magazine) + (capacity + 1) * sizeof(struct slab_entry);
}

struct slab_magazine *slab_magazine_find(struct slab_thread *thread, const struct slab_class *class)
{
    void *piece;

    if (thread == &slab_thread_none || thread->magazine[class->id] != &slab_magazine_none) {
        return thread == &slab_thread_none ? &slab_magazine_none : thread->magazine[class->id];
    }
    if (slab_meta_take(thread->slab, magazine_bytes(class->magazine_cells), &piece) != QUARRY_OK) {
        return &slab_magazine_none;
    }
    /* Taking memory may have asked a reclaimer, which came by here and left cells in its own. */
    if (thread->magazine[class->id] != &slab_magazine_none) {
        slab_meta_give(thread->slab, piece, magazine_bytes(class->magazine_cells));
        return thread->magazine[class->id];
    }
    struct slab_magazine *magazine = piece;
    magazine->class_id = class->id;
    magazine->cell_bytes = class->cell_bytes;
    magazine->top = magazine->entry;
    magazine->limit = magazine->entry + class->magazine_cells;
    (void)os_gate_enter(&thread->gate, &thread->slab->threads_mutex);
    thread->magazine[class->id] = magazine;
    os_gate_leave(&thread->gate);
    return magazine;
}

/* How many cells it may have next; as many as it has: it does not grow. */
static uint32_t magazine_next_capacity(const struct slab_thread *thread,
                                       const struct slab_magazine *magazine,
                                       const struct slab_class *class)
{
    uint32_t capacity = slab_magazine_capacity(magazine);
    uint64_t more_bytes = (uint64_t)capacity * class->cell_bytes;

    if (!magazine->has_put_back || capacity == 0 || 2 * capacity > SLAB_MAGAZINE_CELLS_GROWN ||
        2 * more_bytes > SLAB_MAGAZINE_BYTES_GROWN ||
        thread->grown_bytes + more_bytes > SLAB_GROWN_BYTES_MAX) {
        return capacity;
    }
    return 2 * capacity;
}

void slab_magazine_grow(struct slab_thread *thread, const struct slab_class *class)
{
    struct slab_magazine *old = thread->magazine[class->id];
    uint32_t old_capacity = slab_magazine_capacity(old);
    uint32_t capacity = magazine_next_capacity(thread, old, class);
    void *piece;

    if (capacity == old_capacity ||
        slab_meta_take(thread->slab, magazine_bytes(capacity), &piece) != QUARRY_OK) {
        return;
    }
    struct slab_magazine *magazine = piece;
    magazine->class_id = class->id;
    magazine->cell_bytes = class->cell_bytes;
    magazine->limit = magazine->entry + capacity;
    /* Taking memory may have asked a reclaimer, which came by here. */
    if (thread->magazine[class->id] != old) {
        slab_meta_give(thread->slab, piece, magazine_bytes(capacity));
        return;
    }
    (void)os_gate_enter(&thread->gate, &thread->slab->threads_mutex);
    uint32_t count = slab_magazine_count(old);
    memcpy(magazine->entry, old->entry, (count + 1) * sizeof(struct slab_entry));
    magazine->top = magazine->entry + count;
    thread->magazine[class->id] = magazine;
    thread->grown_bytes += (uint64_t)(capacity - old_capacity) * class->cell_bytes;
    os_gate_leave(&thread->gate);
    slab_meta_give(thread->slab, old, magazine_bytes(old_capacity));
}

/* Puts cells back under one lock. */
static void entries_return(struct slab_class *class, const struct slab_entry *entries,
                           uint32_t count, struct slab_gone *gone)
{
    slab_lock(class->slab, &class->mutex);
    for (uint32_t i = 0; i < count; i++) {
        slab_cell_return_locked(class, entries[i].ref, gone);
    }
    slab_unlock(class->slab, &class->mutex);
}

void slab_magazine_flush(struct slab_class *class, struct slab_magazine *magazine, uint32_t count,
                         struct slab_gone *gone)
{
    uint32_t kept = slab_magazine_count(magazine) - count;

    for (uint32_t done = 0; done < count; done += SLAB_BATCH_CELLS) {
        entries_return(class, &magazine->entry[1 + done],
                       (uint32_t)size_min_u64(count - done, SLAB_BATCH_CELLS), gone);
    }
    if (count != 0) {
        memmove(&magazine->entry[1], &magazine->entry[1 + count], kept * sizeof(struct slab_entry));
        magazine->top -= count;
    }
}

/* Puts back what a magazine has of one page. */
static void magazine_strip_page(struct slab_magazine *magazine, const struct slab_page *page,
                                struct slab_class *class, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex)
{
    struct slab_entry *to = magazine->entry;

    slab_lock_note_cells(class->slab, slab_magazine_count(magazine));
    for (struct slab_entry *entry = magazine->entry + 1; entry <= magazine->top; entry++) {
        if (QUARRY_REF_PAGE(entry->ref) == page->index) {
            slab_cell_return_locked(class, entry->ref, gone);
        } else {
            *++to = *entry;
        }
    }
    if (magazine != &slab_magazine_none) {
        magazine->top = to;
    }
}

/* ---- stopping ------------------------------------------------------------------------------- */

static void thread_stop(struct slab_thread *thread)
{
    os_gate_stop(&thread->gate);
    /* Seen by whoever enters after the barrier, as the gate's own flag. */
    atomic_store_relaxed_ptr(&thread->open, slab_magazines_none);
}

static void thread_resume(struct slab_thread *thread)
{
    os_gate_resume(&thread->gate);
    slab_thread_open(thread);
}

void slab_threads_stop(struct quarry_slab *slab)
{
    slab_lock(slab, &slab->threads_mutex);
    for (struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        thread_stop(thread);
    }
    if (slab->threads != NULL) {
        os_gates_barrier();
    }
    for (struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        os_gate_wait(&thread->gate);
    }
    slab_lock_forget(slab);
}

void slab_threads_resume(struct quarry_slab *slab)
{
    for (struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        thread_resume(thread);
    }
    slab_unlock(slab, &slab->threads_mutex);
}

/* The oldest thread that came after a serial number; NULL: there is none. */
static struct slab_thread *thread_after(const struct quarry_slab *slab, uint64_t serial)
    Q_REQUIRES(&slab->threads_mutex)
{
    struct slab_thread *found = NULL;

    /* The newest are in front. */
    for (struct slab_thread *thread = slab->threads; thread != NULL && thread->serial > serial;
         thread = thread->next) {
        found = thread;
    }
    return found;
}

/* Cells that one thread is kept stopped for; and how often it is, so that one that goes on taking
 * does not keep us: as often as a magazine has so many. */
#define STRIP_CELLS 64u
#define VISITS_MAX  (SLAB_MAGAZINE_CELLS_GROWN / STRIP_CELLS)
/* The same for all that it has: full magazines of as many classes as there can be. Each visit is a
 * process barrier: with visits for each class halving a limit under load took up to 3.2 s, 0.4 so.
 */
#define VISITS_MAX_GIVING_UP 512u

/* What is done to each thread, one after the other, each stopped by itself. */
struct visit {
    /* Returns: whether there is nothing more to do. */
    bool (*act)(struct slab_thread *thread, const struct visit *visit);
    struct slab_page *page;
    uint32_t class_id;
    uint32_t visits_max;
    struct slab_gone *gone;
};

static void threads_visit(struct quarry_slab *slab, const struct visit *visit)
{
    struct slab_thread *thread;
    uint64_t serial = 0;
    uint32_t visit_count = 0;

    do {
        slab_lock(slab, &slab->threads_mutex);
        thread = thread_after(slab, serial);
        if (thread != NULL) {
            thread_stop(thread);
            os_gates_barrier();
            os_gate_wait(&thread->gate);
            slab_lock_forget(slab);
            if (visit->act(thread, visit) || ++visit_count == visit->visits_max) {
                serial = thread->serial;
                visit_count = 0;
            }
            thread_resume(thread);
        }
        slab_unlock(slab, &slab->threads_mutex);
    } while (thread != NULL);
}

static bool act_strip_page(struct slab_thread *thread, const struct visit *visit)
{
    struct slab_class *class = slab_class_of(thread->slab, visit->page->class_id);

    slab_lock(thread->slab, &class->mutex);
    magazine_strip_page(thread->magazine[class->id], visit->page, class, visit->gone);
    slab_unlock(thread->slab, &class->mutex);
    slab_limbo_spill_page(thread, visit->page);
    return true;
}

void slab_threads_strip_page(struct quarry_slab *slab, struct slab_page *page,
                             struct slab_gone *gone)
{
    threads_visit(
        slab, &(struct visit){.act = act_strip_page, .page = page, .gone = gone, .visits_max = 1});
}

static void magazine_empty(struct slab_thread *thread, uint32_t class_id, struct slab_gone *gone)
{
    struct slab_magazine *magazine = thread->magazine[class_id];

    slab_magazine_flush(slab_class_of(thread->slab, class_id), magazine,
                        slab_magazine_count(magazine), gone);
}

static bool act_strip_class(struct slab_thread *thread, const struct visit *visit)
{
    struct slab_magazine *magazine = thread->magazine[visit->class_id];
    uint32_t count = slab_magazine_count(magazine);

    slab_magazine_flush(slab_class_of(thread->slab, visit->class_id), magazine,
                        (uint32_t)size_min_u64(count, STRIP_CELLS), visit->gone);
    return count <= STRIP_CELLS;
}

void slab_threads_strip_class(struct quarry_slab *slab, uint32_t class_id, struct slab_gone *gone)
{
    threads_visit(slab, &(struct visit){.act = act_strip_class,
                                        .class_id = class_id,
                                        .gone = gone,
                                        .visits_max = VISITS_MAX});
}

/* Retired cells first, then magazines in order of class, so many of either at a time. */
static bool act_give_up(struct slab_thread *thread, const struct visit *visit)
{
    uint32_t class_count = atomic_load_acquire_u32(&thread->slab->class_count);
    uint32_t left = STRIP_CELLS;

    slab_limbo_spill(thread, (uint32_t)size_min_u64(thread->limbo.count, STRIP_CELLS));
    for (uint32_t id = 1; id < class_count && left != 0; id++) {
        struct slab_magazine *magazine = thread->magazine[id];
        uint32_t count = (uint32_t)size_min_u64(slab_magazine_count(magazine), left);
        if (count != 0) {
            slab_magazine_flush(slab_class_of(thread->slab, id), magazine, count, visit->gone);
            left -= count;
        }
    }
    return left != 0 && thread->limbo.count == 0;
}

void slab_threads_give_up(struct quarry_slab *slab, struct slab_gone *gone)
{
    threads_visit(slab, &(struct visit){
                            .act = act_give_up, .gone = gone, .visits_max = VISITS_MAX_GIVING_UP});
}

void slab_thread_empty(struct slab_thread *thread, struct slab_gone *gone)
{
    uint32_t class_count = atomic_load_acquire_u32(&thread->slab->class_count);

    for (uint32_t id = 1; id < class_count; id++) {
        magazine_empty(thread, id, gone);
    }
    slab_limbo_spill(thread, thread->limbo.count);
}

/* ---- the life of a thread ------------------------------------------------------------------- */

static void thread_link(struct quarry_slab *slab, struct slab_thread *thread)
{
    slab_lock(slab, &slab->threads_mutex);
    thread->serial = ++slab->last_serial;
    thread->next = slab->threads;
    if (thread->next != NULL) {
        thread->next->previous = thread;
    }
    slab->threads = thread;
    slab_unlock(slab, &slab->threads_mutex);
}

static void thread_unlink(struct quarry_slab *slab, struct slab_thread *thread)
    Q_REQUIRES(&slab->threads_mutex)
{
    if (thread->previous != NULL) {
        thread->previous->next = thread->next;
    } else {
        slab->threads = thread->next;
    }
    if (thread->next != NULL) {
        thread->next->previous = thread->previous;
    }
}

void slab_thread_open(struct slab_thread *thread)
{
    bool is_open = atomic_load_relaxed_u32(&thread->gate.stop) == 0;

    /* Pairs with the acquire in slab_thread_try_enter. */
    atomic_store_release_ptr(&thread->open, is_open ? thread->magazine : slab_magazines_none);
}

static void thread_init(struct slab_thread *thread, struct quarry_slab *slab)
{
    os_gate_init(&thread->gate);
    slab_thread_open(thread);
    thread->slab = slab;
    thread->thread_id = os_thread_id();
    thread->remembered = slab_thread_slot(slab);
    for (uint32_t id = 0; id < SLAB_CLASSES_MAX; id++) {
        thread->magazine[id] = &slab_magazine_none;
    }
}

struct slab_thread *slab_thread_find(struct quarry_slab *slab)
{
    struct slab_thread **slot = slab_thread_slot(slab);
    void *piece;

    if (*slot != &slab_thread_none || slab->leaks != NULL || is_ending) {
        return *slot;
    }
    if (os_thread_exit_arm() != QUARRY_OK ||
        slab_meta_take(slab, sizeof(struct slab_thread), &piece) != QUARRY_OK) {
        return &slab_thread_none;
    }
    /* Taking memory may have asked a reclaimer, which came by here. */
    if (*slot != &slab_thread_none) {
        slab_meta_give(slab, piece, sizeof(struct slab_thread));
        return *slot;
    }
    struct slab_thread *thread = piece;
    thread_init(thread, slab);
    thread_link(slab, thread);
    *slot = thread;
    return thread;
}

static void thread_free(struct quarry_slab *slab, struct slab_thread *thread)
{
    for (uint32_t id = 1; id < SLAB_CLASSES_MAX; id++) {
        struct slab_magazine *magazine = thread->magazine[id];
        if (magazine != &slab_magazine_none) {
            slab_meta_give(slab, magazine, magazine_bytes(slab_magazine_capacity(magazine)));
        }
    }
    slab_meta_give(slab, thread, sizeof(*thread));
}

/* Takes a thread that has nothing any more off its slab. */
static void thread_end(struct quarry_slab *slab, struct slab_thread *thread)
{
    slab_lock(slab, &slab->threads_mutex);
    thread_unlink(slab, thread);
    slab_unlock(slab, &slab->threads_mutex);
    thread_free(slab, thread);
}

/* What a thread that is no more has kept goes back, and the thread. */
static void thread_bury(struct quarry_slab *slab, struct slab_thread *thread)
{
    struct slab_gone gone = {.first = NULL};

    slab_thread_empty(thread, &gone);
    thread_end(slab, thread);
    (void)slab_pages_free(slab, &gone);
}

/* ---- threads that end ----------------------------------------------------------------------- */

/*
 * Takes the ending thread's struct out of a slot; its slab cannot be destroyed before it is
 * unpinned. All under the lock: destroying the slab clears the slot as well.
 */
static struct slab_thread *slot_take(uint32_t slot)
{
    os_mutex_lock(&slabs.mutex);
    struct slab_thread *thread = slab_tls.thread[slot];
    if (thread != &slab_thread_none) {
        Q_ASSERT(slabs.slab[slot] == thread->slab);
        thread->slab->pin_count++;
        slab_tls.thread[slot] = &slab_thread_none;
    }
    os_mutex_unlock(&slabs.mutex);
    return thread;
}

static void slab_unpin(struct quarry_slab *slab)
{
    os_mutex_lock(&slabs.mutex);
    slab->pin_count--;
    os_mutex_unlock(&slabs.mutex);
}

/* Runs at the exit of each thread that has used a slab. */
static void slabs_thread_exit(void)
{
    is_ending = true;
    for (uint32_t slot = 0; slot < SLAB_SLABS_MAX; slot++) {
        struct slab_thread *thread = slot_take(slot);
        if (thread == &slab_thread_none) {
            continue;
        }
        struct quarry_slab *slab = thread->slab;
        struct slab_gone gone = {.first = NULL};
        /* As its last work inside: those who hold threads_mutex wait for it to leave. */
        (void)os_gate_enter(&thread->gate, &slab->threads_mutex);
        slab_thread_empty(thread, &gone);
        os_gate_leave(&thread->gate);
        thread_end(slab, thread);
        (void)slab_pages_free(slab, &gone);
        slab_unpin(slab);
    }
}

void slab_threads_fini(struct quarry_slab *slab)
{
    while (slab->threads != NULL) {
        thread_bury(slab, slab->threads);
    }
}

void slab_threads_bury_others(struct quarry_slab *slab)
{
    struct slab_thread *thread = slab->threads;

    while (thread != NULL) {
        struct slab_thread *next = thread->next;
        if (thread != *slab_thread_slot(slab)) {
            thread_bury(slab, thread);
        }
        thread = next;
    }
}

/* ---- the table of slabs --------------------------------------------------------------------- */

static enum quarry_status slabs_make_ready(void) Q_REQUIRES(&slabs.mutex)
{
    if (slabs.is_ready) {
        return QUARRY_OK;
    }
    enum quarry_status status = os_thread_exit_hook(slabs_thread_exit);
    slabs.is_ready = status == QUARRY_OK;
    return status;
}

/* What is left in the table would be visited by the next thread that ends, and by forks. */
static void refuse_end(void *heap)
{
    os_mutex_lock(&slabs.mutex);
    for (uint32_t slot = 0; slot < SLAB_SLABS_MAX; slot++) {
        Q_ASSERT_MSG(slabs.slab[slot] == NULL || slabs.slab[slot]->heap != heap,
                     "a memory is destroyed before a slab of it");
    }
    os_mutex_unlock(&slabs.mutex);
}

static enum quarry_status slabs_watch(struct page_heap *heap) Q_REQUIRES(&slabs.mutex)
{
    enum quarry_status status = QUARRY_OK;

    if (slabs.watched[heap->slot] != heap->serial) {
        status = page_heap_add_end(heap, refuse_end, heap);
        slabs.watched[heap->slot] = status == QUARRY_OK ? heap->serial : 0;
    }
    return status;
}

enum quarry_status slab_enter(struct quarry_slab *slab)
{
    enum quarry_status status = slab_fork_hooks();

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&slabs.mutex);
    status = slabs_make_ready();
    if (status == QUARRY_OK) {
        status = slabs_watch(slab->heap);
    }
    for (uint32_t slot = 0; status == QUARRY_OK; slot++) {
        if (slot == SLAB_SLABS_MAX) {
            status = QUARRY_TOO_MANY;
        } else if (slabs.slab[slot] == NULL) {
            slab->slot = slot;
            os_mutex_init(&slab->threads_mutex, OS_RANK_SLAB_MOVE, slot + 1);
            os_mutex_init(&slab->meta.mutex, OS_RANK_SLAB_PAGES, slot);
            slabs.slab[slot] = slab;
            slab->tls_offset = (char *)&slab_tls.thread[slot] - (char *)__builtin_thread_pointer();
            break;
        }
    }
    os_mutex_unlock(&slabs.mutex);
    return status;
}

/* Clears the slot in all threads' storage, under the lock that they pass when they end. */
static void slots_clear(struct quarry_slab *slab) Q_REQUIRES(&slabs.mutex)
{
    slab_lock(slab, &slab->threads_mutex);
    for (struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        *thread->remembered = &slab_thread_none;
    }
    slab_unlock(slab, &slab->threads_mutex);
}

void slab_leave(struct quarry_slab *slab)
{
    os_mutex_lock(&slabs.mutex);
    slots_clear(slab);
    while (slab->pin_count != 0) {
        os_mutex_unlock(&slabs.mutex);
        os_yield();
        os_mutex_lock(&slabs.mutex);
    }
    Q_ASSERT(slabs.slab[slab->slot] == slab);
    slabs.slab[slab->slot] = NULL;
    os_mutex_unlock(&slabs.mutex);
}

/* ---- around forks --------------------------------------------------------------------------- */

/* The lock outlives the function, which the analysis cannot follow. */
struct quarry_slab *const *slab_slabs_lock(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&slabs.mutex);
    return slabs.slab;
}

void slab_slabs_unlock(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&slabs.mutex);
}

void slab_slabs_after_fork(void)
{
    os_mutex_reset_after_fork(&slabs.mutex);
}
