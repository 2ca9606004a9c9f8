/*
 * Where the scavenger looks next: one word a chunk, and two cursors that move down.
 *
 * The word of a chunk:
 *
 *   63 ........ 32  31 .. 26  25 ...... 16  15 ......... 0
 *   generation      flags     last in use   in use
 *
 * `in use`: pages in use now. `last in use`: what that was when the current generation first
 * touched the chunk. A chunk is left alone by the background scavenger while it is dense, now or at
 * the end of the generation before, because a dense chunk that thinned a moment ago is likely to
 * fill again.
 *
 * Locking: words are written under the lane's lock and read without one. Cursors move by
 * compare-and-swap; see scavenge_index.c for how a raise wins against a finder that lowers.
 */
#ifndef QUARRY_PAGE_SCAVENGE_INDEX_H
#define QUARRY_PAGE_SCAVENGE_INDEX_H

#include <base/base.h>
#include <page/constants.h>

enum page_density_flag {
    PAGE_DENSITY_HAS_FREE = 1 << 0, /* some page of the chunk may be free and backed */
    /* The background scavenger found only pages of dense huge pages; cleared by the next free. */
    PAGE_DENSITY_PASSED_OVER = 1 << 1,
    /* Of the low half; of the high one, shifted by one. See collapse.c. */
    PAGE_DENSITY_WAS_WHOLE = 1 << 2,
    PAGE_DENSITY_IS_HUGE = 1 << 4,
};

#define PAGE_DENSITY_FLAG_BITS 6

struct page_density {
    uint32_t in_use;      /* 0 to PAGE_CHUNK_PAGES */
    uint32_t last_in_use; /* 0 to PAGE_CHUNK_PAGES */
    uint32_t flags;
    uint32_t generation;
};

uint64_t page_density_pack(struct page_density density);
struct page_density page_density_unpack(uint64_t word);

enum page_scavenge_mode {
    PAGE_SCAVENGE_BACKGROUND, /* honours density and generations */
    PAGE_SCAVENGE_FORCED,     /* takes whatever is free: at the limit, or when told to */
};

struct page_scavenge_index {
    _Atomic uint64_t *chunk; /* const after init; the tree's metadata */
    /* Where to look next, downwards, and how often it was raised: see scavenge_index.c. */
    _Atomic uint64_t cursor[2]; /* by enum page_scavenge_mode */
    _Atomic uint32_t generation;
    /* guarded by the lane's lock */
    uint64_t free_high_page;    /* highest page freed in this generation + 1; 0: none */
    _Atomic uint32_t low_chunk; /* lowest chunk grown */
};

void page_scavenge_index_init(struct page_scavenge_index *index, _Atomic uint64_t *chunk);

/* A chunk has joined: all its pages are free and scavenged. */
void page_scavenge_index_grow(struct page_scavenge_index *index, uint32_t chunk);
/* `count` more pages of `chunk` are in use. */
void page_scavenge_index_alloc(struct page_scavenge_index *index, uint32_t chunk, uint32_t count);
/* Pages [first, first + count) of `chunk` have become free, and are backed. */
void page_scavenge_index_free(struct page_scavenge_index *index, uint32_t chunk, uint32_t first,
                              uint32_t count);
/* As free, for pages that have no backing: nothing new to scavenge. */
void page_scavenge_index_free_scavenged(struct page_scavenge_index *index, uint32_t chunk,
                                        uint32_t count);
/*
 * No page of the whole chunk can be scavenged, above the page that a find named neither: by
 * anybody, or in the background.
 */
void page_scavenge_index_set_empty(struct page_scavenge_index *index, uint32_t chunk);
void page_scavenge_index_pass_over(struct page_scavenge_index *index, uint32_t chunk);

/* Flags of a chunk, without the lane's lock a hint; and changing some of them, with it. */
uint32_t page_scavenge_index_flags(const struct page_scavenge_index *index, uint32_t chunk);
void page_scavenge_index_set_flags(struct page_scavenge_index *index, uint32_t chunk,
                                   uint32_t cleared, uint32_t set);

/* Begins a generation: the background cursor rises to the highest page freed in the last one. */
void page_scavenge_index_next_generation(struct page_scavenge_index *index);

/*
 * The next chunk worth a look, and the page of it to look down from.
 *
 * Returns: false when nothing is left below the cursor.
 * Threads: any, without the lane's lock; the answer is a hint to be checked under it.
 * Cost: one load for each chunk passed over.
 */
bool page_scavenge_index_find(struct page_scavenge_index *index, enum page_scavenge_mode mode,
                              uint32_t *ret_chunk, uint32_t *ret_from);

#endif
