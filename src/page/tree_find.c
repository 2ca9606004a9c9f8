/*
 * Finding runs in the tree: the searches of the allocator.
 *
 * One family of summaries a level is read, lowest address first. A run of free pages shows either
 * across the edges of neighbours, and then its address is known without going deeper, or inside one
 * entry, and then the search goes down into that one:
 *
 *   level 3   [ used | ..## | ###. | used | …        a run of five across an edge: found here
 *   level 4   [ used | #..# | …                      a run of two inside an entry: found below
 *
 * On the way the search narrows a window in which the lowest free page must lie; its base is what
 * the search address may rise to when the run is taken. It is clamped to what is grown, for a
 * summary may cover chunks that are not.
 *
 * Invariants are those of tree.c; a parent that promises a run which its children do not have is a
 * corrupted tree, and asserts.
 *
 * Cost: at most five cache lines and one bitmap; the walk over stretches, O(chunks + stretches).
 */
#include <page/tree.h>

/* ---- finding -------------------------------------------------------------------------------- */

static struct page_found found_nothing(void)
{
    return (struct page_found){PAGE_NONE, PAGE_NONE};
}

/*
 * Where the first free page may be: [base, bound]. Narrowed by each summary that has something free
 * and lies inside the window; those after it at the same level lie outside, and change nothing.
 */
struct free_window {
    uint64_t base;
    uint64_t bound;
};

static void window_narrow(struct free_window *window, uint64_t page, uint64_t page_count)
{
    uint64_t bound = page + page_count - 1;

    if (window->base <= page && bound <= window->bound) {
        window->base = page;
        window->bound = bound;
    } else {
        Q_DCHECK(bound < window->base || window->bound < page);
    }
}

/* One family of summaries, or the whole root, scanned for a run. */
struct level_scan {
    uint64_t run_page;  /* where the run across edges begins */
    uint64_t run_pages; /* its length, at least the wanted count; 0: there is none */
    uint32_t entry;     /* then the entry to go down into, UINT32_MAX: none */
};

static struct level_scan tree_scan_level(const struct page_tree *tree, uint32_t level,
                                         uint32_t first, uint32_t end, uint64_t page_count,
                                         struct free_window *window)
{
    const uint32_t shift = page_level_shift(level);
    const uint64_t entry_pages = (uint64_t)1 << shift;
    struct level_scan scan = {.entry = UINT32_MAX};

    for (uint32_t entry = first; entry < end; entry++) {
        uint64_t summary = tree->level[level][entry];
        if (summary == 0) {
            scan.run_pages = 0;
            continue;
        }
        window_narrow(window, (uint64_t)entry << shift, entry_pages);
        uint64_t start = page_summary_start(summary);
        if (scan.run_pages == 0) {
            scan.run_page = (uint64_t)entry << shift;
        }
        if (scan.run_pages + start >= page_count) {
            scan.run_pages += start;
            return scan;
        }
        if (page_summary_max(summary) >= page_count) {
            scan.entry = entry;
            scan.run_pages = 0;
            return scan;
        }
        if (start == entry_pages) {
            scan.run_pages += entry_pages;
        } else {
            scan.run_pages = page_summary_end(summary);
            scan.run_page = ((uint64_t)(entry + 1) << shift) - scan.run_pages;
        }
    }
    scan.run_pages = 0;
    return scan;
}

/* The run of a chunk that is known to hold one. */
static uint64_t tree_find_in_chunk(const struct page_tree *tree, uint32_t chunk, uint32_t from,
                                   uint32_t page_count, struct free_window *window)
{
    uint64_t chunk_page = (uint64_t)chunk << PAGE_CHUNK_SHIFT;
    uint32_t first_free;
    uint32_t index = page_bits_find(&tree->chunk[chunk].in_use, page_count, from, &first_free);

    /* The summary says there is one: anything else is a corrupted tree (invariant 1). */
    Q_ASSERT(index != PAGE_BITS_NONE);
    window_narrow(window, chunk_page + first_free, PAGE_CHUNK_PAGES - first_free);
    return chunk_page + index;
}

/* The root entries of a range: [first, end). */
static uint32_t range_first_root(struct page_range range)
{
    return range.first >> (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT);
}

static uint32_t range_end_root(struct page_range range)
{
    return ((range.end - 1) >> (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT)) + 1;
}

/*
 * The root from the search address on, range by range: entries that no range covers may not be
 * ready to touch. Ranges whose root entries meet are scanned as one, since they may share an entry.
 */
