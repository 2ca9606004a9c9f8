/*
 * Pages coming and going: their memory.
 *
 * A page is a run for its cells and a record of its own elsewhere. It comes whole: all of it is
 * made before anybody can find it. It goes in two steps: when nothing of it is in use its cells'
 * run goes back at once, for who could read them has left; its record stays for those who are about
 * to find out from it that their refs are stale, until they have left the epoch too. In a slab
 * without an epoch there are no such (quarry_slab_data says what its users keep to), and it goes at
 * once.
 *
 * All of this is done with no lock held but for a moment to take or to return the page's number.
 */
#include <slab/page.h>

#include <slab/meta.h>
#include <slab/table.h>

/*
 * Pages of a class from which on small ones grow. A ref numbers 65,536; with each doubling of the
 * class there are 2,048 more at least, so that 32 doublings would do.
 */
#define SMALL_PAGES 4096u
/* Cells of a small page, about. */
#define SMALL_CELLS 8u
/* The part of one that its end may be; else the next larger shape is taken. */
#define SMALL_WASTE_PART 32u

/* ---- going ---------------------------------------------------------------------------------- */

/* The generation that the page's cells have reached. */
static uint32_t page_generation_max(const struct slab_page *page)
{
    uint32_t most = page->worn_count != 0 ? SLAB_GENERATION_LAST - 1 : 0;

    for (uint32_t cell = 0; cell < page->cell_count; cell++) {
        most = (uint32_t)size_max_u64(most, slab_generation(page, cell));
    }
    return most;
}

void slab_page_tell_given(struct quarry_slab *slab, const struct slab_page *page)
{
    if (slab->page_given != NULL) {
        struct quarry_slab_page told;
        slab_page_describe(page, &told);
        slab->page_given(slab->page_argument, &told);
    }
}

static void record_free(struct quarry_slab *slab, struct slab_page *page)
{
    slab_meta_give(slab, page, page->record_bytes);
}

/* Keeps a record until readers that may be in it have left. */
static void record_bury(struct quarry_slab *slab, struct slab_page *page)
{
    if (slab->epoch == NULL) {
        record_free(slab, page);
        return;
    }
    page->limbo_stamp = ref_epoch_now(slab->epoch);
    slab_lock(slab, &slab->meta.mutex);
    page->next = NULL;
    if (slab->dead == NULL) {
        slab->dead = page;
    } else {
        slab->dead_last->next = page;
    }
    slab->dead_last = page;
    slab_unlock(slab, &slab->meta.mutex);
}

/* Takes the record that has been dead longest if it is past; NULL: it is not, or there is none. */
static struct slab_page *record_exhume(struct quarry_slab *slab, bool is_ending)
{
    slab_lock(slab, &slab->meta.mutex);
    struct slab_page *page = slab->dead;
    if (page != NULL && !is_ending && !ref_epoch_is_past(slab->epoch, page->limbo_stamp)) {
        page = NULL;
    }
    if (page != NULL) {
        slab->dead = page->next;
    }
    slab_unlock(slab, &slab->meta.mutex);
    return page;
}

void slab_records_free(struct quarry_slab *slab, bool is_ending)
{
    struct slab_page *page;

    while ((page = record_exhume(slab, is_ending)) != NULL) {
        record_free(slab, page);
    }
}

/* Puts pages in order of their addresses, the highest first. Insertion: there are few. */
static void gone_sort(struct slab_gone *gone)
{
    struct slab_page *sorted = NULL;

    while (gone->first != NULL) {
        struct slab_page *page = gone->first, **link = &sorted;
        gone->first = page->next;
        while (*link != NULL && (*link)->base > page->base) {
            link = &(*link)->next;
        }
        page->next = *link;
        *link = page;
    }
    gone->first = sorted;
}

