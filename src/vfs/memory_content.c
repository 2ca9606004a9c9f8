/*
 * What a file of a simulated disk holds.
 *
 * A place is one block of a file, in up to four versions. A program sees `current`; a loss of power
 * leaves `synced`, or `current`, or `written`, or sectors of two of them; `clean` says which places
 * a sync has to do with:
 *
 *                     write            sync              a failed sync
 *     current    A        B            B                 B
 *     clean      A        A  (dirty)   B                 B    the kernel thinks that it is done
 *     synced     A        A            B                 A    and is wrong
 *
 * A page that is mapped is stored to without anybody being told. Its bytes lie in a segment of
 * contiguous memory, `current` is not used, and it is dirty when its bytes are not those of
 * `clean`.
 *
 * Invariants:
 *   1. Bytes of a place behind the end of the file are zero.
 *   2. A place that is not mapped is dirty exactly when `current` is not `clean`, as pointers.
 *   3. Places at or behind the end have no `current`, no `mapped` and are not allocated; they may
 *      have been synced, and go with the next sync.
 *   4. `allocated_count` is how many places are allocated, and the disk counts them.
 *   5. Every version between the last sync and now is possible after a loss of power, and nothing
 *      else is. `written` is the sample of those that were overwritten: one that the kernel was
 *      asked to write early, or chose to, one time in VFS_MEMORY_EARLY_ONE_OF.
 *
 * Locking: the disk's lock, held by the caller; only stores through mappings go past it.
 *
 * Cost: a write of a shared block copies it; a sync is pointers, and a comparison of mapped blocks.
 *
 * Rejected: a journal of all writes, which knows every version, but grows without bound between
 * syncs, and would have to be looked through to read a byte.
 */
#include <vfs/memory_content.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfs/random.h>

/* How seldom the kernel writes a dirty page before a program writes it again. */
#define VFS_MEMORY_EARLY_ONE_OF 8u

static int write_place(struct vfs_memory_content *content, struct vfs_memory_space *space,
                       uint64_t *random, struct vfs_memory_place *place, size_t from,
                       const void *bytes, size_t byte_count);
static int allocate_place(struct vfs_memory_content *content, struct vfs_memory_space *space,
                          struct vfs_memory_place *place);
static int own_current(struct vfs_memory_place *place);
static void free_place_data(struct vfs_memory_content *content, struct vfs_memory_space *space,
                            struct vfs_memory_place *place);
static int zero_tail(struct vfs_memory_content *content, uint64_t byte_count);
static struct vfs_memory_block *capture(const struct vfs_memory_place *place);

void vfs_memory_content_fini(struct vfs_memory_content *content)
{
    for (uint64_t at = 0; at < content->place_count; at++) {
        struct vfs_memory_place *place = &content->places[at];
        vfs_memory_block_release(place->current);
        vfs_memory_block_release(place->clean);
        vfs_memory_block_release(place->synced);
        vfs_memory_block_release(place->written);
    }
    free(content->places);
    while (content->segments != NULL) {
        struct vfs_memory_segment *segment = content->segments;
        Q_ASSERT(segment->map_count == 0); /* the file is not in use */
        content->segments = segment->next;
        free(segment->bytes);
        free(segment);
    }
    *content = (struct vfs_memory_content){0};
}

int vfs_memory_content_extend(struct vfs_memory_content *content, uint64_t place_count)
{
    if (place_count > content->place_capacity) {
        uint64_t capacity = content->place_capacity * 2;
        capacity = capacity < place_count ? place_count : capacity;
        struct vfs_memory_place *places =
            realloc(content->places, (size_t)capacity * sizeof *content->places);
        if (places == NULL) {
            return ENOMEM;
        }
        content->places = places;
        content->place_capacity = capacity;
    }
    if (place_count > content->place_count) {
        memset(&content->places[content->place_count], 0,
               (size_t)(place_count - content->place_count) * sizeof *content->places);
        content->place_count = place_count;
    }
    return 0;
}

const uint8_t *vfs_memory_place_bytes(const struct vfs_memory_place *place)
{
    return place->mapped != NULL ? place->mapped : vfs_memory_block_bytes(place->current);
}

bool vfs_memory_place_is_dirty(const struct vfs_memory_place *place)
{
    if (place->mapped == NULL) {
        return place->current != place->clean;
    }
    return !vfs_memory_block_equals_racing(place->mapped, vfs_memory_block_bytes(place->clean));
}

/* ---- reading and writing ---- */

