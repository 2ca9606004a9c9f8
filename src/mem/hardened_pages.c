/*
 * Hardened heaps: runs of pages, of spans and of large objects.
 *
 *   | usable bytes ...................... | canary | page that faults |     large, from 64 KiB on
 *   | usable bytes ...................... | canary |                        large, below
 *   | cell | cell | cell | …                       | page that faults |     one span in eight
 *
 * The page that faults is the last one of the run, so that the page heap knows of it and nothing
 * else is ever there. It is in use and charged like the others as long as the run is, though it has
 * no backing: to give its charge back would mean to need it again for freeing the run, and a free
 * that the budget refuses cannot be. Before the run is freed the page is made accessible again; if
 * the kernel refuses that (it may be at its count of mappings), the run stays in use for good.
 *
 * A large run tells by its length whether it has such a page, and a span's by the difference from
 * its class. Both always have room for it, so that this is certain; but only a number of them is
 * made to fault, because each costs mappings.
 *
 * Runs are zero whenever they are not in use (invariant 1 of hardened.c): short ones are cleared at
 * the free and looked at when they are handed out again; long ones lose their backing at both ends,
 * which is cheaper, never touches what the program did not, and makes what was written in between
 * go away.
 *
 * Rejected: a region of their own for spans with guard pages, where every page heap's structure
 * would be had twice; guard pages of an OS page, which the page heap cannot count.
 */
#include <mem/hardened.h>

#include <string.h>

#include <mem/panic.h>

/* ---- guard pages ---------------------------------------------------------------------------- */

/* Makes the last page of a run of `page_count` + 1 fault, if there are not too many of them. */
static void run_guard(struct mem_heap *heap, char *base, uint64_t page_count)
{
    if (atomic_add_relaxed_u32(&heap->guard_page_count, 1) < MEM_GUARD_PAGES_MAX) {
        /* Not vital: without it an overflow is found later. */
        (void)os_uncommit(heap->pages->os, base + (page_count << PAGE_SHIFT), PAGE_BYTES);
    }
}

static bool wants_guard_page(struct mem_heap *heap)
{
    uint64_t number = atomic_add_relaxed_u64(&heap->guard_drawn_count, 1) ^ heap->secret;

    return ((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % MEM_GUARDED_SPAN_EVERY == 0;
}

struct page_run mem_hardened_span_alloc(struct mem_pool *pool, uint32_t class)
{
    struct mem_heap *heap = pool->heap;
    uint64_t page_count = mem_size_class[class].page_count;
    bool has_guard = wants_guard_page(heap);
    struct page_run run = page_alloc(pool->lane, pool->owner, page_count + has_guard);

    if (run.base != NULL && has_guard) {
        run_guard(heap, run.base, page_count);
    }
    return run;
}

bool mem_hardened_unguard(struct mem_heap *heap, const struct page_lane *lane, void *base,
                          uint64_t page_count)
{
    if (page_lane_run_pages(lane, base) == page_count) {
        return true;
    }
    Q_ASSERT(page_lane_run_pages(lane, base) == page_count + 1);
    (void)atomic_sub_relaxed_u32(&heap->guard_page_count, 1);
    return os_commit(heap->pages->os, (char *)base + (page_count << PAGE_SHIFT), PAGE_BYTES) ==
           QUARRY_OK;
}

/* ---- large objects -------------------------------------------------------------------------- */

/* Pages of a large object's run without the one that faults. */
static uint64_t data_pages(uint64_t page_count)
{
    return page_count > MEM_GUARDED_LARGE_PAGES ? page_count - 1 : page_count;
}

uint64_t mem_hardened_large_pages(size_t bytes)
{
    uint64_t page_count = ((uint64_t)bytes + MEM_CANARY_BYTES + PAGE_BYTES - 1) >> PAGE_SHIFT;

    if (page_count >= PAGE_LANE_PAGES_MAX) {
        return 0;
    }
    return page_count >= MEM_GUARDED_LARGE_PAGES ? page_count + 1 : page_count;
}

size_t mem_hardened_large_usable(uint64_t page_count)
{
    return (data_pages(page_count) << PAGE_SHIFT) - MEM_CANARY_BYTES;
}

/* Makes pages in use zero by taking their backing; by hand where the kernel will not. */
static void pages_drop(struct mem_heap *heap, void *base, size_t bytes)
{
    if (os_decommit(heap->pages->os, base, bytes) != QUARRY_OK) {
        memset(base, 0, bytes);
    }
}

static void large_clear(struct mem_heap *heap, void *object, uint64_t pages)
{
    if (pages <= MEM_CLEAR_PAGES_MAX) {
        memset(object, 0, pages << PAGE_SHIFT);
    } else {
        pages_drop(heap, object, pages << PAGE_SHIFT);
    }
}

void mem_hardened_large_begin(struct mem_heap *heap, void *object, uint64_t page_count,
                              bool is_zero)
{
    uint64_t pages = data_pages(page_count);

    if (!is_zero && pages > MEM_CLEAR_PAGES_MAX) {
        pages_drop(heap, object, pages << PAGE_SHIFT);
    } else if (!is_zero && !mem_is_zero(object, pages << PAGE_SHIFT)) {
        mem_panic(MEM_PANIC_WRITTEN_FREE, object);
    }
    mem_canary *canary = mem_canary_behind(object, mem_hardened_large_usable(page_count));
    atomic_store_relaxed_u64(canary, mem_canary_value(heap, canary));
    if (pages < page_count) {
        run_guard(heap, object, pages);
    }
}

void mem_hardened_large_check(struct mem_heap *heap, const struct page_lane *lane,
                              const void *object)
{
    uint64_t page_count = page_lane_run_pages(lane, object);
    const mem_canary *canary = mem_canary_behind(object, mem_hardened_large_usable(page_count));

    if (atomic_load_relaxed_u64(canary) != mem_canary_value(heap, canary)) {
        mem_panic(MEM_PANIC_OVERFLOW, object);
    }
}

bool mem_hardened_large_end(struct mem_heap *heap, const struct page_lane *lane, void *object)
{
    uint64_t pages = data_pages(page_lane_run_pages(lane, object));

    mem_hardened_large_check(heap, lane, object);
    large_clear(heap, object, pages);
    return mem_hardened_unguard(heap, lane, object, pages);
}

/* ---- the end of a lane ---------------------------------------------------------------------- */

/* Pages of the run that begins at an address, by what the map has for it; 0: none does. */
static uint64_t mapped_pages(struct mem_heap *heap, const struct page_lane *lane, const void *start)
{
    struct mem_span *span = mem_map_find(&heap->map, start);
    enum mem_span_state state = mem_span_state(span);

    if (state == MEM_SPAN_LARGE) {
        return data_pages(page_lane_run_pages(lane, start));
    }
    return state == MEM_SPAN_UNUSED || mem_span_cold(span)->start != start
               ? 0
               : mem_size_class[mem_span_class(span)].page_count;
}

void mem_hardened_unguard_lane(struct mem_heap *heap, const struct page_lane *lane)
{
    uint64_t page_count = atomic_load_relaxed_u64(&heap->map.lane_pages[lane->id]);

    for (uint64_t page = 0; page < page_count; page++) {
        void *start = page_lane_address(lane, page);
        uint64_t run_pages = mapped_pages(heap, lane, start);
        if (run_pages > 0) {
            /* What stays inaccessible goes with the lane's address space. */
            (void)mem_hardened_unguard(heap, lane, start, run_pages);
            page += run_pages - 1;
        }
    }
}