uint64_t slab_pages_free(struct quarry_slab *slab, struct slab_gone *gone)
{
    uint64_t bytes = 0;

    if (gone->first == NULL) {
        return 0;
    }
    gone_sort(gone);
    while (gone->first != NULL) {
        struct slab_page *page = gone->first;
        struct slab_class *class = slab_class_of(slab, page->class_id);
        uint32_t generation = page_generation_max(page);
        gone->first = page->next;
        slab_page_tell_given(slab, page);
        slab_lock(slab, &class->mutex);
        slab_index_give_locked(class, page->index, generation);
        slab_unlock(slab, &class->mutex);
        bytes += (uint64_t)page->page_count << PAGE_SHIFT;
        slab_run_give(slab, page->base, page->page_count);
        record_bury(slab, page);
    }
    slab_records_free(slab, false);
    return bytes;
}

/* ---- new pages ------------------------------------------------------------------------------ */

size_t slab_record_bytes(uint32_t cell_count, bool has_tokens)
{
    size_t words = size_ceil_div(cell_count, 64);
    size_t generations = size_align_up(cell_count * sizeof(uint16_t), sizeof(uint64_t));

    return sizeof(struct slab_page) + generations + 2 * words * sizeof(uint64_t) +
           (has_tokens ? cell_count * sizeof(uint32_t) : 0);
}

void slab_page_init(struct slab_page *page, const struct slab_class *class, char *base,
                    struct slab_shape shape, uint32_t generation)
{
    size_t generation_bytes = size_align_up(shape.cell_count * sizeof(uint16_t), sizeof(uint64_t));
    char *after = (char *)page + offsetof(struct slab_page, generation) + generation_bytes;

    page->base = base;
    page->cell_bytes = class->cell_bytes;
    page->cell_count = shape.cell_count;
    page->page_count = shape.page_count;
    page->word_count = (uint32_t)size_ceil_div(shape.cell_count, 64);
    page->class_id = (uint16_t) class->id;
    page->free_bits = (uint64_t *)(void *)after;
    page->limbo_bits = page->free_bits + page->word_count;
    page->record_bytes = slab_record_bytes(shape.cell_count, class->slab->leaks != NULL);
    if (class->slab->leaks != NULL) {
        page->token = (_Atomic uint32_t *)(void *)(page->limbo_bits + page->word_count);
    }
    page->free_count = shape.cell_count;
    page->fill = SLAB_FILL_NONE;
    for (uint32_t cell = 0; generation != 0 && cell < shape.cell_count; cell++) {
        slab_generation_set(page, cell, generation);
    }
    for (uint32_t word = 0; word < page->word_count; word++) {
        page->free_bits[word] =
            bits_mask_u64(0, (uint32_t)size_min(64, shape.cell_count - (size_t)word * 64));
    }
}

/* The largest shape of up to so many bytes; the first is of any. */
static uint32_t shape_index(const struct quarry_slab *slab, uint64_t bytes)
{
    uint64_t firsts = bytes / ((uint64_t)slab_first_pages(slab) << PAGE_SHIFT);

    return firsts == 0 ? 0 : (uint32_t)size_min_u64(bits_log2_floor_u64(firsts), SLAB_SHAPES - 1);
}

/* Whether a page has an end that is too short for a cell, and more than so much of it. */
static bool is_wasteful(const struct slab_class *class, struct slab_shape shape)
{
    uint64_t bytes = (uint64_t)shape.page_count << PAGE_SHIFT;

    return (bytes - (uint64_t)shape.cell_count * class->cell_bytes) * SMALL_WASTE_PART > bytes;
}

/* The least shape with few cells and a short end, unless there would be too many pages of it. */
static uint32_t small_index(const struct slab_class *class, uint64_t page_bytes)
{
    uint64_t cells_bytes = (uint64_t)SMALL_CELLS * class->cell_bytes;
    uint32_t index = shape_index(class->slab, size_max_u64(cells_bytes, page_bytes / SMALL_PAGES));

    while (index < SLAB_SHAPES - 1 && is_wasteful(class, class->shape[index])) {
        index++;
    }
    return index;
}

