/*
 * Reserved runs: addresses now, backing as it is needed.
 *
 *   head ─┐
 *         v
 *   run   | backed | backed | bare | bare | backed | bare | … |
 *           charged           in use and scavenged
 *
 * A run that fills slowly, such as an arena, wants its addresses in one piece from the beginning
 * and its memory as it goes. Reserving takes free pages as they are: those that are scavenged stay
 * so and are *bare*, in use and not charged; those that happen to be backed are charged already and
 * become their owner's. Backing charges bare pages, exactly as an allocation charges those it
 * takes; unbacking is what a scavenger does to free ones.
 *
 * Invariants
 *   1. A bare page is part of a reserved run. Validators count bare pages of such runs and compare.
 *   2. The ledger counts backed pages only: owner rows, totals, peaks and the heap map leave bare
 *      ones out.
 *   3. The head of a reserved run has the long form whatever its length, with a count in its second
 *      word that no long run has. So page_free takes it for too long to cache, and frees it here.
 *
 * Locks: the lane's mutex. Charging follows lane.c: never waits under the lock; when bytes do not
 * fit, the lock is dropped, page_heap_reserve keeps what it could make room for as a credit, and
 * the look is taken anew. Unbacking decommits without the lock, in pages that only its caller uses.
 *
 * Cost: reserving is a search and an update of bitmaps; backing a count over bits and one exchange.
 *
 * Rejected: address ranges of their own beside lanes (a second table of addresses, and memory that
 * would not be reused for anything else); a lane for each run (64 there are, and each pays for its
 * metadata). See docs/decisions/0012-reserved-runs.md.
 */
#include <page/heap.h>

/* ---- reserving ------------------------------------------------------------------------------ */

/* Returns: the first page of the run; PAGE_NONE: the lane must grow. */
static uint64_t lane_reserve_locked(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                    uint64_t align_pages) Q_REQUIRES(&lane->mutex)
{
    struct page_found found = page_tree_find_aligned(&lane->tree, page_count, align_pages);

    if (found.page != PAGE_NONE) {
        uint64_t bare_pages = page_tree_take_bare(&lane->tree, found, page_count);
        page_lane_note_peak(lane);
        lane->counters.tree_alloc_count++;
        page_lane_head_set_long(lane, found.page, owner, page_count);
        page_ledger_add(&lane->heap->ledger, owner, lane->id, (int64_t)(page_count - bare_pages));
    }
    return found.page;
}

/* As lane_take in lane.c: before it says that addresses have run out, caches are flushed. */
static enum quarry_status lane_reserve(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                       uint64_t align_pages, uint64_t *ret_page)
{
    bool are_caches_flushed = false;

