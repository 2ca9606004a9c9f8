/*
 * The door of `mem`: objects in pools, each of one owner and one lifetime, on the page heap. Other
 * folders include this header and no other of the folder. README.md lists the parts in reading
 * order.
 */
#ifndef QUARRY_MEM_MEM_H
#define QUARRY_MEM_MEM_H

#include <mem/heap.h>
#include <mem/object.h>

#endif
