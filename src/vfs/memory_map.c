/*
 * Mapped ranges of a file on a simulated disk.
 *
 *     places     | 0 | 1 | 2 | 3 | 4 | 5 |        mapped: the bytes are in the segment, and
 *                          \   \   \              whoever reads or writes the file goes there
 *     segment             | 2 | 3 | 4 |           contiguous; its address is the mapping
 *
 * Invariants:
 *   1. A place is mapped into at most one segment. A range can be mapped again while it is mapped
 *      if it is the same range, or lies within; one that overlaps in part is refused.
 *   2. A segment is dissolved into blocks when its last mapping ends, unless there is no memory for
 *      them; then it stays, harmless, until somebody maps over it or the file goes.
 *   3. Memory of a mapping stays while it is mapped, though the file be truncated: a store behind
 *      the end, for which the kernel would send a signal, goes nowhere.
 *
 * Locking: the disk's. Cost: a copy of the range at the first map and at the last unmap.
 */
#include <errno.h>
#include <stdlib.h>

#include <vfs/memory_content.h>

static struct vfs_memory_segment *find_around(const struct vfs_memory_content *content,
                                              uint64_t first, uint64_t place_count);
static int clear_range(struct vfs_memory_content *content, uint64_t first, uint64_t place_count);
static int check_range(const struct vfs_memory_content *content, uint64_t first,
                       uint64_t place_count);
static struct vfs_memory_segment *segment_create(struct vfs_memory_content *content, uint64_t first,
                                                 uint64_t place_count);
static int dissolve(struct vfs_memory_content *content, struct vfs_memory_segment *segment);

int vfs_memory_content_map(struct vfs_memory_content *content, uint64_t offset, size_t byte_count,
                           void **ret_base)
{
    uint64_t first = offset / VFS_MEMORY_BLOCK_BYTES;
    uint64_t place_count = byte_count / VFS_MEMORY_BLOCK_BYTES;
    int failed = check_range(content, first, place_count);
    if (failed != 0) {
        return failed;
    }
    struct vfs_memory_segment *segment = find_around(content, first, place_count);
    if (segment == NULL) {
        failed = clear_range(content, first, place_count);
        if (failed != 0) {
            return failed;
        }
        segment = segment_create(content, first, place_count);
        if (segment == NULL) {
            return ENOMEM;
        }
    }
    segment->map_count++;
    *ret_base = segment->bytes + (first - segment->first) * VFS_MEMORY_BLOCK_BYTES;
    return 0;
}

/* The range was preallocated, so that a store cannot fail for want of space. */
static int check_range(const struct vfs_memory_content *content, uint64_t first,
                       uint64_t place_count)
{
    if (first > content->place_count || place_count > content->place_count - first) {
        return ENODEV;
    }
    for (uint64_t at = first; at < first + place_count; at++) {
        if (!content->places[at].is_allocated) {
            return ENODEV;
        }
    }
    return 0;
}

/* The segment that all of a range is in already. */
static struct vfs_memory_segment *find_around(const struct vfs_memory_content *content,
                                              uint64_t first, uint64_t place_count)
{
    for (struct vfs_memory_segment *segment = content->segments; segment != NULL;
         segment = segment->next) {
        if (first < segment->first || first + place_count > segment->first + segment->place_count) {
            continue;
        }
        uint64_t at = first;
        while (at < first + place_count &&
               content->places[at].mapped ==
                   segment->bytes + (at - segment->first) * VFS_MEMORY_BLOCK_BYTES) {
            at++;
        }
        if (at == first + place_count) {
            return segment;
        }
    }
    return NULL;
}

/* Takes segments out of the way that nobody has mapped any more: invariants 1 and 2. */
static int clear_range(struct vfs_memory_content *content, uint64_t first, uint64_t place_count)
{
    struct vfs_memory_segment *next;
    for (struct vfs_memory_segment *segment = content->segments; segment != NULL; segment = next) {
        next = segment->next;
        if (segment->first >= first + place_count ||
            segment->first + segment->place_count <= first) {
            continue;
        }
        if (segment->map_count > 0) {
            return ENODEV;
        }
        int failed = dissolve(content, segment);
        if (failed != 0) {
            return failed;
        }
    }
    return 0;
}

static struct vfs_memory_segment *segment_create(struct vfs_memory_content *content, uint64_t first,
                                                 uint64_t place_count)
{
    struct vfs_memory_segment *segment = malloc(sizeof *segment);
    uint8_t *bytes =
        aligned_alloc(VFS_MEMORY_BLOCK_BYTES, (size_t)place_count * VFS_MEMORY_BLOCK_BYTES);
    if (segment == NULL || bytes == NULL) {
        free(segment);
        free(bytes);
        return NULL;
    }
    *segment = (struct vfs_memory_segment){
        .next = content->segments, .bytes = bytes, .first = first, .place_count = place_count};
    content->segments = segment;
    for (uint64_t at = 0; at < place_count; at++) {
        struct vfs_memory_place *place = &content->places[first + at];
        uint8_t *to = bytes + at * VFS_MEMORY_BLOCK_BYTES;
        vfs_memory_copy_racing(to, vfs_memory_place_bytes(place), VFS_MEMORY_BLOCK_BYTES);
        vfs_memory_block_put(&place->current, NULL);
        place->mapped = to;
    }
    return segment;
}

void vfs_memory_content_unmap(struct vfs_memory_content *content, void *base, size_t byte_count)
{
    struct vfs_memory_segment *segment = content->segments;
    while (segment != NULL &&
           ((uint8_t *)base < segment->bytes ||
            (uint8_t *)base + byte_count >
                segment->bytes + segment->place_count * VFS_MEMORY_BLOCK_BYTES)) {
        segment = segment->next;
    }
    Q_ASSERT(segment != NULL && segment->map_count > 0); /* not a mapping of this file */
    segment->map_count--;
    if (segment->map_count == 0) {
        (void)dissolve(content, segment); /* invariant 2 */
    }
}

/* Returns: 0, or ENOMEM: the segment stays, and what was moved out of it is the same as before. */
static int dissolve(struct vfs_memory_content *content, struct vfs_memory_segment *segment)
{
    for (uint64_t at = 0; at < segment->place_count; at++) {
        uint8_t *from = segment->bytes + at * VFS_MEMORY_BLOCK_BYTES;
        if (segment->first + at >= content->place_count) {
            break;
        }
        struct vfs_memory_place *place = &content->places[segment->first + at];
        if (place->mapped != from) {
            continue;
        }
        struct vfs_memory_block *block = vfs_memory_block_acquire(place->clean);
        if (vfs_memory_place_is_dirty(place)) {
            vfs_memory_block_release(block);
            block = vfs_memory_block_create(from);
            if (block == NULL) {
                return ENOMEM;
            }
        }
        vfs_memory_block_put(&place->current, block);
        place->mapped = NULL;
    }
    struct vfs_memory_segment **link = &content->segments;
    while (*link != segment) {
        link = &(*link)->next;
    }
    *link = segment->next;
    free(segment->bytes);
    free(segment);
    return 0;
}
