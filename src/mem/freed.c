/*
 * What was freed lately and is gone.
 *
 * A second free of an object finds its span's bit. When the first one has taken the pages back as
 * well, there is no span left to ask, and of a large object there never was one: all that can be
 * said is that no object begins there. "Double free" sends whoever reads the line to the right bug,
 * so each run of pages that objects leave is noted in a small table, by a hash of its page:
 *
 *   63 ............ 13  12 ... 0
 *   first page          class     MEM_FREED_LARGE: of one large object; word 0: nothing noted
 *
 * The table is only right about pages that nobody has taken since. Those that are in use are told
 * apart by the lane's own books, when the program is about to end and time does not matter.
 *
 * Rejected: a list in order of frees, which would need an atomic instruction for each; asking the
 * page heap to keep the heads of freed runs, which they would then be mistaken for.
 */
#include <mem/freed.h>

#include <mem/heap.h>

/* Pages of the run in use that begins at a page; 0: none does. */
static uint64_t run_pages_at(const struct page_lane *lane, uint64_t page)
{
    uint32_t head = atomic_load_relaxed_u32(&lane->head[page]);

    /* The second word of a long run is a count. */
    if (head == 0 || (page > 0 && page_head_pages(atomic_load_relaxed_u32(&lane->head[page - 1])) ==
                                      PAGE_HEAD_PAGES_LONG)) {
        return 0;
    }
    return page_lane_run_pages(lane, page_lane_address(lane, page));
}

/* Whether a run that is in use covers the address. */
static bool is_in_use(const struct page_lane *lane, const void *address)
{
    uint64_t page = page_lane_page(lane, address), first = page, page_count;

    if (page >= lane->tree.total_pages) {
        return false;
    }
    while ((page_count = run_pages_at(lane, first)) == 0 && first > 0) {
        first--;
    }
    return first + page_count > page;
}

/* Whether an object that began at the address went with the run that an entry stands for. */
static bool entry_covers(uint64_t entry, const void *address)
{
    uint64_t class = entry & (PAGE_BYTES - 1), offset = (uint64_t)address - (entry - class);

    if (entry == 0 || class == MEM_FREED_LARGE) {
        return entry != 0 && offset == 0;
    }
    const struct mem_size_class *info = &mem_size_class[class];
    return offset / info->size_bytes < info->capacity && offset % info->size_bytes == 0;
}

enum mem_panic mem_freed_diagnose(struct mem_heap *heap, const void *address)
{
    const struct page_lane *lane = page_heap_lane_of(heap->pages, address);

    if (lane == NULL) {
        return MEM_PANIC_FOREIGN;
    }
    if (is_in_use(lane, address)) {
        return MEM_PANIC_NOT_OBJECT;
    }
    for (uint32_t i = 0; i < MEM_FREED_ENTRIES; i++) {
        if (entry_covers(atomic_load_relaxed_u64(&heap->freed.entry[i]), address)) {
            return MEM_PANIC_DOUBLE_FREE;
        }
    }
    return MEM_PANIC_NOT_OBJECT;
}
