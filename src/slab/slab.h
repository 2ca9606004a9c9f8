/*
 * The door of `slab`: cells named by refs, in pages that can be emptied. Other folders include this
 * header and no other of the folder. README.md lists the parts in reading order.
 *
 * Beside the public calls: slab_data, slab_data_unchecked, slab_take and slab_give, inline; and
 * emptying a page a few cells at a time.
 */
#ifndef QUARRY_SLAB_SLAB_H
#define QUARRY_SLAB_SLAB_H

#include <quarry/slab.h>

#include <slab/cell.h>
#include <slab/compact.h>
#include <slab/move.h>
#include <slab/take.h>

#endif
