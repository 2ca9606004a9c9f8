/*
 * Pinners: whose objects keep sparse spans from going back.
 *
 * A span under half full is mostly memory that nobody can use for anything but objects of one size.
 * Its free bytes are laid to the account of the sampled objects that are alive in it, evenly, and
 * with them to their stacks.
 */
#ifndef QUARRY_MEM_PINNERS_H
#define QUARRY_MEM_PINNERS_H

#include <base/base.h>

#include <mem/census.h>

/* What one sample pins; after mem_pinners_share, what one stack does. */
struct mem_pinner {
    uint64_t key; /* the span; afterwards the stack */
    uint64_t span_bytes;
    uint64_t live_bytes;
    uint32_t stack;
};

/*
 * Looks at one sample.
 * Returns: false when it pins nothing: its span is half full or more, or it is in none.
 * Cost: the census' span_of.
 */
bool mem_pinner_of(const struct mem_census *census, const struct mem_stats_sample *sample,
                   struct mem_pinner *ret_pinner);

/*
 * Shares each span's bytes among its samples, then sums up by stack, in place.
 * Returns: how many stacks pin something; they come in rising order.
 * Cost: O(n log n).
 */
uint32_t mem_pinners_share(struct mem_pinner *pinners, uint32_t pinner_count);

#endif