static struct level_scan tree_scan_root(const struct page_tree *tree, uint64_t page_count,
                                        struct free_window *window)
{
    const struct page_ranges *ranges = &tree->ranges;
    uint32_t search_root = (uint32_t)(tree->search_page >> PAGE_ROOT_SHIFT);
    uint32_t i = page_ranges_find(ranges, (uint32_t)(tree->search_page >> PAGE_CHUNK_SHIFT));
    struct level_scan scan = {.entry = UINT32_MAX};

    while (i < ranges->count && scan.run_pages == 0 && scan.entry == UINT32_MAX) {
        uint32_t first = range_first_root(ranges->range[i]);
        uint32_t end = range_end_root(ranges->range[i]);
        for (i++; i < ranges->count && range_first_root(ranges->range[i]) <= end; i++) {
            end = range_end_root(ranges->range[i]);
        }
        first = search_root > first ? search_root : first;
        scan = tree_scan_level(tree, 0, first, end, page_count, window);
    }
    return scan;
}

/* A family below the root, from the search address on if it lies there. */
static struct level_scan tree_scan_family(const struct page_tree *tree, uint32_t level,
                                          uint32_t parent, uint64_t page_count,
                                          struct free_window *window)
{
    uint32_t first = parent << PAGE_FANOUT_SHIFT, end = first + PAGE_FANOUT;
    uint64_t search_entry = tree->search_page >> page_level_shift(level);
    uint32_t from = search_entry > first && search_entry < end ? (uint32_t)search_entry : first;
    struct level_scan scan = tree_scan_level(tree, level, from, end, page_count, window);

    /* The parent promised a run (invariant 1). */
    Q_ASSERT(scan.run_pages >= page_count || scan.entry != UINT32_MAX);
    return scan;
}

static struct page_found tree_find_from_root(struct page_tree *tree, uint64_t page_count)
{
    struct free_window window = {0, PAGE_NONE};

    page_tree_freshen(tree);
    struct level_scan scan = tree_scan_root(tree, page_count, &window);

    if (scan.run_pages == 0 && scan.entry == UINT32_MAX) {
        return found_nothing();
    }
    for (uint32_t level = 1; level < PAGE_LEVELS && scan.run_pages == 0; level++) {
        scan = tree_scan_family(tree, level, scan.entry, page_count, &window);
    }
    uint64_t page = scan.run_pages > 0
                        ? scan.run_page
                        : tree_find_in_chunk(tree, scan.entry, 0, (uint32_t)page_count, &window);
    return (struct page_found){page, page_ranges_clamp(&tree->ranges, window.base)};
}

struct page_found page_tree_find(struct page_tree *tree, uint64_t page_count)
{
    Q_ASSERT(page_count >= 1);
    if (tree->search_page == PAGE_NONE) {
        return found_nothing();
    }
    /* Most runs are short and fit the chunk of the search address. */
    uint32_t chunk = (uint32_t)(tree->search_page >> PAGE_CHUNK_SHIFT);
    uint32_t from = (uint32_t)(tree->search_page % PAGE_CHUNK_PAGES);
    if (page_count <= PAGE_CHUNK_PAGES - from &&
        page_summary_max(tree->level[PAGE_LEVELS - 1][chunk]) >= page_count) {
        struct free_window window = {0, PAGE_NONE};
        uint64_t page = tree_find_in_chunk(tree, chunk, from, (uint32_t)page_count, &window);
        return (struct page_found){page, window.base};
    }
    return tree_find_from_root(tree, page_count);
}

/* ---- stretches ------------------------------------------------------------------------------ */

static uint64_t tree_end_page(const struct page_tree *tree)
{
    const struct page_ranges *ranges = &tree->ranges;

    return ranges->count == 0 ? 0
                              : (uint64_t)ranges->range[ranges->count - 1].end << PAGE_CHUNK_SHIFT;
}

/* The free pages of a word, or those that are free and backed. */
static uint64_t chunk_free_word(const struct page_chunk *chunk, uint32_t i, bool is_backed)
{
    return is_backed ? ~(chunk->in_use.word[i] | chunk->scavenged.word[i]) : ~chunk->in_use.word[i];
}

/* As tree_next_page, within [page, end) of one grown range; `end` if there is none. */
static uint64_t range_next_page(const struct page_tree *tree, uint64_t page, uint64_t end,
                                bool is_free, bool is_backed)
{
    while (page < end) {
        uint32_t chunk = (uint32_t)(page >> PAGE_CHUNK_SHIFT);
        if (is_free && tree->level[PAGE_LEVELS - 1][chunk] == 0) {
            page = ((uint64_t)chunk + 1) << PAGE_CHUNK_SHIFT;
            continue;
        }
        uint32_t index = (uint32_t)(page % PAGE_CHUNK_PAGES);
        uint64_t word = chunk_free_word(&tree->chunk[chunk], index / 64, is_backed);
        word = (is_free ? word : ~word) & (UINT64_MAX << (index % 64));
        if (word != 0) {
            return (page & ~(uint64_t)63) + bits_trailing_zeros_u64(word);
        }
        page = (page & ~(uint64_t)63) + 64;
    }
    return end;
}

