/*
 * Sums over a heap map: of a lane, of the heap, and of the cells that a lane is drawn in.
 */
#ifndef QUARRY_CLI_MAP_TOTALS_H
#define QUARRY_CLI_MAP_TOTALS_H

#include <base/base.h>
#include <page/page.h>

/* Pages by state; the first four add up to all pages. */
struct map_pages {
    uint64_t in_use; /* held by an owner */
    uint64_t cached; /* in use in the lane, and nobody's */
    uint64_t free_backed;
    uint64_t released;
};

static inline uint64_t map_pages_all(const struct map_pages *pages)
{
    return pages->in_use + pages->cached + pages->free_backed + pages->released;
}

/* Of entries [first, first + count). */
struct map_pages map_pages_of(const struct page_heap_map_view *view, uint32_t first,
                              uint32_t count);

#endif
