/*
 * Pages: what state each of their cells is in.
 *
 *   record   | head | generations, 2 bytes a cell | free bits | limbo bits | tokens, if tracked |
 *   run      | cell 0 | cell 1 | …                                              | tail |
 *
 * A cell is in one place:
 *
 *     free ──> with a thread ──> live ──> with a thread …        generation
 *      ^              |            |                              free, limbo, worn: even
 *      |<─────────────┘            |                              with a thread, live: odd
 *      |<──────────────────────────┤ given
 *      └───────────── limbo <──────┘ retired: in a thread's ring, or in the page's limbo bits
 *
 * A cell with a thread has the generation already under which it will be handed out; nobody has
 * that ref yet, so nobody can tell it from a live one but by looking through the thread's magazine.
 * In return taking a cell writes nothing to the record.
 *
 * A record knows where its free cells are, and those in limbo: retired ones that no thread keeps.
 * All of a page's limbo has one stamp, the latest: retiring another cell there makes the others
 * wait with it. That bounds what is kept to a bit a cell; cells reach it only when a thread's ring
 * has overflowed, its thread has ended, or the page is being moved.
 *
 * Pages with free cells are in lists by eighths of fullness. Cells are taken from the fullest that
 * has any, so that the emptiest become empty, and among the first eight of a list from the one of
 * the lowest address. One empty page is kept by a class, any other goes.
 *
 * Invariants (slab_validate checks them)
 *   1. free_count and limbo_count are the bits; free and limbo cells' generations are even, and all
 *      other even ones are worn or in a thread's ring.
 *   2. An active page is in the list of its fullness, and in no other; any other page is in none.
 *   3. A page with cells in limbo is in the class' list of these.
 *   4. The class' counts are the sums over its pages; free_count over active ones.
 *
 * Locking: the class' mutex. Held for at most a bitmap's words (1,024) or 64 cells; running figures
 * are in tests/unit/slab/test_lock_times.c.
 */
#include <slab/page.h>

#include <string.h>

#include <slab/meta.h>
#include <slab/table.h>

/* How many pages of a list are compared by address. */
#define LOOK_AT 8u
/* Pages that cells are taken from under one lock: those that are nearly full have few each. */
#define TAKE_PAGES 8u
/* Pages that are looked at for limbo that is past, and cells that are freed, at one time: a few
 * microseconds under the lock. */
#define SETTLE_PAGES 16u
#define SETTLE_CELLS 512u

union slab_page_space slab_page_space_none;

/* ---- lists ---------------------------------------------------------------------------------- */

static void list_push(struct slab_page **list, struct slab_page *page)
{
    page->previous = NULL;
    page->next = *list;
    if (page->next != NULL) {
        page->next->previous = page;
    }
    *list = page;
}

static void list_remove(struct slab_page **list, struct slab_page *page)
{
    if (page->previous != NULL) {
        page->previous->next = page->next;
    } else {
        Q_ASSERT(*list == page);
        *list = page->next;
    }
    if (page->next != NULL) {
        page->next->previous = page->previous;
    }
    page->next = page->previous = NULL;
}

static void limbo_push(struct slab_class *class, struct slab_page *page)
{
    page->limbo_previous = NULL;
    page->limbo_next = class->limbo;
    if (page->limbo_next != NULL) {
        page->limbo_next->limbo_previous = page;
    }
    class->limbo = page;
}

static void limbo_remove(struct slab_class *class, struct slab_page *page)
{
    if (page->limbo_previous != NULL) {
        page->limbo_previous->limbo_next = page->limbo_next;
    } else {
        Q_ASSERT(class->limbo == page);
        class->limbo = page->limbo_next;
    }
    if (page->limbo_next != NULL) {
        page->limbo_next->limbo_previous = page->limbo_previous;
    }
    page->limbo_next = page->limbo_previous = NULL;
}

