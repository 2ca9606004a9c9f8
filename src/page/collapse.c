/*
 * Huge pages under memory that lives long and is read at random.
 *
 * A read in a GiB of 4 KiB pages misses the TLB and then, for the entry of its page table, the
 * cache. A huge page of 2 MiB takes both misses away. The kernel has two ways to give one: let
 * every first touch back 2 MiB (MADV_HUGEPAGE), of which most may not have been charged; or put one
 * under 2 MiB that are there already (MADV_COLLAPSE). With "commit before touch" only the second
 * can be used, and only where all of the 2 MiB are charged.
 *
 *   chunk, 4 MiB      | half: a huge page        | half                       |
 *   in use            | 1111111111111111111111111 | 1111111111 0 111111111111 |
 *   scavenged         | 0000000000000000000000000 | 0000000000 0 000000000000 |
 *                       whole                       not whole
 *
 *   not whole ---> whole at a look ---> whole at the next look, a turn later: collapse ---> huge
 *       ^                                                                                    |
 *       '--------- any page of it is decommitted: the kernel splits the huge page -----------'
 *
 * Invariants
 *   1. While a half is being collapsed no page of it is decommitted, and none is taken for
 *      scavenged: the kernel would back it again. lane->collapsing names the half.
 *      page_lane_begin_flight_locked refuses pieces of it, page_lane_end and page_lane_unback
 *      wait for it, and a page cache gives back pages of it as backed.
 *   2. No page of a half that is marked huge is scavenged. The tree takes the mark away when one
 *      becomes so.
 *   3. A collapse changes neither what is charged nor what is in use.
 *
 * Pages may be freed, and allocated again, during a collapse and after it: free and backed is
 * charged. When such a page goes back to the kernel, the resident size falls at once; the rest of
 * the huge page's memory the kernel gets back when it is short of memory and splits it.
 *
 * Locks: the lane's mutex for a look at up to 64 chunks; none during a collapse. Invariant 1 needs
 * one word for a lane, since one thread runs the turns.
 *
 * Cost: 0.6 ms of CPU for 2 MiB, at most 3 % of one CPU; a pass without work reads two
 * cache lines for 4 MiB. See docs/decisions/0014-huge-pages-by-collapse.md.
 *
 * Rejected: MADV_HUGEPAGE on whole chunks; collapsing under the lane's lock (half a millisecond in
 * which nobody allocates); collapsing at allocation, when the memory is not even touched.
 */
#include <page/collapse.h>

#include <page/heap.h>

/* Looked at in one stretch of the lane's lock: some 5 µs. */
#define LOOK_PAGES (64 * (uint64_t)PAGE_CHUNK_PAGES)

void page_collapser_init(struct page_heap *heap)
{
    struct page_collapser *collapser = &heap->scavenger.collapser;

    page_pacer_init(&collapser->pacer, PAGE_COLLAPSE_CPU);
    collapser->is_unsupported = heap->os->huge_page_bytes != PAGE_HALF_BYTES;
}

uint64_t page_heap_huge_bytes(struct page_heap *heap)
{
    const char *below = heap->space + heap->space_bytes;
    uint64_t pages = 0;
    struct page_lane *lane;

    while ((lane = page_heap_pin_below(heap, below)) != NULL) {
        os_mutex_lock(&lane->mutex);
        pages += lane->tree.huge_pages;
        os_mutex_unlock(&lane->mutex);
        below = lane->base;
        page_heap_unpin(lane);
    }
    return pages << PAGE_SHIFT;
}

/* ---- one half of a chunk -------------------------------------------------------------------- */

