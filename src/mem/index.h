/*
 * A hash index: from a tag of 32 well-mixed bits to numbers, in private memory.
 *
 * Sampling keeps its records in shared memory, densely; the index finds them again. What it holds
 * was written by this process alone, whatever others do to the segment.
 */
#ifndef QUARRY_MEM_INDEX_H
#define QUARRY_MEM_INDEX_H

#include <base/base.h>

#include <mem/room.h>

/* No number: the end of a search. */
#define MEM_INDEX_NONE UINT32_MAX

struct mem_index {
    struct mem_room room;
    /* guarded by the index' user */
    uint64_t *slot; /* the table now in use; NULL while it is empty */
    uint32_t capacity;
    uint32_t count;
    uint32_t count_max; /* const after init */
};

/* `count_max`: entries at most, a power of two from 256. Cost: no memory. */
void mem_index_init(struct mem_index *index, struct page_heap *heap, uint32_t count_max);
void mem_index_fini(struct mem_index *index);

/*
 * The next number under `tag`. `*cursor` is 0 before the first; nothing is added or removed
 * between. Returns: MEM_INDEX_NONE after the last. Cost: one or two cache lines.
 */
uint32_t mem_index_next(const struct mem_index *index, uint32_t tag, uint32_t *cursor);

/*
 * Adds a number below MEM_INDEX_NONE. Returns: false when count_max are in, or there is no memory.
 * Cost: O(1); now and then the table is copied into one of twice the size.
 */
Q_NODISCARD bool mem_index_add(struct mem_index *index, uint32_t tag, uint32_t number);

/* Removes what was added. */
void mem_index_remove(struct mem_index *index, uint32_t tag, uint32_t number);

/* Entry `place` below `capacity`, to go through all: false where there is none. */
bool mem_index_at(const struct mem_index *index, uint32_t place, uint32_t *ret_tag,
                  uint32_t *ret_number);

/* Forgets all entries; memory stays. */
void mem_index_clear(struct mem_index *index);

#endif
