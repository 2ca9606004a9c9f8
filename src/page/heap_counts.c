/*
 * Reading the counters of a page heap, lane by lane, while everything goes on.
 *
 * The longest free run comes from the roots of the lanes' trees, whose entries say how long the run
 * at their start, the longest one inside, and the one at their end are; runs over several entries
 * are put together here. Entries that no range covers may not be ready to touch.
 *
 * Locking: each lane's, for one lane at a time.
 */
#include <page/heap_counts.h>

#include <page/heap.h>

#define ROOT_CHUNK_SHIFT (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT)

/* The longest run of root entries [first, end). */
static uint64_t longest_of(const uint64_t *root, uint32_t first, uint32_t end)
{
    uint64_t longest = 0, open = 0; /* pages that are free up to here */

    for (uint32_t i = first; i < end; i++) {
        bool is_whole = page_summary_start(root[i]) == PAGE_SUMMARY_ROOT_PAGES;
        open += page_summary_start(root[i]);
        longest = size_max_u64(longest, size_max_u64(open, page_summary_max(root[i])));
        open = is_whole ? open : page_summary_end(root[i]);
    }
    return longest;
}

/* The lane's lock is held. Ranges that meet in an entry are looked at as one. */
static uint64_t tree_longest(struct page_tree *tree)
{
    const struct page_ranges *ranges = &tree->ranges;
    uint64_t longest = 0;

    page_tree_freshen(tree);
    for (uint32_t i = 0; i < ranges->count;) {
        uint32_t first = ranges->range[i].first >> ROOT_CHUNK_SHIFT;
        uint32_t end = first;
        do {
            end = ((ranges->range[i].end - 1) >> ROOT_CHUNK_SHIFT) + 1;
            i++;
        } while (i < ranges->count && ranges->range[i].first >> ROOT_CHUNK_SHIFT <= end);
        longest = size_max_u64(longest, longest_of(tree->level[0], first, end));
    }
    return longest;
}

static void count_lane(struct page_lane *lane, struct page_heap_counts *counts)
{
    struct page_tree *tree = &lane->tree;

    os_mutex_lock(&lane->mutex);
    uint64_t backed = page_tree_free_backed_pages(tree);
    counts->used_page_count += tree->total_pages - tree->free_pages;
    counts->free_page_count += backed;
    counts->released_page_count += tree->free_pages - backed;
    counts->largest_free_page_count =
        size_max_u64(counts->largest_free_page_count, tree_longest(tree));
    counts->tree_alloc_count += lane->counters.tree_alloc_count;
    os_mutex_unlock(&lane->mutex);
}

/* All relaxed: figures, each by itself. */
static void count_scavenger(struct page_heap *heap, struct page_heap_counts *counts)
{
    const struct page_scavenger_counters *from = &heap->scavenger.counters;

    for (size_t cause = 0; cause < PAGE_CAUSES; cause++) {
        counts->released_bytes[cause] = atomic_load_relaxed_u64(&from->released_bytes[cause]);
    }
    counts->decommit_count = atomic_load_relaxed_u64(&from->decommit_count);
    counts->decommit_error_count = atomic_load_relaxed_u64(&from->decommit_error_count);
    counts->background_cpu_ns = atomic_load_relaxed_u64(&from->background_cpu_ns);
    counts->retain_goal_bytes = atomic_load_relaxed_u64(&heap->scavenger.retain_goal_bytes);
    counts->retained_bytes = page_scavenger_retained_bytes(heap);
    counts->refused_count = atomic_load_relaxed_u64(&heap->refused_count);
}

void page_heap_read_counts(struct page_heap *heap, struct page_heap_counts *ret_counts)
{
    const char *below = heap->space + heap->space_bytes;
    struct page_lane *lane;

    *ret_counts = (struct page_heap_counts){0};
    while ((lane = page_heap_pin_below(heap, below)) != NULL) {
        count_lane(lane, ret_counts);
        below = lane->base;
        page_heap_unpin(lane);
    }
    count_scavenger(heap, ret_counts);
}
