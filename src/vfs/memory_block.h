/*
 * Blocks of a simulated disk: 4 KiB, shared by count, copied when one of their holders writes.
 */
#ifndef QUARRY_VFS_MEMORY_BLOCK_H
#define QUARRY_VFS_MEMORY_BLOCK_H

#include <base/base.h>

/* What the page cache writes at a time. */
#define VFS_MEMORY_BLOCK_BYTES 4096u
/* What a disk writes whole: a block may be torn between two of these. */
#define VFS_MEMORY_SECTOR_BYTES 512u

struct vfs_memory_block {
    _Atomic uint32_t refs; /* holders; of several disks, under their several locks */
    uint8_t bytes[VFS_MEMORY_BLOCK_BYTES] Q_ALIGNED(8);
};

/* A block with the bytes at `from`, or zeros where it is NULL. Returns: own; NULL: no memory. */
struct vfs_memory_block *vfs_memory_block_create(const uint8_t *from);
/* One more holder. `block`: may be NULL. Returns: `block`. */
struct vfs_memory_block *vfs_memory_block_acquire(struct vfs_memory_block *block);
/* One holder less. `block`: given, may be NULL. */
void vfs_memory_block_release(struct vfs_memory_block *block);
/* Puts another block into a place that holds one: that one is released, `block` given. */
void vfs_memory_block_put(struct vfs_memory_block **place, struct vfs_memory_block *block);
/* The bytes of a block, or zeros for NULL: where a file has a hole. Returns: borrowed. */
const uint8_t *vfs_memory_block_bytes(const struct vfs_memory_block *block);

/*
 * Copying and comparing bytes that a program may be storing to through a mapping meanwhile, as the
 * kernel does when it writes a mapped page: ThreadSanitizer is not to see it. Other stores are seen
 * or not, byte by byte (copy), word by word (equals: whole blocks).
 */
void vfs_memory_copy_racing(void *to, const void *from, size_t byte_count);
bool vfs_memory_block_equals_racing(const uint8_t *bytes, const uint8_t *others);

#endif
