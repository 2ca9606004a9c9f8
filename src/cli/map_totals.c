/*
 * Sums over a heap map.
 */
#include <cli/map_totals.h>

struct map_pages map_pages_of(const struct page_heap_map_view *view, uint32_t first, uint32_t count)
{
    struct map_pages pages = {0};

    for (uint32_t i = first; i < first + count; i++) {
        struct page_heap_map_entry entry = page_heap_map_entry_at(view, i);
        pages.in_use += entry.in_use - entry.other;
        pages.cached += entry.other;
        pages.released += entry.scavenged;
        pages.free_backed += view->chunk_pages - entry.in_use - entry.scavenged;
    }
    return pages;
}
