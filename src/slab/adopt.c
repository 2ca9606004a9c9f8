/*
 * Adopting: a slab made again of pages that outlived their process.
 *
 * A page is a run of cells; all else about it is made anew: record, tables, classes. What the owner
 * must have noted of each is its class, number, run and cell size (page_taken and page_given tell
 * him), and what he must find out is which of its cells are in use. Numbers of classes and pages
 * are those of before, so that the low 48 bits of refs, which is what a store keeps of them, lead
 * to the cells that they led to. Generations begin anew: a ref of 64 bits does not outlive its
 * process.
 *
 *     adopt_classes   class 1, 2, … in the order of their numbers
 *     adopt_page      record with live and free cells; the class and its table have it
 *     adopt_finish    numbers between those of the pages are free for others
 *
 * Class numbers come without gaps, and a class that has lost its last page has left no trace: its
 * number gets a size that no other class has, and that a request would sooner or later have had one
 * made for.
 *
 * The owner's notes may be damaged: all that they say is checked, and wrong ones are a status. A
 * length must be one of those that the class would have chosen. So notes of a Quarry that would
 * choose others are refused, and their owner has to tell formats apart by a number of his own.
 *
 * Locking: none but a class' mutex for its tables, so that pages can be adopted by several threads.
 */
#include <slab/slab.h>

#include <slab/class.h>
#include <slab/meta.h>
#include <slab/page.h>
#include <slab/table.h>

/* ---- classes -------------------------------------------------------------------------------- */

static bool is_cell_size(size_t bytes, uint32_t grain_bytes)
{
    /* A size of its own is aligned to the grain alone. */
    return bytes >= SLAB_CELL_BYTES_MIN && bytes <= QUARRY_SLAB_CELL_BYTES_MAX &&
           bytes % grain_bytes == 0;
}

/* Whether a class is to have the cells of this step's bound. */
static bool is_wanted(uint64_t step, const uint32_t *cell_bytes, uint32_t class_count)
{
    for (uint32_t id = 1; id < class_count; id++) {
        if (cell_bytes[id] == slab_step_bytes(step)) {
            return true;
        }
    }
    return false;
}

/* A size for a class that is to have any: the least that no other has or is to have; 0: none. */
static size_t filler_choose(const struct quarry_slab *slab, uint16_t bound,
                            const uint32_t *cell_bytes, uint32_t class_count)
{
    for (uint64_t step = slab_step(SLAB_CELL_BYTES_MIN); step < SLAB_STEPS; step++) {
        size_t bytes = slab_step_bytes(step);
        if (slab->bound[step] == bound && bytes % slab_alignment(bytes, slab->grain_bytes) == 0 &&
            !is_wanted(step, cell_bytes, class_count)) {
            return slab_step_bytes(step);
        }
    }
    return 0;
}

static size_t filler_size(struct quarry_slab *slab, const uint32_t *cell_bytes,
                          uint32_t class_count)
{
    slab_lock(slab, &slab->meta.mutex);
    size_t bytes = filler_choose(slab, SLAB_BOUND_UNMADE, cell_bytes, class_count);
    if (bytes == 0) {
        bytes = filler_choose(slab, SLAB_BOUND_NONE, cell_bytes, class_count);
    }
    slab_unlock(slab, &slab->meta.mutex);
    return bytes;
}

/* Makes the class of this number, which is the next. */
static enum quarry_status class_adopt(struct quarry_slab *slab, uint32_t id, size_t cell_bytes)
{
    if (!is_cell_size(cell_bytes, slab->grain_bytes)) {
        return QUARRY_BAD_INPUT;
    }
    enum quarry_status status = slab_class_make(slab, cell_bytes);
    if (status == QUARRY_OK && atomic_load_relaxed_u32(&slab->class_count) != id + 1) {
        return QUARRY_BAD_INPUT; /* there is one of the size */
    }
    return status;
}

