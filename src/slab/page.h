/*
 * Pages of cells: their records, their cells' states, and the lists they are in.
 *
 * Everything named …_locked is done under the class' mutex. Pages that become empty there are put
 * into a `struct slab_gone` and given back afterwards, with no lock held.
 */
#ifndef QUARRY_SLAB_PAGE_H
#define QUARRY_SLAB_PAGE_H

#include <slab/types.h>

/* Pages that nobody can reach any more, linked by `next`. */
struct slab_gone {
    struct slab_page *first;
};

/*
 * A new page for the class, all of its cells free. No lock held, in no gate. Errors: those of
 * slab_run_take and slab_index_take.
 */
enum quarry_status slab_page_add(struct slab_class *class);

/* The class has a page more, of a number that has none. */
void slab_page_install_locked(struct slab_class *class, struct slab_page *page)
    Q_REQUIRES(&class->mutex);

/* Gives pages back: their cells at once, their records when readers have left. No lock held.
 * Returns: bytes of the pages. */
uint64_t slab_pages_free(struct quarry_slab *slab, struct slab_gone *gone);
/* Gives records back that no reader can be in any more; all of them, when nobody reads. */
void slab_records_free(struct quarry_slab *slab, bool is_ending);

/*
 * Takes up to `want` free cells of the class, from the fullest pages and among equals from a low
 * address, or those of limbo that are past; as magazines have them.
 * Returns: how many were written.
 */
uint32_t slab_cells_take_locked(struct slab_class *class, struct slab_entry *entries, uint32_t want)
    Q_REQUIRES(&class->mutex);

/* A cell that a thread had, with the generation it was to be handed out under, is free again. */
void slab_cell_return_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex);
/* A live cell is free; or, retired, in limbo. Its ref is not stale. */
void slab_cell_give_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex);
void slab_cell_retire_locked(struct slab_class *class, quarry_ref ref) Q_REQUIRES(&class->mutex);
/* One that was retired under `ref` goes from a thread's ring into limbo, or out of it. */
void slab_cell_limbo_locked(struct slab_class *class, quarry_ref ref, uint64_t stamp)
    Q_REQUIRES(&class->mutex);
void slab_cell_unlimbo_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex);

/*
 * Frees cells of limbo that are past, as many as are soon done. Returns: how many; 0: no more were
 * found at the front of the list.
 */
uint32_t slab_limbo_settle_locked(struct slab_class *class, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex);

/* No cell is taken from the page from here on; or again. */
void slab_page_withdraw_locked(struct slab_class *class, struct slab_page *page)
    Q_REQUIRES(&class->mutex);
void slab_page_restore_locked(struct slab_class *class, struct slab_page *page,
                              struct slab_gone *gone) Q_REQUIRES(&class->mutex);
/* A withdrawn page without live cells goes now, or when readers have left. */
void slab_page_leave_locked(struct slab_class *class, struct slab_page *page,
                            struct slab_gone *gone) Q_REQUIRES(&class->mutex);

/* All empty pages go, the one that is kept as a spare too. */
void slab_spares_drop_locked(struct slab_class *class, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex);

/* Cells of a page that are neither free nor in limbo nor worn: in use, or with threads. */
static inline uint32_t slab_page_out_count(const struct slab_page *page)
{
    return page->cell_count - page->free_count - page->limbo_count - page->worn_count;
}

/* The record of a ref that is in use, or with a thread, or retired: it cannot go away. */
static inline struct slab_page *slab_page_held(const struct slab_class *class, quarry_ref ref)
{
    struct slab_page *page = atomic_load_acquire_ptr(&class->table->page[QUARRY_REF_PAGE(ref)]);

    Q_DCHECK(page->class_id == class->id && QUARRY_REF_CELL(ref) < page->cell_count);
    return page;
}

/* As above, by the tables that readers use. */
static inline struct slab_page *slab_page_held_by_ref(const struct quarry_slab *slab,
                                                      quarry_ref ref)
{
    return slab_page_of(slab, ref);
}

/* A page in the words of the door. */
void slab_page_describe(const struct slab_page *page, struct quarry_slab_page *ret_page);
/* Tells the owner of a page that has gone. No lock held. */
void slab_page_tell_given(struct quarry_slab *slab, const struct slab_page *page);
/* Every cell free, its next life that after `generation`. `page` is zero. */
void slab_page_init(struct slab_page *page, const struct slab_class *class, char *base,
                    struct slab_shape shape, uint32_t generation);

/* Which list a page belongs in. */
uint32_t slab_page_fill(const struct slab_page *page);
/* Bytes of a record. */
size_t slab_record_bytes(uint32_t cell_count, bool has_tokens);

#endif
