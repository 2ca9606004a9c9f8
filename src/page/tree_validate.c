/*
 * Walks a whole tree and checks its invariants (numbered in tree.c) against the bitmaps, which are
 * the truth. O(grown chunks); for tests, for `quarry check memory`, and for whoever suspects a bug.
 */
#include <page/tree.h>

static bool chunk_is_grown(const struct page_tree *tree, uint32_t chunk)
{
    return page_ranges_contain(&tree->ranges, (struct page_range){chunk, chunk + 1});
}

static enum quarry_status validate_ranges(const struct page_tree *tree, struct quarry_error *error)
{
    for (uint32_t i = 0; i < tree->ranges.count; i++) {
        struct page_range range = tree->ranges.range[i];
        if (range.first >= range.end || range.end > tree->chunk_max ||
            (i > 0 && tree->ranges.range[i - 1].end >= range.first)) {
            return error_set(error, QUARRY_CORRUPT,
                             "range %u is [%u, %u), out of order or touching", i, range.first,
                             range.end);
        }
    }
    return QUARRY_OK;
}

/* What the bitmaps of all chunks add up to. */
struct page_totals {
    uint64_t total;
    uint64_t free;
    uint64_t scavenged;
    uint64_t bare;
    uint64_t huge;
    uint64_t first_free; /* PAGE_NONE: none */
};

/* Whether a scavenger could take something: free and backed pages that fill an OS page. */
static bool has_piece(const struct page_tree *tree, const struct page_chunk *chunk)
{
    uint64_t os_page_bytes = tree->range_step * sizeof(struct page_range);
    uint32_t min_pages = (uint32_t)size_max_u64(os_page_bytes >> PAGE_SHIFT, 1);

    return page_bits_find_candidate(&chunk->in_use, &chunk->scavenged, PAGE_CHUNK_PAGES - 1,
                                    min_pages, min_pages, 0, false)
               .count > 0;
}

static enum quarry_status validate_chunk(const struct page_tree *tree, uint32_t i,
                                         struct page_totals *totals, struct quarry_error *error)
{
    const struct page_chunk *chunk = &tree->chunk[i];
    uint64_t leaf = tree->level[PAGE_LEVELS - 1][i];
    uint64_t expected = page_bits_summarize(&chunk->in_use);
    uint32_t in_use = page_bits_count(&chunk->in_use, 0, PAGE_CHUNK_PAGES);
    struct page_density density =
        page_density_unpack(atomic_load_relaxed_u64(&tree->index.chunk[i]));

    if (leaf != expected) {
        return error_set(error, QUARRY_CORRUPT, "chunk %u: summary %#llx, its bitmap says %#llx", i,
                         (unsigned long long)leaf, (unsigned long long)expected);
    }
    if (density.in_use != in_use) {
        return error_set(error, QUARRY_CORRUPT, "chunk %u: density counts %u pages in use, not %u",
                         i, density.in_use, in_use);
    }
    uint32_t scavenged = page_bits_count(&chunk->scavenged, 0, PAGE_CHUNK_PAGES);
    if (has_piece(tree, chunk) && !(density.flags & PAGE_DENSITY_HAS_FREE)) {
        return error_set(error, QUARRY_CORRUPT,
                         "chunk %u: backed pages are free, and the scavenger is not told", i);
    }
    uint32_t first_free;
    if (page_bits_find(&chunk->in_use, 1, 0, &first_free) != PAGE_BITS_NONE &&
        totals->first_free == PAGE_NONE) {
        totals->first_free = ((uint64_t)i << PAGE_CHUNK_SHIFT) + first_free;
    }
    for (uint32_t half = 0; half < 2; half++) {
        uint64_t page = ((uint64_t)i << PAGE_CHUNK_SHIFT) + half * PAGE_HALF_PAGES;
        if (page_tree_half_state(tree, page) != PAGE_HALF_HUGE) {
            continue;
        }
        if (page_tree_count_scavenged(tree, page, PAGE_HALF_PAGES) > 0) {
            return error_set(error, QUARRY_CORRUPT,
                             "chunk %u: half %u counts as a huge page, and is scavenged in part", i,
                             half);
        }
        totals->huge += PAGE_HALF_PAGES;
    }
    for (uint32_t word = 0; word < PAGE_BITS_WORDS; word++) {
        totals->bare += bits_count_u64(chunk->in_use.word[word] & chunk->scavenged.word[word]);
    }
    totals->total += PAGE_CHUNK_PAGES;
    totals->free += PAGE_CHUNK_PAGES - in_use;
    totals->scavenged += scavenged;
    return QUARRY_OK;
}

