/*
 * The page allocator proper: which pages of an index space are free, and where the next run goes.
 *
 * A tree knows page numbers, not addresses: page 0 is the lowest of its lane. It holds no lock and
 * makes no system call; the lane around it does both, and hands it metadata that is ready to touch.
 * All functions are to be called with the lane's lock held, or by the only thread that has the
 * tree.
 */
#ifndef QUARRY_PAGE_TREE_H
#define QUARRY_PAGE_TREE_H

#include <base/base.h>
#include <page/bits.h>
#include <page/collapse.h>
#include <page/constants.h>
#include <page/ranges.h>
#include <page/scavenge_index.h>
#include <page/summary.h>
#include <page/tree_layout.h>

/*
 * The leaf of the tree: two cache lines. A scavenged page has no backing. It is free, or bare: in
 * use by a run that was reserved, and not backed so far.
 */
struct page_chunk {
    struct page_bits in_use;
    struct page_bits scavenged;
};

struct page_tree {
    /* const after init; all in the lane's metadata reservation, see tree_layout.h */
    uint64_t *level[PAGE_LEVELS];
    struct page_chunk *chunk;
    uint32_t chunk_max;
    uint32_t root_count;
    uint32_t range_step; /* ranges in one OS page of metadata */
    /* guarded by the lane's lock */
    uint32_t stale_chunk; /* summaries above this leaf are not up to date; UINT32_MAX: all are */
    uint64_t search_page; /* nothing free lies below; PAGE_NONE, or inside a grown range */
    uint64_t total_pages; /* grown */
    uint64_t free_pages;
    uint64_t scavenged_pages;
    uint64_t bare_pages; /* of the scavenged ones: in use */
    uint64_t huge_pages; /* in halves of chunks that are PAGE_HALF_HUGE */
    struct page_ranges ranges;
    struct page_scavenge_index index;
};

/* Free pages with backing: what a scavenger could give back. */
static inline uint64_t page_tree_free_backed_pages(const struct page_tree *tree)
{
    return tree->free_pages - (tree->scavenged_pages - tree->bare_pages);
}

/* Where a run was found; pass it to page_tree_take with the lock held throughout. */
struct page_found {
    uint64_t page;        /* PAGE_NONE: nothing */
    uint64_t search_page; /* nothing free lies below this page before the run is taken */
};

/* `base` is the metadata reservation that `layout` describes, its first part ready to touch. */
void page_tree_init(struct page_tree *tree, const struct page_tree_layout *layout, void *base);

/*
 * Adds chunks, free and scavenged. Their metadata (page_tree_layout_needs) is ready to touch, and
 * reads as zero. Cost: O(chunks).
 */
void page_tree_grow(struct page_tree *tree, struct page_range chunks);

/*
 * The lowest run of `page_count` free pages.
 *
 * `page_count`: from 1. Returns: the run, or page PAGE_NONE.
 * Cost: at most one cache line a level and one bitmap.
 */
struct page_found page_tree_find(struct page_tree *tree, uint64_t page_count);

/*
 * A run that begins at a multiple of `align_pages` (a power of two). First fit among runs long
 * enough to hold the aligned one wherever they begin; only when there is none are all runs looked
 * at.
 */
struct page_found page_tree_find_aligned(struct page_tree *tree, uint64_t page_count,
                                         uint64_t align_pages);

/* Whether [page, page + page_count) is grown and free. */
bool page_tree_is_free(const struct page_tree *tree, uint64_t page, uint64_t page_count);

uint64_t page_tree_count_scavenged(const struct page_tree *tree, uint64_t page,
                                   uint64_t page_count);

/*
 * Marks free pages in use and not scavenged. `found.search_page` raises the search address.
 * `scavenged_pages`: what page_tree_count_scavenged says of them.
 */
void page_tree_take(struct page_tree *tree, struct page_found found, uint64_t page_count,
                    uint64_t scavenged_pages);

/* Brings every summary up to date; searches that need it do so themselves. */
void page_tree_freshen(struct page_tree *tree);

/*
 * The same for a run that is backed later: scavenged pages stay so, and are bare. Returns: how many
 * are.
 */
