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
 * Locking: the class' mutex. Held for at most SLAB_LOCK_CELLS_MAX cells (tests/unit/slab/
 * test_lock_work.c counts them), or the words of 16 bitmaps, of at most 1,024 each.
 */
#include <slab/page.h>

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

/* ---- a page that comes ---------------------------------------------------------------------- */

void slab_page_install_locked(struct slab_class *class, struct slab_page *page)
{
    class->page_count++;
    class->page_taken_count++;
    class->page_bytes += (uint64_t)page->page_count << PAGE_SHIFT;
    class->cell_count += page->cell_count;
    class->free_count += page->free_count;
    page_file(class, page);
    slab_table_publish_locked(class, page->index, page);
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
    slab_lock_note_cells(class->slab, count);
    return count;
}

/* ---- giving --------------------------------------------------------------------------------- */

/* A cell whose generation is even now, and that no reader can be in, is free; */
static void page_put_locked(struct slab_class *class, struct slab_page *page, uint32_t cell)
    Q_REQUIRES(&class->mutex)
{
    uint32_t word = cell / 64;

    slab_lock_note_cells(class->slab, 1);
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

    slab_lock_note_cells(class->slab, 1);
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

/* All of the page's limbo is past: of some `most` cells it is free now, to the end of a word. */
static uint32_t page_settle_locked(struct slab_class *class, struct slab_page *page, uint32_t most,
                                   struct slab_gone *gone) Q_REQUIRES(&class->mutex)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < page->word_count && count < most; word++) {
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
            count += page_settle_locked(class, page, SETTLE_CELLS - count, gone);
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
