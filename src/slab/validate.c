/*
 * Checking a slab: the invariants of page.c, table.c and thread.c, on a live slab.
 *
 * Threads are stopped throughout, and each class is locked while it is looked at: this is the one
 * place where a lock is held for long.
 */
#include <slab/slab.h>

#include <slab/page.h>
#include <slab/table.h>
#include <slab/thread.h>

struct check {
    struct quarry_slab *slab;
    struct quarry_error *error;
};

/* A class, as its pages have it. */
struct sums {
    uint64_t page_count, page_bytes, cell_count, free_count, idle_count, limbo_count, worn_count;
    uint64_t leaving_count;
    uint64_t filed_count, limbo_page_count; /* pages that should be in the lists */
};

/* Says what is wrong with a class (and page), and where. */
static enum quarry_status wrong(const struct check *check, const struct slab_class *class,
                                const char *what, uint64_t is, uint64_t should_be)
{
    return error_set(check->error, QUARRY_CORRUPT,
                     "slab '%s': class %u of %u bytes: %s: %llu, not %llu", check->slab->name,
                     class->id, class->cell_bytes, what, (unsigned long long)is,
                     (unsigned long long)should_be);
}

#define CHECK_EQUAL(check, class, what, is, should_be)                                             \
    do {                                                                                           \
        if ((uint64_t)(is) != (uint64_t)(should_be)) {                                             \
            return wrong(check, class, what, (uint64_t)(is), (uint64_t)(should_be));               \
        }                                                                                          \
    } while (0)

/* ---- one page ------------------------------------------------------------------------------- */

/* Cells of a page in rings of threads; the worn ones among them are not worn yet. */
static uint64_t ring_count(const struct quarry_slab *slab, const struct slab_page *page)
{
    uint64_t count = 0;

    for (const struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        const struct slab_limbo *limbo = &thread->limbo;
        for (uint32_t i = 0; i < limbo->count; i++) {
            quarry_ref ref = limbo->retired[(limbo->head + i) % SLAB_LIMBO_CELLS].ref;
            count += QUARRY_REF_CLASS(ref) == page->class_id && QUARRY_REF_PAGE(ref) == page->index;
        }
    }
    return count;
}

static enum quarry_status check_bits(const struct check *check, const struct slab_class *class,
                                     const struct slab_page *page)
{
    uint64_t free_count = 0, limbo_count = 0, even_count = 0;

    for (uint32_t cell = 0; cell < page->cell_count; cell++) {
        bool is_free = page->free_bits[cell / 64] >> cell % 64 & 1;
        bool is_limbo = page->limbo_bits[cell / 64] >> cell % 64 & 1;
        uint32_t generation = slab_generation(page, cell);
        free_count += is_free;
        limbo_count += is_limbo;
        even_count += generation % 2 == 0;
        CHECK_EQUAL(check, class, "a free cell that is in limbo", is_free && is_limbo, 0);
        CHECK_EQUAL(check, class, "a free or retired cell whose generation is odd",
                    (is_free || is_limbo) && generation % 2 != 0, 0);
        CHECK_EQUAL(check, class, "a free cell below the first word",
                    is_free && cell / 64 < page->first_word, 0);
    }
    CHECK_EQUAL(check, class, "free cells of a page", page->free_count, free_count);
    CHECK_EQUAL(check, class, "limbo cells of a page", page->limbo_count, limbo_count);
    CHECK_EQUAL(check, class, "cells of a page with even generations", even_count,
                free_count + limbo_count + page->worn_count + ring_count(check->slab, page));
    return QUARRY_OK;
}

static enum quarry_status check_page(const struct check *check, const struct slab_class *class,
                                     const struct slab_page *page, uint32_t index,
                                     struct sums *sums)
{
    uint32_t state = atomic_load_relaxed_u32(&page->state);
    bool is_active = state == SLAB_PAGE_ACTIVE;

