/*
 * Moving: emptying pages.
 */
#ifndef QUARRY_SLAB_MOVE_H
#define QUARRY_SLAB_MOVE_H

#include <slab/types.h>

/* In the child of a fork: whoever was moving is gone. */
void slab_move_after_fork(struct quarry_slab *slab);

#endif
