/*
 * Blocks of a simulated disk.
 *
 * What a file holds now, what its last sync left, and what copies of the disk after a loss of power
 * hold, is mostly the same. So blocks are shared: each place that names one holds a count, and a
 * write makes a copy first unless its place is the only holder. A sync is then an exchange of
 * pointers, and a copy of a disk costs no byte for what it shares.
 *
 * Invariants:
 *   1. A block with more than one holder does not change.
 *   2. NULL is a block of zeros.
 *
 * Locking: counts are atomic, for copies of a disk are used by other threads; bytes are guarded by
 * the lock of the one disk that may write them. Cost: malloc, this being a disk and not a store.
 */
#include <vfs/memory_block.h>

#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[VFS_MEMORY_BLOCK_BYTES] Q_ALIGNED(8);

struct vfs_memory_block *vfs_memory_block_create(const uint8_t *from)
{
    struct vfs_memory_block *block = malloc(sizeof *block);
    if (block == NULL) {
        return NULL;
    }
    atomic_store_relaxed_u32(&block->refs, 1); /* nobody else has it yet */
    vfs_memory_copy_racing(block->bytes, from == NULL ? zeros : from, VFS_MEMORY_BLOCK_BYTES);
    return block;
}

struct vfs_memory_block *vfs_memory_block_acquire(struct vfs_memory_block *block)
{
    if (block != NULL) {
        /* Relaxed: the caller has it by another count, which keeps it alive. */
        uint32_t before = atomic_add_relaxed_u32(&block->refs, 1);
        Q_ASSERT(before > 0 && before < UINT32_MAX);
    }
    return block;
}

void vfs_memory_block_release(struct vfs_memory_block *block)
{
    /* Pairs with itself: whoever is last sees what the others did with it. */
    if (block != NULL && atomic_sub_acq_rel_u32(&block->refs, 1) == 1) {
        free(block);
    }
}

void vfs_memory_block_put(struct vfs_memory_block **place, struct vfs_memory_block *block)
{
    struct vfs_memory_block *before = *place;
    *place = block;
    vfs_memory_block_release(before);
}

const uint8_t *vfs_memory_block_bytes(const struct vfs_memory_block *block)
{
    return block == NULL ? zeros : block->bytes;
}

/* Volatile, or the compiler would make a call of memcpy of it, which ThreadSanitizer does see. */
__attribute__((no_sanitize("thread"))) void vfs_memory_copy_racing(void *to, const void *from,
                                                                   size_t byte_count)
{
    volatile uint8_t *target = to;
    const volatile uint8_t *source = from;
    size_t at = 0;
    if ((((uintptr_t)to | (uintptr_t)from) & 7) == 0) {
        for (; at + 8 <= byte_count; at += 8) {
            *(volatile uint64_t *)(target + at) = *(const volatile uint64_t *)(source + at);
        }
    }
    for (; at < byte_count; at++) {
        target[at] = source[at];
    }
}

__attribute__((no_sanitize("thread"))) bool vfs_memory_block_equals_racing(const uint8_t *bytes,
                                                                           const uint8_t *others)
{
    const volatile uint64_t *words = (const volatile void *)bytes;
    const volatile uint64_t *other_words = (const volatile void *)others;
    for (size_t at = 0; at < VFS_MEMORY_BLOCK_BYTES / 8; at++) {
        if (words[at] != other_words[at]) {
            return false;
        }
    }
    return true;
}
