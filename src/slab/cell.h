/*
 * Cells as readers see them: from a ref to its data, in four loads and without a lock.
 *
 *     slab ─ table[class] ─> page[page] ─> record ─ base ─> cells
 *                                                 └ generation[cell]
 *
 * Tables and records are published with release and read with acquire. A table that has grown stays
 * readable until the slab ends. The record of a page that has been given back stays until all
 * readers that were inside the epoch then have left; its place in the table leads to a record
 * without cells meanwhile.
 */
#ifndef QUARRY_SLAB_CELL_H
#define QUARRY_SLAB_CELL_H

#include <quarry/slab.h>

#include <base/base.h>
#include <slab/size.h>

/* ---- refs ----------------------------------------------------------------------------------- */

#define SLAB_REF_PAGE_SHIFT       16
#define SLAB_REF_CLASS_SHIFT      32
#define SLAB_REF_GENERATION_SHIFT 48
#define SLAB_REF_GENERATION_ONE   (UINT64_C(1) << SLAB_REF_GENERATION_SHIFT)

/*
 * Generations: odd while the cell is in use, or with a thread that will hand it out under just this
 * one; even while it is free or retired. After the last life it is 0, and the cell is worn.
 */
#define SLAB_GENERATION_LAST 0xffffu

static inline uint32_t slab_ref_generation(quarry_ref ref)
{
    return (uint32_t)(ref >> SLAB_REF_GENERATION_SHIFT);
}

static inline quarry_ref slab_ref_make(uint32_t generation, uint32_t class_id, uint32_t page,
                                       uint32_t cell)
{
    Q_DCHECK((generation | class_id | page | cell) <= UINT16_MAX);
    return (uint64_t)generation << SLAB_REF_GENERATION_SHIFT |
           (uint64_t)class_id << SLAB_REF_CLASS_SHIFT | (uint64_t)page << SLAB_REF_PAGE_SHIFT |
           cell;
}

/* ---- what refs lead through ----------------------------------------------------------------- */

enum slab_page_state {
    SLAB_PAGE_ACTIVE = 0, /* cells are taken from it */
    SLAB_PAGE_MOVING,     /* not any more: somebody is moving its cells */
    SLAB_PAGE_LEAVING,    /* nor are there any: it goes when readers have left */
};

/* The counts of calls that pages keep have so many bits. */
#define SLAB_VAIN_UNTIL_MASK ((UINT32_C(1) << 28) - 1)

/* The record of a page; its cells are elsewhere. */
struct slab_page {
    /* const while published */
    char *base;
    uint32_t cell_bytes;
    uint32_t cell_count;
    _Atomic uint32_t state; /* an enum slab_page_state; written under the class' mutex */
    uint16_t class_id;
    uint16_t index;          /* in the table: the page of refs */
    uint32_t page_count;     /* of 8 KiB */
    uint32_t word_count;     /* of a bitmap */
    uint64_t *free_bits;     /* guarded by the class' mutex: neither in use nor with a thread */
    uint64_t *limbo_bits;    /* guarded by the class' mutex: retired, waiting for readers */
    _Atomic uint32_t *token; /* of each live cell in the leak ledger; NULL: none is kept */
    size_t record_bytes;

    /* guarded by the class' mutex */
    uint32_t free_count;
    uint32_t limbo_count;
    uint32_t worn_count;    /* cells that cannot be taken any more */
    uint32_t first_word;    /* no free bit below it */
    uint32_t fill;          /* which of the class' lists it is in; SLAB_FILL_NONE: none */
    uint32_t vain_log2 : 4; /* how often it could not be emptied, about */
    uint32_t vain_until : 28;
    uint64_t limbo_stamp; /* of what was retired last; of a dead record: of its death */
    struct slab_page *next, *previous;             /* in the list of its fill, or of dead records */
    struct slab_page *limbo_next, *limbo_previous; /* among pages with cells in limbo */

    _Atomic uint16_t generation[]; /* one a cell; by who holds the cell */
};

/* The pages of a class by number; absent ones are slab_page_none. */
struct slab_table {
    uint32_t capacity; /* const */
    uint32_t reserved;
    struct slab_table *older; /* const: readers may still be in it */
    _Atomic(void *) page[];   /* struct slab_page * */
};

/* A page without cells: the generation of each of 65,536 is 0, which no ref has. */
extern union slab_page_space {
    struct slab_page page;
    char bytes[sizeof(struct slab_page) + ((size_t)UINT16_MAX + 1) * sizeof(uint16_t)];
} slab_page_space_none;
#define slab_page_none (&slab_page_space_none.page)

/* What a struct quarry_slab begins with: struct slab_table *, never NULL, by class. */
struct slab_tables {
    _Atomic(void *) table[SLAB_CLASSES_MAX];  /* of all pages: for readers */
    _Atomic(void *) active[SLAB_CLASSES_MAX]; /* of those whose cells threads may keep */
};

/* ---- reading -------------------------------------------------------------------------------- */

/* The record of a ref's page; slab_page_none for one that is no page's. Any number will do. */
static inline struct slab_page *slab_page_of(const struct quarry_slab *slab, quarry_ref ref)
{
    const struct slab_tables *tables = (const struct slab_tables *)(const void *)slab;
    uint32_t class_id = QUARRY_REF_CLASS(ref), index = QUARRY_REF_PAGE(ref);

    if (Q_UNLIKELY(class_id >= SLAB_CLASSES_MAX)) {
        return slab_page_none;
    }
    /* Acquire: both pair with the releases in slab_table_publish. */
    const struct slab_table *table = atomic_load_acquire_ptr(&tables->table[class_id]);
    if (Q_UNLIKELY(index >= table->capacity)) {
        return slab_page_none;
    }
    return atomic_load_acquire_ptr(&table->page[index]);
}

static inline void *slab_page_cell(const struct slab_page *page, uint32_t cell)
{
    return page->base + (size_t)cell * page->cell_bytes;
}

/* As quarry_slab_data. */
static inline void *slab_data(const struct quarry_slab *slab, quarry_ref ref)
{
    const struct slab_page *page = slab_page_of(slab, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    /*
     * Acquire: pairs with the release in slab_generation_set, so that who reads a new life's
     * generation sees the end of the old one.
     */
    if (Q_UNLIKELY(cell >= page->cell_count ||
                   atomic_load_acquire_u16(&page->generation[cell]) != slab_ref_generation(ref))) {
        return NULL;
    }
    return slab_page_cell(page, cell);
}

/*
 * The cell that the low 48 bits name, which is in use, as the caller knows otherwise. Three loads.
 */
static inline void *slab_data_unchecked(const struct quarry_slab *slab, uint64_t ref48)
{
    const struct slab_tables *tables = (const struct slab_tables *)(const void *)slab;
    const struct slab_table *table =
        atomic_load_acquire_ptr(&tables->table[QUARRY_REF_CLASS(ref48)]);
    const struct slab_page *page = atomic_load_acquire_ptr(&table->page[QUARRY_REF_PAGE(ref48)]);

    Q_DCHECK(slab_page_of(slab, ref48) == page && page->base != NULL);
    return slab_page_cell(page, QUARRY_REF_CELL(ref48));
}

#endif
