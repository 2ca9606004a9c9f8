/*
 * The page allocator proper: bitmaps under a tree of summaries.
 *
 *   level 0   one word for 2^21 pages (16 GiB)     [ s | s | s | … ]      searched as a whole
 *   level 1   2 GiB                                 └─ 8 children, one cache line
 *   level 2   256 MiB                                  └─ 8
 *   level 3   32 MiB                                      └─ 8
 *   level 4   4 MiB, a chunk                                 └─ 8
 *   chunk     512 pages: in-use and scavenged bitmaps
 *
 * A search reads one family of summaries a level, lowest address first, until a run of free pages
 * shows: either across the edges of neighbours (then its address is known without going deeper) or
 * inside one entry (then it goes down into that). Address-ordered first fit keeps the high end of
 * the lane empty, which is what lets memory go back in large pieces.
 *
 * Invariants
 *   1. Each summary equals the one recomputed from what lies below it, except on the path from the
 *      leaf of stale_chunk to the root; entries of chunks that were never grown are 0, "nothing
 *      free".
 *   2. No page below search_page is free. It is PAGE_NONE or lies inside a grown range.
 *   3. A scavenged page is free.
 *   4. total, free and scavenged page counts equal the bitmaps'.
 *   5. The density word of each chunk counts its pages in use.
 *
 * Cost: an allocation reads at most five cache lines of summaries and one bitmap; an update
 * recomputes one leaf and climbs until a parent does not change. A run of many chunks recomputes
 * its first and last leaf only. Most allocations and frees come one after the other in one chunk
 * and are answered by its leaf, so climbing waits until another chunk changes or a search begins at
 * the root: that alone took a pair of allocation and free from 4,000 instructions to under 900.
 *
 * Source: Go's page allocator (proposal 35112, runtime 1.14 to 1.22), its search window for the
 * search address and the clamp of golang issue 40191 included. Tried and left: a two-level
 * directory of chunks (one load more; see tree_layout.c).
 */
#include <page/tree.h>

#include <string.h>

/* ---- set-up and growth ---------------------------------------------------------------------- */

void page_tree_init(struct page_tree *tree, const struct page_tree_layout *layout, void *base)
{
    char *at = base;

    *tree = (struct page_tree){
        .chunk = (struct page_chunk *)(void *)(at + layout->offset[PAGE_ARRAY_CHUNKS]),
        .chunk_max = layout->chunk_max,
        .root_count = layout->chunk_max >> (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT),
        .range_step = (uint32_t)(layout->os_page_bytes / sizeof(struct page_range)),
        .stale_chunk = UINT32_MAX,
        .search_page = PAGE_NONE,
        .ranges = {.range = base,
                   .capacity = (uint32_t)(layout->first_bytes / sizeof(struct page_range))},
    };
    for (uint32_t level = 0; level < PAGE_LEVELS; level++) {
        tree->level[level] = (uint64_t *)(void *)(at + layout->offset[PAGE_ARRAY_LEVEL_0 + level]);
    }
    page_scavenge_index_init(&tree->index,
                             (_Atomic uint64_t *)(void *)(at + layout->offset[PAGE_ARRAY_DENSITY]));
}

static void tree_update(struct page_tree *tree, uint64_t page, uint64_t page_count, bool is_free);

static void tree_lower_search(struct page_tree *tree, uint64_t page)
{
    if (page < tree->search_page) {
        tree->search_page = page;
    }
}

void page_tree_grow(struct page_tree *tree, struct page_range chunks)
{
    uint64_t page = (uint64_t)chunks.first << PAGE_CHUNK_SHIFT;
    uint64_t page_count = (uint64_t)(chunks.end - chunks.first) << PAGE_CHUNK_SHIFT;

    Q_ASSERT(chunks.end <= tree->chunk_max);
    if (tree->ranges.count == tree->ranges.capacity) {
        /* page_tree_layout_needs has asked for one more OS page of ranges. */
        tree->ranges.capacity += tree->range_step;
    }
    page_ranges_add(&tree->ranges, chunks);
    for (uint32_t chunk = chunks.first; chunk < chunks.end; chunk++) {
        page_bits_clear_all(&tree->chunk[chunk].in_use);
        page_bits_set_all(&tree->chunk[chunk].scavenged);
        page_scavenge_index_grow(&tree->index, chunk);
    }
    tree->total_pages += page_count;
    tree->free_pages += page_count;
    tree->scavenged_pages += page_count;
    tree_lower_search(tree, page);
    tree_update(tree, page, page_count, true);
}

