/*
 * Small pieces of one size for what the machine's vfs keeps of open files and held locks.
 */
#ifndef QUARRY_VFS_POSIX_SLOT_H
#define QUARRY_VFS_POSIX_SLOT_H

#include <base/base.h>

/* A piece: an open file with the end of its path. Two cache lines. */
#define VFS_SLOT_BYTES 128u
/*
 * How many there may be. Above any usual limit of open files of a server; doubling it costs
 * 8 MiB of addresses and no memory.
 */
#define VFS_SLOTS_MAX 65536u

/*
 * Takes a piece; its bytes are of no known value.
 *
 * `ret_slot`: own; end it with vfs_slot_give. Errors: QUARRY_TOO_MANY (VFS_SLOTS_MAX in use),
 * QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS (the first one). Threads: any. Cost: two atomic instructions.
 */
enum quarry_status vfs_slot_take(void **ret_slot);
/* `slot`: given. */
void vfs_slot_give(void *slot);
/* How many are in use: tests look for files that were left open. */
uint32_t vfs_slots_in_use(void);

#endif
