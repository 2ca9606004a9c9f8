/*
 * A sorted list of chunk ranges.
 *
 *   [0,3) [7,8) [40,64)      invariant 1: first < end; invariant 2: end of one < first of the next
 *
 * Looked up by bisection, changed by moving the tail: growth is rare and the list short.
 */
#include <page/ranges.h>

#include <string.h>

uint32_t page_ranges_find(const struct page_ranges *ranges, uint32_t chunk)
{
    uint32_t low = 0, high = ranges->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ranges->range[middle].end > chunk) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void page_ranges_add(struct page_ranges *ranges, struct page_range added)
{
    uint32_t at = page_ranges_find(ranges, added.first);
    struct page_range *range = ranges->range;
    bool joins_below = at > 0 && range[at - 1].end == added.first;
    bool joins_above = at < ranges->count && range[at].first == added.end;

    Q_ASSERT(added.first < added.end);
    Q_ASSERT(at == ranges->count || added.end <= range[at].first); /* invariant 2 */
    if (joins_below && joins_above) {
        range[at - 1].end = range[at].end;
        memmove(&range[at], &range[at + 1], (ranges->count - at - 1) * sizeof(range[0]));
        ranges->count--;
    } else if (joins_below) {
        range[at - 1].end = added.end;
    } else if (joins_above) {
        range[at].first = added.first;
    } else {
        Q_ASSERT(ranges->count < ranges->capacity);
        memmove(&range[at + 1], &range[at], (ranges->count - at) * sizeof(range[0]));
        range[at] = added;
        ranges->count++;
    }
}

uint64_t page_ranges_clamp(const struct page_ranges *ranges, uint64_t page)
{
    uint64_t chunk = page >> PAGE_CHUNK_SHIFT;

    if (chunk >= PAGE_CHUNKS_MAX) {
        return PAGE_NONE;
    }
    uint32_t at = page_ranges_find(ranges, (uint32_t)chunk);
    if (at == ranges->count) {
        return PAGE_NONE;
    }
    return size_max_u64(page, (uint64_t)ranges->range[at].first << PAGE_CHUNK_SHIFT);
}

bool page_ranges_contain(const struct page_ranges *ranges, struct page_range range)
{
    uint32_t at = page_ranges_find(ranges, range.first);

    return at < ranges->count && ranges->range[at].first <= range.first &&
           range.end <= ranges->range[at].end;
}
