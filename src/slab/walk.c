/*
 * Walking pages and their cells, and figures.
 *
 * A cell with a thread looks like a live one (page.c), so listing live cells stops the threads for
 * a moment and looks through their magazines; for up to 256 cells at a time, so that the moment is
 * short, a few microseconds.
 */
#include <slab/slab.h>

#include <slab/page.h>
#include <slab/table.h>
#include <slab/thread.h>

/* ---- pages ---------------------------------------------------------------------------------- */

/* Places of a table that are looked at under the lock at one time. */
#define WALK_PLACES 256u

void slab_page_describe(const struct slab_page *page, struct quarry_slab_page *ret_page)
{
    *ret_page = (struct quarry_slab_page){
        .class_id = page->class_id,
        .page = page->index,
        .base = page->base,
        .bytes = (uint64_t)page->page_count << PAGE_SHIFT,
        .cell_bytes = page->cell_bytes,
        .cell_count = page->cell_count,
        .free_count = page->free_count,
        .limbo_count = page->limbo_count,
        .is_moving = atomic_load_relaxed_u32(&page->state) != SLAB_PAGE_ACTIVE,
    };
}

/* The first page of some places; moves `*index` past it, or past them. */
static bool class_next_page(struct slab_class *class, uint32_t *index, bool *ret_is_end,
                            struct quarry_slab_page *ret_page)
{
    struct slab_page *page = NULL;

    slab_lock(class->slab, &class->mutex);
    uint32_t end = (uint32_t)size_min_u64((uint64_t)*index + WALK_PLACES, class->index_count);
    while (page == NULL && *index < end) {
        page = slab_table_page(class, (*index)++);
    }
    if (page != NULL) {
        slab_page_describe(page, ret_page);
    }
    *ret_is_end = *index >= class->index_count;
    slab_unlock(class->slab, &class->mutex);
    return page != NULL;
}

bool quarry_slab_next_page(struct quarry_slab *slab, uint64_t *cursor,
                           struct quarry_slab_page *ret_page)
{
    /* Class in the high half; page numbers reach 65,536 in the low one. */
    uint32_t class_id = (uint32_t)size_max_u64(*cursor >> 32, 1), index = (uint32_t)*cursor;

    while (class_id < atomic_load_acquire_u32(&slab->class_count)) {
        bool is_end;
        bool is_found = class_next_page(slab_class_of(slab, class_id), &index, &is_end, ret_page);
        if (is_end) {
            class_id++;
            index = 0;
        }
        if (is_found) {
            *cursor = (uint64_t)class_id << 32 | index;
            return true;
        }
    }
    return false;
}

/* ---- cells of a page ------------------------------------------------------------------------ */

#define LIVE_CELLS 256u
#define LIVE_WORDS (LIVE_CELLS / 64)

/* Some cells of a page, and which of them are live. */
struct live {
    uint32_t first, count;
    uint64_t bits[LIVE_WORDS];
};

static void live_find(const struct quarry_slab *slab, const struct slab_page *page,
                      struct live *live)
{
    slab_lock_note_cells(slab, live->count);
    for (uint32_t i = 0; i < live->count; i++) {
        if (slab_generation(page, live->first + i) % 2 != 0) {
            live->bits[i / 64] |= UINT64_C(1) << i % 64;
        }
    }
}

/* But those that a thread keeps. */
static void live_except(struct live *live, const struct slab_page *page,
                        const struct slab_magazine *magazine)
{
    for (const struct slab_entry *entry = magazine->entry + 1; entry <= magazine->top; entry++) {
        uint32_t i = QUARRY_REF_CELL(entry->ref) - live->first;
        if (QUARRY_REF_PAGE(entry->ref) == page->index && i < live->count) {
            live->bits[i / 64] &= ~(UINT64_C(1) << i % 64);
        }
    }
}

static size_t live_list(const struct live *live, const struct slab_page *page, quarry_ref *refs)
{
    size_t count = 0;

    for (uint32_t word = 0; word < LIVE_WORDS; word++) {
        for (uint64_t bits = live->bits[word]; bits != 0; bits &= bits - 1) {
            uint32_t cell = live->first + word * 64 + bits_trailing_zeros_u64(bits);
            refs[count++] =
                slab_ref_make(slab_generation(page, cell), page->class_id, page->index, cell);
        }
    }
    return count;
}

/* The live ones of `count` cells; false: there is no such page, or no such cells. */
static bool live_some(struct slab_class *class, uint32_t index, uint32_t first, uint32_t count,
                      quarry_ref *refs, size_t *ret_count)
{
    struct quarry_slab *slab = class->slab;

    slab_threads_stop(slab);
    slab_lock(slab, &class->mutex);
    const struct slab_page *page = slab_table_page(class, index);
    bool is_there = page != NULL && first < page->cell_count;
    if (is_there) {
        struct live live = {.first = first,
                            .count = (uint32_t)size_min_u64(count, page->cell_count - first)};
        live_find(slab, page, &live);
        for (const struct slab_thread *thread = slab->threads; thread != NULL;
             thread = thread->next) {
            slab_lock_note_cells(slab, slab_magazine_count(thread->magazine[class->id]));
            live_except(&live, page, thread->magazine[class->id]);
        }
        *ret_count = live_list(&live, page, refs);
    }
    slab_unlock(slab, &class->mutex);
    slab_threads_resume(slab);
    return is_there;
}

