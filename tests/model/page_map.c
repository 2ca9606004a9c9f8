/* The naive twin of the page tree. */
#include "model/page_map.h"

#include <string.h>

void page_map_set(struct page_map *map, uint32_t first, uint32_t count, enum page_state state)
{
    memset(map->state + first, (int)state, count);
}

uint32_t page_map_count(const struct page_map *map, uint32_t first, uint32_t count,
                        enum page_state state)
{
    uint32_t counted = 0;

    for (uint32_t i = first; i < first + count; i++) {
        counted += map->state[i] == state;
    }
    return counted;
}

/* Whether the eight pages from `i` on are taken. */
static bool map_is_taken_by_eight(const struct page_map *map, uint32_t i)
{
    uint64_t eight;

    if (i + sizeof(eight) > map->page_count) {
        return false;
    }
    memcpy(&eight, map->state + i, sizeof(eight));
    return eight == 0;
}

bool page_map_next_free(const struct page_map *map, uint32_t from, uint32_t *ret_first,
                        uint32_t *ret_count)
{
    uint32_t first = from, end;

    while (first < map->page_count && map->state[first] == PAGE_STATE_TAKEN) {
        first += map_is_taken_by_eight(map, first) ? 8 : 1;
    }
    for (end = first; end < map->page_count && map->state[end] != PAGE_STATE_TAKEN; end++) {
    }
    *ret_first = first;
    *ret_count = end - first;
    return end > first;
}

uint32_t page_map_find(const struct page_map *map, uint32_t count)
{
    uint32_t first = 0, length = 0;

    while (page_map_next_free(map, first + length, &first, &length)) {
        if (length >= count) {
            return first;
        }
    }
    return PAGE_MAP_NONE;
}

static uint32_t align_up(uint32_t page, uint32_t align)
{
    return (page + align - 1) / align * align;
}

uint32_t page_map_find_aligned(const struct page_map *map, uint32_t count, uint32_t align)
{
    uint32_t first = page_map_find(map, count), length = 0;

    if (first == PAGE_MAP_NONE || first % align == 0) {
        return first;
    }
    uint32_t wide = page_map_find(map, count + align - 1);
    if (wide != PAGE_MAP_NONE) {
        return align_up(wide, align);
    }
    first = 0;
    while (page_map_next_free(map, first + length, &first, &length)) {
        uint32_t aligned = align_up(first, align);
        if (aligned + count <= first + length) {
            return aligned;
        }
    }
    return PAGE_MAP_NONE;
}