enum quarry_status quarry_slab_adopt_classes(struct quarry_slab *slab, const uint32_t *cell_bytes,
                                             uint32_t class_count)
{
    enum quarry_status status = QUARRY_OK;

    if (atomic_load_relaxed_u32(&slab->class_count) != 1) {
        return QUARRY_BAD_INPUT;
    }
    if (class_count > SLAB_CLASSES_MAX) {
        return QUARRY_TOO_MANY;
    }
    for (uint32_t id = 1; id < class_count && status == QUARRY_OK; id++) {
        size_t bytes =
            cell_bytes[id] != 0 ? cell_bytes[id] : filler_size(slab, cell_bytes, class_count);
        status = class_adopt(slab, id, bytes);
    }
    return status;
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* How a page of so many bytes is cut; no cells: there is no such page. */
static struct slab_shape shape_find(size_t cell_bytes, uint64_t bytes)
{
    for (uint32_t i = 0; i < SLAB_SHAPES; i++) {
        struct slab_shape shape = slab_shape_choose(cell_bytes, SLAB_PAGE_PAGES_FIRST << i);
        if ((uint64_t)shape.page_count << PAGE_SHIFT == bytes) {
            return shape;
        }
    }
    return (struct slab_shape){0, 0};
}

uint32_t quarry_slab_page_cells(size_t cell_bytes, uint64_t bytes)
{
    return is_cell_size(cell_bytes, SLAB_GRAIN_BYTES) ? shape_find(cell_bytes, bytes).cell_count
                                                      : 0;
}

/* Cells in use are: odd generations, and no free bits. */
static void page_set_live(struct slab_page *page, const uint64_t *live_bits)
{
    for (uint32_t word = 0; word < page->word_count; word++) {
        uint64_t live = live_bits[word] & page->free_bits[word];
        page->free_bits[word] &= ~live;
        page->free_count -= bits_count_u64(live);
        for (uint64_t bits = live; bits != 0; bits &= bits - 1) {
            slab_generation_set(page, word * 64 + bits_trailing_zeros_u64(bits), 1);
        }
    }
}

static struct slab_class *class_of(const struct quarry_slab *slab, uint32_t class_id)
{
    return class_id < SLAB_CLASSES_MAX ? slab_class_of(slab, class_id) : NULL;
}

/* Makes a page of a run and a record, both checked. */
static enum quarry_status page_adopt(struct slab_class *class, const struct quarry_slab_page *from,
                                     struct slab_shape shape, struct slab_page *page,
                                     const uint64_t *live_bits)
{
    enum quarry_status status = slab_index_reach(class, (uint16_t)from->page);

    if (status != QUARRY_OK) {
        return status;
    }
    slab_page_init(page, class, (char *)(uintptr_t)from->base, shape, 0);
    page->index = (uint16_t)from->page;
    page_set_live(page, live_bits);
    slab_lock(class->slab, &class->mutex);
    bool is_number_free = slab_table_page(class, page->index) == NULL;
    if (is_number_free) {
        (void)atomic_add_relaxed_u64(&class->slab->page_bytes, from->bytes);
        slab_page_install_locked(class, page);
    }
    slab_unlock(class->slab, &class->mutex);
    return is_number_free ? QUARRY_OK : QUARRY_BAD_INPUT;
}

enum quarry_status quarry_slab_adopt_page(struct quarry_slab *slab,
                                          const struct quarry_slab_page *page,
                                          const uint64_t *live_bits)
{
    struct slab_class *class = class_of(slab, page->class_id);
    void *record;

    if (class == NULL || class->cell_bytes != page->cell_bytes || page->page >= SLAB_PAGES_MAX) {
        return QUARRY_BAD_INPUT;
    }
    struct slab_shape shape = shape_find(page->cell_bytes, page->bytes);
    if (shape.cell_count == 0) {
        return QUARRY_BAD_INPUT;
    }
    size_t record_bytes = slab_record_bytes(shape.cell_count, slab->leaks != NULL);
    enum quarry_status status = slab_meta_take(slab, record_bytes, &record);
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_adopt(class, page, shape, record, live_bits);
    if (status != QUARRY_OK) {
        slab_meta_give(slab, record, record_bytes);
    }
    return status;
}

void quarry_slab_adopt_finish(struct quarry_slab *slab)
{
    for (uint32_t id = 1; id < atomic_load_relaxed_u32(&slab->class_count); id++) {
        slab_indices_line_up(slab_class_of(slab, id));
    }
}