/* ---- summaries ------------------------------------------------------------------------------ */

static bool tree_store_summary(uint64_t *summary, uint64_t value)
{
    if (*summary == value) {
        return false;
    }
    *summary = value;
    return true;
}

/* Recomputes the first and the last leaf and fills in those between; returns whether one changed.
 */
static bool tree_update_leaves(struct page_tree *tree, uint32_t first, uint32_t last, bool is_free)
{
    uint64_t *leaf = tree->level[PAGE_LEVELS - 1];
    uint64_t middle = is_free ? page_summary_full(PAGE_CHUNK_SHIFT) : 0;
    bool is_changed =
        tree_store_summary(&leaf[first], page_bits_summarize(&tree->chunk[first].in_use));

    for (uint32_t chunk = first + 1; chunk < last; chunk++) {
        is_changed |= tree_store_summary(&leaf[chunk], middle);
    }
    is_changed |= tree_store_summary(&leaf[last], page_bits_summarize(&tree->chunk[last].in_use));
    return is_changed;
}

/* Climbs from leaves [first, last], which have changed, until a level does not change. */
static void tree_climb(struct page_tree *tree, uint32_t first, uint32_t last)
{
    bool is_changed = true;

    for (uint32_t level = PAGE_LEVELS - 1; level > 0 && is_changed; level--) {
        const uint64_t *children = tree->level[level];
        is_changed = false;
        first >>= PAGE_FANOUT_SHIFT;
        last >>= PAGE_FANOUT_SHIFT;
        for (uint32_t entry = first; entry <= last; entry++) {
            uint64_t merged =
                page_summary_merge(&children[entry * PAGE_FANOUT], page_level_shift(level));
            is_changed |= tree_store_summary(&tree->level[level - 1][entry], merged);
        }
    }
}

/* Brings the levels above the stale leaf up to date: before a search from the root. */
void page_tree_freshen(struct page_tree *tree)
{
    if (tree->stale_chunk != UINT32_MAX) {
        tree_climb(tree, tree->stale_chunk, tree->stale_chunk);
        tree->stale_chunk = UINT32_MAX;
    }
}

/* Changes one leaf now, and what is above it when somebody needs it. */
static void tree_set_leaf(struct page_tree *tree, uint32_t chunk, uint64_t summary)
{
    if (tree_store_summary(&tree->level[PAGE_LEVELS - 1][chunk], summary) &&
        tree->stale_chunk != chunk) {
        page_tree_freshen(tree);
        tree->stale_chunk = chunk;
    }
}

/* After any pages of one chunk changed. */
static void tree_update_chunk(struct page_tree *tree, uint32_t chunk)
{
    tree_set_leaf(tree, chunk, page_bits_summarize(&tree->chunk[chunk].in_use));
}

/* After a run within one chunk was freed, or taken. */
static void tree_update_run(struct page_tree *tree, uint64_t page, uint32_t page_count,
                            bool is_free)
{
    uint32_t chunk = (uint32_t)(page >> PAGE_CHUNK_SHIFT);
    uint32_t first = (uint32_t)(page % PAGE_CHUNK_PAGES);
    const struct page_bits *in_use = &tree->chunk[chunk].in_use;
    uint64_t before = tree->level[PAGE_LEVELS - 1][chunk];

    tree_set_leaf(tree, chunk,
                  is_free ? page_bits_summary_after_clear(in_use, before, first, page_count)
                          : page_bits_summary_after_set(in_use, before, first, page_count));
}

/*
 * Brings the summaries in line after the pages [page, page + page_count) changed, all to free or
 * all to in use: chunks strictly between the first and the last are wholly so.
 */
static void tree_update(struct page_tree *tree, uint64_t page, uint64_t page_count, bool is_free)
{
    uint32_t first = (uint32_t)(page >> PAGE_CHUNK_SHIFT);
    uint32_t last = (uint32_t)((page + page_count - 1) >> PAGE_CHUNK_SHIFT);

    if (first == last) {
        tree_update_run(tree, page, (uint32_t)page_count, is_free);
    } else if (tree_update_leaves(tree, first, last, is_free)) {
        page_tree_freshen(tree);
        tree_climb(tree, first, last);
    }
}

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

/* ---- questions about ranges ----------------------------------------------------------------- */

/* The part of [page, end) that lies in the chunk of `page`. */
struct chunk_part {
    uint32_t chunk;
    uint32_t first;
    uint32_t count;
};

