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
 * Early exits: leading children that are wholly free are counted without unpacking, and children
 * that are wholly used, in a busy heap most of them, cost a load and a branch.
 *
 * Source: the merge of Go's page allocator (1.14 and later).
 */
#include <page/summary.h>

uint64_t page_summary_merge(const uint64_t children[PAGE_FANOUT], uint32_t child_shift)
{
    const uint64_t child_pages = (uint64_t)1 << child_shift;
    const uint64_t full = page_summary_full(child_shift);
    uint32_t i = 0;

    /* Only a root entry can be all-free by bit 63, and roots are nobody's children. */
    Q_DCHECK(child_shift < PAGE_ROOT_SHIFT);
    while (i < PAGE_FANOUT && children[i] == full) {
        i++;
    }
    if (i == PAGE_FANOUT) {
        return page_summary_full(child_shift + PAGE_FANOUT_SHIFT);
    }
    uint64_t end = i * child_pages;
    uint64_t start = end + (children[i] & PAGE_SUMMARY_FIELD_MASK);
    uint64_t max = start;
    for (; i < PAGE_FANOUT; i++) {
        uint64_t child = children[i];
        if (child == 0) {
            end = 0;
            continue;
        }
        uint64_t across = end + (child & PAGE_SUMMARY_FIELD_MASK);
        uint64_t inside = (child >> PAGE_SUMMARY_FIELD_BITS) & PAGE_SUMMARY_FIELD_MASK;
        max = size_max_u64(max, size_max_u64(across, inside));
        end = child == full ? across : child >> (2 * PAGE_SUMMARY_FIELD_BITS);
    }
    Q_DCHECK(start <= max && end <= max);
    return page_summary_pack(start, max, end);
}
