/*
 * Where the metadata of a lane lies.
 *
 * Growth must commit each OS page of metadata exactly once: committing charges the budget. Ranges
 * are sorted and disjoint, so the OS pages that range r needs of one array are an interval P(r),
 * and P is monotone: if r lies below s, P(r) begins no later and ends no later than P(s). What of
 * P(new) is committed already is therefore covered by P of the next range below and P of the next
 * above.
 *
 * The density array alone is committed without holes, from the lowest grown chunk to the highest:
 * the scavenger's finder walks it without the lock that guards the ranges. A gap costs 2 bytes a
 * MiB.
 *
 * One flat array a kind, where Go has a two-level directory of chunk records: a lane's index space
 * is its own reserved range and not the whole machine's 48 bits, so the flat array costs address
 * space only, and one load less on each access.
 */
#include <page/tree_layout.h>

#include <page/summary.h>
#include <page/tree.h>

struct array_shape {
    size_t entry_bytes;
    uint32_t chunk_shift; /* chunks an entry covers: 2^chunk_shift */
};

static struct array_shape array_shape_of(enum page_array array)
{
    if (array >= PAGE_ARRAY_LEVEL_0 && array <= PAGE_ARRAY_LEVEL_4) {
        uint32_t level = (uint32_t)(array - PAGE_ARRAY_LEVEL_0);
        return (struct array_shape){sizeof(uint64_t), page_level_shift(level) - PAGE_CHUNK_SHIFT};
    }
    if (array == PAGE_ARRAY_CHUNKS) {
        return (struct array_shape){sizeof(struct page_chunk), 0};
    }
    if (array == PAGE_ARRAY_DENSITY) {
        return (struct array_shape){sizeof(uint64_t), 0};
    }
    Q_ASSERT(array == PAGE_ARRAY_RUNS);
    return (struct array_shape){sizeof(uint32_t) * PAGE_CHUNK_PAGES, 0};
}

struct page_tree_layout page_tree_layout_make(uint32_t chunk_max, size_t os_page_bytes)
{
    const uint32_t root_chunks = 1u << (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT);
    struct page_tree_layout layout = {
        .chunk_max = (uint32_t)size_align_up(chunk_max, root_chunks),
        .os_page_bytes = os_page_bytes,
    };

    Q_ASSERT(chunk_max >= 1 && chunk_max <= PAGE_CHUNKS_MAX);
    Q_ASSERT(bits_is_power_of_two_u64(os_page_bytes));
    /*
     * No two ranges touch, so there is at most one for every two chunks; and room for one more is
     * asked for before it is known that the next will join its neighbours.
     */
    size_t offset =
        size_align_up((layout.chunk_max / 2 + 1) * sizeof(struct page_range), os_page_bytes);
    layout.first_bytes = os_page_bytes;
    for (enum page_array array = PAGE_ARRAY_LEVEL_0; array < PAGE_ARRAY_COUNT; array++) {
        struct array_shape shape = array_shape_of(array);
        layout.offset[array] = offset;
        offset += size_align_up((layout.chunk_max >> shape.chunk_shift) * shape.entry_bytes,
                                os_page_bytes);
    }
    layout.total_bytes = offset;
    return layout;
}

/* A half-open interval of OS pages. */
struct os_pages {
    size_t first;
    size_t end;
};

static struct os_pages os_pages_of(const struct page_tree_layout *layout, struct array_shape shape,
                                   struct page_range chunks)
{
    size_t first_entry = chunks.first >> shape.chunk_shift;
    size_t end_entry = ((size_t)(chunks.end - 1) >> shape.chunk_shift) + 1;

    return (struct os_pages){
        first_entry * shape.entry_bytes / layout->os_page_bytes,
        size_ceil_div(end_entry * shape.entry_bytes, layout->os_page_bytes),
    };
}

/* The OS pages of an array that growing by `chunks` needs committed; none when first ≥ end. */
static struct os_pages os_pages_needed(const struct page_tree_layout *layout, enum page_array array,
                                       const struct page_ranges *grown, struct page_range chunks)
{
    struct array_shape shape = array_shape_of(array);
    struct os_pages pages = os_pages_of(layout, shape, chunks);
    uint32_t at = page_ranges_find(grown, chunks.first);
    bool has_below = at > 0, has_above = at < grown->count;
    size_t below_end = has_below ? os_pages_of(layout, shape, grown->range[at - 1]).end : 0;
    size_t above_first = has_above ? os_pages_of(layout, shape, grown->range[at]).first : SIZE_MAX;

    if (array != PAGE_ARRAY_DENSITY) {
        return (struct os_pages){size_max(pages.first, below_end),
                                 size_min(pages.end, above_first)};
    }
    if (has_below && has_above) {
        return (struct os_pages){0, 0};
    }
    return (struct os_pages){has_below ? below_end : pages.first,
                             has_above ? above_first : pages.end};
}

uint32_t page_tree_layout_needs(const struct page_tree_layout *layout,
                                const struct page_ranges *grown, struct page_range chunks,
                                struct page_span_bytes ret_needs[PAGE_ARRAY_COUNT])
{
    uint32_t need_count = 0;
    size_t os_page_bytes = layout->os_page_bytes;

    Q_ASSERT(chunks.first < chunks.end && chunks.end <= layout->chunk_max);
    if (grown->count == grown->capacity) {
        ret_needs[need_count++] =
            (struct page_span_bytes){grown->capacity * sizeof(struct page_range), os_page_bytes};
    }
    for (enum page_array array = PAGE_ARRAY_LEVEL_0; array < PAGE_ARRAY_COUNT; array++) {
        struct os_pages pages = os_pages_needed(layout, array, grown, chunks);
        if (pages.first < pages.end) {
            ret_needs[need_count++] =
                (struct page_span_bytes){layout->offset[array] + pages.first * os_page_bytes,
                                         (pages.end - pages.first) * os_page_bytes};
        }
    }
    return need_count;
}