/* Marks what it sees. Returns whether the half is to be collapsed now; it is `collapsing` then. */
static bool half_look_locked(struct page_lane *lane, uint64_t page, bool *has_news)
    Q_REQUIRES(&lane->mutex)
{
    struct page_tree *tree = &lane->tree;
    enum page_half_state seen = page_tree_half_state(tree, page);

    if (seen == PAGE_HALF_HUGE) {
        return false;
    }
    /* Pages in flight look like pages in use. */
    if (!page_tree_half_is_whole(tree, page) || page_lane_is_flying_locked(lane, page)) {
        page_tree_half_set(tree, page, PAGE_HALF_PLAIN);
        return false;
    }
    if (seen == PAGE_HALF_PLAIN) {
        page_tree_half_set(tree, page, PAGE_HALF_WHOLE);
        *has_news = true;
        return false;
    }
    if (lane->is_ending || lane->is_foreign || lane->unbacking_count > 0) {
        return false;
    }
    Q_ASSERT(lane->collapsing_page == PAGE_NONE);
    lane->collapsing_page = page;
    return true;
}

static void half_collapse(struct page_lane *lane, uint64_t page)
{
    struct page_heap *heap = lane->heap;
    struct page_collapser *collapser = &heap->scavenger.collapser;
    enum quarry_status status =
        os_collapse(heap->os, page_lane_address(lane, page), PAGE_HALF_BYTES);

    os_mutex_lock(&lane->mutex);
    Q_ASSERT(lane->collapsing_page == page);
    lane->collapsing_page = PAGE_NONE;
    if (status == QUARRY_OK) {
        page_tree_half_set(&lane->tree, page, PAGE_HALF_HUGE);
    }
    os_mutex_unlock(&lane->mutex);
    if (status == QUARRY_OK) {
        collapser->has_news = true;
        (void)atomic_add_relaxed_u64(&collapser->counters.collapsed_bytes, PAGE_HALF_BYTES);
        return;
    }
    /* Another half has better luck when pages of this one could not move, not for want of memory.
     */
    collapser->is_out_of_memory = status == QUARRY_NO_MEMORY;
    collapser->is_in_pass = status == QUARRY_BUSY;
    collapser->is_unsupported = status == QUARRY_UNSUPPORTED;
    (void)atomic_add_relaxed_u64(&collapser->counters.refused_count, 1);
}

/* ---- a pass --------------------------------------------------------------------------------- */

/*
 * Looks on from where the last look ended, until there is something to collapse, for some chunks,
 * or to the end of the lane. Returns: the half to collapse, or PAGE_NONE; `ret_is_end`: none is
 * left behind it.
 */
static uint64_t lane_look(struct page_lane *lane, struct page_collapser *collapser,
                          bool *ret_is_end)
{
    uint64_t end = collapser->page + LOOK_PAGES, found = PAGE_NONE;

    os_mutex_lock(&lane->mutex);
    while (found == PAGE_NONE && collapser->page < end) {
        uint64_t page = page_ranges_clamp(&lane->tree.ranges, collapser->page);
        if (page == PAGE_NONE) {
            break;
        }
        if (half_look_locked(lane, page, &collapser->has_news)) {
            found = page;
        }
        collapser->page = page + PAGE_HALF_PAGES;
    }
    *ret_is_end = page_ranges_clamp(&lane->tree.ranges, collapser->page) == PAGE_NONE;
    os_mutex_unlock(&lane->mutex);
    return found;
}

/* At most one collapse. Returns: whether there was one; the pass may end here. */
static bool pass_step(struct page_heap *heap)
{
    struct page_collapser *collapser = &heap->scavenger.collapser;
    struct page_lane *lane = page_heap_pin_below(heap, collapser->below);
    uint64_t page = PAGE_NONE;
    bool is_end = true;

    if (lane == NULL) {
        collapser->is_in_pass = false;
        return false;
    }
    if (lane->wants_huge_pages) {
        page = lane_look(lane, collapser, &is_end);
    }
    if (page != PAGE_NONE) {
        half_collapse(lane, page);
    }
    if (is_end) {
        collapser->below = lane->base;
        collapser->page = 0;
    }
    page_heap_unpin(lane);
    return page != PAGE_NONE;
}

