/*
 * Limbo.
 *
 *     retire ──> thread's ring ──(past)──> thread's magazine         no lock on the way
 *                     │
 *                     └─(full, thread ends, page is moved)──> page's limbo bits ──(past)──> free
 *
 * A retired cell's generation has moved on, so no reader finds it any more; those who found it
 * before are inside the epoch still. It is past when they have left. Rings are short, and hold no
 * more than 1 MiB: a thread that retires large cells does not keep tens of megabytes from the
 * others, who can use what is in a page's bits as soon as it is past. A reader that stays inside
 * for long makes pages' limbo grow, at a bit for each cell and no more.
 */
#include <slab/limbo.h>

#include <slab/page.h>
#include <slab/thread.h>

static struct slab_retired limbo_pop(struct slab_limbo *limbo, size_t cell_bytes)
{
    struct slab_retired retired = *slab_limbo_oldest(limbo);

    Q_DCHECK(limbo->count != 0 && limbo->bytes >= cell_bytes);
    limbo->head = limbo->head + 1 < SLAB_LIMBO_CELLS ? limbo->head + 1 : 0;
    limbo->count--;
    limbo->bytes -= cell_bytes;
    return retired;
}

/* Gives the thread a cell whose readers have left. */
static void limbo_reuse(struct slab_thread *thread, struct slab_class *class, quarry_ref ref,
                        struct slab_gone *gone)
{
    struct slab_magazine *magazine = thread->magazine[class->id];
    struct slab_page *page = slab_page_held_by_ref(class->slab, ref);
    uint32_t capacity = slab_magazine_capacity(magazine);

    if (capacity == 0 || slab_ref_generation(ref) == SLAB_GENERATION_LAST) {
        slab_lock(class->slab, &class->mutex);
        slab_cell_unlimbo_locked(class, ref, gone);
        slab_unlock(class->slab, &class->mutex);
        return;
    }
    if (magazine->top == magazine->limit) {
        slab_magazine_flush(class, magazine, (capacity + 1) / 2, gone);
    }
    slab_generation_set(page, QUARRY_REF_CELL(ref), slab_ref_generation(ref) + 2);
    *++magazine->top = (struct slab_entry){slab_page_cell(page, QUARRY_REF_CELL(ref)),
                                           ref + 2 * SLAB_REF_GENERATION_ONE};
}

void slab_limbo_reap(struct slab_thread *thread, uint32_t most, struct slab_gone *gone)
{
    struct slab_limbo *limbo = &thread->limbo;
    struct quarry_slab *slab = thread->slab;

    for (uint32_t i = 0; i < most && limbo->count != 0; i++) {
        const struct slab_retired *oldest = slab_limbo_oldest(limbo);
        struct slab_class *class = slab_class_of(slab, QUARRY_REF_CLASS(oldest->ref));
        if (!ref_epoch_is_past(slab->epoch, oldest->stamp)) {
            return;
        }
        limbo_reuse(thread, class, limbo_pop(limbo, class->cell_bytes).ref, gone);
    }
}

static struct slab_class *oldest_class(struct slab_thread *thread)
{
    return slab_class_of(thread->slab, QUARRY_REF_CLASS(slab_limbo_oldest(&thread->limbo)->ref));
}

/* The oldest, and those behind it of the same class, up to `most`: the lock is taken once. */
static uint32_t limbo_spill_some(struct slab_thread *thread, uint32_t most)
{
    struct slab_class *class = oldest_class(thread);
    uint32_t count = 0;

    slab_lock(thread->slab, &class->mutex);
    while (count < most && oldest_class(thread) == class) {
        struct slab_retired retired = limbo_pop(&thread->limbo, class->cell_bytes);
        slab_cell_limbo_locked(class, retired.ref, retired.stamp);
        count++;
    }
    slab_unlock(thread->slab, &class->mutex);
    return count;
}

void slab_limbo_spill(struct slab_thread *thread, uint32_t count)
{
    Q_DCHECK(count <= thread->limbo.count);
    while (count != 0) {
        count -= limbo_spill_some(thread, (uint32_t)size_min_u64(count, SLAB_BATCH_CELLS));
    }
}

/* Once round the ring: what is not of the page goes in again behind. */
static void limbo_spill_page_locked(struct slab_thread *thread, struct slab_class *class,
                                    const struct slab_page *page) Q_REQUIRES(&class->mutex)
{
    struct slab_limbo *limbo = &thread->limbo;

    slab_lock_note_cells(class->slab, limbo->count);
    for (uint32_t i = limbo->count; i > 0; i--) {
        const struct slab_class *its = oldest_class(thread);
        struct slab_retired retired = limbo_pop(limbo, its->cell_bytes);
        if (its == class && QUARRY_REF_PAGE(retired.ref) == page->index) {
            slab_cell_limbo_locked(class, retired.ref, retired.stamp);
        } else {
            slab_limbo_push(limbo, retired.ref, retired.stamp, its->cell_bytes);
        }
    }
}

void slab_limbo_spill_page(struct slab_thread *thread, const struct slab_page *page)
{
    struct slab_class *class = slab_class_of(thread->slab, page->class_id);

    slab_lock(thread->slab, &class->mutex);
    limbo_spill_page_locked(thread, class, page);
    slab_unlock(thread->slab, &class->mutex);
}

static bool settle_some(struct slab_class *class, uint64_t *bytes)
{
    struct slab_gone gone = {.first = NULL};

    slab_lock(class->slab, &class->mutex);
    uint32_t count = slab_limbo_settle_locked(class, &gone);
    slab_unlock(class->slab, &class->mutex);
    *bytes += slab_pages_free(class->slab, &gone);
    return count != 0;
}

void slab_limbo_advance(struct quarry_slab *slab)
{
    for (uint32_t i = 0; slab->epoch != NULL && i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(slab->epoch);
    }
}

uint64_t slab_limbo_settle(struct slab_class *class)
{
    uint64_t bytes = 0;

    while (settle_some(class, &bytes)) {
    }
    return bytes;
}