size_t vfs_memory_content_read(const struct vfs_memory_content *content, uint64_t offset,
                               void *buffer, size_t byte_count)
{
    if (offset >= content->byte_count) {
        return 0;
    }
    if (byte_count > content->byte_count - offset) {
        byte_count = (size_t)(content->byte_count - offset);
    }
    for (size_t done = 0; done < byte_count;) {
        uint64_t at = offset + done;
        size_t from = (size_t)(at % VFS_MEMORY_BLOCK_BYTES);
        size_t count = VFS_MEMORY_BLOCK_BYTES - from;
        count = count < byte_count - done ? count : byte_count - done;
        const struct vfs_memory_place *place = &content->places[at / VFS_MEMORY_BLOCK_BYTES];
        if (place->mapped != NULL) {
            vfs_memory_copy_racing((char *)buffer + done, place->mapped + from, count);
        } else {
            memcpy((char *)buffer + done, vfs_memory_block_bytes(place->current) + from, count);
        }
        done += count;
    }
    return byte_count;
}

int vfs_memory_content_write(struct vfs_memory_content *content, struct vfs_memory_space *space,
                             uint64_t *random, uint64_t offset, const void *bytes,
                             size_t byte_count)
{
    if (offset > VFS_MEMORY_FILE_BYTES_MAX || byte_count > VFS_MEMORY_FILE_BYTES_MAX - offset) {
        return EFBIG;
    }
    if (vfs_memory_content_extend(content, vfs_memory_blocks_of(offset + byte_count)) != 0) {
        return ENOMEM;
    }
    for (size_t done = 0; done < byte_count;) {
        uint64_t at = offset + done;
        size_t from = (size_t)(at % VFS_MEMORY_BLOCK_BYTES);
        size_t count = VFS_MEMORY_BLOCK_BYTES - from;
        count = count < byte_count - done ? count : byte_count - done;
        int failed =
            write_place(content, space, random, &content->places[at / VFS_MEMORY_BLOCK_BYTES], from,
                        (const char *)bytes + done, count);
        if (failed != 0) {
            return failed; /* what was written before is there */
        }
        done += count;
        if (at + count > content->byte_count) {
            content->byte_count = at + count;
        }
    }
    return 0;
}

static int write_place(struct vfs_memory_content *content, struct vfs_memory_space *space,
                       uint64_t *random, struct vfs_memory_place *place, size_t from,
                       const void *bytes, size_t byte_count)
{
    int failed = allocate_place(content, space, place);
    if (failed != 0) {
        return failed;
    }
    if (place->mapped != NULL) {
        vfs_memory_copy_racing(place->mapped + from, bytes, byte_count);
        return 0;
    }
    if (place->current != place->clean && vfs_random_below(random, VFS_MEMORY_EARLY_ONE_OF) == 0) {
        vfs_memory_block_put(&place->written, vfs_memory_block_acquire(place->current));
    }
    failed = own_current(place);
    if (failed == 0) {
        memcpy(place->current->bytes + from, bytes, byte_count);
    }
    return failed;
}

static int allocate_place(struct vfs_memory_content *content, struct vfs_memory_space *space,
                          struct vfs_memory_place *place)
{
    if (place->is_allocated) {
        return 0;
    }
    if (space->used_block_count >= space->byte_count / VFS_MEMORY_BLOCK_BYTES) {
        return ENOSPC;
    }
    place->is_allocated = true;
    content->allocated_count++;
    space->used_block_count++;
    return 0;
}

/* Makes sure that the place is the only holder of its current block. */
static int own_current(struct vfs_memory_place *place)
{
    /* Pairs with the decrements of others: at 1 there is nobody who could raise it. */
    if (place->current != NULL && atomic_load_acquire_u32(&place->current->refs) == 1) {
        return 0;
    }
    struct vfs_memory_block *copy =
        vfs_memory_block_create(place->current == NULL ? NULL : place->current->bytes);
    if (copy == NULL) {
        return ENOMEM;
    }
    vfs_memory_block_put(&place->current, copy);
    return 0;
}

/* ---- sizes ---- */

int vfs_memory_content_resize(struct vfs_memory_content *content, struct vfs_memory_space *space,
                              uint64_t byte_count)
{
    if (byte_count > VFS_MEMORY_FILE_BYTES_MAX) {
        return EFBIG;
    }
    if (vfs_memory_content_extend(content, vfs_memory_blocks_of(byte_count)) != 0) {
        return ENOMEM;
    }
    if (byte_count < content->byte_count && zero_tail(content, byte_count) != 0) {
        return ENOMEM;
    }
    for (uint64_t at = vfs_memory_blocks_of(byte_count); at < content->place_count; at++) {
        free_place_data(content, space, &content->places[at]);
    }
    content->byte_count = byte_count;
    if (byte_count < content->least_byte_count) {
        content->least_byte_count = byte_count;
    }
    return 0;
}

/* Invariant 3. `clean` stays: the place is dirty if it had something, until the next sync. */
static void free_place_data(struct vfs_memory_content *content, struct vfs_memory_space *space,
                            struct vfs_memory_place *place)
{
    vfs_memory_block_put(&place->current, NULL);
    place->mapped = NULL;
    if (place->is_allocated) {
        place->is_allocated = false;
        content->allocated_count--;
        space->used_block_count--;
    }
}