/* Upper entries whose children include a grown chunk; the others are 0, or not even committed. */
static enum quarry_status validate_level(const struct page_tree *tree, uint32_t level,
                                         struct page_range chunks, struct quarry_error *error)
{
    uint32_t chunk_shift = page_level_shift(level) - PAGE_CHUNK_SHIFT;

    for (uint32_t i = chunks.first >> chunk_shift; i <= (chunks.end - 1) >> chunk_shift; i++) {
        if (tree->stale_chunk != UINT32_MAX && tree->stale_chunk >> chunk_shift == i) {
            continue; /* invariant 1: on the path of the stale leaf */
        }
        uint64_t merged = page_summary_merge(&tree->level[level + 1][i * PAGE_FANOUT],
                                             page_level_shift(level + 1));
        if (tree->level[level][i] != merged) {
            return error_set(error, QUARRY_CORRUPT,
                             "level %u entry %u: summary %#llx, its children say %#llx", level, i,
                             (unsigned long long)tree->level[level][i], (unsigned long long)merged);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status validate_totals(const struct page_tree *tree,
                                          const struct page_totals *totals,
                                          struct quarry_error *error)
{
    if (tree->total_pages != totals->total || tree->free_pages != totals->free ||
        tree->scavenged_pages != totals->scavenged) {
        return error_set(
            error, QUARRY_CORRUPT,
            "counts say %llu pages, %llu free, %llu scavenged; bitmaps %llu, %llu, %llu",
            (unsigned long long)tree->total_pages, (unsigned long long)tree->free_pages,
            (unsigned long long)tree->scavenged_pages, (unsigned long long)totals->total,
            (unsigned long long)totals->free, (unsigned long long)totals->scavenged);
    }
    if (tree->bare_pages != totals->bare) {
        return error_set(error, QUARRY_CORRUPT,
                         "%llu pages count as bare; %llu are in use and scavenged",
                         (unsigned long long)tree->bare_pages, (unsigned long long)totals->bare);
    }
    if (tree->huge_pages != totals->huge) {
        return error_set(error, QUARRY_CORRUPT, "%llu pages count as huge, %llu are marked so",
                         (unsigned long long)tree->huge_pages, (unsigned long long)totals->huge);
    }
    if (tree->search_page > totals->first_free) {
        return error_set(error, QUARRY_CORRUPT, "search begins at page %llu, and %llu is free",
                         (unsigned long long)tree->search_page,
                         (unsigned long long)totals->first_free);
    }
    if (tree->search_page != PAGE_NONE &&
        !chunk_is_grown(tree, (uint32_t)(tree->search_page >> PAGE_CHUNK_SHIFT))) {
        return error_set(error, QUARRY_CORRUPT, "search begins at page %llu, which is not grown",
                         (unsigned long long)tree->search_page);
    }
    return QUARRY_OK;
}

enum quarry_status page_tree_validate(const struct page_tree *tree, struct quarry_error *error)
{
    struct page_totals totals = {.first_free = PAGE_NONE};
    enum quarry_status status = validate_ranges(tree, error);

    for (uint32_t i = 0; i < tree->ranges.count && status == QUARRY_OK; i++) {
        struct page_range range = tree->ranges.range[i];
        for (uint32_t chunk = range.first; chunk < range.end && status == QUARRY_OK; chunk++) {
            status = validate_chunk(tree, chunk, &totals, error);
        }
        for (uint32_t level = 0; level < PAGE_LEVELS - 1 && status == QUARRY_OK; level++) {
            status = validate_level(tree, level, range, error);
        }
    }
    return status == QUARRY_OK ? validate_totals(tree, &totals, error) : status;
}