uint64_t page_tree_take_bare(struct page_tree *tree, struct page_found found, uint64_t page_count);

/*
 * Pages in use are backed from here on, or have lost their backing. `bare_pages`: how many of them
 * are bare, as page_tree_count_scavenged says. None that are unbacked may be bare.
 */
void page_tree_back(struct page_tree *tree, uint64_t page, uint64_t page_count,
                    uint64_t bare_pages);
void page_tree_unback(struct page_tree *tree, uint64_t page, uint64_t page_count);

/* What is known of one half of a chunk, that a huge page could be under. */
enum page_half_state {
    PAGE_HALF_PLAIN,
    PAGE_HALF_WHOLE, /* was wholly in use and backed at the last look */
    PAGE_HALF_HUGE,  /* lies in a huge page; it is PLAIN again when a page of it is scavenged */
};

/* `page`: the first of a half, grown. Whether all of it is in use and backed: cost O(words). */
bool page_tree_half_is_whole(const struct page_tree *tree, uint64_t page);
/* Of the half that `page` is in. */
enum page_half_state page_tree_half_state(const struct page_tree *tree, uint64_t page);
/* HUGE: no page of the half may be scavenged. */
void page_tree_half_set(struct page_tree *tree, uint64_t page, enum page_half_state state);

/* Tells the tree that a search for `page_count` pages found nothing. */
void page_tree_note_exhausted(struct page_tree *tree, uint64_t page_count);

/* Makes pages in use free, backed or scavenged. Stops climbing the tree where nothing changed. */
void page_tree_free(struct page_tree *tree, uint64_t page, uint64_t page_count);
void page_tree_free_scavenged(struct page_tree *tree, uint64_t page, uint64_t page_count);
/* Frees bare pages as scavenged, the others as backed. Returns: how many were bare. */
uint64_t page_tree_free_bare(struct page_tree *tree, uint64_t page, uint64_t page_count);

/* One aligned block of PAGE_BLOCK_PAGES pages; bit i of a mask is page `first_page` + i. */
struct page_block {
    uint64_t first_page; /* PAGE_NONE: nothing */
    uint64_t free;       /* free pages */
    uint64_t scavenged;  /* scavenged pages, some perhaps not free to the holder */
};

/* The block that holds the lowest free page, as it stands. */
struct page_block page_tree_peek_block(struct page_tree *tree);
/*
 * Marks `taken` (a part of block.free, not 0) in use and not scavenged. When all of block.free is
 * taken the search address moves to the block's last page: one past it may not be grown.
 */
void page_tree_take_block(struct page_tree *tree, struct page_block block, uint64_t taken);
/* Gives back the pages of block.free, as scavenged those that are in block.scavenged too. */
void page_tree_give_block(struct page_tree *tree, struct page_block block);

/*
 * Frees every page of a grown chunk range at once: whole words, no run looked at. Scavenged pages
 * stay so. For lanes whose lifetime ends. Cost: O(chunks).
 */
void page_tree_free_range(struct page_tree *tree, struct page_range chunks);

/* Neighbouring pages in the same state. */
struct page_stretch {
    uint64_t page;
    uint64_t page_count;
};

/*
 * The first whole stretch of free pages, or of free and backed ones, at or above page `from`.
 * Stretches reach over chunks. Returns: false when there is none.
 */
bool page_tree_next_free(const struct page_tree *tree, uint64_t from,
                         struct page_stretch *ret_stretch);
bool page_tree_next_backed(const struct page_tree *tree, uint64_t from,
                           struct page_stretch *ret_stretch);

/*
 * The first stretch of [page, end), all of it grown, that is not scavenged. Cut off at `end`.
 * Returns: false when there is none. Cost: O(words).
 */
bool page_tree_next_unscavenged(const struct page_tree *tree, uint64_t page, uint64_t end,
                                struct page_stretch *ret_stretch);

/*
 * Recomputes everything from the bitmaps and compares.
 *
 * Returns: QUARRY_OK, or QUARRY_CORRUPT with the first difference in `error` (may be NULL).
 * Cost: O(grown chunks).
 */
enum quarry_status page_tree_validate(const struct page_tree *tree, struct quarry_error *error);

#endif
