/*
 * The door of `base`, the lowest layer: what C and the compiler leave out. Other folders include
 * this header and no other of the folder. README.md lists the parts in reading order.
 */
#ifndef QUARRY_BASE_BASE_H
#define QUARRY_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/status.h>

#include <base/annotate.h>
#include <base/assert.h>
#include <base/atomic.h>
#include <base/bits.h>
#include <base/checked.h>
#include <base/size.h>
#include <base/endian.h>
#include <base/varint.h>
#include <base/crc32c.h>
#include <base/hash.h>
#include <base/error.h>
#include <base/nearest.h>
#include <base/pause.h>

/* Address ranges are reserved by the hundred GiB and 48-bit references sit in words. */
Q_STATIC_ASSERT(sizeof(void *) == 8 && sizeof(size_t) == 8, "Quarry is for 64-bit machines");

#endif
