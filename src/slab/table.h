/*
 * A class' page numbers: the table from number to record, and which numbers are free.
 */
#ifndef QUARRY_SLAB_TABLE_H
#define QUARRY_SLAB_TABLE_H

#include <slab/types.h>

/* Page numbers are 16 bits of a ref. */
#define SLAB_PAGES_MAX 65536u
/* A table begins with so many places, and doubles. */
#define SLAB_TABLE_PLACES_FIRST 32u
/*
 * A number whose cells have reached this generation waits until no other is left: a page begins
 * where the one before ended, and should have a thousand lives of each cell before it.
 */
#define SLAB_INDEX_WORN 0xf800u

/* The table of a class without pages. */
extern struct slab_table slab_table_none;

/*
 * A number for a new page, and the generation (even) its cells begin with. The table grows when it
 * must. No lock held, in no gate.
 * Errors: TOO_MANY (all 65,536 have pages), and those of slab_meta_take.
 */
enum quarry_status slab_index_take(struct slab_class *class, uint16_t *ret_index,
                                   uint32_t *ret_generation);
/* The number is free again; its cells have reached `generation` (even). */
void slab_index_give_locked(struct slab_class *class, uint16_t index, uint32_t generation)
    Q_REQUIRES(&class->mutex);

/*
 * Has the table reach to a number, for a page that had it before. Numbers below that have no page
 * are not in line until slab_indices_line_up. No lock held, in no gate. Errors: those of
 * slab_meta_take.
 */
enum quarry_status slab_index_reach(struct slab_class *class, uint16_t index);
/* All numbers without a page are in line. None is worn. */
void slab_indices_line_up(struct slab_class *class);

/*
 * Has a number lead to a record, NULL: to none; and, if the page is active, threads that give or
 * retire its cells.
 */
void slab_table_publish_locked(struct slab_class *class, uint16_t index, struct slab_page *page)
    Q_REQUIRES(&class->mutex);

/* The record of a number, or NULL. */
static inline struct slab_page *slab_table_page(const struct slab_class *class, uint32_t index)
{
    const struct slab_table *table = class->table;

    if (index >= table->capacity) {
        return NULL;
    }
    struct slab_page *page = atomic_load_relaxed_ptr(&table->page[index]);
    return page == slab_page_none ? NULL : page;
}

/* Gives all tables back. Nobody uses the class any more. */
void slab_table_fini(struct slab_class *class);

#endif