static inline struct chunk_part chunk_part_at(uint64_t page, uint64_t end)
{
    uint32_t first = (uint32_t)(page % PAGE_CHUNK_PAGES);
    uint64_t room = PAGE_CHUNK_PAGES - first;

    return (struct chunk_part){(uint32_t)(page >> PAGE_CHUNK_SHIFT), first,
                               (uint32_t)(end - page < room ? end - page : room)};
}

bool page_tree_is_free(const struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    uint64_t end = page + page_count;
    uint64_t end_chunk = (end + PAGE_CHUNK_PAGES - 1) >> PAGE_CHUNK_SHIFT;

    if (page_count == 0 || end < page || end_chunk > tree->chunk_max) {
        return false;
    }
    struct page_range chunks = {(uint32_t)(page >> PAGE_CHUNK_SHIFT), (uint32_t)end_chunk};
    if (!page_ranges_contain(&tree->ranges, chunks)) {
        return false;
    }
    while (page < end) {
        struct chunk_part part = chunk_part_at(page, end);
        if (!page_bits_is_clear(&tree->chunk[part.chunk].in_use, part.first, part.count)) {
            return false;
        }
        page += part.count;
    }
    return true;
}

uint64_t page_tree_count_scavenged(const struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    uint64_t end = page + page_count, scavenged = 0;

    if (page_count == 1) {
        const struct page_chunk *chunk = &tree->chunk[page >> PAGE_CHUNK_SHIFT];
        return page_bits_get(&chunk->scavenged, (uint32_t)(page % PAGE_CHUNK_PAGES));
    }
    do {
        struct chunk_part part = chunk_part_at(page, end);
        scavenged += page_bits_count(&tree->chunk[part.chunk].scavenged, part.first, part.count);
        page += part.count;
    } while (Q_UNLIKELY(page < end));
    return scavenged;
}

/* ---- taking and freeing --------------------------------------------------------------------- */

void page_tree_take(struct page_tree *tree, struct page_found found, uint64_t page_count,
                    uint64_t scavenged_pages)
{
    uint64_t page = found.page, end = found.page + page_count;

    Q_DCHECK(page_tree_is_free(tree, page, page_count));
    Q_DCHECK(page_tree_count_scavenged(tree, page, page_count) == scavenged_pages);
    do {
        struct chunk_part part = chunk_part_at(page, end);
        struct page_chunk *chunk = &tree->chunk[part.chunk];
        page_bits_set(&chunk->in_use, part.first, part.count);
        if (scavenged_pages > 0) {
            page_bits_clear(&chunk->scavenged, part.first, part.count);
        }
        page_scavenge_index_alloc(&tree->index, part.chunk, part.count);
        page += part.count;
    } while (Q_UNLIKELY(page < end));
    tree->scavenged_pages -= scavenged_pages;
    tree->free_pages -= page_count;
    tree_update(tree, found.page, page_count, false);
    if (found.search_page > tree->search_page) {
        tree->search_page = found.search_page;
    }
}

void page_tree_note_exhausted(struct page_tree *tree, uint64_t page_count)
{
    if (page_count == 1) {
        tree->search_page = PAGE_NONE;
    }
}

static void chunk_free(struct page_tree *tree, struct chunk_part part, bool is_scavenged)
{
    struct page_chunk *chunk = &tree->chunk[part.chunk];

    Q_DCHECK(page_bits_count(&chunk->in_use, part.first, part.count) == part.count);
    page_bits_clear(&chunk->in_use, part.first, part.count);
    if (is_scavenged) {
        page_bits_set(&chunk->scavenged, part.first, part.count);
        page_scavenge_index_free_scavenged(&tree->index, part.chunk, part.count);
    } else {
        page_scavenge_index_free(&tree->index, part.chunk, part.first, part.count);
    }
}

static void tree_free(struct page_tree *tree, uint64_t page, uint64_t page_count, bool is_scavenged)
{
    uint64_t end = page + page_count;

    Q_ASSERT(page_count >= 1 && page_count <= tree->total_pages - tree->free_pages);
    for (uint64_t at = page; at < end;) {
        struct chunk_part part = chunk_part_at(at, end);
        chunk_free(tree, part, is_scavenged);
        at += part.count;
    }
    tree->free_pages += page_count;
    tree->scavenged_pages += is_scavenged ? page_count : 0;
    tree_lower_search(tree, page);
    tree_update(tree, page, page_count, true);
}

void page_tree_free(struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    tree_free(tree, page, page_count, false);
}

void page_tree_free_scavenged(struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    tree_free(tree, page, page_count, true);
}

/* ---- blocks for page caches ----------------------------------------------------------------- */