static void pass_begin(struct page_heap *heap, uint64_t now_ns)
{
    struct page_collapser *collapser = &heap->scavenger.collapser;

    collapser->below = heap->space + heap->space_bytes;
    collapser->page = 0;
    collapser->pass_began_ns = now_ns;
    collapser->is_in_pass = true;
    collapser->has_news = false;
    collapser->is_out_of_memory = false;
}

/* What the last turn of a pass leaves: when the next pass is due. */
static void pass_end(struct page_collapser *collapser)
{
    uint64_t rest_ns = collapser->is_out_of_memory ? PAGE_COLLAPSE_NO_MEMORY_NS
                       : collapser->has_news       ? PAGE_GENERATION_NS
                                                   : PAGE_COLLAPSE_PASS_NS;

    collapser->pass_due_ns = collapser->pass_began_ns + rest_ns;
}

/* ---- turns ---------------------------------------------------------------------------------- */

/* Works for a millisecond, or to the end of the pass. Returns CPU time spent. */
static uint64_t collapse_work(struct page_heap *heap)
{
    struct page_collapser *collapser = &heap->scavenger.collapser;
    uint64_t worked_ns = 0;

    while (worked_ns < PAGE_COLLAPSE_WORK_MIN_NS && collapser->is_in_pass &&
           !collapser->is_unsupported) {
        uint64_t began_ns = os_thread_cpu_ns(heap->os);
        bool has_collapsed = pass_step(heap);
        uint64_t spent_ns = os_thread_cpu_ns(heap->os) - began_ns;
        worked_ns += spent_ns == 0 && has_collapsed ? PAGE_COLLAPSE_ASSUMED_NS : spent_ns;
    }
    return worked_ns;
}

/* Work that took no time asks for no rest, and says nothing about the pace. */
static void collapse_rest(struct page_collapser *collapser, uint64_t now_ns, uint64_t end_ns,
                          uint64_t worked_ns)
{
    uint64_t paced_ns = (uint64_t)((double)worked_ns / collapser->pacer.ratio);
    uint64_t slept_ns = sat_sub_u64(now_ns, collapser->work_ended_at_ns);

    if (worked_ns == 0) {
        return;
    }
    /* A longer sleep than was due was for want of work. */
    bool was_paced = collapser->resume_at_ns > collapser->pass_began_ns;
    uint64_t sleep_ns = page_pacer_next(&collapser->pacer, worked_ns,
                                        was_paced ? slept_ns : paced_ns, PAGE_COLLAPSE_CPU);
    collapser->work_ended_at_ns = end_ns;
    collapser->resume_at_ns = sat_add_u64(end_ns, sleep_ns);
}

/* When the turns have something to wait for: the rest of a pass, or what may be whole by then. */
static uint64_t collapse_due_ns(const struct page_collapser *collapser)
{
    if (collapser->is_in_pass) {
        return collapser->resume_at_ns;
    }
    if (collapser->has_news && !collapser->is_out_of_memory) {
        return size_max_u64(collapser->pass_due_ns, collapser->resume_at_ns);
    }
    return UINT64_MAX;
}

uint64_t page_collapse_turn(struct page_heap *heap)
{
    struct page_collapser *collapser = &heap->scavenger.collapser;
    uint64_t now_ns = os_monotonic_ns(heap->os);

    /* Relaxed: a lane that was just made has nothing to collapse. */
    if (atomic_load_relaxed_u32(&collapser->lane_count) == 0 || collapser->is_unsupported) {
        return UINT64_MAX;
    }
    if (!collapser->is_in_pass && now_ns >= collapser->pass_due_ns) {
        pass_begin(heap, now_ns);
    }
    if (collapser->is_in_pass && now_ns >= collapser->resume_at_ns) {
        uint64_t worked_ns = collapse_work(heap);
        (void)atomic_add_relaxed_u64(&collapser->counters.cpu_ns, worked_ns);
        collapse_rest(collapser, now_ns, os_monotonic_ns(heap->os), worked_ns);
        if (!collapser->is_in_pass) {
            pass_end(collapser);
        }
    }
    return collapser->is_unsupported ? UINT64_MAX : collapse_due_ns(collapser);
}