    for (;;) {
        os_mutex_lock(&lane->mutex);
        *ret_page = lane_reserve_locked(lane, owner, page_count, align_pages);
        os_mutex_unlock(&lane->mutex);
        if (*ret_page != PAGE_NONE) {
            return QUARRY_OK;
        }
        enum quarry_status status = page_lane_grow(lane, page_count, align_pages);
        if (status == QUARRY_NO_ADDRESS && !are_caches_flushed) {
            page_caches_flush_all(lane->heap);
            are_caches_flushed = true;
            status = QUARRY_OK;
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
}

struct page_run page_lane_reserve_run(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                      uint64_t align_pages)
{
    uint64_t page = PAGE_NONE;

    Q_ASSERT(page_count >= 2 && page_count < PAGE_HEAD_PAGES_LONG && owner != PAGE_OWNER_NONE);
    Q_ASSERT(bits_is_power_of_two_u64(align_pages) && align_pages <= PAGE_ALIGN_PAGES_MAX);
    if (lane->is_file_backed) {
        return (struct page_run){.status = QUARRY_UNSUPPORTED};
    }
    /* The space of a small heap is aligned to less than a zone. */
    if (page_count > (uint64_t)lane->chunk_limit << PAGE_CHUNK_SHIFT ||
        ((uint64_t)lane->base & ((align_pages << PAGE_SHIFT) - 1)) != 0) {
        return (struct page_run){.status = QUARRY_NO_ADDRESS};
    }
    enum quarry_status status = lane_reserve(lane, owner, page_count, align_pages, &page);
    page_scavenger_poke(lane->heap);
    if (status != QUARRY_OK) {
        return (struct page_run){.status = status};
    }
    return (struct page_run){page_lane_address(lane, page), QUARRY_OK, false};
}

void page_lane_free_reserved(struct page_lane *lane, uint64_t page, uint32_t head)
{
    uint64_t page_count = page_lane_head_pages(lane, page, head);

    Q_ASSERT(page_lane_head_is_reserved(lane, page, head));
    os_mutex_lock(&lane->mutex);
    page_lane_head_clear(lane, page);
    uint64_t bare_pages = page_tree_free_bare(&lane->tree, page, page_count);
    page_ledger_add(&lane->heap->ledger, page_head_owner(head), lane->id,
                    -(int64_t)(page_count - bare_pages));
    lane->counters.tree_free_count++;
    os_mutex_unlock(&lane->mutex);
    page_scavenger_poke(lane->heap);
}

/* ---- backing -------------------------------------------------------------------------------- */

/* Pages of a reserved run, by their place in the lane. */
struct part {
    uint32_t owner;
    uint64_t page;
    uint64_t page_count;
};

static struct part part_of(const struct page_lane *lane, const void *base, uint64_t first,
                           uint64_t page_count)
{
    uint64_t page;
    uint32_t head = page_lane_head_of(lane, base, &page);
    uint64_t run_pages = page_lane_head_pages(lane, page, head);

    Q_ASSERT_MSG(page_lane_head_is_reserved(lane, page, head), "the run was not reserved");
    Q_ASSERT(page_count <= run_pages && first <= run_pages - page_count);
    return (struct part){page_head_owner(head), page + first, page_count};
}

/*
 * One attempt, with `*credit_bytes` charged beforehand; what is not needed of them is left. Returns
 * how many bytes more must be charged: 0 when it is done.
 */
static uint64_t lane_back_locked(struct page_lane *lane, struct part part, uint64_t *credit_bytes,
                                 uint64_t *ret_backed_pages) Q_REQUIRES(&lane->mutex)
{
    uint64_t bare_pages = page_tree_count_scavenged(&lane->tree, part.page, part.page_count);
    uint64_t bytes = bare_pages << PAGE_SHIFT;
    uint64_t short_bytes = sat_sub_u64(bytes, *credit_bytes);

    if (short_bytes > 0 && !page_commit_try(&lane->heap->commit, short_bytes)) {
        return short_bytes;
    }
    *credit_bytes -= bytes - short_bytes;
    page_tree_back(&lane->tree, part.page, part.page_count, bare_pages);
    page_lane_note_peak(lane);
    page_ledger_add(&lane->heap->ledger, part.owner, lane->id, (int64_t)bare_pages);
    *ret_backed_pages = bare_pages;
    return 0;
}

enum quarry_status page_lane_back(struct page_lane *lane, void *base, uint64_t first,
                                  uint64_t page_count, uint64_t *ret_backed_pages)
{
    struct page_heap *heap = lane->heap;
    struct part part = part_of(lane, base, first, page_count);
    uint64_t credit_bytes = 0, short_bytes;
    enum quarry_status status = QUARRY_OK;

    if (page_count == 0) {
        *ret_backed_pages = 0;
        return QUARRY_OK;
    }
    do {
        os_mutex_lock(&lane->mutex);
        short_bytes = lane_back_locked(lane, part, &credit_bytes, ret_backed_pages);
        os_mutex_unlock(&lane->mutex);
        if (short_bytes > 0) {
            status = page_heap_reserve(heap, short_bytes);
            credit_bytes += status == QUARRY_OK ? short_bytes : 0;
        }
    } while (short_bytes > 0 && status == QUARRY_OK);
    page_commit_release(&heap->commit, credit_bytes);
    page_scavenger_poke(heap);
    return status;
}

/* ---- unbacking ------------------------------------------------------------------------------ */

/* The backed pages from `page` on, cut to whole OS pages, which are all the kernel takes. */
static bool lane_next_backed(struct page_lane *lane, uint64_t page, uint64_t end,
                             struct page_stretch *ret_stretch)
{
    uint64_t align_pages = size_max_u64(lane->heap->os->page_bytes >> PAGE_SHIFT, 1);
    bool is_found;

    os_mutex_lock(&lane->mutex);
    do {
        is_found = page_tree_next_unscavenged(&lane->tree, page, end, ret_stretch);
        page = is_found ? ret_stretch->page + ret_stretch->page_count : end;
        uint64_t from = is_found ? size_align_up_u64(ret_stretch->page, align_pages) : end;
        ret_stretch->page = from;
        ret_stretch->page_count = sat_sub_u64(size_align_down_u64(page, align_pages), from);
    } while (is_found && ret_stretch->page_count == 0);
    os_mutex_unlock(&lane->mutex);
    return is_found;
}

/* Keeps pages from being collapsed until unback_end: the kernel would back them again. */
static void unback_begin(struct page_lane *lane, struct part part)
{
    os_mutex_lock(&lane->mutex);
    while (page_lane_is_collapsing_locked(lane, part.page, part.page_count)) {
        os_mutex_unlock(&lane->mutex);
        os_yield();
        os_mutex_lock(&lane->mutex);
    }
    lane->unbacking_count++;
    os_mutex_unlock(&lane->mutex);
}

static void unback_end(struct page_lane *lane)
{
    os_mutex_lock(&lane->mutex);
    Q_ASSERT(lane->unbacking_count > 0);
    lane->unbacking_count--;
    os_mutex_unlock(&lane->mutex);
}

enum quarry_status page_lane_unback(struct page_lane *lane, void *base, uint64_t first,
                                    uint64_t page_count, uint64_t *ret_unbacked_pages)
{
    struct page_heap *heap = lane->heap;
    struct part part = part_of(lane, base, first, page_count);
    struct page_stretch stretch = {part.page, 0};
    enum quarry_status status = QUARRY_OK;

    *ret_unbacked_pages = 0;
    unback_begin(lane, part);
    while (status == QUARRY_OK && lane_next_backed(lane, stretch.page + stretch.page_count,
                                                   part.page + page_count, &stretch)) {
        status = page_lane_decommit(lane, stretch.page, stretch.page_count);
        if (status == QUARRY_OK) {
            os_mutex_lock(&lane->mutex);
            page_tree_unback(&lane->tree, stretch.page, stretch.page_count);
            page_ledger_add(&heap->ledger, part.owner, lane->id, -(int64_t)stretch.page_count);
            page_commit_release(&heap->commit, stretch.page_count << PAGE_SHIFT);
            os_mutex_unlock(&lane->mutex);
            *ret_unbacked_pages += stretch.page_count;
        }
    }
    unback_end(lane);
    return status;
}