uint32_t slab_page_fill(const struct slab_page *page)
{
    if (page->free_count == 0) {
        return SLAB_FILL_NONE;
    }
    if (page->free_count + page->worn_count == page->cell_count) {
        return SLAB_FILL_EMPTY;
    }
    return (uint32_t)((uint64_t)page->free_count * (SLAB_FILLS - 1) / page->cell_count);
}

static bool page_is_active(const struct slab_page *page)
{
    return atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_ACTIVE;
}

/* Takes a page out of its list, or puts it into the one that it belongs in now. */
static void page_unfile(struct slab_class *class, struct slab_page *page)
{
    if (page->fill != SLAB_FILL_NONE) {
        list_remove(&class->fill[page->fill], page);
        page->fill = SLAB_FILL_NONE;
    }
}

static void page_file(struct slab_class *class, struct slab_page *page)
{
    uint32_t fill = slab_page_fill(page);

    if (fill == page->fill) {
        return;
    }
    page_unfile(class, page);
    page->fill = fill;
    if (fill != SLAB_FILL_NONE) {
        list_push(&class->fill[fill], page);
    }
}

/* ---- pages that go -------------------------------------------------------------------------- */

static bool page_is_whole(const struct slab_page *page)
{
    return page->free_count + page->worn_count == page->cell_count;
}

/* Nobody finds the page any more, but readers that have its record already. */
static void page_remove_locked(struct slab_class *class, struct slab_page *page,
                               struct slab_gone *gone) Q_REQUIRES(&class->mutex)
{
    Q_ASSERT(page_is_whole(page) && page->limbo_count == 0);
    Q_ASSERT(slab_table_page(class, page->index) == page);
    page_unfile(class, page);
    if (page_is_active(page)) {
        class->free_count -= page->free_count;
    } else {
        class->idle_count -= page->free_count;
        class->leaving_count--;
    }
    class->page_count--;
    class->page_bytes -= (uint64_t)page->page_count << PAGE_SHIFT;
    class->cell_count -= page->cell_count;
    class->worn_count -= page->worn_count;
    class->page_given_count++;
    slab_table_publish_locked(class, page->index, NULL);
    page->next = gone->first;
    gone->first = page;
}

/* Of two empty pages the one of the higher address goes. */
static void page_spare_locked(struct slab_class *class, struct slab_gone *gone)
    Q_REQUIRES(&class->mutex)
{
    struct slab_page *first = class->fill[SLAB_FILL_EMPTY];

    if (first != NULL && first->next != NULL) {
        page_remove_locked(class, first->base > first->next->base ? first : first->next, gone);
    }
}

/* After cells of the page came back. */
static void page_refile_locked(struct slab_class *class, struct slab_page *page,
                               struct slab_gone *gone) Q_REQUIRES(&class->mutex)
{
    if (page_is_active(page) && page->worn_count != 0 && page_is_whole(page)) {
        page_remove_locked(class, page, gone); /* another in its place has all of its cells */
    } else if (page_is_active(page)) {
        page_file(class, page);
        page_spare_locked(class, gone);
    } else if (atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_LEAVING && page_is_whole(page)) {
        page_remove_locked(class, page, gone);
    }
}

void slab_spares_drop_locked(struct slab_class *class, struct slab_gone *gone)
{
    while (class->fill[SLAB_FILL_EMPTY] != NULL) {
        page_remove_locked(class, class->fill[SLAB_FILL_EMPTY], gone);
    }
}

/* The generation that the page's cells have reached. */
static uint32_t page_generation_max(const struct slab_page *page)
{
    uint32_t most = page->worn_count != 0 ? SLAB_GENERATION_LAST - 1 : 0;

    for (uint32_t cell = 0; cell < page->cell_count; cell++) {
        most = (uint32_t)size_max_u64(most, slab_generation(page, cell));
    }
    return most;
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
    page->next = slab->dead;
    slab->dead = page;
    slab_unlock(slab, &slab->meta.mutex);
}

