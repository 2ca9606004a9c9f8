/*
 * Taking and giving cells, the fast halves inline: for the stores. take.c has the essay.
 */
#ifndef QUARRY_SLAB_TAKE_H
#define QUARRY_SLAB_TAKE_H

#include <slab/limbo.h>
#include <slab/types.h>

enum quarry_status slab_take_slow(struct quarry_slab *slab, size_t bytes,
                                  struct quarry_cell *ret_cell);
void slab_give_slow(struct quarry_slab *slab, quarry_ref ref);
void slab_retire_slow(struct quarry_slab *slab, quarry_ref ref);

/*
 * Enters the thread's gate; os_gate_leave leaves it in any case. Returns: the thread's magazines by
 * class, or, if it is to stay out, slab_magazines_none.
 */
static inline struct slab_magazine **slab_thread_try_enter(struct slab_thread *thread)
{
    /* Pairs with the process barrier in slab_threads_stop. */
    atomic_store_relaxed_u32(&thread->gate.is_inside, 1);
    atomic_compiler_barrier();
    /* Acquire: pairs with the release in slab_thread_open. */
    return atomic_load_acquire_ptr(&thread->open);
}

/* The record of a ref's page if threads may keep its cells, else slab_page_none. In the gate. */
static inline struct slab_page *slab_page_active(const struct quarry_slab *slab, quarry_ref ref)
{
    uint64_t class_id = (ref >> SLAB_REF_CLASS_SHIFT) % SLAB_CLASSES_MAX;
    uint64_t index = (uint32_t)ref >> SLAB_REF_PAGE_SHIFT;
    /* Acquire: both pair with the releases in table.c. */
    const struct slab_table *table = atomic_load_acquire_ptr(&slab->tables.active[class_id]);

    if (Q_UNLIKELY(index >= table->capacity)) {
        return slab_page_none;
    }
    return atomic_load_acquire_ptr(&table->page[index]);
}

/*
 * As quarry_slab_take, of what the thread keeps. Returns: the cell's bytes; 0: nothing was taken,
 * and the slow half may find some.
 */
static inline uint32_t slab_take_kept(struct quarry_slab *slab, size_t bytes,
                                      struct quarry_cell *ret_cell)
{
    struct slab_thread *thread = *slab_thread_slot(slab);
    uint64_t class_id = atomic_load_relaxed_u16(&slab->class_of_step[slab_step(bytes)]);
    struct slab_magazine *magazine = slab_thread_try_enter(thread)[class_id];
    struct slab_entry *top = magazine->top;
    char *data = top->data;

    if (Q_UNLIKELY(data == NULL)) {
        os_gate_leave(&thread->gate);
        return 0;
    }
    quarry_ref ref = top->ref;
    uint32_t cell_bytes = magazine->cell_bytes;
    magazine->top = top - 1;
    __builtin_prefetch(top[-1].data, 1); /* for the next take: what it is about to write */
    os_gate_leave(&thread->gate);
    ret_cell->data = data;
    ret_cell->ref = ref;
    return cell_bytes;
}

/* As quarry_slab_take. Not by slab_take_kept, whose result costs registers that must be saved. */
static inline enum quarry_status slab_take(struct quarry_slab *slab, size_t bytes,
                                           struct quarry_cell *ret_cell)
{
    struct slab_thread *thread = *slab_thread_slot(slab);
    uint64_t class_id = atomic_load_relaxed_u16(&slab->class_of_step[slab_step(bytes)]);
    struct slab_magazine *magazine = slab_thread_try_enter(thread)[class_id];
    struct slab_entry *top = magazine->top;
    char *data = top->data;

    if (Q_UNLIKELY(data == NULL)) {
        os_gate_leave(&thread->gate);
        return slab_take_slow(slab, bytes, ret_cell);
    }
    quarry_ref ref = top->ref;
    magazine->top = top - 1;
    os_gate_leave(&thread->gate);
    ret_cell->data = data;
    ret_cell->ref = ref;
    return QUARRY_OK;
}

/* As quarry_slab_give. */
static inline void slab_give(struct quarry_slab *slab, quarry_ref ref)
{
    struct slab_thread *thread = *slab_thread_slot(slab);
    uint64_t class_id = (ref >> SLAB_REF_CLASS_SHIFT) % SLAB_CLASSES_MAX;
    struct slab_magazine *magazine = slab_thread_try_enter(thread)[class_id];
    struct slab_page *page = slab_page_active(slab, ref);
    uint64_t cell = (uint16_t)ref;
    struct slab_entry *top = magazine->top;
    quarry_ref next_ref;

    /* In this order, and one by one: gcc then needs no register that it must save. */
    if (Q_LIKELY(slab_generation(page, cell) == slab_ref_generation(ref)) &&
        Q_LIKELY(top != magazine->limit) &&
        Q_LIKELY(!__builtin_add_overflow(ref, 2 * SLAB_REF_GENERATION_ONE, &next_ref))) {
        top[1].ref = next_ref;
        top[1].data = page->base + cell * page->cell_bytes;
        slab_generation_set(page, cell, slab_ref_generation(next_ref));
        magazine->top = top + 1;
        os_gate_leave(&thread->gate);
        return;
    }
    os_gate_leave(&thread->gate);
    slab_give_slow(slab, ref);
}

/* Whether cells of the page may be kept by threads. In the gate. */
static inline bool slab_page_is_active(const struct slab_page *page)
{
    return atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_ACTIVE;
}

/* Whether a cell can be retired without more ado: once in half a ring it is not. */
static inline bool slab_limbo_takes(const struct slab_limbo *limbo, size_t cell_bytes)
{
    return (limbo->count + 1) % SLAB_LIMBO_HALF != 0 && !slab_limbo_is_full(limbo, cell_bytes);
}

/* The ring has this cell as its newest; its ref is stale. Inside the gate. */
static inline void slab_retire_cached(struct slab_thread *thread, struct slab_page *page,
                                      quarry_ref ref)
{
    slab_generation_set(page, QUARRY_REF_CELL(ref), slab_ref_generation(ref) + 1);
    slab_limbo_push(&thread->limbo, ref, ref_epoch_now(thread->slab->epoch), page->cell_bytes);
}

/*
 * As quarry_slab_retire, by who knows the record of the cell's page: the slab has an epoch, and the
 * cell that the low half of the ref names is in use.
 */
static inline void slab_retire_cell(struct quarry_slab *slab, struct slab_page *page,
                                    uint64_t ref48)
{
    struct slab_thread *thread = *slab_thread_slot(slab);
    uint32_t generation = slab_generation(page, QUARRY_REF_CELL(ref48));
    quarry_ref ref = ref48 | (uint64_t)generation << SLAB_REF_GENERATION_SHIFT;

    Q_DCHECK(slab_page_of(slab, ref48) == page && generation % 2 == 1);
    if (Q_LIKELY(slab_thread_try_enter(thread) != slab_magazines_none &&
                 slab_page_is_active(page) && slab_limbo_takes(&thread->limbo, page->cell_bytes))) {
        slab_retire_cached(thread, page, ref);
        os_gate_leave(&thread->gate);
        return;
    }
    os_gate_leave(&thread->gate);
    slab_retire_slow(slab, ref);
}

#endif
