/*
 * Packed summaries: how the free pages of a range lie, in one word.
 *
 *   63        62..42      41..21      20..0
 *   all-free  end         max         start
 *
 * `start` free pages at the low end, `end` at the high end, and `max` in the longest run. A range
 * of up to 2^21 pages fits 21 bits but for the one value 2^21, which only a wholly free root entry
 * has: bit 63 alone stands for it. 0 means that no page is free, so one load and one branch pass
 * over a full range.
 */
#ifndef QUARRY_PAGE_SUMMARY_H
#define QUARRY_PAGE_SUMMARY_H

#include <base/base.h>
#include <page/constants.h>

#define PAGE_SUMMARY_FIELD_BITS 21
#define PAGE_SUMMARY_FIELD_MASK (((uint64_t)1 << PAGE_SUMMARY_FIELD_BITS) - 1)
#define PAGE_SUMMARY_ROOT_PAGES ((uint64_t)1 << PAGE_SUMMARY_FIELD_BITS)
#define PAGE_SUMMARY_ALL_FREE   ((uint64_t)1 << 63)

/* Pages covered by one entry of a level: 2^page_level_shift(level). */
static inline uint32_t page_level_shift(uint32_t level)
{
    return PAGE_ROOT_SHIFT - PAGE_FANOUT_SHIFT * level;
}

static inline uint64_t page_summary_pack(uint64_t start, uint64_t max, uint64_t end)
{
    if (Q_UNLIKELY(max == PAGE_SUMMARY_ROOT_PAGES)) {
        return PAGE_SUMMARY_ALL_FREE;
    }
    return start | max << PAGE_SUMMARY_FIELD_BITS | end << (2 * PAGE_SUMMARY_FIELD_BITS);
}

static inline uint64_t page_summary_start(uint64_t summary)
{
    if (Q_UNLIKELY(summary & PAGE_SUMMARY_ALL_FREE)) {
        return PAGE_SUMMARY_ROOT_PAGES;
    }
    return summary & PAGE_SUMMARY_FIELD_MASK;
}

static inline uint64_t page_summary_max(uint64_t summary)
{
    if (Q_UNLIKELY(summary & PAGE_SUMMARY_ALL_FREE)) {
        return PAGE_SUMMARY_ROOT_PAGES;
    }
    return (summary >> PAGE_SUMMARY_FIELD_BITS) & PAGE_SUMMARY_FIELD_MASK;
}

static inline uint64_t page_summary_end(uint64_t summary)
{
    if (Q_UNLIKELY(summary & PAGE_SUMMARY_ALL_FREE)) {
        return PAGE_SUMMARY_ROOT_PAGES;
    }
    return (summary >> (2 * PAGE_SUMMARY_FIELD_BITS)) & PAGE_SUMMARY_FIELD_MASK;
}

/* The summary of a range of 2^shift pages that are all free. */
static inline uint64_t page_summary_full(uint32_t shift)
{
    uint64_t pages = (uint64_t)1 << shift;
    return page_summary_pack(pages, pages, pages);
}

/*
 * The summary of PAGE_FANOUT neighbouring ranges of 2^child_shift pages each, lowest first.
 * Cost: one pass over a cache line; wholly used and wholly free families leave early.
 */
uint64_t page_summary_merge(const uint64_t children[PAGE_FANOUT], uint32_t child_shift);

#endif