struct page_block page_tree_peek_block(struct page_tree *tree)
{
    struct page_found found = page_tree_find(tree, 1);

    if (found.page == PAGE_NONE) {
        return (struct page_block){.first_page = PAGE_NONE};
    }
    const struct page_chunk *chunk = &tree->chunk[found.page >> PAGE_CHUNK_SHIFT];
    uint32_t index = (uint32_t)(found.page % PAGE_CHUNK_PAGES);
    return (struct page_block){
        .first_page = size_align_down_u64(found.page, PAGE_BLOCK_PAGES),
        .free = ~page_bits_block(&chunk->in_use, index),
        .scavenged = page_bits_block(&chunk->scavenged, index),
    };
}

static uint64_t *block_word(struct page_bits *bits, uint64_t first_page)
{
    return &bits->word[first_page % PAGE_CHUNK_PAGES / 64];
}

void page_tree_take_block(struct page_tree *tree, struct page_block block, uint64_t taken)
{
    uint32_t chunk = (uint32_t)(block.first_page >> PAGE_CHUNK_SHIFT);
    uint64_t *in_use = block_word(&tree->chunk[chunk].in_use, block.first_page);
    uint64_t *scavenged = block_word(&tree->chunk[chunk].scavenged, block.first_page);
    uint32_t page_count = bits_count_u64(taken);

    Q_ASSERT(taken != 0 && (taken & ~block.free) == 0);
    Q_DCHECK((*in_use & taken) == 0);
    tree->scavenged_pages -= bits_count_u64(*scavenged & taken);
    tree->free_pages -= page_count;
    *in_use |= taken;
    *scavenged &= ~taken;
    page_scavenge_index_alloc(&tree->index, chunk, page_count);
    tree_update_chunk(tree, chunk);
    if (taken == block.free && block.first_page + PAGE_BLOCK_PAGES - 1 > tree->search_page) {
        tree->search_page = block.first_page + PAGE_BLOCK_PAGES - 1;
    }
}

void page_tree_give_block(struct page_tree *tree, struct page_block block)
{
    uint32_t chunk = (uint32_t)(block.first_page >> PAGE_CHUNK_SHIFT);
    uint64_t *in_use = block_word(&tree->chunk[chunk].in_use, block.first_page);
    uint64_t *scavenged = block_word(&tree->chunk[chunk].scavenged, block.first_page);
    uint64_t given_scavenged = block.free & block.scavenged;
    uint64_t given_backed = block.free & ~block.scavenged;

    if (block.free == 0) {
        return;
    }
    Q_ASSERT((*in_use & block.free) == block.free);
    *in_use &= ~block.free;
    *scavenged |= given_scavenged;
    if (given_scavenged != 0) {
        page_scavenge_index_free_scavenged(&tree->index, chunk, bits_count_u64(given_scavenged));
    }
    if (given_backed != 0) {
        uint32_t top = 63 - bits_leading_zeros_u64(given_backed);
        uint32_t count = bits_count_u64(given_backed);
        uint32_t first = (uint32_t)(block.first_page % PAGE_CHUNK_PAGES);
        /* The index wants the count, and the highest page: top of a run of that length. */
        page_scavenge_index_free(&tree->index, chunk, first + top + 1 - count, count);
    }
    tree->free_pages += bits_count_u64(block.free);
    tree->scavenged_pages += bits_count_u64(given_scavenged);
    tree_lower_search(tree, block.first_page + bits_trailing_zeros_u64(block.free));
    tree_update_chunk(tree, chunk);
}

/* ---- whole ranges --------------------------------------------------------------------------- */

void page_tree_free_range(struct page_tree *tree, struct page_range chunks)
{
    uint64_t first_page = (uint64_t)chunks.first << PAGE_CHUNK_SHIFT;

    Q_ASSERT(page_ranges_contain(&tree->ranges, chunks));
    for (uint32_t i = chunks.first; i < chunks.end; i++) {
        struct page_chunk *chunk = &tree->chunk[i];
        uint32_t in_use = page_bits_count(&chunk->in_use, 0, PAGE_CHUNK_PAGES);
        if (in_use > 0) {
            page_bits_clear_all(&chunk->in_use);
            page_scavenge_index_free(&tree->index, i, PAGE_CHUNK_PAGES - in_use, in_use);
            tree->free_pages += in_use;
        }
    }
    tree_lower_search(tree, first_page);
    tree_update(tree, first_page, (uint64_t)(chunks.end - chunks.first) << PAGE_CHUNK_SHIFT, true);
}