size_t quarry_slab_live_refs(struct quarry_slab *slab, uint32_t class_id, uint32_t page,
                             uint32_t *cursor, quarry_ref *refs, size_t ref_capacity)
{
    uint32_t count = (uint32_t)size_min(ref_capacity, LIVE_CELLS);
    struct slab_class *class = class_id < SLAB_CLASSES_MAX ? slab_class_of(slab, class_id) : NULL;
    size_t found = 0;

    while (class != NULL && found == 0 && count != 0 &&
           live_some(class, page, *cursor, count, refs, &found)) {
        *cursor += count;
    }
    return found;
}

/* ---- figures -------------------------------------------------------------------------------- */

/* Cells of a class that threads keep, and in their rings. */
struct kept {
    uint64_t cached_count, ring_count;
};

static struct kept class_kept(struct quarry_slab *slab, const struct slab_class *class)
    Q_REQUIRES(&slab->threads_mutex)
{
    struct kept kept = {0, 0};

    for (const struct slab_thread *thread = slab->threads; thread != NULL; thread = thread->next) {
        const struct slab_limbo *limbo = &thread->limbo;
        slab_lock_note_cells(slab, limbo->count);
        kept.cached_count += slab_magazine_count(thread->magazine[class->id]);
        for (uint32_t i = 0; i < limbo->count; i++) {
            quarry_ref ref = limbo->retired[(limbo->head + i) % SLAB_LIMBO_CELLS].ref;
            kept.ring_count += QUARRY_REF_CLASS(ref) == class->id ? 1 : 0;
        }
    }
    return kept;
}

static void stats_add_class(struct quarry_slab_stats *stats, const struct slab_class *class,
                            struct kept kept)
{
    uint64_t free_count = class->free_count + class->idle_count;
    uint64_t limbo_count = class->limbo_count + kept.ring_count;
    uint64_t live_count =
        class->cell_count - free_count - limbo_count - class->worn_count - kept.cached_count;

    stats->page_count += class->page_count;
    stats->class_count += class->page_taken_count != 0 ? 1 : 0;
    stats->live_count += live_count;
    stats->live_bytes += live_count * class->cell_bytes;
    stats->cached_bytes += kept.cached_count * class->cell_bytes;
    stats->limbo_count += limbo_count;
    stats->limbo_bytes += limbo_count * class->cell_bytes;
    stats->free_bytes += free_count * class->cell_bytes;
    stats->tail_bytes += class->page_bytes - class->cell_count * class->cell_bytes;
    stats->page_bytes += class->page_bytes;
    stats->worn_count += class->worn_count;
    stats->worn_bytes += class->worn_count * class->cell_bytes;
    stats->worn_page_count += class->worn_indices.count;
    stats->page_taken_count += class->page_taken_count;
    stats->page_given_count += class->page_given_count;
}

static void stats_of_class(struct quarry_slab *slab, struct slab_class *class,
                           struct quarry_slab_stats *stats)
{
    slab_threads_stop(slab);
    struct kept kept = class_kept(slab, class);
    slab_lock(slab, &class->mutex);
    stats_add_class(stats, class, kept);
    slab_unlock(slab, &class->mutex);
    slab_threads_resume(slab);
}

void slab_class_read_stats(struct quarry_slab *slab, uint32_t class_id,
                           struct quarry_slab_stats *ret_stats)
{
    *ret_stats = (struct quarry_slab_stats){.page_count = 0};
    Q_ASSERT(class_id < atomic_load_acquire_u32(&slab->class_count));
    stats_of_class(slab, slab_class_of(slab, class_id), ret_stats);
}

void quarry_slab_read_stats(struct quarry_slab *slab, struct quarry_slab_stats *ret_stats)
{
    *ret_stats = (struct quarry_slab_stats){
        .metadata_bytes = atomic_load_relaxed_u64(&slab->metadata_bytes),
        .moved_count = atomic_load_relaxed_u64(&slab->moved_count),
        .moved_bytes = atomic_load_relaxed_u64(&slab->moved_bytes),
        .declined_count = atomic_load_relaxed_u64(&slab->declined_count),
        .lock_cpu_ns_max = atomic_load_relaxed_u64(&slab->lock_cpu_ns_max),
        .lock_cells_max = atomic_load_relaxed_u64(&slab->lock_cells_max),
    };
    slab_lock(slab, &slab->meta.mutex);
    ret_stats->split_count = slab->split_count;
    slab_unlock(slab, &slab->meta.mutex);
    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        stats_of_class(slab, slab_class_of(slab, id), ret_stats);
    }
}
