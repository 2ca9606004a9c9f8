/*
 * Searching numbers that stand for keys.
 */
#ifndef QUARRY_KV_SST_SEARCH_H
#define QUARRY_KV_SST_SEARCH_H

#include <stdint.h>

/*
 * How many of `count` rising numbers are below `prefix`: the index of the first that is not.
 *
 * Errors: none. Threads: any. Cost: four instructions for each doubling of `count`, with no branch
 * that depends on what is compared; the first steps of searches of one array share its lines.
 * Numbers that do not rise give some index up to `count`.
 */
static inline uint32_t sst_prefix_bound(const uint64_t *prefixes, uint32_t count, uint64_t prefix)
{
    const uint64_t *base = prefixes;

    while (count > 1) {
        uint32_t half = count / 2;
        base += base[half - 1] < prefix ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - prefixes) + (count == 1 && *base < prefix);
}

#endif
