/*
 * What a file of a simulated disk holds: now, after a loss of power, and what lies between.
 */
#ifndef QUARRY_VFS_MEMORY_CONTENT_H
#define QUARRY_VFS_MEMORY_CONTENT_H

#include <vfs/memory_block.h>

/* The largest file: a place costs 48 bytes for each 4 KiB, which is 192 MiB then. */
#define VFS_MEMORY_FILE_BYTES_MAX Q_GIB(16)

/* One block's place in a file. Each pointer holds a count. memory_content.c has the picture. */
struct vfs_memory_place {
    struct vfs_memory_block *current; /* what a read gives, but where it is mapped; NULL: zeros */
    struct vfs_memory_block *clean;   /* what the page cache believes to be on the disk */
    struct vfs_memory_block *synced;  /* what is on the disk for certain */
    struct vfs_memory_block
        *written;      /* what the kernel may have written on its own; NULL: nothing */
    uint8_t *mapped;   /* within a segment: what a read gives; NULL: not mapped */
    bool is_allocated; /* counts as used space */
};

/* Memory that a range of places was mapped to. */
struct vfs_memory_segment {
    struct vfs_memory_segment *next;
    uint8_t *bytes; /* own; of whole blocks, aligned to one */
    uint64_t first; /* place */
    uint64_t place_count;
    uint32_t map_count;
};

struct vfs_memory_content {
    struct vfs_memory_place *places; /* own; as many as the size, now or synced, needs */
    uint64_t place_count;
    uint64_t place_capacity;
    uint64_t byte_count;
    uint64_t synced_byte_count;
    uint64_t least_byte_count; /* the size has been down to since the last sync */
    uint64_t allocated_count;  /* places that are */
    struct vfs_memory_segment *segments;
};

/* Where the space of a disk is counted. */
struct vfs_memory_space {
    uint64_t byte_count; /* bound; UINT64_MAX: none */
    uint64_t used_block_count;
};

void vfs_memory_content_fini(struct vfs_memory_content *content);

/* The following return 0 or an errno. The caller holds the disk's lock. */
int vfs_memory_content_write(struct vfs_memory_content *content, struct vfs_memory_space *space,
                             uint64_t *random, uint64_t offset, const void *bytes,
                             size_t byte_count);
/* Returns: how many bytes; fewer where the file ends. */
size_t vfs_memory_content_read(const struct vfs_memory_content *content, uint64_t offset,
                               void *buffer, size_t byte_count);
int vfs_memory_content_resize(struct vfs_memory_content *content, struct vfs_memory_space *space,
                              uint64_t byte_count);
int vfs_memory_content_preallocate(struct vfs_memory_content *content,
                                   struct vfs_memory_space *space, uint64_t offset,
                                   uint64_t byte_count);
/* ENODEV where the range was not preallocated, or a mapping overlaps that is not the same. */
int vfs_memory_content_map(struct vfs_memory_content *content, uint64_t offset, size_t byte_count,
                           void **ret_base);
void vfs_memory_content_unmap(struct vfs_memory_content *content, void *base, size_t byte_count);

/* Everything is on the disk. */
int vfs_memory_content_sync(struct vfs_memory_content *content);
/* A sync has failed: what was dirty counts as clean, and is on no disk. */
int vfs_memory_content_drop(struct vfs_memory_content *content);
/* The kernel has begun to write a range, and may or may not get it to the disk. */
int vfs_memory_content_start_sync(struct vfs_memory_content *content, uint64_t offset,
                                  uint64_t byte_count);

/* Whether what a place holds is not what the page cache believes to be on the disk. */
bool vfs_memory_place_is_dirty(const struct vfs_memory_place *place);
/* What a read gives of a place. Returns: borrowed. */
const uint8_t *vfs_memory_place_bytes(const struct vfs_memory_place *place);
/* Has at least so many places. Returns: 0 or ENOMEM. */
int vfs_memory_content_extend(struct vfs_memory_content *content, uint64_t place_count);

static inline uint64_t vfs_memory_blocks_of(uint64_t byte_count)
{
    return byte_count / VFS_MEMORY_BLOCK_BYTES + (byte_count % VFS_MEMORY_BLOCK_BYTES != 0);
}

#endif
