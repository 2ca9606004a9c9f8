/*
 * Packed summaries, merged.
 *
 * The eight children of an entry are neighbours in address order. Reading them from the low end, a
 * run of free pages can lie inside one child (`max`) or reach over edges: the `end` of what came
 * before and the `start` of the next child are one run.
 *
 *      child i-1          child i            child i+1
 *   [....#####     ][   #####...###      ][            ###]
 *             `-end-'`-s-'          `--end'`---start---'
 *
 * Early exits: most families in a busy heap are either wholly used (eight zeros, found by or-ing the
 * line) or wholly free; both are answered without unpacking.
 *
 * Source: the merge of Go's page allocator (1.14 and later).
 */
#include <page/summary.h>

/* All eight equal to `value`? */
static bool summary_is_uniform(const uint64_t children[PAGE_FANOUT], uint64_t value)
{
    uint64_t differing = 0;

    for (uint32_t i = 0; i < PAGE_FANOUT; i++) {
        differing |= children[i] ^ value;
    }
    return differing == 0;
}

uint64_t page_summary_merge(const uint64_t children[PAGE_FANOUT], uint32_t child_shift)
{
    const uint64_t child_pages = (uint64_t)1 << child_shift;
    uint64_t start = 0, max = 0, end = 0;
    bool is_start_open = true; /* every child so far was wholly free */

    Q_DCHECK(child_shift < PAGE_ROOT_SHIFT);
    if (summary_is_uniform(children, 0)) {
        return 0;
    }
    if (summary_is_uniform(children, page_summary_full(child_shift))) {
        return page_summary_full(child_shift + PAGE_FANOUT_SHIFT);
    }
    for (uint32_t i = 0; i < PAGE_FANOUT; i++) {
        /* Only a root entry can be all-free by bit 63, and roots are nobody's children. */
        uint64_t s = children[i] & PAGE_SUMMARY_FIELD_MASK;
        uint64_t m = (children[i] >> PAGE_SUMMARY_FIELD_BITS) & PAGE_SUMMARY_FIELD_MASK;
        uint64_t e = (children[i] >> (2 * PAGE_SUMMARY_FIELD_BITS)) & PAGE_SUMMARY_FIELD_MASK;

        if (is_start_open) {
            start += s;
            is_start_open = s == child_pages;
        }
        max = size_max_u64(max, size_max_u64(end + s, m));
        end = e == child_pages ? end + child_pages : e;
    }
    Q_DCHECK(start <= max && end <= max);
    return page_summary_pack(start, max, end);
}
