/*
 * Bitmaps of one chunk: 512 pages, one bit each, in eight words.
 *
 * A set bit means whatever the owner of the bitmap says: "in use" in one, "scavenged" in the other.
 * The searches below look for clear bits, because in the in-use bitmap a clear bit is a free page.
 */
#ifndef QUARRY_PAGE_BITS_H
#define QUARRY_PAGE_BITS_H

#include <base/base.h>
#include <page/constants.h>
#include <page/summary.h>

#define PAGE_BITS_WORDS (PAGE_CHUNK_PAGES / 64)

/* One cache line: bit i of the chunk is bit i % 64 of word i / 64. */
struct page_bits {
    uint64_t word[PAGE_BITS_WORDS];
};

/* Not an index into a chunk: nothing was found. */
#define PAGE_BITS_NONE UINT32_MAX

static inline bool page_bits_get(const struct page_bits *bits, uint32_t index)
{
    return (bits->word[index / 64] >> (index % 64)) & 1;
}

/* The aligned 64-page block that holds `index`, as a word. */
static inline uint64_t page_bits_block(const struct page_bits *bits, uint32_t index)
{
    return bits->word[index / 64];
}

/* `first` + `count` ≤ PAGE_CHUNK_PAGES in each of these; a count of 0 does nothing. */
void page_bits_set(struct page_bits *bits, uint32_t first, uint32_t count);
void page_bits_clear(struct page_bits *bits, uint32_t first, uint32_t count);
void page_bits_set_all(struct page_bits *bits);
void page_bits_clear_all(struct page_bits *bits);
uint32_t page_bits_count(const struct page_bits *bits, uint32_t first, uint32_t count);
/* Whether every bit of the range is clear. */
bool page_bits_is_clear(const struct page_bits *bits, uint32_t first, uint32_t count);

/* How the clear bits lie: at the start, the longest run, at the end. Cost: O(words). */
uint64_t page_bits_summarize(const struct page_bits *bits);

/*
 * The summary after [first, first + count), not empty, has been cleared or set in `bits`, all of it
 * and nothing else, since the summary was `before`.
 * Cost: a look at the neighbouring bits; after setting, O(words) if the longest run was hit.
 */
uint64_t page_bits_summary_after_clear(const struct page_bits *bits, uint64_t before,
                                       uint32_t first, uint32_t count);
uint64_t page_bits_summary_after_set(const struct page_bits *bits, uint64_t before, uint32_t first,
                                     uint32_t count);

/*
 * The first run of `count` clear bits, looking from the block of `from` on (bits below `from` must
 * be set, or may be found too).
 *
 * `count`: 1 to PAGE_CHUNK_PAGES.
 * `ret_first_clear`: index of the first clear bit seen, PAGE_BITS_NONE when there is none.
 * Returns: index of the run, or PAGE_BITS_NONE.
 * Cost: O(words), one trailing-zero count for a run of one.
 */
uint32_t page_bits_find(const struct page_bits *bits, uint32_t count, uint32_t from,
                        uint32_t *ret_first_clear);

/* Index of the lowest run of `count` (1 to 64) set bits in a word; 64 when there is none. */
uint32_t page_bits_find_in_word(uint64_t word, uint32_t count);

/*
 * Sets every bit of each aligned group of `group` bits (a power of two, 1 to 64) of which at least
 * one is set. What stays clear is made of whole, aligned groups.
 */
uint64_t page_bits_fill_groups(uint64_t word, uint32_t group);

/* What a scavenger may take from a chunk. */
struct page_bits_candidate {
    uint32_t first;
    uint32_t count; /* 0: nothing */
};

/*
 * The highest run of pages at or below `from` that are neither in use nor scavenged, at most
 * `max_count` pages of it, from its top.
 *
 * `min_count`: smallest piece the kernel can take back in pages, a power of two from 1 to 64; the
 * result is aligned to it and a multiple of it. `max_count` is rounded up to a multiple.
 * `huge_count`: pages of a huge page, a power of two up to PAGE_CHUNK_PAGES, or 0. A result that
 * would begin inside a huge page whose pages could all be taken is extended down to its first page,
 * even above `max_count`, so that no free huge page is broken.
 * `is_dense_kept`: leave alone the huge pages that are in use to 31/32 (PAGE_DENSE_NUMERATOR).
 * Cost: O(words).
 */
struct page_bits_candidate page_bits_find_candidate(const struct page_bits *in_use,
                                                    const struct page_bits *scavenged,
                                                    uint32_t from, uint32_t min_count,
                                                    uint32_t max_count, uint32_t huge_count,
                                                    bool is_dense_kept);

#endif