    CHECK_EQUAL(check, class, "number of a page", page->index, index);
    CHECK_EQUAL(check, class, "class of a page", page->class_id, class->id);
    CHECK_EQUAL(check, class, "cell size of a page", page->cell_bytes, class->cell_bytes);
    CHECK_EQUAL(check, class, "cells that pass a page's end",
                (uint64_t)page->cell_count * page->cell_bytes > (uint64_t)page->page_count
                                                                    << PAGE_SHIFT,
                0);
    CHECK_EQUAL(check, class, "pages of a run", page_lane_run_pages(check->slab->lane, page->base),
                page->page_count);
    CHECK_EQUAL(check, class, "owner of a run", page_lane_run_owner(check->slab->lane, page->base),
                check->slab->owner);
    CHECK_EQUAL(check, class, "list of a page", page->fill,
                is_active ? slab_page_fill(page) : SLAB_FILL_NONE);
    sums->page_count++;
    sums->page_bytes += (uint64_t)page->page_count << PAGE_SHIFT;
    sums->cell_count += page->cell_count;
    sums->free_count += is_active ? page->free_count : 0;
    sums->idle_count += is_active ? 0 : page->free_count;
    sums->limbo_count += page->limbo_count;
    sums->worn_count += page->worn_count;
    sums->leaving_count += state == SLAB_PAGE_LEAVING;
    sums->filed_count += page->fill != SLAB_FILL_NONE;
    sums->limbo_page_count += page->limbo_count != 0;
    return check_bits(check, class, page);
}

/* ---- one class ------------------------------------------------------------------------------ */

static enum quarry_status check_lists(const struct check *check, const struct slab_class *class,
                                      const struct sums *sums)
{
    uint64_t filed_count = 0, limbo_page_count = 0;

    for (uint32_t fill = 0; fill < SLAB_FILLS; fill++) {
        const struct slab_page *previous = NULL;
        for (const struct slab_page *page = class->fill[fill]; page != NULL;
             previous = page, page = page->next) {
            CHECK_EQUAL(check, class, "list that a page is in", fill, page->fill);
            CHECK_EQUAL(check, class, "link back in a list", (uintptr_t)page->previous,
                        (uintptr_t)previous);
            CHECK_EQUAL(check, class, "pages in lists are more than there are",
                        ++filed_count > sums->filed_count, 0);
        }
    }
    for (const struct slab_page *page = class->limbo; page != NULL; page = page->limbo_next) {
        CHECK_EQUAL(check, class, "a page without limbo in the list", page->limbo_count == 0, 0);
        CHECK_EQUAL(check, class, "pages with limbo are more than there are",
                    ++limbo_page_count > sums->limbo_page_count, 0);
    }
    CHECK_EQUAL(check, class, "pages in lists", filed_count, sums->filed_count);
    CHECK_EQUAL(check, class, "pages with limbo", limbo_page_count, sums->limbo_page_count);
    return QUARRY_OK;
}

static enum quarry_status check_sums(const struct check *check, const struct slab_class *class,
                                     const struct sums *sums)
{
    CHECK_EQUAL(check, class, "pages", class->page_count, sums->page_count);
    CHECK_EQUAL(check, class, "bytes of pages", class->page_bytes, sums->page_bytes);
    CHECK_EQUAL(check, class, "cells", class->cell_count, sums->cell_count);
    CHECK_EQUAL(check, class, "free cells", class->free_count, sums->free_count);
    CHECK_EQUAL(check, class, "free cells of withdrawn pages", class->idle_count, sums->idle_count);
    CHECK_EQUAL(check, class, "cells in limbo", class->limbo_count, sums->limbo_count);
    CHECK_EQUAL(check, class, "worn cells", class->worn_count, sums->worn_count);
    CHECK_EQUAL(check, class, "leaving pages", class->leaving_count, sums->leaving_count);
    CHECK_EQUAL(check, class, "pages that came and did not go",
                class->page_taken_count - class->page_given_count, sums->page_count);
    return QUARRY_OK;
}

/* ---- threads -------------------------------------------------------------------------------- */

/* How often a cell is in magazines: cells are few enough to be compared with each other. */
static uint32_t times_cached(const struct quarry_slab *slab, const struct slab_class *class,
                             quarry_ref ref)
{
    uint32_t count = 0;

    for (const struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        const struct slab_magazine *magazine = thread->magazine[class->id];
        for (const struct slab_entry *entry = magazine->entry + 1; entry <= magazine->top;
             entry++) {
            count += (entry->ref & QUARRY_REF48_MASK) == (ref & QUARRY_REF48_MASK);
        }
    }
    return count;
}

static enum quarry_status check_entry(const struct check *check, const struct slab_class *class,
                                      const struct slab_entry *entry)
{
    const struct slab_page *page = slab_page_of(check->slab, entry->ref);

    CHECK_EQUAL(check, class, "class of a thread's cell", QUARRY_REF_CLASS(entry->ref), class->id);
    CHECK_EQUAL(check, class, "address of a thread's cell", (uintptr_t)entry->data,
                (uintptr_t)slab_data(check->slab, entry->ref));
    /* One that is being moved may not have been stripped yet. */
    CHECK_EQUAL(check, class, "a thread's cell of a page without any",
                atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_LEAVING, 0);
    CHECK_EQUAL(check, class, "times that a cell is with threads",
                times_cached(check->slab, class, entry->ref), 1);
    return QUARRY_OK;
}

