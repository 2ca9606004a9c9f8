/*
 * What the files of this folder share: the exported functions are libc's and C++'s.
 */
#ifndef QUARRY_MALLOC_DOOR_H
#define QUARRY_MALLOC_DOOR_H

#include <base/base.h>

#define MALLOC_EXPORT __attribute__((visibility("default")))

/* malloc where the fast path does not reach; sets errno. */
void *malloc_slow(size_t bytes);
/* `align_bytes`: a power of two. Sets errno. */
void *malloc_aligned(size_t align_bytes, size_t bytes);

#endif