/* Invariant 1, for a file that is to be shorter. */
static int zero_tail(struct vfs_memory_content *content, uint64_t byte_count)
{
    size_t from = (size_t)(byte_count % VFS_MEMORY_BLOCK_BYTES);
    if (from == 0) {
        return 0;
    }
    struct vfs_memory_place *place = &content->places[byte_count / VFS_MEMORY_BLOCK_BYTES];
    if (place->mapped != NULL) {
        vfs_memory_copy_racing(place->mapped + from, vfs_memory_block_bytes(NULL) + from,
                               VFS_MEMORY_BLOCK_BYTES - from);
        return 0;
    }
    if (place->current == NULL) {
        return 0;
    }
    if (own_current(place) != 0) {
        return ENOMEM;
    }
    memset(place->current->bytes + from, 0, VFS_MEMORY_BLOCK_BYTES - from);
    return 0;
}

int vfs_memory_content_preallocate(struct vfs_memory_content *content,
                                   struct vfs_memory_space *space, uint64_t offset,
                                   uint64_t byte_count)
{
    if (offset > VFS_MEMORY_FILE_BYTES_MAX || byte_count > VFS_MEMORY_FILE_BYTES_MAX - offset) {
        return EFBIG;
    }
    uint64_t end = offset + byte_count;
    if (byte_count == 0) {
        return 0;
    }
    if (vfs_memory_content_extend(content, vfs_memory_blocks_of(end)) != 0) {
        return ENOMEM;
    }
    uint64_t first = offset / VFS_MEMORY_BLOCK_BYTES;
    uint64_t missing = 0;
    for (uint64_t at = first; at < vfs_memory_blocks_of(end); at++) {
        missing += !content->places[at].is_allocated;
    }
    uint64_t block_count = space->byte_count / VFS_MEMORY_BLOCK_BYTES;
    if (missing > sat_sub_u64(block_count, space->used_block_count)) {
        return ENOSPC;
    }
    for (uint64_t at = first; at < vfs_memory_blocks_of(end); at++) {
        int failed = allocate_place(content, space, &content->places[at]);
        Q_ASSERT(failed == 0);
    }
    if (end > content->byte_count) {
        content->byte_count = end;
    }
    return 0;
}

/* ---- durability ---- */

/* A place's bytes as a block. Returns: a count of its own; NULL: zeros, or no memory for a copy. */
static struct vfs_memory_block *capture(const struct vfs_memory_place *place)
{
    if (place->mapped != NULL) {
        return vfs_memory_block_create(place->mapped);
    }
    return vfs_memory_block_acquire(place->current);
}

int vfs_memory_content_sync(struct vfs_memory_content *content)
{
    for (uint64_t at = 0; at < content->place_count; at++) {
        struct vfs_memory_place *place = &content->places[at];
        vfs_memory_block_put(&place->written, NULL);
        if (!vfs_memory_place_is_dirty(place)) {
            continue;
        }
        struct vfs_memory_block *block = capture(place);
        if (block == NULL && place->mapped != NULL) {
            return ENOMEM;
        }
        vfs_memory_block_put(&place->synced, vfs_memory_block_acquire(block));
        vfs_memory_block_put(&place->clean, block);
    }
    content->synced_byte_count = content->byte_count;
    content->least_byte_count = content->byte_count;
    return 0;
}

int vfs_memory_content_drop(struct vfs_memory_content *content)
{
    for (uint64_t at = 0; at < content->place_count; at++) {
        struct vfs_memory_place *place = &content->places[at];
        vfs_memory_block_put(&place->written, NULL);
        if (!vfs_memory_place_is_dirty(place)) {
            continue;
        }
        struct vfs_memory_block *block = capture(place);
        if (block == NULL && place->mapped != NULL) {
            return ENOMEM;
        }
        vfs_memory_block_put(&place->clean, block);
    }
    return 0;
}

int vfs_memory_content_start_sync(struct vfs_memory_content *content, uint64_t offset,
                                  uint64_t byte_count)
{
    uint64_t end = byte_count == 0 ? UINT64_MAX : sat_add_u64(offset, byte_count);
    uint64_t last = vfs_memory_blocks_of(end < content->byte_count ? end : content->byte_count);
    for (uint64_t at = offset / VFS_MEMORY_BLOCK_BYTES; at < last; at++) {
        struct vfs_memory_place *place = &content->places[at];
        if (!vfs_memory_place_is_dirty(place)) {
            continue;
        }
        struct vfs_memory_block *block = capture(place);
        if (block == NULL && place->mapped != NULL) {
            return ENOMEM;
        }
        vfs_memory_block_put(&place->written, block);
    }
    return 0;
}
