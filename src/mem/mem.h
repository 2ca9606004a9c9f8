/*
 * The door of `mem`: objects in pools, each of one owner and one lifetime, on the page heap; and
 * what is known of them. Other folders include this header and no other of the folder. README.md
 * lists the parts in reading order.
 */
#ifndef QUARRY_MEM_MEM_H
#define QUARRY_MEM_MEM_H

#include <mem/census.h>
#include <mem/heap.h>
#include <mem/large.h>
#include <mem/object.h>
#include <mem/profile.h>
#include <mem/stats_page.h>
#include <mem/validate.h>

#endif
