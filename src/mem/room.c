/*
 * Rooms.
 *
 *   | committed, charged | reserved only                 |
 *   ^ base               ^ committed_bytes               ^ reserved_bytes
 *
 * Invariants: 1. committed_bytes are charged as metadata before they can be touched, and are whole
 * OS pages.
 *
 * Locking: the user's. It may be held: a room makes system calls under it when it grows, which it
 * does a few times in a process' life.
 */
#include <mem/room.h>

void mem_room_init(struct mem_room *room, struct page_heap *heap, size_t reserved_bytes)
{
    *room = (struct mem_room){
        .heap = heap,
        .reserved_bytes = size_align_up(reserved_bytes, heap->os->page_bytes),
    };
}

void mem_room_fini(struct mem_room *room)
{
    if (room->base == NULL) {
        return;
    }
    /* First, so that address space which the kernel will not take has no memory behind it. */
    if (room->committed_bytes > 0) {
        (void)os_decommit(room->heap->os, room->base, room->committed_bytes);
    }
    (void)os_release(room->heap->os, room->base, room->reserved_bytes);
    page_commit_release_metadata(&room->heap->commit, room->committed_bytes);
    room->base = NULL;
    room->committed_bytes = 0;
}

static bool room_reserve(struct mem_room *room)
{
    void *base;

    if (os_reserve(room->heap->os, room->reserved_bytes, room->heap->os->page_bytes, &base) !=
        QUARRY_OK) {
        return false;
    }
    room->base = base;
    return true;
}

bool mem_room_extend(struct mem_room *room, size_t bytes)
{
    Q_ASSERT(bytes <= room->reserved_bytes);
    size_t wanted = size_align_up(bytes, room->heap->os->page_bytes);

    if (wanted <= room->committed_bytes) {
        return true;
    }
    if (room->base == NULL && !room_reserve(room)) {
        return false;
    }
    size_t step = wanted - room->committed_bytes;
    if (!page_commit_try_metadata(&room->heap->commit, step)) {
        return false;
    }
    if (os_commit(room->heap->os, room->base + room->committed_bytes, step) != QUARRY_OK) {
        page_commit_release_metadata(&room->heap->commit, step);
        return false;
    }
    room->committed_bytes = wanted; /* invariant 1 */
    return true;
}
