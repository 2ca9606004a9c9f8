/*
 * A room: private memory that grows in place, charged to the page heap as it does.
 *
 * For the small tables of sampling. Address space is taken whole at the first byte, memory from the
 * beginning on as asked for; nothing goes back but with the room.
 */
#ifndef QUARRY_MEM_ROOM_H
#define QUARRY_MEM_ROOM_H

#include <base/base.h>
#include <page/page.h>

struct mem_room {
    /* const after init */
    struct page_heap *heap;
    size_t reserved_bytes;
    /* guarded by the room's user */
    char *base; /* NULL: nothing reserved yet */
    size_t committed_bytes;
};

/* `reserved_bytes`: the most it can ever hold. Cost: no memory, no system call. */
void mem_room_init(struct mem_room *room, struct page_heap *heap, size_t reserved_bytes);
/* Gives all of it back. */
void mem_room_fini(struct mem_room *room);

/*
 * Makes sure that the first `bytes` (at most `reserved_bytes`) can be touched; new ones are zero.
 * Returns: false when the budget or the kernel has no room; then it is as before.
 * Cost: nothing when they could be touched already, else one or two system calls.
 */
Q_NODISCARD bool mem_room_extend(struct mem_room *room, size_t bytes);

#endif