/* The first page at or above `page` that is (or is not) free (and backed); the tree's end if none.
 */
static uint64_t tree_next_page(const struct page_tree *tree, uint64_t page, bool is_free,
                               bool is_backed)
{
    const struct page_ranges *ranges = &tree->ranges;

    if (page >= tree_end_page(tree)) {
        return tree_end_page(tree);
    }
    for (uint32_t i = page_ranges_find(ranges, (uint32_t)(page >> PAGE_CHUNK_SHIFT));
         i < ranges->count; i++) {
        uint64_t first = (uint64_t)ranges->range[i].first << PAGE_CHUNK_SHIFT;
        uint64_t end = (uint64_t)ranges->range[i].end << PAGE_CHUNK_SHIFT;
        if (page < first && !is_free) {
            return page; /* what was never grown is not free */
        }
        page = range_next_page(tree, size_max_u64(page, first), end, is_free, is_backed);
        if (page < end) {
            return page;
        }
    }
    return page;
}

static bool tree_next_stretch(const struct page_tree *tree, uint64_t from, bool is_backed,
                              struct page_stretch *ret_stretch)
{
    uint64_t page = tree_next_page(tree, from, true, is_backed);

    if (page >= tree_end_page(tree)) {
        return false;
    }
    ret_stretch->page = page;
    ret_stretch->page_count = tree_next_page(tree, page, false, is_backed) - page;
    return true;
}

bool page_tree_next_free(const struct page_tree *tree, uint64_t from,
                         struct page_stretch *ret_stretch)
{
    return tree_next_stretch(tree, from, false, ret_stretch);
}

bool page_tree_next_backed(const struct page_tree *tree, uint64_t from,
                           struct page_stretch *ret_stretch)
{
    return tree_next_stretch(tree, from, true, ret_stretch);
}

/* The first page of [page, end) whose scavenged bit is as asked; `end` if there is none. */
static uint64_t next_scavenged(const struct page_tree *tree, uint64_t page, uint64_t end,
                               bool is_scavenged)
{
    while (page < end) {
        const struct page_chunk *chunk = &tree->chunk[page >> PAGE_CHUNK_SHIFT];
        uint64_t word = page_bits_block(&chunk->scavenged, (uint32_t)(page % PAGE_CHUNK_PAGES));
        word = (is_scavenged ? word : ~word) & (UINT64_MAX << (page % 64));
        if (word != 0) {
            return size_min_u64((page & ~(uint64_t)63) + bits_trailing_zeros_u64(word), end);
        }
        page = (page & ~(uint64_t)63) + 64;
    }
    return end;
}

bool page_tree_next_unscavenged(const struct page_tree *tree, uint64_t page, uint64_t end,
                                struct page_stretch *ret_stretch)
{
    uint64_t first = next_scavenged(tree, page, end, false);

    if (first >= end) {
        return false;
    }
    *ret_stretch = (struct page_stretch){first, next_scavenged(tree, first, end, true) - first};
    return true;
}

/* ---- finding with alignment ----------------------------------------------------------------- */

/* Every run, lowest first, until an aligned one fits. O(chunks + runs): only before giving up. */
static uint64_t tree_find_aligned_slow(const struct page_tree *tree, uint64_t page_count,
                                       uint64_t align_pages)
{
    struct page_stretch run = {tree->search_page, 0};

    while (page_tree_next_free(tree, run.page + run.page_count, &run)) {
        uint64_t skipped = size_align_up_u64(run.page, align_pages) - run.page;
        if (skipped < run.page_count && run.page_count - skipped >= page_count) {
            return run.page + skipped;
        }
    }
    return PAGE_NONE;
}

struct page_found page_tree_find_aligned(struct page_tree *tree, uint64_t page_count,
                                         uint64_t align_pages)
{
    Q_ASSERT(bits_is_power_of_two_u64(align_pages));
    struct page_found found = page_tree_find(tree, page_count);
    if (found.page == PAGE_NONE || size_is_aligned_u64(found.page, align_pages)) {
        return found;
    }
    struct page_found wide = page_tree_find(tree, page_count + align_pages - 1);
    if (wide.page != PAGE_NONE) {
        found.page = size_align_up_u64(wide.page, align_pages);
    } else {
        found.page = tree_find_aligned_slow(tree, page_count, align_pages);
    }
    return found;
}
