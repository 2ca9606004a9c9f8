/*
 * The door of `page`: pages of 8 KiB in lanes, under one budget. Other folders include this header
 * and no other of the folder. README.md lists the parts in reading order.
 */
#ifndef QUARRY_PAGE_PAGE_H
#define QUARRY_PAGE_PAGE_H

#include <page/heap.h>
#include <page/heap_counts.h>
#include <page/heap_map.h>

#endif
