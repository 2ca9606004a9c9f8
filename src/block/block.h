/*
 * The door of `block`: counted buffers and the Clock-Pro cache over them. Other folders include
 * this header and no other of the folder. README.md lists the parts in reading order.
 *
 * Beside the public calls: the clock alone, for whoever compares policies.
 */
#ifndef QUARRY_BLOCK_BLOCK_H
#define QUARRY_BLOCK_BLOCK_H

#include <quarry/block.h>

#include <block/clock_pro.h>

#endif
