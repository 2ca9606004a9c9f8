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
 * A search (tree_find.c) reads one family of summaries a level, lowest address first, until a run
 * of free pages shows: either across the edges of neighbours (then its address is known without
 * going deeper) or inside one entry (then it goes down into that). Address-ordered first fit keeps
 * the high end of the lane empty, which is what lets memory go back in large pieces.
 *
 * Invariants
 *   1. Each summary equals the one recomputed from what lies below it, except on the path from the
 *      leaf of stale_chunk to the root; entries of chunks that were never grown are 0, "nothing
 *      free".
 *   2. No page below search_page is free. It is PAGE_NONE or lies inside a grown range.
 *   3. A scavenged page is free, or of a run that was reserved and has not been backed there
 *      (bare). Whoever else takes pages takes them backed.
 *   4. total, free, scavenged and bare page counts equal the bitmaps'.
 *   5. The density word of each chunk counts its pages in use.
 *   6. No page of a half that is marked huge is scavenged; huge_pages counts their pages.
 *
 * Cost: an allocation reads at most five cache lines of summaries and one bitmap; an update
 * recomputes one leaf and climbs until a parent does not change. A run of many chunks recomputes
 * its first and last leaf only. Most allocations and frees come one after the other in one chunk
 * and are answered by its leaf, so climbing waits until another chunk changes or a search begins at
 * the root (docs/decisions/0004).
 *
 * Source: Go's page allocator (proposal 35112, runtime 1.14 to 1.22), its search window for the
 * search address and the clamp of golang issue 40191 included. Tried and left: a two-level
 * directory of chunks (one load more; see tree_layout.c).
 */
#include <page/tree.h>

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

/* ---- halves of chunks ----------------------------------------------------------------------- */

/* Flags of a half are those of the low one, shifted. */
static uint32_t half_shift(uint64_t page)
{
    return page % PAGE_CHUNK_PAGES >= PAGE_HALF_PAGES;
}

bool page_tree_half_is_whole(const struct page_tree *tree, uint64_t page)
{
    const struct page_chunk *chunk = &tree->chunk[page >> PAGE_CHUNK_SHIFT];
    uint32_t first = (uint32_t)(page % PAGE_CHUNK_PAGES) / 64;

    Q_ASSERT(page % PAGE_HALF_PAGES == 0);
    for (uint32_t word = first; word < first + PAGE_HALF_PAGES / 64; word++) {
        if (chunk->in_use.word[word] != UINT64_MAX || chunk->scavenged.word[word] != 0) {
            return false;
        }
    }
    return true;
}

enum page_half_state page_tree_half_state(const struct page_tree *tree, uint64_t page)
{
    uint32_t flags =
        page_scavenge_index_flags(&tree->index, (uint32_t)(page >> PAGE_CHUNK_SHIFT)) >>
        half_shift(page);

    if (flags & PAGE_DENSITY_IS_HUGE) {
        return PAGE_HALF_HUGE;
    }
    return flags & PAGE_DENSITY_WAS_WHOLE ? PAGE_HALF_WHOLE : PAGE_HALF_PLAIN;
}

void page_tree_half_set(struct page_tree *tree, uint64_t page, enum page_half_state state)
{
    static const uint32_t flag[] = {0, PAGE_DENSITY_WAS_WHOLE, PAGE_DENSITY_IS_HUGE};
    enum page_half_state before = page_tree_half_state(tree, page);
    uint32_t both = (uint32_t)(PAGE_DENSITY_WAS_WHOLE | PAGE_DENSITY_IS_HUGE) << half_shift(page);

    if (state == before) {
        return;
    }
    /* Invariant 6. */
    Q_ASSERT(state != PAGE_HALF_HUGE ||
             page_tree_count_scavenged(tree, page, PAGE_HALF_PAGES) == 0);
    tree->huge_pages -= before == PAGE_HALF_HUGE ? PAGE_HALF_PAGES : 0;
    tree->huge_pages += state == PAGE_HALF_HUGE ? PAGE_HALF_PAGES : 0;
    page_scavenge_index_set_flags(&tree->index, (uint32_t)(page >> PAGE_CHUNK_SHIFT), both,
                                  flag[state] << half_shift(page));
}

