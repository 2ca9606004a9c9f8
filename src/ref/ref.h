/*
 * The door of `ref`: knowing when nobody looks any more. Other folders include this header and no
 * other of the folder. README.md lists the parts in reading order.
 */
#ifndef QUARRY_REF_REF_H
#define QUARRY_REF_REF_H

#include <ref/count.h>
#include <ref/epoch.h>
#include <ref/leak.h>

#endif
