/*
 * Giving pages back: those that are empty, and those that can be emptied.
 */
#ifndef QUARRY_SLAB_COMPACT_H
#define QUARRY_SLAB_COMPACT_H

#include <slab/types.h>

/*
 * Lets go of what waits for readers that have left: of all classes with such pages. Gives back the
 * pages that become empty by that. Unlike quarry_slab_trim no thread is stopped, and a class keeps
 * an empty page. Returns: bytes given back. Cost: a process barrier or two; O(classes).
 */
uint64_t slab_settle(struct quarry_slab *slab);

/*
 * Gives about `wanted_bytes` back where that is cheap: empty pages, and then pages of which a part
 * is free, so that at most three bytes are copied for each that comes back. For an owner who may
 * make way for a page by other means, and who asks often: threads keep their cells, but for one
 * call in some.
 *
 * `move`, `argument`: as for quarry_slab_move_page. Returns: bytes given back, or about to be when
 * readers have left; 0 too while another one moves. Cost: a lock for each class, twice; what is
 * moved.
 */
uint64_t slab_gather(struct quarry_slab *slab, uint64_t wanted_bytes,
                     quarry_slab_move_function *move, void *argument);

#endif
