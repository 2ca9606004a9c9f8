/*
 * The door of `mem`: what lies between pages and programs. Other folders include this header and no
 * other of the folder.
 */
#ifndef QUARRY_MEM_MEM_H
#define QUARRY_MEM_MEM_H

#include <mem/census.h>
#include <mem/profile.h>
#include <mem/stats_page.h>

#endif