/* A page is at most a sixteenth of what the class has, so that its free end is no more of it. */
static struct slab_shape shape_for_next(const struct slab_class *class, uint64_t page_bytes)
{
    uint32_t index = shape_index(class->slab, page_bytes / 16);

    if (class->slab->has_small_pages) {
        index = (uint32_t)size_min(index, small_index(class, page_bytes));
    }
    return class->shape[index];
}

/* Asks the owner before there is one. */
static enum quarry_status page_ask(const struct quarry_slab *slab, struct slab_shape shape)
{
    return slab->page_wanted == NULL
               ? QUARRY_OK
               : slab->page_wanted(slab->page_argument, (uint64_t)shape.page_count << PAGE_SHIFT);
}

/* The memory of a page: its cells and its record. */
static enum quarry_status page_memory_take(struct quarry_slab *slab, struct slab_shape shape,
                                           struct page_run *ret_run, void **ret_record)
{
    enum quarry_status status = slab_run_take(slab, shape.page_count, ret_run);

    if (status != QUARRY_OK) {
        return status;
    }
    status =
        slab_meta_take(slab, slab_record_bytes(shape.cell_count, slab->leaks != NULL), ret_record);
    if (status != QUARRY_OK) {
        slab_run_give(slab, ret_run->base, shape.page_count);
    }
    return status;
}

/* Asks the owner whether there may be such a page. */
static enum quarry_status page_tell_taken(struct quarry_slab *slab, const struct slab_page *page,
                                          bool is_zero)
{
    struct quarry_slab_page told;

    if (slab->page_taken == NULL) {
        return QUARRY_OK;
    }
    slab_page_describe(page, &told);
    told.is_zero = is_zero;
    return slab->page_taken(slab->page_argument, &told);
}

/* Makes a page of its memory, and has it found. */
static enum quarry_status page_make(struct slab_class *class, struct slab_shape shape,
                                    struct page_run run, struct slab_page *page)
{
    struct quarry_slab *slab = class->slab;
    uint16_t index;
    uint32_t generation;
    enum quarry_status status = slab_index_take(class, &index, &generation);

    if (status != QUARRY_OK) {
        return status;
    }
    slab_page_init(page, class, run.base, shape, generation);
    page->index = index;
    status = page_tell_taken(slab, page, run.is_zero);
    slab_lock(slab, &class->mutex);
    if (status == QUARRY_OK) {
        slab_page_install_locked(class, page);
    } else {
        slab_index_give_locked(class, index, generation);
    }
    slab_unlock(slab, &class->mutex);
    return status;
}

static enum quarry_status page_add_shape(struct slab_class *class, struct slab_shape shape)
{
    struct quarry_slab *slab = class->slab;
    struct page_run run = {.base = NULL};
    void *record;
    enum quarry_status status = page_ask(slab, shape);

    if (status == QUARRY_OK) {
        status = page_memory_take(slab, shape, &run, &record);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_make(class, shape, run, record);
    if (status != QUARRY_OK) {
        slab_meta_give(slab, record, slab_record_bytes(shape.cell_count, slab->leaks != NULL));
        slab_run_give(slab, run.base, shape.page_count);
    }
    return status;
}

enum quarry_status slab_page_add(struct slab_class *class)
{
    struct quarry_slab *slab = class->slab;

    slab_lock(slab, &class->mutex);
    struct slab_shape shape = shape_for_next(class, class->page_bytes);
    slab_unlock(slab, &class->mutex);
    enum quarry_status status = page_add_shape(class, shape);
    /* Where a large page does not fit the budget, or the lane in one piece, a small one may. */
    if (status != QUARRY_OK && shape.page_count != class->shape[0].page_count) {
        status = page_add_shape(class, class->shape[0]);
    }
    if (status == QUARRY_OK) {
        atomic_store_relaxed_u32(&slab->grown_class, class->id);
    }
    return status;
}