/* Takes one dead record that is past; NULL: none is. */
static struct slab_page *record_exhume(struct quarry_slab *slab, bool is_ending)
{
    slab_lock(slab, &slab->meta.mutex);
    struct slab_page **link = &slab->dead;
    while (*link != NULL && !is_ending && !ref_epoch_is_past(slab->epoch, (*link)->limbo_stamp)) {
        link = &(*link)->next;
    }
    struct slab_page *page = *link;
    if (page != NULL) {
        *link = page->next;
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
        slab_lock(slab, &class->mutex);
        slab_index_give_locked(class, page->index, generation);
        slab_unlock(slab, &class->mutex);
        bytes += (uint64_t)page->page_count << PAGE_SHIFT;
        slab_run_give(slab, page->base, page->page_count, &slab->page_bytes);
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

/* Every cell free, its next life that after `generation`. `page` is zero. */
static void page_init(struct slab_page *page, const struct slab_class *class, char *base,
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

static void page_install_locked(struct slab_class *class, struct slab_page *page)
    Q_REQUIRES(&class->mutex)
{
    class->page_count++;
    class->page_taken_count++;
    class->page_bytes += (uint64_t)page->page_count << PAGE_SHIFT;
    class->cell_count += page->cell_count;
    class->free_count += page->free_count;
    page_file(class, page);
    slab_table_publish_locked(class, page->index, page);
}

/* A page is at most a sixteenth of what the class has, so that its free end is no more of it. */
static struct slab_shape shape_for_next(const struct slab_class *class, uint64_t page_bytes)
{
    uint64_t firsts = page_bytes / 16 / ((uint64_t)SLAB_PAGE_PAGES_FIRST << PAGE_SHIFT);

    return class->shape[firsts == 0 ? 0
                                    : size_min_u64(bits_log2_floor_u64(firsts), SLAB_SHAPES - 1)];
}

/* The memory of a page: its cells and its record. */
static enum quarry_status page_memory_take(struct quarry_slab *slab, struct slab_shape shape,
                                           void **ret_base, void **ret_record)
{
    enum quarry_status status = slab_run_take(slab, shape.page_count, &slab->page_bytes, ret_base);

    if (status != QUARRY_OK) {
        return status;
    }
    status =
        slab_meta_take(slab, slab_record_bytes(shape.cell_count, slab->leaks != NULL), ret_record);
    if (status != QUARRY_OK) {
        slab_run_give(slab, *ret_base, shape.page_count, &slab->page_bytes);
    }
    return status;
}

static enum quarry_status page_add_shape(struct slab_class *class, struct slab_shape shape)
{
    struct quarry_slab *slab = class->slab;
    void *base, *record;
    uint16_t index;
    uint32_t generation;
    enum quarry_status status = page_memory_take(slab, shape, &base, &record);

    if (status != QUARRY_OK) {
        return status;
    }
    status = slab_index_take(class, &index, &generation);
    if (status != QUARRY_OK) {
        slab_meta_give(slab, record, slab_record_bytes(shape.cell_count, slab->leaks != NULL));
        slab_run_give(slab, base, shape.page_count, &slab->page_bytes);
        return status;
    }
    struct slab_page *page = record;
    page_init(page, class, base, shape, generation);
    page->index = index;
    slab_lock(slab, &class->mutex);
    page_install_locked(class, page);
    slab_unlock(slab, &class->mutex);
    return QUARRY_OK;
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
    return status;
}

/* ---- taking --------------------------------------------------------------------------------- */

/* The page to take cells from: of the fullest, that of the lowest address; NULL: there is none. */
static struct slab_page *page_choose(const struct slab_class *class)
{
    for (uint32_t fill = 0; fill < SLAB_FILLS; fill++) {
        struct slab_page *best = class->fill[fill], *page = best;
        for (uint32_t i = 0; page != NULL && i < LOOK_AT; i++, page = page->next) {
            if (page->base < best->base) {
                best = page;
            }
        }
        if (best != NULL) {
            return best;
        }
    }
    return NULL;
}

/* Up to `want` of the page's free cells, the lowest first. */
static uint32_t page_take(struct slab_page *page, struct slab_entry *entries, uint32_t want)
{
    uint32_t count = 0, word = page->first_word;

    for (; count < want && word < page->word_count; word++) {
        while (page->free_bits[word] != 0 && count < want) {
            uint32_t cell = word * 64 + bits_trailing_zeros_u64(page->free_bits[word]);
            uint32_t generation = slab_generation(page, cell) + 1;
            page->free_bits[word] &= page->free_bits[word] - 1;
            slab_generation_set(page, cell, generation);
            entries[count++] = (struct slab_entry){
                slab_page_cell(page, cell),
                slab_ref_make(generation, page->class_id, page->index, cell),
            };
        }
        if (page->free_bits[word] != 0) {
            break;
        }
    }
    page->first_word = word;
    page->free_count -= count;
    return count;
}

uint32_t slab_cells_take_locked(struct slab_class *class, struct slab_entry *entries, uint32_t want)
{
    uint32_t count = 0;

    for (uint32_t i = 0; count < want && i < TAKE_PAGES; i++) {
        struct slab_page *page = page_choose(class);
        if (page == NULL) {
            break;
        }
        uint32_t taken = page_take(page, entries + count, want - count);
        Q_ASSERT(taken != 0);
        class->free_count -= taken;
        count += taken;
        page_file(class, page);
    }
    return count;
}

/* ---- giving --------------------------------------------------------------------------------- */

/* A cell whose generation is even now, and that no reader can be in, is free; */
static void page_put_locked(struct slab_class *class, struct slab_page *page, uint32_t cell)
    Q_REQUIRES(&class->mutex)
{
    uint32_t word = cell / 64;

    Q_DCHECK(slab_generation(page, cell) % 2 == 0);
    Q_ASSERT((page->free_bits[word] >> cell % 64 & 1) == 0);
    page->free_bits[word] |= UINT64_C(1) << cell % 64;
    page->free_count++;
    page->first_word = (uint32_t)size_min_u64(page->first_word, word);
    if (page_is_active(page)) {
        class->free_count++;
    } else {
        class->idle_count++;
    }
}

/* or, after a life, worn, if that was the last. */
static void page_put_used_locked(struct slab_class *class, struct slab_page *page, uint32_t cell)
    Q_REQUIRES(&class->mutex)
{
    if (slab_generation(page, cell) != 0) {
        page_put_locked(class, page, cell);
        return;
    }
    page->worn_count++;
    class->worn_count++;
}

void slab_cell_return_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
{
    struct slab_page *page = slab_page_held(class, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    Q_ASSERT(slab_generation(page, cell) == slab_ref_generation(ref));
    slab_generation_set(page, cell, slab_ref_generation(ref) - 1);
    page_put_locked(class, page, cell);
    page_refile_locked(class, page, gone);
}

void slab_cell_give_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
{
    struct slab_page *page = slab_page_held(class, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    Q_ASSERT_MSG(slab_generation(page, cell) == slab_ref_generation(ref), "the ref is stale");
    slab_generation_set(page, cell, slab_ref_generation(ref) + 1);
    page_put_used_locked(class, page, cell);
    page_refile_locked(class, page, gone);
}

/* ---- limbo ---------------------------------------------------------------------------------- */

static void page_limbo_add(struct slab_class *class, struct slab_page *page, uint32_t cell,
                           uint64_t stamp)
{
    uint64_t bit = UINT64_C(1) << cell % 64;

    Q_ASSERT((page->limbo_bits[cell / 64] & bit) == 0);
    page->limbo_bits[cell / 64] |= bit;
    page->limbo_stamp = size_max_u64(page->limbo_stamp, stamp);
    class->limbo_count++;
    if (page->limbo_count++ == 0) {
        limbo_push(class, page);
    }
}

void slab_cell_retire_locked(struct slab_class *class, quarry_ref ref)
{
    struct slab_page *page = slab_page_held(class, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    Q_ASSERT_MSG(slab_generation(page, cell) == slab_ref_generation(ref), "the ref is stale");
    slab_generation_set(page, cell, slab_ref_generation(ref) + 1);
    page_limbo_add(class, page, cell, ref_epoch_now(class->slab->epoch));
}

void slab_cell_limbo_locked(struct slab_class *class, quarry_ref ref, uint64_t stamp)
{
    struct slab_page *page = slab_page_held(class, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    Q_ASSERT(slab_generation(page, cell) == (uint16_t)(slab_ref_generation(ref) + 1));
    page_limbo_add(class, page, cell, stamp);
}

void slab_cell_unlimbo_locked(struct slab_class *class, quarry_ref ref, struct slab_gone *gone)
{
    struct slab_page *page = slab_page_held(class, ref);
    uint32_t cell = QUARRY_REF_CELL(ref);

    Q_ASSERT(slab_generation(page, cell) == (uint16_t)(slab_ref_generation(ref) + 1));
    page_put_used_locked(class, page, cell);
    page_refile_locked(class, page, gone);
}

/* All of the page's limbo is past: a part of it is free, of no more cells than are soon done. */
static uint32_t page_settle_locked(struct slab_class *class, struct slab_page *page,
                                   struct slab_gone *gone) Q_REQUIRES(&class->mutex)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < page->word_count && count < SETTLE_CELLS; word++) {
        uint64_t limbo = page->limbo_bits[word];
        count += bits_count_u64(limbo);
        page->limbo_bits[word] = 0;
        for (uint64_t bits = limbo; bits != 0; bits &= bits - 1) {
            page_put_used_locked(class, page, word * 64 + bits_trailing_zeros_u64(bits));
        }
    }
    class->limbo_count -= count;
    page->limbo_count -= count;
    if (page->limbo_count == 0) {
        limbo_remove(class, page);
    }
    page_refile_locked(class, page, gone);
    return count;
}

uint32_t slab_limbo_settle_locked(struct slab_class *class, struct slab_gone *gone)
{
    struct slab_page *page = class->limbo;
    uint32_t count = 0;

    for (uint32_t i = 0; page != NULL && i < SETTLE_PAGES && count < SETTLE_CELLS; i++) {
        /* One with limbo is not empty: it does not go while another page is settled. */
        struct slab_page *next = page->limbo_next;
        if (ref_epoch_is_past(class->slab->epoch, page->limbo_stamp)) {
            count += page_settle_locked(class, page, gone);
        }
        page = next;
    }
    return count;
}

/* ---- emptying ------------------------------------------------------------------------------- */

void slab_page_withdraw_locked(struct slab_class *class, struct slab_page *page)
{
    Q_ASSERT(page_is_active(page));
    page_unfile(class, page);
    class->free_count -= page->free_count;
    class->idle_count += page->free_count;
    atomic_store_relaxed_u32(&page->state, SLAB_PAGE_MOVING);
    slab_table_publish_locked(class, page->index, page);
}

void slab_page_restore_locked(struct slab_class *class, struct slab_page *page,
                              struct slab_gone *gone)
{
    Q_ASSERT(atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_MOVING);
    atomic_store_relaxed_u32(&page->state, SLAB_PAGE_ACTIVE);
    slab_table_publish_locked(class, page->index, page);
    class->free_count += page->free_count;
    class->idle_count -= page->free_count;
    page_refile_locked(class, page, gone);
}

void slab_page_leave_locked(struct slab_class *class, struct slab_page *page,
                            struct slab_gone *gone)
{
    Q_ASSERT(atomic_load_relaxed_u32(&page->state) == SLAB_PAGE_MOVING);
    Q_ASSERT(slab_page_out_count(page) == 0);
    atomic_store_relaxed_u32(&page->state, SLAB_PAGE_LEAVING);
    class->leaving_count++;
    page_refile_locked(class, page, gone);
}
