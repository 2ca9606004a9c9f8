/*
 * The naive twin of the page tree: a byte for each page, searched from the lowest.
 */
#ifndef QUARRY_TESTS_MODEL_PAGE_MAP_H
#define QUARRY_TESTS_MODEL_PAGE_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum page_state {
    PAGE_STATE_TAKEN,  /* in use, or never grown */
    PAGE_STATE_BACKED, /* free */
    PAGE_STATE_SCAVENGED,
};

#define PAGE_MAP_NONE UINT32_MAX

struct page_map {
    uint8_t *state; /* borrowed; enum page_state, by page */
    uint32_t page_count;
};

void page_map_set(struct page_map *map, uint32_t first, uint32_t count, enum page_state state);

/* How many pages of [first, first + count) are in `state`. */
uint32_t page_map_count(const struct page_map *map, uint32_t first, uint32_t count,
                        enum page_state state);

/*
 * The first stretch of free pages at or above `from`, cut off below `from` if it begins before.
 * Returns: false when there is none.
 */
bool page_map_next_free(const struct page_map *map, uint32_t from, uint32_t *ret_first,
                        uint32_t *ret_count);

/* The lowest run of `count` free pages, or PAGE_MAP_NONE. */
uint32_t page_map_find(const struct page_map *map, uint32_t count);

/*
 * As the tree promises: the lowest run when it is aligned; else the aligned part of the lowest run
 * that holds one wherever it begins; else the lowest aligned run there is. `align`: power of two.
 */
uint32_t page_map_find_aligned(const struct page_map *map, uint32_t count, uint32_t align);

#endif