static enum quarry_status check_magazine(const struct check *check, const struct slab_class *class,
                                         const struct slab_magazine *magazine)
{
    enum quarry_status status = QUARRY_OK;

    CHECK_EQUAL(check, class, "a magazine that is more than full", magazine->top > magazine->limit,
                0);
    CHECK_EQUAL(check, class, "no cell at a magazine's bottom", (uintptr_t)magazine->entry[0].data,
                0);
    for (const struct slab_entry *entry = magazine->entry + 1;
         status == QUARRY_OK && entry <= magazine->top; entry++) {
        status = check_entry(check, class, entry);
    }
    return status;
}

static enum quarry_status check_ring(const struct check *check, const struct slab_thread *thread)
{
    const struct slab_limbo *limbo = &thread->limbo;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < limbo->count; i++) {
        quarry_ref ref = limbo->retired[(limbo->head + i) % SLAB_LIMBO_CELLS].ref;
        const struct slab_class *class = slab_class_of(check->slab, QUARRY_REF_CLASS(ref));
        const struct slab_page *page = slab_page_of(check->slab, ref);
        CHECK_EQUAL(check, class, "generation of a retired cell",
                    slab_generation(page, QUARRY_REF_CELL(ref)),
                    (uint16_t)(slab_ref_generation(ref) + 1));
        bytes += class->cell_bytes;
    }
    if (bytes != limbo->bytes) {
        return error_set(check->error, QUARRY_CORRUPT, "slab '%s': %llu bytes in a ring, not %llu",
                         check->slab->name, (unsigned long long)limbo->bytes,
                         (unsigned long long)bytes);
    }
    return QUARRY_OK;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum quarry_status check_class_locked(const struct check *check,
                                             const struct slab_class *class, uint64_t *page_bytes)
{
    struct sums sums = {.page_count = 0};
    enum quarry_status status = QUARRY_OK;

    CHECK_EQUAL(check, class, "numbers in line",
                class->free_indices.count + class->worn_indices.count + class->page_count <=
                    class->index_count,
                1);
    for (uint32_t index = 0; status == QUARRY_OK && index < class->index_count; index++) {
        const struct slab_page *page = slab_table_page(class, index);
        if (page != NULL) {
            status = check_page(check, class, page, index, &sums);
        }
    }
    if (status == QUARRY_OK) {
        status = check_lists(check, class, &sums);
    }
    if (status == QUARRY_OK) {
        status = check_sums(check, class, &sums);
    }
    for (const struct slab_thread *thread = check->slab->threads;
         status == QUARRY_OK && thread != NULL; thread = thread->next) {
        status = check_magazine(check, class, thread->magazine[class->id]);
    }
    *page_bytes += sums.page_bytes;
    return status;
}

static enum quarry_status check_classes(const struct check *check)
{
    struct quarry_slab *slab = check->slab;
    enum quarry_status status = QUARRY_OK;
    uint64_t page_bytes = 0;

    for (uint32_t id = 1; status == QUARRY_OK && id < atomic_load_acquire_u32(&slab->class_count);
         id++) {
        struct slab_class *class = slab_class_of(slab, id);
        os_mutex_lock(&class->mutex);
        status = check_class_locked(check, class, &page_bytes);
        os_mutex_unlock(&class->mutex);
    }
    uint64_t charged_bytes = atomic_load_relaxed_u64(&slab->page_bytes);
    /* More is charged while a page comes or goes. */
    if (status == QUARRY_OK && charged_bytes < page_bytes) {
        return error_set(check->error, QUARRY_CORRUPT,
                         "slab '%s': %llu bytes of pages are charged, of %llu", slab->name,
                         (unsigned long long)charged_bytes, (unsigned long long)page_bytes);
    }
    return status;
}

enum quarry_status quarry_slab_validate(struct quarry_slab *slab, struct quarry_error *error)
{
    const struct check check = {.slab = slab, .error = error};

    slab_threads_stop(slab);
    enum quarry_status status = check_classes(&check);
    for (const struct slab_thread *thread = slab->threads; status == QUARRY_OK && thread != NULL;
         thread = thread->next) {
        status = check_ring(&check, thread);
    }
    slab_lock_forget(slab);
    slab_threads_resume(slab);
    return status;
}