/* Pages of the part have lost their backing: the kernel has split the huge page they were in. */
static void chunk_split_huge(struct page_tree *tree, struct chunk_part part)
{
    uint64_t page = (uint64_t)part.chunk << PAGE_CHUNK_SHIFT;

    if (part.first < PAGE_HALF_PAGES) {
        page_tree_half_set(tree, page, PAGE_HALF_PLAIN);
    }
    if (part.first + part.count > PAGE_HALF_PAGES) {
        page_tree_half_set(tree, page + PAGE_HALF_PAGES, PAGE_HALF_PLAIN);
    }
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

uint64_t page_tree_take_bare(struct page_tree *tree, struct page_found found, uint64_t page_count)
{
    uint64_t page = found.page, end = found.page + page_count;
    uint64_t bare_pages = page_tree_count_scavenged(tree, page, page_count);

    Q_DCHECK(page_tree_is_free(tree, page, page_count));
    while (page < end) {
        struct chunk_part part = chunk_part_at(page, end);
        page_bits_set(&tree->chunk[part.chunk].in_use, part.first, part.count);
        page_scavenge_index_alloc(&tree->index, part.chunk, part.count);
        page += part.count;
    }
    tree->bare_pages += bare_pages;
    tree->free_pages -= page_count;
    tree_update(tree, found.page, page_count, false);
    if (found.search_page > tree->search_page) {
        tree->search_page = found.search_page;
    }
    return bare_pages;
}

void page_tree_back(struct page_tree *tree, uint64_t page, uint64_t page_count, uint64_t bare_pages)
{
    uint64_t end = page + page_count;

    Q_ASSERT(bare_pages <= tree->bare_pages);
    Q_DCHECK(page_tree_count_scavenged(tree, page, page_count) == bare_pages);
    while (page < end) {
        struct chunk_part part = chunk_part_at(page, end);
        page_bits_clear(&tree->chunk[part.chunk].scavenged, part.first, part.count);
        page += part.count;
    }
    tree->scavenged_pages -= bare_pages;
    tree->bare_pages -= bare_pages;
}

void page_tree_unback(struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    uint64_t end = page + page_count;

    Q_ASSERT(page_count <= tree->total_pages - tree->free_pages - tree->bare_pages);
    Q_DCHECK(page_tree_count_scavenged(tree, page, page_count) == 0);
    while (page < end) {
        struct chunk_part part = chunk_part_at(page, end);
        page_bits_set(&tree->chunk[part.chunk].scavenged, part.first, part.count);
        chunk_split_huge(tree, part);
        page += part.count;
    }
    tree->scavenged_pages += page_count;
    tree->bare_pages += page_count;
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
        chunk_split_huge(tree, part);
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

/* The part of a chunk becomes free; its scavenged bits say how, and stay. */
static void chunk_free_bare(struct page_tree *tree, struct chunk_part part)
{
    struct page_chunk *chunk = &tree->chunk[part.chunk];

    Q_DCHECK(page_bits_count(&chunk->in_use, part.first, part.count) == part.count);
    page_bits_clear(&chunk->in_use, part.first, part.count);
    if (page_bits_count(&chunk->scavenged, part.first, part.count) == part.count) {
        page_scavenge_index_free_scavenged(&tree->index, part.chunk, part.count);
    } else {
        page_scavenge_index_free(&tree->index, part.chunk, part.first, part.count);
    }
}

uint64_t page_tree_free_bare(struct page_tree *tree, uint64_t page, uint64_t page_count)
{
    uint64_t end = page + page_count;
    uint64_t bare_pages = page_tree_count_scavenged(tree, page, page_count);

    Q_ASSERT(page_count >= 1 && page_count <= tree->total_pages - tree->free_pages);
    Q_ASSERT(bare_pages <= tree->bare_pages);
    for (uint64_t at = page; at < end;) {
        struct chunk_part part = chunk_part_at(at, end);
        chunk_free_bare(tree, part);
        at += part.count;
    }
    tree->free_pages += page_count;
    tree->bare_pages -= bare_pages;
    tree_lower_search(tree, page);
    tree_update(tree, page, page_count, true);
    return bare_pages;
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
    Q_ASSERT(given_scavenged == 0 ||
             page_tree_half_state(tree, block.first_page) != PAGE_HALF_HUGE);
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

/* Pages of a chunk that are in use and scavenged. */
static uint32_t chunk_count_bare(const struct page_chunk *chunk)
{
    uint32_t count = 0;

    for (uint32_t word = 0; word < PAGE_BITS_WORDS; word++) {
        count += bits_count_u64(chunk->in_use.word[word] & chunk->scavenged.word[word]);
    }
    return count;
}

void page_tree_free_range(struct page_tree *tree, struct page_range chunks)
{
    uint64_t first_page = (uint64_t)chunks.first << PAGE_CHUNK_SHIFT;

    Q_ASSERT(page_ranges_contain(&tree->ranges, chunks));
    for (uint32_t i = chunks.first; i < chunks.end; i++) {
        struct page_chunk *chunk = &tree->chunk[i];
        uint32_t in_use = page_bits_count(&chunk->in_use, 0, PAGE_CHUNK_PAGES);
        if (in_use > 0) {
            tree->bare_pages -= chunk_count_bare(chunk);
            page_bits_clear_all(&chunk->in_use);
            page_scavenge_index_free(&tree->index, i, PAGE_CHUNK_PAGES - in_use, in_use);
            tree->free_pages += in_use;
        }
    }
    tree_lower_search(tree, first_page);
    tree_update(tree, first_page, (uint64_t)(chunks.end - chunks.first) << PAGE_CHUNK_SHIFT, true);
}
