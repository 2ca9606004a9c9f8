/*
 * Where the metadata of a lane lies: one reservation of address space, cut into arrays that are as
 * long as the lane's index space and committed piece by piece as the lane grows.
 *
 *   | ranges | level 0 | level 1 | level 2 | level 3 | level 4 | chunks | density | run heads |
 *
 * Each array begins at an OS page. For 4 MiB of heap, one chunk: 128 bytes of bitmaps, 9.14 bytes
 * of summaries, 8 of density and 2 KiB of run heads, 0.05 %.
 */
#ifndef QUARRY_PAGE_TREE_LAYOUT_H
#define QUARRY_PAGE_TREE_LAYOUT_H

#include <base/base.h>
#include <page/constants.h>
#include <page/ranges.h>

enum page_array {
    PAGE_ARRAY_RANGES, /* struct page_range, by number of range */
    PAGE_ARRAY_LEVEL_0,
    PAGE_ARRAY_LEVEL_4 = PAGE_ARRAY_LEVEL_0 + PAGE_LEVELS - 1,
    PAGE_ARRAY_CHUNKS,  /* struct page_chunk */
    PAGE_ARRAY_DENSITY, /* uint64_t a chunk */
    PAGE_ARRAY_RUNS,    /* uint32_t a page */
    PAGE_ARRAY_COUNT,
};

struct page_tree_layout {
    uint32_t chunk_max; /* index space, a multiple of a root entry's chunks */
    size_t os_page_bytes;
    size_t total_bytes; /* to reserve */
    size_t first_bytes; /* to commit before page_tree_init: the ranges' first OS page */
    size_t offset[PAGE_ARRAY_COUNT];
};

/* Bytes of a metadata reservation that must be committed. */
struct page_span_bytes {
    size_t offset;
    size_t bytes;
};

/* `chunk_max`: 1 to PAGE_CHUNKS_MAX; rounded up to whole root entries. */
struct page_tree_layout page_tree_layout_make(uint32_t chunk_max, size_t os_page_bytes);

/*
 * What growing by `chunks` needs committed that no grown range has needed before: at most one piece
 * an array (a range between two grown ones that share its OS page needs nothing there). Of density
 * words a gap to the next grown range is part of the need.
 *
 * Returns: how many of `ret_needs` were written.
 */
uint32_t page_tree_layout_needs(const struct page_tree_layout *layout,
                                const struct page_ranges *grown, struct page_range chunks,
                                struct page_span_bytes ret_needs[PAGE_ARRAY_COUNT]);

#endif
