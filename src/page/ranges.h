/*
 * The chunks that have been grown, as a sorted list of ranges: normally one, because a lane grows
 * upwards; several where address space could only be had in pieces.
 */
#ifndef QUARRY_PAGE_RANGES_H
#define QUARRY_PAGE_RANGES_H

#include <base/base.h>
#include <page/constants.h>

/* Chunks [first, end). */
struct page_range {
    uint32_t first;
    uint32_t end;
};

struct page_ranges {
    struct page_range *range; /* sorted, disjoint, not touching; storage is the tree's metadata */
    uint32_t count;
    uint32_t capacity; /* ranges that the storage committed so far can hold */
};

/* Index of the first range that ends above `chunk`; `count` when there is none. */
uint32_t page_ranges_find(const struct page_ranges *ranges, uint32_t chunk);

/*
 * Adds a range that overlaps none, joining its neighbours. `count` < `capacity`.
 * Cost: O(ranges).
 */
void page_ranges_add(struct page_ranges *ranges, struct page_range added);

/* The first grown page at or above `page`, or PAGE_NONE. */
uint64_t page_ranges_clamp(const struct page_ranges *ranges, uint64_t page);

/* Whether every chunk of `range` has been grown. */
bool page_ranges_contain(const struct page_ranges *ranges, struct page_range range);

#endif
